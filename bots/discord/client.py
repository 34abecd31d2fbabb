"""DiscordBot: one application in one network's server. It hears, has it answered, and delivers.

Discord gives three seconds for the first response, and its own client tells people when there was none. So a command
runs at once, and what it says is the first response. A command that takes longer is first kept in the inbox and then
deferred: from there on it is never lost, whatever happens to this process. A command's transaction that changes
something marks it as done and puts its answer into the outbox, from where a courier hands it to `deliver`; the way
back to the question is tried first, and where that has expired, the person's private chat.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from zoneinfo import ZoneInfo

import aiohttp
import discord
import structlog
from discord import app_commands

from bots.bot import Parcel, SignedOut, Undelivered
from bots.discord.controls import CONTROLS, LONGEST_ID, filled, form
from bots.discord.declare import Names, declare, fingerprint, payload
from bots.discord.render import Message, dressed, enclosed, render
from commands.core.dispatch import Blank, Dispatcher, Heard, Said
from commands.core.feature import Command, Shown
from commands.core.kinds import MOST_SUGGESTED
from commands.core.line import Call
from commands.core.reply import File, Picture, Reply
from commands.core.strings import Catalogues
from commands.core.text import Voice, _
from storage import inbox
from storage.members import Role
from storage.store import Session, Store

log = structlog.get_logger()

T = TypeVar("T")

HEAD_START: Final = 1.0
"""Seconds that a command may take before it is deferred: nobody is told to wait for what is there at once."""
KEEPING: Final = 0.8
"""Seconds that the database gets to keep what is about to be deferred; the deadline does not wait longer."""
FIRST_RESPONSE: Final = 2.5
"""Seconds that a suggestion or a form may take: Discord takes no first response after three, and clocks differ."""
REMEMBERED: Final = timedelta(minutes=2)
"""For how long Discord surely recognises a repeated nonce."""
LAST_WORDS: Final = 5.0
"""Seconds that commands in hand get when the bot stops."""
FORGET: Final = 60.0
"""Seconds for which the way back to a question is remembered when its answer went into the outbox."""
ORIGINAL: Final = "@original"
"""Discord's own name for the first response; the library knows numbers only."""

UNKNOWN: Final = "Discord does not know this bot token; make a new one and set it."

_TOO_LATE: Final = frozenset({10008, 10015, 10062, 50027})
"""Unknown message, unknown webhook, unknown interaction, invalid webhook token: the way back has expired."""
_ACKNOWLEDGED: Final = 40060
_CLOSED: Final = frozenset({50007, 50278})
"""Cannot send messages to this user; no common server: that is the person's own choice."""


@dataclass(frozen=True, kw_only=True)
class DiscordAccount:
    """Who a bot is on Discord, and where it works.

    Attributes:
        network: the network it serves.
        token: the application's bot token.
        folder: where it keeps what it declared last.
        guild: the one server it serves.
        roles: what somebody new may do at once, who bears a role of this name in the server.
        shard_ids, shard_count: this process's part of the application; None for all of it.
    """

    network: str
    token: str = field(repr=False)
    folder: Path
    guild: int
    roles: Mapping[str, Role] = field(default_factory=dict)
    shard_ids: tuple[int, ...] | None = None
    shard_count: int | None = None


@dataclass
class _Way:
    """The way back to something that was asked, while this process knows it. There is one first response on it."""

    interaction: discord.Interaction
    deferred: bool = False
    closed: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def in_server(self) -> bool:
        """Whether others can see it if it is not hidden."""
        return self.interaction.guild_id is not None


class _Tree(app_commands.CommandTree[discord.Client]):
    """The declared commands; what Discord sends for others than these gets a sentence."""

    async def on_error(self, interaction: discord.Interaction, error: app_commands.AppCommandError) -> None:
        """Answer what could not even be started, without ever raising again."""
        await cast(_Client, interaction.client).bot.could_not_begin(interaction, error)


class _Client(discord.AutoShardedClient):
    """The library's client, with nothing cached but the servers, and without a mention that is not meant."""

    def __init__(self, bot: DiscordBot, account: DiscordAccount) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            guild_ready_timeout=0.1,  # roles of the one server are all that is read of it
            max_ratelimit_timeout=30.0,
            shard_count=account.shard_count,
            shard_ids=cast(list[int], account.shard_ids),  # None means all of them
        )
        self.bot = bot
        self.tree = _Tree(self)

    async def setup_hook(self) -> None:
        await self.bot.set_up(self)

    async def on_ready(self) -> None:
        self.bot.listens()

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        if interaction.type is discord.InteractionType.modal_submit:
            await self.bot.submitted(interaction)

    async def pressed(self, interaction: discord.Interaction, *, said: str, question: str | None = None) -> None:
        """See `controls.Hears`."""
        await self.bot.pressed(interaction, said=said, question=question)

    async def wants_form(self, interaction: discord.Interaction, question: str) -> None:
        """See `controls.Hears`."""
        await self.bot.wants_form(interaction, question)


async def sign_in(token: str) -> str:
    """Sign in once, without listening, and say that it worked.

    Raises:
        SignedOut: Discord does not know the token.
        discord.HTTPException, aiohttp.ClientError: Discord cannot be reached, or is in trouble.
    """
    async with discord.Client(intents=discord.Intents.none()) as client:
        try:
            await client.login(token)
        except discord.LoginFailure:
            raise SignedOut(UNKNOWN) from None
    return "knows the token"


class DiscordBot:
    """A bot on Discord; see `bots.bot.Bot`.

    Args:
        account: who it is and where it works.
        store: where the inbox is kept.
        catalogues: what it speaks with somebody whose language nobody knows yet.
        zone: the network's zone.
        clock: tells the time.
        met: remembers, in a transaction, where the bot meets a person alone: (session, account, room).
    """

    def __init__(
        self,
        account: DiscordAccount,
        store: Store,
        *,
        catalogues: Catalogues,
        zone: ZoneInfo,
        clock: Callable[[], datetime],
        met: Callable[[Session, str, str], None] = lambda _session, _address, _room: None,
    ) -> None:
        logging.getLogger("discord").setLevel(logging.CRITICAL)  # it logs people and tokens
        self.name = f"discord:{account.network}"
        self.network = account.network
        self._account = account
        self._store = store
        self._catalogues = catalogues
        self._zone = zone
        self._clock = clock
        self._remember_dm = met
        self._client: _Client | None = None
        self._dispatcher: Dispatcher | None = None
        self._ready = asyncio.Event()
        self._ways: dict[str, _Way] = {}
        self._in_hand: set[asyncio.Task[None]] = set()

    # -- life -----------------------------------------------------------------------------------------------------

    async def run(self, dispatcher: Dispatcher) -> None:
        """Hear people until cancelled.

        Raises:
            SignedOut: Discord does not know the token.
            Unfit: the commands are more than Discord takes.
            Exception: the connection could not be made, or broke in a way that the library cannot mend; begin anew.
        """
        self._dispatcher = dispatcher
        client = self._client = _Client(self, self._account)
        try:
            await client.start(self._account.token)
            raise ConnectionError("the gateway was closed")
        except discord.LoginFailure:
            raise SignedOut(UNKNOWN) from None
        except discord.ConnectionClosed as closed:
            if closed.code == 4004:
                raise SignedOut(UNKNOWN) from None
            raise
        finally:
            self._ready.clear()
            if self._in_hand:
                await asyncio.wait(self._in_hand, timeout=LAST_WORDS)
            for task in self._in_hand:
                task.cancel()
            await asyncio.gather(*self._in_hand, return_exceptions=True)
            await client.close()

    async def ready(self) -> None:
        """Wait until the bot listens."""
        await self._ready.wait()

    def listens(self) -> None:
        """Note that every shard of this process is connected."""
        if not self._ready.is_set():
            log.info("listening", bot=self.name)
        self._ready.set()

    async def set_up(self, client: _Client) -> None:
        """Declare the commands, and tell Discord if they are not what it knows; go on with what was left undone."""
        client.add_dynamic_items(*CONTROLS)
        for command in declare(self._dispatch.commands, said=self._typed, suggest=self._suggest):
            client.tree.add_command(command)
        names = Names(self._catalogues)
        await client.tree.set_translator(names)
        declared = await payload(client.tree, names)
        await self._declare(client, fingerprint(declared, str(client.application_id)))
        for key, words in await self._store.run(partial(inbox.pending, bot=self.name)):
            try:
                heard = Heard(**{**json.loads(words), "key": key})
            except (TypeError, ValueError):  # another version has kept it
                log.error("something deferred that cannot be read is left unanswered", bot=self.name)  # noqa: TRY400
                await self._store.run(partial(inbox.done, bot=self.name, key=key, now=self._clock()))
            else:
                self._begin(self._answer_left(heard))

    async def _declare(self, client: _Client, mark: str) -> None:
        """Tell Discord the commands, unless it was told these before: it counts, and forbids too much of it."""
        known = self._account.folder / "declared"
        if known.exists() and known.read_text(encoding="utf-8") == mark:
            return
        try:
            await client.tree.sync()
        except (discord.HTTPException, discord.RateLimited, app_commands.AppCommandError) as error:
            # The menus of before still work; the next start tries again.
            log.error("the commands could not be declared", bot=self.name, error=type(error).__name__)  # noqa: TRY400
            return
        self._account.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        known.write_text(mark, encoding="utf-8")
        log.info("commands declared", bot=self.name)

    @property
    def _dispatch(self) -> Dispatcher:
        if self._dispatcher is None:
            raise RuntimeError("the bot does not run")
        return self._dispatcher

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._in_hand.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._in_hand.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an answer failed", bot=self.name, error=type(error).__name__, exc_info=error)

    # -- hearing --------------------------------------------------------------------------------------------------

    async def _typed(self, interaction: discord.Interaction, command: Command[...], values: Mapping[str, str]) -> None:
        """Take an app command; where words are missing that people write, a form asks for them first."""
        await self._know_the_server()
        line = Call(command.path, values).line()
        heard = self._heard(interaction, line)
        lacking = any(each.required and each.kind.prose and each.name not in values for each in command.params.values())
        if lacking and len(line) <= LONGEST_ID and self._is_at_home(interaction):
            blank = await self._blank(heard)
            if blank is not None and await self._opened(interaction, blank, line):
                return
        await self._hear(interaction, heard)

    async def pressed(self, interaction: discord.Interaction, *, said: str, question: str | None) -> None:
        """Take a pressed button or a choice: a line, or the number of one that a question's form keeps."""
        await self._hear(interaction, self._heard(interaction, said, question=question))

    async def wants_form(self, interaction: discord.Interaction, question: str) -> None:
        """Open the form of a question; what it is too late for is answered with a sentence."""
        heard = self._heard(interaction, "", question=question, given={})
        blank = await self._blank(heard)
        if blank is None or not await self._opened(interaction, blank, f"?{question}"):
            await self._hear(interaction, heard)

    async def submitted(self, interaction: discord.Interaction) -> None:
        """Take a form that was filled in, also one that was opened before this process began."""
        id_ = str(cast(dict[str, Any], interaction.data)["custom_id"])
        question = id_[1:] if id_.startswith("?") else None
        said = "" if question else id_
        await self._hear(interaction, self._heard(interaction, said, question=question, given=filled(interaction)))

    async def _suggest(
        self, interaction: discord.Interaction, command: Command[...], param: str, typed: str, given: Mapping[str, str]
    ) -> list[app_commands.Choice[str]]:
        """Return what may be meant; whatever goes wrong, people can still type."""
        heard = self._heard(interaction, Call(command.path, given).line())
        try:
            async with asyncio.timeout(FIRST_RESPONSE):
                voice, choices = await self._dispatch.suggest(heard, param, typed)
        except Exception as error:  # noqa: BLE001 a failed suggestion is no suggestion
            log.warning("nothing could be suggested", bot=self.name, error=type(error).__name__)
            return []
        # A moment is written out here: no list shows Discord's own mark for it.
        return [
            app_commands.Choice(name=voice.say(each.label)[:100] or each.value, value=each.value)
            for each in choices
            if 1 <= len(each.value) <= 100
        ][:MOST_SUGGESTED]

    def _is_at_home(self, interaction: discord.Interaction) -> bool:
        """Tell whether it was said in our server, or to us alone: not where others are whom we do not see."""
        if interaction.guild_id is None:
            return not interaction.context.private_channel
        return interaction.guild_id == self._account.guild

    def _heard(
        self,
        interaction: discord.Interaction,
        said: str,
        *,
        question: str | None = None,
        given: Mapping[str, str] | None = None,
    ) -> Heard:
        return Heard(
            platform="discord",
            address=str(interaction.user.id),
            bot=self.name,
            network=self.network,
            room=str(interaction.channel_id),
            private=interaction.guild_id is None,
            said=said,
            locale=str(interaction.locale).partition("-")[0],
            key=str(interaction.id),
            native=True,
            question=question,
            given=given,
            ticket=f"{interaction.id}:{interaction.token}",
            vouched=tuple(sorted(self._vouched(interaction))),
        )

    async def _know_the_server(self) -> None:
        """Wait a moment for the server's roles, where they say what somebody new may do."""
        if self._account.roles and not self._ready.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(HEAD_START):
                    await self._ready.wait()

    def _vouched(self, interaction: discord.Interaction) -> set[Role]:
        """Return what the server's own roles say that somebody new may do."""
        if not self._account.roles or not isinstance(interaction.user, discord.Member):
            return set()
        borne = (self._account.roles.get(role.name) for role in interaction.user.roles)
        return {role for role in borne if role is not None}

    async def _blank(self, heard: Heard) -> Blank | None:
        """Return the form to open, unless finding it takes so long that none could be promised in time."""
        try:
            async with asyncio.timeout(FIRST_RESPONSE - HEAD_START - KEEPING):
                return await self._dispatch.blank(heard)
        except Exception as error:  # noqa: BLE001 then the question is put as a message
            log.warning("a form could not be made", bot=self.name, error=type(error).__name__)
            return None

    async def _opened(self, interaction: discord.Interaction, blank: Blank, custom_id: str) -> bool:
        try:
            await self._once_more(lambda: interaction.response.send_modal(form(blank, custom_id=custom_id)))
        except discord.HTTPException as error:
            return error.code == _ACKNOWLEDGED
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False
        return True

    # -- having it answered ---------------------------------------------------------------------------------------

    async def _hear(self, interaction: discord.Interaction, heard: Heard) -> None:
        """Have something answered. This ends when it is, or stands in the outbox; nothing is lost if it does not."""
        if not self._is_at_home(interaction):
            elsewhere = Reply(_("I am at home in another server. Please write to me there, or to me alone."))
            await self._say_only(interaction, elsewhere)
            return
        self._begin(self._have_answered(interaction, heard))

    async def _have_answered(self, interaction: discord.Interaction, heard: Heard) -> None:
        key = heard.key or ""
        way = self._ways[key] = _Way(interaction)
        answering = asyncio.ensure_future(self._answered_and_drawn(heard))
        try:
            done, _running = await asyncio.wait({answering}, timeout=HEAD_START)
            if not done:
                await self._defer(way, heard)
            said, files = await answering
        finally:
            answering.cancel()
        if said is not None and not await self._says_at_once(way, said, files):
            await self._surely(lambda: self._dispatch.hand_over(heard, said))
            asyncio.get_running_loop().call_later(FORGET, self._ways.pop, key, None)
        else:
            self._ways.pop(key, None)
            if said is not None and said.kept:
                await self._surely(lambda: self._dispatch.arrived(heard, key))

    async def _answered_and_drawn(self, heard: Heard) -> tuple[Said | None, list[File] | None]:
        """Have something answered, and draw what takes long to draw: people wait for both."""
        said = await self._answered(heard)
        return said, None if said is None else await _drawn(said.reply, said.voice)

    async def _answered(self, heard: Heard) -> Said | None:
        return await self._surely(lambda: self._dispatch.answer(heard))

    async def _surely(self, work: Callable[[], Awaitable[T]]) -> T:
        """Have something done in the database, however long that is away."""
        pause = 0.5
        while True:
            try:
                return await work()
            except Exception as error:
                what = type(error).__name__
                log.error("a command is tried again", bot=self.name, error=what, exc_info=error)  # noqa: TRY400
                await asyncio.sleep(pause)
                pause = min(pause * 2, 30.0)

    async def _answer_left(self, heard: Heard) -> None:
        """Answer what the process before this one deferred and did not answer."""
        said = await self._answered(heard)
        if said is not None:
            await self._surely(lambda: self._dispatch.hand_over(heard, said))

    async def _says_at_once(self, way: _Way, said: Said, files: list[File] | None) -> bool:
        """Say it, if nothing was said so far; False if it is not certain that it arrived."""
        hidden = said.shown is Shown.ACTOR
        try:
            return await self._say_first(
                way, said.reply, said.voice, hidden=hidden, question=said.question, files=files
            )
        except (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError, RuntimeError):
            way.closed = True
            return False

    async def _defer(self, way: _Way, heard: Heard) -> None:
        """Keep what was heard, then tell Discord that an answer will come; the second does not wait for the first."""
        kept = asyncio.ensure_future(self._store.run(partial(self._keep_heard, heard)))
        kept.add_done_callback(_seen)
        await asyncio.wait({kept}, timeout=KEEPING)
        hidden = way.in_server and self._dispatch.shown(heard) is Shown.ACTOR
        async with way.turn:
            if way.interaction.response.is_done():
                return
            try:
                await self._once_more(lambda: way.interaction.response.defer(ephemeral=hidden, thinking=True))
            except discord.HTTPException as error:
                way.deferred = error.code == _ACKNOWLEDGED
                way.closed = not way.deferred
            except (aiohttp.ClientError, OSError, TimeoutError, RuntimeError):
                way.closed = True
            else:
                way.deferred = True

    def _keep_heard(self, heard: Heard, session: Session) -> None:
        said = {name: value for name, value in vars(heard).items() if name != "key"}
        inbox.receive(session, self.name, [(heard.key or "", json.dumps(said))], None, self._clock())

    @staticmethod
    async def _once_more(request: Callable[[], Awaitable[T]]) -> T:
        """Make a request, and once more if the connection broke: the library repeats everything but that."""
        try:
            return await request()
        except (aiohttp.ClientConnectionError, ConnectionResetError):
            return await request()

    async def _say_first(
        self,
        way: _Way,
        reply: Reply,
        voice: Voice,
        *,
        hidden: bool,
        question: str | None = None,
        files: list[File] | None = None,
    ) -> bool:
        """Say something as the first response; False if there was one already, which may be this or a promise."""
        respond = way.interaction.response

        async def say() -> None:
            with _sent(await _written(reply, voice, question=question, files=files)) as message:
                await respond.send_message(view=message.view, files=message.files, ephemeral=hidden and way.in_server)

        async with way.turn:
            if respond.is_done() or way.deferred or way.closed:
                return False
            try:
                await self._once_more(say)
            except discord.HTTPException as error:
                if error.code == _ACKNOWLEDGED:
                    return False
                raise
        return True

    async def could_not_begin(self, interaction: discord.Interaction, error: app_commands.AppCommandError) -> None:
        """Answer what Discord sent and no declared command takes; see `_Tree`. Who only types is suggested nothing."""
        cause = getattr(error, "original", error)
        log.error("a command could not begin", bot=self.name, error=type(cause).__name__, exc_info=cause)
        if interaction.type is discord.InteractionType.autocomplete:
            with suppress(discord.DiscordException, aiohttp.ClientError, OSError, RuntimeError):
                await interaction.response.autocomplete([])
            return
        said = Reply(_("I do not know this command as it is here. Please choose it from the list again."))
        await self._say_only(interaction, said)

    async def _say_only(self, interaction: discord.Interaction, reply: Reply) -> None:
        """Say something that no command said; nobody misses it if it does not arrive."""
        with suppress(discord.DiscordException, aiohttp.ClientError, OSError, RuntimeError):
            await self._say_first(_Way(interaction), reply, self._voice(interaction), hidden=True)

    def _voice(self, interaction: discord.Interaction) -> Voice:
        """Return how to speak with somebody without asking the database."""
        return Voice(self._catalogues.speak(str(interaction.locale).partition("-")[0]), self._zone)

    # -- delivering -----------------------------------------------------------------------------------------------

    async def deliver(self, parcel: Parcel, reply: Reply, voice: Voice) -> str:
        """Deliver a parcel once; see `bots.bot.Bot`. An answer goes back to its question, else to the person alone."""
        if self._client is None or not self._ready.is_set():
            raise Undelivered("the bot is not connected")
        async with _judged():
            if parcel.ticket is not None:
                remote = await self._go_back(parcel, reply, voice)
                if remote is not None:
                    return remote
                if parcel.place not in {None, parcel.dm}:
                    raise Undelivered("a personal answer came too late, and its room is not private", permanent=True)
            return await self._write(parcel, reply, voice)

    async def _go_back(self, parcel: Parcel, reply: Reply, voice: Voice) -> str | None:
        """Answer where it was asked; None if that is too late."""
        key, _colon, token = (parcel.ticket or "").partition(":")
        way = self._ways.get(key)
        try:
            if way is None or not await self._say_first(
                way, reply, voice, hidden=not parcel.public, question=parcel.question
            ):
                return await self._fill_in(self._followup(token), parcel, reply, voice)
        except discord.HTTPException as error:
            if error.code in _TOO_LATE or error.status == 404:
                return None
            raise
        self._ways.pop(key, None)
        return key

    async def _fill_in(self, webhook: discord.Webhook, parcel: Parcel, reply: Reply, voice: Voice) -> str | None:
        """Put the answer in place of "thinking"; what the room may not see follows it, for the person alone.

        Whether it was said already only Discord knows for sure: another process may have begun this. It does not
        tell whether something followed for the person alone; None if that has to be said elsewhere.
        """
        original = await webhook.fetch_message(cast(int, ORIGINAL))
        told_away = parcel.asked is not None and not parcel.public and not original.flags.ephemeral
        if not original.flags.loading:
            return None if told_away else str(original.id)
        first = Reply(_("I have answered for you alone.")) if told_away else reply
        with _sent(await _written(first, voice, question=None if told_away else parcel.question)) as message:
            await webhook.edit_message(original.id, view=message.view, attachments=message.files)
        if told_away:
            with _sent(await _written(reply, voice, question=parcel.question)) as message:
                await webhook.send(view=message.view, files=message.files, ephemeral=True, wait=True)
        return str(original.id)

    def _followup(self, token: str) -> discord.Webhook:
        client = self._connected
        webhook = discord.Webhook.partial(client.application_id or 0, token, client=client)
        webhook.type = discord.WebhookType.application  # what others send cannot be for one person alone
        return webhook

    @property
    def _connected(self) -> _Client:
        if self._client is None:
            raise Undelivered("the bot is not connected")
        return self._client

    async def _write(self, parcel: Parcel, reply: Reply, voice: Voice) -> str:
        """Write into a room, or to a person alone."""
        client = self._connected
        room = parcel.place or parcel.dm
        if room is None:
            if parcel.address is None:
                raise Undelivered("nobody is there to read it", permanent=True)
            opened = await client.create_dm(discord.Object(int(parcel.address)))
            room = str(opened.id)
            await self._store.run(lambda session: self._remember_dm(session, parcel.address or "", str(opened.id)))
        try:
            return await self._write_into(client.get_partial_messageable(int(room)), parcel, reply, voice)
        except discord.NotFound:
            if parcel.place is not None or parcel.dm is None:
                raise
        return await self._write(replace(parcel, dm=None), reply, voice)  # the room was a hint only

    async def _write_into(self, channel: discord.PartialMessageable, parcel: Parcel, reply: Reply, voice: Voice) -> str:
        pinged = parcel.address if parcel.mention and parcel.place is not None else None
        with _sent(await _written(reply, voice, question=parcel.question, mention=pinged)) as message:
            said = await self._said_before(channel, parcel, message)
            if said is not None:
                return said
            sent = await channel.send(
                view=message.view,
                files=message.files,
                nonce=parcel.tx_id,
                allowed_mentions=_only(pinged),
            )
        return str(sent.id)

    async def _said_before(self, channel: discord.PartialMessageable, parcel: Parcel, message: Message) -> str | None:
        """Find in the room what was said in a former try, when that is longer ago than Discord remembers a nonce."""
        since = parcel.first_try_at
        if since is None or self._clock() - since < REMEMBERED:
            return None
        me = self._connected.user
        shift = self._clock() - datetime.now(UTC)
        words = _words_of(message.view.to_components())  # type: ignore[no-untyped-call]
        async for each in channel.history(limit=100, after=since - shift - timedelta(minutes=1)):
            if me is not None and each.author.id == me.id and _words_of(each.components) == words:
                return str(each.id)
        return None


def _only(address: str | None) -> discord.AllowedMentions:
    """Allow one person to be notified, or nobody."""
    users = [discord.Object(int(address))] if address else False
    return discord.AllowedMentions(everyone=False, roles=False, replied_user=False, users=users)


def _words_of(components: Any) -> list[str]:
    """Return every text of a message's components, in order."""
    found: list[str] = []
    for each in components:
        as_dict = each if isinstance(each, dict) else each.to_dict()
        if isinstance(as_dict.get("content"), str):
            found.append(as_dict["content"])
        found += _words_of(as_dict.get("components", []))
    return found


async def _drawn(reply: Reply, voice: Voice) -> list[File] | None:
    """Draw what takes long to draw, beside the other work; None where nothing does."""
    if reply.page is None and not any(isinstance(block, Picture) for block in reply.blocks):
        return None
    try:
        return await asyncio.to_thread(enclosed, reply, dressed(voice))
    except Exception as error:  # the words are worth more than the picture
        log.error("a picture could not be drawn", error=type(error).__name__, exc_info=error)  # noqa: TRY400
        return []


async def _written(
    reply: Reply,
    voice: Voice,
    *,
    question: str | None = None,
    mention: str | None = None,
    files: list[File] | None = None,
) -> Message:
    """Write a reply as a message, with the files that were drawn for it if they are there."""
    files = await _drawn(reply, voice) if files is None else files
    return render(reply, dressed(voice), question=question, mention=mention, files=files)


@contextmanager
def _sent(message: Message) -> Iterator[Message]:
    """Lend a message out for one request: its files are closed then, and the library keeps nothing of its buttons."""
    message.view.stop()  # ours need no memory; the library would hold each view, with a timer, for minutes
    try:
        yield message
    finally:
        for file in message.files:
            file.close()


def _seen(task: asyncio.Future[None]) -> None:
    """Note that keeping failed: the command runs all the same, but would not survive this process."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("what is deferred could not be kept", error=type(error).__name__)


@asynccontextmanager
async def _judged() -> AsyncIterator[None]:
    """Turn what can go wrong with a request into what it means: will another try help, and when?"""
    try:
        yield
    except discord.RateLimited as limited:
        raise Undelivered("too fast for Discord", retry_after=limited.retry_after) from limited
    except discord.Forbidden as error:
        # Rights that we lack are given back, and a refusal without a code is no word of Discord's own.
        closed = error.code in _CLOSED
        reason = "private messages are closed" if closed else f"forbidden ({error.code})"
        raise Undelivered(reason, permanent=closed) from error
    except discord.DiscordServerError as error:
        raise Undelivered(f"Discord is in trouble ({error.status})") from error
    except discord.HTTPException as error:
        for_now = error.status in {401, 429}  # signed out, which an operator mends, or throttled
        raise Undelivered(f"Discord refused it ({error.status}, {error.code})", permanent=not for_now) from error
    except (aiohttp.ClientError, OSError, TimeoutError, RuntimeError) as error:
        raise Undelivered(f"Discord is away ({type(error).__name__})") from error
