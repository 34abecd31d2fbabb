"""Kinds: what a value may be, how it is read from people's words, and how it is written back."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

from commands.core.text import Text, _

if TYPE_CHECKING:
    from commands.core.context import Context

T = TypeVar("T")

INVISIBLE = _("Your text holds an invisible character ({code}); please write it again without it.").msgid

MOST_SUGGESTED = 25
"""Suggestions that a menu shows while one types."""

LONGEST_WORDS = 4000
"""Characters that one value may hold; longer ones are refused before anything is looked up."""


class Unreadable(Exception):  # noqa: N818 a value is unreadable; the house says it that way
    """A value could not be read; the sentence says what would be."""

    def __init__(self, msgid: str, /, **values: object) -> None:
        super().__init__(msgid)
        self.text = Text(msgid, values)


@dataclass(frozen=True)
class Choice:
    """One suggestion: the value as it would be typed, and how it is shown."""

    value: str
    label: Text


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind(Generic[T]):
    """A kind of value. The law: `read(ctx, show(x)) == x` for every value that it can read.

    In a `free` one any words may stand: the survivor guard looks at them before they are read. `prose` values take the
    rest of the line. `confidential` ones are refused, and suggested to nobody, wherever others read along, be it only
    the platform. `example` is what a person might type. `choices` are all the values there are, where they are few and
    the same for everybody.
    """

    name: Text
    read: Callable[[Context, str], T]
    show: Callable[[T], str]
    example: str
    suggest: Callable[[Context, str], Sequence[Choice]] | None = None
    choices: Sequence[Choice] = ()
    nothing: Text | None = None
    """What is said instead of asking, when `suggest` knows every value and there is none."""
    prose: bool = False
    free: bool = False
    confidential: bool = False


def clean(typed: str) -> str:
    """Return words fit to be kept and shown: composed (NFC), without surrounding space.

    Raises:
        Unreadable: for characters that nobody can see but that change what others read (controls, bidirectional
            overrides), lone surrogates, and more than `LONGEST_WORDS` characters.
    """
    words = unicodedata.normalize("NFC", typed).strip()
    if len(words) > LONGEST_WORDS:
        raise Unreadable(
            "That is {n} characters long; {most} is the most I can take.", n=len(words), most=LONGEST_WORDS
        )
    for character in words:
        if character not in "\n\t" and (
            unicodedata.category(character) in {"Cc", "Cs"} or unicodedata.bidirectional(character) in BIDI
        ):
            raise Unreadable(INVISIBLE, code=f"U+{ord(character):04X}")
    return words


BIDI = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Bidirectional embeddings, overrides and isolates: they can make a line read as another."""


def _words(_ctx: Context, typed: str) -> str:
    words = clean(typed)
    if not words:
        raise Unreadable("Please write at least one word.")
    return words


def _whole(_ctx: Context, typed: str) -> int:
    try:
        return int(typed.strip())
    except ValueError:
        raise Unreadable("“{typed}” is not a whole number.", typed=clean(typed[:40])) from None


YES = frozenset({"yes", "y", "так", "т", "да", "д", "1", "true", "+"})
NO = frozenset({"no", "n", "ні", "н", "нет", "0", "false", "-"})


def _yes_or_no(_ctx: Context, typed: str) -> bool:
    word = clean(typed).casefold()
    if word in YES:
        return True
    if word in NO:
        return False
    raise Unreadable("Please answer yes or no.")


WORDS: Kind[str] = Kind(
    name=_("words"), read=_words, show=str, example="how to file a complaint", prose=True, free=True
)
WHOLE: Kind[int] = Kind(name=_("a whole number"), read=_whole, show=str, example="3")
YES_OR_NO: Kind[bool] = Kind(
    name=_("yes or no"),
    read=_yes_or_no,
    show=lambda sure: "yes" if sure else "no",
    suggest=lambda _ctx, _typed: YES_OR_NO.choices,
    choices=(Choice("yes", _("yes")), Choice("no", _("no"))),
    example="yes",
)

Words = Annotated[str, WORDS]
Whole = Annotated[int, WHOLE]
YesOrNo = Annotated[bool, YES_OR_NO]


def one_of(name: Text, choices: dict[str, Text], example: str | None = None) -> Kind[str]:
    """Make the kind of a value from a short closed list; a unique beginning is enough to name one."""

    def read(ctx: Context, typed: str) -> str:
        word = clean(typed).casefold()
        if word in choices:
            return word
        fitting = [
            value
            for value, label in choices.items()
            if word and (value.startswith(word) or ctx.voice.say(label).casefold() == word)
        ]
        if len(fitting) == 1:
            return fitting[0]
        raise Unreadable("“{typed}” is none of: {choices}.", typed=word[:40], choices=list(choices.values()))

    every = tuple(Choice(value, label) for value, label in choices.items())
    return Kind(
        name=name,
        read=read,
        show=str,
        suggest=lambda _ctx, typed: [each for each in every if each.value.startswith(typed.casefold())],
        choices=every,
        example=example or next(iter(choices)),
    )
