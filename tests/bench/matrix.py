"""Replies through a real homeserver beside a bare matrix-nio bot; start-up and memory of the whole program."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import psutil

from bots.child import Child
from bots.demo import Demo
from tests.bench import Figure, of_rounds, percentile
from tests.fakes.person import Person

SAID = "!help command=me"
PASSWORD = "a password for measuring"
ROUNDS = 8
IN_A_ROUND = 12
WARM_UP = 4


async def measure(folder: Path) -> list[Figure]:
    """Start three bots and measure them; then one of them beside a bare bot, in turns, on the same homeserver."""
    async with AsyncExitStack() as stack:
        demo = Demo(folder / "world")
        stack.callback(demo.homeserver.stop)
        await asyncio.to_thread(demo.homeserver.start)
        await demo.furnish()
        figures = await _starting(demo)
        os.environ["IMPACTHUB_HUB__PACE_BURST"] = "100000"
        ours = await _started(stack, Child("bots", _run(demo, "--only", "matrix:uj"), log=folder / "ours.log"))
        bare_user = demo.homeserver.register("bare-bot", PASSWORD)
        (folder / "bare").mkdir()
        args = [demo.homeserver.url, bare_user, PASSWORD, str(folder / "bare")]
        bare = await _started(stack, Child("tests.bench.bare_bot", args, log=folder / "bare.log"))
        user = demo.homeserver.register("bench-member", PASSWORD)
        member = await stack.enter_async_context(Person(demo.homeserver.url, user, PASSWORD, folder / "member"))
        figures += await _latency(member, (demo.bots["uj"], ours), (bare_user, bare))
    return figures


async def _starting(demo: Demo) -> list[Figure]:
    """Start all three bots on a fresh folder, then twice more as after any restart."""
    took: list[float] = []
    rss = 0.0
    for first in (True, False, False):
        bots = Child("bots", _run(demo), log=demo.folder / "bots.log")
        started = time.perf_counter()
        try:
            await bots.start()
            took.append(time.perf_counter() - started)
            if first:
                await demo.everybody_is_in()
            rss = _process(bots).memory_info().rss / 2**20
        finally:
            await bots.stop()
    return [
        Figure("first start of three bots to “ready”", took[0], "s", note="log-in, identity, migrations included"),
        of_rounds("a later start of three bots to “ready”", took[1:], "s"),
        Figure("memory of three bots after that", rss, "MiB", target=150),
    ]


async def _latency(member: Person, ours: tuple[str, psutil.Process], bare: tuple[str, psutil.Process]) -> list[Figure]:
    """Ask both in turns; every round is a ratio."""
    asks = [await _room_with(member, user) for user, _process in (ours, bare)]
    for ask in asks:
        for _ in range(WARM_UP):
            await ask()
    took: tuple[list[float], list[float]] = ([], [])
    before = [_cpu(process) for _user, process in (ours, bare)]
    ratios: list[float] = []
    for _ in range(ROUNDS):
        for turn in range(IN_A_ROUND):
            for side in (0, 1) if turn % 2 else (1, 0):
                took[side].append(await asks[side]())
        ratios.append(median(took[0][-IN_A_ROUND:]) / median(took[1][-IN_A_ROUND:]))
    commands = ROUNDS * IN_A_ROUND
    cpu = [_cpu(process) - start for (_user, process), start in zip((ours, bare), before, strict=True)]
    (p50, p95), (bare_p50, bare_p95) = ((percentile(each, 0.5), percentile(each, 0.95)) for each in took)
    return [
        Figure("reply through Synapse, encrypted, p50", p50, "ms", p95, note=f"“{SAID}”; the worst is the p95"),
        Figure("bare matrix-nio echo, p50", bare_p50, "ms", bare_p95, note="the worst is the p95"),
        of_rounds("reply ÷ bare, p50 by rounds", ratios, "×", target=1.25),
        Figure("reply ÷ bare, p50 of all", p50 / bare_p50, "×", target=1.25),
        Figure("reply ÷ bare, p95 of all", p95 / bare_p95, "×"),
        Figure("our process, CPU for a command", cpu[0] / commands * 1000, "ms"),
        Figure("bare bot's process, CPU for an echo", cpu[1] / commands * 1000, "ms"),
    ]


async def _room_with(member: Person, bot: str) -> Callable[[], Awaitable[float]]:
    """Open an encrypted room with a bot; the returned function asks there, and tells the ms until it saw a reply."""
    room = await member.room_with(bot)
    asked = 0

    async def ask() -> float:
        nonlocal asked
        asked += 1
        started = time.perf_counter()
        await member.say(room, SAID)
        await member.until(lambda: len(member.heard(bot, room)) >= asked, "a reply")
        return (time.perf_counter() - started) * 1000

    return ask


def _run(demo: Demo, *more: str) -> list[str]:
    return ["run", "--settings", str(demo.folder / "settings.toml"), *more]


async def _started(stack: AsyncExitStack, child: Child) -> psutil.Process:
    stack.push_async_callback(child.stop)
    await child.start()
    return _process(child)


def _process(child: Child) -> psutil.Process:
    if child._process is None:
        raise RuntimeError("it does not run")
    return psutil.Process(child._process.pid)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
