"""Messages: made from what an application sends, shown as Discord shows them."""

import itertools
import mimetypes
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.fakes.loopback_discord import rules
from tests.fakes.loopback_discord.refusals import Code, Refusal, Wrong, invalid
from tests.fakes.loopback_discord.rules import COMPONENTS_V2, EPHEMERAL, LOADING, SUPPRESS_EMBEDS
from tests.fakes.loopback_discord.world import Application, Channel, Intent, Payload, Permission, World

EDITABLE = COMPONENTS_V2 | SUPPRESS_EMBEDS
MENTION = re.compile(r"<@!?(\d+)>")


@dataclass(frozen=True)
class Upload:
    """A file that came with a request; `field` is the name of its part."""

    field: str
    name: str
    content: bytes
    media_type: str

    @property
    def index(self) -> str:
        """The number under which the body speaks of it."""
        return self.field.removeprefix("files[").removesuffix("]")


@dataclass(frozen=True)
class Button:
    """A button as people see it."""

    label: str
    custom_id: str | None
    url: str | None
    disabled: bool
    style: int
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Select:
    """A select menu as people see it; its options are pairs of label and value."""

    custom_id: str
    placeholder: str
    options: tuple[tuple[str, str], ...]
    payload: Mapping[str, Any]


class Message:
    """One message. It changes when it is edited.

    Attributes:
        payload: as Discord describes it.
        only_for: the id of the one person who sees it; None if everybody in the channel does.
        edits: how often it was edited.
        deleted: whether it is gone.
    """

    def __init__(self, world: World, channel: Channel, payload: Payload, only_for: str | None = None) -> None:
        self.world = world
        self.channel = channel
        self.payload = payload
        self.only_for = only_for
        self.edits = 0
        self.deleted = False

    @property
    def id(self) -> str:
        return self.payload["id"]

    @property
    def content(self) -> str:
        return self.payload["content"]

    @property
    def author(self) -> str:
        """The id of who wrote it."""
        return self.payload["author"]["id"]

    @property
    def embeds(self) -> list[Payload]:
        return self.payload["embeds"]

    @property
    def components(self) -> list[Payload]:
        return self.payload["components"]

    @property
    def flags(self) -> int:
        return self.payload["flags"]

    @property
    def ephemeral(self) -> bool:
        """Whether only one person sees it."""
        return bool(self.flags & EPHEMERAL)

    @property
    def thinking(self) -> bool:
        """Whether it only says that the application is thinking."""
        return bool(self.flags & LOADING)

    @property
    def text(self) -> str:
        """Everything that can be read in it, a line each: content, embeds, text displays."""
        return "\n".join(filter(None, self._lines()))

    @property
    def pings(self) -> set[str]:
        """Who is notified: ids, and "everyone"."""
        everyone = {"everyone"} if self.payload["mention_everyone"] else set()
        return {each["id"] for each in self.payload["mentions"]} | everyone

    @property
    def files(self) -> dict[str, bytes]:
        """The attached files by their names."""
        return {each["filename"]: self.world.files[each["id"]] for each in self.payload["attachments"]}

    @property
    def buttons(self) -> list[Button]:
        """Every button in it, in order."""
        return [
            Button(
                each.get("label") or (each.get("emoji") or {}).get("name") or "",
                each.get("custom_id"),
                each.get("url"),
                bool(each.get("disabled")),
                each["style"],
                each,
            )
            for _, each in rules.walk(self.components)
            if each["type"] == rules.BUTTON
        ]

    @property
    def selects(self) -> list[Select]:
        """Every select menu in it, in order."""
        return [
            Select(
                each["custom_id"],
                each.get("placeholder") or "",
                tuple((option["label"], option["value"]) for option in each.get("options") or ()),
                each,
            )
            for _, each in rules.walk(self.components)
            if each["type"] in rules.SELECTS
        ]

    def seen_by(self, key: str) -> bool:
        """Whether an account can see it."""
        if self.deleted or (self.only_for is not None and key != self.only_for):
            return False
        return bool(self.channel.permissions(key) & Permission.VIEW_CHANNEL)

    def edit(self, body: Payload, uploads: Sequence[Upload]) -> None:
        """Change what the body names. What is "thinking" no longer is.

        Raises:
            Refusal: the result would not be a message.
        """
        kept = self._kept(body)
        uploads = _named(body, uploads, {each["id"] for each in kept})
        v2 = bool((self.flags | (body.get("flags") or 0)) & COMPONENTS_V2)
        merged = {key: body[key] if key in body else self.payload[key] for key in ("content", "embeds", "components")}
        check = {**body, "flags": (body.get("flags") or 0) | (self.flags & COMPONENTS_V2)}
        if v2:
            check |= {"content": merged["content"], "embeds": merged["embeds"]}
        names = [each["filename"] for each in kept]
        wrongs = rules.of_message(check, [each.name for each in uploads], kept=names, was_v2=v2, may_be_ephemeral=True)
        _refuse(self.world, wrongs, uploads)
        if not any(merged.values()) and not kept and not uploads:
            raise Refusal(Code.EMPTY_MESSAGE)
        attachments = kept + _attachments(self.world, self.channel, body, uploads, ephemeral=self.ephemeral)
        links = {each["filename"]: each for each in attachments}
        if "content" in body:
            self.payload["content"] = body["content"] or ""
        if "embeds" in body:
            self.payload["embeds"] = _embeds(body["embeds"] or (), links)
        if "components" in body:
            self.payload["components"] = _components(self.world, body["components"] or (), links)
        self.payload["attachments"] = attachments
        self.payload["flags"] = (self.flags & ~LOADING) | ((body.get("flags") or 0) & EDITABLE)
        self.payload["edited_timestamp"] = self.world.stamp()
        self.edits += 1
        tell(self, "MESSAGE_UPDATE")

    def delete(self) -> None:
        """Take it away."""
        self.deleted = True
        self.channel.messages.pop(self.id, None)
        if self.only_for is None:
            gone = {"id": self.id, "channel_id": self.channel.id}
            if self.channel.guild_id:
                gone["guild_id"] = self.channel.guild_id
            for application, intent in self.channel.listeners():
                application.dispatch("MESSAGE_DELETE", gone, guild=self.channel.guild_id, intent=intent)

    def _kept(self, body: Payload) -> list[Payload]:
        """The files that stay; a body that does not speak of files leaves them all."""
        if body.get("attachments") is None:
            return list(self.payload["attachments"])
        wanted = {str(each["id"]) for each in body["attachments"]}
        return [each for each in self.payload["attachments"] if each["id"] in wanted]

    def _lines(self) -> Iterator[str]:
        yield self.content
        for each in self.embeds:
            yield each.get("title", "")
            yield each.get("description", "")
            for field in each.get("fields", ()):
                yield f"{field['name']}: {field['value']}"
            yield each.get("footer", {}).get("text", "")
        for _, each in rules.walk(self.components):
            yield each.get("content", "")


def post(
    world: World,
    channel: Channel,
    author: Payload,
    body: Payload,
    uploads: Sequence[Upload] = (),
    *,
    application: Application | None = None,
    only_for: str | None = None,
    flags: int = 0,
    replies: bool = False,
    more: Mapping[str, Any] | None = None,
) -> Message:
    """Send a message into a channel and tell those who listen.

    Args:
        world: where.
        channel: in which channel.
        author: who writes.
        body: what.
        uploads: the files that came with it.
        application: whose the message is, if it is an application's.
        only_for: the one person who sees it.
        flags: bits that an author cannot set.
        replies: it answers an interaction.
        more: what else Discord says of it.

    Raises:
        Refusal: this is not a message.
    """
    uploads = _named(body, uploads, set())
    if not flags & LOADING:
        wrongs = rules.of_message(body, [each.name for each in uploads], may_be_ephemeral=replies)
        _refuse(world, wrongs, uploads)
        if not uploads and not any(body.get(key) for key in ("content", "embeds", "components", "poll", "sticker_ids")):
            raise Refusal(Code.EMPTY_MESSAGE)
    flags |= body.get("flags") or 0
    attachments = _attachments(world, channel, body, uploads, ephemeral=bool(flags & EPHEMERAL))
    links = {each["filename"]: each for each in attachments}
    pinged, everyone = _pinged(channel, author["id"], body)
    payload = {
        "id": world.new_id(),
        "type": 0,
        "channel_id": channel.id,
        "author": author,
        "content": body.get("content") or "",
        "timestamp": world.stamp(),
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": everyone,
        "mentions": pinged,
        "mention_roles": [],
        "attachments": attachments,
        "embeds": _embeds(body.get("embeds") or (), links),
        "components": _components(world, body.get("components") or (), links),
        "pinned": False,
        "flags": flags,
        **(more or {}),
    }
    if application is not None:
        payload["application_id"] = application.id
    if body.get("nonce") is not None:
        payload["nonce"] = body["nonce"]
    if body.get("message_reference"):
        payload |= _reference(channel, body["message_reference"])
    message = Message(world, channel, payload, only_for)
    channel.messages[message.id] = message
    tell(message, "MESSAGE_CREATE")
    return message


def tell(message: Message, event: str) -> None:
    """Tell people and the bots that listen. What only one person sees is told to no bot."""
    message.world.happened()
    if message.only_for is not None:
        return
    channel = message.channel
    for application, intent in channel.listeners():
        if not any(each.intents & intent for each in application.sessions.values()):
            continue
        payload = dict(message.payload)
        if channel.guild is not None:
            payload["guild_id"] = channel.guild.id
            author = channel.guild.members.get(message.author)
            if author is not None:
                payload["member"] = {key: value for key, value in author.payload().items() if key != "user"}
            mine = message.author == application.id or application.id in message.pings
            if not mine and not application.intents & Intent.MESSAGE_CONTENT:
                payload |= {"content": "", "embeds": [], "attachments": [], "components": []}
        application.dispatch(event, payload, guild=channel.guild_id, intent=intent)


def _refuse(world: World, wrongs: Iterator[Wrong], uploads: Sequence[Upload]) -> None:
    if found := list(wrongs):
        raise Refusal(Code.INVALID_FORM_BODY, found)
    if any(len(each.content) > world.attachment_limit for each in uploads):
        raise Refusal(Code.TOO_LARGE)


def _named(body: Payload, uploads: Sequence[Upload], existing: set[str]) -> list[Upload]:
    """Give the files the names that the body has for them.

    Raises:
        Refusal: the body speaks of a file that is not there.
    """
    told = {str(each["id"]): each for each in body.get("attachments") or ()}
    for index, key in enumerate(told):
        if key not in existing and key not in {each.index for each in uploads}:
            raise invalid(f"attachments/{index}/id", f"no such file: {key}", "ATTACHMENT_NOT_FOUND")
    return [
        Upload(each.field, told.get(each.index, {}).get("filename") or each.name, each.content, each.media_type)
        for each in uploads
    ]


def _attachments(
    world: World, channel: Channel, body: Payload, uploads: Sequence[Upload], *, ephemeral: bool
) -> list[Payload]:
    told = {str(each["id"]): each for each in body.get("attachments") or ()}
    made = []
    for each in uploads:
        attachment = stored(world, channel.id, each.name, each.content, ephemeral=ephemeral)
        if description := told.get(each.index, {}).get("description"):
            attachment["description"] = description
        made.append(attachment)
    return made


def stored(world: World, channel: str, name: str, content: bytes, *, ephemeral: bool = False) -> Payload:
    """Keep a file and describe it; it can be fetched from its address."""
    key = world.new_id()
    world.files[key] = content
    url = f"{world.url}/attachments/{channel}/{key}/{name}"
    described: Payload = {
        "id": key,
        "filename": name,
        "size": len(content),
        "url": url,
        "proxy_url": url,
        "content_type": mimetypes.guess_type(name)[0] or "application/octet-stream",
    }
    return {**described, "ephemeral": True} if ephemeral else described


def _pinged(channel: Channel, author: str, body: Payload) -> tuple[list[Payload], bool]:
    """Whom a message notifies. An application that says nothing about it notifies everybody whom it names."""
    content = body.get("content") or ""
    allowed = body.get("allowed_mentions")
    parse = {"users", "everyone"} if allowed is None else set(allowed.get("parse") or ())
    named = {str(each) for each in (allowed or {}).get("users") or ()}
    members = channel.guild.members if channel.guild else {}
    known = {key: each.user for key, each in members.items()}
    if channel.recipient is not None:
        known[channel.recipient["id"]] = channel.recipient
    found = dict.fromkeys(MENTION.findall(content))
    pinged = [known[key] for key in found if key in known and ("users" in parse or key in named)]
    shouted = "@everyone" in content or "@here" in content
    may = channel.permissions(author) & Permission.MENTION_EVERYONE
    return pinged, bool(shouted and may and "everyone" in parse)


def _reference(channel: Channel, reference: Payload) -> Payload:
    key = str(reference["message_id"])
    found = channel.messages.get(key)
    if found is None and reference.get("fail_if_not_exists", True):
        raise invalid("message_reference", "Unknown message", "REPLIES_UNKNOWN_MESSAGE")
    about: Payload = {"type": 0, "channel_id": channel.id, "message_id": key}
    if channel.guild_id:
        about["guild_id"] = channel.guild_id
    shown = None if found is None else {key: each for key, each in found.payload.items() if key != "referenced_message"}
    return {"type": 19, "message_reference": about, "referenced_message": shown}


def _given(payload: Mapping[str, Any]) -> Payload:
    return {key: value for key, value in payload.items() if value is not None}


def _linked(url: str, links: Mapping[str, Payload]) -> str:
    name = url.removeprefix("attachment://")
    return links[name]["url"] if name != url and name in links else url


def _embeds(embeds: Sequence[Payload], links: Mapping[str, Payload]) -> list[Payload]:
    shown = []
    for each in embeds:
        embed = {"type": "rich", **_given(each)}
        for key in ("image", "thumbnail"):
            if key in embed:
                url = _linked(embed[key]["url"], links)
                embed[key] = {"url": url, "proxy_url": url}
        for key in ("author", "footer"):
            if key in embed:
                embed[key] = _given(embed[key])
        if "fields" in embed:
            embed["fields"] = [{"inline": False, **_given(field)} for field in embed["fields"]]
        shown.append(embed)
    return shown


def _components(world: World, components: Sequence[Payload], links: Mapping[str, Payload]) -> list[Payload]:
    """Show components as Discord does: each with a number, what was left out filled in."""
    taken = {each["id"] for _, each in rules.walk(components) if each.get("id")}
    free = (number for number in itertools.count(1) if number not in taken)

    def media(item: Payload) -> Payload:
        url = _linked(item["url"], links)
        found = links.get(item["url"].removeprefix("attachment://"))
        about: Payload = {"id": world.new_id(), "url": url, "proxy_url": url, "width": None, "height": None}
        if found:
            about |= {"attachment_id": found["id"], "content_type": found["content_type"]}
        return about

    def option(one: Payload) -> Payload:
        return {key: _given(value) if key == "emoji" else value for key, value in _given(one).items()}

    def shown(one: Payload) -> Payload:
        kind = one["type"]
        made = {**_given(one), "id": one.get("id") or next(free)}
        if "components" in made:
            made["components"] = [shown(each) for each in made["components"]]
        if "accessory" in made:
            made["accessory"] = shown(made["accessory"])
        if "emoji" in made:
            made["emoji"] = _given(made["emoji"])
        if kind in rules.SELECTS:
            made = {"min_values": 1, "max_values": 1, **made}
            made.pop("required", None)
            if "options" in made:
                made["options"] = [option(each) for each in made["options"]]
        elif kind == rules.THUMBNAIL:
            made = {"description": None, "spoiler": False, **made, "media": media(one["media"])}
        elif kind == rules.GALLERY:
            made["items"] = [
                {"description": None, "spoiler": False, **_given(each), "media": media(each["media"])}
                for each in one["items"]
            ]
        elif kind == rules.FILE:
            name = one["file"]["url"].removeprefix("attachment://")
            size = links[name]["size"] if name in links else None
            made = {"spoiler": False, **made, "file": media(one["file"]), "name": name, "size": size}
        elif kind == rules.SEPARATOR:
            made = {"divider": True, "spacing": 1, **made}
        elif kind == rules.CONTAINER:
            made = {"accent_color": None, "spoiler": False, **made}
        return made

    return [shown(each) for each in components]
