"""Commands in Discord's menus: every one is there, in everybody's language, and within what Discord takes."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import discord
import jsonschema_rs
import pytest
from discord import app_commands
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.bot import Unfit
from bots.discord.declare import Names, declare, fingerprint, payload, unfit
from commands import FEATURES
from commands.core import Call, Context, Feature, Reply, Text, Words, _, one_of
from commands.core.feature import Command, Commands
from commands.core.line import read_values
from commands.core.names import menu, values
from commands.core.strings import Catalogue, Catalogues

CATALOGUES = Catalogues.load()
COMMANDS = Commands(FEATURES)
MENU = menu(COMMANDS)
SUBCOMMAND, GROUP, STRING, INTEGER = 1, 2, 3, 4

for_every_path = pytest.mark.parametrize("path", MENU)


@dataclass
class Menus:
    """A tree of commands as a gateway's events reach it, and what came out of it."""

    commands: Commands = COMMANDS
    catalogues: Catalogues = CATALOGUES
    heard: list[tuple[Command[...], dict[str, str]]] = field(default_factory=list)
    asked: list[tuple[Command[...], str, str, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tree = app_commands.CommandTree(discord.Client(intents=discord.Intents(guilds=True)))
        for each in declare(self.commands, said=self._said, suggest=self._suggest):
            self.tree.add_command(each)

    async def _said(self, _interaction: discord.Interaction, command: Command[...], given: Mapping[str, str]) -> None:
        self.heard.append((command, dict(given)))

    async def _suggest(
        self, interaction: discord.Interaction, command: Command[...], name: str, typed: str, given: Mapping[str, str]
    ) -> list[app_commands.Choice[str]]:
        self.asked.append((command, name, typed, dict(given)))
        interaction.response._response_type = discord.InteractionResponseType.autocomplete_result
        return []

    async def payload(self) -> list[dict[str, Any]]:
        return await payload(self.tree, Names(self.catalogues))

    async def send(self, path: str, given: Mapping[str, int | str], *, typing: str | None = None) -> None:
        """Let somebody send a command, or type a value of it, as Discord tells it."""
        options: list[dict[str, Any]] = [
            {
                "type": INTEGER if isinstance(value, int) else STRING,
                "name": name,
                "value": value,
                **({"focused": True} if name == typing else {}),
            }
            for name, value in given.items()
        ]
        top, *below = path.split(" ")
        for depth, word in enumerate(reversed(below)):
            options = [{"type": GROUP if depth else SUBCOMMAND, "name": word, "options": options}]
        event = {
            "id": "1",
            "type": 4 if typing else 2,
            "token": "once",
            "version": 1,
            "application_id": "2",
            "attachment_size_limit": 0,
            "user": {"id": "3", "username": "ann", "discriminator": "0", "avatar": None},
            "data": {"id": "4", "type": 1, "name": top, "options": options},
        }
        await self.tree._call(discord.Interaction(data=event, state=self.tree.client._connection))


@pytest.fixture
def menus() -> Menus:
    return Menus()


@pytest.fixture
async def sent(menus: Menus) -> list[dict[str, Any]]:
    return await menus.payload()


def leaves(several: list[dict[str, Any]], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every command that can be sent, by its path."""
    for each in several:
        path = f"{above} {each['name']}".strip()
        below = [option for option in each["options"] if option["type"] in {SUBCOMMAND, GROUP}]
        yield from leaves(below, path) if below else [(path, each)]


def everything(several: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every command, group, value and choice."""
    for each in several:
        yield each
        yield from everything(each.get("options", []))
        yield from everything(each.get("choices", []))


@cache
def options() -> dict[str, list[dict[str, Any]]]:
    return {path: leaf["options"] for path, leaf in leaves(asyncio.run(Menus().payload()))}


def undeclared(commands: Commands, sent: list[dict[str, Any]]) -> set[str]:
    return {command.path for command in commands} - {
        commands.by_path[path].path for path, _leaf in leaves(sent) if path in commands.by_path
    }


def features(*commands: str, about: str = "Only these tests have it.") -> Commands:
    """One feature with commands of these paths, all alike."""
    probe = Feature("probe", Text("Commands that only these tests have"))

    def handler(_ctx: Context, words: Words) -> Reply:
        return Reply(Text(words))

    handler.__doc__ = f"{about}\n\nwords: Any words."
    handler.__annotations__ = {"words": Words}
    for path in commands:
        probe.command(path)(handler)
    return Commands((probe,))


# Every command


async def test_every_command_is_declared_and_nothing_else(sent) -> None:
    assert undeclared(COMMANDS, sent) == set()
    assert {path for path, _leaf in leaves(sent)} == set(MENU)


async def test_a_command_that_is_not_declared_is_noticed(sent) -> None:
    more = Commands((*FEATURES, *features("probe only").features))
    assert undeclared(more, sent) == {"probe only"}
    assert undeclared(more, await Menus(more).payload()) == set()


async def test_one_word_is_a_command_and_more_are_a_group_with_commands(sent) -> None:
    top = {each["name"]: each for each in sent}
    assert set(top) == {path.split(" ")[0] for path in MENU}
    assert [option["type"] for option in top["find"]["options"]] == [STRING] * 5
    assert {option["type"] for option in top["hours"]["options"]} == {SUBCOMMAND}
    assert {"book", "open", "cancel"} <= {option["name"] for option in top["hours"]["options"]}


async def test_a_command_that_is_a_group_too_stands_in_it_under_its_alias(menus, sent) -> None:
    assert MENU["me show"].path == "me"
    await menus.send("me show", {})
    assert menus.heard == [(COMMANDS.by_path["me"], {})]
    assert "book" not in {each["name"] for each in sent}, "other aliases are for those who type"


def test_a_command_that_is_a_group_too_needs_an_alias_there() -> None:
    with pytest.raises(ValueError, match="probe leads to other commands"):
        menu(features("probe", "probe more"))


async def test_three_words_are_a_group_within_a_group() -> None:
    menus = Menus(features("probe far down", "probe far up", "probe near"))
    [top] = await menus.payload()
    far, near = top["options"]
    assert (far["name"], far["type"], near["name"], near["type"]) == ("far", GROUP, "near", SUBCOMMAND)
    assert {(each["name"], each["type"]) for each in far["options"]} == {("down", SUBCOMMAND), ("up", SUBCOMMAND)}
    await menus.send("probe far up", {"words": "so far"})
    assert menus.heard == [(menus.commands.by_path["probe far up"], {"words": "so far"})]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_is_filled_in_is_what_would_be_typed(data) -> None:
    path = data.draw(st.sampled_from(sorted(MENU)))
    command = MENU[path]
    given = {
        param.name: data.draw(
            st.integers(-(2**53), 2**53)
            if option["type"] == INTEGER
            else st.sampled_from([each["value"] for each in option["choices"]])
            if "choices" in option
            else st.text(min_size=1)
        )
        for param, option in zip(values(command), options()[path], strict=True)
        if option["required"] or data.draw(st.booleans())
    }
    menus = Menus()
    asyncio.run(menus.send(path, given))
    call = Call(command.path, {name: str(value) for name, value in given.items()})
    assert menus.heard == [(command, dict(call.given))]
    assert read_values(command, call.line().removeprefix(command.path)) == call


# What a command takes


@for_every_path
def test_a_value_is_declared_as_its_kind_wants_it(path) -> None:
    for param, option in zip(values(MENU[path]), options()[path], strict=True):
        assert option["name"] == param.name
        whole = param.kind.example.isdigit()
        assert (option["type"], option.get("max_length")) in (
            [(INTEGER, None)] if whole else [(STRING, 4000)] if "choices" not in option else [(STRING, None)]
        )
        every = [choice.value for choice in param.kind.choices]
        assert [choice["value"] for choice in option.get("choices", [])] == every
        assert option.get("autocomplete", False) == (param.kind.suggest is not None and not every)


@for_every_path
def test_what_is_needed_is_required_but_prose_has_a_form_of_its_own(path) -> None:
    assert {option["name"] for option in options()[path] if option["required"]} == {
        param.name for param in values(MENU[path]) if param.required and not param.kind.prose
    }


def test_what_is_confirmed_with_a_button_is_no_value() -> None:
    assert "sure" in COMMANDS.by_path["privacy erase"].params
    assert options()["privacy erase"] == []


@pytest.mark.parametrize(("count", "listed"), [(25, True), (26, False)])
async def test_more_choices_than_discord_can_list_are_suggested(count, listed) -> None:
    probe = Feature("probe", Text("Commands that only these tests have"))
    many = one_of(_("a letter"), {f"letter{n}": Text(f"Letter {n}") for n in range(count)})

    def pick(_ctx: Context, letter: Annotated[str, many]) -> Reply:
        """Pick a letter.

        letter: Which letter?
        """
        return Reply(Text(letter))

    pick.__annotations__ = {"letter": Annotated[str, many], "return": Reply}
    probe.command()(pick)
    [[_path, leaf]] = leaves(await Menus(Commands((probe,))).payload())
    assert len(leaf["options"][0].get("choices", [])) == (count if listed else 0)
    assert leaf["options"][0].get("autocomplete", False) is not listed


async def test_who_types_a_value_is_offered_what_fits_to_the_others(menus) -> None:
    await menus.send("hours move", {"booking": "B-7K3F", "slot": "tue"}, typing="slot")
    await menus.send("hours book", {"slot": "", "topic": ""}, typing="slot")
    assert menus.asked == [
        (COMMANDS.by_path["hours move"], "slot", "tue", {"booking": "B-7K3F"}),
        (COMMANDS.by_path["hours book"], "slot", "", {}),
    ]
    assert menus.heard == []


async def test_commands_are_for_everybody_in_guilds_and_in_private_with_the_bot(sent) -> None:
    for command in sent:
        assert (command["contexts"], command["integration_types"]) == ([0, 1], [0])
        assert command["default_member_permissions"] is None


# Languages


@pytest.mark.parametrize("language", ["uk", "ru"])
async def test_every_wording_is_there_in_the_readers_language(sent, language) -> None:
    names_of_languages = {"English", "Русский", "Українська"}
    for each in everything(sent):
        if each["name"] not in names_of_languages:
            assert re.search("[а-яіїєґ]", each["name_localizations"][language]), each["name"]
        if "description" in each:
            assert re.search("[а-яіїєґ]", each["description_localizations"][language]), each["description"]


async def test_what_is_not_translated_is_english(sent) -> None:
    english = await Menus(catalogues=Catalogues({})).payload()
    assert [each["name"] for each in everything(english)] == [each["name"] for each in everything(sent)]
    for each in everything(english):
        assert not each.get("name_localizations")
        assert not each.get("description_localizations")
    assert {locale for each in everything(sent) for locale in each.get("name_localizations", {})} == {"uk", "ru"}


async def test_a_language_that_discord_does_not_have_is_left_out_and_variants_share_one() -> None:
    kept = Catalogues({language: Catalogue(language, {"/find": "/trovi"}) for language in ("ka", "pt", "es")})
    [find] = [each for each in await Menus(catalogues=kept).payload() if each["name"] == "find"]
    assert find["name_localizations"] == dict.fromkeys(("pt-BR", "es-ES", "es-419"), "trovi")


async def test_a_translation_that_is_no_name_is_refused_and_named() -> None:
    kept = Catalogues({"uk": Catalogue("uk", {"/hours book": "/години забронювати час"})})
    with pytest.raises(Unfit, match="/hours book: the name “години забронювати час”"):
        await Menus(catalogues=kept).payload()


# Limits


def value(name: str = "words", **more: Any) -> dict[str, Any]:
    return {"type": STRING, "name": name, "description": "Which words?", "required": False, **more}


def command(*options: dict[str, Any], name: str = "find", **more: Any) -> dict[str, Any]:
    return {"type": 1, "name": name, "description": "Find words.", "options": list(options), **more}


def choice(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "value": name, **more}


def below(*options: dict[str, Any], name: str = "deep", **more: Any) -> dict[str, Any]:
    return command(*options, name=name, **{"type": SUBCOMMAND, **more})


THREE_LEVELS = command(below(below(value()), type=GROUP))


@pytest.mark.parametrize(
    "sent",
    [
        [command()],
        [command(value(required=True), value("more", choices=[choice("a"), choice("b")]))],
        [command(name=name) for name in ("f" * 32, "do-it_now", "ім'я", "ไทย", "日本")],
        [command(name_localizations={"uk": "знайти"}), command(name="ask", name_localizations={"uk": "спитати"})],
        [THREE_LEVELS],
        [command(*(value(f"v{n}") for n in range(25)), name=f"c{n}") for n in range(100)],
        [command(name="f" * 32, description="d" * 100, description_localizations={"ru": "д" * 100})],
        [command(*(value(f"v{n:02}", description="d" * 100, choices=[choice("c" * 100)]) for n in range(25)))],
    ],
)
def test_what_discord_takes_is_fit(sent) -> None:
    assert unfit(sent) == []


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ([command(name="f" * 33)], f"the name “{'f' * 33}” (en) is not 1 to 32 letters, digits, -, _ and '"),
        ([command(name="")], "/: the name “” (en) is not 1 to 32 letters"),
        ([command(name="find it")], "/find it: the name “find it” (en) is not 1 to 32 letters"),
        ([command(name="find!")], "/find!: the name “find!” (en) is not"),
        ([command(name_localizations={"ru": "най ти"})], "/find: the name “най ти” (ru) is not"),
        ([command(value(name_localizations={"uk": ""}))], "/find words: the name “” (uk) is not"),
        ([command(name="Find")], "/Find: the name “Find” (en) is not in lower case"),
        ([command(name_localizations={"ru": "Найти"})], "/find: the name “Найти” (ru) is not in lower case"),
        ([command(name=f"c{n}") for n in range(101)], "there are 101 commands; 100 is the most"),
        ([command(*(value(f"v{n}") for n in range(26)))], "/find: 26 options; 25 is the most"),
        ([command(*(below(name=f"c{n}") for n in range(26)))], "/find: 26 options; 25 is the most"),
        (
            [command(below(below(below(), type=GROUP), type=GROUP))],
            "/find deep deep: leads to level 4; 3 is the deepest",
        ),
        ([command(below(), value())], "/find: takes values, and leads to other commands"),
        ([command(description="")], "/find: the description (en) has 0 characters, not 1 to 100"),
        ([command(below(description="d" * 101))], "/find deep: the description (en) has 101 characters, not 1 to 100"),
        (
            [command(below(value(description_localizations={"uk": "д" * 101})))],
            "/find deep words: the description (uk) has 101 characters, not 1 to 100",
        ),
        ([command(value(choices=[choice(f"c{n}") for n in range(26)]))], "/find words: 26 choices; 25 is the most"),
        (
            [command(value(choices=[choice("a", name_localizations={"ru": "а" * 101})]))],
            "/find words a: the name (ru) has 101 characters, not 1 to 100",
        ),
        (
            [command(value(choices=[choice("a", value="b" * 101)]))],
            f"/find words {'b' * 101}: the value has more than 100 characters",
        ),
        (
            [command(value(), value("more", required=True))],
            "/find: a required value stands behind one that may be left out",
        ),
        (
            [command(value(choices=[choice("a")], autocomplete=True))],
            "/find words: has choices, and offers others while one types",
        ),
        ([command(), command()], "the commands: 2 are called “find” (en)"),
        ([command(value(), value())], "/find: 2 are called “words” (en)"),
        ([command(value(choices=[choice("a"), choice("a", value="b")]))], "/find words: 2 are called “a” (en)"),
        (
            [command(*(below(name=name, name_localizations={"uk": "один"}) for name in "ab"))],
            "/find: 2 are called “один” (uk)",
        ),
        (
            [command(), command(name="ask", name_localizations={"uk": "find"})],
            "the commands: 2 are called “find” (uk)",
        ),
        (
            [command(description_localizations={"ka": "სიტყვები"})],
            "/find: Discord has no language ka, which the description is in",
        ),
        ([command(name_localizations={"en": "find"})], "/find: Discord has no language en, which the name is in"),
        (
            [
                command(
                    *(
                        value(
                            f"v{n:02}",
                            description_localizations={"uk": "д" * 100, "ru": "д" * 99},
                            choices=[choice(letter * 55) for letter in "ab"],
                        )
                        for n in range(25)
                    ),
                    description="d" * 100,
                )
            ],
            "/find: 8179 characters in all; 8000 is the most",
        ),
    ],
)
def test_what_discord_would_refuse_is_told_and_named(sent, sentence) -> None:
    [wrong] = unfit(sent)
    assert sentence in wrong


async def test_commands_that_discord_would_refuse_are_never_sent() -> None:
    with pytest.raises(Unfit, match=r"^/probe wordy: the description \(en\) has 101 characters, not 1 to 100$"):
        await Menus(features("probe wordy", about="a" * 101)).payload()


def test_what_is_sent_keeps_to_our_own_account_of_discords_limits() -> None:
    sent = asyncio.run(Menus().payload())
    assert unfit(sent) == []
    assert unfit([{**sent[0], "description": "d" * 101}])


def test_what_is_sent_keeps_to_discords_own_description(discord_document: Path) -> None:
    api = json.loads(discord_document.read_text("utf-8"))
    request = api["paths"]["/applications/{application_id}/commands"]["put"]
    assert request["operationId"] == "bulk_set_application_commands"
    schema = {**request["requestBody"]["content"]["application/json"]["schema"], "components": api["components"]}
    sent = asyncio.run(Menus().payload())
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert [error.message for error in validator.iter_errors(sent)] == []
    assert not validator.is_valid([{**sent[0], "description": "d" * 101}])


# Fingerprint


PRINT = """
import asyncio

from tests.test_declare_discord import Menus, fingerprint

print(fingerprint(asyncio.run(Menus().payload()), "an application"))
"""


def test_every_process_finds_the_same_fingerprint() -> None:
    own = fingerprint(asyncio.run(Menus().payload()), "an application")
    for seed in ("1", "2"):
        other = subprocess.run(
            [sys.executable, "-c", PRINT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        )
        assert other.stdout.strip() == own


async def test_the_fingerprint_changes_with_a_translation_an_option_and_the_other_words(sent) -> None:
    marks = [
        fingerprint(sent),
        fingerprint(sent, "an application"),
        fingerprint(sent, "another"),
        fingerprint(sent[1:]),
        fingerprint(await Menus(catalogues=Catalogues({})).payload()),
        fingerprint(await Menus(catalogues=Catalogues({"uk": Catalogue("uk", {"/find": "/знайти"})})).payload()),
        fingerprint(await Menus(catalogues=Catalogues({"uk": Catalogue("uk", {"/find": "/шукати"})})).payload()),
    ]
    assert len(set(marks)) == len(marks)
