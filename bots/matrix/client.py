"""MatrixBot: one account in one network's rooms. It hears, keeps what it heard, has it answered, and delivers.

The order that loses nothing: a sync is read; what is said to the bot goes into the inbox together with the token of
that sync, in one transaction; only then is it answered. The answer's transaction marks the row done and puts the reply
into the outbox, from where a courier hands it back to `deliver`, under a transaction id that is a function of its key.
A crash anywhere leads to the same reading, the same answer, the same event.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog
from nio import AsyncClient, Event, MatrixRoom, MegolmEvent, SyncResponse

from bots.bot import Answers, Parcel, SignedOut, Undelivered
from bots.matrix import hearing, verification
from bots.matrix.hearing import Line
from bots.matrix.identity import Pins
from bots.matrix.reading import FILTER, Reader, Row
from bots.matrix.render import Part, render
from bots.matrix.rooms import Rooms
from bots.matrix.session import Login, MatrixAccount, alone_in
from bots.matrix.speaking import REMEMBERED, Address, Speaker, undelivered
from bots.matrix.timeline import encrypted, said_at, since_we_came, taken_back
from bots.matrix.trust import NotReady, Tell, Trust
from bots.matrix.wire import Away, Refusal, Wire, path
from commands.core.dispatch import Heard
from commands.core.line import Call
from commands.core.reply import Picture, Reply
from commands.core.text import Text, Voice, _
from storage import inbox, outbox, places
from storage.store import Busy, Session, Store

__all__ = ["MatrixAccount", "MatrixBot"]

log = structlog.get_logger()

Json = Mapping[str, Any]

ANSWERED_IN_PRIVATE: Final = "📬"

_TOKEN_MAY_LAG: Final = 5.0
_HEAD_START: Final = 0.05
_ASK_AGAIN_AFTER: Final = 10.0
_LOCKED_FOR: Final = timedelta(days=1)
_SOON: Final = timedelta(minutes=1)
_AT_LEAST_EVERY: Final = timedelta(minutes=10)
_IN_TIME: Final = timedelta(hours=1)
_LED_AGAIN_AFTER: Final = timedelta(hours=1)
_PRESSES: Final = 1000


class MatrixBot:
    """A bot on Matrix; see `bots.bot.Bot`.

    Args:
        account: who it is and where it works.
        store: where inbox and sync token are kept.
        voice: how it speaks on its own behalf: the network's language, the account's prefix.
        clock: tells the time.
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
        self._login = Login(account, self._client, self._wire)
        self._reader = Reader(account, self._client, self._wire, self._trust, self._rooms)
        self._dispatcher: Answers | None = None
        self._ready = asyncio.Event()
        self._lanes: defaultdict[str, deque[Row]] = defaultdict(deque)
        self._locked: dict[str, Row] = {}
        self._failed: set[str] = set()
        self._taken_back: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._tending: asyncio.Task[None] | None = None
        self._presses: OrderedDict[str, str] = OrderedDict()
        self._asked_again: dict[tuple[str, str], datetime] = {}
        self._led_away: dict[str, datetime] = {}
        self._token_kept_at = -math.inf
        self._untended = False
        self._said_something = asyncio.Event()

    # -- life -----------------------------------------------------------------------------------------------------

    async def run(self, dispatcher: Answers) -> None:
        """Hear people until cancelled.

        Raises:
            SignedOut: the account was signed out, or its password is wrong; the log says what to do.
        """
        self._dispatcher = dispatcher
        with alone_in(self._account.folder):
            try:
                await self._login.sign_in()
                await self._login.establish(self._trust)
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

    # -- hearing --------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        self._rooms.places |= await self._store.run(self._places)
        since = await self._store.run(partial(inbox.since, bot=self.name))
        for key, heard in await self._store.run(partial(inbox.pending, bot=self.name)):
            data = json.loads(heard)
            self._begin(Row(key, data["room"], data))
        first = True
        while True:
            query = {"filter": FILTER, "timeout": "0" if first else str(int(self._account.sync_timeout * 1000))}
            query |= {"since": since} if since else {}
            query |= {"full_state": "true"} if first else {}
            within = 300 if first else self._account.sync_timeout + 15
            sync = await self._login.patiently("GET", path("sync", **query), within=within)
            await self._take(sync, since, first=first)
            since = sync["next_batch"]
            if first:
                first = False
                self._ready.set()
                log.info("listening", bot=self.name, rooms=len(self._client.rooms))
                self._beside(self._settle())

    async def _settle(self) -> None:
        """Be where we belong; the homeserver may go away while we walk."""
        while True:
            try:
                await self._rooms.start()
            except (Away, Refusal):
                await asyncio.sleep(5)
            else:
                return

    async def _take(self, sync: dict[str, Any], since: str | None, *, first: bool) -> None:
        """Let nio digest a sync; then keep what was said to us together with its token; then have it answered."""
        originals: dict[str, Json] = {}
        for joined in sync.get("rooms", {}).get("join", {}).values():
            originals |= encrypted(joined.get("timeline", {}).get("events", []))
        for event in sync.get("to_device", {}).get("events", []):
            if verification.asks_directly(event):
                self._beside(verification.decline_directly(self._wire, event))
        # nio takes invitations and account data apart while reading them; they are ours to read.
        rooms = {**sync.get("rooms", {}), "invite": {}}
        response = SyncResponse.from_dict({**sync, "rooms": rooms, "account_data": {"events": []}})
        rows: list[Row] = []
        gone: set[str] = set()
        if isinstance(response, SyncResponse):
            try:
                await self._client.receive_response(response)
            except Exception as error:  # one strange event must not make the bot deaf
                log.error("a sync could not be digested whole", error=type(error).__name__, exc_info=error)  # noqa: TRY400
            self._rooms.update(sync, first=first)
            rows, gone = await self._said_in(response, originals, since)
        else:
            log.error("a sync could not be read", bot=self.name)
        self._trust.counted(sync)
        await self._keep(rows, gone, sync["next_batch"])
        self._said_something.clear()
        for row in rows:
            self._begin(row)
        if any("locked" not in row.data for row in rows):
            # A homeserver does one thing at a time: a new sync beside it makes the answer slower by a quarter. So
            # the first answer gets a head start; a slow command makes nobody deaf for longer than that.
            with suppress(TimeoutError):
                async with asyncio.timeout(_HEAD_START):
                    await self._said_something.wait()
        self._untended = self._client.olm is not None
        if self._untended and (self._tending is None or self._tending.done()):
            self._tending = asyncio.create_task(self._tend())

    async def _said_in(
        self, response: SyncResponse, originals: dict[str, Json], since: str | None
    ) -> tuple[list[Row], set[str]]:
        """Return what a sync holds for us, and which events it takes back."""
        rows: list[Row] = []
        gone: set[str] = set()
        for room_id, info in response.rooms.join.items():
            room = self._client.rooms.get(room_id)
            if room is None:
                continue
            events = list(info.timeline.events)
            if since is not None and info.timeline.limited and info.timeline.prev_batch:
                earlier, more = await self._reader.missed(room_id, info.timeline.prev_batch, since)
                events = [*earlier, *events]
                originals |= more
            events = since_we_came(events, self._client.user_id)
            self._reader.remember(events)
            if since is None:
                continue  # the very first sync shows what was said before there was a bot
            gone.update(filter(None, map(taken_back, events)))
            for event in events:
                row = await self._reader.row(room, event, originals)
                if row is not None:
                    rows.append(row)
                elif verification.asks_in_room(event, self._client.user_id):
                    self._beside(verification.decline_in_room(self._speaker, room, event))
        return rows, gone

    async def _keep(self, rows: list[Row], gone: set[str], token: str) -> None:
        """Commit what was heard together with the token.

        A token alone may lag some seconds: reading a little again costs nothing, and a busy room's chatter no disk.
        """
        loop = asyncio.get_running_loop()
        in_lanes = (row.key for lane in self._lanes.values() for row in lane)
        gone &= {*self._locked, *self._failed, *(row.key for row in rows), *in_lanes}
        if not rows and not gone and loop.time() < self._token_kept_at + _TOKEN_MAY_LAG:
            return
        self._taken_back |= gone
        for row in rows:
            row.data["at"] = self._clock().isoformat()

        def keep(session: Session) -> None:
            now = self._clock()
            # In ASCII: half a character, which only an encrypted message can bring, would not become bytes.
            events = [(row.key, json.dumps(row.data)) for row in rows]
            inbox.receive(session, self.name, events, token, now)
            for key in gone:
                inbox.done(session, self.name, key, now)

        while True:
            try:
                await self._store.run(keep)
            except Busy:
                log.warning("the database is busy; what was heard is kept when it is free", bot=self.name)
            except Exception as error:  # it may be restarted, or its disk full: nothing is read on before it is back
                what = type(error).__name__
                log.error("the database takes nothing; it is asked again", bot=self.name, error=what, exc_info=error)  # noqa: TRY400
                await asyncio.sleep(5)
            else:
                break
        self._token_kept_at = loop.time()

    # -- having it answered ---------------------------------------------------------------------------------------

    def _begin(self, row: Row) -> None:
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
            if not await self._was_answered(row):
                self._failed.add(row.key)
                self._beside(self._try_later(row))
            lane.popleft()
        del self._lanes[room_id]

    async def _was_answered(self, row: Row) -> bool:
        """Have a row answered; False if that failed: the room's next commands must not wait behind it."""
        for pause in (0.5, 2.0, 5.0):
            try:
                await self._answer(row)
            except Busy:
                await asyncio.sleep(pause)
            except Undelivered as undelivered:
                log.info("a command is tried again later", bot=self.name, why=str(undelivered))
                return False
            except Exception as error:  # whatever it is, the row stays in the inbox
                what = type(error).__name__
                log.error("a command is tried again later", bot=self.name, error=what, exc_info=error)  # noqa: TRY400
                return False
            else:
                return True
        log.error("a command is tried again later: the database was busy", bot=self.name)
        return False

    async def _try_later(self, row: Row) -> None:
        """Try a row again after as long as it has waited already: the pauses grow by themselves, within bounds."""
        await asyncio.sleep(min(max(self._waited(row), _SOON), _AT_LEAST_EVERY).total_seconds())
        self._failed.discard(row.key)
        self._begin(row)

    def _waited(self, row: Row) -> timedelta:
        """Return for how long a row has been kept."""
        now = self._clock()
        return now - datetime.fromisoformat(row.data.get("at", now.isoformat()))

    async def _answer(self, row: Row) -> None:
        if row.key in self._taken_back:
            self._taken_back.discard(row.key)
            return
        if "exposed" in row.data:
            await self._lead_away(row)
            return
        if self._waited(row) > _IN_TIME:
            await self._answer_late(row)
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

    async def _pressed(self, row: Row) -> Heard | None:
        """Find the line behind a pressed number, in our own message on which it was put."""
        event, number = row.data["pressed"]
        await self._ready.wait()
        room = self._client.rooms.get(row.room)
        if room is None:
            return None
        try:
            raw = await self._reader.fetch(path("rooms", row.room, "event", event))
        except Refusal:
            return None
        content = self._speaker.own_content(room, raw)
        line = hearing.line_of_button(content, number)
        if line is None:
            return None
        self._presses[row.key] = event
        if len(self._presses) > _PRESSES:
            self._presses.popitem(last=False)
        said = Line(line, direct=True, named=True)  # a press under our message means nobody else
        return self._reader.heard(room, row.data["by"], said, key=row.key, thread=hearing.thread(content))

    async def _lead_away(self, row: Row) -> None:
        """Lead somebody who speaks to us in the clear to an encrypted chat: the only thing that we say there."""
        await self._ready.wait()
        room, now = self._client.rooms.get(row.room), self._clock()
        before = self._led_away.get(row.room, now - _LED_AGAIN_AFTER)
        if room is not None and self._rooms.is_exposed(room) and now - before >= _LED_AGAIN_AFTER:
            hello = _("Hello. {help} shows what I can do for you.", help=Call("help"))
            come = _("Please talk with me in an encrypted chat; I opened one for you.")
            key = f"hello:{row.key}"
            parcel = Parcel(key=key, tx_id=outbox.tx_id(key), address=row.data["exposed"])
            try:
                await self.deliver(parcel, Reply(hello), self._voice)
                await self._say(room, come, f"come:{row.key}", reply_to=row.key)
            except Undelivered as undelivered:
                if not undelivered.permanent:
                    raise
                log.info("somebody could not be led to an encrypted chat", bot=self.name, why=str(undelivered))
            self._led_away[row.room] = now
        await self._dismiss(row.key)

    async def _answer_late(self, row: Row) -> None:
        """Ask to say again what waited for too long: by now people have helped themselves, or do not expect it."""
        await self._ready.wait()
        room = self._client.rooms.get(row.room)
        waiting = dict(await self._store.run(partial(inbox.pending, bot=self.name)))
        # It may be answered after all: the last thing that failed was perhaps only to hear that it is.
        if room is not None and not self._rooms.is_exposed(room) and row.key in waiting:
            sorry = _("I could not answer this in time; please send it again.")
            event, _number = row.data.get("pressed", (row.key, 0))
            try:
                await self._say(room, sorry, f"late:{row.key}", reply_to=event)
            except Undelivered as undelivered:
                if not undelivered.permanent:
                    raise
                log.warning("a command was not answered, and nobody could be told", bot=self.name, why=str(undelivered))
        await self._dismiss(row.key)

    async def _say(self, room: MatrixRoom, sentence: Text, key: str, *, reply_to: str) -> None:
        """Say something by ourselves, in reply to something; once for each key.

        Raises:
            Undelivered: it was not said.
        """
        async with self._speaker.turn(room.room_id):
            parts = render(Reply(sentence), self._voice)
            await self._speaker.say(room, parts, outbox.tx_id(key), Address(reply_to=reply_to))

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
                try:
                    await self._unlock(row)
                except Exception as error:  # the others must not wait behind it
                    log.error("a message stays locked", bot=self.name, error=type(error).__name__, exc_info=error)  # noqa: TRY400

    async def _unlock(self, row: Row) -> None:
        room = self._client.rooms.get(row.room)
        event = Event.parse_event(dict(row.data["locked"]))
        if row.key in self._taken_back or room is None or not isinstance(event, MegolmEvent):
            self._locked.pop(row.key, None)
            await self._dismiss(row.key)
            return
        now_heard = await self._reader.row(room, event, {row.key: row.data["locked"]})
        if now_heard is not None and "locked" in now_heard.data:
            if self._clock() - said_at(row.data["locked"]) > _LOCKED_FOR:
                self._locked.pop(row.key, None)
                await self._dismiss(row.key)
            return
        if self._locked.pop(row.key, None) is None:
            return
        if now_heard is None:
            await self._dismiss(row.key)
        else:
            now_heard.data["at"] = row.data.get("at", self._clock().isoformat())
            self._begin(now_heard)

    def _beside_still_locked(self, row: Row) -> None:
        if row.key in self._locked:
            self._beside(self._ask_again(row))

    async def _ask_again(self, row: Row) -> None:
        """Ask a person to say it again: we waited, and the key did not come."""
        room, event = self._client.rooms.get(row.room), row.data["locked"]
        who, now = str(event.get("sender")), self._clock()
        if room is None or self._rooms.is_exposed(room) or now - said_at(event) > _LOCKED_FOR:
            return
        meant_for_us = self._rooms.companion(room) is not None or any(
            self._reader.ours.of(each) for each in hearing.related(event.get("content") or {})
        )
        before = self._asked_again.get((row.room, who))
        # Among other people we cannot know whom it was meant for: there we ask once a day.
        if before is not None and now - before < (timedelta(minutes=5) if meant_for_us else timedelta(days=1)):
            return
        self._asked_again[row.room, who] = now
        sorry = _("I could not read this: the key to it has not reached me. If it was for me, please send it again.")
        with suppress(Undelivered):
            await self._say(room, sorry, f"resend:{row.key}", reply_to=row.key)

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
        if parcel.place is not None and self._rooms.is_exposed(room):
            raise Undelivered("nobody is answered in the clear", permanent=True)
        if parcel.remove is not None:
            await self._take_away(*parcel.remove)
        late = parcel.first_try_at is not None and self._clock() - parcel.first_try_at > REMEMBERED
        to = Address(
            # One answers a press by answering the message that was pressed: a reaction has no place in a room's talk.
            reply_to=self._presses.get(parcel.reply_to or "", parcel.reply_to),
            thread=parcel.thread,
            mention=parcel.address if parcel.mention else None,
        )
        parts = await _rendered(reply, voice)

        def may() -> bool:
            return parcel.place is not None or self._rooms.is_private(room, parcel.address)

        async with self._speaker.turn(room.room_id):
            if not may():
                raise Undelivered("somebody came into the room")
            since = parcel.first_try_at if late else None
            event = await self._speaker.say(room, parts, parcel.tx_id, to, since=since, may=may)
        self._said_something.set()
        self._reader.ours.note(event, ours=True)
        if parcel.thread is not None:
            self._reader.ours.note(parcel.thread, ours=True)
        if parcel.asked is not None and parcel.asked[0] != room.room_id:
            self._beside(self.mark(*parcel.asked))
        return event

    async def _take_away(self, room_id: str, event: str) -> None:
        """Ask the homeserver to remove what somebody said; where we may not, the answer asks them to do it."""
        address = path("rooms", room_id, "redact", event, outbox.tx_id(f"remove:{event}"))
        try:
            await self._wire.ask("PUT", address, {})
        except (Refusal, Away) as error:
            log.warning("a message could not be removed", bot=self.name, why=str(error))

    async def mark(self, room_id: str, event: str) -> None:
        """Put 📬 under a question that is answered in private. Never raises: the answer itself has arrived."""
        room = self._client.rooms.get(room_id)
        if room is None:
            return
        with suppress(Refusal, Away):
            await self._speaker.react(room, event, ANSWERED_IN_PRIVATE, outbox.tx_id(f"mark:{event}"))

    # -- what the rooms tell --------------------------------------------------------------------------------------

    def _places(self, session: Session) -> set[str]:
        """Where the network's rooms are now; they may have moved since the settings were written."""
        found = {places.address(session, self.name, purpose) for purpose in places.Purpose}
        return {address for address in found if address is not None and address.startswith("!")}

    async def _moved(self, old: str, new: str) -> None:
        await self._store.run(lambda session: places.move(session, self.name, old, new))

    async def _met(self, address: str, room_id: str) -> None:
        await self._store.run(lambda session: self._remember_dm(session, address, room_id))

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the sync; its failure is logged, never swallowed."""
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("something failed beside the sync", bot=self.name, error=type(error).__name__, exc_info=error)


async def _rendered(reply: Reply, voice: Voice) -> list[Part]:
    """Render a reply; pictures take long to draw, so that happens beside the loop."""
    if reply.page is not None or any(isinstance(block, Picture) for block in reply.blocks):
        return await asyncio.to_thread(render, reply, voice)
    return render(reply, voice)


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
