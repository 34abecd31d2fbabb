"""The rooms that the bot is in: how it gets in, follows them when they move, and meets people alone."""

from __future__ import annotations

import asyncio
import json
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final
from weakref import WeakValueDictionary

import structlog
from nio import AsyncClient, MatrixRoom

from bots.bot import Undelivered
from bots.matrix.power import Power
from bots.matrix.trust import NotReady, Tell, Trust
from bots.matrix.wire import Away, Refusal, Wire, path

log = structlog.get_logger()

Json = Mapping[str, Any]

_ENCRYPTION: Final = {
    "type": "m.room.encryption",
    "state_key": "",
    "content": {"algorithm": "m.megolm.v1.aes-sha2"},
}
_ARRIVES_WITHIN: Final = 15.0
_DECLINED_FOR: Final = 24 * 3600.0


class Rooms:
    """Keeps the bot in the rooms where it belongs.

    Args:
        client: nio's; its `rooms` are true after each sync.
        wire: how the homeserver is asked.
        trust: judges encryption, and shares keys.
        places: the rooms that the settings name, by id or alias.
        name_of_dm: the name of a room that the bot makes to meet somebody; anybody's server can read it.
        moved: told when a room was replaced: (old address, new address).
        met: told when a room to meet somebody was made: (account, room).
        tell: tells the operator, in a sentence without names.
    """

    def __init__(
        self,
        client: AsyncClient,
        wire: Wire,
        trust: Trust,
        *,
        places: Iterable[str],
        name_of_dm: str,
        moved: Callable[[str, str], Awaitable[None]],
        met: Callable[[str, str], Awaitable[None]],
        tell: Tell,
    ) -> None:
        self._client = client
        self._wire = wire
        self._trust = trust
        self._settled = tuple(places)
        self.places = {place for place in self._settled if place.startswith("!")}
        self._name_of_dm = name_of_dm
        self._moved = moved
        self._met = met
        self._tell = tell
        self._direct: defaultdict[str, list[str]] = defaultdict(list)
        self._coming: set[str] = set()
        self._synced = asyncio.Event()
        self._successors: dict[str, str] = {}
        self._declined: dict[str, float] = {}
        self._made: dict[str, str] = {}
        self._meeting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._errands: dict[str, asyncio.Task[None]] = {}

    # -- after each sync

    def update(self, sync: Json, *, first: bool) -> None:
        """Take note of a sync that nio has handled: rooms entered and left, invitations, upgrades."""
        rooms = sync.get("rooms", {})
        for room_id, joined in rooms.get("join", {}).items():
            room = self._client.rooms.get(room_id)
            if room is None:
                continue
            # Our filter asks for whole states, never for lazily loaded members: nobody is missing.
            room.members_synced = True
            self._coming.discard(room_id)
            if (not first or room_id in self.places) and _entered(joined, self._client.user_id):
                self._errand(f"greet {room_id}", partial(self._greet, room))
            for event in (*_events(joined, "state"), *_events(joined, "timeline")):
                if event.get("type") == "m.room.tombstone" and event.get("state_key") == "":
                    self._errand(f"follow {room_id}", partial(self._follow, room_id))
                self._note_declined(room_id, event)
        for room_id in rooms.get("leave", {}):
            # nio keeps rooms that we were put out of.
            if self._client.rooms.pop(room_id, None) is not None:
                log.info("left a room", configured=room_id in self.places)
        for room_id, invited in rooms.get("invite", {}).items():
            self._invited(room_id, invited)
        for event in sync.get("account_data", {}).get("events", []):
            if event.get("type") == "m.direct":
                self._take_direct(event.get("content"))
        self._synced.set()
        self._synced = asyncio.Event()

    async def start(self) -> None:
        """Go into the rooms that the settings name, and answer the invitations that came while we were away."""
        for place in self._settled:
            if place in self._client.rooms:
                continue
            try:
                room_id = await self._join(place)
            except Refusal as refused:
                log.warning("cannot enter a configured room: invite the bot", why=refused.code)
                continue
            self.places.add(room_id)
            if room_id != place:
                await self._moved(place, room_id)
        # An incremental sync tells of an invitation once; one that we read but did not answer before a crash is
        # found in a fresh one. Without timelines and states it is small.
        nothing: Json = {"types": []}
        blank = {"timeline": {"limit": 1, **nothing}, "state": nothing, "ephemeral": nothing, "account_data": nothing}
        only_invitations = json.dumps({"room": blank, "presence": nothing, "account_data": nothing})
        fresh = await self._wire.ask("GET", path("sync", timeout="0", filter=only_invitations))
        for room_id, invited in fresh.get("rooms", {}).get("invite", {}).items():
            self._invited(room_id, invited)

    async def close(self) -> None:
        """Drop what is under way; it is taken up again at the next start."""
        errands = list(self._errands.values())
        for errand in errands:
            errand.cancel()
        await asyncio.gather(*errands, return_exceptions=True)

    # -- where to speak

    async def present(self, room_id: str) -> MatrixRoom:
        """Return a room that we are in; waits for one that we are just entering.

        Raises:
            Undelivered: we are not in it.
        """
        await self._arrived(lambda: room_id in self._client.rooms or room_id not in self._coming)
        room = self._client.rooms.get(room_id)
        if room is None:
            raise Undelivered("we are not in this room", permanent=True)
        return room

    async def _arrived(self, there: Callable[[], bool]) -> None:
        """Wait until the syncs have brought what we know is coming."""
        try:
            async with asyncio.timeout(_ARRIVES_WITHIN):
                while not there():
                    await self._synced.wait()
        except TimeoutError:
            raise Undelivered("the room has not arrived yet") from None

    def companion(self, room: MatrixRoom) -> str | None:
        """Return the one person who shares a room with the bot; None when there are more, or it is a network's room."""
        if room.room_id in self.places or len(room.users) != 2 or self._client.user_id not in room.users:
            return None
        companion: str = next(user for user in room.users if user != self._client.user_id)
        return companion

    def is_private(self, room: MatrixRoom, address: str | None = None) -> bool:
        """Tell whether what is said in a room reaches one person only, and (if given) this one."""
        companion = self.companion(room)
        return self._trust.is_encrypted(room) and companion is not None and address in {None, companion}

    def is_exposed(self, room: MatrixRoom) -> bool:
        """Tell whether a room is one person's with the bot, and not encrypted: servers read what is said there."""
        return self.companion(room) is not None and not self._trust.is_encrypted(room)

    async def dm(self, address: str, hint: str | None) -> MatrixRoom:
        """Find the encrypted room with this person alone, or make one.

        Raises:
            Undelivered: there is none, and none can be made.
            Away, Refusal: the homeserver did not make one.
        """
        lock = self._meeting.setdefault(address, asyncio.Lock())
        async with lock:
            known = [hint, *self._direct[address], *self._client.rooms]
            for room_id in known:
                room = self._client.rooms.get(room_id) if room_id else None
                if room is not None and self.is_private(room, address):
                    return room
            return await self._make_dm(address)

    async def _make_dm(self, address: str) -> MatrixRoom:
        now = asyncio.get_running_loop().time()
        if now < self._declined.get(address, -math.inf) + _DECLINED_FOR:
            raise Undelivered("the person left", permanent=True)
        body: dict[str, Any] = {
            "preset": "trusted_private_chat",
            "visibility": "private",
            "is_direct": True,
            "invite": [address],
            "initial_state": [_ENCRYPTION],
        }
        if self._name_of_dm:
            body["name"] = self._name_of_dm
        answer = await self._wire.ask("POST", path("createRoom"), body)
        room_id = str(answer["room_id"])
        self._expect(room_id)
        self._made[address] = room_id
        self._direct[address].insert(0, room_id)
        await self._wire.ask("PUT", path("user", self._client.user_id, "account_data", "m.direct"), dict(self._direct))
        await self._met(address, room_id)
        room = await self.present(room_id)
        # The server tells of a room while it is still being furnished.
        await self._arrived(lambda: self.is_private(room, address))
        return room

    def _note_declined(self, room_id: str, event: Json) -> None:
        """Note when somebody leaves the room that we made to meet them: then they get one invitation a day."""
        user, content = event.get("state_key"), event.get("content")
        if event.get("type") != "m.room.member" or not isinstance(user, str) or self._made.get(user) != room_id:
            return
        if isinstance(content, Mapping) and content.get("membership") in {"leave", "ban"}:
            self._declined[user] = asyncio.get_running_loop().time()
        else:
            self._declined.pop(user, None)

    def _take_direct(self, content: Any) -> None:
        self._direct.clear()
        for user, rooms in content.items() if isinstance(content, Mapping) else ():
            if isinstance(rooms, list):
                self._direct[user] = [room for room in rooms if isinstance(room, str)]

    # -- getting in

    def _expect(self, room_id: str) -> None:
        if room_id not in self._client.rooms:
            self._coming.add(room_id)

    async def _join(self, address: str, via: str | None = None) -> str:
        # The ids of newer rooms name no server, so the way there has to be given.
        servers = {"server_name": via, "via": via} if via else {}
        answer = await self._wire.ask("POST", path("join", address, **servers), {}, within=120)
        room_id = str(answer["room_id"])
        self._expect(room_id)
        return room_id

    async def _answer_invitation(self, room_id: str, state: list[Json]) -> None:
        """Accept an invitation where the bot has work, and decline others.

        Anybody may talk to the bot alone: that is how people apply. Into a room with more people it goes when the
        room is one of the network's, the successor of one where it was, or encrypted: members may want it beside
        them in rooms of their own, and an unencrypted room would make a public log of who works on what.
        """
        me = self._client.user_id
        own = next((each for each in state if each.get("type") == "m.room.member" and each.get("state_key") == me), {})
        direct = bool((own.get("content") or {}).get("is_direct"))
        encrypted = any(each.get("type") == "m.room.encryption" for each in state)
        aliases = {(each.get("content") or {}).get("alias") for each in state}
        ours = room_id in self.places or room_id in self._successors or not aliases.isdisjoint(self._settled)
        if not (ours or direct or encrypted):
            log.info("declined an invitation into an unencrypted room")
            await self._wire.ask("POST", path("rooms", room_id, "leave"), {})
            return
        await self._join(room_id, _server_of(str(own.get("sender", ""))))
        if room_id in self._successors:
            await self._settle_in(self._successors[room_id], room_id)

    async def _greet(self, room: MatrixRoom) -> None:
        """Share our key with a room at once: in a large one the first message would otherwise wait for seconds."""
        if self._trust.is_encrypted(room):
            await self._trust.share(room)

    # -- rooms that move

    async def _follow(self, old: str) -> None:
        """Follow a room to its successor, if whoever moved it had the power to."""
        state = await self._state(old)
        tombstone = _state_event(state, "m.room.tombstone")
        new = (tombstone.get("content") or {}).get("replacement_room")
        if not isinstance(new, str) or not new:
            return
        mover = str(tombstone.get("sender", ""))
        if not Power(state).may_move_us(mover):
            log.warning("a room was declared moved by somebody without the power to", configured=old in self.places)
            self._tell("Somebody without the power to do so declared a room of the bot as moved; it was not followed.")
            return
        self._successors[new] = old
        try:
            await self._join(new, _server_of(mover))
        except Refusal as refused:
            if refused.is_throttle:
                raise
            log.info("a room has moved; waiting for the invitation", configured=old in self.places)
            return
        await self._settle_in(old, new)

    async def _settle_in(self, old: str, new: str) -> None:
        """Check that a room is the successor it is said to be, and take it as the new address."""
        state = await self._state(new)
        predecessor = (_state_event(state, "m.room.create").get("content") or {}).get("predecessor") or {}
        encrypted = bool(_state_event(state, "m.room.encryption"))
        was_encrypted = old in self._client.encrypted_rooms or bool(
            old in self._client.rooms and self._trust.is_encrypted(self._client.rooms[old])
        )
        if predecessor.get("room_id") != old or (was_encrypted and not encrypted):
            log.warning("a room's successor is not acceptable", configured=old in self.places)
            self._tell("A room was moved to one that does not name it, or that is not encrypted; it was not followed.")
            self._successors.pop(new, None)
            await self._wire.ask("POST", path("rooms", new, "leave"), {})
            return
        if old in self.places:
            self.places.add(new)
        await self._moved(old, new)
        log.info("followed a room", configured=new in self.places)

    async def _state(self, room_id: str) -> list[Json]:
        state = await self._wire.ask_any("GET", path("rooms", room_id, "state"))
        return state if isinstance(state, list) else []

    # -- errands

    def _errand(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do something beside the sync: once at a time for each name, and again while the server is away."""
        if name in self._errands:
            return

        async def run() -> None:
            pause = 0.5
            try:
                while True:
                    try:
                        await work()
                    except Away:
                        await asyncio.sleep(pause)
                    except Refusal as refused:
                        if not refused.is_throttle:
                            log.info("refused in a room", what=name.partition(" ")[0], why=refused.code)
                            return
                        await asyncio.sleep(refused.retry_after or pause)
                    except NotReady as why:
                        log.error("could not be done in a room", what=name.partition(" ")[0], why=str(why))  # noqa: TRY400
                        return
                    except Exception as error:  # one room's oddity is not everybody's
                        what = name.partition(" ")[0]
                        log.error("failed in a room", what=what, error=type(error).__name__, exc_info=error)  # noqa: TRY400
                        return
                    else:
                        return
                    pause = min(pause * 2, 30)
            finally:
                self._errands.pop(name, None)

        self._errands[name] = asyncio.create_task(run())

    def _invited(self, room_id: str, invited: Json) -> None:
        state = _events(invited, "invite_state")
        self._errand(f"invitation {room_id}", partial(self._answer_invitation, room_id, state))


def _events(part: Json, name: str) -> list[Json]:
    events = (part.get(name) or {}).get("events", [])
    return events if isinstance(events, list) else []


def _entered(joined: Json, me: str) -> bool:
    """Tell whether this part of a sync holds our own entry."""
    return any(
        event.get("type") == "m.room.member" and event.get("state_key") == me
        for event in (*_events(joined, "state"), *_events(joined, "timeline"))
    )


def _state_event(state: Iterable[Json], kind: str) -> Json:
    return next((event for event in state if event.get("type") == kind and event.get("state_key") == ""), {})


def _server_of(user: str) -> str | None:
    return user.partition(":")[2] or None
