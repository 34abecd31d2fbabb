"""Who may do what in a Matrix room.

nio counts a room's creator as powerless in room version 12, where creators stand above every level and are not
listed; so this is computed from the state events themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

StateEvent = Mapping[str, Any]

# From these versions on the creators' power has no end. Unknown, later versions are taken to have kept that.
_OLD_VERSIONS: Final = frozenset(str(version) for version in range(1, 12))


class Power:
    """The powers in one room, from its state events."""

    def __init__(self, state: Iterable[StateEvent]) -> None:
        by_type = {event["type"]: event for event in state if event.get("state_key") == ""}
        create = by_type.get("m.room.create", {})
        levels = by_type.get("m.room.power_levels", {}).get("content")
        content = create.get("content") or {}
        version = str(content.get("room_version", "1"))
        self._creators: frozenset[str] = frozenset()
        self._levels: Mapping[str, Any] = levels if isinstance(levels, Mapping) else {}
        creator = str(content.get("creator") or create.get("sender") or "")
        if version not in _OLD_VERSIONS:
            more = content.get("additional_creators")
            others = [str(each) for each in more] if isinstance(more, list) else []
            self._creators = frozenset([str(create.get("sender", "")), *others])
        elif levels is None:
            # Before anybody set levels, the creator of an old room has 100 and nobody else anything.
            self._levels = {"users": {creator: 100}, "state_default": 0, "events_default": 0}

    def of(self, user: str) -> float:
        """Return a person's power; a creator's is infinite from room version 12 on."""
        if user in self._creators:
            return math.inf
        users = self._levels.get("users")
        own = users.get(user) if isinstance(users, Mapping) else None
        return _number(own if own is not None else self._levels.get("users_default"), 0)

    def needed(self, kind: str) -> float:
        """Return the power that a state event of this type takes."""
        events = self._levels.get("events")
        own = events.get(kind) if isinstance(events, Mapping) else None
        return _number(own if own is not None else self._levels.get("state_default"), 50)

    def may_move_us(self, user: str) -> bool:
        """Tell whether we follow this person's upgrade of the room.

        It takes the power to send a tombstone, and at least a moderator's: where a room lets anybody write state,
        anybody could otherwise lead a network away.
        """
        return self.of(user) >= max(self.needed("m.room.tombstone"), 50)


def _number(value: object, otherwise: float) -> float:
    """Old rooms hold levels as strings."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return otherwise
