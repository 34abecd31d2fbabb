"""When: moments, days, windows and lengths of time, read as people type them, written so that they read back.

People type in English, Ukrainian and Russian, whatever language they read in; so all three are always
understood, in the cases and numbers that such phrases use, and abbreviated to three letters or more. What a
person leaves out (the year, the day) is filled in from `now` in their zone, towards the future.

The law: reading what `show_x(value)` wrote gives `value`, at any `now`. What is shown is the same for all;
to dress it in the reader's language is the Voice's business.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final, NoReturn
from zoneinfo import ZoneInfo

from commands.core.kinds import Unreadable
from storage.recurrence import DAY, EVERY_DAY, WEEKDAYS, Adjusted, Resolved, Schedule, resolve
from storage.refused import Refused

LONGEST: Final = timedelta(days=366)
"""The longest length of time that can be read."""

YEARS: Final = range(2000, 2101)
"""The years of days that can be read: at the ends of the calendar no time zone can be reckoned with."""


@dataclass(frozen=True)
class Moment:
    """An instant in UTC.

    `adjusted` says that clocks change there: the time typed is skipped ("gap") or shown twice ("fold"), and
    `at` is the instant that was chosen. Moments are equal when their instants are.
    """

    at: datetime
    adjusted: Adjusted = field(default="", compare=False)


@dataclass(frozen=True)
class DayRange:
    """Local days, the last one included; a single day is its own first and last."""

    first: date
    last: date

    def instants(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """The instants (UTC) at which, in `zone`, the first day begins and the last one has ended."""
        return resolve(self.first, 0, zone).at, resolve(self.last, DAY, zone).at


@dataclass(frozen=True)
class WeeklyWindow:
    """The same hours on some days of every week: 0 is Monday; minutes of the day, `to_minute` up to 1440."""

    weekdays: frozenset[int]
    from_minute: int
    to_minute: int


@dataclass(frozen=True)
class DateWindow:
    """Hours of one local date: minutes of the day, `to_minute` up to 1440."""

    day: date
    from_minute: int
    to_minute: int


@dataclass(frozen=True)
class QuietSpan:
    """Hours of every day: minutes of the day, 0 to 1439; past midnight when it ends before it starts."""

    from_minute: int
    to_minute: int


def read_moment(typed: str, *, now: datetime, zone: ZoneInfo) -> Moment:
    """Read "Tue 16:00", "завтра о 15:00", "1 декабря в 10:00", "2026-12-01 10:00", "in 2 hours" or "16:00".

    A weekday or a bare time of day is the next one after `now`; "today" is today even if the time has passed.
    "in" counts hours and minutes on a watch, but whole days and weeks in the calendar.

    Raises:
        Unreadable: it is none of these, or has no time of day.
    """
    with _or(
        Unreadable(
            "“{typed}” is not a moment I can read. Write it like “Tue 16:00”, “tomorrow 15:00” or “2026-12-01 10:00”.",
            typed=_clip(typed),
        )
    ):
        plain = _plain(typed)
        if _INSTANT.fullmatch(plain):
            return Moment(datetime.fromisoformat(plain.upper()).astimezone(UTC))
        first, _, rest = plain.partition(" ")
        if first in _IN:
            return _later(_length(rest), now, zone)
        reader = _Reader(plain, now.astimezone(zone).date())
        clock = reader.clock()
        day = reader.day()
        clock = clock or reader.clock()
        reader.end()
        if clock is None and day is not None:
            raise Unreadable("Please add the time of day, as in “Tue 16:00”.")
        if clock is None or (day is None and clock.bare):
            raise _Lost
        resolved = _next(day, clock.minute, reader.today, now, zone)
    return Moment(resolved.at, resolved.adjusted)


def show_moment(moment: Moment, zone: ZoneInfo) -> str:
    """Write "2026-12-01 10:00" as a wall in `zone` shows it; with the offset where it tells two apart."""
    local = moment.at.astimezone(zone)
    if resolve(local.date(), local.hour * 60 + local.minute, zone).at == moment.at:
        return f"{local:%Y-%m-%d %H:%M}"
    return local.isoformat(" ")


def read_days(typed: str, *, now: datetime, zone: ZoneInfo) -> DayRange:
    """Read "2026-12-24..2027-01-02", "24 Dec - 2 Jan", "24–28 грудня", "завтра", "Fri" or "next week".

    Days without a year are the next such days, but a range that has begun and not ended is the present one.

    Raises:
        Unreadable: it is none of these, or the last day comes before the first.
    """
    with _or(
        Unreadable(
            "“{typed}” is not a day I can read. Write it like “2026-12-24”, “24 Dec - 2 Jan” or “tomorrow”.",
            typed=_clip(typed),
        )
    ):
        reader = _Reader(_plain(typed), now.astimezone(zone).date())
        days = reader.days()
        reader.end()
        if not {days.first.year, days.last.year} <= set(YEARS):
            raise _Lost
    if days.last < days.first:
        raise Unreadable("The last day cannot come before the first.")
    return days


def show_days(days: DayRange) -> str:
    """Write "2026-12-24..2027-01-02", or "2026-12-24" for a single day."""
    return str(days.first) if days.first == days.last else f"{days.first}..{days.last}"


def read_window(typed: str, *, now: datetime, zone: ZoneInfo) -> WeeklyWindow | DateWindow:
    """Read "вт, чт 16:00-18:00", "every Tuesday 4-6pm", "weekdays 9-11", or once: "1 Dec 16:00-18:00".

    Weekdays alone mean every week; a date, or "this" or "next" before a weekday, means once.

    Raises:
        Unreadable: it is none of these, or does not end after it starts on the same day.
    """
    with _or(
        Unreadable(
            "“{typed}” is not a time window I can read. Write it like “Tue 16:00-18:00” or “2026-12-01 16:00-18:00”.",
            typed=_clip(typed),
        )
    ):
        reader = _Reader(_plain(typed), now.astimezone(zone).date())
        hours = reader.span()
        days = reader.weekdays_or_day()
        start, end = hours or reader.span() or _lost()
        reader.end()
        if end <= start:
            raise Unreadable("A time window must end after it starts, on the same day.")
        if isinstance(days, _Day):
            day = days.on_or_after(reader.today)
            return DateWindow(day if day.year in YEARS else _lost(), start, end)
    return WeeklyWindow(days, start, end)


def show_window(window: WeeklyWindow | DateWindow) -> str:
    """Write "Tue, Thu 16:00-18:00", "daily 09:00-10:00" or "2026-12-01 16:00-18:00"."""
    if isinstance(window, DateWindow):
        days = str(window.day)
    elif window.weekdays == EVERY_DAY:
        days = "daily"
    else:
        days = ", ".join(WEEKDAYS[day] for day in sorted(window.weekdays))
    return f"{days} {_hours(window.from_minute, window.to_minute)}"


def read_quiet(typed: str) -> QuietSpan:
    """Read "22:00-08:00", "22-8", "10pm - 7am" or "з 22 до 8".

    Raises:
        Unreadable: it is none of these, or ends when it starts.
    """
    with _or(
        Unreadable("“{typed}” is not a span of hours I can read. Write it like “22:00-08:00”.", typed=_clip(typed))
    ):
        reader = _Reader(_plain(typed), date.min)
        start, end = reader.span() or _lost()
        reader.end()
    if start % DAY == end % DAY:
        raise Unreadable("Quiet hours must end at another time than they start.")
    return QuietSpan(start % DAY, end % DAY)


def show_quiet(quiet: QuietSpan) -> str:
    """Write "22:00-08:00"."""
    return _hours(quiet.from_minute, quiet.to_minute)


def read_length(typed: str) -> timedelta:
    """Read "30m", "45 хв", "1h30m", "півтори години", "2 weeks" or "90": whole minutes, at most `LONGEST`.

    Raises:
        Unreadable: it is none of these, is nothing, or is too long.
    """
    with _or(
        Unreadable(
            "“{typed}” is not a length of time I can read. Write it like “30m”, “1h30m” or “2 days”.",
            typed=_clip(typed),
        )
    ):
        return _length(_plain(typed))


def show_length(length: timedelta) -> str:
    """Write whole minutes as "2d", "1h30m" or "45m"."""
    hours, minutes = divmod(length // timedelta(minutes=1), 60)
    days, hours = divmod(hours, 24)
    return "".join(f"{n}{unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "m")) if n)


def read_schedule(typed: str) -> Schedule:
    """Read "Mon 09:00", "щодня о 9:00", "по вторникам в 10:00" or a cron line; `Schedule.show` reads back.

    Raises:
        Unreadable: it is none of these.
    """
    with suppress(_Lost, ValueError):
        reader = _Reader(_plain(typed), date.min)
        days, clock = reader.weekdays_or_day(), reader.clock()
        reader.end()
        if clock is not None and clock.minute < DAY and not isinstance(days, _Day):
            return Schedule(days, clock.minute)
    try:
        return Schedule.read(typed)
    except Refused as refused:
        raise Unreadable(refused.msgid, **refused.values) from None


class _Lost(Exception):  # noqa: N818 - the reader lost its way; nobody else sees it
    """These words do not make sense in this order."""


def _lost() -> NoReturn:
    """Raise, where only an expression fits."""
    raise _Lost


@contextmanager
def _or(unreadable: Unreadable) -> Iterator[None]:
    """Say `unreadable` when the words make no sense, or name a day that no calendar has."""
    try:
        yield
    except (_Lost, ValueError, OverflowError):
        raise unreadable from None


def _plain(typed: str) -> str:
    """Lower case, one kind of dash, of apostrophe and of space: phones write curly ones by themselves."""
    return " ".join(unicodedata.normalize("NFKC", typed).casefold().translate(_SAME).split())


def _clip(typed: str) -> str:
    """What was typed, as much as fits into a sentence, without characters that nobody can see."""
    return "".join(filter(str.isprintable, typed))[:60]


def _hours(start: int, end: int) -> str:
    return f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"


def _later(length: timedelta, now: datetime, zone: ZoneInfo) -> Moment:
    """The moment a length of time after now, in whole minutes."""
    if length % timedelta(days=1):
        return Moment((now + length).astimezone(UTC).replace(second=0, microsecond=0))
    local = now.astimezone(zone)
    resolved = resolve(local.date() + length, local.hour * 60 + local.minute, zone)
    return Moment(resolved.at, resolved.adjusted)


def _length(plain: str) -> timedelta:
    """The length that the whole text names."""
    if re.fullmatch(r"[0-9]+", plain):
        minutes = float(plain)
    else:
        minutes, at = 0.0, 0
        while at < len(plain):
            piece = _PIECE.match(plain, at)
            unit = _UNITS.get(piece["unit"]) if piece else None
            if piece is None or unit is None:
                raise _Lost
            count = piece["count"]
            minutes += unit * (_COUNTS[count] if count in _COUNTS else float(count.replace(",", ".")) if count else 1)
            at = piece.end()
    length = timedelta(minutes=minutes)
    if not timedelta(0) < length <= LONGEST or length % timedelta(minutes=1):
        raise _Lost
    return length


def _next(day: "_Day | None", minute: int, today: date, now: datetime, zone: ZoneInfo) -> Resolved:
    """The instant meant: what recurs (a time of day, a weekday) is the next one that is still to come."""
    first = today if day is None else day.on_or_after(today)
    step = 1 if day is None else 7 if day.recurs else 0
    resolved = resolve(first, minute, zone)
    if step and resolved.at <= now:
        resolved = resolve(first + timedelta(days=step), minute, zone)
    return resolved


@dataclass(frozen=True)
class _Token:
    """One word: its role, and its value in that role."""

    role: str
    value: int = 0
    day: "_Day | None" = None


@dataclass(frozen=True)
class _Clock:
    """A time of day; `bare` is a number that may as well mean something else ("16")."""

    minute: int
    bare: bool = False
    half: str = ""


@dataclass(frozen=True)
class _Day:
    """A day as it was named: exactly, by day and month, by weekday, or by weekday and one of the others."""

    exact: date | None = None
    month: int | None = None
    number: int = 0
    weekday: int | None = None

    @property
    def recurs(self) -> bool:
        """It is a weekday and nothing more."""
        return self.exact is None and self.month is None

    def on_or_after(self, base: date) -> date:
        """The day meant when days before `base` are not; an exact day is itself."""
        if self.exact is not None:
            found = self.exact
        elif self.month is not None:
            found = next(day for day in self._every_year(base.year) if day >= base)
        else:
            return base + timedelta(days=((self.weekday or 0) - base.weekday()) % 7)
        if self.weekday not in {None, found.weekday()}:
            raise _Lost
        return found

    def _every_year(self, year: int) -> Iterator[date]:
        date(2000, self.month or 0, self.number)  # raises ValueError for a day that no year has
        for later in range(year, year + 9):
            try:
                yield date(later, self.month or 0, self.number)
            except ValueError:  # the 29th of February
                continue


class _Reader:
    """Reads the words of a plain text from left to right; whoever reads in vain stays where they were."""

    def __init__(self, plain: str, today: date) -> None:
        self.today = today
        self._tokens = list(_tokens(plain))
        self._at = 0

    def take(self, *roles: str) -> _Token | None:
        """The next word if it has one of these roles."""
        if self._role() not in roles:
            return None
        self._at += 1
        return self._tokens[self._at - 1]

    def end(self) -> None:
        """Nothing may be left."""
        self._skip("filler", "comma")
        if self._role():
            raise _Lost

    def clock(self) -> _Clock | None:
        """A time of day: "16:00", "4pm", "16"."""
        start = self._at
        self._skip("filler", "comma")
        token = self.take("clock") or (None if self._role(1) == "month" else self.take("number"))
        minute = 0 if token is None else token.value if token.role == "clock" else token.value * 60
        if token is None or minute > DAY:
            self._at = start
            return None
        half = self.take("am", "pm")
        hour_said = self.take("hour")
        if half is not None:
            minute = _half(minute, half.role)
        return _Clock(
            minute,
            bare=token.role == "number" and half is None and hour_said is None,
            half=half.role if half else "",
        )

    def span(self) -> tuple[int, int] | None:
        """Two times of day: "16:00-18:00", "from 4 to 6pm"."""
        start = self._at
        self._skip("filler", "comma", "from")
        first = self.clock()
        last = self.clock() if first and self.take("dash", "to", "by") else None
        if first is None or last is None:
            self._at = start
            return None
        if last.half and not first.half and first.minute <= DAY // 2:
            # "4-6pm" is an afternoon, "11-1pm" starts in the morning.
            shared = _half(first.minute, last.half)
            return (shared if shared < last.minute else first.minute), last.minute
        return first.minute, last.minute

    def weekdays_or_day(self) -> "frozenset[int] | _Day":
        """Days of every week, or a single day."""
        start = self._at
        day = self.day()
        if day is not None and not day.recurs:
            return day
        self._at = start
        self._skip("filler", "by")
        every = self.take("every")
        if every and self.take("day"):
            return EVERY_DAY
        found = set(self._weekday_range())
        while True:
            start = self._at
            self._skip("comma", "filler", "by")
            more = self._weekday_range()
            if not more:
                self._at = start
                break
            found |= more
        return frozenset(found) if found else _lost()

    def day(self) -> _Day | None:
        """A single day: "tomorrow", "1 Dec", "Tue", "next Tuesday", "Tue, 1 Dec 2026"."""
        start = self._at
        self._skip("filler", "from", "comma")
        which = self.take("this", "next")
        weekday = self.take("weekday")
        if which is not None:
            if weekday is None:
                self._at = start
                return None
            base = self.today + timedelta(days=which.role == "next")
            return _Day(exact=_Day(weekday=weekday.value).on_or_after(base))
        after_weekday = self._at
        if weekday is not None:
            self._skip("comma", "filler")
        found = self._date()
        if found is not None:
            return _Day(found.exact, found.month, found.number, weekday.value if weekday else None)
        if weekday is not None:
            self._at = after_weekday
            return _Day(weekday=weekday.value)
        self._at = start
        return None

    def days(self) -> DayRange:
        """A day or a range of days."""
        self._skip("from", "to", "by", "filler")
        if self._role(1) == "week" and (which := self.take("this", "next")):
            self.take("week")
            monday = self.today - timedelta(days=self.today.weekday())
            if which.role == "this":
                return DayRange(self.today, monday + timedelta(days=6))
            return DayRange(monday + timedelta(days=7), monday + timedelta(days=13))
        start = self._at
        number = self.take("number")
        last = self.day() if number and self.take("dash", "to", "by") else None
        if number and last and last.month and number.value <= last.number:  # 24-28 Dec
            return self._range(_Day(month=last.month, number=number.value), last)
        if number and last and last.exact:  # 24-28 Dec 2026
            return DayRange(last.exact.replace(day=number.value), last.exact)
        self._at = start
        first = self.day()
        last = self.day() if first and self.take("dash", "to", "by") else first
        if first is None or last is None:
            raise _Lost
        return self._range(first, last)

    def _range(self, first: _Day, last: _Day) -> DayRange:
        if first.month and last.month:
            ends = last.on_or_after(self.today)
            begun = first.on_or_after(ends - LONGEST / 2)
            if begun <= self.today:  # it has begun and not ended
                return DayRange(begun, ends)
        begins = first.on_or_after(self.today)
        return DayRange(begins, last.on_or_after(begins))

    def _date(self) -> _Day | None:
        """A day named without its weekday."""
        named = self.take("date")
        if named is not None:
            return named.day
        relative = self.take("relative")
        if relative is not None:
            return _Day(exact=self.today + timedelta(days=relative.value))
        if {self._role(), self._role(1)} != {"number", "month"}:
            return None
        one, other = self._tokens[self._at : self._at + 2]
        self._at += 2
        month, number = (one, other) if one.role == "month" else (other, one)
        self.take("comma")
        year = self.take("year")
        self._skip("filler")
        if year is not None:
            return _Day(exact=date(year.value, month.value, number.value))
        return _Day(month=month.value, number=number.value)

    def _weekday_range(self) -> frozenset[int]:
        """One weekday, a range of them, or a word for several."""
        group = self.take("workdays", "weekend", "daily")
        if group is not None:
            return _GROUPS[group.role]
        first = self.take("weekday")
        if first is None:
            return frozenset()
        if self._role() in {"dash", "to", "by"} and self._role(1) == "weekday":
            self._at += 2
            last = self._tokens[self._at - 1]
            return frozenset((first.value + step) % 7 for step in range((last.value - first.value) % 7 + 1))
        return frozenset({first.value})

    def _role(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at].role if at < len(self._tokens) else ""

    def _skip(self, *roles: str) -> None:
        while self.take(*roles):
            pass


def _half(minute: int, half: str) -> int:
    """A minute of the twelve-hour clock, before noon ("am") or after."""
    if not 60 <= minute < 13 * 60:
        raise _Lost
    return minute % (DAY // 2) + (DAY // 2 if half == "pm" else 0)


def _tokens(plain: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(plain):
        kind, text = match.lastgroup, match.group(match.lastgroup or 0)
        match kind:
            case "space":
                continue
            case "iso":
                yield _Token("date", day=_Day(exact=date(*map(int, text.split("-")))))
            case "dotted":
                yield _dotted(text)
            case "clock":
                yield _clock(*map(int, text.split(":")))
            case "number":
                yield _Token("year" if len(text) == 4 else "number", int(text[:9]))
            case "word":
                yield _word(text)
            case "dash" | "comma":
                yield _Token(kind)
            case _:
                raise _Lost


def _dotted(text: str) -> _Token:
    """Read "24.12", "24.12.2026" or, where no month fits, a time of day: "16.30"."""
    day, month, *year = map(int, text.split("."))
    if year:
        return _Token("date", day=_Day(exact=date(year[0] if year[0] > 99 else 2000 + year[0], month, day)))
    if 1 <= month <= 12:
        return _Token("date", day=_Day(month=month, number=day))
    return _clock(day, month)


def _clock(hour: int, minute: int) -> _Token:
    if minute > 59 or hour * 60 + minute > DAY:
        raise _Lost
    return _Token("clock", hour * 60 + minute)


def _word(text: str) -> _Token:
    found = _LEXICON.get(text)
    if found is None and text.startswith("що"):  # щовівторка: every Tuesday
        found = _LEXICON.get(text.removeprefix("що"))
        if found is None or found.role != "weekday":
            raise _Lost
    if found is None:
        raise _Lost
    return found


_SAME: Final = {
    **dict.fromkeys(map(ord, "‐‑‒–—―−"), "-"),
    **dict.fromkeys(map(ord, "’‘ʼ`´"), "'"),
    ord("ё"): "е",
}

_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ t][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(z|[+-][0-9]{2}:[0-9]{2}(:[0-9]{2})?)"
)
"""A moment with its offset from UTC, which alone tells the two hours of a fold apart."""

_TOKEN: Final = re.compile(
    r"""
    (?P<iso>[0-9]{4}-[0-9]{1,2}-[0-9]{1,2})(?![0-9])(?:t(?=[0-9]))?
    | (?P<clock>[0-9]{1,2}:[0-9]{2})(?![0-9:])
    | (?P<dotted>[0-9]{1,2}\.[0-9]{1,2}(?:\.(?:[0-9]{4}|[0-9]{2}))?)(?![0-9])(?:\.(?!\.))?
    | (?P<number>[0-9]+)(?:(?:st|nd|rd|th|-?(?:го|ого|е|ое))(?![^\W\d_]))?
    | (?P<word>[^\W\d_]+(?:'[^\W\d_]+)*)(?:\.(?!\.))?
    | (?P<dash>\.{2,3}|-+)
    | (?P<comma>[,;&])
    | (?P<space>\s)
    | (?P<other>.)
    """,
    re.VERBOSE,
)

_PIECE: Final = re.compile(
    r"""
    (?: (?P<count> [0-9]{1,9}(?:[.,][0-9]{1,3})?
                 | (?:an|a|one|half(?:\ an?)?|пів|пол|півтори|півтора|полтора)(?![^\W\d_]) )\ ? )?
    (?P<unit> [^\W\d_]+ )\.?
    (?: \ ?(?:,|and|і|и|та)(?![^\W\d_]) )?\ ?
    """,
    re.VERBOSE,
)
"""One piece of a length of time: a count and its unit; a unit alone is one of it."""

_COUNTS: Final[Mapping[str | None, float]] = {
    **dict.fromkeys((None, "an", "a", "one"), 1.0),
    **dict.fromkeys(("half", "half a", "half an", "пів", "пол"), 0.5),
    **dict.fromkeys(("півтори", "півтора", "полтора"), 1.5),
}


def _table(lines: str) -> Iterator[tuple[str, list[str]]]:
    """Rows of a table of words: what they mean, and the words."""
    for line in lines.strip().splitlines():
        meaning, _, forms = line.partition(":")
        yield meaning.strip(), forms.split()


_UNITS: Final = {
    form: int(minutes)
    for minutes, forms in _table("""
        1: m min mins minute minutes хв хвилина хвилину хвилини хвилин м мин минута минуту минуты минут
        30: півгодини полчаса
        60: h hr hrs hour hours год година годину години годин ч час часа часов
        1440: d day days день дня дні днів дней доба добу сутки
        10080: w wk week weeks тиждень тижні тижня тижнів нед неделя неделю недели недель
    """)
    for form in forms
}
"""Minutes of a unit of time."""

_GROUPS: Final = {"workdays": frozenset(range(5)), "weekend": frozenset({5, 6}), "daily": EVERY_DAY}

_IN: Final = frozenset({"in", "через", "за"})

_NAMES: Final = """
    weekday 0: mo monday mondays
    weekday 0: пн понеділок понеділка понеділку понеділки понеділкам понеділках
    weekday 0: понедельник понедельника понедельнику понедельники понедельникам
    weekday 1: tu tues tuesday tuesdays
    weekday 1: вт вівторок вівторка вівторку вівторки вівторкам вівторках
    weekday 1: вторник вторника вторнику вторники вторникам
    weekday 2: we wednesday wednesdays
    weekday 2: ср середа середу середи середі середам середах
    weekday 2: среда среду среды среде средам
    weekday 3: th thurs thursday thursdays
    weekday 3: чт четвер четверга четвергу четверги четвергам четвергах
    weekday 3: четверг
    weekday 4: fr friday fridays
    weekday 4: пт п'ятниця п'ятницю п'ятниці п'ятницям п'ятницях
    weekday 4: пятница пятницу пятницы пятнице пятницам
    weekday 5: sa saturday saturdays
    weekday 5: сб субота суботу суботи суботі суботам суботах
    weekday 5: суббота субботу субботы субботе субботам
    weekday 6: su sunday sundays
    weekday 6: нд неділя неділю неділі неділям неділях
    weekday 6: вс воскресенье воскресенья воскресенью воскресеньям
    month 1: january січень січня січні январь января январе
    month 2: february лютий лютого лютому февраль февраля феврале
    month 3: march березень березня березні март марта марте
    month 4: april квітень квітня квітні апрель апреля апреле
    month 5: may травень травня травні май мая мае
    month 6: june червень червня червні июнь июня июне
    month 7: july липень липня липні июль июля июле
    month 8: august серпень серпня серпні август августа августе
    month 9: september вересень вересня вересні сентябрь сентября сентябре
    month 10: october жовтень жовтня жовтні октябрь октября октябре
    month 11: november листопад листопада листопаді ноябрь ноября ноябре
    month 12: december грудень грудня грудні декабрь декабря декабре
"""
"""Words that are also understood when cut short to three letters or more."""

_OTHERS: Final = """
    relative -1: yesterday вчора вчера
    relative 0: today сьогодні сегодня
    relative 1: tomorrow завтра
    relative 2: післязавтра послезавтра
    every: every each кожен кожний кожного кожну кожної каждый каждого каждую каждой каждое
    daily: daily щодня щоденно ежедневно
    workdays: weekdays weekday workdays будні буднях будням будни будним
    weekend: weekends weekend вихідні вихідним вихідних выходные выходным выходных
    day: day день дня
    week: week тиждень тижня тижні неделя неделю недели неделе нед
    this: this цей ця цю цього цієї цьому этот эта эту этой этого этом
    next: next наступний наступна наступну наступного наступної наступному
    next: следующий следующая следующую следующей следующее следующего следующем
    to: to till until til through до
    by: по
    from: from since з із зі с со
    comma: and і й та и
    filler: at on the of у в во о об на ої р рр рік року г год года году
    am: am ранку утра
    pm: pm вечора вечера
    hour: o'clock h година годині години годин ч час часа часов
"""
"""Words that stand only for themselves; "по" is both "on" (по вторникам) and "to" (с 24 по 28)."""


def _lexicon() -> dict[str, _Token]:
    """Every word and what it means; a name cut short is left out where it could be two."""
    words, names = (
        {
            form: _Token(role, int(value or 0))
            for role, _, value, forms in ((*meaning.partition(" "), forms) for meaning, forms in _table(table))
            for form in forms
        }
        for table in (_OTHERS, _NAMES)
    )
    cut: dict[str, set[_Token]] = {}
    for form, token in names.items():
        for length in range(3, len(form)):
            cut.setdefault(form[:length], set()).add(token)
    return {form: tokens.pop() for form, tokens in cut.items() if len(tokens) == 1} | words | names


_LEXICON: Final = _lexicon()
