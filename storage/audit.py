"""Who did what and when, in a chain that cannot be changed quietly.

Every entry carries the hash of the one before. Whoever changes, inserts or removes an entry breaks the
chain at a place that `verify` names. (Cutting off its end is noticed by whoever wrote down an earlier
hash.) An entry names people by their row id only, which means nothing once they are erased.
"""

import hashlib
import json
from datetime import UTC as ZULU
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final
from uuid import UUID

from sqlalchemy import insert, select
from sqlmodel import Field

from storage.store import Session, execute
from storage.table import UTC, Erasure, Privacy, Table, core

_BEGINNING: Final = "0" * 64


class AuditEntry(Table, table=True):
    """One thing that somebody did.

    Attributes:
        seq: 1, 2, 3 … without gaps.
        at: when.
        network: where, such as "uj".
        actor: the member's id; None is the system itself.
        action: what, such as "hours.book".
        subject: the code of what it was done to; never a name, never a person's words.
        prev: the hash of the entry before, 64 hexadecimal characters.
        hash: SHA-256 over all of the above.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="What you did, without your words: proof that nobody acted in secret.",
        whose=("actor",),
        kept=timedelta(days=3 * 365),
        since="at",
        erase=Erasure.KEEP,
    )

    seq: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(sa_type=UTC)
    network: str = Field(max_length=32, index=True)
    actor: UUID | None = Field(default=None, index=True)
    action: str = Field(max_length=64)
    subject: str | None = Field(default=None, max_length=128)
    prev: str = Field(max_length=64)
    hash: str = Field(max_length=64)


_entry: Final = core(AuditEntry)
_c: Final = _entry.c
_last: Final = select(_c.seq, _c.hash).order_by(_c.seq.desc()).limit(1)
_add: Final = insert(_entry)


def append(
    session: Session,
    *,
    at: datetime,
    network: str,
    actor: UUID | None,
    action: str,
    subject: str | None = None,
) -> int:
    """Add an entry to the chain, in the transaction of what it tells; returns its number.

    The chain cannot fork: of two transactions that append after the same entry one is tried again.
    """
    last = execute(session, _last).first()
    seq, prev = (last.seq + 1, last.hash) if last else (1, _BEGINNING)
    facts = {
        "seq": seq,
        "at": at,
        "network": network,
        "actor": actor,
        "action": action,
        "subject": subject,
        "prev": prev,
    }
    execute(session, _add, facts | {"hash": _digest(facts)})
    return int(seq)


def verify(session: Session) -> int | None:
    """Go through the whole chain; tells the number of the first entry that is broken, None if all is well.

    The chain may begin later than at 1: its oldest entries are deleted when their time has come.
    """
    prev = None
    entries = session.execute(select(_entry).order_by(_c.seq).execution_options(yield_per=1000))
    for entry in entries.mappings():
        facts = dict(entry)
        digest, seq = facts.pop("hash"), int(entry["seq"])
        if prev is None:
            # What came before a later beginning is gone, and can no longer be compared.
            prev = _BEGINNING if seq == 1 else entry["prev"]
        if entry["prev"] != prev or digest != _digest(facts):
            return seq
        prev = digest
    return None


def recent(session: Session, network: str, limit: int = 20) -> list[AuditEntry]:
    """The latest entries of a network, newest first."""
    latest = select(AuditEntry).where(_c.network == network).order_by(_c.seq.desc()).limit(limit)
    return list(session.scalars(latest))


def _digest(facts: dict[str, Any]) -> str:
    """SHA-256 over one spelling of the facts, whatever database they come from."""
    at = facts["at"].astimezone(ZULU).isoformat(timespec="microseconds")
    plain = facts | {"at": at, "actor": facts["actor"] and facts["actor"].hex}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
