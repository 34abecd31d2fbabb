import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from storage import leases
from storage.store import Store

MINUTE = timedelta(minutes=1)


async def test_a_lease_has_one_holder_until_it_ends(store: Store, now: datetime) -> None:
    assert await store.run(lambda s: leases.take(s, "clock", "ann", for_=MINUTE, now=now)) == 1
    almost = now + MINUTE - timedelta(microseconds=1)
    assert await store.run(lambda s: leases.take(s, "clock", "bob", for_=MINUTE, now=almost)) is None
    assert await store.run(lambda s: leases.take(s, "clock", "bob", for_=MINUTE, now=now + MINUTE)) == 2
    assert await store.run(lambda s: leases.take(s, "clock", "ann", for_=MINUTE, now=now + MINUTE)) is None


async def test_leases_of_different_names_do_not_hinder_each_other(store: Store, now: datetime) -> None:
    assert await store.run(lambda s: leases.take(s, "clock", "ann", for_=MINUTE, now=now)) == 1
    assert await store.run(lambda s: leases.take(s, "matrix:uj", "bob", for_=MINUTE, now=now)) == 1


async def test_renewing_extends_a_lease_and_keeps_its_epoch(store: Store, now: datetime) -> None:
    half = now + MINUTE / 2
    assert await store.run(lambda s: leases.take(s, "clock", "ann", for_=MINUTE, now=now)) == 1
    assert await store.run(lambda s: leases.take(s, "clock", "ann", for_=MINUTE, now=half)) == 1
    assert await store.run(lambda s: leases.take(s, "clock", "bob", for_=MINUTE, now=now + MINUTE)) is None


async def test_a_holder_that_slept_sees_by_the_epoch_that_another_came(store: Store, now: datetime) -> None:
    late = now + 5 * MINUTE
    first = await store.run(lambda s: leases.take(s, "clock", "ann", for_=MINUTE, now=now))
    await store.run(lambda s: leases.take(s, "clock", "bob", for_=MINUTE, now=now + 2 * MINUTE))
    second = await store.run(lambda s: leases.take(s, "clock", "ann", for_=MINUTE, now=late))
    assert (first, second) == (1, 3)


async def test_of_many_that_ask_at_once_one_gets_it(open_store: Callable[[], Store], now: datetime) -> None:
    stores = [open_store() for _ in range(3)]
    asked = [
        store.run(lambda s, me=f"{n}.{m}": leases.take(s, "clock", me, for_=MINUTE, now=now))
        for n, store in enumerate(stores)
        for m in range(5)
    ]
    assert sorted(await asyncio.gather(*asked), key=str) == [1, *[None] * 14]


async def test_a_clock_that_was_set_back_does_not_leave_a_lease_to_a_dead_process(store: Store, now: datetime) -> None:
    ahead = now + timedelta(days=1)
    assert await store.run(lambda s: leases.take(s, "clock", "ann", for_=MINUTE, now=ahead)) == 1
    assert await store.run(lambda s: leases.take(s, "clock", "bob", for_=MINUTE, now=now)) == 2
