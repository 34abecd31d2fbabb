import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import text

from storage import audit, forms, inbox, members, outbox, privacy
from storage.members import Member, Role
from storage.sealed import ErasedError, Vault
from storage.store import Session, Store
from storage.table import Erasure, Table, every_table

MASTER = bytes(range(32))


def arrive(name: str, now: datetime) -> Callable[[Session], Member]:
    """Somebody with an account, a room, a role, a form, a message on its way and an entry in the audit."""

    def arrange(session: Session) -> Member:
        person = members.recognise(
            session,
            platform="matrix",
            address=f"@{name}:x",
            language="en",
            zone="UTC",
            rng=Random(name),
            now=now,
        )
        account = members.account(session, platform="matrix", address=f"@{name}:x")
        assert account
        members.set_dm(session, account, "matrix:uj", f"!{name}")
        members.grant(session, actor=None, member=person, network="uj", role=Role.MENTOR, now=now)
        forms.keep(
            session,
            member_id=person.id,
            bot="matrix:uj",
            room="!r",
            call=f"call of {name}",
            asked="x",
            now=now,
        )
        outbox.put(
            session,
            key=f"for {name}",
            sender="matrix:uj",
            owner=person.id,
            payload=f"words for {name}",
            member_id=person.id,
            lane=outbox.Lane.ALERT,
            due_at=now,
            now=now,
        )
        audit.append(session, at=now, network="uj", actor=person.id, action="hours.book", subject="B-1")
        return person

    return arrange


@pytest.fixture
async def ann(store: Store, now: datetime) -> Member:
    return await store.run(arrive("ann", now))


@pytest.fixture
async def bob(store: Store, now: datetime) -> Member:
    return await store.run(arrive("bob", now))


def test_every_table_says_what_it_keeps_and_names_columns_that_exist() -> None:
    for table in every_table():
        declared = table.privacy
        columns = Table.metadata.tables[str(table.__tablename__)].columns
        named = {*declared.whose, *declared.blank, *filter(None, [declared.since])}
        assert declared.what.endswith("."), table
        assert named <= set(columns.keys()), table
        assert all(columns[name].nullable for name in declared.blank), table
        if declared.erase is not Erasure.KEEP:
            assert declared.whose, f"{table}: whose rows would be erased?"


def test_rows_that_outlive_a_person_do_not_hang_on_the_members_row() -> None:
    for table in every_table():
        if table.privacy.erase is Erasure.DELETE:
            continue
        for column in Table.metadata.tables[str(table.__tablename__)].columns:
            if any(key.target_fullname == "member.id" for key in column.foreign_keys):
                assert column.name in table.privacy.blank, f"{table}.{column.name}"


def test_every_column_that_refers_to_a_member_is_declared_as_somebodys() -> None:
    for table in every_table():
        for column in Table.metadata.tables[str(table.__tablename__)].columns:
            if any(key.target_fullname == "member.id" for key in column.foreign_keys):
                assert column.name in table.privacy.whose, f"{table}.{column.name}"


def test_people_are_told_first_what_is_about_them() -> None:
    told = privacy.what()
    assert {item.table for item in told} == {str(table.__tablename__) for table in every_table()}
    about_people = [bool(item.privacy.whose) for item in told]
    assert about_people == sorted(about_people, reverse=True)


async def test_an_export_holds_everything_about_one_person_in_plain_words_and_nothing_of_another(
    store: Store, ann: Member, bob: Member
) -> None:
    exported = await store.run(lambda s: privacy.export(s, ann.id))
    assert {"member", "account", "direct_room", "role_grant", "form", "outbox", "audit_entry"} <= set(exported)
    assert exported["member"][0]["handle"] == ann.handle
    written = json.dumps(exported)
    for word in ("@ann:x", "!ann", "mentor", "call of ann", "words for ann", "hours.book"):
        assert word in written
    assert "bob" not in written
    assert bob.handle not in written
    assert str(bob.id) not in written


async def test_erasing_leaves_nothing_of_one_person_and_everything_of_another(
    store: Store, ann: Member, bob: Member, now: datetime
) -> None:
    before = await store.run(lambda s: privacy.export(s, bob.id))
    report = await store.run(lambda s: privacy.erase(s, ann.id, now))

    assert report.key
    assert report.failed == []
    assert {"member", "account", "direct_room", "role_grant", "form", "outbox"} <= {
        table for table, rows in report.rows.items() if rows
    }
    left = await store.run(lambda s: privacy.export(s, ann.id))
    assert set(left) == {"audit_entry"}, "which names her by an id that means nothing any more"
    assert await store.run(lambda s: privacy.export(s, bob.id)) == before
    assert await store.run(audit.verify) is None


async def test_erasing_twice_is_harmless(store: Store, ann: Member, now: datetime) -> None:
    await store.run(lambda s: privacy.erase(s, ann.id, now))
    again = await store.run(lambda s: privacy.erase(s, ann.id, now))
    assert not again.key
    assert not any(again.rows.values())


async def test_nothing_can_be_stored_for_a_person_after_erasure(store: Store, ann: Member, now: datetime) -> None:
    await store.run(lambda s: privacy.erase(s, ann.id, now))
    with pytest.raises(ErasedError):
        await store.run(lambda s: forms.keep(s, member_id=ann.id, bot="b", room="r", call="x", asked="y", now=now))


async def test_who_is_erased_can_still_be_answered_in_the_same_transaction(
    store: Store, ann: Member, now: datetime
) -> None:
    def erase(session: Session) -> str:
        person = session.get_one(Member, ann.id)
        privacy.erase(session, person.id, now)
        audit.append(session, at=now, network="uj", actor=person.id, action="privacy.erase")
        person.away_until = now
        return person.language

    assert await store.run(erase) == "en"
    assert await store.run(lambda s: s.get(Member, ann.id)) is None


async def test_somebody_who_comes_back_after_erasure_is_somebody_new(store: Store, ann: Member, now: datetime) -> None:
    await store.run(lambda s: privacy.erase(s, ann.id, now))
    back = await store.run(
        lambda s: members.recognise(
            s, platform="matrix", address="@ann:x", language="en", zone="UTC", rng=Random(5), now=now
        )
    )
    assert back.id != ann.id
    assert await store.run(lambda s: members.roles(s, back.id, "uj")) == {Role.GUEST}


async def test_a_table_that_cannot_be_erased_is_reported_and_hinders_no_other(
    store: Store, ann: Member, now: datetime
) -> None:
    def stubborn(session: Session) -> privacy.Report:
        session.execute(
            text("CREATE TABLE stubborn (whose CHAR(32) REFERENCES member (id))")
            if session.get_bind().dialect.name == "sqlite"
            else text("CREATE TABLE stubborn (whose UUID REFERENCES member (id))")
        )
        session.execute(text("INSERT INTO stubborn SELECT id FROM member"))
        report = privacy.erase(session, ann.id, now)
        session.execute(text("DROP TABLE stubborn"))
        return report

    report = await store.run(stubborn)
    assert report.failed == ["member"]
    assert report.rows["account"] == 1
    again = await store.run(lambda s: privacy.erase(s, ann.id, now))
    assert (again.failed, again.rows["member"]) == ([], 1)


async def test_an_old_backup_of_the_data_brings_no_erased_words_back(
    sqlite_store: Store, tmp_path: Path, now: datetime
) -> None:
    ann = await sqlite_store.run(arrive("ann", now))
    bob = await sqlite_store.run(arrive("bob", now))
    _back_up(tmp_path / "hub.db", tmp_path / "backup.db")
    await sqlite_store.run(lambda s: privacy.erase(s, ann.id, now))
    await sqlite_store.close()
    _restore(tmp_path / "backup.db", tmp_path / "hub.db")

    restored = _open(tmp_path)
    rows = await restored.run(lambda s: privacy.export(s, ann.id))
    assert rows["account"][0]["address"] is None
    assert rows["form"][0]["call"] is None
    assert rows["outbox"][0]["payload"] is None
    claimed = await restored.run(
        lambda s: outbox.claim(s, sender="matrix:uj", owner="c", lease=timedelta(minutes=1), limit=9, now=now)
    )
    assert {message.payload for message in claimed} == {None, "words for bob"}

    (report,) = await restored.run(lambda s: privacy.replay(s, now))
    assert report.rows["member"] == 1
    assert set(await restored.run(lambda s: privacy.export(s, ann.id))) == {"audit_entry"}
    assert (await restored.run(lambda s: privacy.export(s, bob.id)))["account"][0]["address"] == "@bob:x"
    assert await restored.run(lambda s: privacy.replay(s, now)) == []
    await restored.close()


async def test_an_old_backup_of_the_keys_brings_no_erased_person_back(
    sqlite_store: Store, tmp_path: Path, now: datetime
) -> None:
    ann = await sqlite_store.run(arrive("ann", now))
    await sqlite_store.run(lambda s: inbox.receive(s, "matrix:uj", [("$1", "waiting")], "t", now))
    _back_up(tmp_path / "keys.db", tmp_path / "old-keys.db")
    _back_up(tmp_path / "hub.db", tmp_path / "old-hub.db")
    await sqlite_store.run(lambda s: privacy.erase(s, ann.id, now))
    _back_up(tmp_path / "hub.db", tmp_path / "new-hub.db")
    await sqlite_store.close()
    _restore(tmp_path / "old-keys.db", tmp_path / "keys.db")

    restored = _open(tmp_path)
    await restored.run(lambda s: privacy.replay(s, now))
    await restored.close()
    # From now on the key store knows again: not even the old data opens.
    _restore(tmp_path / "old-hub.db", tmp_path / "hub.db")
    older = _open(tmp_path)
    rows = await older.run(lambda s: privacy.export(s, ann.id))
    assert rows["account"][0]["address"] is None
    assert await older.run(lambda s: inbox.pending(s, "matrix:uj")) == [("$1", "waiting")]
    await older.close()


async def test_after_a_restore_the_erased_are_erased_and_what_may_have_been_sent_is_looked_for(
    sqlite_store: Store, tmp_path: Path, now: datetime
) -> None:
    ann = await sqlite_store.run(arrive("ann", now))
    await sqlite_store.run(arrive("bob", now))
    _back_up(tmp_path / "hub.db", tmp_path / "backup.db")
    await sqlite_store.run(lambda s: privacy.erase(s, ann.id, now))
    await sqlite_store.close()
    _restore(tmp_path / "backup.db", tmp_path / "hub.db")

    restored, later = _open(tmp_path), now + timedelta(hours=1)
    told = await restored.run(lambda s: privacy.restored(s, later))
    assert ([report.rows["member"] for report in told.erased], told.unsure) == ([1], 1)
    assert (await restored.run(lambda s: privacy.restored(s, later))).erased == []
    (message,) = await restored.run(
        lambda s: outbox.claim(s, sender="matrix:uj", owner="c", lease=timedelta(minutes=1), limit=9, now=later)
    )
    assert (message.payload, message.first_try_at) == ("words for bob", now), "since then it may have been sent"
    await restored.close()


async def test_the_sweep_deletes_what_was_kept_long_enough_and_nothing_else(
    store: Store, ann: Member, now: datetime
) -> None:
    claimed_at = now + timedelta(minutes=1)
    await store.run(
        lambda s: (
            outbox.claim(s, sender="matrix:uj", owner="c", lease=timedelta(minutes=1), limit=9, now=claimed_at) and None
        )
    )
    await store.run(lambda s: outbox.sent(s, "for ann", "c", "$1", claimed_at))
    await store.run(lambda s: inbox.receive(s, "matrix:uj", [("$1", "x"), ("$2", "y")], "t", now))
    await store.run(lambda s: inbox.done(s, "matrix:uj", "$1", now))

    assert await store.run(lambda s: privacy.sweep(s, now + timedelta(days=29))) == {}
    assert await store.run(lambda s: privacy.sweep(s, now + timedelta(days=31))) == {
        "form": 1,
        "inbox": 1,
        "outbox": 1,
    }
    assert await store.run(lambda s: inbox.pending(s, "matrix:uj")) == [("$2", "y")], "it was never answered"
    assert await store.run(lambda s: privacy.sweep(s, now + timedelta(days=4 * 365))) == {"audit_entry": 1}
    assert await store.run(lambda s: s.get(Member, ann.id))


def _open(folder: Path) -> Store:
    return Store(f"sqlite:///{folder}/hub.db", vault=Vault(f"sqlite:///{folder}/keys.db", MASTER))


def _back_up(source: Path, target: Path) -> None:
    """As an operator does: SQLite's own online backup."""
    one, other = sqlite.connect(source), sqlite.connect(target)
    one.backup(other)
    one.close()
    other.close()


def _restore(backup: Path, target: Path) -> None:
    for leftover in target.parent.glob(f"{target.name}-*"):
        leftover.unlink()
    shutil.copy(backup, target)
