"""What is said to the bot, and what is none of its business.

A room of lawyers talks; the bot keeps only what is addressed to it: a line behind its prefix, a mention, a command
that a client made, a reply to it or a word in a thread where it speaks, the number or "stop" that answers its
question, and anything said to it alone. Everything else is forgotten where it was read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from commands.core.line import quoted

COMMAND: Final = "org.matrix.msc4391.command"
BUTTONS: Final = "org.impacthub.buttons"

_ANSWER: Final = re.compile(r"[1-9][0-9]?|stop|стоп", re.IGNORECASE)
_KEYCAP: Final = re.compile("([1-9])\ufe0f?\u20e3")
_NAME_END: Final = " \t\u00a0\u202f\n:,;"


class Line(NamedTuple):
    """What was said to the bot: the words; whether they are certainly a command, and for this bot and no other."""

    words: str
    direct: bool
    named: bool = False


@dataclass(frozen=True)
class Ear:
    """How one bot listens in one room.

    Attributes:
        me: the bot's user id.
        names: what people call it: its display name in the room, its user id, the local part.
        prefix: the word or sign before a command; the same after "/" is understood too.
        alone: whether nobody but one person and the bot is in the room.
        ours: tells whether an event is the bot's own, or a thread hangs on it in which the bot speaks.
        others: our other bots in the room, by user id, and what people call them.
    """

    me: str
    prefix: str
    alone: bool
    names: tuple[str, ...] = ()
    ours: Callable[[str], bool] = field(default=lambda _event: False)
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def hears(self, content: Mapping[str, Any]) -> Line | None:
        """Return what this message says to the bot, without prefix and name; None if it is not for the bot."""
        if not is_speech(content):
            return None
        mentions = mentioned(content)
        named, others = self.me in mentions, mentions & self.others.keys()
        if others and not named:
            return None
        built = _built_by_client(content, self.me)
        if built is not None:
            return Line(built, direct=True, named=True)
        words = _own_words(content)
        command = self._without_prefix(words)
        if command is not None:
            return Line(command, direct=True, named=named)
        if named:
            words = _without_names(words, {*self.names, *(name for bot in others for name in self.others[bot])})
            command = self._without_prefix(words)
            if command is not None:
                return Line(command, direct=True, named=True)
            # Clients mention whom one replies to by themselves: an answer to our question is no command for that.
            answers = any(self.ours(event) for event in related(content))
            return Line(words, direct=not answers, named=True) if words else None
        if words and (self.alone or _ANSWER.fullmatch(words) or any(self.ours(event) for event in related(content))):
            return Line(words, direct=False)
        return None

    def _without_prefix(self, words: str) -> str | None:
        """Return what follows the prefix; None if the words do not begin with it."""
        for prefix in (self.prefix, "/"):
            rest = words.removeprefix(prefix)
            # "!!!" and "/ " are no commands; what follows the sign must begin with a letter or a digit.
            if prefix and rest != words and rest[:1].isalnum():
                return rest
        return None


def _without_names(words: str, names: Iterable[str]) -> str:
    """Take the names of mentioned bots from the front, else from the end, with the colon that clients put there."""
    called = [sign + name for name in sorted(filter(None, names), key=len, reverse=True) for sign in ("@", "")]
    for without in (_without_first, _without_last):
        left = words
        while (rest := without(left, called)) is not None:
            left = rest
        if left != words:
            return left
    return words


def _without_first(words: str, called: Iterable[str]) -> str | None:
    for name in called:
        rest = words[len(name) :]
        if words.casefold().startswith(name.casefold()) and (not rest or rest[0] in _NAME_END):
            return rest.strip(_NAME_END)
    return None


def _without_last(words: str, called: Iterable[str]) -> str | None:
    name = next((name for name in called if words.casefold().endswith(name.casefold())), None)
    return words[: -len(name)].strip(_NAME_END) if name is not None else None


def is_speech(content: Mapping[str, Any]) -> bool:
    """Tell whether this is a person's fresh text: no notice of a bot, no file, no edit of something said before."""
    relation = content.get("m.relates_to")
    replaces = isinstance(relation, Mapping) and relation.get("rel_type") == "m.replace"
    return content.get("msgtype") == "m.text" and isinstance(content.get("body"), str) and not replaces


def related(content: Mapping[str, Any]) -> list[str]:
    """Return the events that a message replies to, and the thread that it stands in."""
    found = [in_reply_to(content), thread(content)]
    return [event for event in found if event is not None]


def in_reply_to(content: Mapping[str, Any]) -> str | None:
    """Return the event that a message replies to."""
    relation = content.get("m.relates_to")
    reply = relation.get("m.in_reply_to") if isinstance(relation, Mapping) else None
    event = reply.get("event_id") if isinstance(reply, Mapping) else None
    return event if isinstance(event, str) else None


def thread(content: Mapping[str, Any]) -> str | None:
    """Return the event on which the message's thread hangs."""
    relation = content.get("m.relates_to")
    if not isinstance(relation, Mapping) or relation.get("rel_type") != "m.thread":
        return None
    event = relation.get("event_id")
    return event if isinstance(event, str) else None


def pressed(content: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return the event and the number of the button that a reaction presses; None for any other reaction."""
    relation = content.get("m.relates_to")
    if not isinstance(relation, Mapping) or relation.get("rel_type") != "m.annotation":
        return None
    event, key = relation.get("event_id"), relation.get("key")
    if not isinstance(event, str) or not isinstance(key, str):
        return None
    if key.strip("\ufe0f") == "🔟":
        return event, 10
    digit = _KEYCAP.fullmatch(key)
    return (event, int(digit[1])) if digit else None


def keycap(number: int) -> str:
    """Return the reaction that presses a button: 1️⃣ to 🔟."""
    return "🔟" if number == 10 else f"{number}\ufe0f\u20e3"


def line_of_button(content: Mapping[str, Any], number: int) -> str | None:
    """Return the line behind a button of one of our own messages."""
    lines = content.get(BUTTONS)
    if not isinstance(lines, list) or not 1 <= number <= len(lines):
        return None
    line = lines[number - 1]
    return line if isinstance(line, str) else None


def mentioned(content: Mapping[str, Any]) -> frozenset[str]:
    """Return whom a message mentions on purpose."""
    mentions = content.get("m.mentions")
    users = mentions.get("user_ids") if isinstance(mentions, Mapping) else None
    return frozenset(user for user in users if isinstance(user, str)) if isinstance(users, list) else frozenset()


def _built_by_client(content: Mapping[str, Any], me: str) -> str | None:
    """Read a command that a client built from our description of it (MSC4391).

    It must be meant for us: the proposal has the client mention the bot. The command's name may hold spaces; its
    arguments are named values.
    """
    built = content.get(COMMAND)
    if not isinstance(built, Mapping) or me not in mentioned(content):
        return None
    name, arguments = built.get("command") or built.get("syntax"), built.get("arguments")
    if not isinstance(name, str) or not name.strip():
        return None
    given = arguments.items() if isinstance(arguments, Mapping) else ()
    return " ".join([name.strip(), *(f"{key}={quoted(_as_text(value))}" for key, value in given if value is not None)])


def _as_text(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(_as_text(each) for each in value)
        case Mapping():  # an object such as {"type": "user_id", "id": "…"}
            return _as_text(value.get("id") or value.get("value") or "")
        case _:
            return str(value)


def _own_words(content: Mapping[str, Any]) -> str:
    """Return the words of the message without the quotation that older clients put before a reply."""
    body = str(content["body"])
    if in_reply_to(content) and body.startswith("> <"):
        _quotation, blank, words = body.partition("\n\n")
        body = words if blank else body
    return body.strip()
