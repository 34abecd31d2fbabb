import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import digests
from storage.recurrence import Occurrence, Schedule
from storage.refused import Refused
from storage.store import Session, Store
from tests.transcript import Stage

FRIDAY = datetime(2026, 11, 20, 9, tzinfo=UTC)
MONDAY = datetime(2026, 11, 23, 7, tzinfo=UTC)  # 09:00 in Kyiv
WEEK = timedelta(days=7)


def on_mondays(session: Session, network: str = "uj", now: datetime = FRIDAY) -> Schedule:
    return digests.schedule(session, network=network, when="Mon 09:00", zone="Europe/Kyiv", now=now)


def keys(session: Session, now: datetime) -> list[str]:
    return [each.key for each in digests.due(session, now)]


async def test_a_digest_is_due_from_its_time_until_it_is_made(store: Store) -> None:
    def check(session: Session) -> None:
        assert on_mondays(session).show() == "Mon 09:00"
        assert keys(session, MONDAY - timedelta(seconds=1)) == []
        assert digests.due(session, MONDAY) == [("uj", "digest:uj:2026-W48", MONDAY)]
        assert keys(session, MONDAY + timedelta(days=6)) == ["digest:uj:2026-W48"]
        assert digests.mark(session, network="uj", key="digest:uj:2026-W48", now=MONDAY)
        assert not digests.mark(session, network="uj", key="digest:uj:2026-W48", now=MONDAY)
        assert keys(session, MONDAY + timedelta(days=6)) == []
        assert keys(session, MONDAY + WEEK) == ["digest:uj:2026-W49"]

    await store.run(check)


async def test_after_downtime_only_the_latest_digest_is_owed(store: Store) -> None:
    def check(session: Session) -> None:
        on_mondays(session)
        assert keys(session, MONDAY + 3 * WEEK + timedelta(seconds=2)) == ["digest:uj:2026-W51"]

    await store.run(check)


async def test_a_new_schedule_owes_nothing_from_before(store: Store) -> None:
    def check(session: Session) -> None:
        on_mondays(session, now=MONDAY + timedelta(hours=1))
        assert keys(session, MONDAY + timedelta(hours=2)) == []
        assert keys(session, MONDAY + WEEK) == ["digest:uj:2026-W49"]

    await store.run(check)


async def test_a_changed_day_makes_no_second_digest_in_the_same_week(store: Store) -> None:
    def check(session: Session) -> None:
        on_mondays(session)
        digests.mark(session, network="uj", key=keys(session, MONDAY)[0], now=MONDAY)
        digests.schedule(session, network="uj", when="0 9 * * 4", zone="Europe/Kyiv", now=MONDAY)
        assert keys(session, MONDAY + timedelta(days=3)) == []
        assert keys(session, MONDAY + timedelta(days=10)) == ["digest:uj:2026-W49"]

    await store.run(check)


async def test_networks_have_their_own_schedules_and_daily_digests_their_dates(store: Store) -> None:
    def check(session: Session) -> None:
        on_mondays(session)
        digests.schedule(session, network="climate", when="daily 09:00", zone="Asia/Almaty", now=FRIDAY)
        assert sorted(keys(session, MONDAY)) == ["digest:climate:2026-11-23", "digest:uj:2026-W48"]
        found = digests.scheduled(session, "climate")
        assert found is not None
        assert (found.schedule, found.zone) == ("daily 09:00", "Asia/Almaty")
        assert digests.scheduled(session, "sanctions") is None

    await store.run(check)


async def test_a_digest_in_the_repeated_hour_is_due_once(store: Store) -> None:
    def check(session: Session) -> None:
        before = datetime(2026, 10, 24, tzinfo=UTC)
        digests.schedule(session, network="uj", when="Sun 03:30", zone="Europe/Kyiv", now=before)
        made = []
        for minute in range(0, 48 * 60, 10):
            now = before + timedelta(minutes=minute)
            for network, key, at in digests.due(session, now):
                assert digests.mark(session, network=network, key=key, now=now)
                made.append((key, at))
        assert made == [("digest:uj:2026-W43", datetime(2026, 10, 25, 0, 30, tzinfo=UTC))]

    await store.run(check)


async def test_schedules_that_cannot_be_read_are_refused(store: Store) -> None:
    def check(session: Session) -> None:
        for when, zone in (("0 9 1 * *", "Europe/Kyiv"), ("sometimes", "Europe/Kyiv"), ("Mon 09:00", "Nowhere")):
            with pytest.raises(Refused):
                digests.schedule(session, network="uj", when=when, zone=zone, now=FRIDAY)
        assert digests.scheduled(session, "uj") is None

    await store.run(check)


async def test_of_several_that_find_a_digest_due_one_makes_it(store: Store, open_store: Callable[[], Store]) -> None:
    await store.run(on_mondays)

    def tick(session: Session) -> int:
        return sum(digests.mark(session, network=n, key=key, now=MONDAY) for n, key, _ in digests.due(session, MONDAY))

    others = [open_store() for _ in range(3)]
    assert sum(await asyncio.gather(*(each.run(tick) for each in (store, *others) for _ in range(5)))) == 1


@pytest.mark.parametrize(("filed", "told"), [(0, "4"), (1, None), (2, None)])
async def test_no_total_stands_beside_counts_that_are_held_back(store: Store, filed: int, told: str | None) -> None:
    stage = Stage(store)
    await stage.cast("ann", "member", "en", "Europe/Kyiv")
    await stage.cast("vera", "coordinator", "en", "Europe/Kyiv")
    for number in range(4):
        await stage.say("ann", f"case open uj-complaint title=n{number} forum=prosecutor jurisdiction=DE")
        if number < filed:
            code = re.findall(r"C-[0-9A-Z]{6}", stage.lines[-3])[0]
            await stage.say("ann", f"case stage {code} filed")
    stage.lines.clear()
    await stage.say("vera", "digest preview")
    (total,) = re.findall(r"^ *Open cases: (.*)$", "\n".join(stage.lines), re.MULTILINE) or [None]
    assert total == told
    assert ("< 3" in "\n".join(stage.lines).partition("New lessons")[2]) is bool(filed)


@given(
    weekday=st.integers(0, 6),
    minute=st.integers(0, 1439),
    start=st.integers(0, 365 * 24).map(lambda hours: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)),
)
def test_weekly_keys_follow_one_another_without_a_repetition(weekday: int, minute: int, start: datetime) -> None:
    schedule, zone = Schedule(frozenset({weekday}), minute), ZoneInfo("Europe/Kyiv")
    found: list[Occurrence] = []
    for _ in range(60):
        found.append(schedule.after(found[-1].at if found else start, zone))
    assert len({digests._key("uj", schedule, each) for each in found}) == 60
