"""A Hub in a folder, with members who want to book and mentors who are free: the dispatcher's world."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from commands import FEATURES
from commands.core.dispatch import Dispatcher, Heard
from commands.core.feature import Commands
from commands.core.pace import Pace
from commands.core.post import Hub, Network
from commands.core.strings import Catalogues
from knowledge.library import Library
from storage import members, office_hours
from storage.members import Role
from storage.sealed import Vault
from storage.store import Session, Store

NETWORK = "uj"
BOT = f"console:{NETWORK}"
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
MENTORS = 25


@dataclass
class World:
    """A dispatcher over a store of its own."""

    store: Store
    dispatcher: Dispatcher
    people: list[str]
    slots: list[str]

    def heard(self, who: str, words: str, key: str | None = None) -> Heard:
        """What the platform hears when somebody says something to the bot in private."""
        return Heard(
            platform="console",
            address=who,
            bot=BOT,
            network=NETWORK,
            room=f"dm:{who}",
            private=True,
            said=words,
            key=key,
        )


@asynccontextmanager
async def world(folder: Path, people: int, *, synchronous: str = "FULL") -> AsyncIterator[World]:
    """Furnish a world with so many members, and at least as many open slots."""
    folder.mkdir()  # noqa: ASYNC240 nobody waits for anything yet
    vault = Vault(f"sqlite:///{folder}/keys.db", bytes(range(32)))
    store = Store(f"sqlite:///{folder}/hub.db", vault=vault, synchronous=synchronous)
    try:
        await store.migrate()
        dispatcher = Dispatcher(
            store=store,
            commands=Commands(FEATURES),
            hub=Hub({NETWORK: Network(NETWORK, "Universal jurisdiction", "en", "Europe/Kyiv")}, platforms=("console",)),
            library=Library.load(),
            catalogues=Catalogues.load(),
            clock=lambda: NOW,
            rng=random.Random(7),
            pace=Pace(burst=1_000_000),
        )
        names = [f"member{number}" for number in range(people)]
        mentors = [f"mentor{number}" for number in range(MENTORS)]
        slots = await store.run(lambda session: furnish(session, names, mentors, platform="console", now=NOW))
        yield World(store, dispatcher, names, slots)
    finally:
        await store.close()


def furnish(
    session: Session, names: Sequence[str], mentors: Sequence[str], *, platform: str, now: datetime
) -> list[str]:
    """Let members and mentors come by these addresses; returns an open slot for each member."""
    rng = random.Random(7)

    def enter(name: str, role: Role) -> members.Member:
        member = members.recognise(
            session, platform=platform, address=name, language="en", zone="Europe/Kyiv", rng=rng, now=now
        )
        members.grant(session, actor=None, member=member, network=NETWORK, role=role, now=now)
        return member

    for name in names:
        enter(name, Role.MEMBER)
    for name in mentors:
        office_hours.offer(
            session,
            mentor=enter(name, Role.MENTOR).id,
            network=NETWORK,
            zone="Europe/Kyiv",
            weekdays=range(5),
            from_minute=9 * 60,
            to_minute=18 * 60,
            topics="complaints to prosecutors",
            languages="en",
            now=now,
            rng=rng,
        )
    slots = [slot.code for slot in office_hours.open_slots(session, network=NETWORK, now=now, limit=None)]
    return rng.sample(slots, len(names))
