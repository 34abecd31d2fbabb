"""The days of a rhythm, and when somebody can be asked on them."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.rhythm import Calm, Every, Rhythm, country_of

DAYS = st.dates(date(2026, 1, 1), date(2028, 12, 31))
RHYTHMS = st.builds(
    Rhythm,
    every=st.sampled_from(Every),
    weekday=st.integers(0, 6),
    minute=st.integers(0, 1439),
    since=DAYS,
)
ZONES = st.sampled_from(
    ["Europe/Kyiv", "Europe/Chisinau", "Asia/Tbilisi", "Asia/Almaty", "Europe/Berlin", "America/New_York", "UTC"]
)
QUIET = st.none() | st.tuples(st.integers(0, 1439), st.integers(0, 1439)).filter(lambda span: span[0] != span[1])


@given(RHYTHMS)
def test_the_days_of_a_rhythm_are_its_weekday_and_none_lies_before_its_beginning(rhythm: Rhythm) -> None:
    days = list(islice(rhythm.days(), 20))
    assert days[0] >= rhythm.since
    assert {day.weekday() for day in days} == {rhythm.weekday}
    gaps = {(later - day).days for day, later in pairwise(days)}
    expected = {
        Every.WEEK: {7},
        Every.FORTNIGHT: {14},
        Every.MONTH: {28, 35},
        Every.QUARTER: {84, 91, 98},
    }[rhythm.every]
    assert gaps <= expected
    if rhythm.every in {Every.MONTH, Every.QUARTER}:
        assert all(day.day <= 7 for day in days), "the first such weekday of its month"


@given(RHYTHMS, DAYS)
def test_the_day_after_a_day_is_the_first_of_the_rhythm_that_comes_later(rhythm: Rhythm, day: date) -> None:
    assert rhythm.after(day) == next(each for each in rhythm.days() if each > day)


@settings(max_examples=300)
@given(ZONES, QUIET, DAYS, st.integers(0, 1439), st.none() | st.integers(-3, 40), st.sampled_from(["GE", "DE", None]))
def test_nobody_is_asked_on_a_holiday_in_quiet_hours_or_while_away(
    zone: str, quiet: tuple[int, int] | None, day: date, minute: int, away: int | None, country: str | None
) -> None:
    wall = ZoneInfo(zone)
    midnight = datetime(day.year, day.month, day.day, tzinfo=wall)
    until = None if away is None else midnight.astimezone(UTC) + timedelta(days=away, hours=7)
    at = Calm(wall, quiet, until, country).asks_at(day, minute)
    local = at.astimezone(wall)
    assert at.utcoffset() == timedelta(0)
    assert local.date() >= day
    assert until is None or at >= until
    assert country is None or local.date() not in holidays.country_holidays(country)
    if quiet is not None and local.utcoffset() == (at - timedelta(days=1)).astimezone(wall).utcoffset():
        shown = local.hour * 60 + local.minute
        assert (shown - quiet[0]) % 1440 >= (quiet[1] - quiet[0]) % 1440
    if quiet is None and until is None and country is None:
        assert at < midnight.astimezone(UTC) + timedelta(days=1, hours=1)


def test_a_holiday_on_which_clocks_change_is_passed_over_as_any_other() -> None:
    # In Poland the clocks of 2027 go forward on Easter Sunday, 28 March; the Monday is a holiday, too.
    calm = Calm(ZoneInfo("Europe/Warsaw"), None, None, "PL")
    assert calm.asks_at(date(2027, 3, 28), 150) == datetime(2027, 3, 30, 0, 30, tzinfo=UTC)
    assert calm.asks_at(date(2027, 3, 27), 150) == datetime(2027, 3, 27, 1, 30, tzinfo=UTC)


def test_a_wall_time_in_the_skipped_hour_is_asked_at_the_end_of_the_gap() -> None:
    calm = Calm(ZoneInfo("Europe/Kyiv"))
    assert calm.asks_at(date(2027, 3, 28), 3 * 60 + 30) == datetime(2027, 3, 28, 1, 0, tzinfo=UTC)


def test_quiet_hours_that_end_in_the_night_when_clocks_change_are_kept() -> None:
    calm = Calm(ZoneInfo("Europe/Kyiv"), quiet=(22 * 60, 8 * 60))
    assert calm.asks_at(date(2026, 10, 24), 23 * 60) == datetime(2026, 10, 25, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "country"), [("Europe/Kyiv", "UA"), ("Asia/Tbilisi", "GE"), ("Asia/Almaty", "KZ"), ("UTC", None)]
)
def test_a_zone_tells_the_country_whose_holidays_are_kept(zone: str, country: str | None) -> None:
    assert country_of(zone) == country
