"""A real Matrix homeserver on loopback: Synapse as a child process, for the demo and for tests.

It federates with nobody, listens on 127.0.0.1 only, and ends with the process that started it, however that ends.
Everything it knows lies in one folder: started again on the same folder it is the same server, with its accounts,
rooms and tokens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from bots.child import KEEPER

SERVER_NAME: Final = "localhost"

_UNLIMITED: Final = {"per_second": 100_000, "burst_count": 100_000}


class HomeserverError(Exception):
    """The homeserver did not start, or refused; the text says why."""


class Homeserver:
    """Synapse on loopback, over one folder.

    Args:
        folder: where its database, media and keys lie; made if it is not there.
        port: the port for its first start; by default a free one. Later starts keep the port if it is still free.
        extra: settings merged over ours, by Synapse's names; for instance `rc_message` for a server that throttles.
    """

    def __init__(self, folder: Path, *, port: int | None = None, extra: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self._extra = dict(extra or {})
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._state = self._remembered(port)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._state["port"])

    @property
    def url(self) -> str:
        """Its address for clients."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, within: float = 120) -> None:
        """Start it and return when it answers. A server that runs already is left alone.

        Raises:
            HomeserverError: it ended or did not answer in time; the text holds its last words.
        """
        if self._process is not None and self._process.poll() is None:
            return
        if not _is_free(self.port):
            self._state["port"] = _free_port()
            self._remember()
        self._write_settings()
        with (self.folder / "out.log").open("wb") as out:
            process = self._process = subprocess.Popen(  # noqa: S603 nothing in the command comes from outside
                [sys.executable, "-c", KEEPER, "synapse.app.homeserver", "-c", str(self.folder / "homeserver.json")],
                cwd=self.folder,
                env={**os.environ, "SYNAPSE_CACHE_FACTOR": "0.5"},
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; we stop the child in order
            )
        until = time.monotonic() + within
        while not self.healthy():
            if process.poll() is not None or time.monotonic() > until:
                last_words = (self.folder / "out.log").read_text(errors="replace")[-2000:]
                self.stop()
                raise HomeserverError(f"the homeserver did not start:\n{last_words}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it, and wait until it has stopped. The folder stays."""
        process, self._process = self._process, None  # it may be stopped while another thread still starts it
        if process is None:
            return
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()

    def kill(self) -> None:
        """End it at once, as a power cut would; for tests."""
        if self._process is not None:
            self._process.kill()
            self.stop()

    def healthy(self) -> bool:
        """Tell whether it answers."""
        try:
            return self._request("GET", "/health", within=1)[0] == 200
        except OSError:
            return False

    def register(self, name: str, password: str, *, admin: bool = False) -> str:
        """Make an account and return its user id. An account that is there already is left as it is."""
        status, answer = self._json("GET", "/_synapse/admin/v1/register")
        nonce = answer.get("nonce", "")
        mac = hmac.new(self._state["secret"].encode(), digestmod=hashlib.sha1)
        mac.update("\0".join([nonce, name, password, "admin" if admin else "notadmin"]).encode())
        status, answer = self._json(
            "POST",
            "/_synapse/admin/v1/register",
            {
                "nonce": nonce,
                "username": name,
                "password": password,
                "admin": admin,
                "mac": mac.hexdigest(),
                "inhibit_login": True,
            },
        )
        if status == 200 or answer.get("errcode") == "M_USER_IN_USE":
            return f"@{name}:{SERVER_NAME}"
        raise HomeserverError(f"registration was refused: {answer.get('error', status)}")

    def override_ratelimit(self, user_id: str) -> None:
        """Lift the message limits from an account, as an operator must for a bot.

        With Synapse's defaults fourteen replies took 25 seconds; with the override, 0.2.
        """
        self.admin(
            "POST",
            f"/v1/users/{quote(user_id)}/override_ratelimit",
            {"messages_per_second": 0, "burst_count": 0},
        )

    def admin(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask Synapse's admin interface (`path` begins behind /_synapse/admin) as an administrator of its own.

        Raises:
            HomeserverError: it refused.
        """
        if "admin_token" not in self._state:
            password = secrets.token_urlsafe(24)
            warden = self.register(f"warden-{secrets.token_hex(4)}", password, admin=True)
            status, answer = self._json(
                "POST",
                "/_matrix/client/v3/login",
                {
                    "type": "m.login.password",
                    "identifier": {"type": "m.id.user", "user": warden},
                    "password": password,
                },
            )
            if status != 200:
                raise HomeserverError(f"the administrator could not log in: {answer.get('error', status)}")
            self._state["admin_token"] = answer["access_token"]
            self._remember()
        status, answer = self._json(method, f"/_synapse/admin{path}", body, token=self._state["admin_token"])
        if status != 200:
            raise HomeserverError(f"the administrator was refused: {answer.get('error', status)}")
        return answer

    # -- what it remembers --------------------------------------------------------------------------------------

    def _remembered(self, port: int | None) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        except FileNotFoundError:
            seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
            state = {
                "port": port or _free_port(),
                "secret": secrets.token_urlsafe(32),
                "signing_key": f"ed25519 a_{secrets.token_hex(2)} {seed}\n",
            }
        self._state = state
        self._remember()
        return state

    def _remember(self) -> None:
        _write_private(self.folder / "state.json", json.dumps(self._state))

    def _write_settings(self) -> None:
        _write_private(self.folder / "signing.key", self._state["signing_key"])
        _write_private(self.folder / "log.json", json.dumps(_logging(self.folder / "homeserver.log")))
        _write_private(self.folder / "homeserver.json", json.dumps(self._settings(), indent=1))  # JSON is YAML

    def _settings(self) -> dict[str, Any]:
        secret = self._state["secret"]
        return {
            "server_name": SERVER_NAME,
            "public_baseurl": f"{self.url}/",
            "pid_file": str(self.folder / "homeserver.pid"),
            "report_stats": False,
            "listeners": [
                {
                    "port": self.port,
                    "type": "http",
                    "tls": False,
                    "bind_addresses": ["127.0.0.1"],
                    "resources": [{"names": ["client"], "compress": False}],
                }
            ],
            "federation_domain_whitelist": [],
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            "signing_key_path": str(self.folder / "signing.key"),
            "database": {"name": "sqlite3", "args": {"database": str(self.folder / "homeserver.db")}},
            "media_store_path": str(self.folder / "media"),
            "log_config": str(self.folder / "log.json"),
            "registration_shared_secret": secret,
            "macaroon_secret_key": secret,
            "form_secret": secret,
            "bcrypt_rounds": 4,  # twelve cost 0.3 s a login; these passwords are on loopback and random
            "presence": {"enabled": False},
            "url_preview_enabled": False,
            "max_upload_size": "10M",
            # By default a repeated /sync is answered from a cache for two minutes: a client restarted from its
            # stored token would be told stale things.
            "caches": {"sync_response_cache_duration": 0},
            "rc_message": _UNLIMITED,
            "rc_registration": _UNLIMITED,
            "rc_login": {"address": _UNLIMITED, "account": _UNLIMITED, "failed_attempts": _UNLIMITED},
            "rc_joins": {"local": _UNLIMITED, "remote": _UNLIMITED},
            "rc_joins_per_room": _UNLIMITED,
            "rc_invites": {"per_room": _UNLIMITED, "per_user": _UNLIMITED, "per_issuer": _UNLIMITED},
            "rc_room_creation": _UNLIMITED,
            "rc_key_requests": _UNLIMITED,
            "rc_admin_redaction": _UNLIMITED,
            "rc_media_create": _UNLIMITED,
            **self._extra,
        }

    # -- how it is asked ----------------------------------------------------------------------------------------

    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: str | None = None,
        within: float = 30,
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=within)
        try:
            headers = {"Content-Type": "application/json"}
            if token:
                headers["Authorization"] = f"Bearer {token}"
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _json(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, token: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        status, raw = self._request(method, path, body, token=token)
        return status, json.loads(raw or b"{}")


def _logging(file: Path) -> dict[str, Any]:
    return {
        "version": 1,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
        "handlers": {
            "file": {
                "class": "logging.handlers.RotatingFileHandler",
                "formatter": "line",
                "filename": str(file),
                "maxBytes": 2_000_000,
                "backupCount": 1,
            }
        },
        "root": {"level": "WARNING", "handlers": ["file"]},
        "disable_existing_loggers": False,
    }


def _write_private(file: Path, text: str) -> None:
    """Write a file that nobody else may read, whole or not at all."""
    fresh = file.with_name(f".{file.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    fresh.replace(file)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
