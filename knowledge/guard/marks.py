"""What words mean to the guard: tables of words, and the marks that they give."""

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum, auto
from pathlib import Path
from typing import Any

from knowledge.words import fold, sound


class Mark(StrEnum):
    """What a word may mean to the rules; each is a table of `guard/words.toml`, where it is described."""

    ROLE = auto()
    ROLES = auto()
    TESTIMONY = auto()
    INTRO = auto()
    TITLE = auto()
    HARM = auto()
    SUFFERED = auto()
    PRONOUN = auto()
    OURS = auto()
    PERSON = auto()
    JOB = auto()
    UNIQUE = auto()
    RELATIVE = auto()
    RELATIVES = auto()
    PUBLIC = auto()
    INSTITUTION = auto()
    PLACE = auto()
    CITY = auto()
    VILLAGE = auto()
    FROM = auto()
    LIVING = auto()
    STREET = auto()
    FLAT = auto()
    HOUSE = auto()
    BIRTH = auto()
    TURNED = auto()
    MONTH = auto()
    YEARS = auto()
    COUNT = auto()
    PHONE = auto()
    NUMBER = auto()
    AMOUNT = auto()
    DOCUMENT = auto()
    COMPANY = auto()
    CASE_FILE = auto()
    PUBLISHED = auto()
    HEALTH = auto()
    SEXUAL_ACT = auto()
    SEXUAL_NOUN = auto()
    MASTER = auto()
    LAW = auto()
    LISTED = auto()
    NICKNAME = auto()
    LATITUDE = auto()
    OFFICE = auto()


class Words:
    """Tables of words, in the notation that words.toml explains."""

    def __init__(self, tables: Mapping[Mark, Iterable[str]]) -> None:
        whole: defaultdict[str, set[Mark]] = defaultdict(set)
        begun: defaultdict[str, set[Mark]] = defaultdict(set)
        heard: defaultdict[str, set[Mark]] = defaultdict(set)
        for mark, table in tables.items():
            for word in table:
                key = fold(word.rstrip("*~"))
                if word.endswith("*"):
                    begun[key].add(mark)
                for ending in _ENDINGS.get(word[-1], ("",)):
                    whole[key + ending].add(mark)
        for key, marks in whole.items():
            if len(key) > 4 and not key.isascii() and (said := marks & _HEARD):
                heard[sound(key)] |= said
        self._whole, self._begun, self._heard = map(_one_of_each, (whole, begun, heard))
        self._longest = max(map(len, self._begun), default=0)

    def marked(self, mark: Mark) -> list[str]:
        """Return the whole words that have a mark."""
        return [word for word, marks in self._whole.items() if mark in marks]

    def marks(self, key: str, *, beyond: int = 0) -> set[Mark]:
        """Return the marks of a folded word; with `beyond`, a beginning counts only if it is longer than that."""
        found = set(self._whole.get(key, ()))
        for length in range(max(beyond + 1, 2), min(len(key), self._longest) + 1):
            if begun := self._begun.get(key[:length]):
                found |= begun
        return found

    def heard(self, key: str) -> set[Mark]:
        """Return the marks of a Ukrainian or Russian word that is written in Latin letters: svidok, poterpevshaya."""
        return set(self._heard.get(sound(key), ())) if key.isascii() and len(key) > 4 else set()


def _one_of_each(marked: Mapping[str, set[Mark]]) -> dict[str, frozenset[Mark]]:
    """The same with one set for all words of the same marks: there are thousands of words, in every process."""
    known: dict[frozenset[Mark], frozenset[Mark]] = {}
    return {
        word: known.setdefault(each, each) for word, each in zip(marked, map(frozenset, marked.values()), strict=True)
    }


_ENDINGS = {
    "~": """
        ий ій ого ього ому ьому им ім а я ої у ю ою ый ой его ему ым ом ем ая яя ей ую юю ею ее
    """.split(),  # noqa: SIM905 - a list of quotes would hide the endings
}
_HEARD = {
    *(Mark.ROLE, Mark.ROLES, Mark.RELATIVE, Mark.TESTIMONY, Mark.INTRO, Mark.BIRTH, Mark.PHONE, Mark.DOCUMENT),
    *(Mark.LIVING, Mark.PERSON, Mark.HARM, Mark.SUFFERED, Mark.STREET, Mark.FLAT),
}


def load(name: str) -> dict[str, Any]:
    """Read a table beside this file."""
    tables: dict[str, Any] = tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return tables


WORDS = Words({Mark(name): " ".join(said.values()).split() for name, said in load("words.toml").items()})
