"""Cases: what they are called, where they stand, who works on them, and where their records lie. No facts of victims.

A case is closed to everybody by default. Its team sees it, the counsel of its network may, and everybody else gets one
and the same answer, whether it exists or not. Its words (what it is called, notes, where records lie) are sealed under
a key of its own; the tool, the forum, the jurisdiction, the stage and the outcome are codes of closed lists, kept in
clear so that they can be counted.

A case that nobody can lead any more is closed, and one that has no team at all is forgotten for good.
"""

import random
import re
from collections.abc import Collection
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Index, bindparam, delete, exists, func, select, text, update
from sqlmodel import Field, col

from storage import codes, members, privacy
from storage.members import Member, Role
from storage.refused import Refused
from storage.store import Session, execute, write
from storage.table import UTC, Erasure, Privacy, Sealed, Table, core, new_id, one_of, sealed

_CODE_LENGTH: Final = 6  # thirty-three million codes
_THREE_YEARS: Final = timedelta(days=3 * 365)
_OPEN: Final = text("closed_at IS NULL")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Part(StrEnum):
    """What somebody does in a team, in the order in which a case is handed on."""

    LEAD = "lead"
    COCOUNSEL = "cocounsel"
    RESEARCHER = "researcher"
    TRANSLATOR = "translator"
    MENTOR = "mentor"


DECIDES: Final = frozenset({Part.LEAD, Part.COCOUNSEL})
"""Who may change a case; the others of its team read along and check in."""

_CAN_LEAD: Final = (Part.COCOUNSEL, Part.RESEARCHER)


class What(StrEnum):
    """What happened to a case."""

    OPENED = "opened"
    STAGE = "stage"
    OUTCOME = "outcome"
    HANDED = "handed"
    CLOSED = "closed"


class Case(Table, table=True):
    """A case.

    Attributes:
        code: such as "C-7K3FQQ"; what is said of a case outside of its team's private rooms is this at most.
        tool, forum, jurisdiction, stage, outcome: ids of `knowledge/procedures`; the outcome is the latest.
        title: the code name that the team gave it.
        note: what the team wants to remember of it.
        opened_by: who opened it, while they are here.
        feedback_asked: how often the team was asked what others can learn from it; twice at most.
        feedback_at: when it is asked again.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="The cases you opened, their words encrypted. They stay with their team without your name.",
        whose=("opened_by",),
        kept=_THREE_YEARS,
        since="closed_at",
        erase=Erasure.BLANK,
        blank=("opened_by",),
        own_key="id",
    )
    __table_args__ = (
        Index("ix_case_counts", "network", "tool", "stage", sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index("ix_case_likeness", "tool", "forum", "jurisdiction", "outcome"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    code: str = Field(unique=True, max_length=16)
    network: str = Field(max_length=32)
    tool: str = Field(max_length=60)
    forum: str | None = Field(default=None, max_length=60)
    jurisdiction: str | None = Field(default=None, max_length=8)
    stage: str = Field(max_length=60)
    outcome: str | None = Field(default=None, max_length=60)
    title: Sealed = sealed("case.title")
    note: Sealed | None = sealed("case.note", nullable=True)
    opened_by: UUID | None = Field(default=None, index=True)
    opened_at: datetime = Field(sa_type=UTC)
    closed_at: datetime | None = Field(default=None, sa_type=UTC)
    feedback_asked: int = 0
    feedback_at: datetime | None = Field(default=None, sa_type=UTC, index=True)


class Teammate(Table, table=True):
    """Somebody in a case's team, or invited into it.

    Attributes:
        part: what they do in it.
        joined_at: when they said yes; None: they have not answered yet, and see nothing of the case.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="The teams of cases that you are in, or invited into.",
        whose=("member_id",),
        erase=Erasure.DELETE,
    )

    case_id: UUID = Field(foreign_key="case.id", ondelete="CASCADE", primary_key=True)
    member_id: UUID = Field(foreign_key="member.id", primary_key=True, index=True)
    part: Part = one_of(Part)
    invited_at: datetime = Field(sa_type=UTC)
    joined_at: datetime | None = Field(default=None, sa_type=UTC)


class CaseEvent(Table, table=True):
    """Something that happened to a case, for its history.

    Attributes:
        value, former: the stage or the outcome, and what it was before.
        day: the day on which it happened, where that is another than the day on which it was said.
        words: a note on it, or where its record lies; the case's key.
        by: who said it, while they are here.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="What you noted in cases: stages, outcomes. It stays with the case without your name.",
        whose=("by",),
        erase=Erasure.BLANK,
        blank=("by",),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", ondelete="CASCADE", index=True)
    what: What = one_of(What)
    value: str | None = Field(default=None, max_length=60)
    former: str | None = Field(default=None, max_length=60)
    day: date
    words: Sealed | None = sealed("case_event.words", nullable=True)
    by: UUID | None = Field(default=None, index=True)
    at: datetime = Field(sa_type=UTC)


class CaseRecord(Table, table=True):
    """Where a record lies, outside of the Hub, and the fingerprint that tells whether it was changed since.

    Attributes:
        place: where, in the team's own words.
        sha256: 64 hexadecimal characters; empty where none was given.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="Where you noted that records of cases lie, encrypted. It stays with the case without your name.",
        whose=("by",),
        erase=Erasure.BLANK,
        blank=("by",),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    case_id: UUID = Field(foreign_key="case.id", ondelete="CASCADE", index=True)
    place: Sealed = sealed("case_record.place")
    sha256: Sealed = sealed("case_record.sha256")
    by: UUID | None = Field(default=None, index=True)
    at: datetime = Field(sa_type=UTC)


class Mine(NamedTuple):
    """A case and what somebody does in its team; None for counsel, who only read it."""

    case: Case
    part: Part | None


class Seat(NamedTuple):
    """Somebody in a team; `joined` is False for whoever has not answered an invitation yet."""

    member: Member
    part: Part
    joined: bool


class Count(NamedTuple):
    """How many open cases of a tool stand at a stage."""

    tool: str
    stage: str
    n: int


class Left(NamedTuple):
    """What became of a case that somebody left.

    Attributes:
        heir: who leads it now instead; None: the lead is who it was, or nobody is left to lead it.
        closed: it was closed, because nobody is left to lead it.
        forgotten: nobody is left at all, and its words are destroyed.
    """

    case: Case
    heir: Member | None = None
    closed: bool = False
    forgotten: bool = False


_case: Final = core(Case)
_mate: Final = core(Teammate)
_MINE: Final = (
    select(Case, col(Teammate.part))
    .join(Teammate, col(Teammate.case_id) == Case.id)
    .where(
        col(Teammate.member_id) == bindparam("member"),
        col(Teammate.joined_at).is_not(None),
        col(Case.network) == bindparam("network"),
    )
)
_ONE_OF_MINE: Final = _MINE.where(col(Case.code) == bindparam("code"))
_COUNTS: Final = (
    select(_case.c.tool, _case.c.stage, func.count())
    .where(_case.c.network == bindparam("network"), _case.c.closed_at.is_(None))
    .group_by(_case.c.tool, _case.c.stage)
)


# Questions


def mine(session: Session, *, member: UUID, network: str, closed: bool = False) -> list[Mine]:
    """The cases in whose team somebody is, the latest first: the open ones, or the closed ones."""
    state = col(Case.closed_at).is_not(None) if closed else col(Case.closed_at).is_(None)
    rows = session.execute(
        _MINE.where(state).order_by(col(Case.opened_at).desc(), Case.code), {"member": member, "network": network}
    )
    return [Mine(case, part) for case, part in rows if case.title.text is not None]


def one_of_mine(session: Session, typed: str, *, member: UUID, network: str) -> Mine | None:
    """The case of this code, if its team has this person; the same question, and None, for all other codes."""
    code = codes.read(typed, "C") or typed
    row = session.execute(_ONE_OF_MINE, {"member": member, "network": network, "code": code}).first()
    return Mine(*row) if row is not None and row[0].title.text is not None else None


def for_counsel(session: Session, typed: str, *, network: str) -> Mine | None:
    """The case of this code in a network, for whoever may read all of them."""
    code = codes.read(typed, "C")
    found = session.scalars(select(Case).where(col(Case.code) == code, col(Case.network) == network)).first()
    return Mine(found, None) if found is not None and found.title.text is not None else None


def invitations(session: Session, *, member: UUID, network: str) -> list[Mine]:
    """The cases into whose team somebody is invited and has not answered yet."""
    rows = session.execute(
        select(Case, col(Teammate.part))
        .join(Teammate, col(Teammate.case_id) == Case.id)
        .where(
            col(Teammate.member_id) == member,
            col(Teammate.joined_at).is_(None),
            col(Case.network) == network,
            col(Case.closed_at).is_(None),
        )
        .order_by(col(Teammate.invited_at), Case.code)
    )
    return [Mine(case, part) for case, part in rows]


def team(session: Session, case: Case) -> list[Seat]:
    """Everybody in a case's team and everybody invited, in the order of what they do."""
    rows = session.execute(
        select(Member, col(Teammate.part), col(Teammate.joined_at))
        .join(Teammate, col(Teammate.member_id) == Member.id)
        .where(col(Teammate.case_id) == case.id)
        .order_by(col(Teammate.invited_at), Member.handle)
    ).all()
    seats = [Seat(member, Part(part), joined is not None) for member, part, joined in rows]
    return sorted(seats, key=lambda seat: list(Part).index(seat.part))


def has_interest(session: Session, case_id: UUID, member: UUID) -> bool:
    """Whether somebody is in a case's team, in whatever part, or invited into it: they decide nothing about it."""
    return session.get(Teammate, (case_id, member)) is not None


def history(session: Session, case: Case) -> list[CaseEvent]:
    """What happened to a case, the earliest first."""
    events = select(CaseEvent).where(col(CaseEvent.case_id) == case.id)
    return list(session.scalars(events.order_by(col(CaseEvent.day), col(CaseEvent.at))))


def records(session: Session, case: Case) -> list[CaseRecord]:
    """Where a case's records lie, the earliest noted first."""
    found = select(CaseRecord).where(col(CaseRecord.case_id) == case.id).order_by(col(CaseRecord.at))
    return list(session.scalars(found))


def counts(session: Session, network: str) -> list[Count]:
    """How many open cases a network has, by tool and stage: nothing that identifies one."""
    return [Count(*row) for row in execute(session, _COUNTS, {"network": network})]


# Rules


def to_change(mine: Mine) -> Case:
    """The case, for somebody who may change it.

    Raises:
        Refused: they read along only, or it is closed.
    """
    if mine.case.closed_at is not None:
        raise Refused("The case {code} is closed.", code=mine.case.code)
    if mine.part not in DECIDES:
        raise Refused("Only the lead and the co-counsel of {code} may do that.", code=mine.case.code)
    return mine.case


def open_case(
    session: Session,
    *,
    network: str,
    tool: str,
    stage: str,
    title: str,
    forum: str | None = None,
    jurisdiction: str | None = None,
    note: str | None = None,
    by: UUID,
    now: datetime,
    rng: random.Random,
) -> Case:
    """Open a case, led by whoever opens it."""
    case_id = new_id()
    case = Case(
        id=case_id,
        code=_fresh_code(session, rng),
        network=network,
        tool=tool,
        forum=forum,
        jurisdiction=jurisdiction,
        stage=stage,
        title=Sealed(case_id, title),
        note=Sealed(case_id, note) if note else None,
        opened_by=by,
        opened_at=now,
    )
    write(session, case)
    write(session, Teammate(case_id=case_id, member_id=by, part=Part.LEAD, invited_at=now, joined_at=now))
    _happened(session, case, What.OPENED, value=stage, by=by, now=now)
    return case


def write_note(session: Session, mine: Mine, note: str) -> None:
    """Put a new note in the place of the one before.

    Raises:
        Refused: this person reads along only, or the case is closed.
    """
    case = to_change(mine)
    case.note = Sealed(case.id, note)
    session.add(case)


def add_record(session: Session, mine: Mine, *, place: str, sha256: str | None, by: UUID, now: datetime) -> CaseRecord:
    """Note where a record lies.

    Raises:
        Refused: it is no SHA-256; or this person reads along only, or the case is closed.
    """
    case = to_change(mine)
    sha256 = (sha256 or "").strip().lower()
    if sha256 and not _SHA256.fullmatch(sha256):
        raise Refused("A SHA-256 has 64 hexadecimal characters.")
    record = CaseRecord(case_id=case.id, place=Sealed(case.id, place), sha256=Sealed(case.id, sha256), by=by, at=now)
    write(session, record)
    return record


def invite(session: Session, mine: Mine, *, member: Member, part: Part, now: datetime) -> Teammate:
    """Invite somebody into a case's team; they see nothing of it before they say yes.

    Raises:
        Refused: they are in it already; there can be one lead; they are no member (or no mentor) of the network; or
            this person reads along only, or the case is closed.
    """
    case = to_change(mine)
    roles = members.roles(session, member.id, case.network)
    if roles == {Role.GUEST}:
        raise Refused("I know no member by that handle in this network.")
    if part is Part.LEAD:
        raise Refused("A case has one lead. Invite them as co-counsel.")
    if part is Part.MENTOR and Role.MENTOR not in roles:
        raise Refused("{handle} is no mentor here.", handle=member.handle)
    if session.get(Teammate, (case.id, member.id)) is not None:
        raise Refused("{handle} is in the team already, or invited.", handle=member.handle)
    mate = Teammate(case_id=case.id, member_id=member.id, part=part, invited_at=now)
    write(session, mate)
    return mate


def answer_invitation(session: Session, case: Case, *, member: UUID, yes: bool, now: datetime) -> None:
    """Join a team, or say no to it.

    Raises:
        Refused: there is no such invitation any more.
    """
    mate = session.get(Teammate, (case.id, member))
    if mate is None or mate.joined_at is not None or case.closed_at is not None:
        raise Refused("There is no invitation like that any more.")
    if yes:
        mate.joined_at = now
        session.add(mate)
    else:
        session.delete(mate)
    session.flush()


def advance(
    session: Session,
    mine: Mine,
    *,
    stage: str,
    following: Collection[str],
    note: str | None = None,
    by: UUID,
    now: datetime,
) -> None:
    """Move a case to another stage: one that follows its present one, or back to the one before, to mend a mistake.

    Raises:
        Refused: it stands there already, or the stage does not follow; or this person reads along only, or the case is
            closed.
    """
    case = to_change(mine)
    if stage == case.stage:
        raise Refused("The case {code} stands at that stage already.", code=case.code)
    if stage not in following and stage != stage_before(session, case):
        raise Refused("That stage does not follow the present one of {code}.", code=case.code)
    former, case.stage = case.stage, stage
    session.add(case)
    _happened(session, case, What.STAGE, value=stage, former=former, words=note, by=by, now=now)


def stage_before(session: Session, case: Case) -> str | None:
    """The stage at which a case stood before the present one."""
    moved = select(CaseEvent).where(col(CaseEvent.case_id) == case.id, col(CaseEvent.what) == What.STAGE)
    latest = session.scalars(moved.order_by(col(CaseEvent.at).desc())).first()
    return latest.former if latest is not None and latest.value == case.stage else None


ASK_AGAIN_AFTER: Final = timedelta(days=91)
"""How long after an outcome the team is asked once more for feedback."""

MOST_FEEDBACK_ASKED: Final = 2


def note_outcome(
    session: Session, mine: Mine, *, outcome: str, day: date, today: date, place: str | None, by: UUID, now: datetime
) -> bool:
    """Note what came out of a case, and on which day.

    Args:
        session: the running transaction.
        mine: the case, of the person who notes it.
        outcome: an id of `knowledge/procedures`.
        day: on which day it came.
        today: the present day on that person's wall.
        place: where its record lies.
        by: who notes it.
        now: when.

    Returns:
        Whether the team is to be asked now what others can learn from it: at the first outcome, if nobody told yet.

    Raises:
        Refused: the day lies ahead; or this person reads along only, or the case is closed.
    """
    case = to_change(mine)
    if day > today:
        raise Refused("That day lies ahead: {day}.", day=day)
    former, case.outcome = case.outcome, outcome
    session.add(case)
    _happened(session, case, What.OUTCOME, value=outcome, former=former, day=day, words=place, by=by, now=now)
    return _asks(case, now)


def feedback_due(session: Session, now: datetime, limit: int = 200) -> list[Case]:
    """The cases whose teams are to be asked once more what others can learn from them; they are not due again."""
    found = select(Case).where(col(Case.feedback_at) <= now).order_by(col(Case.feedback_at)).limit(limit)
    cases = list(session.scalars(found))
    for case in cases:
        case.feedback_asked, case.feedback_at = MOST_FEEDBACK_ASKED, None
        session.add(case)
    return cases


def feedback_given(session: Session, case_id: UUID) -> None:
    """Ask no more: somebody has told what others can learn from the case."""
    given = update(_case).where(_case.c.id == case_id)
    execute(session, given.values(feedback_asked=MOST_FEEDBACK_ASKED, feedback_at=None))


def close(session: Session, mine: Mine, *, by: UUID | None, now: datetime) -> bool:
    """Close a case; its team can read it on, and nothing of it changes any more.

    Returns:
        Whether the team is to be asked now what others can learn from it: if no outcome has asked, and nobody told.

    Raises:
        Refused: this person reads along only, or it is closed already.
    """
    case = to_change(mine)
    _close(session, case, by=by, now=now)
    return _asks(case, now)


def leave_team(session: Session, mine: Mine, *, member: UUID, now: datetime) -> Left:
    """Leave a case's team; a lead hands the case to the team, or it is closed."""
    _take_out(session, mine.case, session.get_one(Teammate, (mine.case.id, member)))
    return _without(session, mine.case, now)


def leave(
    session: Session, *, person: UUID, network: str | None, part: Part | None = None, now: datetime
) -> list[Left]:
    """Take somebody out of all teams of a network (None: of all networks), or of those where they do this part."""
    wanted = (
        select(Case, Teammate).join(Teammate, col(Teammate.case_id) == Case.id).where(col(Teammate.member_id) == person)
    )
    if network is not None:
        wanted = wanted.where(col(Case.network) == network)
    if part is not None:
        wanted = wanted.where(col(Teammate.part) == part)
    left = []
    for case, mate in session.execute(wanted).all():
        _take_out(session, case, mate)
        left.append(case)
    return [_without(session, case, now) for case in left]


def tidy(session: Session, now: datetime) -> list[Left]:
    """Hand on or close the cases that have no lead, as when a backup was restored that knew one who is gone.

    A case whose key was destroyed while it had a team is nobody's any more: none of them can see it, so as to leave it.
    """
    still_open = select(_case.c.id).where(_case.c.closed_at.is_(None))
    lost = privacy.destroyed(execute(session, still_open).scalars())
    if lost:
        execute(session, delete(_mate).where(_mate.c.case_id.in_(lost)))
    led = exists().where(_mate.c.case_id == _case.c.id, _mate.c.part == Part.LEAD)
    return [
        _without(session, case, now)
        for case in session.scalars(select(Case).where(col(Case.closed_at).is_(None), ~led))
    ]


def _take_out(session: Session, case: Case, mate: Teammate) -> None:
    """Take somebody out of a team; what the case is called from now on is not theirs any more, in no export either."""
    if case.opened_by == mate.member_id:
        case.opened_by = None
        session.add(case)
    session.delete(mate)
    session.flush()


def _without(session: Session, case: Case, now: datetime) -> Left:
    """Hand a case on after somebody went, or close it, or forget it."""
    seats = team(session, case)
    heir, closed = None, False
    if case.closed_at is None and not any(seat.part is Part.LEAD for seat in seats):
        heirs = [seat.member for part in _CAN_LEAD for seat in seats if seat.part is part and seat.joined]
        if heirs:
            heir = heirs[0]
            mate = session.get_one(Teammate, (case.id, heir.id))
            mate.part = Part.LEAD
            session.add(mate)
            _happened(session, case, What.HANDED, by=heir.id, now=now)
        else:
            closed = True
            _close(session, case, by=None, now=now)
    forgotten = not any(seat.joined for seat in seats)
    if forgotten:
        privacy.destroy(session, case.id, now)
    return Left(case, heir, closed, forgotten)


def _asks(case: Case, now: datetime) -> bool:
    """Count that the team is asked for feedback the first time, and plan the second; False: it was asked, or told."""
    first = case.feedback_asked == 0
    if first:
        case.feedback_asked, case.feedback_at = 1, now + ASK_AGAIN_AFTER
    return first


def _close(session: Session, case: Case, *, by: UUID | None, now: datetime) -> None:
    case.closed_at = now
    session.add(case)
    _happened(session, case, What.CLOSED, value=case.stage, by=by, now=now)


def _happened(
    session: Session,
    case: Case,
    what: What,
    *,
    value: str | None = None,
    former: str | None = None,
    day: date | None = None,
    words: str | None = None,
    by: UUID | None,
    now: datetime,
) -> None:
    write(
        session,
        CaseEvent(
            case_id=case.id,
            what=what,
            value=value,
            former=former,
            day=day or now.date(),
            words=Sealed(case.id, words) if words else None,
            by=by,
            at=now,
        ),
    )


def _fresh_code(session: Session, rng: random.Random) -> str:
    while True:
        code = codes.draw(rng, "C", _CODE_LENGTH)
        if execute(session, select(_case.c.id).where(_case.c.code == code)).first() is None:
            return code
