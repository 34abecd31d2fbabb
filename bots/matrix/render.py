"""A reply as Matrix messages: a body for every client, HTML for those that show it, cut to what a server takes."""

from __future__ import annotations

import html
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, assert_never

from bots.matrix.hearing import BUTTONS, keycap
from commands.core.attachments import attachments
from commands.core.chart import draw
from commands.core.reply import Block, Button, Fields, File, Picture, Quote, Reply, Sources, Table
from commands.core.text import Text, Voice

LIMIT: Final = 12_000
"""Bytes of body and HTML in one message. An event may have 64 KiB, which encryption and JSON eat into."""

MOST_BUTTONS: Final = 10
"""Buttons that a number reaction can press."""


@dataclass(frozen=True)
class Attachment:
    """Bytes that are uploaded before their message is sent."""

    name: str
    mime: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Part:
    """One message: its content, and the attachment whose address is still missing from it."""

    content: dict[str, Any]
    attachment: Attachment | None = None


@dataclass(frozen=True)
class _Piece:
    """Something that is not cut: a line, in both writings, and the block that it belongs to."""

    body: str
    html: str
    block: int = 0
    tag: str = "p"

    @property
    def weight(self) -> int:
        return len(self.body.encode()) + len(self.html.encode()) + 16


def render(reply: Reply, voice: Voice) -> list[Part]:
    """Write a reply as messages in this voice: text first, cut between its lines; then pictures; then files.

    Every content is complete but for what only the sender knows: relations, mentions, the address of an attachment.
    The last text carries the lines of the buttons.
    """
    pieces: list[_Piece] = []
    for number, block in enumerate(reply.spoken):
        pieces += (replace(piece, block=number) for piece in _block(block, voice))
    actions = reply.actions[:MOST_BUTTONS]
    for number, button in enumerate(actions, start=1):
        pieces.append(replace(_button(number, button, voice), block=len(reply.spoken)))
    parts = [Part(_notice(lines)) for lines in _pages(_short_enough(pieces))]
    if actions and parts:
        parts[-1].content[BUTTONS] = [button.call.line() for button in actions]
    parts += (_picture(block, voice) for block in reply.blocks if isinstance(block, Picture))
    parts += (_file(file) for file in attachments(reply, voice))
    return parts


def _block(block: Block, voice: Voice) -> Iterator[_Piece]:
    match block:
        case Text():
            yield _said(block, voice)
        case Fields():
            for name, value in block.pairs:
                label, words = _said(name, voice), _said(value, voice)
                yield _Piece(f"{label.body}: {words.body}", f"<strong>{label.html}</strong>: {words.html}")
        case Table():
            # Phones run the cells of an HTML table together, so a row becomes a line that names its columns.
            head = [_said(cell, voice) for cell in block.head]
            for row in block.rows:
                yield _row(head, [_said(cell, voice) for cell in row])
        case Quote():
            for line in block.words.splitlines() or [""]:
                yield _Piece(f"> {line}", _escaped(line), tag="blockquote")
        case Sources():
            for number, source in enumerate(block.items, start=1):
                badge = _said(source.badge, voice) if source.badge is not None else None
                body = [f"[{number}] {source.title}", source.citation, badge.body if badge else "", source.url]
                title = _escaped(source.title)
                linked = f'<a href="{_escaped(source.url)}">{title}</a>' if _is_web(source.url) else title
                rich = [f"[{number}] {linked}", _escaped(source.citation), badge.html if badge else ""]
                yield _Piece(" · ".join(filter(None, body)), " · ".join(filter(None, rich)))
                for line in source.snippet.splitlines():
                    yield _Piece(f"    {line}", f"<em>{_escaped(line)}</em>")
        case Picture():
            return
        case _:
            assert_never(block)


def _said(text: Text, voice: Voice) -> _Piece:
    return _Piece(voice.say(text), voice.say(text, _mark))


def _mark(what: str, words: str) -> str:
    """Dress a piece for HTML. Words are escaped whoever wrote them: nothing a member types becomes markup."""
    dressed = _escaped(words)
    return f"<code>{dressed}</code>" if what == "line" else dressed


def _escaped(words: str) -> str:
    return html.escape(words).replace("\n", "<br>")


def _row(head: list[_Piece], cells: list[_Piece]) -> _Piece:
    first, *others = cells or [_Piece("", "")]
    named = list(zip(head[1:], others, strict=False))
    body = " · ".join(f"{name.body}: {cell.body}" for name, cell in named)
    rich = " · ".join(f"{name.html}: {cell.html}" for name, cell in named)
    return _Piece(
        f"• {first.body} — {body}" if body else f"• {first.body}",
        f"• <strong>{first.html}</strong> — {rich}" if rich else f"• <strong>{first.html}</strong>",
    )


def _button(number: int, button: Button, voice: Voice) -> _Piece:
    label, line = _said(button.label, voice), voice.prefix + button.call.line()
    if button.terse:
        return _Piece(f"{keycap(number)} {label.body}", f"{keycap(number)} {label.html}")
    return _Piece(
        f"{keycap(number)} {label.body} — {line}",
        f"{keycap(number)} {label.html} — <code>{_escaped(line)}</code>",
    )


def _is_web(url: str) -> bool:
    return url.startswith(("https://", "http://"))


# -- cutting ------------------------------------------------------------------------------------------------------


def _short_enough(pieces: list[_Piece]) -> Iterator[_Piece]:
    """Cut a line that no message can hold, at spaces; such a line loses its markup."""
    for piece in pieces:
        if piece.weight <= LIMIT:
            yield piece
            continue
        for words in _cut(piece.body):
            yield _Piece(words, _escaped(words), piece.block, piece.tag)


def _cut(words: str) -> Iterator[str]:
    # A character takes at most four bytes in the body and six in HTML, where "'" is written "&#x27;".
    most = LIMIT // 12
    while len(words) > most:
        at = max(words.rfind(" ", 0, most), words.rfind("\n", 0, most))
        at = at if at > most // 2 else most
        yield words[:at]
        words = words[at:].lstrip(" \n")
    yield words


def _pages(pieces: Iterator[_Piece]) -> Iterator[list[_Piece]]:
    lines: list[_Piece] = []
    weight = 0
    for piece in pieces:
        if lines and weight + piece.weight > LIMIT:
            whole, rest = _at_block_border(lines)
            yield whole
            lines, weight = rest, sum(each.weight for each in rest)
        lines.append(piece)
        weight += piece.weight
    if lines:
        yield lines


def _at_block_border(lines: list[_Piece]) -> tuple[list[_Piece], list[_Piece]]:
    """Break a full page before its last block, unless that block is most of it."""
    last = lines[-1].block
    whole = [piece for piece in lines if piece.block != last]
    rest = [piece for piece in lines if piece.block == last]
    if whole and sum(piece.weight for piece in rest) < LIMIT // 2:
        return whole, rest
    return lines, []


def _notice(lines: list[_Piece]) -> dict[str, Any]:
    bodies: list[str] = []
    riches: list[str] = []
    for block in sorted({piece.block for piece in lines}):
        of_block = [piece for piece in lines if piece.block == block]
        tag = of_block[0].tag
        bodies.append("\n".join(piece.body for piece in of_block))
        riches.append(f"<{tag}>" + "<br>".join(piece.html for piece in of_block) + f"</{tag}>")
    return {
        "msgtype": "m.notice",
        "body": "\n\n".join(bodies),
        "format": "org.matrix.custom.html",
        "formatted_body": "".join(riches),
    }


# -- attachments --------------------------------------------------------------------------------------------------


def _picture(picture: Picture, voice: Voice) -> Part:
    png = draw(picture.drawing, voice)
    width, height = struct.unpack(">II", png[16:24])
    info = {"mimetype": "image/png", "size": len(png), "w": width, "h": height}
    content = {"msgtype": "m.image", "body": voice.say(picture.alt), "filename": picture.name, "info": info}
    return Part(content, Attachment(picture.name, "image/png", png))


def _file(file: File) -> Part:
    content = {
        "msgtype": "m.file",
        "body": file.name,
        "filename": file.name,
        "info": {"mimetype": file.mime, "size": len(file.data)},
    }
    return Part(content, Attachment(file.name, file.mime, file.data))
