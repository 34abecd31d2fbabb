"""Replies survive the outbox, and say the right thing in every language."""

from datetime import UTC, date, datetime
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings

from commands.core.page import write
from commands.core.reply import Bars, Picture, Quote, Reply, pack, unpack
from commands.core.strings import Catalogues
from commands.core.text import Text, Voice, _, n_
from tests.replies import replies

CATALOGUES = Catalogues.load()
KYIV = ZoneInfo("Europe/Kyiv")


def voice(language: str, prefix: str = "") -> Voice:
    return Voice(CATALOGUES.speak(language), KYIV, prefix)


@given(replies)
def test_a_reply_comes_out_of_the_outbox_as_it_went_in(reply):
    assert unpack(pack(reply)) == reply


def test_a_chart_that_waits_in_the_outbox_since_before_there_were_time_lines_still_opens():
    packed = (
        '["reply",["list",[["picture",["bars",["T","Hours",["map",{}],null,null],["list",[["list",'
        '[["T","Booked",["map",{}],null,null],3]]]]],["T","three booked",["map",{}],null,null],"digest.png"]]],'
        '["list",[]],["list",[]],"digest.html"]'
    )
    bars = Bars(_("Hours"), ((_("Booked"), 3),))
    assert unpack(packed) == Reply(Picture(bars, _("three booked"), "digest.png"), page="digest.html")


@pytest.mark.parametrize(
    ("language", "forms"),
    [
        ("en", {1: "1 day", 2: "2 days", 5: "5 days", 11: "11 days", 21: "21 days", 111: "111 days"}),
        ("uk", {1: "1 день", 2: "2 дні", 5: "5 днів", 11: "11 днів", 21: "21 день", 111: "111 днів"}),
        ("ru", {1: "1 день", 2: "2 дня", 5: "5 дней", 11: "11 дней", 21: "21 день", 111: "111 дней"}),
    ],
)
def test_counts_take_the_plural_form_that_the_language_wants(language, forms):
    assert {n: voice(language).say(n_("{n} day", "{n} days", n)) for n in forms} == forms


def test_a_moment_is_said_in_the_readers_zone_and_names_it():
    at = datetime(2026, 12, 1, 14, 0, tzinfo=UTC)
    assert voice("en").moment(at) == "Tue, Dec 1, 2026, 16:00 (Kyiv)"
    assert "16:00 (Київ)" in voice("uk").moment(at)


@pytest.mark.parametrize("language", ["en", "uk", "ru"])
def test_a_sentence_that_ends_with_a_day_ends_with_one_stop(language):
    said = voice(language).say(_("Last reviewed on {day}.", day=date(2026, 11, 20)))
    assert said.endswith(".")
    assert not said.endswith("..")


def test_an_unknown_sentence_falls_back_to_english():
    assert voice("uk").say(Text("No catalogue has this {x}.", {"x": 1})) == "No catalogue has this 1."


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in {"src", "href"} and value]


def test_a_page_holds_members_words_as_words_and_loads_nothing():
    reply = Reply(
        _("{words}", words="<script>alert(1)</script>"),
        Quote("<img src=x onerror=y>"),
        Picture(Bars(_("{n} hours", n=1), ((Text("a"), 3), (Text("b"), None))), Text("two bars")),
    )
    read = _Reader()
    read.feed(write(reply, voice("en")).decode())
    assert "script" not in read.tags
    assert read.tags.count("img") == 1
    assert all(address.startswith("data:image/png") for address in read.addresses)


@settings(max_examples=25, deadline=None)
@given(replies)
def test_every_reply_makes_a_page(reply):
    assert write(reply, voice("uk")).startswith(b"<!doctype html>")
