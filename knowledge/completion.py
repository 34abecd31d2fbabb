"""One request to an endpoint that speaks OpenAI's protocol; whatever goes wrong becomes a `NoAnswer`.

Imported when the first question is asked, not at the start: the package takes half a second and 50 MB.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
from pydantic import BaseModel, Field, ValidationError

from knowledge.answer import Endpoint, NoAnswer, Trouble

MOST_BYTES = 1 << 20
"""Of one answer; whatever is longer is no answer."""
PAUSE = 1.0
"""Seconds before a second try, if the endpoint does not say how many."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model said, whether it was stopped at its length, and the tokens that it took."""

    text: str
    cut: bool
    spent: int


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    total_tokens: int = Field(ge=0)


class _Body(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


async def complete(
    endpoint: Endpoint, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any], most: int, cost: int
) -> Completion:
    """Return what the endpoint's model says to these messages.

    Args:
        endpoint: whom to ask, and how many seconds to wait in all.
        messages: role and content of each.
        schema: what the answer shall look like; the endpoint may not know how to see to it.
        most: tokens of the answer.
        cost: an estimate of the tokens of the messages, for an endpoint that does not count.

    Raises:
        NoAnswer: there is none.
    """
    try:
        async with asyncio.timeout(endpoint.timeout) as limit, _client(endpoint) as client:
            first = await _ask(client, endpoint, messages, schema, most)
            left = (limit.when() or 0.0) - asyncio.get_running_loop().time()
            # To wait for longer than there is time would only give the same answer later.
            if isinstance(first, _Failure) and first.trouble in _PASSING and first.pause < left:
                await asyncio.sleep(first.pause)
                first = await _ask(client, endpoint, messages, schema, most)
    except TimeoutError:
        first = _Failure(Trouble.TIMEOUT)
    # Raised out here, an error drags no request along, with a question in it, to where it is logged.
    if isinstance(first, _Failure):
        raise NoAnswer(first.trouble, cost if first.trouble in _CHARGED else 0)
    return _read(first, cost)


async def request(endpoint: Endpoint, path: str, body: Mapping[str, Any]) -> bytes:
    """Return what the endpoint says to one request that is not repeated.

    Args:
        endpoint: whom to ask, and how many seconds to wait in all.
        path: what is asked for, such as "/embeddings".
        body: goes as JSON.

    Raises:
        NoAnswer: it said nothing, too much, or that it cannot.
    """
    try:
        async with asyncio.timeout(endpoint.timeout), _client(endpoint) as client:
            said = await _post(client, endpoint, path, body)
    except TimeoutError:
        said = _Failure(Trouble.TIMEOUT)
    if isinstance(said, _Failure):
        raise NoAnswer(said.trouble)
    return said


_PASSING = frozenset({Trouble.BUSY, Trouble.BROKEN})
_CHARGED = frozenset({Trouble.TIMEOUT, Trouble.CUT, Trouble.NONSENSE})
"""Where the model may have begun."""


@dataclass(frozen=True, slots=True)
class _Failure:
    trouble: Trouble
    pause: float = PAUSE


class _TooLong(Exception):  # noqa: N818 - it is not an error of ours
    pass


class _Within(httpx2.AsyncByteStream):
    """A body that ends in an exception where it gets too long."""

    def __init__(self, body: httpx2.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length = 0
        async for part in self._body:
            length += len(part)
            if length > MOST_BYTES:
                raise _TooLong
            yield part

    async def aclose(self) -> None:
        await self._body.aclose()


async def _bound(response: httpx2.Response) -> None:
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Within(response.stream)
    # We asked for plain bytes; whatever claims to be packed could unpack to anything.
    response.headers.pop("content-encoding", None)


def _client(endpoint: Endpoint) -> openai.AsyncOpenAI:
    # An address that sends us on could send a question to anybody.
    http = openai.DefaultAsyncHttpxClient(follow_redirects=False, event_hooks={"response": [_bound]})
    return openai.AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.key or "none",
        timeout=endpoint.timeout,
        max_retries=0,
        http_client=http,
    )


_STEADY = {"temperature": 0, "frequency_penalty": 0.2}
"""The likeliest words, and no endless repetition of them: small models are prone to it."""


async def _ask(
    client: openai.AsyncOpenAI,
    endpoint: Endpoint,
    messages: Sequence[Mapping[str, str]],
    schema: Mapping[str, Any],
    most: int,
) -> bytes | _Failure:
    host = urlsplit(endpoint.base_url).hostname or ""
    # OpenAI's own models call it otherwise and choose their temperature themselves.
    own = host.endswith((".openai.com", ".azure.com"))
    limits: dict[str, Any] = {"max_completion_tokens": most} if own else {"max_tokens": most, **_STEADY}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    body = {"model": endpoint.model, "messages": messages, "response_format": form, **limits}
    return await _post(client, endpoint, "/chat/completions", body)


async def _post(client: openai.AsyncOpenAI, endpoint: Endpoint, path: str, body: Mapping[str, Any]) -> bytes | _Failure:
    headers: dict[str, str | openai.Omit] = {"Accept-Encoding": "identity"}
    if not endpoint.key:
        headers["Authorization"] = openai.Omit()
    try:
        response = await client.post(path, cast_to=httpx2.Response, options={"headers": headers}, body=body)
    except openai.APIConnectionError as error:
        return _Failure(_of_connection(error.__cause__))
    except (_TooLong, httpx2.HTTPError) as error:  # what breaks within a body is not wrapped
        return _Failure(_of_connection(error))
    except openai.APIStatusError as error:
        return _Failure(_of_status(error), _pause(error.response.headers.get("retry-after", "")))
    return response.content


def _of_connection(cause: BaseException | None) -> Trouble:
    match cause:
        case _TooLong():
            return Trouble.NONSENSE
        case httpx2.TimeoutException():
            return Trouble.TIMEOUT
        case httpx2.ReadError() | httpx2.WriteError() | httpx2.RemoteProtocolError():
            return Trouble.CUT
    return Trouble.UNREACHABLE


def _of_status(error: openai.APIStatusError) -> Trouble:
    if error.code == "model_not_found":
        return Trouble.MODEL
    match error.status_code:
        case 401 | 403:
            return Trouble.REFUSED
        case 404:
            return Trouble.MODEL
        case 408:
            return Trouble.TIMEOUT
        case 429:
            return Trouble.BUSY
        case status if status >= 500:
            return Trouble.BROKEN
    return Trouble.NONSENSE


def _pause(after: str) -> float:
    """Read for how many seconds an endpoint asks; one that names an hour of the day gets the usual pause."""
    return float(after) if after.isascii() and after.isdigit() else PAUSE


def _read(content: bytes, cost: int) -> Completion:
    try:
        body = _Body.model_validate(json.loads(content))
    except (ValidationError, ValueError, RecursionError):
        body = None
    if body is None:
        raise NoAnswer(Trouble.NONSENSE, cost)
    choice = body.choices[0]
    text = choice.message.content or ""
    if not text and choice.message.refusal:
        text = '{"sentences": []}'
    spent = body.usage.total_tokens if body.usage else cost + -(-len(text.encode()) // 3)
    return Completion(text, choice.finish_reason == "length", spent)
