"""Commands and bookings through a Discord on loopback, beside a bare discord.py bot in the same run.

That Discord and its people live in this process, without the checks that it makes in tests; the Hub and the bare bot
have a process each. The Hub's database lies on the disk and keeps every commit through a power cut, as in production.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import psutil

from bots.app import store_of
from bots.child import Child
from bots.settings import SECRETS_FILE, load
from tests.bench import Figure, of_rounds, percentile
from tests.bench.booking import Bare
from tests.bench.world import MENTORS, NETWORK, furnish
from tests.fakes.loopback_discord import Application, LoopbackDiscord, NoAnswer, Person

TRIVIAL = "me show"
BOOKING = "hours book"
AT_ONCE = 32
ROUNDS = 8
COMMANDS = 400
"""In a round, of each side."""
BOOKINGS = 64
"""In a round."""
RATE = 200
"""Commands a second where nobody waits for anybody."""
SECONDS = 8
EVERY_FIFTH = 5
"""Which command is a booking in the mix."""
REMEMBERED = 500
"""Interactions that this Discord does not forget: more than are open at a time."""
UNANSWERED = 3.0
"""Seconds: so long somebody has waited who got no answer."""

SETTINGS = """[hub]
database = "sqlite:///{folder}/hub.db"
keys = "sqlite:///{folder}/keys.db"
state = "{folder}"
pace_burst = 1000000
[networks.{network}]
name = "Universal jurisdiction"
zone = "Europe/Kyiv"
[discord.{network}]
guild = {guild}
channel = {channel}
"""


@dataclass
class Took:
    """How a run of commands went: seconds each, seconds in all, and how many were not answered in time."""

    each: list[float] = field(default_factory=list)
    all: float = 0.0
    unanswered: int = 0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return (len(self.each) - self.unanswered) / self.all

    def at(self, part: float) -> float:
        """The milliseconds within which this part of them was answered."""
        return percentile(self.each, part) * 1000


@dataclass(frozen=True)
class Asking:
    """Somebody with a command to say."""

    person: Person
    application: Application
    line: str
    slot: str | None = None


class Crowd:
    """People in one channel."""

    def __init__(self, discord: LoopbackDiscord, ours: Application, bare: Application) -> None:
        self.ours, self.bare = ours, bare
        self.guild = discord.guild("Hub", ours, bare)
        self.channel = self.guild.channel("general")
        bookings = BOOKINGS * (ROUNDS + 1) + RATE * SECONDS // EVERY_FIFTH
        self.members = [discord.person(f"member{number}") for number in range(bookings)]
        self.mentors = [discord.person(f"mentor{number}") for number in range(MENTORS)]
        for each in (*self.members, *self.mentors):
            each.joins(self.guild)
        self._speakers = cycle(self.members)
        self._slots: Iterator[tuple[Person, str]] = iter(())

    def want(self, slots: list[str]) -> None:
        """Give everybody a slot to book, once."""
        self._slots = zip(self.members, slots, strict=True)

    def trivial(self, application: Application) -> Iterator[Asking]:
        """Ask for the same thing, each time somebody else."""
        while True:
            yield Asking(next(self._speakers), application, TRIVIAL)

    def bookings(self) -> Iterator[Asking]:
        """Book, each time somebody else and another slot."""
        for person, slot in self._slots:
            yield Asking(person, self.ours, BOOKING, slot)

    def mixed(self) -> Iterator[Asking]:
        """Let every fifth command be a booking."""
        bookings, trivial = self.bookings(), self.trivial(self.ours)
        for number in cycle(range(EVERY_FIFTH)):
            yield next(trivial if number else bookings)

    async def saturate(self, commands: Iterator[Asking], count: int) -> Took:
        """Let people ask one after the other, so many of them at once."""
        took = Took()
        left = islice(commands, count)
        began = time.perf_counter()

        async def keep_asking() -> None:
            for each in left:
                await self._ask(each, time.perf_counter(), took)

        await asyncio.gather(*(keep_asking() for _ in range(AT_ONCE)))
        took.all = time.perf_counter() - began
        return took

    async def steady(self, commands: Iterator[Asking]) -> Took:
        """Let people ask at a fixed pace, however long the answers take; who had to wait for their turn, waited."""
        took = Took()
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, each in enumerate(islice(commands, RATE * SECONDS)):
                due = began + number / RATE
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._ask(each, due, took))
        took.all = time.perf_counter() - began
        return took

    async def _ask(self, asking: Asking, since: float, took: Took) -> None:
        given = {} if asking.slot is None else {"slot": asking.slot}
        asked = await asking.person.types(self.channel, asking.line, given, application=asking.application)
        try:
            message = await asked.message(UNANSWERED)
        except NoAnswer:
            took.unanswered += 1
            took.each.append(UNANSWERED)
            return
        took.each.append(time.perf_counter() - since)
        if asking.slot is not None and not message.files:
            raise RuntimeError(f"the booking was refused: {message.text}")


class Load:
    """The CPU seconds that processes used, summed over the turns of one measurement."""

    def __init__(self, **processes: psutil.Process) -> None:
        self._processes = processes
        self._used = dict.fromkeys(processes, 0.0)
        self._lasted = 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Count what happens in here."""
        began, before = time.perf_counter(), self._now()
        yield
        self._lasted += time.perf_counter() - began
        for name, used in self._now().items():
            self._used[name] += used - before[name]

    def _now(self) -> dict[str, float]:
        times = {name: each.cpu_times() for name, each in self._processes.items()}
        return {name: each.user + each.system for name, each in times.items()}

    def bottleneck(self) -> str:
        """Say how busy each process was; the busiest one comes first, and held up the others."""
        busy = sorted(self._used.items(), key=lambda item: -item[1])
        return "busy: " + ", ".join(f"{name.replace('_', ' ')} {used / self._lasted:.0%}" for name, used in busy)

    def of(self, name: str, commands: int) -> float:
        """The milliseconds of CPU that a process used for a command."""
        return self._used[name] / commands * 1000


async def measure(folder: Path) -> list[Figure]:
    """Start both bots, and let the crowd speak to them in turns."""
    folder /= "discord"
    folder.mkdir()
    async with AsyncExitStack() as stack:
        discord = await stack.enter_async_context(LoopbackDiscord(specification=False, remembered=REMEMBERED))
        crowd = Crowd(discord, discord.application("hub"), discord.application("bare"))
        ours = await _started(stack, "tests.bench.loopback_hub", await _furnished(folder, discord, crowd), folder)
        args = [discord.api, discord.gateway.url, crowd.bare.token]
        bare = await _started(stack, "tests.bench.bare_discord", args, folder)
        await crowd.saturate(crowd.trivial(crowd.ours), COMMANDS)
        await crowd.saturate(crowd.trivial(crowd.bare), COMMANDS)
        await crowd.saturate(crowd.bookings(), BOOKINGS)
        gc.disable()  # looking for garbage among all these people takes a tenth of a second, which would be measured
        stack.callback(gc.enable)
        return [
            *await _saturated(crowd, ours, bare),
            *await _steady(crowd, ours, bare),
            *await _booked(crowd, ours, folder),
        ]


async def _furnished(folder: Path, discord: LoopbackDiscord, crowd: Crowd) -> list[str]:
    """Write the settings and fill the database; returns how the Hub is started on them."""
    settings, secrets = folder / "settings.toml", folder / "secrets.toml"
    settings.write_text(SETTINGS.format(folder=folder, network=NETWORK, guild=crowd.guild.id, channel=crowd.channel.id))
    secrets.touch(mode=0o600)
    secrets.write_text(f'master_key = "{bytes(range(32)).hex()}"\n[discord.{NETWORK}]\ntoken = "{crowd.ours.token}"\n')
    os.environ[SECRETS_FILE] = str(secrets)
    store = store_of(load(settings))
    try:
        await store.migrate()
        people, mentors = ([each.id for each in several] for several in (crowd.members, crowd.mentors))
        crowd.want(await store.run(partial(furnish, names=people, mentors=mentors, platform="discord", now=now())))
    finally:
        await store.close()
    return [discord.api, discord.gateway.url, "run", "--settings", str(settings)]


async def _started(stack: AsyncExitStack, module: str, args: list[str], folder: Path) -> psutil.Process:
    child = Child(module, args, log=folder / f"{module}.log")
    stack.push_async_callback(child.stop)
    await child.start()
    if child._process is None:
        raise RuntimeError("it does not run")
    return psutil.Process(child._process.pid)


async def _saturated(crowd: Crowd, ours: psutil.Process, bare: psutil.Process) -> list[Figure]:
    """Ask both in turns; every round is a ratio."""
    loads = Load(hub=ours, this_Discord=psutil.Process()), Load(bare_bot=bare, this_Discord=psutil.Process())
    took: tuple[list[Took], list[Took]] = ([], [])
    for number in range(ROUNDS):
        for side in (0, 1) if number % 2 else (1, 0):
            application = (crowd.ours, crowd.bare)[side]
            with loads[side].turn():
                took[side].append(await crowd.saturate(crowd.trivial(application), COMMANDS))
    rates, bare_rates = ([each.rate for each in side] for side in took)
    ratios = [a / b for a, b in zip(rates, bare_rates, strict=True)]
    hub, other = (Took([seconds for each in side for seconds in each.each]) for side in took)
    commands = ROUNDS * COMMANDS
    cpu = loads[0].of("hub", commands), loads[1].of("bare_bot", commands)
    return [
        of_rounds(f"“/{TRIVIAL}”, {AT_ONCE} at once", rates, "/s", floor=True, note=loads[0].bottleneck()),
        of_rounds("bare discord.py command, as many at once", bare_rates, "/s", floor=True, note=loads[1].bottleneck()),
        of_rounds("commands ÷ bare", ratios, "×", target=0.8, floor=True),
        Figure("… p50", hub.at(0.5), "ms", hub.at(0.99), note="the worst is the p99"),
        Figure("… bare, p50", other.at(0.5), "ms", other.at(0.99), note="the worst is the p99"),
        Figure("our process, CPU for a command", cpu[0], "ms"),
        Figure("bare bot's process, CPU for a command", cpu[1], "ms"),
        Figure("bare ÷ our CPU for a command", cpu[1] / cpu[0], "×", note="where nothing else holds both up"),
    ]


async def _booked(crowd: Crowd, ours: psutil.Process, folder: Path) -> list[Figure]:
    """Book, and write bare rows, in turns."""
    load, bare = Load(hub=ours, this_Discord=psutil.Process()), Bare(folder / "bare.db", "FULL")
    took: list[Took] = []
    rates: list[float] = []
    for _ in range(ROUNDS):
        with load.turn():
            took.append(await crowd.saturate(crowd.bookings(), BOOKINGS))
        began = time.perf_counter()
        for _ in range(BOOKINGS):
            await bare.write()
        rates.append(BOOKINGS / (time.perf_counter() - began))
    bare.close()
    every = Took([seconds for each in took for seconds in each.each])
    ratios = [booked.rate / rate for booked, rate in zip(took, rates, strict=True)]
    late = _unanswered(*took)
    return [
        of_rounds(
            f"bookings, {AT_ONCE} at once", [each.rate for each in took], "/s", floor=True, note=load.bottleneck()
        ),
        of_rounds(
            "bare SQLModel insert, select, commit", rates, "/s", floor=True, note="synchronous=FULL, on the disk"
        ),
        of_rounds("bookings ÷ bare", ratios, "×", target=0.4, floor=True),
        Figure("a booking's answer, p50", every.at(0.5), "ms", every.at(0.99), note=f"the worst is the p99{late}"),
    ]


async def _steady(crowd: Crowd, ours: psutil.Process, bare: psutil.Process) -> list[Figure]:
    """Ask at a steady pace: one command only, a bare bot's, and a mix."""
    figures = []
    for what, commands, target, asked in (
        (f"“/{TRIVIAL}”", crowd.trivial(crowd.ours), 50, {"hub": ours}),
        ("bare discord.py command", crowd.trivial(crowd.bare), None, {"bare_bot": bare}),
        (f"a booking among {EVERY_FIFTH} commands", crowd.mixed(), 50, {"hub": ours}),
    ):
        load = Load(**asked, this_Discord=psutil.Process())
        with load.turn():
            took = await crowd.steady(commands)
        note = f"{load.bottleneck()}{_unanswered(took)}"
        figures += [
            Figure(f"{what} at {RATE}/s, p50", took.at(0.5), "ms", note=note),
            Figure(f"{what} at {RATE}/s, p99", took.at(0.99), "ms", target=target),
        ]
    return figures


def _unanswered(*took: Took) -> str:
    late = sum(each.unanswered for each in took)
    return f"; {late} of {sum(len(each.each) for each in took)} were not answered in time" if late else ""


def now() -> datetime:
    return datetime.now(UTC)
