"""When the clock on a wall shows a time: recurrence with an explicit policy for the days when clocks change.

A wall time that is skipped in spring happens at the first instant after the gap. One that is shown twice in
autumn happens once, the first time. What recurs is told apart by its **local date**, never by its instant: a
changed time-zone database may move an occurrence, but cannot make a second one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.core import get_global

from storage.refused import Refused

DAY: Final = 24 * 60
"""Minutes of a day on the wall; as a minute of the day it is the midnight that ends it."""

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

EVERY_DAY: Final = frozenset(range(7))

Adjusted = Literal["", "gap", "fold"]
"""Empty: the wall shows it once. "gap": never, so it moved behind the gap. "fold": twice, the first it is."""


@dataclass(frozen=True)
class Resolved:
    """The instant (UTC) of a wall time, and whether a change of the clocks had a say in it."""

    at: datetime
    adjusted: Adjusted = ""


def resolve(day: date, minute: int, zone: ZoneInfo) -> Resolved:
    """Find the instant at which the wall in `zone` shows `minute` minutes after midnight of `day`.

    Args:
        day: a local date.
        minute: 0 to 1440; 1440 is the midnight that ends the day.
        zone: where the wall stands.
    """
    wall = datetime.combine(day, time()) + timedelta(minutes=minute)
    first = wall.replace(tzinfo=zone)
    before, after = first.utcoffset(), wall.replace(tzinfo=zone, fold=1).utcoffset()
    assert before is not None  # noqa: S101 - a ZoneInfo always knows its offset
    assert after is not None  # noqa: S101
    if before >= after:
        return Resolved(first.astimezone(UTC), "" if before == after else "fold")
    # The gap ends at the change itself, which lies between the two readings of the wall time.
    low, high = (wall - after).replace(tzinfo=UTC), (wall - before).replace(tzinfo=UTC)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(zone).replace(tzinfo=None) >= wall:
            high = middle
        else:
            low = middle
    return Resolved(high, "gap")


@dataclass(frozen=True)
class Occurrence:
    """One time that something recurs: `day` is its key, `at` its instant in UTC."""

    day: date
    at: datetime
    adjusted: Adjusted = ""


@dataclass(frozen=True)
class Schedule:
    """Days of the week (0 is Monday) and a minute of the day (0 to 1439); each question names the zone."""

    weekdays: frozenset[int]
    minute: int

    @classmethod
    def read(cls, typed: str) -> "Schedule":
        """Read "Mon 09:00", "Mon, Thu 9:00", "daily 09:00" or a cron line of days of the week ("0 9 * * 1").

        Raises:
            Refused: for anything else, saying what would do. Of cron, one minute and one hour are understood,
                and `*`, numbers, names, lists and ranges of weekdays; no days of the month, months or steps.
        """
        words = re.sub(r" ?([-,]) ?", r"\1", " ".join(typed.lower().replace("–", "-").split()))
        simple = _SIMPLE.fullmatch(words)
        if simple:
            days, hour, minute = simple.groups()
        else:
            fields = words.split()
            if len(fields) != 5:
                raise Refused("I cannot read that as a schedule. Write a day and a time, such as “Mon 09:00”.")
            minute, hour, month_day, month, days = fields
            if not (_NUMBER.fullmatch(minute) and _NUMBER.fullmatch(hour) and (month_day, month) == ("*", "*")):
                raise Refused("Only weekly and daily schedules are possible, such as “Mon 09:00” or “0 9 * * 1”.")
        weekdays = _weekdays(days)
        if weekdays is None or int(hour) > 23 or int(minute) > 59:
            raise Refused("I cannot read that as a schedule. Write a day and a time, such as “Mon 09:00”.")
        return cls(weekdays, int(hour) * 60 + int(minute))

    def show(self) -> str:
        """Write it so that `read` gives the same again: "Mon, Thu 09:00" or "daily 09:00"."""
        days = ", ".join(WEEKDAYS[day] for day in sorted(self.weekdays))
        return f"{'daily' if self.weekdays == EVERY_DAY else days} {self.minute // 60:02}:{self.minute % 60:02}"

    def from_day(self, day: date, zone: ZoneInfo) -> Iterator[Occurrence]:
        """Every occurrence on `day` and later local dates, in order, without end."""
        while True:
            if day.weekday() in self.weekdays:
                resolved = resolve(day, self.minute, zone)
                yield Occurrence(day, resolved.at, resolved.adjusted)
            day += timedelta(days=1)

    def after(self, instant: datetime, zone: ZoneInfo) -> Occurrence:
        """The first occurrence strictly after an instant."""
        # A day earlier, because a gap may move an occurrence to the next date.
        start = instant.astimezone(zone).date() - timedelta(days=1)
        return next(found for found in self.from_day(start, zone) if found.at > instant)

    def latest(self, instant: datetime, zone: ZoneInfo) -> Occurrence:
        """The last occurrence at or before an instant: the only one that a catch-up after downtime owes."""
        day = instant.astimezone(zone).date()
        while True:
            if day.weekday() in self.weekdays:
                resolved = resolve(day, self.minute, zone)
                if resolved.at <= instant:
                    return Occurrence(day, resolved.at, resolved.adjusted)
            day -= timedelta(days=1)


def zone_of(name: str) -> ZoneInfo:
    """The time zone of an IANA name such as "Europe/Kyiv"; of a former name, such as "Europe/Kiev", the present one.

    Raises:
        Refused: there is no such zone.
    """
    try:
        return ZoneInfo(_RENAMED.get(name, name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Refused("There is no time zone called {zone}.", zone=name[:40]) from None


# A name without a place ("EET", "UTC") stays as it is: what CLDR calls its present one is a city's.
_RENAMED: Final = {
    former: present
    for former, present in get_global("zone_aliases").items()
    if "/" in former and not former.startswith("Etc/")
}
_SIMPLE: Final = re.compile(r"([a-z][a-z, -]*?) (?:at )?(\d{1,2}):(\d{2})", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,2}", re.ASCII)
_NAMES: Final = {name.lower(): number for number, name in enumerate(WEEKDAYS)} | {
    name: number
    for number, name in enumerate(
        ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    )
}


def _weekdays(typed: str) -> frozenset[int] | None:
    """Read names and cron's numbers (0 and 7 are Sunday), lists and ranges; None for anything else."""
    if typed in {"daily", "every day", "*", "0-7"}:
        return EVERY_DAY
    found: set[int] = set()
    for part in re.split(r"[, ]+", typed):
        ends = [_weekday(end) for end in part.split("-")]
        match ends:
            case [int(day)]:
                found.add(day)
            case [int(first), int(last)]:
                found.update((first + step) % 7 for step in range((last - first) % 7 + 1))
            case _:
                return None
    return frozenset(found)


def _weekday(typed: str) -> int | None:
    if typed in {"0", "1", "2", "3", "4", "5", "6", "7"}:
        return (int(typed) - 1) % 7
    return _NAMES.get(typed)
