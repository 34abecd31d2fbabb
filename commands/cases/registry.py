"""The registry: a case, its team, its stages, its outcomes, and where its records lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from uuid import UUID

from commands.cases.kinds import (
    EVERY,
    PARTS,
    ClosedToo,
    CodeName,
    Colleague,
    Invitation,
    PartName,
    PastDay,
    ReadableCase,
    Stage,
    case,
    local_day,
)
from commands.core import Button, Call, Context, Fields, JobContext, Quote, Reply, Table, Text, Words, YesOrNo, _, plain
from commands.core.closed import OwnCase, case_label
from commands.core.lesson import lesson_button, viewer
from commands.core.post import Post
from commands.core.procedure import (
    ForumId,
    JurisdictionCode,
    OutcomeId,
    ToolId,
    forum_name,
    outcome_name,
    place_name,
    stage_name,
    tool_name,
)
from storage import cases as book
from storage import checkins, feedback, members
from storage.cases import Left, Mine, Part, What
from storage.members import Member, Role

FEW = 3
"""Counts below this are shown as “< 3”."""


@case.command("case open", allow=Role.MEMBER, audited=True)
def open_(
    ctx: Context,
    tool: ToolId,
    forum: ForumId,
    jurisdiction: JurisdictionCode,
    title: CodeName,
    note: Words | None = None,
) -> Reply:
    """Open a case: only its team will see it.

    tool: Which legal tool?
    forum: Before whom is it, or will it be?
    jurisdiction: In which jurisdiction? A country, or a code such as DE or ECHR.
    title: What shall the team call it? A code name that tells nothing.
    note: Is there anything that the team should remember? No facts of victims.
    """
    procedure = ctx.library.procedures.tool(tool)
    opened = book.open_case(
        ctx.session,
        network=ctx.network,
        tool=tool,
        stage=procedure.first.id if procedure else "",
        title=title,
        forum=forum,
        jurisdiction=jurisdiction,
        note=note,
        by=ctx.actor_id,
        now=ctx.now,
        rng=ctx.rng,
    )
    ctx.subject = opened.code
    lessons = feedback.similar(ctx.session, viewer(ctx), tool=tool, forum=forum)
    return Reply(
        _(
            "Opened: {code}, {tool}. Only its team sees it; outside of private chats say nothing but its code.",
            code=opened.code,
            tool=tool_name(ctx, tool),
        ),
        *([_("Others have been there before; this is what they learned.")] if lessons else []),
        actions=[
            Button(_("Choose how often I ask how it goes"), Call("case cadence", {"case": opened.code})),
            Button(_("Invite somebody"), invite.bare(case=opened.code)),
            *(lesson_button(ctx, lesson) for lesson in lessons),
        ],
    )


@case.command("case list", allow=Role.MEMBER)
def list_(ctx: Context, closed: YesOrNo = False) -> Reply:
    """List the cases that you work on.

    closed: Shall I list the closed ones instead?
    """
    mine = book.mine(ctx.session, member=ctx.actor_id, network=ctx.network, closed=closed)
    invited = book.invitations(ctx.session, member=ctx.actor_id, network=ctx.network)
    invitations = [_("You are invited to {code} as {part}.", code=each.case.code, part=_part(each)) for each in invited]
    if not mine and not invited:
        none = _("You have no closed case here.") if closed else _("You have no open case here.")
        return Reply(none, actions=[Button(_("Open a case"), open_.bare())])
    rows = tuple(
        (
            plain(each.case.code),
            plain(each.case.title.text or "—"),
            tool_name(ctx, each.case.tool),
            stage_name(ctx, each.case.tool, each.case.stage),
            _part(each),
        )
        for each in mine
    )
    return Reply(
        *invitations,
        *([Table((_("Case"), _("Called"), _("Tool"), _("Stage"), _("You are")), rows)] if rows else []),
        actions=[
            *(Button(_("Join {code}", code=each.case.code), join.bare(case=each.case.code)) for each in invited),
            *(Button(_("Show {id}", id=each.case.code), show.bare(case=each.case.code), terse=True) for each in mine),
        ],
    )


@case.command(allow=Role.MEMBER, audited=True)
def show(ctx: Context, case: ReadableCase) -> Reply:
    """Show a case to its team, or to counsel.

    case: Which case?
    """
    ctx.subject = case.case.code
    return Reply(
        case_label(case),
        Fields(tuple(_facts(ctx, case))),
        *([Quote(case.case.note.text)] if case.case.note and case.case.note.text else []),
        *_records(ctx, case),
        actions=_steps(case) if case.part is not None and case.case.closed_at is None else [],
    )


@case.command(allow=Role.MEMBER, audited=True)
def team(ctx: Context, case: ReadableCase) -> Reply:
    """Show who works on a case.

    case: Which case?
    """
    ctx.subject = case.case.code
    rows = tuple(
        (plain(seat.member.handle), PARTS[seat.part], _("in the team") if seat.joined else _("invited"))
        for seat in book.team(ctx.session, case.case)
    )
    return Reply(
        Table((_("Handle"), _("Part"), _("State")), rows),
        actions=[Button(_("Invite somebody"), invite.bare(case=case.case.code))] if case.part in book.DECIDES else [],
    )


@case.command(allow=Role.MEMBER, audited=True)
def invite(ctx: Context, case: OwnCase, handle: Colleague, part: PartName = Part.COCOUNSEL) -> Reply:
    """Invite a member of this network into a case's team.

    case: Which case?
    handle: Whom? Their handle, please.
    part: As what: co-counsel, researcher, translator, mentor?
    """
    ctx.subject = case.case.code
    book.invite(ctx.session, case, member=handle, part=part, now=ctx.now)
    code = case.case.code
    ctx.tell(
        handle,
        Reply(
            _(
                "{handle} invites you into the team of a case, {code}: {part}.",
                **_who(ctx),
                code=code,
                part=PARTS[part],
            ),
            _("You see nothing of it before you join, and nobody is told if you do not."),
            actions=[Button(_("Join"), join.bare(case=code)), Button(_("Decline"), decline.bare(case=code))],
        ),
        network=ctx.network,
        key=f"case-invite:{case.case.id}:{handle.id}:{ctx.now.isoformat()}",
        confidential=True,
    )
    return Reply(
        _(
            "Invited: {handle} to {code}, {part}. They see the case once they join.",
            handle=handle.handle,
            code=code,
            part=PARTS[part],
        )
    )


@case.command(allow=Role.MEMBER, audited=True)
def join(ctx: Context, case: Invitation) -> Reply:
    """Join the team of a case into which you are invited.

    case: Which case?
    """
    ctx.subject = case.case.code
    book.answer_invitation(ctx.session, case.case, member=ctx.actor_id, yes=True, now=ctx.now)
    for seat in book.team(ctx.session, case.case):
        if seat.part is Part.LEAD:
            _tell(
                ctx,
                seat.member,
                case.case,
                _("{handle} has joined the team of {code}.", **_who(ctx), code=case.case.code),
            )
    return Reply(
        _("You are in the team of {code}: {part}.", code=case.case.code, part=_part(case)),
        actions=[Button(_("Show {id}", id=case.case.code), show.bare(case=case.case.code))],
    )


@case.command(allow=Role.MEMBER, audited=True)
def decline(ctx: Context, case: Invitation) -> Reply:
    """Say no to an invitation into a case's team.

    case: Which case?
    """
    ctx.subject = case.case.code
    book.answer_invitation(ctx.session, case.case, member=ctx.actor_id, yes=False, now=ctx.now)
    return Reply(_("You are not in the team of {code}.", code=case.case.code))


@case.command(
    "case leave",
    allow=Role.MEMBER,
    audited=True,
    confirm=_("You will not see this case any more; a lead hands it to the team, and without one it closes. Leave it?"),
)
def leave_(ctx: Context, case: ClosedToo) -> Reply:
    """Leave the team of a case.

    case: Which case?
    """
    ctx.subject = case.case.code
    _follow(ctx, [book.leave_team(ctx.session, case, member=ctx.actor_id, now=ctx.now)])
    return Reply(_("You have left the team of {code}.", code=case.case.code))


@case.command(allow=Role.MEMBER, audited=True)
def stage(ctx: Context, case: OwnCase, stage: Stage, note: Words | None = None) -> Reply:
    """Say at which stage a case stands now.

    case: Which case?
    stage: Which stage has it reached?
    note: Is there anything to remember about it? No facts of victims.
    """
    ctx.subject = case.case.code
    advance(ctx, case, stage, note)
    return Reply(
        _("{code} stands at “{stage}” now.", code=case.case.code, stage=stage_name(ctx, case.case.tool, stage)),
        *_checklist(ctx, case),
    )


def advance(ctx: Context, mine: Mine, stage: str, note: str | None = None) -> None:
    """Move a case on, if the stage follows."""
    tool = ctx.library.procedures.tool(mine.case.tool)
    following = {each.id for each in tool.following(mine.case.stage)} if tool else set()
    book.advance(ctx.session, mine, stage=stage, following=following, note=note, by=ctx.actor_id, now=ctx.now)


@case.command(allow=Role.MEMBER, audited=True)
def outcome(ctx: Context, case: OwnCase, outcome: OutcomeId, day: PastDay, where: Words | None = None) -> Reply:
    """Note what came out of a case.

    case: Which case?
    outcome: What came out?
    day: On which day?
    where: Where does its record lie? A pointer, not the record itself.
    """
    ctx.subject = case.case.code
    asks = book.note_outcome(
        ctx.session,
        case,
        outcome=outcome,
        day=day,
        today=ctx.now.astimezone(ctx.voice.zone).date(),
        place=where,
        by=ctx.actor_id,
        now=ctx.now,
    )
    return Reply(
        _(
            "Noted for {code}: {outcome}, {day}.",
            code=case.case.code,
            outcome=outcome_name(ctx, outcome),
            day=day,
        ),
        *([LEARNED] if asks else []),
        actions=[_tell_others(case.case)] if asks else [],
    )


LEARNED = _("What did you learn that would help the next one? A few minutes of yours save others months.")


@case.command(allow=Role.MEMBER, audited=True)
def note(ctx: Context, case: OwnCase, words: Words) -> Reply:
    """Keep a note with a case, instead of the one before.

    case: Which case?
    words: What should the team remember? No facts of victims.
    """
    ctx.subject = case.case.code
    book.write_note(ctx.session, case, words)
    return Reply(_("Kept with {code}; only its team reads it.", code=case.case.code))


@case.command(allow=Role.MEMBER, audited=True)
def record(ctx: Context, case: OwnCase, where: Words, checksum: Words | None = None) -> Reply:
    """Note where a record of a case lies, and its SHA-256; never the record itself.

    case: Which case?
    where: Where does it lie? A place that its team knows, such as a folder or an archive's number.
    checksum: What is its SHA-256? 64 hexadecimal characters.
    """
    ctx.subject = case.case.code
    made = book.add_record(ctx.session, case, place=where, sha256=checksum, by=ctx.actor_id, now=ctx.now)
    if made.sha256.text:
        return Reply(_("Noted with {code}, with its SHA-256.", code=case.case.code))
    return Reply(
        _("Noted with {code}. With a SHA-256 you could show later that it was not changed.", code=case.case.code)
    )


@case.command(
    allow=Role.MEMBER,
    audited=True,
    confirm=_("Its team can still read it; I ask nothing about it any more, and nothing of it changes. Close it?"),
)
def close(ctx: Context, case: OwnCase) -> Reply:
    """Close a case.

    case: Which case?
    """
    ctx.subject = case.case.code
    asks = book.close(ctx.session, case, by=ctx.actor_id, now=ctx.now)
    checkins.stop(ctx.session, case.case)
    return Reply(
        _("Closed: {code}.", code=case.case.code),
        *([LEARNED] if asks else []),
        actions=[_tell_others(case.case)] if asks else [],
    )


@case.command(allow=Role.COORDINATOR, audited=True)
def counts(ctx: Context) -> Reply:
    """Show how many cases this network has at which stage, and which nobody answers for.

    Counts and codes are all that is shown.
    """
    found = book.counts(ctx.session, ctx.network)
    late = checkins.overdue(ctx.session, ctx.network)
    rows = tuple(
        (tool_name(ctx, each.tool), stage_name(ctx, each.tool, each.stage), few(each.n))
        for each in sorted(found, key=lambda each: (each.tool, -each.n, each.stage))
    )
    return Reply(
        *([Table((_("Tool"), _("Stage"), _("Open cases")), rows)] if rows else [_("No case is open in this network.")]),
        *([_("Nobody answers for: {codes}.", codes=late)] if late else []),
    )


def few(n: int) -> Text:
    """Say a count, or that it is too small to be told."""
    return plain(f"< {FEW}" if 0 < n < FEW else str(n))


# What is said by itself


@case.every(timedelta(hours=1))
def ask_again(ctx: JobContext) -> None:
    """Ask once more, three months after an outcome, what others can learn from it."""
    for each in book.feedback_due(ctx.session, ctx.now):
        for seat in book.team(ctx.session, each):
            if seat.part is Part.LEAD:
                _tell(ctx, seat.member, each, LEARNED, what="feedback", actions=[_tell_others(each)])


@case.every(timedelta(hours=1))
def tidy(ctx: JobContext) -> None:
    """Hand on the cases whose lead is gone without having said so, as after a backup that was restored."""
    _follow(ctx, book.tidy(ctx.session, ctx.now))


@case.leaving
def leave(ctx: Context, who: UUID, lost: Role | None) -> None:
    """Hand on the cases of somebody who goes, or may no longer work on them here."""
    if lost is None:
        _follow(ctx, book.leave(ctx.session, person=who, network=None, now=ctx.now))
    elif members.roles(ctx.session, who, ctx.network) == {Role.GUEST}:
        _follow(ctx, book.leave(ctx.session, person=who, network=ctx.network, now=ctx.now))
    elif lost is Role.MENTOR:
        _follow(ctx, book.leave(ctx.session, person=who, network=ctx.network, part=Part.MENTOR, now=ctx.now))


def _follow(ctx: Post, left: Iterable[Left]) -> None:
    """Tell whoever leads a case now, and the team of one that was closed; ask nothing any more about that."""
    for each in left:
        seats = book.team(ctx.session, each.case)
        checkins.stay_in_team(ctx.session, each.case, seats)
        if each.heir is not None:
            _tell(
                ctx,
                each.heir,
                each.case,
                _("You lead {code} now: its lead has left.", code=each.case.code),
                what="lead",
            )
        if each.closed:
            checkins.stop(ctx.session, each.case)
            closed = _(
                "{code} is closed: its lead has left, and nobody in its team can lead it. You can read it on.",
                code=each.case.code,
            )
            for seat in filter(lambda seat: seat.joined, seats):
                _tell(ctx, seat.member, each.case, closed, what="closed")
        if each.forgotten:
            checkins.forget(ctx.session, each.case, ctx.now)


def _tell(
    ctx: Post, to: Member, of: book.Case, said: Text, *, what: str = "team", actions: Iterable[Button] = ()
) -> None:
    """Tell somebody of a team something about its case, in private and where nobody reads along."""
    ctx.tell(
        to,
        Reply(said, actions=tuple(actions)),
        network=of.network,
        key=f"case-{what}:{of.id}:{to.id}:{ctx.now.isoformat()}",
        confidential=True,
    )


# How it is shown


def _tell_others(of: book.Case) -> Button:
    return Button(_("Tell what you learned"), Call("feedback give", {"case": of.code}))


def _who(ctx: Context) -> dict[str, object]:
    return {"handle": ctx.actor.handle}


def _part(mine: Mine) -> Text:
    return PARTS[mine.part] if mine.part is not None else _("counsel")


def _facts(ctx: Context, mine: Mine) -> Iterator[tuple[Text, Text]]:
    of = mine.case
    yield _("Tool"), tool_name(ctx, of.tool)
    yield _("Forum"), forum_name(ctx, of.forum)
    yield _("Jurisdiction"), plain(place_name(ctx.voice, of.jurisdiction))
    yield _("Stage"), stage_name(ctx, of.tool, of.stage)
    yield from _outcome(ctx, of)
    yield _("You are"), _part(mine)
    if of.closed_at is not None:
        yield _("Closed"), Text("{day}", {"day": local_day(ctx, of.closed_at)})
    elif (rhythm := checkins.rhythm_of(ctx.session, of)) is not None:
        yield _("I ask"), _("{every}, next on {moment}", every=EVERY[rhythm.every], moment=rhythm.next_at)


def _outcome(ctx: Context, of: book.Case) -> Iterator[tuple[Text, Text]]:
    """Name the latest outcome, its day, and where its record lies."""
    noted = [each for each in book.history(ctx.session, of) if each.what is What.OUTCOME]
    if not noted:
        return
    latest = max(noted, key=lambda each: each.at)
    yield _("Outcome"), Text("{outcome}, {day}", {"outcome": outcome_name(ctx, latest.value), "day": latest.day})
    if latest.words is not None and latest.words.text:
        yield _("Its record"), plain(latest.words.text)


def _records(ctx: Context, mine: Mine) -> list[Fields]:
    found = tuple(
        (
            _("Record, {day}", day=local_day(ctx, each.at)),
            plain(" · ".join(filter(None, (each.place.text, each.sha256.text)))),
        )
        for each in book.records(ctx.session, mine.case)
    )
    return [Fields(found)] if found else []


def _steps(mine: Mine) -> list[Button]:
    code = mine.case.code
    steps = [
        Button(_("Check in"), Call("case checkin", {"case": code})),
        Button(_("History"), Call("case history", {"case": code})),
    ]
    if mine.part in book.DECIDES:
        steps += [
            Button(_("Another stage"), stage.bare(case=code)),
            Button(_("Note an outcome"), outcome.bare(case=code)),
            Button(_("Invite somebody"), invite.bare(case=code)),
        ]
    return steps


def _checklist(ctx: Context, mine: Mine) -> list[Text]:
    """Say where the list of stages comes from: steps are usual, not the law."""
    tool = ctx.library.procedures.tool(mine.case.tool)
    return [_("The usual steps, as of {day}; check before relying.", day=tool.as_of)] if tool else []
