"""Identities: the bot's own, which anybody can verify, and other people's, as we met them.

nio knows no cross-signing; this is what Matrix's specification asks for, on Ed25519 alone. Key ids and signatures are
base64 without padding: Element's engine silently drops padded ones.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Json = Mapping[str, Any]

# -- the recovery key ---------------------------------------------------------------------------------------------

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_HEADER: Final = b"\x8b\x01"


def new_recovery_key() -> str:
    """Make a recovery key and write it as Matrix does: base58 in groups of four.

    It is a bot's identity: who has it can sign devices in the bot's name. Keep it with the other secrets and in the
    backup, apart from the bot's store; without it everybody sees an identity change when the store is lost.
    """
    return write_recovery_key(secrets.token_bytes(32))


def write_recovery_key(key: bytes) -> str:
    """Write 32 bytes in Matrix's form of a recovery key."""
    raw = _HEADER + key
    raw += bytes([_parity(raw)])
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def read_recovery_key(text: str) -> bytes:
    """Read a recovery key; spaces do not matter.

    Raises:
        ValueError: it is none, or it was mistyped; the text says which.
    """
    number = 0
    for character in "".join(text.split()):
        digit = _ALPHABET.find(character)
        if digit < 0:
            raise ValueError("a recovery key holds letters and digits, without 0, O, I and l")
        number = number * 58 + digit
    try:
        raw = number.to_bytes(35, "big")
    except OverflowError:
        raw = b""
    if raw[:2] != _HEADER:
        raise ValueError("this is no Matrix recovery key: its length or beginning is wrong")
    if _parity(raw) != 0:
        raise ValueError("the recovery key was mistyped: its check sum is wrong")
    return raw[2:34]


def _parity(raw: bytes) -> int:
    parity = 0
    for byte in raw:
        parity ^= byte
    return parity


# -- signatures ---------------------------------------------------------------------------------------------------


def canonical(value: Json) -> bytes:
    """Write JSON the one way that is signed: sorted, without spaces, signatures and `unsigned`."""
    bare = {name: each for name, each in value.items() if name not in {"signatures", "unsigned"}}
    return json.dumps(bare, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def unpadded(raw: bytes) -> str:
    """Write base64 without padding."""
    return base64.b64encode(raw).decode().rstrip("=")


def is_signed(value: Json, *, user: str, key: str) -> bool:
    """Tell whether `user` signed this object with the Ed25519 key `key` (unpadded base64)."""
    try:
        signature = value["signatures"][user][f"ed25519:{key}"]
        public = Ed25519PublicKey.from_public_bytes(_bytes(key))
        public.verify(_bytes(signature), canonical(value))
    except (KeyError, TypeError, ValueError, InvalidSignature):
        return False
    return True


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


class Key:
    """One of our signing keys."""

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = unpadded(self._private.public_key().public_bytes_raw())

    def signs(self, value: Json, *, user: str) -> dict[str, Any]:
        """Return the object with our signature added."""
        signatures = {name: dict(each) for name, each in value.get("signatures", {}).items()}
        signatures.setdefault(user, {})[f"ed25519:{self.public}"] = unpadded(self._private.sign(canonical(value)))
        return {**value, "signatures": signatures}


class Identity:
    """The bot's cross-signing identity: three keys, always the same ones for a recovery key and a user id."""

    def __init__(self, recovery_key: bytes, user: str) -> None:
        self.user = user
        self.master, self.self_signing, self.user_signing = (
            Key(HKDF(SHA256(), 32, salt=None, info=f"impacthub:{use}:{user}".encode()).derive(recovery_key))
            for use in ("master", "self_signing", "user_signing")
        )

    def published(self, device: str, signed_by_device: Callable[[str], str]) -> dict[str, Any]:
        """Return what the server is given: the three keys, the master key signed by our first device."""
        master = self._key("master", self.master)
        own = signed_by_device(canonical(master).decode())
        return {
            "master_key": {**master, "signatures": {self.user: {f"ed25519:{device}": own}}},
            "self_signing_key": self.master.signs(self._key("self_signing", self.self_signing), user=self.user),
            "user_signing_key": self.master.signs(self._key("user_signing", self.user_signing), user=self.user),
        }

    def _key(self, usage: str, key: Key) -> dict[str, Any]:
        return {"user_id": self.user, "usage": [usage], "keys": {f"ed25519:{key.public}": key.public}}


# -- other people's devices ---------------------------------------------------------------------------------------


class Pins:
    """The master keys we met people with: a changed or vanished identity is noticed, also after a restart.

    The file holds keyed fingerprints only; it does not tell whom the bot talks to.
    """

    def __init__(self, file: Path, secret: str) -> None:
        self._file = file
        self._secret = secret.encode()
        try:
            self._pins: dict[str, str] = json.loads(file.read_text())
        except FileNotFoundError:
            self._pins = {}

    def knows(self, user: str) -> bool:
        """Tell whether we ever met this person with an identity."""
        return self._print(user) in self._pins

    def meets(self, user: str, master: str) -> bool:
        """Remember with which identity we meet a person now; False if it was another one before."""
        who, which = self._print(user), self._print(f"{user} {master}")
        before = self._pins.get(who)
        if before != which:
            self._pins[who] = which
            write_private(self._file, json.dumps(self._pins))
        return before in {None, which}

    def _print(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()[:32]


def write_private(file: Path, text: str) -> None:
    """Write a file that nobody else may read: whole and lasting, or not at all."""
    fresh = file.with_name(f".{file.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


def identity_of(answer: Json, user: str) -> tuple[str, str] | None:
    """Return a person's (master key, self-signing key) from a key query; None without a valid identity."""
    master = only_key(answer.get("master_keys", {}).get(user))
    signer = answer.get("self_signing_keys", {}).get(user)
    signing = only_key(signer)
    if master is None or signing is None or not is_signed(signer, user=user, key=master):
        return None
    return master, signing


def only_key(published: Any) -> str | None:
    """Return the one key of a published cross-signing key; None if it is none."""
    try:
        (key,) = published["keys"].values()
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return key if isinstance(key, str) else None
