"""The command line: the one form in which people's words, buttons, follow-ups, examples and tests are kept.

`path name=value …`; positional values are allowed; a text may take the words that are left. A value with spaces
stands in quotes, where a backslash quotes the next character. The law: `parse(call.line(), commands) == call`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»"}
"""What opens a quoted value, and what closes it: phones write curly ones by themselves."""

_PLAIN = re.compile(r"[^\s\"“”„«»=\\]+")


class Parameters(Protocol):
    """What the reader of a line needs to know of a command."""

    @property
    def path(self) -> str:
        """The words that name the command."""

    @property
    def prose(self) -> Mapping[str, bool]:
        """Parameter names in order; True for those that take the rest of the line."""


@dataclass(frozen=True)
class Call:
    """A command and what was given for it, as text. Values are read by their Kinds only when the call is run."""

    path: str
    given: Mapping[str, str] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.path, tuple(sorted(self.given.items()))))

    def line(self) -> str:
        """Write the call as a person could type it."""
        return " ".join([self.path, *(f"{name}={quoted(value)}" for name, value in self.given.items())])

    def also(self, **given: str) -> Call:
        """Return the same call with more given."""
        return Call(self.path, {**self.given, **given})


class Unparsed(Exception):  # noqa: N818 the line is unparsed
    """The line holds words that the command has no place for; `extra` are the words."""

    def __init__(self, path: str, extra: str) -> None:
        super().__init__("the command has no place for some words")
        self.path = path
        self.extra = extra


def quoted(value: str) -> str:
    """Return a value so that a line can hold it: in quotes if it has to be."""
    if _PLAIN.fullmatch(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclass(frozen=True)
class _Token:
    """One word of a line: what it says, and where it stands."""

    value: str
    start: int
    end: int
    name: str | None = None
    quoted: bool = False


def _quoted_at(line: str, start: int) -> tuple[str, int] | None:
    """Read a quoted value that begins at `start`; None if nothing closes it, then the mark is a plain character."""
    close = QUOTES.get(line[start : start + 1])
    if close is None:
        return None
    value: list[str] = []
    at = start + 1
    while at < len(line):
        character = line[at]
        if character == "\\" and at + 1 < len(line) and line[at + 1] in {"\\", '"', close}:
            value.append(line[at + 1])
            at += 2
            continue
        if character == close:
            after = at + 1
            return ("".join(value), after) if after == len(line) or line[after].isspace() else None
        value.append(character)
        at += 1
    return None


_NAME = re.compile(r"[a-z_]+=")
_BARE = re.compile(r"\S*")


def _tokens(line: str, names: Mapping[str, bool]) -> Iterator[_Token]:
    at = 0
    while at < len(line):
        if line[at].isspace():
            at += 1
            continue
        start, name = at, None
        named = _NAME.match(line, at)
        if named and named.group()[:-1] in names:
            name = named.group()[:-1]
            at = named.end()
        whole = _quoted_at(line, at)
        if whole is not None:
            value, at = whole
        else:
            bare = _BARE.match(line, at)
            value = bare.group() if bare else ""
            at += len(value)
        yield _Token(value, start, at, name, whole is not None)


def read_values(command: Parameters, rest: str) -> Call:
    """Read what stands behind a command's path.

    Named values are taken wherever they stand. A prose value, named or not, takes the unnamed words that follow it;
    the other unnamed words fill the parameters that are still empty, in order.

    Raises:
        Unparsed: when words are left over.
    """
    given: dict[str, str] = {}
    loose: list[_Token] = []
    growing: str | None = None
    spans: dict[str, list[_Token]] = {}
    for token in _tokens(rest, command.prose):
        if token.name is not None:
            given[token.name] = token.value
            growing = token.name if command.prose[token.name] and not token.quoted else None
            spans[token.name] = [token]
        elif growing is not None:
            spans[growing].append(token)
        else:
            loose.append(token)
    for name, tokens in spans.items():
        if len(tokens) > 1:
            start = tokens[0].start + len(name) + 1
            given[name] = rest[start : tokens[-1].end]
    for name, prose in command.prose.items():
        if not loose:
            break
        if name in given:
            continue
        if prose:
            given[name] = loose[0].value if len(loose) == 1 else _as_typed(rest, loose)
            loose = []
        else:
            given[name] = loose.pop(0).value
    if loose:
        raise Unparsed(command.path, _as_typed(rest, loose))
    return Call(command.path, {name: given[name] for name in command.prose if name in given})


def _as_typed(rest: str, tokens: list[_Token]) -> str:
    """Join words as they were typed, leaving out the named values that stood between them."""
    runs: list[str] = []
    start, end = tokens[0].start, tokens[0].end
    for token in tokens[1:]:
        if rest[end : token.start].isspace():
            end = token.end
            continue
        runs.append(rest[start:end])
        start, end = token.start, token.end
    runs.append(rest[start:end])
    return " ".join(runs)
