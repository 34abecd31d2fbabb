import asyncio
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from storage import engine
from storage.leases import Lease
from storage.members import Member, Role, RoleGrant
from storage.places import Place
from storage.sealed import Vault
from storage.store import Busy, Conflict, ReadOnly, Session, Store, attempt
from storage.table import Erasure, Privacy, Table


def place(name: str, address: str = "!a") -> Place:
    return Place(bot=name, purpose="network", network="uj", address=address, settled=address)


async def names(store: Store) -> list[str]:
    return await store.run(lambda s: list(s.exec(select(Place.bot).order_by(Place.bot))))


async def test_what_a_transaction_returns_stays_readable(store: Store) -> None:
    def write(session: Session) -> Place:
        made = place("matrix:uj")
        session.add(made)
        return made

    assert (await store.run(write)).address == "!a"
    found = await store.run(lambda s: s.get(Place, ("matrix:uj", "network")))
    assert found
    assert found.network == "uj"


async def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    def crash(session: Session) -> None:
        session.add(place("matrix:uj"))
        session.flush()
        raise LookupError("no")

    with pytest.raises(LookupError):
        await store.run(crash)
    assert await names(store) == []


async def test_a_coroutine_function_is_refused_and_leaves_nothing(store: Store) -> None:
    async def wait(session: Session) -> None: ...

    with pytest.raises(TypeError, match="plain function"):
        await store.run(wait)


async def test_a_violated_constraint_is_a_conflict_with_its_name_and_is_not_tried_again(store: Store) -> None:
    calls = []

    def twice(session: Session) -> None:
        calls.append(1)
        session.execute(text("INSERT INTO lease (name, owner, until, epoch) VALUES ('a', 'b', '2026-01-01', 1)"))
        session.execute(text("INSERT INTO lease (name, owner, until, epoch) VALUES ('a', 'b', '2026-01-01', 1)"))

    with pytest.raises(Conflict) as conflict:
        await store.run(twice)
    assert conflict.value.constraint == "pk_lease"
    assert len(calls) == 1


async def test_a_unique_constraint_has_one_name_on_both_databases(store: Store, now: datetime) -> None:
    def two_with_one_handle(session: Session) -> None:
        for _ in range(2):
            session.add(Member(handle="quiet-heron", language="en", zone="UTC", created_at=now))

    with pytest.raises(Conflict) as conflict:
        await store.run(two_with_one_handle)
    assert conflict.value.constraint == "uq_member_handle"


async def test_a_row_that_refers_to_nothing_is_a_conflict(store: Store, now: datetime) -> None:
    grant = RoleGrant(member_id=UUID(int=9), network="uj", role=Role.MENTOR, granted_at=now)
    with pytest.raises(Conflict):
        await store.run(lambda s: s.add(grant))


async def test_an_attempt_that_conflicts_undoes_itself_only(store: Store) -> None:
    def rule(session: Session) -> str | None:
        session.add(place("one"))
        try:
            with attempt(session):
                session.add(place("two"))
                session.add(place("one"))
        except Conflict as conflict:
            session.add(place("three"))
            return conflict.constraint
        return None

    assert await store.run(rule) == "pk_place"
    assert await names(store) == ["one", "three"]


async def test_two_who_read_and_then_write_do_not_overlook_each_other(
    open_store: Callable[[], Store],
) -> None:
    """Each sees whether there is room for one more; both would be right alone."""

    def one_if_none(name: str) -> Callable[[Session], None]:
        def rule(session: Session) -> None:
            if not session.exec(select(Place)).all():
                session.add(place(name))

        return rule

    stores = [open_store() for _ in range(3)]
    await asyncio.gather(*(store.run(one_if_none(f"{n}")) for n in range(5) for store in stores))
    assert len(await names(stores[0])) == 1


async def test_on_sqlite_whoever_reads_and_then_writes_need_not_try_twice(sqlite_store: Store, tmp_path: Path) -> None:
    other = Store(f"sqlite:///{tmp_path}/hub.db", vault=Vault(f"sqlite:///{tmp_path}/keys.db", bytes(range(32))))
    calls = []

    def rule(session: Session) -> None:
        calls.append(1)
        number = len(session.exec(select(Place)).all())
        time.sleep(0.001)
        session.add(place(f"{number}"))

    await asyncio.gather(*(store.run(rule) for _ in range(10) for store in (sqlite_store, other)))
    assert len(calls) == len(await names(sqlite_store)) == 20
    await other.close()


async def test_many_writers_of_one_row_lose_no_update(open_store: Callable[[], Store], now: datetime) -> None:
    stores = [open_store() for _ in range(3)]
    await stores[0].run(lambda s: s.add(Lease(name="n", owner="x", until=now, epoch=0)))

    def count(session: Session) -> None:
        row = session.get(Lease, "n")
        assert row
        row.epoch += 1

    await asyncio.gather(*(store.run(count) for _ in range(10) for store in stores))
    counted = await stores[0].run(lambda s: s.get(Lease, "n"))
    assert counted
    assert counted.epoch == 30


async def test_a_cancelled_transaction_is_there_completely_or_not_at_all(store: Store) -> None:
    started = threading.Event()

    def write(name: str) -> Callable[[Session], None]:
        def both(session: Session) -> None:
            session.add(place(f"{name} first"))
            session.flush()
            started.set()
            session.add(place(f"{name} second"))

        return both

    for n in range(20):
        task = asyncio.create_task(store.run(write(str(n))))
        await asyncio.sleep(0.0005 * n)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    found = await names(store)
    assert {name for name in found if "first" in name} == {n.replace("second", "first") for n in found if "second" in n}
    assert len(found) % 2 == 0


async def test_instants_come_back_in_utc_from_whatever_zone(store: Store) -> None:
    kyiv = datetime(2026, 11, 2, 11, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    await store.run(lambda s: s.add(Lease(name="n", owner="x", until=kyiv)))
    found = await store.run(lambda s: s.get(Lease, "n"))
    assert found
    assert found.until == kyiv
    assert found.until.tzinfo is UTC
    for earlier in (kyiv - timedelta(microseconds=1), kyiv):
        earlier_ones = await store.run(lambda s, at=earlier: s.exec(select(Lease).where(Lease.until <= at)).all())
        assert len(earlier_ones) == (earlier == kyiv)


async def test_an_instant_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="naive"):
        await store.run(lambda s: s.add(Lease(name="n", owner="x", until=datetime(2026, 1, 1))))  # noqa: DTZ001


async def test_a_mistake_in_sql_is_not_hidden(store: Store) -> None:
    with pytest.raises(DBAPIError, match="no_such_table"):
        await store.run(lambda s: s.execute(text("SELECT * FROM no_such_table")) and None)
    assert await names(store) == []


async def test_no_error_shows_the_values_of_a_statement(store: Store, now: datetime) -> None:
    secret = "quiet-heron"
    twice = [Member(handle=secret, language="en", zone="UTC", created_at=now) for _ in range(2)]
    wrong = text("INSERT INTO no_such_table VALUES (:handle)")
    for fails in (lambda s: s.add_all(twice), lambda s: s.execute(wrong, {"handle": secret})):
        with pytest.raises(Exception, match=r".") as failure:
            await store.run(fails)
        assert secret not in "".join(traceback.format_exception(failure.value))


async def test_a_read_only_file_says_so_in_one_sentence(sqlite_store: Store, tmp_path: Path) -> None:
    await sqlite_store.close()
    url = f"sqlite:///file:{tmp_path}/hub.db?mode=ro&uri=true"
    store = Store(url, vault=Vault(f"sqlite:///{tmp_path}/keys.db", bytes(range(32))))
    with pytest.raises(ReadOnly, match="read-only"):
        await store.run(lambda s: s.add(place("x")))
    await store.close()


async def test_a_read_only_server_says_so_in_the_same_sentence(empty_postgres: tuple[str, str]) -> None:
    store = Store(empty_postgres[0], vault=Vault(empty_postgres[1], bytes(range(32))))
    await store.migrate()

    def write(session: Session) -> None:
        session.execute(text("SET TRANSACTION READ ONLY"))
        session.add(place("x"))

    with pytest.raises(ReadOnly, match="read-only"):
        await store.run(write)
    await store.close()


async def test_a_locked_database_is_waited_for(sqlite_store: Store, tmp_path: Path) -> None:
    with closing(sqlite.connect(tmp_path / "hub.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(sqlite_store.run(lambda s: s.add(place("x"))))
        await asyncio.sleep(0.05)
        assert not writing.done()
        other.execute("COMMIT")
        await writing
    assert await names(sqlite_store) == ["x"]


@pytest.mark.usefixtures("sqlite_store")
async def test_a_database_that_stays_locked_is_busy_and_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.01)
    hurried = Store(
        f"sqlite:///{tmp_path}/hub.db",
        vault=Vault(f"sqlite:///{tmp_path}/keys.db", bytes(range(32))),
        patience=timedelta(seconds=0.1),
    )
    with closing(sqlite.connect(tmp_path / "hub.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy, match="nothing was changed"):
            await hurried.run(lambda s: s.add(place("x")))
    assert await names(hurried) == []
    await hurried.close()


async def test_sqlite_is_opened_with_every_safety(sqlite_store: Store) -> None:
    def pragmas(session: Session) -> dict[str, object]:
        wanted = ("foreign_keys", "journal_mode", "secure_delete", "synchronous", "trusted_schema")
        return {name: session.execute(text(f"PRAGMA {name}")).scalar() for name in wanted}

    assert await sqlite_store.run(pragmas) == {
        "foreign_keys": 1,
        "journal_mode": "wal",
        "secure_delete": 1,
        "synchronous": 2,
        "trusted_schema": 0,
    }


def test_an_old_sqlite_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sqlite, "sqlite_version_info", (3, 51, 2))
    with pytest.raises(RuntimeError, match=r"3\.51\.3"):
        engine.connect(f"sqlite:///{tmp_path}/hub.db")


@pytest.mark.parametrize("url", ["mysql://localhost/hub", "sqlite://", "sqlite:///:memory:"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///path"):
        engine.connect(url)


def test_a_table_without_privacy_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="privacy"):
        type("Careless", (Table,), {})


def test_a_privacy_that_is_half_said_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="since"):
        Privacy(what="x", kept=timedelta(days=1), erase=Erasure.KEEP)
    with pytest.raises(TypeError, match="blank"):
        Privacy(what="x", erase=Erasure.BLANK)
    with pytest.raises(TypeError, match="blank"):
        Privacy(what="x", erase=Erasure.DELETE, blank=("a",))


def test_keys_beside_the_data_they_open_are_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hub.db"
    with pytest.raises(ValueError, match="database of its own"):
        Store(url, vault=Vault(url, bytes(32)))
