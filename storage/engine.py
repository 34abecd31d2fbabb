"""How we connect: one kind of engine for SQLite files and PostgreSQL servers, with every safety turned on.

Both kinds are SQLAlchemy's *synchronous* engines. PostgreSQL's is the synchronous face of an asyncpg engine
and works only inside `greenlet_spawn`; so whoever has work to do on a database writes it once, as a plain
function.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import create_async_engine

# Older ones can corrupt a WAL database when two connections write and checkpoint at the same moment.
SQLITE_AT_LEAST: Final = (3, 51, 3)

SQLITE: Final[str] = sqlite.sqlite_version
"""The version that we run on."""

BUSY_SECONDS: Final = 5.0

CACHE_KIB: Final = 32 * 1024
"""How much of a SQLite file a connection may keep in memory; what a small file has is all it takes."""

_MIGRATING: Final = 0x696D70616374  # any number, the same in every process

# INSERT … ON CONFLICT: SQLAlchemy compiles PostgreSQL's for SQLite just as well, so one statement serves both.
upsert: Final = postgresql.insert


def connect(
    url: str,
    *,
    journal: str = "WAL",
    synchronous: str = "FULL",
    foreign_keys: bool = True,
    statement_timeout: timedelta = timedelta(seconds=30),
) -> Engine:
    """Make the engine for `sqlite:///path/file.db` or `postgresql://…`; it connects at its first use.

    Its errors never show a statement's values, which may be somebody's.

    Args:
        url: where the database is; the drivers are chosen here.
        journal: SQLite's journal mode.
        synchronous: SQLite's: FULL survives a power cut with every commit, NORMAL may lose the last ones.
        foreign_keys: whether SQLite enforces them; PostgreSQL always does.
        statement_timeout: after this PostgreSQL ends a statement, or a transaction that stands idle.

    Raises:
        RuntimeError: SQLite is older than `SQLITE_AT_LEAST`.
        ValueError: the URL is neither of the two.
    """
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            return _sqlite(parsed, journal, synchronous, foreign_keys)
        case "postgresql":
            return _postgresql(parsed, statement_timeout)
    raise ValueError("A database is sqlite:///path/file.db or postgresql://user@host/name.")


def autocommit(engine: Engine) -> Engine:
    """The same engine, on whose connections every statement commits by itself."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="AUTOCOMMIT")
    return engine.execution_options(begin=False)


@contextmanager
def turn(engine: Engine) -> Iterator[Connection]:
    """A transaction for changing the schema, while no other process changes it."""
    queue = engine.dialect.name == "postgresql"  # on SQLite every transaction waits for its turn
    # At SERIALIZABLE we would still see the world from before the wait.
    engine = engine.execution_options(isolation_level="READ COMMITTED") if queue else engine
    with engine.begin() as connection:
        if queue:
            connection.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
        yield connection


def _sqlite(url: URL, journal: str, synchronous: str, foreign_keys: bool) -> Engine:
    if sqlite.sqlite_version_info < SQLITE_AT_LEAST:
        raise RuntimeError(f"SQLite {sqlite.sqlite_version} can corrupt data; 3.51.3 or newer is needed.")
    engine = create_engine(url, module=sqlite, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself, and late
        for pragma in (
            f"busy_timeout={int(BUSY_SECONDS * 1000)}",
            "secure_delete=ON",
            f"foreign_keys={foreign_keys}",
            "temp_store=MEMORY",
            f"cache_size={-CACHE_KIB}",
            "trusted_schema=OFF",
            f"journal_mode={journal}",
            f"synchronous={synchronous}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("begin", True):
            return
        # A transaction that only later finds out that it writes cannot wait for another writer: it fails.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _postgresql(url: URL, statement_timeout: timedelta) -> Engine:
    milliseconds = str(int(statement_timeout.total_seconds() * 1000))
    return create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        # A rule that reads and then writes is right on SQLite, where writers queue; it must be right here too.
        isolation_level="SERIALIZABLE",
        pool_pre_ping=True,
        # Transactions that run together collide more than they gain; the others wait for a connection.
        pool_size=4,
        max_overflow=0,
        hide_parameters=True,
        connect_args={
            # The client gives up a little later than the server, so that the server's clear answer arrives.
            "command_timeout": statement_timeout.total_seconds() + 5,
            "server_settings": {
                "application_name": "impacthub",
                "statement_timeout": milliseconds,
                "idle_in_transaction_session_timeout": milliseconds,
                "timezone": "UTC",
            },
        },
    ).sync_engine
