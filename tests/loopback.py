"""The whole Hub on a Discord on loopback: the real App, the real library, and people with Discord's client."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from sqlmodel import select

from bots.app import App
from bots.bot import Parcel
from bots.courier import Courier
from bots.discord.client import DiscordBot
from bots.settings import Settings
from commands.core import Context, Feature, Reply, Shown, Text, Words, _
from storage import members, office_hours
from storage.audit import AuditEntry
from storage.engine import connect
from storage.members import Role
from storage.office_hours import Slot
from storage.outbox import Outbox
from storage.sealed import Vault
from storage.store import Session, Store
from tests.fakes.loopback_discord import (
    Application,
    Guild,
    Person,
)

T = TypeVar("T")

MASTER = bytes(range(32))
CONTACT = "@hub-uj:example.org"
"""The bot of the same network where nobody reads along."""


# -- features that no network needs -------------------------------------------------------------------------------

tally = Feature("tally", Text("What leaves a mark each time it runs"))
secret = Feature("secret", Text("What must not be overheard"), confidential=True)
survey = Feature("survey", Text("A long form"))
PROBES = (tally, secret, survey)


@tally.command(audited=True)
def count(ctx: Context, mark: Words) -> Reply:
    """Leave a mark in the audit.

    mark: Which mark?
    """
    ctx.subject = mark
    return Reply(_("Counted {mark}.", mark=mark))


@tally.command(allow=Role.MEMBER, shown=Shown.ROOM, audited=True)
def shout(ctx: Context, mark: Words) -> Reply:
    """Leave a mark in the audit, and tell everybody.

    mark: Which mark?
    """
    ctx.subject = mark
    return Reply(_("Counted {mark}.", mark=mark))


@secret.command()
def tell(_ctx: Context, words: Words) -> Reply:
    """Say something confidential.

    words: What is it?
    """
    return Reply(_("Kept: {words}.", words=words))


@survey.command(audited=True)
def fill(ctx: Context, a: Words, b: Words, c: Words, d: Words, e: Words, f: Words, g: Words) -> Reply:
    """Fill in seven fields.

    a: A?
    b: B?
    c: C?
    d: D?
    e: E?
    f: F?
    g: G?
    """
    ctx.subject = "filled in"
    return Reply(*(_("{words}", words=words) for words in (a, b, c, d, e, f, g)))


# -- the Hub ------------------------------------------------------------------------------------------------------


def utc_now() -> datetime:
    return datetime.now(UTC)


async def until(true: Callable[[], Awaitable[T]], *, within: float = 10.0) -> T:
    """Wait until something is true in the database, and return it."""
    async with asyncio.timeout(within):
        while not (found := await true()):  # noqa: ASYNC110 what is waited for does not know of us
            await asyncio.sleep(0.02)
        return found


async def at_once(_client: Any, _shard_id: int | None, *, initial: bool = False) -> None:
    """Identify without the pause that Discord asks for between two sessions."""
    del initial


class PaperBot:
    """A network's bot on Matrix, on paper: whatever it shall deliver arrives."""

    def __init__(self, network: str) -> None:
        self.name = f"matrix:{network}"
        self.network = network
        self.delivered: asyncio.Queue[tuple[Parcel, str]] = asyncio.Queue()

    async def ready(self) -> None:
        """It is."""

    async def run(self, _dispatcher: Any) -> None:
        await asyncio.Event().wait()

    async def deliver(self, parcel: Parcel, reply: Reply, voice: Any) -> str:
        words = "\n".join(voice.say(block) for block in reply.blocks if isinstance(block, Text))
        self.delivered.put_nowait((parcel, words))
        return parcel.key


class Hub:
    """One process of the Hub, as far as that goes without being one: it starts, stops and starts again.

    Attributes:
        settings: what it is started with.
        app: the App that runs, or ran last.
        bots: its bots on Discord, by network.
        paper: its bot on Matrix, where there is one.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app: App
        self.bots: dict[str, DiscordBot] = {}
        self.paper = PaperBot("uj") if settings.matrix else None
        self._running: asyncio.Task[None] | None = None
        vault = Vault(settings.hub.keys, MASTER)
        self.store = Store(settings.hub.database, vault=vault)

    # -- life

    def begin(self) -> asyncio.Event:
        """Start, and return what is set when all bots listen."""
        listening = asyncio.Event()
        self._running = asyncio.create_task(self._live(listening))
        return listening

    async def start(self) -> "Hub":
        listening = asyncio.create_task(self.begin().wait())
        assert self._running is not None
        await asyncio.wait({listening, self._running}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            listening.cancel()
            self._running.cancel()
            await self._running
        return self

    async def ended(self) -> None:
        """Wait until it ends by itself, and raise what it ended with."""
        assert self._running is not None
        await asyncio.wait_for(self._running, 20)

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None

    async def restart(self, **hub_settings: Any) -> None:
        await self.stop()
        if hub_settings:
            changed = self.settings.hub.model_copy(update=hub_settings)
            self.settings = self.settings.model_copy(update={"hub": changed})
        await self.start()

    async def close(self) -> None:
        await self.stop()
        await self.store.close()

    async def _live(self, listening: asyncio.Event) -> None:
        async with App.open(self.settings) as app:
            self.app = app
            make = app._discord

            async def made(network: str) -> Any:
                bot, courier = await make(network)
                self.bots[network] = bot
                return bot, courier

            async def on_paper(_network: str) -> Any:
                assert self.paper is not None
                return self.paper, Courier(
                    self.paper,
                    store=app.store,
                    hub=app.hub,
                    catalogues=app.catalogues,
                    clock=app.clock,
                    owner=app.owner,
                )

            app._discord, app._matrix = made, on_paper
            await app.run(ready=listening.set)

    @property
    def bot(self) -> DiscordBot:
        return self.bots["uj"]

    # -- what it knows

    async def enter(self, person: Person, *roles: Role, matrix: str | None = None) -> str:
        """Make a person known, with roles, and return the handle; with an account on Matrix as well if one is given."""
        now = utc_now() - timedelta(days=1)

        def enter(session: Session) -> str:
            member = members.recognise(
                session,
                platform="discord",
                address=person.id,
                language=person.locale.partition("-")[0],
                zone="Europe/Kyiv",
                rng=Random(person.id),
                now=now,
            )
            for role in roles:
                members.grant(session, actor=None, member=member, network="uj", role=role, now=now)
            if matrix is not None:
                members.add_account(session, member, platform="matrix", address=matrix, now=now)
                members.set_platform(session, member, "discord")
            return member.handle

        return await self.store.run(enter)

    async def roles(self, person: Person) -> frozenset[Role]:
        """Return the roles that somebody has in the network; none for somebody unknown."""

        def roles(session: Session) -> frozenset[Role]:
            account = members.account(session, platform="discord", address=person.id)
            return members.roles(session, account.member_id, "uj") if account else frozenset()

        return await self.store.run(roles)

    async def slots(self) -> list[Slot]:
        """Return the slots that are open, the first one first."""
        return await self.store.run(
            lambda session: list(office_hours.open_slots(session, network="uj", now=utc_now(), limit=30))
        )

    async def marks(self, subject: str | None = None) -> list[str]:
        """Return what audited commands were done to, in order; of one subject as many entries as there are."""
        found = await self.store.run(lambda session: list(session.exec(select(AuditEntry).order_by("seq"))))
        return [each.subject or "" for each in found if subject in {None, each.subject}]

    async def outbox(self) -> list[Outbox]:
        """Return what was to be said so far."""
        return await self.store.run(lambda session: list(session.exec(select(Outbox))))

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Keep the database to ourselves, as another process would."""
        engine = connect(self.settings.hub.database)
        try:
            with engine.begin():
                yield
        finally:
            engine.dispose()


def settings_of(
    uj: Application,
    guild: Guild,
    database: tuple[str, str],
    folder: Path,
    *,
    on_paper: bool = False,
    hub: Mapping[str, Any] | None = None,
    tokens: Mapping[str, str] | None = None,
    **bot: Any,
) -> dict[str, Any]:
    """Write the settings of a Hub with one network.

    Args:
        uj: the network's application.
        guild: the network's server, with the channels "general" and "staff".
        database: where the store and its key store are.
        folder: where everything else is kept.
        on_paper: whether there is a bot on Matrix.
        hub: what else is said of the Hub.
        tokens: further networks, with the tokens of their bots.
        bot: what else is said of the bots.
    """
    tokens = {"uj": uj.token, **(tokens or {})}
    rooms = {"channel": int(guild.channel("general").id), "coordinators": int(guild.channel("staff").id)}
    store = {"database": database[0], "keys": database[1], "state": folder / "state", "pace_burst": 1000}
    return {
        "hub": {**store, **(hub or {})},
        "networks": {key: {"name": f"Network {key}", "zone": "Europe/Kyiv"} for key in tokens},
        "matrix": {"uj": {"homeserver": "http://127.0.0.1:1", "user": CONTACT}} if on_paper else {},
        "discord": {key: {"guild": int(guild.id), **rooms, **bot} for key in tokens},
        "secrets": {"master_key": MASTER.hex(), "discord": {key: {"token": token} for key, token in tokens.items()}},
    }
