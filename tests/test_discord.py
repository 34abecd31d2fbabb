"""The Hub on Discord: what people see of it there, and what they are spared when something goes wrong.

The App and the library are the real ones; Discord is a strict one on loopback, which refuses what the real one does.
"""

import asyncio
import gc
import json
import os
import random
import re
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import discord as discord_py
import pytest
from structlog.testing import capture_logs

from bots.app import Stopped
from bots.bot import Parcel, Undelivered
from bots.discord.render import enclosed
from bots.settings import Settings
from commands import FEATURES
from commands.core.feature import Commands
from commands.core.kinds import WHOLE
from commands.core.names import menu, values
from commands.core.reply import Reply
from commands.core.strings import Catalogues
from commands.core.text import plain
from knowledge.library import Library
from storage import inbox
from storage.members import Role
from storage.outbox import State
from tests.fakes.loopback_discord import (
    Application,
    Callback,
    Channel,
    Choice,
    Guild,
    Interaction,
    Kind,
    LoopbackDiscord,
    Message,
    NoAnswer,
    Person,
    discord_py_speaks_to,
)
from tests.fakes.loopback_discord.world import Member
from tests.loopback import CONTACT, PROBES, Hub, at_once, settings_of, until

MOMENT = re.compile(r"<t:\d+:F>")
BOOKING = re.compile(r"\bB-[0-9A-Z]{5,}\b")


# -- who and what there is ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the pauses out of the tests: the library's, before it tries again, and those that a long life repays."""
    monkeypatch.setattr("bots.app.gc", SimpleNamespace(collect=lambda: None, freeze=lambda: None))
    quick = SimpleNamespace(**{**vars(asyncio), "sleep": lambda _seconds: asyncio.sleep(0.01)})
    monkeypatch.setattr(discord_py.Client, "before_identify_hook", at_once)
    monkeypatch.setattr("discord.shard.asyncio", quick)


PATIENCE = 3.0
"""Seconds for which Discord waits for a first response."""


@pytest.fixture
async def discord() -> AsyncIterator[LoopbackDiscord]:
    """A Discord of the test's own. Nothing may be asked of it that the real one forbids, or fail where nobody sees it.

    It is more patient than the real one, unless the test is about that: the machine may be busy.
    """
    unseen: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: unseen.append(str(what)))
    async with LoopbackDiscord(recording=True, deadline=5 * PATIENCE) as server:
        with discord_py_speaks_to(server):
            yield server
        server.assert_lawful()
    gc.collect()
    assert not unseen, unseen


@pytest.fixture
def uj(discord: LoopbackDiscord) -> Application:
    return discord.application("uj")


@pytest.fixture
def guild(discord: LoopbackDiscord, uj: Application) -> Guild:
    """The network's server; of two shards the second one hears of it."""
    return discord.guild("Hub", uj, channels=("general", "staff"), key=str(int(discord.new_id()) | 1 << 22))


@pytest.fixture
def general(guild: Guild) -> Channel:
    return guild.channel("general")


@pytest.fixture
def staff(guild: Guild) -> Channel:
    return guild.channel("staff")


People = Callable[..., Person]


@pytest.fixture
def person(discord: LoopbackDiscord, guild: Guild) -> People:
    """Makes people who are in the guild."""

    def make(name: str = "ann", locale: str = "en-US") -> Person:
        one = discord.person(name, locale=locale)
        one.joins(guild)
        return one

    return make


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where the store and its key store are: files, or with the parameter "postgresql" a real server."""
    if getattr(request, "param", "sqlite") == "postgresql":
        return request.getfixturevalue("empty_postgres")
    for name, content in request.getfixturevalue("templates").items():
        (tmp_path / name).write_bytes(content)
    return f"sqlite:///{tmp_path}/hub.db", f"sqlite:///{tmp_path}/keys.db"


on_both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
"""The test runs on SQLite, and again on a real PostgreSQL server."""

Hubs = Callable[..., Hub]


@pytest.fixture(scope="session")
def library() -> Library:
    """The library, which is read once; what is there by now is looked through no more for what can be forgotten."""
    library = Library.load()
    gc.freeze()
    return library


@pytest.fixture
async def hubs(
    uj: Application,
    guild: Guild,
    database: tuple[str, str],
    library: Library,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Hubs]:
    """Makes Hubs over one database, which are not started yet; all of them read in one library."""
    monkeypatch.setattr("bots.app.FEATURES", (*FEATURES, *PROBES))
    monkeypatch.setattr("bots.app.Library.load", lambda **_how: library)
    made: list[Hub] = []

    def make(**settings: Any) -> Hub:
        made.append(Hub(Settings(**settings_of(uj, guild, database, tmp_path, **settings))))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
async def hub(hubs: Hubs) -> Hub:
    """A Hub that runs."""
    return await hubs().start()


@pytest.fixture
async def mia(hub: Hub, person: People) -> Person:
    """A mentor."""
    mia = person("mia")
    await hub.enter(mia, Role.MENTOR, Role.MEMBER)
    return mia


@pytest.fixture
async def ann(hub: Hub, person: People) -> Person:
    """A member who speaks Ukrainian."""
    ann = person("ann", "uk")
    await hub.enter(ann, Role.MEMBER)
    return ann


@pytest.fixture
async def bob(hub: Hub, person: People) -> Person:
    """A member who speaks English."""
    bob = person("bob")
    await hub.enter(bob, Role.MEMBER)
    return bob


async def offer(mia: Person, uj: Application, **more: Any) -> Message:
    """Offer slots every day, as a mentor."""
    given = {"when": "daily 09:00-12:00", **more}
    return await (await mia.types(mia.dm_with(uj), "hours offer", **given)).message()


# -- who sees what, and in which language -------------------------------------------------------------------------


@pytest.mark.usefixtures("hub")
async def test_an_answer_is_for_one_person_or_for_the_room_as_its_command_says(
    person: People, general: Channel
) -> None:
    ann, bob = person("ann"), person("bob")
    alone = await (await ann.types(general, "me show")).message()
    shown = await (await ann.types(general, "find", words="torture")).message()
    assert alone.ephemeral
    assert not shown.ephemeral
    assert bob.sees(general) == [shown]
    assert ann.sees(general) == [alone, shown]


@pytest.mark.usefixtures("hub")
async def test_nothing_is_hidden_where_a_person_is_alone_with_the_bot(person: People, uj: Application) -> None:
    ann = person("ann")
    message = await (await ann.types(ann.dm_with(uj), "me show")).message()
    assert not message.ephemeral
    assert ann.sees(ann.dm_with(uj)) == [message]


@pytest.mark.parametrize(
    ("locale", "words"), [("uk", "Мова"), ("ru", "Язык"), ("en-GB", "Language"), ("fr", "Language")]
)
@pytest.mark.usefixtures("hub")
async def test_people_are_answered_in_the_language_of_their_client(
    person: People, general: Channel, locale: str, words: str
) -> None:
    ann = person("ann", locale)
    message = await (await ann.types(general, "me show")).message()
    assert f"**{words}**" in message.text
    assert MOMENT.search(message.text)  # which everybody reads in their own zone


@pytest.mark.usefixtures("hub")
async def test_who_has_chosen_a_language_is_answered_in_it_whatever_their_client_speaks(
    person: People, general: Channel
) -> None:
    ann = person("ann", "uk")
    chosen = await (await ann.types(general, "me language", language="ru")).message()
    assert chosen.text == "Теперь я говорю с вами по-русски."
    assert "**Язык**" in (await (await ann.types(general, "me show")).message()).text


async def test_every_command_there_is_is_offered_to_people_and_answers_them(
    hub: Hub, person: People, general: Channel, uj: Application
) -> None:
    ann = person("ann")
    await hub.enter(ann, Role.MEMBER)
    for channel in (general, ann.dm_with(uj)):
        offered = {command["name"] for _, command in ann.commands(channel)}
        for path, command in menu(Commands(FEATURES)).items():
            assert path.split()[0] in offered
            given: dict[str, Any] = {}
            for param in values(command):
                if param.required:
                    kind = param.kind
                    given[param.name] = kind.choices[0].value if kind.choices else 3 if kind is WHOLE else kind.example
            answer = await (await ann.types(channel, path, given)).answered()
            assert "went wrong" not in getattr(answer, "text", ""), path
            assert "I do not know" not in getattr(answer, "text", ""), path


# -- buttons, lists and forms -------------------------------------------------------------------------------------


async def test_a_button_works_after_a_restart_for_whoever_presses_it(
    hub: Hub, mia: Person, ann: Person, bob: Person, person: People, general: Channel, uj: Application
) -> None:
    await offer(mia, uj, when="Tue 09:00-10:00", length="30m", horizon=13)
    shown = await (await ann.types(general, "hours open")).message()
    first, second, *_more = shown.buttons
    await hub.restart()
    stranger = await (await person("eve").presses(shown, first.custom_id or "")).message()
    assert stranger.ephemeral
    assert stranger.text == "You need the role “member” for that here."
    mine = await (await bob.presses(shown, second.custom_id or "")).message()
    assert mine.ephemeral
    assert BOOKING.search(mine.text)
    assert (await hub.slots())[0].code == (first.custom_id or "").partition("slot=")[2]
    assert "Booked" in mine.text
    assert (await (await bob.types(general, "hours mine")).message()).text.count("B-") == 1


async def test_what_was_put_to_a_mentor_a_stranger_cannot_press_not_even_with_a_forged_client(
    hub: Hub, mia: Person, bob: Person, person: People, general: Channel, uj: Application
) -> None:
    await offer(mia, uj, confirm="yes")
    booked = await (await bob.types(general, "hours book", slot=(await hub.slots())[0].code)).message()
    (code,) = set(BOOKING.findall(booked.text))
    asked = await mia.reads(mia.dm_with(uj), lambda message: code in message.text)
    assert [each.label for each in asked.buttons] == ["Confirm", "Decline"]
    await hub.restart()
    eve = person("eve")
    for forger in (eve, bob):
        line = asked.buttons[0].custom_id
        data = {"custom_id": line, "component_type": 2, "id": asked.buttons[0].payload["id"]}
        pressed = await forger._invoke(Kind.COMPONENT, uj, forger.dm_with(uj), data, asked)
        assert (await pressed.message()).text == "You need the role “mentor” for that here."
    confirmed = await (await mia.presses(asked, "Confirm")).message()
    assert confirmed.text.startswith("Confirmed: ")
    told = await bob.reads(bob.dm_with(uj), lambda message: "has confirmed your booking" in message.text)
    assert list(told.files) == ["invite.ics"]


async def test_many_choices_are_a_list_to_choose_from(
    hub: Hub, mia: Person, ann: Person, general: Channel, uj: Application
) -> None:
    await offer(mia, uj)
    shown = await (await ann.types(general, "hours open")).message()
    (menu_,) = shown.selects
    assert len(menu_.options) == 9
    assert not shown.buttons
    await hub.restart()
    booked = await (await ann.chooses(shown, menu_.options[4][0])).message()
    assert booked.ephemeral
    assert BOOKING.search(booked.text)


@pytest.mark.parametrize("many", [True, False])
async def test_a_choice_with_more_words_than_a_button_holds_loses_none_of_them(
    hub: Hub, mia: Person, ann: Person, general: Channel, uj: Application, many: bool
) -> None:
    await offer(mia, uj, **({} if many else {"when": "Tue 09:00-10:00", "length": "30m", "horizon": 13}))
    topic = "оскарження бездіяльності слідчого у справі про катування " * 4
    asked = await (await ann.types(general, "hours book", slot="S-0000000", topic=topic)).message()
    await hub.restart()
    if many:
        choice = await ann.chooses(asked, asked.selects[0].options[1][0])
    else:
        choice = await ann.presses(asked, asked.buttons[1].custom_id or "")
    booked = await choice.message()
    assert BOOKING.search(booked.text)
    assert topic.strip() in (await (await ann.types(general, "hours mine")).message()).text


async def test_words_that_are_missing_are_asked_for_in_a_form_which_outlives_the_process(
    hub: Hub, ann: Person, bob: Person, general: Channel
) -> None:
    form = await (await ann.types(general, "find", kind="guide")).form()
    assert form.title == "Знайти закони, справи, посібники та бланки."
    assert [each.custom_id for each in form.fields] == ["words"]
    await hub.restart()
    answer = await (await ann.submits(form, {"words": "катування"})).message()
    assert not answer.ephemeral
    assert answer in bob.sees(general)
    assert "катування" in answer.text


async def test_what_could_not_be_read_is_there_again_to_be_mended(hub: Hub, ann: Person, general: Channel) -> None:
    form = await (await ann.types(general, "me away")).form()
    asked = await (await ann.submits(form, {"until": "колись"})).message()
    assert asked.ephemeral
    await hub.restart()
    again = await (await ann.presses(asked, "Відповісти")).form()
    assert [(each.custom_id, each.value) for each in again.fields] == [("until", "колись")]
    done = await (await ann.submits(again, {"until": "2099-01-01 10:00"})).message()
    assert MOMENT.search(done.text)
    # A question is answered once, and by whom it was put to.
    late = await (await ann.presses(asked, "Відповісти")).message()
    assert late.text == "На це питання вже є відповідь, воно застаріло або його ставили комусь іншому."


@on_both
async def test_a_form_of_seven_fields_has_two_pages_and_loses_nothing_between_them(
    hub: Hub, ann: Person, general: Channel
) -> None:
    form = await (await ann.types(general, "survey fill")).form()
    assert [each.custom_id for each in form.fields] == ["a", "b", "c", "d", "e"]
    long = {name: f"{name} " + "слово " * 600 for name in "abcde"}
    await hub.restart()
    asked = await (await ann.submits(form, long)).message()
    assert asked.ephemeral
    await hub.restart()
    (button,) = asked.buttons
    second = await (await ann.presses(asked, button.label)).form()
    assert [each.custom_id for each in second.fields] == ["f", "g"]
    await hub.restart()
    done = await (await ann.submits(second, {"f": "ef", "g": "gee"})).message()
    whole = done.files["answer.txt"].decode()
    assert whole.split("\n\n") == [*(each.strip() for each in long.values()), "ef", "gee"]
    assert await hub.marks() == ["filled in"]


# -- files, moments, pings ----------------------------------------------------------------------------------------


async def test_a_booking_comes_with_an_entry_for_the_calendar(
    hub: Hub, mia: Person, ann: Person, general: Channel, uj: Application
) -> None:
    await offer(mia, uj)
    slot = (await hub.slots())[0]
    booked = await (await ann.types(general, "hours book", slot=slot.code)).message()
    assert f"<t:{int(slot.starts_at.timestamp())}:F>" in booked.text
    (name,) = booked.files
    assert name.endswith(".ics")
    assert f"DTSTART:{slot.starts_at:%Y%m%dT%H%M%SZ}".encode() in booked.files[name]


async def test_the_digest_comes_with_its_chart_and_its_page_and_goes_to_the_coordinators_room(
    hub: Hub, person: People, general: Channel, staff: Channel
) -> None:
    cora = person("cora", "uk")
    await hub.enter(cora, Role.COORDINATOR)
    preview = await (await cora.types(general, "digest preview")).message()
    assert preview.ephemeral
    await cora.types(general, "digest now")
    sent = await cora.reads(staff, lambda message: bool(message.files))
    for message in (preview, sent):
        assert set(message.files) == {"digest.png", "digest.html"}
        assert message.files["digest.png"].startswith(b"\x89PNG")
        assert message.files["digest.html"].lower().startswith(b"<!doctype html>")
    assert "Дайджест" in preview.text
    assert "Digest of Network uj" in sent.text  # a room is spoken to in its network's language


def allowed_pings(discord: LoopbackDiscord) -> list[Any]:
    """Whom each message that was sent or changed allowed to be notified."""
    said = {
        "create_message": lambda body: body,
        "create_interaction_response": lambda body: body["data"] if body["type"] == Callback.MESSAGE else None,
        "update_webhook_message": lambda body: body,
        "update_original_webhook_message": lambda body: body,
        "execute_webhook": lambda body: body,
    }
    bodies = [said[name](body) for name, body in discord.requests if name in said]
    return [each.get("allowed_mentions") for each in bodies if each is not None]


async def test_nobody_is_notified_by_what_somebody_types(
    discord: LoopbackDiscord, hub: Hub, mia: Person, ann: Person, bob: Person, general: Channel, uj: Application
) -> None:
    bad = f"@everyone @here <@{bob.id}> <@&{general.guild_id}>"
    await offer(mia, uj)
    await (await ann.types(general, "find", words=bad)).message()
    await (await ann.types(general, "hours book", slot=(await hub.slots())[0].code, topic=bad)).message()
    mine = await (await mia.types(general, "hours mine")).message()
    assert "everyone" in mine.text
    assert f"<@{bob.id}>" not in mine.text
    await mia.reads(mia.dm_with(uj), lambda message: "New booking" in message.text)
    allowed = allowed_pings(discord)
    assert len(allowed) == 5
    assert all(each is not None and not each.get("parse") and not each.get("users") for each in allowed)


async def test_a_ping_in_a_room_notifies_the_one_whom_it_is_for_and_nobody_else(
    discord: LoopbackDiscord, hub: Hub, ann: Person, bob: Person, general: Channel
) -> None:
    parcel = Parcel(key="k", tx_id="f" * 24, place=general.id, address=ann.id, mention=True)
    await hub.bot.deliver(parcel, Reply(plain(f"@everyone <@{bob.id}>")), hub.app.voice("uj"))
    (message,) = bob.sees(general)
    assert f"<@{ann.id}>" in message.text
    assert f"<@{bob.id}>" not in message.text
    (allowed,) = allowed_pings(discord)
    assert allowed["parse"] == []
    assert list(map(str, allowed["users"])) == [ann.id]


# -- suggestions --------------------------------------------------------------------------------------------------


async def test_suggestions_are_few_short_and_in_the_persons_own_language(
    hub: Hub, mia: Person, ann: Person, general: Channel, uj: Application
) -> None:
    await offer(mia, uj, topics="апеляція")
    slots = await ann.suggestions(general, "hours book", "slot", "")
    assert [each.value for each in slots] == [each.code for each in (await hub.slots())[: len(slots)]]
    assert 1 <= len(slots) <= 25
    assert all("апеляція" in each.name and "<t:" not in each.name for each in slots)
    languages = await ann.suggestions(general, "find", "language", "", {"words": "x"})
    assert Choice("українська", "uk") in [Choice(each.name.lower(), each.value) for each in languages]
    for command, option in (("resource show", "id"), ("help", "command"), ("me zone", "zone")):
        offered = await ann.suggestions(general, command, option, "")
        assert len(offered) <= 25
        assert all(1 <= len(each.name) <= 100 for each in offered)


async def test_a_stranger_is_suggested_nothing_and_stays_unknown(
    hub: Hub, mia: Person, person: People, general: Channel, uj: Application
) -> None:
    await offer(mia, uj)
    eve = person("eve", "ru")
    assert await eve.suggestions(general, "hours book", "slot", "") == []
    assert await eve.suggestions(general, "roles grant", "role", "", {"handle": "x"}) == []
    assert await hub.roles(eve) == frozenset()
    assert await eve.suggestions(general, "help", "command", "he") != []


# -- where things may be said -------------------------------------------------------------------------------------


CONFIDENTIAL = {
    "en-US": f"This is confidential, and others can read along here. Say it to me in private at {CONTACT}.",
    "uk": f"Це конфіденційно, а тут можуть читати й інші. Скажіть це мені приватно: {CONTACT}.",
    "ru": f"Это конфиденциально, а здесь могут читать и другие. Скажите это мне лично: {CONTACT}.",
}


async def test_what_is_confidential_is_refused_with_the_place_where_it_can_be_said(
    hubs: Hubs, person: People, general: Channel, uj: Application
) -> None:
    await hubs(on_paper=True).start()
    for locale, sentence in CONFIDENTIAL.items():
        ann = person("ann", locale)
        for channel in (general, ann.dm_with(uj)):
            for given in ({"words": "hush"}, {}):  # no form either: nothing is typed in vain
                message = await (await ann.types(channel, "secret tell", **given)).message()
                assert message.text.replace("\\", "") == sentence
                assert message.ephemeral is (channel is general)


async def test_cases_and_what_was_learned_from_them_are_refused_with_the_place_where_they_can_be_said(
    hubs: Hubs, person: People, general: Channel
) -> None:
    hub = await hubs(on_paper=True).start()
    ann = person("ann", "en-US")
    await hub.enter(ann, Role.MEMBER)
    for path in ("case list", "case counts", "feedback mine", "feedback give"):
        message = await (await ann.types(general, path)).message()
        expected = "coordinator" if path == "case counts" else CONTACT
        assert expected in message.text.replace("\\", ""), path
        assert message.ephemeral


async def test_what_is_confidential_is_heard_where_the_operator_says_so(
    hubs: Hubs, person: People, general: Channel
) -> None:
    await hubs(hub={"confidential": ["matrix", "discord"]}).start()
    message = await (await person("ann").types(general, "secret tell", words="hush")).message()
    assert message.text == "Kept: hush."
    assert message.ephemeral


async def test_a_server_that_is_not_ours_is_told_so(
    discord: LoopbackDiscord, hub: Hub, ann: Person, uj: Application
) -> None:
    other = discord.guild("Elsewhere", uj)
    ann.joins(other)
    there = other.channel("general")
    for line, given in (("help", {}), ("find", {}), ("tally count", {"mark": "m"})):
        message = await (await ann.types(there, line, **given)).message()
        assert message.ephemeral
        assert message.text == "Мій дім — на іншому сервері. Будь ласка, пишіть мені там або в особисті повідомлення."
    assert await hub.marks() == []


async def test_a_role_of_the_server_vouches_for_somebody_new_and_for_nobody_else(
    hubs: Hubs, guild: Guild, person: People, general: Channel, uj: Application
) -> None:
    lawyer = {**guild.roles()[0], "id": str(int(guild.id) + 1), "name": "Lawyers", "position": 1}
    everybody = guild.roles()
    guild.roles = lambda: [*everybody, lawyer]  # type: ignore[method-assign]
    hub = await hubs(roles={"member": "Lawyers"}).start()
    lena, gus, kit = person("lena"), person("gus"), person("kit")
    for each in (lena, kit):
        member = guild.members[each.id]
        member.payload = lambda member=member: {**Member.payload(member), "roles": [lawyer["id"]]}  # type: ignore[method-assign]
    await (await lena.types(general, "me show")).message()
    await (await gus.types(general, "me show")).message()
    await (await kit.types(kit.dm_with(uj), "me show")).message()  # a private chat has no roles
    await (await kit.types(general, "me show")).message()
    assert Role.MEMBER in await hub.roles(lena)
    assert Role.MEMBER not in await hub.roles(gus)
    assert Role.MEMBER not in await hub.roles(kit)


# -- what is declared ---------------------------------------------------------------------------------------------


def synced(discord: LoopbackDiscord) -> int:
    return sum(name == "bulk_set_application_commands" for name, _body in discord.requests)


async def test_discord_is_told_the_commands_only_when_they_have_changed(
    discord: LoopbackDiscord, hub: Hub, monkeypatch: pytest.MonkeyPatch, uj: Application
) -> None:
    assert synced(discord) == 1
    await hub.restart()
    assert synced(discord) == 1
    catalogues = Catalogues.load()
    uk = catalogues.speak("uk")
    better = replace(uk, sentences={**uk.sentences, "Show what you may do here.": "Показати все."})
    monkeypatch.setattr(Catalogues, "load", lambda: Catalogues({"uk": better, "ru": catalogues.speak("ru")}))
    await hub.restart()
    assert synced(discord) == 2
    (help_,) = [each for (_kind, name), each in uj.commands[None].items() if name == "help"]
    assert help_["description_localizations"]["uk"] == "Показати все."
    await hub.restart()
    assert synced(discord) == 2


async def test_commands_that_are_not_declared_any_more_get_a_sentence(
    ann: Person, bob: Person, general: Channel, uj: Application
) -> None:
    commands = uj.commands[None]
    words = {"type": 3, "name": "words", "description": "Words", "required": False, "autocomplete": True}
    term = commands[1, "term"]
    changed = [{**each, "required": False} for each in term["options"]]
    commands[1, "term"] = {**term, "options": [{**each, "type": 4} for each in changed]}
    commands[1, "former"] = {**term, "id": "1", "name": "former", "options": [words]}
    group = {"type": 1, "name": "former", "description": "Former", "options": []}
    commands[1, "hours"] = {**commands[1, "hours"], "options": [*commands[1, "hours"]["options"], group]}
    sentence = "I do not know this command as it is here. Please choose it from the list again."
    for line, given in (("former", {"words": "x"}), ("hours former", {})):
        message = await (await bob.types(general, line, **given)).message()
        assert message.ephemeral
        assert message.text == sentence
    message = await (await ann.types(general, "former")).message()
    assert message.text == "Не знаю цієї команди в такому вигляді. Виберіть її, будь ласка, зі списку ще раз."
    assert await ann.suggestions(general, "former", "words", "x") == []


async def test_a_button_whose_command_is_gone_gets_a_sentence(
    mia: Person, bob: Person, general: Channel, uj: Application
) -> None:
    await offer(mia, uj, when="Tue 09:00-10:00", length="30m", horizon=13)
    shown = await (await bob.types(general, "hours open")).message()
    shown.buttons[0].payload["custom_id"] = "hours former booking=B-1"
    message = await (await bob.presses(shown, "hours former booking=B-1")).message()
    assert message.ephemeral
    assert message.text.startswith("Mentors' office hours")  # what there is instead


# -- the gateway fails --------------------------------------------------------------------------------------------


async def happens(discord: LoopbackDiscord, true: Callable[[], Any]) -> None:
    """Wait until something is true of Discord."""
    async with asyncio.timeout(10):
        while not true():
            await discord.news.wait()


async def asked_of(discord: LoopbackDiscord, operation: str) -> int:
    """Tell how often something was asked of Discord."""
    return sum(name == operation for name, _body in discord.requests)


async def is_at_rest(hub: Hub) -> bool:
    """Tell whether nothing is left to be said."""
    return all(each.state is not State.PENDING for each in await hub.outbox())


async def comes_to_rest(hub: Hub) -> None:
    """Wait until nothing is left to be said."""
    await until(lambda: is_at_rest(hub))


async def test_a_gateway_that_cannot_be_reached_at_first_is_tried_again(
    discord: LoopbackDiscord, hubs: Hubs, person: People, general: Channel
) -> None:
    discord.refuse_connections(2)
    await hubs().start()
    assert discord.gateway.refusing == 0
    assert "Handle" in (await (await person("ann").types(general, "me show")).message()).text


async def test_what_the_library_cannot_read_costs_one_answer_and_not_the_bot(
    discord: LoopbackDiscord, bob: Person, general: Channel, uj: Application
) -> None:
    discord.malform(uj, "INTERACTION_CREATE", "type")
    lost = await bob.types(general, "me show")
    await happens(discord, lambda: uj.identified == 2)
    assert "Handle" in (await (await bob.types(general, "me show")).message()).text
    assert lost.first is None
    assert synced(discord) == 1


TROUBLE: dict[str, Callable[[LoopbackDiscord, Application], None]] = {
    "the connection breaks": lambda discord, uj: discord.drop(uj),
    "the connection is closed": lambda discord, uj: discord.drop(uj, code=4000),
    "a new connection is asked for": lambda discord, uj: discord.ask_to_reconnect(uj),
    "the session is interrupted": lambda discord, uj: discord.invalidate(uj, resumable=True),
}


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_what_is_said_while_the_bot_is_away_is_answered_once_when_it_comes_back(
    discord: LoopbackDiscord, hub: Hub, bob: Person, general: Channel, uj: Application, trouble: str
) -> None:
    before = await bob.types(general, "tally count", mark="before")
    TROUBLE[trouble](discord, uj)
    said = [await bob.types(general, "tally count", mark=f"mark {number}") for number in range(5)]
    shown = await bob.types(general, "find", words="torture")
    for each in (before, *said, shown):
        await each.message()
    await comes_to_rest(hub)
    assert uj.resumed == 1
    assert uj.identified == 1
    assert sorted(await hub.marks()) == ["before", *(f"mark {number}" for number in range(5))]
    assert len(bob.sees(general)) == 7
    assert bob.sees(bob.dm_with(uj)) == []


async def test_a_session_that_discord_has_ended_is_begun_anew(
    discord: LoopbackDiscord, hub: Hub, bob: Person, general: Channel, uj: Application
) -> None:
    discord.invalidate(uj, resumable=False)
    await happens(discord, lambda: uj.identified == 2)
    assert "Handle" in (await (await bob.types(general, "me show")).message()).text
    assert hub.bot._ready.is_set()


async def test_a_wrong_token_stops_its_bot_and_the_others_go_on(
    discord: LoopbackDiscord, hubs: Hubs, person: People, general: Channel, uj: Application
) -> None:
    with capture_logs() as entries:
        hub = hubs(tokens={"climate": "a token that Discord does not know"})
        hub.begin()
        await discord.connected(uj)
        assert "Handle" in (await (await person("ann").types(general, "me show")).message()).text
    stopped = [each for each in entries if each["event"] == "a bot has stopped"]
    assert [each["bot"] for each in stopped] == ["discord:climate"]
    assert "make a new one" in stopped[0]["why"]
    assert "does not know" not in str([each for each in entries if each not in stopped])


async def test_a_token_that_was_revoked_stops_the_bot(discord: LoopbackDiscord, hub: Hub, uj: Application) -> None:
    del discord.by_token[uj.token]
    with pytest.raises(Undelivered) as undelivered:
        await hub.bot.deliver(Parcel(key="k", tx_id="f" * 24, place="1"), Reply(plain("hello")), hub.app.voice("uj"))
    assert not undelivered.value.permanent  # an operator can help
    discord.drop(uj)
    with pytest.raises(Stopped):
        await hub.ended()


# -- the database is slow -----------------------------------------------------------------------------------------


@pytest.fixture
def short_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the bot tell people to wait almost at once."""
    monkeypatch.setattr("bots.discord.client.HEAD_START", 0.05)
    monkeypatch.setattr("bots.discord.client.KEEPING", 0.05)
    monkeypatch.setattr("bots.discord.client.FIRST_RESPONSE", 0.15)


async def test_whoever_must_wait_is_told_so_in_time_and_then_answered_in_the_same_place(
    discord: LoopbackDiscord, hub: Hub, bob: Person, general: Channel, uj: Application
) -> None:
    discord.deadline = PATIENCE
    lines: list[tuple[str, dict[str, str], bool]] = [
        ("me show", {}, True),
        ("find", {"words": "torture"}, False),
        ("find", {}, False),
        ("tally count", {"mark": "to one"}, True),
        ("tally shout", {"mark": "to all"}, False),
    ]
    said = []
    with hub.busy():
        for line, given, hidden in lines:
            said.append((await bob.types(general, line, given), hidden))
        for asked, hidden in said:
            assert await asked.acknowledged() is Callback.THINKING
            assert asked.ephemeral is hidden
    for asked, hidden in said:
        message = await asked.message()
        assert message is asked.original
        assert message.edits == 1
        assert message.ephemeral is hidden
    await comes_to_rest(hub)
    assert bob.sees(bob.dm_with(uj)) == []
    assert sorted(await hub.marks()) == ["to all", "to one"]


async def test_a_button_and_a_form_wait_as_well(
    hub: Hub, mia: Person, bob: Person, general: Channel, uj: Application
) -> None:
    await offer(mia, uj)
    shown = await (await bob.types(general, "hours open")).message()
    form = await (await bob.types(general, "tally count")).form()
    with hub.busy():
        chosen = await bob.chooses(shown, shown.selects[0].options[0][0])
        submitted = await bob.submits(form, {"mark": "m"})
        for each in (chosen, submitted):
            assert await each.acknowledged() is Callback.THINKING
            assert each.ephemeral
    assert BOOKING.search((await chosen.message()).text)
    assert (await submitted.message()).text == "Counted m."
    assert not shown.edits


@pytest.mark.usefixtures("short_of_time")
async def test_a_chart_that_takes_long_to_draw_keeps_nobody_in_doubt(
    hub: Hub, person: People, general: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    cora = person("cora")
    await hub.enter(cora, Role.COORDINATOR)
    may_draw = threading.Event()
    monkeypatch.setattr("bots.discord.client.enclosed", lambda *reply: may_draw.wait() and enclosed(*reply))
    asked = await cora.types(general, "digest preview")
    assert await asked.acknowledged() is Callback.THINKING
    assert asked.ephemeral
    may_draw.set()
    message = await asked.message()
    assert message is asked.original
    assert set(message.files) == {"digest.png", "digest.html"}


async def test_a_database_that_is_away_for_longer_than_discord_waits_loses_nothing(
    discord: LoopbackDiscord, hub: Hub, bob: Person, general: Channel
) -> None:
    discord.deadline = PATIENCE
    with hub.busy():
        asked = await bob.types(general, "tally count", mark="m")
        typing = await bob.begins_typing(general, "help", "command", "h")
        assert await typing.suggested() == []
        await asyncio.sleep(PATIENCE)
    assert (await asked.message()).text == "Counted m."
    assert await hub.marks() == ["m"]


@pytest.mark.usefixtures("short_of_time")
async def test_what_is_refused_after_all_leaves_nothing_private_in_public(
    hub: Hub, person: People, bob: Person, general: Channel
) -> None:
    eve = person("eve")
    with hub.busy():
        refused = await eve.types(general, "tally shout", mark="m")
        asked = await bob.types(general, "find")
        for each in (refused, asked):
            assert await each.acknowledged() is Callback.THINKING
            assert not each.ephemeral
    sentence = await eve.reads(general, lambda message: message.ephemeral)
    question = await bob.reads(general, lambda message: message.ephemeral)
    assert sentence.text == "You need the role “member” for that here."
    assert [each.text for each in bob.sees(general) if not each.ephemeral] == ["I have answered for you alone."] * 2
    form = await (await bob.presses(question, "Answer")).form()
    assert not (await (await bob.submits(form, {"words": "torture"})).message()).ephemeral
    assert await hub.marks() == []


@pytest.mark.usefixtures("short_of_time")
@pytest.mark.parametrize("executed", [True, False])
async def test_a_private_answer_that_breaks_on_its_way_behind_a_public_one_is_not_lost(
    discord: LoopbackDiscord, hub: Hub, person: People, general: Channel, uj: Application, executed: bool
) -> None:
    eve = person("eve")
    discord.faults.reset("execute_webhook", executed=executed)
    with hub.busy():
        await (await eve.types(general, "tally shout", mark="m")).acknowledged()
    told = await eve.reads(eve.dm_with(uj))
    assert told.text == "You need the role “member” for that here."
    await comes_to_rest(hub)
    assert eve.sees(eve.dm_with(uj)) == [told]
    assert [each.text for each in eve.sees(general) if not each.ephemeral] == ["I have answered for you alone."]


@pytest.mark.usefixtures("short_of_time")
async def test_an_answer_that_is_there_while_the_person_is_told_to_wait_is_not_lost(
    discord: LoopbackDiscord, hub: Hub, ann: Person, bob: Person, general: Channel
) -> None:
    discord.faults.delay("create_interaction_response", 1.0)
    with hub.busy():
        slow = await bob.types(general, "tally count", mark="slow")
        await until(lambda: asked_of(discord, "create_interaction_response"))
    # Somebody else's answer makes the courier look, while Discord has not yet taken that there will be one.
    await (await ann.types(general, "tally count", mark="quick")).message()
    assert (await slow.message()).text == "Counted slow."
    assert sorted(await hub.marks()) == ["quick", "slow"]


@on_both
@pytest.mark.usefixtures("short_of_time")
async def test_what_was_promised_is_answered_by_the_next_process(
    hub: Hub, bob: Person, general: Channel, uj: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bots.discord.client.LAST_WORDS", 0.0)

    async def never(_heard: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(hub.app.dispatcher, "answer", never)
    said = [
        (await bob.types(general, "tally count", mark="m"), "Counted m."),
        (await bob.types(general, "me show"), "Handle"),
        (await bob.types(general, "find", words="torture"), "torture"),
        (await bob.types(bob.dm_with(uj), "me zone", zone="Asia/Tbilisi"), "Asia/Tbilisi"),
    ]
    for asked, _words in said:
        assert await asked.acknowledged() is Callback.THINKING
    await hub.restart()
    for asked, words in said:
        message = await asked.message()
        assert message is asked.original
        assert words in message.text
    await comes_to_rest(hub)
    assert await hub.marks() == ["m"]
    assert len(bob.sees(general)) == 3


# -- the way back fails -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize(("line", "given"), [("me show", {}), ("tally count", {"mark": "m"})])
async def test_an_answer_whose_connection_breaks_arrives_once(
    discord: LoopbackDiscord,
    hub: Hub,
    bob: Person,
    general: Channel,
    uj: Application,
    line: str,
    given: dict[str, str],
    executed: bool,
) -> None:
    discord.faults.reset("create_interaction_response", executed=executed)
    asked = await bob.types(general, line, given)
    message = await asked.message()
    await comes_to_rest(hub)
    assert bob.sees(general) == [message]
    assert not message.edits
    assert bob.sees(bob.dm_with(uj)) == []
    assert await hub.marks() == list(given.values())


@pytest.mark.parametrize("executed", [True, False])
async def test_a_form_whose_connection_breaks_opens_once(
    discord: LoopbackDiscord, hub: Hub, bob: Person, general: Channel, executed: bool
) -> None:
    discord.faults.reset("create_interaction_response", executed=executed)
    asked = await bob.types(general, "tally count")
    done = await bob.submits(await asked.form(), {"mark": "m"})
    assert (await done.message()).text == "Counted m."
    assert await hub.marks() == ["m"]


@pytest.mark.usefixtures("short_of_time")
@pytest.mark.parametrize("executed", [True, False])
async def test_a_promise_whose_connection_breaks_is_made_once_and_kept(
    discord: LoopbackDiscord, hub: Hub, bob: Person, general: Channel, executed: bool
) -> None:
    discord.faults.reset("create_interaction_response", executed=executed)
    discord.faults.reset("update_webhook_message", executed=executed)
    with hub.busy():
        asked = await bob.types(general, "tally count", mark="m")
        assert await asked.acknowledged() is Callback.THINKING
    message = await asked.message()
    await comes_to_rest(hub)
    assert message.text == "Counted m."
    assert bob.sees(general) == [message]
    assert message.edits == 1


@pytest.mark.parametrize("executed", [True, False])
async def test_one_failure_of_discord_delays_an_answer_and_nothing_else(
    discord: LoopbackDiscord, hub: Hub, bob: Person, general: Channel, uj: Application, executed: bool
) -> None:
    discord.faults.fail("create_interaction_response", 500, executed=executed)
    message = await (await bob.types(general, "tally count", mark="m")).message()
    await comes_to_rest(hub)
    assert bob.sees(general) == [message]
    assert bob.sees(bob.dm_with(uj)) == []
    assert await hub.marks() == ["m"]


async def test_discord_failing_until_it_is_too_late_leaves_the_private_chat(
    discord: LoopbackDiscord, hub: Hub, ann: Person, bob: Person, general: Channel, uj: Application
) -> None:
    discord.deadline = PATIENCE
    discord.faults.fail("create_interaction_response", 500, times=4)
    changed = await bob.types(general, "tally count", mark="m")
    read = await ann.types(general, "find", words="катування")
    told = await bob.reads(bob.dm_with(uj), within=10)
    found = await ann.reads(ann.dm_with(uj), within=10)
    assert changed.failed
    assert read.failed
    assert told.text == "Counted m."
    assert "катування" in found.text
    await comes_to_rest(hub)
    assert await hub.marks() == ["m"]
    assert bob.sees(bob.dm_with(uj)) == [told]
    assert ann.sees(ann.dm_with(uj)) == [found]
    assert ann.sees(general) == []


@on_both
async def test_an_answer_that_comes_too_late_is_said_in_the_private_chat(
    discord: LoopbackDiscord, hub: Hub, mia: Person, bob: Person, general: Channel, uj: Application
) -> None:
    await offer(mia, uj)
    slot = (await hub.slots())[0]
    discord.deadline = 0.3
    discord.faults.delay("create_interaction_response", 0.4)
    asked = await bob.types(general, "hours book", slot=slot.code)
    told = await bob.reads(bob.dm_with(uj))
    assert asked.failed
    assert BOOKING.search(told.text)
    assert [name.endswith(".ics") for name in told.files] == [True]
    assert [each.label for each in told.buttons] == ["Move it", "Cancel it"]
    await comes_to_rest(hub)
    assert (await hub.slots())[0].code != slot.code
    assert bob.sees(bob.dm_with(uj)) == [told]
    discord.deadline = PATIENCE
    cancelled = await (await bob.presses(told, "Cancel it")).message()
    assert "Cancelled: 1 booking" in cancelled.text


async def test_what_a_closed_chat_refuses_goes_to_the_persons_other_account(
    discord: LoopbackDiscord, hubs: Hubs, person: People, general: Channel
) -> None:
    hub = await hubs(on_paper=True).start()
    bob, cora = person("bob"), person("cora")
    handle = await hub.enter(bob, Role.MEMBER, matrix="@bob:example.org")
    await hub.enter(cora, Role.COORDINATOR)
    bob.closes_dms()
    assert hub.paper is not None
    await (await cora.types(general, "roles grant", handle=handle, role="mentor")).message()
    parcel, words = await asyncio.wait_for(hub.paper.delivered.get(), 10)
    assert (parcel.address, parcel.ticket) == ("@bob:example.org", None)
    assert "mentor" in words
    discord.deadline = 0.3
    discord.faults.delay("create_interaction_response", 0.4)
    await bob.types(general, "tally count", mark="m")
    parcel, words = await asyncio.wait_for(hub.paper.delivered.get(), 10)
    assert (parcel.address, words) == ("@bob:example.org", "Counted m.")
    assert await hub.marks("m") == ["m"]


async def test_what_reaches_a_person_nowhere_is_told_to_the_coordinators_without_a_word_of_it(
    hub: Hub, person: People, bob: Person, general: Channel, staff: Channel
) -> None:
    cora, handle = person("cora"), await hub.enter(bob)
    await hub.enter(cora, Role.COORDINATOR)
    bob.closes_dms()
    await (await cora.types(general, "roles grant", handle=handle, role="mentor")).message()
    notice = await cora.reads(staff)
    assert notice.text == "1 item could not be delivered."
    await comes_to_rest(hub)
    assert cora.sees(staff) == [notice]
    assert not notice.pings


# -- what is said unasked -----------------------------------------------------------------------------------------


async def test_a_ping_that_discord_throttles_arrives_later_and_once(
    discord: LoopbackDiscord, hub: Hub, person: People, bob: Person, general: Channel, uj: Application
) -> None:
    cora, handle = person("cora"), await hub.enter(bob)
    await hub.enter(cora, Role.COORDINATOR)
    discord.faults.rate_limit("create_message", 0.2, times=2)
    await (await cora.types(general, "roles grant", handle=handle, role="mentor")).message()
    told = await bob.reads(bob.dm_with(uj))
    await comes_to_rest(hub)
    assert bob.sees(bob.dm_with(uj)) == [told]
    # What takes longer than a courier holds a message is put off as long as Discord wishes.
    discord.faults.rate_limit("create_message", 120.0)
    await (await cora.types(general, "roles revoke", handle=handle, role="mentor")).message()

    async def put_off() -> list[Any]:
        return [each for each in await hub.outbox() if each.error == "too fast for Discord"]

    (waiting,) = await until(put_off)
    assert waiting.due_at - waiting.first_try_at >= timedelta(seconds=119)


async def test_a_ping_whose_connection_breaks_arrives_once(
    discord: LoopbackDiscord, hub: Hub, person: People, bob: Person, general: Channel, uj: Application
) -> None:
    cora, handle = person("cora"), await hub.enter(bob)
    await hub.enter(cora, Role.COORDINATOR)
    discord.faults.reset("create_message", executed=True)
    discord.faults.reset("create_message", executed=False)
    await (await cora.types(general, "roles grant", handle=handle, role="mentor")).message()
    told = await bob.reads(bob.dm_with(uj))
    await comes_to_rest(hub)
    assert await asked_of(discord, "create_message") == 3
    assert bob.sees(bob.dm_with(uj)) == [told]


async def test_a_ping_that_is_tried_again_after_discord_has_forgotten_it_arrives_once(
    discord: LoopbackDiscord, hub: Hub, person: People, bob: Person, general: Channel, uj: Application
) -> None:
    cora, handle = person("cora"), await hub.enter(bob)
    await hub.enter(cora, Role.COORDINATOR)
    discord.nonce_life = 0.0
    discord.faults.reset("create_message", executed=True)
    discord.faults.reset("create_message", executed=False, times=100)
    await (await cora.types(general, "roles grant", handle=handle, role="mentor")).message()
    told = await bob.reads(bob.dm_with(uj))
    await hub.stop()
    discord.faults.clear()
    await hub.restart(clock_shift=timedelta(minutes=3))
    await comes_to_rest(hub)
    assert bob.sees(bob.dm_with(uj)) == [told]
    # Another one with other words is not taken for it.
    await (await cora.types(general, "roles revoke", handle=handle, role="mentor")).message()
    await comes_to_rest(hub)
    assert len(bob.sees(bob.dm_with(uj))) == 2


# -- several processes --------------------------------------------------------------------------------------------


@on_both
async def test_two_processes_share_an_application_and_each_answers_what_it_has_heard(
    hubs: Hubs, uj: Application, person: People, general: Channel
) -> None:
    first, second = hubs(shard_ids=[0], shard_count=2), hubs(shard_ids=[1], shard_count=2)
    for each in (first, second):
        await each.start()
    ann = person("ann")
    dm = ann.dm_with(uj)
    said = [await ann.types(channel, "tally count", mark=str(n)) for n, channel in enumerate([general, dm] * 3)]
    for number, asked in enumerate(said):
        assert (await asked.message()).text == f"Counted {number}."
    await comes_to_rest(first)
    by = {each.key.rpartition(":")[2]: (each.claimed_by or "").partition("/")[0] for each in await first.outbox()}
    assert [by[each.id] for each in said] == [second.app.owner, first.app.owner] * 3
    assert sorted(await first.marks()) == sorted(map(str, range(6)))
    assert len(ann.sees(general)) == len(ann.sees(dm)) == 3


@on_both
async def test_a_process_that_begins_before_the_former_one_has_ended_says_nothing_twice(
    hub: Hub, hubs: Hubs, bob: Person, general: Channel, uj: Application
) -> None:
    second = await hubs().start()
    said = []
    for number in range(4):
        said.append(await bob.types(general, "tally count", mark=f"mark {number}"))
        said.append(await bob.types(general, "find", words=f"torture {number}"))
    for each in said:
        await each.message()
    await comes_to_rest(second)
    await hub.stop()
    assert len(bob.sees(general)) == len(said)
    assert bob.sees(bob.dm_with(uj)) == []
    assert sorted(await second.marks()) == [f"mark {number}" for number in range(4)]


# -- what the operator sees ---------------------------------------------------------------------------------------


async def test_the_log_names_nobody_and_quotes_nothing(
    discord: LoopbackDiscord, hubs: Hubs, person: People, general: Channel, uj: Application
) -> None:
    bob = person("bob")
    with capture_logs() as entries:
        hub = await hubs().start()
        discord.faults.reset("create_interaction_response", executed=False, times=2)
        await bob.types(general, "find", words="Ludmila")
        told = await bob.reads(bob.dm_with(uj))
        await comes_to_rest(hub)
        bob.closes_dms()
        discord.deadline = 0.3
        discord.faults.delay("create_interaction_response", 0.4)
        await bob.types(general, "tally count", mark="Ludmila")
        await until(lambda: given_up(hub))
        uj.commands[None][1, "Ludmila"] = {**uj.commands[None][1, "term"], "name": "Ludmila"}
        discord.deadline = PATIENCE
        await (await bob.types(general, "Ludmila", word="Ludmila")).message()
        await hub.restart()
    assert "Ludmila" in told.text
    assert len(entries) > 4
    text = str([{key: value for key, value in each.items() if key != "exc_info"} for each in entries])
    for secret in ("Ludmila", "bob", bob.id, general.id, uj.id, uj.token):
        assert secret not in text


async def given_up(hub: Hub) -> bool:
    return any(each.state is State.DEAD for each in await hub.outbox())


# -- kills at any moment ------------------------------------------------------------------------------------------

WORDS = ("torture", "катування", "genocide", "sanctions", "climate")
SETTINGS: tuple[tuple[str, dict[str, str]], ...] = (
    ("me zone", {"zone": "Asia/Tbilisi"}),
    ("me quiet", {"span": "off"}),
    ("me language", {"language": "en"}),
    ("me show", {}),
)


class Crowd:
    """People who use the Hub at random moments, and what they have asked for."""

    def __init__(self, rng: Random, people: list[Person], general: Channel, uj: Application) -> None:
        self.rng = rng
        self.people = people
        self.general = general
        self.uj = uj
        self.asked: dict[str, Interaction] = {}
        """By the mark that its answer bears."""
        self.others: list[Interaction] = []
        self.number = 0

    async def act(self, person: Person, slots: list[str]) -> Interaction | None:
        """Do something, and return what has to be answered; None where nothing can be done."""
        channel = self.rng.choice((self.general, self.general, person.dm_with(self.uj)))
        self.number += 1
        mark = f"mark-{self.number}-"
        what = self.rng.choice(
            ("count", "count", "shout", "form", "find", "find", "book", "book", "cancel", "settings")
        )
        asked = None
        match what:
            case "count" | "shout":
                asked = self.asked[mark] = await person.types(channel, f"tally {what}", mark=mark)
            case "find":
                words = f"{mark} {self.rng.choice(WORDS)}"
                asked = self.asked[mark] = await person.types(channel, "find", words=words)
            case "form":
                opened = await person.types(channel, "tally count")
                self.others.append(opened)
                with suppress(NoAnswer):
                    asked = self.asked[mark] = await person.submits(await opened.form(), {"mark": mark})
            case "book" if slots:
                asked = await person.types(channel, "hours book", slot=slots.pop())
            case "cancel":
                booked = [each for each in person.sees(channel) if each.text.startswith("Booked")]
                if booked:
                    asked = await person.presses(self.rng.choice(booked), "Cancel it")
            case "settings":
                line, given = self.rng.choice(SETTINGS)
                asked = await person.types(channel, line, given)
        if asked is not None and mark not in self.asked:
            self.others.append(asked)
        return asked

    async def keep_acting(self, person: Person, slots: list[str], times: int) -> None:
        for _time in range(times):
            await asyncio.sleep(self.rng.uniform(0.0, 0.4))
            asked = await self.act(person, slots)
            if asked is not None and self.rng.random() < 0.7:  # most people look whether somebody is there
                with suppress(NoAnswer):
                    await asked.acknowledged()

    def seen(self) -> list[str]:
        """Return the words of every answer that somebody sees."""
        return [
            message.text
            for channel in (self.general, *(person.dm_with(self.uj) for person in self.people))
            for message in channel.messages.values()
        ]


@pytest.mark.soak
async def test_kills_at_any_moment_lose_nothing_that_was_promised_and_do_nothing_twice(
    discord: LoopbackDiscord,
    hubs: Hubs,
    guild: Guild,
    database: tuple[str, str],
    person: People,
    general: Channel,
    uj: Application,
    tmp_path: Path,
) -> None:
    discord.deadline = PATIENCE
    times = int(os.environ.get("SOAK", "1"))
    seed = random.randrange(10**6)
    rng = Random(seed)
    hub, mia = hubs(), person("mia")
    people = [person(f"person{number}") for number in range(6)]
    for each in people:
        await hub.enter(each, Role.MEMBER)
    await hub.enter(mia, Role.MENTOR)
    settings = settings_of(uj, guild, database, tmp_path)
    given = json.dumps({"api": discord.api, "gateway": discord.gateway.url, "settings": settings}, default=str)
    script = Path(__file__).parent / "fakes" / "mortal_hub.py"
    log = (tmp_path / "log").open("w")

    async def alive() -> asyncio.subprocess.Process:
        before = uj.identified
        child = await asyncio.create_subprocess_exec(sys.executable, str(script), given, stdout=log, stderr=log)
        await happens(discord, lambda: uj.identified > before)
        return child

    child = await alive()
    await offer(mia, uj, length="15m", notice="1h")
    slots = [each.code for each in await hub.slots()]
    rng.shuffle(slots)
    crowd = Crowd(rng, people, general, uj)
    acting = [asyncio.create_task(crowd.keep_acting(each, slots, 50 * times)) for each in people]
    for _kill in range(5 * times):
        await asyncio.sleep(rng.uniform(1.0, 6.0))
        child.kill()
        await child.wait()
        child = await alive()
    await asyncio.gather(*acting)

    async def is_done() -> bool:
        waiting = await hub.store.run(lambda session: inbox.pending(session, "discord:uj"))
        hanging = any(each.original is not None and each.original.thinking for each in crowd.asked.values())
        return not waiting and not hanging and await is_at_rest(hub)

    try:
        await until(is_done, within=30)
        await asyncio.sleep(PATIENCE)
        await judge(hub, crowd, mia)
    except (AssertionError, TimeoutError) as error:
        raise AssertionError(f"seed {seed}") from error
    finally:
        child.kill()
        await child.wait()
        log.close()
    written = (tmp_path / "log").read_text()
    assert "mark-" not in written
    assert not any(each.id in written for each in (*people, mia))


async def judge(hub: Hub, crowd: Crowd, mia: Person) -> None:
    """Compare what was done with what was asked, and with what people see of it."""
    seen = crowd.seen()
    done = Counter(await hub.marks())
    answered = Counter(mark for text in seen for mark in re.findall(r"mark-\d+-", text.replace("\\", "")))
    for mark, asked in crowd.asked.items():
        changes = "find" not in str(asked)
        assert done[mark] <= 1, mark
        assert answered[mark] <= 1, mark
        if asked.first is not None:  # it was promised an answer, or has it
            assert answered[mark] == 1, mark
        if changes:
            assert done[mark] == answered[mark], mark
    for asked in crowd.others:
        assert asked.original is None or not asked.original.thinking
    booked = Counter(code for code in BOOKING.findall("\n".join(text for text in seen if text.startswith("Booked"))))
    told = Counter(
        code
        for each in mia.sees(mia.dm_with(crowd.uj))
        if each.text.startswith("New booking")
        for code in BOOKING.findall(each.text)
    )
    assert booked == told
    assert set(booked.values()) <= {1}
    assert sum(asked.first is not None for asked in crowd.asked.values()) > len(crowd.asked) / 2
