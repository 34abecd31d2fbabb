"""One text as the rules of the guard see it: its tokens, and what stands near what."""

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import accumulate, pairwise

from knowledge.guard.marks import WORDS, Mark
from knowledge.guard.names import Name, People, Shape
from knowledge.guard.tokens import Token, plain, tokens

YEAR = re.compile(r"(?:19[2-9]|20[0-2])\d")
FAR = 10_000
_CLOSE = 4
"""Tokens within which a single name is that of whoever is ill, or was hurt."""
_KNOWN = frozenset(
    {
        *(Mark.INSTITUTION, Mark.PLACE, Mark.MONTH, Mark.PUBLIC, Mark.LAW),
        *(Mark.ROLE, Mark.ROLES, Mark.OURS, Mark.PRONOUN),
    }
)
_IN_ONE_WORD = re.compile("річн|літн|летн")
_VILLAGE_IN_SHORT = {"с", "смт", "пгт", "пос", "х"}
_IN_DATES = {"-", ".", "/", ",", "'", "of", "st", "nd", "rd", "th", "го", "е", "та", "the", "ого"}
_DATE = re.compile(
    r"(?<!\d)(?:(?:0?[1-9]|[12]\d|3[01]) ?[./-] ?(?:0?[1-9]|1[0-2]) ?[./-] ?(?P<year>(?:19|20)\d\d|\d\d)"
    r"|(?P<year_first>(?:19|20)\d\d)[./-](?:0?[1-9]|1[0-2])[./-](?:0?[1-9]|[12]\d|3[01]))(?!\d)"
)


_ROMAN = re.compile(r"I{1,3}|IV|VI{0,3}|IX|XI{0,2}")


def _full_year(year: str) -> int | None:
    """Read a year of four digits or two; two mean the hundred years that end in 2030."""
    if not year:
        return None
    return int(year) if len(year) == 4 else int(year) + (1900 if int(year) > 30 else 2000)


class Read:
    """One text as the rules see it."""

    def __init__(self, text: str) -> None:
        self.plain, self._places = plain(text)
        self.tokens = self._with_phrases(list(tokens(self.plain)))
        self._at: defaultdict[Mark, list[int]] = defaultdict(list)
        for place, token in enumerate(self.tokens):
            for mark in token.marks:
                self._at[mark].append(place)
        self.people = list(People(self.tokens).names())
        self._words_before = list(
            accumulate((token.kind != "sign" and Mark.TITLE not in token.marks for token in self.tokens), initial=0)
        )
        self._starts = [token.start for token in self.tokens]
        self.numbers = [place for place, token in enumerate(self.tokens) if token.kind == "number"]

    @staticmethod
    def _with_phrases(tokens: list[Token]) -> list[Token]:
        """Give the first of two words that belong together the marks of both."""
        words = [place for place, token in enumerate(tokens) if token.kind == "word"]
        for one, two in pairwise(words):
            between = "".join(token.said for token in tokens[one + 1 : two])
            if between not in ("", ".", "#", "/"):
                continue
            first, second = tokens[one], tokens[two]
            marks = WORDS.marks(f"{first.key}_{second.key}", beyond=len(first.key) + 1)
            if marks:
                tokens[one] = replace(first, marks=first.marks | marks)
        return tokens

    def at(self, *marks: Mark) -> list[int]:
        """Return the places of the tokens that have one of the marks."""
        if len(marks) == 1:
            return self._at[marks[0]]
        return sorted({place for mark in marks for place in self._at[mark]})

    def near(self, place: int, *marks: Mark, before: int = 0, after: int = 0) -> int | None:
        """Return the nearest token with one of the marks, at most so many tokens away; never the place itself."""
        nearest: int | None = None
        for mark in marks:
            places = self._at[mark]
            for other in places[bisect_left(places, place - before) : bisect_right(places, place + after)]:
                if other != place and (nearest is None or abs(other - place) < abs(nearest - place)):
                    nearest = other
        return nearest

    def gap(self, name: Name, *marks: Mark, before: int, after: int = -1) -> int:
        """Return how many words lie between a name and the nearest such word outside of it; many if there is none."""
        gaps = [FAR]
        if before >= 0 and (other := self.near(name.first, *marks, before=2 * before + 4)) is not None:
            gaps.append(self._words_before[name.first] - self._words_before[other + 1])
        if after >= 0 and (other := self.near(name.last, *marks, after=2 * after + 4)) is not None:
            gaps.append(self._words_before[other] - self._words_before[name.last + 1])
        return min(gaps)

    def said(self, place: int) -> str:
        """Return what stands at a place; nothing before and after the text."""
        return self.tokens[place].said if 0 <= place < len(self.tokens) else ""

    def joins(self, first: int, last: int) -> bool:
        """Tell whether nothing but signs and words like "in" lies between two tokens."""
        return all(
            token.kind == "sign" or token.marks & {Mark.FROM, Mark.YEARS} for token in self.tokens[first + 1 : last]
        )

    def has(self, place: int, mark: Mark) -> bool:
        """Tell whether the token at a place has a mark; no token, no mark."""
        return 0 <= place < len(self.tokens) and mark in self.tokens[place].marks

    def is_unknown_capital(self, place: int, *, least: int = 3) -> bool:
        """Tell whether a word of so many letters is capitalised and no institution, state or month is known by it."""
        if not 0 <= place < len(self.tokens):
            return False
        token = self.tokens[place]
        return (
            token.kind == "word"
            and token.said[0].isupper()
            and len(token.said) >= least
            and _KNOWN.isdisjoint(token.marks)
        )

    def near_one_person(self, place: int, *, before: int, after: int, named: bool = False) -> bool:
        """Tell whether one certain person is spoken of nearby; with `named`, a bare role is not enough."""
        around = range(max(place - before, 0), min(place + after + 1, len(self.tokens)))
        return (
            any(self._is_one_person(other, named=named) for other in around if other != place)
            or self.has(place, Mark.PRONOUN)
            or any(other in self._single_names for other in around if abs(other - place) <= _CLOSE)
        )

    def _is_one_person(self, place: int, *, named: bool) -> bool:
        marks = self.tokens[place].marks
        if Mark.PRONOUN in marks or Mark.RELATIVE in marks or place in self._full_names:
            return True
        if Mark.ROLES in marks:
            # "Нашої клієнтки" is one client; the word alone may be many.
            return self.has(place - 1, Mark.OURS) and not self.tokens[place].key.isascii()
        if Mark.ROLE in marks or Mark.PERSON in marks:
            # English says by its article whether it speaks of one or of any.
            english = self.tokens[place].key.isascii()
            certain = self.near(place, Mark.OURS, Mark.PRONOUN, Mark.YEARS, before=3) is not None
            return certain or (self.tokens[place].opens if english else not (named and Mark.ROLE in marks))
        return False

    @cached_property
    def _full_names(self) -> frozenset[int]:
        return frozenset(name.first for name in self.people if name.shape is Shape.FULL)

    @cached_property
    def _single_names(self) -> frozenset[int]:
        return frozenset(name.last for name in self.people if name.shape in (Shape.GIVEN, Shape.SURNAME, Shape.LIKELY))

    def near_latitude(self, start: int) -> bool:
        """Tell whether a word for coordinates stands near a character of the plain text."""
        place = bisect_left(self._starts, start)
        return self.near(place, Mark.LATITUDE, before=6, after=4) is not None

    @cached_property
    def ages(self) -> list[int]:
        """The places of what may be somebody's age, in years."""
        return [place for place, token in enumerate(self.tokens) if self._is_age(place, token)]

    def _is_age(self, place: int, token: Token) -> bool:
        if token.kind == "number" and len(token.key) < 3:
            years = self.near(place, Mark.YEARS, before=1, after=3) is not None
            return years or self.has(place - 1, Mark.TURNED) or self._is_set_off(place)
        if Mark.COUNT not in token.marks:
            return False
        years = (
            Mark.YEARS in token.marks
            or self.near(place, Mark.YEARS, before=1, after=1) is not None
            or bool(_IN_ONE_WORD.search(token.key))
        )
        return years or self._is_set_off(place)

    def _is_set_off(self, place: int) -> bool:
        """Tell whether a number is said of a person: "a teacher, 45, from …", "a boy of eleven"."""
        of = place - 1 - (self.said(place - 1) == "about")
        if self.said(of) == "of":
            return self.has(of - 1, Mark.PERSON) or self.has(of - 1, Mark.JOB)
        return (
            1 < place < len(self.tokens) - 1
            and self.tokens[place - 1].said in ",("
            and self.tokens[place + 1].said in ",)"
            and not self.tokens[place - 2].marks.isdisjoint((Mark.ROLE, Mark.PERSON, Mark.JOB, Mark.RELATIVE))
        )

    @cached_property
    def villages(self) -> list[int]:
        """The places of words for a village whose name follows."""
        long = [place for place in self.at(Mark.VILLAGE) if any(map(self.is_unknown_capital, (place + 1, place + 2)))]
        short = [
            place
            for place, token in enumerate(self.tokens[:-2])
            if token.said in _VILLAGE_IN_SHORT
            and self.tokens[place + 1].said == "."
            and self.is_unknown_capital(place + 2)
        ]
        return sorted({*long, *short})

    def near_origin(self, place: int, *, before: int, after: int) -> int | None:
        """Return a place near which "from" or a comma leads to a village or town that not everybody knows."""
        for other in range(max(place - before, 0), min(place + after + 1, len(self.tokens))):
            if (self.has(other, Mark.FROM) or self.tokens[other].said == ",") and (
                self.is_unknown_capital(other + 1) or self.near(other, Mark.VILLAGE, after=3) is not None
            ):
                return other
        return None

    @cached_property
    def dates(self) -> list[tuple[int, int, int | None]]:
        """The days that are named: first and last token, and the year if it is written in digits."""
        return [*self._dates_in_numbers(), *self._dates_in_words()]

    @cached_property
    def dated(self) -> frozenset[int]:
        """The tokens that belong to a date."""
        return frozenset(place for first, last, _ in self.dates for place in range(first, last + 1))

    def _dates_in_numbers(self) -> Iterator[tuple[int, int, int | None]]:
        for place in self.numbers:
            if found := _DATE.search(self.tokens[place].said):
                year = found["year"] or found["year_first"] or ""
                yield place, place, _full_year(year)

    def _dates_in_words(self) -> Iterator[tuple[int, int, int | None]]:
        for month in [*self.at(Mark.MONTH), *self._roman_months()]:
            first = last = month
            for place in range(month - 1, max(month - 4, -1), -1):
                if self._is_day(place):
                    first = place
                    break
                if self.tokens[place].said not in _IN_DATES:
                    break
            following = month + 1 + (self.said(month + 1) == ".")
            if first == month and self._is_day(following):
                last = following
            if first == last:
                continue
            year = None
            for place in range(last + 1, min(last + 4, len(self.tokens))):
                token = self.tokens[place]
                if token.kind == "number" and (len(token.key) == 2 or YEAR.match(token.key)):
                    last, year = place, _full_year(token.key[:4])
                    break
                if Mark.COUNT in token.marks:
                    last = place
                elif token.said not in _IN_DATES:
                    break
            yield first, last, year

    def _roman_months(self) -> list[int]:
        stops = (place for place, token in enumerate(self.tokens[:-2]) if token.said == "." and place)
        return [
            place + 1 for place in stops if _ROMAN.fullmatch(self.tokens[place + 1].said) and self._is_day(place - 1)
        ]

    def _is_day(self, place: int) -> bool:
        if not 0 <= place < len(self.tokens):
            return False
        token = self.tokens[place]
        return Mark.COUNT in token.marks or (token.kind == "number" and len(token.key) < 3 and 0 < int(token.key) < 32)

    @cached_property
    def spelt(self) -> list[tuple[int, int]]:
        """Where six or more numbers follow one another, some of them in words."""
        runs: list[tuple[int, int]] = []
        first: int | None = None
        length = words = 0
        for place, token in enumerate([*self.tokens, Token("", "", 0, 0, "end")]):
            if Mark.COUNT in token.marks or token.kind == "number":
                first = place if first is None else first
                length, words = length + 1, words + (token.kind == "word")
            elif first is not None and token.said not in (",", "-", "."):
                if length > 5 and words > 3:
                    runs.append((first, place - 1))
                first, length, words = None, 0, 0
        return runs

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Return where the tokens from first to last stand in the text that people typed."""
        return self.place(self.tokens[first].start, self.tokens[last].end)

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Return where a stretch of the plain text stands in the text that people typed."""
        return self._places[start], self._places[end - 1] + 1
