from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.recurrence import DAY, EVERY_DAY, Occurrence, Resolved, Schedule, resolve, zone_of
from storage.refused import Refused

KYIV = ZoneInfo("Europe/Kyiv")
ZONES = sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))
minutes_of_day = st.integers(0, DAY - 1)
days = st.dates(date(2025, 1, 1), date(2027, 12, 31))


def changes(zone: ZoneInfo) -> list[date]:
    """The local dates on which the zone's clocks change, 2025 to 2027, and the dates beside them."""
    found = set()
    hour = datetime(2025, 1, 1, tzinfo=UTC)
    offset = hour.astimezone(zone).utcoffset()
    while hour < datetime(2028, 1, 1, tzinfo=UTC):
        later = hour + timedelta(hours=12)
        if later.astimezone(zone).utcoffset() != offset:
            offset = later.astimezone(zone).utcoffset()
            found |= {hour.astimezone(zone).date() + timedelta(days=step) for step in (-1, 0, 1)}
        hour = later
    return sorted(found)


def test_a_wall_time_that_exists_once_is_what_the_wall_shows_at_its_instant() -> None:
    assert resolve(date(2026, 12, 1), 16 * 60, KYIV) == Resolved(datetime(2026, 12, 1, 14, tzinfo=UTC))


def test_a_skipped_wall_time_happens_at_the_first_instant_after_the_gap() -> None:
    resolved = resolve(date(2027, 3, 28), 3 * 60 + 30, KYIV)
    assert resolved == Resolved(datetime(2027, 3, 28, 1, tzinfo=UTC), "gap")
    assert resolved.at.astimezone(KYIV).hour == 4


def test_a_repeated_wall_time_happens_once_the_first_time() -> None:
    resolved = resolve(date(2026, 10, 25), 3 * 60 + 30, KYIV)
    assert resolved == Resolved(datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "fold")


def test_minute_1440_is_the_midnight_that_ends_the_day() -> None:
    assert resolve(date(2026, 12, 1), DAY, KYIV) == resolve(date(2026, 12, 2), 0, KYIV)


def test_a_gap_at_midnight_moves_the_end_of_the_day_too() -> None:
    cairo = ZoneInfo("Africa/Cairo")
    assert resolve(date(2026, 4, 23), DAY, cairo) == Resolved(datetime(2026, 4, 23, 22, tzinfo=UTC), "gap")


def test_at_every_change_of_every_zone_daily_occurrences_come_once_a_day_and_in_order() -> None:
    cases = 0
    for name in ZONES:
        zone = ZoneInfo(name)
        for day in changes(zone):
            for minute in (0, 90, 150, 23 * 60 + 45):
                schedule = Schedule(EVERY_DAY, minute)
                found = list(islice(schedule.from_day(day - timedelta(days=1), zone), 4))
                assert [later.day - earlier.day for earlier, later in pairwise(found)] == [timedelta(days=1)] * 3
                assert all(
                    timedelta(hours=20) < later.at - earlier.at < timedelta(hours=28)
                    for earlier, later in pairwise(found)
                )
                assert all(is_right(each, minute, zone) for each in found)
                cases += 1
    assert cases > 2000


def is_right(occurrence: Occurrence, minute: int, zone: ZoneInfo) -> bool:
    wall = datetime.combine(occurrence.day, datetime.min.time()) + timedelta(minutes=minute)
    shown = occurrence.at.astimezone(zone)
    if occurrence.adjusted == "gap":
        # The wall jumps over the time at this very instant.
        just_before = (occurrence.at - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None)
        return just_before < wall < shown.replace(tzinfo=None)
    return shown.replace(tzinfo=None) == wall and shown.fold == 0


@given(zone=st.sampled_from(ZONES), day=days, minute=minutes_of_day, apart=st.integers(0, 3 * DAY))
def test_what_is_later_on_the_wall_is_never_earlier_in_time(zone: str, day: date, minute: int, apart: int) -> None:
    later_day, later_minute = divmod(minute + apart, DAY)
    earlier = resolve(day, minute, ZoneInfo(zone))
    later = resolve(day + timedelta(days=later_day), later_minute, ZoneInfo(zone))
    assert earlier.at <= later.at


@given(
    zone=st.sampled_from(ZONES),
    weekdays=st.frozensets(st.integers(0, 6), min_size=1),
    minute=minutes_of_day,
    now=st.integers(0, 3 * 365 * DAY).map(lambda m: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=m)),
)
def test_the_latest_occurrence_and_the_next_one_have_none_between_them(
    zone: str, weekdays: frozenset[int], minute: int, now: datetime
) -> None:
    schedule, where = Schedule(weekdays, minute), ZoneInfo(zone)
    latest, following = schedule.latest(now, where), schedule.after(now, where)
    assert latest.at <= now < following.at
    assert next(schedule.from_day(latest.day + timedelta(days=1), where)) == following


def test_a_weekly_digest_in_the_repeated_hour_is_made_once() -> None:
    schedule = Schedule.read("Sun 03:30")
    first = schedule.after(datetime(2026, 10, 24, 12, tzinfo=UTC), KYIV)
    assert first == Occurrence(date(2026, 10, 25), datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "fold")
    assert schedule.after(first.at, KYIV).day == date(2026, 11, 1)


@given(weekdays=st.frozensets(st.integers(0, 6), min_size=1), minute=minutes_of_day)
def test_a_schedule_reads_back_as_it_is_shown(weekdays: frozenset[int], minute: int) -> None:
    schedule = Schedule(weekdays, minute)
    assert Schedule.read(schedule.show()) == schedule


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("Mon 09:00", "Mon 09:00"),
        ("monday, THU  9:05", "Mon, Thu 09:05"),
        ("Fri - Mon at 8:00", "Mon, Fri, Sat, Sun 08:00"),
        ("daily 09:00", "daily 09:00"),
        ("0 9 * * 1", "Mon 09:00"),
        ("30 7 * * *", "daily 07:30"),
        ("0 9 * * 0,7", "Sun 09:00"),
        ("0 9 * * mon-wed", "Mon, Tue, Wed 09:00"),
        ("0 9 * * 0-7", "daily 09:00"),
    ],
)
def test_schedules_are_read_from_words_and_from_cron_lines(typed: str, shown: str) -> None:
    assert Schedule.read(typed).show() == shown


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "Mon",
        "09:00",
        "Mon 24:00",
        "Mon 09:60",
        "Foo 09:00",
        "0 9 1 * *",
        "*/5 9 * * 1",
        "0 9 * * 8",
        "0 9 * *",
    ],
)
def test_other_schedules_are_refused_in_one_sentence(typed: str) -> None:
    with pytest.raises(Refused, match="such as"):
        Schedule.read(typed)


def test_a_former_name_of_a_zone_is_read_as_the_present_one() -> None:
    former = {"Europe/Kiev": "Europe/Kyiv", "Europe/Uzhgorod": "Europe/Kyiv", "Asia/Ashkhabad": "Asia/Ashgabat"}
    assert {name: zone_of(name).key for name in former} == former
    for name in ("UTC", "EET", "Europe/Amsterdam", "Asia/Almaty"):
        assert zone_of(name).key == name, "this is no former name"


def test_every_name_of_a_zone_is_read_as_one_that_shows_the_same_time() -> None:
    for name in ZONES:
        for at in (datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 7, 1, 12, tzinfo=UTC)):
            there = at.astimezone(zone_of(name))
            assert there.utcoffset() == at.astimezone(ZoneInfo(name)).utcoffset(), name
            assert zone_of(zone_of(name).key) == zone_of(name)


def test_a_zone_that_does_not_exist_is_refused() -> None:
    assert zone_of("Europe/Kyiv") == KYIV
    for name in ("Europe/Nowhere", "../../etc/passwd", "", "\0"):
        with pytest.raises(Refused):
            zone_of(name)
