"""Commands as Discord takes them: menus whose names and descriptions everybody reads in their own language."""

from __future__ import annotations

import inspect
import json
import unicodedata
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import discord
from discord import AppCommandOptionType, app_commands

from bots.bot import Unfit
from commands.core.feature import Command, Commands, Param
from commands.core.kinds import LONGEST_WORDS, WHOLE
from commands.core.names import menu, name_of_value, values, word_of_path
from commands.core.strings import SOURCE, Catalogue, Catalogues
from commands.core.text import Text, Voice

Declared = app_commands.Command[Any, ..., Any] | app_commands.Group

Said = Callable[[discord.Interaction, Command[...], Mapping[str, str]], Awaitable[None]]
"""What is done when somebody has said a command: its values come as they would be typed on a line."""

Suggest = Callable[
    [discord.Interaction, Command[...], str, str, Mapping[str, str]], Awaitable[list[app_commands.Choice[str]]]
]
"""What is offered to somebody who types: (interaction, command, which value, what is typed of it, other values)."""

MOST_COMMANDS = 100
MOST_OPTIONS = 25
"""Values or subcommands of a command, and choices of a value."""
MOST_LEVELS = 3
LONGEST_NAME = 32
LONGEST_WORDING = 100
"""Characters of a description, of a choice's name and of a choice's value."""
LONGEST_COMMAND = 8000
"""Characters of a command with all below it, the longest language of each wording."""

EVERYWHERE = app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=False)
INSTALLED = app_commands.AppInstallationType(guild=True, user=False)

_ENGLISH = Catalogue(SOURCE, {})
_UTC = ZoneInfo("UTC")


# Declaring


def declare(commands: Commands, *, said: Said, suggest: Suggest) -> list[Declared]:
    """Make what fills a command tree: every command by its path in a menu.

    Everybody may see every command, in a guild and in private with the bot: who may say what is decided on hearing it.
    """
    top: list[Declared] = []
    groups: dict[str, app_commands.Group] = {}
    for path, command in menu(commands).items():
        words = path.split(" ")
        parent: app_commands.Group | None = None
        for depth in range(1, len(words)):
            group = " ".join(words[:depth])
            if group not in groups:
                groups[group] = app_commands.Group(
                    name=_localised(partial(word_of_path, path=path, at=depth - 1)),
                    description=_sentence(commands.feature_of[command.path].about),
                    parent=parent,
                    allowed_contexts=EVERYWHERE,
                    allowed_installs=INSTALLED,
                )
                if parent is None:
                    top.append(groups[group])
            parent = groups[group]
        made: app_commands.Command[Any, ..., None] = app_commands.Command(
            name=_localised(partial(word_of_path, path=path, at=len(words) - 1)),
            description=_sentence(command.about),
            callback=_callback(command, said, suggest),
            allowed_contexts=EVERYWHERE,
            allowed_installs=INSTALLED,
        )
        if parent is None:
            top.append(made)
        else:
            parent.add_command(made)
    return top


def _callback(command: Command[...], said: Said, suggest: Suggest) -> Callable[..., Any]:
    """Make the function whose signature the library reads as the command's options.

    Prose that a command needs is an option that may be left out: a form with room to write asks for it.
    """

    async def heard(interaction: discord.Interaction, /, **given: str | None) -> None:
        await said(interaction, command, {name: value for name, value in given.items() if value is not None})

    asked = values(command)
    heard.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter("interaction", inspect.Parameter.POSITIONAL_ONLY),
            *(
                inspect.Parameter(
                    param.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    annotation=_option(command, param, suggest),
                    default=inspect.Parameter.empty if param.required and not param.kind.prose else None,
                )
                for param in asked
            ),
        ]
    )
    app_commands.rename(**{param.name: _localised(partial(name_of_value, name=param.name)) for param in asked})(heard)
    app_commands.describe(**{param.name: _sentence(param.about) for param in asked})(heard)
    return heard


def _option(command: Command[...], param: Param, suggest: Suggest) -> Value:
    plain = Value(param)
    return plain if plain.choices or param.kind.suggest is None else SuggestedValue(command, param, suggest)


class Value(app_commands.Transformer):
    """A value as Discord asks for it: a number, one of a few choices, or words. It is heard as it would be typed."""

    def __init__(self, param: Param) -> None:
        self.param = param

    @property
    def type(self) -> AppCommandOptionType:
        """The kind of field in which it is given."""
        return AppCommandOptionType.integer if self.param.kind is WHOLE else AppCommandOptionType.string

    @property
    def max_value(self) -> int | None:
        """How many characters there is room for, where words are written."""
        return None if self.param.kind is WHOLE or self.choices else LONGEST_WORDS

    @property
    def choices(self) -> list[app_commands.Choice[int | float | str]] | None:
        """All the values there are, where Discord can show them all."""
        every = self.param.kind.choices
        if not 0 < len(every) <= MOST_OPTIONS:
            return None
        return [app_commands.Choice(name=_sentence(each.label), value=each.value) for each in every]

    async def transform(self, _interaction: discord.Interaction, value: Any, /) -> str:
        """Return the value as it would be typed."""
        return str(value)


class SuggestedValue(Value):
    """A value for which something is offered while it is typed."""

    def __init__(self, command: Command[...], param: Param, suggest: Suggest) -> None:
        super().__init__(param)
        self._command = command
        self._suggest = suggest

    async def autocomplete(
        self, interaction: discord.Interaction, value: float | str, /
    ) -> list[app_commands.Choice[Any]]:
        """Return what somebody may mean who has typed this much."""
        given = {name: str(other) for name, other in interaction.namespace if name != self.param.name and other != ""}
        return await self._suggest(interaction, self._command, self.param.name, str(value), given)


# Languages


def _localised(say: Callable[[Catalogue], str]) -> app_commands.locale_str:
    """Name something by what a catalogue makes of it."""
    return app_commands.locale_str(say(_ENGLISH), say=say)


def _sentence(text: Text) -> app_commands.locale_str:
    return _localised(lambda catalogue: Voice(catalogue, _UTC).say(text))


class Names(app_commands.Translator):
    """The catalogues, for the languages that Discord has; the others read English there."""

    def __init__(self, catalogues: Catalogues) -> None:
        self._catalogues = catalogues

    async def translate(
        self, string: app_commands.locale_str, locale: discord.Locale, _context: app_commands.TranslationContextTypes
    ) -> str | None:
        """Return the wording in a language; None where it is the English one."""
        language = locale.value.partition("-")[0]
        wording: str = string.extras["say"](self._catalogues.speak(language))
        return None if wording == string.message else wording


# What is sent


async def payload(tree: app_commands.CommandTree[Any], translator: app_commands.Translator) -> list[dict[str, Any]]:
    """Return what a tree with this translator sends when it is synced.

    Raises:
        Unfit: if Discord would refuse it.
    """
    sent = [await command.get_translated_payload(tree, translator) for command in tree.get_commands()]
    wrong = unfit(sent)
    if wrong:
        raise Unfit("\n".join(wrong))
    return sent


async def fit(commands: Commands, catalogues: Catalogues) -> None:
    """Build everything that would be sent, in every language.

    Raises:
        Unfit: Discord would refuse it.
    """

    async def said(_interaction: discord.Interaction, _command: Command[...], _values: Mapping[str, str]) -> None:
        raise RuntimeError("nobody is heard here")

    async def suggest(*_asked: Any) -> list[app_commands.Choice[str]]:
        return []

    tree = app_commands.CommandTree(discord.Client(intents=discord.Intents.none()))
    for command in declare(commands, said=said, suggest=suggest):
        tree.add_command(command)
    await payload(tree, Names(catalogues))


def fingerprint(sent: Sequence[Mapping[str, Any]], *more: str) -> str:
    """Return what changes whenever a payload does, or any of the other words; the same in every process."""
    return sha256(json.dumps([sent, *more], sort_keys=True).encode()).hexdigest()


# What Discord would refuse


def unfit(sent: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for everything in a payload that breaks one of Discord's rules."""
    wrong = list(_ambiguous("the commands", sent))
    if len(sent) > MOST_COMMANDS:
        wrong.append(f"there are {len(sent)} commands; {MOST_COMMANDS} is the most")
    for command in sent:
        where = f"/{command['name']}"
        wrong += _unfit(where, command, level=1)
        size = _size(command)
        if size > LONGEST_COMMAND:
            wrong.append(f"{where}: {size} characters in all; {LONGEST_COMMAND} is the most")
    return wrong


def _unfit(where: str, thing: Mapping[str, Any], *, level: int) -> Iterator[str]:
    """Check a command, a group of commands, or a value, and everything below it."""
    yield from _unfit_names(where, thing)
    yield from _unfit_wordings(where, thing, "description")
    choices, options = thing.get("choices") or [], thing.get("options") or []
    if choices and thing.get("autocomplete"):
        yield f"{where}: has choices, and offers others while one types"
    for what, several in (("choices", choices), ("options", options)):
        if len(several) > MOST_OPTIONS:
            yield f"{where}: {len(several)} {what}; {MOST_OPTIONS} is the most"
        yield from _ambiguous(where, several)
    for choice in choices:
        yield from _unfit_wordings(f"{where} {choice['value']}", choice, "name")
        if len(str(choice["value"])) > LONGEST_WORDING:
            yield f"{where} {choice['value']}: the value has more than {LONGEST_WORDING} characters"
    below = [option for option in options if _leads_on(option)]
    if below and len(below) < len(options):
        yield f"{where}: takes values, and leads to other commands"
    if below and level >= MOST_LEVELS:
        yield f"{where}: leads to level {level + 1}; {MOST_LEVELS} is the deepest"
    required = [bool(option.get("required")) for option in options]
    if required != sorted(required, reverse=True):
        yield f"{where}: a required value stands behind one that may be left out"
    for option in options:
        yield from _unfit(f"{where} {option['name']}", option, level=level + 1)


def _leads_on(option: Mapping[str, Any]) -> bool:
    return option["type"] in {AppCommandOptionType.subcommand.value, AppCommandOptionType.subcommand_group.value}


def _wordings(thing: Mapping[str, Any], field: str) -> dict[str, str]:
    """Return a name or a description in every language that has one of its own; the default one is English."""
    return {SOURCE: thing[field], **(thing.get(f"{field}_localizations") or {})}


def _unfit_names(where: str, thing: Mapping[str, Any]) -> Iterator[str]:
    yield from _unsupported(where, thing, "name")
    for locale, name in _wordings(thing, "name").items():
        if not 1 <= len(name) <= LONGEST_NAME or not all(
            each in "-_'" or unicodedata.category(each)[0] in "LN" for each in name
        ):
            yield f"{where}: the name “{name}” ({locale}) is not 1 to {LONGEST_NAME} letters, digits, -, _ and '"
        if name != name.lower():
            yield f"{where}: the name “{name}” ({locale}) is not in lower case"


def _unfit_wordings(where: str, thing: Mapping[str, Any], field: str) -> Iterator[str]:
    yield from _unsupported(where, thing, field)
    for locale, wording in _wordings(thing, field).items():
        if not 1 <= len(wording) <= LONGEST_WORDING:
            yield f"{where}: the {field} ({locale}) has {len(wording)} characters, not 1 to {LONGEST_WORDING}"


def _unsupported(where: str, thing: Mapping[str, Any], field: str) -> Iterator[str]:
    for locale in thing.get(f"{field}_localizations") or {}:
        if locale not in {each.value for each in discord.Locale}:
            yield f"{where}: Discord has no language {locale}, which the {field} is in"


def _ambiguous(where: str, several: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Find names that are given twice in a language, where those without a name in it have their English one."""
    every = [_wordings(each, "name") for each in several]
    for locale in dict.fromkeys(locale for names in every for locale in names):
        for name, times in Counter(names.get(locale, names[SOURCE]) for names in every).items():
            if times > 1:
                yield f"{where}: {times} are called “{name}” ({locale})"


def _size(thing: Mapping[str, Any]) -> int:
    """Count the characters of a command with everything below it, as Discord does."""
    own = sum(max(map(len, _wordings(thing, field).values())) for field in ("name", "description") if field in thing)
    below = [*(thing.get("options") or []), *(thing.get("choices") or [])]
    return own + len(str(thing.get("value", ""))) + sum(map(_size, below))
