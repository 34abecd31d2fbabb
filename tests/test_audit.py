import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest
from sqlalchemy import text

from commands import FEATURES
from storage import audit
from storage.store import Session, Store
from tests.transcript import Stage

ANN = UUID(int=1)


def entries(how_many: int, now: datetime) -> Callable[[Session], None]:
    def append(session: Session) -> None:
        for n in range(how_many):
            audit.append(
                session,
                at=now + timedelta(minutes=n),
                network="uj",
                actor=ANN,
                action="hours.book",
                subject=f"B-{n}",
            )

    return append


async def test_an_untouched_chain_verifies(store: Store, now: datetime) -> None:
    assert await store.run(audit.verify) is None
    await store.run(entries(5, now))
    await store.run(lambda s: audit.append(s, at=now, network="uj", actor=None, action="digest"))
    assert await store.run(audit.verify) is None


async def test_it_does_not_matter_in_which_zone_an_instant_is_told(store: Store, now: datetime) -> None:
    kyiv = now.astimezone(timezone(timedelta(hours=2))) + timedelta(microseconds=7)
    await store.run(lambda s: audit.append(s, at=kyiv, network="uj", actor=None, action="x"))
    assert await store.run(audit.verify) is None


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        ("UPDATE audit_entry SET subject = 'B-9' WHERE seq = 3", 3),
        ("UPDATE audit_entry SET actor = NULL WHERE seq = 3", 3),
        ("UPDATE audit_entry SET hash = prev WHERE seq = 3", 3),
        ("DELETE FROM audit_entry WHERE seq = 3", 4),
        ("UPDATE audit_entry SET seq = 9 WHERE seq = 3", 4),
    ],
)
async def test_a_chain_that_was_changed_says_where(store: Store, now: datetime, tampering: str, broken: int) -> None:
    await store.run(entries(6, now))
    await store.run(lambda s: s.execute(text(tampering)) and None)
    assert await store.run(audit.verify) == broken


async def test_who_changes_an_entry_and_its_hash_breaks_the_next_one(store: Store, now: datetime) -> None:
    await store.run(entries(6, now))

    def forge(session: Session) -> None:
        entry = session.get_one(audit.AuditEntry, 3)
        entry.subject = "B-9"
        entry.hash = audit._digest({name: value for name, value in entry.model_dump().items() if name != "hash"})

    await store.run(forge)
    assert await store.run(audit.verify) == 4


async def test_a_chain_whose_oldest_entries_were_due_to_go_still_verifies(store: Store, now: datetime) -> None:
    await store.run(entries(6, now))
    await store.run(lambda s: s.execute(text("DELETE FROM audit_entry WHERE seq <= 2")) and None)
    assert await store.run(audit.verify) is None
    await store.run(lambda s: s.execute(text("UPDATE audit_entry SET action = 'x' WHERE seq = 3")) and None)
    assert await store.run(audit.verify) == 3


async def test_the_latest_entries_of_a_network_come_first(store: Store, now: datetime) -> None:
    await store.run(entries(4, now))
    await store.run(lambda s: audit.append(s, at=now, network="climate", actor=None, action="other"))
    latest = await store.run(lambda s: audit.recent(s, "uj", 2))
    assert [entry.subject for entry in latest] == ["B-3", "B-2"]
    assert latest[0].at == now + timedelta(minutes=3)


async def test_processes_that_append_at_once_make_one_chain(open_store: Callable[[], Store], now: datetime) -> None:
    stores = [open_store() for _ in range(3)]
    await asyncio.gather(*(store.run(entries(2, now)) for store in stores for _ in range(8)))
    assert await stores[0].run(audit.verify) is None
    assert len(await stores[0].run(lambda s: audit.recent(s, "uj", 100))) == 48


async def test_nobody_reads_in_the_audit_who_works_on_cases_and_with_whom(sqlite_store: Store) -> None:
    stage = Stage(sqlite_store)
    cast = {"ann": "member", "rita": "member", "mara": "mentor", "cleo": "coordinator", "ada": "admin+coordinator"}
    for name, role in cast.items():
        await stage.cast(name, role, "en", "Europe/Kyiv")
    await stage.say("ann", "case open tool=uj-complaint title=Nightjar forum=prosecutor jurisdiction=DE")
    code = next(word.strip(",.:") for word in " ".join(stage.lines).split() if word.startswith("C-"))
    for who, line in (
        ("ann", f"case invite {code} rita part=researcher"),
        ("rita", f"case join {code}"),
        ("ann", "feedback give tool=uj-complaint worked=patience"),
        ("ann", "ask put which court hears such complaints"),
        ("mara", "hours offer Tue 16:00-18:00"),
    ):
        await stage.say(who, line)
    confidential = {feature.name for feature in FEATURES if feature.confidential}
    for reader in ("cleo", "ada"):
        stage.lines.clear()
        await stage.say(reader, "audit show")
        rows = [line.split() for line in stage.lines if any(action in line for action in (*confidential, "hours"))]
        assert {"case open", "case invite", "case join"} <= _actions(stage.lines)
        for row in rows:
            named = set(cast) & set(row)
            assert named == ({"mara"} if "hours" in row else set()), row
        assert code not in " ".join(stage.lines)


def _actions(lines: list[str]) -> set[str]:
    return {" ".join(line.split()[-3:-1]) for line in lines}
