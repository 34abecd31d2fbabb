"""An interaction from the moment somebody begins it: who may answer it, how often, for how long."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from tests.fakes.loopback_discord import messages, rules
from tests.fakes.loopback_discord.messages import Message, Upload
from tests.fakes.loopback_discord.refusals import Code, Refusal, Wrong, invalid
from tests.fakes.loopback_discord.rules import EPHEMERAL, LOADING
from tests.fakes.loopback_discord.world import Application, Channel, Payload, World


class Kind(IntEnum):
    """What an interaction is."""

    COMMAND = 2
    COMPONENT = 3
    AUTOCOMPLETE = 4
    MODAL_SUBMIT = 5


class Callback(IntEnum):
    """What a first response is."""

    MESSAGE = 4
    THINKING = 5
    DEFERRED_UPDATE = 6
    UPDATE = 7
    SUGGESTIONS = 8
    MODAL = 9


MESSAGES = {Callback.MESSAGE, Callback.THINKING}
UPDATES = {Callback.DEFERRED_UPDATE, Callback.UPDATE}


class NoAnswer(AssertionError):  # noqa: N818 it is a result
    """The application did not answer somebody in time."""


@dataclass(frozen=True)
class Choice:
    """A suggestion: what people see, and what is sent when they take it."""

    name: str
    value: str | float


@dataclass(frozen=True)
class Field:
    """A field of a form; `label` is what people see above it."""

    label: str
    payload: Payload

    @property
    def custom_id(self) -> str:
        return self.payload["custom_id"]

    @property
    def value(self) -> str:
        """What a text input holds at first."""
        return self.payload.get("value") or ""

    @property
    def required(self) -> bool:
        given = self.payload.get("required")
        return self.payload["type"] != rules.CHECKBOX if given is None else given

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """Pairs of label and value, where there is something to choose from."""
        return tuple((each["label"], each["value"]) for each in self.payload.get("options") or ())


@dataclass(frozen=True)
class Modal:
    """A form that somebody was shown."""

    interaction: "Interaction"
    payload: Payload

    @property
    def title(self) -> str:
        return self.payload["title"]

    @property
    def custom_id(self) -> str:
        return self.payload["custom_id"]

    @property
    def text(self) -> str:
        """The text displays in it."""
        return "\n".join(each["content"] for each in self.payload["components"] if each["type"] == rules.TEXT)

    @property
    def fields(self) -> list[Field]:
        """What can be filled in, in order."""
        found = []
        for each in self.payload["components"]:
            if each["type"] == rules.LABEL:
                found.append(Field(each["label"], each["component"]))
            elif each["type"] == rules.ROW:
                found += [Field(one["label"], one) for one in each["components"]]
        return found


class Interaction:
    """One interaction, and what came of it.

    Attributes:
        person: the account that began it.
        payload: what the application was told.
        about: the message whose component was used.
        first: the first response; None before it.
        original: the message that the first response made or belongs to.
        followups: the messages after it.
        modal: the form that it was answered with.
        choices: the suggestions that it was answered with.
        acknowledged_after: seconds until the first response.
        answered_after: seconds until there was something to see.
    """

    def __init__(
        self, world: World, application: Application, channel: Channel, person: Payload, kind: Kind, source: Any = None
    ) -> None:
        self.world = world
        self.id = world.new_id()
        self.token = f"aW50ZXJhY3Rpb246{self.id}"
        self.application = application
        self.channel = channel
        self.person = person
        self.kind = kind
        self.payload: Payload = {}
        self.about: Message | None = source if isinstance(source, Message) else None
        self.trigger: Interaction | None = source if isinstance(source, Interaction) else None
        if self.trigger is not None:
            self.about = self.trigger.about
        self.first: Callback | None = None
        self.original: Message | None = None
        self.followups: list[Message] = []
        self.modal: Modal | None = None
        self.choices: list[Choice] | None = None
        self.acknowledged_after: float | None = None
        self.answered_after: float | None = None
        self.began = world.now()
        self._answer: Message | Modal | list[Choice] | None = None
        self._started = time.perf_counter()
        self._waiting: list[asyncio.Future[None]] = []

    # -- for people and tests

    @property
    def messages(self) -> list[Message]:
        """Every message that it was answered with and that still stands, oldest first."""
        first = [self.original] if self.original is not None and self.first in MESSAGES else []
        return [each for each in [*first, *self.followups] if not each.deleted]

    @property
    def failed(self) -> bool:
        """Whether Discord tells the person that the application did not respond."""
        return self.first is None and self.world.now() - self.began > self.world.deadline

    @property
    def ephemeral(self) -> bool:
        """Whether only the person sees the answer."""
        return self.original is not None and self.original.ephemeral

    async def acknowledged(self, within: float = 5.0) -> Callback:
        """Wait for the first response.

        Raises:
            NoAnswer: there was none.
        """
        await self._until(lambda: self.first is not None, within)
        assert self.first is not None
        return self.first

    async def answered(self, within: float = 5.0) -> Message | Modal:
        """Wait for something to see: a form, or a message that is more than "thinking".

        Raises:
            NoAnswer: there was nothing.
        """
        await self._until(lambda: self._answer is not None, within)
        assert isinstance(self._answer, Message | Modal), "it was asked for suggestions"
        return self._answer

    async def message(self, within: float = 5.0) -> Message:
        """Wait for the message that answers.

        Raises:
            NoAnswer: there was none.
        """
        found = await self.answered(within)
        assert isinstance(found, Message), f"a form came instead: {found}"
        return found

    async def form(self, within: float = 5.0) -> Modal:
        """Wait for the form that answers.

        Raises:
            NoAnswer: there was none.
        """
        found = await self.answered(within)
        assert isinstance(found, Modal), f"a message came instead: {found.text}"
        return found

    async def suggested(self, within: float = 5.0) -> list[Choice]:
        """Wait for suggestions.

        Raises:
            NoAnswer: there were none.
        """
        await self._until(lambda: self.choices is not None, within)
        assert self.choices is not None
        return self.choices

    async def _until(self, true: Any, within: float) -> None:
        ends = time.perf_counter() + within
        while not true():
            left = ends - time.perf_counter()
            if self.first is None:
                left = min(left, self.began + self.world.deadline - self.world.now() + 0.05)
            if left <= 0:
                raise NoAnswer(f"{self} was not answered: {self._state()}")
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await asyncio.wait([waiting], timeout=left)

    def _state(self) -> str:
        if self.first is None:
            return "The application did not respond"
        return f"after {self.first.name} there was nothing more"

    def __str__(self) -> str:
        data = self.payload.get("data", {})
        return f"{self.kind.name.lower()} {data.get('name') or data.get('custom_id')!r} to {self.application.name}"

    def _changed(self, answer: Message | Modal | list[Choice] | None = None) -> None:
        if answer is not None and self._answer is None:
            self._answer = answer
            self.answered_after = time.perf_counter() - self._started
        for each in self._waiting:
            if not each.done():
                each.set_result(None)
        self._waiting.clear()

    # -- for applications

    @property
    def expired(self) -> bool:
        """Whether its token is good for nothing any more."""
        return self.world.now() - self.began > self.world.token_life

    def metadata(self) -> Payload:
        """What a message says about the interaction that it came from."""
        guild = self.channel.guild_id
        about: Payload = {
            "id": self.id,
            "type": self.kind,
            "user": self.person,
            "authorizing_integration_owners": {"0": guild or "0"},
        }
        if self.kind is Kind.COMPONENT and self.about is not None:
            about["interacted_message_id"] = self.about.id
        if self.trigger is not None:
            about["triggering_interaction_metadata"] = self.trigger.metadata()
        return about

    def respond(self, body: Payload, uploads: Sequence[Upload]) -> Payload:
        """Take the first response, and describe what came of it.

        Raises:
            Refusal: it is too late, not the first, or not a response to this.
        """
        if self.first is not None:
            raise Refusal(Code.ALREADY_ACKNOWLEDGED)
        if self.world.now() - self.began > self.world.deadline:
            raise Refusal(Code.UNKNOWN_INTERACTION)
        try:
            first = Callback(body["type"])
        except (KeyError, ValueError):
            raise invalid("type", f"no such response: {body.get('type')!r}", "ENUM_TYPE_COERCE") from None
        if first not in self._allowed():
            raise invalid("type", f"{first.name} cannot answer {self.kind.name}", "INTERACTION_RESPONSE_TYPE")
        self._respond(first, body.get("data") or {}, uploads)
        self.first = first
        self.acknowledged_after = time.perf_counter() - self._started
        seen: Message | Modal | list[Choice] | None = self.modal or self.choices
        if seen is None and first in {Callback.MESSAGE, Callback.UPDATE}:
            seen = self.original
        self._changed(seen)
        return self._described(first)

    def _allowed(self) -> set[Callback]:
        if self.kind is Kind.AUTOCOMPLETE:
            return {Callback.SUGGESTIONS}
        allowed = set(MESSAGES)
        if self.about is not None:
            allowed |= UPDATES
        if self.kind is not Kind.MODAL_SUBMIT:
            allowed.add(Callback.MODAL)
        return allowed

    def _respond(self, first: Callback, data: Payload, uploads: Sequence[Upload]) -> None:
        try:
            if first is Callback.MESSAGE:
                self.original = self._post(data, uploads)
            elif first is Callback.THINKING:
                if (data.get("flags") or 0) & ~EPHEMERAL:
                    raise invalid("data/flags", "who thinks can only be ephemeral", "MESSAGE_FLAGS")
                self.original = self._post({"flags": data.get("flags")}, (), LOADING)
            elif first in UPDATES:
                self.original = self.about
                if first is Callback.UPDATE and self.about is not None:
                    self.about.edit(data, uploads)
            elif first is Callback.SUGGESTIONS:
                choices = data.get("choices") or []
                _refuse(list(rules.of_choices(choices)))
                self.choices = [Choice(each["name"], each["value"]) for each in choices]
            else:
                _refuse(list(rules.of_modal(data)))
                self.modal = Modal(self, data)
        except Refusal as refused:
            # Within a callback the message stands under "data".
            if first in MESSAGES | UPDATES and refused.wrongs:
                wrongs = [Wrong(f"data/{each.path}".rstrip("/"), *each[1:]) for each in refused.wrongs]
                raise Refusal(refused.code, wrongs) from None
            raise

    def _described(self, first: Callback) -> Payload:
        about: Payload = {"id": self.id, "type": self.kind}
        described: Payload = {"interaction": about}
        if self.original is not None:
            about |= {
                "response_message_id": self.original.id,
                "response_message_loading": self.original.thinking,
                "response_message_ephemeral": self.original.ephemeral,
            }
            if first in {Callback.MESSAGE, Callback.UPDATE}:
                described["resource"] = {"type": first, "message": self.original.payload}
        return described

    def follow_up(self, body: Payload, uploads: Sequence[Upload]) -> Message:
        """Take a further message; the first one takes the place of "thinking", which was ephemeral or was not.

        Raises:
            Refusal: it is no message.
        """
        if self.original is not None and self.original.thinking:
            ephemeral = self.original.flags & EPHEMERAL
            self.original.edit({**body, "flags": (body.get("flags") or 0) & ~EPHEMERAL | ephemeral}, uploads)
            self._changed(self.original)
            return self.original
        made = self._post(body, uploads)
        self.followups.append(made)
        self._changed(made)
        return made

    def find(self, key: str) -> Message:
        """Find a message of this interaction.

        Raises:
            Refusal: there is none.
        """
        own = [each for each in (self.original, *self.followups) if each is not None]
        found = self.original if key == "@original" else next((each for each in own if each.id == key), None)
        if found is None or found.deleted:
            raise Refusal(Code.UNKNOWN_MESSAGE)
        return found

    def edit(self, key: str, body: Payload, uploads: Sequence[Upload]) -> Message:
        """Change a message of this interaction.

        Raises:
            Refusal: there is none, or the result would be none.
        """
        found = self.find(key)
        found.edit(body, uploads)
        self._changed(found)
        return found

    def delete(self, key: str) -> None:
        """Take a message of this interaction away.

        Raises:
            Refusal: there is none.
        """
        self.find(key).delete()
        self._changed()

    def _post(self, body: Payload, uploads: Sequence[Upload], flags: int = 0) -> Message:
        metadata = self.metadata()
        more = {"interaction_metadata": metadata, "webhook_id": self.application.id}
        if self.original is None and self.kind is Kind.COMMAND:
            more["type"] = 20
            more["interaction"] = {
                "id": self.id,
                "type": self.kind,
                "name": self.payload["data"]["name"],
                "user": self.person,
            }
        elif self.original is not None:
            metadata["original_response_message_id"] = self.original.id
        ephemeral = (body.get("flags") or 0) & EPHEMERAL
        return messages.post(
            self.world,
            self.channel,
            self.application.user,
            body,
            uploads,
            application=self.application,
            only_for=self.person["id"] if ephemeral else None,
            flags=flags,
            replies=True,
            more=more,
        )


def _refuse(wrongs: list[Wrong]) -> None:
    if wrongs:
        raise Refusal(Code.INVALID_FORM_BODY, wrongs)
