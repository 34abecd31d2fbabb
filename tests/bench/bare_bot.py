"""A bare matrix-nio bot that echoes in encrypted rooms: what a bot costs without a house around it.

python -m tests.bench.bare_bot HOMESERVER USER PASSWORD FOLDER
"""

from __future__ import annotations

import asyncio
import sys

from nio import AsyncClient, AsyncClientConfig, InviteMemberEvent, MatrixRoom, RoomMessageText


async def main(homeserver: str, user: str, password: str, folder: str) -> None:
    """Log in, say `ready`, and echo until killed."""
    client = AsyncClient(homeserver, user, store_path=folder, config=AsyncClientConfig(encryption_enabled=True))
    await client.login(password)

    async def invited(room: MatrixRoom, _event: InviteMemberEvent) -> None:
        await client.join(room.room_id)

    async def heard(room: MatrixRoom, event: RoomMessageText) -> None:
        if event.sender != client.user_id:
            content = {"msgtype": "m.notice", "body": event.body}
            await client.room_send(room.room_id, "m.room.message", content, ignore_unverified_devices=True)

    await client.sync(timeout=0, full_state=True)
    client.add_event_callback(invited, InviteMemberEvent)
    client.add_event_callback(heard, RoomMessageText)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await client.sync_forever(timeout=30_000)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
