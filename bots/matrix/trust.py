"""Whom we trust with what we say: other people's devices, our own keys, and never a word in plain text.

nio brings the ratchets. It forgets to renew its one-time keys, judges no devices by their owners' signatures, and
writes plain text into an encrypted room when its key store is not loaded. What is missing stands here, between nio and
the wire.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

import structlog
from nio import (
    AsyncClient,
    Event,
    KeysClaimResponse,
    KeysQueryResponse,
    KeysUploadResponse,
    MatrixRoom,
    MegolmEvent,
)
from nio.crypto import OlmDevice, TrustState
from nio.exceptions import EncryptionError
from nio.store import SqliteStore

from bots.matrix.identity import Identity, Pins, canonical, identity_of, is_signed, only_key
from bots.matrix.wire import Refusal, Wire, path

log = structlog.get_logger()

Json = Mapping[str, Any]
Tell = Callable[[str], None]


class KeyStore(SqliteStore):  # type: ignore[misc] # nio has no types
    """The key store of nio, without its needless questions to the database: most of what reading a message took.

    nio asks three times for each message whether its device is trusted, which the device itself knows (`trust_state`
    is kept true on loading and on every change), and saves after each sync that no room became encrypted.
    """

    def save_encrypted_rooms(self, rooms: set[str]) -> None:
        """Remember for good that rooms are encrypted."""
        if rooms:
            super().save_encrypted_rooms(rooms)

    def is_device_verified(self, device: OlmDevice) -> bool:
        """Tell whether we verified a device."""
        return bool(device.trust_state is TrustState.verified)

    def is_device_blacklisted(self, device: OlmDevice) -> bool:
        """Tell whether a device may not read us."""
        return bool(device.trust_state is TrustState.blacklisted)

    def is_device_ignored(self, device: OlmDevice) -> bool:
        """Tell whether a device reads us without having been verified."""
        return bool(device.trust_state is TrustState.ignored)


class NotReady(Exception):  # noqa: N818 it names the state
    """A room is encrypted and we cannot encrypt: nothing may be sent."""


class Trust:
    """The bot's side of end-to-end encryption.

    Args:
        client: nio's, after its store is loaded.
        wire: how the homeserver is asked.
        pins: the identities we met people with.
        tell: tells the operator, in a sentence without names.
    """

    def __init__(self, client: AsyncClient, wire: Wire, pins: Pins, tell: Tell) -> None:
        self._client = client
        self._wire = wire
        self._pins = pins
        self._tell = tell
        self._querying = asyncio.Lock()
        self._asked: set[str] = set()
        self._uploading = asyncio.Lock()
        self._sharing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._fallback_used = False

    @property
    def _olm(self) -> Any:
        """The key machine of nio.

        Raises:
            NotReady: there is none; nothing may be encrypted, and so nothing said in encrypted rooms.
        """
        if self._client.olm is None:
            raise NotReady("the key store is not loaded")
        return self._client.olm

    # -- who we are

    async def establish(self, identity: Identity, password: str) -> None:
        """Publish our identity, and sign our device with it; does nothing where that is done already.

        Without a signed device strict clients neither send us room keys nor show what we say.
        """
        await self.upload_keys()
        user, device = identity.user, self._client.device_id
        answer = await self._wire.ask("POST", path("keys", "query"), {"device_keys": {user: [device]}})
        published = only_key(answer.get("master_keys", {}).get(user))
        if published is None:
            await self._publish(identity, password)
        elif published != identity.master.public:
            log.error("another identity is published for this account", action="find its recovery key, or reset it")
            self._tell("The bot's account has another identity than its recovery key: people may not see its messages.")
            return
        own = answer["device_keys"][user][device]
        if not is_signed(own, user=user, key=identity.self_signing.public):
            bare = {name: each for name, each in own.items() if name not in {"unsigned", "signatures"}}
            signed = identity.self_signing.signs(bare, user=user)
            done = await self._wire.ask("POST", path("keys", "signatures", "upload"), {user: {device: signed}})
            if done.get("failures"):
                log.error("the server refused the signature of our device")

    async def _publish(self, identity: Identity, password: str) -> None:
        body = identity.published(self._client.device_id, self._olm.account.sign)
        address = path("keys", "device_signing", "upload")
        try:
            await self._wire.ask("POST", address, body)
        except Refusal as refused:
            if refused.status != 401:
                raise
            body["auth"] = password_stage(identity.user, password, refused.answer)
            await self._wire.ask("POST", address, body)
        log.info("identity published")

    # -- our one-time keys

    def counted(self, sync: Json) -> None:
        """Take note of the keys that the server still holds for us.

        nio skips a count of 0 and is deaf from then on.
        """
        counts = sync.get("device_one_time_keys_count")
        if self._client.olm is not None and isinstance(counts, Mapping):
            self._client.olm.uploaded_key_count = int(counts.get("signed_curve25519", 0))
        unused = sync.get("device_unused_fallback_key_types")
        if isinstance(unused, list):
            self._fallback_used = "signed_curve25519" not in unused

    async def upload_keys(self) -> None:
        """Give the server the device's keys and one-time keys it lacks, and a fallback key when that is used up."""
        olm = self._olm
        async with self._uploading:
            body: dict[str, Any] = {}
            if olm.should_upload_keys:
                body = olm.share_keys()
            if self._fallback_used:
                body["fallback_keys"] = self._fresh_fallback_key()
            if not body:
                return
            # The private halves are kept before the server has the public ones: a crash in between would leave keys
            # on the server with which people write to us and which nobody can open.
            olm.save_account()
            answer = await self._wire.ask("POST", path("keys", "upload"), body)
            self._fallback_used = False
            await self._client.receive_response(KeysUploadResponse.from_dict(answer))

    def _fresh_fallback_key(self) -> dict[str, Any]:
        account = self._olm.account
        inner = account._account  # noqa: SLF001 nio has no word for fallback keys
        inner.generate_fallback_key()
        fresh: dict[str, Any] = {}
        for key_id, key in inner.fallback_key.items():
            body: dict[str, Any] = {"key": key.to_base64(), "fallback": True}
            signature = account.sign(canonical(body).decode())
            own = {f"ed25519:{self._client.device_id}": signature}
            fresh[f"signed_curve25519:{key_id}"] = {**body, "signatures": {self._client.user_id: own}}
        return fresh

    # -- their devices

    async def query_devices(self) -> None:
        """Learn the devices of everybody whose devices may have changed, and whom of them we trust."""
        olm = self._olm
        async with self._querying:
            asked = set(olm.users_for_key_query)
            if not asked:
                return
            olm.users_for_key_query -= asked
            self._asked = asked
            try:
                answer = await self._wire.ask(
                    "POST", path("keys", "query"), {"device_keys": {user: [] for user in asked}, "timeout": 10_000}
                )
            except BaseException:
                olm.users_for_key_query |= asked
                raise
            finally:
                self._asked = set()
            meanwhile = set(olm.users_for_key_query)
            # What nio counts as changed makes the next message go out under a fresh room key; the judgement must
            # stand before that key is shared. Nothing is awaited in between.
            await self._client.receive_response(KeysQueryResponse.from_dict(answer))
            for user in answer.get("device_keys", {}):
                self._judge(answer, user)
            olm.users_for_key_query |= meanwhile
            # The servers of these did not answer now: they are asked again later, not with every message.
            silent = asked - set(answer.get("device_keys", {}))
            if silent:
                asyncio.get_running_loop().call_later(60, olm.users_for_key_query.update, silent)

    def _judge(self, answer: Json, user: str) -> None:
        """Decide which devices of a person may read us.

        All of them, unless the person has an identity: then those that it signed. A device that somebody else, for
        instance the server, slipped in is not signed; that goes for our own account as well. Without this rule a
        member's new phone would either mute the bot for the room or be trusted blindly.
        """
        identity = identity_of(answer, user)
        if identity is not None and not self._pins.meets(user, identity[0]):
            log.warning("a person's identity has changed")
            self._tell("Somebody's Matrix identity has changed: ask on another channel whether it is still them.")
        vanished = identity is None and self._pins.knows(user)
        if vanished:
            log.warning("a person's identity has vanished")
            self._tell("Somebody's Matrix identity has vanished: nothing is said to their devices until it is back.")
        for device in self._olm.device_store.active_user_devices(user):
            keys = answer["device_keys"][user].get(device.id, {})
            trusted = not vanished if identity is None else is_signed(keys, user=user, key=identity[1])
            if trusted:
                self._client.unblacklist_device(device)
            else:
                self._client.blacklist_device(device)

    def author_is_genuine(self, event: Event, room_id: str) -> bool | None:
        """Tell whether an event was encrypted by a trusted device of the person it claims to come from.

        None: the device is not known yet, or not judged since its owner changed something: signing a device takes two
        steps. nio checks this for verified devices only; a server could otherwise put one member's words into
        another's mouth.
        """
        olm = self._olm
        device = olm.device_store.device_from_sender_key(event.sender, event.sender_key)
        if device is None:
            olm.users_for_key_query.add(event.sender)
            return None
        session = olm.inbound_group_store.get(room_id, event.sender_key, event.session_id)
        if session is None or session.ed25519 != device.ed25519:
            return False
        if not olm.is_device_blacklisted(device):
            return True
        return None if event.sender in olm.users_for_key_query | self._asked else False

    def opened(self, event: MegolmEvent, room_id: str) -> Event | None:
        """Try once more to decrypt an event; None while its key is missing."""
        event.room_id = room_id
        if not event.sender_key:
            event.sender_key = self._key_of_session(room_id, event.session_id)
        try:
            return self._olm.decrypt_megolm_event(event, room_id)
        except EncryptionError:
            return None

    def _key_of_session(self, room_id: str, session_id: str) -> str:
        """Find whose room key this is: newer clients do not say it with every message."""
        for session in self._olm.inbound_group_store:
            if session.id == session_id and session.room_id == room_id:
                return str(session.sender_key)
        return ""

    # -- what we say

    async def seal(self, room: MatrixRoom, kind: str, content: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return type and content as they may go over the wire: encrypted, if the room is or ever was.

        Raises:
            NotReady: the room is encrypted and we cannot encrypt. There is no way round this.
            Away, Refusal: the keys could not be shared now.
        """
        if not self.is_encrypted(room):
            return kind, content
        room.encrypted = True
        await self.share(room)
        kind, content = self._client.encrypt(room.room_id, kind, content)
        if kind != "m.room.encrypted":
            raise NotReady("the message was not encrypted")
        return kind, content

    def is_encrypted(self, room: MatrixRoom) -> bool:
        """Tell whether a room is encrypted, or was once: a server cannot talk us out of it."""
        return room.encrypted or room.room_id in self._client.encrypted_rooms

    async def share(self, room: MatrixRoom) -> None:
        """Make sure that every trusted device in the room has the key to our next message.

        nio shares on its own, but counts a key as shared when sending it failed, and hangs for ever on a room whose
        sharing was interrupted.
        """
        olm = self._olm
        if not self._unknown(room) and not olm.should_share_group_session(room.room_id):
            return
        lock = self._sharing.setdefault(room.room_id, asyncio.Lock())
        async with lock:
            while self._unknown(room) or olm.should_share_group_session(room.room_id):
                if self._unknown(room):
                    await self.query_devices()
                    continue
                members, audience = list(room.users), self._audience(room)
                await self._claim(olm.get_missing_sessions(members))
                await self._share_with(room.room_id, members)
                if audience == self._audience(room):
                    olm.outbound_group_sessions[room.room_id].shared = True
                else:
                    # Somebody or some device came or went while keys were on their way: a new key, from the start.
                    olm.outbound_group_sessions.pop(room.room_id, None)

    def _unknown(self, room: MatrixRoom) -> bool:
        """Tell whether we do not know yet which devices somebody in a room has; also while we are just asking."""
        return not room.users.keys().isdisjoint(self._olm.users_for_key_query | self._asked)

    def _audience(self, room: MatrixRoom) -> set[tuple[str, str, bool]]:
        """Return who can read a room: every device, and whether it is trusted."""
        olm = self._olm
        return {
            (device.user_id, device.curve25519, olm.is_device_blacklisted(device))
            for user in room.users
            for device in olm.device_store.active_user_devices(user)
        }

    async def _share_with(self, room_id: str, members: list[str]) -> None:
        olm = self._olm
        parcels = list(olm.share_group_session_parallel(room_id, members, ignore_unverified_devices=True))
        session = olm.outbound_group_sessions[room_id]

        async def send(devices: set[tuple[str, str]], body: dict[str, Any]) -> None:
            await self._wire.ask("PUT", path("sendToDevice", "m.room.encrypted", secrets.token_hex(12)), body)
            session.users_shared_with.update(devices)

        outcomes = await asyncio.gather(*(send(*each) for each in parcels), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _claim(self, missing: Mapping[str, list[str]]) -> None:
        """Open sessions with devices that we have none with. A device without keys is left out of this message."""
        if not missing:
            return
        wanted = {user: dict.fromkeys(devices, "signed_curve25519") for user, devices in missing.items()}
        answer = await self._wire.ask("POST", path("keys", "claim"), {"one_time_keys": wanted, "timeout": 10_000})
        await self._client.receive_response(KeysClaimResponse.from_dict(answer, ""))

    # -- between two syncs

    async def tend(self) -> None:
        """Do what the last sync asked for: keys to upload, devices to learn, sessions to mend, keys to pass on."""
        olm = self._olm
        await self.upload_keys()
        await self.query_devices()
        if self._client.should_claim_keys:
            await self._claim(self._client.get_users_for_key_claiming())
        if olm.outgoing_to_device_messages:
            await self._client.send_to_device_messages()


def password_stage(user: str, password: str, answer: Json) -> dict[str, Any]:
    """Return the answer to a server that wants the password again."""
    return {
        "type": "m.login.password",
        "session": answer.get("session"),
        "identifier": {"type": "m.id.user", "user": user},
        "password": password,
    }
