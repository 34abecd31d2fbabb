from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from storage import inbox
from storage.store import Session, Store

BOT = "matrix:uj"


async def test_what_was_received_is_pending_in_the_order_in_which_it_came(store: Store, now: datetime) -> None:
    later = now + timedelta(seconds=1)
    await store.run(lambda s: inbox.receive(s, BOT, [("$b", "two"), ("$a", "three")], "t2", later))
    await store.run(lambda s: inbox.receive(s, BOT, [("$c", "one")], "t1", now))

    assert await store.run(lambda s: inbox.pending(s, BOT)) == [("$c", "one"), ("$b", "two"), ("$a", "three")]
    assert await store.run(lambda s: inbox.pending(s, "matrix:climate")) == []


async def test_what_the_platform_tells_twice_is_received_once(store: Store, now: datetime) -> None:
    first = await store.run(lambda s: inbox.receive(s, BOT, [("$a", "x"), ("$b", "y")], "t1", now))
    again = await store.run(lambda s: inbox.receive(s, BOT, [("$b", "y"), ("$c", "z")], "t2", now))

    assert (first, again) == (2, 1)
    assert [key for key, _ in await store.run(lambda s: inbox.pending(s, BOT))] == ["$a", "$b", "$c"]


async def test_what_is_done_is_no_longer_pending_and_stays_done_when_told_again(store: Store, now: datetime) -> None:
    await store.run(lambda s: inbox.receive(s, BOT, [("$a", "x")], "t1", now))
    assert not await store.run(lambda s: inbox.is_done(s, BOT, "$a"))

    assert await store.run(lambda s: inbox.done(s, BOT, "$a", now))
    assert not await store.run(lambda s: inbox.done(s, BOT, "$a", now))

    await store.run(lambda s: inbox.receive(s, BOT, [("$a", "x")], "t2", now))
    assert await store.run(lambda s: inbox.is_done(s, BOT, "$a"))
    assert await store.run(lambda s: inbox.pending(s, BOT)) == []


async def test_what_is_done_is_kept_without_its_words(store: Store, now: datetime) -> None:
    await store.run(lambda s: inbox.receive(s, BOT, [("$a", "x")], "t1", now))
    await store.run(lambda s: inbox.done(s, BOT, "$a", now))
    row = await store.run(lambda s: s.get(inbox.Inbox, (BOT, "$a")))
    assert row
    assert (row.heard, row.done_at) == (None, now)


async def test_the_room_is_told_by_no_column(store: Store, now: datetime) -> None:
    await store.run(lambda s: inbox.receive(s, BOT, [("$a", '{"room": "!a private room"}')], "t1", now))
    (row,) = await store.run(lambda s: s.execute(text("SELECT * FROM inbox")).all())
    assert "private" not in str(tuple(row))


@pytest.mark.parametrize("length", [0, 1, 20, 44, 60])
async def test_what_cannot_be_opened_is_done_and_the_rest_is_answered(store: Store, now: datetime, length: int) -> None:
    events = [("$a", "one"), ("$b", "two " * 20), ("$c", "three")]
    await store.run(lambda s: inbox.receive(s, BOT, events, "t1", now))

    def damage(session: Session) -> None:
        stored = session.execute(text("SELECT heard FROM inbox WHERE key = '$b'")).scalar_one()
        harm = text("UPDATE inbox SET heard = :stored WHERE key = '$b'")
        session.execute(harm, {"stored": bytes(stored)[:length]})

    await store.run(damage)
    for _ in range(2):
        assert await store.run(lambda s: inbox.pending(s, BOT)) == [("$a", "one"), ("$c", "three")]
    assert await store.run(lambda s: inbox.is_done(s, BOT, "$b"))
    row = await store.run(lambda s: s.get(inbox.Inbox, (BOT, "$b")))
    assert row
    assert row.heard is None


async def test_an_event_that_was_never_received_is_done_once(store: Store, now: datetime) -> None:
    assert await store.run(lambda s: inbox.done(s, "discord:uj", "77", now))
    assert not await store.run(lambda s: inbox.done(s, "discord:uj", "77", now))
    assert await store.run(lambda s: inbox.is_done(s, "discord:uj", "77"))
    assert not await store.run(lambda s: inbox.is_done(s, BOT, "77"))


async def test_events_and_the_token_behind_them_are_kept_together_or_not_at_all(store: Store, now: datetime) -> None:
    await store.run(lambda s: inbox.receive(s, BOT, [], "t1", now))

    def crash(session: Session) -> None:
        inbox.receive(session, BOT, [("$a", "x")], "t2", now)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        await store.run(crash)
    assert await store.run(lambda s: inbox.since(s, BOT)) == "t1"
    assert await store.run(lambda s: inbox.pending(s, BOT)) == []


async def test_a_bot_that_never_read_has_no_token_and_a_missing_token_changes_nothing(
    store: Store, now: datetime
) -> None:
    assert await store.run(lambda s: inbox.since(s, BOT)) is None
    await store.run(lambda s: inbox.receive(s, BOT, [], "t1", now))
    await store.run(lambda s: inbox.receive(s, BOT, [], None, now))
    assert await store.run(lambda s: inbox.since(s, BOT)) == "t1"
