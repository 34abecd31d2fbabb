"""Names: what commands and their values are called in menus, in each language.

Where a platform has menus, people pick a command in their own language instead of typing its path. A name is an entry
of the catalogues like any sentence, and cannot be taken for one: a path stands behind a slash ("/hours book"), a
value before a colon ("topic:").
"""

from __future__ import annotations

from collections.abc import Iterator

from commands.core.feature import Command, Commands, Param
from commands.core.strings import Catalogue


def menu(commands: Commands) -> dict[str, Command[...]]:
    """Return every command by its path in a menu, where a path either runs or leads to others.

    A command whose path leads to others stands among them, under its alias.

    Raises:
        ValueError: if it has no alias there.
    """
    found: dict[str, Command[...]] = {}
    for command in commands:
        path, below = command.path, f"{command.path} "
        if any(other.path.startswith(below) for other in commands):
            path = command.alias or ""
            if not path.startswith(below):
                raise ValueError(f"{command.path} leads to other commands: it needs an alias that stands among them")
        found[path] = command
    return found


def values(command: Command[...]) -> list[Param]:
    """Return what a menu asks for with a command; what is confirmed is asked for afterwards."""
    return [param for param in command.params.values() if param.about is not command.confirm]


def word_of_path(catalogue: Catalogue, path: str, at: int) -> str:
    """Name one word of a path: a group, or the command itself."""
    words = catalogue.one(f"/{path}").removeprefix("/").split(" ")
    # Nothing can be said of a translation with more or fewer words, and as a whole it is no valid name anywhere.
    return words[at] if len(words) == path.count(" ") + 1 else " ".join(words)


def name_of_value(catalogue: Catalogue, name: str) -> str:
    """Name a value that a command takes."""
    return catalogue.one(f"{name}:").removesuffix(":")


def names(commands: Commands) -> Iterator[tuple[str, str]]:
    """Yield every name that menus show, as the catalogues hold it, and the feature that has it."""
    for path, command in menu(commands).items():
        feature = commands.feature_of[command.path].name
        yield f"/{path}", feature
        for param in values(command):
            yield f"{param.name}:", feature
