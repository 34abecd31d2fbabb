"""A real homeserver, people with plain clients, and a bot with a real store: what the Matrix tests are played with."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5
from zoneinfo import ZoneInfo

import pytest
from nio import AsyncClient, AsyncClientConfig, Event, RoomSendResponse, SyncResponse

from bots.bot import Parcel, Undelivered
from bots.homeserver import Homeserver
from bots.matrix.client import MatrixAccount, MatrixBot
from bots.matrix.identity import new_recovery_key
from commands.core.dispatch import Heard
from commands.core.line import Call
from commands.core.reply import Button, Reply, pack, unpack
from commands.core.strings import Catalogues
from commands.core.text import Voice, plain
from storage import inbox, outbox
from storage.outbox import Lane
from storage.sealed import Vault
from storage.store import Session, Store

PASSWORD = "a password for tests"
MASTER = bytes(range(32))
_names = count(1)


def now() -> datetime:
    return datetime.now(UTC)


async def until(true: Callable[[], Any], *, within: float = 15.0) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110 what is waited for does not know of us
            await asyncio.sleep(0.02)


def voice() -> Voice:
    return Voice(Catalogues({}).speak("en"), ZoneInfo("UTC"), prefix="!")


@pytest.fixture(scope="session")
def synapse() -> Iterator[Homeserver]:
    """A homeserver for all tests of this process."""
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="synapse-", dir=base) as folder, Homeserver(Path(folder)) as server:
        yield server


# -- people -------------------------------------------------------------------------------------------------------


class Person:
    """Somebody with an ordinary client, who remembers everything they can read."""

    def __init__(self, server: Homeserver, name: str, folder: Path) -> None:
        self.server = server
        self.id = server.register(name, PASSWORD)
        self.folder = folder
        self.client = self._client()
        self.read: list[tuple[str, Event]] = []
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()

    def _client(self) -> AsyncClient:
        self.folder.mkdir(parents=True, exist_ok=True)
        return AsyncClient(
            self.server.url,
            self.id,
            store_path=str(self.folder),
            config=AsyncClientConfig(encryption_enabled=True, max_timeouts=0, request_timeout=30),
        )

    async def arrive(self) -> "Person":
        """Log in and begin to read."""
        await self.client.login(PASSWORD, device_name="phone")
        await self.client.sync(timeout=0, full_state=True)
        await self._keys()
        self._task = asyncio.create_task(self._reading())
        return self

    async def leave(self) -> None:
        """Close the client; what was read is kept."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._task
        await self.client.close()

    async def _keys(self) -> None:
        if self.client.should_upload_keys:
            await self.client.keys_upload()
        if self.client.should_query_keys:
            await self.client.keys_query()

    async def _reading(self) -> None:
        filter_ = {"room": {"timeline": {"limit": 500}}, "presence": {"types": []}}
        while True:
            try:
                response = await self.client.sync(timeout=10_000, sync_filter=filter_)
                await self.client.send_to_device_messages()
                await self._keys()
            except Exception:  # noqa: BLE001 whatever it is, people try again
                await asyncio.sleep(0.1)
                continue
            if not isinstance(response, SyncResponse):
                await asyncio.sleep(0.1)
                continue
            async with self._changed:
                for room_id, info in response.rooms.join.items():
                    self.read += [(room_id, event) for event in info.timeline.events]
                self._changed.notify_all()

    async def until(self, true: Callable[[], Any], *, within: float = 15) -> Any:
        """Wait until something is true after a sync, and return it."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(lambda: bool(true()))
        return true()

    async def room(
        self, *others: str, encrypted: bool = True, direct: bool = False, name: str = "", **more: Any
    ) -> str:
        """Make a room and invite others; returns when this client knows it."""
        state = [{"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]
        answer = await self.client.room_create(
            invite=others, is_direct=direct, name=name or None, initial_state=state if encrypted else [], **more
        )
        await self.until(lambda: answer.room_id in self.client.rooms)
        return str(answer.room_id)

    async def joined(self, room: str, *people: str) -> None:
        """Wait until these people are in the room."""

        def all_in() -> bool:
            users = self.client.rooms[room].users
            return all(person in users and not users[person].invited for person in people)

        await self.until(all_in)

    async def enter(self, room: str) -> None:
        """Accept an invitation."""
        await self.until(lambda: room in self.client.invited_rooms or room in self.client.rooms)
        await self.client.join(room)
        await self.until(lambda: room in self.client.rooms)

    async def say(self, room: str, body: str, **content: Any) -> str:
        """Say something; returns the event's id."""
        message = {"msgtype": "m.text", "body": body, "m.mentions": {}, **content}
        return await self.send(room, "m.room.message", message)

    async def send(self, room: str, kind: str, content: dict[str, Any]) -> str:
        await self._keys()
        response = await self.client.room_send(room, kind, content, ignore_unverified_devices=True)
        assert isinstance(response, RoomSendResponse), response
        return response.event_id

    def messages(self, room: str, sender: str) -> list[Event]:
        """All messages that this person could read from somebody in a room."""
        return [
            event
            for where, event in self.read
            if where == room and event.source.get("sender") == sender and event.source.get("type") == "m.room.message"
        ]

    def heard(self, room: str, sender: str) -> list[dict[str, Any]]:
        """Their contents."""
        return [event.source["content"] for event in self.messages(room, sender) if event.source.get("content")]

    def bodies(self, room: str, sender: str) -> list[str]:
        return [content["body"] for content in self.heard(room, sender)]

    async def hears(self, room: str, sender: str, count: int = 1, *, within: float = 15) -> list[str]:
        """Wait for so many messages of somebody, and return their bodies."""
        return await self.until(
            lambda: found if len(found := self.bodies(room, sender)) >= count else None, within=within
        )

    async def get(self, path: str) -> Any:
        response = await self.client.send("GET", path, headers={"Authorization": f"Bearer {self.client.access_token}"})
        return await response.json()

    async def raw(self, room: str) -> list[dict[str, Any]]:
        """A room's events as the server has them, oldest first."""
        answer = await self.get(f"/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=1000")
        return list(reversed(answer["chunk"]))


People = Callable[..., Awaitable[Person]]


@pytest.fixture
async def person(synapse: Homeserver, tmp_path: Path) -> AsyncIterator[People]:
    """Makes people."""
    there: list[Person] = []

    async def make(name: str = "ann", server: Homeserver | None = None) -> Person:
        number = next(_names)
        one = Person(server or synapse, f"{name}-{number}-{tmp_path.parent.name[-4:]}", tmp_path / f"{name}{number}")
        there.append(await one.arrive())
        return one

    yield make
    await asyncio.gather(*(one.leave() for one in there))


# -- a bot with a real store --------------------------------------------------------------------------------------


@dataclass
class Answering:
    """A dispatcher of few words: it says back what it heard, in one transaction with its inbox row.

    "private …" is answered to the person alone; "choose" comes with buttons; "boom" is heard and not answered.
    """

    store: Store
    bot: str
    heard: list[Heard] = field(default_factory=list)
    slow: float = 0.0
    reply: Callable[[Heard], Reply] | None = None
    posted: Callable[[], None] = lambda: None

    async def answer(self, heard: Heard) -> object:
        await asyncio.sleep(self.slow)
        self.heard.append(heard)
        await self.store.run(lambda session: self._record(session, heard))
        self.posted()
        return None

    def _record(self, session: Session, heard: Heard) -> None:
        if heard.key is None or not inbox.done(session, heard.bot, heard.key, now()):
            return
        reply = self.reply(heard) if self.reply else _said_back(heard)
        outside = {
            "address": heard.address if heard.private or heard.said.startswith("private") else None,
            "room": heard.room,
            "private": heard.private,
            "key": heard.key,
            "thread": heard.thread,
        }
        outbox.put(
            session,
            key=f"reply:{heard.bot}:{heard.key}",
            sender=self.bot,
            owner=uuid5(NAMESPACE_OID, "tests"),
            payload=json.dumps({**outside, "reply": pack(reply)}),
            place=heard.room,
            lane=Lane.REPLY,
            due_at=now(),
            now=now(),
        )


def _said_back(heard: Heard) -> Reply:
    if heard.said == "choose":
        return Reply(
            plain("which?"), actions=[Button(plain(word), Call("take", {"what": word})) for word in ("tea", "milk")]
        )
    return Reply(plain(f"heard {heard.said}"))


class Post:
    """A courier of few words: claims, delivers, marks as sent."""

    def __init__(self, store: Store, bot: MatrixBot) -> None:
        self.store = store
        self.bot = bot
        self.wake = asyncio.Event()
        self.failures: list[Undelivered] = []

    async def run(self) -> None:
        while True:
            self.wake.clear()
            claimed = await self.store.run(
                lambda session: outbox.claim(
                    session, sender=self.bot.name, owner="post", lease=timedelta(seconds=5), limit=20, now=now()
                )
            )
            await asyncio.gather(*(self._carry(each) for each in claimed))
            if not claimed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await self.wake.wait()

    async def _carry(self, message: outbox.Claimed) -> None:
        inside = json.loads(message.payload or "{}")
        personal = inside["address"] is not None
        parcel = Parcel(
            key=message.key,
            tx_id=message.tx_id,
            address=inside["address"],
            dm=inside["room"] if inside["private"] else None,
            place=None if personal else inside["room"],
            reply_to=None if personal else inside["key"],
            thread=None if personal else inside["thread"],
            asked=(inside["room"], inside["key"]) if personal and not inside["private"] else None,
            first_try_at=message.first_try_at,
        )
        try:
            remote_id = await self.bot.deliver(parcel, unpack(inside["reply"]), voice())
        except Undelivered as undelivered:
            self.failures.append(undelivered)
            at, why = now() + timedelta(seconds=undelivered.retry_after or 0.2), str(undelivered)
            await self.store.run(lambda session: outbox.again(session, message.key, "post", at, why))
        else:
            await self.store.run(lambda session: outbox.sent(session, message.key, "post", remote_id, now()))


class Running:
    """A bot at work: the bot, its store, what it heard."""

    def __init__(self, account: MatrixAccount, store: Store, **more: Any) -> None:
        self.account = account
        self.id = account.user_id
        self.store = store
        self.told: list[str] = []
        self.met: list[tuple[str, str]] = []
        self.bot = MatrixBot(
            account,
            store,
            voice=voice(),
            clock=now,
            met=lambda _session, address, room: self.met.append((address, room)),
            tell=self.told.append,
        )
        self.post = Post(store, self.bot)
        self.dispatcher = Answering(store, self.bot.name, posted=self.post.wake.set, **more)
        self.listening: asyncio.Task[None] | None = None
        self._posting: asyncio.Task[None] | None = None

    @property
    def client(self) -> AsyncClient:
        return self.bot._client

    @property
    def said(self) -> list[str]:
        return [heard.said for heard in self.dispatcher.heard]

    async def start(self, *, within: float = 20) -> "Running":
        self.begin()
        async with asyncio.timeout(within):
            await self.bot.ready()
        return self

    def begin(self) -> None:
        self.listening = asyncio.create_task(self.bot.run(self.dispatcher))
        self._posting = asyncio.create_task(self.post.run())

    async def stop(self) -> None:
        for task in (self._posting, self.listening):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        self.listening = self._posting = None


Bots = Callable[..., Awaitable[Running]]


@pytest.fixture
async def bot(synapse: Homeserver, tmp_path: Path) -> AsyncIterator[Bots]:
    """Makes bots, and starts them. `again=` starts one anew on what an earlier one left."""
    running: list[Running] = []

    async def make(
        *,
        again: Running | None = None,
        server: Homeserver | None = None,
        network: str = "uj",
        start: bool = True,
        slow: float = 0.0,
        reply: Callable[[Heard], Reply] | None = None,
        **account: Any,
    ) -> Running:
        if again is not None:
            await again.stop()
            one = Running(replace(again.account, **account), again.store, slow=slow, reply=reply)
        else:
            where = server or synapse
            number = next(_names)
            folder = tmp_path / f"bot{number}"
            folder.mkdir()
            user = where.register(f"{network}-bot-{number}-{tmp_path.parent.name[-4:]}", PASSWORD)
            vault = Vault(f"sqlite:///{folder}/keys.db", MASTER)
            store = Store(f"sqlite:///{folder}/hub.db", vault=vault, synchronous="OFF")
            await store.migrate()
            settings: dict[str, Any] = {
                "homeserver": where.url,
                "user_id": user,
                "network": network,
                "folder": folder / "matrix",
                "password": PASSWORD,
                "pickle_secret": "a secret for tests",
                "recovery_key": new_recovery_key(),
                "sync_timeout": 10.0,
            }
            one = Running(MatrixAccount(**{**settings, **account}), store, slow=slow, reply=reply)
        running.append(one)
        return await one.start() if start else one

    yield make
    for one in running:
        await one.stop()
    for store in {id(one.store): one.store for one in running}.values():
        await store.close()


Circles = Callable[..., Awaitable[tuple[Running, Person, Person, str]]]


@pytest.fixture
def circle(person: People, bot: Bots) -> Circles:
    """A bot, two people, and the room that they share, as a network's room is."""

    async def make(*, encrypted: bool = True, **more: Any) -> tuple[Running, Person, Person, str]:
        hub, ann, bob = await bot(**more), await person("ann"), await person("bob")
        room = await ann.room(bob.id, hub.id, encrypted=encrypted, direct=not encrypted)
        await bob.enter(room)
        await ann.joined(room, bob.id, hub.id)
        await until(lambda: room in hub.client.rooms and len(hub.client.rooms[room].users) == 3)
        return hub, ann, bob, room

    return make


def encrypted_by(raw: list[dict[str, Any]], sender: str) -> list[bool]:
    """For each message of somebody in a room: did the server see ciphertext only?"""
    return [
        event["type"] == "m.room.encrypted"
        for event in raw
        if event["sender"] == sender and event["type"] in {"m.room.encrypted", "m.room.message"}
    ]
