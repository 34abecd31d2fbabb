"""The courier: each message once, in order, to the right person, outside quiet hours, and never given up silently."""

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import LargeBinary, Uuid, bindparam, text

from bots.bot import Parcel, Undelivered
from bots.courier import Courier
from commands.core.post import Envelope, Hub, Network, subject_of
from commands.core.reply import Reply
from commands.core.strings import Catalogues
from commands.core.text import plain
from storage import members, outbox, places
from storage.outbox import Lane, Outbox

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
HUB = Hub({"uj": Network("uj", "Universal jurisdiction", "en", "Europe/Kyiv")}, platforms=("console", "paper"))


class PaperBot:
    """A platform on paper: it keeps what it is given, and fails as it is told."""

    network = "uj"

    def __init__(self, platform: str = "console"):
        self.name = f"{platform}:uj"
        self.delivered: list[tuple[str, str]] = []
        self.failures: list[Undelivered] = []
        self.parcels: list[Parcel] = []

    async def run(self, _dispatcher) -> None:
        raise AssertionError("a courier only delivers")

    async def deliver(self, parcel: Parcel, reply: Reply, voice) -> str:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        self.parcels.append(parcel)
        self.delivered.append((parcel.address or parcel.place or "", voice.say(reply.blocks[0])))
        return f"event-{parcel.tx_id}"


class World:
    def __init__(self, store):
        self.store = store
        self.now = NOW

    def courier(self, bot, owner="one", hub=HUB, **pace) -> Courier:
        return Courier(
            bot,
            store=self.store,
            hub=hub,
            catalogues=Catalogues.load(),
            clock=lambda: self.now,
            owner=owner,
            **pace,
        )

    async def person(self, name="ann", **quiet):
        def enter(session):
            member = members.recognise(
                session,
                platform="console",
                address=name,
                language="en",
                zone="Europe/Kyiv",
                rng=random.Random(name),
                now=NOW,
            )
            if quiet:
                members.set_quiet(session, member, quiet["start"], quiet["end"])
            return member

        return await self.store.run(enter)

    async def also_on(self, member, platform, address=None):
        def enter(session):
            at = NOW + timedelta(minutes=1)
            members.add_account(session, member, platform=platform, address=address or f"{platform}-ann", now=at)

        await self.store.run(enter)

    async def put(self, member, key, *, lane=Lane.ALERT, expires=None, sender="console:uj", **way):
        await self.store.run(
            lambda session: outbox.put(
                session,
                key=key,
                sender=sender,
                owner=member.id,
                payload=Envelope(Reply(plain(key)), **way).pack(),
                member_id=member.id,
                lane=lane,
                due_at=self.now,
                expires_at=expires,
                now=self.now,
            )
        )

    async def row(self, key) -> Outbox:
        return await self.store.run(lambda session: session.get(Outbox, key))


@pytest.fixture
def world(store):
    return World(store)


async def test_messages_arrive_once_and_in_order(world):
    ann, bot = await world.person(), PaperBot()
    for number in range(5):
        await world.put(ann, f"m{number}")
        await world.put(ann, f"m{number}")
    courier = world.courier(bot)
    await courier.empty()
    await courier.empty()
    assert bot.delivered == [("ann", f"m{number}") for number in range(5)]
    assert (await world.row("m0")).payload is None


async def test_two_couriers_deliver_each_message_once(world):
    ann, bots = await world.person(), (PaperBot(), PaperBot())
    for number in range(30):
        await world.put(ann, f"m{number:02}")
    await asyncio.gather(*(world.courier(bot, owner=str(n)).empty() for n, bot in enumerate(bots)))
    await asyncio.gather(*(world.courier(bot, owner=str(n)).empty() for n, bot in enumerate(bots)))
    assert sorted(said for bot in bots for _to, said in bot.delivered) == [f"m{number:02}" for number in range(30)]


async def test_replies_overtake_digests(world):
    ann, bot = await world.person(), PaperBot()
    await world.put(ann, "digest", lane=Lane.DIGEST)
    await world.put(ann, "reply", lane=Lane.REPLY)
    await world.courier(bot).empty()
    assert [said for _to, said in bot.delivered] == ["reply", "digest"]


async def test_a_failure_is_tried_again_later_with_the_same_id(world):
    ann, bot = await world.person(), PaperBot()
    bot.failures = [Undelivered("the server is away")]
    await world.put(ann, "m")
    courier = world.courier(bot)
    await courier.empty()
    assert bot.delivered == []
    assert (await world.row("m")).due_at > world.now
    world.now += timedelta(minutes=1)
    await courier.empty()
    assert bot.delivered == [("ann", "m")]


async def test_a_platform_that_asks_for_patience_gets_it(world):
    ann, bot = await world.person(), PaperBot()
    bot.failures = [Undelivered("too fast", retry_after=90)]
    await world.put(ann, "m")
    await world.courier(bot).empty()
    assert (await world.row("m")).due_at == world.now + timedelta(seconds=90)


async def test_many_tries_in_a_minute_are_no_reason_to_give_up_and_hours_are(world):
    ann, bot = await world.person(), PaperBot()
    bot.failures = [Undelivered("too fast", retry_after=1) for _ in range(100)]
    await world.put(ann, "m")
    courier = world.courier(bot)
    for _ in range(99):
        await courier.empty()
        world.now += timedelta(seconds=1)
    assert (await world.row("m")).state == "pending"
    world.now += timedelta(hours=25)
    await courier.empty()
    assert (await world.row("m")).state == "dead"


async def test_what_a_dead_courier_had_in_hand_leaves_at_once_when_its_successor_resumes(world):
    ann, bot = await world.person(), PaperBot()
    await world.put(ann, "m")
    await world.store.run(
        lambda session: outbox.claim(
            session, sender=bot.name, owner="dead", lease=timedelta(minutes=1), limit=1, now=NOW
        )
    )
    courier = world.courier(bot, owner="alive")
    await courier.empty()
    assert bot.delivered == []
    await courier.resume()
    await courier.empty()
    assert bot.delivered == [("ann", "m")]


async def test_quiet_hours_hold_a_ping_back_but_not_an_answer(world):
    # It is 12:00 in Kyiv.
    ann, bot = await world.person(start=11 * 60, end=15 * 60), PaperBot()
    await world.put(ann, "ping")
    await world.put(ann, "reply", lane=Lane.REPLY)
    courier = world.courier(bot)
    await courier.empty()
    assert [said for _to, said in bot.delivered] == ["reply"]
    world.now = NOW + timedelta(hours=3)
    await courier.empty()
    assert [said for _to, said in bot.delivered] == ["reply", "ping"]


async def test_what_would_be_worthless_after_quiet_hours_is_said_before(world):
    ann, bot = await world.person(start=11 * 60, end=15 * 60), PaperBot()
    await world.put(ann, "ping", expires=NOW + timedelta(hours=1))
    await world.courier(bot).empty()
    assert bot.delivered == [("ann", "ping")]


async def test_what_has_expired_is_not_said(world):
    ann, bot = await world.person(), PaperBot()
    await world.put(ann, "ping", expires=NOW + timedelta(hours=1))
    world.now += timedelta(hours=2)
    await world.courier(bot).empty()
    assert bot.delivered == []


async def test_a_closed_door_leads_to_the_other_account(world):
    ann, bot, other = await world.person(), PaperBot(), PaperBot("paper")
    await world.store.run(
        lambda session: members.add_account(session, ann, platform="paper", address="ann's letterbox", now=NOW)
    )
    bot.failures = [Undelivered("the door is closed", permanent=True)]
    await world.put(ann, "ping")
    await world.courier(bot).empty()
    await world.courier(other).empty()
    assert other.delivered == [("ann's letterbox", "ping")]


async def test_what_reaches_nobody_is_told_to_the_coordinators_without_a_name(world):
    ann, bot = await world.person(), PaperBot()
    await world.store.run(
        lambda session: places.settle(
            session,
            bot=bot.name,
            purpose=places.Purpose.COORDINATORS,
            network="uj",
            address="the coordinators' room",
        )
    )
    bot.failures = [Undelivered("the door is closed", permanent=True)]
    await world.put(ann, "ping")
    courier = world.courier(bot)
    await courier.empty()
    await courier.empty()
    assert bot.delivered == [("the coordinators' room", "1 item could not be delivered.")]


async def test_what_was_meant_for_somebody_who_was_erased_is_dropped(world):
    ann, bot = await world.person(), PaperBot()
    await world.put(ann, "ping")
    from storage import privacy

    await world.store.run(lambda session: privacy.erase(session, ann.id, NOW))
    await world.courier(bot).empty()
    assert bot.delivered == []


async def test_one_whose_address_cannot_be_read_keeps_nobody_elses_message_back(world):
    ann, bob, bot = await world.person(), await world.person("bob"), PaperBot()
    await world.put(ann, "for ann")
    await world.put(bob, "for bob")
    harm = text("UPDATE account SET address = :nothing WHERE member_id = :ann").bindparams(
        bindparam("ann", ann.id, type_=Uuid()), bindparam("nothing", b"", type_=LargeBinary())
    )
    await world.store.run(lambda session: session.execute(harm) and None)
    await world.courier(bot).empty()
    assert bot.delivered == [("bob", "for bob")]
    assert (await world.row("for ann")).state == "dead"


async def test_lines_of_destinations_are_forgotten_when_nobody_stands_in_them(world):
    bot = PaperBot()
    courier = world.courier(bot)
    for number in range(20):
        await world.put(await world.person(f"person-{number}"), f"m{number}")
    await courier.empty()
    assert len(bot.delivered) == 20
    assert not courier._lines


async def test_what_cannot_be_said_is_given_up_in_the_end_and_told(world, monkeypatch):
    ann = await world.person()
    bot = PaperBot()

    async def broken(*_parcel):
        raise KeyError("a value that the sentence lacks")

    monkeypatch.setattr(bot, "deliver", broken)
    await world.put(ann, "odd")
    await world.courier(bot).empty()
    assert (await world.row("odd")).state == "pending"
    world.now += timedelta(hours=25)
    await world.courier(bot).empty()
    row = await world.row("odd")
    assert (row.state, row.error, row.payload) == ("dead", "KeyError", None)


async def test_no_more_leaves_at_once_than_the_bucket_allows(world):
    ann, bot = await world.person(), PaperBot()
    for number in range(5):
        await world.put(ann, f"m{number}")
    courier = world.courier(bot, per_second=1, burst=2)
    await courier.empty()
    assert len(bot.delivered) == 2
    world.now += timedelta(seconds=2)
    await courier.empty()
    assert len(bot.delivered) == 4


async def test_a_courier_that_runs_delivers_what_is_put_and_stops_when_told(world):
    ann, bot = await world.person(), PaperBot()
    courier = world.courier(bot)
    running = asyncio.create_task(courier.run())
    await world.put(ann, "m")
    courier.nudge()
    for _ in range(200):
        if bot.delivered:
            break
        await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert bot.delivered == [("ann", "m")]


def test_a_networks_own_key_is_nobodys():
    assert subject_of("uj") != subject_of("climate")


async def test_an_answer_that_cannot_be_given_reaches_the_persons_other_account_without_the_old_way_back(world):
    ann, bot, paper = await world.person(), PaperBot(), PaperBot("paper")
    await world.also_on(ann, "paper")
    await world.put(ann, "reply", lane=Lane.REPLY)
    bot.failures = [Undelivered("private messages are closed", permanent=True)]
    await world.courier(bot).empty()
    await world.courier(paper).empty()
    assert paper.delivered == [("paper-ann", "reply")]


async def test_an_answer_is_not_moved_to_a_platform_that_reads_along_but_a_ping_is(world):
    hub = replace(HUB, overheard=frozenset({"paper"}))
    ann, bot, paper = await world.person(), PaperBot(), PaperBot("paper")
    await world.also_on(ann, "paper")
    await world.put(ann, "reply", lane=Lane.REPLY)
    await world.put(ann, "ping")
    bot.failures = [Undelivered("gone", permanent=True), Undelivered("gone", permanent=True)]
    await world.courier(bot, hub=hub).empty()
    await world.courier(paper, hub=hub).empty()
    assert paper.delivered == [("paper-ann", "ping")]


def test_what_is_said_elsewhere_carries_no_way_back():
    way = {"reply_to": "e", "thread": "t", "asked": ("r", "e"), "dm": "d", "ticket": "k", "question": "q"}
    envelope = Envelope(Reply(plain("x")), language="uk", zone="Europe/Kyiv", mention=True, public=True, **way)
    assert envelope.elsewhere() == Envelope(Reply(plain("x")), language="uk", zone="Europe/Kyiv", mention=True)


async def test_a_confidential_ping_is_not_moved_to_a_platform_that_reads_along(world):
    hub = replace(HUB, overheard=frozenset({"paper"}))
    ann, bot, paper = await world.person(), PaperBot(), PaperBot("paper")
    await world.also_on(ann, "paper")
    await world.put(ann, "case", confidential=True)
    bot.failures = [Undelivered("gone", permanent=True)]
    await world.courier(bot, hub=hub).empty()
    await world.courier(paper, hub=hub).empty()
    assert paper.delivered == []


async def test_what_one_account_does_not_take_the_persons_other_account_there_gets(world):
    ann, bot = await world.person(), PaperBot()
    await world.also_on(ann, "console", "ann-at-work")
    await world.put(ann, "ping")
    bot.failures = [Undelivered("private messages are closed", permanent=True)]
    courier = world.courier(bot)
    await courier.empty()
    await courier.empty()
    assert bot.delivered == [("ann-at-work", "ping")]


async def test_an_answer_goes_to_the_account_that_asked_or_without_the_way_back_to_the_one_that_is_left(world):
    ann, bot = await world.person(), PaperBot()
    await world.also_on(ann, "console", "ann-at-work")
    way = {"dm": "room-at-work", "ticket": "t", "question": "q"}
    await world.put(ann, "asked at work", lane=Lane.REPLY, address="ann-at-work", **way)
    await world.put(ann, "asked elsewhere", lane=Lane.REPLY, address="sold", **{**way, "dm": "sold"})
    await world.courier(bot).empty()
    assert sorted(bot.delivered) == [("ann", "asked elsewhere"), ("ann-at-work", "asked at work")]
    assert {(parcel.address, parcel.dm, parcel.ticket) for parcel in bot.parcels} == {
        ("ann-at-work", "room-at-work", "t"),
        ("ann", None, None),
    }
