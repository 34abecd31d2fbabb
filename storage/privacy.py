"""What we know about a person, shown and forgotten: one walk over all tables and what they declare.

Erasing destroys the person's data key first: from that moment no copy of their words can be read, in no
backup either. Then the rows go, each table as it declares. That somebody was erased is written down twice,
without saying
who: in the key store and in the store. A backup of either that is restored later still finds it in the
other, and `replay` erases once more whom the backup brought back.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy import Table as CoreTable
from sqlmodel import Field

from storage import outbox
from storage.engine import upsert
from storage.members import Member
from storage.sealed import ring
from storage.store import Conflict, Session, attempt, changed, execute
from storage.table import UTC, Erasure, Privacy, Sealed, Table, core, every_table


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
                report.rows[table.name] = _forget(session, table, privacy, member_id)
        except Conflict:
            report.failed.append(table.name)
    for thing in list(session):
        # Whoever still holds one of these rows may read it, but must not bring it back by changing it.
        if isinstance(thing, Table) and member_id in {getattr(thing, column) for column in thing.privacy.whose}:
            session.expunge(thing)
    return report


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
            old = delete(table).where(table.c[privacy.since] < now - privacy.kept)
            swept[table.name] = changed(session, old)
    return {name: rows for name, rows in swept.items() if rows}


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


def _forget(session: Session, table: CoreTable, privacy: Privacy, member_id: UUID) -> int:
    about = _about(table, privacy, member_id)
    if privacy.erase is Erasure.DELETE:
        change: Any = delete(table).where(about)
    else:
        change = update(table).where(about).values(dict.fromkeys(privacy.blank))
    return changed(session, change)


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
