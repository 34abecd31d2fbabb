"""People with Discord's client: what they see, and what the client lets them do."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.fakes.loopback_discord import messages, rules
from tests.fakes.loopback_discord.interactions import Choice, Field, Interaction, Kind, Modal
from tests.fakes.loopback_discord.messages import Message, Upload
from tests.fakes.loopback_discord.world import (
    EVERYTHING,
    Application,
    Channel,
    Guild,
    Member,
    Payload,
    Permission,
    World,
    user,
)

INTEGER_LIMIT = 2**53
LONGEST_TEXT = 6000
TRUTH, ACCOUNT, CHANNEL, ROLE, MENTIONABLE, NUMBER, FILE = 5, 6, 7, 8, 9, 10, 11


class Impossible(AssertionError):  # noqa: N818 it is a result
    """Discord's client would not let somebody do that."""


class Person:
    """Somebody with an account.

    Attributes:
        name: what others see.
        locale: the language of the client.
    """

    def __init__(self, world: World, name: str, locale: str) -> None:
        if locale not in rules.LOCALES:
            raise ValueError(f"Discord has no locale {locale}")
        self.world = world
        self.name = name
        self.locale = locale
        self.user = user(world.new_id(), name)
        world.users[self.id] = self.user

    @property
    def id(self) -> str:
        return self.user["id"]

    def __repr__(self) -> str:
        return f"<{self.name}>"

    # -- places

    def joins(self, guild: Guild, permissions: int = 0, *, admin: bool = False) -> None:
        """Become a member, with more permissions than everybody has."""
        granted = EVERYTHING if admin else permissions
        guild.members[self.id] = Member(self.user, self.world.stamp(), granted, self.locale)

    def leaves(self, guild: Guild) -> None:
        """Be a member no longer."""
        del guild.members[self.id]

    def closes_dms(self) -> None:
        """Take no direct messages from bots any more."""
        self.world.closed.add(self.id)

    def opens_dms(self) -> None:
        """Take direct messages again."""
        self.world.closed.discard(self.id)

    def dm_with(self, application: Application) -> Channel:
        """The direct messages with a bot; they are empty at first."""
        return self.world.direct(application, self.user)

    # -- seeing

    def sees(self, channel: Channel) -> list[Message]:
        """What she can see in a channel, oldest first."""
        return [each for each in channel.messages.values() if each.seen_by(self.id)]

    async def reads(
        self, channel: Channel, is_it: Callable[[Message], bool] = lambda _message: True, *, within: float = 5.0
    ) -> Message:
        """Wait for the first message in a channel that is the one meant, and is more than "thinking".

        Raises:
            AssertionError: it did not come.
        """
        try:
            async with asyncio.timeout(within):
                while True:
                    for each in self.sees(channel):
                        if not each.thinking and is_it(each):
                            return each
                    await self.world.news.wait()
        except TimeoutError:
            seen = "\n".join(f"    {each.text[:200]!r}" for each in self.sees(channel)[-8:])
            raise AssertionError(f"{self.name} waited {within} s in vain; the last messages:\n{seen}") from None

    def commands(self, channel: Channel) -> list[tuple[Application, Payload]]:
        """The chat commands that the client offers her there."""
        return [
            (application, command)
            for application in self._applications(channel)
            for scope in {channel.guild_id, None}
            for command in application.commands[scope].values()
            if command["type"] == rules.CHAT and self._may_use(command, channel)
        ]

    def _applications(self, channel: Channel) -> list[Application]:
        if channel.guild is None:
            assert channel.application is not None
            return [channel.application]
        return list(channel.guild.applications.values())

    def _may_use(self, command: Payload, channel: Channel) -> bool:
        contexts = command.get("contexts")
        if channel.guild is None:
            in_dms = command.get("dm_permission", False) if contexts is None else 1 in contexts
            return in_dms and "guild_id" not in command
        if contexts is not None and 0 not in contexts:
            return False
        granted = channel.permissions(self.id)
        needed = command["default_member_permissions"]
        if granted & Permission.ADMINISTRATOR:
            return True
        if not granted & Permission.USE_APPLICATION_COMMANDS or not granted & Permission.SEND_MESSAGES:
            return False
        return needed is None or (needed != "0" and granted & int(needed) == int(needed))

    # -- acting

    async def says(self, channel: Channel, text: str, files: Mapping[str, bytes] | None = None) -> Message:
        """Write an ordinary message."""
        self._must_see(channel)
        uploads = [
            Upload(f"files[{index}]", name, content, "application/octet-stream")
            for index, (name, content) in enumerate((files or {}).items())
        ]
        said = messages.post(self.world, channel, self.user, {"content": text}, uploads)
        await asyncio.sleep(0)
        return said

    async def types(
        self,
        channel: Channel,
        line: str,
        given: Mapping[str, Any] | None = None,
        /,
        *,
        application: Application | None = None,
        **options: Any,
    ) -> Interaction:
        """Use a slash command: `ann.types(channel, "hours book", slot="…")`.

        Args:
            channel: where.
            line: the command with its group and subcommand.
            given: options whose names are no identifiers.
            application: whose command it is, where several have one of that name.
            options: the values; a choice may be told by what people see, a file is a pair (name, bytes).

        Raises:
            Impossible: the client has no such command for her there, or does not take the values.
        """
        found, command = self._command(channel, line, application)
        given = {**(given or {}), **options}
        resolved: Payload = {}
        leaf = _leaf(command, line)
        values = self._values(leaf, given, channel, resolved)
        missing = [
            each["name"] for each in leaf.get("options") or () if each.get("required") and each["name"] not in given
        ]
        if missing:
            raise Impossible(f"/{line} needs {', '.join(missing)}")
        return await self._invoke(Kind.COMMAND, found, channel, _data(command, line, values, resolved))

    async def suggestions(
        self,
        channel: Channel,
        line: str,
        option: str,
        typed: str = "",
        given: Mapping[str, Any] | None = None,
        /,
        *,
        application: Application | None = None,
        within: float = 5.0,
        **options: Any,
    ) -> list[Choice]:
        """Type into an option that suggests, and see what it suggests.

        Raises:
            Impossible: the option suggests nothing.
            NoAnswer: the application did not answer.
        """
        asked = await self.begins_typing(channel, line, option, typed, given, application=application, **options)
        return await asked.suggested(within)

    async def begins_typing(
        self,
        channel: Channel,
        line: str,
        option: str,
        typed: str = "",
        given: Mapping[str, Any] | None = None,
        /,
        *,
        application: Application | None = None,
        **options: Any,
    ) -> Interaction:
        """Type into an option that suggests, without waiting for anything.

        Raises:
            Impossible: the option suggests nothing.
        """
        found, command = self._command(channel, line, application)
        leaf = _leaf(command, line)
        about = next((each for each in leaf.get("options") or () if each["name"] == option), None)
        if about is None or not about.get("autocomplete"):
            raise Impossible(f"/{line} suggests nothing for {option}")
        values = self._values(leaf, {**(given or {}), **options}, channel, {})
        values.append({"name": option, "type": about["type"], "value": typed, "focused": True})
        return await self._invoke(Kind.AUTOCOMPLETE, found, channel, _data(command, line, values, {}))

    async def presses(self, message: Message, button: str) -> Interaction:
        """Press a button, told by its label or its custom_id.

        Raises:
            Impossible: there is none to press.
        """
        found = [each for each in message.buttons if button in {each.custom_id, each.label}]
        if not found:
            raise Impossible(f"no button {button!r} among {[each.label for each in message.buttons]}")
        if found[0].disabled or found[0].custom_id is None:
            raise Impossible(f"the button {button!r} cannot be pressed")
        return await self._uses(message, found[0].payload)

    async def chooses(self, message: Message, *values: Any, menu: str | None = None) -> Interaction:
        """Choose in a select menu, by labels or values; people, roles and channels by their ids or themselves.

        Raises:
            Impossible: there is no such menu, or it does not take that.
        """
        found = [each for each in message.selects if menu in {None, each.custom_id, each.placeholder}]
        if not found or found[0].payload.get("disabled"):
            raise Impossible(f"no select menu {menu or ''}")
        resolved: Payload = {}
        chosen = self._chosen(found[0].payload, values, message.channel, resolved)
        data: Payload = {"values": chosen}
        if resolved:
            data["resolved"] = resolved
        return await self._uses(message, found[0].payload, data)

    async def submits(self, form: Interaction | Modal, values: Mapping[str, Any] | None = None) -> Interaction:
        """Fill in a form and send it; its fields are told by their labels or custom_ids.

        Texts are strings, checkboxes truths, a file a pair (name, bytes); several values are a list. A text that is
        not named keeps what the form put there.

        Raises:
            Impossible: there is no form, no such field, or it does not take that.
        """
        modal = form.modal if isinstance(form, Interaction) else form
        if modal is None or modal.interaction.person["id"] != self.id:
            raise Impossible(f"{self.name} was shown no form")
        left = dict(values or {})
        resolved: Payload = {}
        filled: dict[str, Payload] = {}
        channel = modal.interaction.channel
        for each in modal.fields:
            told = [key for key in (each.custom_id, each.label) if key in left]
            value = left.pop(told[0]) if told else None
            filled[each.custom_id] = self._filled(each, value, channel, resolved)
        if left:
            raise Impossible(f"the form has no field {', '.join(left)}")
        data: Payload = {"custom_id": modal.custom_id, "components": list(_submitted(modal, filled))}
        if resolved:
            data["resolved"] = resolved
        interaction = modal.interaction
        return await self._invoke(Kind.MODAL_SUBMIT, interaction.application, channel, data, interaction)

    # -- what a client checks

    def _must_see(self, channel: Channel) -> None:
        if not channel.permissions(self.id) & Permission.VIEW_CHANNEL:
            raise Impossible(f"{self.name} does not see that channel")

    def _command(self, channel: Channel, line: str, application: Application | None) -> tuple[Application, Payload]:
        self._must_see(channel)
        name = line.partition(" ")[0]
        found = [
            (owner, command)
            for owner in self._applications(channel)
            if application in {None, owner}
            and (command := owner.command(rules.CHAT, name, channel.guild_id))
            and self._may_use(command, channel)
        ]
        if not found:
            raise Impossible(f"{self.name} has no command /{name} there")
        if len(found) > 1:
            raise Impossible(f"/{name} is a command of {', '.join(owner.name for owner, _ in found)}: say whose")
        return found[0]

    def _values(self, leaf: Payload, given: Mapping[str, Any], channel: Channel, resolved: Payload) -> list[Payload]:
        known = {each["name"]: each for each in leaf.get("options") or ()}
        if unknown := given.keys() - known.keys():
            raise Impossible(f"no option {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return [
            {"name": name, "type": known[name]["type"], "value": self._value(known[name], value, channel, resolved)}
            for name, value in given.items()
        ]

    def _value(self, option: Payload, value: Any, channel: Channel, resolved: Payload) -> Any:
        kind, name = option["type"], option["name"]
        if option.get("choices"):
            for each in option["choices"]:
                shown = {each["name"], *(each.get("name_localizations") or {}).values()}
                if value == each["value"] or value in shown:
                    return each["value"]
            raise Impossible(f"{name} has no choice {value!r}")
        if kind == rules.STRING:
            if not isinstance(value, str):
                raise Impossible(f"{name} is a text, not {value!r}")
            low, high = option.get("min_length") or 0, option.get("max_length") or LONGEST_TEXT
            if not low <= len(value) <= high:
                raise Impossible(f"{name} takes {low} to {high} characters, not {len(value)}")
            return value
        if kind in {rules.INTEGER, NUMBER}:
            wanted = int if kind == rules.INTEGER else (int, float)
            low, high = option.get("min_value", -INTEGER_LIMIT), option.get("max_value", INTEGER_LIMIT)
            if not isinstance(value, wanted) or isinstance(value, bool) or not low <= value <= high:
                raise Impossible(f"{name} takes a number from {low} to {high}, not {value!r}")
            return value
        if kind == TRUTH:
            if not isinstance(value, bool):
                raise Impossible(f"{name} is true or false, not {value!r}")
            return value
        return self._entity(kind, value, channel, resolved)

    def _entity(self, kind: int, value: Any, channel: Channel, resolved: Payload) -> str:
        """Tell the application about somebody or something that was chosen."""
        guild = channel.guild
        if kind == FILE:
            name, content = value
            attachment = messages.stored(self.world, channel.id, name, content, ephemeral=True)
            resolved.setdefault("attachments", {})[attachment["id"]] = attachment
            return attachment["id"]
        key = value if isinstance(value, str) else value.id
        if kind in {ACCOUNT, MENTIONABLE} and (account := self._account(key)):
            resolved.setdefault("users", {})[key] = account
            if guild is not None and key in guild.members:
                member = guild.members[key].payload()
                partial = {name: each for name, each in member.items() if name not in {"user", "deaf", "mute"}}
                partial["permissions"] = str(channel.permissions(key))
                resolved.setdefault("members", {})[key] = partial
        elif kind == CHANNEL and guild is not None and key in guild.channels:
            resolved.setdefault("channels", {})[key] = guild.channels[key].partial(self.id)
        elif kind in {ROLE, MENTIONABLE} and guild is not None and key == guild.id:
            resolved.setdefault("roles", {})[key] = guild.roles()[0]
        else:
            raise Impossible(f"the client does not offer {value!r}")
        return key

    def _account(self, key: str) -> Payload | None:
        known = self.world.applications.get(key)
        return known.user if known else self.world.users.get(key)

    def _chosen(
        self, menu: Mapping[str, Any], values: tuple[Any, ...], channel: Channel, resolved: Payload
    ) -> list[str]:
        least, most = menu.get("min_values", 1), menu.get("max_values", 1)
        least, most = 1 if least is None else least, 1 if most is None else most
        if not least <= len(values) <= most:
            raise Impossible(f"the menu takes {least} to {most} values, not {len(values)}")
        if menu["type"] == rules.STRING_SELECT:
            return [_option(menu, each) for each in values]
        kind = {5: ACCOUNT, 6: ROLE, 7: MENTIONABLE, 8: CHANNEL}[menu["type"]]
        return [self._entity(kind, each, channel, resolved) for each in values]

    def _filled(self, field: Field, value: Any, channel: Channel, resolved: Payload) -> Payload:
        """Fill in one field of a form."""
        asked, kind = field.payload, field.payload["type"]
        made: Payload = {"type": kind, "custom_id": field.custom_id}
        if kind == rules.TEXT_INPUT:
            text = field.value if value is None else value
            low, high = asked.get("min_length") or 0, asked.get("max_length") or 4000
            if (field.required and not text) or (text and not low <= len(text) <= high):
                raise Impossible(f"{field.label!r} takes {max(low, int(field.required))} to {high} characters")
            return {**made, "value": text}
        if kind == rules.CHECKBOX:
            return {**made, "value": bool(asked.get("default")) if value is None else bool(value)}
        if kind == rules.RADIO:
            if value is None and field.required:
                raise Impossible(f"{field.label!r} must be answered")
            return {**made, "value": None if value is None else _option(asked, value)}
        values = [] if value is None else list(value) if isinstance(value, list) else [value]
        if not values and not field.required:
            return {**made, "values": []}
        if kind == rules.UPLOAD:
            least, most = asked.get("min_values"), asked.get("max_values")
            if not (1 if least is None else least) <= len(values) <= (most or 1):
                raise Impossible(f"{field.label!r} does not take {len(values)} files")
            return {**made, "values": [self._entity(FILE, each, channel, resolved) for each in values]}
        if kind == rules.CHECKBOXES:
            least, most = asked.get("min_values"), asked.get("max_values") or len(asked["options"])
            if not (1 if least is None else least) <= len(values) <= most:
                raise Impossible(f"{field.label!r} does not take {len(values)} values")
            return {**made, "values": [_option(asked, each) for each in values]}
        return {**made, "values": self._chosen(asked, tuple(values), channel, resolved)}

    async def _uses(
        self, message: Message, component: Mapping[str, Any], more: Mapping[str, Any] | None = None
    ) -> Interaction:
        if not message.seen_by(self.id):
            raise Impossible(f"{self.name} does not see that message")
        application = self.world.applications[message.payload["application_id"]]
        data = {
            "custom_id": component["custom_id"],
            "component_type": component["type"],
            "id": component["id"],
            **(more or {}),
        }
        return await self._invoke(Kind.COMPONENT, application, message.channel, data, message)

    async def _invoke(
        self,
        kind: Kind,
        application: Application,
        channel: Channel,
        data: Payload,
        source: Message | Interaction | None = None,
    ) -> Interaction:
        begun = Interaction(self.world, application, channel, self.user, kind, source)
        guild = channel.guild
        payload: Payload = {
            "id": begun.id,
            "application_id": application.id,
            "type": kind,
            "token": begun.token,
            "version": 1,
            "data": data,
            "locale": self.locale,
            "entitlements": [],
            "app_permissions": str(channel.permissions(application.id)),
            "attachment_size_limit": self.world.attachment_limit,
            "channel_id": channel.id,
            "channel": channel.partial(self.id),
            "authorizing_integration_owners": {"0": guild.id if guild else "0"},
            "context": 0 if guild else 1,
        }
        if guild is not None:
            payload |= {
                "guild_id": guild.id,
                "guild_locale": guild.locale,
                "guild": {"id": guild.id, "locale": guild.locale, "features": []},
                "member": {**guild.members[self.id].payload(), "permissions": str(channel.permissions(self.id))},
            }
        else:
            payload["user"] = self.user
        if begun.about is not None:
            payload["message"] = begun.about.payload
        begun.payload = payload
        self.world.interactions[begun.token] = begun
        application.dispatch("INTERACTION_CREATE", payload, guild=channel.guild_id)
        # The gateway writes it before the person goes on.
        await asyncio.sleep(0)
        return begun


def _leaf(command: Payload, line: str) -> Payload:
    """Find the subcommand whose options are meant."""
    found = command
    for name in line.split()[1:]:
        inner = [each for each in found.get("options") or () if each["type"] in {rules.SUBCOMMAND, rules.GROUP}]
        found = next((each for each in inner if each["name"] == name), {})
        if not found:
            raise Impossible(f"/{line}: no {name!r} among {[each['name'] for each in inner]}")
    if any(each["type"] in {rules.SUBCOMMAND, rules.GROUP} for each in found.get("options") or ()):
        raise Impossible(f"/{line} needs a subcommand: {[each['name'] for each in found['options']]}")
    return found


def _data(command: Payload, line: str, values: list[Payload], resolved: Payload) -> Payload:
    """Describe a command with its values, wrapped in its group and subcommand."""
    path = line.split()[1:]
    for depth, name in reversed(list(enumerate(path))):
        kind = rules.GROUP if depth < len(path) - 1 else rules.SUBCOMMAND
        values = [{"name": name, "type": kind, "options": values}]
    data = {"id": command["id"], "name": command["name"], "type": rules.CHAT, "options": values}
    if "guild_id" in command:
        data["guild_id"] = command["guild_id"]
    return {**data, "resolved": resolved} if resolved else data


def _option(menu: Mapping[str, Any], value: Any) -> str:
    for each in menu["options"]:
        if value in {each["value"], each["label"]}:
            return each["value"]
    raise Impossible(f"no option {value!r} among {[each['label'] for each in menu['options']]}")


def _submitted(modal: Modal, filled: Mapping[str, Payload]) -> Iterator[Payload]:
    """Describe a form that was filled in, each component with its number."""
    number = 0
    for each in modal.payload["components"]:
        number += 1
        made: Payload = {"type": each["type"], "id": each.get("id") or number}
        if each["type"] == rules.LABEL:
            number += 1
            made["component"] = {**filled[each["component"]["custom_id"]], "id": each["component"].get("id") or number}
        elif each["type"] == rules.ROW:
            number += 1
            inner = each["components"][0]
            made["components"] = [{**filled[inner["custom_id"]], "id": inner.get("id") or number}]
        yield made
