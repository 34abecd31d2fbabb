from storage import places
from storage.store import Store

FACTS = {"bot": "matrix:uj", "purpose": "network", "network": "uj"}


async def test_a_room_is_where_the_settings_say(store: Store) -> None:
    await store.run(lambda s: places.settle(s, **FACTS, address="!a"))
    assert await store.run(lambda s: places.address(s, "matrix:uj", "network")) == "!a"
    assert await store.run(lambda s: places.address(s, "matrix:uj", "coordinators")) is None
    found = await store.run(lambda s: places.at(s, "matrix:uj", "!a"))
    assert found
    assert (found.network, found.purpose) == ("uj", "network")
    assert await store.run(lambda s: places.at(s, "matrix:climate", "!a")) is None


async def test_a_room_that_moved_stays_there_until_the_settings_change(store: Store) -> None:
    await store.run(lambda s: places.settle(s, **FACTS, address="!a"))
    assert await store.run(lambda s: places.move(s, "matrix:uj", "!a", "!b"))
    assert not await store.run(lambda s: places.move(s, "matrix:uj", "!a", "!c")), "nothing of ours is there"

    await store.run(lambda s: places.settle(s, **FACTS, address="!a"))
    assert await store.run(lambda s: places.address(s, "matrix:uj", "network")) == "!b"
    await store.run(lambda s: places.settle(s, **FACTS, address="!new"))
    assert await store.run(lambda s: places.address(s, "matrix:uj", "network")) == "!new"
