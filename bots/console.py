"""A terminal as a platform: one person, no network, the same dispatcher."""

from __future__ import annotations

import asyncio
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator
from typing import assert_never

from commands.core.dispatch import Dispatcher, Heard
from commands.core.feature import Shown
from commands.core.reply import Block, Fields, Picture, Quote, Reply, Source, Sources, Table
from commands.core.text import Text, Voice, _

WIDTH = 100


def render(reply: Reply, voice: Voice) -> str:
    """Write a reply as plain text, for a terminal."""
    lines: list[str] = []
    for block in reply.spoken:
        lines += _block(block, voice)
    for number, button in enumerate(reply.actions, 1):
        line = "" if button.terse else f" — {voice.value(button.call)}"
        lines.append(f"  {number}. {voice.say(button.label)}{line}")
    lines += [f"  [{name}]" for name in (*(file.name for file in reply.files), reply.page) if name]
    return "\n".join(lines)


def _block(block: Block, voice: Voice) -> Iterator[str]:
    match block:
        case Text():
            yield voice.say(block)
        case Fields():
            for name, value in block.pairs:
                yield f"  {voice.say(name)}: {voice.say(value)}"
        case Table():
            yield from _table(block, voice)
        case Quote():
            yield from (f"  │ {line}" for line in textwrap.wrap(block.words, WIDTH))
        case Sources():
            for source in block.items:
                yield from _source(source, voice)
        case Picture():
            yield f"  [{voice.say(block.alt)}]"
        case _:
            assert_never(block)


def _table(table: Table, voice: Voice) -> Iterator[str]:
    rows = [[voice.say(cell) for cell in row] for row in (table.head, *table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.head))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _source(source: Source, voice: Voice) -> Iterator[str]:
    yield f"  • {source.title}"
    yield f"    {source.citation}" + (f" · {voice.say(source.badge)}" if source.badge else "")
    if source.snippet:
        yield from (f"    │ {line}" for line in textwrap.wrap(source.snippet, WIDTH))
    if source.url:
        yield f"    {source.url}"


async def typed_lines(*, prompt: str = "") -> AsyncIterator[str]:
    """Yield what is typed on standard input, line by line, until it ends.

    The reader is a daemon thread: nobody who stops the program has to press Enter first.
    """
    loop = asyncio.get_running_loop()
    typed: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(typed.put_nowait, line)
        loop.call_soon_threadsafe(typed.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    while True:
        sys.stdout.write(prompt)
        sys.stdout.flush()
        line = await typed.get()
        if not line:
            return
        yield line.rstrip("\n")


async def talk(dispatcher: Dispatcher, *, network: str, address: str) -> None:
    """Read command lines from standard input and answer them until it ends."""
    async for line in typed_lines(prompt="> " if sys.stdin.isatty() else ""):
        said = await dispatcher.answer(
            Heard(
                platform="console",
                address=address,
                bot=f"console:{network}",
                network=network,
                room="console",
                private=True,
                said=line,
                direct=False,
            )
        )
        if said is None:
            continue
        to_you = said.voice.say(_("(to you)")) + " " if said.shown is Shown.ACTOR else ""
        sys.stdout.write(f"{to_you}{render(said.reply, said.voice)}\n")
        sys.stdout.flush()
