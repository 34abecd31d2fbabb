"""A reply as one Discord message: text, pictures, files and buttons, within all that Discord limits."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, assert_never
from urllib.parse import quote

import discord

from bots.discord.controls import (
    LONGEST_BUTTON,
    LONGEST_ID,
    LONGEST_OPTION,
    MOST_OPTIONS,
    PICK,
    AnswerButton,
    ChoiceButton,
    ChoiceSelect,
    LineButton,
    LineSelect,
    cut,
    fitted,
    width,
)
from commands import FEATURES
from commands.core.attachments import attachments
from commands.core.chart import draw
from commands.core.feature import Command, Commands
from commands.core.line import Unparsed, read_values
from commands.core.names import menu, name_of_value, values, word_of_path
from commands.core.reply import Block, Button, Fields, File, Picture, Quote, Reply, Source, Sources, Table
from commands.core.strings import Catalogue
from commands.core.text import Text, Voice, _

PREFIX: Final = "/"

LONGEST_TEXT: Final = 4000
"""Characters of all the text in a message."""
LONGEST_ALT: Final = 1024
MOST_FILES: Final = 10
LARGEST_FILE: Final = 10 * 2**20
"""Bytes that Discord takes from a bot in a server that nobody pays for."""
LONGEST_NAME: Final = 100
PER_ROW: Final = 5
MOST_BUTTONS: Final = 23
"""A message has forty components. Text, gallery and files take at most twelve, so many buttons their five rows."""

_COMMANDS = Commands(FEATURES)
_PATHS = {command.path: path for path, command in menu(_COMMANDS).items()}
_USAGES = {command.usage(): command for command in _COMMANDS}


@dataclass(frozen=True)
class Message:
    """What is sent: the components, and the files that they show. It can be sent once."""

    view: discord.ui.LayoutView
    files: list[discord.File]


def stamp(at: datetime) -> str:
    """Write a moment so that everybody reads it in their own zone and language."""
    return f"<t:{int(at.timestamp())}:F>"


def dressed(voice: Voice) -> Voice:
    """Return the voice as it speaks on Discord."""
    return replace(voice, prefix=PREFIX, stamp=stamp)


def render(
    reply: Reply,
    voice: Voice,
    *,
    question: str | None = None,
    mention: str | None = None,
    files: Sequence[File] | None = None,
) -> Message:
    """Write a reply as one message in this voice (see `dressed`).

    What is too long for the message is cut, and then all of its words go along as a file.

    Args:
        reply: what to say; how to go on by typing is left out.
        voice: how to say it.
        question: the key of the question that this opens, under which its lines are kept.
        mention: the id of a person who is to be notified.
        files: what `enclosed` has made of this reply, if it was called before.
    """
    rich, plain = _Hand(voice, rich=True), _Hand(replace(voice, stamp=None), rich=False)
    by_writing = question is not None and reply.typed is not None
    rows, left = _controls(reply.actions, plain, question, by_writing=by_writing)

    made = list(enclosed(reply, voice) if files is None else files)
    if any(len(file.data) > LARGEST_FILE for file in made):
        told = (*reply.blocks, _("What is attached is too large for Discord. Ask me for it on another platform."))
        return render(Reply(*told, actions=reply.actions, typed=reply.typed), voice, question=question, files=[])
    ping = f"<@{mention}>\n" if mention else ""
    blocks = _written(reply, left, rich)
    text = ping + _joined(blocks)
    whole: list[File] = []
    if width(text) > LONGEST_TEXT:
        words = _written(reply, left, plain)
        whole = [File("answer.txt", "text/plain", _joined(words).encode(errors="replace"))]
        rest = "\n\n" + rich.say(_("This is the beginning; the whole answer is attached as a file."))
        text = ping + _beginning(blocks, words, LONGEST_TEXT - width(ping) - width(rest)) + rest

    pictures = [block for block in reply.blocks if isinstance(block, Picture)]
    pictures = pictures if len(made) >= len(pictures) else []  # they could not be drawn
    sent = _files([*made[: len(pictures)], *whole, *made[len(pictures) :]])
    items: list[discord.ui.Item[Any]] = [discord.ui.TextDisplay(text)] if text.strip() else []
    shown = [
        discord.MediaGalleryItem(file, description=fitted(plain.say(picture.alt), LONGEST_ALT))
        for picture, file in zip(pictures, (each for each in sent if each.filename != _BUNDLE), strict=False)
    ]
    if shown:
        items.append(discord.ui.MediaGallery(*shown))
    items += (discord.ui.File(file) for file in sent[len(shown) :])
    items += (discord.ui.ActionRow(*row) for row in rows)
    view = discord.ui.LayoutView(timeout=None)
    for item in items or [discord.ui.TextDisplay("…")]:
        view.add_item(item)
    return Message(view, sent)


def enclosed(reply: Reply, voice: Voice) -> list[File]:
    """Draw a reply's pictures, then write its files; a picture takes a tenth of a second, in whatever thread."""
    plain = replace(voice, stamp=None)
    pictures = (block for block in reply.blocks if isinstance(block, Picture))
    return [*(File(each.name, "image/png", draw(each.drawing, plain)) for each in pictures), *attachments(reply, plain)]


# -- words --------------------------------------------------------------------------------------------------------

_SPECIAL = re.compile(r"[\\*_~|`<@\[\]]|:(?![ \n]|\Z)")
_LEADING = re.compile(r"((?:^|[\r\n])[^\S\r\n]*(?:[0-9]+(?=\.(?:\s|\Z)))?)([-#>]|(?<=[0-9])\.)")


def escaped(words: str) -> str:
    """Write words so that Discord shows them as they are: no markup, no mention, no emoji, no link.

    Some characters mean something everywhere, others at the beginning of a line only. `@everyone` notifies people
    however it is written; nobody may be notified whom the sender of the message does not name.
    """
    return _LEADING.sub(r"\1\\\2", _SPECIAL.sub(r"\\\g<0>", words))


@dataclass(frozen=True)
class _Hand:
    """A way to write: for Discord (`rich`), or for labels and files, which have no markup."""

    voice: Voice
    rich: bool

    def say(self, text: Text) -> str:
        return self.voice.say(text, self._mark)

    def words(self, words: str) -> str:
        return escaped(words) if self.rich else words

    def strong(self, text: Text) -> str:
        said = self.say(text)
        return f"**{said}**" if self.rich and said.strip() else said

    def line(self, line: str) -> str:
        said = spelled(line.removeprefix(self.voice.prefix), self.voice.catalogue)
        return f"`{said}`" if self.rich and _CODE.fullmatch(said) else self.words(said)

    def _mark(self, what: str, words: str) -> str:
        if what == "moment":
            return words
        return self.line(words) if what == "line" else self.words(words)


_CODE = re.compile(r"[^`*\r\n]+")
"""What can stand as code also in bold words: they end at two asterisks, wherever these stand."""


def spelled(line: str, catalogue: Catalogue) -> str:
    """Write a command line as it is entered on Discord, in the names of its menus: `/hours book slot:S-7K3F`."""
    used = _USAGES.get(line)
    if used is not None:
        named = ((param.required, name_of_value(catalogue, param.name)) for param in values(used))
        return " ".join([_path(used, catalogue), *(f"{name}:" if needed else f"[{name}:]" for needed, name in named)])
    for count in (2, 1):
        words = line.split(maxsplit=count)
        command = _COMMANDS.by_path.get(" ".join(words[:count]))
        if command is None:
            continue
        try:
            given = read_values(command, "".join(words[count:])).given
        except Unparsed:
            break
        asked = [param.name for param in values(command) if param.name in given]
        return " ".join(
            [_path(command, catalogue), *(f"{name_of_value(catalogue, each)}:{given[each]}" for each in asked)]
        )
    return PREFIX + line


def _path(command: Command[...], catalogue: Catalogue) -> str:
    path = _PATHS[command.path]
    return PREFIX + " ".join(word_of_path(catalogue, path, at) for at in range(path.count(" ") + 1))


# -- text ---------------------------------------------------------------------------------------------------------


def _written(reply: Reply, left: Sequence[Button], hand: _Hand) -> list[list[str]]:
    """Write the blocks, each as its lines; buttons that there is no room for become lines to type."""
    blocks = [list(_block(block, hand)) for block in reply.blocks]
    blocks.append([f"• {hand.say(button.label)} — {hand.line(button.call.line())}" for button in left])
    return [lines for lines in blocks if lines]


def _joined(blocks: list[list[str]]) -> str:
    return "\n\n".join("\n".join(lines) for lines in blocks)


def _block(block: Block, hand: _Hand) -> Iterator[str]:
    match block:
        case Text():
            yield hand.say(block)
        case Fields():
            for name, value in block.pairs:
                yield f"{hand.strong(name)}: {hand.say(value)}"
        case Table():
            head = [hand.say(name) for name in block.head]
            for first, *others in block.rows:
                named = " · ".join(f"{name}: {hand.say(cell)}" for name, cell in zip(head[1:], others, strict=False))
                yield f"• {hand.strong(first)} — {named}" if named else f"• {hand.strong(first)}"
        case Quote():
            for line in block.words.splitlines() or [""]:
                yield f"> {hand.words(line)}"
        case Sources():
            for number, source in enumerate(block.items, start=1):
                yield from _source(number, source, hand)
        case Picture():
            return
        case _:
            assert_never(block)


def _source(number: int, source: Source, hand: _Hand) -> Iterator[str]:
    title, url = hand.words(source.title), ""
    if hand.rich and source.url.startswith(("https://", "http://")):
        address = _BREAKING.sub(lambda found: quote(found[0]), source.url)
        # Escapes are not read in a link's words: a title that needs some stands beside its link.
        if title == source.title and _LINKED.fullmatch(title):
            title = f"[{title}]({address})"
        else:
            url = f"<{address}>"
    else:
        url = hand.words(source.url)
    badge = hand.say(source.badge) if source.badge is not None else ""
    said = " · ".join(filter(None, [title, hand.words(source.citation), badge, url]))
    yield f"{hand.words(f'[{number}]')} {said}"
    for line in source.snippet.splitlines():
        yield f"> {hand.words(line)}"


_LINKED = re.compile(r"[^\r\n]*[^\s][^\r\n]*")
_BREAKING = re.compile(r"[\s<>()\\\"']")
"""What would end a link's address."""


def _beginning(blocks: list[list[str]], words: list[list[str]], room: int) -> str:
    """Return as much of a text as there is room for, cut between blocks; else between lines; else between words.

    A line that is cut loses its markup, half of which would be markup of something else: hence the plain `words`.
    """
    shown, joint = "", ""
    for lines, bare in zip(blocks, words, strict=True):
        block = joint + "\n".join(lines)
        if width(shown + block) <= room:
            shown, joint = shown + block, "\n\n"
        elif width(shown) > room // 2:
            return shown
        else:
            return shown + joint + _beginning_of_block(lines, bare, room - width(shown + joint))
    return shown


def _beginning_of_block(lines: list[str], words: list[str], room: int) -> str:
    shown: list[str] = []
    left = room
    for line, bare in zip(lines, words, strict=True):
        if width(line) > left:
            if left > room // 2:
                # Escaping makes words twice as long at most.
                part = cut(bare, (left - 1) // 2)
                space = max(part.rfind(" "), part.rfind("\n"))
                shown.append(escaped(part[:space] if space > len(part) // 2 else part) + "…")
            break
        shown.append(line)
        left -= width(line) + 1
    return "\n".join(shown)


# -- files --------------------------------------------------------------------------------------------------------


def _files(files: list[File]) -> list[discord.File]:
    """Give every file a name of its own that Discord keeps as it is; those that are too many travel in one."""
    names = [_BUNDLE]
    for file in files:
        stem, dot, suffix = _UNSAFE.sub("_", file.name)[-LONGEST_NAME:].strip("._").rpartition(".")
        stem, suffix = (stem, f".{suffix}") if dot else (suffix or "file", "")
        alike = (f"{stem}-{number}{suffix}" for number in range(2, len(files) + 1))
        names.append(next(name for name in (f"{stem}{suffix}", *alike) if name not in names))
    named = [(name, file.data) for name, file in zip(names[1:], files, strict=True)]
    if len(named) > MOST_FILES:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bundle:
            for name, data in named[MOST_FILES - 1 :]:
                bundle.writestr(name, data)
        named[MOST_FILES - 1 :] = [(_BUNDLE, packed.getvalue())]
    return [discord.File(io.BytesIO(data), name) for name, data in named]


_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_BUNDLE = "files.zip"


# -- buttons ------------------------------------------------------------------------------------------------------


def _controls(
    actions: Sequence[Button], hand: _Hand, question: str | None, *, by_writing: bool
) -> tuple[list[list[discord.ui.Item[Any]]], list[Button]]:
    """Return the rows of what can be pressed, and the buttons that nothing there can stand for."""
    by_line: dict[str, tuple[int, Button]] = {}
    for number, button in enumerate(actions, start=1):
        by_line.setdefault(button.call.line(), (number, button))
    fitting = {line: each for line, each in by_line.items() if question is not None or width(line) <= LONGEST_ID}
    answer: list[discord.ui.Item[Any]] = []
    if by_writing:
        answer = [AnswerButton(discord.ui.Button(label=hand.voice.say(_("Answer")), custom_id=f"?{question}"))]
    if len(by_line) > PER_ROW and all(button.terse for _number, button in by_line.values()):
        chosen = dict(list(fitting.items())[:MOST_OPTIONS])
        rows = [each for each in ([_select(chosen, hand, question)] if chosen else [], answer) if each]
    else:
        chosen = dict(list(fitting.items())[: MOST_BUTTONS - len(answer)])
        pressed = [*(_button(line, *each, hand, question) for line, each in chosen.items()), *answer]
        rows = [pressed[at : at + PER_ROW] for at in range(0, len(pressed), PER_ROW)]
    return rows, [button for line, (_number, button) in by_line.items() if line not in chosen]


def _button(line: str, number: int, button: Button, hand: _Hand, question: str | None) -> discord.ui.Item[Any]:
    label = fitted(hand.say(button.label), LONGEST_BUTTON)
    if width(line) <= LONGEST_ID:
        return LineButton(discord.ui.Button(label=label, custom_id=line))
    return ChoiceButton(discord.ui.Button(label=label, custom_id=f"#{question} {number}"))


def _select(chosen: dict[str, tuple[int, Button]], hand: _Hand, question: str | None) -> discord.ui.Item[Any]:
    by_number = any(width(line) > LONGEST_OPTION for line in chosen)
    options = [
        discord.SelectOption(
            label=fitted(hand.say(button.label), LONGEST_OPTION), value=str(number) if by_number else line
        )
        for line, (number, button) in chosen.items()
    ]
    if by_number:
        return ChoiceSelect(discord.ui.Select(custom_id=f"#{question}", options=options))
    return LineSelect(discord.ui.Select(custom_id=PICK, options=options))
