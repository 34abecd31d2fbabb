"""A model behind OpenAI's protocol, on loopback, that says what it is told to, and fails in every way one can.

A real model on a healthy server gives right answers and none of these faults.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

REASONS = {200: "OK", 307: "Temporary Redirect", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(frozen=True)
class Answer:
    """One answer over HTTP.

    Attributes:
        body: what is sent.
        status: the status of HTTP.
        headers: more headers; a length that is promised here need not be true.
        silence: seconds before anything is said.
        endless: the body is repeated until the other side hangs up.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    silence: float = 0.0
    endless: bool = False


@dataclass(frozen=True)
class Request:
    """What was asked: the headers in small letters, and the body."""

    path: str
    headers: Mapping[str, str]
    body: Any

    @property
    def data(self) -> Any:
        """The question and its passages."""
        return json.loads(self.body["messages"][-1]["content"])


Says = Answer | Callable[[Request], Answer]


def completion(content: str | None, *, finish: str = "stop", usage: Any = 70, **message: Any) -> Answer:
    """Return a model's answer as such a server wraps it."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "loopback",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
        ],
    }
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage - 7, "completion_tokens": 7, "total_tokens": usage}
    return Answer(json.dumps(body).encode())


def said(*sentences: tuple[str, list[int], str], **options: Any) -> Answer:
    """Return an answer of these sentences, each with its cites and its quote."""
    rows = [{"text": text, "cite": cite, "quote": quote} for text, cite, quote in sentences]
    return completion(json.dumps({"sentences": rows}), **options)


def error(status: int, code: str = "", **headers: str) -> Answer:
    """Return a refusal as such servers word it."""
    body = {"error": {"message": "no", "type": "error", "code": code or None}}
    return Answer(json.dumps(body).encode(), status, {name.replace("_", "-"): value for name, value in headers.items()})


class LoopbackModel:
    """A server of one's own: `async with LoopbackModel(said(…)) as model: … model.url …`.

    Args:
        answers: what it says, one after the other; the last again and again.
    """

    def __init__(self, *answers: Says) -> None:
        self._answers = list(answers)
        self.requests: list[Request] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        self._served: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._welcome, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        for each in self._served:
            each.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._served.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines) if name}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            request = Request(first.split(" ")[1], headers, json.loads(body or b"null"))
            self.requests.append(request)
            says = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            await self._say(says(request) if callable(says) else says, writer)
        writer.close()

    @staticmethod
    async def _say(answer: Answer, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(answer.silence)
        headers = {"Content-Type": "application/json", "Connection": "close", **answer.headers}
        if not answer.endless:
            headers.setdefault("Content-Length", str(len(answer.body)))
        lines = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Other')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + answer.body)
        await writer.drain()
        while answer.endless:
            writer.write(answer.body)
            await writer.drain()
