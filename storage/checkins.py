"""Check-ins: each case is asked after in its own rhythm, once for each day of it, and never where others read along.

The day of a rhythm is the key: one row for each case and day, so that no restart, no second process and no clock that
is set back asks twice. A question that nobody answers is followed once after two days, and two days later told to the
coordinators, by the case's code. What was answered can be put right, and every former version stays; the one line of
words that an answer may hold is sealed under a key of its own, so that it alone can be destroyed. The other three
are codes in clear, to be counted: that one was erased is written down like the erasure of a person, so that what an
older store brings back is blanked again before anybody sees it.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final, NamedTuple
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from sqlalchemy import (
    Index,
    Row,
    UniqueConstraint,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlmodel import Field, col

from storage import codes, privacy
from storage.cases import Case, Part, Seat
from storage.engine import upsert
from storage.members import Member
from storage.recurrence import zone_of
from storage.refused import Line, Refused
from storage.rhythm import Calm, Every, Rhythm, country_of
from storage.sealed import ring
from storage.store import Session, changed, execute, write
from storage.table import UTC, Erasure, Privacy, Sealed, Table, core, new_id, one_of, sealed

PATIENCE: Final = timedelta(days=2)
"""How long a question waits before it is followed, and then again before the coordinators hear of it."""

EARLIEST_AGAIN: Final = timedelta(hours=20)
"""Before this a second check-in of one case is a correction of the first, not an early answer to the next."""

LONGEST_SNOOZE: Final = timedelta(days=14)

_CODE_LENGTH: Final = 7
_MOST_MARKS: Final = 1000  # in one question to the database
_NOON: Final = 12 * 60
_THREE_YEARS: Final = timedelta(days=3 * 365)


class Need(StrEnum):
    """What would help a case on."""

    NOTHING = "nothing"
    MENTOR = "mentor"
    TRANSLATION = "translation"
    SECURITY = "security"
    FUNDS = "funds"


class Step(StrEnum):
    """What is done about a question when its time has come."""

    ASK = "ask"
    FOLLOW = "follow"
    TELL = "tell"


class CheckinState(StrEnum):
    """Where a check-in stands. MISSED: the next one was asked before it was answered."""

    OPEN = "open"
    ANSWERED = "answered"
    MISSED = "missed"


class CaseRhythm(Table, table=True):
    """How often a case is asked after, and when next.

    Attributes:
        member_id: who is asked.
        every, weekday, minute, since: the rhythm, on that person's wall; see `Rhythm`.
        holidays: the country whose public holidays are kept; None: none.
        zone: the zone for which `next_at` was worked out.
        paused_until: no day of the rhythm before this one, and no answer is missed to what was asked before it; None:
            there was no pause, nor a time without a rhythm.
        next_day: the day of the rhythm that comes next.
        next_at: when to look at it; who is away, or keeps a holiday, is looked at again later.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="How often you are asked how a case goes.", whose=("member_id",), erase=Erasure.DELETE
    )

    case_id: UUID = Field(foreign_key="case.id", ondelete="CASCADE", primary_key=True)
    member_id: UUID = Field(foreign_key="member.id", index=True)
    every: Every = one_of(Every)
    weekday: int
    minute: int
    since: date
    holidays: str | None = Field(default=None, max_length=2)
    zone: str = Field(max_length=64)
    paused_until: date | None = None
    next_day: date
    next_at: datetime = Field(sa_type=UTC, index=True)

    @property
    def rhythm(self) -> Rhythm:
        """The days on which it is asked."""
        return Rhythm(Every(self.every), self.weekday, self.minute, self.since)


_DUE: Final = text("due_at IS NOT NULL")


class Checkin(Table, table=True):
    """One day on which a case was asked after, or told of before it was asked.

    Attributes:
        code: such as "CI-7K3FQ20"; looked up among the check-ins of one's own cases, where no two are the same.
        day: the day of the rhythm: with the case it names the check-in.
        step, due_at: what is done next, and when; None: nothing more.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="When cases were asked after, without telling whom.",
        kept=_THREE_YEARS,
        since="asked_at",
        erase=Erasure.KEEP,
    )
    __table_args__ = (
        UniqueConstraint("case_id", "day"),
        Index("ix_checkin_due_at", "due_at", sqlite_where=_DUE, postgresql_where=_DUE),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    code: str = Field(max_length=16)
    case_id: UUID = Field(foreign_key="case.id", ondelete="CASCADE")
    day: date
    state: CheckinState = one_of(CheckinState)
    asked_at: datetime = Field(sa_type=UTC)
    step: Step | None = one_of(Step, nullable=True)
    due_at: datetime | None = Field(default=None, sa_type=UTC)


class CheckinAnswer(Table, table=True):
    """One version of what was answered; the latest counts.

    Attributes:
        moved: whether the case has moved on.
        stage: at which stage it stands, an id of `knowledge/procedures`.
        blocked: what holds it up: the one line of words, under a key of its own, which is this row's id.
        need: what would help.
        by: who answered, while they are here.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="What you answered when asked how a case goes; your words are encrypted, each answer with its own key.",
        whose=("by",),
        kept=_THREE_YEARS,
        since="at",
        erase=Erasure.BLANK,
        blank=("by", "blocked"),
        own_key="id",
    )
    __table_args__ = (UniqueConstraint("checkin_id", "version"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    checkin_id: UUID = Field(foreign_key="checkin.id", ondelete="CASCADE")
    version: int
    moved: bool | None = None
    stage: str | None = Field(default=None, max_length=60)
    blocked: Sealed | None = sealed("checkin_answer.blocked", nullable=True)
    need: Need | None = one_of(Need, nullable=True)
    by: UUID | None = Field(default=None, index=True)
    at: datetime = Field(sa_type=UTC)

    @property
    def says(self) -> "Answers":
        """The four answers."""
        words = self.blocked.text if self.blocked is not None else None
        return Answers(self.moved, self.stage, words, Need(self.need) if self.need is not None else None)


@dataclass(frozen=True)
class Answers:
    """What somebody says about a case: four short answers. None: not said, or erased."""

    moved: bool | None
    stage: str | None
    blocked: str | None
    need: Need | None


PARTS: Final = ("moved", "stage", "blocked", "need")
"""The four answers; each can be erased alone."""

CODES: Final = ("moved", "stage", "need")
"""The answers that are kept in clear: a backup that has them can be read, until it is deleted."""


class Asked(NamedTuple):
    """Somebody to ask, to remind, or to tell of; `key` is its occurrence: whoever says it says it once."""

    checkin: str
    case: str
    network: str
    member_id: UUID | None
    step: Step
    key: str


class Told(NamedTuple):
    """A check-in and what it says now.

    Attributes:
        answers: what it says; None: it is not answered yet.
        answered_at: when it was answered first.
        amended_at: when it was put right last; None: never.
        versions: how many there are of the answer.
    """

    checkin: Checkin
    answers: Answers | None = None
    answered_at: datetime | None = None
    amended_at: datetime | None = None
    versions: int = 0


_rhythm: Final = core(CaseRhythm)
_checkin: Final = core(Checkin)
_answer: Final = core(CheckinAnswer)
_case: Final = core(Case)
_member: Final = core(Member)
_erased: Final = core(privacy.Erased)


# Questions


def rhythm_of(session: Session, case: Case) -> CaseRhythm | None:
    """How often a case is asked after; None: never."""
    return session.get(CaseRhythm, case.id)


def open_one(session: Session, case: Case) -> Checkin | None:
    """The question that waits for an answer."""
    waiting = select(Checkin).where(col(Checkin.case_id) == case.id, col(Checkin.state) == CheckinState.OPEN)
    return session.scalars(waiting.order_by(col(Checkin.day).desc())).first()


def by_code(session: Session, typed: str, case_ids: Iterable[UUID]) -> Checkin | None:
    """The check-in of this code among those of some cases."""
    wanted = col(Checkin.code) == codes.read(typed, "CI")
    return session.scalars(select(Checkin).where(wanted, col(Checkin.case_id).in_(list(case_ids)))).first()


def history(session: Session, case: Case) -> list[Told]:
    """Every check-in of a case with what it says now, the earliest first."""
    rows = session.scalars(select(Checkin).where(col(Checkin.case_id) == case.id).order_by(col(Checkin.day))).all()
    answers: dict[UUID, list[CheckinAnswer]] = {}
    for answer in _answers(session, [row.id for row in rows]):
        answers.setdefault(answer.checkin_id, []).append(answer)
    return [_told(row, answers.get(row.id, [])) for row in rows]


def versions(session: Session, checkin: Checkin) -> list[CheckinAnswer]:
    """Every version of an answer, the first one first."""
    return _answers(session, [checkin.id])


def overdue(session: Session, network: str) -> list[str]:
    """The codes of a network's open cases that nobody answers for, whatever the day of the week.

    The coordinators were told of the open question; or one was missed, and nobody has answered since. What a pause has
    dropped is not missed, nor what was asked in a rhythm that was stopped.
    """
    of, asked = _checkin.c, _checkin.c.asked_at
    counts = or_(_rhythm.c.paused_until.is_(None), of.day >= _rhythm.c.paused_until)
    told = func.max(case((and_(of.state == CheckinState.OPEN, of.step.is_(None)), 1), else_=0))
    missed = func.max(case((and_(of.state == CheckinState.MISSED, _rhythm.c.case_id.is_not(None), counts), asked)))
    answered = func.max(case((of.state == CheckinState.ANSWERED, asked)))
    late = (
        select(_case.c.code)
        .join(_checkin, of.case_id == _case.c.id)
        .outerjoin(_rhythm, _rhythm.c.case_id == _case.c.id)
        .where(_case.c.network == network, _case.c.closed_at.is_(None))
        .group_by(_case.c.code)
        .having(or_(told == 1, and_(missed.is_not(None), or_(answered.is_(None), answered < missed))))
    )
    return sorted(execute(session, late).scalars())


def needs(session: Session, *, network: str, since: datetime) -> Counter[Need]:
    """How many check-ins of a network named which need since then, as they say it now."""
    newest = (
        select(_answer.c.checkin_id, func.max(_answer.c.version).label("version"))
        .where(_answer.c.at >= since)
        .group_by(_answer.c.checkin_id)
        .subquery()
    )
    named = (
        select(_answer.c.id, _answer.c.need)
        .join(newest, (newest.c.checkin_id == _answer.c.checkin_id) & (newest.c.version == _answer.c.version))
        .join(_checkin, _checkin.c.id == _answer.c.checkin_id)
        .join(_case, _case.c.id == _checkin.c.case_id)
        .where(_case.c.network == network, _answer.c.need.is_not(None), _answer.c.need != Need.NOTHING)
    )
    found = execute(session, named).all()
    back = _brought_back(session, [(row.id, "need") for row in found])
    return Counter(Need(row.need) for row in found if (row.id, "need") not in back)


# Rules


def set_rhythm(
    session: Session,
    case: Case,
    *,
    member: Member,
    every: Every,
    weekday: int,
    minute: int,
    holidays: str | None = "",
    now: datetime,
) -> CaseRhythm:
    """Ask a member how a case goes, on a weekday every so often, from the next such day on.

    Args:
        session: the running transaction.
        case: which case.
        member: who is asked, on their own wall.
        every: how often.
        weekday: 0 is Monday.
        minute: when, in minutes after midnight (0 to 1439).
        holidays: the country (ISO 3166) whose public holidays are kept; None: none; empty: the country of the zone.
        now: the instant of the change.

    Raises:
        Refused: the case is closed.
    """
    if case.closed_at is not None:
        raise Refused("The case {code} is closed.", code=case.code)
    kept = country_of(member.zone) if holidays == "" else holidays
    former = rhythm_of(session, case)
    today = now.astimezone(zone_of(member.zone)).date()
    rhythm = Rhythm(every, weekday, minute, today)
    calm = _calm(member, kept)
    day = next(day for day in rhythm.days() if calm.asks_at(day, minute) > now)
    facts = {
        "member_id": member.id,
        "every": every,
        "weekday": weekday,
        "minute": minute,
        "since": today,
        "holidays": kept,
        "zone": member.zone,
        "paused_until": today if former is None or former.paused_until is not None else None,
        "next_day": day,
        "next_at": calm.asks_at(day, minute),
    }
    row = upsert(_rhythm).values(case_id=case.id, **facts)
    execute(session, row.on_conflict_do_update(index_elements=["case_id"], set_=facts))
    return session.get_one(CaseRhythm, case.id, populate_existing=True)


def stop(session: Session, case: Case) -> bool:
    """Ask no more how a case goes, and expect no answer any more; False if it was not asked after."""
    _settle(session, [case.id], CheckinState.MISSED)
    return changed(session, delete(_rhythm).where(_rhythm.c.case_id == case.id)) > 0


def pause(session: Session, case: Case, *, until: date, now: datetime) -> CaseRhythm:
    """Ask nothing about a case before a day, not what was put off so far either, and expect no answer to what is open.

    Raises:
        Refused: it is not asked after, or the day has passed.
    """
    row = _asked_after(session, case)
    member = session.get_one(Member, row.member_id)
    if until <= now.astimezone(zone_of(member.zone)).date():
        raise Refused("That day has passed.")
    _settle(session, [case.id], CheckinState.MISSED)
    row.paused_until = until
    row.next_day = next(day for day in row.rhythm.days() if day >= until)
    row.next_at = _calm(member, row.holidays).asks_at(row.next_day, row.minute)
    session.add(row)
    return row


def stay_in_team(session: Session, case: Case, seats: Iterable[Seat]) -> None:
    """Ask whoever leads a case from now on, if the one who was asked is not in its team any more."""
    row = rhythm_of(session, case)
    if row is None or any(seat.joined and seat.member.id == row.member_id for seat in seats):
        return
    lead = next((seat.member for seat in seats if seat.part is Part.LEAD), None)
    if lead is None:
        stop(session, case)
    else:
        hand_to(session, case, lead)


def hand_to(session: Session, case: Case, member: Member) -> None:
    """Ask somebody else from now on: who leads a case now."""
    row = rhythm_of(session, case)
    if row is not None:
        row.member_id = member.id
        row.next_at = _calm(member, row.holidays).asks_at(row.next_day, row.minute)
        row.zone = member.zone
        session.add(row)


def answer(
    session: Session, case: Case, *, answers: Answers, by: UUID, today: date, now: datetime, rng: random.Random
) -> Checkin:
    """Keep what somebody says of a case: the answer to the open question, or an early one to the next.

    An early answer stands for the next day of the rhythm, which is not asked any more, and for no other: what is said
    once more before that day has passed takes its place, as its next version. A case without a rhythm can be told of
    at any day.

    Raises:
        Refused: it was answered just now, perhaps on another device; or the case is closed.
    """
    if case.closed_at is not None:
        raise Refused("The case {code} is closed.", code=case.code)
    checkin = open_one(session, case)
    if checkin is None:
        latest = session.execute(
            select(Checkin, func.max(col(CheckinAnswer.at)))
            .join(CheckinAnswer, col(CheckinAnswer.checkin_id) == Checkin.id)
            .where(col(Checkin.case_id) == case.id)
            .group_by(*_checkin.c)
            .order_by(func.max(col(CheckinAnswer.at)).desc())
        ).first()
        if latest is not None and now - latest[1] < EARLIEST_AGAIN:
            raise Refused(
                "That was answered already, {moment}. To put it right, say {amend}.",
                moment=latest[1],
                amend=Line(f"case amend {latest[0].code}"),
            )
        checkin = _told_of(session, case, today=today) or _early(session, case, today=today, now=now, rng=rng)
    checkin.state, checkin.step, checkin.due_at = CheckinState.ANSWERED, None, None
    session.add(checkin)
    _keep(session, checkin, answers, version=len(versions(session, checkin)) + 1, by=by, now=now)
    return checkin


def amend(session: Session, checkin: Checkin, *, answers: Answers, by: UUID, now: datetime) -> Told:
    """Put an answer right: what is not None takes the place of what was said; the former version stays.

    Raises:
        Refused: it was not answered yet.
    """
    former = versions(session, checkin)
    if not former:
        raise Refused("That check-in was not answered yet.")
    latest = former[-1].says
    merged = Answers(
        moved=latest.moved if answers.moved is None else answers.moved,
        stage=answers.stage or latest.stage,
        blocked=latest.blocked if answers.blocked is None else answers.blocked,
        need=answers.need or latest.need,
    )
    if merged != latest:
        former.append(_keep(session, checkin, merged, version=former[-1].version + 1, by=by, now=now))
    return _told(checkin, former)


def erase_part(session: Session, checkin: Checkin, part: str, now: datetime) -> bool:
    """Erase one of the four answers alone, in every version; False if there was nothing.

    Of words the key is destroyed, so that no backup can tell them. Of a code it is written down that it was erased, in
    both stores and without telling what: a backup that is restored does not bring it back.
    """
    rows = [row for row in versions(session, checkin) if getattr(row, part) is not None]
    for row in rows:
        privacy.destroy(session, row.id if part == "blocked" else _trace(row.id, part), now)
        setattr(row, part, None)
        session.add(row)
    session.flush()
    return bool(rows)


def snooze(session: Session, case: Case, *, until: datetime, now: datetime) -> Checkin:
    """Ask the open question once more, later.

    Raises:
        Refused: there is no open question, or that is too late.
    """
    checkin = open_one(session, case)
    if checkin is None:
        raise Refused("Nothing waits for an answer about {code} now.", code=case.code)
    if not now < until <= now + LONGEST_SNOOZE:
        raise Refused("I can ask again at any time in the next {days}.", days=LONGEST_SNOOZE)
    checkin.step, checkin.due_at = Step.ASK, until
    session.add(checkin)
    return checkin


def forget(session: Session, case: Case, now: datetime) -> None:
    """Destroy the words of every answer about a case; the case itself is forgotten elsewhere."""
    stop(session, case)
    for told in history(session, case):
        for row in versions(session, told.checkin):
            privacy.destroy(session, row.id, now)


# Sweeps


_DUE_RHYTHMS: Final = (
    select(
        *_rhythm.c,
        _case.c.code,
        _case.c.network,
        _member.c.zone.label("present_zone"),
        _member.c.quiet_from,
        _member.c.quiet_to,
        _member.c.away_until,
    )
    .join(_case, _case.c.id == _rhythm.c.case_id)
    .join(_member, _member.c.id == _rhythm.c.member_id)
    .where(_rhythm.c.next_at <= bindparam("now", type_=UTC), _case.c.closed_at.is_(None))
    .order_by(_rhythm.c.next_at)
    .limit(bindparam("at_most"))
)
_MOVED: Final = (
    select(
        *_rhythm.c,
        _member.c.zone.label("present_zone"),
        _member.c.quiet_from,
        _member.c.quiet_to,
        _member.c.away_until,
    )
    .join(_member, _member.c.id == _rhythm.c.member_id)
    .where(_rhythm.c.zone != _member.c.zone)
    .limit(bindparam("at_most"))
)
_PLAN: Final = (
    update(_rhythm)
    .where(_rhythm.c.case_id == bindparam("the_case"))
    .values(next_day=bindparam("the_day"), next_at=bindparam("at"), zone=bindparam("the_zone"))
)


def ask(session: Session, now: datetime, rng: random.Random, limit: int = 500) -> list[Asked]:
    """Find whom to ask now, and plan when each case is asked after next.

    A day that was answered early is not asked. After downtime, a long absence or a long holiday only the latest day is
    asked: nobody is asked twice at once.
    """
    plans: list[dict[str, Any]] = []
    asked: list[dict[str, Any]] = []
    found: dict[UUID, Asked] = {}
    for row in execute(session, _DUE_RHYTHMS, {"now": now, "at_most": limit}).all():
        rhythm = Rhythm(row.every, row.weekday, row.minute, row.since)
        calm = _calm_of(row)
        day, at = _present(rhythm, calm, row.next_day, now)
        if at <= now:
            at = calm.free_from(now, row.minute)  # whoever comes late may come on a holiday or in the night
        if at <= now:
            checkin = {
                "id": new_id(),
                "code": codes.draw(rng, "CI", _CODE_LENGTH),
                "case_id": row.case_id,
                "day": day,
                "state": CheckinState.OPEN,
                "asked_at": now,
                "step": Step.FOLLOW,
                "due_at": now + PATIENCE,
            }
            asked.append(checkin)
            found[row.case_id] = Asked(
                checkin["code"], row.code, row.network, row.member_id, Step.ASK, f"checkin:{row.case_id}:{day}"
            )
            day = rhythm.after(day)
            at = calm.asks_at(day, row.minute)
        plans.append({"the_case": row.case_id, "the_day": day, "at": at, "the_zone": row.present_zone})
    if plans:
        execute(session, _PLAN, plans)
    told_early = _told_early(session, asked)
    asked = [each for each in asked if each["case_id"] not in told_early]
    if asked:
        _settle(session, [each["case_id"] for each in asked], CheckinState.MISSED)
        execute(session, _insert_checkin, asked)
    return [found[each["case_id"]] for each in asked]


def go_on(session: Session, now: datetime, limit: int = 500) -> list[Asked]:
    """Find the open questions of which it is time to ask again, to remind, or to tell the coordinators."""
    due = (
        select(
            *_checkin.c,
            _case.c.code.label("case_code"),
            _case.c.network,
            _rhythm.c.member_id,
            _rhythm.c.holidays,
            _rhythm.c.minute,
            _member.c.zone.label("present_zone"),
            _member.c.quiet_from,
            _member.c.quiet_to,
            _member.c.away_until,
        )
        .join(_case, _case.c.id == _checkin.c.case_id)
        .outerjoin(_rhythm, _rhythm.c.case_id == _checkin.c.case_id)
        .outerjoin(_member, _member.c.id == _rhythm.c.member_id)
        .where(_checkin.c.due_at <= now, _case.c.closed_at.is_(None))
        .order_by(_checkin.c.due_at)
        .limit(limit)
    )
    found, plans = [], []
    for row in execute(session, due).all():
        step, following, at = Step(row.step), None, None
        if step is not Step.TELL and row.present_zone is not None:
            calm = _calm_of(row)
            free = calm.free_from(now, row.minute if row.minute is not None else _NOON)
            if free > now:
                plans.append({"the_checkin": row.id, "next_step": step, "at": free})
                continue
            following, at = (Step.FOLLOW if step is Step.ASK else Step.TELL), now + PATIENCE
        elif step is not Step.TELL:  # nobody is there to be asked
            step = Step.TELL
        plans.append({"the_checkin": row.id, "next_step": following, "at": at})
        key = f"checkin:{row.case_id}:{row.day}:{step}:{row.due_at.isoformat()}"
        found.append(Asked(row.code, row.case_code, row.network, row.member_id, step, key))
    if plans:
        execute(session, _NEXT_STEP, plans)
    return found


def follow_zones(session: Session, limit: int = 500) -> int:
    """Let rhythms follow people who have moved to another time zone; tells how many did."""
    moved = execute(session, _MOVED, {"at_most": limit}).all()
    plans = [
        {
            "the_case": row.case_id,
            "the_day": row.next_day,
            "at": _calm_of(row).asks_at(row.next_day, row.minute),
            "the_zone": row.present_zone,
        }
        for row in moved
    ]
    if plans:
        execute(session, _PLAN, plans)
    return len(plans)


_insert_checkin: Final = insert(_checkin)
_NEXT_STEP: Final = (
    update(_checkin)
    .where(_checkin.c.id == bindparam("the_checkin"))
    .values(step=bindparam("next_step"), due_at=bindparam("at"))
)


def _present(rhythm: Rhythm, calm: Calm, day: date, now: datetime) -> tuple[date, datetime]:
    """The day of the rhythm that is to be asked, and when: the one given, or a later one that has come meanwhile."""
    at = calm.asks_at(day, rhythm.minute)
    while True:
        following = rhythm.after(day)
        next_at = calm.asks_at(following, rhythm.minute)
        # What waits until the next one comes is the next one; of several that have come only the latest is asked.
        if next_at > max(at, now):
            return day, at
        day, at = following, next_at


def _told_early(session: Session, asked: list[dict[str, Any]]) -> set[UUID]:
    """The cases of which the day to be asked was told before."""
    days = {each["case_id"]: each["day"] for each in asked}
    told = select(_checkin.c.case_id, _checkin.c.day).where(
        _checkin.c.case_id.in_(list(days)), _checkin.c.day.in_(set(days.values()))
    )
    return {row.case_id for row in execute(session, told) if days[row.case_id] == row.day} if days else set()


def _told_of(session: Session, case: Case, *, today: date) -> Checkin | None:
    """The check-in that was answered for today, or early for the next day of the rhythm."""
    row = rhythm_of(session, case)
    told = select(Checkin).where(
        col(Checkin.case_id) == case.id,
        col(Checkin.state) == CheckinState.ANSWERED,
        col(Checkin.day) >= today,
        col(Checkin.day) <= (row.next_day if row is not None else today),
    )
    return session.scalars(told.order_by(col(Checkin.day).desc())).first()


def _early(session: Session, case: Case, *, today: date, now: datetime, rng: random.Random) -> Checkin:
    """The check-in for which an answer without a question stands: the next day of the rhythm, or today."""
    row = rhythm_of(session, case)
    day = today
    if row is not None:
        day = row.next_day
        member = session.get_one(Member, row.member_id)
        row.next_day = row.rhythm.after(day)
        row.next_at = _calm(member, row.holidays).asks_at(row.next_day, row.minute)
        session.add(row)
    checkin = Checkin(
        code=codes.draw(rng, "CI", _CODE_LENGTH),
        case_id=case.id,
        day=day,
        state=CheckinState.OPEN,
        asked_at=now,
    )
    if execute(session, select(_checkin.c.id).where(_checkin.c.case_id == case.id, _checkin.c.day == day)).first():
        raise Refused("That day was told of already.")
    write(session, checkin)
    return checkin


def _keep(
    session: Session, checkin: Checkin, answers: Answers, *, version: int, by: UUID, now: datetime
) -> CheckinAnswer:
    row_id = new_id()
    row = CheckinAnswer(
        id=row_id,
        checkin_id=checkin.id,
        version=version,
        moved=answers.moved,
        stage=answers.stage,
        blocked=Sealed(row_id, answers.blocked) if answers.blocked else None,
        need=answers.need,
        by=by,
        at=now,
    )
    write(session, row)
    return row


def _answers(session: Session, checkin_ids: list[UUID]) -> list[CheckinAnswer]:
    """Every version of the answers to some check-ins, the first ones first; what was erased alone is blank in them."""
    found = select(CheckinAnswer).where(col(CheckinAnswer.checkin_id).in_(checkin_ids))
    rows = list(session.scalars(found.order_by(col(CheckinAnswer.version))))
    kept = [(row.id, part) for row in rows for part in CODES if getattr(row, part) is not None]
    back = _brought_back(session, kept)
    for row in rows:
        for part in CODES:
            if (row.id, part) in back:
                setattr(row, part, None)
                session.add(row)
    return rows


def _brought_back(session: Session, kept: list[tuple[UUID, str]]) -> set[tuple[UUID, str]]:
    """Those of the codes of some answers that were erased alone, and came back with a store that was restored."""
    keys = ring()
    marks = {keys.blind("erasure", _trace(row_id, part).hex): (row_id, part) for row_id, part in kept}
    found: set[tuple[UUID, str]] = set()
    wanted = list(marks)
    for start in range(0, len(wanted), _MOST_MARKS):
        erased = select(_erased.c.mark).where(_erased.c.mark.in_(wanted[start : start + _MOST_MARKS]))
        found |= {marks[bytes(mark)] for mark in execute(session, erased).scalars()}
    return found


def _trace(row_id: UUID, part: str) -> UUID:
    """What is written down when one code of an answer is erased: an id that is nothing else's."""
    return uuid5(row_id, part)


def _told(checkin: Checkin, said: Sequence[CheckinAnswer]) -> Told:
    """A check-in and the versions of its answer, the first one first."""
    if not said:
        return Told(checkin)
    first, latest = said[0], said[-1]
    return Told(checkin, latest.says, first.at, latest.at if len(said) > 1 else None, len(said))


def _settle(session: Session, case_ids: list[UUID], state: CheckinState) -> None:
    """Expect no answer any more to the questions that are open."""
    waiting = update(_checkin).where(_checkin.c.case_id.in_(case_ids), _checkin.c.state == CheckinState.OPEN)
    execute(session, waiting.values(state=state, step=None, due_at=None))


def _asked_after(session: Session, case: Case) -> CaseRhythm:
    row = rhythm_of(session, case)
    if row is None:
        raise Refused(
            "The case {code} has no rhythm yet; {cadence} gives it one.",
            code=case.code,
            cadence=Line(f"case cadence {case.code}"),
        )
    return row


def _calm(member: Member, holidays: str | None) -> Calm:
    quiet = None
    if member.quiet_from is not None and member.quiet_to is not None:
        quiet = (member.quiet_from, member.quiet_to)
    return Calm(ZoneInfo(member.zone), quiet, member.away_until, holidays)


def _calm_of(row: Row[Any]) -> Calm:
    quiet = (row.quiet_from, row.quiet_to) if row.quiet_from is not None and row.quiet_to is not None else None
    return Calm(ZoneInfo(row.present_zone), quiet, row.away_until, row.holidays)
