"""A person with an ordinary encrypted client, as far from our own code as can be: matrix-nio, nothing of the Hub."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, Self, TypeVar
from urllib.parse import quote
from urllib.request import Request, urlopen

from aiohttp import ClientError
from nio import (
    AsyncClient,
    AsyncClientConfig,
    DownloadResponse,
    Event,
    JoinResponse,
    LoginResponse,
    MegolmEvent,
    RoomCreateResponse,
    RoomSendResponse,
    SyncResponse,
)
from nio.crypto.attachments import decrypt_attachment
from nio.exceptions import EncryptionError

FILTER = {"presence": {"types": []}, "room": {"timeline": {"limit": 500}}}
ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
PATIENCE = 60.0
AWAY = (ClientError, OSError, TimeoutError)
"""How it shows that the homeserver is away."""
T = TypeVar("T")


@dataclass(frozen=True)
class Said:
    """One event as the person's client shows it."""

    room: str
    sender: str
    id: str
    type: str
    content: dict[str, Any]
    encrypted: bool

    @property
    def body(self) -> str:
        return str(self.content.get("body", ""))

    @property
    def is_text(self) -> bool:
        return self.type == "m.room.message" and "file" not in self.content and "url" not in self.content

    @property
    def lines(self) -> list[str]:
        """The command lines behind the numbers under a message."""
        return list(self.content.get("org.impacthub.buttons", []))

    @property
    def answers(self) -> str | None:
        """The event that this one replies to, unless it only says so for clients without threads."""
        relation = self.content.get("m.relates_to") or {}
        if relation.get("is_falling_back"):
            return None
        return (relation.get("m.in_reply_to") or {}).get("event_id")


class Person:
    """Somebody signed in on a device of their own, who enters every room they are invited to and forgets nothing."""

    def __init__(self, homeserver: str, user: str, password: str, folder: Path) -> None:
        self.homeserver = homeserver
        self.id = user
        self.name = user[1:].partition(":")[0]
        self._password = password
        folder.mkdir(parents=True, exist_ok=True)
        config = AsyncClientConfig(encryption_enabled=True, max_timeouts=0, request_timeout=40)
        self.client = AsyncClient(homeserver, user, store_path=str(folder), config=config)
        self.read: list[Said] = []
        self.invited_by: dict[str, str] = {}
        """The rooms that the person was invited to, and by whom."""
        self.locked: dict[str, tuple[str, MegolmEvent]] = {}
        """What could not be read, for want of a key."""
        self._changed = asyncio.Condition()
        self._speaking = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        answer = await self.client.login(self._password, device_name="phone")
        assert isinstance(answer, LoginResponse), answer
        first = await self.client.sync(timeout=0, sync_filter=FILTER, full_state=True)
        assert isinstance(first, SyncResponse), first
        await self._tend()
        self._reading = asyncio.create_task(self._read_on())
        await self._enter(first)
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
        await self.client.close()

    # -- reading

    async def _read_on(self) -> None:
        while True:
            with suppress(*AWAY):
                news = await self.client.sync(timeout=10_000, sync_filter=FILTER)
                if isinstance(news, SyncResponse):
                    async with self._changed:
                        for room, info in news.rooms.join.items():
                            for event in info.timeline.events:
                                self._take(room, event)
                        self._unlock()
                        self._changed.notify_all()
                    await self._enter(news)
                    await self._tend()
                    continue
            await asyncio.sleep(0.2)

    async def _tend(self) -> None:
        """Do for the keys what a client does after each sync."""
        await self.client.send_to_device_messages()
        if self.client.should_upload_keys:
            await self.client.keys_upload()
        if self.client.should_query_keys:
            await self.client.keys_query()

    async def _enter(self, news: SyncResponse) -> None:
        for room, invited in news.rooms.invite.items():
            for event in invited.invite_state:
                if getattr(event, "membership", "") == "invite" and event.state_key == self.id:
                    self.invited_by[room] = event.sender
            answer = await self.client.join(room)
            assert isinstance(answer, JoinResponse), answer

    def _take(self, room: str, event: Event) -> None:
        if isinstance(event, MegolmEvent):
            self.locked[event.event_id] = (room, event)
            return
        source = event.source
        said = Said(
            room=room,
            sender=source["sender"],
            id=source["event_id"],
            type=source["type"],
            content=dict(source.get("content") or {}),
            encrypted=bool(event.decrypted),
        )
        self.read.append(said)

    def _unlock(self) -> None:
        for key, (room, event) in list(self.locked.items()):
            event.room_id = room
            with suppress(EncryptionError):
                self._take(room, self.client.decrypt_event(event))
                del self.locked[key]

    async def until(self, true: Callable[[], T], what: str = "", *, within: float = PATIENCE) -> T:
        """Wait until something is true after a sync, and return it."""
        try:
            async with asyncio.timeout(within), self._changed:
                await self._changed.wait_for(lambda: bool(true()))
        except TimeoutError:
            last = "\n".join(f"    {each.sender}: {each.body[:160]!r}" for each in self.read[-8:])
            raise AssertionError(
                f"{self.name} waited {within:.0f} s in vain for {what or 'something'} "
                f"({len(self.locked)} unreadable); the last they read:\n{last}"
            ) from None
        return true()

    def heard(self, sender: str, room: str | None = None) -> list[Said]:
        """What somebody said, with files and pictures, oldest first."""
        return [
            each
            for each in self.read
            if each.sender == sender and each.type == "m.room.message" and room in {None, each.room}
        ]

    def dm(self, other: str) -> str | None:
        """The encrypted room where the person is alone with somebody."""
        for room_id, room in self.client.rooms.items():
            if room.encrypted and set(room.users) == {self.id, other}:
                return str(room_id)
        return None

    async def contents_of(self, said: Said) -> bytes:
        """Fetch an encrypted attachment and open it."""
        file = said.content["file"]
        answer = await self.client.download(file["url"])
        assert isinstance(answer, DownloadResponse), answer
        return decrypt_attachment(answer.body, file["key"]["k"], file["hashes"]["sha256"], file["iv"])

    async def on_the_wire(self, room: str) -> list[dict[str, Any]]:
        """A room's events as the homeserver has them, newest first."""
        path = f"/_matrix/client/v3/rooms/{quote(room)}/messages?dir=b&limit=1000"
        answer = await self.client.send("GET", path, headers={"Authorization": f"Bearer {self.client.access_token}"})
        return list((await answer.json())["chunk"])

    # -- speaking

    async def say(self, room: str, words: str) -> str:
        """Say something, encrypted, and return the event's id. While the homeserver is away it is tried again."""
        content = {"msgtype": "m.text", "body": words, "m.mentions": {}}
        async with self._speaking:
            await self.until(lambda: room in self.client.rooms, "a room to speak in")
            assert self.client.rooms[room].encrypted, "people say nothing in the clear"
            transaction = token_hex(12)
            for _again in range(300):
                with suppress(*AWAY):
                    answer = await self.client.room_send(
                        room, "m.room.message", content, tx_id=transaction, ignore_unverified_devices=True
                    )
                    if isinstance(answer, RoomSendResponse):
                        return answer.event_id
                await asyncio.sleep(0.2)
        raise AssertionError(f"{self.name} could not speak")

    async def press(self, said: Said, number: str) -> None:
        """Press a number under a message."""
        content = {"m.relates_to": {"rel_type": "m.annotation", "event_id": said.id, "key": number}}
        answer = await self.client.room_send(said.room, "m.reaction", content)
        assert isinstance(answer, RoomSendResponse), answer

    async def room_with(self, *others: str) -> str:
        """Open an encrypted room with others."""
        answer = await self.client.room_create(invite=others, is_direct=len(others) == 1, initial_state=[ENCRYPTION])
        assert isinstance(answer, RoomCreateResponse), answer
        room = str(answer.room_id)
        await self.until(lambda: room in self.client.rooms, "their own room")

        def all_in() -> bool:
            users = self.client.rooms[room].users
            return all(other in users and not users[other].invited for other in others)

        await self.until(all_in, "the others to come")
        return room


def register(homeserver: str, secret: str, name: str, password: str) -> None:
    """Make an account with Synapse's shared secret."""
    address = f"{homeserver}/_synapse/admin/v1/register"
    with urlopen(address) as answer:
        nonce = json.load(answer)["nonce"]
    words = f"{nonce}\0{name}\0{password}\0notadmin".encode()
    body = {
        "nonce": nonce,
        "username": name,
        "password": password,
        "admin": False,
        "mac": hmac.new(secret.encode(), words, hashlib.sha1).hexdigest(),
        "inhibit_login": True,
    }
    request = Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request) as answer:
        assert answer.status == 200
