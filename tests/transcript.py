"""Golden transcripts: the product's living manual.

A transcript says who takes part, then what they type; what the bots answer is written by the bots and kept. The test
compares; `python -m tests.transcript` (`make accept`) writes them anew, for a person to read.

    cast: ann member en Europe/Kyiv
    ann> hours book
    bot to ann> Which slot? …
    (23 hours later)
    bot to mara> …

`ann> …` is said to the bot in private, `ann in room> …` to the bot in the network's room, and `ann in passing> …` in
the room to nobody in particular. `ann on other> …` is said in private on another platform, by an account of that name
there. `clock: 2027-03-22 10:00` in front of the cast sets the clock, in UTC.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bots.bot import Parcel
from bots.console import render
from bots.courier import Courier
from commands import FEATURES
from commands.core.dispatch import Dispatcher, Heard
from commands.core.feature import Commands, Shown
from commands.core.pace import Pace
from commands.core.post import Hub, Network
from commands.core.reply import Reply
from commands.core.shelf import follow
from commands.core.strings import Catalogues
from commands.core.text import Voice
from knowledge.library import Library
from storage import members, places
from storage.members import Role
from storage.sealed import Vault
from storage.store import Session, Store

FOLDER = Path(__file__).parent / "dialogues"
START = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
NETWORK = "uj"
HUB = Hub(
    {
        "uj": Network("uj", "Universal jurisdiction", "en", "Europe/Kyiv"),
        "sanctions": Network("sanctions", "Sanctions", "en", "Europe/Kyiv"),
        "climate": Network("climate", "Climate", "en", "Europe/Kyiv"),
    },
    platforms=("console", "other"),
)
CATALOGUES = Catalogues.load()
LIBRARY = Library.load()

_SAID = re.compile(r"^(\w+)( in room| in passing| on other)?> ?(.*)$")
_CLOCK = re.compile(r"^clock: (\d{4}-\d\d-\d\d \d\d:\d\d)$")
_LATER = re.compile(r"^\((\d+) (minute|hour|day)s? later\)$")
_CAST = re.compile(r"^cast: (\w+) (\S+) (\w\w) (\S+)$")


@dataclass
class Stage:
    """A whole Hub on one terminal: the real store, dispatcher and courier, with a clock that we set."""

    store: Store
    now: datetime = START
    lines: list[str] = field(default_factory=list)
    name: str = f"console:{NETWORK}"
    network: str = NETWORK
    arrived: list[tuple[str, str]] = field(default_factory=list)
    _fresh: bool = True

    def __post_init__(self) -> None:
        self.dispatcher = Dispatcher(
            store=self.store,
            commands=Commands(FEATURES),
            hub=HUB,
            library=LIBRARY,
            catalogues=CATALOGUES,
            clock=lambda: self.now,
            rng=random.Random(7),
            pace=Pace(burst=10_000),
        )
        self.couriers = [
            Courier(
                bot,
                store=self.store,
                hub=HUB,
                catalogues=CATALOGUES,
                clock=lambda: self.now,
                owner="stage",
                per_second=10_000,
                burst=10_000,
            )
            for bot in (self, Other(self))
        ]

    async def cast(self, name: str, role: str, language: str, zone: str) -> None:
        """Let somebody take part; their handle is the name that the transcript gives them."""

        def enter(session: Session) -> None:
            member = members.recognise(
                session,
                platform="console",
                address=name,
                language=language,
                zone=zone,
                rng=random.Random(name),
                now=self.now,
            )
            member.handle = name
            session.add(member)
            for each in filter(lambda each: each != "guest", role.split("+")):
                members.grant(session, actor=None, member=member, network=self.network, role=Role(each), now=self.now)
            if not places.of(session, network=self.network, purpose=places.Purpose.COORDINATORS):
                for purpose in places.Purpose:
                    places.settle(session, bot=self.name, network=self.network, purpose=purpose, address=purpose.value)

        await self.store.run(enter)

    async def follow(self) -> None:
        """Let look-up see what the store has gained, as every process does within a minute."""
        if self._fresh:  # all stages share one library, which may have followed another's store
            LIBRARY.start_over()
            self._fresh = False
        await follow(self.store, LIBRARY)

    async def say(
        self, who: str, words: str, *, platform: str = "console", in_room: bool = False, direct: bool = False
    ) -> None:
        """Let somebody say something, and write down what the bot says to whom."""
        said = await self.dispatcher.answer(
            Heard(
                platform=platform,
                address=who,
                bot=f"{platform}:{self.network}",
                network=self.network,
                room="room" if in_room else f"dm:{who}",
                private=not in_room,
                said=words,
                direct=direct,
            )
        )
        if said is not None:
            where = "" if platform == "console" else f" on {platform}"
            to = f"bot to {who}{where}" if said.shown is Shown.ACTOR or not in_room else "bot"
            self.write(to, render(said.reply, said.voice))
        await self.carry()

    async def later(self, length: timedelta) -> None:
        """Let time pass; sweeps run every ten minutes of it, or at its end."""
        end = self.now + length
        while self.now < end:
            self.now = min(end, self.now + timedelta(minutes=10))
            for feature in FEATURES:
                for job in feature.jobs:
                    await self.dispatcher.run(job)
            await self.carry()
        await self.follow()

    async def carry(self) -> None:
        """Let the courier deliver what is due, and write it down in an order that does not hang on chance."""
        for courier in self.couriers:
            await courier.empty()
        for speaker, words in sorted(self.arrived, key=lambda each: each[0]):
            self.write(speaker, words)
        self.arrived.clear()

    async def run(self, dispatcher: object) -> None:
        """Nothing is heard by itself here."""

    async def deliver(self, parcel: Parcel, reply: Reply, voice: Voice) -> str:
        """Write down what reaches somebody else."""
        speaker = f"bot to {parcel.address}" if parcel.place is None else f"bot in {parcel.place}"
        self.arrived.append((speaker, render(reply, voice)))
        return parcel.key

    def write(self, speaker: str, words: str) -> None:
        """Write what somebody says; further lines are indented."""
        first, *rest = words.splitlines() or [""]
        self.lines.append(f"{speaker}> {first}".rstrip())
        self.lines += [f"    {line}".rstrip() for line in rest]


@dataclass
class Other:
    """The bot of the same network on another platform."""

    stage: Stage
    name: str = f"other:{NETWORK}"
    network: str = NETWORK

    async def run(self, dispatcher: object) -> None:
        """Nothing is heard by itself here either."""

    async def deliver(self, parcel: Parcel, reply: Reply, voice: Voice) -> str:
        """Write down what reaches somebody there."""
        self.stage.arrived.append((f"bot to {parcel.address} on other", render(reply, voice)))
        return parcel.key


async def play(script: str, folder: Path) -> str:
    """Run a transcript's inputs and return it with what the bots say now."""
    vault = Vault(f"sqlite:///{folder}/keys.db", bytes(32))
    store = Store(f"sqlite:///{folder}/hub.db", vault=vault, synchronous="OFF")
    await store.migrate()
    stage = Stage(store)
    try:
        for line in script.splitlines():
            if cast := _CAST.match(line):
                stage.lines.append(line)
                await stage.cast(*cast.groups())
            elif passed := _LATER.match(line):
                stage.lines += ["", line]
                await stage.later(timedelta(**{f"{passed[2]}s": int(passed[1])}))
            elif clock := _CLOCK.match(line):
                stage.lines.append(line)
                stage.now = datetime.fromisoformat(clock[1]).replace(tzinfo=UTC)
            elif line.startswith("#"):
                stage.lines.append(line)
            elif (said := _SAID.match(line)) and said[1] != "bot":
                stage.lines += ["", line]
                await stage.say(
                    said[1],
                    said[3].replace("\\n", "\n"),
                    platform="other" if said[2] == " on other" else "console",
                    in_room=said[2] in {" in room", " in passing"},
                    direct=said[2] == " in room",
                )
    finally:
        await store.close()
    return "\n".join(stage.lines) + "\n"


def main() -> None:
    """Write every transcript anew, or only those named on the command line."""
    for path in sorted(FOLDER.glob("*.txt")):
        if len(sys.argv) > 1 and path.stem not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path.write_text(asyncio.run(play(path.read_text("utf-8"), Path(folder))), "utf-8")


if __name__ == "__main__":
    main()
