from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from commands.core.kinds import Unreadable
from commands.core.when import (
    LONGEST,
    DateWindow,
    DayRange,
    Moment,
    QuietSpan,
    WeeklyWindow,
    read_days,
    read_length,
    read_moment,
    read_quiet,
    read_schedule,
    read_window,
    show_days,
    show_length,
    show_moment,
    show_quiet,
    show_window,
)
from storage.recurrence import DAY, Schedule

KYIV = ZoneInfo("Europe/Kyiv")
ALMATY = ZoneInfo("Asia/Almaty")
NOW = datetime(2026, 11, 20, 14, 51, tzinfo=UTC)  # a Friday, 16:51 in Kyiv
ZONES = st.sampled_from(
    [ZoneInfo(name) for name in ("Europe/Kyiv", "Asia/Almaty", "Australia/Lord_Howe", "America/St_Johns", "UTC")]
)
INSTANTS = st.integers(0, 3 * 365 * DAY * 60).map(
    lambda seconds: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
DAYS = st.dates(date(2025, 1, 1), date(2035, 12, 31))


def moment(typed: str, now: datetime = NOW, zone: ZoneInfo = KYIV) -> str:
    return f"{read_moment(typed, now=now, zone=zone).at.astimezone(zone):%a %Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Tue 16:00", "Tue 2026-11-24 16:00"),
        ("вт 16:00", "Tue 2026-11-24 16:00"),
        ("у вівторок о 16:00", "Tue 2026-11-24 16:00"),
        ("во вторник в 16.30", "Tue 2026-11-24 16:30"),
        ("п’ятниця 10:00", "Fri 2026-11-27 10:00"),
        ("пятница, 18:00", "Fri 2026-11-20 18:00"),
        ("next friday 18:00", "Fri 2026-11-27 18:00"),
        ("tomorrow 15:00", "Sat 2026-11-21 15:00"),
        ("завтра 15:00", "Sat 2026-11-21 15:00"),
        ("15:00 завтра", "Sat 2026-11-21 15:00"),
        ("tomorrow at 3 pm", "Sat 2026-11-21 15:00"),
        ("завтра в 9 утра", "Sat 2026-11-21 09:00"),
        ("післязавтра о 9 годині", "Sun 2026-11-22 09:00"),
        ("2026-12-01 10:00", "Tue 2026-12-01 10:00"),
        ("2026-12-01T10:00", "Tue 2026-12-01 10:00"),
        ("2026-12-01T10:00Z", "Tue 2026-12-01 12:00"),
        ("1 Dec 10:00", "Tue 2026-12-01 10:00"),
        ("Dec 1st, 10:00", "Tue 2026-12-01 10:00"),
        ("Tue 1 December 2026 10:00", "Tue 2026-12-01 10:00"),
        ("1 грудня 10:00", "Tue 2026-12-01 10:00"),
        ("1 декабря в 10:00", "Tue 2026-12-01 10:00"),
        ("1.12 10:00", "Tue 2026-12-01 10:00"),
        ("1.12.2026 р. о 10:00", "Tue 2026-12-01 10:00"),
        ("5 січня 10:00", "Tue 2027-01-05 10:00"),
        ("29 feb 10:00", "Tue 2028-02-29 10:00"),
        ("in 2 hours", "Fri 2026-11-20 18:51"),
        ("через 2 часа", "Fri 2026-11-20 18:51"),
        ("за півгодини", "Fri 2026-11-20 17:21"),
        ("через годину", "Fri 2026-11-20 17:51"),
        ("in 3 days", "Mon 2026-11-23 16:51"),
        ("16:00", "Sat 2026-11-21 16:00"),
        ("17:00", "Fri 2026-11-20 17:00"),
    ],
)
def test_moments_are_read_in_three_languages_and_filled_in_towards_the_future(typed: str, meant: str) -> None:
    assert moment(typed) == meant


def test_today_at_five_said_shortly_before_five_is_today() -> None:
    assert moment("today at 17:00") == moment("сьогодні о 17:00") == "Fri 2026-11-20 17:00"


def test_today_stays_today_even_when_the_time_has_passed() -> None:
    assert moment("today 15:00") == "Fri 2026-11-20 15:00"


def test_the_day_is_the_readers_day_and_not_utcs() -> None:
    late = datetime(2026, 11, 20, 20, tzinfo=UTC)  # already Saturday in Almaty
    assert moment("today 10:00", late, ALMATY) == "Sat 2026-11-21 10:00"
    assert moment("tomorrow 10:00", late, KYIV) == "Sat 2026-11-21 10:00"


def test_days_are_counted_in_the_calendar_and_hours_on_a_watch() -> None:
    eve = datetime(2026, 10, 24, 9, tzinfo=UTC)  # 12:00 in Kyiv; the clocks go back at night
    assert moment("in 1 day", eve) == "Sun 2026-10-25 12:00"
    assert moment("in 24.5 hours", eve) == "Sun 2026-10-25 11:30"


def test_a_moment_that_clocks_skip_or_repeat_says_so() -> None:
    skipped = read_moment("2027-03-28 03:30", now=NOW, zone=KYIV)
    assert (skipped.at, skipped.adjusted) == (datetime(2027, 3, 28, 1, tzinfo=UTC), "gap")
    repeated = read_moment("2026-10-25 03:30", now=NOW, zone=KYIV)
    assert (repeated.at, repeated.adjusted) == (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "fold")


def test_the_second_of_two_equal_wall_times_is_shown_with_its_offset() -> None:
    second = Moment(datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    assert show_moment(second, KYIV) == "2026-10-25 03:30:00+02:00"


@example(at=datetime(2026, 10, 25, 1, 30, tzinfo=UTC), zone=KYIV, now=NOW)
@given(at=INSTANTS, zone=ZONES, now=INSTANTS)
def test_every_moment_reads_back_as_it_is_shown(at: datetime, zone: ZoneInfo, now: datetime) -> None:
    assert read_moment(show_moment(Moment(at), zone), now=now, zone=zone) == Moment(at)


@pytest.mark.parametrize(
    "typed",
    [
        *("", "soon", "17", "25:00", "12:60", "31 Nov 10:00", "2026-02-30 10:00", "Wed 1 Dec 10:00", "in"),
        *("in 0 minutes", "13 pm tomorrow", "tomorrow 10:00 maybe", "10:00 11:00", "in 99999999 weeks"),
        *("٣:٠٠", "0000-00-00 00:00"),
    ],
)
def test_other_moments_are_unreadable_and_the_sentence_shows_how_to_write_them(typed: str) -> None:
    with pytest.raises(Unreadable, match="Write it like"):
        moment(typed)


def test_a_moment_without_its_time_of_day_is_asked_for_it() -> None:
    with pytest.raises(Unreadable, match="add the time of day"):
        moment("tomorrow")


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("2026-12-24..2027-01-02", "2026-12-24..2027-01-02"),
        ("24 Dec - 2 Jan", "2026-12-24..2027-01-02"),
        ("з 24 грудня до 2 січня", "2026-12-24..2027-01-02"),
        ("24.12-2.1", "2026-12-24..2027-01-02"),
        ("24–28 грудня", "2026-12-24..2026-12-28"),
        ("с 24 по 28 декабря", "2026-12-24..2026-12-28"),
        ("24-28 Dec 2027", "2027-12-24..2027-12-28"),
        ("10 Nov - 25 Nov", "2026-11-10..2026-11-25"),
        ("10-25 Nov", "2026-11-10..2026-11-25"),
        ("завтра", "2026-11-21"),
        ("today - Mon", "2026-11-20..2026-11-23"),
        ("Fri", "2026-11-20"),
        ("до середи", "2026-11-25"),
        ("next week", "2026-11-23..2026-11-29"),
        ("на этой неделе", "2026-11-20..2026-11-22"),
    ],
)
def test_days_and_ranges_of_days_are_read(typed: str, shown: str) -> None:
    assert show_days(read_days(typed, now=NOW, zone=KYIV)) == shown


@given(first=DAYS, length=st.integers(0, 400), now=INSTANTS, zone=ZONES)
def test_every_range_of_days_reads_back_as_it_is_shown(first: date, length: int, now: datetime, zone: ZoneInfo) -> None:
    days = DayRange(first, first + timedelta(days=length))
    assert read_days(show_days(days), now=now, zone=zone) == days


def test_a_range_of_days_ends_when_its_last_day_is_over() -> None:
    day = read_days("2026-10-25", now=NOW, zone=KYIV)
    assert day.instants(KYIV) == (
        datetime(2026, 10, 24, 21, tzinfo=UTC),
        datetime(2026, 10, 25, 22, tzinfo=UTC),
    )


@pytest.mark.parametrize("typed", ["", "16:00", "24 Dec -", "28-24 Dec", "some day", "31.11", "2027-01-02..2026-12-24"])
def test_other_days_are_unreadable(typed: str) -> None:
    with pytest.raises(Unreadable):
        read_days(typed, now=NOW, zone=KYIV)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("Tue 16:00-18:00", "Tue 16:00-18:00"),
        ("вт, чт 16:00-18:00", "Tue, Thu 16:00-18:00"),
        ("у вівторок та четвер з 16:00 до 18:00", "Tue, Thu 16:00-18:00"),
        ("every Tuesday 16:00-18:00", "Tue 16:00-18:00"),
        ("щовівторка 16:00-18:00", "Tue 16:00-18:00"),
        ("по вторникам с 16 до 18", "Tue 16:00-18:00"),
        ("з 16 до 18 по вівторках", "Tue 16:00-18:00"),
        ("every Tuesday 4-6pm", "Tue 16:00-18:00"),
        ("Tue 11-1pm", "Tue 11:00-13:00"),
        ("weekdays 9-11", "Mon, Tue, Wed, Thu, Fri 09:00-11:00"),
        ("пн-пт 9.00–11.30", "Mon, Tue, Wed, Thu, Fri 09:00-11:30"),
        ("каждый день 9-24", "daily 09:00-24:00"),
        ("2026-12-01 16:00-18:00", "2026-12-01 16:00-18:00"),
        ("1 грудня 16-18", "2026-12-01 16:00-18:00"),
        ("Tue, 1 Dec 16-18", "2026-12-01 16:00-18:00"),
        ("next Tue 16-18", "2026-11-24 16:00-18:00"),
        ("завтра 16-18", "2026-11-21 16:00-18:00"),
    ],
)
def test_windows_are_read_as_weekly_or_as_one_date(typed: str, shown: str) -> None:
    assert show_window(read_window(typed, now=NOW, zone=KYIV)) == shown


MINUTES = st.tuples(st.integers(0, DAY), st.integers(0, DAY)).filter(lambda pair: pair[0] != pair[1]).map(sorted)


@given(
    days=st.one_of(st.frozensets(st.integers(0, 6), min_size=1), DAYS),
    minutes=MINUTES,
    now=INSTANTS,
    zone=ZONES,
)
def test_every_window_reads_back_as_it_is_shown(
    days: frozenset[int] | date, minutes: list[int], now: datetime, zone: ZoneInfo
) -> None:
    window = DateWindow(days, *minutes) if isinstance(days, date) else WeeklyWindow(days, *minutes)
    assert read_window(show_window(window), now=now, zone=zone) == window


@pytest.mark.parametrize("typed", ["", "Tue", "16-18", "Tue 16:00", "Tue 18-16", "Tue 16-16", "every 1 Dec 9-10"])
def test_other_windows_are_unreadable(typed: str) -> None:
    with pytest.raises(Unreadable):
        read_window(typed, now=NOW, zone=KYIV)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("22:00-08:00", "22:00-08:00"),
        ("22-8", "22:00-08:00"),
        ("10pm - 7am", "22:00-07:00"),
        ("з 22 до 8", "22:00-08:00"),
        ("с 22:00 до 8 утра", "22:00-08:00"),
        ("13-24", "13:00-00:00"),
    ],
)
def test_quiet_hours_may_pass_midnight(typed: str, shown: str) -> None:
    assert show_quiet(read_quiet(typed)) == shown


@given(st.tuples(st.integers(0, DAY - 1), st.integers(0, DAY - 1)).filter(lambda pair: pair[0] != pair[1]))
def test_all_quiet_hours_read_back_as_they_are_shown(minutes: tuple[int, int]) -> None:
    assert read_quiet(show_quiet(QuietSpan(*minutes))) == QuietSpan(*minutes)


@pytest.mark.parametrize("typed", ["", "22", "8-8", "0-24", "22-8-9", "night"])
def test_other_quiet_hours_are_unreadable(typed: str) -> None:
    with pytest.raises(Unreadable):
        read_quiet(typed)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("30m", "30m"),
        ("45 хв", "45m"),
        ("90", "1h30m"),
        ("1h", "1h"),
        ("1h30m", "1h30m"),
        ("1 година 15 хвилин", "1h15m"),
        ("1 hour and 5 min.", "1h5m"),
        ("1,5 часа", "1h30m"),
        ("півтори години", "1h30m"),
        ("полчаса", "30m"),
        ("half an hour", "30m"),
        ("2 weeks", "14d"),
    ],
)
def test_lengths_of_time_are_read(typed: str, shown: str) -> None:
    assert show_length(read_length(typed)) == shown


@given(st.integers(1, LONGEST // timedelta(minutes=1)))
def test_every_length_reads_back_as_it_is_shown(minutes: int) -> None:
    length = timedelta(minutes=minutes)
    assert read_length(show_length(length)) == length


@pytest.mark.parametrize("typed", ["", "0", "0m", "-5m", "m5", "1 parsec", "1.001h", "999999999", "9" * 4000])
def test_other_lengths_are_unreadable(typed: str) -> None:
    with pytest.raises(Unreadable):
        read_length(typed)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("Mon 09:00", "Mon 09:00"),
        ("щопонеділка о 9:00", "Mon 09:00"),
        ("по будням в 9 утра", "Mon, Tue, Wed, Thu, Fri 09:00"),
        ("щодня о 9:00", "daily 09:00"),
        ("0 9 * * 1", "Mon 09:00"),
    ],
)
def test_schedules_are_read_in_three_languages_and_as_cron(typed: str, shown: str) -> None:
    assert read_schedule(typed).show() == shown


@given(st.frozensets(st.integers(0, 6), min_size=1), st.integers(0, DAY - 1))
def test_every_schedule_reads_back_as_it_is_shown(weekdays: frozenset[int], minute: int) -> None:
    schedule = Schedule(weekdays, minute)
    assert read_schedule(schedule.show()) == schedule


@pytest.mark.parametrize("typed", ["0 9 1 * *", "tomorrow 9:00", "Mon", "Mon 24:00", ""])
def test_other_schedules_are_unreadable(typed: str) -> None:
    with pytest.raises(Unreadable):
        read_schedule(typed)


WORDS = st.lists(
    st.sampled_from(
        [
            *(
                "Tue",
                "вт",
                "every",
                "weekdays",
                "next",
                "this",
                "week",
                "day",
                "завтра",
                "2026-12-01",
                "24.12",
            ),
            *(
                "Dec",
                "грудня",
                "feb",
                "29",
                "31",
                "2026",
                "16:00",
                "00:00",
                "16.30",
                "9",
                "0",
                "24",
                "99",
                "pm",
            ),
            *("-", "..", ",", "in", "2", "hours", "з", "до", "по", "::", "ё", "\u202e"),
        ]
    ),
    max_size=7,
).map(" ".join)


@given(typed=st.one_of(WORDS, st.text(max_size=40)), now=INSTANTS, zone=ZONES)
def test_whatever_is_typed_is_read_or_unreadable_and_never_fails_otherwise(
    typed: str, now: datetime, zone: ZoneInfo
) -> None:
    for read in (read_moment, read_days, read_window):
        with suppress(Unreadable):
            read(typed, now=now, zone=zone)
    for read_alone in (read_quiet, read_length, read_schedule):
        with suppress(Unreadable):
            read_alone(typed)


def test_invisible_characters_are_not_repeated() -> None:
    with pytest.raises(Unreadable) as raised:
        read_length("\u202eabc\n")
    assert raised.value.text.values == {"typed": "abc"}
