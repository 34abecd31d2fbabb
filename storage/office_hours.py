"""Mentors' office hours: what mentors offer, the slots that follow from it, and who has booked them.

An offer is a window on the mentor's wall, weekly or once. Slots are not stored: they follow from offers,
and one becomes a session when its first seat is booked. Nobody can be in two conversations at once, whatever
the offers, networks, platforms and processes: every session takes quarter-hour cells of its mentor (with the
pause after it) and of everybody who sits in it, and a cell belongs to one session by its primary key. A seat
belongs to one booking by a unique constraint. What falls gives its cells and its seat back.

Times are kept in UTC, windows with the zone they were offered in: when a mentor moves, bookings stay.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from heapq import merge
from itertools import islice
from typing import ClassVar, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Index, UniqueConstraint, and_, bindparam, delete, func, insert, or_, select, text
from sqlmodel import Field, col

from storage.codes import ALPHABET, check, draw, read
from storage.members import Member
from storage.recurrence import DAY, resolve, zone_of
from storage.refused import Line, Refused
from storage.store import Conflict, Session, attempt, execute, write
from storage.table import UTC, Erasure, Privacy, Sealed, Table, core, new_id, one_of, sealed

ANSWER_WITHIN: Final = timedelta(hours=48)
"""How long a mentor has to confirm before a pending booking expires; never longer than until it begins."""

REMINDERS: Final = (("24h", timedelta(hours=24)), ("1h", timedelta(hours=1)))
"""The names and offsets of reminders, the earliest first."""

_MEMBER: Final = f"{Member.__tablename__}.id"
_QUARTER: Final = 15 * 60
_FIRST_QUARTER: Final = 1_767_225_600 // _QUARTER  # 2026-01-01, from which slot codes count
_SLOT_CODE: Final = range(len("S-NNQQQQC"), len("S-NNNNNQQQQC") + 1)  # offer's number, quarter, check
_NOTHING: Final[frozenset[int]] = frozenset()
_LIVE_SESSION: Final = text("cancelled_at IS NULL")


class BookingState(StrEnum):
    """Where a booking stands. PENDING and CONFIRMED hold a seat; DONE and NOSHOW held it until the end."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DONE = "done"
    NOSHOW = "noshow"


_STANDING: Final = (BookingState.PENDING, BookingState.CONFIRMED)


class Offer(Table, table=True):
    """A mentor's window, cut into slots.

    Attributes:
        number: a small number, unique, that stands in the codes of its slots.
        code: such as "O-7K3F".
        zone: the zone on whose wall the window was offered.
        weekdays: seven bits, Monday the lowest; 0 for an offer of one `day`.
        day: the local date of an offer that is made once.
        from_minute, to_minute: the window in minutes of the day, up to 1440.
        length: minutes of a conversation.
        buffer: minutes that the mentor keeps free after each.
        seats: how many members one conversation takes.
        notice_hours: how long before it begins a slot can still be booked.
        horizon_days: how far ahead slots can be booked.
        daily_cap, weekly_cap: the most conversations of this mentor, in all networks together, on a day or in
            a week (from Monday) of this offer's zone; None: any number.
        topics: what the mentor offers to talk about: public words.
        languages: codes with spaces between, such as "en uk".
        needs_confirmation: a booking waits for the mentor's yes, and holds its seat meanwhile.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="The office hours you offer as a mentor.",
        whose=("mentor_id",),
        kept=timedelta(days=365),
        since="withdrawn_at",
        erase=Erasure.DELETE,
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    number: int = Field(unique=True)
    code: str = Field(unique=True, max_length=16)
    mentor_id: UUID = Field(foreign_key=_MEMBER, index=True)
    network: str = Field(max_length=32, index=True)
    zone: str = Field(max_length=64)
    weekdays: int = 0
    day: date | None = None
    from_minute: int
    to_minute: int
    length: int = 30
    buffer: int = 0
    seats: int = 1
    notice_hours: int = 12
    horizon_days: int = 28
    daily_cap: int | None = None
    weekly_cap: int | None = None
    topics: str = Field(default="", max_length=200)
    languages: str = Field(default="", max_length=64)
    needs_confirmation: bool = False
    offered_at: datetime = Field(sa_type=UTC)
    withdrawn_at: datetime | None = Field(default=None, sa_type=UTC)

    @property
    def days(self) -> frozenset[int]:
        """The weekdays of a weekly offer, 0 is Monday."""
        return frozenset(day for day in range(7) if self.weekdays >> day & 1)


class Block(Table, table=True):
    """Days on which a mentor is away: no slots, whatever was offered."""

    privacy: ClassVar[Privacy] = Privacy(
        what="Days on which you hold no office hours.",
        whose=("mentor_id",),
        kept=timedelta(days=30),
        since="ends_at",
        erase=Erasure.DELETE,
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    mentor_id: UUID = Field(foreign_key=_MEMBER, index=True)
    first_day: date
    last_day: date
    zone: str = Field(max_length=64)
    starts_at: datetime = Field(sa_type=UTC)
    ends_at: datetime = Field(sa_type=UTC)


class HourSession(Table, table=True):
    """One conversation: a slot of which at least one seat was taken.

    Attributes:
        code: the slot's, such as "S-0A7K3F9".
        cancelled_at: when its last booking went, or the mentor cancelled; the slot is free again.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="When you held office hours as a mentor.",
        whose=("mentor_id",),
        kept=timedelta(days=365),
        since="ends_at",
        erase=Erasure.DELETE,
    )
    __table_args__ = (
        Index(
            "uq_hour_session_live",
            "offer_id",
            "starts_at",
            unique=True,
            sqlite_where=_LIVE_SESSION,
            postgresql_where=_LIVE_SESSION,
        ),
        Index("ix_hour_session_mentor_id_starts_at", "mentor_id", "starts_at"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    code: str = Field(max_length=16)
    offer_id: UUID = Field(foreign_key="offer.id", ondelete="CASCADE")
    mentor_id: UUID = Field(foreign_key=_MEMBER)
    network: str = Field(max_length=32)
    starts_at: datetime = Field(sa_type=UTC, index=True)
    ends_at: datetime = Field(sa_type=UTC)
    seats: int
    cancelled_at: datetime | None = Field(default=None, sa_type=UTC)


class BusyQuarter(Table, table=True):
    """A quarter of an hour that a person gives to one session: its primary key is what forbids two.

    Attributes:
        quarter: quarters of an hour since 1970 in UTC.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="The quarters of an hour for which you are booked, so that nobody is booked twice.",
        whose=("person_id",),
        erase=Erasure.DELETE,
    )

    person_id: UUID = Field(primary_key=True)
    quarter: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    session_id: UUID = Field(foreign_key="hour_session.id", ondelete="CASCADE", index=True)


class Booking(Table, table=True):
    """One member's seat in a session; it keeps its row, code and calendar entry when it moves.

    Attributes:
        code: such as "B-7K3FQ".
        seat: 1 to the session's seats; None when the booking holds none any more.
        topic: what the member would like to talk about; for the mentor's eyes.
        sequence: rises with every change, as calendars expect (SEQUENCE).
        booked_at: when it was made.
        placed_at: when it got its present place: booked, moved or confirmed. Reminders look at it.
        answer_by: until when the mentor can confirm a pending one.
        closed_at: when it was declined, cancelled, expired, or judged done or missed.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="Your bookings with mentors; the topic is encrypted.",
        whose=("member_id",),
        kept=timedelta(days=365),
        since="booked_at",
        erase=Erasure.DELETE,
    )
    __table_args__ = (UniqueConstraint("session_id", "seat"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    code: str = Field(unique=True, max_length=16)
    session_id: UUID = Field(foreign_key="hour_session.id", ondelete="CASCADE")
    seat: int | None = None
    member_id: UUID = Field(foreign_key=_MEMBER, index=True)
    network: str = Field(max_length=32, index=True)
    state: BookingState = one_of(BookingState, index=True)
    topic: Sealed | None = sealed("booking.topic", nullable=True)
    sequence: int = 0
    booked_at: datetime = Field(sa_type=UTC)
    placed_at: datetime = Field(sa_type=UTC)
    answer_by: datetime | None = Field(default=None, sa_type=UTC)
    closed_at: datetime | None = Field(default=None, sa_type=UTC)

    @property
    def uid(self) -> str:
        """The calendar's name of this booking (UID); it stays the same for ever."""
        return str(self.id)


@dataclass(frozen=True)
class Slot:
    """A conversation that could be booked; equal to every other reading of its code."""

    offer: Offer = field(compare=False, repr=False)
    starts_at: datetime
    ends_at: datetime
    code: str


class Booked(NamedTuple):
    """A booking and the session it is in (for one that moved: the present one)."""

    booking: Booking
    hour: HourSession


class Cancelled(NamedTuple):
    """What a cancellation did: whose bookings fell, and whether with less notice than the mentor asks for."""

    bookings: list[Booked]
    late: bool


class Reminder(NamedTuple):
    """A reminder that is due; `key` is its occurrence: whoever sends under it sends it once."""

    booking: Booking
    hour: HourSession
    offset: timedelta
    key: str


class Week(NamedTuple):
    """Counts of a network for its digest; see `week`."""

    booked: int
    held: int
    missed: int
    cancelled: int
    offers: int
    open_slots: int
    waiting: int


# Questions


def open_slots(
    session: Session,
    *,
    network: str,
    now: datetime,
    member: UUID | None = None,
    mentor: UUID | None = None,
    topic: str | None = None,
    language: str | None = None,
    when: tuple[datetime, datetime] | None = None,
    limit: int | None = 20,
) -> list[Slot]:
    """The slots that could be booked now, the soonest first.

    Args:
        session: the running transaction.
        network: of which network's mentors.
        now: the instant of the question.
        member: who asks: without their own offers, and without slots in which they are busy.
        mentor: of this mentor only.
        topic: words that the offer's topics must contain.
        language: a code that the offer's languages must contain.
        when: only slots that begin in this span (from, to).
        limit: the most slots to return; None: all of them.
    """
    wanted = select(Offer).where(col(Offer.network) == network, col(Offer.withdrawn_at).is_(None))
    if mentor is not None:
        wanted = wanted.where(col(Offer.mentor_id) == mentor)
    offers = [
        offer
        for offer in session.scalars(wanted.order_by(col(Offer.number)))
        if (topic is None or topic.casefold() in offer.topics.casefold())
        and (language is None or language in offer.languages.split())
    ]
    if not offers:
        return []
    until = now + timedelta(days=max(offer.horizon_days for offer in offers))
    first, last = (now, until) if when is None else (max(now, when[0]), min(until, when[1]))
    agenda = _Agenda(session, offers, first, last, member)
    times = merge(*(agenda.open_times(offer, first, last, member, now) for offer in offers), key=_begins)
    return [_slot(*time) for time in islice(times, limit)]


def slot_by_code(session: Session, code: str, *, network: str) -> Slot:
    """The slot of a code as people type it, taken or not: `book` tells whether it can still be booked.

    Raises:
        Refused: there is no such slot in the network's offers.
    """
    spelled = read(code, "S")
    if spelled is not None and len(spelled) in _SLOT_CODE:
        digits = spelled[2:-1]
        starts_at = datetime.fromtimestamp((_number(digits[-4:]) + _FIRST_QUARTER) * _QUARTER, ZoneInfo("UTC"))
        # The mentor comes along, because nobody reads an offer without naming whose it is.
        found = session.execute(_OFFER_OF, {"number": _number(digits[:-4]), "network": network}).first()
        offer = found[0] if found else None
        for time in _windows(offer, starts_at, starts_at + timedelta(seconds=_QUARTER)) if offer else ():
            return _slot(*time)
    raise Refused("There is no slot with that code. {open} lists the open ones.", open=Line("hours open"))


def offers_of(session: Session, mentor: UUID, *, network: str | None = None) -> list[Offer]:
    """A mentor's offers that are not withdrawn, the oldest first."""
    wanted = select(Offer).where(col(Offer.mentor_id) == mentor, col(Offer.withdrawn_at).is_(None))
    if network is not None:
        wanted = wanted.where(col(Offer.network) == network)
    return list(session.scalars(wanted.order_by(col(Offer.offered_at), col(Offer.number))))


def offer_by_code(session: Session, code: str, *, mentor: UUID) -> Offer:
    """A mentor's own offer by its code.

    Raises:
        Refused: there is none; the same for another mentor's.
    """
    wanted = select(Offer).where(
        col(Offer.code) == (read(code, "O") or ""),
        col(Offer.mentor_id) == mentor,
        col(Offer.withdrawn_at).is_(None),
    )
    found = session.scalar(wanted)
    if found is None:
        raise Refused("You have no offer with that code. {offers} lists yours.", offers=Line("hours offers"))
    return found


def blocks_of(session: Session, mentor: UUID, *, now: datetime) -> list[Block]:
    """The days a mentor is away, those that are over left out."""
    wanted = select(Block).where(col(Block.mentor_id) == mentor, col(Block.ends_at) > now)
    return list(session.scalars(wanted.order_by(col(Block.starts_at))))


def bookings_of(session: Session, member: UUID, *, since: datetime) -> list[Booked]:
    """A member's standing bookings that end after `since`, the soonest first."""
    return _standing(session, col(Booking.member_id) == member, col(HourSession.ends_at) > since)


def bookings_for_mentor(session: Session, mentor: UUID, *, since: datetime) -> list[Booked]:
    """The standing bookings with a mentor, in all networks, that end after `since`, the soonest first.

    One that has ended stands until the mentor says how it went.
    """
    return _standing(session, col(HourSession.mentor_id) == mentor, col(HourSession.ends_at) > since)


def booking_by_code(session: Session, code: str, *, person: UUID) -> Booked:
    """A booking by its code, for its member or its mentor.

    Raises:
        Refused: there is none; the same for one between other people.
    """
    found = session.execute(
        _BOOKED.where(
            col(Booking.code) == (read(code, "B") or ""),
            or_(col(Booking.member_id) == person, col(HourSession.mentor_id) == person),
        )
    ).first()
    if found is None:
        raise _unknown()
    return Booked(*found)


def due_reminders(session: Session, now: datetime) -> list[Reminder]:
    """The reminders that are due now; asked again it names them again, with the same keys.

    A reminder is due from its offset until the next one's. One whose offset was already past when the booking
    got its place is never due: nobody needs a reminder of what they have just done.
    """
    soon = _BOOKED.where(
        col(Booking.state) == BookingState.CONFIRMED,
        col(HourSession.starts_at) > now,
        col(HourSession.starts_at) <= now + REMINDERS[0][1],
    ).order_by(col(HourSession.starts_at), col(Booking.code))
    due = []
    for booking, hour in session.execute(soon):
        name, offset = next(each for each in reversed(REMINDERS) if now >= hour.starts_at - each[1])
        if booking.placed_at < hour.starts_at - offset:
            due.append(Reminder(booking, hour, offset, f"remind:{booking.code}:{booking.sequence}:{name}"))
    return due


def week(session: Session, *, network: str, since: datetime, now: datetime) -> Week:
    """Count, for a network's digest, what happened from `since` to `now` and what stands.

    booked: bookings made. held, missed: those that ended and took place, or whose member did not come.
    cancelled: those cancelled by either side. offers: offers that stand. open_slots: slots that could be
    booked in the next 14 days. waiting: bookings that have waited 24 hours or longer for the mentor's yes.
    """
    ended = and_(col(HourSession.ends_at) >= since, col(HourSession.ends_at) < now)
    state, booked_at, closed_at = col(Booking.state), col(Booking.booked_at), col(Booking.closed_at)
    took_place = state.in_((BookingState.CONFIRMED, BookingState.DONE))
    counts = [
        and_(booked_at >= since, booked_at < now),
        and_(ended, took_place),
        and_(ended, state == BookingState.NOSHOW),
        and_(state == BookingState.CANCELLED, closed_at >= since, closed_at < now),
        and_(state == BookingState.PENDING, booked_at <= now - timedelta(hours=24)),
    ]
    booked, held, missed, cancelled, waiting = session.execute(
        select(*(func.count().filter(count) for count in counts))
        .select_from(Booking)
        .join(HourSession)
        .where(col(Booking.network) == network)
    ).one()
    offers = select(func.count()).where(col(Offer.network) == network, col(Offer.withdrawn_at).is_(None))
    ahead = open_slots(session, network=network, now=now, when=(now, now + timedelta(days=14)), limit=None)
    return Week(booked, held, missed, cancelled, session.scalar(offers) or 0, len(ahead), waiting)


# Rules for what mentors offer


def offer(
    session: Session,
    *,
    mentor: UUID,
    network: str,
    zone: str,
    from_minute: int,
    to_minute: int,
    weekdays: Iterable[int] = (),
    day: date | None = None,
    length: int = 30,
    buffer: int = 0,
    seats: int = 1,
    notice_hours: int = 12,
    horizon_days: int = 28,
    daily_cap: int | None = None,
    weekly_cap: int | None = None,
    topics: str = "",
    languages: str = "",
    needs_confirmation: bool = False,
    now: datetime,
    rng: random.Random,
) -> Offer:
    """Offer a window, every week on `weekdays` (0 is Monday) or once on `day`; the rest is as in `Offer`.

    Raises:
        Refused: a number is outside of what makes sense, or the zone is unknown.
        ValueError: neither weekdays nor a day are given, or both.
    """
    days = frozenset(weekdays)
    if bool(days) == (day is not None) or not days <= frozenset(range(7)):
        raise ValueError("An offer is either weekly, on weekdays 0 to 6, or on one day.")
    if from_minute % 15 or not 0 <= from_minute < to_minute <= DAY:
        raise Refused("Office hours begin on a quarter of an hour, such as 16:00 or 16:15, and end later that day.")
    if not 10 <= length <= 240:
        raise Refused("A conversation takes 10 to 240 minutes.")
    if to_minute - from_minute < length:
        raise Refused("The window is shorter than one conversation of {length} minutes.", length=length)
    if not 0 <= buffer <= 120:
        raise Refused("The pause after a conversation is 0 to 120 minutes.")
    if not 1 <= seats <= 50:
        raise Refused("A conversation has 1 to 50 seats.")
    if not (0 <= notice_hours <= 14 * 24 and 1 <= horizon_days <= 180):
        raise Refused("Notice is 0 to 336 hours, and slots open 1 to 180 days ahead.")
    if not all(cap is None or 1 <= cap <= 1000 for cap in (daily_cap, weekly_cap)):
        raise Refused("A cap is 1 to 1000 conversations.")
    if day is not None and resolve(day, to_minute, zone_of(zone)).at <= now:
        raise Refused("That day is over.")
    number, code = _fresh_names(session, rng)
    made = Offer(
        number=number,
        code=code,
        mentor_id=mentor,
        network=network,
        zone=zone_of(zone).key,
        weekdays=sum(1 << weekday for weekday in days),
        day=day,
        from_minute=from_minute,
        to_minute=to_minute,
        length=length,
        buffer=buffer,
        seats=seats,
        notice_hours=notice_hours,
        horizon_days=horizon_days,
        daily_cap=daily_cap,
        weekly_cap=weekly_cap,
        topics=topics[:200],
        languages=languages,
        needs_confirmation=needs_confirmation,
        offered_at=now,
    )
    session.add(made)
    session.flush()
    return made


def withdraw_offer(session: Session, *, offer: Offer, by: UUID, now: datetime) -> list[Booked]:
    """Make no more slots of an offer; returns the bookings still to come, which stay as they are.

    Raises:
        Refused: the offer is not this mentor's.
    """
    if offer.mentor_id != by:
        raise Refused("You have no offer with that code. {offers} lists yours.", offers=Line("hours offers"))
    offer.withdrawn_at = offer.withdrawn_at or now
    session.add(offer)
    session.flush()
    return _standing(session, col(HourSession.offer_id) == offer.id, col(HourSession.starts_at) > now)


def rezone(session: Session, *, mentor: UUID, zone: str) -> int:
    """Move a mentor's weekly offers to another zone's wall, and tell how many; bookings stay where they are.

    Raises:
        Refused: there is no such zone.
    """
    name = zone_of(zone).key
    moved = [offer for offer in offers_of(session, mentor) if offer.weekdays and offer.zone != name]
    for each in moved:
        each.zone = name
        session.add(each)
    session.flush()
    return len(moved)


def block(session: Session, *, mentor: UUID, first_day: date, last_day: date, zone: str, now: datetime) -> list[Booked]:
    """Close all slots of a mentor on these local days, both included; returns the bookings that stand there.

    Raises:
        Refused: the days are over, out of order, or more than a year; or the zone is unknown.
    """
    where = zone_of(zone)
    if not first_day <= last_day <= first_day + timedelta(days=366):
        raise Refused("The last day cannot come before the first, nor more than a year after it.")
    starts_at, ends_at = resolve(first_day, 0, where).at, resolve(last_day, DAY, where).at
    if ends_at <= now:
        raise Refused("Those days are over.")
    session.add(
        Block(
            mentor_id=mentor,
            first_day=first_day,
            last_day=last_day,
            zone=where.key,
            starts_at=starts_at,
            ends_at=ends_at,
        )
    )
    session.flush()
    return _standing(
        session,
        col(HourSession.mentor_id) == mentor,
        col(HourSession.starts_at) < ends_at,
        col(HourSession.ends_at) > max(starts_at, now),
    )


def unblock(session: Session, *, mentor: UUID, now: datetime) -> int:
    """Open all days that a mentor had blocked from now on, and tell how many blocks that were."""
    closed = blocks_of(session, mentor, now=now)
    for each in closed:
        session.delete(each)
    session.flush()
    return len(closed)


# Rules for bookings


def book(
    session: Session, *, slot: Slot, member: UUID, topic: str | None = None, now: datetime, rng: random.Random
) -> Booked:
    """Book a seat in a slot: confirmed at once, or pending where the mentor wants to confirm.

    Raises:
        Refused: the slot is taken or was never open for this member; the transaction stays usable.
    """
    made = _fresh_offer(session, slot)
    agenda = _Agenda(session, [made], slot.starts_at, slot.ends_at, member)
    while True:
        try:
            with attempt(session):
                hour, seat = _sit(session, made, slot, member=member, agenda=agenda, now=now)
                booking = Booking(
                    code=draw(rng, "B"),
                    session_id=hour.id,
                    seat=seat,
                    member_id=member,
                    network=hour.network,
                    topic=None if topic is None else Sealed(member, topic),
                    booked_at=now,
                    placed_at=now,
                    state=BookingState.CONFIRMED,
                )
                _placed(booking, made, hour, now)
                write(session, booking)
            return Booked(booking, hour)
        except Conflict as conflict:
            if conflict.constraint != "uq_booking_code":
                raise _taken() from None


def move(session: Session, *, booking: Booking, slot: Slot, by: UUID, now: datetime) -> tuple[Booked, HourSession]:
    """Move a booking to another slot: code and UID stay, SEQUENCE rises, the former slot is free again.

    Returns:
        The booking in its new session, and the former session. Where the new mentor wants to confirm, it is
        pending again.

    Raises:
        Refused: it is not this member's, has begun, or the slot cannot be booked; then nothing has changed.
    """
    booking, hour = _held(session, booking)
    if booking.member_id != by:
        raise _unknown()
    _must_stand_before_it_begins(booking, hour, now)
    if slot.code == hour.code:
        raise Refused("That is the slot you have.")
    made = _fresh_offer(session, slot)
    try:
        with attempt(session):
            _leave_seat(session, booking, hour, now)
            agenda = _Agenda(session, [made], slot.starts_at, slot.ends_at, by)
            new, seat = _sit(session, made, slot, member=by, agenda=agenda, now=now)
            booking.session_id, booking.seat, booking.network = new.id, seat, new.network
            booking.sequence += 1
            _placed(booking, made, new, now)
            session.add(booking)
            session.flush()
    except Conflict:
        raise _taken() from None
    return Booked(booking, new), hour


def cancel(session: Session, *, booking: Booking, by: UUID, now: datetime) -> Cancelled:
    """Cancel a booking. A member gives up a seat; a mentor cancels the conversation, with all its seats.

    Returns:
        Every booking that fell, so that all of them are told; and whether it was late: with less notice than
        the offer asks for. That is allowed, but said.

    Raises:
        Refused: it is not this person's, it is over, or it has begun.
    """
    booking, hour = _held(session, booking)
    if by not in {booking.member_id, hour.mentor_id}:
        raise _unknown()
    _must_stand_before_it_begins(booking, hour, now)
    fallen = [Booked(booking, hour)]
    if by == hour.mentor_id:
        fallen = _standing(session, col(Booking.session_id) == hour.id)
    for each in fallen:
        _close(session, each, BookingState.CANCELLED, now)
    made = session.get_one(Offer, hour.offer_id)
    return Cancelled(fallen, late=hour.starts_at - now < timedelta(hours=made.notice_hours))


def confirm(session: Session, *, booking: Booking, by: UUID, now: datetime) -> Booked:
    """The mentor says yes to a pending booking.

    Raises:
        Refused: it is not this mentor's, is not pending, or has begun.
    """
    booking, hour = _pending(session, booking, by, now)
    booking.state, booking.placed_at, booking.answer_by = BookingState.CONFIRMED, now, None
    booking.sequence += 1
    session.add(booking)
    session.flush()
    return Booked(booking, hour)


def decline(session: Session, *, booking: Booking, by: UUID, now: datetime) -> Booked:
    """The mentor says no to a pending booking; its seat is free again.

    Raises:
        Refused: it is not this mentor's, is not pending, or has begun.
    """
    found = _pending(session, booking, by, now)
    _close(session, found, BookingState.DECLINED, now)
    return found


def expire(session: Session, now: datetime) -> list[Booked]:
    """End the pending bookings that their mentors have not answered in time; their seats are free again."""
    late = _standing(session, col(Booking.state) == BookingState.PENDING, col(Booking.answer_by) <= now)
    for each in late:
        _close(session, each, BookingState.EXPIRED, now)
    return late


def done(session: Session, *, booking: Booking, by: UUID, now: datetime) -> Booked:
    """The mentor says that the conversation took place; also corrects a `noshow`.

    Raises:
        Refused: it is not this mentor's, was not confirmed, or has not begun.
    """
    return _judge(session, booking, by, BookingState.DONE, now)


def noshow(session: Session, *, booking: Booking, by: UUID, now: datetime) -> tuple[Booked, int]:
    """The mentor says that the member did not come; also corrects a `done`.

    Returns:
        The booking, and how often this member has not come in this network so far: a coordinator may want to
        ask how they are. Nothing else follows from it.

    Raises:
        Refused: it is not this mentor's, was not confirmed, or has not begun.
    """
    found = _judge(session, booking, by, BookingState.NOSHOW, now)
    times = select(func.count()).where(
        col(Booking.member_id) == found.booking.member_id,
        col(Booking.network) == found.booking.network,
        col(Booking.state) == BookingState.NOSHOW,
    )
    return found, session.scalar(times) or 0


def leave(
    session: Session,
    *,
    person: UUID,
    now: datetime,
    network: str | None = None,
    as_mentor: bool = True,
    as_member: bool = True,
) -> list[Booked]:
    """Undo what a person who goes away still stands in: offers withdrawn, bookings to come cancelled.

    To be called before the person is erased: erasure deletes rows and tells nobody.

    Args:
        session: the running transaction.
        person: who goes.
        now: from when.
        network: only in this network; None: everywhere.
        as_mentor: what they offer, and who has booked it.
        as_member: what they have booked themselves.

    Returns:
        Every booking that fell, so that the others can be told.
    """
    if as_mentor:
        for made in offers_of(session, person, network=network):
            made.withdrawn_at = now
            session.add(made)
    sides = [col(HourSession.mentor_id) == person] if as_mentor else []
    sides += [col(Booking.member_id) == person] if as_member else []
    here = [col(Booking.network) == network] if network is not None else []
    if not sides:  # an empty "or" would be no condition at all
        return []
    fallen = _standing(session, or_(*sides), *here, col(HourSession.starts_at) > now)
    for each in fallen:
        _close(session, each, BookingState.CANCELLED, now)
    return fallen


# How it is done

_BOOKED: Final = select(Booking, HourSession).join(HourSession, col(Booking.session_id) == col(HourSession.id))

_OFFER_OF: Final = (
    select(Offer, Member)
    .join(Member, col(Offer.mentor_id) == col(Member.id))
    .where(
        col(Offer.number) == bindparam("number"),
        col(Offer.network) == bindparam("network"),
        col(Offer.withdrawn_at).is_(None),
    )
)
_hour, _seat, _cell, _block = (core(table).c for table in (HourSession, Booking, BusyQuarter, Block))
_SEATS: Final = (
    select(_hour.id, _hour.offer_id, _hour.mentor_id, _hour.starts_at, _seat.seat, _seat.member_id)
    .outerjoin(core(Booking), and_(_seat.session_id == _hour.id, _seat.seat.is_not(None)))
    .where(
        _hour.mentor_id.in_(bindparam("mentors", expanding=True)),
        _hour.starts_at.between(bindparam("since"), bindparam("until")),
        _hour.cancelled_at.is_(None),
    )
)
_BUSY: Final = select(_cell.person_id, _cell.quarter).where(
    _cell.person_id.in_(bindparam("people", expanding=True)),
    _cell.quarter.between(bindparam("first"), bindparam("last")),
)
_AWAY: Final = select(_block.mentor_id, _block.starts_at, _block.ends_at).where(
    _block.mentor_id.in_(bindparam("mentors", expanding=True)), _block.ends_at > bindparam("first")
)
_TAKE: Final = insert(core(BusyQuarter))

_Time = tuple[Offer, datetime, datetime]
"""An offer, and when one of its slots begins and ends."""


def _unknown() -> Refused:
    return Refused("You have no booking with that code. {mine} lists yours.", mine=Line("hours mine"))


def _taken() -> Refused:
    return Refused("That slot was just taken. {open} lists the open ones.", open=Line("hours open"))


def _quarters(start: datetime, end: datetime) -> range:
    """The quarter-hour cells that a span touches."""
    return range(int(start.timestamp()) // _QUARTER, -(-int(end.timestamp()) // _QUARTER))


def _windows(offer: Offer, since: datetime, until: datetime) -> Iterator[_Time]:
    """When the slots of an offer that begin in [since, until) begin and end, in order, taken or not.

    The wall is what the mentor looks at: a slot whose beginning the clocks skip does not exist, one that they
    repeat exists once, and none goes on after the window has closed.
    """
    zone = ZoneInfo(offer.zone)
    step = -(-(offer.length + offer.buffer) // 15) * 15
    minutes, length = (
        range(offer.from_minute, offer.to_minute - offer.length + 1, step),
        timedelta(minutes=offer.length),
    )
    if offer.day is not None:
        days = [offer.day]
    else:
        first = since.astimezone(zone).date()
        count = (until.astimezone(zone).date() - first).days + 1
        days = [first + timedelta(days=after) for after in range(count)]
        weekdays = offer.days
        days = [day for day in days if day.weekday() in weekdays]
    # Most of a narrow span is ruled out by the wall alone; clocks change by less than these hours.
    slack = timedelta(hours=3)
    opens, shuts = (at.astimezone(zone).replace(tzinfo=None) for at in (since - slack, until + slack))
    for day in days:
        midnight = datetime.combine(day, datetime.min.time())
        closes = resolve(day, offer.to_minute, zone).at
        for minute in minutes:
            if not opens <= midnight + timedelta(minutes=minute) <= shuts:
                continue
            begins = resolve(day, minute, zone)
            if begins.adjusted != "gap" and since <= begins.at < until and begins.at + length <= closes:
                yield offer, begins.at, begins.at + length


def _begins(time: _Time) -> datetime:
    return time[1]


def _slot(offer: Offer, starts_at: datetime, ends_at: datetime) -> Slot:
    quarter = _quarters(starts_at, ends_at)[0] - _FIRST_QUARTER
    body = _digits(offer.number, 2) + _digits(quarter, 4)
    return Slot(offer, starts_at, ends_at, f"S-{body}{check('S', body)}")


def _digits(number: int, width: int) -> str:
    written = ""
    while number or len(written) < width:
        number, digit = divmod(number, 32)
        written = ALPHABET[digit] + written
    return written


def _number(digits: str) -> int:
    number = 0
    for digit in digits:
        number = number * 32 + ALPHABET.index(digit)
    return number


class _Agenda:
    """What stands in the way of new bookings with some mentors, for slots that begin in a span."""

    def __init__(
        self, session: Session, offers: list[Offer], first: datetime, last: datetime, member: UUID | None
    ) -> None:
        mentors = {offer.mentor_id for offer in offers}
        self._hours: dict[UUID, dict[datetime, UUID]] = {}
        self._seats: dict[UUID, dict[int, UUID]] = {}
        self._begins: dict[UUID, list[datetime]] = {mentor: [] for mentor in mentors}
        capped = any(offer.daily_cap is not None or offer.weekly_cap is not None for offer in offers)
        around = timedelta(days=8 if capped else 0)  # a cap counts the whole week of its slot, in the mentor's zone
        span = {"mentors": list(mentors), "since": first - around, "until": last + around}
        for row in execute(session, _SEATS, span):
            if row.id not in self._seats:
                self._seats[row.id] = {}
                self._hours.setdefault(row.offer_id, {})[row.starts_at] = row.id
                self._begins[row.mentor_id].append(row.starts_at)
            if row.seat is not None:
                self._seats[row.id][row.seat] = row.member_id
        cells = _quarters(first, last + timedelta(days=1))
        people = list(mentors if member is None else {*mentors, member})
        self._busy: dict[UUID, set[int]] = {}
        for person, quarter in execute(session, _BUSY, {"people": people, "first": cells.start, "last": cells.stop}):
            self._busy.setdefault(person, set()).add(quarter)
        self._away: dict[UUID, list[tuple[datetime, datetime]]] = {}
        for mentor, starts_at, ends_at in execute(session, _AWAY, {"mentors": list(mentors), "first": first}):
            self._away.setdefault(mentor, []).append((starts_at, ends_at))

    def session_of(self, offer: Offer, starts_at: datetime) -> UUID | None:
        """The session that a slot has become, if any."""
        return self._hours.get(offer.id, {}).get(starts_at)

    def free_seat(self, offer: Offer, starts_at: datetime) -> int | None:
        """The lowest free seat of a slot."""
        known = self.session_of(offer, starts_at)
        taken = {} if known is None else self._seats[known]
        return next((seat for seat in range(1, offer.seats + 1) if seat not in taken), None)

    def open_times(
        self, offer: Offer, first: datetime, last: datetime, member: UUID | None, now: datetime
    ) -> Iterator[_Time]:
        """When those slots of an offer begin and end that begin in [first, last) and could be booked."""
        if member == offer.mentor_id:
            return
        soonest = max(first, now + timedelta(hours=offer.notice_hours))
        latest = min(last, now + timedelta(days=offer.horizon_days))
        obstacle = self._obstacle(offer, member)
        for time in _windows(offer, soonest, latest):
            if obstacle(time[1], time[2]) is None:
                yield time

    def refusal(
        self, offer: Offer, starts_at: datetime, ends_at: datetime, member: UUID, now: datetime
    ) -> Refused | None:
        """Why a slot cannot be booked; None if it can."""
        if member == offer.mentor_id:
            return Refused("These are your own office hours.")
        if starts_at < now + timedelta(hours=offer.notice_hours):
            return Refused("It is too late for that slot: its mentor wants to know {n} h ahead.", n=offer.notice_hours)
        if starts_at >= now + timedelta(days=offer.horizon_days):
            return Refused("That slot is not open yet: bookings open {n} days ahead.", n=offer.horizon_days)
        return self._obstacle(offer, member)(starts_at, ends_at)

    def _obstacle(self, offer: Offer, member: UUID | None) -> Callable[[datetime, datetime], Refused | None]:
        """A function that tells what others have put in the way of a slot, given when it begins and ends.

        Made once for each offer, because thousands of slots are looked at.
        """
        mine = self._busy.get(member, _NOTHING) if member else _NOTHING
        theirs = self._busy.get(offer.mentor_id, _NOTHING)
        away = self._away.get(offer.mentor_id, ())
        taken = self._hours.get(offer.id, {})
        pause = timedelta(minutes=offer.buffer)
        cap = self._cap(offer)

        def obstacle(starts_at: datetime, ends_at: datetime) -> Refused | None:
            if mine and not mine.isdisjoint(_quarters(starts_at, ends_at)):
                return Refused("You have another conversation at that time.")
            if any(start < ends_at and starts_at < end for start, end in away):
                return Refused("The mentor is away then.")
            if starts_at in taken:
                return None if self.free_seat(offer, starts_at) else _taken()
            if theirs and not theirs.isdisjoint(_quarters(starts_at, ends_at + pause)):
                return _taken()
            return cap(starts_at)

        return obstacle

    def _cap(self, offer: Offer) -> Callable[[datetime], Refused | None]:
        daily, weekly = offer.daily_cap, offer.weekly_cap
        begins = self._begins[offer.mentor_id]
        if (daily is None and weekly is None) or not begins:
            return lambda _starts_at: None
        zone = ZoneInfo(offer.zone)
        days = Counter(at.astimezone(zone).date() for at in begins)
        weeks: Counter[tuple[int, int]] = Counter()
        for day, count in days.items():
            weeks[day.isocalendar()[:2]] += count

        def cap(starts_at: datetime) -> Refused | None:
            day = starts_at.astimezone(zone).date()
            if daily is not None and days[day] >= daily:
                return Refused("This mentor takes no more conversations on that day.")
            if weekly is not None and weeks[day.isocalendar()[:2]] >= weekly:
                return Refused("This mentor takes no more conversations in that week.")
            return None

        return cap


def _fresh_names(session: Session, rng: random.Random) -> tuple[int, str]:
    """A number and a code that no offer has; drawn, because an erased offer's number should not come back."""
    taken = session.execute(select(col(Offer.number), col(Offer.code))).all()
    numbers, codes = {number for number, _ in taken}, {code for _, code in taken}
    number = rng.randrange(1, below := max(1024, 4 * len(taken)))
    while number in numbers:
        number = rng.randrange(1, below)
    code = draw(rng, "O", 4)
    while code in codes:
        code = draw(rng, "O", 5)
    return number, code


def _fresh_offer(session: Session, slot: Slot) -> Offer:
    """The slot's offer as it is in this transaction, if it still makes this slot."""
    made = session.get(Offer, slot.offer.id)
    if made is not None and made.withdrawn_at is None:
        for _, starts_at, ends_at in _windows(made, slot.starts_at, slot.starts_at + timedelta(seconds=1)):
            if (starts_at, ends_at) == (slot.starts_at, slot.ends_at):
                return made
    raise Refused("There is no slot with that code. {open} lists the open ones.", open=Line("hours open"))


def _sit(
    session: Session, offer: Offer, slot: Slot, *, member: UUID, agenda: _Agenda, now: datetime
) -> tuple[HourSession, int]:
    """Take a seat and the cells of a slot.

    Raises:
        Refused: what we see says that it cannot be.
        Conflict: what we do not see says so.
    """
    refusal = agenda.refusal(offer, slot.starts_at, slot.ends_at, member, now)
    if refusal is not None:
        raise refusal
    cells = [(member, quarter) for quarter in _quarters(slot.starts_at, slot.ends_at)]
    known = agenda.session_of(offer, slot.starts_at)
    hour = None if known is None else session.get(HourSession, known)
    if hour is None:
        hour = HourSession(
            code=slot.code,
            offer_id=offer.id,
            mentor_id=offer.mentor_id,
            network=offer.network,
            starts_at=slot.starts_at,
            ends_at=slot.ends_at,
            seats=offer.seats,
        )
        write(session, hour)
        pause = timedelta(minutes=offer.buffer)
        cells += [(offer.mentor_id, quarter) for quarter in _quarters(slot.starts_at, slot.ends_at + pause)]
    # Everybody takes cells in the same order: then two who meet wait for one another, not each for the other.
    execute(
        session,
        _TAKE,
        [{"person_id": who, "quarter": quarter, "session_id": hour.id} for who, quarter in sorted(cells)],
    )
    return hour, agenda.free_seat(offer, slot.starts_at) or 1


def _placed(booking: Booking, offer: Offer, hour: HourSession, now: datetime) -> None:
    """A booking that has just got its place stands, or waits for the mentor's yes."""
    booking.placed_at = now
    booking.state = BookingState.PENDING if offer.needs_confirmation else BookingState.CONFIRMED
    booking.answer_by = min(now + ANSWER_WITHIN, hour.starts_at) if offer.needs_confirmation else None


def _held(session: Session, booking: Booking) -> Booked:
    """A booking and its session, as they are in this transaction."""
    found = session.execute(
        _BOOKED.where(col(Booking.id) == booking.id).execution_options(populate_existing=True)
    ).first()
    if found is None:
        raise _unknown()
    return Booked(*found)


def _must_stand_before_it_begins(booking: Booking, hour: HourSession, now: datetime) -> None:
    if booking.state not in _STANDING:
        raise Refused("That booking no longer stands.")
    if now >= hour.starts_at:
        raise Refused("That conversation has already begun.")


def _pending(session: Session, booking: Booking, mentor: UUID, now: datetime) -> Booked:
    booking, hour = _held(session, booking)
    if hour.mentor_id != mentor:
        raise _unknown()
    _must_stand_before_it_begins(booking, hour, now)
    if booking.state is not BookingState.PENDING:
        raise Refused("That booking is confirmed already.")
    return Booked(booking, hour)


def _judge(session: Session, booking: Booking, mentor: UUID, state: BookingState, now: datetime) -> Booked:
    booking, hour = _held(session, booking)
    if hour.mentor_id != mentor:
        raise _unknown()
    if booking.state not in {BookingState.CONFIRMED, BookingState.DONE, BookingState.NOSHOW}:
        raise Refused("That booking no longer stands.")
    if now < hour.starts_at:
        raise Refused("That conversation has not begun yet.")
    booking.state, booking.closed_at = state, now
    session.add(booking)
    session.flush()
    return Booked(booking, hour)


def _close(session: Session, booked: Booked, state: BookingState, now: datetime) -> None:
    booking, hour = booked
    _leave_seat(session, booking, hour, now)
    booking.state, booking.closed_at, booking.answer_by = state, now, None
    booking.sequence += 1
    session.add(booking)
    session.flush()


def _leave_seat(session: Session, booking: Booking, hour: HourSession, now: datetime) -> None:
    """Give a seat and its cells back; the last one who goes frees the slot."""
    booking.seat = None
    session.add(booking)
    session.flush()
    seat, busy = core(Booking).c, core(BusyQuarter).c
    free = delete(core(BusyQuarter)).where(busy.session_id == hour.id)
    others = select(func.count()).where(seat.session_id == hour.id, seat.seat.is_not(None))
    if session.scalar(others):
        free = free.where(busy.person_id == booking.member_id)
    else:
        hour.cancelled_at = now
        session.add(hour)
        session.flush()
    execute(session, free)


def _standing(session: Session, *conditions: ColumnElement[bool]) -> list[Booked]:
    found = session.execute(
        _BOOKED.where(col(Booking.state).in_(_STANDING), *conditions).order_by(
            col(HourSession.starts_at), col(Booking.seat)
        )
    )
    return [Booked(*row) for row in found]
