"""Check-ins: a private question in the case's own rhythm, four short answers, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from commands.cases.kinds import (
    EVERY,
    NEEDS,
    ComingDay,
    HolidaysOf,
    HowOften,
    Later,
    Line,
    NeedName,
    OwnCheckin,
    PresentStage,
    ReadableCase,
    Weekly,
    WhichAnswer,
    case,
    local_day,
)
from commands.cases.registry import advance
from commands.core import (
    Button,
    Call,
    Context,
    Event,
    Fields,
    JobContext,
    Picture,
    Reply,
    Table,
    Text,
    Timeline,
    YesOrNo,
    _,
    plain,
)
from commands.core.closed import OwnCase
from commands.core.post import Note
from commands.core.procedure import outcome_name, stage_name, tool_name
from storage import cases as registry
from storage import checkins as book
from storage import members
from storage.cases import CaseEvent, Mine, Part, What
from storage.checkins import Answers, Asked, CheckinState, Need, Step, Told
from storage.members import Role
from storage.recurrence import Schedule
from storage.rhythm import Every

USUAL_MINUTE = 10 * 60
"""When on a day people are asked who did not say when: ten in the morning on their own wall."""

MOST_SHOWN = 12
"""Check-ins listed at once, the latest ones; the picture shows more."""

SECURITY = _("digital security")
FUNDS = _("legal aid fund")


@case.command(allow=Role.MEMBER, audited=True)
def cadence(
    ctx: Context, case: OwnCase, every: HowOften, at: Weekly | None = None, holidays: HolidaysOf | None = ""
) -> Reply:
    """Choose how often I ask you how a case goes.

    case: Which case?
    every: How often shall I ask?
    at: On which day of the week, and when? For example: Tue 10:00.
    holidays: Whose public holidays do you keep? A country's code, or “off”.
    """
    ctx.subject = case.case.code
    registry.to_change(case)
    if every is None:
        book.stop(ctx.session, case.case)
        return Reply(_("I ask nothing about {code} any more.", code=case.case.code))
    today = ctx.now.astimezone(ctx.voice.zone)
    when = at or Schedule(frozenset({today.weekday()}), USUAL_MINUTE)
    rhythm = book.set_rhythm(
        ctx.session,
        case.case,
        member=ctx.actor,
        every=every,
        weekday=next(iter(when.weekdays)),
        minute=when.minute,
        holidays=holidays,
        now=ctx.now,
    )
    return Reply(
        _(
            "About {code} I ask you {every}, in private; next on {moment}. Never on your holidays, in your quiet hours "
            "or while you are away.",
            code=case.case.code,
            every=EVERY[every],
            moment=rhythm.next_at,
        ),
        *([] if at else [_("For another day or hour say, for example: {example}", example=_at(ctx, case, every))]),
    )


@case.command("case checkin", alias="checkin", allow=Role.MEMBER, audited=True)
def checkin(ctx: Context, case: OwnCase, moved: YesOrNo, stage: PresentStage, need: NeedName, blocked: Line) -> Reply:
    """Tell how a case goes: four short answers, now or before I ask.

    case: Which case?
    moved: Has it moved since last time?
    stage: At which stage does it stand?
    need: What would help?
    blocked: What holds it up? One line, no facts of victims.
    """
    ctx.subject = case.case.code
    was_asked = book.open_one(ctx.session, case.case) is not None
    made = book.answer(
        ctx.session,
        case.case,
        answers=Answers(moved, stage, blocked or None, need),
        by=ctx.actor_id,
        today=ctx.now.astimezone(ctx.voice.zone).date(),
        now=ctx.now,
        rng=ctx.rng,
    )
    again = len(book.versions(ctx.session, made)) > 1
    stays = _advance_too(ctx, case, stage)
    rhythm = book.rhythm_of(ctx.session, case.case)
    return Reply(
        _("Thank you. Noted for {code} as {checkin}.", code=case.case.code, checkin=made.code),
        *([_("It takes the place of what was said before for {day}.", day=made.day)] if again else []),
        *stays,
        *([_("I ask next on {moment}.", moment=rhythm.next_at)] if rhythm and not was_asked else []),
        *_help(need),
        actions=[*_helps(ctx, case, need), Button(_("Put it right"), amend.bare(checkin=made.code))],
    )


@case.command(allow=Role.MEMBER, audited=True)
def amend(
    ctx: Context,
    checkin: OwnCheckin,
    moved: YesOrNo | None = None,
    stage: PresentStage | None = None,
    need: NeedName | None = None,
    blocked: Line | None = None,
) -> Reply:
    """Put an answer about a case right; what you said before stays in its history.

    checkin: Which check-in?
    moved: Has it moved since last time?
    stage: At which stage does it stand?
    need: What would help?
    blocked: What holds it up? One line, no facts of victims.
    """
    mine = _of(ctx, checkin)
    ctx.subject = mine.case.code
    if moved is None and stage is None and blocked is None and need is None:
        now_says = next(each for each in book.history(ctx.session, mine.case) if each.checkin.id == checkin.id)
        return Reply(
            _answer_table(ctx, mine, [now_says]),
            _("Choose what to put right."),
            actions=[
                Button(_("It moved"), amend.bare(checkin=checkin.code, moved="yes")),
                Button(_("It did not move"), amend.bare(checkin=checkin.code, moved="no")),
                *(
                    Button(_("It needs: {need}", need=name), amend.bare(checkin=checkin.code, need=each.value))
                    for each, name in NEEDS.items()
                ),
                Button(_("Nothing holds it up"), amend.bare(checkin=checkin.code, blocked="-")),
            ],
            typed=_("Or type it, for example: {example}", example=amend.bare(checkin=checkin.code, blocked="…")),
        )
    told = book.amend(ctx.session, checkin, answers=Answers(moved, stage, blocked, need), by=ctx.actor_id, now=ctx.now)
    return Reply(
        _("Put right: {checkin}.", checkin=checkin.code),
        _answer_table(ctx, mine, [told]),
        *([_stands(ctx, mine)] if stage and stage != mine.case.stage else []),
        actions=[*_moves(ctx, mine, stage), Button(_("Erase an answer"), erase.bare(checkin=checkin.code))],
    )


@case.command(
    allow=Role.MEMBER,
    audited=True,
    confirm=_("It goes for good, with every former version of it, and no backup brings it back. Erase it?"),
)
def erase(ctx: Context, checkin: OwnCheckin, which: WhichAnswer) -> Reply:
    """Erase one answer about a case for good; the others stay.

    checkin: Which check-in?
    which: Which of its answers?
    """
    mine = _of(ctx, checkin)
    ctx.subject = mine.case.code
    if not any(each.by == ctx.actor_id for each in book.versions(ctx.session, checkin)):
        registry.to_change(mine)
    if not book.erase_part(ctx.session, checkin, which, ctx.now):
        return Reply(_("There is nothing to erase."))
    if which in book.CODES:
        return Reply(
            _(
                "Erased. A backup that is restored does not bring it back; one that was made before still holds it "
                "until it is deleted."
            )
        )
    return Reply(_("Erased. No backup can bring it back."))


@case.command(allow=Role.MEMBER)
def snooze(ctx: Context, case: OwnCase, until: Later) -> Reply:
    """Let me ask about a case later.

    case: Which case?
    until: When shall I ask again?
    """
    registry.to_change(case)
    book.snooze(ctx.session, case.case, until=until.at, now=ctx.now)
    return Reply(_("I ask again about {code} on {moment}.", code=case.case.code, moment=until.at))


@case.command(allow=Role.MEMBER, audited=True)
def pause(ctx: Context, case: OwnCase, until: ComingDay) -> Reply:
    """Let me ask nothing about a case until a day.

    case: Which case?
    until: Until which day?
    """
    ctx.subject = case.case.code
    registry.to_change(case)
    rhythm = book.pause(ctx.session, case.case, until=until, now=ctx.now)
    return Reply(_("I ask nothing about {code} before {moment}.", code=case.case.code, moment=rhythm.next_at))


@case.command(allow=Role.MEMBER, audited=True)
def history(ctx: Context, case: ReadableCase) -> Reply:
    """Show what happened to a case, as a time line and a list.

    case: Which case?
    """
    ctx.subject = case.case.code
    told = book.history(ctx.session, case.case)
    events = sorted(registry.history(ctx.session, case.case), key=lambda each: (_day_of(ctx, each), each.at))
    happened = sorted([*_events(ctx, case, events), *_told(ctx, told)], key=lambda each: (each[0].at, each[1]))
    points = [point for point, _at in happened]
    answered = [each for each in told if each.answers is not None][-MOST_SHOWN:]
    return Reply(
        _("The history of {code}", code=case.case.code),
        Picture(
            Timeline(_("The history of {code}", code=case.case.code), tuple(points)),
            alt=_(
                "A time line: {points}.",
                points=[_("{day} {label}", day=point.at, label=point.label) for point in points],
            ),
            name="history.png",
        ),
        *_notes(ctx, case, events),
        *([_answer_table(ctx, case, answered)] if answered else []),
        *_said_before(ctx, case, answered),
        actions=[Button(_("Erase an answer"), erase.bare(checkin=answered[-1].checkin.code))]
        if answered and case.part is not None
        else [],
    )


# What is said by itself


@case.every(timedelta(minutes=1))
def ask(ctx: JobContext) -> None:
    """Ask those whose case's day has come, remind who has not answered, and tell the coordinators of the rest."""
    due = [*book.ask(ctx.session, ctx.now, ctx.rng), *book.go_on(ctx.session, ctx.now)]
    for network in {asked.network for asked in due}:
        notes = [
            Note(asked.member_id, _question(asked), asked.key)
            for asked in due
            if asked.network == network and asked.step is not Step.TELL and asked.member_id is not None
        ]
        ctx.tell_each(notes, network=network, confidential=True)
    for asked in due:
        if asked.step is Step.TELL:
            _tell_coordinators(ctx, asked)


@case.every(timedelta(minutes=10))
def follow(ctx: JobContext) -> None:
    """Let the rhythms of people who have moved follow the clock on their wall."""
    book.follow_zones(ctx.session)


def _question(asked: Asked) -> Reply:
    said = (
        _("A reminder: how does {code} go? I ask only this once more.", code=asked.case)
        if asked.step is Step.FOLLOW
        else _("How does {code} go? Four short questions.", code=asked.case)
    )
    return Reply(
        said,
        actions=[
            Button(_("Answer"), checkin.bare(case=asked.case)),
            Button(_("Ask me tomorrow"), snooze.bare(case=asked.case, until="tomorrow")),
            Button(_("Ask me next week"), snooze.bare(case=asked.case, until="next week")),
        ],
    )


def _tell_coordinators(ctx: JobContext, asked: Asked) -> None:
    """Tell each coordinator in private, by the case's code: in no room, and nobody is named."""
    for member, roles in members.everyone(ctx.session, asked.network):
        if Role.COORDINATOR in roles:
            ctx.tell(
                member,
                Reply(_("Nobody answers for {code}. Please ask how it goes.", code=asked.case)),
                network=asked.network,
                key=f"{asked.key}:{member.id}",
                confidential=True,
            )


# How it is shown


def _of(ctx: Context, of: book.Checkin) -> Mine:
    """The case of a check-in that was found among one's own."""
    mine = registry.mine(ctx.session, member=ctx.actor_id, network=ctx.network)
    return next(each for each in mine if each.case.id == of.case_id)


def _advance_too(ctx: Context, mine: Mine, stage: str) -> list[Text]:
    """Move the case to the stage that was named, if it is another; of whoever may not, only the answer is kept."""
    if stage == mine.case.stage:
        return []
    if mine.part not in registry.DECIDES:
        return [_stands(ctx, mine), _("Only its lead and its co-counsel move it on; your answer is kept.")]
    advance(ctx, mine, stage)
    return []


def _stands(ctx: Context, mine: Mine) -> Text:
    return _("The case itself stands at “{stage}” as before.", stage=stage_name(ctx, mine.case.tool, mine.case.stage))


def _moves(ctx: Context, mine: Mine, stage: str | None) -> Iterator[Button]:
    """Offer to move the case to the stage that its check-in names now, if it can get there."""
    tool = ctx.library.procedures.tool(mine.case.tool)
    if stage is None or tool is None or mine.part not in registry.DECIDES or mine.case.closed_at is not None:
        return
    if stage in {registry.stage_before(ctx.session, mine.case), *(each.id for each in tool.following(mine.case.stage))}:
        name = stage_name(ctx, mine.case.tool, stage)
        yield Button(
            _("Move the case to “{stage}”", stage=name), Call("case stage", {"case": mine.case.code, "stage": stage})
        )


def _at(ctx: Context, mine: Mine, every: Every) -> Call:
    at = ctx.voice.say(Text("Tue 10:00"))
    return Call("case cadence", {"case": mine.case.code, "every": every.value, "at": at})


def _help(need: Need) -> list[Text]:
    if need is Need.NOTHING:
        return []
    return [_("Your coordinators' digest counts this need; it does not say whose it is.")]


def _helps(ctx: Context, mine: Mine, need: Need) -> Iterator[Button]:
    """Offer what there is to meet a need, prefilled with nothing that tells of the case."""
    say = ctx.voice.say
    match need:
        case Need.MENTOR:
            yield _hour(say(tool_name(ctx, mine.case.tool)))
        case Need.TRANSLATION:
            yield _to_the_network(say(_("Who can help with a legal translation, and between which languages?")))
        case Need.SECURITY:
            yield Button(_("Look up digital security"), Call("find", {"words": say(SECURITY)}))
            yield _hour(say(SECURITY))
        case Need.FUNDS:
            yield Button(_("Look up legal aid funds"), Call("find", {"words": say(FUNDS)}))
            yield _to_the_network(say(_("Which funds pay for the costs of legal action?")))


def _hour(topic: str) -> Button:
    return Button(_("Book an hour with a mentor"), Call("hours book", {"topic": topic}))


def _to_the_network(question: str) -> Button:
    return Button(_("Ask the network, without your name"), Call("ask put", {"question": question}))


def _answer_table(ctx: Context, mine: Mine, told: list[Told]) -> Table:
    rows = tuple(
        (
            plain(each.checkin.code),
            Text("{day}", {"day": each.checkin.day}),
            _answered(ctx, each),
            *_says(ctx, mine, each.answers),
        )
        for each in told
        if each.answers is not None
    )
    return Table((_("Check-in"), _("Day"), _("Answered"), *_ANSWERS), rows)


_ANSWERS = (_("Moved"), _("Stage"), _("Held up by"), _("Needs"))


def _says(ctx: Context, mine: Mine, answers: Answers) -> tuple[Text, ...]:
    return (
        _yes_or_no(answers.moved),
        stage_name(ctx, mine.case.tool, answers.stage),
        plain(answers.blocked or "—"),
        NEEDS[answers.need] if answers.need else plain("—"),
    )


def _answered(ctx: Context, told: Told) -> Text:
    """Say when it was answered, and whether that was put right since."""
    if told.answered_at is None:
        return plain("—")
    day = local_day(ctx, told.answered_at)
    if told.amended_at is None:
        return Text("{day}", {"day": day})
    return _("{day}, put right {amended}", day=day, amended=local_day(ctx, told.amended_at))


def _said_before(ctx: Context, mine: Mine, told: list[Told]) -> list[Text | Table]:
    """Show what check-ins said before they were put right: to the lead, and to whoever said it."""
    rows = []
    for each in told:
        if each.amended_at is None:
            continue
        versions = book.versions(ctx.session, each.checkin)
        if mine.part is Part.LEAD or any(version.by == ctx.actor_id for version in versions):
            rows += [
                (
                    plain(each.checkin.code),
                    Text("{day}", {"day": local_day(ctx, version.at)}),
                    *_says(ctx, mine, version.says),
                )
                for version in versions[:-1]
            ]
    if not rows:
        return []
    return [_("What was said before it was put right:"), Table((_("Check-in"), _("Said on"), *_ANSWERS), tuple(rows))]


def _yes_or_no(moved: bool | None) -> Text:
    return plain("—") if moved is None else _("yes") if moved else _("no")


def _events(ctx: Context, mine: Mine, events: list[CaseEvent]) -> Iterator[tuple[Event, datetime]]:
    for each in events:
        yield Event(_day_of(ctx, each), _label(ctx, mine, each), done=True), each.at


def _day_of(ctx: Context, event: CaseEvent) -> date:
    """The day that was given with an outcome; of all else the day on which it was said, on the reader's wall."""
    return event.day if event.what is What.OUTCOME else local_day(ctx, event.at)


def _notes(ctx: Context, mine: Mine, events: list[CaseEvent]) -> list[Fields]:
    """Show what was noted with stages, and where the records of outcomes lie."""
    pairs = tuple(
        (
            Text("{day}, {label}", {"day": _day_of(ctx, each), "label": _label(ctx, mine, each)}),
            plain(each.words.text),
        )
        for each in events
        if each.words is not None and each.words.text
    )
    return [Fields(pairs)] if pairs else []


def _label(ctx: Context, mine: Mine, event: CaseEvent) -> Text:
    match event.what:
        case What.OPENED:
            return _("opened")
        case What.STAGE:
            return stage_name(ctx, mine.case.tool, event.value)
        case What.OUTCOME:
            return _("outcome: {outcome}", outcome=outcome_name(ctx, event.value))
        case What.HANDED:
            return _("another lead")
        case What.CLOSED:
            return _("closed")


def _told(ctx: Context, told: list[Told]) -> Iterator[tuple[Event, datetime]]:
    """Place what was answered on the day of the answer, which may be an early one, and what was not on its own."""
    for each in told:
        if each.answers is not None and each.answered_at is not None:
            label = _("check-in: it moved") if each.answers.moved else _("check-in")
            yield Event(local_day(ctx, each.answered_at), label, done=True), each.answered_at
        elif each.checkin.state is CheckinState.MISSED:
            yield Event(each.checkin.day, _("check-in without an answer"), done=False), each.checkin.asked_at
