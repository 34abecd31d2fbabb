"""MatrixBot: one account in one network's rooms. It hears, keeps what it heard, has it answered, and delivers.

The order that loses nothing: a sync is read; what is said to the bot goes into the inbox together with the token of
that sync, in one transaction; only then is it answered. The answer's transaction marks the row done and puts the reply
into the outbox, from where a courier hands it back to `deliver`, under a transaction id that is a function of its key.
A crash anywhere leads to the same reading, the same answer, the same event.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import logging
import math
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog
from nio import AsyncClient, AsyncClientConfig, Event, MatrixRoom, MegolmEvent, RoomMessagesResponse, SyncResponse
from nio.store import SqliteStore

from bots.bot import Answers, Parcel, Undelivered
from bots.matrix import hearing
from bots.matrix.hearing import Ear
from bots.matrix.render import Part, render
from bots.matrix.rooms import Rooms
from bots.matrix.speaking import REMEMBERED, Address, Speaker, undelivered
from bots.matrix.trust import (
    Identity,
    NotReady,
    Pins,
    Tell,
    Trust,
    password_stage,
    read_recovery_key,
    write_private,
)
from bots.matrix.wire import Away, Refusal, Wire, path
from commands.core.dispatch import Heard
from commands.core.reply import Picture, Reply
from commands.core.text import Voice, _
from storage import inbox, places
from storage.store import Busy, Session, Store

log = structlog.get_logger()

Json = Mapping[str, Any]

ANSWERED_IN_PRIVATE: Final = "📬"

# Ten events of a room in a sync are the default: twenty people in one room lost 9 of 600 commands to it.
_FILTER: Final = json.dumps(
    {
        "presence": {"types": []},
        "account_data": {"types": ["m.direct"]},
        "room": {
            "timeline": {"limit": 500, "lazy_load_members": False},
            "state": {"lazy_load_members": False},
            "ephemeral": {"types": []},
            "account_data": {"types": []},
        },
    }
)
_TOKEN_MAY_LAG: Final = 5.0
_HEAD_START: Final = 0.05
_ASK_AGAIN_AFTER: Final = 10.0
_LOCKED_FOR: Final = timedelta(days=1)
_SAID_BEFORE_ENTRY: Final = timedelta(minutes=10)
_MOST_GAP_PAGES: Final = 200


class SignedOut(Exception):  # noqa: N818 it names what happened
    """The homeserver does not take our token any more, or not our password: an operator has to look."""


@dataclass(frozen=True, kw_only=True)
class MatrixAccount:
    """What one bot account needs to know.

    Attributes:
        homeserver: the server's address, https://…
        user_id: the account, @name:server.
        network: the network that it serves.
        folder: where its keys and token lie; one process at a time, and nobody else may read it.
        password: to log in the first time, and when the folder was lost.
        recovery_key: the identity, see `trust.new_recovery_key`; empty for none.
        pickle_secret: under which the keys in the folder are sealed.
        device_name: what people see as the device's name.
        prefix: the sign or word before a command.
        rooms: the network's rooms, by id or alias.
        bots: our other bots, who are never answered.
        name_of_dm: the name of rooms made to meet somebody; the server can read it, so it says nothing.
        sync_timeout: how long a sync may wait for news, in seconds.
    """

    homeserver: str
    user_id: str
    network: str
    folder: Path
    password: str = field(repr=False)
    pickle_secret: str = field(repr=False)
    recovery_key: str = field(default="", repr=False)
    device_name: str = "Bot"
    prefix: str = "!"
    rooms: frozenset[str] = frozenset()
    bots: frozenset[str] = frozenset()
    name_of_dm: str = ""
    sync_timeout: float = 30.0


class _Row(NamedTuple):
    """One thing heard, as the inbox keeps it.

    `data` is one of: {"said": Heard}, {"pressed": [event, number], …}, {"locked": the encrypted event}.
    """

    key: str
    room: str
    data: dict[str, Any]


class MatrixBot:
    """A bot on Matrix; see `bots.bot.Bot`.

    Args:
        account: who it is and where it works.
        store: where inbox and sync token are kept.
        voice: how it speaks on its own behalf: the network's language, the account's prefix.
        clock: tells the time.
        nudge: called when an answer waits in the outbox.
        met: remembers, in a transaction, where the bot meets a person alone: (session, account, room).
        tell: tells the operator, in a sentence without names.
    """

    def __init__(
        self,
        account: MatrixAccount,
        store: Store,
        *,
        voice: Voice,
        clock: Callable[[], datetime],
        nudge: Callable[[], None] = lambda: None,
        met: Callable[[Session, str, str], None] = lambda _session, _address, _room: None,
        tell: Tell = lambda _sentence: None,
    ) -> None:
        for name in ("nio", "peewee", "aiohttp"):  # they log addresses, rooms and people
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.name = f"matrix:{account.network}"
        self.network = account.network
        self._account = account
        self._store = store
        self._voice = voice
        self._clock = clock
        self._nudge = nudge
        self._remember_dm = met
        account.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._client = AsyncClient(account.homeserver, account.user_id, store_path=str(account.folder))
        self._wire = Wire(self._client)
        pins = Pins(account.folder / "pins.json", account.pickle_secret)
        self._trust = Trust(self._client, self._wire, pins, tell)
        self._speaker = Speaker(self._client, self._wire, self._trust)
        self._rooms = Rooms(
            self._client,
            self._wire,
            self._trust,
            places=account.rooms,
            name_of_dm=account.name_of_dm,
            moved=self._moved,
            met=self._met,
            tell=tell,
        )
        self._dispatcher: Answers | None = None
        self._ready = asyncio.Event()
        self._lanes: defaultdict[str, deque[_Row]] = defaultdict(deque)
        self._locked: dict[str, _Row] = {}
        self._taken_back: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._tending: asyncio.Task[None] | None = None
        self._own = _Memory()
        self._presses = _Memory()
        self._asked_again: dict[tuple[str, str], datetime] = {}
        self._token_kept_at = -math.inf
        self._untended = False
        self._said_something = asyncio.Event()
        self._cleartext_noted = False

    # -- life -----------------------------------------------------------------------------------------------------

    async def run(self, dispatcher: Answers) -> None:
        """Hear people until cancelled.

        Raises:
            SignedOut: the account was signed out, or its password is wrong; the log says what to do.
        """
        self._dispatcher = dispatcher
        with _alone_in(self._account.folder):
            try:
                await self._sign_in()
                await self._establish()
                await self._listen()
            except SignedOut as error:
                log.error("the bot has stopped", bot=self.name, why=str(error))  # noqa: TRY400 no trace needed
                raise
            finally:
                self._ready.clear()
                await self._rooms.close()
                await _ended([*self._tasks, *([self._tending] if self._tending else [])])
                await self._client.close()

    async def ready(self) -> None:
        """Wait until the bot has synced for the first time."""
        await self._ready.wait()

    async def _sign_in(self) -> None:
        """Take up the session we have, or log in: once for the life of the folder."""
        file = self._account.folder / "session.json"
        session: dict[str, str] = {}
        with suppress(FileNotFoundError):
            session = json.loads(file.read_text())
        mine = session.get("user_id") == self._account.user_id
        if mine and (self._account.folder / _keys_of(session["device_id"])).exists():
            self._load(session)
            return
        # Without its keys an old device is deaf, and everybody would go on writing to it: a new one is needed.
        fresh = await self._logged_in()
        write_private(file, json.dumps(fresh))
        self._load(fresh)
        log.info("logged in", bot=self.name, device="new")
        if mine:
            await self._forget_device(session["device_id"])

    def _load(self, session: Mapping[str, str]) -> None:
        # One request, one failure: our callers judge throttling and time-outs, nio would repeat for ever.
        self._client.config = AsyncClientConfig(
            store=SqliteStore,
            store_name=_keys_of(session["device_id"]),
            pickle_key=self._account.pickle_secret,
            store_sync_tokens=False,
            max_limit_exceeded=0,
            max_timeouts=0,
            request_timeout=30,
        )
        try:
            self._client.restore_login(session["user_id"], session["device_id"], session["token"])
        except Exception as error:
            raise SignedOut(f"the keys in {self._account.folder} do not open: is the pickle secret right?") from error
        (self._account.folder / _keys_of(session["device_id"])).chmod(0o600)

    async def _logged_in(self) -> dict[str, str]:
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self._account.user_id},
            "password": self._account.password,
            "initial_device_display_name": self._account.device_name,
        }
        answer = await self._patiently("POST", path("login"), body)
        return {"user_id": answer["user_id"], "device_id": answer["device_id"], "token": answer["access_token"]}

    async def _forget_device(self, device: str) -> None:
        address, body = path("delete_devices"), {"devices": [device]}
        with suppress(Refusal, Away):
            try:
                await self._wire.ask("POST", address, body)
            except Refusal as refused:
                if refused.status != 401:
                    raise
                stage = password_stage(self._account.user_id, self._account.password, refused.answer)
                await self._wire.ask("POST", address, {**body, "auth": stage})

    async def _establish(self) -> None:
        if not self._account.recovery_key:
            log.warning("no recovery key: strict clients will not read this bot", bot=self.name)
            return
        identity = Identity(read_recovery_key(self._account.recovery_key), self._account.user_id)
        while True:
            try:
                await self._trust.establish(identity, self._account.password)
            except Away:
                await asyncio.sleep(1)
            except Refusal as refused:
                if refused.code == "M_UNKNOWN_TOKEN":
                    raise self._signed_out() from None
                if not refused.is_throttle:
                    log.error("the identity could not be published", bot=self.name, why=refused.code)  # noqa: TRY400
                    return
                await asyncio.sleep(refused.retry_after or 1)
            else:
                return

    def _signed_out(self) -> SignedOut:
        with suppress(FileNotFoundError):
            (self._account.folder / "session.json").unlink()
        return SignedOut(
            "the homeserver does not know our token any more; if that was no mistake, start again: "
            "the bot then logs in as a new device with the same identity"
        )

    async def _patiently(self, method: str, address: str, body: Json | None = None, *, within: float = 30) -> Any:
        """Ask until the server answers; says once that it is away, and once that it is back."""
        pause, away = 0.1, False
        while True:
            try:
                answer = await self._wire.ask(method, address, body, within=within)
            except Away as error:
                if not away:
                    log.warning("the homeserver is away; waiting for it", bot=self.name, why=str(error))
                away = True
                await asyncio.sleep(pause)
            except Refusal as refused:
                if refused.code in {"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"}:
                    raise self._signed_out() from None
                if address.endswith("/login") and not refused.is_throttle:
                    raise SignedOut(
                        f"the homeserver refused the login ({refused.code}): check user and password"
                    ) from None
                await asyncio.sleep(refused.retry_after or pause)
            else:
                if away:
                    log.info("the homeserver is back", bot=self.name)
                return answer
            pause = min(pause * 2, 2.0)

    # -- hearing --------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        self._rooms.places |= await self._store.run(self._places)
        since = await self._store.run(partial(inbox.since, bot=self.name))
        for key, heard in await self._store.run(partial(inbox.pending, bot=self.name)):
            data = json.loads(heard)
            self._begin(_Row(key, data["room"], data))
        first = True
        while True:
            query = {"filter": _FILTER, "timeout": "0" if first else str(int(self._account.sync_timeout * 1000))}
            query |= {"since": since} if since else {}
            query |= {"full_state": "true"} if first else {}
            within = 300 if first else self._account.sync_timeout + 15
            sync = await self._patiently("GET", path("sync", **query), within=within)
            await self._take(sync, since, first=first)
            since = sync["next_batch"]
            if first:
                first = False
                self._ready.set()
                log.info("listening", bot=self.name, rooms=len(self._client.rooms))
                self._beside(self._settle())

    async def _settle(self) -> None:
        with suppress(Refusal, Away):
            await self._rooms.start()

    async def _take(self, sync: dict[str, Any], since: str | None, *, first: bool) -> None:
        """Let nio digest a sync; then keep what was said to us together with its token; then have it answered."""
        raw = _repaired(sync)
        # nio takes invitations and account data apart while reading them; they are ours to read.
        rooms = {**sync.get("rooms", {}), "invite": {}}
        response = SyncResponse.from_dict({**sync, "rooms": rooms, "account_data": {"events": []}})
        if isinstance(response, SyncResponse):
            try:
                await self._client.receive_response(response)
            except Exception as error:  # one strange event must not make the bot deaf
                log.error("a sync could not be digested whole", error=type(error).__name__, exc_info=error)  # noqa: TRY400
        else:
            log.error("a sync could not be read", bot=self.name)
        self._trust.counted(sync)
        self._rooms.update(sync, first=first)
        rows: list[_Row] = []
        taken_back: list[str] = []
        if isinstance(response, SyncResponse):
            for room_id, info in response.rooms.join.items():
                room = self._client.rooms.get(room_id)
                if room is None:
                    continue
                events = list(info.timeline.events)
                if since is None:
                    # The very first sync shows what was said before there was a bot.
                    self._remember(events)
                    continue
                if info.timeline.limited and info.timeline.prev_batch:
                    earlier, originals = await self._missed(room_id, info.timeline.prev_batch, since)
                    events = [*earlier, *events]
                    raw.update(originals)
                events = _since_we_came(events, self._client.user_id)
                self._remember(events)
                for event in events:
                    if _redacted_by(event):
                        taken_back.append(_redacted_by(event))
                    row = await self._heard_safely(room, event, raw)
                    if row is not None:
                        rows.append(row)
        await self._keep(rows, taken_back, sync["next_batch"])
        self._said_something.clear()
        for row in rows:
            self._begin(row)
        if rows:
            # A homeserver does one thing at a time: a new sync beside it makes the answer slower by a quarter. So
            # the first answer gets a head start; a slow command makes nobody deaf for longer than that.
            with suppress(TimeoutError):
                async with asyncio.timeout(_HEAD_START):
                    await self._said_something.wait()
        self._untended = self._client.olm is not None
        if self._untended and (self._tending is None or self._tending.done()):
            self._tending = asyncio.create_task(self._tend())

    async def _keep(self, rows: list[_Row], taken_back: list[str], token: str) -> None:
        """Commit what was heard together with the token.

        A token alone may lag some seconds: reading a little again costs nothing, and a busy room's chatter no disk.
        """
        loop = asyncio.get_running_loop()
        if not rows and not taken_back and loop.time() < self._token_kept_at + _TOKEN_MAY_LAG:
            return
        known = {*self._locked, *(row.key for row in rows)}
        known |= {row.key for lane in self._lanes.values() for row in lane}
        gone = known.intersection(taken_back)
        self._taken_back |= gone

        def keep(session: Session) -> None:
            now = self._clock()
            events = [(row.key, row.room, json.dumps(row.data, ensure_ascii=False)) for row in rows]
            inbox.receive(session, self.name, events, token, now)
            for key in gone:
                inbox.done(session, self.name, key, now)

        while True:
            try:
                await self._store.run(keep)
            except Busy:
                log.warning("the database is busy; what was heard is kept when it is free", bot=self.name)
            else:
                break
        self._token_kept_at = loop.time()

    async def _missed(self, room_id: str, start: str, since: str) -> tuple[list[Event], dict[str, Json]]:
        """Fetch what a sync left out of a busy room, up to where we had read or where we came in."""
        found: list[Event] = []
        raw: dict[str, Json] = {}
        for _page in range(_MOST_GAP_PAGES):
            address = path("rooms", room_id, "messages", dir="b", limit="500", to=since, **{"from": start})
            try:
                answer = await self._patiently_in_room(address)
            except Refusal:
                break
            for event in answer.get("chunk", []):
                event.setdefault("room_id", room_id)
            raw |= _repaired_events(answer.get("chunk", []))
            page = RoomMessagesResponse.from_dict({"start": start, **answer}, room_id)
            if not isinstance(page, RoomMessagesResponse):
                log.error("a part of a room's backlog could not be read", bot=self.name)
                break
            await self._client.receive_response(page)
            found += page.chunk
            if not page.chunk or not page.end or any(_own_entry(each, self._client.user_id) for each in page.chunk):
                break
            start = page.end
        else:
            log.error("a room's backlog is longer than we read", bot=self.name)
        return found[::-1], raw

    async def _patiently_in_room(self, address: str) -> dict[str, Any]:
        while True:
            try:
                return await self._wire.ask("GET", address)
            except Away:
                await asyncio.sleep(1)
            except Refusal as refused:
                if not refused.is_throttle:
                    raise
                await asyncio.sleep(refused.retry_after or 1)

    def _remember(self, events: Iterable[Event]) -> None:
        """Note which events are ours, and in which threads we speak: replies to them are meant for us."""
        for event in events:
            source = getattr(event, "source", {})
            ours = source.get("sender") == self._client.user_id
            self._own.note(source.get("event_id", ""), ours=ours)
            root = hearing.thread(source.get("content") or {})
            if ours and root is not None:
                self._own.note(root, ours=True)

    async def _heard_safely(self, room: MatrixRoom, event: Event, raw: Mapping[str, Json]) -> _Row | None:
        """Judge one event, whatever a stranger put into it."""
        try:
            return await self._heard(room, event, raw)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            log.warning("a broken event was not heard", bot=self.name, error=type(error).__name__, exc_info=error)
            return None

    async def _heard(self, room: MatrixRoom, event: Event, raw: Mapping[str, Json]) -> _Row | None:
        """Judge one event: is it said to us, and by whom it claims to be?"""
        source = getattr(event, "source", {})
        sender = source.get("sender")
        if sender in {None, self._client.user_id, *self._account.bots} or "event_id" not in source:
            return None
        key: str = source["event_id"]
        if isinstance(event, MegolmEvent):
            opened = self._trust.opened(event, room.room_id) if self._client.olm is not None else None
            if opened is None:
                return _Row(key, room.room_id, {"room": room.room_id, "locked": dict(raw.get(key, event.source))})
            event, source = opened, opened.source
        content = source.get("content") or {}
        if source.get("type") == "m.reaction":
            press = hearing.pressed(content)
            if press is None:
                return None
            # Reactions are never encrypted: the server could press a button in somebody's name. What a button does
            # is therefore authorised afresh, like a typed line, and asked again where it cannot be undone.
            return _Row(key, room.room_id, {"room": room.room_id, "by": sender, "pressed": list(press)})
        if source.get("type") != "m.room.message":
            return None
        if self._trust.is_encrypted(room):
            if not getattr(event, "decrypted", False):
                self._note_cleartext()
                return None
            genuine = self._trust.author_is_genuine(event, room.room_id)
            if genuine is None:
                return _Row(key, room.room_id, {"room": room.room_id, "locked": dict(raw.get(key, {}))})
            if not genuine:
                log.warning("words from a device that its owner has not signed were not heard", bot=self.name)
                return None
        line = await self._line(room, content)
        if line is None:
            return None
        heard = Heard(
            platform="matrix",
            address=str(sender),
            bot=self.name,
            network=self.network,
            room=room.room_id,
            private=self._rooms.is_private(room, str(sender)),
            said=line.words,
            direct=line.direct,
            key=key,
            thread=hearing.thread(content),
        )
        return _Row(key, room.room_id, {"room": room.room_id, "said": asdict(heard)})

    async def _line(self, room: MatrixRoom, content: Json) -> hearing.Line | None:
        alone = self._rooms.companion(room) is not None
        if not alone and hearing.is_speech(content):
            for event in hearing.related(content):
                if self._own.of(event) is None:
                    await self._look_up(room.room_id, event)
        me = self._account.user_id
        names = (room.user_name(me) or "", me, me.removeprefix("@"), me.removeprefix("@").partition(":")[0])
        ear = Ear(me, self._account.prefix, alone, names, lambda event: bool(self._own.of(event)))
        return ear.hears(content)

    async def _look_up(self, room_id: str, event: str) -> None:
        """Find out whether an event from before our start is ours, or a thread in which we speak."""
        ours = False
        with suppress(Refusal):
            answer = await self._patiently_in_room(path("rooms", room_id, "event", event))
            ours = answer.get("sender") == self._client.user_id
            if not ours:
                relations = path(
                    "rooms", room_id, "relations", event, "m.thread", base="/_matrix/client/v1", limit="100"
                )
                answer = await self._patiently_in_room(relations)
                ours = any(each.get("sender") == self._client.user_id for each in answer.get("chunk", []))
        self._own.note(event, ours=ours)

    def _note_cleartext(self) -> None:
        if not self._cleartext_noted:
            log.warning(
                "plain text in an encrypted room is not heard: anybody's server could have written it", bot=self.name
            )
        self._cleartext_noted = True

    # -- having it answered ---------------------------------------------------------------------------------------

    def _begin(self, row: _Row) -> None:
        """Put a row on its way: into its room's lane, or aside until its key comes."""
        if "locked" in row.data:
            self._locked[row.key] = row
            asyncio.get_running_loop().call_later(_ASK_AGAIN_AFTER, self._beside_still_locked, row)
            return
        lane = self._lanes[row.room]
        lane.append(row)
        if len(lane) == 1:
            self._beside(self._work(row.room))

    async def _work(self, room_id: str) -> None:
        """Have a room's rows answered, one after the other."""
        lane = self._lanes[room_id]
        while lane:
            row = lane[0]
            for pause in (0.5, 2.0, 5.0, None):
                try:
                    await self._answer(row)
                except Busy:
                    # Still in the inbox: if patience does not help, the next start takes it up.
                    if pause is None:
                        log.error("a command waits for the next start: the database was busy", bot=self.name)  # noqa: TRY400
                        break
                    await asyncio.sleep(pause)
                else:
                    break
            lane.popleft()
        del self._lanes[room_id]

    async def _answer(self, row: _Row) -> None:
        if row.key in self._taken_back:
            self._taken_back.discard(row.key)
            return
        if "pressed" in row.data:
            heard = await self._pressed(row)
        else:
            heard = Heard(**row.data["said"])
        if heard is None:
            await self._dismiss(row.key)
            return
        if self._dispatcher is None:
            raise RuntimeError("the bot does not run")
        await self._dispatcher.answer(heard)
        self._nudge()

    async def _pressed(self, row: _Row) -> Heard | None:
        """Find the line behind a pressed number, in our own message on which it was put."""
        event, number = row.data["pressed"]
        await self._ready.wait()
        room = self._client.rooms.get(row.room)
        if room is None:
            return None
        try:
            raw = await self._patiently_in_room(path("rooms", row.room, "event", event))
        except Refusal:
            return None
        if raw.get("sender") != self._client.user_id:
            return None
        content = self._speaker.content_of(raw, row.room)
        line = hearing.line_of_button(content, number)
        if line is None:
            return None
        self._presses.note(row.key, ours=True, instead=event)
        return Heard(
            platform="matrix",
            address=row.data["by"],
            bot=self.name,
            network=self.network,
            room=row.room,
            private=self._rooms.is_private(room, row.data["by"]),
            said=line,
            direct=True,
            key=row.key,
            thread=hearing.thread(content),
        )

    async def _dismiss(self, key: str) -> None:
        """Mark a row as done that turned out to be nothing for us."""
        await self._store.run(lambda session: inbox.done(session, self.name, key, self._clock()))

    # -- what could not be read yet -------------------------------------------------------------------------------

    async def _tend(self) -> None:
        """Do what keys need between two syncs, then try again what could not be read."""
        while self._untended:
            self._untended = False
            try:
                await self._trust.tend()
            except (Away, Refusal, NotReady):
                log.debug("keys are tended to at the next sync", bot=self.name)
            except Exception as error:  # a stranger's broken keys must not stop the bot
                log.error("keys could not be tended to", error=type(error).__name__, exc_info=error)  # noqa: TRY400
            for row in list(self._locked.values()):
                await self._unlock(row)

    async def _unlock(self, row: _Row) -> None:
        room = self._client.rooms.get(row.room)
        event = Event.parse_event(dict(row.data["locked"]))
        if row.key in self._taken_back or room is None or not isinstance(event, MegolmEvent):
            if self._ready.is_set():
                self._locked.pop(row.key, None)
                await self._dismiss(row.key)
            return
        now_heard = await self._heard(room, event, {row.key: row.data["locked"]})
        if now_heard is not None and "locked" in now_heard.data:
            if self._clock() - _said_at(row.data["locked"]) > _LOCKED_FOR:
                self._locked.pop(row.key, None)
                await self._dismiss(row.key)
            return
        if self._locked.pop(row.key, None) is None:
            return
        if now_heard is None:
            await self._dismiss(row.key)
        else:
            self._begin(now_heard)

    def _beside_still_locked(self, row: _Row) -> None:
        if row.key in self._locked:
            self._beside(self._ask_again(row))

    async def _ask_again(self, row: _Row) -> None:
        """Ask a person to say it again: we waited, and the key did not come."""
        room, event = self._client.rooms.get(row.room), row.data["locked"]
        who, now = str(event.get("sender")), self._clock()
        if room is None or now - _said_at(event) > _LOCKED_FOR:
            return
        meant_for_us = self._rooms.companion(room) is not None or any(
            self._own.of(each) for each in hearing.related(event.get("content") or {})
        )
        before = self._asked_again.get((row.room, who))
        # Among other people we cannot know whom it was meant for: there we ask once a day.
        if before is not None and now - before < (timedelta(minutes=5) if meant_for_us else timedelta(days=1)):
            return
        self._asked_again[row.room, who] = now
        sorry = Reply(
            _("I could not read this: the key to it has not reached me. If it was for me, please send it again.")
        )
        tx_id = hashlib.blake2b(f"resend:{row.key}".encode(), digest_size=12).hexdigest()
        with suppress(Undelivered):
            async with self._speaker.turn(row.room):
                await self._speaker.say(room, render(sorry, self._voice), tx_id, Address(reply_to=row.key))

    # -- delivering -----------------------------------------------------------------------------------------------

    async def deliver(self, parcel: Parcel, reply: Reply, voice: Voice) -> str:
        """Deliver a parcel once, however often this is called, and return the event id of its first message.

        Raises:
            Undelivered: not all of it arrived.
        """
        if not self._ready.is_set():
            raise Undelivered("the bot has not synced yet", retry_after=1.0)
        try:
            if parcel.place is not None:
                room = await self._rooms.present(parcel.place)
            elif parcel.address is not None:
                room = await self._rooms.dm(parcel.address, parcel.dm)
            else:
                raise Undelivered("a parcel needs a place or a person", permanent=True)
        except (Refusal, Away, NotReady) as error:
            raise undelivered(error) from error
        late = parcel.first_try_at is not None and self._clock() - parcel.first_try_at > REMEMBERED
        to = Address(
            reply_to=self._presses.instead_of(parcel.reply_to),
            thread=parcel.thread,
            mention=parcel.address if parcel.mention else None,
        )
        parts = await _rendered(reply, voice)
        async with self._speaker.turn(room.room_id):
            if parcel.place is None and not self._rooms.is_private(room, parcel.address):
                raise Undelivered("somebody came into the room")
            since = parcel.first_try_at if late else None
            event = await self._speaker.say(room, parts, parcel.tx_id, to, since=since)
        self._said_something.set()
        self._own.note(event, ours=True)
        if parcel.thread is not None:
            self._own.note(parcel.thread, ours=True)
        if parcel.asked is not None and parcel.asked[0] != room.room_id:
            self._beside(self.mark(*parcel.asked))
        return event

    async def mark(self, room_id: str, event: str) -> None:
        """Put 📬 under a question that is answered in private. Never raises: the answer itself has arrived."""
        room = self._client.rooms.get(room_id)
        if room is None:
            return
        tx_id = hashlib.blake2b(f"mark:{event}".encode(), digest_size=12).hexdigest()
        with suppress(Refusal, Away):
            await self._speaker.react(room, event, ANSWERED_IN_PRIVATE, tx_id)

    # -- what the rooms tell --------------------------------------------------------------------------------------

    def _places(self, session: Session) -> set[str]:
        """Where the network's rooms are now; they may have moved since the settings were written."""
        found = {places.address(session, self.name, purpose) for purpose in places.Purpose}
        return {address for address in found if address is not None and address.startswith("!")}

    async def _moved(self, old: str, new: str) -> None:
        await self._store.run(lambda session: places.move(session, self.name, old, new))

    async def _met(self, address: str, room_id: str) -> None:
        await self._store.run(lambda session: self._remember_dm(session, address, room_id))

    def _beside(self, work: Any) -> None:
        """Do something beside the sync; its failure is logged, never swallowed."""
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("something failed beside the sync", bot=self.name, error=type(error).__name__, exc_info=error)


class _Memory:
    """Remembers of the last some thousand events whether they are ours."""

    def __init__(self, size: int = 20_000) -> None:
        self._size = size
        self._known: OrderedDict[str, tuple[bool, str | None]] = OrderedDict()

    def note(self, event: str, *, ours: bool, instead: str | None = None) -> None:
        """Remember an event; once it is ours, it stays ours."""
        before = self._known.pop(event, (False, None))
        self._known[event] = (ours or before[0], instead or before[1])
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def of(self, event: str) -> bool | None:
        """Whether an event is ours; None if we do not remember it."""
        return self._known[event][0] if event in self._known else None

    def instead_of(self, event: str | None) -> str | None:
        """The event to refer to when this one is meant."""
        return (self._known[event][1] if event in self._known else None) or event if event else None


async def _rendered(reply: Reply, voice: Voice) -> list[Part]:
    """Render a reply; pictures take long to draw, so that happens beside the loop."""
    if reply.page is not None or any(isinstance(block, Picture) for block in reply.blocks):
        return await asyncio.to_thread(render, reply, voice)
    return render(reply, voice)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder: two processes with one device would ruin each other's ratchets."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SignedOut(f"another process is using {folder}: stop it first") from None
        yield


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _keys_of(device: str) -> str:
    return f"keys-{device}.db"


def _said_at(event: Json) -> datetime:
    return datetime.fromtimestamp(event.get("origin_server_ts", 0) / 1000, UTC)


def _redacted_by(event: Event) -> str:
    """Return the event that this one takes back; "" if it takes none back."""
    source = getattr(event, "source", {})
    if source.get("type") != "m.room.redaction":
        return ""
    return str(source.get("redacts") or (source.get("content") or {}).get("redacts") or "")


def _repaired(sync: Json) -> dict[str, Json]:
    """Return the encrypted events of a sync as they came, by id; nio puts the opened ones in their place."""
    found: dict[str, Json] = {}
    for joined in sync.get("rooms", {}).get("join", {}).values():
        found |= _repaired_events(joined.get("timeline", {}).get("events", []))
    return found


def _repaired_events(events: Iterable[dict[str, Any]]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for event in events:
        content = event.get("content")
        if event.get("type") == "m.room.encrypted" and isinstance(content, dict):
            # Newer clients leave these out; nio calls the event broken then.
            content.setdefault("sender_key", "")
            content.setdefault("device_id", "")
            found[event["event_id"]] = event
    return found


def _own_entry(event: Event, me: str) -> bool:
    """Tell whether this event is the moment when we came into a room."""
    source = getattr(event, "source", {})
    if source.get("type") != "m.room.member" or source.get("state_key") != me:
        return False
    before = (source.get("unsigned") or {}).get("prev_content") or {}
    return bool((source.get("content") or {}).get("membership") == "join" and before.get("membership") != "join")


def _since_we_came(events: list[Event], me: str) -> list[Event]:
    """Leave out what was said before we were in the room.

    What was said after we had been invited, minutes before we came, was said to us: people open a room with the bot and
    type their first command before the bot has walked in.
    """
    entry = max((at for at, event in enumerate(events) if _own_entry(event, me)), default=None)
    if entry is None:
        return events
    came = _said_at(events[entry].source)
    invited = entry
    for at in range(entry - 1, -1, -1):
        source = getattr(events[at], "source", {})
        if source.get("type") == "m.room.member" and source.get("state_key") == me:
            if (source.get("content") or {}).get("membership") == "invite":
                invited = at
            break
    waiting = [event for event in events[invited:entry] if came - _said_at(event.source) < _SAID_BEFORE_ENTRY]
    return [*waiting, *events[entry:]]
