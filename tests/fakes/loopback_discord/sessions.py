"""One gateway session of one shard, and the connection that it has at the moment."""

import asyncio
import json
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from typing import Any

import zstandard
from aiohttp import web

REMEMBERED = 20_000
"""How many events a session keeps for a resume, beyond those that a heartbeat confirmed."""


class Op(IntEnum):
    """What a gateway payload is."""

    DISPATCH = 0
    HEARTBEAT = 1
    IDENTIFY = 2
    PRESENCE = 3
    VOICE = 4
    RESUME = 6
    RECONNECT = 7
    MEMBERS = 8
    INVALID_SESSION = 9
    HELLO = 10
    HEARTBEAT_ACK = 11


def _zlib() -> Callable[[bytes], bytes]:
    stream = zlib.compressobj()
    return lambda raw: stream.compress(raw) + stream.flush(zlib.Z_SYNC_FLUSH)


def _zstd() -> Callable[[bytes], bytes]:
    stream = zstandard.ZstdCompressor().compressobj()
    return lambda raw: stream.compress(raw) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


COMPRESSIONS = {"zlib-stream": _zlib, "zstd-stream": _zstd}


class Connection:
    """A socket with one writer: what is put is sent in that order, and putting never waits."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, compression: str) -> None:
        self.socket = socket
        self.session: Session | None = None
        self._transport = transport
        self._compress = COMPRESSIONS[compression]() if compression else None
        self._waiting: asyncio.Queue[str | int] = asyncio.Queue()
        self._writer = asyncio.create_task(self._write())

    def put(self, text: str) -> None:
        """Send a payload that is JSON already."""
        self._waiting.put_nowait(text)

    def say(self, op: Op, data: Any = None) -> None:
        """Send a payload that is no event."""
        self.put(json.dumps({"op": op, "d": data, "s": None, "t": None}))

    def close(self, code: int) -> None:
        """Say goodbye, after what was put before."""
        self._waiting.put_nowait(code)

    async def ended(self) -> None:
        """Wait until goodbye was said."""
        await asyncio.wait([self._writer])

    def abort(self) -> None:
        """Break the line without a word."""
        self.leave()
        if self._transport is not None:
            self._transport.abort()

    def leave(self) -> None:
        """Write no more; the session stays and remembers."""
        self._writer.cancel()
        self._detach()

    def _detach(self) -> None:
        if self.session is not None and self.session.connection is self:
            self.session.connection = None

    async def _write(self) -> None:
        with suppress(ConnectionError):
            while True:
                text = await self._waiting.get()
                if isinstance(text, int):
                    self._detach()
                    await self.socket.close(code=text)
                    return
                if self._compress is None:
                    await self.socket.send_str(text)
                else:
                    await self.socket.send_bytes(self._compress(text.encode()))


class Session:
    """What one shard hears, numbered, and kept until the client has confirmed it."""

    def __init__(self, key: str, intents: int, shard: tuple[int, int]) -> None:
        self.id = key
        self.intents = intents
        self.shard = shard
        self.connection: Connection | None = None
        self.sequence = 0
        self._events: deque[tuple[int, str]] = deque(maxlen=REMEMBERED)

    def hears(self, guild: str | None) -> bool:
        """Whether this shard hears of a guild, or, with None, of direct messages."""
        number, count = self.shard
        return (0 if guild is None else (int(guild) >> 22) % count) == number

    def dispatch(self, event: str, data: str) -> None:
        """Number an event whose data is JSON already, keep it, and send it if anybody listens."""
        self.sequence += 1
        text = f'{{"op":0,"s":{self.sequence},"t":"{event}","d":{data}}}'
        self._events.append((self.sequence, text))
        if self.connection is not None:
            self.connection.put(text)

    def confirm(self, sequence: int) -> None:
        """Forget what the client has."""
        while self._events and self._events[0][0] <= sequence:
            self._events.popleft()

    def attach(self, connection: Connection) -> None:
        """Speak to this connection from now on."""
        if self.connection is not None:
            self.connection.abort()
        self.connection = connection
        connection.session = self

    def remembers(self, after: int) -> bool:
        """Whether everything that came after an event is still known."""
        first = self._events[0][0] if self._events else self.sequence + 1
        return first - 1 <= after

    def resume(self, connection: Connection, after: int) -> None:
        """Send again what came after an event, then go on."""
        self.attach(connection)
        for sequence, text in self._events:
            if sequence > after:
                connection.put(text)
        self.dispatch("RESUMED", '{"_trace":[]}')
