"""One Hub on two platforms: what somebody does on one is true on the other, and everybody is told once.

All of it runs here: the bots of two networks on a real homeserver and on a Discord on loopback, over one store. What
is true is what people can read with their clients, and what the store holds when all is said.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from icalendar import Calendar
from sqlmodel import col, select

from bots.app import App
from bots.homeserver import Homeserver
from bots.matrix.identity import new_recovery_key
from bots.settings import Settings
from storage.outbox import Outbox, State
from tests.fakes import person as matrix
from tests.fakes.loopback_discord import (
    Application,
    Guild,
    LoopbackDiscord,
    Message,
    Person,
    discord_py_speaks_to,
)

pytestmark = [pytest.mark.synapse, pytest.mark.asyncio(loop_scope="module")]

NETWORKS = ("uj", "climate")
PASSWORD = "a password for tests"
COORDINATOR = "two-coordinator"
ZONE = "Europe/Kyiv"
BOOKING = re.compile(r"\bB-[0-9A-Z]{5,}\b")
HANDLE = re.compile(r"^Handle: ([a-z]+-[a-z]+)$", re.MULTILINE)
CODE = re.compile(r"\bK-[0-9A-Z]+\b")
_numbers = count(1)


# -- the play -----------------------------------------------------------------------------------------------------


@dataclass
class Somebody:
    """A person with a Matrix client and a Discord account; only they know that both are theirs."""

    hub: "Hub"
    matrix: matrix.Person
    discord: Person
    handle: str = ""

    async def writes(self, line: str, network: str = "uj") -> matrix.Said:
        """Say a line to a network's bot on Matrix, encrypted, and wait for the answer."""
        bot = bot_of(network)
        room = self.matrix.dm(bot) or await self.matrix.room_with(bot)
        seen = len(self._answers(bot))
        await self.matrix.say(room, line)
        (answer,) = await self.matrix.until(lambda: self._answers(bot)[seen:], f"the answer to “{line}”")
        assert answer.encrypted
        return answer

    def _answers(self, bot: str) -> list[matrix.Said]:
        """What was said back; whatever comes by itself rings."""
        return [each for each in self.matrix.heard(bot) if each.is_text and not each.content["m.mentions"]]

    async def types(self, line: str, network: str = "uj", **values: str) -> Message:
        """Use a command alone with a network's bot on Discord, and wait for the answer."""
        dm = self.discord.dm_with(self.hub.applications[network])
        return await (await self.discord.types(dm, line, **values)).message()

    async def presses(self, message: Message, button: str) -> Message:
        """Press a button on Discord, and wait for the answer."""
        return await (await self.discord.presses(message, button)).message()

    def pinged_on_matrix(self, about: str) -> list[matrix.Said]:
        """What came by itself about a booking."""
        return [each for each in self.matrix.heard(bot_of("uj")) if each.content["m.mentions"] and about in each.body]

    def pinged_on_discord(self, about: str) -> list[Message]:
        """What came by itself about a booking; whatever else is said alone there is about none."""
        dm = self.discord.dm_with(self.hub.applications["uj"])
        return [each for each in self.discord.sees(dm) if about in each.text]

    async def links(self) -> "Somebody":
        """Ask for a code on Matrix, and say it on Discord: from then on both accounts are one person."""
        (code,) = set(CODE.findall((await self.writes("me link")).body))
        linked = await self.presses(await self.types("me confirm", code=code), "yes")
        self.handle = handle_in((await self.writes("me")).body)
        assert self.handle in linked.text
        return self

    async def offers(self, *, confirm: bool = False) -> tuple[str, str]:
        """Offer one hour on a day of its own, as a mentor; the codes of its two slots, the earlier one first."""
        day = self.hub.day()
        offered = await self.writes(f"hours offer when={day} 10:00-11:00" + (" confirm=yes" if confirm else ""))
        assert "Offered:" in offered.body
        listed = await self.hub.coordinator.writes(f"hours open mentor={self.handle} when={day}")
        first, second = (line.rpartition("slot=")[2] for line in listed.lines)
        return first, second


@dataclass
class Hub:
    """The running Hub, what it runs on, and who coordinates it."""

    app: App
    homeserver: Homeserver
    discord: LoopbackDiscord
    applications: dict[str, Application]
    guilds: dict[str, Guild]
    folder: Path
    people: AsyncExitStack
    coordinator: Somebody = field(init=False)

    async def somebody(self, name: str) -> Somebody:
        """Let somebody come whom nobody here knows."""
        user = self.homeserver.register(name, PASSWORD)
        client = matrix.Person(self.homeserver.url, user, PASSWORD, self.folder / name)
        account = self.discord.person(name)
        for guild in self.guilds.values():
            account.joins(guild)
        return Somebody(self, await self.people.enter_async_context(client), account)

    async def linked(self) -> Somebody:
        """Let somebody come whose accounts are one person."""
        return await (await self.somebody(f"two-linked-{next(_numbers)}")).links()

    async def mentor(self) -> Somebody:
        """Let a mentor come whose accounts are one person."""
        came = await self.linked()
        await self.grants(came.handle, "mentor")
        return came

    async def grants(self, handle: str, role: str) -> None:
        """Give somebody a role, as a coordinator on Matrix."""
        granted = await self.coordinator.writes(f"roles grant handle={handle} role={role}")
        assert handle in granted.body

    @staticmethod
    def day() -> date:
        """A day that nobody else has: everybody is free on it."""
        return datetime.now(UTC).date() + timedelta(days=2 + next(_numbers) % 24)

    async def posted(
        self, *words: str, there: Callable[[Outbox], bool] = lambda row: row.state is not State.PENDING
    ) -> list[Outbox]:
        """Wait until every message whose key has these words in it is out or given up; the first one comes first."""
        query = select(Outbox).where(*(col(Outbox.key).contains(word) for word in words)).order_by(col(Outbox.put_at))
        async with asyncio.timeout(20):
            while True:
                found = await self.app.store.run(lambda session: list(session.exec(query)))
                if found and all(map(there, found)):
                    return found
                await asyncio.sleep(0.02)


def bot_of(network: str) -> str:
    """A network's bot on Matrix."""
    return f"@two-bot-{network}:localhost"


def handle_in(words: str) -> str:
    found = HANDLE.search(words.replace("**", ""))
    assert found is not None, words
    return found[1]


def code_in(words: str) -> str:
    (code,) = set(BOOKING.findall(words))
    return code


def start_of(calendar: bytes) -> datetime:
    """When the one appointment in a calendar file begins."""
    (event,) = Calendar.from_ical(calendar).walk("VEVENT")
    return event["DTSTART"].dt


def settings_of(folder: Path, homeserver: Homeserver, guilds: dict[str, Guild], tokens: dict[str, str]) -> Settings:
    return Settings(
        hub={
            "database": f"sqlite:///{folder}/hub.db",
            "keys": f"sqlite:///{folder}/keys.db",
            "state": folder,
            "first_admin": f"matrix:@{COORDINATOR}:localhost",
            "pace_burst": 100_000,
        },
        networks={network: {"name": network.title(), "zone": ZONE} for network in NETWORKS},
        matrix={network: {"homeserver": homeserver.url, "user": bot_of(network)} for network in NETWORKS},
        discord={
            network: {"guild": int(guild.id), "channel": int(guild.channel("general").id)}
            for network, guild in guilds.items()
        },
        secrets={
            "master_key": bytes(range(32)).hex(),
            "matrix": {each: {"password": PASSWORD, "recovery_key": new_recovery_key()} for each in NETWORKS},
            "discord": {network: {"token": token} for network, token in tokens.items()},
        },
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(
    synapse: Homeserver, templates: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Hub]:
    """The bots of two networks on both platforms, in this process, and a coordinator of both."""
    folder = tmp_path_factory.mktemp("two")
    for name, content in templates.items():
        (folder / name).write_bytes(content)
    for network in NETWORKS:
        synapse.register(bot_of(network)[1:].partition(":")[0], PASSWORD)
    async with LoopbackDiscord(recording=True) as discord, AsyncExitStack() as stack:
        applications = {network: discord.application(network) for network in NETWORKS}
        guilds = {network: discord.guild(network, each) for network, each in applications.items()}
        tokens = {network: each.token for network, each in applications.items()}
        stack.enter_context(discord_py_speaks_to(discord))
        app = await stack.enter_async_context(App.open(settings_of(folder, synapse, guilds, tokens)))
        listening = asyncio.Event()
        running = asyncio.create_task(app.run(ready=listening.set))
        try:
            waiting = asyncio.create_task(listening.wait())
            await asyncio.wait({waiting, running}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
            assert listening.is_set(), running
            async with AsyncExitStack() as people:
                hub = Hub(app, synapse, discord, applications, guilds, folder, people)
                hub.coordinator = await hub.somebody(COORDINATOR)
                yield hub
            discord.assert_lawful()
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mentor(hub: Hub) -> Somebody:
    """A mentor on both platforms."""
    return await hub.mentor()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ann(hub: Hub) -> Somebody:
    """A member who is known on Matrix only."""
    came = await hub.somebody("two-ann")
    came.handle = handle_in((await came.writes("me")).body)
    await hub.grants(came.handle, "member")
    return came


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bob(hub: Hub) -> Somebody:
    """A member who is known on Discord only."""
    came = await hub.somebody("two-bob")
    came.handle = handle_in((await came.types("me show")).text)
    await hub.grants(came.handle, "member")
    return came


# -- one slot -----------------------------------------------------------------------------------------------------


async def test_a_slot_that_is_booked_on_matrix_is_gone_on_discord(
    hub: Hub, mentor: Somebody, ann: Somebody, bob: Somebody
) -> None:
    general = hub.guilds["uj"].channel("general")
    slot, other = await mentor.offers()
    narrowed = {"mentor": mentor.handle}
    listed = await (await bob.discord.types(general, "hours open", **narrowed)).message()
    assert [each.custom_id for each in listed.buttons] == [f"hours book slot={slot}", f"hours book slot={other}"]

    booked = await ann.writes(f"hours book slot={slot}")
    assert code_in(booked.body)

    again = await (await bob.discord.types(general, "hours open", **narrowed)).message()
    assert [each.custom_id for each in again.buttons] == [f"hours book slot={other}"]
    suggested = [each.value for each in await bob.discord.suggestions(general, "hours book", "slot")]
    assert other in suggested
    assert slot not in suggested
    taken = "That slot was just taken. `/hours open` lists the open ones."
    pressed = await bob.presses(listed, f"hours book slot={slot}")
    assert pressed.text.replace("\\", "") == taken
    assert pressed.ephemeral
    typed = await bob.types("hours book", slot=slot)
    assert typed.text.replace("\\", "") == taken

    assert code_in((await bob.types("hours book", slot=other)).text)
    refused = await ann.writes(f"hours book slot={other}")
    assert refused.body == "That slot was just taken. !hours open lists the open ones."


async def test_of_two_members_on_two_platforms_who_race_for_a_slot_one_gets_it(
    mentor: Somebody, ann: Somebody, bob: Somebody
) -> None:
    slot, _other = await mentor.offers()
    on_matrix, on_discord = await asyncio.gather(
        ann.writes(f"hours book slot={slot}"), bob.types("hours book", slot=slot)
    )
    (code,) = set(BOOKING.findall(on_matrix.body + on_discord.text))
    assert sum("That slot was just taken." in said for said in (on_matrix.body, on_discord.text)) == 1
    assert code in (await mentor.writes("hours mine")).body


# -- one ping -----------------------------------------------------------------------------------------------------


async def test_a_mentor_who_prefers_discord_is_pinged_there_once_and_nowhere_else(
    hub: Hub, mentor: Somebody, ann: Somebody
) -> None:
    assert "Discord" in (await mentor.writes("me platform discord")).body
    slot, _other = await mentor.offers()
    code = code_in((await ann.writes(f"hours book slot={slot} topic=heliotrope")).body)

    (row,) = await hub.posted("hours:booked:", code)
    assert (row.state, row.sender) == (State.SENT, "discord:uj")
    (ping,) = mentor.pinged_on_discord(code)
    (file,) = ping.files.values()
    assert ann.handle in ping.text
    assert f"<t:{int(start_of(file).timestamp())}:F>" in ping.text
    assert b"heliotrope" not in file
    assert "heliotrope" not in json.dumps(hub.discord.requests)
    assert ann.matrix.id not in json.dumps(hub.discord.requests)
    assert "heliotrope" in (await mentor.writes("hours mine")).body  # where only the mentor looks
    assert not mentor.pinged_on_matrix(code)


async def test_a_mentor_who_prefers_matrix_is_pinged_there_once_and_nowhere_else(
    hub: Hub, mentor: Somebody, bob: Somebody
) -> None:
    assert "Matrix" in (await mentor.types("me platform", platform="matrix")).text
    slot, _other = await mentor.offers()
    code = code_in((await bob.types("hours book", slot=slot, topic="heliotrope")).text)

    (row,) = await hub.posted("hours:booked:", code)
    assert (row.state, row.sender) == (State.SENT, "matrix:uj")
    (ping,) = await mentor.matrix.until(lambda: mentor.pinged_on_matrix(code), "the ping")
    assert ping.encrypted
    assert bob.handle in ping.body
    assert "10:00" in ping.body
    assert "heliotrope" not in json.dumps(ping.content)
    assert bob.discord.id not in json.dumps(ping.content)
    assert "heliotrope" in (await mentor.writes("hours mine")).body
    assert len(mentor.pinged_on_matrix(code)) == 1
    assert not mentor.pinged_on_discord(code)


async def test_a_ping_is_answered_where_it_arrives_and_that_reaches_the_other_platform(
    hub: Hub, mentor: Somebody, ann: Somebody
) -> None:
    await mentor.writes("me platform discord")
    slot, _other = await mentor.offers(confirm=True)
    code = code_in((await ann.writes(f"hours book slot={slot}")).body)
    await hub.posted("hours:booked:", code)
    (ping,) = mentor.pinged_on_discord(code)
    assert ann.handle in (await mentor.presses(ping, "Confirm")).text
    (told,) = await ann.matrix.until(lambda: ann.pinged_on_matrix(code), "the mentor's yes")
    assert f"{mentor.handle} has confirmed your booking {code}" in told.body


async def test_where_direct_messages_are_closed_the_ping_goes_to_matrix(hub: Hub, ann: Somebody) -> None:
    mentor = await hub.mentor()
    await mentor.writes("me platform discord")
    slot, _other = await mentor.offers()
    mentor.discord.closes_dms()
    code = code_in((await ann.writes(f"hours book slot={slot}")).body)

    (ping,) = await mentor.matrix.until(lambda: mentor.pinged_on_matrix(code), "the ping")
    assert ann.handle in ping.body
    rows = await hub.posted("hours:booked:", code)
    assert [(row.sender, row.state) for row in rows] == [("discord:uj", State.DEAD), ("matrix:uj", State.SENT)]
    assert not mentor.pinged_on_discord(code)


# -- one person ---------------------------------------------------------------------------------------------------


async def test_roles_language_zone_and_quiet_hours_are_the_same_on_both_platforms(hub: Hub) -> None:
    eve = await hub.linked()
    await hub.grants(eve.handle, "mentor")
    for said in ((await eve.writes("hours offers")).body, (await eve.types("hours offers")).text):
        assert "You offer nothing here yet." in said
    for said in ((await eve.writes("hours offers", "climate")).body, (await eve.types("hours offers", "climate")).text):
        assert "You need the role" in said

    await eve.writes("me quiet 22:00-08:00")
    await eve.types("me zone", zone="Asia/Tbilisi")
    for said in ((await eve.writes("me")).body, (await eve.types("me show")).text):
        assert "22:00-08:00" in said
        assert "Asia/Tbilisi" in said
    await eve.types("me language", language="Українська")
    assert f"Псевдонім: {eve.handle}" in (await eve.writes("me")).body
    await eve.writes("me language en", "climate")
    assert handle_in((await eve.types("me show", "climate")).text) == eve.handle


async def test_in_quiet_hours_nothing_rings_on_either_platform(hub: Hub, ann: Somebody) -> None:
    mentor = await hub.mentor()
    await mentor.types("me platform", platform="discord")
    slot, _other = await mentor.offers()
    here = datetime.now(ZoneInfo(ZONE)).replace(second=0, microsecond=0)
    begins, ends = here - timedelta(hours=1), here + timedelta(hours=6)
    await mentor.writes(f"me quiet {begins:%H:%M}-{ends:%H:%M}")
    code = code_in((await ann.writes(f"hours book slot={slot}")).body)
    (row,) = await hub.posted("hours:booked:", code, there=lambda row: row.due_at >= ends)
    assert (row.state, row.due_at, row.tries) == (State.PENDING, ends, 0)
    assert not mentor.pinged_on_discord(code)
    assert not mentor.pinged_on_matrix(code)


async def test_an_account_that_is_unlinked_is_a_strangers_again(hub: Hub, ann: Somebody) -> None:
    mentor = await hub.mentor()
    await mentor.writes("me platform discord")
    slot, _other = await mentor.offers()

    await mentor.writes("me unlink discord")
    assert "I no longer know your account on Discord." in (await mentor.writes("yes")).body
    entries = (await hub.coordinator.writes("audit show")).body.splitlines()
    assert [line for line in entries if mentor.handle in line and "me unlink" in line and "discord" in line]

    stranger = (await mentor.types("me show")).text
    assert handle_in(stranger) != mentor.handle
    assert "guest" in stranger
    assert "You need the role" in (await mentor.types("hours offers")).text

    code = code_in((await ann.writes(f"hours book slot={slot}")).body)
    (row,) = await hub.posted("hours:booked:", code)
    assert (row.state, row.sender) == (State.SENT, "matrix:uj")
    assert await mentor.matrix.until(lambda: mentor.pinged_on_matrix(code), "the ping")
    assert not mentor.pinged_on_discord(code)


# -- survivors ----------------------------------------------------------------------------------------------------


async def test_words_that_may_name_a_witness_are_stopped_and_taken_away(ann: Somebody) -> None:
    bot, room = bot_of("uj"), ann.matrix.dm(bot_of("uj"))
    assert room is not None
    levels = (await ann.matrix.client.room_get_state_event(room, "m.room.power_levels")).content
    levels["users"][bot] = 50
    await ann.matrix.client.room_put_state(room, "m.room.power_levels", levels)

    answer = await ann.writes("find our witness Olena Kovalenko from Izium")
    assert answer.body.startswith("I stopped here and kept nothing")
    assert "Berkeley Protocol" in answer.body
    wire = await ann.matrix.on_the_wire(room)
    (removal,) = [event for event in wire if event["type"] == "m.room.redaction"]
    (removed,) = [event for event in wire if "redacted_because" in event.get("unsigned", {})]
    assert removed["event_id"] in {removal.get("redacts"), removal["content"].get("redacts")}
    assert (removed["sender"], removed["content"]) == (ann.matrix.client.user_id, {})

    passed = await ann.writes("find how to protect a witness")
    assert "entries" in passed.body


async def test_where_the_bot_may_not_remove_words_the_answer_asks_the_person_to_do_it(bob: Somebody) -> None:
    answer = await bob.writes("find our witness Olena Kovalenko from Izium")
    assert "If you still see your message, delete it." in answer.body


async def test_words_that_may_name_a_witness_are_stopped_in_a_form_on_discord(bob: Somebody) -> None:
    asked = await bob.discord.types(bob.discord.dm_with(bob.hub.applications["uj"]), "find")
    sent = await bob.discord.submits(await asked.form(), {"words": "our witness Olena Kovalenko from Izium"})
    stopped = await sent.message()
    assert stopped.text.startswith("I stopped here and kept nothing")
    assert "Kovalenko" not in stopped.text


async def test_the_account_that_is_taken_away_is_told(hub: Hub) -> None:
    came = await hub.linked()
    gone = await came.types("me unlink", platform="matrix")
    await came.presses(gone, "yes")
    told = await came.matrix.until(
        lambda: [each for each in came.matrix.heard(bot_of("uj")) if "no longer know your account" in each.body],
        "to be told",
    )
    assert len(told) == 1
    assert came.handle not in told[0].body
