"""The loopback Discord holds programs to Discord's rules: two libraries pass, and what is wrong is refused."""

import asyncio
import contextlib
import importlib.util
import io
import json
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import discord
import hikari
import pytest
from discord import app_commands, ui

from tests.fakes.loopback_discord import (
    Callback,
    Impossible,
    Intent,
    LoopbackDiscord,
    NoAnswer,
    Permission,
    RemoteDiscord,
    discord_py_at,
    discord_py_speaks_to,
)

EPHEMERAL, V2 = 1 << 6, 1 << 15


# -- a bot as discord.py makes them


class Topic(ui.Modal, title="Your topic"):
    words = ui.Label(
        text="Topic", description="In a few words", component=ui.TextInput(custom_id="words", max_length=50)
    )
    kind = ui.Label(
        text="Kind",
        component=ui.Select(
            custom_id="kind",
            options=[discord.SelectOption(label="Advice", value="a"), discord.SelectOption(label="Review", value="r")],
        ),
    )

    async def on_submit(self, interaction: discord.Interaction) -> None:
        words, kind = self.words.component, self.kind.component
        assert isinstance(words, ui.TextInput)
        assert isinstance(kind, ui.Select)
        await interaction.response.send_message(f"{words.value} ({kind.values[0]})", ephemeral=True)


class Everything(ui.Modal, title="Everything"):
    def __init__(self) -> None:
        super().__init__()
        yes_no = ("yes", "no")
        self.people: ui.UserSelect[Any] = ui.UserSelect(custom_id="people", max_values=2, required=True)
        self.papers: ui.FileUpload[Any] = ui.FileUpload(custom_id="papers", max_values=2, required=False)
        self.one: ui.RadioGroup[Any] = ui.RadioGroup(
            custom_id="one", options=[discord.RadioGroupOption(label=each) for each in yes_no]
        )
        self.some: ui.CheckboxGroup[Any] = ui.CheckboxGroup(
            custom_id="some", options=[discord.CheckboxGroupOption(label=each) for each in yes_no], max_values=2
        )
        self.add_item(ui.TextDisplay("Read this first"))
        for each in (self.people, self.papers, self.one, self.some):
            self.add_item(ui.Label(text=each.custom_id.title(), component=each))

    async def on_submit(self, interaction: discord.Interaction) -> None:
        names = [each.name for each in self.people.values]
        papers = [(await each.read()).decode() for each in self.papers.values]
        await interaction.response.send_message(f"{names} {papers} {self.one.value} {self.some.values}")


class Slots(ui.View):
    @ui.button(label="Book", custom_id="book", style=discord.ButtonStyle.primary)
    async def book(self, interaction: discord.Interaction, _button: ui.Button) -> None:
        await interaction.response.edit_message(content="booked", view=None)

    @ui.select(
        custom_id="day",
        placeholder="Day",
        options=[discord.SelectOption(label="Mon"), discord.SelectOption(label="Tue")],
    )
    async def day(self, interaction: discord.Interaction, menu: ui.Select) -> None:
        await interaction.response.defer()
        await interaction.edit_original_response(content=f"{menu.values[0]} it is")

    @ui.button(label="Write", custom_id="write")
    async def write(self, interaction: discord.Interaction, _button: ui.Button) -> None:
        await interaction.response.send_modal(Topic())


class Page(ui.LayoutView):
    def __init__(self) -> None:
        super().__init__()
        self.add_item(
            ui.Container(
                ui.TextDisplay("# A digest"),
                ui.Section("two cases", accessory=ui.Thumbnail("attachment://chart.png")),
                ui.Separator(),
                ui.MediaGallery(discord.MediaGalleryItem("attachment://chart.png", description="a chart")),
                ui.File("attachment://digest.html"),
                ui.ActionRow(ui.Button(label="More", custom_id="more")),
                accent_color=0x336699,
            )
        )


class Bot(discord.Client):
    def __init__(self, **options: Any) -> None:
        intents = options.pop("intents", discord.Intents(guilds=True))
        super().__init__(intents=intents, max_messages=None, guild_ready_timeout=0.02, **options)
        self.tree = app_commands.CommandTree(self)
        self.tree.add_command(self._hours())

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Identify at once."""

    async def setup_hook(self) -> None:
        await self.tree.sync()

    def _hours(self) -> app_commands.Group:
        hours = app_commands.Group(name="hours", description="Office hours")

        @hours.command(description="Book a slot")
        @app_commands.describe(slot="Which slot?", mentor="With whom?")
        async def book(interaction: discord.Interaction, slot: str, mentor: discord.Member | None = None) -> None:
            await interaction.response.defer(ephemeral=True)
            await interaction.followup.send(f"{slot} with {mentor and mentor.name}", view=Slots())
            await interaction.followup.send("and a word more", ephemeral=True)

        @book.autocomplete("slot")
        async def slots(_interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
            return [app_commands.Choice(name=f"{typed}-{number}", value=str(number)) for number in range(3)]

        @hours.command(description="A digest")
        async def digest(interaction: discord.Interaction) -> None:
            chart, page = io.BytesIO(b"a chart"), io.BytesIO(b"<p>" * 600_000)
            files = [discord.File(chart, "chart.png", description="a chart"), discord.File(page, "digest.html")]
            await interaction.response.send_message(view=Page(), files=files)
            person = await self.fetch_user(interaction.user.id)
            embed = discord.Embed(title="Sent", description="to you", color=1).add_field(name="cases", value="2")
            sent = await person.send("a copy", embed=embed, file=discord.File(io.BytesIO(b"copy"), "copy.txt"))
            await sent.edit(content="a better copy")
            assert [each.id async for each in sent.channel.history(limit=1)] == [sent.id]

        @hours.command(description="A long form")
        async def form(interaction: discord.Interaction) -> None:
            await interaction.response.send_modal(Everything())

        @hours.command(description="Choose people")
        async def people(interaction: discord.Interaction) -> None:
            menu: ui.UserSelect[ui.View] = ui.UserSelect(custom_id="people", max_values=2)

            async def chosen(interaction: discord.Interaction) -> None:
                names = sorted(each.name for each in menu.values)
                await interaction.response.edit_message(content=f"{names}", view=None)

            menu.callback = chosen  # type: ignore[method-assign]
            await interaction.response.send_message("Who?", view=ui.View().add_item(menu), ephemeral=True)

        @hours.command(description="Echo a file")
        async def file(interaction: discord.Interaction, paper: discord.Attachment) -> None:
            await interaction.response.send_message((await paper.read()).decode(), ephemeral=True)

        return hours


@contextlib.asynccontextmanager
async def running(
    where: LoopbackDiscord | contextlib.AbstractContextManager[None], token: str, **options: Any
) -> AsyncIterator[Bot]:
    with discord_py_speaks_to(where) if isinstance(where, LoopbackDiscord) else where:
        async with Bot(**options) as bot:
            task = asyncio.create_task(bot.start(token))
            ready = asyncio.create_task(bot.wait_until_ready())
            try:
                await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED, timeout=10)
                assert not task.done(), task.exception()
                yield bot
            finally:
                ready.cancel()
                await bot.close()
                with contextlib.suppress(Exception, asyncio.CancelledError):
                    await task


def without_zstd() -> Any:
    """How discord.py reads the gateway where zstandard is not installed: its own code."""
    spec = importlib.util.spec_from_file_location("discord.utils_without_zstd", discord.utils.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    kept = sys.modules.get("zstandard")
    sys.modules["zstandard"] = None  # type: ignore[assignment]
    try:
        spec.loader.exec_module(module)
    finally:
        if kept is not None:
            sys.modules["zstandard"] = kept
        else:
            del sys.modules["zstandard"]
    return module._ActiveDecompressionContext


# -- a program that says what the test wants, and nothing else


class Bare:
    """Speaks HTTP for one application."""

    def __init__(self, world: LoopbackDiscord, http: aiohttp.ClientSession, application: Any) -> None:
        self.world = world
        self.http = http
        self.application = application

    async def call(
        self, method: str, path: str, body: Any = None, files: dict[str, bytes] | None = None, token: str | None = None
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bot {token or self.application.token}"}
        content: Any = {"json": body} if body is not None else {}
        if files:
            form = aiohttp.FormData()
            form.add_field("payload_json", json.dumps(body), content_type="application/json")
            for index, (name, raw) in enumerate(files.items()):
                form.add_field(f"files[{index}]", raw, filename=name, content_type="application/octet-stream")
            content = {"data": form}
        async with self.http.request(method, self.world.api + path, headers=headers, **content) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None

    async def declare(self, *commands: dict[str, Any], guild: Any = None) -> tuple[int, Any]:
        scope = f"/guilds/{guild.id}" if guild else ""
        return await self.call("PUT", f"/applications/{self.application.id}{scope}/commands", list(commands))

    async def respond(self, asked: Any, kind: int, data: Any = None, files: Any = None) -> tuple[int, Any]:
        body = {"type": kind} | ({"data": data} if data is not None else {})
        path = f"/interactions/{asked.id}/{asked.token}/callback?with_response=1"
        return await self.call("POST", path, body, files)

    async def webhook(self, asked: Any, method: str, tail: str = "", body: Any = None) -> tuple[int, Any]:
        return await self.call(method, f"/webhooks/{self.application.id}/{asked.token}{tail}", body)


@dataclass
class Place:
    """A guild with one application, a member, and a bare program behind the application."""

    world: LoopbackDiscord
    uj: Any
    guild: Any
    general: Any
    ann: Any
    bare: Bare

    async def asked(self) -> Any:
        """Somebody used a command that nobody has answered yet."""
        await self.bare.declare(PING)
        return await self.ann.types(self.general, "ping")


PING = {"name": "ping", "description": "Answer"}


class Clock:
    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


@contextlib.asynccontextmanager
async def furnished(**options: Any) -> AsyncIterator[Place]:
    async with LoopbackDiscord(**options) as world, aiohttp.ClientSession() as http:
        uj = world.application("uj")
        guild = world.guild("Hub", uj)
        ann = world.person("ann")
        ann.joins(guild)
        yield Place(world, uj, guild, guild.channel("general"), ann, Bare(world, http, uj))


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with furnished() as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def timed(clock: Clock) -> AsyncIterator[Place]:
    async with furnished(now=clock) as made:
        yield made


# -- whole libraries


@pytest.mark.parametrize("compression", ["zlib-stream", "zstd-stream"])
async def test_a_bot_of_discord_py_breaks_no_rule(place, compression, monkeypatch):
    if compression == "zlib-stream":
        monkeypatch.setattr(discord.utils, "_ActiveDecompressionContext", without_zstd())
    assert compression == discord.utils._ActiveDecompressionContext.COMPRESSION_TYPE
    world, ann, general = place.world, place.ann, place.general
    bob = world.person("bob", locale="uk")
    bob.joins(place.guild)
    async with running(world, place.uj.token):
        choices = await ann.suggestions(general, "hours book", "slot", "tue")
        assert [(each.name, each.value) for each in choices] == [("tue-0", "0"), ("tue-1", "1"), ("tue-2", "2")]

        asked = await ann.types(general, "hours book", slot="1", mentor=bob)
        slots = await asked.message()
        assert (slots.text, slots.ephemeral) == ("1 with bob", True)
        assert await ann.reads(general, lambda message: "a word more" in message.text)
        assert bob.sees(general) == []

        form = await (await ann.presses(slots, "Write")).form()
        assert [each.label for each in form.fields] == ["Topic", "Kind"]
        done = await ann.submits(form, {"Topic": "a visa", "kind": "Review"})
        assert (await done.message()).text == "a visa (r)"
        assert (await (await ann.chooses(slots, "Tue")).message()).text == "Tue it is"
        assert (await (await ann.presses(slots, "Book")).message()).text == "booked"
        assert slots.buttons == []

        page = await (await bob.types(general, "hours digest")).message()
        assert page.text == "# A digest\ntwo cases"
        assert page.files == {"chart.png": b"a chart", "digest.html": b"<p>" * 600_000}
        copy = await bob.reads(bob.dm_with(place.uj), lambda message: message.edits == 1)
        assert copy.text == "a better copy\nSent\nto you\ncases: 2"
        assert copy.files == {"copy.txt": b"copy"}
        assert ann.sees(bob.dm_with(place.uj)) == []

        echoed = await ann.types(ann.dm_with(place.uj), "hours file", paper=("a.txt", b"what it says"))
        assert (await echoed.message()).text == "what it says"
    world.assert_lawful()


async def test_forms_and_menus_of_every_kind_reach_discord_py(place):
    ann, general = place.ann, place.general
    bob = place.world.person("bob")
    bob.joins(place.guild)
    async with running(place.world, place.uj.token):
        form = await (await ann.types(general, "hours form")).form()
        assert (form.text, [each.label for each in form.fields]) == (
            "Read this first",
            ["People", "Papers", "One", "Some"],
        )
        for lacking in ("People", "One", "Some"):
            values = {"People": bob, "One": "yes", "Some": ["no"]}
            del values[lacking]
            with pytest.raises(Impossible):
                await ann.submits(form, values)
        values = {"People": [bob, ann], "Papers": ("a.txt", b"paper"), "One": "no", "Some": ["yes", "no"]}
        done = await ann.submits(form, values)
        assert (await done.message()).text == "['bob', 'ann'] ['paper'] no ['yes', 'no']"

        asked = await (await ann.types(general, "hours people")).message()
        with pytest.raises(Impossible, match="1 to 2 values"):
            await ann.chooses(asked)
        assert (await (await ann.chooses(asked, ann, bob)).message()).text == "['ann', 'bob']"
    place.world.assert_lawful()


async def test_a_bot_of_hikari_breaks_no_rule(place):
    world, ann = place.world, place.ann
    bot = hikari.GatewayBot(
        place.uj.token,
        rest_url=world.api,
        banner=None,
        logs=None,
        intents=hikari.Intents.GUILDS,
        auto_chunk_members=False,
    )

    @bot.listen()
    async def answer(event: hikari.InteractionCreateEvent) -> None:
        interaction = event.interaction
        if isinstance(interaction, hikari.CommandInteraction):
            row = bot.rest.build_message_action_row()
            row.add_interactive_button(hikari.ButtonStyle.PRIMARY, "again", label="Again")
            await interaction.create_initial_response(hikari.ResponseType.DEFERRED_MESSAGE_CREATE)
            await interaction.edit_initial_response(f"pong {interaction.options[0].value}", component=row)
        elif isinstance(interaction, hikari.ComponentInteraction):
            await interaction.create_initial_response(hikari.ResponseType.MESSAGE_UPDATE, "again", components=[])
            await interaction.execute("and a file", attachment=hikari.Bytes(b"a file", "a.txt"), flags=EPHEMERAL)

    await bot.start(check_for_updates=False)
    try:
        command = bot.rest.slash_command_builder("ping", "Answer")
        command.add_option(hikari.CommandOption(type=hikari.OptionType.STRING, name="word", description="Which?"))
        await bot.rest.set_application_commands(int(place.uj.id), [command])
        asked = await ann.types(place.general, "ping", word="x")
        message = await asked.message()
        assert message.text == "pong x"
        pressed = await ann.presses(message, "Again")
        assert (await pressed.message()).text == "again"
        more = await ann.reads(place.general, lambda each: each.text == "and a file")
        assert more.files == {"a.txt": b"a file"}
        assert more.ephemeral
        channel = await bot.rest.create_dm_channel(int(ann.id))
        await channel.send("hello")
        assert (await ann.reads(ann.dm_with(place.uj))).text == "hello"
    finally:
        await bot.close()
    world.assert_lawful()


async def test_three_applications_have_commands_and_sessions_of_their_own(place):
    world, ann = place.world, place.ann
    climate = world.application("climate")
    place.guild.install(climate)
    async with running(world, place.uj.token), running(world, climate.token):
        with pytest.raises(Impossible, match="say whose"):
            await ann.types(place.general, "hours book", slot="1")
        for application in (place.uj, climate):
            asked = await ann.types(place.general, "hours book", slot="1", application=application)
            assert (await asked.message()).author == application.id
        assert (await (await ann.types(ann.dm_with(climate), "hours digest")).message()).author == climate.id
    world.assert_lawful()


async def test_the_server_runs_in_another_process_and_takes_orders():
    async with RemoteDiscord(applications=["uj"], people={"ann": "uk"}) as remote:
        application = remote.at["applications"]["uj"]
        base = discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
        async with running(discord_py_at(remote.at["api"], remote.at["gateway"]), application["token"]):
            order = {"person": "ann", "line": "hours book", "given": {"slot": "1"}, "times": 20, "at_once": 5}
            told = await remote.ask("types", **order)
        assert (len(told["seconds"]), told["failed"]) == (20, 0)
        assert await remote.ask("violations") == {"violations": [], "unknown_routes": []}
        assert base == (discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY)


# -- the rules for what is sent


def row(*components: dict[str, Any]) -> dict[str, Any]:
    return {"type": 1, "components": list(components)}


def button(name: str = "a", **more: Any) -> dict[str, Any]:
    return {"type": 2, "style": 1, "label": "A", "custom_id": name} | more


def menu(count: int = 2, **more: Any) -> dict[str, Any]:
    listed = [{"label": f"label {each}", "value": str(each)} for each in range(count)]
    return {"type": 3, "custom_id": "menu", "options": listed} | more


def text(content: str = "words") -> dict[str, Any]:
    return {"type": 10, "content": content}


def v2(*components: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"flags": V2, "components": list(components)} | more


MESSAGES: dict[str, tuple[Any, str]] = {
    "content is too long": ({"content": "x" * 2001}, "content"),
    "too many embeds": ({"embeds": [{"title": "x"}] * 11}, "embeds"),
    "embed title": ({"embeds": [{"title": "x" * 257}]}, "embeds/0/title"),
    "embed description": ({"embeds": [{"description": "x" * 4097}]}, "embeds/0/description"),
    "embed footer": ({"embeds": [{"title": "x", "footer": {"text": "x" * 2049}}]}, "embeds/0/footer/text"),
    "embed author": ({"embeds": [{"title": "x", "author": {"name": "x" * 257}}]}, "embeds/0/author/name"),
    "26 fields": ({"embeds": [{"fields": [{"name": "x", "value": "x"}] * 26}]}, "embeds/0/fields"),
    "empty field": ({"embeds": [{"fields": [{"name": "x", "value": ""}]}]}, "embeds/0/fields/0/value"),
    "field value": ({"embeds": [{"fields": [{"name": "x", "value": "x" * 1025}]}]}, "embeds/0/fields/0/value"),
    "6001 in all embeds": ({"embeds": [{"description": "x" * 3000}, {"description": "x" * 3001}]}, "embeds"),
    "six rows": ({"components": [row(button(str(each))) for each in range(6)]}, "components"),
    "six buttons": ({"components": [row(*(button(str(each)) for each in range(6)))]}, "components/0/components"),
    "empty row": ({"components": [row()]}, "components/0/components"),
    "menu beside a button": ({"components": [row(menu(), button())]}, "components/0/components"),
    "26 options": ({"components": [row(menu(26))]}, "components/0/components/0/options"),
    "option label": (
        {"components": [row(menu(1, options=[{"label": "x" * 101, "value": "x"}]))]},
        "components/0/components/0/options/0/label",
    ),
    "option value": (
        {"components": [row(menu(1, options=[{"label": "x", "value": "x" * 101}]))]},
        "components/0/components/0/options/0/value",
    ),
    "option description": (
        {"components": [row(menu(1, options=[{"label": "x", "value": "x", "description": "x" * 101}]))]},
        "components/0/components/0/options/0/description",
    ),
    "one value twice": (
        {"components": [row(menu(1, options=[{"label": "x", "value": "x"}, {"label": "y", "value": "x"}]))]},
        "components/0/components/0/options",
    ),
    "more than there is": ({"components": [row(menu(2, max_values=3))]}, "components/0/components/0/max_values"),
    "placeholder": ({"components": [row(menu(placeholder="x" * 151))]}, "components/0/components/0/placeholder"),
    "button label": ({"components": [row(button(label="x" * 81))]}, "components/0/components/0/label"),
    "button without a face": ({"components": [row(button(label=None))]}, "components/0/components/0"),
    "button with two targets": ({"components": [row(button(url="https://x.org"))]}, "components/0/components/0"),
    "link without a url": ({"components": [row(button(style=5))]}, "components/0/components/0"),
    "long custom id": ({"components": [row(button("x" * 101))]}, "components/0/components/0/custom_id"),
    "empty custom id": ({"components": [row(button(""))]}, "components/0/components/0/custom_id"),
    "one custom id twice": ({"components": [row(button("x"), button("x"))]}, "components"),
    "v2 without its flag": ({"components": [text()]}, "components/0/type"),
    "v2 with content": (v2(text(), content="x"), "content"),
    "v2 with embeds": (v2(text(), embeds=[{"title": "x"}]), "embeds"),
    "41 components": (v2({"type": 17, "components": [text() for _ in range(40)]}), "components"),
    "4001 characters": (v2(text("x" * 2000), text("x" * 2001)), "components"),
    "bare button in v2": (v2(button()), "components/0/type"),
    "container in a container": (
        v2({"type": 17, "components": [{"type": 17, "components": [text()]}]}),
        "components/0/components",
    ),
    "section without accessory": (v2({"type": 9, "components": [text()]}), "components/0/accessory"),
    "section of four": (
        v2({"type": 9, "components": [text()] * 4, "accessory": button()}),
        "components/0/components",
    ),
    "file that is not there": (v2({"type": 13, "file": {"url": "attachment://a.txt"}}), "components/0/file/url"),
    "file from elsewhere": (v2({"type": 13, "file": {"url": "https://x.org/a"}}), "components/0/file/url"),
    "picture that is not there": (
        v2({"type": 12, "items": [{"media": {"url": "attachment://a.png"}}]}),
        "components/0/items/0/media/url",
    ),
    "embedded picture that is not there": (
        {"embeds": [{"title": "x", "image": {"url": "attachment://a.png"}}]},
        "embeds/0/image/url",
    ),
    "file that was not sent": ({"content": "x", "attachments": [{"id": 0, "filename": "a"}]}, "attachments/0/id"),
    "ephemeral in a channel": ({"content": "x", "flags": EPHEMERAL}, "flags"),
    "thinking": ({"content": "x", "flags": 1 << 7}, "flags"),
    "nonce to be enforced": ({"content": "x", "enforce_nonce": True}, "nonce"),
    "answer to nothing": ({"content": "x", "message_reference": {"message_id": "1"}}, "message_reference"),
}


@pytest.mark.parametrize(("body", "path"), MESSAGES.values(), ids=MESSAGES)
async def test_a_message_that_discord_refuses_is_refused(body, path):
    async with furnished(specification=False) as place:
        status, answer = await place.bare.call("POST", f"/channels/{place.general.id}/messages", body)
        assert (status, answer["code"]) == (400, 50035)
        assert path in {each.where for each in place.world.violations}
        node = answer["errors"]
        for key in path.split("/"):
            node = node[key]
        assert node["_errors"]
        assert place.ann.sees(place.general) == []


LARGEST: dict[str, Any] = {
    "content": {"content": "x" * 2000},
    "embeds": {"embeds": [{"description": "x" * 3000}, {"description": "x" * 3000}]},
    "rows": {"components": [row(*(button(f"{line} {each}") for each in range(5))) for line in range(5)]},
    "menu": {"components": [row(menu(25, min_values=0, max_values=25))]},
    "v2": v2({"type": 17, "components": [text("x" * 100) for _ in range(39)]}),
    "v2 text": v2(text("x" * 2000), text("y" * 2000)),
    "link": {"components": [row({"type": 2, "style": 5, "label": "x", "url": "https://x.org"})]},
}


@pytest.mark.parametrize("body", LARGEST.values(), ids=LARGEST)
async def test_a_message_at_the_limit_is_sent(place, body):
    status, answer = await place.bare.call("POST", f"/channels/{place.general.id}/messages", body)
    assert status == 200, answer
    place.world.assert_lawful()


@pytest.mark.parametrize(
    ("files", "body"),
    [
        ({f"{each}.txt": b"x" for each in range(11)}, {}),
        ({"with space.txt": b"x"}, {}),
        ({"протокол.txt": b"x"}, {}),
        ({"a.txt": b"x"}, {"attachments": [{"id": 0, "description": "x" * 1025}]}),
        ({"a.txt": b"x"}, {"attachments": [{"id": 1}]}),
        ({"a.txt": b"x"}, v2({"type": 13, "file": {"url": "attachment://b.txt"}})),
    ],
    ids=["eleven", "space", "other letters", "description", "another", "another name"],
)
async def test_files_that_discord_would_not_take_are_refused(place, files, body):
    status, answer = await place.bare.call("POST", f"/channels/{place.general.id}/messages", body, files)
    assert (status, answer["code"]) == (400, 50035)
    assert place.world.violations


async def test_files_are_kept_and_can_be_fetched_and_edited_away(place):
    path = f"/channels/{place.general.id}/messages"
    told = {"content": "x", "attachments": [{"id": 0, "filename": "named.txt", "description": "a paper"}, {"id": "1"}]}
    _, sent = await place.bare.call("POST", path, told, {"a.txt": b"one", "b.txt": b"two"})
    assert [(each["filename"], each.get("description")) for each in sent["attachments"]] == [
        ("named.txt", "a paper"),
        ("b.txt", None),
    ]
    async with place.bare.http.get(sent["attachments"][0]["url"]) as fetched:
        assert await fetched.read() == b"one"
    kept = {"attachments": [{"id": sent["attachments"][1]["id"]}]}
    _, edited = await place.bare.call("PATCH", f"{path}/{sent['id']}", kept)
    assert [each["filename"] for each in edited["attachments"]] == ["b.txt"]
    place.world.assert_lawful()


async def test_a_file_that_is_too_large_is_refused():
    async with furnished(attachment_limit=10) as place:
        path = f"/channels/{place.general.id}/messages"
        status, answer = await place.bare.call("POST", path, {}, {"a.txt": b"x" * 11})
        assert (status, answer["code"]) == (413, 40005)


async def test_an_empty_message_is_refused(place):
    status, answer = await place.bare.call("POST", f"/channels/{place.general.id}/messages", {"content": ""})
    assert (status, answer["code"]) == (400, 50006)


async def test_a_message_of_components_stays_one(place):
    path = f"/channels/{place.general.id}/messages"
    _, sent = await place.bare.call("POST", path, v2(text("one")))
    assert (await place.bare.call("PATCH", f"{path}/{sent['id']}", {"content": "x"}))[0] == 400
    status, edited = await place.bare.call("PATCH", f"{path}/{sent['id']}", {"components": [text("two")]})
    assert (status, edited["components"][0]["content"], edited["flags"] & V2) == (200, "two", V2)


def option(name: str = "word", kind: int = 3, **more: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "description": "Which?"} | more


def command(*options: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "ping", "description": "Answer", "options": list(options)} | more


COMMANDS: dict[str, tuple[list[Any], str]] = {
    "upper case": ([command(name="Ping")], "0/name"),
    "space": ([command(name="a b")], "0/name"),
    "33 letters": ([command(name="x" * 33)], "0/name"),
    "localised upper case": ([command(name_localizations={"uk": "Пінг"})], "0/name_localizations/uk"),
    "no such locale": ([command(name_localizations={"ka": "x"})], "0/name_localizations"),
    "no such locale for a description": (
        [command(description_localizations={"en": "x"})],
        "0/description_localizations",
    ),
    "no description": ([command(description="")], "0/description"),
    "long description": ([command(description="x" * 101)], "0/description"),
    "26 options": ([command(*(option(f"o{each}") for each in range(26)))], "0/options"),
    "option in upper case": ([command(option("Word"))], "0/options/0/name"),
    "one option twice": ([command(option(), option())], "0/options"),
    "required after optional": ([command(option("a"), option("b", required=True))], "0/options/1"),
    "choices and autocomplete": (
        [command(option(autocomplete=True, choices=[{"name": "x", "value": "x"}]))],
        "0/options/0",
    ),
    "choices of a truth": ([command(option(kind=5, choices=[{"name": "x", "value": "x"}]))], "0/options/0"),
    "26 choices": (
        [command(option(choices=[{"name": str(each), "value": str(each)} for each in range(26)]))],
        "0/options/0/choices",
    ),
    "long choice": ([command(option(choices=[{"name": "x", "value": "x" * 101}]))], "0/options/0/choices/0/value"),
    "text for a number": (
        [command(option(kind=4, choices=[{"name": "x", "value": "x"}]))],
        "0/options/0/choices/0/value",
    ),
    "a group in a group": (
        [command(option("a", 2, options=[option("b", 2, options=[option("c", 1)])]))],
        "0/options/0",
    ),
    "a subcommand in a subcommand": ([command(option("a", 1, options=[option("b", 1)]))], "0/options/0"),
    "an empty group": ([command(option("a", 2))], "0/options/0"),
    "subcommands and options": ([command(option("a", 1), option("b"))], "0/options"),
    "one command twice": ([command(), command()], ""),
    "101 commands": ([command(name=f"c{each}") for each in range(101)], ""),
    "8001 characters": (
        [
            command(
                *(
                    option(
                        f"o{each}",
                        description_localizations={"uk": "ї" * 100, "ru": "я" * 50},
                        choices=[{"name": f"{'x' * 98}{number}", "value": "y" * 100} for number in range(2)],
                    )
                    for each in range(16)
                )
            )
        ],
        "0",
    ),
    "length of a number": ([command(option(kind=4, max_length=4))], "0/options/0"),
    "menu with a description": ([{"type": 2, "name": "Look up", "description": "x"}], "0"),
}


@pytest.mark.parametrize(("listed", "path"), COMMANDS.values(), ids=COMMANDS)
async def test_a_command_that_discord_refuses_is_refused(listed, path):
    async with furnished(specification=False) as place:
        status, answer = await place.bare.declare(*listed)
        assert (status, answer["code"]) == (400, 50035)
        assert path in {each.where for each in place.world.violations}
        assert place.ann.commands(place.general) == []


async def test_the_largest_command_is_taken(place):
    many = [command(option(choices=[{"name": str(each), "value": str(each)} for each in range(25)]), name="many")]
    many += [command(name=f"c{each}") for each in range(98)]
    deep = command(
        option("b", 2, options=[option("c", 1, options=[option(f"o{each}") for each in range(25)])]), name="a"
    )
    status, answer = await place.bare.declare(*many, deep)
    assert status == 200, answer
    assert len(place.ann.commands(place.general)) == 100
    place.world.assert_lawful()


def label(component: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": 18, "label": "Words", "component": component or field()} | more


def field(name: str = "words", **more: Any) -> dict[str, Any]:
    return {"type": 4, "custom_id": name, "style": 1} | more


def modal(*components: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"custom_id": "form", "title": "Form", "components": list(components) or [label()]} | more


MODALS: dict[str, tuple[Any, str]] = {
    "title": (modal(title="x" * 46), "data/title"),
    "custom id": (modal(custom_id="x" * 101), "data/custom_id"),
    "empty": (modal(components=[]), "data/components"),
    "six": (modal(*(label(field(str(each))) for each in range(6))), "data/components"),
    "label": (modal(label(label="x" * 46)), "data/components/0/label"),
    "description": (modal(label(description="x" * 101)), "data/components/0/description"),
    "value": (modal(label(field(value="x" * 4001))), "data/components/0/component/value"),
    "more than its own limit": (modal(label(field(value="xx", max_length=1))), "data/components/0/component/value"),
    "placeholder": (modal(label(field(placeholder="x" * 101))), "data/components/0/component/placeholder"),
    "label twice": (modal(label(field(label="x"))), "data/components/0/component/label"),
    "min over max": (modal(label(field(min_length=3, max_length=2))), "data/components/0/component/min_length"),
    "one custom id twice": (modal(label(field("x")), label(field("x"))), "components"),
    "button": (modal(row(button())), "data/components/0/components"),
    "disabled menu": (modal(label(menu(disabled=True))), "data/components/0/component/disabled"),
    "26 options": (modal(label(menu(26))), "data/components/0/component/options"),
}


@pytest.mark.parametrize(("data", "path"), MODALS.values(), ids=MODALS)
async def test_a_form_that_discord_refuses_is_refused(data, path):
    async with furnished(specification=False) as place:
        asked = await place.asked()
        status, answer = await place.bare.respond(asked, Callback.MODAL, data)
        assert (status, answer["code"]) == (400, 50035)
        assert path in {each.where for each in place.world.violations}
        assert asked.first is None


SUGGESTIONS: dict[str, Any] = {
    "26": [{"name": str(each), "value": str(each)} for each in range(26)],
    "long name": [{"name": "x" * 101, "value": "x"}],
    "no name": [{"name": "", "value": "x"}],
    "long value": [{"name": "x", "value": "x" * 101}],
}


@pytest.mark.parametrize("choices", SUGGESTIONS.values(), ids=SUGGESTIONS)
async def test_suggestions_that_discord_refuses_are_refused(choices):
    async with furnished(specification=False) as place:
        await place.bare.declare(command(option(autocomplete=True)))
        asked = await place.ann.begins_typing(place.general, "ping", "word", "x")
        status, answer = await place.bare.respond(asked, Callback.SUGGESTIONS, {"choices": choices})
        assert (status, answer["code"]) == (400, 50035)
        assert place.world.violations


@pytest.mark.usefixtures("discord_document")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/channels/{channel}/messages", {"content": 5}),
        ("POST", "/channels/{channel}/messages", {"content": "x", "tts": "yes"}),
        ("POST", "/channels/{channel}/messages", {"content": "x", "embeds": [{"color": -1}]}),
        ("PUT", "/applications/{application}/commands", [{"name": "x", "description": "x", "contexts": ["guild"]}]),
        ("POST", "/users/@me/channels", {"recipient_id": "ann"}),
        ("GET", "/channels/{channel}/messages?limit=500", None),
        ("GET", "/channels/{channel}/messages?offset=5", None),
    ],
)
async def test_what_the_document_does_not_allow_is_refused(place, method, path, body):
    path = path.format(channel=place.general.id, application=place.uj.id)
    status, answer = await place.bare.call(method, path, body)
    assert (status, answer["code"]) == (400, 50035)
    assert place.world.violations


@pytest.mark.usefixtures("discord_document")
async def test_a_reply_that_discord_would_not_give_is_noticed(place):
    _, sent = await place.bare.call("POST", f"/channels/{place.general.id}/messages", {"content": "x"})
    place.general.messages[sent["id"]].payload["pinned"] = "no"
    await place.bare.call("GET", f"/channels/{place.general.id}/messages/{sent['id']}")
    assert [(each.operation, each.where) for each in place.world.violations] == [("get_message replied 200", "pinned")]


async def test_an_unknown_route_is_remembered(place):
    status, _ = await place.bare.call("GET", "/channels/1/pins")
    assert (status, place.world.unknown_routes) == (404, ["GET /channels/1/pins"])
    with pytest.raises(AssertionError, match="GET /channels/1/pins"):
        place.world.assert_lawful()


@pytest.mark.parametrize("raw", [b"{", b"[]", b'"text"', b'{"embeds": 5}', b'{"components": [{}]}'])
async def test_a_body_that_makes_no_sense_is_refused(place, raw):
    headers = {"Authorization": f"Bot {place.uj.token}", "Content-Type": "application/json"}
    url = f"{place.world.api}/channels/{place.general.id}/messages"
    async with place.bare.http.post(url, data=raw, headers=headers) as answer:
        assert answer.status == 400
        assert answer.headers["Content-Type"] == "application/json"


# -- commands, as people meet them


async def test_a_command_that_was_never_declared_cannot_be_used(place):
    with pytest.raises(Impossible, match="no command"):
        await place.ann.types(place.general, "ping")


async def test_a_command_of_one_guild_is_in_no_other_and_in_no_direct_messages(place):
    other = place.world.guild("Other", place.uj)
    place.ann.joins(other)
    await place.bare.declare(PING, guild=place.guild)
    await place.ann.types(place.general, "ping")
    for channel in (other.channel("general"), place.ann.dm_with(place.uj)):
        with pytest.raises(Impossible):
            await place.ann.types(channel, "ping")


@pytest.mark.parametrize(
    ("declared", "in_guild", "in_dm"),
    [
        ({}, True, True),
        ({"contexts": [0]}, True, False),
        ({"contexts": [1]}, False, True),
        ({"dm_permission": False}, True, False),
    ],
)
async def test_a_command_can_be_used_in_its_contexts(place, declared, in_guild, in_dm):
    await place.bare.declare(PING | declared)
    assert bool(place.ann.commands(place.general)) == in_guild
    assert bool(place.ann.commands(place.ann.dm_with(place.uj))) == in_dm


async def test_a_command_is_for_those_who_have_its_permissions(place):
    bob, eve = place.world.person("bob"), place.world.person("eve")
    bob.joins(place.guild, Permission.MANAGE_GUILD)
    eve.joins(place.guild, admin=True)
    await place.bare.declare(
        PING,
        PING | {"name": "staff", "default_member_permissions": str(int(Permission.MANAGE_GUILD))},
        PING | {"name": "boss", "default_member_permissions": "0"},
    )
    offered = {who.name: {each["name"] for _, each in who.commands(place.general)} for who in (place.ann, bob, eve)}
    assert offered == {"ann": {"ping"}, "bob": {"ping", "staff"}, "eve": {"ping", "staff", "boss"}}


@pytest.mark.parametrize(
    ("about", "value"),
    [
        ({"kind": 3, "max_length": 3}, "long"),
        ({"kind": 3, "min_length": 3}, "no"),
        ({"kind": 3}, 5),
        ({"kind": 4}, "5"),
        ({"kind": 4, "min_value": 1}, 0),
        ({"kind": 4}, 1.5),
        ({"kind": 5}, 1),
        ({"kind": 6}, "nobody"),
        ({"kind": 3, "choices": [{"name": "Yes", "value": "y"}]}, "n"),
    ],
)
async def test_the_client_takes_no_value_that_does_not_fit(place, about, value):
    await place.bare.declare(command(option(**about)))
    with pytest.raises(Impossible):
        await place.ann.types(place.general, "ping", word=value)


async def test_the_client_asks_for_what_is_required_and_knows_its_options(place):
    await place.bare.declare(command(option(required=True)))
    with pytest.raises(Impossible, match="needs word"):
        await place.ann.types(place.general, "ping")
    with pytest.raises(Impossible, match="no option"):
        await place.ann.types(place.general, "ping", word="x", other="y")


async def test_a_choice_is_told_by_its_name_and_an_autocompleted_value_is_not_checked(place):
    choices = [{"name": "Yes", "value": "y", "name_localizations": {"uk": "Так"}}]
    await place.bare.declare(command(option("a", choices=choices), option("b", autocomplete=True)))
    asked = await place.ann.types(place.general, "ping", a="Так", b="anything")
    assert [each["value"] for each in asked.payload["data"]["options"]] == ["y", "anything"]


async def test_a_command_keeps_its_id_when_it_is_declared_again_and_200_creates_a_day_are_enough(place):
    _, first = await place.bare.declare(PING)
    _, again = await place.bare.declare(PING | {"description": "Answer me"})
    assert first[0]["id"] == again[0]["id"]
    for start in (0, 100):
        status, answer = await place.bare.declare(*(command(name=f"c{start + each}") for each in range(100)))
    assert (status, answer["code"]) == (400, 30034)


# -- the life of an interaction


async def test_who_answers_too_late_answers_nothing(timed, clock):
    asked = await timed.asked()
    clock.time += 3.1
    status, answer = await timed.bare.respond(asked, Callback.MESSAGE, {"content": "late"})
    assert (status, answer["code"]) == (404, 10062)
    with pytest.raises(NoAnswer, match="did not respond"):
        await asked.answered()
    assert asked.failed


async def test_an_interaction_is_acknowledged_once(place):
    asked = await place.asked()
    status, answer = await place.bare.respond(asked, Callback.MESSAGE, {"content": "one"})
    assert (status, answer["resource"]["message"]["content"]) == (200, "one")
    status, answer = await place.bare.respond(asked, Callback.MESSAGE, {"content": "two"})
    assert (status, answer["code"]) == (400, 40060)
    assert [each.content for each in place.ann.sees(place.general)] == ["one"]
    place.world.assert_lawful()


async def test_a_response_that_was_refused_is_no_acknowledgement(place):
    asked = await place.asked()
    assert (await place.bare.respond(asked, Callback.MESSAGE, {"content": "x" * 2001}))[0] == 400
    assert (await place.bare.respond(asked, Callback.MESSAGE, {"content": "x"}))[0] == 200


async def test_a_token_belongs_to_its_interaction_and_its_application(place):
    one, other = await place.asked(), await place.asked()
    path = f"/interactions/{one.id}/{other.token}/callback"
    assert (await place.bare.call("POST", path, {"type": 5}))[1]["code"] == 10062
    await place.bare.respond(one, Callback.MESSAGE, {"content": "x"})
    stranger = place.world.application("stranger")
    path = f"/webhooks/{stranger.id}/{one.token}"
    assert (await place.bare.call("POST", path, {"content": "x"}))[1]["code"] == 10015
    _, sent = await place.bare.webhook(one, "GET", "/messages/@original")
    await place.bare.respond(other, Callback.MESSAGE, {"content": "y"})
    assert (await place.bare.webhook(other, "GET", f"/messages/{sent['id']}"))[1]["code"] == 10008


async def test_there_is_no_webhook_before_the_first_response_and_none_after_fifteen_minutes(timed, clock):
    asked = await timed.asked()
    status, answer = await timed.bare.webhook(asked, "POST", body={"content": "early"})
    assert (status, answer["code"]) == (404, 10015)
    await timed.bare.respond(asked, Callback.THINKING)
    clock.time += 899
    assert (await timed.bare.webhook(asked, "POST", body={"content": "in time"}))[0] == 200
    clock.time += 2
    status, answer = await timed.bare.webhook(asked, "POST", body={"content": "late"})
    assert (status, answer["code"]) == (401, 50027)
    assert [each.content for each in timed.ann.sees(timed.general)] == ["in time"]


@pytest.mark.parametrize("deferred", [0, EPHEMERAL])
@pytest.mark.parametrize("followed", [0, EPHEMERAL])
async def test_the_first_followup_takes_the_place_of_thinking_and_who_sees_it_was_decided(place, deferred, followed):
    bob = place.world.person("bob")
    bob.joins(place.guild)
    asked = await place.asked()
    await place.bare.respond(asked, Callback.THINKING, {"flags": deferred})
    thinking = asked.original
    assert thinking.thinking
    _, first = await place.bare.webhook(asked, "POST", body={"content": "done", "flags": followed})
    assert (first["id"], first["flags"]) == (thinking.id, deferred)
    await place.bare.webhook(asked, "POST", body={"content": "more", "flags": followed})
    assert [each.content for each in place.ann.sees(place.general)] == ["done", "more"]
    seen = [name for name, hidden in (("done", deferred), ("more", followed)) if not hidden]
    assert [each.content for each in bob.sees(place.general)] == seen
    place.world.assert_lawful()


async def test_what_only_one_person_sees_the_bot_cannot_read_in_the_channel(place):
    asked = await place.asked()
    await place.bare.respond(asked, Callback.MESSAGE, {"content": "x", "flags": EPHEMERAL})
    path = f"/channels/{place.general.id}/messages"
    assert (await place.bare.call("GET", path))[1] == []
    assert (await place.bare.call("GET", f"{path}/{asked.original.id}"))[1]["code"] == 10008
    bob = place.world.person("bob")
    bob.joins(place.guild)
    with pytest.raises(Impossible, match="does not see"):
        await bob.presses(await _with_button(place), "A")


async def _with_button(place: Place) -> Any:
    asked = await place.asked()
    data = {"content": "x", "flags": EPHEMERAL, "components": [row(button())]}
    await place.bare.respond(asked, Callback.MESSAGE, data)
    return asked.original


@pytest.mark.parametrize("kind", [Callback.DEFERRED_UPDATE, Callback.UPDATE, Callback.SUGGESTIONS, 1, 10, 99])
async def test_a_command_cannot_be_answered_like_something_else(place, kind):
    asked = await place.asked()
    status, answer = await place.bare.respond(asked, kind, {})
    assert (status, answer["code"]) == (400, 50035)


async def test_a_form_comes_first_and_never_upon_a_form(place):
    deferred = await place.asked()
    await place.bare.respond(deferred, Callback.THINKING)
    assert (await place.bare.respond(deferred, Callback.MODAL, modal()))[1]["code"] == 40060
    asked = await place.asked()
    await place.bare.respond(asked, Callback.MODAL, modal())
    submitted = await place.ann.submits(asked, {"Words": "some"})
    assert submitted.payload["data"]["components"][0]["component"]["value"] == "some"
    status, answer = await place.bare.respond(submitted, Callback.MODAL, modal())
    assert (status, answer["code"]) == (400, 50035)


async def test_a_form_is_filled_in_as_the_client_lets_one(place):
    asked = await place.asked()
    await place.bare.respond(asked, Callback.MODAL, modal(label(field(max_length=4, required=True)), label(menu())))
    for values in ({"words": "long words", "menu": "0"}, {"menu": "0"}, {"words": "ok", "menu": "9"}, {"other": "x"}):
        with pytest.raises(Impossible):
            await place.ann.submits(asked, values)
    bob = place.world.person("bob")
    bob.joins(place.guild)
    with pytest.raises(Impossible):
        await bob.submits(asked, {"words": "ok", "menu": "0"})


async def test_a_component_can_update_its_message_at_once_or_later(place):
    message = await _with_button(place)
    pressed = await place.ann.presses(message, "A")
    assert pressed.payload["message"]["id"] == message.id
    await place.bare.respond(pressed, Callback.DEFERRED_UPDATE)
    await place.bare.webhook(pressed, "PATCH", "/messages/@original", {"content": "later"})
    assert (await pressed.message()).content == "later"
    pressed = await place.ann.presses(message, "a")
    await place.bare.respond(pressed, Callback.UPDATE, {"content": "at once", "components": []})
    assert (message.content, message.buttons) == ("at once", [])
    with pytest.raises(Impossible):
        await place.ann.presses(message, "A")
    place.world.assert_lawful()


async def test_a_disabled_button_and_a_link_cannot_be_pressed(place):
    link = {"type": 2, "style": 5, "label": "Link", "url": "https://x.org"}
    asked = await place.asked()
    shown = [row(button(disabled=True), link)]
    await place.bare.respond(asked, Callback.MESSAGE, {"content": "x", "components": shown})
    for name in ("A", "Link"):
        with pytest.raises(Impossible, match="cannot be pressed"):
            await place.ann.presses(asked.original, name)


async def test_a_message_that_was_deleted_is_gone(place):
    asked = await place.asked()
    await place.bare.respond(asked, Callback.MESSAGE, {"content": "x"})
    assert (await place.bare.webhook(asked, "DELETE", "/messages/@original"))[0] == 204
    assert (await place.bare.webhook(asked, "PATCH", "/messages/@original", {"content": "y"}))[1]["code"] == 10008
    assert place.ann.sees(place.general) == []


async def test_suggestions_have_no_messages(place):
    await place.bare.declare(command(option(autocomplete=True)))
    asked = await place.ann.begins_typing(place.general, "ping", "word", "x")
    assert (await place.bare.respond(asked, Callback.THINKING))[1]["code"] == 50035
    choices = [{"name": "X", "value": "x"}]
    assert (await place.bare.respond(asked, Callback.SUGGESTIONS, {"choices": choices}))[0] == 200
    assert [each.name for each in await asked.suggested()] == ["X"]
    assert (await place.bare.webhook(asked, "POST", body={"content": "x"}))[1]["code"] == 10015


# -- messages and who may send them


async def test_a_person_can_close_the_door(place):
    _, channel = await place.bare.call("POST", "/users/@me/channels", {"recipient_id": place.ann.id})
    path = f"/channels/{channel['id']}/messages"
    assert (await place.bare.call("POST", path, {"content": "one"}))[0] == 200
    place.ann.closes_dms()
    status, answer = await place.bare.call("POST", path, {"content": "two"})
    assert (status, answer["code"]) == (403, 50007)
    place.ann.opens_dms()
    place.ann.leaves(place.guild)
    assert (await place.bare.call("POST", path, {"content": "three"}))[1]["code"] == 50007
    assert [each.content for each in place.ann.sees(place.ann.dm_with(place.uj))] == ["one"]


async def test_a_bot_writes_where_it_may(place):
    elsewhere = place.world.guild("Elsewhere").channel("general")
    staff = place.world.channel(place.guild, "staff")
    staff.only_for(place.ann.id)
    silent = place.world.channel(place.guild, "silent")
    silent.denied[place.uj.id] = int(Permission.SEND_MESSAGES)
    codes = []
    for channel in (elsewhere.id, staff.id, silent.id, "1", place.general.id):
        _, answer = await place.bare.call("POST", f"/channels/{channel}/messages", {"content": "x"})
        codes.append(answer.get("code"))
    assert codes == [50001, 50001, 50013, 10003, None]


async def test_a_wrong_token_opens_nothing(place):
    status, answer = await place.bare.call("GET", "/users/@me", token="wrong")
    assert (status, answer) == (401, {"code": 0, "message": "401: Unauthorized"})


async def test_a_nonce_sends_once_for_a_few_minutes(timed, clock):
    path = f"/channels/{timed.general.id}/messages"
    body = {"content": "x", "nonce": "abc", "enforce_nonce": True}
    _, first = await timed.bare.call("POST", path, body)
    clock.time += 100
    _, again = await timed.bare.call("POST", path, body)
    assert first["id"] == again["id"]
    clock.time += 300
    _, later = await timed.bare.call("POST", path, body)
    _, unforced = await timed.bare.call("POST", path, {"content": "x", "nonce": "abc"})
    assert len({first["id"], later["id"], unforced["id"]}) == 3
    assert len(timed.ann.sees(timed.general)) == 3


async def test_nobody_is_pinged_who_is_not_to_be(place):
    path = f"/channels/{place.general.id}/messages"
    words = f"<@{place.ann.id}> @everyone"
    place.guild.members[place.uj.id].permissions |= Permission.MENTION_EVERYONE
    for allowed, pinged in (
        (None, {place.ann.id, "everyone"}),
        ({"parse": []}, set()),
        ({"parse": [], "users": [place.ann.id]}, {place.ann.id}),
    ):
        body = {"content": words} | ({} if allowed is None else {"allowed_mentions": allowed})
        _, sent = await place.bare.call("POST", path, body)
        assert place.general.messages[sent["id"]].pings == pinged


async def test_history_is_read_in_pages(place):
    path = f"/channels/{place.general.id}/messages"
    sent = [(await place.bare.call("POST", path, {"content": str(each)}))[1]["id"] for each in range(6)]

    async def page(query: str) -> list[str]:
        return [each["content"] for each in (await place.bare.call("GET", f"{path}?{query}"))[1]]

    assert await page("limit=2") == ["5", "4"]
    assert await page(f"limit=2&before={sent[2]}") == ["1", "0"]
    assert await page(f"limit=2&after={sent[2]}") == ["4", "3"]


# -- the gateway


async def becomes(true: Callable[[], bool], world: LoopbackDiscord) -> None:
    """Wait until something is true of the world."""
    async with asyncio.timeout(20):
        while not true():
            await world.news.wait()


class Shard:
    """A gateway client that sends what the test wants."""

    def __init__(self, world: LoopbackDiscord, http: aiohttp.ClientSession, compress: str = "") -> None:
        self.world = world
        self.http = http
        self.compress = compress
        self.events: list[dict[str, Any]] = []
        self._inflate = zlib.decompressobj()

    async def connect(self) -> None:
        query = {"v": "10", "encoding": "json"} | ({"compress": self.compress} if self.compress else {})
        self.socket = await self.http.ws_connect(self.world.gateway.url, params=query)
        assert (await self.receive())["op"] == 10

    async def receive(self) -> dict[str, Any]:
        message = await self.socket.receive(timeout=5)
        if message.type is aiohttp.WSMsgType.BINARY:
            payload = json.loads(self._inflate.decompress(message.data))
        elif message.type is aiohttp.WSMsgType.TEXT:
            payload = json.loads(message.data)
        else:
            return {"op": None, "closed": self.socket.close_code}
        if payload["op"] == 0:
            self.events.append(payload)
        return payload

    async def until(self, event: str) -> dict[str, Any]:
        while (payload := await self.receive()).get("t") != event:
            assert payload["op"] is not None, f"closed with {payload['closed']} before {event}"
        return payload["d"]

    async def send(self, op: int, data: Any) -> None:
        await self.socket.send_json({"op": op, "d": data})

    async def identify(self, token: str, intents: int = 1, **more: Any) -> dict[str, Any]:
        await self.connect()
        properties = {"os": "linux", "browser": "test", "device": "test"}
        await self.send(2, {"token": token, "intents": intents, "properties": properties} | more)
        return await self.receive()

    async def resume(self, token: str, session: str, sequence: int) -> dict[str, Any]:
        await self.connect()
        await self.send(6, {"token": token, "session_id": session, "seq": sequence})
        return await self.receive()


@pytest.fixture
def shard(place):
    return Shard(place.world, place.bare.http)


@pytest.mark.parametrize("compress", ["", "zlib-stream"])
async def test_a_session_begins_with_ready_and_its_guilds(place, compress):
    shard = Shard(place.world, place.bare.http, compress)
    ready = await shard.identify(place.uj.token)
    assert (ready["t"], ready["s"], ready["d"]["user"]["id"]) == ("READY", 1, place.uj.id)
    assert ready["d"]["guilds"] == [{"id": place.guild.id, "unavailable": True}]
    created = await shard.until("GUILD_CREATE")
    assert [each["user"]["id"] for each in created["members"]] == [place.uj.id]
    await shard.send(1, 2)
    assert (await shard.receive())["op"] == 11


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ((2, {"token": "wrong", "intents": 1}), 4004),
        ((2, {"token": None, "intents": 1 << 15}), 4014),
        ((2, {"token": None, "intents": 1 << 40}), 4013),
        ((2, {"token": None, "intents": 1, "shard": [2, 2]}), 4010),
        ((3, {}), 4003),
        ((77, {}), 4001),
        ((3, {"words": "x" * 5000}), 4002),
    ],
)
async def test_the_gateway_closes_upon_what_it_does_not_take(place, shard, first, code):
    op, data = first
    if op == 2:
        data = data | {"properties": {"os": "", "browser": "", "device": ""}}
        data["token"] = data["token"] or place.uj.token
    await shard.connect()
    await shard.send(op, data)
    assert (await shard.receive()) == {"op": None, "closed": code}


async def test_who_identifies_twice_is_sent_away(place, shard):
    await shard.identify(place.uj.token)
    await shard.send(2, {"token": place.uj.token, "intents": 1})
    while (last := await shard.receive())["op"] is not None:
        pass
    assert last["closed"] == 4005


async def test_a_resumed_session_hears_what_it_missed_and_a_new_one_does_not(place, shard):
    await place.bare.declare(PING)
    ready = await shard.identify(place.uj.token)
    await shard.until("GUILD_CREATE")
    place.world.drop(place.uj)
    assert (await shard.receive())["op"] is None
    missed = [await place.ann.types(place.general, "ping") for _ in range(3)]

    fresh = Shard(place.world, place.bare.http)
    await fresh.identify(place.uj.token)
    await fresh.until("GUILD_CREATE")

    again = Shard(place.world, place.bare.http)
    first = await again.resume(place.uj.token, ready["d"]["session_id"], 2)
    assert first["s"] == 3
    await again.until("RESUMED")
    heard = [each["d"]["id"] for each in again.events if each["t"] == "INTERACTION_CREATE"]
    assert heard == [each.id for each in missed]
    assert [each["s"] for each in again.events] == [3, 4, 5, 6]
    live = await place.ann.types(place.general, "ping")
    assert (await again.until("INTERACTION_CREATE"))["id"] == live.id
    assert (await fresh.until("INTERACTION_CREATE"))["id"] == live.id


async def test_a_session_that_is_not_known_or_was_left_properly_cannot_be_resumed(place, shard):
    ready = await shard.identify(place.uj.token)
    await shard.socket.close(code=1000)
    await becomes(lambda: not place.uj.sessions, place.world)
    for session in (ready["d"]["session_id"], "none"):
        answer = await Shard(place.world, place.bare.http).resume(place.uj.token, session, 1)
        assert (answer["op"], answer["d"]) == (9, False)


async def test_a_resume_from_the_future_is_refused(place, shard):
    ready = await shard.identify(place.uj.token)
    again = Shard(place.world, place.bare.http)
    assert (await again.resume(place.uj.token, ready["d"]["session_id"], 99))["closed"] == 4007


async def test_each_guild_is_told_to_its_shard_and_direct_messages_to_the_first(place):
    world, ann = place.world, place.ann
    guilds = [world.guild(f"Guild {each}", place.uj, key=str((1000 + each) << 22)) for each in range(2)]
    await place.bare.declare(PING)
    shards = [Shard(world, place.bare.http) for _ in range(2)]
    for number, each in enumerate(shards):
        ready = await each.identify(place.uj.token, shard=[number, 2])
        assert ready["d"]["shard"] == [number, 2]
    for guild in guilds:
        ann.joins(guild)
        await ann.types(guild.channel("general"), "ping")
    await ann.types(ann.dm_with(place.uj), "ping")
    heard = []
    for number, each in enumerate(shards):
        place.uj.dispatch("END", {}, guild=guilds[number].id)
        await each.until("END")
        heard.append([event["d"].get("guild_id") for event in each.events if event["t"] == "INTERACTION_CREATE"])
    assert heard == [[guilds[0].id, None], [guilds[1].id]]


async def test_a_bot_hears_messages_if_it_may_and_reads_them_if_it_may(place, shard):
    await shard.identify(place.uj.token, int(Intent.GUILDS | Intent.GUILD_MESSAGES | Intent.DIRECT_MESSAGES))
    await place.ann.says(place.general, "to everybody")
    await place.ann.says(place.general, f"to you, <@{place.uj.id}>")
    await place.ann.says(place.ann.dm_with(place.uj), "to you alone")
    heard = [(await shard.until("MESSAGE_CREATE"))["content"] for _ in range(3)]
    assert heard == ["", f"to you, <@{place.uj.id}>", "to you alone"]


async def test_a_bot_of_discord_py_survives_what_a_gateway_does(place):
    world, uj = place.world, place.uj

    async def books() -> None:
        asked = await place.ann.types(place.general, "hours book", slot="1")
        assert (await asked.message()).text.startswith("1 with")

    async def until(true: Callable[[], bool]) -> None:
        await becomes(lambda: true() and uj.connected, world)

    async with running(world, uj.token):
        await books()
        world.drop(uj)
        missed = asyncio.create_task(books())
        await until(lambda: uj.resumed == 1)
        await missed
        world.ask_to_reconnect(uj)
        await until(lambda: uj.resumed == 2)
        world.invalidate(uj, resumable=True)
        await until(lambda: uj.resumed == 3)
        assert uj.identified == 1
        world.invalidate(uj, resumable=False)
        await until(lambda: uj.identified == 2)
        await books()
        world.drop(uj, code=4000)
        await until(lambda: uj.resumed == 4)
        await books()
    world.assert_lawful()


async def test_a_first_connection_that_fails_ends_a_client_of_discord_py(place):
    place.world.refuse_connections()
    with discord_py_speaks_to(place.world):
        async with Bot() as bot:
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await bot.start(place.uj.token, reconnect=False)
    assert place.uj.identified == 0


@pytest.mark.parametrize(("event", "lacking"), [("GUILD_CREATE", "id"), ("INTERACTION_CREATE", "type")])
async def test_a_malformed_event_ends_a_client_of_discord_py(place, event, lacking):
    place.world.malform(place.uj, event, lacking)
    await place.bare.declare(PING)
    with discord_py_speaks_to(place.world):
        async with Bot() as bot:
            task = asyncio.create_task(bot.start(place.uj.token))
            if event == "INTERACTION_CREATE":
                await place.world.connected(place.uj)
                await place.ann.types(place.general, "hours digest")
            with pytest.raises(KeyError, match=lacking):
                await asyncio.wait_for(task, 5)


# -- trouble on demand


async def test_a_server_in_trouble_is_asked_again_by_discord_py(place):
    async with running(place.world, place.uj.token) as bot:
        person = await bot.fetch_user(int(place.ann.id))
        place.world.faults.fail("create_message", 502)
        await person.send("one")
        place.world.faults.rate_limit("create_message", 0.05)
        await person.send("two")
        place.world.faults.rate_limit("create_message", 0.05, everywhere=True)
        await person.send("three")
        place.world.faults.delay("create_message", 0.05)
        await person.send("four")
    seen = [each.content for each in place.ann.sees(place.ann.dm_with(place.uj))]
    assert seen == ["one", "two", "three", "four"]


@pytest.mark.parametrize("executed", [True, False])
async def test_a_connection_breaks_before_or_after_the_deed(place, executed):
    place.world.faults.reset("create_interaction_response", executed=executed)
    asked = await place.asked()
    with pytest.raises(aiohttp.ClientError):
        await place.bare.respond(asked, Callback.MESSAGE, {"content": "x"})
    status, answer = await place.bare.respond(asked, Callback.MESSAGE, {"content": "x"})
    assert (status, answer.get("code")) == ((400, 40060) if executed else (200, None))
    assert len(place.ann.sees(place.general)) == 1


async def test_faults_come_so_often_and_only_to_their_operation(place):
    place.world.faults.fail("create_message", 503, times=2)
    path = f"/channels/{place.general.id}/messages"
    statuses = [(await place.bare.call("POST", path, {"content": "x"}))[0] for _ in range(3)]
    assert ((await place.bare.call("GET", path))[0], statuses) == (200, [503, 503, 200])
    place.world.faults.fail("*", 500)
    assert (await place.bare.call("GET", "/users/@me"))[0] == 500
    assert (await place.bare.call("GET", "/users/@me"))[0] == 200


async def test_a_rate_limit_says_how_long_and_that_discord_says_it(place):
    place.world.faults.rate_limit("get_my_user", 1.5, everywhere=True)
    headers = {"Authorization": f"Bot {place.uj.token}"}
    async with place.bare.http.get(place.world.api + "/users/@me", headers=headers) as answer:
        body = await answer.json()
        assert (answer.status, body["retry_after"], body["global"]) == (429, 1.5, True)
        assert {"Via", "Retry-After", "X-RateLimit-Global"} <= set(answer.headers)


async def test_a_callback_has_no_rate_limit_and_exactly_json(place):
    asked = await place.asked()
    url = f"{place.world.api}/interactions/{asked.id}/{asked.token}/callback?with_response=1"
    async with place.bare.http.post(url, json={"type": 5}) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert not [each for each in answer.headers if each.lower().startswith("x-ratelimit")]
        assert (await answer.json())["interaction"]["response_message_loading"]
