"""Sentences before they are said, and the one place where they become a string."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from math import ceil
from string import Formatter
from typing import Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from babel import Locale
from babel.core import get_global
from babel.dates import format_date, format_skeleton, format_time

from commands.core.strings import Catalogue


@runtime_checkable
class Spoken(Protocol):
    """Whatever a person could type: it knows its own command line."""

    def line(self) -> str:
        """Return the line, without a platform's prefix."""


@dataclass(frozen=True)
class Text:
    """A sentence not yet said in anybody's language.

    `msgid` is its English wording with `{named}` places; `values` fill them when a Voice says it. `plural` and
    `count` choose among plural forms. A value is a word, a count, a day, a moment, a length of time, a command line,
    another sentence, or a list of these; none is ever markup: renderers escape them.
    """

    msgid: str
    values: Mapping[str, object] = field(default_factory=dict)
    plural: str | None = None
    count: int | None = None

    def __hash__(self) -> int:
        return hash((self.msgid, self.plural, self.count))


def _(msgid: str, /, **values: object) -> Text:
    """Name a sentence for the catalogues."""
    return Text(msgid, values)


def n_(one: str, many: str, n: int, /, **values: object) -> Text:
    """Name a sentence that depends on a count; `{n}` is the count."""
    return Text(one, {"n": n, **values}, plural=many, count=n)


def plain(words: str) -> Text:
    """Make a sentence of words that belong to no language: a title, a handle, a member's own words."""
    return Text("{words}", {"words": words})


Mark = Callable[[str, str], str]
"""How a surface dresses a piece: (what it is, its words) -> its words, dressed.

What a piece is: `text` our own words, `word` somebody else's, `line` a command line, `moment` a time.
"""


def undressed(_what: str, words: str) -> str:
    """Leave every piece as it is: the mark of a surface without markup."""
    return words


@lru_cache(maxsize=4096)
def _pieces(template: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((literal, name) for literal, name, _spec, _conversion in Formatter().parse(template))


@lru_cache(maxsize=512)
def place_of(zone: str, language: str) -> str:
    """Name a zone by its city in the reader's language ("Київ"), or by its own name where there is none."""
    names = (zone, *(former for former, present in get_global("zone_aliases").items() if present == zone))
    known = Locale(language).time_zones
    city = next((known[name]["city"] for name in names if "city" in known.get(name, {})), None)
    return str(city or zone.rsplit("/", 1)[-1].replace("_", " "))


@dataclass(frozen=True)
class Voice:
    """How one reader is spoken to: language, zone, and the platform's way to write lines and moments."""

    catalogue: Catalogue
    zone: ZoneInfo
    prefix: str = ""
    stamp: Callable[[datetime], str] | None = None

    @property
    def language(self) -> str:
        """The two-letter code of the language spoken."""
        return self.catalogue.language

    def say(self, text: Text, mark: Mark = undressed) -> str:
        """Say a sentence: in the reader's language where it is translated, else in English."""
        if text.plural is None or text.count is None:
            template = self.catalogue.one(text.msgid)
        else:
            template = self.catalogue.many(text.msgid, text.plural, text.count)
        said: list[str] = []
        stopped = False
        for literal, name in _pieces(template):
            if literal:
                # A Ukrainian or Russian day ends with a stop of its own: one is enough.
                said.append(mark("text", literal[stopped and literal.startswith(".") :]))
            if name is not None:
                value = text.values[name]
                said.append(self.value(value, mark))
                stopped = isinstance(value, date | Text) and said[-1].endswith(".")
        return "".join(said)

    def value(self, value: object, mark: Mark = undressed) -> str:
        """Say one value the way this reader expects it."""
        match value:
            case str():
                return mark("word", value)
            case bool():
                return self.say(_("yes") if value else _("no"), mark)
            case int():
                return mark("text", str(value))
            case Text():
                return self.say(value, mark)
            case datetime():
                return mark("moment", self.moment(value))
            case date():
                return mark("text", self.day(value))
            case timedelta():
                return self.say(_length(value), mark)
            case Spoken():
                return mark("line", self.prefix + value.line())
            case Sequence():
                return mark("text", ", ").join(self.value(each, mark) for each in value)
            case _:
                raise TypeError(f"a sentence cannot hold a {type(value).__name__}")

    def moment(self, at: datetime) -> str:
        """Say a moment in the reader's zone, the zone named: "Tue, 1 Dec 2026, 16:00 (Kyiv)"."""
        if self.stamp is not None:
            return self.stamp(at)
        local = at.astimezone(self.zone)
        return f"{self.day(local.date())}, {local:%H:%M} ({place_of(self.zone.key, self.language)})"

    def day(self, day: date) -> str:
        """Say a day with its weekday: "Tue, 1 Dec 2026"."""
        return _day(day, self.language)

    def clock(self, at: datetime) -> str:
        """Say the time of day alone, in the reader's zone."""
        return format_time(at.astimezone(self.zone), "HH:mm", locale=self.language)

    def weekday(self, weekday: int) -> str:
        """Say a weekday's full name; 0 is Monday."""
        return str(Locale(self.language).days["stand-alone"]["wide"][weekday])


@lru_cache(maxsize=2048)
def _day(day: date, language: str) -> str:
    try:
        return format_skeleton("yMMMEd", datetime(day.year, day.month, day.day), locale=language)  # noqa: DTZ001 a day has no zone
    except KeyError:
        return format_date(day, locale=language)


def _length(length: timedelta) -> Text:
    seconds = ceil(length.total_seconds())
    if seconds < 60:
        return n_("{n} second", "{n} seconds", seconds)
    minutes = round(seconds / 60)
    if minutes and minutes % (365 * 24 * 60) == 0:
        return n_("{n} year", "{n} years", minutes // (365 * 24 * 60))
    if minutes >= 2 * 24 * 60 and minutes % (24 * 60) == 0:
        return n_("{n} day", "{n} days", minutes // (24 * 60))
    if minutes >= 60 and minutes % 60 == 0:
        return n_("{n} hour", "{n} hours", minutes // 60)
    return n_("{n} minute", "{n} minutes", minutes)
