"""Whom the bot trusts with what it says, and how others can tell that it is the bot."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nio import Event, MegolmEvent
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import SignatureVerifyException, verify_signed_json

from bots.bot import Parcel
from bots.matrix import client
from bots.matrix.identity import (
    Identity,
    Pins,
    canonical,
    is_signed,
    new_recovery_key,
    read_recovery_key,
    unpadded,
    write_recovery_key,
)
from bots.matrix.trust import Trust
from bots.matrix.wire import Wire
from commands.core.reply import Reply
from commands.core.text import plain
from tests.synapse import PASSWORD, Bots, People, Person, Running, until, voice

# -- recovery keys, signatures, pins ------------------------------------------------------------------------------


def test_a_recovery_key_looks_as_the_specification_shows_it() -> None:
    # The specification's own example of a key of 32 bytes.
    key = bytes(range(32))
    text = write_recovery_key(key)
    assert text.startswith("Es")
    assert all(len(group) == 4 for group in text.split())
    assert len(text.replace(" ", "")) == 48


@given(st.binary(min_size=32, max_size=32))
def test_every_recovery_key_reads_back_however_it_is_spaced(key: bytes) -> None:
    text = write_recovery_key(key)
    assert read_recovery_key(text) == key
    assert read_recovery_key(text.replace(" ", "")) == key
    assert read_recovery_key(f"  {text} \n") == key


@given(st.binary(min_size=32, max_size=32), st.integers(0, 47), st.sampled_from("23456789ABCDEFGHJKLMNPQ"))
def test_a_mistyped_recovery_key_is_never_another_one(key: bytes, at: int, letter: str) -> None:
    text = write_recovery_key(key).replace(" ", "")
    wrong = text[:at] + letter + text[at + 1 :]
    with suppress(ValueError):
        assert wrong == text or read_recovery_key(wrong) != key


@pytest.mark.parametrize("text", ["", "EsTs", "0OIl", "a" * 48, "z" * 60])
def test_what_is_no_recovery_key_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="recovery key"):
        read_recovery_key(text)


def test_an_identity_is_always_the_same_for_a_key_and_a_user_and_for_no_other() -> None:
    key = read_recovery_key(new_recovery_key())
    one, same = Identity(key, "@bot:a"), Identity(key, "@bot:a")
    assert (one.master.public, one.self_signing.public) == (same.master.public, same.self_signing.public)
    others = [Identity(key, "@bot:b"), Identity(bytes(32), "@bot:a")]
    keys = [each.public for who in (one, *others) for each in (who.master, who.self_signing, who.user_signing)]
    assert len(set(keys)) == 9
    assert not any("=" in each for each in keys)


def test_what_an_identity_publishes_is_signed_as_another_implementation_expects() -> None:
    identity = Identity(bytes(32), "@bot:a")
    published = identity.published("DEVICE", lambda _text: "the device's own")
    for name in ("self_signing_key", "user_signing_key"):
        _verify(published[name], "@bot:a", identity.master.public)
    assert published["master_key"]["signatures"] == {"@bot:a": {"ed25519:DEVICE": "the device's own"}}
    forged = {**published["self_signing_key"], "usage": ["master"]}
    with pytest.raises(SignatureVerifyException):
        _verify(forged, "@bot:a", identity.master.public)
    assert not is_signed(forged, user="@bot:a", key=identity.master.public)


def _verify(value: dict[str, Any], user: str, key: str) -> None:
    verify_signed_json(value, user, decode_verify_key_bytes(f"ed25519:{key}", base64.b64decode(key + "=")))


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans()))
def test_signed_json_is_written_as_another_implementation_writes_it(value: dict[str, Any]) -> None:
    from canonicaljson import encode_canonical_json

    value = {name: each for name, each in value.items() if not isinstance(each, int) or abs(each) < 2**53}
    bare = {name: each for name, each in value.items() if name not in {"signatures", "unsigned"}}
    assert canonical(value) == encode_canonical_json(bare)


@pytest.mark.parametrize(
    "broken", [{}, {"signatures": None}, {"signatures": {"@a:b": {}}}, {"signatures": {"@a:b": 3}}]
)
def test_broken_signatures_are_no_signatures(broken: dict[str, Any]) -> None:
    assert not is_signed(broken, user="@a:b", key="not base64 at all")
    assert not is_signed(broken, user="@a:b", key=unpadded(bytes(32)))


def test_pins_remember_identities_without_telling_whose_they_are(tmp_path: Path) -> None:
    pins = Pins(tmp_path / "pins.json", "secret")
    assert not pins.knows("@ann:a")
    assert pins.meets("@ann:a", "KEY1")
    assert pins.meets("@ann:a", "KEY1")
    again = Pins(tmp_path / "pins.json", "secret")
    assert again.knows("@ann:a")
    assert not again.meets("@ann:a", "KEY2")
    assert again.meets("@ann:a", "KEY2")
    text = (tmp_path / "pins.json").read_text()
    assert "ann" not in text
    assert "KEY" not in text
    assert (tmp_path / "pins.json").stat().st_mode & 0o077 == 0


# -- on a homeserver ----------------------------------------------------------------------------------------------


async def query(person: Person, user: str) -> Any:
    body = json.dumps({"device_keys": {user: []}})
    headers = {"Authorization": f"Bearer {person.client.access_token}"}
    response = await person.client.send("POST", "/_matrix/client/v3/keys/query", body, headers)
    return await response.json()


def trust_of(person: Person, tmp_path: Path) -> Trust:
    pins = Pins(tmp_path / f"{person.client.device_id}.json", "x")
    return Trust(person.client, Wire(person.client), pins, lambda _sentence: None)


async def sign_up(person: Person, tmp_path: Path) -> None:
    """Give a person a cross-signing identity, with their present device signed."""
    key = read_recovery_key(new_recovery_key())
    await trust_of(person, tmp_path).establish(Identity(key, person.id), PASSWORD)


async def second_device(person: Person, tmp_path: Path, make: People) -> Person:
    """The same account on another device."""
    other = await make(person.id[1:].partition(":")[0].rsplit("-", 2)[0])
    await other.leave()
    other.id = person.id
    other.folder = tmp_path / "second"
    other.client = other._client()
    other.client.user = person.id
    other.read.clear()
    return await other.arrive()


@pytest.mark.synapse
async def test_anybody_can_verify_that_the_bots_device_is_the_bots(bot: Bots, person: People) -> None:
    hub, ann = await bot(), await person()
    answer = await query(ann, hub.id)
    (master,) = answer["master_keys"][hub.id]["keys"].values()
    signer = answer["self_signing_keys"][hub.id]
    (signing,) = signer["keys"].values()
    _verify(signer, hub.id, master)
    device = answer["device_keys"][hub.id][hub.client.device_id]
    device.pop("unsigned", None)
    _verify(device, hub.id, signing)
    # The master key is signed by the device, so that both ways lead to the same bot.
    assert f"ed25519:{hub.client.device_id}" in answer["master_keys"][hub.id]["signatures"][hub.id]
    assert master == Identity(read_recovery_key(hub.account.recovery_key), hub.id).master.public
    again = await bot(again=hub)
    assert (await query(ann, hub.id))["master_keys"][hub.id] == answer["master_keys"][hub.id]
    assert again.told == []


@pytest.mark.synapse
async def test_another_identity_on_the_account_is_told_to_the_operator(bot: Bots) -> None:
    hub = await bot()
    await hub.stop()
    hub.account = replace(hub.account, recovery_key=new_recovery_key())
    again = await bot(again=hub)
    assert len(again.told) == 1
    assert hub.id not in again.told[0]


@pytest.mark.synapse
async def test_a_device_that_its_owner_did_not_sign_neither_reads_nor_commands(
    bot: Bots, person: People, tmp_path: Path
) -> None:
    hub, ann = await bot(), await person()
    await sign_up(ann, tmp_path)
    room = await ann.room(hub.id, direct=True)
    await ann.joined(room, hub.id)
    await ann.say(room, "one")
    await ann.hears(room, hub.id)
    planted = await second_device(ann, tmp_path, person)
    await planted.until(lambda: room in planted.client.rooms)
    await planted.say(room, "two, says the planted device")
    await ann.say(room, "three")
    await ann.hears(room, hub.id, 2)
    await asyncio.sleep(0.5)
    assert hub.said == ["one", "three"]
    assert planted.bodies(room, hub.id) == []
    assert ann.bodies(room, hub.id) == ["heard one", "heard three"]


@pytest.mark.synapse
async def test_a_new_device_of_somebody_without_an_identity_reads_on(bot: Bots, person: People, tmp_path: Path) -> None:
    hub, ann = await bot(), await person()
    room = await ann.room(hub.id, direct=True)
    await ann.joined(room, hub.id)
    await ann.say(room, "one")
    await ann.hears(room, hub.id)
    phone = await second_device(ann, tmp_path, person)
    await phone.until(lambda: room in phone.client.rooms)
    await phone.say(room, "two")
    await phone.hears(room, hub.id)
    assert (await ann.hears(room, hub.id, 2))[-1] == "heard two"
    assert phone.bodies(room, hub.id)[-1] == "heard two"


@pytest.mark.synapse
async def test_a_changed_identity_is_told_once(bot: Bots, person: People, tmp_path: Path) -> None:
    hub, ann = await bot(), await person()
    await sign_up(ann, tmp_path)
    room = await ann.room(hub.id, direct=True)
    await ann.joined(room, hub.id)
    await ann.say(room, "one")
    await ann.hears(room, hub.id)
    fresh = Identity(bytes(32), ann.id)
    trust = trust_of(ann, tmp_path)
    await trust._publish(fresh, PASSWORD)
    await trust.establish(fresh, PASSWORD)
    await until(lambda: hub.told)
    await ann.say(room, "two")
    await ann.hears(room, hub.id, 2)
    assert len(hub.told) == 1
    assert ann.id not in hub.told[0]
    again = await bot(again=hub)
    await ann.say(room, "three")
    await ann.hears(room, hub.id, 3)
    assert again.told == []


@pytest.mark.synapse
async def test_an_identity_that_vanishes_is_no_way_to_slip_in_devices(
    bot: Bots, person: People, tmp_path: Path
) -> None:
    hub, ann = await bot(), await person()
    await sign_up(ann, tmp_path)
    room = await ann.room(hub.id, direct=True)
    await ann.joined(room, hub.id)
    await ann.say(room, "one")
    await ann.hears(room, hub.id)
    answer = await query(ann, ann.id)
    answer["master_keys"] = answer["self_signing_keys"] = {}
    hub.bot._trust._judge(answer, ann.id)
    (device,) = hub.client.device_store.active_user_devices(ann.id)
    assert hub.client.olm.is_device_blacklisted(device)
    assert len(hub.told) == 1


@pytest.mark.synapse
async def test_one_members_words_cannot_be_put_into_anothers_mouth(bot: Bots, person: People) -> None:
    hub, ann, bob = await bot(), await person("ann"), await person("bob")
    room = await ann.room(bob.id, hub.id)
    await bob.enter(room)
    await ann.joined(room, bob.id, hub.id)
    await ann.say(room, "!who am I")
    await bob.say(room, "!hello")
    await ann.hears(room, hub.id, 2)
    event = next(
        each for each in await ann.raw(room) if each["sender"] == bob.id and each["type"] == "m.room.encrypted"
    )
    here = hub.client.rooms[room]
    for device in (event["content"]["device_id"], ann.client.device_id):
        content = {**event["content"], "device_id": device}
        forged = Event.parse_event({**event, "sender": ann.id, "content": content})
        assert isinstance(forged, MegolmEvent)
        heard = await hub.bot._reader.row(here, forged, {forged.event_id: forged.source})
        assert heard is None or "locked" in heard.data
    genuine = await hub.bot._reader.row(here, Event.parse_event(event), {})
    assert genuine is not None
    assert genuine.data["said"]["address"] == bob.id


@pytest.mark.synapse
async def test_a_bot_whose_keys_were_used_up_while_it_was_down_hears_everybody(bot: Bots, person: People) -> None:
    hub, ann = await bot(), await person()
    device = hub.client.device_id
    await hub.stop()
    got = Counter()
    for _ in range(120):
        body = json.dumps({"one_time_keys": {hub.id: {device: "signed_curve25519"}}})
        headers = {"Authorization": f"Bearer {ann.client.access_token}"}
        response = await ann.client.send("POST", "/_matrix/client/v3/keys/claim", body, headers)
        claimed = (await response.json())["one_time_keys"][hub.id][device]
        got["fallback" if next(iter(claimed.values())).get("fallback") else "one-time"] += 1
    assert got["fallback"] > 0
    people = [await person("late") for _ in range(3)]
    rooms = [await one.room(hub.id, direct=True) for one in people]
    again = await bot(again=hub)
    for one, room in zip(people, rooms, strict=True):
        await one.joined(room, hub.id)
        await one.say(room, "hello")
    for one, room in zip(people, rooms, strict=True):
        assert await one.hears(room, hub.id) == ["heard hello"]
    await until(lambda: again.client.olm.uploaded_key_count and again.client.olm.uploaded_key_count > 30)


async def withheld(ann: Person, hub: Running, room: str, words: str) -> tuple[str, Callable[[], Awaitable[None]]]:
    """Say something to which the bot has no key; returns what would give it the key."""
    await until(lambda: ann.client.device_store.active_user_devices(hub.id))
    (device,) = ann.client.device_store.active_user_devices(hub.id)
    ann.client.invalidate_outbound_session(room)
    ann.client.blacklist_device(device)
    await ann.client.share_group_session(room, ignore_unverified_devices=True)
    session = ann.client.olm.outbound_group_sessions[room]
    content = {
        "algorithm": "m.megolm.v1.aes-sha2",
        "room_id": room,
        "session_id": session.id,
        "session_key": session.session_key,
    }
    event = await ann.say(room, words)
    ann.client.unblacklist_device(device)

    async def hand_over() -> None:
        await ann.client.keys_claim({hub.id: [device.id]})
        olm = ann.client.olm
        sealed = olm._olm_encrypt(olm.session_store.get(device.curve25519), device, "m.room_key", content)
        body = json.dumps({"messages": {hub.id: {device.id: sealed}}})
        headers = {"Authorization": f"Bearer {ann.client.access_token}"}
        where = f"/_matrix/client/v3/sendToDevice/m.room.encrypted/{event[1:9]}"
        await ann.client.send("PUT", quote(where), body, headers)

    return event, hand_over


@pytest.mark.synapse
@pytest.mark.parametrize("restart", [False, True])
async def test_what_cannot_be_read_yet_is_kept_and_answered_when_its_key_comes(
    bot: Bots, person: People, restart: bool
) -> None:
    hub, ann = await bot(), await person()
    room = await ann.room(hub.id, direct=True)
    await ann.joined(room, hub.id)
    await ann.say(room, "one")
    await ann.hears(room, hub.id)
    _event, hand_over = await withheld(ann, hub, room, "two")
    await ann.say(room, "three")
    await ann.hears(room, hub.id, 2)
    assert hub.said == ["one", "three"]
    now_hub = await bot(again=hub) if restart else hub
    await hand_over()
    assert (await ann.hears(room, hub.id, 3))[-1] == "heard two"
    assert now_hub.said[-1] == "two"


@pytest.mark.synapse
async def test_a_person_whose_words_cannot_be_read_is_asked_to_send_them_again(
    bot: Bots, person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_ASK_AGAIN_AFTER", 0.5)
    hub, ann = await bot(), await person()
    room = await ann.room(hub.id, direct=True)
    await ann.joined(room, hub.id)
    await ann.say(room, "one")
    await ann.hears(room, hub.id)
    event, hand_over = await withheld(ann, hub, room, "two")
    await ann.hears(room, hub.id, 2)
    (_one, asked) = ann.heard(room, hub.id)
    assert "send it again" in asked["body"]
    assert asked["m.relates_to"] == {"m.in_reply_to": {"event_id": event}}
    await hand_over()
    assert (await ann.hears(room, hub.id, 3))[-1] == "heard two"


@pytest.mark.synapse
async def test_newer_clients_that_do_not_tell_their_key_with_each_message_are_heard(bot: Bots, person: People) -> None:
    hub, ann = await bot(), await person()
    room = await ann.room(hub.id, direct=True)
    await ann.joined(room, hub.id)
    encrypt = ann.client.encrypt

    def without_key(room_id: str, kind: str, content: Any) -> tuple[str, dict[str, Any]]:
        kind, content = encrypt(room_id, kind, content)
        return kind, {name: each for name, each in content.items() if name not in {"sender_key", "device_id"}}

    ann.client.encrypt = without_key
    await ann.say(room, "hello")
    assert await ann.client.joined_rooms()
    await until(lambda: hub.said == ["hello"])


@pytest.mark.synapse
async def test_the_first_words_to_somebody_wait_until_we_know_their_devices(bot: Bots, person: People) -> None:
    hub, ann = await bot(), await person()
    ask = hub.bot._trust._wire.ask

    async def slowly(method: str, path: str, *rest: Any, **more: Any) -> Any:
        answer = await ask(method, path, *rest, **more)
        await asyncio.sleep(0.3 if path.endswith("keys/query") else 0)
        return answer

    hub.bot._trust._wire.ask = slowly  # type: ignore[method-assign]
    for number in range(3):
        await hub.bot.deliver(Parcel(key="k", tx_id=f"f{number}", address=ann.id), Reply(plain("hello")), voice())
    await ann.until(lambda: ann.client.invited_rooms)
    (dm,) = ann.client.invited_rooms
    await ann.enter(dm)
    assert await ann.hears(dm, hub.id, 3) == ["hello"] * 3


@pytest.mark.synapse
async def test_a_device_planted_on_the_bots_account_reads_nothing(bot: Bots, person: People, tmp_path: Path) -> None:
    hub, ann = await bot(), await person()
    room = await ann.room(hub.id, direct=True)
    await ann.joined(room, hub.id)
    planted = Person.__new__(Person)
    planted.__dict__.update(ann.__dict__, id=hub.id, folder=tmp_path / "planted", read=[], _changed=asyncio.Condition())
    planted.client = planted._client()
    await planted.arrive()
    await until(lambda: list(hub.client.device_store.active_user_devices(hub.id)))
    await ann.say(room, "one")
    await ann.hears(room, hub.id)
    await planted.until(lambda: any(getattr(each, "sender", "") == hub.id for _, each in planted.read))
    assert planted.bodies(room, hub.id) == []
    await planted.leave()
