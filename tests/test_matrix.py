"""A bot among people, on a real homeserver: what it hears, what it says, and what survives."""

import asyncio
import json
import signal
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from bots.bot import Parcel, SignedOut, Undelivered
from bots.homeserver import Homeserver
from bots.matrix.hearing import BUTTONS
from commands.core.reply import Bars, File, Picture, Reply
from commands.core.text import plain
from storage import inbox, places
from tests.synapse import PASSWORD, Bots, Circles, People, Person, Running, encrypted_by, now, until, voice

pytestmark = pytest.mark.synapse


# -- hearing and answering ----------------------------------------------------------------------------------------


async def test_a_command_in_an_encrypted_room_is_answered_there_and_the_server_reads_none_of_it(
    circle: Circles,
) -> None:
    hub, ann, bob, room = await circle()
    event = await ann.say(room, "!help")
    assert await bob.hears(room, hub.id) == ["heard help"]
    assert await ann.hears(room, hub.id) == ["heard help"]
    (answer,) = ann.heard(room, hub.id)
    assert answer["msgtype"] == "m.notice"
    assert answer["m.mentions"] == {}
    assert answer["m.relates_to"] == {"m.in_reply_to": {"event_id": event}}
    assert not hub.dispatcher.heard[0].private
    assert encrypted_by(await ann.raw(room), hub.id) == [True]


async def test_only_what_is_addressed_to_the_bot_is_kept(circle: Circles) -> None:
    hub, ann, _bob, room = await circle()
    me = {"m.mentions": {"user_ids": [hub.id]}}
    await ann.say(room, "good morning everybody, I was at court")
    await ann.say(room, "!!! what a day")
    await ann.say(room, "!one")
    await ann.say(room, "/two")
    await ann.say(room, f"{hub.id}: three", **me)
    await ann.say(room, "four please", **me)
    await ann.say(room, "!five", msgtype="m.notice")
    await ann.say(room, "6")
    await ann.say(room, "Stop")
    built = {"command": "hours book", "arguments": {"slot": "S-1", "topic": "an appeal"}}
    await ann.say(room, "/hours book", **me, **{"org.matrix.msc4391.command": built})
    await ann.say(room, "!end")
    await ann.hears(room, hub.id, 8)
    await asyncio.sleep(0.3)
    line = 'hours book slot=S-1 topic="an appeal"'
    assert hub.said == ["one", "two", "three", "four please", "6", "Stop", line, "end"]
    assert [heard.direct for heard in hub.dispatcher.heard] == [
        True,
        True,
        True,
        True,
        False,
        False,
        True,
        True,
    ]


async def test_a_reply_to_the_bot_and_a_word_in_its_thread_are_meant_for_it(circle: Circles, bot: Bots) -> None:
    hub, ann, bob, room = await circle()
    await ann.say(room, "!help")
    await ann.hears(room, hub.id)
    (answer,) = ann.messages(room, hub.id)
    reply = {"m.relates_to": {"m.in_reply_to": {"event_id": answer.event_id}}}
    await bob.say(room, "> <@somebody> heard help\n\nand me?", **reply)
    thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": answer.event_id}}
    await bob.say(room, "more", **thread)
    await bob.say(room, "not for the bot")
    await ann.hears(room, hub.id, 3)
    assert hub.said == ["help", "and me?", "more"]
    assert hub.dispatcher.heard[2].thread == answer.event_id
    assert ann.heard(room, hub.id)[2]["m.relates_to"]["event_id"] == answer.event_id

    # After a restart the bot does not remember the event, and looks it up.
    again = await bot(again=hub)
    await bob.say(room, "after the restart", **thread)
    await ann.hears(room, hub.id, 4)
    assert again.said == ["after the restart"]


async def test_in_a_room_of_two_everything_is_meant_for_the_bot_and_private(bot: Bots, person: People) -> None:
    hub, ann = await bot(), await person()
    room = await ann.room(hub.id, direct=True)
    await ann.joined(room, hub.id)
    await ann.say(room, "help")
    assert await ann.hears(room, hub.id) == ["heard help"]
    assert hub.dispatcher.heard[0].private
    assert not hub.dispatcher.heard[0].direct


async def test_the_first_words_in_a_new_room_are_heard_though_the_bot_comes_in_later(bot: Bots, person: People) -> None:
    hub, ann, bob = await bot(start=False), await person("ann"), await person("bob")
    await hub.start()
    await hub.stop()
    room = await ann.room(bob.id, hub.id, encrypted=False, direct=True)
    await ann.say(room, "!hello")
    again = await bot(again=hub)
    assert await ann.hears(room, hub.id) == ["heard hello"]
    assert not again.dispatcher.heard[0].private


async def test_an_edit_is_not_a_command(circle: Circles) -> None:
    hub, ann, _bob, room = await circle()
    event = await ann.say(room, "!one")
    await ann.say(
        room,
        "* !two",
        **{
            "m.new_content": {"msgtype": "m.text", "body": "!two"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": event},
        },
    )
    await ann.say(room, "!three")
    await ann.hears(room, hub.id, 2)
    assert hub.said == ["one", "three"]


async def test_a_command_taken_back_before_it_ran_does_not_run(circle: Circles) -> None:
    hub, ann, _bob, room = await circle(slow=1.0)
    await ann.say(room, "!one")
    second = await ann.say(room, "!two")
    await until(lambda: len(hub.bot._lanes.get(room, ())) == 2)
    await ann.client.room_redact(room, second)
    await ann.say(room, "!three")
    await ann.hears(room, hub.id, 2)
    assert hub.said == ["one", "three"]
    assert await hub.store.run(lambda session: inbox.pending(session, hub.bot.name)) == []


async def test_a_number_pressed_under_an_answer_runs_its_line_as_the_one_who_pressed(
    circle: Circles, bot: Bots
) -> None:
    hub, ann, bob, room = await circle()
    await ann.say(room, "!choose")
    await bob.hears(room, hub.id)
    (answer,) = bob.messages(room, hub.id)
    assert answer.source["content"][BUTTONS] == ["take what=tea", "take what=milk"]
    await bob.until(
        lambda: (
            [
                event.key
                for _, event in bob.read
                if getattr(event, "reacts_to", None) == answer.event_id and event.sender == hub.id
            ]
            == ["1️⃣", "2️⃣"]
        )
    )
    again = await bot(again=hub)  # what a button means is in the message, not in anybody's memory
    relation = {"rel_type": "m.annotation", "event_id": answer.event_id, "key": "2\u20e3"}
    await bob.send(room, "m.reaction", {"m.relates_to": relation})
    assert (await bob.hears(room, hub.id, 2))[-1] == "heard take what=milk"
    assert again.dispatcher.heard[0].address == bob.id
    assert bob.heard(room, hub.id)[-1]["m.relates_to"] == {"m.in_reply_to": {"event_id": answer.event_id}}
    # Nobody else's message has buttons, whatever stands in it.
    fake = await ann.say(room, "press me", **{BUTTONS: ["take what=everything"]})
    relation = {"rel_type": "m.annotation", "event_id": fake, "key": "1️⃣"}
    await bob.send(room, "m.reaction", {"m.relates_to": relation})
    await ann.say(room, "!end")
    await ann.hears(room, hub.id, 3)
    # Nor has a message in the bot's name that the bot did not encrypt: a server could write it.
    body = json.dumps({"msgtype": "m.notice", "body": "press me", BUTTONS: ["take what=everything"]})
    sent = await again.client.send(
        "PUT",
        f"/_matrix/client/v3/rooms/{quote(room)}/send/m.room.message/forged",
        body,
        {"Authorization": f"Bearer {again.client.access_token}"},
    )
    relation = {"rel_type": "m.annotation", "event_id": (await sent.json())["event_id"], "key": "1️⃣"}
    await bob.send(room, "m.reaction", {"m.relates_to": relation})
    await ann.say(room, "!bye")
    await ann.hears(room, hub.id, 5)  # the forged one is read by clients as well
    assert again.said == ["take what=milk", "end", "bye"]


async def test_half_a_character_does_not_stop_the_bot(circle: Circles) -> None:
    hub, ann, _bob, room = await circle()
    await ann.say(room, "!half \ud800")
    await ann.say(room, "!whole")
    await until(lambda: "whole" in hub.said)


async def test_two_bots_in_one_room_never_answer_each_other(person: People, bot: Bots) -> None:
    one = await bot(network="uj")
    two = await bot(network="climate", bots=frozenset({one.id}))
    ann = await person()
    room = await ann.room(one.id, two.id)
    await ann.joined(room, one.id, two.id)
    await ann.say(room, "!ping")
    await ann.hears(room, one.id)
    await ann.hears(room, two.id)
    await asyncio.sleep(1)
    assert ann.bodies(room, one.id) == ann.bodies(room, two.id) == ["heard ping"]


async def test_among_several_bots_a_line_with_a_name_is_heard_only_by_the_named(person: People, bot: Bots) -> None:
    one = await bot(network="uj")
    two = await bot(network="climate", bots=frozenset({one.id}))
    one = await bot(again=one, bots=frozenset({two.id}))
    ann = await person()
    room = await ann.room(one.id, two.id)
    await ann.joined(room, one.id, two.id)
    uj, climate = (each.removeprefix("@").partition(":")[0] for each in (one.id, two.id))
    for line, *meant in (
        (f"{climate}: help digest", two.id),
        (f"{climate}: !help hours", two.id),
        ("!help me", two.id),
        (f"{uj} {climate}: !help roles", one.id, two.id),
        (f"{two.id}, {uj}: help", two.id, one.id),
        ("!end",),
    ):
        await ann.say(room, line, **{"m.mentions": {"user_ids": meant}})
    await ann.hears(room, one.id, 3)
    await ann.hears(room, two.id, 6)
    both = [("help roles", True), ("help", True), ("end", False)]
    assert [(heard.said, heard.named) for heard in one.dispatcher.heard] == both
    alone = [("help digest", True), ("help hours", True), ("help me", True)]
    assert [(heard.said, heard.named) for heard in two.dispatcher.heard] == [*alone, *both]


async def test_plain_text_in_an_encrypted_room_is_not_heard(circle: Circles) -> None:
    hub, ann, _bob, room = await circle()
    body = json.dumps({"msgtype": "m.text", "body": "!as-ann-says-the-server"})
    await ann.client.send(
        "PUT",
        f"/_matrix/client/v3/rooms/{quote(room)}/send/m.room.message/forged",
        body,
        {"Authorization": f"Bearer {ann.client.access_token}"},
    )
    await ann.say(room, "!end")
    await ann.hears(room, hub.id)
    assert hub.said == ["end"]


# -- delivering ---------------------------------------------------------------------------------------------------


async def test_a_private_answer_goes_to_an_encrypted_room_made_for_it_and_the_question_gets_a_mark(
    circle: Circles, bot: Bots
) -> None:
    hub, ann, bob, room = await circle()
    event = await ann.say(room, "!private matter")
    await ann.until(lambda: len(ann.client.invited_rooms) == 1)
    (dm,) = ann.client.invited_rooms
    await ann.enter(dm)
    assert await ann.hears(dm, hub.id) == ["heard private matter"]
    assert hub.met == [(ann.id, dm)]
    assert encrypted_by(await ann.raw(dm), hub.id) == [True]
    await bob.until(lambda: any(getattr(each, "reacts_to", "") == event and each.key == "📬" for _, each in bob.read))
    assert bob.bodies(room, hub.id) == []
    # The same room serves again, also after a restart.
    again = await bot(again=hub)
    await ann.say(room, "!private again")
    assert await ann.hears(dm, hub.id, 2) == ["heard private matter", "heard private again"]
    assert again.met == []


async def test_whoever_speaks_to_the_bot_alone_in_the_clear_is_led_to_an_encrypted_room(
    bot: Bots, person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, ann = await bot(), await person()
    room = await ann.room(hub.id, encrypted=False, direct=True)
    await ann.joined(room, hub.id)
    kept: list[str] = []
    receive = inbox.receive

    def watched(session: Any, bot: str, events: Any, token: Any, at: Any) -> int:
        kept.extend(heard for _key, heard in events)
        return receive(session, bot, events, token, at)

    monkeypatch.setattr(inbox, "receive", watched)
    event = await ann.say(room, "my client Ludmila")
    await ann.say(room, "!private matter")
    await ann.until(lambda: len(ann.client.invited_rooms) == 1)
    (dm,) = ann.client.invited_rooms
    await ann.enter(dm)
    assert await ann.hears(dm, hub.id) == ["Hello. !help shows what I can do for you."]
    (only,) = await ann.hears(room, hub.id)
    assert only == "Please talk with me in an encrypted chat; I opened one for you."
    assert ann.heard(room, hub.id)[0]["m.relates_to"]["m.in_reply_to"] == {"event_id": event}
    await ann.say(room, "hello?")
    await until(lambda: len(kept) == 3)
    assert "Ludmila" not in str(kept)
    assert "private" not in str(kept)
    # Nothing that was put for this room earlier is said there either.
    with pytest.raises(Undelivered) as undelivered:
        await hub.bot.deliver(Parcel(key="k", tx_id="clear", place=room), Reply(plain("a secret")), voice())
    assert undelivered.value.permanent
    # After an hour it is said once more; in the encrypted room everything goes its way.
    hub.bot._led_away[room] -= timedelta(hours=1)
    await ann.say(room, "hello again")
    assert await ann.hears(room, hub.id, 2) == [only, only]
    await ann.say(dm, "help")
    assert (await ann.hears(dm, hub.id, 3))[-1] == "heard help"
    assert hub.said == ["help"]
    assert await hub.store.run(lambda session: inbox.pending(session, hub.bot.name)) == []


async def test_nothing_personal_is_said_where_a_third_person_came_in(bot: Bots, person: People) -> None:
    hub, ann, eve = await bot(), await person("ann"), await person("eve")
    room = await ann.room(hub.id, direct=True)
    await ann.joined(room, hub.id)
    await ann.say(room, "one")
    await ann.hears(room, hub.id)
    await ann.client.room_invite(room, eve.id)
    await eve.enter(room)
    await until(lambda: eve.id in hub.client.rooms[room].users)
    parcel = Parcel(key="k", tx_id="t3", address=ann.id, dm=room)
    await hub.bot.deliver(parcel, Reply(plain("a secret")), voice())
    await ann.until(lambda: ann.client.invited_rooms)
    assert encrypted_by(await ann.raw(room), hub.id) == [True]  # the first answer alone


async def test_whoever_comes_in_while_keys_are_shared_reads_nothing_and_the_next_try_finds_another_room(
    bot: Bots, person: People
) -> None:
    hub, ann, eve = await bot(), await person("ann"), await person("eve")
    parcel = Parcel(key="k", tx_id="t1", address=ann.id)
    await hub.bot.deliver(parcel, Reply(plain("hello")), voice())
    await ann.until(lambda: ann.client.invited_rooms)
    (dm,) = ann.client.invited_rooms
    await ann.enter(dm)
    await ann.hears(dm, hub.id)
    share = hub.bot._trust.share

    async def slowly(room: Any) -> None:
        if room.room_id == dm:
            await ann.client.room_invite(dm, eve.id)  # to be invited is enough: clients share keys with invited people
            await until(lambda: eve.id in hub.client.rooms[dm].users)
        await share(room)

    hub.bot._trust.share = slowly  # type: ignore[method-assign]
    secret = Parcel(key="l", tx_id="t2", address=ann.id, dm=dm)
    with pytest.raises(Undelivered) as undelivered:
        await hub.bot.deliver(secret, Reply(plain("a secret")), voice())
    assert not undelivered.value.permanent
    assert encrypted_by(await ann.raw(dm), hub.id) == [True]
    await hub.bot.deliver(secret, Reply(plain("a secret")), voice())
    await ann.until(lambda: ann.client.invited_rooms.keys() - {dm})
    (other,) = ann.client.invited_rooms.keys() - {dm}
    await ann.enter(other)
    assert await ann.hears(other, hub.id) == ["a secret"]
    assert encrypted_by(await ann.raw(dm), hub.id) == [True]
    # Only when the person leaves the room that was made for them, they get no other.
    await ann.client.room_leave(other)
    await until(lambda: ann.id not in hub.client.rooms[other].users)
    with pytest.raises(Undelivered) as undelivered:
        await hub.bot.deliver(Parcel(key="m", tx_id="t3", address=ann.id), Reply(plain("hello?")), voice())
    assert undelivered.value.permanent


async def test_a_person_who_declined_is_not_invited_again_and_again(bot: Bots, person: People) -> None:
    hub, ann = await bot(), await person()
    parcel = Parcel(key="k", tx_id="t1", address=ann.id)
    await hub.bot.deliver(parcel, Reply(plain("hello")), voice())
    await ann.until(lambda: len(ann.client.invited_rooms) == 1)
    (dm,) = ann.client.invited_rooms
    await ann.client.room_leave(dm)
    await until(lambda: ann.id not in hub.client.rooms[dm].users)
    with pytest.raises(Undelivered) as undelivered:
        await hub.bot.deliver(Parcel(key="l", tx_id="t2", address=ann.id), Reply(plain("hello?")), voice())
    assert undelivered.value.permanent


async def test_a_parcel_is_delivered_once_however_often_it_is_tried(circle: Circles, bot: Bots) -> None:
    hub, ann, _bob, room = await circle()
    parcel = Parcel(key="k", tx_id="aaaa", place=room, address=ann.id, mention=True)
    first = await hub.bot.deliver(parcel, Reply(plain("hello")), voice())
    assert await hub.bot.deliver(parcel, Reply(plain("hello, edited meanwhile")), voice()) == first
    again = await bot(again=hub)
    assert await again.bot.deliver(parcel, Reply(plain("hello")), voice()) == first
    await ann.hears(room, hub.id)
    await asyncio.sleep(0.5)
    (content,) = ann.heard(room, hub.id)
    assert content["m.mentions"] == {"user_ids": [ann.id]}
    name = hub.client.rooms[room].user_name(ann.id)
    pill = f'<a href="https://matrix.to/#/{quote(ann.id)}">{name}</a>'
    assert content["formatted_body"] == f"<p>{pill}: hello</p>"
    assert content["body"].endswith(": hello")


async def test_a_late_try_looks_into_the_room_first(circle: Circles, bot: Bots) -> None:
    hub, ann, _bob, room = await circle()
    parcel = Parcel(key="k", tx_id="bbbb", place=room)
    first = await hub.bot.deliver(parcel, Reply(plain("hello")), voice())
    for number in range(5):
        await ann.say(room, f"talk {number}")
    again = await bot(again=hub)
    put = again.bot._speaker._put

    async def forgetful(room: Any, kind: str, content: Any, tx_id: str) -> str:
        return await put(room, kind, content, f"{tx_id}-forgotten")

    again.bot._speaker._put = forgetful
    late = Parcel(key="k", tx_id="bbbb", place=room, first_try_at=now() - timedelta(hours=13))
    assert await again.bot.deliver(late, Reply(plain("hello")), voice()) == first
    young = Parcel(key="k", tx_id="bbbb", place=room, first_try_at=now() - timedelta(hours=1))
    assert await again.bot.deliver(young, Reply(plain("hello")), voice()) != first


async def test_a_long_reply_is_cut_and_goes_on_in_a_thread(circle: Circles) -> None:
    hub, ann, _bob, room = await circle()
    blocks = [plain(f"{number}: " + "слово " * 800) for number in range(14)]  # 64 KiB and more
    await hub.bot.deliver(Parcel(key="k", tx_id="cccc", place=room), Reply(*blocks), voice())
    await ann.until(lambda: "".join(ann.bodies(room, hub.id)).count("слово") == 14 * 800)
    first, *rest = ann.messages(room, hub.id)
    assert len(rest) > 4
    assert all(event.source["content"]["m.relates_to"]["event_id"] == first.event_id for event in rest)
    assert all(f"{number}: слово" in "".join(ann.bodies(room, hub.id)) for number in range(14))


@pytest.mark.parametrize("encrypted", [True, False])
async def test_pictures_and_files_are_uploaded_the_way_the_room_is(circle: Circles, encrypted: bool) -> None:
    from nio.crypto.attachments import decrypt_attachment

    hub, ann, _bob, room = await circle(encrypted=encrypted)
    chart = Picture(Bars(plain("Slots"), ((plain("booked"), 4),)), plain("four booked"))
    reply = Reply(plain("see"), chart, files=[File("digest.html", "text/html", b"<p>hi")])
    await hub.bot.deliver(Parcel(key="k", tx_id="dddd", place=room), reply, voice())
    await ann.hears(room, hub.id, 3)
    _text, picture, file = ann.heard(room, hub.id)
    assert picture["body"] == "four booked"
    assert picture["info"]["w"] == 1200
    for content, data in ((picture, b"\x89PNG"), (file, b"<p>hi")):
        where = content["file"] if encrypted else content
        stored = await ann.client.download(mxc=where["url"])
        assert stored.body.startswith(data) is not encrypted
        if encrypted:
            keys = where["key"]["k"], where["hashes"]["sha256"], where["iv"]
            assert decrypt_attachment(stored.body, *keys).startswith(data)


async def test_the_answers_in_a_room_come_in_the_order_of_the_questions(circle: Circles) -> None:
    hub, ann, _bob, room = await circle()
    for number in range(20):
        await ann.say(room, f"!{number} please")
    assert await ann.hears(room, hub.id, 20) == [f"heard {number} please" for number in range(20)]


# -- never in the clear -------------------------------------------------------------------------------------------


async def test_nothing_leaves_for_an_encrypted_room_while_the_keys_are_not_there(circle: Circles) -> None:
    hub, ann, _bob, room = await circle()
    await ann.say(room, "!one")
    await ann.hears(room, hub.id)
    olm, hub.client.olm = hub.client.olm, None
    reply = Reply(plain("a secret"), files=[File("secret.txt", "text/plain", b"a secret")])
    for parcel in (Parcel(key="k", tx_id="eeee", place=room), Parcel(key="l", tx_id="ffff", address=ann.id)):
        with pytest.raises(Undelivered) as undelivered:
            await hub.bot.deliver(parcel, reply, voice())
        assert not undelivered.value.permanent
    hub.client.olm = olm
    assert encrypted_by(await ann.raw(room), hub.id) == [True]
    await hub.bot.deliver(Parcel(key="k", tx_id="eeee", place=room), reply, voice())
    assert all(encrypted_by(await ann.raw(room), hub.id))


async def test_a_room_that_was_encrypted_once_is_never_spoken_to_in_the_clear(circle: Circles) -> None:
    hub, ann, _bob, room = await circle()
    hub.client.rooms[room].encrypted = False  # as if a server hid the state
    await hub.bot.deliver(Parcel(key="k", tx_id="abab", place=room), Reply(plain("a secret")), voice())
    assert encrypted_by(await ann.raw(room), hub.id) == [True]


# -- restarts, outages, floods ------------------------------------------------------------------------------------


async def test_the_first_start_ever_does_not_run_old_commands(bot: Bots, circle: Circles) -> None:
    hub, ann, _bob, room = await circle(encrypted=False)
    await ann.say(room, "!one")
    await ann.hears(room, hub.id)
    await hub.store.run(lambda session: session.exec(_delete("sync_point")))
    again = await bot(again=hub)
    await ann.say(room, "!two")
    await ann.hears(room, hub.id, 2)
    assert again.said == ["two"]


def _delete(table: str) -> Any:
    from sqlmodel import text

    return text(f"DELETE FROM {table}")


async def test_what_was_said_while_the_bot_was_down_is_answered_once_and_nothing_twice(
    circle: Circles, bot: Bots
) -> None:
    hub, ann, bob, room = await circle()
    await ann.say(room, "!before")
    await ann.hears(room, hub.id)
    await hub.stop()
    for number in range(60):
        await (ann if number % 2 else bob).say(room, f"!down {number}")
    again = await bot(again=hub)
    bodies = await ann.hears(room, hub.id, 61, within=40)
    await asyncio.sleep(0.5)
    assert sorted(again.said) == sorted(f"down {number}" for number in range(60))
    assert len(ann.bodies(room, hub.id)) == len(set(bodies)) == 61


async def test_a_backlog_longer_than_a_sync_is_fetched_whole(
    circle: Circles, bot: Bots, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bots.matrix import client

    hub, ann, _bob, room = await circle()
    await ann.say(room, "!before")
    await ann.hears(room, hub.id)
    monkeypatch.setattr(client, "FILTER", client.FILTER.replace('"limit": 500', '"limit": 5'))
    await hub.stop()
    for number in range(60):
        await ann.say(room, f"!down {number}")
    again = await bot(again=hub)
    await ann.hears(room, hub.id, 61, within=40)
    assert again.said == [f"down {number}" for number in range(60)]


async def test_what_was_heard_but_not_answered_is_answered_after_a_restart(circle: Circles, bot: Bots) -> None:
    hub, ann, _bob, room = await circle(slow=60)
    await ann.say(room, "!one")
    await until(lambda: hub.bot._lanes)
    await bot(again=hub)
    assert await ann.hears(room, hub.id) == ["heard one"]


async def test_what_failed_is_tried_again_until_it_is_answered_once(
    circle: Circles, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bots.matrix import client

    monkeypatch.setattr(client, "_SOON", timedelta(seconds=1))
    hub, ann, _bob, room = await circle()
    failures = [RuntimeError("a defect"), RuntimeError("a defect")]
    answer = hub.dispatcher.answer

    async def at_first_not(heard: Any) -> object:
        if heard.said in {"one", "three"} and failures:
            raise failures.pop()
        return await answer(heard)

    monkeypatch.setattr(hub.dispatcher, "answer", at_first_not)
    await ann.say(room, "!one")
    await ann.say(room, "!two")
    third = await ann.say(room, "!three")
    await until(lambda: third in hub.bot._failed)
    await ann.client.room_redact(room, third)  # taken back while it waits: it does not run any more
    assert await ann.hears(room, hub.id, 2) == ["heard two", "heard one"]
    await until(lambda: not hub.bot._failed)
    await asyncio.sleep(0.3)
    assert hub.said == ["two", "one"]
    assert await hub.store.run(lambda session: inbox.pending(session, hub.bot.name)) == []


async def test_what_could_not_be_answered_for_an_hour_is_not_run_and_its_author_is_told(
    circle: Circles, bot: Bots
) -> None:
    hub, ann, _bob, room = await circle(slow=60)
    event = await ann.say(room, "!one")
    await until(lambda: hub.bot._lanes)
    await hub.stop()
    ((key, heard),) = await hub.store.run(lambda session: inbox.pending(session, hub.bot.name))
    data = {**json.loads(heard), "at": (now() - timedelta(hours=2)).isoformat()}

    def wait_for_long(session: Any) -> None:
        session.exec(_delete("inbox"))
        inbox.receive(session, hub.bot.name, [(key, json.dumps(data))], None, now())

    await hub.store.run(wait_for_long)
    again = await bot(again=hub)
    assert await ann.hears(room, hub.id) == ["I could not answer this in time; please send it again."]
    assert ann.heard(room, hub.id)[0]["m.relates_to"] == {"m.in_reply_to": {"event_id": event}}
    await ann.say(room, "!two")
    await ann.hears(room, hub.id, 2)
    assert again.said == ["two"]
    assert await hub.store.run(lambda session: inbox.pending(session, hub.bot.name)) == []


async def test_a_wiped_folder_means_a_new_device_with_the_same_identity(circle: Circles, bot: Bots) -> None:
    hub, ann, _bob, room = await circle()
    await ann.say(room, "!one")
    await ann.hears(room, hub.id)
    old = hub.client.device_id
    await hub.stop()
    for file in hub.account.folder.glob("keys-*"):
        file.unlink()
    again = await bot(again=hub)
    assert again.client.device_id != old
    await ann.until(lambda: again.client.device_id in ann.client.device_store[hub.id])
    await ann.say(room, "!two")
    assert await ann.hears(room, hub.id, 2) == ["heard one", "heard two"]
    answer = await ann.client.send(
        "POST",
        "/_matrix/client/v3/keys/query",
        json.dumps({"device_keys": {hub.id: []}}),
        {"Authorization": f"Bearer {ann.client.access_token}"},
    )
    assert set((await answer.json())["device_keys"][hub.id]) == {again.client.device_id}
    assert again.told == []


async def test_a_revoked_token_stops_the_bot_after_one_request(bot: Bots, synapse: Homeserver) -> None:
    hub = await bot()
    synapse.admin("POST", f"/v1/deactivate/{quote(hub.id)}", {"erase": False})
    with pytest.raises(SignedOut, match="start again"):
        async with asyncio.timeout(20):
            await hub.listening


async def test_a_wrong_password_stops_the_bot_with_one_sentence(bot: Bots) -> None:
    hub = await bot(start=False, password="wrong")
    with pytest.raises(SignedOut, match="check user and password"):
        await hub.bot.run(hub.dispatcher)


async def test_two_processes_cannot_use_one_folder(bot: Bots) -> None:
    hub = await bot()
    other = Running(hub.account, hub.store)
    with pytest.raises(SignedOut, match="another process"):
        await other.bot.run(other.dispatcher)


async def test_the_bot_waits_for_a_server_that_is_down_and_comes_back_soon_after_it(
    tmp_path: Path, bot: Bots, person: People
) -> None:
    server = Homeserver(tmp_path / "hs")
    server.start()
    hub = await bot(server=server, start=False)
    ann = await person(server=server)
    server.stop()
    hub.begin()
    await asyncio.sleep(1.5)
    server.start()
    async with asyncio.timeout(15):
        await hub.bot.ready()
    room = await ann.room(hub.id, direct=True)
    await ann.joined(room, hub.id)
    await ann.say(room, "one")
    await ann.hears(room, hub.id)
    server.kill()
    with pytest.raises(Undelivered) as undelivered:
        await hub.bot.deliver(Parcel(key="k", tx_id="gone", place=room), Reply(plain("hello")), voice())
    assert not undelivered.value.permanent
    await asyncio.sleep(3)
    server.start()
    started = time.monotonic()
    await ann.say(room, "two")
    assert await ann.hears(room, hub.id, 2) == ["heard one", "heard two"]
    assert time.monotonic() - started < 6
    await hub.stop()
    await ann.leave()
    server.stop()


async def test_a_throttled_send_says_when_to_come_back_and_keeps_the_order(
    tmp_path: Path, bot: Bots, person: People
) -> None:
    slow = {"rc_message": {"per_second": 5, "burst_count": 3}}
    with Homeserver(tmp_path / "hs", extra=slow) as server:
        hub, ann = await bot(server=server), await person(server=server)
        server.override_ratelimit(ann.id)
        room = await ann.room(hub.id, direct=True)
        await ann.joined(room, hub.id)
        for number in range(12):
            await ann.say(room, f"{number}.")
        bodies = await ann.hears(room, hub.id, 12, within=40)
        assert set(bodies) == {f"heard {number}." for number in range(12)}
        assert hub.post.failures
        assert all(each.retry_after and not each.permanent for each in hub.post.failures)
        hub.post.failures.clear()
        server.override_ratelimit(hub.id)
        await asyncio.sleep(1)
        for number in range(12):
            await ann.say(room, f"{number}!")
        await ann.hears(room, hub.id, 24)
        assert not hub.post.failures
        await hub.stop()
        await ann.leave()


async def test_a_room_that_we_were_put_out_of_is_gone_for_good(circle: Circles) -> None:
    hub, ann, _bob, room = await circle()
    await ann.client.room_kick(room, hub.id)
    await until(lambda: room not in hub.client.rooms)
    with pytest.raises(Undelivered) as undelivered:
        await hub.bot.deliver(Parcel(key="k", tx_id="out", place=room), Reply(plain("hello")), voice())
    assert undelivered.value.permanent


@pytest.mark.slow
async def test_kill_9_again_and_again_loses_nothing_and_doubles_nothing(bot: Bots, person: People) -> None:
    hub, ann = await bot(start=False), await person()
    settings = {name: getattr(hub.account, name) for name in ("homeserver", "user_id", "network", "recovery_key")}
    settings |= {"folder": str(hub.account.folder), "password": PASSWORD}
    settings |= {"store": str(hub.account.folder.parent)}
    script = Path(__file__).parent / "fakes" / "mortal_bot.py"

    async def alive() -> asyncio.subprocess.Process:
        command = [sys.executable, str(script), json.dumps(settings)]
        return await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parent.parent)

    process = await alive()
    room = await ann.room(hub.id, direct=True)
    await ann.joined(room, hub.id)
    said = [f"number {number}." for number in range(90)]

    async def talk() -> None:
        for words in said:
            await ann.say(room, words)
            await asyncio.sleep(0.12)

    talking = asyncio.create_task(talk())
    for life in range(8):
        await asyncio.sleep(1.3 + life % 4 * 0.23)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        process = await alive()
    await talking
    await ann.hears(room, hub.id, len(said), within=60)
    await asyncio.sleep(2)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    assert sorted(ann.bodies(room, hub.id)) == sorted(f"heard {words}" for words in said)


# -- rooms that move, rooms we are invited to ---------------------------------------------------------------------


async def test_a_room_moved_by_its_creator_is_followed_and_its_place_with_it(circle: Circles) -> None:
    hub, ann, _bob, room = await circle()
    await _settle(hub, room)
    await ann.client.room_upgrade(room, "12")
    new = await _replacement(ann, room)
    await ann.until(lambda: new in ann.client.rooms)
    await ann.client.room_invite(new, hub.id)
    await ann.joined(new, hub.id)
    await until(lambda: hub.bot._rooms._errands == {})
    assert await _settled(hub) == new
    await ann.say(new, "!still here")
    assert await ann.hears(new, hub.id) == ["heard still here"]


async def test_a_room_moved_while_the_bot_was_down_is_followed(circle: Circles, bot: Bots) -> None:
    hub, ann, _bob, room = await circle()
    await _settle(hub, room)
    await hub.stop()
    await ann.client.room_upgrade(room, "12")
    new = await _replacement(ann, room)
    await ann.until(lambda: new in ann.client.rooms)
    await ann.client.room_invite(new, hub.id)
    again = await bot(again=hub)
    await ann.joined(new, hub.id)
    await until(lambda: again.bot._rooms._errands == {})
    assert await _settled(again) == new


async def test_a_room_that_somebody_without_power_declares_moved_is_not_followed(circle: Circles) -> None:
    hub, ann, bob, room = await circle()
    await _settle(hub, room)
    await ann.client.room_put_state(
        room, "m.room.power_levels", {"users": {}, "state_default": 0, "users_default": 0, "events": {}}
    )
    trap = await bob.room(hub.id, name="trap", predecessor={"room_id": room, "event_id": "$x"})
    await bob.client.room_put_state(room, "m.room.tombstone", {"body": "moved", "replacement_room": trap})
    await until(lambda: hub.told)
    assert await _settled(hub) == room
    await bob.joined(trap, hub.id)  # it may be invited there like anywhere; but the network's room it is not
    await bob.send(room, "m.room.tombstone", {"body": "moved", "replacement_room": trap})  # no state at all
    await ann.say(room, "!still here")
    await ann.hears(room, hub.id)
    assert await _settled(hub) == room


async def test_a_successor_that_is_not_encrypted_is_not_followed(circle: Circles) -> None:
    hub, ann, _bob, room = await circle()
    await _settle(hub, room)
    new = await ann.room(hub.id, encrypted=False, direct=True, predecessor={"room_id": room, "event_id": "$x"})
    await ann.joined(new, hub.id)
    await ann.client.room_put_state(room, "m.room.tombstone", {"body": "moved", "replacement_room": new})
    await until(lambda: hub.told)
    assert await _settled(hub) == room


async def _settle(hub: Running, room: str) -> None:
    hub.bot._rooms.places.add(room)
    await hub.store.run(
        lambda session: (
            places.settle(session, bot=hub.bot.name, purpose=places.Purpose.NETWORK, network="uj", address=room)
            and None
        )
    )


async def _settled(hub: Running) -> str | None:
    return await hub.store.run(lambda session: places.address(session, hub.bot.name, places.Purpose.NETWORK))


async def _replacement(person: Person, room: str) -> str:
    state = await person.get(f"/_matrix/client/v3/rooms/{quote(room)}/state/m.room.tombstone/")
    return state["replacement_room"]


async def test_invitations_are_accepted_where_the_bot_has_work(bot: Bots, person: People) -> None:
    hub, ann, bob = await bot(), await person("ann"), await person("bob")
    public_log = await ann.room(bob.id, hub.id, encrypted=False)
    circle = await ann.room(bob.id, hub.id)
    alone = await ann.room(hub.id, encrypted=False, direct=True)
    await ann.joined(circle, hub.id)
    await ann.joined(alone, hub.id)
    await ann.until(lambda: hub.id not in ann.client.rooms[public_log].users)
    await until(lambda: set(hub.client.rooms) == {circle, alone})


async def test_a_configured_room_is_entered_by_its_alias(bot: Bots, person: People) -> None:
    ann = await person()
    name = f"uj{ann.id[1:].partition(':')[0]}"
    room = await ann.room(encrypted=True, alias=name)
    await ann.client.room_put_state(room, "m.room.join_rules", {"join_rule": "public"})
    hub = await bot(rooms=frozenset({f"#{name}:localhost"}))
    await ann.joined(room, hub.id)
    await ann.say(room, "help")
    await ann.say(room, "!help")
    await ann.hears(room, hub.id)
    assert hub.said == ["help"]  # two in the room, and yet it is the network's: no private one
    assert not hub.dispatcher.heard[0].private


# -- pace ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_hundreds_of_messages_from_many_people_are_all_heard(bot: Bots, person: People) -> None:
    hub = await bot(server=None)
    people = [await person("one") for _ in range(10)]
    room = await people[0].room(*(each.id for each in people[1:]), hub.id)
    for each in people[1:]:
        await each.enter(room)
    await people[0].joined(room, hub.id, *(each.id for each in people))

    async def talk(who: int, one: Person) -> None:
        for number in range(30):
            await one.say(room, f"!{who} says {number}")

    await asyncio.gather(*(talk(who, one) for who, one in enumerate(people)))
    await people[0].hears(room, hub.id, 300, within=120)
    assert len(set(hub.said)) == 300


async def test_whoever_wants_to_compare_emoji_is_told_that_a_bot_cannot(bot: Bots, person: People) -> None:
    hub, ann = await bot(), await person()
    room = await ann.room(hub.id, direct=True)
    await ann.joined(room, hub.id)
    asked = {
        "msgtype": "m.key.verification.request",
        "body": "verify?",
        "to": hub.id,
        "from_device": "X",
        "methods": [],
    }
    event = await ann.send(room, "m.room.message", asked)

    def declined() -> list[Any]:
        return [
            each.source["content"]["m.relates_to"]["event_id"]
            for where, each in ann.read
            if where == room and each.source.get("type") == "m.key.verification.cancel"
        ]

    assert await ann.until(declined) == [event]
    assert hub.said == []


async def test_the_log_names_nobody_and_quotes_nothing(circle: Circles) -> None:
    with capture_logs() as entries:
        hub, ann, bob, room = await circle()
        await ann.say(room, "!private Ludmila")
        await ann.until(lambda: ann.client.invited_rooms)
        await bob.client.room_put_state(room, "m.room.tombstone", {"body": "x", "replacement_room": room})
        await ann.client.room_kick(room, hub.id)
        await until(lambda: room not in hub.client.rooms)
        with suppress(Undelivered):
            await hub.bot.deliver(Parcel(key="k", tx_id="log", place=room), Reply(plain("Ludmila")), voice())
        hub.client.olm = None
        with suppress(Undelivered):
            await hub.bot.deliver(Parcel(key="k", tx_id="log", address=ann.id), Reply(plain("Ludmila")), voice())
        hub.client.access_token = "syt_wrong"
        await ann.client.room_invite(room, hub.id)
        await asyncio.wait([hub.listening], timeout=15)
    assert len(entries) > 4
    text = json.dumps(entries, default=str)
    for secret in ("Ludmila", ann.id, bob.id, hub.id, room, "syt_", "@", "$"):
        assert secret not in text
