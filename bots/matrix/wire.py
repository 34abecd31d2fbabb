"""One request to the homeserver, and what can go wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
from nio import AsyncClient

V3: Final = "/_matrix/client/v3"


class Away(Exception):  # noqa: N818 the server is away
    """The homeserver cannot be reached, or answers as one that is starting or broken."""


class Refusal(Exception):  # noqa: N818 a refusal is no defect
    """The homeserver said no.

    Attributes:
        status: the HTTP status.
        code: Matrix's own word for it, for instance M_FORBIDDEN.
        retry_after: the seconds it asked us to wait, if it did.
        answer: everything else it said.
    """

    def __init__(self, status: int, code: str, retry_after: float | None, answer: dict[str, Any]) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.answer = answer

    @property
    def is_throttle(self) -> bool:
        """Whether we were too fast."""
        return self.status == 429 or self.code == "M_LIMIT_EXCEEDED"


def path(*parts: str, base: str = V3, **query: str) -> str:
    """Put an address together; ids of rooms, events and people are opaque and get quoted."""
    whole = base + "".join("/" + quote(part, safe="") for part in parts)
    return f"{whole}?{urlencode(query)}" if query else whole


class Wire:
    """Speaks to the homeserver through nio's connection, without nio's own retries.

    nio repeats throttled and timed-out requests for ever, out of order, and longer than an outbox lease lives; here a
    request is made once and its failure is the caller's to judge. The token travels in a header, never in an address.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        within: float = 30,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """Make one request and return the answer, an object.

        Raises:
            Away: nobody answered, or a server in trouble did.
            Refusal: the server said no.
        """
        answer = await self.ask_any(method, path, body, within=within, content_type=content_type)
        if not isinstance(answer, dict):
            raise Away("the answer is no object")
        return answer

    async def ask_any(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        within: float = 30,
        content_type: str = "application/json",
    ) -> Any:
        """Make one request and return the answer, whatever it is; see `ask`."""
        headers = {"Content-Type": content_type}
        if self._client.access_token:
            headers["Authorization"] = f"Bearer {self._client.access_token}"
        data = body if isinstance(body, bytes | None) else json.dumps(body, separators=(",", ":"))
        try:
            response = await self._client.send(method, path, data, headers, timeout=within)
            status, raw = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Away(type(error).__name__) from error
        try:
            answer = json.loads(raw) if raw else {}
        except ValueError:
            raise Away(f"HTTP {status}, not JSON") from None
        if status == 200:
            return answer
        said = answer if isinstance(answer, dict) else {}
        # Interactive authentication (401) carries no error code; anything else without one is a broken gateway.
        if status >= 500 or ("errcode" not in said and status != 401):
            raise Away(f"HTTP {status}")
        wait = said.get("retry_after_ms")
        after = wait / 1000 if isinstance(wait, int | float) else _seconds(response.headers.get("Retry-After"))
        raise Refusal(status, str(said.get("errcode", "M_UNAUTHORIZED")), after, said)


def _seconds(said: str | None) -> float | None:
    try:
        return float(said) if said is not None else None
    except ValueError:
        return None
