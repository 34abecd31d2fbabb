import asyncio
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy.util import greenlet_spawn

from storage import migrations
from storage.engine import connect, turn
from storage.sealed import Vault
from storage.store import Store
from storage.table import SealedText, every_table

MIGRATE = """
import asyncio, sys
import storage.migrations, storage.table
from storage.sealed import Vault
from storage.store import Store

async def main(store_url, keys_url):
    store = Store(store_url, vault=Vault(keys_url, bytes(range(32))))
    await store.migrate()
    await store.close()

storage.table.every_table()
print("ready", flush=True)
sys.stdin.read()  # until everybody is ready
asyncio.run(main(*sys.argv[1:]))
"""


def differences(url: str) -> list[object]:
    def compare() -> list[object]:
        database = connect(url)
        with turn(database) as connection:
            found = migrations.differences(connection)
        database.dispose()
        return found

    return asyncio.run(greenlet_spawn(compare))


def test_the_migrations_make_exactly_the_tables_that_are_declared(urls: tuple[str, str]) -> None:
    assert differences(urls[0]) == [], 'run: python -m storage.migrations "what changed"'


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/hub.db", f"sqlite:///{tmp_path}/keys.db"
    urls: tuple[str, str] = request.getfixturevalue("empty_postgres")
    return urls


def test_migrating_twice_changes_nothing(empty: tuple[str, str]) -> None:
    for _ in range(2):
        subprocess.run([sys.executable, "-c", MIGRATE, *empty], check=True, stdin=subprocess.DEVNULL)
    assert differences(empty[0]) == []


def test_processes_that_migrate_at_once_all_succeed(empty: tuple[str, str]) -> None:
    command = [sys.executable, "-c", MIGRATE, *empty]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(3)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.close()
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert differences(empty[0]) == []


async def test_a_migration_that_would_leave_orphans_is_undone(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.store._is_newest", lambda _connection: False)
    with closing(sqlite.connect(tmp_path / "hub.db")) as raw:
        raw.execute("INSERT INTO role_grant VALUES ('nobody', 'uj', 'mentor', '2026-01-01 00:00:00.000000')")
        raw.commit()
    with pytest.raises(RuntimeError, match="role_grant"):
        await sqlite_store.migrate()


async def test_a_schema_of_the_last_migration_is_left_alone(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "upgrade", pytest.fail)
    await sqlite_store.migrate()


WRITE = """
import sys
from pathlib import Path
from storage import migrations
from storage.table import Table
from sqlalchemy import Column, Integer

migrations._HERE = Path(sys.argv[1])
migrations.every_table()
Table.metadata.tables["place"].append_column(Column("seats", Integer))
print(migrations.write("places have seats"))
"""


def test_a_new_migration_tells_what_changed_in_the_tables(tmp_path: Path) -> None:
    copy = tmp_path / "migrations"
    shutil.copytree(migrations._HERE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run([sys.executable, "-c", WRITE, copy], check=True, capture_output=True, text=True)
    script = Path(done.stdout.splitlines()[-1]).read_text()
    assert script.startswith('"""places have seats."""')
    (change,) = re.findall(r"batch_op\.(.*)", script)
    assert change == "add_column(sa.Column('seats', sa.Integer(), nullable=True))"


def test_a_sealed_column_is_named_after_its_first_place_and_no_two_share_one() -> None:
    places = [
        column.type.place
        for table in every_table()
        for column in table.metadata.tables[str(table.__tablename__)].columns
        if isinstance(column.type, SealedText)
    ]
    assert len(places) == len(set(places)) > 0


async def test_a_store_and_its_keys_are_ready_after_migrating(tmp_path: Path) -> None:
    vault = Vault(f"sqlite:///{tmp_path}/keys.db", bytes(32))
    store = Store(f"sqlite:///{tmp_path}/hub.db", vault=vault)
    await store.migrate()
    with vault.ring() as keys:
        assert keys.blind("a", "b")
    await store.close()
