"""Bookings through the dispatcher, beside a bare SQLModel insert, select and commit."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from sqlmodel import Field, Session, SQLModel, select

from storage.engine import connect
from tests.bench import Figure, of_rounds
from tests.bench.world import World, world

ROUNDS = 12
IN_A_ROUND = 25


class BareNote(SQLModel, table=True):
    """A small row, as an application without any house would write it."""

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    words: str
    at: datetime


class Bare:
    """The bare library: the same engine settings, the same one writer thread, and nothing else."""

    def __init__(self, file: Path, synchronous: str) -> None:
        self._engine = connect(f"sqlite:///{file}", synchronous=synchronous)
        self._thread = ThreadPoolExecutor(max_workers=1)
        SQLModel.metadata.create_all(self._engine)

    async def write(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write)

    def _write(self) -> None:
        with Session(self._engine, expire_on_commit=False) as session:
            note = BareNote(words="complaints to prosecutors", at=datetime.now(UTC))
            session.add(note)
            session.flush()
            session.exec(select(BareNote).where(BareNote.id == note.id)).one()
            session.commit()

    def close(self) -> None:
        self._thread.shutdown()
        self._engine.dispose()


async def measure(folder: Path) -> list[Figure]:
    """Measure with the durability of production, and once more without a disk: then only instructions count."""
    figures = []
    for synchronous, said, target in (("FULL", "as in production", 0.4), ("OFF", "disk left out", None)):
        ours, bare, ratios = await _rounds(folder / f"booking-{synchronous}", synchronous)
        figures += [
            of_rounds(f"bookings, {said}", ours, "/s", floor=True, note="22 statements, 4 sealed texts, 2 messages"),
            of_rounds(f"bare SQLModel insert, select, commit, {said}", bare, "/s", floor=True),
            of_rounds(f"bookings ÷ bare, {said}", ratios, "×", target=target, floor=True),
        ]
    return figures


async def _rounds(folder: Path, synchronous: str) -> tuple[list[float], list[float], list[float]]:
    async with world(folder, (ROUNDS + 1) * IN_A_ROUND, synchronous=synchronous) as hub:
        bare = Bare(folder / "bare.db", synchronous)
        ours: list[float] = []
        theirs: list[float] = []
        for number in range(ROUNDS + 1):
            started = time.perf_counter()
            await _book(hub, range(number * IN_A_ROUND, (number + 1) * IN_A_ROUND))
            between = time.perf_counter()
            for _ in range(IN_A_ROUND):
                await bare.write()
            ours.append(IN_A_ROUND / (between - started))
            theirs.append(IN_A_ROUND / (time.perf_counter() - between))
        bare.close()
    # The first round warms caches up.
    return ours[1:], theirs[1:], [a / b for a, b in zip(ours[1:], theirs[1:], strict=True)]


async def _book(hub: World, which: range) -> None:
    for number in which:
        heard = hub.heard(hub.people[number], f"hours book slot={hub.slots[number]}", f"$event{number}")
        said = await hub.dispatcher.answer(heard)
        if said is None or not said.reply.files:
            raise RuntimeError(f"the booking was refused: {said}")
