"""A hundred thousand cases and a year of check-ins: what a day of questions costs, and how long a list takes."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy import Select, func, insert, select, update

from storage import members
from storage.cases import Case, Part, Teammate
from storage.checkins import CaseRhythm, Checkin, CheckinAnswer, CheckinState, Need
from storage.members import Role
from storage.rhythm import Calm, Every, Rhythm
from storage.sealed import Sealed
from storage.store import Session, Store, execute
from storage.table import core
from tests.bench import Figure, of_rounds, percentile
from tests.bench.world import BOT, NETWORK, World, world

CASES = 100_000
LAWYERS = 4_000
LISTED = 400
GUESSES = 300
TARGET_SWEEP = 2.0
TARGET_LIST = 20.0

DAYS = {
    "an ordinary day's check-ins": datetime(2026, 11, 24, 8, 0, tzinfo=UTC),  # a Tuesday, at ten in Kyiv
    "the busiest day's check-ins": datetime(2026, 12, 1, 8, 0, tzinfo=UTC),  # when a month and a quarter begin, too
}
NOW = min(DAYS.values())
SHARES = ((Every.WEEK, 10), (Every.FORTNIGHT, 20), (Every.MONTH, 50), (Every.QUARTER, 20))
KYIV = ZoneInfo("Europe/Kyiv")
TOOLS = ("uj-complaint", "sanctions-submission", "strasbourg-application", "climate-litigation")


async def measure(folder: Path) -> list[Figure]:
    """Seed the world, let a whole day's questions be asked, list cases, and guess codes."""
    async with world(folder / "cases", 10) as hub:
        began = time.perf_counter()
        people = await hub.store.run(_people)
        codes = await _seed(hub.store, people)
        seeded = time.perf_counter() - began
        gc.collect()
        gc.freeze()  # as a running bot does
        days = {name: await _a_day(hub, at) for name, at in DAYS.items()}
        listing = await _times(hub, [(f"lawyer{number}", "case list") for number in range(LISTED)])
        rng = random.Random(5)
        theirs = [(f"lawyer{number}", f"case show {rng.choice(codes[-1000:])}") for number in range(GUESSES)]
        unknown = [(f"lawyer{number}", "case show C-7K3FQQ") for number in range(GUESSES, 2 * GUESSES)]
        others, nobodys = await _times(hub, theirs), await _times(hub, unknown)
    return [
        *(
            Figure(
                f"{name}, whole sweep",
                spent,
                "s",
                target=TARGET_SWEEP,
                note=f"{asked:,} questions of {CASES:,} cases; the longest transaction took {longest * 1000:.0f} ms",
            )
            for name, (asked, spent, longest) in days.items()
        ),
        Figure("seeding it, for information", seeded, "s"),
        Figure("case list, p50", percentile(listing, 0.5) * 1000, "ms"),
        Figure("case list, p99", percentile(listing, 0.99) * 1000, "ms", target=TARGET_LIST),
        of_rounds(
            "a case of others ÷ a case that is not",
            [percentile(others, 0.5) / percentile(nobodys, 0.5)],
            "×",
            note="the time of one and the same answer",
        ),
    ]


async def _a_day(hub: World, at: datetime) -> tuple[int, float, float]:
    """Run the job until nobody is left to be asked: how many were, and how long that took, altogether and at most."""
    job = next(job for feature in hub.dispatcher.commands.features for job in feature.jobs if job.name == "case.ask")
    hub.dispatcher._clock = lambda: at
    rhythm = core(CaseRhythm)
    await hub.store.run(lambda session: _skip_to(session, at))
    due = select(func.count()).select_from(rhythm).where(rhythm.c.next_at <= at)
    waiting = total = await hub.store.run(lambda session: _count(session, due))
    spent, longest = 0.0, 0.0
    while waiting:
        start = time.perf_counter()
        await hub.dispatcher.run(job)
        took = time.perf_counter() - start
        spent, longest = spent + took, max(longest, took)
        waiting = await hub.store.run(lambda session: _count(session, due))
    return total, spent, longest


def _skip_to(session: Session, at: datetime) -> None:
    """Let the days before be over and done with: what was due then is not asked today."""
    rhythm = core(CaseRhythm)
    midnight = at.replace(hour=0)
    late = select(rhythm).where(rhythm.c.next_at < midnight)
    calm = Calm(KYIV)
    for row in execute(session, late).all():
        day = Rhythm(row.every, row.weekday, row.minute, row.since).after(midnight.date() - timedelta(days=1))
        change = update(rhythm).where(rhythm.c.case_id == row.case_id)
        execute(session, change.values(next_day=day, next_at=calm.asks_at(day, row.minute)))
    execute(session, update(core(Checkin)).values(step=None, due_at=None))


def _count(session: Session, statement: Select[Any]) -> int:
    return int(execute(session, statement).scalar() or 0)


async def _times(hub: World, lines: list[tuple[str, str]]) -> list[float]:
    found = []
    for number, (who, line) in enumerate(lines):
        start = time.perf_counter()
        said = await hub.dispatcher.answer(hub.heard(who, line, f"${line}{number}"))
        found.append(time.perf_counter() - start)
        if said is None:
            raise RuntimeError("nothing was answered")
    return found


def _people(session: Session) -> list[UUID]:
    rng = random.Random(11)
    found = []
    for number in range(LAWYERS):
        member = members.recognise(
            session,
            platform="console",
            address=f"lawyer{number}",
            language="en",
            zone="Europe/Kyiv",
            rng=rng,
            now=NOW - timedelta(days=400),
        )
        members.grant(session, actor=None, member=member, network=NETWORK, role=Role.MEMBER, now=NOW)
        account = members.account(session, platform="console", address=f"lawyer{number}")
        assert account is not None
        members.set_dm(session, account, BOT, f"dm:lawyer{number}")
        found.append(member.id)
    return found


async def _seed(store: Store, people: list[UUID]) -> list[str]:
    """Put cases, rhythms and a year of answered check-ins, some thousand at a time."""
    rng = random.Random(3)
    numbers = iter(range(10**9))
    codes = []
    step = 2_000
    for first in range(0, CASES, step):

        def put(session: Session, first: int = first) -> list[str]:
            made = [_a_case(rng, numbers, people[number % len(people)]) for number in range(first, first + step)]
            for table, name in (
                (Case, "case"),
                (Teammate, "mate"),
                (CaseRhythm, "rhythm"),
            ):
                execute(session, insert(core(table)), [each[name] for each in made])
            execute(session, insert(core(Checkin)), [row for each in made for row in each["checkins"]])
            execute(session, insert(core(CheckinAnswer)), [row for each in made for row in each["answers"]])
            return [each["case"]["code"] for each in made]

        codes += await store.run(put)
    return codes


def _a_case(rng: random.Random, numbers: Iterator[int], member: UUID) -> dict[str, Any]:
    case_id = uuid4()
    opened = NOW - timedelta(days=400)
    every = rng.choices([every for every, _ in SHARES], [share for _, share in SHARES])[0]
    rhythm = Rhythm(every, rng.randrange(5), 600, opened.date() + timedelta(days=rng.randrange(92)))
    calm = Calm(KYIV)
    today = NOW.astimezone(KYIV).date()
    days = [day for day in _until(rhythm, today) if day > today - timedelta(days=365)]
    following = rhythm.after(today - timedelta(days=1))
    checkin_rows, answers = [], []
    for day in days:
        asked_at = calm.asks_at(day, 600)
        checkin_id = uuid4()
        checkin_rows.append(
            {
                "id": checkin_id,
                "code": f"CI-{next(numbers)}",
                "case_id": case_id,
                "day": day,
                "state": CheckinState.ANSWERED,
                "asked_at": asked_at,
                "step": None,
                "due_at": None,
            }
        )
        answers.append(
            {
                "id": uuid4(),
                "checkin_id": checkin_id,
                "version": 1,
                "moved": True,
                "stage": "filed",
                "blocked": None,
                "need": Need.NOTHING,
                "by": member,
                "at": asked_at,
            }
        )
    return {
        "case": {
            "id": case_id,
            "code": f"C-{next(numbers):06}",
            "network": NETWORK,
            "tool": rng.choice(TOOLS),
            "forum": "prosecutor",
            "jurisdiction": "DE",
            "stage": "filed",
            "outcome": None,
            # One key for all: the key store would else take longer to fill than the bench to run.
            "title": Sealed(member, "Northern file"),
            "note": None,
            "opened_by": member,
            "opened_at": opened,
            "closed_at": None,
            "feedback_asked": 0,
            "feedback_at": None,
        },
        "mate": {
            "case_id": case_id,
            "member_id": member,
            "part": Part.LEAD,
            "invited_at": opened,
            "joined_at": opened,
        },
        "rhythm": {
            "case_id": case_id,
            "member_id": member,
            "every": every,
            "weekday": rhythm.weekday,
            "minute": 600,
            "since": rhythm.since,
            "holidays": None,
            "zone": "Europe/Kyiv",
            "paused_until": None,
            "next_day": following,
            "next_at": calm.asks_at(following, 600),
        },
        "checkins": checkin_rows,
        "answers": answers,
    }


def _until(rhythm: Rhythm, today: date) -> Iterator[date]:
    for day in rhythm.days():
        if day >= today:
            return
        yield day
