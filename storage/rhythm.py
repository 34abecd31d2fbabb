"""When a case's check-in comes: a rhythm on a lawyer's own wall, on no holiday, in no quiet hour, not while away.

What recurs is a **local date**, a weekday every so often; its key never depends on an instant. When it can be asked is
decided afresh each time somebody looks: on a holiday of the country it waits for the next day that is none, in quiet
hours for their end, during an absence for the return. What waits for so long that the next one is due is that next
one: nobody is asked twice for the same days.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from babel.core import get_global

from storage.recurrence import resolve

LONGEST_HOLIDAY: Final = 30
"""Days after which a run of holidays is taken for a mistake in the calendar."""


class Every(StrEnum):
    """How often."""

    WEEK = "week"
    FORTNIGHT = "fortnight"
    MONTH = "month"
    QUARTER = "quarter"


_WEEKS: Final = {Every.WEEK: 1, Every.FORTNIGHT: 2}
_MONTHS: Final = {Every.MONTH: 1, Every.QUARTER: 3}


@dataclass(frozen=True)
class Rhythm:
    """A weekday every week or fortnight, or the first such weekday of every month or quarter.

    Attributes:
        every: how often.
        weekday: 0 is Monday.
        minute: when on that day, in minutes after midnight (0 to 1439).
        since: the local date from which it counts; the first day of the rhythm is on it or later.
    """

    every: Every
    weekday: int
    minute: int
    since: date

    def days(self) -> Iterator[date]:
        """Every day of the rhythm in order, without end."""
        day = self.since - timedelta(days=1)
        while True:
            day = self.after(day)
            yield day

    def after(self, day: date) -> date:
        """The first day of the rhythm after a day."""
        if weeks := _WEEKS.get(self.every):
            first = _weekday_from(self.since, self.weekday)
            steps = max(0, (day - first).days // (7 * weeks) + 1)
            return first + timedelta(weeks=weeks * steps)
        months = _MONTHS[self.every]
        begun = _month(self.since)
        month = begun + max(0, (_month(day) - begun) // months * months)
        while True:
            found = _weekday_from(date(month // 12, month % 12 + 1, 1), self.weekday)
            if found > day and found >= self.since:
                return found
            month += months


@dataclass(frozen=True)
class Calm:
    """When a person is not to be asked.

    Attributes:
        zone: where their wall stands.
        quiet: from which minute of the day to which nothing rings (they may lie around midnight); None: always may.
        away_until: nothing before this instant.
        country: whose public holidays are kept; None: no country's.
    """

    zone: ZoneInfo
    quiet: tuple[int, int] | None = None
    away_until: datetime | None = None
    country: str | None = None

    def asks_at(self, day: date, minute: int) -> datetime:
        """The first instant, on `day` at `minute` of the wall or later, at which the person can be asked."""
        if self.away_until is not None:
            day = max(day, self.away_until.astimezone(self.zone).date())
        for _ in range(LONGEST_HOLIDAY):
            at = self._outside_quiet(day, minute)
            if (self.away_until is None or at >= self.away_until) and not self.keeps(at.astimezone(self.zone).date()):
                return at
            day += timedelta(days=1)
        return at

    def free_from(self, now: datetime, minute: int) -> datetime:
        """The first instant from now on at which the person can be asked: after a holiday or an absence at `minute`."""
        local = now.astimezone(self.zone)
        today, shown = local.date(), local.hour * 60 + local.minute
        if self.keeps(today) or (self.away_until is not None and now < self.away_until):
            at = self.asks_at(today, minute)
            return at if at > now else self.asks_at(today + timedelta(days=1), minute)
        return max(now, self.asks_at(today, shown))

    def keeps(self, day: date) -> bool:
        """Whether a day is a public holiday of the person's country."""
        return self.country is not None and day in _holidays(self.country)

    def _outside_quiet(self, day: date, minute: int) -> datetime:
        """The instant of a wall time, or the end of the quiet hours in which it lies."""
        at = resolve(day, minute, self.zone).at
        if self.quiet is None:
            return at
        start, end = self.quiet
        # Where clocks change, the wall may show another minute than the one that was asked for.
        local = at.astimezone(self.zone)
        shown = local.hour * 60 + local.minute
        if (shown - start) % 1440 >= (end - start) % 1440:
            return at
        return resolve(local.date() + timedelta(days=end <= shown), end, self.zone).at


def country_of(zone: str) -> str | None:
    """The country (ISO 3166) of a time zone, if its public holidays are known; None for a zone of no country."""
    territories = get_global("zone_territories")
    former = (old for old, present in get_global("zone_aliases").items() if present == zone)
    found = next((territories[name] for name in (zone, *former) if name in territories), None)
    return found if found in countries() else None


@cache
def countries() -> frozenset[str]:
    """The countries (ISO 3166) whose public holidays are known."""
    from holidays.registry import EntityLoader  # noqa: PLC0415 as below

    return frozenset(EntityLoader.get_country_codes())


@lru_cache(maxsize=64)
def _holidays(country: str) -> Container[date]:
    """A country's public holidays: days off work; years are worked out when they are first asked for."""
    from holidays import country_holidays  # noqa: PLC0415 three hundred modules, for those who follow cases

    return country_holidays(country)


def _month(day: date) -> int:
    """Months since the year 0."""
    return day.year * 12 + day.month - 1


def _weekday_from(day: date, weekday: int) -> date:
    return day + timedelta(days=(weekday - day.weekday()) % 7)
