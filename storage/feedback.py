"""What was learned from cases: lessons, who may read them, and how little of their facts others see.

A lesson is its author's alone until the author and then counsel have released it. Its words are sealed under a key of
its own, so that withdrawing it reaches every copy. Of its facts others see only a combination that at least three cases
of the Hub share, led by at least three people: what fewer share is made more general, or held back. How long it took,
what it cost and whether they would do it again no case tells: of that others see what three members told of cases that
share the facts. What is seen is frozen when the author says yes.

Released lessons are found by words, and yet no word of them is kept in clear: the index holds blinded tokens.
"""

import random
import re
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any, ClassVar, Final, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Index, and_, delete, exists, func, insert, or_, select
from sqlmodel import Field, col

from storage import cases, codes, handles, members, privacy
from storage.cases import Case, Part, Teammate
from storage.members import Member, Role
from storage.refused import Line, Refused
from storage.sealed import ring
from storage.store import Session, execute, write
from storage.table import UTC, Erasure, Privacy, Sealed, Table, core, new_id, one_of, sealed

THREE: Final = 3
"""Fewer cases, or people, than this could be told apart by the facts that they share."""

LONGEST_ANSWER: Final = 1200
"""Characters of each answer in words: a lesson is read in a minute, or not at all."""

_LEAD_ALL: Final = frozenset({Role.COORDINATOR, Role.ADMIN, Role.COUNSEL})


class LessonState(StrEnum):
    """Where a lesson stands. Only its author sees a DRAFT; counsel see what is OFFERED; then it is RELEASED."""

    DRAFT = "draft"
    OFFERED = "offered"
    RELEASED = "released"


class Level(StrEnum):
    """Who may read a released lesson, as its author chose."""

    COORDINATORS = "coordinators"
    NETWORK = "network"
    HUB = "hub"
    PUBLIC = "public"


class Duration(StrEnum):
    """How long it took."""

    WEEKS = "weeks"
    MONTHS = "months"
    YEARS = "years"
    LONG = "long"
    UNKNOWN = "unknown"


class Cost(StrEnum):
    """What it cost."""

    NOTHING = "nothing"
    LITTLE = "little"
    SOME = "some"
    MUCH = "much"
    UNKNOWN = "unknown"


class Again(StrEnum):
    """Whether the author would do it again."""

    YES = "yes"
    CHANGED = "changed"
    NO = "no"


class Lesson(Table, table=True):
    """What somebody learned from a case.

    Attributes:
        code: such as "L-7K3FQ".
        network: where it was written, and whose counsel release it.
        case_id: the case it comes from, if it is one of the Hub's; never shown.
        author_id: who wrote it; None once they are gone and chose that it stays.
        tool, forum, jurisdiction, stage, outcome: ids of `knowledge/procedures`; empty: they do not say; None: they
            were not asked yet. So it is with every answer.
        argument, worked, failed, differently: the words; empty: nothing to say.
        level: who may read it.
        may_stay: whether it may outlive its author here.
        stays: whether it will: it is released, and names nobody.
        note: what counsel said when returning it.
        idle_since: when its author last wrote, while it is a draft.
        held: whether others see no facts at all; None: they were not chosen yet.
        seen_forum, seen_place, seen_stage, seen_outcome: the facts that others see beside the tool, unless it is held;
            the place is a jurisdiction or a region.
        seen_duration, seen_cost, seen_again: what others see of these.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="What you learned from cases, encrypted. Drafts go after a year in which you did not touch them; what is "
        "released stays until you withdraw it, and after you only if you chose so.",
        whose=("author_id",),
        kept=timedelta(days=365),
        since="idle_since",
        erase=Erasure.DELETE,
        stays="stays",
        blank=("author_id",),
        own_key="id",
    )
    __table_args__ = (
        Index("ix_lesson_browsed", "state", "tool", "released_at"),
        Index("ix_lesson_waiting", "network", "state"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    code: str = Field(unique=True, max_length=16)
    network: str = Field(max_length=32)
    case_id: UUID | None = Field(default=None, foreign_key="case.id", ondelete="SET NULL", index=True)
    author_id: UUID | None = Field(default=None, index=True)
    state: LessonState = one_of(LessonState, default=LessonState.DRAFT)
    tool: str | None = Field(default=None, max_length=60)
    forum: str | None = Field(default=None, max_length=60)
    jurisdiction: str | None = Field(default=None, max_length=8)
    stage: str | None = Field(default=None, max_length=60)
    outcome: str | None = Field(default=None, max_length=60)
    argument: Sealed | None = sealed("lesson.argument", nullable=True)
    worked: Sealed | None = sealed("lesson.worked", nullable=True)
    failed: Sealed | None = sealed("lesson.failed", nullable=True)
    differently: Sealed | None = sealed("lesson.differently", nullable=True)
    duration: Duration | None = one_of(Duration, nullable=True)
    cost: Cost | None = one_of(Cost, nullable=True)
    again: Again | None = one_of(Again, nullable=True)
    level: Level | None = one_of(Level, nullable=True)
    may_stay: bool | None = None
    stays: bool = False
    note: Sealed | None = sealed("lesson.note", nullable=True)
    started_at: datetime = Field(sa_type=UTC)
    idle_since: datetime | None = Field(default=None, sa_type=UTC)
    offered_at: datetime | None = Field(default=None, sa_type=UTC)
    released_at: datetime | None = Field(default=None, sa_type=UTC)
    held: bool | None = None
    seen_forum: str | None = Field(default=None, max_length=60)
    seen_place: str | None = Field(default=None, max_length=60)
    seen_stage: str | None = Field(default=None, max_length=60)
    seen_outcome: str | None = Field(default=None, max_length=60)
    seen_duration: Duration | None = one_of(Duration, nullable=True)
    seen_cost: Cost | None = one_of(Cost, nullable=True)
    seen_again: Again | None = one_of(Again, nullable=True)

    @property
    def seen(self) -> "Seen":
        """The facts that others see."""
        return Seen(
            self.seen_forum,
            self.seen_place,
            self.seen_stage,
            self.seen_outcome,
            Bands(self.seen_duration, self.seen_cost, self.seen_again),
            held=self.held is not False,
        )

    @property
    def bands(self) -> "Bands":
        """How long it took, what it cost and whether its author would do it again, as they told it."""
        return Bands(self.duration, self.cost, self.again)

    @property
    def words(self) -> dict[str, str]:
        """The answers in words, by their names: those that say something."""
        answers = {name: getattr(self, name) for name in WORDS}
        return {name: answer.text for name, answer in answers.items() if answer and answer.text}

    @property
    def readable(self) -> bool:
        """Whether its key is there: what was withdrawn has none, even if an old backup brought back the row."""
        return all(answer is None or answer.text is not None for answer in (getattr(self, name) for name in WORDS))


class LessonWord(Table, table=True):
    """A token of a released lesson: a fingerprint under the house's key, which tells nobody the word."""

    privacy: ClassVar[Privacy] = Privacy(
        what="By which words released lessons are found, as fingerprints that nobody can read.", erase=Erasure.KEEP
    )

    token: bytes = Field(primary_key=True)
    lesson_id: UUID = Field(foreign_key="lesson.id", ondelete="CASCADE", primary_key=True, index=True)


class SavedLesson(Table, table=True):
    """Somebody wants to find a lesson again; never a copy of it."""

    privacy: ClassVar[Privacy] = Privacy(
        what="Which lessons you saved.",
        whose=("member_id",),
        erase=Erasure.DELETE,
    )

    member_id: UUID = Field(foreign_key="member.id", primary_key=True)
    lesson_id: UUID = Field(foreign_key="lesson.id", ondelete="CASCADE", primary_key=True, index=True)


class Answers(NamedTuple):
    """What somebody tells, in the order in which it is asked; None: not told."""

    tool: str | None = None
    forum: str | None = None
    jurisdiction: str | None = None
    stage: str | None = None
    outcome: str | None = None
    argument: str | None = None
    worked: str | None = None
    failed: str | None = None
    differently: str | None = None
    duration: Duration | None = None
    cost: Cost | None = None
    again: Again | None = None
    level: Level | None = None
    may_stay: bool | None = None


WORDS: Final = ("argument", "worked", "failed", "differently")
"""The answers in words."""


class Region(NamedTuple):
    """A part of the world: its id, and the jurisdictions in it."""

    id: str
    jurisdictions: Collection[str]


class Bands(NamedTuple):
    """What no case tells but lessons do; None: not told, or not seen."""

    duration: Duration | None = None
    cost: Cost | None = None
    again: Again | None = None


class Seen(NamedTuple):
    """The facts that others see beside the tool; held: none at all, not even the tool."""

    forum: str | None = None
    place: str | None = None
    stage: str | None = None
    outcome: str | None = None
    bands: Bands = Bands()
    held: bool = False


class Viewer(NamedTuple):
    """Who wants to read lessons, and where: what is not `private` is read by others, too."""

    member: UUID
    network: str
    roles: frozenset[Role]
    private: bool


class Held(NamedTuple):
    """Which lessons hold which tokens, the latest lessons first, and among how many it was looked."""

    by_token: dict[str, list[UUID]]
    among: int


_word: Final = core(LessonWord)
_lesson: Final = core(Lesson)
_case: Final = core(Case)
_teammate: Final = core(Teammate)


# What others see


def gate(session: Session, lesson: Lesson, region: Region | None) -> Seen:
    """The most of a lesson's facts that at least three cases of three people share, and of its bands likewise.

    A lesson without a case stands for one itself, which its author leads.
    """
    fitting = (seen for seen in _ladder(lesson, region) if _shared(session, lesson, seen, region) >= THREE)
    seen = next(fitting, Seen(held=True))
    return seen if seen.held else seen._replace(bands=_bands(session, lesson, seen, region))


def _ladder(lesson: Lesson, region: Region | None) -> Iterator[Seen]:
    """All facts, then less and less of them: the stage goes first, then the place gets wider, at last the outcome."""
    seen = Seen(lesson.forum or None, lesson.jurisdiction or None, lesson.stage or None, lesson.outcome or None)
    yield seen
    places = [seen.place, region.id if region and seen.place else None, None]
    for outcome in dict.fromkeys((seen.outcome, None)):
        yield from (Seen(seen.forum, place, None, outcome) for place in dict.fromkeys(places))
        yield Seen(outcome=outcome)


def _bands(session: Session, lesson: Lesson, seen: Seen, region: Region | None) -> Bands:
    """The most of what a lesson tells beside its facts that three told alike; what it cost goes first."""
    told = lesson.bands
    less = (
        told,
        told._replace(cost=None),
        told._replace(again=None),
        told._replace(duration=None),
        *(Bands(**{name: getattr(told, name)}) for name in ("again", "duration", "cost")),
    )
    fitting = (bands for bands in less if _told_alike(session, lesson, seen._replace(bands=bands), region) >= THREE)
    return next(fitting, Bands())


def _same(table: FromClause, lesson: Lesson, seen: Seen, region: Region | None) -> list[ColumnElement[bool]]:
    """What rows of a table with facts have in common with what would be seen of a lesson's."""
    same: list[ColumnElement[bool]] = [table.c.tool == (lesson.tool or "")]
    facts = (("forum", seen.forum), ("stage", seen.stage), ("outcome", seen.outcome))
    same += [table.c[name] == fact for name, fact in facts if fact is not None]
    if seen.place is not None:
        among = region.jurisdictions if region and region.id == seen.place else (seen.place,)
        same.append(table.c.jurisdiction.in_(among))
    return same


def _shared(session: Session, lesson: Lesson, seen: Seen, region: Region | None) -> int:
    """How many cases share what would be seen, or how many people lead them, if that is fewer."""
    leads = (_teammate.c.case_id == _case.c.id) & (_teammate.c.part == Part.LEAD) & _teammate.c.joined_at.is_not(None)
    own = lesson.author_id if lesson.case_id is None else None
    known, people, among_them = execute(
        session,
        select(
            func.count(_case.c.id.distinct()),
            func.count(_teammate.c.member_id.distinct()),
            func.count().filter(_teammate.c.member_id == own),
        )
        .select_from(_case.outerjoin(_teammate, leads))
        .where(*_same(_case, lesson, seen, region)),
    ).one()
    return int(min(known + (lesson.case_id is None), people + (own is not None and not among_them)))


def _told_alike(session: Session, lesson: Lesson, seen: Seen, region: Region | None) -> int:
    """How many people told of how many cases, whichever is fewer, what would be seen; the lesson itself counts."""
    alike = [_lesson.c[name] == band for name, band in seen.bands._asdict().items() if band is not None]
    if not alike:
        return 0
    others = execute(
        session,
        select(_lesson.c.author_id, func.coalesce(_lesson.c.case_id, _lesson.c.id))
        .where(*_same(_lesson, lesson, seen, region), *alike, _lesson.c.id != lesson.id)
        .where(_lesson.c.state != LessonState.DRAFT, _lesson.c.author_id.is_not(None))
        .distinct(),
    ).all()
    authors = {lesson.author_id, *(author for author, _case_id in others)}
    told_of = {lesson.case_id or lesson.id, *(case_id for _author, case_id in others)}
    return min(len(authors), len(told_of))


def _still_shared(session: Session, lesson: Lesson, region: Region | None) -> bool:
    """Whether what is frozen may be seen by those whom the author chose."""
    seen = lesson.seen
    if seen.held:
        return lesson.held is True and lesson.level is Level.COORDINATORS
    if _shared(session, lesson, seen, region) < THREE:
        return False
    return seen.bands == Bands() or _told_alike(session, lesson, seen, region) >= THREE


# Questions


def missing(lesson: Lesson) -> str | None:
    """The name of the first answer that a lesson still lacks."""
    return next((name for name in Answers._fields if getattr(lesson, name) is None), None)


def own(session: Session, typed: str, *, author: UUID, network: str) -> Lesson | None:
    """The lesson of this code, if this person wrote it here."""
    return _one(session, typed, _by(author, network))


def of_author(session: Session, *, author: UUID, network: str) -> list[Lesson]:
    """Everything that somebody wrote here, the latest first."""
    found = select(Lesson).where(_by(author, network)).order_by(col(Lesson.started_at).desc(), Lesson.code)
    return _readable(session.scalars(found))


def resume(
    session: Session, *, author: UUID, network: str, case: Case | None = None, tool: str | None = None
) -> Lesson | None:
    """The draft that somebody goes on with: that of a case, or the latest unfinished one.

    Whoever names a tool but no case means a draft that belongs to none.
    """
    drafts = [each for each in of_author(session, author=author, network=network) if each.state is LessonState.DRAFT]
    if case is not None:
        return next((each for each in drafts if each.case_id == case.id), None)
    unfinished = (each for each in drafts if missing(each) and (tool is None or each.case_id is None))
    return max(unfinished, key=lambda each: each.idle_since or each.started_at, default=None)


def to_release(session: Session, typed: str, *, member: UUID, network: str, counsel: bool) -> Lesson | None:
    """The lesson of this code, if it is this person's turn: their own, or as counsel one that is offered here."""
    turn = _by(member, network)
    if counsel:
        turn = or_(turn, and_(col(Lesson.network) == network, col(Lesson.state) == LessonState.OFFERED))
    return _one(session, typed, turn)


def waiting(session: Session, *, network: str, counsel: UUID) -> list[Lesson]:
    """What waits for this counsel, the longest first: nothing that they wrote, or have an interest in."""
    interest = exists().where(col(Teammate.case_id) == col(Lesson.case_id), col(Teammate.member_id) == counsel)
    found = (
        select(Lesson)
        .where(
            col(Lesson.network) == network,
            col(Lesson.state) == LessonState.OFFERED,
            col(Lesson.author_id).is_distinct_from(counsel),
            ~interest,
        )
        .order_by(col(Lesson.offered_at), Lesson.code)
    )
    return _readable(session.scalars(found))


def visible(session: Session, typed: str, viewer: Viewer) -> Lesson | None:
    """The lesson of this code, if it is released to this person; in private also their own."""
    may = _released_to(viewer)
    return _one(session, typed, or_(may, _by(viewer.member, viewer.network)) if viewer.private else may)


def browse(
    session: Session,
    viewer: Viewer,
    *,
    tool: str | None = None,
    forum: str | None = None,
    outcome: str | None = None,
    limit: int = 9,
) -> list[Lesson]:
    """The lessons released to somebody, the latest first; only what they see of them narrows the list."""
    found = select(Lesson).where(_released_to(viewer)).order_by(col(Lesson.released_at).desc(), Lesson.code)
    for column, wanted in ((Lesson.tool, tool), (Lesson.seen_forum, forum), (Lesson.seen_outcome, outcome)):
        if wanted is not None:
            found = found.where(col(column) == wanted, col(Lesson.held).is_(False))
    return _readable(session.scalars(found.limit(limit)))


def similar(session: Session, viewer: Viewer, *, tool: str, forum: str | None = None, limit: int = 3) -> list[Lesson]:
    """The lessons released to somebody that use the same tool: those before the same forum first, then the latest."""
    found = (
        select(Lesson)
        .where(_released_to(viewer), col(Lesson.tool) == tool, col(Lesson.held).is_(False))
        .order_by(
            (func.coalesce(col(Lesson.seen_forum), "") == (forum or "-")).desc(),
            col(Lesson.released_at).desc(),
            Lesson.code,
        )
    )
    return _readable(session.scalars(found.limit(limit)))


def saved(session: Session, viewer: Viewer) -> list[Lesson]:
    """The lessons that somebody saved and may still read."""
    found = (
        select(Lesson)
        .join(SavedLesson, col(SavedLesson.lesson_id) == Lesson.id)
        .where(col(SavedLesson.member_id) == viewer.member, _released_to(viewer))
        .order_by(col(Lesson.released_at).desc(), Lesson.code)
    )
    return _readable(session.scalars(found))


def holding(session: Session, viewer: Viewer, tokens: Collection[str]) -> Held:
    """Which of the lessons released to somebody hold which of these tokens."""
    blinded = {_blinded(token): token for token in tokens}
    released = _released_to(viewer)
    rows = execute(
        session,
        select(_word.c.token, _word.c.lesson_id)
        .join(_lesson, _lesson.c.id == _word.c.lesson_id)
        .where(_word.c.token.in_(blinded), released)
        .order_by(_lesson.c.released_at.desc(), _lesson.c.code),
    ).all()
    by_token: dict[str, list[UUID]] = {}
    for token, lesson_id in rows:
        by_token.setdefault(blinded[bytes(token)], []).append(lesson_id)
    among = select(func.count()).select_from(_lesson).where(released)
    return Held(by_token, (execute(session, among).scalar() or 0) if rows else 0)


def by_ids(session: Session, ids: Iterable[UUID]) -> list[Lesson]:
    """The lessons of these ids, in their order."""
    return _readable(filter(None, (session.get(Lesson, each) for each in ids)))


def week(session: Session, *, network: str, since: datetime, now: datetime) -> tuple[int, int]:
    """How many of a network's lessons were released from `since` to `now`, and how many wait for counsel."""
    released, offered = execute(
        session,
        select(
            func.count().filter(_lesson.c.released_at >= since, _lesson.c.released_at < now),
            func.count().filter(_lesson.c.state == LessonState.OFFERED),
        ).where(_lesson.c.network == network),
    ).one()
    return int(released), int(offered)


def _by(author: UUID, network: str) -> ColumnElement[bool]:
    return and_(col(Lesson.author_id) == author, col(Lesson.network) == network)


def _released_to(viewer: Viewer) -> ColumnElement[bool]:
    """What a person may read where they are: among others, and as a guest, only what is public."""
    everywhere, here = [Level.PUBLIC], []
    if viewer.private and viewer.roles - {Role.GUEST}:
        everywhere.append(Level.HUB)
        here.append(Level.NETWORK)
        if viewer.roles & _LEAD_ALL:
            here.append(Level.COORDINATORS)
    level = col(Lesson.level)
    near = and_(col(Lesson.network) == viewer.network, level.in_(here))
    return and_(col(Lesson.state) == LessonState.RELEASED, or_(level.in_(everywhere), near))


def _one(session: Session, typed: str, may: ColumnElement[bool]) -> Lesson | None:
    """The same question, and None, for every code that is unknown or closed."""
    code = codes.read(typed, "L") or typed
    found = session.scalars(select(Lesson).where(col(Lesson.code) == code, may)).first()
    return found if found is not None and found.readable else None


def _readable(lessons: Iterable[Lesson]) -> list[Lesson]:
    return [each for each in lessons if each.readable]


def _blinded(token: str) -> bytes:
    return ring().blind("lesson", token)[:16]


# Rules


def begin(
    session: Session, *, author: UUID, network: str, case: Case | None = None, now: datetime, rng: random.Random
) -> Lesson:
    """Begin a draft, with the facts that are known of the case."""
    lesson = Lesson(code=_fresh_code(session, rng), network=network, author_id=author, started_at=now, idle_since=now)
    if case is not None:
        lesson.case_id = case.id
        lesson.tool, lesson.forum, lesson.jurisdiction = case.tool, case.forum, case.jurisdiction
        lesson.stage, lesson.outcome = case.stage, case.outcome
    write(session, lesson)
    return lesson


def fill(session: Session, lesson: Lesson, answers: Answers, now: datetime) -> bool:
    """Keep answers. Whoever changes what is offered or released takes it back: it is a draft again.

    Returns:
        Whether it was taken back.

    Raises:
        Refused: an answer in words is too long.
    """
    given: dict[str, Any] = {name: answer for name, answer in answers._asdict().items() if answer is not None}
    if not given:
        return False
    if any(len(given.get(name, "")) > LONGEST_ANSWER for name in WORDS):
        raise Refused("Please keep each answer within {n} characters, so that others read it.", n=LONGEST_ANSWER)
    taken_back = lesson.state is not LessonState.DRAFT
    _to_draft(session, lesson, now)
    if given.get("tool", lesson.tool) != lesson.tool:
        lesson.stage = None  # another tool has other stages
    for name, answer in given.items():
        setattr(lesson, name, Sealed(lesson.id, answer) if name in WORDS else answer)
    session.add(lesson)
    if lesson.case_id is not None and missing(lesson) is None:
        cases.feedback_given(session, lesson.case_id)
    return taken_back


def freeze(session: Session, lesson: Lesson, region: Region | None) -> Seen:
    """Choose what others will see of a draft's facts, for its author to look at.

    Raises:
        Refused: it is not finished, says nothing, or names whom it must not, as `check_words`.
    """
    if missing(lesson) is not None:
        raise Refused("{code} is not finished yet.", code=lesson.code)
    if not lesson.words:
        raise Refused("{code} says nothing yet that others could learn from.", code=lesson.code)
    check_words(session, lesson)
    seen = gate(session, lesson, region)
    lesson.seen_forum, lesson.seen_place, lesson.seen_stage, lesson.seen_outcome, bands, lesson.held = seen
    lesson.seen_duration, lesson.seen_cost, lesson.seen_again = bands
    session.add(lesson)
    return seen


def offer(session: Session, lesson: Lesson, region: Region | None, now: datetime) -> bool:
    """Hand a draft to counsel, as its author saw it.

    Returns:
        False, and nothing is changed, if the author has to look again: by now too few share what was frozen.
    """
    if lesson.state is not LessonState.DRAFT or not _still_shared(session, lesson, region):
        return False
    lesson.state, lesson.offered_at, lesson.idle_since, lesson.note = LessonState.OFFERED, now, None, None
    session.add(lesson)
    return True


def check_words(session: Session, lesson: Lesson) -> None:
    """Let words be released that name no case and no member.

    Raises:
        Refused: they hold the code of a case or of a check-in, or a handle. What looks like either counts: whether
            there is such a one is not told.
    """
    words = "\n".join(lesson.words.values())
    case = session.get(Case, lesson.case_id) if lesson.case_id is not None else None
    # The code of one's own case is noticed without its prefix, too; of others that would tell which codes there are.
    own = case is not None and any(codes.read(word, "C") == case.code for word in _WORD.findall(words))
    if own or codes.named_in(words, ("C", "CI")) or _names_a_handle(session, words, lesson.network):
        step = "feedback change" if lesson.state is LessonState.DRAFT else "feedback return"
        raise Refused(
            "{code} names a member's handle or the code of a case, which would tell whose it is; it can be released "
            "once that is taken out: {line}",
            code=lesson.code,
            line=Line(f"{step} {lesson.code}"),
        )


_WORD: Final = re.compile(r"[^\W_]+")


def _names_a_handle(session: Session, text: str, network: str) -> bool:
    """Whether a text has what any handle looks like, or however it is spelled the handle of somebody in the network."""
    # Two small words side by side may be just that: then it has to be a handle of this network.
    if any(" " not in found[0] or found[0].istitle() for found in handles.WRITTEN.finditer(text)):
        return True
    said = _WORD.findall(text.lower())
    spelled = {*said, *map("-".join, pairwise(said))}
    return any(member.handle in spelled for member, _roles in members.everyone(session, network))


def check_counsel(session: Session, lesson: Lesson, by: UUID) -> None:
    """Let somebody decide about a lesson as counsel.

    Raises:
        Refused: they wrote it, or have an interest in its case; or it does not wait for counsel.
    """
    if lesson.state is LessonState.RELEASED:
        raise Refused("{code} is released already.", code=lesson.code)
    if lesson.state is LessonState.DRAFT:
        raise Refused("{code} does not wait for counsel.", code=lesson.code)
    if lesson.author_id == by:
        raise Refused("{code} waits for counsel; whoever wrote it cannot release it as counsel.", code=lesson.code)
    if lesson.case_id is not None and cases.has_interest(session, lesson.case_id, by):
        raise Refused("You work on the case that {code} comes from: another counsel decides.", code=lesson.code)


def release(
    session: Session,
    lesson: Lesson,
    *,
    by: UUID,
    region: Region | None,
    tokens: Iterable[str],
    names_nobody: bool,
    now: datetime,
) -> None:
    """Release a lesson, as counsel: from now on it is found by these tokens.

    Only what `names_nobody` can outlive its author, if they chose so.

    Raises:
        Refused: as `check_counsel` and `check_words`; or by now too few share what others would see.
    """
    check_counsel(session, lesson, by)
    check_words(session, lesson)
    if not _still_shared(session, lesson, region):
        raise Refused(
            "By now fewer than three people share what others would see. Return it to its author: {line}",
            line=Line(f"feedback return {lesson.code}"),
        )
    lesson.state, lesson.released_at = LessonState.RELEASED, now
    lesson.stays = lesson.may_stay is True and names_nobody
    session.add(lesson)
    rows = [{"token": token, "lesson_id": lesson.id} for token in sorted(map(_blinded, set(tokens)))]
    if rows:
        execute(session, insert(_word), rows)


def give_back(session: Session, lesson: Lesson, *, by: UUID, note: str, now: datetime) -> None:
    """Return a lesson to its author, as counsel, and say why.

    Raises:
        Refused: as `check_counsel`.
    """
    check_counsel(session, lesson, by)
    _to_draft(session, lesson, now)
    lesson.note = Sealed(lesson.id, note)
    session.add(lesson)


def withdraw(session: Session, lesson: Lesson, now: datetime) -> list[Member]:
    """Withdraw a lesson for good, wherever it stands; returns who else had saved it."""
    savers = session.scalars(
        select(Member)
        .join(SavedLesson, col(SavedLesson.member_id) == Member.id)
        .where(col(SavedLesson.lesson_id) == lesson.id, col(Member.id).is_distinct_from(lesson.author_id))
        .order_by(Member.handle)
    ).all()
    privacy.destroy(session, lesson.id, now)
    session.delete(lesson)
    session.flush()
    return list(savers)


def leave(session: Session, *, person: UUID, network: str, now: datetime) -> None:
    """Withdraw what somebody who goes has not released here."""
    for lesson in of_author(session, author=person, network=network):
        if lesson.state is not LessonState.RELEASED:
            withdraw(session, lesson, now)


def save(session: Session, lesson: Lesson, *, member: UUID, keep: bool) -> None:
    """Let somebody find a lesson again, or no longer."""
    kept = session.get(SavedLesson, (member, lesson.id))
    if keep and kept is None:
        write(session, SavedLesson(member_id=member, lesson_id=lesson.id))
    elif kept is not None and not keep:
        session.delete(kept)
        session.flush()


def _to_draft(session: Session, lesson: Lesson, now: datetime) -> None:
    """Let nobody but the author see it, find it, or release it unseen."""
    execute(session, delete(_word).where(_word.c.lesson_id == lesson.id))
    lesson.state, lesson.stays, lesson.idle_since = LessonState.DRAFT, False, now
    lesson.offered_at = lesson.released_at = None
    lesson.seen_forum = lesson.seen_place = lesson.seen_stage = lesson.seen_outcome = lesson.held = None
    lesson.seen_duration = lesson.seen_cost = lesson.seen_again = None
    session.add(lesson)


def _fresh_code(session: Session, rng: random.Random) -> str:
    while True:
        code = codes.draw(rng, "L", 5)
        if execute(session, select(_lesson.c.id).where(_lesson.c.code == code)).first() is None:
            return code
