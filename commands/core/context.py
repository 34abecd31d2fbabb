"""What a handler gets: who asks, where, when, and the open transaction."""

from __future__ import annotations

from dataclasses import dataclass, field

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

    def may(self, role: Role) -> bool:
        """Tell whether the actor may go through a door with this role on it."""
        return role is Role.GUEST or bool(self.roles & SATISFIES.get(role, frozenset({role})))


class JobContext(Post):
    """One sweep: valid inside one transaction, at one instant."""
