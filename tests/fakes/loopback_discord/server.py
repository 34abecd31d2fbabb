"""The loopback Discord itself: a world with a gateway and a REST interface on 127.0.0.1."""

import asyncio
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, Self

from aiohttp import web

from tests.fakes.loopback_discord.faults import Fault, Faults
from tests.fakes.loopback_discord.gateway import Gateway
from tests.fakes.loopback_discord.messages import Upload
from tests.fakes.loopback_discord.people import Person
from tests.fakes.loopback_discord.refusals import Code, Refusal, Wrong
from tests.fakes.loopback_discord.rest import Answer, Asked, Operation, Rest, encoded, find, limits, malformed
from tests.fakes.loopback_discord.sessions import Op
from tests.fakes.loopback_discord.spec import Specification
from tests.fakes.loopback_discord.world import Application, Payload, Violation, World

PREFIX = "/api/v10"
MOST_BYTES = 1 << 28
VIA = {"Via": "1.1 google"}
"""Discord stands behind a proxy; without this header discord.py takes a 429 for a ban of its address."""

FAULTY = {Code.INVALID_FORM_BODY, Code.EMPTY_MESSAGE, Code.TOO_LARGE}
"""Refusals that tell of a fault in the program that asked."""


class LoopbackDiscord(World):
    """A Discord of one's own: `async with LoopbackDiscord() as discord: …`.

    What Discord forbids is refused as Discord refuses it, and collected in `violations`. With Discord's OpenAPI
    document, whose path is in the environment variable DISCORD_OPENAPI, every request and every reply is held
    against it as well.

    Args:
        specification: the document; None reads the environment; False does without.
        recording: whether `requests` keeps every request, as pairs of operation and body.
        settings: of `World`.
    """

    def __init__(
        self, *, specification: Specification | bool | None = None, recording: bool = False, **settings: Any
    ) -> None:
        super().__init__(**settings)
        if specification is None and (path := os.environ.get("DISCORD_OPENAPI")):
            specification = _read_once(path)
        self.specification = specification if isinstance(specification, Specification) else None
        self.gateway = Gateway(self)
        self.faults = Faults()
        self.requests: list[tuple[str, Any]] = []
        self.recording = recording
        self.rest = Rest(self, self.gateway)
        self._runner: web.ServerRunner | None = None

    # -- life

    async def start(self, port: int = 0) -> Self:
        """Listen on 127.0.0.1; port 0 takes a free one."""
        server = web.Server(self._serve, access_log=None, request_factory=_request)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        host, bound = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{bound}"
        self.gateway.url = f"ws://{host}:{bound}/gateway"
        return self

    async def stop(self) -> None:
        """Break every connection and listen no more."""
        await self.gateway.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    @property
    def api(self) -> str:
        """The address of the REST interface."""
        return self.url + PREFIX

    def person(self, name: str, *, locale: str = "en-US") -> Person:
        """Make an account of a person."""
        return Person(self, name, locale)

    # -- judging

    def assert_lawful(self) -> None:
        """Assert that nothing was asked that Discord would not take.

        Raises:
            AssertionError: what was, line by line.
        """
        wrongs = [*map(str, self.violations), *(f"unknown route: {each}" for each in self.unknown_routes)]
        assert not wrongs, "\n".join(wrongs)

    # -- trouble at the gateway

    def drop(self, application: Application | None = None, *, code: int | None = None) -> None:
        """Break the connections of an application, or of all; with a code they are closed with it."""
        for connection in self._connections(application):
            if code is None:
                connection.abort()
            else:
                connection.close(code)

    def ask_to_reconnect(self, application: Application | None = None) -> None:
        """Tell clients to connect anew and resume (opcode 7)."""
        for connection in self._connections(application):
            connection.say(Op.RECONNECT)

    def invalidate(self, application: Application | None = None, *, resumable: bool) -> None:
        """Tell clients that their sessions are not valid (opcode 9)."""
        for connection in self._connections(application):
            connection.say(Op.INVALID_SESSION, resumable)
        if not resumable:
            self.forget_sessions(application)

    def forget_sessions(self, application: Application | None = None) -> None:
        """Let no session be resumed; its connection, if it has one, hears nothing more."""
        for each in self._chosen(application):
            each.sessions.clear()

    def refuse_connections(self, times: int = 1) -> None:
        """Refuse the next connections to the gateway."""
        self.gateway.refusing = times

    def malform(self, application: Application, event: str, *lacking: str) -> None:
        """Let the next event of a kind lack keys that it must have."""
        application.malformed[event].append(lacking)

    async def connected(self, application: Application, within: float = 5.0) -> None:
        """Wait until an application's bot is connected.

        Raises:
            TimeoutError: it does not come.
        """
        async with asyncio.timeout(within):
            while not application.connected:
                await self.news.wait()

    def _chosen(self, application: Application | None) -> list[Application]:
        return list(self.applications.values()) if application is None else [application]

    def _connections(self, application: Application | None) -> list[Any]:
        sessions = [session for each in self._chosen(application) for session in each.sessions.values()]
        return [each.connection for each in sessions if each.connection is not None]

    # -- serving

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path.startswith(PREFIX):
            return await self._answer(request, path[len(PREFIX) :])
        if path == "/gateway":
            return await self.gateway.serve(request)
        if path.startswith("/attachments/"):
            return self._attachment(path)
        self.unknown_routes.append(f"{request.method} {path}")
        return _response(Answer(404, Refusal(Code.NOT_FOUND).body), VIA)

    def _attachment(self, path: str) -> web.Response:
        content = self.files.get(path.split("/")[3] if path.count("/") >= 4 else "")
        return web.Response(status=404) if content is None else web.Response(body=content)

    async def _answer(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        found = find(request.method, path)
        if found is None:
            self.unknown_routes.append(f"{request.method} {path}")
            return _response(Answer(404, Refusal(Code.NOT_FOUND).body), VIA)
        operation, params = found
        asked = Asked(params, dict(request.query))
        try:
            asked.body, asked.uploads = await _read(request)
        except (ValueError, AssertionError) as error:
            return self._said(operation, self._refused(operation, malformed(error)))
        if self.recording:
            self.requests.append((operation.name, asked.body))
        fault = self.faults.take(operation.name)
        if fault is None:
            return self._said(operation, self._run(operation, asked, request.headers))
        return await self._troubled(request, operation, asked, fault)

    async def _troubled(
        self, request: web.BaseRequest, operation: Operation, asked: Asked, fault: Fault
    ) -> web.StreamResponse:
        await asyncio.sleep(fault.delay)
        answer = self._run(operation, asked, request.headers) if fault.executed else Answer(204)
        if fault.reset:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        if fault.status == 429:
            return _rate_limited(operation.name, fault)
        if fault.status:
            return _response(Answer(fault.status, {"code": 0, "message": f"{fault.status}: in trouble"}), VIA)
        return self._said(operation, answer)

    def _run(self, operation: Operation, asked: Asked, headers: Mapping[str, str]) -> Answer:
        try:
            self._admit(operation, asked, headers)
            return operation.run(self.rest, asked)
        except Refusal as refused:
            return self._refused(operation, refused)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            return self._refused(operation, malformed(error))

    def _admit(self, operation: Operation, asked: Asked, headers: Mapping[str, str]) -> None:
        if not operation.open:
            kind, _, token = headers.get("Authorization", "").partition(" ")
            asked.application = self.by_token.get(token) if kind == "Bot" else None
            if asked.application is None:
                raise Refusal(Code.UNAUTHORIZED)
        if self.specification is not None:
            wrongs = list(self.specification.of_request(operation.name, asked.body, asked.query))
            if wrongs:
                raise Refusal(Code.INVALID_FORM_BODY, wrongs)

    def _refused(self, operation: Operation, refused: Refusal) -> Answer:
        if refused.code in FAULTY:
            self._note(operation.name, refused.wrongs or [Wrong("", str(refused))])
        return Answer(refused.status, refused.body)

    def _said(self, operation: Operation, answer: Answer) -> web.Response:
        if self.specification is not None:
            wrongs = self.specification.of_reply(operation.name, answer.status, answer.body)
            self._note(f"{operation.name} replied {answer.status}", wrongs)
        return _response(answer, {**VIA, **limits(operation.name)})

    def _note(self, operation: str, wrongs: Iterable[Wrong]) -> None:
        self.violations += [Violation(operation, each.path, each.message) for each in wrongs]


_specifications: dict[str, Specification] = {}


def _read_once(path: str) -> Specification:
    if path not in _specifications:
        _specifications[path] = Specification(path)
    return _specifications[path]


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    """Make a request that may carry ten files."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MOST_BYTES)


async def _read(request: web.BaseRequest) -> tuple[Any, list[Upload]]:
    """Read a body and its files; None is no body."""
    if request.content_type == "multipart/form-data":
        body: Any = None
        uploads = []
        async for part in await request.multipart():
            content = bytes(await part.read())
            if part.name == "payload_json":
                body = json.loads(content)
            else:
                kind = part.headers.get("Content-Type", "application/octet-stream")
                uploads.append(Upload(part.name or "", part.filename or "", content, kind))
        return body, uploads
    raw = await request.read()
    if not raw:
        return None, []
    if request.content_type != "application/json":
        raise ValueError(f"the content is {request.content_type}")
    return json.loads(raw), []


def _response(answer: Answer, headers: Mapping[str, str]) -> web.Response:
    # Exactly this type: discord.py reads nothing else as JSON.
    if answer.body is None:
        return web.Response(status=answer.status, headers=headers)
    return web.Response(
        body=encoded(answer.body), status=answer.status, headers={**headers, "Content-Type": "application/json"}
    )


def _rate_limited(name: str, fault: Fault) -> web.Response:
    body: Payload = {
        "message": "You are being rate limited.",
        "retry_after": fault.retry_after,
        "global": fault.everywhere,
    }
    headers = {
        **VIA,
        "Retry-After": str(fault.retry_after),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset-After": str(fault.retry_after),
        "X-RateLimit-Bucket": name,
        "X-RateLimit-Scope": "global" if fault.everywhere else "user",
    }
    if fault.everywhere:
        headers["X-RateLimit-Global"] = "true"
    return _response(Answer(429, body), headers)
