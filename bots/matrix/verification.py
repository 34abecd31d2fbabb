"""Interactive verification: the bot cannot compare emoji, and says so instead of leaving people waiting.

Nobody needs it: the bot's device is signed by its own identity, which clients check by themselves.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from nio import Event, MatrixRoom

from bots.matrix.speaking import Speaker
from bots.matrix.timeline import content_of, source_of
from bots.matrix.trust import NotReady
from bots.matrix.wire import Away, Refusal, Wire, path

_REQUEST: Final = "m.key.verification.request"
_CANCEL: Final = "m.key.verification.cancel"
_NO: Final = {"code": "m.user", "reason": "A bot cannot compare emoji. Its device is signed by its own identity."}


def asks_in_room(event: Event, me: str) -> bool:
    """Tell whether somebody asks, with this message, to verify us."""
    content = content_of(event)
    return content.get("msgtype") == _REQUEST and content.get("to") == me


async def decline_in_room(speaker: Speaker, room: MatrixRoom, event: Event) -> None:
    """Decline what was asked with a message."""
    asked = source_of(event)["event_id"]
    relation = {"m.relates_to": {"rel_type": "m.reference", "event_id": asked}}
    with suppress(Away, Refusal, NotReady):
        await speaker.send(room, _CANCEL, {**_NO, **relation}, f"decline{asked[1:17]}")


def asks_directly(event: Mapping[str, Any]) -> bool:
    """Tell whether a device asks, with this to-device event, to verify us."""
    return event.get("type") == _REQUEST and isinstance(event.get("content"), Mapping)


async def decline_directly(wire: Wire, event: Mapping[str, Any]) -> None:
    """Decline what a device asked."""
    asked = event["content"]
    answer = {**_NO, "transaction_id": str(asked.get("transaction_id", ""))}
    body = {"messages": {str(event.get("sender", "")): {str(asked.get("from_device", "")): answer}}}
    with suppress(Away, Refusal):
        await wire.ask("PUT", path("sendToDevice", _CANCEL, secrets.token_hex(12)), body)
