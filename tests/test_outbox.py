import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from storage import outbox
from storage.outbox import Claimed, Lane
from storage.sealed import Vault
from storage.store import Session, Store

ANN = UUID(int=1)
SENDER = "matrix:uj"
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def put(session: Session, key: str, now: datetime, **facts: object) -> bool:
    return outbox.put(
        session,
        **{
            "key": key,
            "sender": SENDER,
            "owner": ANN,
            "payload": f"words of {key}",
            "member_id": ANN,
            "lane": Lane.ALERT,
            "due_at": now,
            "now": now,
            **facts,
        },
    )


def claim(session: Session, now: datetime, courier: str = "c1", limit: int = 10) -> list[Claimed]:
    return outbox.claim(session, sender=SENDER, owner=courier, lease=MINUTE, limit=limit, now=now)


def damage(session: Session, key: str, stored: bytes) -> None:
    session.execute(text("UPDATE outbox SET payload = :stored WHERE key = :key"), {"key": key, "stored": stored})


def unsent(session: Session) -> int:
    waiting = text("SELECT count(*) FROM outbox WHERE state = 'pending'")
    return int(session.execute(waiting).scalar_one())


def keys(claimed: list[Claimed]) -> list[str]:
    return [message.key for message in claimed]


async def test_a_message_is_put_once_however_often_it_is_asked_for(store: Store, now: datetime) -> None:
    assert await store.run(lambda s: put(s, "a", now))
    assert not await store.run(lambda s: put(s, "a", now, payload="other words"))

    (message,) = await store.run(lambda s: claim(s, now))
    assert message.payload == "words of a"
    assert message.member_id == ANN
    assert message.tx_id == outbox.tx_id("a")
    assert len(message.tx_id) == 24

    await store.run(lambda s: outbox.sent(s, "a", "c1", "$1", now))
    assert not await store.run(lambda s: put(s, "a", now)), "not even after it was sent"


async def test_a_message_that_was_put_in_a_failed_transaction_was_never_put(store: Store, now: datetime) -> None:
    def crash(session: Session) -> None:
        put(session, "a", now)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        await store.run(crash)
    assert await store.run(lambda s: claim(s, now)) == []


async def test_a_message_goes_to_a_person_or_to_a_room(store: Store, now: datetime) -> None:
    for wrong in ({"member_id": None}, {"place": "!room"}):
        with pytest.raises(ValueError, match="a member or to a place"):
            await store.run(lambda s, wrong=wrong: put(s, "a", now, **wrong))
    assert await store.run(lambda s: put(s, "a", now, member_id=None, place="!room"))
    (message,) = await store.run(lambda s: claim(s, now))
    assert (message.member_id, message.place) == (None, "!room")


async def test_replies_go_before_alerts_and_alerts_before_digests(store: Store, now: datetime) -> None:
    def fill(session: Session) -> None:
        put(session, "digest", now - 3 * SECOND, lane=Lane.DIGEST)
        put(session, "late alert", now)
        put(session, "early alert", now - SECOND)
        put(session, "reply", now, lane=Lane.REPLY)
        put(session, "tomorrow", now + timedelta(days=1), lane=Lane.REPLY)
        put(session, "another's", now, lane=Lane.REPLY, sender="discord:uj")

    await store.run(fill)
    assert keys(await store.run(lambda s: claim(s, now, limit=2))) == ["reply", "early alert"]
    assert keys(await store.run(lambda s: claim(s, now))) == ["late alert", "digest"]
    assert keys(await store.run(lambda s: claim(s, now + timedelta(days=1), "c2", 1))) == ["reply"]


async def test_a_claimed_message_is_nobody_elses_until_the_lease_ends(store: Store, now: datetime) -> None:
    await store.run(lambda s: put(s, "a", now))
    (first,) = await store.run(lambda s: claim(s, now))
    assert (first.tries, first.first_try_at, first.claimed_until) == (1, None, now + MINUTE)

    assert await store.run(lambda s: claim(s, now + MINUTE - SECOND, "c2")) == []
    (second,) = await store.run(lambda s: claim(s, now + MINUTE, "c2"))
    assert (second.tries, second.first_try_at, second.tx_id) == (2, now, first.tx_id)

    late = now + MINUTE + SECOND
    assert not await store.run(lambda s: outbox.again(s, "a", "c1", late, "timeout"))
    assert not await store.run(lambda s: outbox.dead(s, "a", "c1", "gone", late))
    assert not await store.run(lambda s: outbox.postpone(s, "a", "c1", late))
    assert await store.run(lambda s: outbox.sent(s, "a", "c1", "$1", late)), "but what is out is out"
    assert not await store.run(lambda s: outbox.sent(s, "a", "c2", "$1", late))


async def test_a_sent_message_keeps_the_remote_id_and_forgets_the_words(store: Store, now: datetime) -> None:
    await store.run(lambda s: put(s, "a", now))
    await store.run(lambda s: claim(s, now))
    await store.run(lambda s: outbox.sent(s, "a", "c1", "$event", now + SECOND))

    row = await store.run(lambda s: s.get(outbox.Outbox, "a"))
    assert row
    assert (row.state, row.remote_id, row.ended_at, row.payload) == ("sent", "$event", now + SECOND, None)
    assert await store.run(lambda s: claim(s, now + timedelta(days=9))) == []


async def test_whatever_has_ended_names_no_room(store: Store, now: datetime) -> None:
    for key in ("sent", "dead", "expired", "unreadable"):
        facts = {"member_id": None, "place": "!a private room"}
        if key == "expired":
            facts["expires_at"] = now + SECOND
        await store.run(lambda s, key=key, facts=facts: put(s, key, now, **facts))
    await store.run(lambda s: damage(s, "unreadable", b"\x01 no envelope"))
    claimed = await store.run(lambda s: claim(s, now))
    assert {message.place for message in claimed} == {"!a private room"}
    await store.run(lambda s: outbox.sent(s, "sent", "c1", "$1", now))
    await store.run(lambda s: outbox.dead(s, "dead", "c1", "M_FORBIDDEN", now))
    await store.run(lambda s: outbox.again(s, "expired", "c1", now, "timeout"))
    await store.run(lambda s: claim(s, now + SECOND))

    rows = await store.run(lambda s: s.execute(text("SELECT state, error, place, payload FROM outbox")).all())
    assert {(row.state, row.error) for row in rows} == {
        ("sent", None),
        ("dead", "M_FORBIDDEN"),
        ("dead", "expired"),
        ("dead", "unreadable"),
    }
    assert {(row.place, row.payload) for row in rows} == {(None, None)}


@pytest.mark.parametrize("harm", ["a bit", "the end", "all but the version", "the version", "everything"])
async def test_a_message_that_cannot_be_opened_is_given_up_and_the_others_go_on(
    store: Store, now: datetime, harm: str
) -> None:
    for key in "abc":
        await store.run(lambda s, key=key: put(s, key, now))
    stored = await store.run(
        lambda s: bytes(s.execute(text("SELECT payload FROM outbox WHERE key = 'b'")).scalar_one())
    )
    broken = {
        "a bit": stored[:-1] + bytes([stored[-1] ^ 1]),
        "the end": stored[:-20],
        "all but the version": stored[:1],
        "the version": b"\x02" + stored[1:],
        "everything": b"",
    }
    await store.run(lambda s: damage(s, "b", broken[harm]))

    assert keys(await store.run(lambda s: claim(s, now))) == ["a", "c"]
    row = await store.run(lambda s: s.get(outbox.Outbox, "b"))
    assert row
    assert (row.state, row.error, row.payload, row.ended_at) == ("dead", "unreadable", None, now)
    assert keys(await store.run(lambda s: claim(s, now + 2 * MINUTE))) == ["a", "c"]


async def test_a_failed_try_comes_again_at_the_time_said_and_counts(store: Store, now: datetime) -> None:
    await store.run(lambda s: put(s, "a", now))
    await store.run(lambda s: claim(s, now))
    assert await store.run(lambda s: outbox.again(s, "a", "c1", now + 5 * MINUTE, "timeout"))

    assert await store.run(lambda s: claim(s, now + 5 * MINUTE - SECOND)) == []
    (message,) = await store.run(lambda s: claim(s, now + 5 * MINUTE))
    assert (message.tries, message.first_try_at) == (2, now)


async def test_postponing_is_no_try(store: Store, now: datetime) -> None:
    await store.run(lambda s: put(s, "a", now))
    await store.run(lambda s: claim(s, now))
    assert await store.run(lambda s: outbox.postpone(s, "a", "c1", now + 5 * MINUTE))
    (message,) = await store.run(lambda s: claim(s, now + 5 * MINUTE))
    assert (message.tries, message.first_try_at) == (1, None)

    await store.run(lambda s: outbox.again(s, "a", "c1", now + 6 * MINUTE, "timeout"))
    await store.run(lambda s: claim(s, now + 6 * MINUTE))
    await store.run(lambda s: outbox.postpone(s, "a", "c1", now + 9 * MINUTE))
    (message,) = await store.run(lambda s: claim(s, now + 9 * MINUTE))
    assert (message.tries, message.first_try_at) == (2, now + 5 * MINUTE), "the first real try is remembered"


async def test_a_dead_message_never_comes_again_and_its_words_are_forgotten(store: Store, now: datetime) -> None:
    await store.run(lambda s: put(s, "a", now))
    await store.run(lambda s: claim(s, now))
    assert await store.run(lambda s: outbox.dead(s, "a", "c1", "M_FORBIDDEN", now))
    assert await store.run(lambda s: claim(s, now + timedelta(days=9))) == []
    row = await store.run(lambda s: s.get(outbox.Outbox, "a"))
    assert row
    assert (row.state, row.error, row.payload) == ("dead", "M_FORBIDDEN", None)


async def test_an_expired_message_is_given_up_unless_it_is_being_sent(store: Store, now: datetime) -> None:
    await store.run(lambda s: put(s, "a", now, expires_at=now + 10 * SECOND))
    await store.run(lambda s: put(s, "b", now, expires_at=now + 10 * SECOND))
    assert keys(await store.run(lambda s: claim(s, now, limit=1))) == ["a"]
    assert await store.run(lambda s: claim(s, now + 10 * SECOND)) == []

    rows = await store.run(lambda s: {key: s.get(outbox.Outbox, key) for key in "ab"})
    assert rows["a"].state == "pending"
    assert (rows["b"].state, rows["b"].error, rows["b"].payload) == ("dead", "expired", None)
    assert await store.run(lambda s: outbox.sent(s, "a", "c1", "$1", now + 20 * SECOND))


async def test_after_a_restore_whatever_was_due_is_looked_for_before_it_is_sent(store: Store, now: datetime) -> None:
    await store.run(lambda s: put(s, "due", now))
    await store.run(lambda s: put(s, "later", now, due_at=now + 5 * MINUTE))
    assert await store.run(lambda s: outbox.suspect(s, now + SECOND)) == 1

    claimed = await store.run(lambda s: claim(s, now + 5 * MINUTE))
    assert {message.key: message.first_try_at for message in claimed} == {"due": now, "later": None}


async def test_what_a_dead_courier_had_in_hand_is_free_when_its_successor_resumes(store: Store, now: datetime) -> None:
    for key, sender in (("a", SENDER), ("b", SENDER), ("c", "matrix:climate")):
        await store.run(lambda s, key=key, sender=sender: put(s, key, now, sender=sender))
    await store.run(lambda s: claim(s, now, "dead", limit=1))
    await store.run(lambda s: claim(s, now, "alive"))
    await store.run(lambda s: outbox.claim(s, sender="matrix:climate", owner="dead", lease=MINUTE, limit=1, now=now))
    assert await store.run(lambda s: claim(s, now + SECOND, "alive")) == []
    assert await store.run(lambda s: outbox.resume(s, sender=SENDER, owner="alive")) == 1
    again = await store.run(lambda s: claim(s, now + SECOND, "alive"))
    assert [(message.key, message.tries, message.first_try_at) for message in again] == [("a", 2, now)]


async def test_a_bucket_gives_its_burst_at_once_and_then_its_rate(store: Store, now: datetime) -> None:
    async def take(n: int, at: datetime, sender: str = SENDER) -> int:
        return await store.run(lambda s: outbox.take(s, sender, n, at, rate=0.5, burst=5))

    assert [await take(3, now), await take(3, now), await take(3, now)] == [3, 2, 0]
    assert await take(9, now, "discord:uj") == 5
    assert await take(9, now + 3 * SECOND) == 1
    assert await take(9, now + 4 * SECOND) == 1, "a half token was not lost"
    assert await take(9, now + timedelta(days=1)) == 5
    assert await take(9, now) == 0, "a clock that was set back gives nothing"
    assert await take(9, now + 2 * SECOND) == 1, "and fills the bucket from then on"


class Delivery(RuleBasedStateMachine):
    """Two couriers that may die anywhere, and a platform that forgets a transaction id after an hour."""

    window = timedelta(hours=1)

    def __init__(self, runner: asyncio.Runner, store: Store, now: datetime) -> None:
        super().__init__()
        self.runner, self.store, self.now = runner, store, now
        self.known: dict[str, datetime] = {}  # the platform: transaction ids it remembers
        self.arrived: Counter[str] = Counter()
        self.asked: set[str] = set()
        self.held: list[tuple[str, Claimed]] = []
        self.run(lambda s: s.execute(text("DELETE FROM outbox")) and None)

    def run(self, fn: Callable[[Session], object]) -> object:
        return self.runner.run(self.store.run(fn))

    @rule(key=st.sampled_from("abcdef"), lane=st.sampled_from(Lane), delay=st.sampled_from([0, 30, 600]))
    def put(self, key: str, lane: Lane, delay: int) -> None:
        new = self.run(lambda s: put(s, key, self.now, lane=lane, due_at=self.now + delay * SECOND))
        assert new == (key not in self.asked)
        self.asked.add(key)

    @rule(courier=st.sampled_from(["c1", "c2"]), limit=st.integers(1, 3))
    def claim(self, courier: str, limit: int) -> None:
        claimed = self.run(lambda s: claim(s, self.now, courier, limit))
        assert claimed == sorted(claimed, key=lambda m: (m.lane, m.due_at, m.key))
        valid = {m.key for _, m in self.held if m.claimed_until > self.now}
        assert not valid & {m.key for m in claimed}
        self.held += [(courier, m) for m in claimed]

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        fate=st.sampled_from(["ok", "answer lost", "refused", "postponed", "dies before", "dies after"]),
    )
    def deliver(self, data: st.DataObject, fate: str) -> None:
        courier, message = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.send(courier, message, fate)

    @rule(seconds=st.sampled_from([1, 20, 61, 1800, 4000]))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @invariant()
    def nothing_arrives_twice(self) -> None:
        assert not [key for key, times in self.arrived.items() if times > 1]

    def send(self, courier: str, message: Claimed, fate: str) -> None:
        key, now = message.key, self.now
        if fate == "dies before" or now >= message.claimed_until:
            return
        if fate == "postponed":
            self.run(lambda s: outbox.postpone(s, key, courier, now + 30 * SECOND))
            return
        if fate == "refused":
            self.run(lambda s: outbox.again(s, key, courier, now + 5 * SECOND, "429"))
            return
        forgotten = message.first_try_at is not None and now - message.first_try_at >= self.window
        if not (forgotten and self.arrived[key]):  # beyond the platform's memory look before sending
            seen = self.known.get(message.tx_id)
            if seen is None or now - seen >= self.window:
                self.arrived[key] += 1
                self.known[message.tx_id] = now
        if fate == "ok":
            assert self.run(lambda s: outbox.sent(s, key, courier, f"${key}", now))

    def teardown(self) -> None:
        """Once all is well again, everything that was asked for arrives exactly once."""
        for _ in range(8):
            self.now += 11 * MINUTE
            self.held.clear()
            self.claim("c1", 10)
            while self.held:
                self.send(*self.held.pop(0), "ok")
        assert self.arrived == Counter(self.asked)
        assert self.run(unsent) == 0


def test_nothing_is_lost_and_nothing_is_said_twice(urls: tuple[str, str], now: datetime) -> None:
    with asyncio.Runner() as runner:
        store = Store(urls[0], vault=Vault(urls[1], bytes(range(32))), synchronous="OFF")
        run_state_machine_as_test(
            lambda: Delivery(runner, store, now),
            settings=settings(
                max_examples=60 if "sqlite" in urls[0] else 15,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        runner.run(store.close())


COURIER = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from uuid import UUID
from sqlalchemy import text
from storage import outbox
from storage.sealed import Vault
from storage.store import Store

async def main(me, store_url, keys_url, log):
    store = Store(store_url, vault=Vault(keys_url, bytes(range(32))), synchronous="OFF")
    now = datetime.now(UTC)
    for n in range(40):
        await store.run(lambda s: outbox.put(
            s, key=f"k{n}", sender="matrix:uj", owner=UUID(int=n % 3 + 1), payload="words", place="!room",
            lane=outbox.Lane.ALERT, due_at=now, now=now,
        ))
    with open(log, "a") as said:
        while True:
            now = datetime.now(UTC)
            claimed = await store.run(lambda s: outbox.claim(
                s, sender="matrix:uj", owner=me, lease=timedelta(seconds=1), limit=3, now=now,
            ))
            if not claimed:
                waiting = text("SELECT count(*) FROM outbox WHERE state = 'pending'")
                if await store.run(lambda s: s.execute(waiting).scalar_one()) == 0:
                    break
                await asyncio.sleep(0.02)
            for message in claimed:
                assert message.payload == "words"
                print(message.tx_id, message.key, file=said, flush=True)
                await store.run(lambda s: outbox.sent(s, message.key, me, "$" + message.key, datetime.now(UTC)))
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


def test_several_processes_of_which_one_is_killed_deliver_everything(urls: tuple[str, str], tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", COURIER, f"c{n}", *urls, tmp_path / f"said-{n}"]) for n in range(3)
    ]
    victim = _first(lambda: next((n for n in range(3) if _lines(tmp_path / f"said-{n}") > 1), None))
    processes[victim].kill()
    for process in processes:
        process.wait(timeout=60)

    assert [process.returncode for n, process in enumerate(processes) if n != victim] == [0, 0]
    said = [line.split() for log in tmp_path.glob("said-*") for line in log.read_text().splitlines()]
    assert {key for _, key in said} == {f"k{n}" for n in range(40)}
    # The one that was killed may have been between saying and noting it down: same transaction id, same event.
    assert len({tx for tx, _ in said}) == 40
    assert len(said) <= 41


def _lines(log: Path) -> int:
    return log.read_text().count("\n") if log.exists() else 0


def _first(look: Callable[[], int | None]) -> int:
    deadline = time.monotonic() + 30
    while (found := look()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return found
