"""The composition root: settings become a store, a library, a dispatcher, bots, couriers and a clock."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import hashlib
import hmac
import os
import random
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import structlog
from pydantic import SecretStr

from bots.bot import Bot, SignedOut
from bots.clockwork import Clockwork
from bots.courier import Courier
from bots.matrix.client import MatrixAccount, MatrixBot
from bots.settings import MatrixSecrets, Settings, WrongSetting
from commands import FEATURES
from commands.core.dispatch import Dispatcher
from commands.core.feature import Commands
from commands.core.pace import Pace
from commands.core.post import Hub, Network, Writer
from commands.core.shelf import follow, follow_meanings
from commands.core.strings import Catalogues
from commands.core.text import Voice
from knowledge.answer import Endpoint, Remembering
from knowledge.library import Library
from storage import handles, members, places, privacy
from storage.ask import Caps
from storage.members import Role
from storage.places import Purpose
from storage.sealed import Vault
from storage.store import Session, Store

if TYPE_CHECKING:
    from knowledge.dense import Dense

log = structlog.get_logger()

LONG_LIFE = 600.0
"""Seconds after which a bot that falls is restarted at once again."""
LONGEST_PAUSE = 300.0
"""Seconds between the starts of a bot that keeps falling."""


FOLLOWED = timedelta(seconds=15)
"""How often each process looks whether the store's part of the library has changed."""
MADE = 128
"""Texts that get their vectors each time: the local encoder takes seconds for them, which the bots need as well."""


class Stopped(Exception):  # noqa: N818 it says what happened
    """No bot is running any more."""


def master_key(settings: Settings) -> bytes:
    """Return the operator's master key.

    Raises:
        WrongSetting: it is not 64 hexadecimal digits.
    """
    return _key("secrets.master_key", settings.secrets.master_key)


def _key(name: str, secret: SecretStr) -> bytes:
    typed = secret.get_secret_value()
    try:
        key = bytes.fromhex(typed)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise WrongSetting(f"{name}: it must be 64 hexadecimal digits; `impacthub keys` makes new ones.")
    return key


def hub_of(settings: Settings) -> Hub:
    """Return what the commands know of this installation."""
    networks = {
        key: Network(
            key,
            each.name,
            each.language,
            each.zone,
            off=frozenset(each.off),
            contact=settings.matrix[key].user if key in settings.matrix else None,
        )
        for key, each in settings.networks.items()
    }
    platforms = tuple(name for name, bots in (("matrix", settings.matrix), ("discord", settings.discord)) if bots)
    return Hub(
        networks,
        platforms=platforms,
        overheard=frozenset(platforms) - frozenset(settings.hub.confidential),
        first_admin=settings.hub.first_admin or None,
    )


def writer_of(settings: Settings, library: Library) -> Writer | None:
    """Return the model that writes answers, if there is one."""
    chosen = settings.answers
    if not chosen.base_url:
        return None
    key = settings.secrets.answers_key.get_secret_value()
    return Remembering(
        Endpoint(
            chosen.base_url,
            chosen.model,
            key,
            chosen.timeout,
            chosen.most_tokens,
            tokens=library.tokens,
            knows=library.knows,
            handles=handles.WRITTEN,
        )
    )


def dense_of(settings: Settings) -> Dense | None:
    """Return the vectors of the library's texts, if there is an encoder.

    Raises:
        WrongSetting: the one that was chosen is not installed.
    """
    chosen = settings.embeddings
    if chosen.kind == "off":
        return None
    from knowledge import dense  # noqa: PLC0415 it needs numpy, and its encoder a lot of memory

    if chosen.kind == "endpoint":
        key = settings.secrets.embeddings_key.get_secret_value()
        endpoint = Endpoint(chosen.base_url, chosen.model, key, chosen.timeout)
        return dense.Dense(dense.Remote(endpoint), settings.hub.state / "vectors", handles.WRITTEN)
    try:
        local = dense.Local()
    except ImportError:
        raise WrongSetting("embeddings.kind: “local” needs `pip install impacthub[dense]`.") from None
    return dense.Dense(local, settings.hub.state / "vectors")


def caps_of(settings: Settings) -> Caps:
    """Return what written answers may take in a day; a cost is as many tokens as it buys."""
    chosen = settings.answers
    tokens = chosen.tokens_per_day
    if chosen.cost_per_day and chosen.price_per_million:
        tokens = min(tokens, int(chosen.cost_per_day / chosen.price_per_million * 1_000_000))
    return Caps(chosen.answers_per_person, chosen.tokens_per_person, tokens)


def library_of(settings: Settings) -> Library:
    """Load the library with all that the operator chose for it."""
    folder, dictionaries = settings.hub.state / "index", settings.hub.dictionaries
    return Library.load(index=folder, dictionaries=dictionaries, dense=dense_of(settings))


def store_of(settings: Settings) -> Store:
    """Open the store; `migrate` brings it up to date."""
    settings.hub.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        former = [_key("secrets.former_master_keys", each) for each in settings.secrets.former_master_keys]
        vault = Vault(settings.hub.keys, master_key(settings), former=former)
        return Store(settings.hub.database, vault=vault)
    except ValueError as error:
        raise WrongSetting(f"hub.database: {error}") from None


@dataclass
class App:
    """A running Hub, or the part of it that `only` names."""

    settings: Settings
    store: Store
    hub: Hub
    catalogues: Catalogues
    dispatcher: Dispatcher
    library: Library
    owner: str
    clock: Callable[[], datetime]
    couriers: dict[str, Courier]
    _numbers: Iterator[int] = field(default_factory=count)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[App]:
        """Open the store, migrated, and everything that needs no platform."""
        hub = hub_of(settings)
        catalogues = Catalogues.load()
        shift = settings.hub.clock_shift
        couriers: dict[str, Courier] = {}
        owner = f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(4)}"

        def clock() -> datetime:
            return datetime.now(UTC) + shift

        def posted(senders: frozenset[str]) -> None:
            for name in senders & couriers.keys():
                couriers[name].nudge()

        store = store_of(settings)
        try:
            await store.migrate()
            # Whoever was erased since the backup that may just have been restored is erased again.
            await store.run(lambda session: privacy.replay(session, clock()))
            library = library_of(settings)
            await follow(store, library)
            await follow_meanings(store, library, most=0)
            hub = replace(hub, writer=writer_of(settings, library), caps=caps_of(settings))
            dispatcher = Dispatcher(
                store=store,
                commands=Commands(FEATURES),
                hub=hub,
                library=library,
                catalogues=catalogues,
                clock=clock,
                rng=random.SystemRandom(),
                pace=Pace(settings.hub.pace_burst, timedelta(seconds=settings.hub.pace_seconds)),
                owner=owner,
                posted=posted,
            )
            if settings.discord:
                from bots.discord.declare import fit  # noqa: PLC0415 Discord's package is heavy, and most have no bot

                await fit(dispatcher.commands, catalogues)
            yield cls(settings, store, hub, catalogues, dispatcher, library, owner, clock, couriers)
        finally:
            await store.close()

    def voice(self, network: str, prefix: str = "") -> Voice:
        """Return how a network's own rooms are spoken to."""
        here = self.hub.networks[network]
        return Voice(self.catalogues.speak(here.language), ZoneInfo(here.zone), prefix)

    async def run(self, *, only: str | None = None, ready: Callable[[], None] = lambda: None) -> None:
        """Run the bots, their couriers and the clock until cancelled.

        `only` names one bot, as "matrix:uj" or "discord:uj". `ready` is called once all of them listen.

        Raises:
            WrongSetting: there is no such bot.
            Stopped: every bot has ended by itself.
        """
        makers: dict[str, Callable[[], Awaitable[tuple[Bot, Courier]]]] = {
            **{f"matrix:{network}": partial(self._matrix, network) for network in self.settings.matrix},
            **{f"discord:{network}": partial(self._discord, network) for network in self.settings.discord},
        }
        names = [name for name in makers if only in {None, name}]
        if not names:
            raise WrongSetting(f"There is no bot “{only}” in the settings." if only else "No bot is set up.")
        clockwork = Clockwork()
        listening = {name: asyncio.Event() for name in names}
        for feature in FEATURES:
            for job in feature.jobs:
                clockwork.every(job.name, job.period, partial(self.dispatcher.run, job))
        # Not a job under a lease: every process has look-up of its own.
        clockwork.every("library.follow", FOLLOWED, partial(follow, self.store, self.library))
        if self.library.dense:
            making = partial(follow_meanings, self.store, self.library, most=MADE)
            clockwork.every("library.meanings", FOLLOWED, making)
        async with asyncio.TaskGroup() as group:
            serving = [group.create_task(self._serve(name, makers[name], listening[name])) for name in names]
            ticking = group.create_task(clockwork.run())
            telling = group.create_task(_tell_when_ready(listening.values(), partial(_settled, ready)))
            await asyncio.wait(serving)
            for task in (ticking, telling):
                task.cancel()
        raise Stopped("every bot has stopped; the log says why.")

    async def _serve(
        self,
        name: str,
        make: Callable[[], Awaitable[tuple[Bot, Courier]]],
        listening: asyncio.Event,
    ) -> None:
        """Run a bot and its courier, and begin anew after a failure; one that was signed out has to stop."""
        pause = 1.0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                bot, self.couriers[name] = await make()
                await self._run_one(bot, listening)
            except SignedOut as error:
                log.error("a bot has stopped", bot=name, why=str(error))  # noqa: TRY400 the sentence says it all
                return
            except Exception as error:
                log.error(  # noqa: TRY400 see log.py
                    "a bot has fallen and begins anew", bot=name, error=type(error).__name__, exc_info=error
                )
            if asyncio.get_running_loop().time() - began > LONG_LIFE:
                pause = 1.0
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _run_one(self, bot: Bot, listening: asyncio.Event) -> None:
        courier = self.couriers[bot.name]
        delivering = asyncio.create_task(_deliver_when_ready(bot, courier, listening, alone=self._is_alone(bot.name)))
        try:
            await bot.run(self.dispatcher)
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)

    def _is_alone(self, name: str) -> bool:
        """Tell whether no other process delivers for this bot: then what is in hand was left by one that died."""
        platform, _colon, network = name.partition(":")
        return platform != "discord" or self.settings.discord[network].shard_ids is None

    async def _settle(self, name: str, network: str, rooms: Mapping[Purpose, str]) -> None:
        def settle(session: Session) -> None:
            for purpose, address in rooms.items():
                if address:
                    places.settle(session, bot=name, purpose=purpose, network=network, address=address)

        await self.store.run(settle)

    async def _matrix(self, network: str) -> tuple[Bot, Courier]:
        chosen = self.settings.matrix[network]
        secret = self.settings.secrets.matrix.get(network, MatrixSecrets())
        name = f"matrix:{network}"
        await self._settle(name, network, {Purpose.NETWORK: chosen.room, Purpose.COORDINATORS: chosen.coordinators})
        bot = MatrixBot(
            MatrixAccount(
                homeserver=chosen.homeserver,
                user_id=chosen.user,
                network=network,
                folder=self.settings.hub.state / "matrix" / network,
                password=secret.password.get_secret_value(),
                recovery_key=secret.recovery_key.get_secret_value(),
                pickle_secret=_pickle_secret(secret.recovery_key, master_key(self.settings), name),
                prefix=chosen.prefix,
                rooms=frozenset(filter(None, (chosen.room, chosen.coordinators))),
                bots=frozenset(each.user for each in self.settings.matrix.values()),
            ),
            self.store,
            voice=self.voice(network, chosen.prefix),
            clock=self.clock,
            met=partial(_met, name),
            tell=lambda sentence: log.warning("for the operator", bot=name, said=sentence),
        )
        return bot, self._courier(bot, chosen.prefix)

    async def _discord(self, network: str) -> tuple[Bot, Courier]:
        from bots.discord.client import DiscordAccount, DiscordBot  # noqa: PLC0415 as above

        chosen = self.settings.discord[network]
        name = f"discord:{network}"
        rooms = {Purpose.NETWORK: chosen.channel, Purpose.COORDINATORS: chosen.coordinators}
        await self._settle(name, network, {purpose: str(room or "") for purpose, room in rooms.items()})
        bot = DiscordBot(
            DiscordAccount(
                network=network,
                token=self.settings.secrets.discord[network].token.get_secret_value(),
                folder=self.settings.hub.state / "discord" / network,
                guild=chosen.guild,
                roles={title: Role(role) for role, title in chosen.roles.items()},
                shard_ids=tuple(chosen.shard_ids) if chosen.shard_ids is not None else None,
                shard_count=chosen.shard_count,
            ),
            self.store,
            catalogues=self.catalogues,
            zone=ZoneInfo(self.hub.networks[network].zone),
            clock=self.clock,
            met=partial(_met, name),
        )
        return bot, self._courier(bot, free_replies=True)

    def _courier(self, bot: Bot, prefix: str = "", *, free_replies: bool = False) -> Courier:
        return Courier(
            bot,
            store=self.store,
            hub=self.hub,
            catalogues=self.catalogues,
            clock=self.clock,
            owner=f"{self.owner}.{next(self._numbers)}",  # what a courier had in hand when it ended is the next one's
            prefix=prefix,
            free_replies=free_replies,
        )


def _met(bot: str, session: Session, address: str, room: str) -> None:
    """Remember where a bot meets a person alone."""
    account = members.account(session, platform=bot.partition(":")[0], address=address)
    if account is not None:
        members.set_dm(session, account, bot, room)


def _pickle_secret(recovery_key: SecretStr, master: bytes, name: str) -> str:
    """Derive what seals a bot's encryption store: from its identity if it has one, which outlives the master key."""
    secret = recovery_key.get_secret_value().encode() or master
    return hmac.new(secret, f"pickle:{name}".encode(), hashlib.sha256).hexdigest()


async def _deliver_when_ready(bot: Bot, courier: Courier, listening: asyncio.Event, *, alone: bool) -> None:
    """Deliver once the bot listens: what waits for an absent platform has not been tried."""
    await bot.ready()
    listening.set()
    if alone:
        try:
            await courier.resume()
        except Exception as error:  # then the leases run out by themselves
            log.error("nothing could be resumed", bot=bot.name, error=type(error).__name__, exc_info=error)  # noqa: TRY400
    await courier.run()


def _settled(ready: Callable[[], None]) -> None:
    """Take what lives as long as the process out of the collector's sight: its long pauses were spent on that.

    What loading took beside it, some megabytes, goes back to the system, where the C library knows how.
    """
    gc.collect()
    gc.freeze()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
    ready()


async def _tell_when_ready(listening: Iterable[asyncio.Event], ready: Callable[[], None]) -> None:
    for each in listening:
        await each.wait()
    ready()
