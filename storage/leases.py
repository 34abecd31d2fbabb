"""What only one process may do at a time: run a clock's tick, speak as an encrypted device."""

from datetime import datetime, timedelta
from typing import ClassVar, Final

from sqlalchemy import bindparam, case, or_
from sqlmodel import Field

from storage.engine import upsert
from storage.store import Session, execute
from storage.table import UTC, Erasure, Privacy, Table, core


class Lease(Table, table=True):
    """Something that has at most one holder, until an instant.

    Attributes:
        name: what is held, such as "clock" or "matrix:uj".
        owner: the process that holds it.
        until: when it ends unless renewed.
        epoch: grows with every new holder.
    """

    privacy: ClassVar[Privacy] = Privacy(what="Which process does what.", erase=Erasure.KEEP)

    name: str = Field(primary_key=True, max_length=128)
    owner: str = Field(max_length=128)
    until: datetime = Field(sa_type=UTC)
    epoch: int = 1


_lease: Final = core(Lease)
_c: Final = _lease.c
_new = upsert(_lease)
_take: Final = _new.on_conflict_do_update(
    index_elements=["name"],
    set_={
        "owner": _new.excluded.owner,
        "until": _new.excluded.until,
        "epoch": case((_c.owner == _new.excluded.owner, _c.epoch), else_=_c.epoch + 1),
    },
    where=or_(
        _c.owner == _new.excluded.owner,
        _c.until <= bindparam("now", type_=UTC),
        _c.until > bindparam("never", type_=UTC),
    ),
).returning(_c.epoch)


def take(session: Session, name: str, owner: str, *, for_: timedelta, now: datetime) -> int | None:
    """Take a lease that nobody holds, or renew one's own.

    Args:
        session: the running transaction.
        name: what to hold.
        owner: who asks; unique to the process.
        for_: for how long.
        now: from when.

    Returns:
        The epoch, or None while another holds it. The epoch grows whenever the holder changes: whoever
        finds a greater one than its own has lost the lease without noticing.
    """
    # A lease that ends after this was taken by a clock that has been set back since.
    wanted = {"name": name, "owner": owner, "until": now + for_, "epoch": 1, "now": now, "never": now + 2 * for_}
    epoch: int | None = execute(session, _take, wanted).scalar()
    return epoch
