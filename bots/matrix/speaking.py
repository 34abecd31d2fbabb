"""Saying things: each message once, in order, and never in the clear where a room is encrypted."""

from __future__ import annotations

import asyncio
import html
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote
from weakref import WeakValueDictionary

import structlog
from nio import AsyncClient, Event, MatrixRoom, MegolmEvent
from nio.crypto.attachments import encrypt_attachment

from bots.bot import Undelivered
from bots.matrix.hearing import BUTTONS, keycap
from bots.matrix.render import Attachment, Part
from bots.matrix.trust import NotReady, Trust
from bots.matrix.wire import Away, Refusal, Wire, path

log = structlog.get_logger()

KEY: Final = "org.impacthub.key"

# A server forgets transaction ids after about a day. Later tries look for what is there already, well before that.
REMEMBERED: Final = timedelta(hours=12)
_PAGES_OF_HISTORY: Final = 20


@dataclass(frozen=True)
class Address:
    """Where in a room something is said, and whom it rings for."""

    reply_to: str | None = None
    thread: str | None = None
    mention: str | None = None


class Speaker:
    """Sends rendered messages into rooms."""

    def __init__(self, client: AsyncClient, wire: Wire, trust: Trust) -> None:
        self._client = client
        self._wire = wire
        self._trust = trust
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._offers: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def turn(self, room_id: str) -> AsyncIterator[None]:
        """Wait until everything asked for earlier is said in this room: throttled sends would change their order."""
        lock = self._turns.setdefault(room_id, asyncio.Lock())
        async with lock:
            yield

    async def say(
        self,
        room: MatrixRoom,
        parts: list[Part],
        tx_id: str,
        to: Address,
        *,
        since: datetime | None = None,
        may: Callable[[], bool] = lambda: True,
    ) -> str:
        """Say something and return the event id of its first message.

        The same `tx_id` says it once, however often this is called. `since`, when the first try is too long ago for
        the server to remember: what is found in the room's history is not said again. `may` is asked about the room
        when keys are shared and files uploaded, right before each message leaves.

        Raises:
            Undelivered: not all of it arrived.
        """
        with_crypto = self._trust.is_encrypted(room)
        try:
            there = await self._said_since(room.room_id, tx_id, since) if since is not None else {}
            sent: list[str] = []
            first_text = None
            for number, part in enumerate(parts):
                key = f"{tx_id}.{number}"
                event = there.get(key)
                if event is None:
                    content = self._complete(room, part, key, to, sent, first_text)
                    if part.attachment is not None:
                        content |= await self._uploaded(part.attachment, encrypted=with_crypto)
                    event = await self.send(room, "m.room.message", content, key, may=may)
                if part.attachment is None:
                    first_text = first_text or event
                    if BUTTONS in part.content and number == _last_text(parts):
                        self._offer(room, event, len(part.content[BUTTONS]), key)
                sent.append(event)
        except (Refusal, Away, NotReady) as error:
            raise undelivered(error) from error
        if not sent:
            raise Undelivered("there was nothing to say", permanent=True)
        return sent[0]

    async def send(
        self,
        room: MatrixRoom,
        kind: str,
        content: dict[str, Any],
        tx_id: str,
        *,
        may: Callable[[], bool] = lambda: True,
    ) -> str:
        """Put one event into a room and return its id; encrypted, if the room is or was.

        Raises:
            Undelivered: it may not be said any more.
            NotReady: it would have gone out in the clear.
            Away, Refusal: the homeserver did not take it.
        """
        kind, content = await self._trust.seal(room, kind, content)
        # Sharing keys takes a while, and whoever came in meanwhile may have got one. From here on nobody gets it.
        if not may():
            raise Undelivered("somebody came into the room")
        return await self._put(room, kind, content, tx_id)

    async def react(self, room: MatrixRoom, event: str, sign: str, tx_id: str) -> None:
        """Put a sign on an event. Reactions are never encrypted, so it may say nothing by itself.

        Raises:
            Away, Refusal: the homeserver did not take it.
        """
        relation = {"rel_type": "m.annotation", "event_id": event, "key": sign}
        await self._put(room, "m.reaction", {"m.relates_to": relation}, tx_id)

    async def _put(self, room: MatrixRoom, kind: str, content: dict[str, Any], tx_id: str) -> str:
        # The last gate: whatever happens above, words leave for an encrypted room encrypted or not at all.
        if kind not in {"m.room.encrypted", "m.reaction"} and self._trust.is_encrypted(room):
            raise NotReady("refused to send in the clear")
        answer = await self._wire.ask("PUT", path("rooms", room.room_id, "send", kind, tx_id), content)
        return str(answer["event_id"])

    def _complete(
        self, room: MatrixRoom, part: Part, key: str, to: Address, sent: list[str], first_text: str | None
    ) -> dict[str, Any]:
        """Add to a content what rendering could not know."""
        content = {**part.content, KEY: key, "m.mentions": {}}
        relation = _relation(to, sent, first_text if part.attachment is None else None)
        if relation:
            content["m.relates_to"] = relation
        if to.mention is not None and not sent:
            content["m.mentions"] = {"user_ids": [to.mention]}
            if "formatted_body" in content:
                name = room.user_name(to.mention) or to.mention
                pill = f'<a href="https://matrix.to/#/{quote(to.mention)}">{html.escape(name)}</a>'
                content["body"] = f"{name}: {content['body']}"
                content["formatted_body"] = _called(pill, content["formatted_body"])
        return content

    async def _uploaded(self, attachment: Attachment, *, encrypted: bool) -> dict[str, Any]:
        """Upload an attachment and return the part of the content that points to it."""
        if not encrypted:
            address = path("upload", base="/_matrix/media/v3", filename=attachment.name)
            answer = await self._wire.ask("POST", address, attachment.data, content_type=attachment.mime, within=120)
            return {"url": answer["content_uri"]}
        ciphertext, keys = encrypt_attachment(attachment.data)
        # The server learns neither name nor kind.
        answer = await self._wire.ask(
            "POST",
            path("upload", base="/_matrix/media/v3"),
            ciphertext,
            content_type="application/octet-stream",
            within=120,
        )
        return {"file": {**keys, "url": answer["content_uri"]}}

    def _offer(self, room: MatrixRoom, event: str, buttons: int, key: str) -> None:
        """Put the numbers under a message, so that they can be pressed; nobody waits for that."""

        async def put() -> None:
            try:
                for number in range(1, buttons + 1):
                    await self.react(room, event, keycap(number), f"{key}.{number}")
            except (Refusal, Away):
                log.debug("buttons were not put under a message")

        task = asyncio.create_task(put())
        self._offers.add(task)
        task.add_done_callback(self._offers.discard)

    async def _said_since(self, room_id: str, tx_id: str, since: datetime) -> dict[str, str]:
        """Find what was said under this transaction id, in the room's history since then."""
        found: dict[str, str] = {}
        until = (since - timedelta(minutes=5)).timestamp() * 1000  # clocks differ
        token = ""
        for _page in range(_PAGES_OF_HISTORY):
            place = path("rooms", room_id, "messages", dir="b", limit="200", **({"from": token} if token else {}))
            answer = await self._wire.ask("GET", place)
            for raw in answer.get("chunk", []):
                if raw.get("sender") == self._client.user_id:
                    key = self.content_of(raw, room_id).get(KEY)
                    if isinstance(key, str) and key.rpartition(".")[0] == tx_id:
                        found[key] = raw["event_id"]
            token = answer.get("end", "")
            chunk = answer.get("chunk") or [{}]
            if not token or chunk[-1].get("origin_server_ts", 0) < until:
                break
        return found

    def own_content(self, room: MatrixRoom, raw: dict[str, Any]) -> dict[str, Any]:
        """Return what we said with an event; nothing if it is not ours.

        In an encrypted room only what this very device encrypted is: a server could write the rest in our name.
        """
        if raw.get("sender") != self._client.user_id:
            return {}
        if not self._trust.is_encrypted(room):
            return self.content_of(raw, room.room_id)
        event = Event.parse_event(raw)
        opened = self._trust.opened(event, room.room_id) if isinstance(event, MegolmEvent) else None
        if opened is None or not getattr(opened, "verified", False):
            return {}
        return dict(opened.source.get("content") or {})

    def content_of(self, raw: dict[str, Any], room_id: str) -> dict[str, Any]:
        """Return what an event says, decrypted if it has to be; nothing if we cannot read it."""
        if raw.get("type") != "m.room.encrypted":
            return dict(raw.get("content") or {})
        event = Event.parse_event(raw)
        opened = self._trust.opened(event, room_id) if isinstance(event, MegolmEvent) else None
        return dict(opened.source.get("content") or {}) if opened is not None else {}


def _called(pill: str, rich: str) -> str:
    """Put a pill before the words, inside their first paragraph: outside of it, it would be a line of its own."""
    return f"<p>{pill}: {rich.removeprefix('<p>')}" if rich.startswith("<p>") else f"<p>{pill}:</p>{rich}"


def _last_text(parts: list[Part]) -> int:
    return max(number for number, part in enumerate(parts) if part.attachment is None)


def _relation(to: Address, sent: list[str], first_text: str | None) -> dict[str, Any]:
    """Return how a message hangs on others: the first on what it answers, the rest of a long text on the first."""
    if to.thread is not None:
        before = sent[-1] if sent else to.reply_to or to.thread
        return {
            "rel_type": "m.thread",
            "event_id": to.thread,
            "is_falling_back": bool(sent) or to.reply_to is None,
            "m.in_reply_to": {"event_id": before},
        }
    if first_text is not None:
        return {
            "rel_type": "m.thread",
            "event_id": first_text,
            "is_falling_back": True,
            "m.in_reply_to": {"event_id": sent[-1]},
        }
    return {"m.in_reply_to": {"event_id": to.reply_to}} if to.reply_to is not None and not sent else {}


def undelivered(error: Refusal | Away | NotReady) -> Undelivered:
    """Judge a failure: will another try help, and when?"""
    match error:
        case NotReady():
            log.error("nothing was sent: a room is encrypted and our keys are not there", why=str(error))
            return Undelivered("the key store is not ready")
        case Away():
            return Undelivered(f"the homeserver is away ({error})")
        case Refusal(is_throttle=True):
            return Undelivered("too fast for the homeserver", retry_after=error.retry_after or 5.0)
        case Refusal(code="M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN" | "M_RESOURCE_LIMIT_EXCEEDED" | "M_UNKNOWN"):
            return Undelivered(error.code)
        case _:
            return Undelivered(error.code, permanent=True)
