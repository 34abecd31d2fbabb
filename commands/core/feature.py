"""Features and commands: a command is declared once, by its signature and its docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, get_args, get_origin, get_type_hints
from uuid import UUID

from commands.core.kinds import WHOLE, WORDS, YES_OR_NO, Kind
from commands.core.line import Call, quoted
from commands.core.reply import Reply
from commands.core.text import Text
from storage.members import Role

if TYPE_CHECKING:
    from commands.core.context import Context, JobContext

P = ParamSpec("P")

PLAIN_KINDS: dict[type, Kind[Any]] = {str: WORDS, int: WHOLE, bool: YES_OR_NO}


class Shown(Enum):
    """Who sees the answer: only who asked, or the room where it was asked."""

    ACTOR = "actor"
    ROOM = "room"


@dataclass(frozen=True)
class Param:
    """One parameter of a command."""

    name: str
    about: Text
    kind: Kind[Any]
    required: bool


@dataclass(frozen=True, eq=False)
class Command(Generic[P]):
    """What a person can say: its path, its parameters, who may say it, who sees the answer.

    `confirm` is a question that is asked before the handler runs. `audited` commands leave an entry in the audit.
    `confidential` ones are refused on platforms that can read what is said on them, as all of a confidential feature.
    """

    path: str
    about: Text
    handler: Callable[Concatenate[Context, P], Reply]
    params: Mapping[str, Param]
    allow: Role = Role.GUEST
    shown: Shown = Shown.ACTOR
    alias: str | None = None
    confirm: Text | None = None
    audited: bool = False
    confidential: bool = False

    @property
    def prose(self) -> Mapping[str, bool]:
        """Parameter names in order; True for those that take the rest of the line."""
        return {name: param.kind.prose for name, param in self.params.items()}

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call:
        """Make the call that a button or a hint stands for; mypy checks it like a call of the handler."""
        values = {**dict(zip(self.params, args, strict=False)), **kwargs}
        return Call(
            self.path,
            {
                name: param.kind.show(values[name])
                for name, param in self.params.items()
                if values.get(name) is not None
            },
        )

    def bare(self, **given: str) -> Call:
        """Make a call that still lacks something: what is missing will be asked for."""
        return Call(self.path, given)

    def usage(self) -> str:
        """Write the command with its parameters: `hours book SLOT [topic=]`."""
        return " ".join(
            [
                self.path,
                *(
                    name.upper() if param.required else f"[{name}=]"
                    for name, param in self.params.items()
                    if param.about is not self.confirm
                ),
            ]
        )

    def example(self) -> Call:
        """Return a call as a person might type it: what it needs, in order; what is confirmed is asked for.

        Where several values take any words, each is typed with its name.
        """
        given = {name: param.kind for name, param in self.params.items() if param.required}
        needed = [kind for name, kind in given.items() if self.params[name].about is not self.confirm]
        if sum(kind.prose for kind in needed) > 1:
            return Call(self.path, {name: kind.example for name, kind in given.items()})
        # Only the last one can take the rest of the line.
        last = [kind.example if kind.prose else quoted(kind.example) for kind in needed[-1:]]
        return Call(" ".join([self.path, *(quoted(kind.example) for kind in needed[:-1]), *last]))


@dataclass(frozen=True)
class Job:
    """Work that nobody asks for: run at every `period`, in one transaction, by one process at a time."""

    name: str
    period: timedelta
    run: Callable[[JobContext], None]


Farewell = Callable[["Context", UUID, "Role | None"], None]
"""What a feature does for a person who goes: (context, who, the role that is lost; None: they go altogether)."""


@dataclass(frozen=True)
class Feature:
    """A part of the product under one name: its commands, its jobs, and what it does when somebody leaves."""

    name: str
    about: Text
    confidential: bool = False
    """Refused on platforms that can read what is said on them."""
    commands: list[Command[...]] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    farewells: list[Farewell] = field(default_factory=list)

    def command(
        self,
        path: str | None = None,
        *,
        allow: Role = Role.GUEST,
        shown: Shown = Shown.ACTOR,
        alias: str | None = None,
        confirm: Text | None = None,
        audited: bool = False,
        confidential: bool = False,
    ) -> Callable[[Callable[Concatenate[Context, P], Reply]], Command[P]]:
        """Declare a command. Its path is the feature's name and the function's, unless one is given."""

        def declare(handler: Callable[Concatenate[Context, P], Reply]) -> Command[P]:
            about, notes = _docstring(handler)
            params = _params(handler, notes)
            if confirm is not None:
                params["sure"] = Param("sure", confirm, YES_OR_NO, required=True)
            command = Command(
                path=path or f"{self.name} {handler.__name__.rstrip('_')}",
                about=about,
                handler=handler,
                params=params,
                allow=allow,
                shown=shown,
                alias=alias,
                confirm=confirm,
                audited=audited,
                confidential=confidential or self.confidential,
            )
            self.commands.append(command)
            return command

        return declare

    @property
    def groups(self) -> frozenset[str]:
        """One word each for a group of its commands: its own name, and what their paths begin with."""
        return frozenset({self.name, *(command.path.split()[0] for command in self.commands)})

    def every(self, period: timedelta) -> Callable[[Callable[[JobContext], None]], Callable[[JobContext], None]]:
        """Declare a sweep: every process ticks, one of them does the work."""

        def declare(run: Callable[[JobContext], None]) -> Callable[[JobContext], None]:
            self.jobs.append(Job(f"{self.name}.{run.__name__}", period, run))
            return run

        return declare

    def leaving(self, farewell: Farewell) -> Farewell:
        """Declare what is done when somebody is about to be erased, or has lost a role in this network."""
        self.farewells.append(farewell)
        return farewell


_NOTE = re.compile(r"^([a-z_]+): (.+)$")


def _docstring(handler: Callable[..., Any]) -> tuple[Text, dict[str, Text]]:
    """Split a docstring into what the command does and a note on each parameter."""
    lines = inspect.cleandoc(handler.__doc__ or "").splitlines()
    if not lines:
        raise TypeError(f"{handler.__name__} has no docstring: it is the command's help")
    notes = {found[1]: Text(found[2]) for line in lines[1:] if (found := _NOTE.match(line.strip()))}
    return Text(lines[0]), notes


def _params(handler: Callable[..., Any], notes: Mapping[str, Text]) -> dict[str, Param]:
    hints = get_type_hints(handler, include_extras=True)
    params: dict[str, Param] = {}
    for name, declared in list(inspect.signature(handler).parameters.items())[1:]:
        if name not in notes:
            raise TypeError(f"{handler.__name__}: the docstring says nothing about {name}")
        required = declared.default is inspect.Parameter.empty
        params[name] = Param(name, notes[name], _kind(hints[name]), required=required)
    return params


def _kind(hint: Any) -> Kind[Any]:
    """Find the Kind of an annotation: `Annotated[T, Kind]`, a plain type that has one, or either `| None`."""
    for part in (hint, *get_args(hint)):
        for note in getattr(part, "__metadata__", ()):
            if isinstance(note, Kind):
                return note
    for part in (hint, *get_args(hint)):
        if get_origin(part) is None and part in PLAIN_KINDS:
            return PLAIN_KINDS[part]
    raise TypeError(f"no Kind reads a {hint}")


class Commands:
    """Every command by its path and by its alias."""

    def __init__(self, features: Iterable[Feature]) -> None:
        self.features = tuple(features)
        self.by_path: dict[str, Command[...]] = {}
        self.feature_of: dict[str, Feature] = {}
        for feature in self.features:
            for command in feature.commands:
                for path in filter(None, (command.path, command.alias)):
                    if path in self.by_path:
                        raise ValueError(f"two commands are called {path}")
                    self.by_path[path] = command
                    self.feature_of[path] = feature
        self.groups = frozenset(group for feature in self.features for group in feature.groups)

    def __iter__(self) -> Iterator[Command[...]]:
        return (command for feature in self.features for command in feature.commands)
