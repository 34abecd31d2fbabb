"""Discord's REST interface, version 10, as far as bots of ours and of others need it.

Each operation is a method with the name that Discord's document gives it, under the route that it has there.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.fakes.loopback_discord import messages, rules
from tests.fakes.loopback_discord.gateway import Gateway
from tests.fakes.loopback_discord.interactions import Interaction, Kind
from tests.fakes.loopback_discord.messages import Message, Upload
from tests.fakes.loopback_discord.refusals import Code, Refusal, Wrong, invalid
from tests.fakes.loopback_discord.world import Application, Channel, Guild, Payload, Permission, World

CREATES_A_DAY = 200
CHAT = rules.CHAT


@dataclass
class Asked:
    """A request that was read."""

    params: dict[str, str]
    query: dict[str, str]
    body: Any = None
    uploads: list[Upload] = field(default_factory=list)
    application: Application | None = None

    @property
    def by(self) -> Application:
        """The application that asks; the router has made sure that there is one."""
        assert self.application is not None
        return self.application

    @property
    def fields(self) -> Payload:
        """The body where it must be an object; none counts as an empty one."""
        return self.body or {}


class Answer(NamedTuple):
    """A status and what is said with it; None is no body."""

    status: int
    body: Any = None


class Operation(NamedTuple):
    """An operation that is there.

    Attributes:
        name: as in Discord's document.
        run: answers a request.
        open: needs no bot's token, since the path has one.
    """

    name: str
    run: Callable[["Rest", Asked], Answer]
    open: bool


ROUTES: dict[str, Any] = {}
"""A tree of path segments; under `{}` any segment, under a method's name the operation."""


def route(
    method: str, template: str, *, needs_token: bool = True
) -> Callable[[Callable[["Rest", Asked], Answer]], Callable[["Rest", Asked], Answer]]:
    """Put a method under a route."""

    def put(run: Callable[["Rest", Asked], Answer]) -> Callable[["Rest", Asked], Answer]:
        node = ROUTES
        names = []
        for segment in template.strip("/").split("/"):
            if segment.startswith("{"):
                names.append(segment.strip("{}"))
                node = node.setdefault("{}", {})
            else:
                node = node.setdefault(segment, {})
        node[method] = (Operation(run.__name__, run, not needs_token), names)
        return run

    return put


def find(method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
    """Find the operation for a path, and what the path says."""
    return _descend(ROUTES, path.strip("/").split("/"), 0, [], method)


def _descend(
    node: dict[str, Any], segments: list[str], depth: int, values: list[str], method: str
) -> tuple[Operation, dict[str, str]] | None:
    if depth == len(segments):
        found = node.get(method)
        return found and (found[0], dict(zip(found[1], values, strict=True)))
    segment = segments[depth]
    if segment in node and (found := _descend(node[segment], segments, depth + 1, values, method)):
        return found
    return _descend(node["{}"], segments, depth + 1, [*values, segment], method) if "{}" in node else None


class Rest:
    """Answers requests about a world."""

    def __init__(self, world: World, gateway: Gateway) -> None:
        self.world = world
        self.gateway = gateway

    # -- who am I

    @route("GET", "/users/@me")
    def get_my_user(self, asked: Asked) -> Answer:
        return Answer(200, {**asked.by.user, "mfa_enabled": False, "verified": True, "email": None, "locale": "en-US"})

    @route("GET", "/oauth2/applications/@me")
    def get_my_oauth2_application(self, asked: Asked) -> Answer:
        return self.get_my_application(asked)

    @route("GET", "/applications/@me")
    def get_my_application(self, asked: Asked) -> Answer:
        return Answer(
            200,
            {
                "id": asked.by.id,
                "name": asked.by.name,
                "icon": None,
                "description": "",
                "summary": "",
                "type": None,
                "bot": asked.by.user,
                "bot_public": False,
                "bot_require_code_grant": False,
                "verify_key": "0" * 64,
                "flags": 0,
                "flags_new": "0",
                "redirect_uris": [],
                "interactions_endpoint_url": None,
                "role_connections_verification_url": None,
                "owner": asked.by.user,
                "approximate_guild_count": sum(asked.by.id in each.members for each in self.world.guilds.values()),
                "approximate_user_install_count": 0,
                "approximate_user_authorization_count": 0,
                "explicit_content_filter": 0,
                "team": None,
                "eligible_oauth2_scopes": [],
            },
        )

    @route("GET", "/gateway", needs_token=False)
    def get_gateway(self, _asked: Asked) -> Answer:
        return Answer(200, {"url": self.gateway.url})

    @route("GET", "/gateway/bot")
    def get_bot_gateway(self, _asked: Asked) -> Answer:
        limit = {"total": 1000, "remaining": 999, "reset_after": 86_400_000, "max_concurrency": 16}
        return Answer(200, {"url": self.gateway.url, "shards": self.gateway.shards, "session_start_limit": limit})

    # -- commands

    @route("GET", "/applications/{application_id}/commands")
    def list_application_commands(self, asked: Asked) -> Answer:
        return Answer(200, list(self._commands(asked).values()))

    @route("GET", "/applications/{application_id}/guilds/{guild_id}/commands")
    def list_guild_application_commands(self, asked: Asked) -> Answer:
        return Answer(200, list(self._commands(asked).values()))

    @route("PUT", "/applications/{application_id}/commands")
    def bulk_set_application_commands(self, asked: Asked) -> Answer:
        return self._set_commands(asked)

    @route("PUT", "/applications/{application_id}/guilds/{guild_id}/commands")
    def bulk_set_guild_application_commands(self, asked: Asked) -> Answer:
        return self._set_commands(asked)

    @route("POST", "/applications/{application_id}/commands")
    def create_application_command(self, asked: Asked) -> Answer:
        return self._add_command(asked)

    @route("POST", "/applications/{application_id}/guilds/{guild_id}/commands")
    def create_guild_application_command(self, asked: Asked) -> Answer:
        return self._add_command(asked)

    @route("GET", "/applications/{application_id}/commands/{command_id}")
    def get_application_command(self, asked: Asked) -> Answer:
        return Answer(200, self._command(asked)[1])

    @route("GET", "/applications/{application_id}/guilds/{guild_id}/commands/{command_id}")
    def get_guild_application_command(self, asked: Asked) -> Answer:
        return Answer(200, self._command(asked)[1])

    @route("DELETE", "/applications/{application_id}/commands/{command_id}")
    def delete_application_command(self, asked: Asked) -> Answer:
        del self._commands(asked)[self._command(asked)[0]]
        return Answer(204)

    @route("DELETE", "/applications/{application_id}/guilds/{guild_id}/commands/{command_id}")
    def delete_guild_application_command(self, asked: Asked) -> Answer:
        del self._commands(asked)[self._command(asked)[0]]
        return Answer(204)

    def _commands(self, asked: Asked) -> dict[tuple[int, str], Payload]:
        if asked.params["application_id"] != asked.by.id:
            raise Refusal(Code.MISSING_ACCESS)
        scope = asked.params.get("guild_id")
        if scope is not None:
            self._guild(asked)
        return asked.by.commands[scope]

    def _command(self, asked: Asked) -> tuple[tuple[int, str], Payload]:
        for key, command in self._commands(asked).items():
            if command["id"] == asked.params["command_id"]:
                return key, command
        raise Refusal(Code.UNKNOWN_COMMAND)

    def _set_commands(self, asked: Asked) -> Answer:
        before = self._commands(asked)
        _refuse(rules.of_commands(asked.body or []))
        scope = asked.params.get("guild_id")
        after = dict(self._registered(asked, each, before) for each in asked.body or [])
        asked.by.commands[scope] = after
        return Answer(200, list(after.values()))

    def _add_command(self, asked: Asked) -> Answer:
        before = self._commands(asked)
        kept = [each for key, each in before.items() if key != (asked.body.get("type") or CHAT, asked.body["name"])]
        _refuse(rules.of_command(asked.body))
        _refuse(rules.of_commands([*kept, asked.body]))
        key, made = self._registered(asked, asked.body, before)
        existed = key in before
        before[key] = made
        return Answer(200 if existed else 201, made)

    def _registered(
        self, asked: Asked, command: Payload, before: dict[tuple[int, str], Payload]
    ) -> tuple[tuple[int, str], Payload]:
        scope = asked.params.get("guild_id")
        key = (command.get("type") or CHAT, command["name"])
        known = before.get(key)
        if known is None:
            asked.by.creates[scope] += 1
            if asked.by.creates[scope] > CREATES_A_DAY:
                raise Refusal(Code.DAILY_COMMAND_CREATES)
        permissions = command.get("default_member_permissions")
        contexts = command.get("contexts")
        if contexts is None and command.get("dm_permission") is False:
            contexts = [0]
        made = {
            **{name: value for name, value in command.items() if value is not None},
            "id": known["id"] if known else self.world.new_id(),
            "application_id": asked.by.id,
            "version": self.world.new_id(),
            "type": key[0],
            "description": command.get("description") or "",
            "default_member_permissions": None if permissions is None else str(permissions),
            "name_localizations": command.get("name_localizations"),
            "description_localizations": command.get("description_localizations"),
            "integration_types": command.get("integration_types") or [0],
            "nsfw": bool(command.get("nsfw")),
        }
        made.pop("contexts", None)
        if scope is not None:
            made["guild_id"] = scope
        else:
            made["dm_permission"] = contexts is None or 1 in contexts
            if contexts is not None:
                made["contexts"] = contexts
        return key, made

    # -- people and places

    @route("POST", "/users/@me/channels")
    def create_dm(self, asked: Asked) -> Answer:
        recipient = self._user(str(asked.fields.get("recipient_id")))
        if recipient is None or recipient["bot"]:
            raise Refusal(Code.INVALID_RECIPIENT)
        return Answer(200, self.world.direct(asked.by, recipient).payload())

    @route("GET", "/users/{user_id}")
    def get_user(self, asked: Asked) -> Answer:
        found = self._user(asked.params["user_id"])
        if found is None:
            raise Refusal(Code.UNKNOWN_USER)
        return Answer(200, found)

    @route("GET", "/users/@me/guilds")
    def list_my_guilds(self, asked: Asked) -> Answer:
        mine = [each for each in self.world.guilds.values() if asked.by.id in each.applications]
        return Answer(
            200,
            [
                {
                    "id": each.id,
                    "name": each.name,
                    "icon": None,
                    "banner": None,
                    "owner": False,
                    "permissions": str(each.permissions(asked.by.id)),
                    "features": [],
                }
                for each in mine
            ],
        )

    @route("GET", "/guilds/{guild_id}")
    def get_guild(self, asked: Asked) -> Answer:
        return Answer(200, self._guild(asked).payload())

    @route("GET", "/guilds/{guild_id}/channels")
    def list_guild_channels(self, asked: Asked) -> Answer:
        return Answer(200, [each.payload() for each in self._guild(asked).channels.values()])

    @route("GET", "/guilds/{guild_id}/roles")
    def list_guild_roles(self, asked: Asked) -> Answer:
        return Answer(200, self._guild(asked).roles())

    @route("GET", "/guilds/{guild_id}/members/{user_id}")
    def get_guild_member(self, asked: Asked) -> Answer:
        found = self._guild(asked).members.get(asked.params["user_id"])
        if found is None:
            known = self._user(asked.params["user_id"])
            raise Refusal(Code.UNKNOWN_MEMBER if known else Code.UNKNOWN_USER)
        return Answer(200, found.payload())

    @route("GET", "/channels/{channel_id}")
    def get_channel(self, asked: Asked) -> Answer:
        return Answer(200, self._channel(asked).payload())

    def _user(self, key: str) -> Payload | None:
        if key in self.world.applications:
            return self.world.applications[key].user
        return self.world.users.get(key)

    def _guild(self, asked: Asked) -> Guild:
        found = self.world.guilds.get(asked.params["guild_id"])
        if found is None:
            raise Refusal(Code.UNKNOWN_GUILD)
        if asked.by.id not in found.applications:
            raise Refusal(Code.MISSING_ACCESS)
        return found

    def _channel(self, asked: Asked, *needed: Permission) -> Channel:
        found = self.world.channels.get(asked.params["channel_id"])
        if found is None:
            raise Refusal(Code.UNKNOWN_CHANNEL)
        granted = found.permissions(asked.by.id)
        if not granted & Permission.VIEW_CHANNEL:
            raise Refusal(Code.MISSING_ACCESS)
        if any(not granted & each for each in needed):
            raise Refusal(Code.MISSING_PERMISSIONS)
        return found

    # -- messages

    @route("POST", "/channels/{channel_id}/messages")
    def create_message(self, asked: Asked) -> Answer:
        channel = self._channel(asked, Permission.SEND_MESSAGES)
        if asked.uploads and not channel.permissions(asked.by.id) & Permission.ATTACH_FILES:
            raise Refusal(Code.MISSING_PERMISSIONS)
        body = asked.fields
        if channel.recipient is not None and not self._reachable(asked.by, channel.recipient["id"]):
            raise Refusal(Code.CANNOT_SEND_TO_USER)
        nonce = body.get("nonce")
        if body.get("enforce_nonce"):
            if nonce is None:
                raise invalid("nonce", "enforce_nonce needs a nonce", "NONCE_REQUIRED")
            known = self.world.nonces.get(f"{asked.by.id} {channel.id} {nonce}")
            if known is not None and self.world.now() - known[0] < self.world.nonce_life:
                return Answer(200, known[1].payload)
        made = messages.post(self.world, channel, asked.by.user, body, asked.uploads, application=asked.by)
        if body.get("enforce_nonce"):
            self.world.nonces[f"{asked.by.id} {channel.id} {nonce}"] = (self.world.now(), made)
        return Answer(200, made.payload)

    @route("GET", "/channels/{channel_id}/messages")
    def list_messages(self, asked: Asked) -> Answer:
        channel = self._channel(asked, Permission.READ_MESSAGE_HISTORY)
        seen = [each for each in channel.messages.values() if each.only_for is None]
        limit = int(asked.query.get("limit", 50))
        if not 1 <= limit <= 100:
            raise invalid("limit", "Must be between 1 and 100.", "NUMBER_TYPE_RANGE")
        if "around" in asked.query:
            middle = sum(int(each.id) < int(asked.query["around"]) for each in seen)
            chosen = seen[max(0, middle - limit // 2) : middle + (limit + 1) // 2]
        elif "after" in asked.query:
            chosen = [each for each in seen if int(each.id) > int(asked.query["after"])][:limit]
        else:
            before = int(asked.query.get("before", (1 << 63) - 1))
            chosen = [each for each in seen if int(each.id) < before][-limit:]
        return Answer(200, [each.payload for each in reversed(chosen)])

    @route("GET", "/channels/{channel_id}/messages/{message_id}")
    def get_message(self, asked: Asked) -> Answer:
        return Answer(200, self._message(asked, Permission.READ_MESSAGE_HISTORY).payload)

    @route("PATCH", "/channels/{channel_id}/messages/{message_id}")
    def update_message(self, asked: Asked) -> Answer:
        found = self._message(asked)
        if found.author != asked.by.id:
            raise Refusal(Code.NOT_YOUR_MESSAGE)
        found.edit(asked.fields, asked.uploads)
        return Answer(200, found.payload)

    @route("DELETE", "/channels/{channel_id}/messages/{message_id}")
    def delete_message(self, asked: Asked) -> Answer:
        found = self._message(asked)
        if found.author != asked.by.id:
            raise Refusal(Code.MISSING_PERMISSIONS)
        found.delete()
        return Answer(204)

    @route("POST", "/channels/{channel_id}/typing")
    def trigger_typing_indicator(self, asked: Asked) -> Answer:
        self._channel(asked, Permission.SEND_MESSAGES)
        return Answer(204)

    def _message(self, asked: Asked, *needed: Permission) -> Message:
        found = self._channel(asked, *needed).messages.get(asked.params["message_id"])
        if found is None or found.only_for is not None:
            raise Refusal(Code.UNKNOWN_MESSAGE)
        return found

    def _reachable(self, application: Application, recipient: str) -> bool:
        return recipient not in self.world.closed and self.world.shared_guild(application, recipient)

    # -- interactions

    @route("POST", "/interactions/{interaction_id}/{interaction_token}/callback", needs_token=False)
    def create_interaction_response(self, asked: Asked) -> Answer:
        found: Interaction | None = self.world.interactions.get(asked.params["interaction_token"])
        if found is None or found.id != asked.params["interaction_id"]:
            raise Refusal(Code.UNKNOWN_INTERACTION)
        described = found.respond(asked.fields, asked.uploads)
        return Answer(200, described) if asked.query.get("with_response") in {"1", "true", "True"} else Answer(204)

    @route("POST", "/webhooks/{webhook_id}/{webhook_token}", needs_token=False)
    def execute_webhook(self, asked: Asked) -> Answer:
        # What an application says through its own webhook is always answered with the message.
        return Answer(200, self._answered(asked).follow_up(asked.fields, asked.uploads).payload)

    @route("GET", "/webhooks/{webhook_id}/{webhook_token}/messages/@original", needs_token=False)
    def get_original_webhook_message(self, asked: Asked) -> Answer:
        return Answer(200, self._answered(asked).find("@original").payload)

    @route("PATCH", "/webhooks/{webhook_id}/{webhook_token}/messages/@original", needs_token=False)
    def update_original_webhook_message(self, asked: Asked) -> Answer:
        return Answer(200, self._answered(asked).edit("@original", asked.fields, asked.uploads).payload)

    @route("DELETE", "/webhooks/{webhook_id}/{webhook_token}/messages/@original", needs_token=False)
    def delete_original_webhook_message(self, asked: Asked) -> Answer:
        self._answered(asked).delete("@original")
        return Answer(204)

    @route("GET", "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}", needs_token=False)
    def get_webhook_message(self, asked: Asked) -> Answer:
        return Answer(200, self._answered(asked).find(asked.params["message_id"]).payload)

    @route("PATCH", "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}", needs_token=False)
    def update_webhook_message(self, asked: Asked) -> Answer:
        found = self._answered(asked)
        return Answer(200, found.edit(asked.params["message_id"], asked.fields, asked.uploads).payload)

    @route("DELETE", "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}", needs_token=False)
    def delete_webhook_message(self, asked: Asked) -> Answer:
        self._answered(asked).delete(asked.params["message_id"])
        return Answer(204)

    def _answered(self, asked: Asked) -> Interaction:
        """The interaction whose token the path has; there is no webhook before the first response."""
        found: Interaction | None = self.world.interactions.get(asked.params["webhook_token"])
        if found is None or found.application.id != asked.params["webhook_id"]:
            raise Refusal(Code.UNKNOWN_WEBHOOK)
        if found.expired:
            raise Refusal(Code.INVALID_WEBHOOK_TOKEN)
        if found.first is None or found.kind is Kind.AUTOCOMPLETE:
            raise Refusal(Code.UNKNOWN_WEBHOOK)
        return found


def _refuse(wrongs: Any) -> None:
    if found := list(wrongs):
        raise Refusal(Code.INVALID_FORM_BODY, found)


def limits(name: str) -> dict[str, str]:
    """The headers of a rate limit that is far away. A callback has none."""
    if name == "create_interaction_response":
        return {}
    return {
        "X-RateLimit-Limit": "1000",
        "X-RateLimit-Remaining": "999",
        "X-RateLimit-Reset": f"{time.time() + 1:.3f}",
        "X-RateLimit-Reset-After": "1",
        "X-RateLimit-Bucket": name,
    }


def malformed(error: Exception) -> Refusal:
    """Refuse a body that is not even shaped as it should be."""
    return Refusal(Code.INVALID_FORM_BODY, [Wrong("", f"malformed: {error!r}")])


def encoded(body: Any) -> bytes:
    """Write an answer."""
    return json.dumps(body).encode()
