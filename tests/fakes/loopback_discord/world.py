"""What there is: applications, guilds, channels, and who may do what in them."""

import asyncio
import base64
import itertools
import json
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntFlag
from typing import Any, Generic, TypeVar

from tests.fakes.loopback_discord.sessions import Session

EPOCH = 1_420_070_400_000
"""The beginning of Discord's ids, in Unix milliseconds."""

ABANDONED = 32
"""How many sessions without a connection an application keeps."""

Payload = dict[str, Any]
Kept = TypeVar("Kept")


class Permission(IntFlag):
    """The bits that matter here."""

    ADMINISTRATOR = 1 << 3
    MANAGE_GUILD = 1 << 5
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_APPLICATION_COMMANDS = 1 << 31


EVERYTHING = (1 << 53) - 1
ORDINARY = (
    Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.USE_APPLICATION_COMMANDS
)


class Intent(IntFlag):
    """The bits that matter here."""

    GUILDS = 1 << 0
    GUILD_MEMBERS = 1 << 1
    GUILD_PRESENCES = 1 << 8
    GUILD_MESSAGES = 1 << 9
    DIRECT_MESSAGES = 1 << 12
    MESSAGE_CONTENT = 1 << 15


PRIVILEGED = Intent.GUILD_MEMBERS | Intent.GUILD_PRESENCES | Intent.MESSAGE_CONTENT


class Recent(OrderedDict[str, Kept], Generic[Kept]):
    """The latest things by their ids: so many, older ones are forgotten."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: str, value: Kept) -> None:
        super().__setitem__(key, value)
        if len(self) > self._most:
            self.popitem(last=False)


def user(key: str, name: str, *, bot: bool = False) -> Payload:
    """Describe an account as Discord does."""
    return {
        "id": key,
        "username": name,
        "global_name": None if bot else name.title(),
        "discriminator": "0",
        "avatar": None,
        "avatar_decoration_data": None,
        "primary_guild": None,
        "public_flags": 0,
        "flags": 0,
        "bot": bot,
    }


@dataclass(eq=False)
class Application:
    """An application with its bot: its token, its commands, its sessions."""

    id: str
    name: str
    token: str
    intents: int = 0
    """The privileged intents that it was given."""
    commands: dict[str | None, dict[tuple[int, str], Payload]] = field(default_factory=lambda: defaultdict(dict))
    """Of each guild, and with None the global ones; by type and name."""
    creates: dict[str | None, int] = field(default_factory=lambda: defaultdict(int))
    """How many commands were created in each scope."""
    sessions: dict[str, Session] = field(default_factory=dict)
    identified: int = 0
    """How often a session was begun."""
    resumed: int = 0
    """How often one was continued."""
    heartbeats: int = 0
    malformed: dict[str, deque[tuple[str, ...]]] = field(default_factory=lambda: defaultdict(deque))
    """Of each kind of event the keys that the next ones lack."""

    def __post_init__(self) -> None:
        self.user = user(self.id, self.name, bot=True)

    @property
    def connected(self) -> bool:
        """Whether a session of it has a connection."""
        return any(each.connection for each in self.sessions.values())

    def dispatch(self, event: str, data: Payload, *, guild: str | None, intent: int = 0) -> None:
        """Tell the shard that hears of a guild, or of direct messages, if it has the intent."""
        hearing = [each for each in self.sessions.values() if each.hears(guild) and each.intents & intent == intent]
        if hearing:
            text = self.written(event, data)
            for each in hearing:
                each.dispatch(event, text)

    def written(self, event: str, data: Payload) -> str:
        """Write the data of an event, without the keys that it shall lack."""
        if coming := self.malformed.get(event):
            lacking = coming.popleft()
            data = {key: value for key, value in data.items() if key not in lacking}
        return json.dumps(data)

    def enter(self, session: Session) -> None:
        """Keep a new session, and forget the oldest of those that nobody came back to."""
        self.sessions[session.id] = session
        lost = [each for each in self.sessions.values() if each.connection is None]
        for each in lost[:-ABANDONED]:
            del self.sessions[each.id]

    def command(self, kind: int, name: str, guild: str | None) -> Payload | None:
        """Find a command as a client would: one of the guild comes before a global one."""
        scopes = (guild, None) if guild else (None,)
        return next((found for scope in scopes if (found := self.commands[scope].get((kind, name)))), None)


@dataclass
class Member:
    """Somebody, or a bot, in a guild."""

    user: Payload
    joined_at: str
    permissions: int
    locale: str = "en-US"

    def payload(self) -> Payload:
        """Describe the member as Discord does."""
        return {
            "user": self.user,
            "nick": None,
            "avatar": None,
            "banner": None,
            "roles": [],
            "joined_at": self.joined_at,
            "premium_since": None,
            "communication_disabled_until": None,
            "deaf": False,
            "mute": False,
            "pending": False,
            "flags": 0,
        }


@dataclass(eq=False)
class Guild:
    """A server with its channels and members."""

    id: str
    name: str
    locale: str
    made_at: str
    members: dict[str, Member] = field(default_factory=dict)
    channels: dict[str, "Channel"] = field(default_factory=dict)
    applications: dict[str, Application] = field(default_factory=dict)
    everyone: int = int(ORDINARY)

    def permissions(self, key: str) -> int:
        """What a member may do in the whole guild."""
        member = self.members.get(key)
        if member is None:
            return 0
        granted = self.everyone | member.permissions
        return EVERYTHING if granted & Permission.ADMINISTRATOR else granted

    def install(self, application: Application, permissions: int = int(ORDINARY)) -> None:
        """Add an application's bot; its sessions hear of the guild."""
        self.applications[application.id] = application
        self.members[application.id] = Member(application.user, self.made_at, permissions)
        application.dispatch("GUILD_CREATE", self.created(application), guild=self.id, intent=Intent.GUILDS)

    def remove(self, application: Application) -> None:
        """Throw an application's bot out, with its commands here."""
        del self.applications[application.id], self.members[application.id]
        application.commands.pop(self.id, None)
        application.dispatch("GUILD_DELETE", {"id": self.id}, guild=self.id, intent=Intent.GUILDS)

    def channel(self, name: str) -> "Channel":
        """Find a channel by its name."""
        return next(each for each in self.channels.values() if each.name == name)

    def roles(self) -> list[Payload]:
        """The one role that everybody has."""
        return [
            {
                "id": self.id,
                "name": "@everyone",
                "permissions": str(self.everyone),
                "position": 0,
                "color": 0,
                "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
                "hoist": False,
                "managed": False,
                "mentionable": False,
                "icon": None,
                "unicode_emoji": None,
                "flags": 0,
            }
        ]

    def payload(self) -> Payload:
        """Describe the guild as Discord does."""
        return {
            "id": self.id,
            "name": self.name,
            "icon": None,
            "description": None,
            "home_header": None,
            "splash": None,
            "discovery_splash": None,
            "features": [],
            "banner": None,
            "owner_id": next(iter(self.members), self.id),
            "application_id": None,
            "region": "us-west",
            "afk_channel_id": None,
            "afk_timeout": 300,
            "system_channel_id": None,
            "system_channel_flags": 0,
            "widget_enabled": False,
            "widget_channel_id": None,
            "verification_level": 0,
            "roles": self.roles(),
            "default_message_notifications": 1,
            "mfa_level": 0,
            "explicit_content_filter": 0,
            "max_presences": None,
            "max_members": 500_000,
            "max_stage_video_channel_users": 50,
            "max_video_channel_users": 25,
            "vanity_url_code": None,
            "premium_tier": 0,
            "premium_subscription_count": 0,
            "premium_progress_bar_enabled": False,
            "preferred_locale": self.locale,
            "rules_channel_id": None,
            "safety_alerts_channel_id": None,
            "public_updates_channel_id": None,
            "nsfw": False,
            "nsfw_level": 0,
            "emojis": [],
            "stickers": [],
            "hub_type": None,
            "incidents_data": None,
            "latest_onboarding_question_id": None,
            "owner_configured_content_level": 0,
            "moderator_reporting": None,
        }

    def created(self, application: Application) -> Payload:
        """Describe the guild to a bot that enters. Other members are told to nobody without the intent."""
        return {
            **self.payload(),
            "joined_at": self.made_at,
            "large": False,
            "unavailable": False,
            "member_count": len(self.members),
            "members": [self.members[application.id].payload()],
            "channels": [each.payload() for each in self.channels.values()],
            "threads": [],
            "voice_states": [],
            "presences": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
        }


@dataclass(eq=False)
class Channel:
    """A text channel of a guild, or the direct messages of a person with a bot."""

    id: str
    name: str = ""
    guild: Guild | None = None
    position: int = 0
    application: Application | None = None
    """Whose bot the direct messages are with."""
    recipient: Payload | None = None
    """The person whom the direct messages are with."""
    remembered: int = 10_000
    messages: Recent[Any] = field(init=False)
    denied: dict[str, int] = field(default_factory=dict)
    """What single accounts may not do here, or, under the guild's id, everybody who has no exception."""
    granted: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.messages = Recent(self.remembered)

    @property
    def guild_id(self) -> str | None:
        """The guild's id; None for direct messages."""
        return self.guild.id if self.guild else None

    def permissions(self, key: str) -> int:
        """What an account may do here."""
        if self.guild is None:
            assert self.recipient is not None
            assert self.application is not None
            return int(ORDINARY) if key in {self.recipient["id"], self.application.id} else 0
        granted = self.guild.permissions(key)
        if granted == EVERYTHING:
            return granted
        for scope in (self.guild.id, key):
            granted = granted & ~self.denied.get(scope, 0) | self.granted.get(scope, 0)
        return granted if granted & Permission.VIEW_CHANNEL else 0

    def only_for(self, *accounts: str) -> None:
        """Show the channel to nobody but these accounts (and administrators)."""
        assert self.guild is not None
        self.denied[self.guild.id] = int(Permission.VIEW_CHANNEL)
        for each in accounts:
            self.granted[each] = int(Permission.VIEW_CHANNEL)

    def listeners(self) -> Iterator[tuple[Application, int]]:
        """The applications that hear what is said here, and the intent that they need for it."""
        if self.guild is None:
            assert self.application is not None
            yield self.application, int(Intent.DIRECT_MESSAGES)
            return
        for each in self.guild.applications.values():
            if self.permissions(each.id) & Permission.VIEW_CHANNEL:
                yield each, int(Intent.GUILD_MESSAGES)

    def payload(self) -> Payload:
        """Describe the channel as Discord does."""
        last = next(reversed(self.messages), None)
        if self.guild is None:
            return {"id": self.id, "type": 1, "last_message_id": last, "flags": 0, "recipients": [self.recipient]}
        return {
            "id": self.id,
            "type": 0,
            "guild_id": self.guild.id,
            "name": self.name,
            "position": self.position,
            "permission_overwrites": self._overwrites(self.guild),
            "topic": None,
            "nsfw": False,
            "parent_id": None,
            "last_message_id": last,
            "rate_limit_per_user": 0,
            "flags": 0,
        }

    def partial(self, key: str) -> Payload:
        """Describe the channel within an interaction of somebody."""
        payload = self.payload()
        payload.pop("permission_overwrites", None)
        return {**payload, "permissions": str(self.permissions(key))}

    def _overwrites(self, guild: Guild) -> list[Payload]:
        return [
            {
                "id": key,
                "type": 0 if key == guild.id else 1,
                "allow": str(self.granted.get(key, 0)),
                "deny": str(self.denied.get(key, 0)),
            }
            for key in sorted({*self.denied, *self.granted})
        ]


@dataclass(frozen=True)
class Violation:
    """Something that Discord forbids, or a reply of this server that Discord would not give."""

    operation: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.operation}: {self.where or 'body'}: {self.what}"


class World:
    """Everything that there is, and the clock. Ids are Discord's: they tell when a thing was made.

    Args:
        now: the clock, in Unix seconds; deadlines are measured with it.
        deadline: how many seconds an application has for its first response to an interaction.
        token_life: how many seconds the token of an interaction is good for.
        nonce_life: how many seconds a nonce keeps a message from being sent twice.
        attachment_limit: the size of one file, in bytes.
        remembered: how many interactions, and how many messages of a channel, are not forgotten.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.time,
        deadline: float = 3.0,
        token_life: float = 900.0,
        nonce_life: float = 300.0,
        attachment_limit: int = 10 * 2**20,
        remembered: int = 10_000,
    ) -> None:
        self.now = now
        self.deadline = deadline
        self.token_life = token_life
        self.nonce_life = nonce_life
        self.attachment_limit = attachment_limit
        self.url = "http://127.0.0.1"
        self.applications: dict[str, Application] = {}
        self.by_token: dict[str, Application] = {}
        self.guilds: dict[str, Guild] = {}
        self.channels: dict[str, Channel] = {}
        self.users: dict[str, Payload] = {}
        """The accounts of people."""
        self.closed: set[str] = set()
        """Those of them who take no direct messages."""
        self.violations: list[Violation] = []
        self.unknown_routes: list[str] = []
        self.remembered = remembered
        self.news = asyncio.Event()
        """Set when something happens; then another one takes its place."""
        self.interactions: Recent[Any] = Recent(remembered)
        """By their tokens."""
        self.files: Recent[bytes] = Recent(2_000)
        self.nonces: Recent[tuple[float, Any]] = Recent(20_000)
        self._count = itertools.count(1)
        self._direct: dict[tuple[str, str], Channel] = {}

    def new_id(self) -> str:
        """Make the next id."""
        return str((int(self.now() * 1000) - EPOCH) << 22 | next(self._count) & 0x3FFFFF)

    def happened(self) -> None:
        """Wake whoever waits for something to happen."""
        self.news.set()
        self.news = asyncio.Event()

    def stamp(self) -> str:
        """The time as Discord writes it."""
        return datetime.fromtimestamp(self.now(), UTC).isoformat()

    def application(self, name: str, *, token: str | None = None, intents: int = 0) -> Application:
        """Make an application with a bot.

        Args:
            name: its name.
            token: its bot's token; one is made up without it.
            intents: the privileged intents that it may have.
        """
        key = self.new_id()
        start = base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
        made = Application(key, name, token or f"{start}.loop.{name}", intents=intents)
        self.applications[key] = self.by_token[made.token] = made
        return made

    def guild(
        self,
        name: str,
        *applications: Application,
        channels: Iterable[str] = ("general",),
        locale: str = "en-US",
        key: str | None = None,
    ) -> Guild:
        """Make a guild with channels, and install applications. Its key, if given, decides about the shard."""
        made = Guild(key or self.new_id(), name, locale, self.stamp())
        self.guilds[made.id] = made
        for each in channels:
            self.channel(made, each)
        for application in applications:
            made.install(application)
        return made

    def channel(self, guild: Guild, name: str) -> Channel:
        """Add a text channel."""
        made = Channel(self.new_id(), name, guild, position=len(guild.channels), remembered=self.remembered)
        guild.channels[made.id] = self.channels[made.id] = made
        for each in guild.applications.values():
            each.dispatch("CHANNEL_CREATE", made.payload(), guild=guild.id, intent=Intent.GUILDS)
        return made

    def direct(self, application: Application, recipient: Payload) -> Channel:
        """Find or open the direct messages of a bot with a person."""
        pair = (application.id, recipient["id"])
        if pair not in self._direct:
            made = Channel(self.new_id(), application=application, recipient=recipient, remembered=self.remembered)
            self._direct[pair] = self.channels[made.id] = made
        return self._direct[pair]

    def shared_guild(self, application: Application, key: str) -> bool:
        """Whether a bot and an account meet in some guild."""
        return any(application.id in each.members and key in each.members for each in self.guilds.values())
