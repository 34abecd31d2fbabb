"""Lessons on both databases: what others see, who may read, and that withdrawing reaches everything."""

import asyncio
import itertools
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import func, select

from bots.console import render
from commands import FEATURES
from commands.core.dispatch import Dispatcher, Heard
from commands.core.feature import Commands
from commands.core.pace import Pace
from commands.core.post import Hub, Network
from commands.core.strings import Catalogues
from knowledge.library import Library
from storage import audit, cases, codes, feedback, guesses, links, members, privacy
from storage.cases import Case, Mine, Part
from storage.feedback import (
    Again,
    Answers,
    Cost,
    Duration,
    Lesson,
    LessonState,
    LessonWord,
    Level,
    Region,
    SavedLesson,
    Seen,
    Viewer,
)
from storage.members import Member, Role
from storage.outbox import Outbox
from storage.refused import Refused
from storage.sealed import Vault, ring
from storage.store import Session, Store, execute
from storage.table import Table, core

MASTER = bytes(range(32))
START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
LIBRARY = Library.load()
PROCEDURES = LIBRARY.procedures
CATALOGUES = Catalogues.load()
HUB = Hub(
    {key: Network(key, key.capitalize(), "en", "Europe/Kyiv") for key in ("uj", "climate")},
    platforms=("console", "paper"),
    overheard=frozenset({"paper"}),
)
TOLD = Answers(
    tool="uj-complaint",
    forum="prosecutor",
    jurisdiction="DE",
    stage="filed",
    outcome="rejected",
    argument="the heliotrope argument",
    worked="a summary in the prosecutor's language",
    failed="",
    differently="ask about immunity first",
    duration=Duration.MONTHS,
    cost=Cost.SOME,
    again=Again.CHANGED,
    level=Level.HUB,
    may_stay=False,
)


def enter(session: Session, name: str, *roles: Role, network: str = "uj") -> Member:
    person = members.recognise(
        session,
        platform="console",
        address=name,
        language="en",
        zone="Europe/Kyiv",
        rng=random.Random(name),
        now=START,
    )
    person.handle = name
    session.add(person)
    for role in roles:
        members.grant(session, actor=None, member=person, network=network, role=role, now=START)
    return person


def open_case(session: Session, by: Member, number: int = 0, *, outcome: str | None = None, **facts: Any) -> Case:
    given = {"tool": "uj-complaint", "forum": "prosecutor", "jurisdiction": "DE", "stage": "filed"} | facts
    case = cases.open_case(
        session, network="uj", title=f"File {number}", by=by.id, now=START, rng=random.Random(number), **given
    )
    case.outcome = outcome
    session.add(case)
    session.flush()
    return case


def region_of(jurisdiction: str | None) -> Region | None:
    found = PROCEDURES.region(jurisdiction) if jurisdiction else None
    return Region(found.id, found.jurisdictions) if found else None


def tell(session: Session, author: Member, case: Case | None = None, **answers: Any) -> Lesson:
    """A finished draft."""
    seed = random.Random(f"{author.handle}{answers}")
    lesson = feedback.begin(session, author=author.id, network="uj", case=case, now=START, rng=seed)
    feedback.fill(session, lesson, TOLD._replace(**answers), START)
    return lesson


def offer(session: Session, lesson: Lesson, now: datetime = START) -> Lesson:
    region = region_of(lesson.jurisdiction)
    feedback.freeze(session, lesson, region)
    assert feedback.offer(session, lesson, region, now)
    return lesson


def release(
    session: Session, lesson: Lesson, counsel: Member, now: datetime = START, *, names_nobody: bool = True
) -> Lesson:
    if lesson.state is LessonState.DRAFT:
        offer(session, lesson, now)
    words = "\n".join(lesson.words.values())
    feedback.release(
        session,
        lesson,
        by=counsel.id,
        region=region_of(lesson.jurisdiction),
        tokens=LIBRARY.tokens(words),
        names_nobody=names_nobody,
        now=now,
    )
    return lesson


def find(session: Session, viewer: Viewer, words: str) -> list[Lesson]:
    question = LIBRARY.question(words)
    held = feedback.holding(session, viewer, question.tokens)
    return feedback.by_ids(session, question.rank(held.by_token, among=held.among))


def reader(member: Member, *roles: Role, network: str = "uj", private: bool = True) -> Viewer:
    return Viewer(member.id, network, frozenset({Role.GUEST, *roles}), private)


def count(session: Session, table: type[Table]) -> int:
    return int(execute(session, select(func.count()).select_from(core(table))).scalar() or 0)


@dataclass
class World:
    """An author, two counsel, a reader, and enough cases of one kind."""

    store: Store
    ann: Member
    cora: Member
    carl: Member
    bob: Member

    async def released(self, **answers: Any) -> Lesson:
        return await self.store.run(lambda s: release(s, tell(s, self.ann, **answers), self.cora))


@pytest.fixture
async def world(store: Store) -> World:
    return await settle(store)


async def settle(store: Store) -> World:
    def people(session: Session) -> World:
        ann = enter(session, "ann", Role.MEMBER)
        for number in range(3):
            open_case(session, enter(session, f"lead{number}", Role.MEMBER), number)
        counsel = [enter(session, name, Role.COUNSEL) for name in ("cora", "carl")]
        bob = enter(session, "bob", Role.MEMBER)
        members.add_account(session, bob, platform="paper", address="bob", now=START)
        return World(store, ann, *counsel, bob)

    return await store.run(people)


# The gate

FACTS = {
    "tool": ["uj-complaint", "icc-communication"],
    "forum": ["prosecutor", "criminal-court", None],
    "jurisdiction": ["DE", "FR", "UA", "UN", None],
    "stage": ["filed", "trial"],
    "outcome": ["rejected", "opened", None],
}
A_CASE = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in FACTS.items()})
LED = st.tuples(A_CASE, st.sampled_from(["ann", "bea", "cas", "dan"]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(known=st.lists(LED, max_size=16), told=A_CASE, of_a_case=st.booleans())
async def test_whatever_is_shown_is_shared_by_three_cases_of_three_people(
    store: Store, known: list[tuple[dict[str, Any], str]], told: dict[str, Any], of_a_case: bool
) -> None:
    def gate(session: Session) -> Seen:
        execute(session, core(Case).delete())
        people = {name: enter(session, name, Role.MEMBER) for name in ("ann", "bea", "cas", "dan")}
        opened = [open_case(session, people[who], number, **facts) for number, (facts, who) in enumerate(known)]
        lesson = Lesson(
            code="L-1",
            network="uj",
            author_id=people["ann"].id,
            case_id=opened[0].id if known and of_a_case else None,
            started_at=START,
            **{name: fact or "" for name, fact in told.items()},
        )
        return feedback.gate(session, lesson, region_of(told["jurisdiction"]))

    # A lesson without a case is about one that nobody knows.
    every = known if known and of_a_case else [*known, (told, "ann")]
    seen = await store.run(gate)
    if seen.held:
        assert seen == Seen(held=True)
        assert len({who for facts, who in every if facts["tool"] == told["tool"]}) < 3
        return
    assert seen.place in {told["jurisdiction"], getattr(region_of(told["jurisdiction"]), "id", None), None}
    for name in ("forum", "stage", "outcome"):
        assert getattr(seen, name) in {told[name], None}

    def shares(facts: dict[str, Any]) -> bool:
        region = region_of(facts["jurisdiction"])
        return (
            facts["tool"] == told["tool"]
            and all(getattr(seen, name) in {None, facts[name]} for name in ("forum", "stage", "outcome"))
            and seen.place in {None, facts["jurisdiction"], region.id if region else None}
        )

    assert len({who for facts, who in every if shares(facts)}) >= 3


async def test_the_place_gets_wider_before_it_goes(store: Store) -> None:
    def places(session: Session) -> list[str | None]:
        ann = enter(session, "ann", Role.MEMBER)
        lesson = tell(session, ann, open_case(session, ann, 0, jurisdiction="DE"), outcome="")
        seen: list[str | None] = []
        for number, jurisdiction in enumerate(("UA", "UA", "FR", "NL", "DE", "DE"), 1):
            open_case(session, enter(session, f"lead{number}", Role.MEMBER), number, jurisdiction=jurisdiction)
            seen.append(feedback.gate(session, lesson, region_of("DE")).place)
        return seen

    assert await store.run(places) == [None, None, None, "western-europe", "western-europe", "DE"]


async def test_three_cases_of_one_person_or_of_two_are_too_few(store: Store) -> None:
    def arrange(session: Session) -> list[bool]:
        ann, bob, cas = (enter(session, name, Role.MEMBER) for name in ("ann", "bob", "cas"))
        lesson = tell(session, ann, open_case(session, ann, 0))
        held = []
        for number, lead in enumerate((ann, ann, bob, bob, cas), 1):
            open_case(session, lead, number)
            held.append(feedback.gate(session, lesson, region_of("DE")).held)
        return held

    assert await store.run(arrange) == [True, True, True, True, False]


async def test_the_author_of_a_lesson_without_a_case_counts_once(store: Store) -> None:
    def arrange(session: Session) -> list[bool]:
        ann, bob, cas = (enter(session, name, Role.MEMBER) for name in ("ann", "bob", "cas"))
        for number, lead in enumerate((bob, cas, cas)):
            open_case(session, lead, number)
        written = [tell(session, author) for author in (bob, ann)]
        return [feedback.gate(session, each, region_of("DE")).held for each in written]

    assert await store.run(arrange) == [True, False]


BANDS = feedback.Bands(Duration.MONTHS, Cost.SOME, Again.CHANGED)


async def test_what_no_three_members_told_alike_is_held_back_with_the_rest(world: World) -> None:
    def arrange(session: Session) -> list[feedback.Bands]:
        told = [
            (world.ann, {}),
            (world.bob, {}),
            (world.bob, {"worked": "again"}),  # the same person
            (world.carl, {"cost": Cost.MUCH}),
            (world.cora, {"again": Again.NO}),
            (enter(session, "dan", Role.MEMBER), {}),
            (enter(session, "eva", Role.MEMBER), {"outcome": "opened"}),  # an outcome that is held back tells no more
        ]
        return [offer(session, tell(session, author, **answers)).seen.bands for author, answers in told]

    none = feedback.Bands()
    assert await world.store.run(arrange) == [
        none,
        none,
        none,
        BANDS._replace(cost=None),
        feedback.Bands(Duration.MONTHS, Cost.SOME),
        BANDS,
        BANDS,
    ]


async def test_what_is_held_back_altogether_shows_no_bands(store: Store) -> None:
    def held(session: Session) -> list[Seen]:
        people = [enter(session, name, Role.MEMBER) for name in ("ann", "bob", "cas")]
        cases_of_one = [open_case(session, people[0], number) for number in range(3)]
        return [
            offer(session, tell(session, author, case, level=Level.COORDINATORS)).seen
            for author, case in zip(people, cases_of_one, strict=True)
        ]

    assert await store.run(held) == [Seen(held=True)] * 3


async def test_bands_are_looked_at_again_when_by_then_too_few_tell_the_same(world: World) -> None:
    def arrange(session: Session) -> Lesson:
        others = [offer(session, tell(session, author)) for author in (world.bob, world.carl)]
        mine = offer(session, tell(session, world.ann))
        assert mine.seen.bands == BANDS
        feedback.withdraw(session, others[0], START)
        return mine

    mine = await world.store.run(arrange)
    with pytest.raises(Refused, match="By now fewer"):
        await world.store.run(lambda s: release(s, s.get_one(Lesson, mine.id), world.cora))


async def test_what_too_few_share_is_released_to_coordinators_only_and_without_a_fact(store: Store) -> None:
    def held(session: Session) -> tuple[Lesson, list[Lesson], list[Lesson]]:
        ann, cora = enter(session, "ann", Role.MEMBER), enter(session, "cora", Role.COUNSEL)
        lesson = tell(session, ann)
        assert feedback.freeze(session, lesson, region_of("DE")) == Seen(held=True)
        assert not feedback.offer(session, lesson, region_of("DE"), START)
        feedback.fill(session, lesson, Answers(level=Level.COORDINATORS), START)
        release(session, lesson, cora)
        viewer = reader(cora, Role.COUNSEL)
        return lesson, feedback.browse(session, viewer), feedback.browse(session, viewer, tool="uj-complaint")

    lesson, listed, filtered = await store.run(held)
    assert lesson.seen == Seen(held=True)
    assert (listed, filtered) == ([lesson], [])


async def test_what_was_frozen_is_looked_at_again_when_by_then_too_few_share_it(world: World) -> None:
    lesson = await world.store.run(lambda s: tell(s, world.ann))

    def freeze(session: Session) -> bool:
        mine = session.get_one(Lesson, lesson.id)
        assert feedback.freeze(session, mine, region_of("DE")).place == "DE"
        execute(session, core(Case).update().values(jurisdiction="FR"))
        return feedback.offer(session, mine, region_of("DE"), START)

    assert await world.store.run(freeze) is False

    def offer_then_few(session: Session) -> None:
        mine = offer(session, session.get_one(Lesson, lesson.id))
        assert mine.seen_place == "western-europe"
        execute(session, core(Case).update().values(jurisdiction="UA"))
        release(session, mine, world.cora)

    with pytest.raises(Refused, match="By now fewer"):
        await world.store.run(offer_then_few)


# Two people


async def test_nobody_releases_their_own_words_or_those_about_a_case_of_theirs(world: World) -> None:
    def arrange(session: Session) -> tuple[Lesson, Lesson]:
        own = offer(session, tell(session, world.cora))
        case = open_case(session, world.ann, 9)
        cases.invite(session, Mine(case, Part.LEAD), member=world.carl, part=Part.COCOUNSEL, now=START)
        return own, offer(session, tell(session, world.ann, case))

    own, of_case = await world.store.run(arrange)
    for lesson, counsel, reason in ((own, world.cora, "whoever wrote it"), (of_case, world.carl, "You work on")):
        for rule in (
            release,
            lambda s, mine, by: feedback.give_back(s, mine, by=by.id, note="no", now=START),
        ):
            with pytest.raises(Refused, match=reason):
                await world.store.run(lambda s, r=rule, x=lesson, c=counsel: r(s, s.get_one(Lesson, x.id), c))
    waits = {
        counsel.handle: await world.store.run(
            lambda s, c=counsel: [each.id for each in feedback.waiting(s, network="uj", counsel=c.id)]
        )
        for counsel in (world.cora, world.carl)
    }
    assert waits == {"cora": [of_case.id], "carl": [own.id]}


async def test_a_draft_is_never_released_past_its_author(world: World) -> None:
    lesson = await world.store.run(lambda s: tell(s, world.ann))
    with pytest.raises(Refused, match="does not wait"):
        await world.store.run(
            lambda s: feedback.release(
                s,
                s.get_one(Lesson, lesson.id),
                by=world.cora.id,
                region=None,
                tokens=(),
                names_nobody=True,
                now=START,
            )
        )


async def test_of_two_counsel_who_release_at_once_one_does(world: World, open_store: Callable[[], Store]) -> None:
    lesson = await world.store.run(lambda s: offer(s, tell(s, world.ann)))
    done = await asyncio.gather(
        *(
            open_store().run(lambda s, c=counsel: release(s, s.get_one(Lesson, lesson.id), c))
            for counsel in (world.cora, world.carl)
        ),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in done) == ["Lesson", "Refused"]
    assert await world.store.run(lambda s: len(find(s, reader(world.bob, Role.MEMBER), "heliotrope"))) == 1


# Who may read


@pytest.mark.parametrize("level", Level)
async def test_a_lesson_is_read_by_those_whom_its_author_chose(world: World, level: Level) -> None:
    lesson = await world.released(level=level)
    for role, private, network in itertools.product(Role, (True, False), ("uj", "climate")):
        may = {
            Level.COORDINATORS: private and network == "uj" and role in {Role.COORDINATOR, Role.ADMIN, Role.COUNSEL},
            Level.NETWORK: private and network == "uj" and role is not Role.GUEST,
            Level.HUB: private and role is not Role.GUEST,
            Level.PUBLIC: True,
        }[level]
        viewer = reader(world.bob, role, network=network, private=private)

        def reads(session: Session, viewer: Viewer = viewer) -> list[bool]:
            feedback.save(session, session.get_one(Lesson, lesson.id), member=world.bob.id, keep=True)
            return [
                feedback.visible(session, lesson.code, viewer) is not None,
                lesson in feedback.browse(session, viewer),
                lesson in feedback.browse(session, viewer, tool="uj-complaint", forum="prosecutor"),
                lesson in feedback.similar(session, viewer, tool="uj-complaint"),
                lesson in feedback.saved(session, viewer),
                lesson in find(session, viewer, "heliotrope argument"),
            ]

        assert await world.store.run(reads) == [may] * 6, (role, private, network)


async def test_what_is_not_released_is_its_authors_alone(world: World) -> None:
    lesson = await world.store.run(lambda s: tell(s, world.ann, level=Level.PUBLIC))
    for offered in (False, True):
        if offered:
            await world.store.run(lambda s: offer(s, s.get_one(Lesson, lesson.id)))

        def readers(session: Session) -> list[bool]:
            everybody = (world.bob, *(Role,)), (world.cora, *(Role,)), (world.ann, Role.MEMBER)
            return [feedback.visible(session, lesson.code, reader(*each)) is not None for each in everybody]

        assert await world.store.run(readers) == [False, False, True]
        assert (
            await world.store.run(
                lambda s: feedback.visible(s, lesson.code, reader(world.ann, Role.MEMBER, private=False))
            )
            is None
        )


async def test_a_list_is_narrowed_by_what_is_seen_only(world: World) -> None:
    lesson = await world.released()  # no case has an outcome: it is not shown
    assert lesson.seen == Seen("prosecutor", "DE")
    viewer = reader(world.bob, Role.MEMBER)
    assert await world.store.run(lambda s: feedback.browse(s, viewer, outcome="rejected")) == []
    assert await world.store.run(lambda s: feedback.browse(s, viewer, forum="prosecutor")) == [lesson]


async def test_similar_lessons_are_those_before_the_same_forum_first_then_the_latest(world: World) -> None:
    def arrange(session: Session) -> list[str]:
        for number in range(3):
            open_case(session, world.bob, 20 + number, forum="criminal-court")
        made = [
            release(session, tell(session, world.ann, forum=forum, worked=f"{day}"), world.cora, START + timedelta(day))
            for day, forum in enumerate(("prosecutor", "criminal-court", "prosecutor", "criminal-court"))
        ]
        similar = feedback.similar(session, reader(world.bob, Role.MEMBER), tool="uj-complaint", forum="prosecutor")
        return [str(made.index(each)) for each in similar]

    assert await world.store.run(arrange) == ["2", "0", "3"]


# Found


async def test_a_lesson_is_found_in_any_language_if_it_answers_half_of_the_question(world: World) -> None:
    lesson = await world.released(worked="evidence of the chain of command, and an expert on immunity")
    viewer = reader(world.bob, Role.MEMBER)
    for words, found in (
        ("immunity", True),
        ("імунітет", True),
        ("доказательства и иммунитет", True),
        ("heliotropes", True),
        ("permit for a coal mine near the river", False),
        ("", False),
    ):
        assert await world.store.run(lambda s, w=words: find(s, viewer, w)) == [lesson] * found, words


def test_what_answers_more_of_a_question_comes_first() -> None:
    question = LIBRARY.question("immunity of heads of State before the prosecutor")
    texts = {"both": "immunity and the prosecutor", "one": "the immunity of a head of State", "none": "a coal mine"}
    holders: dict[str, list[str]] = {}
    for name, text in texts.items():
        for token in LIBRARY.tokens(text):
            holders.setdefault(token, []).append(name)
    ranked = question.rank(holders, among=3)
    assert ranked[0] == "one"
    assert "none" not in ranked


def test_a_place_is_found_in_a_text_of_any_length_and_language() -> None:
    assert {"DE", "UA"} <= LIBRARY.places("word " * 300 + "Wir waren in Germany. " + "слово " * 300 + "в Україні")
    assert LIBRARY.places("nothing of the kind") == frozenset()


# Taken back, withdrawn, erased


async def test_a_change_takes_back_what_was_released(world: World) -> None:
    lesson = await world.released(may_stay=True)
    viewer = reader(world.bob, Role.MEMBER)

    def change(session: Session) -> tuple[bool, Lesson]:
        mine = session.get_one(Lesson, lesson.id)
        assert mine.stays
        return feedback.fill(session, mine, Answers(worked="something else"), START), mine

    taken_back, mine = await world.store.run(change)
    assert taken_back
    assert (mine.state, mine.stays, mine.held, mine.released_at) == (LessonState.DRAFT, False, None, None)
    assert mine.idle_since == START
    assert await world.store.run(lambda s: count(s, LessonWord)) == 0
    assert await world.store.run(lambda s: feedback.visible(s, lesson.code, viewer)) is None
    assert await world.store.run(lambda s: feedback.fill(s, mine, Answers(), START)) is False


def back_up(folder: Path) -> None:
    for name in ("hub", "keys"):
        one, other = sqlite.connect(folder / f"{name}.db"), sqlite.connect(folder / f"old-{name}.db")
        one.backup(other)
        one.close()
        other.close()


def restore(folder: Path, name: str) -> None:
    for leftover in folder.glob(f"{name}.db-*"):
        leftover.unlink()
    shutil.copy(folder / f"old-{name}.db", folder / f"{name}.db")


async def test_withdrawing_reaches_the_index_saved_copies_and_every_backup(sqlite_store: Store, tmp_path: Path) -> None:
    world = await settle(sqlite_store)
    lesson = await world.released()
    viewer = reader(world.bob, Role.MEMBER)
    await sqlite_store.run(lambda s: feedback.save(s, lesson, member=world.bob.id, keep=True))
    back_up(tmp_path)

    told = await sqlite_store.run(lambda s: feedback.withdraw(s, s.get_one(Lesson, lesson.id), START))
    assert [each.handle for each in told] == ["bob"]
    for table in (Lesson, LessonWord, SavedLesson):
        assert await sqlite_store.run(lambda s, t=table: count(s, t)) == 0
    await sqlite_store.close()

    def reads(session: Session) -> list[Any]:
        privacy.restored(session, START)
        return [
            *feedback.browse(session, viewer),
            *feedback.similar(session, viewer, tool="uj-complaint"),
            *feedback.saved(session, viewer),
            *feedback.of_author(session, author=world.ann.id, network="uj"),
            *find(session, viewer, "heliotrope"),
            *filter(None, [feedback.visible(session, lesson.code, viewer)]),
        ]

    for name in ("hub", "keys"):
        restore(tmp_path, name)
        store = Store(f"sqlite:///{tmp_path}/hub.db", vault=Vault(f"sqlite:///{tmp_path}/keys.db", MASTER))
        assert await store.run(reads) == []
        await store.close()


@pytest.mark.parametrize("may_stay", [True, False])
async def test_what_is_released_outlives_its_author_only_if_they_chose_so(world: World, may_stay: bool) -> None:
    lesson = await world.released(may_stay=may_stay)
    draft = await world.store.run(lambda s: tell(s, world.ann, may_stay=True, worked="a draft"))
    report = await world.store.run(lambda s: privacy.erase(s, world.ann.id, START))
    assert report.failed == []

    def left(session: Session) -> tuple[list[tuple[UUID | None, dict[str, str]]], list[bool]]:
        browsed = feedback.browse(session, reader(world.bob, Role.MEMBER))
        return [(each.author_id, each.words) for each in browsed], [ring().erased(each.id) for each in (lesson, draft)]

    assert await world.store.run(left) == ([(None, lesson.words)] if may_stay else [], [not may_stay, True])
    assert await world.store.run(lambda s: count(s, Lesson)) == may_stay
    found = await world.store.run(lambda s: find(s, reader(world.bob, Role.MEMBER), "heliotrope"))
    assert len(found) == may_stay


async def test_a_lesson_outlives_its_case_and_a_reader_who_saved_it(world: World) -> None:
    def arrange(session: Session) -> Lesson:
        lesson = release(session, tell(session, world.ann, open_case(session, world.ann, 9)), world.cora)
        feedback.save(session, lesson, member=world.bob.id, keep=True)
        return lesson

    lesson = await world.store.run(arrange)
    await world.store.run(lambda s: execute(s, core(Case).delete()))
    await world.store.run(lambda s: privacy.erase(s, world.bob.id, START))
    assert await world.store.run(lambda s: count(s, SavedLesson)) == 0
    stays = await world.store.run(lambda s: s.get_one(Lesson, lesson.id))
    assert (stays.case_id, stays.words) == (None, lesson.words)


async def test_a_draft_can_be_resumed_for_a_year_and_a_released_lesson_does_not_age(world: World) -> None:
    released = await world.released()
    draft = await world.store.run(lambda s: tell(s, world.bob))

    def kept(session: Session, after: timedelta) -> set[UUID]:
        privacy.sweep(session, START + after)
        return set(execute(session, select(core(Lesson).c.id)).scalars())

    assert await world.store.run(lambda s: kept(s, timedelta(days=364))) == {released.id, draft.id}
    assert await world.store.run(lambda s: kept(s, timedelta(days=366))) == {released.id}
    assert await world.store.run(lambda _s: ring().erased(draft.id))


async def test_who_links_another_account_brings_their_lessons_along(world: World) -> None:
    def arrange(session: Session) -> tuple[Lesson, Lesson]:
        saved = release(session, tell(session, world.ann), world.cora)
        own = tell(session, world.bob, worked="another")
        for reader in (world.bob, world.carl):
            feedback.save(session, saved, member=reader.id, keep=True)
        links.join(
            session,
            survivor=session.get_one(Member, world.carl.id),
            merged=session.get_one(Member, world.bob.id),
            now=START,
        )
        return saved, own

    saved, own = await world.store.run(arrange)
    await world.store.run(lambda s: privacy.shred(s, START + timedelta(hours=1)))

    def theirs(session: Session) -> tuple[list[Lesson], list[Lesson]]:
        return (
            feedback.of_author(session, author=world.carl.id, network="uj"),
            feedback.saved(session, reader(world.carl, Role.COUNSEL)),
        )

    mine, kept = await world.store.run(theirs)
    assert [(each.id, each.words) for each in mine] == [(own.id, own.words)]
    assert [each.id for each in kept] == [saved.id]


async def test_a_digest_counts_what_was_released_and_what_waits(world: World) -> None:
    def arrange(session: Session) -> tuple[int, int]:
        for day in (1, 9, 10):
            release(session, tell(session, world.ann, worked=f"{day}"), world.cora, START + timedelta(days=day))
        offer(session, tell(session, world.ann, worked="waits"))
        tell(session, world.ann, worked="a draft")
        now = START + timedelta(days=14)
        return feedback.week(session, network="uj", since=now - timedelta(days=7), now=now)

    assert await world.store.run(arrange) == (2, 1)
    assert await world.store.run(lambda s: feedback.week(s, network="climate", since=START, now=START)) == (0, 0)


# Rules of a draft


async def test_a_case_asks_no_more_once_somebody_has_told_all(world: World) -> None:
    def arrange(session: Session) -> list[datetime | None]:
        case = open_case(session, world.ann, 9)
        case.feedback_at = START
        session.add(case)
        lesson = feedback.begin(session, author=world.ann.id, network="uj", case=case, now=START, rng=random.Random(1))
        asked = []
        for answers in (TOLD._replace(level=None), Answers(level=Level.HUB)):
            feedback.fill(session, lesson, answers, START)
            session.flush()
            session.refresh(case)
            asked.append(case.feedback_at)
        return asked

    assert await world.store.run(arrange) == [START, None]


async def test_another_tool_has_other_stages(world: World) -> None:
    def change(session: Session, **answers: Any) -> str | None:
        lesson = tell(session, world.ann, worked=f"{answers}")
        feedback.fill(session, lesson, Answers(**answers), START)
        return lesson.stage

    assert await world.store.run(lambda s: change(s, tool="uj-complaint")) == "filed"
    assert await world.store.run(lambda s: change(s, tool="icc-communication")) is None
    assert await world.store.run(lambda s: change(s, tool="icc-communication", stage="trial")) == "trial"


async def test_what_says_nothing_or_too_much_is_refused(world: World) -> None:
    nothing = dict.fromkeys(feedback.WORDS, "")
    with pytest.raises(Refused, match="says nothing"):
        await world.store.run(lambda s: offer(s, tell(s, world.ann, **nothing)))
    with pytest.raises(Refused, match="within"):
        await world.store.run(lambda s: tell(s, world.ann, worked="a" * (feedback.LONGEST_ANSWER + 1)))
    with pytest.raises(Refused, match="not finished"):
        await world.store.run(lambda s: offer(s, tell(s, world.ann, level=None) and _unfinished(s, world.ann)))


def _unfinished(session: Session, author: Member) -> Lesson:
    return feedback.begin(session, author=author.id, network="uj", now=START, rng=random.Random(3))


# Words that name somebody

NAMING = [
    "{code} went well",
    "in ({bare}) we won",
    "case {spaced} was first",
    "see {lower}",
    "ann led it",
    "thanks to Quiet-Heron",
    "thanks to quiet heron, who wrote it",
    "thanks to Brave Otter",
    "as brave_otter and BraveOtter say",
    "brave-otter did it",  # nobody is called so: whether somebody is, is not told
]


@pytest.mark.parametrize("words", NAMING)
@pytest.mark.parametrize("answer", feedback.WORDS)
async def test_words_with_a_handle_or_the_code_of_a_case_are_not_released(
    world: World, words: str, answer: str
) -> None:
    def arrange(session: Session) -> tuple[Lesson, str]:
        enter(session, "quiet-heron", Role.MEMBER)
        case = open_case(session, world.ann, 9)
        bare = case.code.removeprefix("C-")
        said = words.format(code=case.code, bare=bare, spaced=f"C {bare}", lower=case.code.lower())
        return tell(session, world.ann, case, **{answer: said}), said

    lesson, said = await world.store.run(arrange)
    with pytest.raises(Refused, match="names a member's handle") as refused:
        await world.store.run(lambda s: feedback.freeze(s, s.get_one(Lesson, lesson.id), region_of("DE")))
    assert said not in str(refused.value.values)

    def offered(session: Session) -> None:  # as by a program of before, or before somebody came who is called so
        mine = session.get_one(Lesson, lesson.id)
        mine.state, mine.held, mine.seen_forum = LessonState.OFFERED, False, "prosecutor"
        session.add(mine)
        release(session, mine, world.cora)

    with pytest.raises(Refused, match="names a member's handle"):
        await world.store.run(offered)


@pytest.mark.parametrize(
    "words",
    ["Application 12345/20 was filed on 2024-11-20", "it cost a year", "a well-known field", "EU 2020/1998, Art. 15"],
)
async def test_other_words_and_numbers_are_released(world: World, words: str) -> None:
    await world.released(worked=words)


async def test_what_names_a_person_is_released_but_does_not_outlive_its_author(world: World) -> None:
    def arrange(session: Session) -> tuple[bool, bool]:
        naming = release(session, tell(session, world.ann, may_stay=True), world.cora, names_nobody=False)
        other = release(session, tell(session, world.ann, may_stay=True, worked="else"), world.cora)
        return naming.stays, other.stays

    assert await world.store.run(arrange) == (False, True)
    await world.store.run(lambda s: privacy.erase(s, world.ann.id, START))
    assert [each.words["worked"] for each in await world.store.run(lambda s: list(s.scalars(select(Lesson))))] == [
        "else"
    ]


# In conversation


@dataclass
class Desk:
    """A Hub whose bots can be started anew at any time."""

    world: World
    now: datetime = START
    rng: random.Random = field(default_factory=lambda: random.Random(7))

    async def say(
        self, who: str, said: str, *, private: bool = True, direct: bool = False, platform: str = "console"
    ) -> str:
        """Say something to a bot that has just started, a second after what was said before."""
        self.now += timedelta(seconds=1)
        dispatcher = Dispatcher(
            store=self.world.store,
            commands=Commands(FEATURES),
            hub=HUB,
            library=LIBRARY,
            catalogues=CATALOGUES,
            clock=lambda: self.now,
            rng=self.rng,
            pace=Pace(burst=10_000),
        )
        answer = await dispatcher.answer(
            Heard(
                platform=platform,
                address=who,
                bot=f"{platform}:uj",
                network="uj",
                room=f"dm:{who}" if private else "room",
                private=private,
                said=said,
                direct=direct or not private,
            )
        )
        assert answer is not None
        return render(answer.reply, answer.voice)

    async def outbox(self) -> dict[str, str]:
        def pending(session: Session) -> dict[str, str]:
            rows = session.scalars(select(Outbox))
            return {row.key: row.payload.text or "" for row in rows if row.payload}

        return await self.world.store.run(pending)

    async def lesson(self, author: Member) -> Lesson:
        found = await self.world.store.run(lambda s: feedback.of_author(s, author=author.id, network="uj"))
        return found[0]

    async def missed(self, member: Member) -> int:
        return await self.world.store.run(
            lambda s: guess.misses if (guess := s.get(guesses.Guess, (member.id, "uj"))) else 0
        )


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


ANSWERS = [
    "uj-complaint",
    "Public prosecutor",
    "Germany",
    "filed",
    "-",
    "a structural investigation",
    "1",
    "we waited too long",
    "ask first",
    "months",
    "some",
    "changed",
    "hub",
    "no",
]
BETWEEN = ["feedback mine", "case list", "stop", "help", "hours mine"]
PREFIXED = ["me", "find immunity", "help find", "feedback change"]
"""What could be an answer as well (ME is Montenegro): only with a platform's prefix it is certainly a command."""


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(between=st.lists(st.sampled_from([None, *BETWEEN, *PREFIXED]), min_size=len(ANSWERS), max_size=len(ANSWERS)))
async def test_a_form_goes_on_where_it_stopped_whatever_is_said_in_between(
    world: World, between: list[str | None]
) -> None:
    desk = Desk(world)
    await world.store.run(lambda s: execute(s, core(Lesson).delete()))
    await desk.say("ann", "feedback give")
    for answer, said in zip(ANSWERS, between, strict=True):
        if said is not None:
            await desk.say("ann", said, direct=said in PREFIXED)
            desk.now += timedelta(days=30)
            assert "We go on with" in await desk.say("ann", "feedback give")
        await desk.say("ann", answer)
    lesson = await desk.lesson(world.ann)
    facts = (lesson.tool, lesson.forum, lesson.jurisdiction, lesson.stage, lesson.outcome)
    assert facts == ("uj-complaint", "prosecutor", "DE", "filed", "")
    assert lesson.words == {
        "argument": "a structural investigation",
        "failed": "we waited too long",
        "differently": "ask first",
    }
    assert (lesson.duration, lesson.cost, lesson.again, lesson.level, lesson.may_stay) == (
        Duration.MONTHS,
        Cost.SOME,
        Again.CHANGED,
        Level.HUB,
        False,
    )


async def test_a_lesson_begins_with_what_is_known_of_the_case(desk: Desk) -> None:
    def arrange(session: Session) -> str:
        return open_case(session, desk.world.ann, 9, stage="trial", outcome="opened").code

    code = await desk.world.store.run(arrange)
    assert code in await desk.say("ann", "feedback give")
    assert "Which argument" in await desk.say("ann", "1")
    lesson = await desk.lesson(desk.world.ann)
    assert (lesson.forum, lesson.jurisdiction, lesson.stage, lesson.outcome) == ("prosecutor", "DE", "trial", "opened")
    await desk.say("ann", "stop")
    await desk.say("ann", f"feedback give case={code} worked=yes")
    assert (await desk.lesson(desk.world.ann)).id == lesson.id, "one draft for each case and author"


async def test_author_and_counsel_see_what_the_reader_will_see(desk: Desk) -> None:
    world = desk.world
    await world.store.run(lambda s: tell(s, world.ann, failed="In Germany nobody answered."))
    code = (await desk.lesson(world.ann)).code
    await world.store.run(
        lambda s: execute(s, core(Case).update().where(core(Case).c.code != "").values(jurisdiction="FR"))
    )
    preview = await desk.say("ann", f"feedback release {code}")
    assert "Mind that your words name Germany" in preview
    assert "Western Europe" in preview
    assert "waits for counsel" in await desk.say("ann", "yes")
    told = await desk.outbox()
    waits = [payload for key, payload in told.items() if key.startswith("lesson-waits:")]
    assert len(waits) == 2
    assert all(code in each and "answered" not in each and "Europe" not in each for each in waits)

    to_counsel = await desk.say("cora", f"feedback release {code}")
    assert "Released" in await desk.say("cora", "yes")
    shown = await desk.say("bob", f"feedback show {code}")

    def body(said: str) -> str:
        start, end = said.index("Tool: "), said.index("check before relying")
        return said[start:end]

    assert body(preview) == body(to_counsel) == body(shown)
    assert "1000 to 10,000" not in shown, "nobody else told what it cost"
    assert "three members told the same" in shown
    assert "DE" not in shown.replace(code, "")
    assert any(key.startswith("lesson-released:") for key in await desk.outbox())


@pytest.mark.parametrize("person", ["Olena Kovalenko wrote it", "Колега Олена Коваленко допомогла", "дело Ельцова"])
async def test_author_and_counsel_are_told_that_what_names_a_person_does_not_stay(desk: Desk, person: str) -> None:
    world = desk.world
    await world.store.run(lambda s: tell(s, world.ann, worked=person, may_stay=True))
    code = (await desk.lesson(world.ann)).code
    assert "no, because its words name a person" in await desk.say("ann", f"feedback show {code}")
    for who in ("ann", "cora"):
        assert "it goes when its author goes" in await desk.say(who, f"feedback release {code}")
        await desk.say(who, "yes")
    assert person in await desk.say("bob", f"feedback show {code}")
    await desk.say("ann", "privacy erase")
    await desk.say("ann", "yes")
    assert "no lesson" in await desk.say("bob", "feedback browse")
    assert code not in await desk.say("bob", f"find {person}")


async def test_somebody_known_to_all_may_be_named_in_what_stays(desk: Desk) -> None:
    world = desk.world
    await world.store.run(lambda s: tell(s, world.ann, worked="the warrant against Putin helped", may_stay=True))
    code = (await desk.lesson(world.ann)).code
    for who in ("ann", "cora"):
        assert "it goes when" not in await desk.say(who, f"feedback release {code}")
        await desk.say(who, "yes")
    assert (await desk.lesson(world.ann)).stays


async def test_an_author_is_led_to_the_words_that_name_somebody(desk: Desk) -> None:
    world = desk.world
    await world.store.run(lambda s: tell(s, world.ann, worked="bob led it"))
    code = (await desk.lesson(world.ann)).code
    said = await desk.say("ann", f"feedback release {code}")
    assert f"feedback change {code}" in said
    assert "bob" not in said


async def test_readers_are_named_from_where_whoever_reads_it_stands(desk: Desk) -> None:
    world = desk.world
    await world.store.run(lambda s: tell(s, world.ann, level=Level.NETWORK))
    code = (await desk.lesson(world.ann)).code
    assert "Who may read it: my network" in await desk.say("ann", f"feedback show {code}")
    for who in ("ann", "cora"):
        assert "Who may read it: this network." in await desk.say(who, f"feedback release {code}")
        await desk.say(who, "yes")


async def test_whoever_could_decide_is_told_and_nobody_else(desk: Desk) -> None:
    world = desk.world

    def arrange(session: Session) -> str:
        case = open_case(session, world.ann, 9)
        cases.invite(session, Mine(case, Part.LEAD), member=world.carl, part=Part.COCOUNSEL, now=START)
        return tell(session, world.ann, case).code

    code = await world.store.run(arrange)
    await desk.say("ann", f"feedback release {code}")
    await desk.say("ann", "yes")
    told = [key.split(":")[2] for key in await desk.outbox() if key.startswith("lesson-waits:")]
    assert told == [str(world.cora.id)]
    assert "another counsel" in await desk.say("carl", f"feedback release {code}")
    assert "whoever wrote it" in await desk.say("ann", f"feedback release {code} yes")


async def test_counsel_return_a_lesson_with_a_note_that_only_its_author_reads(desk: Desk) -> None:
    world = desk.world
    lesson = await world.store.run(lambda s: offer(s, tell(s, world.ann)))
    await desk.say("cora", f"feedback return {lesson.code} please leave out the wisteria")
    (told,) = [payload for key, payload in (await desk.outbox()).items() if key.startswith("lesson-returned:")]
    assert "wisteria" not in told
    assert "wisteria" in await desk.say("ann", f"feedback show {lesson.code}")
    assert "There is no lesson" in await desk.say("cora", f"feedback release {lesson.code}")


async def test_what_is_unknown_and_what_is_closed_get_the_same_answer(desk: Desk) -> None:
    lesson = await desk.world.store.run(lambda s: tell(s, desk.world.ann))
    unknown = codes.draw(random.Random(99), "L")
    for line in ("show {}", "save {}", "withdraw {}", "give lesson={}", "change {} worked", "release {}"):
        first, second = [await desk.say("bob", f"feedback {line.format(code)}") for code in (lesson.code, unknown)]
        assert first == second
        assert "There is no lesson with that code that you may see." in first
        assert await desk.missed(desk.world.bob) == 2, (line, first)
        await desk.world.store.run(lambda s: execute(s, core(guesses.Guess).delete()))
    for _time in range(guesses.FREE + 2):
        said = await desk.say("bob", f"feedback show {lesson.code}")
    assert "Please wait" in said


async def test_find_lists_lessons_in_private_and_only_public_ones_where_others_read_along(desk: Desk) -> None:
    world = desk.world
    hub = await world.released(argument="heliotrope one")
    public = await world.released(argument="heliotrope two", level=Level.PUBLIC)
    private = await desk.say("bob", "find heliotrope")
    assert hub.code in private
    assert public.code in private
    for where in ({"private": False}, {"platform": "paper"}):
        said = await desk.say("bob", "find heliotrope", **where)
        assert public.code in said
        assert hub.code not in said
        assert public.code in await desk.say("bob", "feedback browse", **where)
        assert hub.code not in await desk.say("bob", "feedback browse", **where)
        assert "may be seen here" in await desk.say("bob", f"feedback show {hub.code}", **where)
        assert "heliotrope two" in await desk.say("bob", f"feedback show {public.code}", **where)
    guest = await desk.say("gus", "find heliotrope")
    assert public.code in guest
    assert hub.code not in guest
    assert "Members learned" not in await desk.say("bob", "find heliotrope kind=statute")


async def test_drafts_are_told_in_private_only(desk: Desk) -> None:
    for where in ({"private": False}, {"platform": "paper"}):
        said = await desk.say("bob", "feedback give worked=heliotrope", **where)
        assert "heliotrope" not in said
        assert "private" in said or "confidential" in said
    assert await desk.world.store.run(lambda s: count(s, Lesson)) == 0


async def test_the_guard_looks_at_every_word(desk: Desk) -> None:
    await desk.say("bob", "feedback give tool=uj-complaint")
    for name in feedback.WORDS:
        said = await desk.say("bob", f'feedback give {name}="the victim\'s phone is +380 67 123 45 67"')
        assert "kept nothing" in said
    assert (await desk.lesson(desk.world.bob)).words == {}


async def test_who_saved_a_lesson_is_told_by_its_code_that_it_was_withdrawn(desk: Desk) -> None:
    lesson = await desk.world.released()
    assert "Saved" in await desk.say("bob", f"feedback save {lesson.code}")
    assert lesson.code in await desk.say("bob", "feedback saved")
    await desk.say("ann", f"feedback withdraw {lesson.code} yes")
    (told,) = [payload for key, payload in (await desk.outbox()).items() if key.startswith("lesson-withdrawn:")]
    assert lesson.code in told
    assert "heliotrope" not in told
    assert lesson.code not in await desk.say("bob", "feedback saved")
    subjects = await desk.world.store.run(
        lambda s: [each.subject for each in s.scalars(select(audit.AuditEntry)) if each.action == "feedback withdraw"]
    )
    assert subjects == [lesson.code]


async def test_who_is_only_a_guest_any_more_loses_drafts_and_can_still_withdraw(desk: Desk) -> None:
    world = desk.world
    released = await world.released()
    await world.store.run(lambda s: tell(s, world.ann, worked="a draft"))
    await world.store.run(lambda s: offer(s, tell(s, world.ann, worked="offered")))
    await world.store.run(lambda s: enter(s, "ada", Role.ADMIN))
    await desk.say("ada", "roles revoke ann member")
    left = await world.store.run(lambda s: feedback.of_author(s, author=world.ann.id, network="uj"))
    assert [each.id for each in left] == [released.id]
    assert "Withdrawn" in await desk.say("ann", f"feedback withdraw {released.code} yes")


async def test_no_word_lies_in_the_database_in_clear(sqlite_store: Store, tmp_path: Path) -> None:
    world = await settle(sqlite_store)
    desk = Desk(world)
    await desk.say("ann", "feedback give tool=uj-complaint worked=quinquagenarians")
    lesson = await desk.lesson(world.ann)
    answers = TOLD._replace(worked=None)._asdict()
    await sqlite_store.run(lambda s: feedback.fill(s, s.get_one(Lesson, lesson.id), Answers(**answers), START))
    await desk.say("ann", f"feedback release {lesson.code}")
    await desk.say("ann", "yes")
    await desk.say("cora", f"feedback return {lesson.code} wisteria")
    await desk.say("ann", f"feedback release {lesson.code}")
    await desk.say("ann", "yes")
    await desk.say("cora", f"feedback release {lesson.code} yes")
    assert lesson.code in await desk.say("bob", "find quinquagenarians")
    await sqlite_store.close()
    written = b"".join(file.read_bytes() for file in sorted(tmp_path.glob("*.db*")))  # noqa: ASYNC240 small files
    assert lesson.code.encode() in written, "what is searched is the right file"
    for planted in ("quinquagenarian", "heliotrope", "heliotrop", "wisteria", "immunity"):
        for coded in (planted.encode(), planted.encode("utf-16-le")):
            assert coded not in written, planted
