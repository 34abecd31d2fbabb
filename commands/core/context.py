"""What a handler gets: who asks, where, when, and the open transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from commands.core.feature import Commands
from commands.core.line import Call
from commands.core.post import Post
from commands.core.text import Text, Voice, _
from storage.members import Member, Role

SATISFIES: dict[Role, frozenset[Role]] = {
    Role.MEMBER: frozenset(Role) - {Role.GUEST},
    Role.COORDINATOR: frozenset({Role.COORDINATOR, Role.ADMIN}),
}
"""Which roles open a door besides the one named on it. Deny by default: most doors open to one role."""


ROLE_NAMES: dict[Role, Text] = {
    Role.GUEST: _("guest"),
    Role.MEMBER: _("member"),
    Role.MENTOR: _("mentor"),
    Role.SELECTOR: _("selector"),
    Role.OFFICER: _("fund officer"),
    Role.TREASURER: _("treasurer"),
    Role.COUNSEL: _("counsel"),
    Role.COORDINATOR: _("coordinator"),
    Role.ADMIN: _("admin"),
}


def role_names(roles: frozenset[Role]) -> list[Text]:
    """Name roles in their order; that everybody is a guest is said only of those who are nothing else."""
    return [ROLE_NAMES[role] for role in Role if role in roles and (role is not Role.GUEST or len(roles) == 1)]


T = TypeVar("T")


class Errand(Exception):  # noqa: N818 it is no error
    """A handler needs something from outside before it can go on; see `Context.fetch`."""

    def __init__(self, name: str, run: Callable[[], Awaitable[Any]]) -> None:
        super().__init__(name)
        self.name = name
        self.run = run


@dataclass
class Context(Post):
    """One person's command: valid inside one transaction, at one instant."""

    actor: Member = field(kw_only=True)
    roles: frozenset[Role] = field(kw_only=True)
    network: str = field(kw_only=True)
    platform: str = field(kw_only=True)
    private: bool = field(kw_only=True)
    """Nobody else reads what was said, nor the answer."""
    native: bool = field(default=False, kw_only=True)
    voice: Voice = field(kw_only=True, repr=False)
    commands: Commands = field(kw_only=True, repr=False)
    subject: str | None = None
    """What the audit names as the object of an audited command: a code or a member's id, never words."""
    gone: bool = False
    """The actor has just been erased: what is still said to them is sealed with the network's key."""
    values: dict[str, object] = field(default_factory=dict, repr=False)
    """What was read so far of the call: a value may depend on those before it."""
    asks: tuple[Call, str] | None = None
    """What is asked next, along with the answer: a call, and the name of the value to ask for."""

    def __post_init__(self) -> None:
        self.actor_id = self.actor.id

    fetched: dict[str, object] = field(default_factory=dict, repr=False)
    """What errands have brought for this command so far."""

    def fetch(self, name: str, run: Callable[[], Awaitable[T]]) -> T:
        """Return what `run` brings from outside, by a network call that no transaction may wait for.

        The first time this ends the handler: its transaction is rolled back, `run` is awaited with no session open,
        and the handler is called anew in another transaction, where this returns what came. So it comes before
        whatever depends on chance or has an effect. `run` must not raise: what can go wrong is a value.
        """
        if name not in self.fetched:
            raise Errand(name, run)
        return cast("T", self.fetched[name])

    def may(self, role: Role) -> bool:
        """Tell whether the actor may go through a door with this role on it."""
        return role is Role.GUEST or bool(self.roles & SATISFIES.get(role, frozenset({role})))


class JobContext(Post):
    """One sweep: valid inside one transaction, at one instant."""
