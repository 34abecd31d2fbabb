"""The clock: APScheduler only ticks. What is due stands in our own tables; the next tick catches up a missed one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

log = structlog.get_logger()

PATIENCE = timedelta(minutes=2)
"""A tick that takes longer is ended; the next one does its work."""


class Clockwork:
    """Ticks for every job of this process. Leases in the store keep other processes from doing the same work."""

    def __init__(self) -> None:
        self._jobs: list[tuple[str, timedelta, Callable[[], Awaitable[None]]]] = []
        self._last: dict[str, float] = {}
        self._scheduler = AsyncIOScheduler()

    def every(self, name: str, period: timedelta, work: Callable[[], Awaitable[None]]) -> None:
        """Have `work` done at once, since it may have been due while nothing ran, and then at each period."""
        self._jobs.append((name, period, work))

    async def run(self) -> None:
        """Tick until cancelled. A ticker that stands still, whatever stopped it, is replaced."""
        self._arm()
        try:
            while True:
                await asyncio.sleep(min(period for _name, period, _work in self._jobs).total_seconds())
                if self._stands_still():
                    log.warning("the clock stood still and was wound up again")
                    self._scheduler.shutdown(wait=False)
                    self._arm()
        finally:
            self._scheduler.shutdown(wait=False)

    def _arm(self) -> None:
        self._scheduler = AsyncIOScheduler()
        for name, period, work in self._jobs:
            self._last[name] = asyncio.get_running_loop().time()
            self._scheduler.add_job(
                self._tick,
                "interval",
                args=(name, work),
                seconds=period.total_seconds(),
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,
                next_run_time=datetime.now(UTC),
            )
        self._scheduler.start()

    async def _tick(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self._last[name] = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                await work()
        except Exception as error:
            log.error("a sweep failed", job=name, error=type(error).__name__, exc_info=error)  # noqa: TRY400 see log.py

    def _stands_still(self) -> bool:
        now = asyncio.get_running_loop().time()
        return any(
            now - self._last[name] > 3 * period.total_seconds() + PATIENCE.total_seconds()
            for name, period, _work in self._jobs
        )
