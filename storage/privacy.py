"""What we know about a person, shown, joined and forgotten: one walk over all tables and what they declare.

Erasing destroys the person's data key first: from that moment no copy of their words can be read, in no
backup either. Then the rows go, each table as it declares. That somebody was erased is written down twice,
without saying
who: in the key store and in the store. A backup of either that is restored later still finds it in the
other, and `replay` erases once more whom the backup brought back.

A member who became part of another is written down as erased, too. What an old backup brings back of them is
erased again: nobody can act as them, and their account is a stranger's until it is linked anew.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, ClassVar, Final, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    LargeBinary,
    and_,
    delete,
    event,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy import Table as CoreTable
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Field

from storage import audit, outbox
from storage.audit import AuditEntry
from storage.engine import upsert
from storage.members import EVERYWHERE, Member
from storage.refused import Refused
from storage.sealed import TamperedError, ring
from storage.store import Conflict, Session, attempt, changed, execute
from storage.table import (
    UTC,
    Erasure,
    Privacy,
    Sealed,
    SealedText,
    Table,
    core,
    envelope,
    every_table,
    opened,
)

_SETTLED: Final = timedelta(minutes=5)
"""After this nobody is still in a transaction that began before a join: PostgreSQL ends them earlier."""


class Erased(Table, table=True):
    """Somebody was erased.

    Attributes:
        mark: an HMAC of the person's id, which tells nobody who it was.
        at: when.
    """

    privacy: ClassVar[Privacy] = Privacy(what="That somebody was erased, without telling who.", erase=Erasure.KEEP)

    mark: bytes = Field(primary_key=True)
    at: datetime = Field(sa_type=UTC)


class Kept(NamedTuple):
    """What one table keeps: its name, and what it declares."""

    table: str
    privacy: Privacy


@dataclass(frozen=True)
class Report:
    """What erasing a person did.

    Attributes:
        key: whether there was a data key to destroy.
        rows: by table, how many rows were deleted or blanked.
        failed: tables whose rows could not be changed. Sealed words in them are unreadable all the same.
    """

    key: bool
    rows: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


class Restored(NamedTuple):
    """What bringing a backup up to date did: who was erased again, and how many messages may be out already."""

    erased: list[Report]
    unsure: int


def what() -> list[Kept]:
    """Every table and what it declares: those about people first."""
    kept = [Kept(table.name, privacy) for table, privacy in _tables()]
    return sorted(kept, key=lambda item: (not item.privacy.whose, item.table))


def export(session: Session, member_id: UUID) -> dict[str, list[dict[str, Any]]]:
    """Everything stored about a person: by table, rows of values for JSON, sealed words opened."""
    found = {}
    for table, privacy in _tables():
        if privacy.whose:
            rows = session.execute(select(table).where(_about(table, privacy, member_id))).mappings()
            found[table.name] = [{name: _plain(value) for name, value in row.items()} for row in rows]
    return {name: rows for name, rows in found.items() if rows}


def erase(session: Session, member_id: UUID, now: datetime) -> Report:
    """Forget a person. Safe to repeat, and to be repeated after a failure.

    The data key is destroyed at once, even if the transaction fails later. Nothing can be sealed for this
    person ever after: an answer about the erasure itself needs another owner.
    """
    keys = ring()
    report = Report(key=keys.erase(member_id, now))
    mark = keys.blind("erasure", member_id.hex)
    _note(session, mark, now)
    for table, privacy in _tables(children_first=True):
        if not privacy.whose or privacy.erase is Erasure.KEEP:
            continue
        try:
            with attempt(session):
                report.rows[table.name] = _forget(session, table, privacy, member_id, now)
        except Conflict:
            report.failed.append(table.name)
    _let_go(session, member_id)
    return report


def join(session: Session, *, former: UUID, present: UUID, now: datetime) -> None:
    """Make one member of two: every row of the former is the present one's, and every word is sealed for them.

    Where both have what can be there only once, the present one's stays; so it is with the member itself. The
    former's data key is of no use from then on, and `shred` destroys it.

    Raises:
        Refused: the audit was changed by somebody, and would look whole afterwards.
    """
    session.flush()
    _let_go(session, former)
    _sign_anew(session, former, present, now)
    for table, privacy in _tables(children_first=True):
        for column in table.columns:
            if isinstance(column.type, SealedText):
                _reseal(session, table, column, former, present)
        for name in privacy.whose:
            _repoint(session, table, table.c[name], former, present)
    _note(session, ring().blind("erasure", former.hex), now)


def shred(session: Session, now: datetime) -> None:
    """Destroy the keys that were doomed a while ago: of members who became part of others, and what `destroy` has left.

    Not in the transaction of the join: a key is gone at once, and if that transaction then failed, the words sealed
    under it would be lost. Safe to repeat.
    """
    noted = select(core(Erased)).where(core(Erased).c.at <= now - _SETTLED)
    settled = {row.mark: row.at for row in execute(session, noted)}
    keys = ring()
    if fresh := settled.keys() - keys.journal().keys():
        keys.replay({mark: settled[mark] for mark in fresh})


def replay(session: Session, now: datetime) -> list[Report]:
    """After a backup of either store was restored: erase again whoever was erased since then."""
    keys = ring()
    here = {row.mark: row.at for row in session.execute(select(core(Erased)))}
    marks = keys.journal() | here
    keys.replay(here)
    for mark, at in marks.items():
        _note(session, mark, at)
    back = [
        member_id
        for member_id in session.scalars(select(core(Member).c.id))
        if keys.blind("erasure", member_id.hex) in marks
    ]
    return [erase(session, member_id, now) for member_id in back]


def restored(session: Session, now: datetime) -> Restored:
    """Bring a store up to date that was just restored from a backup, before any bot runs on it.

    `replay`; and what was due by now may have been sent since the backup was made, so that couriers look for
    it before they send it. Only the operator knows that there was a restore. Safe to repeat.
    """
    return Restored(replay(session, now), outbox.suspect(session, now))


def sweep(session: Session, now: datetime) -> dict[str, int]:
    """Delete what has been kept for long enough; tells how many rows, by table."""
    swept = {}
    for table, privacy in _tables(children_first=True):
        if privacy.kept is not None and privacy.since is not None:
            old = table.c[privacy.since] < now - privacy.kept
            for gone, which in _going(table, old):
                _destroy_keys(session, gone, which, now)
            swept[table.name] = changed(session, delete(table).where(old))
    return {name: rows for name, rows in swept.items() if rows}


def destroy(session: Session, owner: UUID, now: datetime) -> None:
    """Destroy the key of something that is nobody's: a case, a lesson, one answer. Safe to repeat.

    As soon as the transaction is committed, for a key is gone for good: rolled back or tried again, the transaction
    must find what it has read before. That it is destroyed is written down with everything else; if the process dies
    in between, `shred` finds it there. A backup of either store that is restored later does not bring the words back:
    `replay` finds it in the other.
    """
    _note(session, ring().blind("erasure", owner.hex), now)
    session.info.setdefault("doomed", {})[owner] = now


def destroyed(owners: Iterable[UUID]) -> set[UUID]:
    """Those of which the key was destroyed: what was sealed under it can never be read again."""
    keys = ring()
    marks = keys.journal()
    return {owner for owner in owners if keys.blind("erasure", owner.hex) in marks}


@event.listens_for(Session, "after_commit")
def _carry_out(session: Session) -> None:
    """Destroy the keys that the transaction has doomed; a savepoint that ends well is no commit yet."""
    if session.in_nested_transaction():
        return
    # The transaction is over and must not be tried again: what fails here is left to `shred`.
    with suppress(SQLAlchemyError):
        for owner, at in session.info.pop("doomed", {}).items():
            ring().erase(owner, at)


def _destroy_keys(session: Session, table: CoreTable, which: ColumnElement[bool], now: datetime) -> None:
    """Destroy the keys that are the rows' own."""
    if (own_key := _own_keys().get(table.name)) is not None:
        for owner in execute(session, select(table.c[own_key]).where(which)).scalars().all():
            destroy(session, owner, now)


def _going(table: CoreTable, which: ColumnElement[bool]) -> Iterator[tuple[CoreTable, ColumnElement[bool]]]:
    """The rows that are to be deleted, and table by table those that the database deletes with them."""
    yield table, which
    for child in Table.metadata.tables.values():
        for key in child.foreign_keys:
            if key.ondelete == "CASCADE" and key.column.table is table:
                yield from _going(child, key.parent.in_(select(key.column).where(which)))


@cache
def _own_keys() -> Mapping[str, str]:
    """By the name of a table, the column that names the key which is a row's own."""
    return {table.name: privacy.own_key for table, privacy in _tables() if privacy.own_key is not None}


def _note(session: Session, mark: bytes, at: datetime) -> None:
    execute(session, upsert(core(Erased)).values(mark=mark, at=at).on_conflict_do_nothing())


def _tables(*, children_first: bool = False) -> Iterator[tuple[CoreTable, Privacy]]:
    declared = {book.__tablename__: book.privacy for book in every_table()}
    tables = Table.metadata.sorted_tables
    for table in reversed(tables) if children_first else tables:
        if table.name in declared:
            yield table, declared[table.name]


def _about(table: CoreTable, privacy: Privacy, member_id: UUID) -> ColumnElement[bool]:
    return or_(*(table.c[column] == member_id for column in privacy.whose))


def _let_go(session: Session, member_id: UUID) -> None:
    """Whoever still holds one of a person's rows may read it, but must not bring it back by changing it."""
    for thing in list(session):
        if isinstance(thing, Table) and member_id in {getattr(thing, column) for column in thing.privacy.whose}:
            session.expunge(thing)


def _reseal(session: Session, table: CoreTable, column: Column[Any], former: UUID, present: UUID) -> None:
    """Seal for the present owner what the column holds of the former one's, whoever's row it stands in."""
    sealed_for = func.substr(type_coerce(column, LargeBinary), 2, 16, type_=LargeBinary)  # as an envelope begins
    owned = select(*table.primary_key, envelope(column)).where(sealed_for == former.bytes)
    for *key, stored in execute(session, owned).all():
        try:
            words = opened(column, stored)
        except TamperedError:
            continue  # nobody could read it before, nobody can afterwards
        if words is not None and words.text is not None:
            anew = {column.name: Sealed(present, words.text)}
            execute(session, update(table).where(_row(table, key)).values(anew))


def _repoint(session: Session, table: CoreTable, column: Column[Any], former: UUID, present: UUID) -> None:
    """Let rows name the present member where they named the former; what the present one has already is dropped."""
    anew = update(table).values({column.name: present})
    try:
        with attempt(session):
            execute(session, anew.where(column == former))
    except Conflict:
        for key in execute(session, select(*table.primary_key).where(column == former)).all():
            try:
                with attempt(session):
                    execute(session, anew.where(_row(table, key)))
            except Conflict:
                execute(session, delete(table).where(_row(table, key)))


def _row(table: CoreTable, key: Sequence[Any]) -> ColumnElement[bool]:
    return and_(*(column == value for column, value in zip(table.primary_key, key, strict=True)))


def _sign_anew(session: Session, former: UUID, present: UUID, now: datetime) -> None:
    """Let the audit name the present member where it named the former.

    The chain is hashed anew from there on, and says so itself: its newest entry then names the hash that was the last
    one before. An audit that is broken stays as it is, for all to see.
    """
    entry = core(AuditEntry)
    names = or_(entry.c.actor == former, entry.c.subject == str(former))
    first = execute(session, select(func.min(entry.c.seq)).where(names)).scalar()
    if first is None:
        return
    broken = audit.verify(session)
    if broken is not None:
        raise Refused("The audit is broken: entry {seq} does not fit the one before it.", seq=broken)
    written = execute(session, select(entry).where(entry.c.seq >= first).order_by(entry.c.seq)).all()
    execute(session, delete(entry).where(entry.c.seq >= first))
    forgotten = first > 1 and execute(session, select(entry.c.seq).where(entry.c.seq == first - 1)).first() is None
    if forgotten:  # by its age; the entries go on from its number and its hash all the same
        last = written[0]._asdict() | {"seq": first - 1, "hash": written[0].prev}
        execute(session, insert(entry).values(last))
    for each in written:
        audit.append(
            session,
            at=each.at,
            network=each.network,
            actor=present if each.actor == former else each.actor,
            action=each.action,
            subject=str(present) if each.subject == str(former) else each.subject,
        )
    if forgotten:
        execute(session, delete(entry).where(entry.c.seq == first - 1))
    audit.append(session, at=now, network=EVERYWHERE, actor=None, action="audit rewritten", subject=written[-1].hash)


def _forget(session: Session, table: CoreTable, privacy: Privacy, member_id: UUID, now: datetime) -> int:
    about = _about(table, privacy, member_id)
    rows = 0
    if privacy.erase is Erasure.DELETE:
        goes = about if privacy.stays is None else about & table.c[privacy.stays].is_(False)
        for gone, which in _going(table, goes):
            _destroy_keys(session, gone, which, now)
        rows += changed(session, delete(table).where(goes))
    elif any(isinstance(table.c[name].type, SealedText) for name in privacy.blank):
        _destroy_keys(session, table, about, now)
    if privacy.blank:
        rows += changed(session, update(table).where(about).values(dict.fromkeys(privacy.blank)))
    return rows


def _plain(value: Any) -> Any:
    match value:
        case Sealed():
            return value.text
        case Enum():
            return value.value
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
        case bytes():
            return value.hex()
    return value
