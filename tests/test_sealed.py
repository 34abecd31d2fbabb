import asyncio
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import text

from storage import inbox, outbox
from storage.sealed import ErasedError, Sealed, TamperedError, Vault, WrongMasterError, ring
from storage.store import Session, Store

ANN, BOB = UUID(int=1), UUID(int=2)
OLD, NEW = b"o" * 32, b"n" * 32


@pytest.fixture
async def vault(tmp_path: Path) -> Vault:
    vault = Vault(f"sqlite:///{tmp_path}/keys.db", OLD)
    await vault.prepare()
    return vault


async def test_what_is_sealed_opens_again_and_only_where_it_was_sealed(vault: Vault) -> None:
    @given(st.text(), st.uuids())
    def law(words: str, owner: UUID) -> None:
        with vault.ring() as keys:
            envelope = keys.seal(Sealed(owner, words), "case.note")
            assert keys.open(envelope, "case.note") == Sealed(owner, words)
            with pytest.raises(TamperedError):
                keys.open(envelope, "case.title")

    law()


async def test_an_envelope_that_was_changed_anywhere_does_not_open_as_it_was(vault: Vault) -> None:
    with vault.ring() as keys:
        keys.seal(Sealed(BOB, "so that Bob has a key"), "case.note")
        envelope = keys.seal(Sealed(ANN, "meet at nine"), "case.note")
        for where in range(len(envelope)):
            changed = bytearray(envelope)
            changed[where] ^= 1
            try:
                opened = keys.open(bytes(changed), "case.note")
            except TamperedError:
                continue
            assert opened.text is None, "another owner's id, without a key"
        bobs = envelope[:1] + BOB.bytes + envelope[17:]
        with pytest.raises(TamperedError):
            keys.open(bobs, "case.note")


async def test_the_same_words_never_make_the_same_envelope(vault: Vault) -> None:
    with vault.ring() as keys:
        assert len({keys.seal(Sealed(ANN, "x"), "a.b") for _ in range(100)}) == 100


async def test_an_erased_owners_words_are_gone_and_others_stay(vault: Vault, now: datetime) -> None:
    with vault.ring() as keys:
        anns = keys.seal(Sealed(ANN, "a secret"), "a.b")
        bobs = keys.seal(Sealed(BOB, "another"), "a.b")
        assert keys.erase(ANN, now)
        assert keys.open(anns, "a.b") == Sealed(ANN, None), "also in the transaction that erases"
    with vault.ring() as keys:
        assert keys.open(anns, "a.b") == Sealed(ANN, None)
        assert keys.open(bobs, "a.b").text == "another"
        assert keys.erased(ANN)
        assert not keys.erased(BOB)
        assert not keys.erase(ANN, now), "a second time there is no key left"


async def test_nothing_can_be_sealed_for_somebody_who_was_erased(vault: Vault, now: datetime) -> None:
    with vault.ring() as keys:
        keys.erase(ANN, now)
        with pytest.raises(ErasedError):
            keys.seal(Sealed(ANN, "late"), "a.b")
    with vault.ring() as keys, pytest.raises(ErasedError):
        keys.seal(Sealed(ANN, "later"), "a.b")


async def test_an_erased_key_is_in_no_file_of_the_key_store(vault: Vault, now: datetime, tmp_path: Path) -> None:
    with vault.ring() as keys:
        for owner in (ANN, *(uuid4() for _ in range(50))):
            keys.seal(Sealed(owner, "x"), "a.b")
    with closing(sqlite.connect(tmp_path / "keys.db")) as raw:
        (wrapped,) = raw.execute("SELECT wrapped FROM data_key WHERE subject = ?", (ANN.hex,)).fetchone()
    assert wrapped in _everything_in(tmp_path)

    with vault.ring() as keys:
        keys.erase(ANN, now)
    assert wrapped not in _everything_in(tmp_path)
    assert ANN.hex.encode() not in _everything_in(tmp_path)
    assert ANN.bytes not in _everything_in(tmp_path)


async def test_a_key_that_another_process_erased_is_gone_with_the_next_transaction(
    vault: Vault, now: datetime, tmp_path: Path
) -> None:
    with vault.ring() as keys:
        envelope = keys.seal(Sealed(ANN, "x"), "a.b")
    with Vault(f"sqlite:///{tmp_path}/keys.db", OLD).ring() as other:
        other.erase(ANN, now)
    with vault.ring() as keys:
        assert keys.open(envelope, "a.b").text is None


async def test_rotation_wraps_every_key_anew_and_loses_nothing(vault: Vault, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    with vault.ring() as keys:
        envelope = keys.seal(Sealed(ANN, "x"), "a.b")
        blind = keys.blind("account", "@ann:x")

    both = Vault(url, NEW, former=[OLD])
    await both.prepare()
    assert await both.rotate() == 2, "Ann's key and the house's own"
    assert await both.rotate() == 0

    renewed = Vault(url, NEW)
    await renewed.prepare()
    with renewed.ring() as keys:
        assert keys.open(envelope, "a.b").text == "x"
        assert keys.blind("account", "@ann:x") == blind
    with pytest.raises(WrongMasterError):
        await Vault(url, OLD).prepare()


def test_a_master_key_has_32_bytes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Vault(f"sqlite:///{tmp_path}/keys.db", b"short")


async def test_a_blind_index_tells_values_and_places_and_key_stores_apart(vault: Vault, tmp_path: Path) -> None:
    other = Vault(f"sqlite:///{tmp_path}/other.db", OLD)
    await other.prepare()
    with vault.ring() as keys, other.ring() as others:
        marks = [
            keys.blind("account", "@ann:x"),
            keys.blind("account", "@Ann:x"),
            keys.blind("case", "@ann:x"),
            others.blind("account", "@ann:x"),
        ]
        assert len(set(marks)) == 4
        assert keys.blind("account", "@ann:x") == marks[0]


def test_sealed_words_are_in_no_repr() -> None:
    assert "secret" not in repr(Sealed(ANN, "secret"))


def test_sealed_values_exist_only_inside_a_transaction() -> None:
    with pytest.raises(RuntimeError, match=r"Store\.run"):
        ring()


def _put(now: datetime, owner: UUID, words: str) -> Callable[[Session], bool]:
    return lambda s: outbox.put(
        s,
        key=f"key of {owner}",
        sender="matrix:uj",
        owner=owner,
        payload=words,
        member_id=owner,
        lane=outbox.Lane.REPLY,
        due_at=now,
        now=now,
    )


async def test_no_sealed_word_is_in_any_file_of_the_database(
    sqlite_store: Store, now: datetime, tmp_path: Path
) -> None:
    planted = "PLANTED-зерно-SECRET"
    await sqlite_store.run(_put(now, ANN, planted))

    everything = _everything_in(tmp_path)
    assert b"key of " in everything, "the search would find what is plain"
    for word in ("PLANTED", "зерно", "SECRET"):
        assert word.encode() not in everything


async def test_processes_that_seal_for_somebody_new_at_once_use_one_key(
    open_store: Callable[[], Store], now: datetime
) -> None:
    def put(n: int) -> Callable[[Session], bool]:
        return lambda s: outbox.put(
            s,
            key=f"{n}",
            sender="matrix:uj",
            owner=ANN,
            payload=f"words {n}",
            place="!room",
            lane=outbox.Lane.REPLY,
            due_at=now,
            now=now,
        )

    stores = [open_store() for _ in range(4)]
    await asyncio.gather(*(store.run(put(n)) for n, store in enumerate(stores)))
    lease = timedelta(minutes=1)
    claimed = await stores[0].run(
        lambda s: outbox.claim(s, sender="matrix:uj", owner="c", lease=lease, limit=9, now=now)
    )
    assert [message.payload for message in claimed] == [f"words {n}" for n in range(4)]


async def test_a_row_moved_to_another_column_is_refused(store: Store, now: datetime) -> None:
    await store.run(_put(now, ANN, "words"))
    move = text("INSERT INTO inbox (bot, key, received_at, nth, heard) SELECT 'b', key, put_at, 0, payload FROM outbox")
    await store.run(lambda s: s.execute(move) and None)
    with pytest.raises(TamperedError):
        await store.run(lambda s: s.get(inbox.Inbox, ("b", f"key of {ANN}")))


async def test_a_key_store_that_lost_a_key_reads_as_erased(sqlite_store: Store, now: datetime, tmp_path: Path) -> None:
    await sqlite_store.run(_put(now, ANN, "anns"))
    await sqlite_store.run(_put(now, BOB, "bobs"))
    with closing(sqlite.connect(tmp_path / "keys.db")) as raw:
        raw.execute("DELETE FROM data_key WHERE subject = ?", (ANN.hex,))
        raw.commit()
    payloads = await sqlite_store.run(
        lambda s: {owner: s.get(outbox.Outbox, f"key of {owner}").payload.text for owner in (ANN, BOB)}
    )
    assert payloads == {ANN: None, BOB: "bobs"}


async def test_the_key_of_a_transaction_that_failed_does_no_harm(store: Store, now: datetime) -> None:
    def crash(session: Session) -> None:
        _put(now, ANN, "first")(session)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        await store.run(crash)
    assert await store.run(_put(now, ANN, "second"))


def _everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())
