"""Reading rooms: from what a homeserver shows to what was said to the bot, and by whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final, NamedTuple

import structlog
from nio import AsyncClient, Event, MatrixRoom, MegolmEvent, RoomMessagesResponse

from bots.matrix import hearing
from bots.matrix.hearing import Ear, Line
from bots.matrix.rooms import Rooms
from bots.matrix.session import MatrixAccount
from bots.matrix.timeline import Memory, content_of, encrypted, is_our_entry, source_of
from bots.matrix.trust import Trust
from bots.matrix.wire import Away, Refusal, Wire, path
from commands.core.dispatch import Heard

log = structlog.get_logger()

Json = Mapping[str, Any]

# Ten events of a room in a sync are the default: twenty people in one room lost 9 of 600 commands to it.
FILTER: Final = json.dumps(
    {
        "presence": {"types": []},
        "account_data": {"types": ["m.direct"]},
        "room": {
            "timeline": {"limit": 500},
            "state": {"lazy_load_members": False},
            "ephemeral": {"types": []},
            "account_data": {"types": []},
        },
    }
)
_MOST_PAGES: Final = 200


class Row(NamedTuple):
    """One thing that concerns the bot, as the inbox keeps it.

    `data` holds the `room`, since when the row is kept (`at`), and one of: `said`, a Heard; `pressed`, an event and a
    number, and who pressed it (`by`); `locked`, an event that cannot be read or judged yet, encrypted as it came;
    `exposed`, who spoke to the bot alone in the clear, without the words.
    """

    key: str
    room: str
    data: dict[str, Any]


class Reader:
    """Judges events: what is said to the bot, and whether it is from whom it claims to be."""

    def __init__(self, account: MatrixAccount, client: AsyncClient, wire: Wire, trust: Trust, rooms: Rooms) -> None:
        self._account = account
        self._client = client
        self._wire = wire
        self._trust = trust
        self._rooms = rooms
        self._bot = f"matrix:{account.network}"
        self.ours = Memory()
        self._told_of_cleartext = False

    def remember(self, events: Iterable[Event]) -> None:
        """Note which events are ours, and in which threads we speak: replies to them are meant for us."""
        for event in events:
            source = source_of(event)
            ours = source.get("sender") == self._client.user_id
            self.ours.note(source.get("event_id", ""), ours=ours)
            root = hearing.thread(content_of(event)) if ours else None
            if root is not None:
                self.ours.note(root, ours=True)

    async def missed(self, room_id: str, start: str, since: str) -> tuple[list[Event], dict[str, Json]]:
        """Fetch what a sync left out of a busy room, up to where we had read or where we came in.

        Returns the events, oldest first, and the encrypted ones as they came.
        """
        found: list[Event] = []
        originals: dict[str, Json] = {}
        for _page in range(_MOST_PAGES):
            address = path("rooms", room_id, "messages", dir="b", limit="500", to=since, **{"from": start})
            try:
                answer = await self.fetch(address)
            except Refusal:
                break
            chunk = answer.get("chunk", [])
            for event in chunk:
                event.setdefault("room_id", room_id)
            originals |= encrypted(chunk)
            page = RoomMessagesResponse.from_dict({"start": start, **answer}, room_id)
            if not isinstance(page, RoomMessagesResponse):
                log.error("a part of a room's backlog could not be read", bot=self._bot)
                break
            await self._client.receive_response(page)
            found += page.chunk
            if not page.chunk or not page.end or any(is_our_entry(each, self._client.user_id) for each in page.chunk):
                break
            start = page.end
        else:
            log.error("a room's backlog is longer than we read", bot=self._bot)
        return found[::-1], originals

    async def fetch(self, address: str) -> dict[str, Any]:
        """Get something from the server, however long it is away.

        Raises:
            Refusal: the server said no.
        """
        while True:
            try:
                return await self._wire.ask("GET", address)
            except Away:
                await asyncio.sleep(1)
            except Refusal as refused:
                if not refused.is_throttle:
                    raise
                await asyncio.sleep(refused.retry_after or 1)

    async def row(self, room: MatrixRoom, event: Event, originals: Mapping[str, Json]) -> Row | None:
        """Return what an event means to the bot; None if nothing. A broken event means nothing."""
        try:
            return await self._row(room, event, originals)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            log.warning("a broken event was not heard", bot=self._bot, error=type(error).__name__, exc_info=error)
            return None

    async def _row(self, room: MatrixRoom, event: Event, originals: Mapping[str, Json]) -> Row | None:
        key, sender = source_of(event).get("event_id"), source_of(event).get("sender")
        if key is None or sender in {None, self._client.user_id, *self._account.bots}:
            return None
        if self._rooms.is_exposed(room):
            spoke = isinstance(event, MegolmEvent) or hearing.is_speech(content_of(event))
            return Row(key, room.room_id, {"room": room.room_id, "exposed": sender}) if spoke else None
        locked = Row(key, room.room_id, {"room": room.room_id, "locked": dict(originals.get(key, source_of(event)))})
        if isinstance(event, MegolmEvent):
            opened = self._trust.opened(event, room.room_id) if self._client.olm is not None else None
            if opened is None:
                return locked
            event = opened
        kind, content = source_of(event).get("type"), content_of(event)
        if kind == "m.reaction":
            # Reactions are never encrypted: a server could press a button in somebody's name. What a button does is
            # therefore authorised afresh, like a typed line, and confirmed where it cannot be undone.
            press = hearing.pressed(content)
            return Row(key, room.room_id, {"room": room.room_id, "by": sender, "pressed": press}) if press else None
        if kind != "m.room.message":
            return None
        if self._trust.is_encrypted(room):
            if not getattr(event, "decrypted", False):
                self._tell_of_cleartext()
                return None
            genuine = self._trust.author_is_genuine(event, room.room_id)
            if genuine is None:
                return locked
            if not genuine:
                log.warning("words from a device that its owner has not signed were not heard", bot=self._bot)
                return None
        line = await self._line(room, content)
        if line is None:
            return None
        heard = self.heard(room, str(sender), line, key=key, thread=hearing.thread(content))
        return Row(key, room.room_id, {"room": room.room_id, "said": asdict(heard)})

    def heard(self, room: MatrixRoom, who: str, line: Line, *, key: str, thread: str | None) -> Heard:
        """Put together what the dispatcher gets."""
        return Heard(
            platform="matrix",
            address=who,
            bot=self._bot,
            network=self._account.network,
            room=room.room_id,
            private=self._rooms.is_private(room, who),
            said=line.words,
            direct=line.direct,
            named=line.named,
            key=key,
            thread=thread,
        )

    async def _line(self, room: MatrixRoom, content: Json) -> Line | None:
        alone = self._rooms.companion(room) is not None
        if not alone and hearing.is_speech(content):
            for event in hearing.related(content):
                if self.ours.of(event) is None:
                    await self._look_up(room.room_id, event)
        me = self._account.user_id
        others = {bot: _names(room, bot) for bot in self._account.bots - {me} if bot in room.users}
        ear = Ear(
            me, self._account.prefix, alone, _names(room, me), lambda event: bool(self.ours.of(event)), others=others
        )
        return ear.hears(content)

    async def _look_up(self, room_id: str, event: str) -> None:
        """Find out whether an event from before our start is ours, or a thread hangs on it in which we speak."""
        ours = False
        with suppress(Refusal):
            answer = await self.fetch(path("rooms", room_id, "event", event))
            ours = answer.get("sender") == self._client.user_id
            if not ours:
                thread = ("rooms", room_id, "relations", event, "m.thread")
                answer = await self.fetch(path(*thread, base="/_matrix/client/v1", limit="100"))
                ours = any(each.get("sender") == self._client.user_id for each in answer.get("chunk", []))
        self.ours.note(event, ours=ours)

    def _tell_of_cleartext(self) -> None:
        if not self._told_of_cleartext:
            log.warning("plain text in an encrypted room is not heard: any server could have written it", bot=self._bot)
        self._told_of_cleartext = True


def _names(room: MatrixRoom, bot: str) -> tuple[str, ...]:
    """Return what people in a room call a bot: its display name, its user id, and parts of it."""
    bare = bot.removeprefix("@")
    return room.user_name(bot) or "", bot, bare, bare.partition(":")[0]
