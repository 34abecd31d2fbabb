"""A bot's session with its homeserver: one login, one device, one process, for the life of its folder."""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from nio import AsyncClient, AsyncClientConfig

from bots.bot import SignedOut
from bots.matrix.identity import Identity, read_recovery_key, write_private
from bots.matrix.trust import KeyStore, Trust, password_stage
from bots.matrix.wire import Away, Refusal, Wire, path

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class MatrixAccount:
    """What one bot account needs to know.

    Attributes:
        homeserver: the server's address, https://…
        user_id: the account, @name:server.
        network: the network that it serves.
        folder: where its keys and token lie; one process at a time, and nobody else may read it.
        password: to log in the first time, and when the folder was lost.
        recovery_key: the identity, see `identity.new_recovery_key`; empty for none.
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


class Login:
    """Signs the bot in, and notices when it is signed out or the server is away."""

    def __init__(self, account: MatrixAccount, client: AsyncClient, wire: Wire) -> None:
        self._account = account
        self._client = client
        self._wire = wire
        self._file = account.folder / "session.json"
        self._bot = f"matrix:{account.network}"
        self._away = False

    async def sign_in(self) -> None:
        """Take up the session that the folder holds, or log in as a new device.

        Raises:
            SignedOut: the password is wrong, or the folder's keys do not open.
        """
        session: dict[str, str] = {}
        with suppress(FileNotFoundError):
            session = json.loads(self._file.read_text())
        mine = session.get("user_id") == self._account.user_id
        if mine and self._keys_of(session["device_id"]).exists():
            self._take_up(session)
            return
        # Without its keys an old device is deaf, and everybody would go on writing to it: a new one is needed.
        fresh = await self._logged_in()
        write_private(self._file, json.dumps(fresh))
        self._take_up(fresh)
        log.info("logged in as a new device", bot=self._bot)
        if mine:
            await self._forget_device(session["device_id"])

    async def establish(self, trust: Trust) -> None:
        """Publish the account's identity and sign our device with it; see `Trust.establish`.

        Raises:
            SignedOut: the token was revoked.
        """
        if not self._account.recovery_key:
            log.warning("no recovery key: strict clients will not read this bot", bot=self._bot)
            return
        identity = Identity(read_recovery_key(self._account.recovery_key), self._account.user_id)
        while True:
            try:
                await trust.establish(identity, self._account.password)
            except Away as error:
                self._note_away(str(error))
                await asyncio.sleep(1)
            except Refusal as refused:
                if refused.code == "M_UNKNOWN_TOKEN":
                    raise self._signed_out() from None
                if not refused.is_throttle:
                    log.error("the identity could not be published", bot=self._bot, why=refused.code)  # noqa: TRY400
                    return
                await asyncio.sleep(refused.retry_after or 1)
            else:
                return

    async def patiently(
        self, method: str, address: str, body: Mapping[str, Any] | None = None, *, within: float = 30
    ) -> dict[str, Any]:
        """Ask until the server answers; says once that it is away, and once that it is back.

        Raises:
            SignedOut: the token was revoked, or the password is wrong.
        """
        pause = 0.1
        while True:
            try:
                answer = await self._wire.ask(method, address, body, within=within)
            except Away as error:
                self._note_away(str(error))
                await asyncio.sleep(pause)
            except Refusal as refused:
                if refused.code in {"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"}:
                    raise self._signed_out() from None
                if address.endswith("/login") and not refused.is_throttle:
                    raise SignedOut(f"the login was refused ({refused.code}): check user and password") from None
                await asyncio.sleep(refused.retry_after or pause)
            else:
                if self._away:
                    log.info("the homeserver is back", bot=self._bot)
                self._away = False
                return answer
            pause = min(pause * 2, 2.0)

    def _note_away(self, why: str) -> None:
        if not self._away:
            log.warning("the homeserver is away; waiting for it", bot=self._bot, why=why)
        self._away = True

    def _keys_of(self, device: str) -> Path:
        return self._account.folder / f"keys-{device}.db"

    def _take_up(self, session: Mapping[str, str]) -> None:
        keys = self._keys_of(session["device_id"])
        # One request, one failure: our callers judge throttling and time-outs, nio would repeat for ever.
        self._client.config = AsyncClientConfig(
            store=KeyStore,
            store_name=keys.name,
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
        keys.chmod(0o600)

    async def _logged_in(self) -> dict[str, str]:
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self._account.user_id},
            "password": self._account.password,
            "initial_device_display_name": self._account.device_name,
        }
        answer = await self.patiently("POST", path("login"), body)
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

    def _signed_out(self) -> SignedOut:
        with suppress(FileNotFoundError):
            self._file.unlink()
        return SignedOut(
            "the homeserver does not know our token any more; if that was no mistake, start again: "
            "the bot then logs in as a new device with the same identity"
        )


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a bot's folder: two processes with one device would ruin each other's ratchets.

    Raises:
        SignedOut: another process holds it.
    """
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SignedOut(f"another process is using {folder}: stop it first") from None
        yield
