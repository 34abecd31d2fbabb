"""A room's timeline: which of its events concern us, and from when on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nio import Event

Json = Mapping[str, Any]

SAID_BEFORE_ENTRY: Final = timedelta(minutes=10)
"""How long before our entry words count as said to us, if we had been invited by then."""


class Memory:
    """Remembers of the last some thousand events whether they are ours."""

    def __init__(self, size: int = 20_000) -> None:
        self._size = size
        self._known: OrderedDict[str, bool] = OrderedDict()

    def note(self, event: str, *, ours: bool) -> None:
        """Remember an event; once it is ours, it stays ours."""
        self._known[event] = self._known.pop(event, False) or ours
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def of(self, event: str) -> bool | None:
        """Tell whether an event is ours; None if we do not remember it."""
        return self._known.get(event)


def source_of(event: Event) -> dict[str, Any]:
    """Return an event as JSON; nothing for what nio could not read at all."""
    source = getattr(event, "source", None)
    return source if isinstance(source, dict) else {}


def content_of(event: Event) -> dict[str, Any]:
    """Return an event's content."""
    content = source_of(event).get("content")
    return content if isinstance(content, dict) else {}


def said_at(event: Json) -> datetime:
    """Return when an event was sent, as its server says; long ago, if that is no time at all."""
    try:
        return datetime.fromtimestamp(event.get("origin_server_ts", 0) / 1000, UTC)
    except (OSError, OverflowError, TypeError, ValueError):
        return datetime.fromtimestamp(0, UTC)


def taken_back(event: Event) -> str | None:
    """Return the event that this one takes back (redacts), if it does."""
    if source_of(event).get("type") != "m.room.redaction":
        return None
    return source_of(event).get("redacts") or content_of(event).get("redacts")


def encrypted(events: Iterable[dict[str, Any]]) -> dict[str, Json]:
    """Return the encrypted ones among raw events, by id, made complete: nio puts opened ones in their place.

    Newer clients leave out whose key it is; nio would call the event broken then.
    """
    found: dict[str, Json] = {}
    for event in events:
        content = event.get("content")
        if event.get("type") == "m.room.encrypted" and isinstance(content, dict):
            content.setdefault("sender_key", "")
            content.setdefault("device_id", "")
            found[event["event_id"]] = event
    return found


def is_our_entry(event: Event, me: str) -> bool:
    """Tell whether this event is the moment when we came into a room."""
    source = source_of(event)
    if source.get("type") != "m.room.member" or source.get("state_key") != me:
        return False
    before = (source.get("unsigned") or {}).get("prev_content") or {}
    return content_of(event).get("membership") == "join" and before.get("membership") != "join"


def since_we_came(events: list[Event], me: str) -> list[Event]:
    """Leave out what was said before we were in the room.

    What was said after we had been invited, minutes before we came, was said to us: people open a room with the bot
    and type their first command before the bot has walked in.
    """
    entry = max((at for at, event in enumerate(events) if is_our_entry(event, me)), default=None)
    if entry is None:
        return events
    came = said_at(source_of(events[entry]))
    invited = entry
    for at in range(entry - 1, -1, -1):
        source = source_of(events[at])
        if source.get("type") == "m.room.member" and source.get("state_key") == me:
            invited = at if content_of(events[at]).get("membership") == "invite" else entry
            break
    waiting = [event for event in events[invited:entry] if came - said_at(source_of(event)) < SAID_BEFORE_ENTRY]
    return [*waiting, *events[entry:]]
