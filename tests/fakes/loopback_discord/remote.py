"""A loopback Discord in another process, so that what is measured has its own process for itself."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Self

HOUSE = Path(__file__).parents[3]


class RemoteDiscord:
    """A server that runs as `python -m tests.fakes.loopback_discord` while one is inside of the context.

    Attributes:
        at: where it listens, and the tokens and ids of everything there.
    """

    def __init__(self, **setup: Any) -> None:
        self._setup = setup
        self._child: asyncio.subprocess.Process | None = None
        self._asking = asyncio.Lock()
        self.at: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        """The other process."""
        assert self._child is not None
        return self._child.pid

    async def __aenter__(self) -> Self:
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __package__, json.dumps(self._setup)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 26,
            cwd=HOUSE,
        )
        self.at = await self._line()
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.close()
        await self._child.wait()

    async def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """Give an order and wait until it was obeyed."""
        assert self._child is not None
        assert self._child.stdin is not None
        async with self._asking:
            self._child.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
            await self._child.stdin.drain()
            return await self._line()

    async def _line(self) -> dict[str, Any]:
        assert self._child is not None
        assert self._child.stdout is not None
        line = await self._child.stdout.readline()
        if not line:
            raise RuntimeError("the loopback Discord has ended")
        return dict(json.loads(line))
