import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, insert, select

from storage import office_hours as hours
from storage.members import Member
from storage.office_hours import Block, Booked, Booking, BookingState, BusyQuarter, HourSession, Offer, Slot
from storage.privacy import erase
from storage.refused import Refused
from storage.sealed import Vault
from storage.store import Conflict, Session, Store, attempt
from storage.table import core

KYIV, ALMATY, TBILISI = ZoneInfo("Europe/Kyiv"), ZoneInfo("Asia/Almaty"), ZoneInfo("Asia/Tbilisi")
NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)  # a Friday
CHANCE = random.Random(0)
ROOT = Path(__file__).parent.parent
MASTER = bytes(range(32))
TAKEN = "just taken"
UNKNOWN = "no booking with that code"


def people(session: Session, *handles: str) -> list[UUID]:
    found = [Member(handle=handle, language="en", zone="UTC", created_at=NOW) for handle in handles]
    session.add_all(found)
    session.flush()
    return [member.id for member in found]


def offered(session: Session, mentor: UUID, **facts: Any) -> Offer:
    """Tuesdays 16:00-18:00 in Kyiv, unless told otherwise."""
    told: dict[str, Any] = {
        "mentor": mentor,
        "network": "uj",
        "zone": "Europe/Kyiv",
        "from_minute": 16 * 60,
        "to_minute": 18 * 60,
        "now": NOW,
        "rng": random.Random(1),
    }
    if "day" not in facts:
        told["weekdays"] = {1}
    return hours.offer(session, **told | facts)


def free(session: Session, now: datetime = NOW, **facts: Any) -> list[Slot]:
    return hours.open_slots(session, **{"network": "uj", "now": now, "limit": None} | facts)


def taken(session: Session, slot: Slot, member: UUID, now: datetime = NOW, topic: str | None = None) -> Booked:
    return hours.book(session, slot=slot, member=member, topic=topic, now=now, rng=CHANCE)


def walls(slots: list[Slot], zone: ZoneInfo = KYIV) -> list[str]:
    return [f"{slot.starts_at.astimezone(zone):%a %d %H:%M}" for slot in slots]


# Slots


async def test_a_weekly_offer_is_cut_into_slots_up_to_its_horizon(store: Store) -> None:
    def check(session: Session) -> None:
        (mentor,) = people(session, "ann")
        offered(session, mentor, length=45, horizon_days=12)
        slots = free(session)
        assert walls(slots) == ["Tue 24 16:00", "Tue 24 16:45", "Tue 01 16:00", "Tue 01 16:45"]
        assert slots[0].ends_at - slots[0].starts_at == timedelta(minutes=45)
        assert walls(slots, ALMATY)[0] == "Tue 24 19:00"
        assert walls(slots, TBILISI)[0] == "Tue 24 18:00"

    await store.run(check)


async def test_an_offer_of_one_day_has_slots_on_that_day_only(store: Store) -> None:
    def check(session: Session) -> None:
        (mentor,) = people(session, "ann")
        offered(session, mentor, day=date(2026, 12, 1), to_minute=17 * 60)
        assert walls(free(session)) == ["Tue 01 16:00", "Tue 01 16:30"]

    await store.run(check)


async def test_in_spring_slots_whose_beginning_is_skipped_do_not_exist(store: Store) -> None:
    def check(session: Session) -> None:
        (mentor,) = people(session, "ann")
        offered(session, mentor, weekdays={6}, from_minute=120, to_minute=300, horizon_days=10)
        slots = free(session, datetime(2027, 3, 20, tzinfo=UTC))
        assert walls(slots)[:6] == [f"Sun 21 0{h}:{m}" for h in (2, 3, 4) for m in ("00", "30")]
        assert walls(slots)[6:] == ["Sun 28 02:00", "Sun 28 02:30", "Sun 28 04:00", "Sun 28 04:30"]
        assert all(b.starts_at >= a.ends_at for a, b in pairwise(slots))

    await store.run(check)


async def test_in_autumn_slots_in_the_repeated_hour_exist_once(store: Store) -> None:
    def check(session: Session) -> None:
        (mentor,) = people(session, "ann")
        offered(session, mentor, weekdays={6}, from_minute=150, to_minute=270, horizon_days=9)
        slots = free(session, datetime(2026, 10, 17, tzinfo=UTC))
        same = ["02:30", "03:00", "03:30", "04:00"]
        assert walls(slots) == [f"Sun 18 {at}" for at in same] + [f"Sun 25 {at}" for at in same]
        assert slots[6].starts_at == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
        assert walls(slots, ALMATY)[3:] == [
            *("Sun 18 06:00", "Sun 25 04:30", "Sun 25 05:00", "Sun 25 05:30", "Sun 25 07:00")
        ]

    await store.run(check)


async def test_no_slot_goes_on_after_its_window_has_closed(store: Store) -> None:
    def check(session: Session) -> None:
        (mentor,) = people(session, "ann")
        # The clocks jump from 3 to 4: an hour that begins at 2:30 would end at 4:30.
        offered(session, mentor, day=date(2027, 3, 28), from_minute=150, to_minute=210, length=60)
        assert free(session, datetime(2027, 3, 20, tzinfo=UTC)) == []

    await store.run(check)


async def test_notice_horizon_and_pauses_are_kept(store: Store) -> None:
    def check(session: Session) -> None:
        mentor, member = people(session, "ann", "bob")
        offered(session, mentor, weekdays={4}, from_minute=12 * 60, to_minute=15 * 60, notice_hours=2, buffer=10)
        # 11:00 in Kyiv; slots come every 45 minutes, because a pause belongs to each.
        slots = free(session)
        assert walls(slots)[:4] == ["Fri 20 13:30", "Fri 20 14:15", "Fri 27 12:00", "Fri 27 12:45"]
        late = hours.slot_by_code(
            session,
            hours._slot(*next(iter(hours._windows(slots[0].offer, NOW, NOW + timedelta(days=1))))).code,
            network="uj",
        )
        with pytest.raises(Refused, match="too late"):
            taken(session, late, member)
        with pytest.raises(Refused, match="not open yet"):
            taken(session, slots[0], member, NOW - timedelta(days=40))

    await store.run(check)


async def test_days_that_a_mentor_blocks_have_no_slots_and_standing_bookings_are_told(
    store: Store,
) -> None:
    def check(session: Session) -> None:
        mentor, member = people(session, "ann", "bob")
        offered(session, mentor)
        slot = free(session)[0]
        booked = taken(session, slot, member)
        inside = hours.block(
            session,
            mentor=mentor,
            first_day=date(2026, 11, 23),
            last_day=date(2026, 11, 30),
            zone="Europe/Kyiv",
            now=NOW,
        )
        assert inside == [booked]
        assert walls(free(session))[0] == "Tue 01 16:00"
        with pytest.raises(Refused, match="away"):
            taken(session, hours.slot_by_code(session, slot.code, network="uj"), people(session, "cy")[0])
        assert [block.first_day for block in hours.blocks_of(session, mentor, now=NOW)] == [date(2026, 11, 23)]
        assert hours.unblock(session, mentor=mentor, now=NOW) == 1
        assert walls(free(session))[0] == "Tue 24 16:30"

    await store.run(check)


async def test_caps_count_a_mentors_conversations_in_all_networks(store: Store) -> None:
    def check(session: Session) -> None:
        mentor, *members = people(session, "ann", "bob", "cy", "di")
        offered(session, mentor, daily_cap=1, weekly_cap=2)
        offered(
            session,
            mentor,
            network="climate",
            weekdays={2, 3},
            daily_cap=1,
            weekly_cap=2,
            rng=random.Random(2),
        )
        first = free(session, network="climate")[0]
        taken(session, first, members[0])
        assert "Wed 25 16:30" not in walls(free(session, network="climate"))
        assert walls(free(session))[0] == "Tue 24 16:00"
        taken(session, free(session)[0], members[1])
        assert walls(free(session))[0] == "Tue 01 16:00"
        assert walls(free(session, network="climate"))[0] == "Wed 02 16:00"
        with pytest.raises(Refused, match="that week"):
            taken(
                session,
                hours._slot(first.offer, first.starts_at + timedelta(days=1), first.ends_at + timedelta(days=1)),
                members[2],
            )

    await store.run(check)


async def test_members_do_not_see_their_own_offers_nor_slots_when_they_are_busy(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob, cy = people(session, "ann", "bob", "cy")
        offered(session, ann, horizon_days=5)
        offered(session, bob, horizon_days=5, rng=random.Random(2))
        slots = free(session)
        assert {slot.offer.mentor_id for slot in free(session, member=ann)} == {bob}
        with pytest.raises(Refused, match="your own"):
            taken(session, next(slot for slot in slots if slot.offer.mentor_id == ann), ann)
        taken(session, slots[0], cy)
        assert walls(free(session, member=cy)) == ["Tue 24 16:30"] * 2 + ["Tue 24 17:00"] * 2 + ["Tue 24 17:30"] * 2

    await store.run(check)


async def test_slots_are_found_by_mentor_topic_language_and_time(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob = people(session, "ann", "bob")
        offered(session, ann, topics="Universal jurisdiction, Germany", languages="en uk")
        offered(session, bob, topics="Sanctions dossiers", languages="en ru", rng=random.Random(2))
        assert {slot.offer.mentor_id for slot in free(session)} == {ann, bob}
        assert {slot.offer.mentor_id for slot in free(session, mentor=bob)} == {bob}
        assert {slot.offer.mentor_id for slot in free(session, topic="germany")} == {ann}
        assert {slot.offer.mentor_id for slot in free(session, language="ru")} == {bob}
        day = (datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 2, tzinfo=UTC))
        assert set(walls(free(session, when=day))) == {f"Tue 01 {at}" for at in ("16:00", "16:30", "17:00", "17:30")}
        assert len(free(session, limit=3)) == 3
        assert free(session, network="climate") == []

    await store.run(check)


@given(number=st.integers(1, 32**3), quarter=st.integers(0, 2**20 - 1))
def test_a_slots_code_reads_back_and_one_wrong_character_is_noticed(number: int, quarter: int) -> None:
    starts_at = datetime.fromtimestamp((quarter + hours._FIRST_QUARTER) * 900, UTC)
    offer = Offer(
        number=number,
        code="",
        mentor_id=UUID(int=1),
        network="",
        zone="UTC",
        from_minute=0,
        to_minute=1,
        offered_at=NOW,
    )
    code = hours._slot(offer, starts_at, starts_at + timedelta(minutes=30)).code
    assert hours.read(code.lower().replace("0", "o"), "S") == code
    digits = code[2:-1]
    assert (hours._number(digits[:-4]), hours._number(digits[-4:])) == (number, quarter)
    for place in range(2, len(code)):
        wrong = code[:place] + hours.ALPHABET[(hours.ALPHABET.index(code[place]) + 1) % 32] + code[place + 1 :]
        assert hours.read(wrong, "S") != wrong


async def test_every_open_slot_is_found_by_its_code_and_nothing_else_is(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob = people(session, "ann", "bob")
        offered(session, ann)
        offered(session, bob, network="climate", rng=random.Random(2))
        slots = free(session)
        assert [hours.slot_by_code(session, slot.code, network="uj") for slot in slots] == slots
        never = hours._slot(slots[0].offer, slots[0].starts_at + timedelta(minutes=15), slots[0].ends_at)
        other = free(session, network="climate")[0].code
        endless = Offer(**slots[0].offer.model_dump() | {"number": 32**9})
        too_long = hours._slot(endless, NOW, NOW + timedelta(hours=1)).code
        assert hours.read(too_long, "S") == too_long
        for code in (other, never.code, too_long, "S-1", "", "B-7K3FQ"):
            with pytest.raises(Refused, match="no slot with that code"):
                hours.slot_by_code(session, code, network="uj")

    await store.run(check)


# Offers


async def test_offers_that_make_no_sense_are_refused(store: Store) -> None:
    def check(session: Session) -> None:
        (mentor,) = people(session, "ann")
        for facts in (
            {"from_minute": 16 * 60 + 5},
            {"to_minute": 15 * 60},
            {"to_minute": 1441},
            {"to_minute": 16 * 60 + 20},
            {"length": 5},
            {"length": 300},
            {"buffer": -1},
            {"seats": 0},
            {"notice_hours": -1},
            {"horizon_days": 0},
            {"daily_cap": -1},
            {"zone": "Europe/Nowhere"},
            {"day": date(2026, 11, 19)},
        ):
            with pytest.raises(Refused):
                offered(session, mentor, **facts)
        for facts in ({"weekdays": {1}, "day": date(2026, 12, 1)}, {"weekdays": {}}, {"weekdays": {7}}):
            with pytest.raises(ValueError, match="either weekly"):
                offered(session, mentor, **facts)
        assert hours.offers_of(session, mentor) == []

    await store.run(check)


async def test_a_withdrawn_offer_makes_no_slots_and_keeps_its_bookings(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob, cy = people(session, "ann", "bob", "cy")
        offer = offered(session, ann)
        first, second, *_ = free(session)
        booked = taken(session, first, cy)
        assert hours.offer_by_code(session, offer.code.lower(), mentor=ann) == offer
        for refused in (
            lambda: hours.offer_by_code(session, offer.code, mentor=bob),
            lambda: hours.offer_by_code(session, "O-0000", mentor=ann),
            lambda: hours.withdraw_offer(session, offer=offer, by=bob, now=NOW),
        ):
            with pytest.raises(Refused, match="no offer with that code"):
                refused()
        assert hours.withdraw_offer(session, offer=offer, by=ann, now=NOW) == [booked]
        assert free(session) == []
        assert hours.bookings_of(session, cy, since=NOW) == [booked]
        with pytest.raises(Refused, match="no slot"):
            taken(session, second, bob)

    await store.run(check)


async def test_bookings_stay_where_they_are_when_a_mentor_changes_zone(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob = people(session, "ann", "bob")
        offered(session, ann)
        booked = taken(session, free(session)[0], bob)
        before = booked.hour.starts_at
        assert hours.rezone(session, mentor=ann, zone="Asia/Tbilisi") == 1
        assert hours.bookings_of(session, bob, since=NOW)[0].hour.starts_at == before
        # 16:00-18:00 in Tbilisi is 14:00-16:00 in Kyiv: nothing there overlaps the booking at 16:00 in Kyiv.
        assert walls(free(session))[:4] == ["Tue 24 14:00", "Tue 24 14:30", "Tue 24 15:00", "Tue 24 15:30"]
        assert hours.rezone(session, mentor=ann, zone="Europe/Berlin") == 1
        assert walls(free(session))[:4] == ["Tue 24 17:00", "Tue 24 17:30", "Tue 24 18:00", "Tue 24 18:30"]
        assert hours.rezone(session, mentor=ann, zone="Europe/Vilnius") == 1
        assert walls(free(session))[:3] == ["Tue 24 16:30", "Tue 24 17:00", "Tue 24 17:30"]

    await store.run(check)


# Bookings


async def test_a_booking_is_confirmed_at_once_and_both_sides_find_it(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob, cy = people(session, "ann", "bob", "cy")
        offered(session, ann)
        slot = free(session)[0]
        booked = taken(session, slot, bob, topic="How to begin?")
        assert (booked.booking.state, booked.booking.seat, booked.booking.sequence) == (
            BookingState.CONFIRMED,
            1,
            0,
        )
        assert (booked.hour.code, booked.hour.starts_at) == (slot.code, slot.starts_at)
        assert (
            hours.bookings_of(session, bob, since=NOW) == hours.bookings_for_mentor(session, ann, since=NOW) == [booked]
        )
        for person in (ann, bob):
            assert hours.booking_by_code(session, booked.booking.code.lower(), person=person) == booked
        for code, person in ((booked.booking.code, cy), ("B-00000", bob), ("nonsense", bob)):
            with pytest.raises(Refused, match=UNKNOWN):
                hours.booking_by_code(session, code, person=person)
        assert slot not in free(session)

    await store.run(check)


async def test_the_topic_is_stored_sealed(store: Store) -> None:
    def book(session: Session) -> Booked:
        ann, bob = people(session, "ann", "bob")
        offered(session, ann)
        return taken(session, free(session)[0], bob, topic="How to begin?")

    booked = await store.run(book)

    def check(session: Session) -> None:
        found = hours.booking_by_code(session, booked.booking.code, person=booked.hour.mentor_id).booking
        assert found.topic is not None
        assert found.topic.text == "How to begin?"
        raw = session.connection().exec_driver_sql("SELECT topic FROM booking").scalar()
        assert b"begin" not in bytes(raw)
        assert "begin" not in repr(found)

    await store.run(check)


async def test_a_taken_slot_is_refused_and_the_transaction_goes_on(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob, cy = people(session, "ann", "bob", "cy")
        offered(session, ann)
        slot = free(session)[0]
        taken(session, slot, bob)
        with pytest.raises(Refused, match=TAKEN):
            taken(session, slot, cy)
        with pytest.raises(Refused, match="another conversation"):
            taken(session, slot, bob)
        taken(session, free(session)[0], cy)

    await store.run(check)


async def test_what_a_rule_cannot_see_the_constraint_forbids(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(session: Session) -> None:
        ann, bob, cy = people(session, "ann", "bob", "cy")
        offered(session, ann)
        offered(session, ann, network="climate", from_minute=16 * 60 + 15, rng=random.Random(2))
        taken(session, free(session)[0], bob)
        overlapping = hours._slot(
            *next(hours._windows(hours.offers_of(session, ann, network="climate")[0], NOW, NOW + timedelta(days=7)))
        )
        monkeypatch.setattr(hours._Agenda, "refusal", lambda *_args, **_facts: None)
        with pytest.raises(Refused, match=TAKEN):
            taken(session, overlapping, cy)
        assert len(session.scalars(select(HourSession)).all()) == 1
        seat = core(Booking).c
        booking = session.scalars(select(Booking)).one()
        again = booking.model_dump() | {"id": UUID(int=5), "code": "B-1", "member_id": cy}

        def sit_on_the_same_seat() -> None:
            with attempt(session):
                session.execute(insert(core(Booking)).values(again))

        with pytest.raises(Conflict, match="uq_booking_session_id_seat"):
            sit_on_the_same_seat()
        assert session.scalar(select(seat.code)) == booking.code

    await store.run(check)


async def test_a_mentor_is_never_in_two_conversations_nor_a_member(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob, cy = people(session, "ann", "bob", "cy")
        offered(session, ann, buffer=15)
        offered(session, ann, network="climate", from_minute=16 * 60 + 15, rng=random.Random(2))
        offered(session, bob, network="sanctions", rng=random.Random(3))
        taken(session, free(session)[0], cy)  # ann and cy, 16:00-16:30, ann's pause until 16:45
        assert walls(free(session, network="climate"))[0] == "Tue 24 16:45"
        assert walls(free(session, network="sanctions", member=ann))[0] == "Tue 24 17:00"
        assert walls(free(session, network="sanctions", member=cy))[0] == "Tue 24 16:30"
        # A mentor who is a member elsewhere is busy for both.
        taken(session, free(session, network="sanctions", member=ann)[0], ann)
        assert walls(free(session, network="climate"))[:1] == ["Tue 01 16:15"]

    await store.run(check)


async def test_a_session_takes_exactly_as_many_members_as_it_has_seats(store: Store) -> None:
    def check(session: Session) -> None:
        ann, *members, late = people(session, "ann", "bob", "cy", "di", "ed")
        offered(session, ann, seats=3)
        slot = free(session)[0]
        booked = [taken(session, slot, member) for member in members]
        assert [each.booking.seat for each in booked] == [1, 2, 3]
        assert len({each.hour.id for each in booked}) == 1
        with pytest.raises(Refused, match=TAKEN):
            taken(session, slot, late)
        hours.cancel(session, booking=booked[1].booking, by=members[1], now=NOW)
        assert taken(session, slot, late).booking.seat == 2
        assert slot not in free(session)

    await store.run(check)


async def test_when_a_mentor_cancels_all_seats_are_told(store: Store) -> None:
    def check(session: Session) -> None:
        ann, *members = people(session, "ann", "bob", "cy")
        offered(session, ann, seats=2)
        slot = free(session)[0]
        booked = [taken(session, slot, member) for member in members]
        fallen = hours.cancel(session, booking=booked[1].booking, by=ann, now=NOW)
        assert [each.booking.member_id for each in fallen.bookings] == members
        assert {(each.booking.state, each.booking.sequence) for each in fallen.bookings} == {
            (BookingState.CANCELLED, 1)
        }
        assert not fallen.late
        assert slot in free(session)
        assert session.scalars(select(BusyQuarter)).all() == []

    await store.run(check)


async def test_a_member_gives_up_their_own_seat_only(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob, cy = people(session, "ann", "bob", "cy")
        offered(session, ann, seats=2)
        slot = free(session)[0]
        first, second = taken(session, slot, bob), taken(session, slot, cy)
        with pytest.raises(Refused, match=UNKNOWN):
            hours.cancel(session, booking=first.booking, by=cy, now=NOW)
        assert hours.cancel(session, booking=first.booking, by=bob, now=NOW).bookings == [first]
        assert hours.bookings_for_mentor(session, ann, since=NOW) == [second]
        assert second.hour.cancelled_at is None
        with pytest.raises(Refused, match="no longer stands"):
            hours.cancel(session, booking=first.booking, by=bob, now=NOW)

    await store.run(check)


async def test_a_late_cancellation_is_allowed_and_reported_and_none_after_the_beginning(
    store: Store,
) -> None:
    def check(session: Session) -> None:
        ann, bob = people(session, "ann", "bob")
        offered(session, ann, notice_hours=12)
        booked = taken(session, free(session)[0], bob)
        begins = booked.hour.starts_at
        with pytest.raises(Refused, match="already begun"):
            hours.cancel(session, booking=booked.booking, by=bob, now=begins)
        assert hours.cancel(session, booking=booked.booking, by=bob, now=begins - timedelta(hours=11)).late

    await store.run(check)


async def test_moving_keeps_code_and_uid_raises_the_sequence_and_frees_the_former_slot(
    store: Store,
) -> None:
    def check(session: Session) -> None:
        ann, bob, cy = people(session, "ann", "bob", "cy")
        offered(session, ann, daily_cap=1)
        first = free(session)[0]
        booked = taken(session, first, bob)
        code, uid = booked.booking.code, booked.booking.uid
        # Within the same day: the cap counts the new place, not the old one as well.
        there = hours._slot(first.offer, first.starts_at + timedelta(minutes=30), first.ends_at + timedelta(minutes=30))
        for times, slot in (
            (1, there),
            (2, next(s for s in free(session) if s.starts_at > NOW + timedelta(days=7))),
        ):
            moved, former = hours.move(session, booking=booked.booking, slot=slot, by=bob, now=NOW)
            assert (moved.booking.code, moved.booking.uid, moved.booking.sequence) == (code, uid, times)
            assert moved.hour.starts_at == slot.starts_at
            assert former.cancelled_at == NOW
        assert first in free(session)
        taken(session, first, cy)
        assert hours.bookings_of(session, bob, since=NOW) == [moved]
        cancelled = hours.cancel(session, booking=booked.booking, by=bob, now=NOW).bookings[0]
        assert cancelled.booking.sequence == 3

    await store.run(check)


async def test_a_move_that_cannot_be_changes_nothing(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob, cy = people(session, "ann", "bob", "cy")
        offered(session, ann)
        first, second, *_ = free(session)
        booked = taken(session, first, bob)
        taken(session, second, cy)
        before = booked.booking.model_dump(), booked.hour.model_dump()
        for slot, by, sentence in (
            (second, bob, TAKEN),
            (first, bob, "slot you have"),
            (second, cy, UNKNOWN),
        ):
            with pytest.raises(Refused, match=sentence):
                hours.move(session, booking=booked.booking, slot=slot, by=by, now=NOW)
            held = hours.booking_by_code(session, booked.booking.code, person=bob)
            assert (held.booking.model_dump(), held.hour.model_dump()) == before
        assert len(session.scalars(select(BusyQuarter)).all()) == 8
        with pytest.raises(Refused, match="already begun"):
            hours.move(session, booking=booked.booking, slot=free(session)[0], by=bob, now=first.starts_at)

    await store.run(check)


async def test_a_pending_booking_holds_its_seat_until_confirmed_declined_or_expired(
    store: Store,
) -> None:
    def check(session: Session) -> None:
        ann, bob, cy, di = people(session, "ann", "bob", "cy", "di")
        offered(session, ann, needs_confirmation=True)
        slots = free(session)[:3]
        yes, no, never = (taken(session, slot, who) for slot, who in zip(slots, (bob, cy, di), strict=True))
        assert yes.booking.state is BookingState.PENDING
        assert not set(walls(slots)) & set(walls(free(session)))
        with pytest.raises(Refused, match=UNKNOWN):
            hours.confirm(session, booking=yes.booking, by=bob, now=NOW)
        confirmed = hours.confirm(session, booking=yes.booking, by=ann, now=NOW).booking
        assert (confirmed.state, confirmed.sequence) == (BookingState.CONFIRMED, 1)
        with pytest.raises(Refused, match="confirmed already"):
            hours.decline(session, booking=yes.booking, by=ann, now=NOW)
        assert hours.decline(session, booking=no.booking, by=ann, now=NOW).booking.state is BookingState.DECLINED
        assert hours.expire(session, NOW + timedelta(hours=47)) == []
        assert hours.expire(session, NOW + timedelta(hours=48)) == [never]
        assert hours.expire(session, NOW + timedelta(hours=49)) == []
        assert walls(free(session))[:2] == ["Tue 24 16:30", "Tue 24 17:00"]
        with pytest.raises(Refused, match="no longer stands"):
            hours.confirm(session, booking=never.booking, by=ann, now=NOW)

    await store.run(check)


async def test_a_pending_booking_expires_at_the_latest_when_it_would_begin(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob = people(session, "ann", "bob")
        offered(session, ann, needs_confirmation=True)
        slot = free(session)[0]
        now = slot.starts_at - timedelta(hours=13)
        assert taken(session, slot, bob, now).booking.answer_by == slot.starts_at

    await store.run(check)


async def test_the_mentor_says_how_it_went_and_no_shows_are_counted(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob = people(session, "ann", "bob")
        offered(session, ann)
        first, second = (taken(session, slot, bob) for slot in free(session)[:2])
        over = second.hour.ends_at
        with pytest.raises(Refused, match="not begun"):
            hours.done(session, booking=first.booking, by=ann, now=NOW)
        with pytest.raises(Refused, match=UNKNOWN):
            hours.done(session, booking=first.booking, by=bob, now=over)
        assert hours.noshow(session, booking=first.booking, by=ann, now=over)[1] == 1
        assert hours.noshow(session, booking=second.booking, by=ann, now=over)[1] == 2
        assert hours.done(session, booking=first.booking, by=ann, now=over).booking.state is BookingState.DONE
        assert hours.bookings_for_mentor(session, ann, since=NOW) == []

    await store.run(check)


async def test_who_leaves_takes_offers_and_bookings_along_and_the_others_are_told(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob, cy = people(session, "ann", "bob", "cy")
        offered(session, ann)
        offered(session, bob, weekdays={2}, rng=random.Random(2))
        as_mentor = taken(session, free(session, mentor=ann)[0], cy)
        as_member = taken(session, free(session, mentor=bob)[0], ann)
        assert hours.leave(session, person=ann, now=NOW) == [as_mentor, as_member]
        assert free(session, mentor=ann) == []
        assert walls(free(session))[0] == "Wed 25 16:00"
        report = erase(session, ann, NOW)
        assert report.failed == []
        assert hours.bookings_of(session, cy, since=NOW) == []
        assert session.scalar(select(core(Offer).c.id).where(core(Offer).c.mentor_id == ann)) is None

    await store.run(check)


async def test_who_leaves_on_neither_side_takes_nothing_along(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob, cy = people(session, "ann", "bob", "cy")
        offered(session, ann)
        booked = taken(session, free(session)[0], cy)
        for person in (ann, bob, cy):
            fallen = hours.leave(session, person=person, now=NOW, network="uj", as_mentor=False, as_member=False)
            assert fallen == []
        assert hours.bookings_of(session, cy, since=NOW) == [booked]

    await store.run(check)


# Reminders and counts


def keys(session: Session, now: datetime) -> list[str]:
    return [reminder.key for reminder in hours.due_reminders(session, now)]


async def test_each_reminder_is_due_once_under_its_own_key(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob = people(session, "ann", "bob")
        offered(session, ann)
        booked = taken(session, free(session)[0], bob)
        begins, code = booked.hour.starts_at, booked.booking.code
        told: Counter[str] = Counter()
        tick = NOW
        while tick < begins + timedelta(hours=1):
            found = keys(session, tick)
            assert len(found) <= 1
            told.update(found)
            tick += timedelta(minutes=10)
        assert set(told) == {f"remind:{code}:0:24h", f"remind:{code}:0:1h"}
        assert keys(session, begins - timedelta(hours=24, seconds=1)) == []
        assert keys(session, begins - timedelta(hours=24)) == [f"remind:{code}:0:24h"]
        assert keys(session, begins - timedelta(minutes=1)) == [f"remind:{code}:0:1h"]
        assert keys(session, begins) == []

    await store.run(check)


async def test_a_reminder_longer_than_the_lead_time_is_not_sent_at_once(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob = people(session, "ann", "bob")
        offered(session, ann)
        slot = free(session)[0]
        booked = taken(session, slot, bob, slot.starts_at - timedelta(hours=20))
        assert keys(session, slot.starts_at - timedelta(hours=20)) == []
        assert keys(session, slot.starts_at - timedelta(hours=2)) == []
        assert keys(session, slot.starts_at - timedelta(hours=1)) == [f"remind:{booked.booking.code}:0:1h"]

    await store.run(check)


async def test_a_moved_booking_is_reminded_again_and_one_that_fell_or_pends_is_not(store: Store) -> None:
    def check(session: Session) -> None:
        ann, bob, cy = people(session, "ann", "bob", "cy")
        offered(session, ann)
        offered(session, ann, weekdays={2}, needs_confirmation=True, rng=random.Random(2))
        slots = free(session)
        booked, pending = taken(session, slots[0], bob), taken(session, slots[4], cy)
        day = timedelta(hours=24)
        assert keys(session, slots[4].starts_at - day) == []
        hours.confirm(session, booking=pending.booking, by=ann, now=NOW)
        assert len(keys(session, slots[4].starts_at - day)) == 1
        hours.move(session, booking=booked.booking, slot=slots[1], by=bob, now=NOW)
        assert keys(session, slots[1].starts_at - day) == [f"remind:{booked.booking.code}:1:24h"]
        hours.cancel(session, booking=booked.booking, by=bob, now=NOW)
        assert keys(session, slots[1].starts_at - day) == []

    await store.run(check)


async def test_a_week_is_counted_for_the_digest(store: Store) -> None:
    def check(session: Session) -> None:
        ann, *members = people(session, "ann", "bob", "cy", "di", "ed")
        offered(session, ann)
        offered(session, ann, weekdays={3}, needs_confirmation=True, rng=random.Random(2))
        tuesday, thursday = free(session)[:4], free(session)[4:8]
        booked = [taken(session, slot, member) for slot, member in zip(tuesday, members, strict=True)]
        taken(session, thursday[0], members[0])
        hours.cancel(session, booking=booked[0].booking, by=members[0], now=NOW)
        wednesday = NOW + timedelta(days=5)
        hours.noshow(session, booking=booked[1].booking, by=ann, now=wednesday)
        counts = hours.week(session, network="uj", since=NOW - timedelta(days=2), now=wednesday)
        assert (counts.booked, counts.held, counts.missed, counts.cancelled) == (5, 2, 1, 1)
        assert (counts.offers, counts.waiting) == (2, 1)
        # 14 days from Wednesday: two Tuesdays of four slots, two Thursdays, one slot of which is held.
        assert counts.open_slots == 4 + 4 + 3 + 4
        assert hours.week(session, network="climate", since=NOW, now=wednesday) == (0,) * 7

    await store.run(check)


# Laws


class Bookings(RuleBasedStateMachine):
    """Books, moves, cancels, confirms, declines, expires at random; the laws hold after every step."""

    def __init__(self, urls: tuple[str, str]) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.store = Store(urls[0], vault=Vault(urls[1], MASTER), synchronous="OFF")
        self.now = NOW
        self.rng = random.Random(0)
        self.do(self.begin)

    def do(self, fn: Callable[[Session], Any]) -> Any:
        return self.runner.run(self.store.run(fn))

    def begin(self, session: Session) -> None:
        for table in (Booking, BusyQuarter, HourSession, Block, Offer, Member):
            session.execute(delete(core(table)))
        ann, bob, *_ = self.people = people(session, "ann", "bob", "cy", "di", "ed")
        facts: dict[str, Any] = {"rng": self.rng, "notice_hours": 0, "horizon_days": 8}
        offered(session, ann, seats=2, buffer=10, **facts)
        offered(session, ann, network="climate", from_minute=16 * 60 + 15, length=60, daily_cap=1, **facts)
        offered(session, bob, needs_confirmation=True, **facts)

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()

    def slot(self, session: Session, which: int) -> Slot | None:
        """Any slot at all, mostly one that is open."""
        network = ("uj", "climate")[which % 2]
        slots = free(session, self.now, network=network) if which % 3 else []
        slots = slots or [
            hours._slot(*time)
            for offer in session.scalars(select(Offer))
            for time in hours._windows(offer, self.now, self.now + timedelta(days=8))
        ]
        return slots[which % len(slots)] if slots else None

    def booking(self, session: Session, which: int) -> Booking | None:
        found = session.scalars(select(Booking).order_by(Booking.code)).all()  # type: ignore[arg-type]
        return found[which % len(found)] if found else None

    @rule(which=st.integers(0, 99), who=st.integers(0, 4))
    def book(self, which: int, who: int) -> None:
        def attempt_it(session: Session) -> None:
            if slot := self.slot(session, which):
                with suppress(Refused):
                    hours.book(session, slot=slot, member=self.people[who], topic="x", now=self.now, rng=self.rng)

        self.do(attempt_it)

    @rule(which=st.integers(0, 99), there=st.integers(0, 99))
    def move(self, which: int, there: int) -> None:
        def attempt_it(session: Session) -> None:
            booking, slot = self.booking(session, which), self.slot(session, there)
            if booking and slot:
                before = booking.sequence, booking.code, booking.uid
                with suppress(Refused):
                    moved, _ = hours.move(session, booking=booking, slot=slot, by=booking.member_id, now=self.now)
                    before = before[0] + 1, *before[1:]
                    assert moved.hour.starts_at == slot.starts_at
                assert (booking.sequence, booking.code, booking.uid) == before

        self.do(attempt_it)

    @rule(
        which=st.integers(0, 99),
        how=st.sampled_from(["cancel", "confirm", "decline", "noshow"]),
        by=st.booleans(),
    )
    def change(self, which: int, how: str, by: bool) -> None:
        def attempt_it(session: Session) -> None:
            if booking := self.booking(session, which):
                hour = session.get_one(HourSession, booking.session_id)
                who = hour.mentor_id if by else booking.member_id
                with suppress(Refused):
                    getattr(hours, how)(session, booking=booking, by=who, now=self.now)

        self.do(attempt_it)

    @rule(passed=st.sampled_from([1, 30, 60 * 24]))
    def wait(self, passed: int) -> None:
        self.now += timedelta(minutes=passed)
        self.do(lambda session: hours.expire(session, self.now))

    @precondition(lambda self: self.now > NOW + timedelta(days=1))
    @rule(which=st.integers(0, 4))
    def go_away(self, which: int) -> None:
        self.do(lambda session: hours.leave(session, person=self.people[which], now=self.now))

    @invariant()
    def nobody_is_in_two_conversations_and_no_seat_is_taken_twice(self) -> None:
        def check(session: Session) -> None:
            hour, booking = core(HourSession).c, core(Booking).c
            rows = session.execute(
                select(hour.id, hour.mentor_id, hour.starts_at, hour.ends_at, hour.seats, hour.cancelled_at,
                       booking.member_id, booking.seat, booking.state)
                .join(core(Booking), booking.session_id == hour.id)
            ).all()  # fmt: skip
            seats = [(row.id, row.seat) for row in rows if row.seat is not None]
            assert len(set(seats)) == len(seats)
            assert all(1 <= row.seat <= row.seats for row in rows if row.seat is not None)
            held = {BookingState.PENDING, BookingState.CONFIRMED, BookingState.DONE, BookingState.NOSHOW}
            assert all((row.seat is not None) == (row.state in held) for row in rows)
            assert all(row.cancelled_at is None for row in rows if row.seat is not None)
            spans = {(row.mentor_id, row.id, row.starts_at, row.ends_at) for row in rows if row.seat is not None}
            spans |= {(row.member_id, row.id, row.starts_at, row.ends_at) for row in rows if row.seat is not None}
            for person, one, start, end in spans:
                for other_person, other, begin, finish in spans:
                    if person == other_person and one != other:
                        assert end <= begin or finish <= start
            cells = {(person, q) for person, _, start, end in spans for q in hours._quarters(start, end)}
            kept = set(session.execute(select(core(BusyQuarter).c.person_id, core(BusyQuarter).c.quarter)))
            assert cells <= kept
            live = {row.id for row in rows if row.seat is not None}
            assert set(session.scalars(select(core(BusyQuarter).c.session_id))) == live

        self.do(check)


def test_whatever_happens_nobody_is_booked_twice(urls: tuple[str, str]) -> None:
    run_state_machine_as_test(
        lambda: Bookings(urls),
        settings=settings(
            max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


RACER = """
import asyncio, json, random, sys
from datetime import datetime, timedelta
from uuid import UUID
from storage import office_hours as hours
from storage.refused import Refused
from storage.sealed import Vault
from storage.store import Store

async def race(url, keys, now, seed, members, codes):
    now, rng = datetime.fromisoformat(now), random.Random(seed)
    store = Store(url, vault=Vault(keys, bytes(range(32))), synchronous="OFF")
    await store.run(lambda session: None)
    print("ready", flush=True)
    sys.stdin.readline()
    tally = {"booked": 0, "cancelled": 0, "moved": 0, "refused": 0}
    for _ in range(30):
        code, member = rng.choice(codes), UUID(rng.choice(members))
        def step(session):
            slot = hours.slot_by_code(session, code, network="uj")
            mine = hours.bookings_of(session, member, since=now)
            if len(mine) > 2:
                hours.cancel(session, booking=mine[0].booking, by=member, now=now)
                return "cancelled"
            elif mine and seed % 2:
                hours.move(session, booking=mine[0].booking, slot=slot, by=member, now=now)
                return "moved"
            hours.book(session, slot=slot, member=member, now=now, rng=rng)
            return "booked"
        try:
            tally[await store.run(step)] += 1
        except Refused:
            tally["refused"] += 1
    await store.close()
    print(json.dumps(tally))

asyncio.run(race(*json.loads(sys.argv[1])))
"""


async def test_eight_processes_that_race_for_the_same_slots_book_nobody_twice(
    store: Store, urls: tuple[str, str]
) -> None:
    def begin(session: Session) -> tuple[list[str], list[str]]:
        ann, bob, *members = people(session, *(f"person-{n}" for n in range(14)))
        offered(session, ann, seats=2, buffer=15, horizon_days=12)
        offered(
            session,
            ann,
            weekdays={1, 2},
            from_minute=16 * 60 + 15,
            length=45,
            horizon_days=12,
            rng=random.Random(2),
        )
        offered(session, bob, daily_cap=2, horizon_days=12, rng=random.Random(3))
        return [str(member) for member in members], [slot.code for slot in free(session)]

    members, codes = await store.run(begin)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    racers = []
    for seed in range(8):
        facts = json.dumps([*urls, NOW.isoformat(), seed, members, codes])
        racers.append(await asyncio.create_subprocess_exec(sys.executable, "-c", RACER, facts, cwd=ROOT, **pipes))
    for racer in racers:
        assert racer.stdout is not None
        await racer.stdout.readline()  # all of them start at the same moment
    told = await asyncio.gather(*(racer.communicate(b"go\n") for racer in racers))
    assert [racer.returncode for racer in racers] == [0] * 8, b"\n".join(error for _, error in told).decode()
    tally = sum((Counter(json.loads(out)) for out, _ in told), Counter())
    assert tally.total() == 8 * 30
    assert tally["booked"] > 0, "the first to come finds everything open"

    def check(session: Session) -> None:
        rows = session.scalars(select(Booking)).all()
        assert len(rows) == tally["booked"], "every success is a row, and nothing else is"
        assert len([row for row in rows if row.seat is None]) == tally["cancelled"]
        assert sum(row.sequence for row in rows) == tally["moved"] + tally["cancelled"]
        spans = []
        seats: Counter[UUID] = Counter()
        for booking, hour in session.execute(hours._BOOKED.where(core(Booking).c.seat.is_not(None))):
            seats[hour.id] += 1
            assert seats[hour.id] <= hour.seats
            assert hour.cancelled_at is None
            spans += [(booking.member_id, hour.id, hour.starts_at, hour.ends_at)]
            spans += [(hour.mentor_id, hour.id, hour.starts_at, hour.ends_at)]
        for person, one, start, end in spans:
            for other_person, other, begin_at, finish in spans:
                if person == other_person and one != other:
                    assert end <= begin_at or finish <= start
        capped = session.scalars(select(Offer).where(core(Offer).c.daily_cap.is_not(None))).one()
        days = Counter(
            hour.starts_at.astimezone(KYIV).date()
            for hour in session.scalars(
                select(HourSession).where(
                    core(HourSession).c.offer_id == capped.id, core(HourSession).c.cancelled_at.is_(None)
                )
            )
        )
        assert max(days.values()) <= 2

    await store.run(check)


@pytest.mark.parametrize(("members", "seats"), [(50, 1), (50, 3), (8, 8)])
async def test_members_who_book_one_slot_at_once_get_every_seat_and_no_more(
    store: Store, members: int, seats: int
) -> None:
    def begin(session: Session) -> tuple[str, list[UUID]]:
        ann, *others = people(session, *(f"person-{n}" for n in range(members + 1)))
        offered(session, ann, seats=seats)
        return free(session)[0].code, others

    code, others = await store.run(begin)

    def book(member: UUID) -> Callable[[Session], Booked]:
        return lambda session: taken(session, hours.slot_by_code(session, code, network="uj"), member)

    found = await asyncio.gather(*(store.run(book(member)) for member in others), return_exceptions=True)
    booked = [each for each in found if isinstance(each, Booked)]
    assert sorted(each.booking.seat or 0 for each in booked) == list(range(1, seats + 1))
    assert all(isinstance(each, Refused) for each in found if not isinstance(each, Booked))


async def test_the_slots_of_fifty_offers_are_found_in_a_few_milliseconds(store: Store) -> None:
    def begin(session: Session) -> UUID:
        member, *mentors = people(session, *(f"person-{n}" for n in range(51)))
        for n, mentor in enumerate(mentors):
            offered(session, mentor, weekdays={n % 7}, weekly_cap=3, rng=random.Random(n))
        for slot in free(session)[::9]:
            with suppress(Refused):
                taken(session, slot, member)
        return member

    member = await store.run(begin)

    def measure(session: Session) -> float:
        begun = time.perf_counter()
        assert len(free(session, member=member, limit=20)) == 20
        return time.perf_counter() - begun

    best = min([await store.run(measure) for _ in range(5)])
    assert best < 0.1  # generous for a busy machine; it takes about a tenth of that
