"""The rows of the library and of the glossary: what each field may hold, and how a folder of them is read.

A row is data written by people. Its shape is checked when the program starts; nothing in it is markup.
"""

import datetime as dt
import json
import re
from abc import abstractmethod
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from knowledge.words import transliterated, words

EVERY_NETWORK = "all"
"""The network of a row that serves every network."""

LANGUAGES = ("en", "ru", "uk", "ka", "hy", "kk", "az", "ro", "be")
"""The glossary's languages, in the order in which they are shown."""

Prose = Annotated[str, StringConstraints(min_length=1, max_length=2_000, pattern=r"^\S.*\S$|^\S$")]
Phrase = Annotated[str, StringConstraints(max_length=300)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]
Jurisdiction = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2,4}$")]
WEB_ADDRESS = re.compile(r"https?://[^\s<>\"]+")
Kind = Literal[
    "case", "database", "form", "guide", "organisation", "regulation", "report", "statute", "treaty"
]  # fmt: skip


class BadRow(Exception):  # noqa: N818 - what is wrong is the row
    """A file of rows cannot be used; the message is one sentence with the file, the line and the field."""


class Scope(StrEnum):
    """How much of a resource's row was checked against its source."""

    FULL = "full"
    PARTIAL = "partial"
    NONE = "none"


class Row(BaseModel):
    """What all rows have in common: they never change, and a field that nobody knows is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    @abstractmethod
    def key(self) -> str:
        """The name that no two rows may share."""


class Resource(Row):
    """One legal resource: a statute, a judgment, a guide, a form, an organisation, a database."""

    id: Slug
    network: Slug
    kind: Kind
    title: Prose
    title_original: Phrase
    jurisdiction: Jurisdiction
    date: Annotated[str, StringConstraints(pattern=r"^(\d{4}(-\d{2}(-\d{2})?)?|annual)?$")]
    year: int | None
    citation: Prose
    url: Annotated[str, StringConstraints(pattern=rf"^({WEB_ADDRESS.pattern})?$")]
    url_kind: Literal["page", "site", ""]
    languages: Annotated[tuple[Language, ...], Field(min_length=1)]
    tags: tuple[Phrase, ...]
    summary: Prose
    relevance: Prose
    verified: bool
    verified_scope: Scope
    confidence: Phrase
    source: Prose
    check_before_use: bool
    as_of: dt.date

    @property
    def key(self) -> str:
        """The resource's id."""
        return self.id

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.verified != (self.verified_scope is not Scope.NONE):
            raise ValueError("verified and verified_scope contradict each other")
        if bool(self.url) != bool(self.url_kind):
            raise ValueError("url and url_kind must be given together")
        if self.date[:4].isdigit() and int(self.date[:4]) != self.year:
            raise ValueError("year is not the year of date")
        return self


class Words(Row):
    """Something that is said in several languages; " / " stands between the ways to say it in one of them."""

    en: Prose
    ru: Phrase = ""
    uk: Phrase = ""
    ka: Phrase = ""
    hy: Phrase = ""
    kk: Phrase = ""
    az: Phrase = ""
    ro: Phrase = ""
    be: Phrase = ""
    native_review_needed: tuple[Language, ...]
    """The languages in which no native speaker has confirmed the words."""

    def ways(self, language: str) -> tuple[str, ...]:
        """Return the ways to say it in that language, the preferred one first; empty if none is known."""
        said: str = getattr(self, language) if language in LANGUAGES else ""
        return tuple(said.split(" / ")) if said else ()

    def needs_review(self, language: str) -> bool:
        """Tell whether the words in that language still wait for a native speaker."""
        return language in self.native_review_needed

    @model_validator(mode="after")
    def _reviews_what_is_there(self) -> Self:
        for language in self.native_review_needed:
            if not self.ways(language):
                raise ValueError(f"native_review_needed names {language}, but there are no words in it")
        return self


class Term(Words):
    """One term of the glossary in the networks' languages."""

    id: Slug
    network: Slug
    definition_en: Prose
    forms: dict[Language, tuple[Prose, ...]]
    attested: tuple[Phrase, ...]

    @property
    def key(self) -> str:
        """The term's id."""
        return self.id

    @model_validator(mode="after")
    def _forms_are_the_words(self) -> Self:
        for language in LANGUAGES:
            if self.ways(language) != self.forms.get(language, ()):
                raise ValueError(f"forms and {language} do not say the same")
        return self


class Entry(Words):
    """One line of the field lexicon: everyday words of this work, for searching, not for showing."""

    place: Annotated[str, StringConstraints(pattern=r"^([A-Z]{2,4})?$")] = ""
    """The jurisdiction that these words name, if they name one."""

    @property
    def key(self) -> str:
        """The English words."""
        return self.en


def badge(resource: Resource, today: dt.date) -> Scope | None:
    """Return how far the row was verified, or None once twelve months have passed without a new review."""
    return resource.verified_scope if is_recent(resource.as_of, today) else None


def is_recent(reviewed: dt.date, today: dt.date) -> bool:
    """Tell whether a review still counts: it does for twelve months."""
    leap = reviewed.month == 2 and reviewed.day == 29
    return today <= reviewed.replace(year=reviewed.year + 1, day=28 if leap else reviewed.day)


def added(
    *,
    network: str,
    kind: str,
    jurisdiction: str,
    language: str,
    title: str,
    url: str,
    summary: str,
    relevance: str,
    by: str,
    day: dt.date,
    citation: str = "",
    date: str = "",
    scope: Scope = Scope.NONE,
    source: str = "",
) -> Resource:
    """Return the row of a resource that people add, as far as it is known.

    `by` tells who added it, such as "suggested by a member"; `source` against what it can be checked (by default its
    address), and `scope` how far that was done. Without a citation it is cited by the host of its address.

    Raises:
        pydantic.ValidationError: this does not fit into a row.
    """
    return Resource.model_validate(
        {
            "id": slug(title),
            "network": network,
            "kind": kind,
            "title": title,
            "title_original": "",
            "jurisdiction": jurisdiction,
            "date": date,
            "year": int(date[:4]) if date[:4].isdigit() else None,
            "citation": citation or urlsplit(url).hostname or title,
            "url": url,
            "url_kind": "page" if url else "",
            "languages": (language,),
            "tags": (),
            "summary": summary,
            "relevance": relevance,
            "verified": scope is not Scope.NONE,
            "verified_scope": scope,
            "confidence": by,
            "source": source or url,
            "check_before_use": True,
            "as_of": day,
        }
    )


def slug(title: str) -> str:
    """Return the id that a title suggests: Latin letters and digits, at most 50 of them."""
    latin = "-".join(map(transliterated, words(title))).encode("ascii", "ignore").decode()
    return re.sub("-+", "-", latin)[:50].strip("-") or "entry"


R = TypeVar("R", bound=Row)


def read_rows(files: list[Path], row: type[R], *, per_network: bool = True) -> Iterator[R]:
    """Yield the rows of these files in order.

    Raises:
        BadRow: a file cannot be read, a line is not a JSON object of this shape, a name occurs twice, or, where
            there is a file for each network, a row of a network lies in another network's file.
    """
    known: set[str] = set()
    for file in files:
        for number, line in _lines(file):
            where = f"{file.parent.name}/{file.name}, line {number}"
            read = _read(line, row, where)
            if read.key in known:
                raise BadRow(f"{where}: {read.key!r} occurs a second time.")
            network = getattr(read, "network", file.stem)
            if per_network and network != file.stem:
                raise BadRow(f"{where}, field network: {network!r} does not belong into {file.name}.")
            known.add(read.key)
            yield read


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRow(f"{file.parent.name}/{file.name}: cannot be read ({error}).") from error
    # Only the line feed ends a row: str.splitlines would cut at U+2028 inside a summary too.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _read(line: str, row: type[R], where: str) -> R:
    try:
        json.loads(line, object_pairs_hook=_once)
        return row.model_validate_json(line, strict=True)
    except json.JSONDecodeError as error:
        raise BadRow(f"{where}: not a line of JSON ({error.msg} at character {error.pos + 1}).") from error
    except RecursionError as error:
        raise BadRow(f"{where}: nested too deeply.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise BadRow(f"{where}{', field ' + field if field else ''}: {message}.") from error
    except ValueError as error:
        raise BadRow(f"{where}: {error}.") from error


def _once(pairs: list[tuple[str, Any]]) -> None:
    # A parser keeps the last of two; nobody who reads the file would know.
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a field is given twice")
