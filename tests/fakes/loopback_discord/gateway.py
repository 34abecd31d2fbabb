"""The gateway's side of the conversation: identify, resume, heartbeats, and its ways to end it."""

import asyncio
import json
from collections import deque
from typing import Any

from aiohttp import WSMsgType, web

from tests.fakes.loopback_discord.sessions import COMPRESSIONS, Connection, Op, Session
from tests.fakes.loopback_discord.world import PRIVILEGED, Application, Intent, World

MOST_BYTES = 4096
"""The longest payload that a client may send."""

MOST_SENDS = 120
"""How many payloads a client may send in `SENDS_WITHIN` seconds."""

SENDS_WITHIN = 60.0
KNOWN_INTENTS = (1 << 26) - 1


class _Close(Exception):  # noqa: N818 it ends a conversation, nothing is wrong with the server
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Gateway:
    """Takes connections to the gateway.

    Attributes:
        url: its address.
        heartbeat: the interval that clients are told, in seconds.
        refusing: how many of the next connections break before they are made.
        shards: how many shards clients are told to use.
        acknowledging: whether heartbeats are answered.
    """

    def __init__(self, world: World) -> None:
        self.url = ""
        self.heartbeat = 41.25
        self.refusing = 0
        self.shards = 1
        self.acknowledging = True
        self._world = world
        self._connections: set[Connection] = set()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Carry one connection to its end."""
        if self.refusing > 0:
            self.refusing -= 1
            return web.Response(status=503)
        compression = request.query.get("compress", "")
        if compression not in {"", *COMPRESSIONS} or request.query.get("encoding", "json") != "json":
            return web.Response(status=400)
        socket = web.WebSocketResponse(max_msg_size=1 << 20, compress=False)
        await socket.prepare(request)
        connection = Connection(socket, request.transport, compression)
        self._connections.add(connection)
        connection.say(Op.HELLO, {"heartbeat_interval": int(self.heartbeat * 1000)})
        try:
            await self._listen(connection)
        except _Close as ending:
            connection.close(ending.code)
            await connection.ended()
        finally:
            self._connections.discard(connection)
            connection.leave()
        return socket

    async def stop(self) -> None:
        """Break every connection."""
        for each in list(self._connections):
            each.abort()

    async def _listen(self, connection: Connection) -> None:
        application: Application | None = None
        sent: deque[float] = deque(maxlen=MOST_SENDS)
        clock = asyncio.get_running_loop().time
        async for message in connection.socket:
            if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                continue
            if len(sent) == MOST_SENDS and clock() - sent[0] < SENDS_WITHIN:
                raise _Close(4008)
            sent.append(clock())
            op, data = _read(message.data)
            match op:
                case Op.HEARTBEAT:
                    self._beat(connection, application, data)
                case Op.IDENTIFY if application is None:
                    application = self._identify(connection, data)
                case Op.RESUME if application is None:
                    application = self._resume(connection, data)
                case Op.IDENTIFY | Op.RESUME:
                    raise _Close(4005)
                case Op.MEMBERS if application is not None:
                    self._members(connection, application, data)
                case Op.PRESENCE | Op.VOICE if application is not None:
                    pass
                case Op.MEMBERS | Op.PRESENCE | Op.VOICE:
                    raise _Close(4003)
                case _:
                    raise _Close(4001)
        # A client that says goodbye properly cannot come back to its session.
        session = connection.session
        left = session is not None and session.connection is connection
        if application and session and left and connection.socket.close_code in {1000, 1001}:
            application.sessions.pop(session.id, None)
            self._world.happened()

    def _beat(self, connection: Connection, application: Application | None, sequence: Any) -> None:
        if application is not None:
            application.heartbeats += 1
        if connection.session is not None and sequence is not None:
            connection.session.confirm(int(sequence))
        if self.acknowledging:
            connection.say(Op.HEARTBEAT_ACK)

    def _application(self, token: Any) -> Application:
        found = self._world.by_token.get(str(token).removeprefix("Bot "))
        if found is None:
            raise _Close(4004)
        return found

    def _identify(self, connection: Connection, data: dict[str, Any]) -> Application:
        application = self._application(data.get("token"))
        intents = data.get("intents")
        if not isinstance(intents, int) or intents & ~KNOWN_INTENTS:
            raise _Close(4013)
        if intents & PRIVILEGED & ~application.intents:
            raise _Close(4014)
        if not {"os", "browser", "device"} <= (data.get("properties") or {}).keys():
            raise _Close(4002)
        number, count = data.get("shard") or (0, 1)
        if not 0 <= number < count:
            raise _Close(4010)
        session = Session(self._world.new_id(), intents, (number, count))
        session.attach(connection)
        application.enter(session)
        application.identified += 1
        guilds = [
            each
            for each in self._world.guilds.values()
            if application.id in each.applications and session.hears(each.id)
        ]
        ready = {
            "v": 10,
            "user": {**application.user, "verified": True, "mfa_enabled": False, "email": None},
            "guilds": [{"id": each.id, "unavailable": True} for each in guilds],
            "session_id": session.id,
            "session_type": "normal",
            "resume_gateway_url": self.url,
            "shard": [number, count],
            "application": {"id": application.id, "flags": 0},
            "private_channels": [],
            "relationships": [],
            "_trace": [],
        }
        session.dispatch("READY", application.written("READY", ready))
        for each in guilds:
            if intents & Intent.GUILDS:
                session.dispatch("GUILD_CREATE", application.written("GUILD_CREATE", each.created(application)))
        self._world.happened()
        return application

    def _resume(self, connection: Connection, data: dict[str, Any]) -> Application | None:
        application = self._application(data.get("token"))
        session = application.sessions.get(data.get("session_id", ""))
        if session is None:
            connection.say(Op.INVALID_SESSION, data=False)
            return None
        after = data.get("seq")
        if not isinstance(after, int) or after > session.sequence:
            raise _Close(4007)
        if not session.remembers(after):
            connection.say(Op.INVALID_SESSION, data=False)
            return None
        application.resumed += 1
        session.resume(connection, after)
        self._world.happened()
        return application

    def _members(self, connection: Connection, application: Application, data: dict[str, Any]) -> None:
        guild = self._world.guilds.get(str(data.get("guild_id")))
        session = connection.session
        if guild is None or session is None or application.id not in guild.applications:
            return
        wanted = {str(each) for each in _listed(data.get("user_ids"))}
        if not wanted and not application.intents & Intent.GUILD_MEMBERS:
            raise _Close(4014)
        found = [each.payload() for key, each in guild.members.items() if not wanted or key in wanted]
        chunk = {
            "guild_id": guild.id,
            "members": found,
            "chunk_index": 0,
            "chunk_count": 1,
            "not_found": sorted(wanted - guild.members.keys()),
            "nonce": data.get("nonce"),
        }
        session.dispatch("GUILD_MEMBERS_CHUNK", json.dumps(chunk))


def _read(raw: str | bytes) -> tuple[int, Any]:
    if len(raw) > MOST_BYTES:
        raise _Close(4002)
    try:
        payload = json.loads(raw)
        return int(payload["op"]), payload.get("d")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _Close(4002) from None


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
