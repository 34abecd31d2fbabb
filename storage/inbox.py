"""What was heard and not yet answered: a crash neither loses nor repeats a command.

A platform's events and the token up to which they were read are stored in one transaction; the command's own
transaction marks its event as done. What the platform tells twice has a key we know.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import structlog
from sqlalchemy import Index, bindparam, select, text, update
from sqlmodel import Field

from storage.engine import upsert
from storage.sealed import TamperedError
from storage.store import Session, changed, execute
from storage.table import UTC, Erasure, Privacy, Sealed, Table, core, envelope, opened, sealed

log = structlog.get_logger()

_WAITING: Final = text("done_at IS NULL")


class Inbox(Table, table=True):
    """One event of one bot.

    Attributes:
        bot: the bot that heard it, such as "matrix:uj".
        key: the platform's id of the event.
        received_at, nth: the order in which events came.
        heard: what was said, until it is done.
        done_at: when it was answered.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="Which messages the bot has answered already; their words are deleted with the answer.",
        kept=timedelta(days=30),
        since="done_at",
        erase=Erasure.KEEP,
    )
    __table_args__ = (
        Index("ix_inbox_waiting", "bot", "received_at", "nth", sqlite_where=_WAITING, postgresql_where=_WAITING),
    )

    bot: str = Field(primary_key=True, max_length=64)
    key: str = Field(primary_key=True, max_length=255)
    received_at: datetime = Field(sa_type=UTC)
    nth: int = 0
    heard: Sealed | None = sealed("inbox.heard", nullable=True)
    done_at: datetime | None = Field(default=None, sa_type=UTC)


class SyncPoint(Table, table=True):
    """Up to where a bot has read its platform's stream of events."""

    privacy: ClassVar[Privacy] = Privacy(what="Up to where each bot has read.", erase=Erasure.KEEP)

    bot: str = Field(primary_key=True, max_length=64)
    token: str


_inbox: Final = core(Inbox)
_c: Final = _inbox.c
_sync_point: Final = core(SyncPoint)

_done_at: Final = select(_c.done_at).where(_c.bot == bindparam("bot"), _c.key == bindparam("key"))
_token: Final = select(_sync_point.c.token).where(_sync_point.c.bot == bindparam("bot"))
_new = upsert(_inbox)
_receive: Final = _new.on_conflict_do_nothing(index_elements=["bot", "key"])
_done: Final = _new.on_conflict_do_update(
    index_elements=["bot", "key"],
    set_={"done_at": _new.excluded.done_at, "heard": None},
    where=_c.done_at.is_(None),
)
_waiting: Final = (
    select(_c.key, envelope(_c.heard))
    .where(_c.bot == bindparam("bot"), _c.done_at.is_(None))
    .order_by(_c.received_at, _c.nth)
)
_unreadable: Final = (
    update(_inbox)
    .where(_c.bot == bindparam("the_bot"), _c.key == bindparam("the_key"))
    .values(done_at=_c.received_at, heard=None)
)
_new_point = upsert(_sync_point)
_read: Final = _new_point.on_conflict_do_update(index_elements=["bot"], set_={"token": _new_point.excluded.token})


def receive(session: Session, bot: str, events: Sequence[tuple[str, str]], token: str | None, now: datetime) -> int:
    """Store events, and the token up to which they were read, together.

    Args:
        session: the running transaction.
        bot: the bot that heard them.
        events: (the platform's id, what was heard as JSON), in their order; known ids are ignored. The room stands
            only inside of what was heard, sealed: a private room names a person.
        token: where to go on reading; None leaves the stored one as it is.
        now: when they came.

    Returns:
        How many were new.
    """
    owner = _owner(bot)
    fresh = 0
    for nth, (key, heard) in enumerate(events):
        row = {"bot": bot, "key": key, "received_at": now, "nth": nth, "heard": Sealed(owner, heard)}
        fresh += changed(session, _receive, row)
    if token is not None:
        execute(session, _read, {"bot": bot, "token": token})
    return fresh


def pending(session: Session, bot: str) -> list[tuple[str, str]]:
    """What the bot has heard and not done: (key, heard), in the order in which it came.

    What cannot be opened any more nobody can answer: it is done.
    """
    found = []
    for row in execute(session, _waiting, {"bot": bot}).all():
        heard = _words(row.heard)
        if heard is None:
            log.error("something heard that cannot be opened is left unanswered", bot=bot)
            execute(session, _unreadable, {"the_bot": bot, "the_key": row.key})
        else:
            found.append((row.key, heard))
    return found


def is_done(session: Session, bot: str, key: str) -> bool:
    """Whether this event was answered."""
    return execute(session, _done_at, {"bot": bot, "key": key}).scalar() is not None


def done(session: Session, bot: str, key: str, now: datetime) -> bool:
    """Mark an event as answered and forget its words, in the transaction of its answer.

    An event that was never received is remembered as well: platforms without a stream to catch up with need
    only this.

    Returns:
        Whether it was still open: False means that another transaction has answered it.
    """
    row = {"bot": bot, "key": key, "received_at": now, "nth": 0, "done_at": now}
    return changed(session, _done, row) > 0


def since(session: Session, bot: str) -> str | None:
    """Where the bot goes on reading; None when it never read."""
    token: str | None = execute(session, _token, {"bot": bot}).scalar()
    return token


def _words(stored: bytes | None) -> str | None:
    try:
        heard = opened(_c.heard, stored)
    except TamperedError:
        return None
    return heard.text if heard else None


def _owner(bot: str) -> UUID:
    """Words wait here for seconds, and nobody knows yet whose they are: the bot's own key seals them."""
    return uuid5(NAMESPACE_URL, f"inbox:{bot}")
