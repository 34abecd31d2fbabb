"""Every sentence in every language, and every command within what the platforms allow."""

import re
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter
from zoneinfo import ZoneInfo

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from commands import FEATURES
from commands.core.extract import sentences, template
from commands.core.feature import Command, Commands, Feature
from commands.core.kinds import Unreadable
from commands.core.line import Call, read_values
from commands.core.names import menu, names
from commands.core.strings import LOCALES, Catalogues
from commands.core.text import Text, Voice
from commands.core.when import read_days, read_length, read_moment, read_quiet, read_schedule, read_window

CATALOGUES = Catalogues.load()
COMMANDS = Commands(FEATURES)
PO_FILES = sorted(LOCALES.glob("*.po"))
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
KYIV = ZoneInfo("Europe/Kyiv")

for_every_language = pytest.mark.parametrize("language", CATALOGUES.languages)
for_every_catalogue = pytest.mark.parametrize("path", PO_FILES, ids=lambda path: path.stem)
for_every_command = pytest.mark.parametrize("command", list(COMMANDS), ids=lambda command: command.path)


def catalogue(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.stem)


def forms(message: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return (message,) if isinstance(message, str) else tuple(message)


def places(sentence: str) -> set[str]:
    return {name for _literal, name, _spec, _conversion in Formatter().parse(sentence) if name is not None}


def said(language: str, text: Text) -> str:
    return Voice(CATALOGUES.speak(language), KYIV).say(text)


# Catalogues


def test_ukrainian_and_russian_are_spoken() -> None:
    assert set(CATALOGUES.languages) >= {"en", "uk", "ru"}


@for_every_catalogue
def test_every_sentence_is_translated_and_none_is_a_guess(path: Path) -> None:
    messages = [message for message in catalogue(path) if message.id]
    assert [message.id for message in messages if message.fuzzy or not all(forms(message.string))] == []


@for_every_catalogue
def test_the_catalogue_holds_the_sentences_of_the_code_and_no_others(path: Path) -> None:
    known = {message.id if isinstance(message.id, str) else tuple(message.id) for message in catalogue(path)}
    assert known - {""} == set(sentences()), "run `make strings` and translate what is new"
    assert not catalogue(path).obsolete


@for_every_catalogue
def test_a_translation_has_the_same_places_for_values_in_every_form(path: Path) -> None:
    for message in filter(lambda each: each.id, catalogue(path)):
        wanted = set().union(*map(places, forms(message.id)))
        for form in forms(message.string):
            assert places(form) == wanted, form


@for_every_catalogue
def test_a_sentence_that_counts_has_as_many_forms_as_the_language(path: Path) -> None:
    po = catalogue(path)
    assert po.num_plurals == 3
    for message in filter(lambda each: each.id, po):
        assert len(forms(message.string)) == (1 if isinstance(message.id, str) else po.num_plurals), message.id


@for_every_catalogue
def test_translations_keep_to_their_own_alphabet_and_quotation_marks(path: Path) -> None:
    """A Latin "i" among Cyrillic letters looks right, and no search finds it."""
    mixed = re.compile(r"(?=\w*[a-z])(?=\w*[а-яіїєґё])\w+", re.IGNORECASE)
    foreign = re.compile("[ыэёъ]" if path.stem == "uk" else "[іїєґ]", re.IGNORECASE)
    for message in filter(lambda each: each.id, catalogue(path)):
        for form in forms(message.string):
            assert not mixed.search(re.sub(r"\{\w+\}", " ", form)), form
            assert not foreign.search(form), form
            assert not set(form) & set('“”"'), form
            assert form == form.strip(), form


@pytest.mark.parametrize(
    ("language", "wanted"),
    [
        ("en", {1: 0, 2: 1, 5: 1, 11: 1, 21: 1, 111: 1}),
        ("uk", {0: 2, 1: 0, 2: 1, 5: 2, 11: 2, 12: 2, 21: 0, 22: 1, 111: 2, 112: 2, 121: 0}),
        ("ru", {0: 2, 1: 0, 2: 1, 5: 2, 11: 2, 12: 2, 21: 0, 22: 1, 111: 2, 112: 2, 121: 0}),
    ],
)
def test_a_count_chooses_the_plural_form_that_the_language_wants(language: str, wanted: dict[int, int]) -> None:
    assert {n: CATALOGUES.speak(language).form(n) for n in wanted} == wanted


@pytest.mark.parametrize(("language", "word"), [("en", "English"), ("uk", "українською"), ("ru", "по-русски")])
def test_each_language_names_itself(language: str, word: str) -> None:
    assert word in said(language, Text("From now on I speak English with you."))


@for_every_language
def test_what_we_suggest_to_type_can_be_read(language: str) -> None:
    """Sentences that say "write it like …" must not lie, in any language."""
    readers = {
        "a moment": lambda typed: read_moment(typed, now=NOW, zone=KYIV),
        "the time of day": lambda typed: read_moment(typed, now=NOW, zone=KYIV),
        "a day I": lambda typed: read_days(typed, now=NOW, zone=KYIV),
        "a time window": lambda typed: read_window(typed, now=NOW, zone=KYIV),
        "a length": read_length,
        "a span of hours": read_quiet,
        "as a schedule": read_schedule,
        "schedules are possible": read_schedule,
    }
    read = set()
    for msgid in filter(lambda each: isinstance(each, str) and "“" in each, sentences()):
        fitting = [name for name in readers if name in msgid and re.search("such as|like|as in", msgid)]
        for name in fitting:
            sentence = CATALOGUES.speak(language).one(msgid).replace("“{typed}”", "").replace("«{typed}»", "")
            for example in re.findall("[“«](.+?)[”»]", sentence):
                readers[name](example)
                read.add(name)
    assert read == set(readers)


@for_every_language
@for_every_command
def test_an_example_in_the_readers_own_words_can_be_read(language: str, command: Command[...]) -> None:
    readers = {
        "Tue 16:00-18:00": lambda typed: read_window(typed, now=NOW, zone=KYIV),
        "2026-12-24..2027-01-02": lambda typed: read_days(typed, now=NOW, zone=KYIV),
        "30m": read_length,
        "Mon 09:00": read_schedule,
    }
    for param in command.params.values():
        if param.kind.example in readers:
            readers[param.kind.example](said(language, Text(param.kind.example)))


def test_extraction_finds_the_sentences_of_commands_rules_and_tables() -> None:
    found = set(template()._messages)
    assert {"Which slot?", "These are your own office hours.", "Your roles in the networks."} <= found


def test_extraction_finds_the_names_that_menus_show() -> None:
    found = set(template()._messages)
    assert {"/find", "/hours book", "/me show", "topic:"} <= found
    assert not {"/me", "/book", "sure:"} & found


# Commands, as platforms take them


@for_every_command
def test_a_command_is_named_in_small_latin_letters_and_at_most_three_levels(command: Command[...]) -> None:
    for path in filter(None, (command.path, command.alias)):
        assert 1 <= len(path.split(" ")) <= 3
        assert all(re.fullmatch(r"[a-z]{1,32}", part) for part in path.split(" ")), path
    assert all(re.fullmatch(r"[a-z_]{1,32}", name) for name in command.params)


@for_every_command
def test_a_command_takes_at_most_25_values_the_required_ones_first(command: Command[...]) -> None:
    required = [param.required for param in command.params.values() if param.about is not command.confirm]
    assert len(command.params) <= 25
    assert required == sorted(required, reverse=True)


@for_every_language
@for_every_command
def test_descriptions_fit_into_a_hundred_characters_in_every_language(language: str, command: Command[...]) -> None:
    for text in (command.about, *(param.about for param in command.params.values())):
        if text is not command.confirm:
            assert 1 <= len(said(language, text)) <= 100, said(language, text)


@for_every_language
@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_is_named_within_a_hundred_characters(language: str, feature: Feature) -> None:
    assert 1 <= len(said(language, feature.about)) <= 100


def test_in_a_menu_no_command_hides_another() -> None:
    """There a path either runs or leads to others: what does both stands among them under its alias."""
    shown = menu(COMMANDS)
    assert set(shown.values()) == set(COMMANDS)
    assert all(COMMANDS.by_path[path] is command for path, command in shown.items())
    assert not [(path, other) for path in shown for other in shown if other.startswith(f"{path} ")]


@for_every_catalogue
def test_a_name_in_a_menu_is_translated_as_a_name(path: Path) -> None:
    """A path with as many words, the same first word wherever it stands; one word for a value."""
    groups: dict[str, set[str]] = {}
    for name, _feature in names(COMMANDS):
        translated = CATALOGUES.speak(path.stem).one(name)
        if name.startswith("/"):
            assert re.fullmatch(r"/[^\s/:]+" + r" [^\s/:]+" * name.count(" "), translated), translated
            groups.setdefault(name.split(" ")[0], set()).add(translated.split(" ")[0])
        else:
            assert re.fullmatch(r"[^\s/:]+:", translated), translated
    assert [words for words in groups.values() if len(words) > 1] == []
    assert len(set().union(*groups.values())) == len(groups)


@for_every_command
def test_usage_begins_with_the_path_and_names_every_value(command: Command[...]) -> None:
    usage = command.usage()
    assert usage.split("[")[0].startswith(command.path)
    for name, param in command.params.items():
        if param.about is not command.confirm:
            assert (name.upper() in usage.split()) if param.required else (f"[{name}=]" in usage)


@for_every_command
def test_the_example_of_a_command_can_be_typed(command: Command[...]) -> None:
    line = command.example().line()
    assert line.startswith(command.path)
    call = read_values(command, line.removeprefix(command.path))
    needed = {
        name: param.kind.example
        for name, param in command.params.items()
        if param.required and param.about is not command.confirm
    }
    assert dict(call.given) == needed


@for_every_command
def test_a_call_with_every_value_reads_back_from_its_own_line(command: Command[...]) -> None:
    call = Call(command.path, {name: param.kind.example for name, param in command.params.items()})
    assert read_values(command, call.line().removeprefix(command.path)) == call


def test_unreadable_values_are_told_in_the_readers_language() -> None:
    with pytest.raises(Unreadable) as unreadable:
        read_length("довго")
    assert "«довго»" in said("uk", unreadable.value.text)
    assert "«довго»" in said("ru", unreadable.value.text)
