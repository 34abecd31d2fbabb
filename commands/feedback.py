"""What was learned from cases: asked answer by answer, released by two people, read by those whom the author chose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, TypeVar
from uuid import UUID

from commands.core import (
    Button,
    Choice,
    Context,
    Feature,
    Fields,
    Kind,
    Quote,
    Reply,
    Shown,
    Table,
    Text,
    Unreadable,
    Words,
    YesOrNo,
    _,
    clean,
    one_of,
    plain,
)
from commands.core.closed import OwnCase, not_yours
from commands.core.kinds import WORDS
from commands.core.lesson import lesson_button, seen_facts, viewer
from commands.core.procedure import (
    FORUM,
    JURISDICTION,
    OUTCOME,
    ForumId,
    OutcomeId,
    ToolId,
    choices,
    forum_name,
    given_tool,
    listed,
    outcome_name,
    place_name,
    stage_name,
    tool_name,
)
from commands.core.reply import Block
from commands.core.strings import SOURCE, Catalogue
from knowledge.guard import names_somebody
from knowledge.library import Stage, Tool
from knowledge.procedures import Named
from storage import cases, members
from storage import feedback as book
from storage.feedback import Again, Answers, Bands, Cost, Duration, Lesson, LessonState, Level, Region
from storage.members import Member, Role

feedback = Feature("feedback", _("What you learned from cases"), confidential=True)
lessons = Feature("lessons", _("What others learned from cases"))

MOST_LISTED = 9
"""Lessons listed at once, and answers offered: as many as there are number keys to react with."""

UNSAID = "-"
"""What stands for an answer that somebody leaves out."""

E = TypeVar("E", bound=StrEnum)

STATES: dict[LessonState, Text] = {
    LessonState.DRAFT: _("a draft"),
    LessonState.OFFERED: _("waits for counsel"),
    LessonState.RELEASED: _("released"),
}
LEVELS: dict[Level, Text] = {
    Level.COORDINATORS: _("only coordinators and counsel"),
    Level.NETWORK: _("my network"),
    Level.HUB: _("the whole Hub"),
    Level.PUBLIC: _("everybody"),
}
DURATIONS: dict[Duration, Text] = {
    Duration.WEEKS: _("less than three months"),
    Duration.MONTHS: _("three to twelve months"),
    Duration.YEARS: _("one to three years"),
    Duration.LONG: _("more than three years"),
    Duration.UNKNOWN: _("hard to say"),
}
COSTS: dict[Cost, Text] = {
    Cost.NOTHING: _("nothing but time"),
    Cost.LITTLE: _("less than 1000 euros"),
    Cost.SOME: _("1000 to 10,000 euros"),
    Cost.MUCH: _("more than 10,000 euros"),
    Cost.UNKNOWN: _("hard to say"),
}
AGAINS: dict[Again, Text] = {
    Again.YES: _("yes"),
    Again.CHANGED: _("yes, in another way"),
    Again.NO: _("no"),
}
ANSWERS: dict[str, Text] = {
    "argument": _("The argument used"),
    "worked": _("What worked"),
    "failed": _("What failed"),
    "differently": _("What to do differently"),
    "duration": _("How long it took"),
    "cost": _("What it cost"),
    "again": _("Would do it again"),
    "level": _("Who may read it"),
    "may_stay": _("Stays after its author"),
    "tool": _("Tool"),
    "forum": _("Forum"),
    "jurisdiction": _("Jurisdiction"),
    "stage": _("Stage"),
    "outcome": _("Outcome"),
}
"""What each answer is called; those that no case fills in come first."""


# What people give


def _reader(find: Callable[[Context, str], Lesson | None]) -> Callable[[Context, str], Lesson]:
    """Read a code; every one that is unknown, or closed to this person here, gets one and the same answer."""

    def read(ctx: Context, typed: str) -> Lesson:
        code = clean(typed)
        found = find(ctx, code)
        if found is not None:
            return found
        if viewer(ctx).private:
            said = Unreadable("There is no lesson with that code that you may see.")
        else:
            said = Unreadable("There is no lesson with that code that may be seen here.")
        raise not_yours(ctx, code, said)

    return read


def _mine(ctx: Context, *states: LessonState) -> list[Lesson]:
    found = book.of_author(ctx.session, author=ctx.actor_id, network=ctx.network)
    return [each for each in found if not states or each.state in states]


def _waiting(ctx: Context) -> list[Lesson]:
    if not ctx.may(Role.COUNSEL):
        return []
    return book.waiting(ctx.session, network=ctx.network, counsel=ctx.actor_id)


def _readable(ctx: Context) -> list[Choice]:
    own = {each.code: each for each in _mine(ctx)} if viewer(ctx).private else {}
    others = [each for each in book.browse(ctx.session, viewer(ctx)) if each.code not in own]
    return [*_suggest(own.values()), *(Choice(each.code, lesson_button(ctx, each).label) for each in others)]


def _suggest(found: Iterable[Lesson]) -> list[Choice]:
    return [
        Choice(each.code, Text("{code}: {state}", {"code": each.code, "state": STATES[each.state]})) for each in found
    ]


def _tool(ctx: Context) -> Tool | None:
    """The tool of which is spoken: named in the call, or that of the case or the lesson in it."""
    lesson = ctx.values.get("lesson")
    of_lesson = lesson.tool if isinstance(lesson, Lesson) else None
    return given_tool(ctx) or (ctx.library.procedures.tool(of_lesson) if of_lesson else None)


def _stages(ctx: Context) -> Sequence[Stage]:
    tool = _tool(ctx)
    every = {stage.id: stage for each in ctx.library.procedures.tools for stage in each.stages}
    return tool.stages if tool else tuple(every.values())


def _usual_first(rows: Iterable[Named], usual: Iterable[str]) -> list[Choice]:
    order = {one: place for place, one in enumerate(usual)}
    return choices(sorted(rows, key=lambda row: order.get(row.id, len(order))))


def _forums(ctx: Context) -> list[Choice]:
    tool = _tool(ctx)
    return _usual_first(ctx.library.procedures.forums, tool.forums if tool else ())


def _outcomes(ctx: Context) -> list[Choice]:
    tool = _tool(ctx)
    return _usual_first(ctx.library.procedures.outcomes, tool.outcomes if tool else ())


def _or_unsaid(kind: Kind[str], suggest: Callable[[Context], list[Choice]]) -> Kind[str]:
    """Let people leave a fact out: it is then the empty text."""

    def suggested(ctx: Context, _typed: str) -> list[Choice]:
        found = suggest(ctx)
        unsaid = Choice(UNSAID, _("I leave that out"))
        return [*found[: MOST_LISTED - 1], unsaid, *found[MOST_LISTED - 1 :]]

    return replace(
        kind,
        read=lambda ctx, typed: "" if clean(typed) == UNSAID else kind.read(ctx, typed),
        show=lambda fact: fact or UNSAID,
        suggest=suggested,
    )


def _word(name: Text, words: Mapping[E, Text]) -> Kind[E]:
    kind = one_of(name, {word.value: said for word, said in words.items()})
    of = {word.value: word for word in words}
    return Kind(
        name=name,
        read=lambda ctx, typed: of[kind.read(ctx, typed)],
        show=lambda word: word.value,
        suggest=kind.suggest,
        choices=kind.choices,
        example=kind.example,
    )


STAGE: Kind[str] = Kind(
    name=_("a stage"), read=lambda ctx, typed: listed(ctx, typed, _stages(ctx)), show=str, example="filed"
)
LESSON: Kind[Lesson] = Kind(
    name=_("one of your lessons"),
    read=_reader(
        lambda ctx, code: book.own(ctx.session, code, author=ctx.actor_id, network=ctx.network),
    ),
    show=lambda lesson: lesson.code,
    suggest=lambda ctx, _typed: _suggest(_mine(ctx)),
    nothing=_("You have not told anything about a case here yet."),
    example="L-7K3FQ",
)
Forum = Annotated[str, _or_unsaid(FORUM, _forums)]
Outcome = Annotated[str, _or_unsaid(OUTCOME, _outcomes)]
Jurisdiction = Annotated[str, _or_unsaid(JURISDICTION, lambda _ctx: [])]
StageId = Annotated[str, _or_unsaid(STAGE, lambda ctx: choices(_stages(ctx)))]
# Read as any words are, so that a command said in between is taken for one.
Prose = Annotated[
    str,
    replace(
        WORDS,
        suggest=lambda _ctx, _typed: [Choice(UNSAID, _("nothing to say"))],
        example="a summary of the evidence in the prosecutor's own language",
    ),
]
HowLong = Annotated[Duration, _word(_("a length of time"), DURATIONS)]
HowMuch = Annotated[Cost, _word(_("an amount"), COSTS)]
OnceMore = Annotated[Again, _word(_("yes or no"), AGAINS)]
Readers = Annotated[Level, _word(_("who may read it"), LEVELS)]
Answer = Annotated[str, one_of(_("one of the answers"), ANSWERS, example="worked")]
OwnLesson = Annotated[Lesson, LESSON]
_TO_RELEASE = _reader(
    lambda ctx, code: book.to_release(
        ctx.session, code, member=ctx.actor_id, network=ctx.network, counsel=ctx.may(Role.COUNSEL)
    )
)
LessonToRelease = Annotated[
    Lesson,
    replace(
        LESSON,
        name=_("a lesson to release"),
        read=_TO_RELEASE,
        suggest=lambda ctx, _typed: _suggest([*_mine(ctx, LessonState.DRAFT), *_waiting(ctx)]),
        nothing=_("There is nothing to release."),
    ),
]
OfferedLesson = Annotated[
    Lesson,
    replace(
        LESSON,
        name=_("a lesson that waits for counsel"),
        read=_TO_RELEASE,
        suggest=lambda ctx, _typed: _suggest(_waiting(ctx)),
        nothing=_("Nothing waits for you."),
    ),
]
VisibleLesson = Annotated[
    Lesson,
    replace(
        LESSON,
        name=_("a lesson"),
        read=_reader(lambda ctx, code: book.visible(ctx.session, code, viewer(ctx))),
        suggest=lambda ctx, _typed: _readable(ctx),
        nothing=_("There is no lesson yet that you may see here."),
    ),
]


# Authors


@feedback.command(allow=Role.MEMBER)
def give(
    ctx: Context,
    case: OwnCase | None = None,
    lesson: OwnLesson | None = None,
    tool: ToolId | None = None,
    forum: Forum | None = None,
    jurisdiction: Jurisdiction | None = None,
    stage: StageId | None = None,
    outcome: Outcome | None = None,
    argument: Prose | None = None,
    worked: Prose | None = None,
    failed: Prose | None = None,
    differently: Prose | None = None,
    duration: HowLong | None = None,
    cost: HowMuch | None = None,
    again: OnceMore | None = None,
    level: Readers | None = None,
    may_stay: YesOrNo | None = None,
) -> Reply:
    """Tell what others can learn from a case; every answer is kept as you give it.

    case: Which case do you tell of?
    lesson: Which lesson do you go on with, or change?
    tool: Which legal tool was used?
    forum: Before whom was it brought?
    jurisdiction: In which jurisdiction was it? A country, or a code such as DE or ECHR.
    stage: Which stage has it reached?
    outcome: What came of it?
    argument: Which argument or approach did you use? Name nobody, please.
    worked: What worked?
    failed: What failed, or cost you time?
    differently: What would you do differently?
    duration: How long did it take?
    cost: What did it cost, all in all?
    again: Would you do it again?
    level: Who may read it, once you and counsel have released it?
    may_stay: If you ever leave the Hub, may it stay without your name?
    """
    found = lesson or book.resume(
        ctx.session, author=ctx.actor_id, network=ctx.network, case=case.case if case else None, tool=tool
    )
    if found is None and not ctx.values:
        known = cases.mine(ctx.session, member=ctx.actor_id, network=ctx.network)
        if known:
            return _which_case(ctx, known)
    draft = found or book.begin(
        ctx.session,
        author=ctx.actor_id,
        network=ctx.network,
        case=case.case if case else None,
        now=ctx.now,
        rng=ctx.rng,
    )
    answers = Answers(
        tool=tool,
        forum=forum,
        jurisdiction=jurisdiction,
        stage=stage,
        outcome=outcome,
        argument=_said(argument),
        worked=_said(worked),
        failed=_said(failed),
        differently=_said(differently),
        duration=duration,
        cost=cost,
        again=again,
        level=level,
        may_stay=may_stay,
    )
    said: list[Text] = []
    if found is None:
        said = [_("This will be {code}. {give} goes on with it at any time.", code=draft.code, give=give.bare())]
    elif answers == Answers():
        said = [_("We go on with {code}.", code=draft.code)]
    if book.fill(ctx.session, draft, answers, ctx.now):
        said = [_("{code} is a draft again, and nobody else sees it until it is released anew.", code=draft.code)]
    lacking = book.missing(draft)
    return _ask(ctx, draft, lacking, *said) if lacking else _summary(ctx, draft, *said)


def _said(words: str | None) -> str | None:
    return "" if words == UNSAID else words


def _which_case(ctx: Context, known: Sequence[cases.Mine]) -> Reply:
    tool = ctx.library.procedures.tools_for(ctx.network)[0]
    return Reply(
        _("From which case did you learn something?"),
        _("For one that is not in the Hub name its legal tool, for example: {give}", give=give.bare(tool=tool.id)),
        actions=[Button(plain(each.case.code), give.bare(case=each.case.code)) for each in known[:MOST_LISTED]],
    )


def _ask(ctx: Context, lesson: Lesson, answer: str, *said: Block) -> Reply:
    """Ask for one answer: what it suggests may depend on the lesson."""
    ctx.values = {"lesson": lesson}
    ctx.asks = (give.bare(lesson=lesson.code), answer)
    return Reply(*said)


@feedback.command(allow=Role.MEMBER)
def change(ctx: Context, lesson: OwnLesson, answer: Answer) -> Reply:
    """Change one answer of what you told; what was released is then a draft again.

    lesson: Which lesson do you want to change?
    answer: Which answer? Also tool, forum, jurisdiction, stage or outcome.
    """
    return _ask(ctx, lesson, answer)


@feedback.command()
def mine(ctx: Context) -> Reply:
    """List what you told, and where it stands."""
    found = _mine(ctx)
    if not found:
        return Reply(
            _("You have not told anything about a case here yet."), actions=[Button(_("Tell something"), give.bare())]
        )
    rows = tuple(
        (
            plain(each.code),
            tool_name(ctx, each.tool) if each.tool else plain("—"),
            STATES[each.state],
            LEVELS[each.level] if each.level else plain("—"),
        )
        for each in found
    )
    return Reply(
        Table((_("Lesson"), _("Tool"), _("State"), _("Who may read it")), rows),
        actions=[
            Button(_("Go on with {code}", code=each.code), give.bare(lesson=each.code), terse=True)
            if book.missing(each)
            else Button(_("Show {id}", id=each.code), show.bare(lesson=each.code), terse=True)
            for each in found[:MOST_LISTED]
        ],
    )


@feedback.command(allow=Role.MEMBER, audited=True)
def release(ctx: Context, lesson: LessonToRelease, agree: YesOrNo | None = None) -> Reply:
    """Release what you told, or as counsel what waits; first you see what others will see.

    lesson: Which lesson?
    agree: Shall exactly this be released?
    """
    ctx.subject = lesson.code
    if lesson.author_id == ctx.actor_id and lesson.state is LessonState.DRAFT:
        return _release_as_author(ctx, lesson, agree)
    return _release_as_counsel(ctx, lesson, agree)


def _release_as_author(ctx: Context, lesson: Lesson, agree: bool | None) -> Reply:
    lacking = book.missing(lesson)
    if lacking is not None:
        return _ask(ctx, lesson, lacking, _("{code} is not finished yet.", code=lesson.code))
    if agree is False:
        return Reply(_("It stays a draft."), actions=_steps(lesson))
    region = _region(ctx, lesson)
    if agree and book.offer(ctx.session, lesson, region, ctx.now):
        told = _tell_counsel(ctx, lesson)
        return Reply(
            _("{code} waits for counsel now. I will tell you what they say.", code=lesson.code),
            *([] if told else [_("This network has no counsel yet who could release it; ask your coordinator.")]),
        )
    if book.freeze(ctx.session, lesson, region).held and lesson.level is not Level.COORDINATORS:
        return _held_back(lesson)
    ctx.asks = (release.bare(lesson=lesson.code), "agree")
    return Reply(
        _("Who may read it: {readers}. They see this, and nothing else of your case:", readers=_readers(lesson)),
        *_as_others_see(ctx, lesson),
        *_places_named(ctx, lesson),
        *_goes_anyhow(lesson),
    )


def _release_as_counsel(ctx: Context, lesson: Lesson, agree: bool | None) -> Reply:
    book.check_counsel(ctx.session, lesson, ctx.actor_id)
    back = Button(_("Return it to its author"), return_.bare(lesson=lesson.code))
    if agree is False:
        return Reply(_("It still waits for counsel."), actions=[back])
    if agree:
        book.release(
            ctx.session,
            lesson,
            by=ctx.actor_id,
            region=_region(ctx, lesson),
            tokens=ctx.library.tokens(_findable(ctx, lesson)),
            names_nobody=not _names_somebody(lesson),
            now=ctx.now,
        )
        _tell_author(ctx, lesson, _("{code} is released. Thank you.", code=lesson.code), what="released")
        return Reply(_("Released: {code}. Its author has been told.", code=lesson.code))
    book.check_words(ctx.session, lesson)
    ctx.asks = (release.bare(lesson=lesson.code), "agree")
    return Reply(
        _("Who may read it: {readers}. They will see this:", readers=_readers(lesson)),
        *_as_others_see(ctx, lesson),
        *_goes_anyhow(lesson),
        _(
            "Say yes only if it names nobody, and nothing in it tells whose case it was. Otherwise: {back}",
            back=return_.bare(lesson=lesson.code),
        ),
    )


@feedback.command("feedback return", allow=Role.COUNSEL, audited=True)
def return_(ctx: Context, lesson: OfferedLesson, words: Words) -> Reply:
    """Return a lesson to its author, as counsel, and say what should change.

    lesson: Which lesson?
    words: What should its author change?
    """
    ctx.subject = lesson.code
    book.give_back(ctx.session, lesson, by=ctx.actor_id, note=words, now=ctx.now)
    _tell_author(
        ctx,
        lesson,
        _("Counsel asks you to change something in {code} before it is released.", code=lesson.code),
        what="returned",
        actions=[Button(_("Show {id}", id=lesson.code), show.bare(lesson=lesson.code))],
    )
    return Reply(_("Returned: {code}. Its author has been told.", code=lesson.code))


@feedback.command(allow=Role.COUNSEL)
def waiting(ctx: Context) -> Reply:
    """List the lessons that wait for you as counsel."""
    found = _waiting(ctx)
    if not found:
        return Reply(_("Nothing waits for you."))
    return Reply(
        _("These wait for counsel, the longest first:"),
        actions=[Button(plain(each.code), release.bare(lesson=each.code), terse=True) for each in found[:MOST_LISTED]],
    )


@feedback.command(
    audited=True,
    confirm=_("It goes for good, from every list, every look-up and every backup. Withdraw it?"),
)
def withdraw(ctx: Context, lesson: OwnLesson) -> Reply:
    """Withdraw what you told, wherever it stands.

    lesson: Which lesson?
    """
    ctx.subject = lesson.code
    for each in book.withdraw(ctx.session, lesson, ctx.now):
        ctx.tell(
            each,
            Reply(_("{code}, a lesson that you saved, was withdrawn. Please use it no more.", code=lesson.code)),
            network=ctx.network,
            key=f"lesson-withdrawn:{lesson.id}:{each.id}",
            confidential=True,
        )
    return Reply(_("Withdrawn: {code}. Nobody can read it any more.", code=lesson.code))


@feedback.command(allow=Role.MEMBER)
def save(ctx: Context, lesson: VisibleLesson, keep: YesOrNo = True) -> Reply:
    """Save a lesson, to find it again; if it is withdrawn I tell you.

    lesson: Which lesson?
    keep: Shall I keep it for you? With “no” I forget that you saved it.
    """
    book.save(ctx.session, lesson, member=ctx.actor_id, keep=keep)
    if not keep:
        return Reply(_("{code} is no longer among those you saved.", code=lesson.code))
    return Reply(_("Saved: {code}. {saved} lists what you saved.", code=lesson.code, saved=saved.bare()))


@feedback.command(allow=Role.MEMBER)
def saved(ctx: Context) -> Reply:
    """List the lessons that you saved."""
    found = book.saved(ctx.session, viewer(ctx))
    if not found:
        return Reply(_("You have saved no lesson that you may still read."))
    return Reply(_("You saved:"), actions=[lesson_button(ctx, each) for each in found[:MOST_LISTED]])


@feedback.leaving
def leave(ctx: Context, who: UUID, lost: Role | None) -> None:
    """Withdraw the unreleased words of somebody who is nothing but a guest here any more."""
    if lost is not None and members.roles(ctx.session, who, ctx.network) == {Role.GUEST}:
        book.leave(ctx.session, person=who, network=ctx.network, now=ctx.now)


# Readers


@lessons.command("feedback browse", shown=Shown.ROOM)
def browse(
    ctx: Context, tool: ToolId | None = None, forum: ForumId | None = None, outcome: OutcomeId | None = None
) -> Reply:
    """List what others learned from cases, the latest first.

    tool: Only with one legal tool?
    forum: Only before one forum?
    outcome: Only with one outcome?
    """
    found = book.browse(ctx.session, viewer(ctx), tool=tool, forum=forum, outcome=outcome, limit=MOST_LISTED + 1)
    if not found:
        return Reply(_("There is no lesson like that yet that you may see here."))
    more = [_("There are more: narrow them down with {example}.", example=browse.bare(tool=found[0].tool or ""))]
    return Reply(
        _("Learned from cases, the latest first:"),
        *(more if len(found) > MOST_LISTED else []),
        actions=[lesson_button(ctx, each) for each in found[:MOST_LISTED]],
    )


@lessons.command("feedback show", shown=Shown.ROOM)
def show(ctx: Context, lesson: VisibleLesson) -> Reply:
    """Show what somebody learned from a case.

    lesson: Which lesson?
    """
    if lesson.author_id == ctx.actor_id and viewer(ctx).private:
        return _summary(ctx, lesson)
    released = {"day": lesson.released_at.date()} if lesson.released_at else {}
    return Reply(
        _("Learned from a case: {code}, {day}", code=lesson.code, **released),
        *_as_others_see(ctx, lesson),
        actions=[Button(_("Save it"), save.bare(lesson=lesson.code))] if viewer(ctx).private else [],
    )


# How it is shown


def _as_others_see(ctx: Context, lesson: Lesson) -> list[Block]:
    """What others see, now or once it is released: one and the same for the preview and for them."""
    facts, bands = tuple(seen_facts(ctx, lesson)), tuple(_bands(lesson.seen.bands))
    return [
        Fields(facts) if facts else _("Its facts are held back: fewer than three cases share them."),
        *_quoted(lesson),
        *([Fields(bands)] if bands else []),
        *([_HELD_BACK] if lesson.seen.bands != lesson.bands else []),
        _("One member's experience, not advice; check before relying."),
    ]


def _summary(ctx: Context, lesson: Lesson, *said: Block) -> Reply:
    """A lesson as its author sees it."""
    facts: list[tuple[Text, Text]] = [
        (ANSWERS["tool"], tool_name(ctx, lesson.tool or "")),
        (ANSWERS["forum"], forum_name(ctx, lesson.forum)),
        (ANSWERS["jurisdiction"], plain(place_name(ctx.voice, lesson.jurisdiction))),
        (ANSWERS["stage"], stage_name(ctx, lesson.tool or "", lesson.stage)),
        (ANSWERS["outcome"], outcome_name(ctx, lesson.outcome)),
        *_bands(lesson.bands),
        (ANSWERS["level"], LEVELS[lesson.level] if lesson.level else plain("—")),
        (ANSWERS["may_stay"], _stays(lesson)),
    ]
    seen = [fact for _name, fact in seen_facts(ctx, lesson)]
    asked: list[Block] = []
    if lesson.note and lesson.note.text:
        asked = [_("Counsel asks you to change something:"), Quote(lesson.note.text)]
    return Reply(
        *said,
        Text("{code}: {state}", {"code": lesson.code, "state": STATES[lesson.state]}),
        *asked,
        Fields(tuple(facts)),
        *_quoted(lesson),
        *([_("Of its facts others see: {facts}.", facts=seen)] if seen else []),
        actions=_steps(lesson),
    )


def _steps(lesson: Lesson) -> list[Button]:
    """What its author can do with a lesson."""
    draft = lesson.state is LessonState.DRAFT
    return [
        *([Button(_("See what others would see, and release it"), release.bare(lesson=lesson.code))] if draft else []),
        Button(_("Change an answer"), change.bare(lesson=lesson.code)),
        Button(_("Withdraw it"), withdraw.bare(lesson=lesson.code)),
    ]


def _quoted(lesson: Lesson) -> Iterator[Block]:
    for name, words in lesson.words.items():
        yield ANSWERS[name]
        yield Quote(words)


def _bands(bands: Bands) -> Iterator[tuple[Text, Text]]:
    if bands.duration:
        yield ANSWERS["duration"], DURATIONS[bands.duration]
    if bands.cost:
        yield ANSWERS["cost"], COSTS[bands.cost]
    if bands.again:
        yield ANSWERS["again"], AGAINS[bands.again]


_HELD_BACK = _(
    "How long it took, what it cost and whether its author would do it again are shown only as far as "
    "three members told the same of such cases."
)


def _readers(lesson: Lesson) -> Text:
    """Who may read it, in words that are true for whoever reads them; `LEVELS` are the author's own."""
    if lesson.level is Level.NETWORK:
        return _("this network")
    return LEVELS[lesson.level] if lesson.level else plain("—")


def _held_back(lesson: Lesson) -> Reply:
    return Reply(
        _(
            "{code} cannot be released like this yet: fewer than three people of the Hub lead cases with this tool, "
            "so that it would tell whose it is. You can wait, or show it to coordinators and counsel only.",
            code=lesson.code,
        ),
        actions=[
            Button(_("Only coordinators and counsel"), give.bare(lesson=lesson.code, level=Level.COORDINATORS.value)),
            Button(_("Change an answer"), change.bare(lesson=lesson.code)),
        ],
    )


def _places_named(ctx: Context, lesson: Lesson) -> Iterator[Text]:
    """Warn whoever names in words the place that the facts leave out."""
    place = lesson.jurisdiction
    if place and lesson.seen_place != place and place in ctx.library.places("\n".join(lesson.words.values())):
        yield _(
            "Mind that your words name {place}, which these facts leave out because too few cases share it. "
            "If that tells too much, say no and change your words.",
            place=place_name(ctx.voice, place),
        )


def _names_somebody(lesson: Lesson) -> bool:
    """Tell whether its words name a person who is not known to all, as far as the guard's rules know names."""
    return names_somebody("\n".join(lesson.words.values()))


def _goes_anyhow(lesson: Lesson) -> Iterator[Text]:
    """Tell whoever releases a lesson that it will not outlive its author although they chose so."""
    if lesson.may_stay and _names_somebody(lesson):
        yield _("Its words name a person: it can be released, but it goes when its author goes.")


def _stays(lesson: Lesson) -> Text:
    if not lesson.may_stay:
        return _("no")
    return _("no, because its words name a person") if _names_somebody(lesson) else _("yes")


def _findable(ctx: Context, lesson: Lesson) -> str:
    """What a lesson is found by: its words, and its facts as others see them, in English."""
    english = replace(ctx.voice, catalogue=Catalogue(SOURCE, {}))
    facts = [english.say(fact) for _name, fact in seen_facts(ctx, lesson, english)]
    return "\n".join([*lesson.words.values(), *facts])


def _region(ctx: Context, lesson: Lesson) -> Region | None:
    found = ctx.library.procedures.region(lesson.jurisdiction) if lesson.jurisdiction else None
    return Region(found.id, found.jurisdictions) if found else None


# Who is told


def _tell_counsel(ctx: Context, lesson: Lesson) -> bool:
    """Tell every counsel who may decide that a lesson waits; False if there is nobody."""
    told = False
    for member, roles in members.everyone(ctx.session, lesson.network):
        interest = lesson.case_id is not None and cases.has_interest(ctx.session, lesson.case_id, member.id)
        if Role.COUNSEL not in roles or member.id == lesson.author_id or interest:
            continue
        told = True
        ctx.tell(
            member,
            Reply(
                _("A lesson waits for counsel: {code}.", code=lesson.code),
                actions=[Button(_("Look at it"), release.bare(lesson=lesson.code))],
            ),
            network=lesson.network,
            key=f"lesson-waits:{lesson.id}:{member.id}:{ctx.now.isoformat()}",
            confidential=True,
        )
    return told


def _tell_author(ctx: Context, lesson: Lesson, said: Text, *, what: str, actions: Sequence[Button] = ()) -> None:
    author = ctx.session.get(Member, lesson.author_id) if lesson.author_id else None
    if author is not None:
        ctx.tell(
            author,
            Reply(said, actions=actions),
            network=lesson.network,
            key=f"lesson-{what}:{lesson.id}:{ctx.now.isoformat()}",
            confidential=True,
        )
