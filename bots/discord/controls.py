"""Buttons, lists and forms: what their ids mean. Nothing else is decided here.

An id holds all there is to know, so that what was sent before a restart works after it. It is a command line; or, with
the key of a question (digits), it names what is kept under that key: `#KEY N` its Nth choice, `?KEY` its form.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol, Self, cast

import discord

from commands.core.dispatch import Blank
from commands.core.feature import Param
from commands.core.names import name_of_value
from commands.core.text import Text, Voice

LONGEST_ID: Final = 100
LONGEST_BUTTON: Final = 80
LONGEST_OPTION: Final = 100
"""Characters of a label, or of a value, in a list to choose from."""
MOST_OPTIONS: Final = 25
PICK: Final = "pick"
"""The id of a list whose values are command lines."""

LONGEST_TITLE: Final = 45
LONGEST_LABEL: Final = 45
LONGEST_DESCRIPTION: Final = 100
LONGEST_PLACEHOLDER: Final = 100
LONGEST_INPUT: Final = 4000


class Hears(Protocol):
    """Who is told what was pressed: the client."""

    async def pressed(self, interaction: discord.Interaction, *, said: str, question: str | None = None) -> None:
        """Take a command line, or the number of a choice that is kept with a question."""

    async def wants_form(self, interaction: discord.Interaction, question: str) -> None:
        """Open the form of a question."""


# Pressing


class _Control(discord.ui.DynamicItem[Any], template=r"(?!)"):
    """Something to press whose id says what it means; the templates do not overlap, and this one fits nothing."""

    @classmethod
    async def from_custom_id(
        cls, _interaction: discord.Interaction, item: discord.ui.Item[Any], _match: object, /
    ) -> Self:
        """Return the control that was pressed, made anew from its message."""
        return cls(item)


class LineButton(_Control, template=rf"(?s)(?!{PICK}\Z)[a-z].*"):
    """A button that is a command line."""

    async def callback(self, interaction: discord.Interaction) -> None:
        """Say the line."""
        await _client(interaction).pressed(interaction, said=self.custom_id)


class ChoiceButton(_Control, template=r"#[0-9]+ [0-9]+"):
    """A button that is one choice of a question."""

    async def callback(self, interaction: discord.Interaction) -> None:
        """Choose it."""
        question, number = self.custom_id.removeprefix("#").split(" ")
        await _client(interaction).pressed(interaction, said=number, question=question)


class AnswerButton(_Control, template=r"\?[0-9]+"):
    """A button that opens the form of a question."""

    async def callback(self, interaction: discord.Interaction) -> None:
        """Open the form."""
        await _client(interaction).wants_form(interaction, self.custom_id.removeprefix("?"))


class LineSelect(_Control, template=PICK):
    """A list whose values are command lines."""

    async def callback(self, interaction: discord.Interaction) -> None:
        """Say the line that was picked."""
        await _client(interaction).pressed(interaction, said=self.item.values[0])


class ChoiceSelect(_Control, template=r"#[0-9]+"):
    """A list whose values are the numbers of a question's choices."""

    async def callback(self, interaction: discord.Interaction) -> None:
        """Choose what was picked."""
        question = self.custom_id.removeprefix("#")
        await _client(interaction).pressed(interaction, said=self.item.values[0], question=question)


CONTROLS: Final = (LineButton, ChoiceButton, AnswerButton, LineSelect, ChoiceSelect)
"""What a client has to know to hear what is pressed."""


def _client(interaction: discord.Interaction) -> Hears:
    return cast("Hears", interaction.client)


# Filling in


def form(blank: Blank, *, custom_id: str) -> discord.ui.Modal:
    """Make the form that asks for what a call still lacks, with what was typed before to be mended.

    The library does not wait for it: `filled` reads what comes back, in whichever process it arrives.
    """
    modal = discord.ui.Modal(title=fitted(blank.voice.say(blank.about), LONGEST_TITLE), custom_id=custom_id)
    for param in blank.params:
        modal.add_item(
            discord.ui.Label(
                text=fitted(_name(param, blank.voice), LONGEST_LABEL),
                description=fitted(blank.voice.say(param.about), LONGEST_DESCRIPTION),
                component=_field(param, blank.call.given.get(param.name), blank.voice),
            )
        )
    modal.stop()
    return modal


def _name(param: Param, voice: Voice) -> str:
    """Name a value: a choice among a few things by what they are, anything else as in the command's own menu."""
    name = voice.say(param.kind.name) if param.kind.choices else name_of_value(voice.catalogue, param.name)
    return name[:1].upper() + name[1:]


def _field(param: Param, typed: str | None, voice: Voice) -> discord.ui.Item[Any]:
    kind = param.kind
    if 0 < len(kind.choices) <= MOST_OPTIONS:
        return discord.ui.Select(
            custom_id=param.name,
            required=True,
            options=[
                discord.SelectOption(
                    label=fitted(voice.say(each.label), LONGEST_OPTION), value=each.value, default=each.value == typed
                )
                for each in kind.choices
            ],
        )
    # What people type in words of their own language is shown in it; what is read has no language.
    example = voice.say(Text(kind.example)) if kind.prose else kind.example
    return discord.ui.TextInput(
        custom_id=param.name,
        style=discord.TextStyle.paragraph if kind.prose else discord.TextStyle.short,
        required=True,
        max_length=LONGEST_INPUT,
        placeholder=fitted(example, LONGEST_PLACEHOLDER),
        default=None if typed is None else cut(typed, LONGEST_INPUT),
    )


def filled(interaction: discord.Interaction) -> dict[str, str]:
    """Return what was filled into a form, by parameter; what was left empty is left out."""
    sent = cast("dict[str, Any]", interaction.data or {})
    return dict(_values(sent.get("components", [])))


def _values(components: Sequence[object]) -> Iterator[tuple[str, str]]:
    for each in components:
        match each:
            case {"component": inner}:
                yield from _values([inner])
            case {"components": [*several]}:
                yield from _values(several)
            case {"custom_id": str(name), "value": str(value)} if value.strip():
                yield name, value
            case {"custom_id": str(name), "values": [str(value), *_]}:
                yield name, value


# Lengths


def width(words: str) -> int:
    """Count words in UTF-16 units: Discord never counts more, whatever it counts in."""
    return len(words) if words.isascii() else len(words.encode("utf-16-le", "surrogatepass")) // 2


def cut(words: str, most: int) -> str:
    """Return the beginning of words that is at most so wide."""
    if width(words) <= most:
        return words
    return words.encode("utf-16-le", "surrogatepass")[: 2 * most].decode("utf-16-le", "ignore")


def fitted(words: str, most: int) -> str:
    """Return words as one line that is at most so wide, and not empty: Discord takes no empty label."""
    line = " ".join(words.split()) or "…"
    return line if width(line) <= most else cut(line, most - 1).rstrip() + "…"
