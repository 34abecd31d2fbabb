"""Replies as Matrix messages, and Matrix messages as lines: no server needed."""

import html
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.matrix.hearing import BUTTONS, COMMAND, Ear, Line, keycap, line_of_button, pressed
from bots.matrix.power import Power
from bots.matrix.render import LIMIT, MOST_BUTTONS, render
from bots.matrix.rooms import _server_of
from commands.core.line import Call
from commands.core.reply import Button, Fields, File, Picture, Quote, Reply, Source, Sources, Table
from commands.core.strings import Catalogues
from commands.core.text import Text, Voice, _, plain
from tests.replies import replies

VOICE = Voice(Catalogues({}).speak("en"), ZoneInfo("Europe/Kyiv"), prefix="!")
TAGS = {"p", "br", "strong", "code", "em", "a", "blockquote"}


# -- saying -------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Glyph")
@settings(max_examples=60, deadline=None)
@given(replies)
def test_any_reply_fits_and_its_markup_is_ours(reply: Reply) -> None:
    parts = render(reply, VOICE)
    for part in parts:
        content = part.content
        assert content["msgtype"] in {"m.notice", "m.image", "m.file"}
        if content["msgtype"] == "m.notice":
            # A page may be as long as the limit, its joints included.
            assert len(content["body"].encode()) + len(content["formatted_body"].encode()) <= LIMIT
            assert set(re.findall(r"</?([a-zA-Z]+)", content["formatted_body"])) <= TAGS
    pictures = sum(isinstance(block, Picture) for block in reply.blocks)
    attached = pictures + len(reply.files) + (reply.page is not None)
    assert sum(part.attachment is not None for part in parts) == attached


def test_words_of_members_never_become_markup() -> None:
    wicked = '<img src=x onerror=alert(1)> <a href="https://evil">@room</a> & so on\nand a second line'
    reply = Reply(
        _("{who} says {what}", who="ann", what=wicked),
        Quote(wicked),
        Fields(((plain(wicked), plain(wicked)),)),
        Table((plain("a"), plain(wicked)), ((plain(wicked), plain("b")),)),
        Sources((Source(wicked, wicked, 'javascript:alert("x")', snippet=wicked),)),
        actions=[Button(plain(wicked), Call("take", {"what": wicked}))],
    )
    (part,) = render(reply, VOICE)
    rich = part.content["formatted_body"]
    assert "<img" not in rich
    assert "<a " not in rich
    assert set(re.findall(r"</?([a-zA-Z]+)", rich)) <= TAGS
    assert html.escape("<img src=x onerror=alert(1)>") in rich


def test_lines_to_type_stand_out_and_moments_are_told_in_the_readers_zone() -> None:
    at = datetime(2026, 12, 1, 14, 0, tzinfo=UTC)
    (part,) = render(Reply(_("At {at}; {call} moves it.", at=at, call=Call("hours mine"))), VOICE)
    assert part.content["body"] == "At Tue, 1 Dec 2026, 16:00 (Kyiv); !hours mine moves it.".replace(
        "Tue, 1 Dec 2026", VOICE.day(at.date())
    )
    assert "<code>!hours mine</code>" in part.content["formatted_body"]


def test_buttons_are_numbered_lines_and_their_lines_travel_with_the_last_text() -> None:
    buttons = [Button(plain(f"choice {number}"), Call("take", {"n": str(number)})) for number in range(12)]
    *_first, last = render(Reply(*[plain("word " * 1000)] * 3, actions=buttons), VOICE)
    assert last.content[BUTTONS] == [f"take n={number}" for number in range(MOST_BUTTONS)]
    assert f"{keycap(1)} choice 0 — !take n=0" in last.content["body"]
    for number in range(1, MOST_BUTTONS + 1):
        reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$e", "key": keycap(number)}}
        event, again = pressed(reaction) or ("", 0)
        assert event == "$e"
        assert line_of_button(last.content, again) == f"take n={number - 1}"
    assert line_of_button(last.content, 11) is None
    assert line_of_button({BUTTONS: "take"}, 1) is None


def test_a_choice_among_its_like_is_its_number_and_its_label() -> None:
    (part,) = render(Reply(plain("which?"), actions=[Button(plain("tea"), Call("take tea"), terse=True)]), VOICE)
    assert part.content["body"] == f"which?\n\n{keycap(1)} tea"
    assert part.content[BUTTONS] == ["take tea"]


def test_a_page_is_attached_as_a_file_of_its_own() -> None:
    _text, page = render(Reply(plain("the digest"), page="digest.html"), VOICE)
    assert page.content["filename"] == "digest.html"
    assert page.attachment is not None
    assert b"the digest" in page.attachment.data


def test_a_long_reply_is_cut_between_blocks() -> None:
    blocks = [plain(f"{number} " + "x" * 4000) for number in range(5)]
    parts = render(Reply(*blocks), VOICE)
    assert len(parts) == 5
    assert [part.content["body"][0] for part in parts] == list("01234")


def test_one_endless_word_is_cut_and_nothing_of_it_is_lost() -> None:
    parts = render(Reply(plain("'" * 70_000)), VOICE)
    assert "".join(part.content["body"] for part in parts) == "'" * 70_000
    assert all(len(part.content["formatted_body"]) <= LIMIT for part in parts)


def test_a_file_keeps_its_name_and_kind() -> None:
    (part,) = render(Reply(files=[File("digest.html", "text/html", b"<p>")]), VOICE)
    assert part.content["filename"] == "digest.html"
    assert part.content["info"] == {"mimetype": "text/html", "size": 3}
    assert part.attachment is not None


def test_plural_forms_and_other_languages_come_from_the_voice() -> None:
    (part,) = render(Reply(Text("{n} hour", {"n": 2}, plural="{n} hours", count=2)), VOICE)
    assert part.content["body"] == "2 hours"


# -- hearing ------------------------------------------------------------------------------------------------------

ME = "@uj-bot:hs"
ROOM = Ear(ME, "!", alone=False, names=("UJ bot", ME, "uj-bot"), ours=lambda event: event == "$ours")
ALONE = Ear(ME, "!", alone=True)
OTHER = "@hub-climate:hs"
AMONG_BOTS = Ear(ME, "!", alone=False, names=("UJ bot", ME, "uj-bot"), others={OTHER: (OTHER, "hub-climate")})


def said(body: str, **more: object) -> dict[str, object]:
    return {"msgtype": "m.text", "body": body, **more}


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("!help", "help"),
        ("/help", "help"),
        ("  !hours book S-1\n", "hours book S-1"),
        ("!справка", "справка"),
        ("! help", None),
        ("!!!", None),
        ("!", None),
        ("//etc", None),
        ("what a day!", None),
        ("5 of us will come", None),
        ("", None),
    ],
)
def test_in_a_room_a_command_begins_with_the_prefix(body: str, line: str | None) -> None:
    heard = ROOM.hears(said(body))
    assert heard == (Line(line, direct=True) if line else None)


@pytest.mark.parametrize("body", ["1", "42", "99", "stop", "STOP", "Стоп"])
def test_numbers_and_stop_may_answer_a_question(body: str) -> None:
    assert ROOM.hears(said(body)) == Line(body, direct=False)


@pytest.mark.parametrize("body", ["0", "100", "1.5", "stop it", "1 2"])
def test_other_numbers_and_words_are_conversation(body: str) -> None:
    assert ROOM.hears(said(body)) is None


@pytest.mark.parametrize(
    "body",
    [
        "UJ bot: help",
        "uj-bot help",
        "@uj-bot:hs: help",
        "@uj-bot, help",
        "uj bot, !help",
        "help @uj-bot",
        "UJ bot:help",
        "help",
    ],
)
def test_a_mention_is_a_command_without_the_name(body: str) -> None:
    assert ROOM.hears(said(body, **{"m.mentions": {"user_ids": [ME]}})) == Line("help", direct=True, named=True)


@pytest.mark.parametrize(
    ("body", "mentions", "line"),
    [
        ("hub-climate: help digest", [OTHER], None),
        ("!help digest", [OTHER], None),
        ("5", [OTHER], None),
        ("UJ bot, hub-climate: help digest", [ME, OTHER], "help digest"),
        ("@hub-climate:hs @uj-bot: !help digest", [OTHER, ME], "help digest"),
        ("help digest @hub-climate @uj-bot", [OTHER, ME], "help digest"),
        ("UJ bot: tell hub-climate", [ME], "tell hub-climate"),
        ("UJ bot: help @ann", [ME, "@ann:hs"], "help @ann"),
        ("!help digest", [ME], "help digest"),
        ("UJ bot: hub-climate", [ME, OTHER], None),
    ],
)
def test_among_several_bots_those_that_are_mentioned_hear_the_words_without_the_names(
    body: str, mentions: list[str], line: str | None
) -> None:
    heard = AMONG_BOTS.hears(said(body, **{"m.mentions": {"user_ids": mentions}}))
    assert heard == (Line(line, direct=True, named=True) if line else None)


def test_a_name_without_a_mention_is_conversation() -> None:
    assert ROOM.hears(said("UJ bot: help")) is None
    assert ROOM.hears(said("UJ bot", **{"m.mentions": {"user_ids": [ME]}})) is None
    assert ROOM.hears(said("UJ bots: help", **{"m.mentions": {"user_ids": [ME]}})) == Line(
        "UJ bots: help", direct=True, named=True
    )


def test_a_reply_to_the_bot_with_its_automatic_mention_is_an_answer() -> None:
    relation = {"m.in_reply_to": {"event_id": "$ours"}}
    content = said("tomorrow", **{"m.relates_to": relation, "m.mentions": {"user_ids": [ME]}})
    assert ROOM.hears(content) == Line("tomorrow", direct=False, named=True)
    assert ROOM.hears(said("tomorrow", **{"m.relates_to": {"m.in_reply_to": {"event_id": "$other"}}})) is None


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"msgtype": "m.text"},
        {"msgtype": "m.text", "body": 3},
        {"msgtype": "m.notice", "body": "!help"},
        {"msgtype": "m.image", "body": "!help"},
        {"msgtype": "m.text", "body": "* !help", "m.relates_to": {"rel_type": "m.replace", "event_id": "$e"}},
    ],
)
def test_what_is_no_fresh_text_of_a_person_is_never_heard(content: dict[str, object]) -> None:
    assert ROOM.hears(content) is None
    assert ALONE.hears(content) is None


def test_a_command_that_a_client_built_must_name_us() -> None:
    built = {
        "command": "hours book",
        "arguments": {"slot": "S-1", "n": 2, "sure": True, "no": None, "who": {"id": "@a:b"}},
    }
    mine = said("/hours book", **{COMMAND: built, "m.mentions": {"user_ids": [ME]}})
    assert ROOM.hears(mine) == Line("hours book slot=S-1 n=2 sure=yes who=@a:b", direct=True, named=True)
    assert ROOM.hears(said("hours book", **{COMMAND: built, "m.mentions": {"user_ids": ["@other:hs"]}})) is None


_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "rel_type",
                    "event_id",
                    "key",
                    "m.in_reply_to",
                    "user_ids",
                    "command",
                    "arguments",
                    "m.relates_to",
                    "body",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["msgtype", "body", "m.relates_to", "m.mentions", COMMAND, BUTTONS]), _junk | st.just("m.text")
    )
)
def test_whatever_a_stranger_sends_is_read_without_a_crash(content: dict[str, object]) -> None:
    for ear in (ROOM, ALONE):
        heard = ear.hears(content)
        assert heard is None or heard.words
    pressed(content)
    line_of_button(content, 1)


# -- power --------------------------------------------------------------------------------------------------------


def state(version: str, levels: dict[str, object] | None, **create: object) -> list[dict[str, object]]:
    content = {"room_version": version, **create}
    events: list[dict[str, object]] = [
        {"type": "m.room.create", "state_key": "", "sender": "@maker:hs", "content": content}
    ]
    if levels is not None:
        events.append({"type": "m.room.power_levels", "state_key": "", "sender": "@maker:hs", "content": levels})
    return events


def test_creators_stand_above_all_levels_from_version_12_on() -> None:
    power = Power(state("12", {"users": {"@admin:hs": 100}}, additional_creators=["@second:hs"]))
    assert power.of("@maker:hs") == power.of("@second:hs") == float("inf")
    assert power.of("@admin:hs") == 100
    assert power.may_move_us("@maker:hs")
    assert Power(state("13", {})).of("@maker:hs") == float("inf")


def test_in_older_rooms_a_creator_has_what_the_levels_say() -> None:
    assert Power(state("11", {"users": {"@maker:hs": 50}})).of("@maker:hs") == 50
    assert Power(state("10", None, creator="@maker:hs")).of("@maker:hs") == 100
    assert Power(state("10", None, creator="@maker:hs")).of("@ann:hs") == 0


@pytest.mark.parametrize(
    ("levels", "may"),
    [
        ({"users": {"@ann:hs": 50}}, True),
        ({"users": {"@ann:hs": 50}, "state_default": 100}, False),
        ({"users": {"@ann:hs": 50}, "events": {"m.room.tombstone": 100}}, False),
        ({"users": {"@ann:hs": 49}, "events": {"m.room.tombstone": 0}}, False),
        ({"users_default": 100}, True),
        ({"users": {"@ann:hs": "100"}}, True),
        ({"users": {"@ann:hs": "much"}}, False),
        ({"users": 3, "events": []}, False),
        ({}, False),
    ],
)
def test_we_follow_only_those_who_may_move_the_room_and_are_moderators(levels: dict[str, object], may: bool) -> None:
    assert Power(state("11", levels)).may_move_us("@ann:hs") is may


def test_a_servers_name_is_behind_the_first_colon() -> None:
    assert _server_of("@ann:hs.example:8448") == "hs.example:8448"
    assert _server_of("nonsense") is None
