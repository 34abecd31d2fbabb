"""A person on Matrix: the demo's terminal chat, and the hands that furnish its world."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from nio import (
    AsyncClient,
    AsyncClientConfig,
    InviteMemberEvent,
    JoinedMembersResponse,
    LoginResponse,
    MatrixRoom,
    Response,
    RoomCreateResponse,
    RoomEncryptedMedia,
    RoomMessage,
    RoomMessageFormatted,
    RoomResolveAliasResponse,
    RoomVisibility,
)
from nio.crypto.attachments import decrypt_attachment

from bots.console import typed_lines
from bots.matrix.identity import write_private


class PersonError(Exception):
    """The homeserver did not do what a person asked; the text says what it said."""


def _must(response: Response, kind: type[Response]) -> Any:
    if not isinstance(response, kind):
        raise PersonError(str(response))
    return response


class Person:
    """Somebody with an account, signed in on a device of their own.

    With a `folder` the device and its keys are kept there and used again; without one it cannot read encrypted rooms.
    """

    def __init__(self, homeserver: str, user_id: str, password: str, folder: Path | None = None) -> None:
        self._password = password
        self._folder = folder
        config = AsyncClientConfig(encryption_enabled=folder is not None, store_sync_tokens=folder is not None)
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.client = AsyncClient(homeserver, user_id, store_path=str(folder or ""), config=config)

    async def __aenter__(self) -> Self:
        session = self._folder / "session.json" if self._folder else None
        if session is not None and session.exists():
            kept = json.loads(session.read_text())
            self.client.restore_login(kept["user_id"], kept["device_id"], kept["token"])
            return self
        try:
            answer = _must(await self.client.login(self._password, device_name="Terminal"), LoginResponse)
        except BaseException:
            await self.client.close()
            raise
        if session is not None:
            write_private(
                session,
                json.dumps({"user_id": answer.user_id, "device_id": answer.device_id, "token": answer.access_token}),
            )
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._folder is None:
            await self.client.logout()
        await self.client.close()

    async def room(
        self, alias: str, name: str, *, invite: Sequence[str], moderators: Sequence[str] = (), space: bool = False
    ) -> str:
        """Find the room of a local alias, or make it: private, and encrypted unless it is a space.

        Moderators can take away what others say there.
        """
        server = self.client.user_id.partition(":")[2]
        found = await self.client.room_resolve_alias(f"#{alias}:{server}")
        if isinstance(found, RoomResolveAliasResponse):
            return str(found.room_id)
        encryption = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
        made = await self.client.room_create(
            visibility=RoomVisibility.private,
            alias=alias,
            name=name,
            invite=list(invite),
            initial_state=() if space else (encryption,),
            power_level_override={"users": dict.fromkeys(moderators, 50)} if moderators else None,
            space=space,
        )
        return str(_must(made, RoomCreateResponse).room_id)

    async def put_into(self, space: str, room: str) -> None:
        """Show a room in a space."""
        server = self.client.user_id.partition(":")[2]
        await self.client.room_put_state(space, "m.space.child", {"via": [server]}, state_key=room)

    async def members_of(self, room: str) -> set[str]:
        """Tell who has joined a room."""
        answer = _must(await self.client.joined_members(room), JoinedMembersResponse)
        return {member.user_id for member in answer.members}

    async def say(self, room: str, words: str) -> None:
        """Say something in a room, encrypted where the room is."""
        await self.client.room_send(
            room,
            "m.room.message",
            {"msgtype": "m.text", "body": words, "m.mentions": {}},
            ignore_unverified_devices=True,
        )


class Terminal:
    """A chat in the terminal: the rooms, what is said in them, and a line to type."""

    HELP = "Type to speak; /rooms lists the rooms, /go N changes the room, /quit leaves."

    def __init__(self, person: Person, files: Path, write: Callable[[str], object] = sys.stdout.write) -> None:
        self._person = person
        self._client = person.client
        self._files = files
        self._write = write
        self._room = ""
        self._numbers: list[str] = []
        self._client.add_event_callback(self._invited, InviteMemberEvent)
        self._client.add_event_callback(self._heard, RoomMessage)

    async def run(self, start: str) -> None:
        """Chat until /quit or the end of the input, beginning in the room `start`."""
        self._room = start
        syncing = asyncio.create_task(self._client.sync_forever(timeout=30_000, full_state=True))
        await self._client.synced.wait()
        self._tell(self.HELP)
        self._list_rooms()
        try:
            async for line in typed_lines():
                if not await self._typed(line):
                    break
        finally:
            syncing.cancel()
            await asyncio.gather(syncing, return_exceptions=True)

    async def _typed(self, line: str) -> bool:
        match line.split(maxsplit=1):
            case ["/quit"]:
                return False
            case ["/rooms"]:
                self._list_rooms()
            case ["/go", number] if number.isdecimal() and 1 <= int(number) <= len(self._rooms()):
                self._room = self._rooms()[int(number) - 1].room_id
                self._list_rooms()
            case ["/go", *_]:
                self._tell("There is no such room; /rooms lists them.")
            case []:
                pass
            case _:
                await self._person.say(self._room, line)
        return True

    def _rooms(self) -> list[MatrixRoom]:
        """The rooms to speak in; each keeps the number that it got first."""
        for room_id, room in self._client.rooms.items():
            if room_id not in self._numbers and room.room_type != "m.space":
                self._numbers.append(room_id)
        return [self._client.rooms[room_id] for room_id in self._numbers if room_id in self._client.rooms]

    def _list_rooms(self) -> None:
        for number, room in enumerate(self._rooms(), 1):
            here = "→" if room.room_id == self._room else " "
            lock = "encrypted" if room.encrypted else "not encrypted"
            self._tell(f"{here} {number}. {room.display_name} ({lock}, {room.member_count} people)")

    async def _invited(self, room: MatrixRoom, event: InviteMemberEvent) -> None:
        if event.state_key == self._client.user_id and event.membership == "invite":
            await self._client.join(room.room_id)
            self._tell(f"* {event.sender} talks with you in private: /go {len(self._rooms()) + 1} takes you there.")

    async def _heard(self, room: MatrixRoom, event: RoomMessage) -> None:
        who = "you" if event.sender == self._client.user_id else room.user_name(event.sender) or event.sender
        if isinstance(event, RoomEncryptedMedia):
            self._tell(f"[{room.display_name}] {who}: [{event.body}] saved as {await self._saved(event)}")
        elif isinstance(event, RoomMessageFormatted):
            self._tell(f"[{room.display_name}] {who}: {event.body}")

    async def _saved(self, event: RoomEncryptedMedia) -> Path:
        content: Mapping[str, Any] = event.source["content"]
        download = await self._client.download(event.url)
        data = decrypt_attachment(download.body, event.key["k"], event.hashes["sha256"], event.iv)
        # A name that somebody sends is a name, never a path.
        path = self._files / Path(str(content.get("filename") or "file")).name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def _tell(self, line: str) -> None:
        self._write(line + "\n")
        sys.stdout.flush()
