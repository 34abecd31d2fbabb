"""Catalogues: every language the bots speak, one `.po` file each, found at start-up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from gettext import c2py
from pathlib import Path

from babel.messages.pofile import read_po

LOCALES = Path(__file__).parent.parent / "locales"
SOURCE = "en"
"""The language that the sentences in the code are written in."""


def _english(n: int) -> int:
    return int(n != 1)


@dataclass(frozen=True, eq=False)
class Catalogue:
    """One language: its sentences, and which plural form a count takes."""

    language: str
    sentences: Mapping[str, str | tuple[str, ...]]
    form: Callable[[int], int] = _english

    def one(self, msgid: str) -> str:
        """Return the sentence in this language, or in English where it is not translated."""
        said = self.sentences.get(msgid)
        return said if isinstance(said, str) and said else msgid

    def many(self, one: str, many: str, n: int) -> str:
        """Return the plural form that `n` takes, or the English one where it is not translated."""
        said = self.sentences.get(one)
        if isinstance(said, tuple) and all(said):
            return said[self.form(n)]
        return many if _english(n) else one


class Catalogues:
    """Every language there is; unknown ones fall back to English a sentence at a time."""

    def __init__(self, catalogues: Mapping[str, Catalogue]) -> None:
        self._catalogues = {SOURCE: Catalogue(SOURCE, {}), **catalogues}

    @classmethod
    def load(cls, folder: Path = LOCALES) -> Catalogues:
        """Read every `.po` file of a folder; its name is the language's code."""
        return cls({path.stem: _read(path) for path in sorted(folder.glob("*.po"))})

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of all languages, English first."""
        return tuple(self._catalogues)

    def speak(self, language: str) -> Catalogue:
        """Return a language's catalogue; English for one that is not there."""
        return self._catalogues.get(language) or self._catalogues[SOURCE]


def _read(path: Path) -> Catalogue:
    with path.open("rb") as file:
        po = read_po(file, locale=path.stem)
    sentences: dict[str, str | tuple[str, ...]] = {}
    for message in po:
        if not message.id or message.fuzzy:
            continue
        if isinstance(message.id, tuple | list):
            sentences[message.id[0]] = tuple(message.string or ())
        else:
            sentences[message.id] = str(message.string)
    return Catalogue(path.stem, sentences, c2py(po.plural_expr))
