"""Words that can be forgotten for good: a data key per person (or case), kept apart from the data.

Deleting is not erasing: copies stay in free pages, logs and backups. So personal text is stored only as an
AES-256-GCM envelope under its owner's data key, and the data keys live in a small key store of their own,
wrapped by the operator's master key. Destroying one key makes every copy of that owner's words unreadable,
wherever it is.

An envelope is ``0x01 | owner (16 bytes) | nonce (12) | ciphertext and tag``; "table.column" and the owner
are bound to it as associated data, so that an envelope moved to another place or person does not open.
"""

import hashlib
import hmac
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap
from sqlalchemy import Column, Connection, LargeBinary, MetaData, String, Uuid, bindparam, select
from sqlalchemy import Table as CoreTable
from sqlalchemy.util import greenlet_spawn

from storage.engine import autocommit, connect, turn, upsert

_VERSION: Final = b"\x01"
_NONCE: Final = slice(17, 29)
_SHORTEST: Final = 45  # of an empty text: version, owner, nonce and tag
_HOUSE: Final = UUID(int=0)  # the house's own key, under which look-ups and the journal are blinded

_metadata = MetaData()
_keys = CoreTable(
    "data_key",
    _metadata,
    Column("subject", Uuid, primary_key=True),
    Column("master", LargeBinary(8), nullable=False),  # which master key wraps it
    Column("wrapped", LargeBinary(40), nullable=False),
)
_journal = CoreTable(
    "erasure",
    _metadata,
    Column("mark", LargeBinary(32), primary_key=True),  # HMAC of the subject: tells nobody who it was
    Column("at", String(32), nullable=False),
)

_key_of = select(_keys.c.master, _keys.c.wrapped).where(_keys.c.subject == bindparam("owner"))

_keys_of = select(_keys).where(_keys.c.subject.in_(bindparam("owners", expanding=True)))


class WrongMasterError(Exception):
    """A key in the key store is wrapped by a master key that was not given."""


class TamperedError(Exception):
    """An envelope was changed, or stands where it was not sealed."""


class ErasedError(Exception):
    """Something was to be sealed for a person who was erased; nothing can be, ever again."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A text that is only ever stored sealed.

    Attributes:
        owner: under whose key: a member's id, a case's, or a row's own.
        text: the words; None when the owner's key is gone. Never part of the `repr`, which may end in a log.
    """

    owner: UUID
    text: str | None = field(repr=False)


_running: ContextVar["Ring"] = ContextVar("ring")


def ring() -> "Ring":
    """The keys of the running transaction.

    Raises:
        RuntimeError: no transaction of a `Store` is running.
    """
    try:
        return _running.get()
    except LookupError:
        raise RuntimeError("Sealed values can be read and written only inside Store.run.") from None


class Vault:
    """The key store.

    Args:
        url: its own database, `sqlite:///…/keys.db`; may be `postgresql://…` when the
            store is one too. Never the store's own: backed up together, data and keys erase nobody.
        master: the operator's master key, 32 bytes; it is never stored.
        former: master keys used before, under which keys may still be wrapped until `rotate` has run.
    """

    def __init__(self, url: str, master: bytes, *, former: Sequence[bytes] = ()) -> None:
        if any(len(key) != 32 for key in (master, *former)):
            raise ValueError("A master key has 32 bytes.")
        self.url = url
        # No WAL here: an erased key must not linger in a log beside the database.
        self._engine = connect(url, journal="DELETE")
        self._autocommit = autocommit(self._engine)
        self._master = _fingerprint(master)
        self._masters = {_fingerprint(key): key for key in (master, *former)}
        self._house: bytes | None = None

    async def prepare(self) -> None:
        """Make the key store's tables, and check that the master key opens it. Safe to repeat.

        Raises:
            WrongMasterError: it was made under another master key.
        """
        await greenlet_spawn(self._prepare)

    async def rotate(self) -> int:
        """Wrap every data key under the current master key, and tell how many were not.

        Start every process with the new master key, naming the old one as former; then rotate; then drop the
        old one. No data row is touched.
        """
        return await greenlet_spawn(self._rotate)

    async def close(self) -> None:
        """Close its connections."""
        await greenlet_spawn(self._engine.dispose)

    @contextmanager
    def ring(self) -> Iterator["Ring"]:
        """The keys for one transaction, which becomes the transaction's `ring()`."""
        made = Ring(self)
        token = _running.set(made)
        try:
            yield made
        finally:
            _running.reset(token)
            made.put_back()

    def connection(self) -> Connection:
        """A connection on which every statement commits by itself."""
        return self._autocommit.connect()

    def wrap(self, key: bytes) -> dict[str, bytes]:
        """The columns that keep a data key."""
        return {"master": self._master, "wrapped": aes_key_wrap(self._masters[self._master], key)}

    def unwrap(self, master: bytes, wrapped: bytes) -> bytes:
        """The data key from its columns."""
        if master not in self._masters:
            raise WrongMasterError("The key store belongs to another master key.")
        return aes_key_unwrap(self._masters[master], wrapped)

    def house(self, ring: "Ring") -> bytes:
        """The house's own key: never erased, so it alone may be remembered between transactions."""
        if self._house is None:
            self._house = ring.key(_HOUSE)
        return self._house

    def _prepare(self) -> None:
        with turn(self._engine) as connection:
            _metadata.create_all(connection)
        with self.ring() as ring:
            self.house(ring)

    def _rotate(self) -> int:
        old = select(_keys).where(_keys.c.master != self._master).with_for_update()
        with self._engine.begin() as connection:
            rows = connection.execute(old).all()
            for row in rows:
                rewrapped = self.wrap(self.unwrap(bytes(row.master), bytes(row.wrapped)))
                connection.execute(_keys.update().where(_keys.c.subject == row.subject).values(rewrapped))
        return len(rows)


class Ring:
    """The keys one transaction has used: fetched at most once, and forgotten with the transaction.

    So that a key which another process erases is gone here as soon as the running transaction ends.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._ciphers: dict[UUID, AESGCM | None] = {}
        self._connection: Connection | None = None

    def fetch(self, owners: Collection[UUID]) -> None:
        """Fetch the keys of many owners at once: whoever seals or opens for them afterwards waits for nothing."""
        wanted = [owner for owner in owners if owner not in self._ciphers]
        for row in self._connected().execute(_keys_of, {"owners": wanted}) if wanted else ():
            self._ciphers[row.subject] = AESGCM(self._vault.unwrap(bytes(row.master), bytes(row.wrapped)))

    def seal(self, value: Sealed, place: str) -> bytes:
        """The envelope of a text for "table.column"; the owner's key is made at the first use.

        Raises:
            ErasedError: the owner was erased.
            ValueError: the text is None: what was erased cannot be sealed again.
        """
        if value.text is None:
            raise ValueError("An erased text cannot be stored again.")
        cipher = self._cipher(value.owner)
        if cipher is None:
            cipher = self._ciphers[value.owner] = AESGCM(self.key(value.owner))
        nonce = os.urandom(12)
        sealed = cipher.encrypt(nonce, value.text.encode(), _bound(place, value.owner))
        return b"".join((_VERSION, value.owner.bytes, nonce, sealed))

    def open(self, envelope: bytes, place: str) -> Sealed:
        """The text back, or a `Sealed` with text None when its owner's key was erased.

        Raises:
            TamperedError: the envelope was changed, or comes from another place or owner.
        """
        if envelope[:1] != _VERSION or len(envelope) < _SHORTEST:
            raise TamperedError(f"Not an envelope in {place}.")
        owner = UUID(bytes=bytes(envelope[1:17]))
        cipher = self._cipher(owner)
        if cipher is None:
            return Sealed(owner, None)
        try:
            text = cipher.decrypt(bytes(envelope[_NONCE]), bytes(envelope[29:]), _bound(place, owner))
        except InvalidTag:
            raise TamperedError(f"An envelope in {place} was changed or moved there.") from None
        return Sealed(owner, text.decode())

    def blind(self, place: str, value: str) -> bytes:
        """A fingerprint (HMAC-SHA256) to look up a sealed value by: same value, same place, same 32 bytes.

        It compares exactly: bring the value to one form first.
        """
        return hmac.digest(self._vault.house(self), f"{place}\0{value}".encode(), "sha256")

    def erase(self, owner: UUID, now: datetime) -> bool:
        """Destroy the owner's key and note it in the journal: at once, whatever the transaction does.

        Returns:
            Whether there was a key; erasing twice is harmless.
        """
        self._note(self.blind("erasure", owner.hex), now)
        return self._destroy(owner)

    def erased(self, owner: UUID) -> bool:
        """Whether the owner stands in the erasure journal."""
        mark = self.blind("erasure", owner.hex)
        return self._connected().scalar(select(_journal.c.mark).where(_journal.c.mark == mark)) is not None

    def journal(self) -> dict[bytes, datetime]:
        """Who was erased and when, as marks (`blind("erasure", owner.hex)`) that name nobody."""
        rows = self._connected().execute(select(_journal.c.mark, _journal.c.at))
        return {bytes(row.mark): datetime.fromisoformat(row.at) for row in rows}

    def replay(self, journal: dict[bytes, datetime]) -> None:
        """Add what a restored backup of this key store has lost, and destroy the keys that came back with it."""
        for mark, at in journal.items():
            self._note(mark, at)
        marks = self.journal().keys()
        for subject in self._connected().scalars(select(_keys.c.subject)).all():
            if self.blind("erasure", subject.hex) in marks:
                self._destroy(subject)

    def key(self, owner: UUID) -> bytes:
        """The owner's data key, made now if there is none."""
        while (found := self._stored(owner)) is None:
            if owner != _HOUSE and self.erased(owner):
                raise ErasedError("Nothing can be stored for a person who was erased.")
            # Two processes may meet here: the key that was first is the one for both.
            fresh = upsert(_keys).values(subject=owner, **self._vault.wrap(os.urandom(32)))
            self._connected().execute(fresh.on_conflict_do_nothing())
        return found

    def put_back(self) -> None:
        """Give back the connection and forget the keys."""
        self._ciphers.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _note(self, mark: bytes, at: datetime) -> None:
        entry = upsert(_journal).values(mark=mark, at=at.isoformat())
        self._connected().execute(entry.on_conflict_do_nothing())

    def _destroy(self, owner: UUID) -> bool:
        self._ciphers[owner] = None
        return bool(self._connected().execute(_keys.delete().where(_keys.c.subject == owner)).rowcount)

    def _cipher(self, owner: UUID) -> AESGCM | None:
        if owner not in self._ciphers:
            key = self._stored(owner)
            self._ciphers[owner] = None if key is None else AESGCM(key)
        return self._ciphers[owner]

    def _stored(self, owner: UUID) -> bytes | None:
        row = self._connected().execute(_key_of, {"owner": owner}).first()
        return None if row is None else self._vault.unwrap(bytes(row.master), bytes(row.wrapped))

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._vault.connection()
        return self._connection


def _bound(place: str, owner: UUID) -> bytes:
    return place.encode() + b"\0" + owner.bytes


def _fingerprint(master: bytes) -> bytes:
    return hashlib.blake2b(master, digest_size=8, person=b"master key").digest()
