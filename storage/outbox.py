"""What is to be said to somebody else, or later: nothing lost, nothing said twice.

A row is put in the transaction of the change that causes it, under a unique business key. A courier claims
rows for the length of a lease, and the claim is committed *before* it sends; the transaction id by which
the platform knows a repeated request is a function of the key alone; a row leaves PENDING only together
with the remote id, or as DEAD. A courier that dies lets its lease run out, and another repeats the very
same request.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, Final
from uuid import UUID

import structlog
from sqlalchemy import Index, Row, Update, bindparam, case, func, or_, select, text, update
from sqlmodel import Field

from storage.engine import upsert
from storage.sealed import TamperedError
from storage.store import Session, changed, execute
from storage.table import UTC, Erasure, Privacy, Sealed, Table, core, envelope, one_of, opened, sealed

log = structlog.get_logger()


class Lane(IntEnum):
    """What goes first when a sender has much to say."""

    REPLY = 0
    ALERT = 1
    DIGEST = 2


class State(StrEnum):
    """Where a message stands."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"


_PENDING: Final = text("state = 'pending'")


class Outbox(Table, table=True):
    """One message to one person or one room.

    Attributes:
        key: the unique business key, such as "remind:B-7K3FQ:24h".
        sender: the bot account that must send it, such as "matrix:uj".
        member_id: who it is for; None when it is for a room.
        place: the room's address; None when it is for a person, and when it has ended: a private room names one.
        payload: the packed reply; None when it has ended.
        put_at: when it was put.
        due_at: not before this; every new try moves it.
        expires_at: after this it is not worth sending.
        tries: how many claims there were.
        first_try_at: when the first of them was: the platform may have seen the message since then.
        claimed_by, claimed_until: the courier's lease.
        tx_id: 24 hexadecimal characters, a function of the key (Discord's nonce holds 25).
        remote_id: the platform's name for the message once it was sent.
        error: why the last try failed; never any words of the message.
        ended_at: when it was sent or given up.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="Messages on their way to you; their words are deleted when they arrive.",
        whose=("member_id",),
        kept=timedelta(days=30),
        since="ended_at",
        erase=Erasure.DELETE,
    )
    __table_args__ = (
        Index("ix_outbox_pending", "sender", "lane", "due_at", sqlite_where=_PENDING, postgresql_where=_PENDING),
    )

    key: str = Field(primary_key=True, max_length=200)
    sender: str = Field(max_length=64)
    member_id: UUID | None = Field(default=None, index=True)
    place: str | None = None
    payload: Sealed | None = sealed("outbox.payload", nullable=True)
    lane: int
    put_at: datetime = Field(sa_type=UTC)
    due_at: datetime = Field(sa_type=UTC)
    expires_at: datetime | None = Field(default=None, sa_type=UTC)
    state: State = one_of(State, default=State.PENDING)
    tries: int = 0
    first_try_at: datetime | None = Field(default=None, sa_type=UTC)
    claimed_by: str | None = Field(default=None, max_length=64)
    claimed_until: datetime | None = Field(default=None, sa_type=UTC)
    tx_id: str = Field(max_length=24)
    remote_id: str | None = None
    error: str | None = None
    ended_at: datetime | None = Field(default=None, sa_type=UTC)


class Bucket(Table, table=True):
    """How many messages a sender may send right now, so that a platform's limit is never hit."""

    privacy: ClassVar[Privacy] = Privacy(what="How fast each bot is sending.", erase=Erasure.KEEP)

    sender: str = Field(primary_key=True, max_length=64)
    tokens: float
    updated_at: datetime = Field(sa_type=UTC)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message in a courier's hands until its lease ends; the attributes are those of `Outbox`.

    `payload` is None when its owner was erased meanwhile. `first_try_at` is None at the first try; later it
    tells since when the platform may know the message: beyond the platform's memory look before sending
    again.
    """

    key: str
    tx_id: str
    member_id: UUID | None
    place: str | None
    payload: str | None
    lane: Lane
    due_at: datetime
    expires_at: datetime | None
    tries: int
    first_try_at: datetime | None
    claimed_until: datetime


_outbox: Final = core(Outbox)
_c: Final = _outbox.c


def tx_id(key: str) -> str:
    """The transaction id of a key: 24 hexadecimal characters.

    Of the key and never of a row's number: a restored backup would use that again, for another message.
    """
    return hashlib.blake2b(key.encode(), digest_size=12).hexdigest()


def put(
    session: Session,
    *,
    key: str,
    sender: str,
    owner: UUID,
    payload: str,
    member_id: UUID | None = None,
    place: str | None = None,
    lane: Lane,
    due_at: datetime,
    expires_at: datetime | None = None,
    held_by: tuple[str, datetime] | None = None,
    now: datetime,
) -> bool:
    """Put a message; a key that was there before changes nothing, whatever became of its message.

    Messages of one lane go in the order of `due_at`, then of their keys.

    Args:
        session: the transaction of the change that causes the message.
        key: the unique business key, at most 200 characters.
        sender: the bot account that must send it.
        owner: whose words these are; erasing the owner makes them unreadable.
        payload: the packed reply.
        member_id: who it is for, or
        place: for which room.
        lane: what goes first.
        due_at: not before this.
        expires_at: after this it is given up.
        held_by: who delivers it without a courier, and until when couriers leave it alone.
        now: when it is put.

    Returns:
        Whether the key was new.

    Raises:
        ValueError: it is for nobody, or for a person and a room.
        storage.sealed.ErasedError: the owner was erased.
    """
    row = _row(
        key=key,
        sender=sender,
        owner=owner,
        payload=payload,
        member_id=member_id,
        place=place,
        lane=lane,
        due_at=due_at,
        expires_at=expires_at,
        held_by=held_by,
        now=now,
    )
    session.info.setdefault("senders", set()).add(sender)
    return changed(session, _put, row) > 0


def put_each(session: Session, messages: Sequence[Mapping[str, Any]]) -> None:
    """Put many messages at once; each names the arguments of `put`."""
    session.info.setdefault("senders", set()).update(each["sender"] for each in messages)
    execute(session, _put, [_row(**each) for each in messages])


def _row(
    *,
    key: str,
    sender: str,
    owner: UUID,
    payload: str,
    member_id: UUID | None = None,
    place: str | None = None,
    lane: Lane,
    due_at: datetime,
    expires_at: datetime | None = None,
    held_by: tuple[str, datetime] | None = None,
    now: datetime,
) -> dict[str, Any]:
    if (member_id is None) == (place is None):
        raise ValueError("A message goes to a member or to a place.")
    return {
        "key": key,
        "sender": sender,
        "member_id": member_id,
        "place": place,
        "payload": Sealed(owner, payload),
        "lane": int(lane),
        "put_at": now,
        "due_at": due_at,
        "expires_at": expires_at,
        "state": State.PENDING,
        "tries": 0,
        "claimed_by": held_by[0] if held_by else None,
        "claimed_until": held_by[1] if held_by else None,
        "tx_id": tx_id(key),
    }


def senders(session: Session) -> frozenset[str]:
    """Who has something to send since this transaction, so that it leaves at once when it is committed."""
    return frozenset(session.info.get("senders", ()))


_put: Final = upsert(_outbox).on_conflict_do_nothing(index_elements=["key"])


def claim(session: Session, *, sender: str, owner: str, lease: timedelta, limit: int, now: datetime) -> list[Claimed]:
    """Take up to `limit` messages that are due, best lane first, and hold them until the lease ends.

    Commit before sending anything. What expired becomes DEAD here, with the error "expired"; so does what
    cannot be opened any more, with the error "unreadable", and the others go on.
    """
    execute(session, _expire, {"the_sender": sender, "now": now})
    rows = execute(
        session,
        _claim,
        {"the_sender": sender, "owner": owner, "until": now + lease, "now": now, "at_most": limit},
    ).all()
    claimed = []
    for row in rows:
        try:
            claimed.append(_in_hand(row))
        except TamperedError:
            log.error("a message that cannot be opened is given up", bot=sender)  # noqa: TRY400 it says nothing more
            dead(session, row.key, owner, "unreadable", now)
    return sorted(claimed, key=lambda message: (message.lane, message.due_at, message.key))


_waiting: Final = (_c.sender == bindparam("the_sender")) & (_c.state == text("'pending'"))
_free: Final = or_(_c.claimed_until.is_(None), _c.claimed_until <= bindparam("now", type_=UTC))
_expire: Final = (
    update(_outbox)
    .where(_waiting, _free, _c.expires_at <= bindparam("now", type_=UTC))
    .values(state=State.DEAD, error="expired", ended_at=bindparam("now", type_=UTC), place=None, payload=None)
)
# A common table expression, because PostgreSQL could otherwise run the locking query more than once.
_due: Final = (
    select(_c.key)
    .where(_waiting, _free, _c.due_at <= bindparam("now", type_=UTC))
    .order_by(_c.lane, _c.due_at, _c.key)
    .limit(bindparam("at_most"))
    .with_for_update(skip_locked=True)
    .cte("due")
)
_claim: Final = (
    update(_outbox)
    .where(_c.key.in_(select(_due.c.key)))
    .values(
        claimed_by=bindparam("owner"),
        claimed_until=bindparam("until"),
        tries=_c.tries + 1,
        first_try_at=func.coalesce(_c.first_try_at, bindparam("now", type_=UTC)),
    )
    .returning(
        _c.key,
        _c.tx_id,
        _c.member_id,
        _c.place,
        envelope(_c.payload),
        _c.lane,
        _c.due_at,
        _c.expires_at,
        _c.tries,
        _c.first_try_at,
        _c.claimed_until,
    )
)


def sent(session: Session, key: str, owner: str, remote_id: str, now: datetime) -> bool:
    """It is out: remember the platform's id for it and forget the words and the room.

    Accepted from a courier whose lease ran out, too: the message is out, whoever holds it now.

    Returns:
        Whether it was still PENDING.
    """
    return changed(session, _sent, {"the_key": key, "owner": owner, "remote": remote_id, "now": now}) > 0


_sent: Final = (
    update(_outbox)
    .where(_c.key == bindparam("the_key"), _c.state == text("'pending'"))
    .values(
        state=State.SENT,
        remote_id=bindparam("remote"),
        ended_at=bindparam("now", type_=UTC),
        claimed_by=bindparam("owner"),
        claimed_until=None,
        place=None,
        payload=None,
        error=None,
    )
)


def again(session: Session, key: str, owner: str, at: datetime, error: str) -> bool:
    """It did not get through: try again at `at`. False if the courier no longer holds it."""
    change = _held(key, owner).values(due_at=at, error=error, claimed_by=None, claimed_until=None)
    return changed(session, change) > 0


def postpone(session: Session, key: str, owner: str, until: datetime) -> bool:
    """Not now (quiet hours, no tokens): nothing was asked of the platform, so this was no try.

    False if the courier no longer holds it.
    """
    change = _held(key, owner).values(
        due_at=until,
        claimed_by=None,
        claimed_until=None,
        tries=_c.tries - 1,
        first_try_at=case((_c.tries > 1, _c.first_try_at), else_=None),
    )
    return changed(session, change) > 0


def dead(session: Session, key: str, owner: str, error: str, now: datetime) -> bool:
    """It will never get through: give it up. False if the courier no longer holds it."""
    change = _held(key, owner).values(
        state=State.DEAD, error=error, ended_at=now, claimed_by=None, claimed_until=None, place=None, payload=None
    )
    return changed(session, change) > 0


def resume(session: Session, *, sender: str, owner: str) -> int:
    """Free what a courier before this one had in hand when it died, without waiting for its lease; tells how many.

    Only for the one process that holds the sender's account: whoever had these messages is gone.
    """
    left = (_c.sender == sender) & (_c.state == text("'pending'")) & (_c.claimed_by != owner)
    return changed(session, update(_outbox).where(left).values(claimed_by=None, claimed_until=None))


def suspect(session: Session, before: datetime) -> int:
    """After a backup was restored: what was due before this instant may have been sent already.

    It counts as tried since it was put, so that couriers look into the room before they send it; tells how many.
    """
    unsure = update(_outbox).where(_c.state == text("'pending'"), _c.due_at < before)
    change = unsure.values(
        tries=_c.tries + 1,
        first_try_at=func.coalesce(_c.first_try_at, _c.put_at),
        claimed_by=None,
        claimed_until=None,
    )
    return changed(session, change)


def take(session: Session, sender: str, n: int, now: datetime, *, rate: float, burst: float) -> int:
    """Take up to `n` tokens of the sender's bucket: permission to send that many messages now.

    Args:
        session: the running transaction.
        sender: the bot account.
        n: how many are wanted.
        now: the bucket has filled until then.
        rate: how many tokens flow in each second.
        burst: how many the bucket holds; it starts full.

    Returns:
        How many were taken, 0 to `n`.
    """
    bucket = execute(session, _bucket_of, {"sender": sender}).first()
    tokens, at = (bucket.tokens, bucket.updated_at) if bucket else (burst, now)
    # A clock that was set back fills nothing, and must not take away what is there.
    tokens = min(burst, tokens + max(0.0, (now - at).total_seconds()) * rate)
    taken = min(n, int(tokens))
    # Clocks of two machines differ a little; one that was set back by more is the one that counts from now on.
    updated_at = max(now, at) if at - now < timedelta(minutes=1) else now
    execute(session, _fill, {"sender": sender, "tokens": tokens - taken, "updated_at": updated_at})
    return taken


_bucket: Final = core(Bucket)
_bucket_of: Final = select(_bucket).where(_bucket.c.sender == bindparam("sender")).with_for_update()
_new_bucket: Final = upsert(_bucket)
_fill: Final = _new_bucket.on_conflict_do_update(
    index_elements=["sender"],
    set_={"tokens": _new_bucket.excluded.tokens, "updated_at": _new_bucket.excluded.updated_at},
)


def _held(key: str, owner: str) -> Update:
    return update(_outbox).where(_c.key == key, _c.state == text("'pending'"), _c.claimed_by == owner)


def _in_hand(row: Row[Any]) -> Claimed:
    words = opened(_c.payload, row.payload)
    return Claimed(
        key=row.key,
        tx_id=row.tx_id,
        member_id=row.member_id,
        place=row.place,
        payload=words.text if words else None,
        lane=Lane(row.lane),
        due_at=row.due_at,
        expires_at=row.expires_at,
        tries=row.tries,
        first_try_at=row.first_try_at if row.tries > 1 else None,
        claimed_until=row.claimed_until,
    )
