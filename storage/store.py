"""The one door to the database: `await store.run(fn)` is one transaction.

`fn(session)` is an ordinary function and cannot wait for anything: no network call can sit inside a
transaction. On SQLite it runs in the one writer thread of this process, on PostgreSQL over asyncpg at
isolation SERIALIZABLE; on both a rule may read, decide and write as if it were alone. What has to be tried
again is tried again here and nowhere else.
"""

import asyncio
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from random import SystemRandom
from typing import Any, Final, TypeVar

from sqlalchemy import (
    Connection,
    CursorResult,
    Executable,
    Insert,
    PrimaryKeyConstraint,
    UniqueConstraint,
    event,
    insert,
    make_url,
)
from sqlalchemy import inspect as schema_of
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.orm import make_transient_to_detached
from sqlalchemy.util import greenlet_spawn
from sqlmodel import Session

from storage.engine import connect, turn
from storage.sealed import Vault
from storage.table import Table, core

__all__ = ["Busy", "Conflict", "ReadOnly", "Session", "Store", "attempt", "changed", "execute", "write", "wrote"]

T = TypeVar("T")

# serialization failure, deadlock, a lock that another held too long
_TRY_AGAIN: Final = frozenset({"40001", "40P01", "55P03"})
_READ_ONLY: Final = frozenset({"25006"})
_MIGRATIONS: Final = Path(__file__).parent / "migrations" / "versions"
_jitter: Final = SystemRandom()


class Conflict(Exception):  # noqa: N818 - named for what happened
    """A constraint of the database was violated.

    Attributes:
        constraint: its name, the same on both databases; None where SQLite does not tell (foreign keys).
    """

    def __init__(self, constraint: str | None) -> None:
        super().__init__(constraint or "a constraint of the database")
        self.constraint = constraint


class ReadOnly(Exception):  # noqa: N818
    """The database can be read but not written."""


class Busy(Exception):  # noqa: N818
    """Others held the database for longer than our patience; nothing was changed."""


class Store:
    """A database and the key store of its sealed columns.

    Args:
        url: `sqlite:///path/file.db` or `postgresql://user@host/name`.
        vault: the key store.
        statement_timeout: PostgreSQL ends what takes longer.
        patience: how long one `run` keeps trying while others are in the way.
        synchronous: SQLite's: FULL keeps every commit through a power cut, NORMAL is faster and may lose
            the last.
    """

    def __init__(
        self,
        url: str,
        *,
        vault: Vault,
        statement_timeout: timedelta = timedelta(seconds=30),
        patience: timedelta = timedelta(seconds=20),
        synchronous: str = "FULL",
    ) -> None:
        if make_url(url) == make_url(vault.url):
            raise ValueError("The key store needs a database of its own, with backups of its own.")
        self.vault = vault
        self._url = url
        self._engine = connect(url, statement_timeout=statement_timeout, synchronous=synchronous)
        self._closed = False
        self._patience = patience.total_seconds()
        self._thread: ThreadPoolExecutor | None = None
        if self._engine.dialect.name == "sqlite":
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def run(self, fn: Callable[[Session], T]) -> T:
        """Call `fn(session)` in one transaction: commit when it returns, roll back when it raises.

        `fn` may be called several times, until one attempt commits, so it changes nothing but the session.
        Rows it returns stay readable. Cancelled at the wrong moment a transaction may still commit: what must
        happen once needs a unique key.

        Raises:
            Conflict: a constraint was violated; never tried again, a rule has to know about it.
            ReadOnly: the database cannot be written.
            Busy: others were in the way for longer than our patience.
        """
        return await self._persist(lambda: self._transaction(fn))

    async def migrate(self) -> None:
        """Bring store and key store up to date. Safe to repeat, also from two processes at once.

        Raises:
            ReadOnly: the database cannot be written.
            RuntimeError: a migration left rows that refer to nothing; nothing was changed.
        """
        await self.vault.prepare()
        await self._persist(self._migration)

    async def close(self) -> None:
        """Finish what runs, and close all connections. Safe to repeat."""
        if self._closed:
            return
        self._closed = True
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
            self._thread.shutdown()
        else:
            await greenlet_spawn(self._engine.dispose)
        await self.vault.close()

    async def _persist(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        pause = 0.002
        while True:
            try:
                if self._thread is not None:
                    return await loop.run_in_executor(self._thread, work)
                return await greenlet_spawn(work)
            except IntegrityError as error:
                # Not "from error": the database's own words tell the values that collided.
                raise Conflict(_constraint(error)) from None
            except DBAPIError as error:
                if _code(error) in _READ_ONLY:
                    raise ReadOnly("The database is read-only: check the rights.") from error
                if _code(error) not in _TRY_AGAIN:
                    raise
                if loop.time() > deadline:
                    raise Busy("The database is busy; nothing was changed. Try again in a moment.") from error
            except StatementError as error:
                # A value that cannot be stored: what its column's type raised is the better error.
                raise error.orig or error from None
            # Those who collided must not meet again: each waits a random part of a growing pause.
            await asyncio.sleep(_jitter.uniform(0, pause))
            pause = min(pause * 2, 0.5)

    def _transaction(self, fn: Callable[[Session], T]) -> T:
        with self.vault.ring(), Session(self._engine, expire_on_commit=False) as session:
            result = fn(session)
            if inspect.iscoroutine(result):
                result.close()
                raise TypeError("Store.run takes a plain function: a transaction cannot wait.")
            session.commit()
            return result

    def _migration(self) -> None:
        # Rebuilding a table under live foreign keys would delete the rows of its children.
        engine = connect(self._url, foreign_keys=False)
        try:
            with turn(engine) as connection:
                if _is_newest(connection):
                    return
                # Imported late: migrations know every book, and books know us; and what makes them is heavy.
                from storage.migrations import upgrade  # noqa: PLC0415

                upgrade(connection)
                if engine.dialect.name == "sqlite":
                    _no_orphans(connection)
        finally:
            engine.dispose()


@contextmanager
def attempt(session: Session) -> Iterator[None]:
    """Try what a constraint may forbid: a Conflict undoes this block, and the transaction goes on.

    Raises:
        Conflict: a constraint was violated inside the block.
    """
    try:
        with session.begin_nested():
            yield
    except IntegrityError as error:
        raise Conflict(_constraint(error)) from None


def execute(
    session: Session, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
) -> CursorResult[*tuple[Any, ...]]:
    """Execute a Core statement, about rows and not objects: `session.execute` without the ORM's overhead."""
    session.flush()  # what the session was told so far comes first, as always
    if statement.is_dml:
        session.info["wrote"] = True
    return session.connection().execute(statement, values)


def write(session: Session, row: Table) -> None:
    """Insert a new row at once: `session.add` and `flush`, without the overhead of a unit of work."""
    execute(session, _insert(type(row)), row.__dict__)
    make_transient_to_detached(row)
    session.add(row)


@cache
def _insert(table: type[Table]) -> Insert:
    return insert(core(table))


def changed(session: Session, change: Executable, values: Mapping[str, Any] | None = None) -> int:
    """Execute an INSERT, UPDATE or DELETE, and tell how many rows it touched."""
    return execute(session, change, values).rowcount


def wrote(session: Session) -> bool:
    """Whether this transaction has changed anything so far."""
    return "wrote" in session.info or bool(session.new or session.dirty or session.deleted)


@event.listens_for(Session, "after_flush")
def _note(session: Session, _context: object) -> None:
    session.info["wrote"] = True


@event.listens_for(Session, "loaded_as_persistent")
def _hold(session: Session, row: object) -> None:
    """Keep every row that was read until its transaction ends: a session alone forgets it, and reads it again."""
    session.info.setdefault("held", []).append(row)


def _is_newest(connection: Connection) -> bool:
    """Tell whether the schema is that of the last migration there is."""
    if not schema_of(connection).has_table("alembic_version"):
        return False
    newest = max(file.name for file in _MIGRATIONS.glob("[0-9]*.py")).partition("_")[0]
    return bool(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == newest)


def _no_orphans(connection: Connection) -> None:
    """What foreign keys would have refused, had they been on."""
    if orphans := connection.exec_driver_sql("PRAGMA foreign_key_check").all():
        tables = sorted({row[0] for row in orphans})
        raise RuntimeError(f"The migration would leave rows that refer to nothing in {tables}.")


def _code(error: DBAPIError) -> str:
    """The SQLSTATE; for SQLite the one which PostgreSQL would give."""
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is None:
        return getattr(error.orig, "sqlstate", None) or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")):
        return "55P03"
    if name.startswith("SQLITE_READONLY"):
        return "25006"
    return str(name)


def _constraint(error: IntegrityError) -> str | None:
    """The name of the violated constraint."""
    cause = getattr(error.orig, "__cause__", None)
    if name := getattr(cause, "constraint_name", None):
        return str(name)
    return _sqlite_constraint(str(error.orig))


def _sqlite_constraint(message: str) -> str | None:
    """SQLite tells a unique constraint's columns, and the name of a check or of an index on expressions."""
    kind, _, detail = message.partition(" constraint failed: ")
    if kind == "CHECK" or not detail:
        return detail or None
    if named := re.fullmatch(r"index '(.+)'", detail):
        return named[1]
    table_name = detail.partition(".")[0]
    columns = {column.partition(".")[2] for column in detail.split(", ")}
    table = Table.metadata.tables.get(table_name)
    if table is None:
        return detail
    keys = [rule for rule in table.constraints if isinstance(rule, UniqueConstraint | PrimaryKeyConstraint)]
    for rule in (*keys, *(index for index in table.indexes if index.unique)):
        if {column.name for column in rule.columns} == columns:
            return str(rule.name)
    return detail
