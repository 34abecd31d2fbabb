"""Check-ins on both databases: a simulated year, and every rule beside it."""

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import count, pairwise
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from storage import audit, cases, checkins, members, privacy
from storage.cases import Case, Mine, Part
from storage.checkins import Answers, Asked, CheckinAnswer, CheckinState, Need, Step
from storage.members import Member, Role
from storage.refused import Refused
from storage.rhythm import Every
from storage.sealed import ring
from storage.store import Session, Store

T = TypeVar("T")

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
TODAY = START.date()
SAID = Answers(moved=True, stage="filed", blocked="the heliotrope file waits", need=Need.FUNDS)


def enter(session: Session, name: str, *roles: Role, zone: str = "Europe/Kyiv", network: str = "uj") -> Member:
    person = members.recognise(
        session,
        platform="matrix",
        address=f"@{name}:x",
        language="en",
        zone=zone,
        rng=random.Random(name),
        now=START,
    )
    for role in roles or (Role.MEMBER,):
        members.grant(session, actor=None, member=person, network=network, role=role, now=START)
    return person


def open_case(session: Session, by: Member, number: int = 1) -> Mine:
    case = cases.open_case(
        session,
        network="uj",
        tool="uj-complaint",
        stage="preparing",
        title=f"Northern file {number}",
        by=by.id,
        now=START,
        rng=random.Random(number),
    )
    return Mine(case, Part.LEAD)


@dataclass
class Desk:
    """One lawyer with one case that is asked after every Tuesday at ten."""

    store: Store
    now: datetime = START
    rng: random.Random = field(default_factory=lambda: random.Random(3))

    async def furnish(self, every: Every = Every.WEEK, **facts: object) -> None:
        def furnish(session: Session) -> None:
            ann = enter(session, "ann", **facts)  # type: ignore[arg-type]
            case = open_case(session, ann).case
            checkins.set_rhythm(session, case, member=ann, every=every, weekday=1, minute=600, now=self.now)

        await self.store.run(furnish)

    async def tick(self) -> list[Asked]:
        def tick(session: Session) -> list[Asked]:
            return [*checkins.ask(session, self.now, self.rng), *checkins.go_on(session, self.now)]

        return await self.store.run(tick)

    async def until(self, day: date, hour: int = 12) -> list[Asked]:
        """Let the clock run to an hour of a day (UTC), with a look every hour; returns who was asked meanwhile."""
        asked = []
        end = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
        while self.now < end:
            self.now += timedelta(hours=1)
            asked += await self.tick()
        return asked

    async def do(self, rule: Callable[[Session, Mine, Member], object]) -> object:
        def run(session: Session) -> object:
            ann = members.account(session, platform="matrix", address="@ann:x")
            assert ann
            person = session.get_one(Member, ann.member_id)
            return rule(session, cases.mine(session, member=person.id, network="uj")[0], person)

        return await self.store.run(run)

    async def answer(self, answers: Answers = SAID) -> object:
        return await self.do(
            lambda s, mine, ann: checkins.answer(
                s, mine.case, answers=answers, by=ann.id, today=self.now.date(), now=self.now, rng=self.rng
            )
        )

    async def told(self) -> list[checkins.Told]:
        found = await self.do(lambda s, mine, _ann: checkins.history(s, mine.case))
        assert isinstance(found, list)
        return found


@pytest.fixture
async def desk(store: Store) -> Desk:
    made = Desk(store)
    await made.furnish()
    return made


# A year


@cache
def kept_in(country: str) -> holidays.HolidayBase:
    return holidays.country_holidays(country)


@dataclass(frozen=True)
class Facts:
    """When a person may be asked, as the simulation knows it."""

    zone: str
    quiet: tuple[int, int] | None
    away_until: datetime | None
    country: str | None

    def may(self, at: datetime) -> bool:
        """Whether this very instant is free: no holiday, not away, not in quiet hours."""
        local = at.astimezone(ZoneInfo(self.zone))
        if self.away_until is not None and at < self.away_until:
            return False
        if self.country is not None and local.date() in kept_in(self.country):
            return False
        if self.quiet is None:
            return True
        minute = local.hour * 60 + local.minute
        start, end = self.quiet
        return not (start <= minute < end if start < end else minute >= start or minute < end)


_years = count()
GRACE = timedelta(hours=1)
"""Where clocks change, the simulation is not sure of the minute."""

PEOPLE = st.builds(
    Facts,
    zone=st.sampled_from(["Europe/Kyiv", "Europe/Chisinau", "Asia/Tbilisi", "Asia/Almaty", "Europe/Warsaw"]),
    quiet=st.sampled_from([None, (22 * 60, 8 * 60), (9 * 60, 17 * 60), (0, 7 * 60)]),
    away_until=st.none(),
    country=st.sampled_from([None, "GE", "PL", "KZ", "MD"]),
)
HAPPENS = st.sampled_from(["answer", "answer", "early", "away", "quiet", "downtime", "restart", "snooze", "pause"])


@dataclass
class Year:
    """A case, its lawyer and whatever happens to both in a year, looked at by one process or by two."""

    open_store: Callable[[], Store]
    facts: Facts
    chance: random.Random
    processes: int
    now: datetime = START
    asleep_until: datetime = START
    asked: list[tuple[Asked, datetime]] = field(default_factory=list)
    looked: list[tuple[datetime, Facts]] = field(default_factory=list)
    dropped: set[date] = field(default_factory=set)

    async def begin(self, every: Every, weekday: int, minute: int) -> None:
        self.stores = [self.open_store() for _ in range(self.processes)]
        self.minute = minute

        def begin(session: Session) -> None:
            ann = enter(session, f"year{next(_years)}", zone=self.facts.zone)  # nobody's who lived a year before
            members.set_quiet(session, ann, *(self.facts.quiet or (None, None)))
            case = open_case(session, ann, self.chance.randrange(10**9)).case
            facts = {"every": every, "weekday": weekday, "minute": minute, "holidays": self.facts.country}
            checkins.set_rhythm(session, case, member=ann, now=START, **facts)  # type: ignore[arg-type]
            self.case_id, self.code, self.member_id = case.id, case.code, ann.id

        await self.stores[0].run(begin)

    async def do(self, rule: Callable[[Session, Case, Member], T]) -> T | None:
        """Apply a rule to the case; None when it refuses."""
        try:
            return await self.stores[0].run(
                lambda s: rule(s, s.get_one(Case, self.case_id), s.get_one(Member, self.member_id))
            )
        except Refused:
            return None

    async def look(self) -> None:
        """Let every process look at once."""

        async def one(store: Store) -> list[Asked]:
            rng = random.Random(self.chance.randrange(10**9))
            return await store.run(lambda s: [*checkins.ask(s, self.now, rng), *checkins.go_on(s, self.now)])

        for found in await asyncio.gather(*map(one, self.stores)):
            self.asked += [(each, self.now) for each in found if each.case == self.code]
        self.looked.append((self.now, self.facts))

    async def go_on(self) -> None:
        """Let the clock run: somebody looks every six hours, and soon after something is planned."""

        def planned(session: Session, case: Case, _ann: Member) -> datetime | None:
            row, one = checkins.rhythm_of(session, case), checkins.open_one(session, case)
            return min(filter(None, [row and row.next_at, one and one.due_at]), default=None)

        step = self.now + timedelta(hours=6)
        at = await self.do(planned)
        if at is not None and self.now < at < step:
            step = at + timedelta(seconds=self.chance.choice([0, 1, 60, 540]))
        self.now = step

    async def happen(self, what: str) -> None:
        now, chance = self.now, self.chance
        match what:
            case "away":
                self.facts = replace(self.facts, away_until=now + timedelta(days=chance.randrange(1, 40)))
                await self.do(lambda s, _c, ann: members.set_away(s, ann, self.facts.away_until))
            case "quiet":
                self.facts = replace(self.facts, quiet=chance.choice([None, (21 * 60, 9 * 60)]))
                await self.do(lambda s, _c, ann: members.set_quiet(s, ann, *(self.facts.quiet or (None, None))))
            case "downtime":
                self.asleep_until = now + timedelta(days=chance.randrange(1, 12))
            case "restart":
                await self.stores[0].close()
                self.stores[0] = self.open_store()
            case "pause":
                until = now.date() + timedelta(days=chance.randrange(3, 30))
                await self.do(lambda s, case, _a: checkins.pause(s, case, until=until, now=now))
                # What could not be asked so far, because of an absence or because nobody looked, is not asked after.
                seen, then = self.looked[-1] if self.looked else (START, self.facts)
                days = (now.date() + timedelta(days=n) for n in range(-60, (until - now.date()).days))
                self.dropped |= {day for day in days if not _could_ask(day, self.minute, seen, then)}
            case "snooze":
                await self.do(lambda s, case, _a: checkins.snooze(s, case, until=now + timedelta(days=1), now=now))
            case "answer" | "early":
                is_open = await self.do(lambda s, case, _a: checkins.open_one(s, case)) is not None
                if is_open == (what == "answer"):
                    rng = random.Random(chance.randrange(10**9))
                    facts = {"answers": SAID, "today": now.date(), "now": now, "rng": rng}
                    await self.do(lambda s, case, ann: checkins.answer(s, case, by=ann.id, **facts))  # type: ignore[arg-type]


# Every example is a whole year: finding a smaller one would take longer than reading it.
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@example(  # paused on the day on which a long absence ended
    facts=Facts("Europe/Warsaw", (0, 420), None, "MD"),
    every=Every.MONTH,
    weekday=5,
    minute=1435,
    events=[(162, "answer"), (151, "pause"), (120, "away"), (209, "pause"), (104, "early")],
    processes=1,
    seed=209,
)
@example(  # somebody looks again at the very minute of the next one
    facts=Facts("Asia/Tbilisi", (1320, 480), None, "KZ"),
    every=Every.WEEK,
    weekday=0,
    minute=0,
    events=[(255, "downtime"), (192, "downtime")],
    processes=1,
    seed=23440848,
)
@given(
    facts=PEOPLE,
    every=st.sampled_from(Every),
    weekday=st.integers(0, 6),
    minute=st.sampled_from([0, 5, 150, 210, 600, 1020, 1435]),
    events=st.lists(st.tuples(st.integers(1, 364), HAPPENS), max_size=25),
    processes=st.integers(1, 2),
    seed=st.integers(0, 2**32),
)
async def test_in_a_year_each_day_that_is_due_is_asked_once_and_never_in_quiet_hours(
    open_store: Callable[[], Store],
    facts: Facts,
    every: Every,
    weekday: int,
    minute: int,
    events: list[tuple[int, str]],
    processes: int,
    seed: int,
) -> None:
    year = Year(open_store, facts, random.Random(seed), processes)
    await year.begin(every, weekday, minute)
    agenda: dict[date, list[str]] = {}
    for offset, what in events:
        agenda.setdefault(TODAY + timedelta(days=offset), []).append(what)
    while year.now < START + timedelta(days=365):
        await year.go_on()
        for what in agenda.pop(year.now.date(), []):
            await year.happen(what)
        if year.now >= year.asleep_until:
            await year.look()
    history = await year.do(lambda s, case, _a: checkins.history(s, case)) or []
    for store in year.stores:
        await store.close()

    # Never where it must not be, and each occurrence once.
    facts_at = dict(year.looked)
    for each, at in year.asked:
        if each.step is not Step.TELL:
            assert facts_at[at].may(at.replace(second=0)), (each, at)
    assert all(n == 1 for n in Counter(each.key for each, _at in year.asked).values())
    by_day = {each.checkin.day: each for each in history}
    assert len(by_day) == len(history), "one check-in for a day"

    # Every day of the rhythm was asked, was told of early, or gave way to a later one that had come.
    first = TODAY + timedelta(days=(weekday - TODAY.weekday()) % 7)
    nominal = [day for day in (first + timedelta(weeks=n) for n in range(46)) if _in_rhythm(every, day, first)]
    for day, following in pairwise(nominal):
        if day in by_day or day in year.dropped or day == TODAY:
            continue
        chances = [
            at
            for at, then in year.looked
            if _could_ask(day, minute, at, then) and not _could_ask(following, minute, at + 2 * GRACE, then)
        ]
        assert not chances, (day, chances[:3])
    assert len(by_day) > 0


def _in_rhythm(every: Every, day: date, first: date) -> bool:
    weeks = (day - first).days // 7
    months = (day.year - TODAY.year) * 12 + day.month - TODAY.month
    match every:
        case Every.WEEK:
            return True
        case Every.FORTNIGHT:
            return weeks % 2 == 0
        case Every.MONTH:
            return day.day <= 7
        case Every.QUARTER:
            return day.day <= 7 and months % 3 == 0


def _could_ask(day: date, minute: int, at: datetime, facts: Facts) -> bool:
    """Whether the question of a day, unhindered, would have been put by this instant: on some free day since then."""
    zone = ZoneInfo(facts.zone)
    today = at.astimezone(zone).date()
    while day <= today:
        for shift in range(0, 1440, 5):  # the first free minute at or after the hour, on that wall
            wall = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(minutes=minute + shift)
            moment = wall.astimezone(UTC)
            local = moment.astimezone(zone)
            quiet_only = Facts(facts.zone, facts.quiet, None, None)
            if quiet_only.may(moment):
                if facts.may(moment) and local.date() <= today:
                    return moment + GRACE <= at
                break
        day += timedelta(days=1)
    return False


# One by one


async def test_a_check_in_is_asked_followed_once_after_two_days_and_then_told_to_the_coordinators(desk: Desk) -> None:
    asked = await desk.until(date(2026, 11, 9))
    assert [(each.step, each.network) for each in asked] == [
        (Step.ASK, "uj"),
        (Step.FOLLOW, "uj"),
        (Step.TELL, "uj"),
    ]
    assert await desk.store.run(lambda s: checkins.overdue(s, "uj")) == [asked[0].case]
    assert await desk.store.run(lambda s: checkins.overdue(s, "sanctions")) == []


async def test_an_answer_ends_it_and_the_next_is_asked_a_week_later(desk: Desk) -> None:
    await desk.until(date(2026, 11, 3))
    await desk.answer()
    assert [each.step for each in await desk.until(date(2026, 11, 10), hour=7)] == []
    assert [each.step for each in await desk.until(date(2026, 11, 10))] == [Step.ASK]
    assert await desk.store.run(lambda s: checkins.overdue(s, "uj")) == []


async def test_an_early_answer_stands_for_the_next_day(desk: Desk) -> None:
    await desk.until(date(2026, 11, 2), hour=15)
    await desk.answer()
    assert await desk.until(date(2026, 11, 9)) == []
    assert [each.step for each in await desk.until(date(2026, 11, 10))] == [Step.ASK]
    assert [each.checkin.day for each in await desk.told()] == [date(2026, 11, 3), date(2026, 11, 10)]


async def test_of_early_answers_only_the_last_counts_and_no_second_day_is_taken(desk: Desk) -> None:
    desk.now = datetime(2026, 11, 5, 9, 0, tzinfo=UTC)
    await desk.do(
        lambda s, mine, ann: checkins.set_rhythm(
            s, mine.case, member=ann, every=Every.QUARTER, weekday=1, minute=600, now=desk.now
        )
    )
    due = await desk.do(lambda s, mine, _ann: checkins.rhythm_of(s, mine.case).next_day)  # type: ignore[union-attr]
    begun = desk.now
    for words in ("one", "two", "three"):
        await desk.answer(replace(SAID, blocked=words))
        desk.now += timedelta(days=1)
    (told,) = await desk.told()
    assert told.answers is not None
    assert (told.checkin.day, told.versions, told.answers.blocked) == (due, 3, "three")
    assert (told.answered_at, told.amended_at) == (begun, begun + timedelta(days=2))
    following = await desk.do(lambda s, mine, _ann: checkins.rhythm_of(s, mine.case).next_day)  # type: ignore[union-attr]
    assert isinstance(due, date)
    assert isinstance(following, date)
    assert timedelta(80) < following - due < timedelta(100), "the day after the one that was told of is still asked"


async def test_a_shorter_rhythm_takes_early_answers_for_its_own_days(desk: Desk) -> None:
    def quarterly(session: Session, mine: Mine, ann: Member) -> object:
        facts = {"member": ann, "weekday": 1, "minute": 600, "now": desk.now}
        return checkins.set_rhythm(session, mine.case, every=Every.QUARTER, **facts)  # type: ignore[arg-type]

    def weekly(session: Session, mine: Mine, ann: Member) -> object:
        facts = {"member": ann, "weekday": 3, "minute": 600, "now": desk.now}
        return checkins.set_rhythm(session, mine.case, every=Every.WEEK, **facts)  # type: ignore[arg-type]

    desk.now = datetime(2026, 11, 5, 9, 0, tzinfo=UTC)
    await desk.do(quarterly)
    await desk.answer()
    desk.now += timedelta(days=1)
    await desk.do(weekly)
    await desk.answer()
    assert [each.checkin.day for each in await desk.told()] == [date(2026, 11, 12), date(2027, 2, 2)]
    with pytest.raises(Refused, match="answered already"):
        await desk.answer()


async def test_a_late_answer_is_taken_as_long_as_nothing_else_was_asked(desk: Desk) -> None:
    await desk.until(date(2026, 11, 9))
    await desk.answer()
    (told,) = await desk.told()
    assert (told.checkin.day, told.checkin.state) == (date(2026, 11, 3), CheckinState.ANSWERED)
    assert await desk.store.run(lambda s: checkins.overdue(s, "uj")) == []


async def test_what_was_not_answered_is_missed_when_the_next_is_asked(desk: Desk) -> None:
    await desk.until(date(2026, 11, 10))
    assert [each.checkin.state for each in await desk.told()] == [CheckinState.MISSED, CheckinState.OPEN]


async def test_a_case_that_nobody_answered_for_stays_overdue_on_every_day_until_somebody_does(desk: Desk) -> None:
    await desk.until(date(2026, 11, 9))
    (code,) = await desk.store.run(lambda s: checkins.overdue(s, "uj"))

    def one_that_is_answered_for(session: Session) -> None:
        bob = enter(session, "bob")
        other = open_case(session, bob, 2).case
        checkins.answer(session, other, answers=SAID, by=bob.id, today=TODAY, now=desk.now, rng=desk.rng)

    await desk.store.run(one_that_is_answered_for)
    for day in range(10, 24):
        await desk.until(date(2026, 11, day))
        assert await desk.store.run(lambda s: checkins.overdue(s, "uj")) == [code], day
    await desk.answer()
    assert await desk.store.run(lambda s: checkins.overdue(s, "uj")) == []
    await desk.until(date(2026, 11, 25))
    assert await desk.store.run(lambda s: checkins.overdue(s, "uj")) == [], "the next question was just asked"


async def test_what_a_pause_or_a_stop_drops_is_not_overdue_when_it_goes_on(desk: Desk) -> None:
    await desk.until(date(2026, 11, 10))
    assert len(await desk.store.run(lambda s: checkins.overdue(s, "uj"))) == 1
    await desk.do(lambda s, mine, _a: checkins.pause(s, mine.case, until=date(2026, 11, 24), now=desk.now))
    assert await desk.store.run(lambda s: checkins.overdue(s, "uj")) == []
    await desk.until(date(2026, 11, 25))
    assert await desk.store.run(lambda s: checkins.overdue(s, "uj")) == [], "asked yesterday"

    def again(session: Session, mine: Mine, ann: Member) -> object:
        facts = {"member": ann, "every": Every.WEEK, "weekday": 1, "minute": 600, "now": desk.now}
        return checkins.set_rhythm(session, mine.case, **facts)  # type: ignore[arg-type]

    await desk.do(lambda s, mine, _a: checkins.stop(s, mine.case))
    assert await desk.store.run(lambda s: checkins.overdue(s, "uj")) == []
    await desk.do(again)
    assert await desk.store.run(lambda s: checkins.overdue(s, "uj")) == []


async def test_a_second_answer_at_once_is_told_that_there_is_one(desk: Desk) -> None:
    await desk.until(date(2026, 11, 3))

    async def one() -> str:
        try:
            await desk.answer()
        except Refused as refused:
            return refused.msgid
        return "kept"

    said = sorted(await asyncio.gather(one(), one(), one()))
    assert said.count("kept") == 1
    assert all("answered already" in each for each in said if each != "kept")
    assert [each.versions for each in await desk.told()] == [1]


async def test_an_answer_can_be_put_right_and_what_was_said_before_stays(desk: Desk) -> None:
    await desk.until(date(2026, 11, 3))
    await desk.answer()
    (told,) = await desk.told()
    right = Answers(moved=None, stage=None, blocked="it waits for nothing", need=None)
    await desk.do(lambda s, _m, ann: checkins.amend(s, told.checkin, answers=right, by=ann.id, now=desk.now))
    (now_told,) = await desk.told()
    assert now_told.answers == Answers(True, "filed", "it waits for nothing", Need.FUNDS)
    versions = await desk.do(lambda s, _m, _a: [each.blocked.text for each in checkins.versions(s, told.checkin)])  # type: ignore[union-attr]
    assert versions == ["the heliotrope file waits", "it waits for nothing"]


async def test_one_answer_is_erased_alone_and_no_key_is_left_that_could_open_it(desk: Desk) -> None:
    await desk.until(date(2026, 11, 3))
    await desk.answer()
    (told,) = await desk.told()
    assert await desk.do(lambda s, _m, _a: checkins.erase_part(s, told.checkin, "blocked", desk.now))
    (left,) = await desk.told()
    assert left.answers == Answers(True, "filed", None, Need.FUNDS)
    assert not await desk.do(lambda s, _m, _a: checkins.erase_part(s, told.checkin, "blocked", desk.now))


async def test_no_backup_that_is_restored_brings_back_one_of_the_answers(sqlite_store: Store, tmp_path: Path) -> None:
    desk = Desk(sqlite_store)
    await desk.furnish()
    await desk.until(date(2026, 11, 3))
    await desk.answer()
    with sqlite3.connect(tmp_path / "hub.db") as source, sqlite3.connect(tmp_path / "backup.db") as backup:
        source.backup(backup)
    (told,) = await desk.told()
    for part in checkins.PARTS:
        assert await desk.do(lambda s, _m, _a, part=part: checkins.erase_part(s, told.checkin, part, desk.now))
    with sqlite3.connect(tmp_path / "backup.db") as backup, sqlite3.connect(tmp_path / "hub.db") as target:
        backup.backup(target)
    await desk.store.run(lambda s: privacy.restored(s, desk.now))
    week = desk.now - timedelta(days=7)
    assert await desk.store.run(lambda s: checkins.needs(s, network="uj", since=week)) == Counter()
    (back,) = await desk.told()
    assert back.answers == Answers(None, None, None, None)

    def in_clear(session: Session) -> list[object]:
        return [getattr(each, part) for each in checkins.versions(session, told.checkin) for part in checkins.CODES]

    assert await desk.store.run(in_clear) == [None, None, None]


async def test_a_snoozed_question_comes_again_and_only_then_is_followed(desk: Desk) -> None:
    await desk.until(date(2026, 11, 3))
    later = datetime(2026, 11, 6, 8, 0, tzinfo=UTC)
    await desk.do(lambda s, mine, _a: checkins.snooze(s, mine.case, until=later, now=desk.now))
    assert [each.step for each in await desk.until(date(2026, 11, 6))] == [Step.ASK]
    assert [each.step for each in await desk.until(date(2026, 11, 8))] == [Step.FOLLOW]


async def test_a_follow_up_waits_for_the_end_of_an_absence(desk: Desk) -> None:
    await desk.until(date(2026, 11, 3))
    back = datetime(2026, 11, 8, 7, 30, tzinfo=UTC)
    await desk.do(lambda s, _m, ann: members.set_away(s, ann, back))
    assert await desk.until(date(2026, 11, 8), hour=7) == []
    assert [each.step for each in await desk.until(date(2026, 11, 8))] == [Step.FOLLOW]


async def test_nothing_is_asked_before_the_day_until_which_it_is_paused(desk: Desk) -> None:
    await desk.until(date(2026, 11, 3))
    await desk.do(lambda s, mine, _a: checkins.pause(s, mine.case, until=date(2026, 12, 1), now=desk.now))
    assert await desk.until(date(2026, 12, 1), hour=7) == []
    assert [each.step for each in await desk.until(date(2026, 12, 1))] == [Step.ASK]
    with pytest.raises(Refused, match="passed"):
        await desk.do(lambda s, mine, _a: checkins.pause(s, mine.case, until=date(2026, 11, 30), now=desk.now))


async def test_a_rhythm_follows_a_person_who_moves(desk: Desk) -> None:
    await desk.do(lambda s, _m, ann: members.set_zone(s, ann, "Asia/Almaty"))
    assert await desk.store.run(checkins.follow_zones) == 1
    assert await desk.store.run(checkins.follow_zones) == 0
    asked = await desk.until(date(2026, 11, 3), hour=5)
    assert [each.step for each in asked] == [Step.ASK], "ten o'clock in Almaty is five in UTC"


async def test_a_closed_case_is_asked_after_no_more(desk: Desk) -> None:
    def close(session: Session, mine: Mine, ann: Member) -> None:
        cases.close(session, mine, by=ann.id, now=desk.now)
        checkins.stop(session, mine.case)

    await desk.until(date(2026, 11, 3))
    await desk.do(close)
    assert await desk.until(date(2026, 11, 20)) == []


async def test_a_case_that_is_handed_on_is_asked_of_whoever_leads_it(desk: Desk) -> None:
    def hand(session: Session, mine: Mine, _ann: Member) -> object:
        bob = enter(session, "bob")
        checkins.hand_to(session, mine.case, bob)
        return bob.id

    bob = await desk.do(hand)
    assert [each.member_id for each in await desk.until(date(2026, 11, 3))] == [bob]


async def test_needs_are_counted_as_they_are_said_now(desk: Desk) -> None:
    await desk.until(date(2026, 11, 3))
    await desk.answer()
    week = desk.now - timedelta(days=7)
    assert await desk.store.run(lambda s: checkins.needs(s, network="uj", since=week)) == Counter({Need.FUNDS: 1})
    (told,) = await desk.told()
    right = Answers(None, None, None, Need.NOTHING)
    await desk.do(lambda s, _m, ann: checkins.amend(s, told.checkin, answers=right, by=ann.id, now=desk.now))
    assert await desk.store.run(lambda s: checkins.needs(s, network="uj", since=week)) == Counter()


async def test_erasing_a_person_takes_their_words_and_leaves_what_the_team_needs(desk: Desk) -> None:
    def erase(session: Session, mine: Mine, ann: Member) -> object:
        bob = enter(session, "bob")
        cases.invite(session, mine, member=bob, part=Part.COCOUNSEL, now=desk.now)
        cases.answer_invitation(session, mine.case, member=bob.id, yes=True, now=desk.now)
        for left in cases.leave(session, person=ann.id, network=None, now=desk.now):
            assert left.heir
            checkins.hand_to(session, left.case, left.heir)
        report = privacy.erase(session, ann.id, desk.now)
        assert report.failed == []
        return bob.id

    await desk.until(date(2026, 11, 3))
    await desk.answer()
    bob = await desk.do(erase)

    def what_is_left(session: Session) -> list[checkins.Told]:
        (mine,) = cases.mine(session, member=bob, network="uj")  # type: ignore[arg-type]
        assert mine.part is Part.LEAD
        return checkins.history(session, mine.case)

    (told,) = await desk.store.run(what_is_left)
    assert told.answers == Answers(True, "filed", None, Need.FUNDS)
    assert await desk.store.run(audit.verify) is None


async def test_a_question_that_nobody_is_left_to_answer_is_told_to_the_coordinators(desk: Desk) -> None:
    def gone(session: Session, _mine: Mine, ann: Member) -> None:
        privacy.erase(session, ann.id, desk.now)

    await desk.until(date(2026, 11, 3))
    await desk.do(gone)
    assert [each.step for each in await desk.until(date(2026, 11, 6))] == [Step.TELL]


@pytest.mark.parametrize("closed", [False, True])
async def test_what_goes_with_its_case_or_its_question_after_three_years_is_unreadable_in_old_copies_too(
    desk: Desk, closed: bool
) -> None:
    def end(session: Session, mine: Mine, _ann: Member) -> None:
        if closed:
            cases.close(session, mine, by=None, now=START)

    await desk.until(date(2026, 11, 3))
    asked_at = desk.now
    desk.now += timedelta(days=1)
    await desk.answer()
    (told,) = await desk.told()
    answer_ids = [each.id for each in await desk.store.run(lambda s: checkins.versions(s, told.checkin))]
    assert answer_ids
    await desk.do(end)

    swept = await desk.store.run(lambda s: privacy.sweep(s, asked_at + timedelta(days=3 * 365, hours=1)))
    assert ("case" in swept, "checkin_answer" in swept) == (closed, False)
    assert await desk.store.run(lambda s: s.get(CheckinAnswer, answer_ids[0])) is None
    assert await desk.store.run(lambda _session: all(ring().erased(each) for each in answer_ids))
