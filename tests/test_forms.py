from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

import pytest

from storage import forms, members, privacy
from storage.members import Member
from storage.store import Session, Store

HERE = {"bot": "matrix:uj", "room": "!dm"}


@pytest.fixture
async def ann(store: Store, rng: Random, now: datetime) -> Member:
    return await store.run(
        lambda s: members.recognise(s, platform="matrix", address="@ann:x", language="en", zone="UTC", rng=rng, now=now)
    )


async def test_an_open_question_is_kept_with_everything_said_so_far(store: Store, ann: Member, now: datetime) -> None:
    def keep(session: Session) -> None:
        forms.keep(
            session,
            member_id=ann.id,
            **HERE,
            call="hours book topic=Дума",
            asked="slot",
            choices=["S-1", "S-2"],
            now=now,
        )

    await store.run(keep)
    found = await store.run(lambda s: forms.current(s, member_id=ann.id, **HERE))
    assert found == forms.Open("hours book topic=Дума", "slot", ("S-1", "S-2"), now)


async def test_there_is_one_open_question_for_each_room_and_the_newest_counts(
    store: Store, ann: Member, now: datetime
) -> None:
    for n, (call, room) in enumerate([("one", "!a"), ("two", "!a"), ("other", "!b")]):
        facts = {"bot": "matrix:uj", "room": room, "call": call, "asked": "x", "now": now + timedelta(seconds=n)}
        await store.run(lambda s, f=facts: forms.keep(s, member_id=ann.id, **f))

    async def current(room: str) -> str | None:
        found = await store.run(lambda s: forms.current(s, member_id=ann.id, bot="matrix:uj", room=room))
        return found and found.call

    assert [await current(room) for room in ("!a", "!b", "!c")] == ["two", "other", None]


async def test_a_new_question_takes_the_place_of_the_old_one_altogether(
    store: Store, ann: Member, now: datetime
) -> None:
    old = {"call": "hours book", "asked": "slot", "choices": ["S-1"], "now": now}
    new = {"call": "me zone", "asked": "zone", "choices": [], "now": now + timedelta(seconds=1)}
    for facts in (old, new):
        await store.run(lambda s, f=facts: forms.keep(s, member_id=ann.id, **HERE, **f))
    found = await store.run(lambda s: forms.current(s, member_id=ann.id, **HERE))
    assert found == forms.Open("me zone", "zone", (), now + timedelta(seconds=1))


async def test_a_form_that_was_stopped_is_gone(store: Store, ann: Member, now: datetime) -> None:
    await store.run(lambda s: forms.keep(s, member_id=ann.id, **HERE, call="x", asked="y", now=now))
    assert await store.run(lambda s: forms.stop(s, member_id=ann.id, **HERE))
    assert not await store.run(lambda s: forms.stop(s, member_id=ann.id, **HERE))
    assert await store.run(lambda s: forms.current(s, member_id=ann.id, **HERE)) is None


async def test_a_form_lives_thirty_days_after_its_last_change(store: Store, ann: Member, now: datetime) -> None:
    await store.run(lambda s: forms.keep(s, member_id=ann.id, **HERE, call="x", asked="y", now=now))
    await store.run(lambda s: privacy.sweep(s, now + timedelta(days=30)))
    assert await store.run(lambda s: forms.current(s, member_id=ann.id, **HERE))
    assert await store.run(lambda s: privacy.sweep(s, now + timedelta(days=30, seconds=1))) == {"form": 1}
    assert await store.run(lambda s: forms.current(s, member_id=ann.id, **HERE)) is None


async def test_a_list_that_is_offered_takes_nobody_out_of_a_question_or_a_list_they_are_looking_at(
    store: Store, ann: Member, now: datetime
) -> None:
    hour = timedelta(hours=1)

    def offered(session: Session, at: datetime) -> tuple[str, ...]:
        forms.offer(session, {ann.id: ["case checkin case=C-1"]}, bot="b", room="private", now=at, patience=hour)
        found = forms.current(session, member_id=ann.id, bot="b", room="private")
        assert found is not None
        return found.choices

    def keep(asked: str) -> Callable[[Session], None]:
        return lambda s: forms.keep(
            s, member_id=ann.id, bot="b", room="private", call="x", asked=asked, choices=["y"], now=now
        )

    assert await store.run(lambda s: offered(s, now)) == ("case checkin case=C-1",)
    await store.run(keep(""))
    assert await store.run(lambda s: offered(s, now + hour / 2)) == ("y",), "a list that was just shown"
    assert await store.run(lambda s: offered(s, now + 2 * hour)) == ("case checkin case=C-1",)
    await store.run(keep("words"))
    assert await store.run(lambda s: offered(s, now + 99 * hour)) == ("y",), "a question that is open"
