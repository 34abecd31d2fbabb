"""Replies as Discord messages, and what is pressed and filled in there: the library is real, no server is needed."""

import asyncio
import io
import json
import os
import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import discord
import pytest
from discord.http import handle_message_parameters
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bots.discord.controls import CONTROLS, cut, filled, fitted, form, width
from bots.discord.render import (
    LARGEST_FILE,
    LONGEST_TEXT,
    MOST_BUTTONS,
    Message,
    dressed,
    escaped,
    render,
    spelled,
    stamp,
)
from commands import FEATURES
from commands.core.dispatch import Ask, Blank
from commands.core.feature import Command, Commands
from commands.core.kinds import Choice
from commands.core.line import Call
from commands.core.reply import Bars, Button, Fields, File, Picture, Quote, Reply, Source, Sources, Table
from commands.core.strings import Catalogues
from commands.core.text import Text, Voice, _, plain
from tests import transcript
from tests.fakes.loopback_discord import Specification
from tests.fakes.loopback_discord.rules import COMPONENTS_V2, of_message, of_modal, walk
from tests.replies import replies

CATALOGUES = Catalogues.load()
COMMANDS = Commands(FEATURES)
SPECIFICATION = Specification(os.environ["DISCORD_OPENAPI"]) if "DISCORD_OPENAPI" in os.environ else None
"""Discord's own description of its API. Without it, its rules as we wrote them down are all that is checked."""

KEY = "1234567890123456789"
AT = datetime(2026, 12, 1, 14, 0, tzinfo=UTC)
ROW, BUTTON, SELECT, TEXT, GALLERY, FILE = 1, 2, 3, 10, 12, 13

languages = st.sampled_from(["en", "uk", "ru"])
TEMPTING = r"""
    @everyone <@1> <@&2> <#3> <t:1:R> </help:4> <id:home> :smile: <a:b:5> *** || ` ``` \ __ ~~ word
    https://evil.example steam://run/1 [a](https://evil.example) ¯\_(ツ)_/¯
""".split()  # noqa: SIM905 one a line would be harder to read
wicked = st.one_of(
    st.text(max_size=60),
    st.text("*_~|>#-[]()`@<:/&!.\\ \n\r\tae1", max_size=60),
    st.lists(
        st.sampled_from([*TEMPTING, " ", "\n# ", "\n-# ", "\n> ", "\n>>> ", "\n- ", "\n1. "]),
        max_size=8,
    ).map("".join),
)


def voice(language: str = "en") -> Voice:
    return dressed(Voice(CATALOGUES.speak(language), ZoneInfo("Europe/Kyiv")))


def sent(message: Message) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the library makes of a message: the body, and the files by their names."""
    files = {file.filename: file.fp.read() for file in message.files}
    with handle_message_parameters(view=message.view, files=message.files) as parameters:
        parts = parameters.multipart or []
        body = json.loads(parts[0]["value"]) if parts else parameters.payload
    assert len(files) == len(message.files)
    return body, files


def check(message: Message) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Hold a message against everything that Discord asks of one, in the narrowest reading."""
    body, files = sent(message)
    assert list(of_message(body, list(files))) == []
    if SPECIFICATION is not None:
        assert list(SPECIFICATION.of_request("create_message", body, {})) == []
    assert body["flags"] & COMPONENTS_V2
    everything = [each for _path, each in walk(body["components"])]
    assert everything
    assert {each["type"] for each in everything} <= {ROW, BUTTON, SELECT, TEXT, GALLERY, FILE}
    texts = [each["content"] for each in everything if each["type"] == TEXT]
    assert sum(units(text) for text in texts) <= 4000
    assert all(text.strip() for text in texts)
    for each in everything:
        if each["type"] == BUTTON:
            assert each["label"].strip()
            assert units(each["label"]) <= 80
            assert 1 <= units(each["custom_id"]) <= 100
        if each["type"] == SELECT:
            for option in each["options"]:
                assert option["label"].strip()
                assert max(units(option["label"]), units(option["value"])) <= 100
    shown = [each["file"]["url"] for each in everything if each["type"] == FILE]
    pictures = [item for each in everything if each["type"] == GALLERY for item in each["items"]]
    assert all(item["description"].strip() and units(item["description"]) <= 1024 for item in pictures)
    shown += [item["media"]["url"] for item in pictures]
    # What no component shows is not seen, and what is not there cannot be shown.
    assert sorted(shown) == sorted(f"attachment://{name}" for name in files)
    assert all(re.fullmatch(r"[A-Za-z0-9-][A-Za-z0-9._-]{0,103}", name) for name in files)
    return body, files


def units(words: str) -> int:
    return len(words.encode("utf-16-le")) // 2


def text_of(message: Message) -> str:
    return "\n".join(each["content"] for each in message.view.to_components() if each["type"] == TEXT)


def rows_of(message: Message) -> list[list[dict[str, Any]]]:
    return [each["components"] for each in message.view.to_components() if each["type"] == ROW]


def said(*blocks: Any, **more: Any) -> str:
    return text_of(render(Reply(*blocks), voice(), **more))


# -- limits -------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Glyph")
@settings(max_examples=80, deadline=None)
@given(replies, languages, st.none() | st.just(KEY), st.booleans())
def test_any_reply_is_one_message_that_discord_takes(
    reply: Reply, language: str, question: str | None, ping: bool
) -> None:
    message = render(reply, voice(language), question=question, mention="42" if ping else None)
    _body, files = check(message)
    assert text_of(message).startswith("<@42>") is ping
    pictures = sum(isinstance(block, Picture) for block in reply.blocks)
    assert len(files) == pictures + len(reply.files) + (reply.page is not None)


@settings(deadline=None)
@given(
    st.lists(st.tuples(wicked, st.integers(1, 400)).map(lambda each: each[0] * each[1]), max_size=6),
    st.lists(st.builds(Button, wicked.map(plain), wicked.map(lambda words: Call("find", {"words": words})))),
    languages,
    st.none() | st.just(KEY),
)
def test_however_long_a_reply_is_all_of_it_arrives(
    texts: list[str], actions: list[Button], language: str, question: str | None
) -> None:
    message = render(Reply(*map(plain, texts), actions=actions), voice(language), question=question, mention="42")
    _body, files = check(message)
    shown = text_of(message)
    for words in texts:
        assert escaped(words) in shown or words.encode() in files["answer.txt"]
    pressed = {each["custom_id"] for row in rows_of(message) for each in row}
    for number, button in enumerate(actions, start=1):
        first = next(at for at, each in enumerate(actions, start=1) if each.call == button.call)
        ids = {button.call.line(), f"#{KEY} {first}"}
        assert ids & pressed or button.call.given["words"] in shown_or_attached(shown, files), number


def shown_or_attached(shown: str, files: dict[str, bytes]) -> str:
    return unescaped(shown) + files.get("answer.txt", b"").decode()


def test_a_long_reply_is_cut_between_blocks_and_the_whole_of_it_is_attached() -> None:
    blocks = [f"block {number} " + "x" * 900 for number in range(9)]
    message = render(Reply(*map(plain, blocks)), voice())
    _body, files = check(message)
    *shown, told = text_of(message).split("\n\n")
    assert shown == blocks[: len(shown)]
    assert len(shown) >= 3
    assert "attached" in told
    assert files["answer.txt"].decode() == "\n\n".join(blocks)


def test_a_block_that_is_too_long_is_cut_between_its_lines() -> None:
    pairs = tuple((plain(f"name {number}"), plain("value " * 20)) for number in range(50))
    message = render(Reply(plain("first"), Fields(pairs)), voice())
    _body, files = check(message)
    _first, fields, _told = text_of(message).split("\n\n")
    lines = fields.split("\n")
    assert lines == [f"**name {number}**: " + "value " * 20 for number in range(len(lines))]
    assert len(lines) > 20
    assert files["answer.txt"].decode().endswith("name 49: " + "value " * 20)


def test_a_line_that_is_too_long_is_cut_between_words_and_loses_its_markup() -> None:
    line = Text("{call} " * 3, {"call": Call("find", {"words": "<@1> word " * 300})})
    message = render(Reply(line), voice())
    _body, files = check(message)
    shown = text_of(message).split("\n\n")[0]
    assert shown.endswith("…")
    assert "`" not in shown
    assert live(shown) is None
    assert files["answer.txt"].decode().count("<@1>") == 900


def test_characters_that_discord_may_count_twice_are_counted_twice() -> None:
    assert len(check(render(Reply(plain("😀" * 2000)), voice()))[1]) == 0
    assert len(check(render(Reply(plain("😀" * 2001)), voice()))[1]) == 1
    assert [units(fitted("😀" * 50, most)) for most in (79, 80)] == [79, 79]
    assert cut("a😀", 2) == "a"
    assert width("a😀") == 3


def test_what_is_empty_is_still_a_message() -> None:
    for reply in (Reply(), Reply(plain(" \n")), Reply(Quote("")), Reply(Fields(())), Reply(Sources(()))):
        check(render(reply, voice()))
    check(render(Reply(plain("who?"), actions=[Button(plain(" "), Call("help"))]), voice()))


# -- words --------------------------------------------------------------------------------------------------------

_ESCAPE = re.compile(r"\\([^0-9A-Za-z\s])")
_MARKUP = re.compile(
    r"""
      [*_~|`\\<\[]                     # styles, code, spoilers, escapes, mentions, moments, links with words
    | @
    | :\w+:                            # emoji
    | (?:https?|steam|discord)://      # links
    | ^\s*(?:\#{1,3}\s|-\#|>|-\s|[0-9]+\.\s)   # headings, small print, quotes, lists
    """,
    re.VERBOSE | re.MULTILINE,
)


def unescaped(words: str) -> str:
    return _ESCAPE.sub(r"\1", words)


def live(words: str) -> str | None:
    """What of some words Discord would take for markup."""
    found = _MARKUP.search(_ESCAPE.sub("x", words.replace("\r", "\n")))
    return found and found[0]


@settings(max_examples=1500)
@given(wicked)
@example("1. a\n 2. b\n-# c")
@example("a:")
@example("\r# x")
def test_escaped_words_are_the_very_words_and_nothing_of_them_is_markup(words: str) -> None:
    assert unescaped(escaped(words)) == words
    assert live(escaped(words)) is None


def test_words_that_nobody_would_take_for_markup_stay_as_they_are() -> None:
    for words in ("quiet-heron", "B-7K3F", "S-07K3FQ9", "Tue, 1 Dec 2026 (Kyiv)", "What else: this.", "п. 1"):
        assert escaped(words) == words


_OURS = re.compile(
    r"""
      \\[^0-9A-Za-z\s]                                            # an escaped character
    | `[^`\n]+` | <t:-?[0-9]+:F> | \*\* | ^<@42>\n | ^>[ ]        # code, moments, bold words, the mention, quotes
    | \[[^\[\]\n]+\]\(https://example\.org/a\?b=c&d\)             # links, with words and without
    | <https://example\.org/a\?b=c&d>
    """,
    re.VERBOSE | re.MULTILINE,
)

texts = st.one_of(
    wicked.map(plain),
    st.builds(lambda a, b: _("{a}: {b}!", a=a, b=b), wicked, wicked),
    st.builds(lambda words: _("Say {call} by {at}.", call=Call("find", {"words": words}), at=AT), wicked),
    st.builds(lambda words: _("{call}", call=Call("hours book", {"topic": words})), wicked),
)
wicked_replies = st.builds(
    lambda text, name, value, cell, quote, sources, actions: Reply(
        text,
        Fields(((name, value), (value, name))),
        Table((name, cell), ((cell, name), (value, text))),
        Quote(quote),
        Sources(sources),
        actions=actions,
    ),
    texts,
    texts,
    texts,
    texts,
    wicked,
    st.lists(
        st.builds(
            Source,
            wicked,
            wicked,
            st.sampled_from(["", "https://example.org/a?b=c&d", "javascript:alert(1)"]),
            st.none() | texts,
            wicked,
        ),
        max_size=2,
    ).map(tuple),
    st.lists(st.builds(Button, texts, st.builds(lambda words: Call("find", {"words": words * 9}), wicked)), max_size=3),
)


@settings(max_examples=400, deadline=None)
@given(wicked_replies)
def test_whoever_wrote_what_only_our_own_markup_is_live(reply: Reply) -> None:
    message = render(reply, voice(), mention="42")
    check(message)
    rest = _OURS.sub("·", text_of(message).replace("\r", "\n"))
    assert _MARKUP.search(rest) is None, rest


def test_no_sentence_has_a_place_right_behind_a_colon() -> None:
    """Between two colons a member's word could become an emoji."""
    for language in CATALOGUES.languages:
        for sentence in CATALOGUES.speak(language).sentences.values():
            assert not [form for form in ([sentence] if isinstance(sentence, str) else sentence) if ":{" in form]


def test_a_moment_is_everybodys_own_in_texts_and_written_out_where_discord_shows_none() -> None:
    assert stamp(AT) == "<t:1796133600:F>"
    reply = Reply(_("At {at}.", at=AT), actions=[Button(_("{at}, mara", at=AT), Call("hours book S-1"))])
    message = render(reply, voice("uk"))
    assert text_of(message) == "At <t:1796133600:F>."
    assert rows_of(message)[0][0]["label"] == "вт, 1 груд. 2026 р., 16:00 (Київ), mara"


def test_blocks_are_written_as_discord_reads_them() -> None:
    assert said(plain("one"), plain("two")) == "one\n\ntwo"
    assert said(Fields(((_("When"), plain("a_b")),))) == r"**When**: a\_b"
    table = Table((plain("Code"), plain("With"), plain("State")), ((plain("B-1"), plain("ann"), plain("held")),))
    assert said(table) == "• **B-1** — With: ann · State: held"
    assert said(Table((plain("Code"),), ((plain("B-1"),),))) == "• **B-1**"
    assert said(Quote("one\n\n# two")) == "> one\n> \n> \\# two"
    assert said(plain("hello"), mention="42") == "<@42>\nhello"


def test_a_source_is_linked_from_its_title_where_the_title_needs_no_escapes() -> None:
    url = "https://example.org/a(b)?c=d"
    badge = plain("checked")
    first = Source("Act of 2002", "§ 1", url, badge, "who *acts*\nshall")
    second = Source("Carême v. France [GC]", "no. 7", url)
    assert said(Sources((first, second))).split("\n") == [
        r"\[1\] [Act of 2002](https://example.org/a%28b%29?c=d) · § 1 · checked",
        r"> who \*acts\*",
        "> shall",
        r"\[2\] Carême v. France \[GC\] · no. 7 · <https://example.org/a%28b%29?c=d>",
    ]
    assert said(Sources((Source("Act", "§ 1", "javascript:x()"),))) == r"\[1\] Act · § 1 · javascript\:x()"


@pytest.mark.parametrize(
    ("line", "en", "uk"),
    [
        ("hours mine", "/hours mine", "/консультації мої-записи"),
        ("hours book slot=S-07K3FQ9", "/hours book slot:S-07K3FQ9", "/консультації записатися слот:S-07K3FQ9"),
        ("book S-1 my case", "/hours book slot:S-1 topic:my case", "/консультації записатися слот:S-1 тема:my case"),
        ('find words="a \\"b\\"" kind=case', '/find words:a "b" kind:case', '/знайти слова:a "b" вид:case'),
        ("hours book SLOT [topic=]", "/hours book slot: [topic:]", "/консультації записатися слот: [тема:]"),
        ("me", "/me show", "/налаштування показати"),
        ("me language uk", "/me language language:uk", "/налаштування мова мова:uk"),
        ("help hours book", "/help command:hours book", "/допомога команда:hours book"),
        ("privacy erase sure=yes", "/privacy erase", None),
        ("stop", "/stop", "/stop"),
        ("hours mine and more", "/hours mine and more", None),
    ],
)
def test_a_command_line_is_spelled_as_it_is_entered(line: str, en: str, uk: str | None) -> None:
    assert spelled(line, CATALOGUES.speak("en")) == en
    if uk is not None:
        assert spelled(line, CATALOGUES.speak("uk")) == uk
    assert said(_("{call} moves it.", call=Call(line))) == f"`{en}` moves it."


def test_a_line_that_code_cannot_hold_is_escaped() -> None:
    for words in ("a`b", "a**b", "a\nb"):
        shown = said(Fields(((_("{call}", call=Call("find", {"words": words})), plain("x")),)))
        assert shown == f"**{escaped(f'/find words:{words}')}**: x"


# -- files --------------------------------------------------------------------------------------------------------


def test_a_picture_is_shown_with_words_for_those_who_cannot_see_it() -> None:
    bars = Bars(_("Hours"), ((_("Booked"), 3),))
    reply = Reply(plain("digest"), Picture(bars, plain("Booked *3*" + "!" * 2000), "digest.png"), page="digest.html")
    body, files = check(render(reply, voice()))
    text, gallery, page = body["components"]
    assert [each["type"] for each in (text, gallery, page)] == [TEXT, GALLERY, FILE]
    assert gallery["items"][0]["media"] == {"url": "attachment://digest.png"}
    assert gallery["items"][0]["description"].startswith("Booked *3*!!!")
    assert files["digest.png"].startswith(b"\x89PNG")
    assert page["file"] == {"url": "attachment://digest.html"}


def test_a_page_tells_moments_in_words() -> None:
    _body, files = check(render(Reply(_("At {at}.", at=AT), page="digest.html"), voice()))
    assert b"16:00 (Kyiv)" in files["digest.html"]
    assert b"t:1796133600" not in files["digest.html"]


def test_files_keep_names_that_discord_keeps_and_no_two_are_alike() -> None:
    names = ["invite.ics", "invite.ics", "дані.json", "..", "a b/c.html", "files.zip", "x" * 300 + ".txt"]
    _body, files = check(render(Reply(files=[File(name, "text/plain", b"1") for name in names]), voice()))
    assert list(files) == ["invite.ics", "invite-2.ics", "json", "file", "a_b_c.html", "files-2.zip", "x" * 96 + ".txt"]


def test_files_that_are_too_many_travel_in_one() -> None:
    many = [File(f"{number}.txt", "text/plain", str(number).encode()) for number in range(14)]
    _body, files = check(render(Reply(files=many), voice()))
    assert list(files) == [*(f"{number}.txt" for number in range(9)), "files.zip"]
    with zipfile.ZipFile(io.BytesIO(files["files.zip"])) as bundle:
        assert {name: bundle.read(name) for name in bundle.namelist()} == {
            f"{number}.txt": str(number).encode() for number in range(9, 14)
        }


# -- buttons ------------------------------------------------------------------------------------------------------


def buttons(count: int, *, terse: bool = False, size: int = 1) -> list[Button]:
    return [
        Button(plain(f"choice {number}"), Call("find", {"words": f"{number}" + "x" * size}), terse)
        for number in range(1, count + 1)
    ]


def test_up_to_five_actions_are_buttons_in_one_row_terse_or_not() -> None:
    for terse in (True, False):
        (row,) = rows_of(render(Reply(plain("which?"), actions=buttons(5, terse=terse)), voice()))
        assert [each["label"] for each in row] == [f"choice {number}" for number in range(1, 6)]
        assert [each["custom_id"] for each in row] == [f"find words={number}x" for number in range(1, 6)]


def test_more_choices_of_a_kind_are_a_list() -> None:
    ((select,),) = rows_of(render(Reply(plain("which?"), actions=buttons(9, terse=True)), voice(), question=KEY))
    assert select["type"] == SELECT
    assert select["custom_id"] == "pick"
    assert [each["value"] for each in select["options"]] == [f"find words={number}x" for number in range(1, 10)]


def test_more_actions_are_rows_of_buttons_and_the_rest_is_lines_to_type() -> None:
    message = render(Reply(plain("all"), actions=buttons(30)), voice())
    body, _files = check(message)
    rows = rows_of(message)
    assert [len(row) for row in rows] == [5, 5, 5, 5, 3]
    assert sum(map(len, rows)) == MOST_BUTTONS
    assert text_of(message).split("\n\n")[1].split("\n") == [
        f"• choice {number} — `/find words:{number}x`" for number in range(MOST_BUTTONS + 1, 31)
    ]
    full = Reply(plain("x" * 9000), actions=buttons(30), files=[File("a.txt", "text/plain", b"1")] * 9)
    body, _files = check(render(full, voice(), question=KEY))
    assert sum(1 for _each in walk(body["components"])) == 39


def test_choices_beyond_the_end_of_a_list_are_lines_to_type() -> None:
    message = render(Reply(plain("which?"), actions=buttons(27, terse=True)), voice())
    ((select,),) = rows_of(message)
    assert len(select["options"]) == 25
    assert text_of(message).endswith("• choice 26 — `/find words:26x`\n• choice 27 — `/find words:27x`")


def test_a_line_that_no_button_can_carry_is_named_by_its_question() -> None:
    long = buttons(2, size=100)
    (row,) = rows_of(render(Reply(plain("which?"), actions=[*buttons(1), *long]), voice(), question=KEY))
    assert [each["custom_id"] for each in row] == ["find words=1x", f"#{KEY} 2", f"#{KEY} 3"]
    many = [*buttons(5, terse=True), *buttons(7, terse=True, size=100)]
    ((select,),) = rows_of(render(Reply(plain("which?"), actions=many), voice(), question=KEY))
    assert select["custom_id"] == f"#{KEY}"
    assert [each["value"] for each in select["options"]] == [str(number) for number in range(1, 13)]


def test_without_a_question_such_a_line_is_typed() -> None:
    message = render(Reply(plain("which?"), actions=buttons(1, size=100)), voice())
    assert rows_of(message) == []
    assert text_of(message) == "which?\n\n• choice 1 — `/find words:1" + "x" * 100 + "`"


def test_the_same_line_twice_is_one_button_and_numbers_stay_those_of_the_reply() -> None:
    one, two = buttons(2, size=100)
    (row,) = rows_of(render(Reply(plain("which?"), actions=[one, one, two]), voice(), question=KEY))
    assert [each["custom_id"] for each in row] == [f"#{KEY} 1", f"#{KEY} 3"]


def test_an_open_question_can_be_answered_in_writing() -> None:
    topic = COMMANDS.by_path["hours book"].params["topic"]
    asks = Ask(Call("hours book", {"slot": "S-1"}), topic, tuple(Choice(str(n), plain(str(n))) for n in range(9)))
    for language, label in (("en", "Answer"), ("uk", "Відповісти"), ("ru", "Ответить")):
        message = render(asks.reply(), voice(language), question=KEY)
        select, answer = rows_of(message)
        assert [each["type"] for each in select] == [SELECT]
        assert [(each["label"], each["custom_id"]) for each in answer] == [(label, f"?{KEY}")]
        assert text_of(message) == escaped(voice(language).say(topic.about))
    assert len(rows_of(render(asks.reply(), voice()))) == 1
    # Lines that are kept because they are long make no question.
    assert len(rows_of(render(Reply(plain("x"), actions=buttons(1, size=100)), voice(), question=KEY))[0]) == 1


# -- pressing -----------------------------------------------------------------------------------------------------


class Ear(discord.Client):
    """A client without a connection: what happens reaches it as the gateway would bring it."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents(guilds=True))
        self.add_dynamic_items(*CONTROLS)
        self.heard: list[tuple[str, str | None]] = []

    async def pressed(self, _interaction: discord.Interaction, *, said: str, question: str | None = None) -> None:
        self.heard.append((said, question))

    async def wants_form(self, _interaction: discord.Interaction, question: str) -> None:
        self.heard.append(("?", question))

    async def press(self, message: Message, pressed: dict[str, Any], value: str | None = None) -> None:
        """Let somebody press something of a message, in private with the bot."""
        author = {"id": "3", "username": "hub", "discriminator": "0", "avatar": None}
        channel = {"id": "5", "type": 1}
        event = {
            **_event(3, {"custom_id": pressed["custom_id"], "component_type": pressed["type"]}),
            "channel": channel,
            "message": {
                "id": "6",
                "channel_id": "5",
                "type": 0,
                "content": "",
                "author": author,
                "flags": COMPONENTS_V2,
                "components": [each for each in message.view.to_components() if each["type"] in {ROW, TEXT}],
                "timestamp": AT.isoformat(),
                "edited_timestamp": None,
                **{name: [] for name in ("attachments", "embeds", "mentions", "mention_roles")},
                **dict.fromkeys(("pinned", "mention_everyone", "tts"), False),
            },
        }
        if value is not None:
            event["data"]["values"] = [value]
        self._connection.parse_interaction_create(event)  # type: ignore[arg-type]
        for _turn in range(10):
            await asyncio.sleep(0)


def _event(kind: int, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "1",
        "type": kind,
        "token": "once",
        "version": 1,
        "application_id": "2",
        "attachment_size_limit": 0,
        "user": {"id": "4", "username": "ann", "discriminator": "0", "avatar": None},
        "data": data,
    }


@pytest.mark.parametrize("question", [None, KEY])
@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize(("count", "terse"), [(3, True), (3, False), (9, True), (9, False)])
async def test_what_is_pressed_is_heard_once_as_what_it_stands_for(
    question: str | None, size: int, count: int, terse: bool
) -> None:
    actions = buttons(count, terse=terse, size=size)
    message = render(Reply(plain("?"), actions=actions, typed=plain("type")), voice(), question=question)
    ear, wanted = Ear(), []
    for pressed in (each for row in rows_of(message) for each in row):
        for option in pressed.get("options", [None]):
            await ear.press(message, pressed, option and option["value"])
    by_number = size == 100
    if question is not None or not by_number:
        wanted = [
            (str(number), KEY) if by_number else (button.call.line(), None)
            for number, button in enumerate(actions, start=1)
        ]
    assert ear.heard == [*wanted, *([("?", KEY)] if question else [])]


@given(st.sampled_from(["pick", "#1", "#1 2", "?1"]) | wicked.map(lambda words: Call("find", {"words": words}).line()))
def test_an_id_means_one_thing_only(custom_id: str) -> None:
    fitting = [each for each in CONTROLS if each.__discord_ui_compiled_template__.fullmatch(custom_id)]
    assert len(fitting) == 1


async def test_the_library_keeps_nothing_of_what_was_sent() -> None:
    ear = Ear()
    message = render(Reply(plain("?"), actions=buttons(3), typed=plain("type")), voice(), question=KEY)
    ear._connection.store_view(message.view, 6)
    assert ear._connection._view_store._views == {}
    assert form(blank("find"), custom_id="find").is_finished()


# -- filling in ---------------------------------------------------------------------------------------------------


def blank(path: str, *names: str, language: str = "en", given: dict[str, str] | None = None) -> Blank:
    command = COMMANDS.by_path[path]
    params = tuple(command.params[name] for name in names) or tuple(command.params.values())[:5]
    return Blank(command.about, Call(path, given or {}), params, voice(language))


def check_form(modal: discord.ui.Modal) -> dict[str, Any]:
    """Hold a form against what Discord asks of one."""
    data = modal.to_dict()
    assert list(of_modal(data)) == []
    if SPECIFICATION is not None:
        assert list(SPECIFICATION.of_model("ModalInteractionCallbackRequestData", data)) == []
    assert 1 <= units(data["title"]) <= 45
    for label in data["components"]:
        field = label["component"]
        assert 1 <= units(label["label"]) <= 45
        assert 1 <= units(label["description"]) <= 100
        assert field["required"] is True
        if field["type"] == SELECT:
            assert all(1 <= units(option["label"]) <= 100 for option in field["options"])
        else:
            assert units(field["placeholder"]) <= 100
            assert units(field.get("value") or "") <= 4000
    return data


@pytest.mark.parametrize("language", ["en", "uk", "ru"])
@pytest.mark.parametrize("command", list(COMMANDS), ids=lambda command: command.path)
def test_every_value_of_every_command_can_be_asked_for(command: Command[...], language: str) -> None:
    for name in command.params:
        for typed in ({}, {name: "😀" * 3000}):
            made = form(blank(command.path, name, language=language, given=typed), custom_id=f"?{KEY}")
            (label,) = check_form(made)["components"]
            assert label["component"]["custom_id"] == name


def test_a_form_asks_by_name_and_question_with_an_example_and_what_was_typed() -> None:
    data = check_form(
        form(blank("hours book", "slot", "topic", given={"topic": "asylum\nappeal"}), custom_id="hours book")
    )
    assert data["custom_id"] == "hours book"
    assert data["title"] == "Book an open slot with a mentor."
    slot, topic = data["components"]
    assert (slot["label"], slot["component"]["style"], slot["component"].get("value")) == ("Slot", 1, None)
    assert (topic["label"], topic["component"]["style"]) == ("Topic", 2)
    assert topic["component"]["value"] == "asylum\nappeal"
    assert topic["description"] == COMMANDS.by_path["hours book"].params["topic"].about.msgid
    assert slot["component"]["placeholder"] == "S-07K3FQ9"


def test_a_few_things_are_chosen_from_a_list() -> None:
    data = check_form(form(blank("find", "kind", language="uk", given={"kind": "form"}), custom_id="find"))
    (kind,) = data["components"]
    assert kind["component"]["type"] == SELECT
    assert len(kind["component"]["options"]) == 9
    assert [each["value"] for each in kind["component"]["options"] if each.get("default")] == ["form"]


async def submitted(data: dict[str, Any]) -> dict[str, str]:
    client = discord.Client(intents=discord.Intents(guilds=True))
    return filled(discord.Interaction(data=_event(5, data), state=client._connection))  # type: ignore[arg-type]


def as_sent(components: list[dict[str, Any]], values: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What Discord sends back when somebody fills a form in."""
    for number, label in enumerate(components, start=1):
        field = label["component"]
        value = values[field["custom_id"]]
        answer = {"values": [value] if value else []} if field["type"] == SELECT else {"value": value}
        inner = {"type": field["type"], "id": 2 * number, "custom_id": field["custom_id"], **answer}
        yield {"type": label["type"], "id": 2 * number - 1, "component": inner}


@pytest.mark.parametrize("path", ["hours book", "find", "hours offer"])
async def test_what_is_filled_in_is_read_without_the_form_it_was_filled_into(path: str) -> None:
    components = form(blank(path), custom_id=path).to_dict()["components"]
    names = [label["component"]["custom_id"] for label in components]
    values = {name: f" {name}\nand *more* " for name in names}
    assert await submitted({"custom_id": path, "components": list(as_sent(components, values))}) == values
    values[names[0]] = " "
    values[names[-1]] = ""
    rest = {name: values[name] for name in names[1:-1]}
    assert await submitted({"custom_id": path, "components": list(as_sent(components, values))}) == rest


async def test_rows_of_fields_are_read_as_well() -> None:
    rows = [{"type": 1, "components": [{"type": 4, "custom_id": "topic", "value": "asylum"}]}]
    assert await submitted({"custom_id": "x", "components": rows}) == {"topic": "asylum"}
    assert await submitted({"custom_id": "x", "components": [{"type": 10, "id": 3}]}) == {}


# -- everything that is said --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(transcript.FOLDER.glob("*.txt")), ids=lambda path: path.stem)
async def test_what_the_bots_say_in_every_dialogue_can_be_said_on_discord(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[Reply, Voice]] = []
    on_console = transcript.render

    def overhear(reply: Reply, voice: Voice) -> str:
        heard.append((reply, voice))
        return on_console(reply, voice)

    monkeypatch.setattr(transcript, "render", overhear)
    await transcript.play(path.read_text("utf-8"), tmp_path)  # noqa: ASYNC240 a small file
    assert heard
    for reply, spoken in heard:
        message = render(reply, dressed(spoken), question=KEY)
        body, files = check(message)
        assert len(text_of(message)) <= LONGEST_TEXT
        assert len(files) == sum(isinstance(each, Picture) for each in reply.blocks) + len(reply.files) + (
            reply.page is not None
        ) + ("answer.txt" in files)
        pressed = {each["custom_id"] for _path, each in walk(body["components"]) if "custom_id" in each}
        assert pressed or not reply.actions


async def test_a_file_that_discord_does_not_take_is_left_out_and_said_so() -> None:
    big = File("export.json", "application/json", bytes(LARGEST_FILE + 1))
    message = render(Reply(plain("Here it is."), files=[big]), voice())
    assert message.files == []
    assert "too large for Discord" in text_of(message)


async def test_words_arrive_also_when_their_picture_could_not_be_drawn() -> None:
    chart = Picture(Bars(plain("x"), ((plain("a"), 3),)), alt=plain("a chart"))
    message = render(Reply(plain("long " * 2000), chart), voice(), files=[])
    assert [file.filename for file in message.files] == ["answer.txt"]
    check(message)
