"""Cases: the book's rules on both databases, and what people and thieves can learn of a case."""

import asyncio
import json
import random
import re
import sqlite3
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from storage import audit, cases, checkins, guesses, members, privacy
from storage.cases import Case, Left, Mine, Part, What
from storage.members import Member, Role
from storage.refused import Refused
from storage.rhythm import Every
from storage.sealed import Ring, Vault, ring
from storage.store import Session, Store
from tests.transcript import Stage

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
FOLLOWING = {"filed"}
PLANTED = ("heliotrope", "archive-of-lindens", "quinquereme", "vermilion", "9f86d081884c7d659a2feaa0c55ad015")


def enter(session: Session, name: str, *roles: Role, network: str = "uj") -> Member:
    person = members.recognise(
        session, platform="matrix", address=f"@{name}:x", language="en", zone="UTC", rng=random.Random(name), now=NOW
    )
    for role in roles or (Role.MEMBER,):
        members.grant(session, actor=None, member=person, network=network, role=role, now=NOW)
    return person


def who(session: Session, name: str) -> Member:
    account = members.account(session, platform="matrix", address=f"@{name}:x")
    assert account
    return session.get_one(Member, account.member_id)


def open_case(session: Session, name: str, title: str = "Northern file", **facts: str) -> Case:
    return cases.open_case(
        session,
        **{"network": "uj", "tool": "uj-complaint", "stage": "preparing", **facts},
        title=title,
        by=who(session, name).id,
        now=NOW,
        rng=random.Random(title),
    )


def mine(session: Session, name: str) -> Mine:
    (found,) = cases.mine(session, member=who(session, name).id, network="uj")
    return found


def join(session: Session, lead: str, name: str, part: Part = Part.COCOUNSEL) -> None:
    of = mine(session, lead)
    cases.invite(session, of, member=who(session, name), part=part, now=NOW)
    cases.answer_invitation(session, of.case, member=who(session, name).id, yes=True, now=NOW)


@pytest.fixture
async def case(store: Store) -> Store:
    """Ann's case; bob and mara (a mentor) are members beside her, and eve is one of another network."""

    def furnish(session: Session) -> None:
        enter(session, "ann")
        enter(session, "bob")
        enter(session, "mara", Role.MEMBER, Role.MENTOR)
        enter(session, "eve", network="sanctions")
        open_case(session, "ann")

    await store.run(furnish)
    return store


# Who sees it


async def test_a_case_is_its_teams_alone(case: Store) -> None:
    def look(session: Session) -> list[object]:
        code = mine(session, "ann").case.code
        return [
            cases.one_of_mine(session, code, member=who(session, name).id, network=network) is not None
            for name, network in (("ann", "uj"), ("bob", "uj"), ("ann", "sanctions"), ("eve", "uj"))
        ]

    assert await case.run(look) == [True, False, False, False]


async def test_whoever_is_invited_sees_nothing_before_they_say_yes(case: Store) -> None:
    def invite(session: Session) -> list[bool]:
        of = mine(session, "ann")
        bob = who(session, "bob")
        cases.invite(session, of, member=bob, part=Part.RESEARCHER, now=NOW)
        seen = [bool(cases.mine(session, member=bob.id, network="uj"))]
        assert [each.case.code for each in cases.invitations(session, member=bob.id, network="uj")] == [of.case.code]
        cases.answer_invitation(session, of.case, member=bob.id, yes=True, now=NOW)
        return [*seen, bool(cases.mine(session, member=bob.id, network="uj"))]

    assert await case.run(invite) == [False, True]


async def test_a_declined_invitation_is_gone(case: Store) -> None:
    def decline(session: Session) -> None:
        of = mine(session, "ann")
        bob = who(session, "bob")
        cases.invite(session, of, member=bob, part=Part.COCOUNSEL, now=NOW)
        cases.answer_invitation(session, of.case, member=bob.id, yes=False, now=NOW)
        assert not cases.has_interest(session, of.case.id, bob.id)
        cases.answer_invitation(session, of.case, member=bob.id, yes=True, now=NOW)

    with pytest.raises(Refused, match="no invitation"):
        await case.run(decline)


@pytest.mark.parametrize(
    ("name", "part", "why"),
    [
        ("eve", Part.COCOUNSEL, "no member by that handle in this network"),
        ("bob", Part.LEAD, "one lead"),
        ("bob", Part.MENTOR, "no mentor"),
        ("ann", Part.COCOUNSEL, "already"),
    ],
)
async def test_not_everybody_can_be_invited_as_everything(case: Store, name: str, part: Part, why: str) -> None:
    with pytest.raises(Refused, match=why):
        await case.run(lambda s: cases.invite(s, mine(s, "ann"), member=who(s, name), part=part, now=NOW))


@pytest.mark.parametrize("part", [Part.MENTOR, Part.TRANSLATOR, Part.RESEARCHER])
async def test_only_lead_and_cocounsel_change_a_case(case: Store, part: Part) -> None:
    def change(session: Session) -> None:
        join(session, "ann", "mara", part)
        cases.write_note(session, mine(session, "mara"), "mine now")

    with pytest.raises(Refused, match="lead and the co-counsel"):
        await case.run(change)


async def test_counsel_reads_every_case_of_the_network_and_changes_none(case: Store) -> None:
    def read(session: Session) -> None:
        found = cases.for_counsel(session, mine(session, "ann").case.code, network="uj")
        assert found is not None
        assert cases.for_counsel(session, found.case.code, network="sanctions") is None
        cases.close(session, found, by=None, now=NOW)

    with pytest.raises(Refused, match="lead and the co-counsel"):
        await case.run(read)


# What happens to it


async def test_a_stage_must_follow_or_be_the_one_before(case: Store) -> None:
    def move(session: Session, stage: str, following: set[str]) -> None:
        by = who(session, "ann").id
        cases.advance(session, mine(session, "ann"), stage=stage, following=following, by=by, now=NOW)

    await case.run(lambda s: move(s, "filed", {"filed"}))
    with pytest.raises(Refused, match="does not follow"):
        await case.run(lambda s: move(s, "trial", {"investigation-open"}))
    with pytest.raises(Refused, match="already"):
        await case.run(lambda s: move(s, "filed", {"filed"}))
    await case.run(lambda s: move(s, "preparing", {"investigation-open"}))
    assert await case.run(lambda s: mine(s, "ann").case.stage) == "preparing"


async def test_an_outcome_cannot_lie_ahead_and_asks_for_feedback_twice_at_most(case: Store) -> None:
    def note(session: Session, day: date, now: datetime) -> bool:
        by = who(session, "ann").id
        return cases.note_outcome(
            session, mine(session, "ann"), outcome="opened", day=day, today=now.date(), place=None, by=by, now=now
        )

    with pytest.raises(Refused, match="lies ahead"):
        await case.run(lambda s: note(s, NOW.date() + timedelta(days=1), NOW))
    assert await case.run(lambda s: note(s, NOW.date(), NOW)), "once now"
    assert not await case.run(lambda s: note(s, NOW.date(), NOW + timedelta(days=5)))
    assert await case.run(lambda s: cases.feedback_due(s, NOW + timedelta(days=90))) == []
    assert len(await case.run(lambda s: cases.feedback_due(s, NOW + timedelta(days=92)))) == 1, (
        "once three months later"
    )
    assert await case.run(lambda s: cases.feedback_due(s, NOW + timedelta(days=400))) == []
    assert not await case.run(lambda s: note(s, NOW.date(), NOW + timedelta(days=500)))
    assert await case.run(lambda s: cases.feedback_due(s, NOW + timedelta(days=900))) == []


async def test_nobody_is_asked_for_feedback_that_was_given(case: Store) -> None:
    def note(session: Session) -> None:
        by, of = who(session, "ann").id, mine(session, "ann")
        today = NOW.date()
        cases.note_outcome(session, of, outcome="opened", day=today, today=today, place=None, by=by, now=NOW)
        cases.feedback_given(session, of.case.id)

    await case.run(note)
    assert await case.run(lambda s: cases.feedback_due(s, NOW + timedelta(days=400))) == []


async def test_closing_asks_for_feedback_unless_an_outcome_did_or_somebody_told(case: Store) -> None:
    def outcome(session: Session, name: str) -> bool:
        by, today = who(session, name).id, NOW.date()
        return cases.note_outcome(
            session, mine(session, name), outcome="opened", day=today, today=today, place=None, by=by, now=NOW
        )

    def close(session: Session, name: str) -> bool:
        return cases.close(session, mine(session, name), by=who(session, name).id, now=NOW)

    assert await case.run(lambda s: outcome(s, "ann"))
    assert not await case.run(lambda s: close(s, "ann")), "the outcome asked"
    assert len(await case.run(lambda s: cases.feedback_due(s, NOW + timedelta(days=92)))) == 1, "the second and last"

    await case.run(lambda s: open_case(s, "bob", "without an outcome"))
    assert await case.run(lambda s: close(s, "bob"))
    assert len(await case.run(lambda s: cases.feedback_due(s, NOW + timedelta(days=92)))) == 1

    await case.run(lambda s: open_case(s, "mara", "told before"))
    await case.run(lambda s: cases.feedback_given(s, mine(s, "mara").case.id))
    assert not await case.run(lambda s: outcome(s, "mara"))
    assert not await case.run(lambda s: close(s, "mara"))
    assert await case.run(lambda s: cases.feedback_due(s, NOW + timedelta(days=92))) == []


async def test_a_closed_case_can_be_read_and_not_changed(case: Store) -> None:
    def close(session: Session) -> None:
        cases.close(session, mine(session, "ann"), by=who(session, "ann").id, now=NOW)

    await case.run(close)

    def change(session: Session) -> None:
        (found,) = cases.mine(session, member=who(session, "ann").id, network="uj", closed=True)
        assert [each.what for each in cases.history(session, found.case)] == [What.OPENED, What.CLOSED]
        cases.write_note(session, found, "more")

    with pytest.raises(Refused, match="is closed"):
        await case.run(change)


@pytest.mark.parametrize("checksum", ["123", "g" * 64, "a" * 63])
async def test_a_fingerprint_is_a_sha256_or_none(case: Store, checksum: str) -> None:
    with pytest.raises(Refused, match="64 hexadecimal"):
        await case.run(
            lambda s: cases.add_record(s, mine(s, "ann"), place="box 12", sha256=checksum, by=who(s, "ann").id, now=NOW)
        )


async def test_counts_tell_how_many_and_nothing_else(case: Store) -> None:
    def count(session: Session) -> list[tuple[str, str, int]]:
        open_case(session, "bob", "another")
        open_case(session, "bob", "a third", tool="strasbourg-application")
        of = next(each for each in cases.mine(session, member=who(session, "bob").id, network="uj"))
        cases.close(session, of, by=None, now=NOW)
        return sorted(tuple(each) for each in cases.counts(session, "uj"))

    found = await case.run(count)
    assert sum(n for _tool, _stage, n in found) == 2


# Who goes


async def leave(store: Store, name: str) -> list[Left]:
    return await store.run(lambda s: cases.leave(s, person=who(s, name).id, network=None, now=NOW))


async def test_a_lead_who_goes_hands_the_case_to_the_cocounsel(case: Store) -> None:
    await case.run(lambda s: join(s, "ann", "mara", Part.RESEARCHER))
    await case.run(lambda s: join(s, "ann", "bob"))
    (left,) = await leave(case, "ann")
    assert left.heir is not None
    assert left.heir.id == await case.run(lambda s: who(s, "bob").id)
    assert await case.run(lambda s: mine(s, "bob").part) is Part.LEAD
    assert not left.closed


async def test_a_case_that_nobody_is_left_to_lead_is_closed_and_its_mentor_can_read_it_on(case: Store) -> None:
    await case.run(lambda s: join(s, "ann", "mara", Part.MENTOR))
    (left,) = await leave(case, "ann")
    assert (left.closed, left.forgotten) == (True, False)

    def read(session: Session) -> str | None:
        (found,) = cases.mine(session, member=who(session, "mara").id, network="uj", closed=True)
        return found.case.title.text

    assert await case.run(read) == "Northern file"


async def test_a_case_that_has_no_team_at_all_is_forgotten(case: Store) -> None:
    (left,) = await leave(case, "ann")
    assert (left.closed, left.forgotten) == (True, True)

    assert await case.run(lambda s: cases.for_counsel(s, left.case.code, network="uj")) is None


async def test_whoever_has_left_gets_nothing_more_of_the_case_in_an_export_nor_in_questions(case: Store) -> None:
    def leave_and_ask(session: Session) -> tuple[object, UUID, UUID]:
        join(session, "ann", "bob")
        ann, bob = who(session, "ann"), who(session, "bob")
        of = mine(session, "ann")
        checkins.set_rhythm(session, of.case, member=ann, every=Every.WEEK, weekday=1, minute=600, now=NOW)
        left = cases.leave_team(session, of, member=ann.id, now=NOW)
        checkins.stay_in_team(session, left.case, cases.team(session, left.case))
        rhythm = checkins.rhythm_of(session, left.case)
        assert rhythm is not None
        return privacy.export(session, ann.id).get("case"), rhythm.member_id, bob.id

    exported, asked, bob = await case.run(leave_and_ask)
    assert exported is None
    assert asked == bob


class Collision(Exception):  # noqa: N818 - named for what happened
    """Another transaction was in the way, as PostgreSQL says it."""

    sqlstate = "40001"


async def test_a_case_is_forgotten_only_with_what_says_that_it_is(case: Store) -> None:
    tries = []

    def leave_among_others(session: Session) -> str | None:
        of = mine(session, "ann")
        title = of.case.title.text
        cases.leave_team(session, of, member=who(session, "ann").id, now=NOW)
        tries.append(title)
        if len(tries) == 1:
            raise OperationalError("COMMIT", None, Collision())
        return title

    assert await case.run(leave_among_others) == "Northern file"
    assert len(tries) == 2

    def read(session: Session) -> list[tuple[str | None, bool]]:
        return [(each.title.text, each.closed_at is not None) for each in session.scalars(select(Case))]

    assert await case.run(read) == [(None, True)]


async def test_who_cannot_leave_a_case_has_not_lost_it(case: Store) -> None:
    def die(session: Session) -> None:
        cases.leave_team(session, mine(session, "ann"), member=who(session, "ann").id, now=NOW)
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await case.run(die)
    assert await case.run(lambda s: mine(s, "ann").case.title.text) == "Northern file"


async def test_a_key_that_could_not_be_destroyed_at_once_is_destroyed_later(
    case: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: object) -> bool:
        raise OperationalError("DELETE", None, Exception("the key store is away"))

    case_id = await case.run(lambda s: mine(s, "ann").case.id)
    with monkeypatch.context() as down:
        down.setattr(Ring, "erase", away)
        (left,) = await leave(case, "ann")
    assert left.forgotten
    assert not await case.run(lambda _session: ring().erased(case_id))

    await case.run(lambda s: privacy.shred(s, NOW + timedelta(minutes=6)))
    assert await case.run(lambda _session: ring().erased(case_id))
    assert await case.run(lambda s: s.get_one(Case, case_id).title.text) is None


async def test_a_case_that_has_lost_its_key_does_not_stay_open_with_a_team_that_cannot_see_it(case: Store) -> None:
    def lose(session: Session) -> None:
        ring().erase(mine(session, "ann").case.id, NOW)

    await case.run(lose)
    (left,) = await case.run(lambda s: cases.tidy(s, NOW))
    assert (left.closed, left.forgotten) == (True, True)
    assert await case.run(lambda s: cases.team(s, left.case)) == []
    assert await case.run(lambda s: cases.tidy(s, NOW)) == []


async def test_an_invitation_makes_nobody_an_heir(case: Store) -> None:
    await case.run(lambda s: cases.invite(s, mine(s, "ann"), member=who(s, "bob"), part=Part.COCOUNSEL, now=NOW))
    (left,) = await leave(case, "ann")
    assert left.heir is None
    assert left.forgotten


async def test_erasing_a_person_leaves_the_case_to_the_team_without_their_name(case: Store) -> None:
    await case.run(lambda s: join(s, "ann", "bob"))
    assert (await case.run(lambda s: privacy.export(s, who(s, "ann").id)))["case"]
    await leave(case, "ann")

    def erase(session: Session) -> UUID:
        ann = who(session, "ann")
        assert privacy.erase(session, ann.id, NOW).failed == []
        return ann.id

    ann = await case.run(erase)

    def read(session: Session) -> object:
        found = mine(session, "bob")
        assert found.case.title.text == "Northern file"
        assert found.case.opened_by is None
        assert all(each.by != ann for each in cases.history(session, found.case))
        return privacy.export(session, ann)

    assert set(await case.run(read)) <= {"audit_entry"}


async def test_a_backup_that_brings_a_lead_back_leaves_no_case_without_one(case: Store) -> None:
    def gone(session: Session) -> list[Left]:
        join(session, "ann", "bob")
        privacy.erase(session, who(session, "ann").id, NOW)  # as `replay` does, without a farewell
        return cases.tidy(session, NOW)

    (left,) = await case.run(gone)
    assert left.heir is not None
    assert await case.run(lambda s: cases.tidy(s, NOW)) == []


async def test_three_years_after_its_end_a_case_is_gone_and_its_words_with_it(case: Store) -> None:
    def close(session: Session) -> UUID:
        of = mine(session, "ann")
        cases.close(session, of, by=None, now=NOW)
        return of.case.id

    case_id = await case.run(close)
    assert "case" not in await case.run(lambda s: privacy.sweep(s, NOW + timedelta(days=1000)))
    assert (await case.run(lambda s: privacy.sweep(s, NOW + timedelta(days=1100))))["case"] == 1

    assert await case.run(lambda _session: ring().erased(case_id))


# What its team sees and does


async def test_notes_of_stages_and_pointers_of_outcomes_are_shown_to_those_who_may_read_the_case(stage: Stage) -> None:
    code = code_in(stage)
    await stage.cast("cora", "counsel", "en", "Europe/Kyiv")
    await stage.say("ann", f'case stage {code} filed note="the lighthouse"')
    await stage.say("ann", f'case outcome {code} opened yesterday where="vault seven"')
    for name in ("ann", "cora"):
        await stage.say(name, f"case history {code}")
        assert "Filed: the lighthouse" in last(stage, name)
        assert "vault seven" in last(stage, name)
        await stage.say(name, f"case show {code}")
        assert "Its record: vault seven" in last(stage, name)
    await stage.say("bob", f"case history {code}")
    assert "no case with that code" in last(stage, "bob")


async def test_days_are_those_on_the_readers_wall(stage: Stage) -> None:
    stage.now = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)
    await stage.say("ann", 'case open uj-complaint title="late" forum=prosecutor jurisdiction=DE')
    late = re.findall(r"C-[0-9A-Z]{6}", last(stage, "ann"))[0]
    for line in (
        f"case stage {late} filed",
        f"case outcome {late} opened today",
        f"case record {late} where=box",
        f"case checkin {late} yes filed nothing -",
        f"case history {late}",
    ):
        await stage.say("ann", line)
    assert "Nov 20" not in last(stage, "ann")
    assert last(stage, "ann").index("opened") < last(stage, "ann").index("Filed"), "in the order in which it was said"
    await stage.say("ann", f"case close {late} sure=yes")
    await stage.say("ann", f"case show {late}")
    assert last(stage, "ann").count("Nov 21") == 3, "the outcome, the record and the closing"
    assert "Nov 20" not in last(stage, "ann")


async def join_in(stage: Stage, name: str, part: str) -> str:
    code = code_in(stage)
    await stage.say("ann", f"case invite {code} {name} part={part}")
    await stage.say(name, f"case join {code}")
    return code


async def test_an_invitation_is_found_however_its_code_is_typed(stage: Stage) -> None:
    code = code_in(stage)
    await stage.say("ann", f"case invite {code} bob part=cocounsel")
    await stage.say("bob", f"case join {code.removeprefix('C-').lower()}")
    await stage.say("bob", f"case team {code}")
    assert "lead" in last(stage, "bob")


async def test_whoever_may_not_move_the_case_keeps_the_answer_that_names_another_stage(stage: Stage) -> None:
    code = await join_in(stage, "bob", "researcher")
    await stage.say("bob", f'case checkin {code} yes filed nothing "the registry is slow"')
    assert "Thank you" in last(stage, "bob")
    assert "“In preparation” as before" in last(stage, "bob")
    await stage.say("ann", f"case history {code}")
    assert "the registry is slow" in last(stage, "ann")
    await stage.say("ann", f"case show {code}")
    assert "Stage: In preparation" in last(stage, "ann")


async def test_what_an_answer_said_before_is_shown_to_the_lead_and_whoever_said_it(stage: Stage) -> None:
    code = await join_in(stage, "bob", "researcher")
    await stage.cast("cora", "counsel", "en", "Europe/Kyiv")
    await stage.say("bob", f'case checkin {code} yes preparing nothing "heliograph"')
    checkin = re.findall(r"CI-[0-9A-Z]{7}", last(stage, "bob"))[0]
    await stage.say("ann", f'case amend {checkin} blocked="semaphore"')
    for name, sees in (("ann", True), ("bob", True), ("cora", False)):
        await stage.say(name, f"case history {code}")
        assert "semaphore" in last(stage, name)
        assert "put right" in last(stage, name)
        assert ("heliograph" in last(stage, name)) is sees


async def test_putting_the_stage_of_an_answer_right_says_where_the_case_stands_and_offers_to_move_it(
    stage: Stage,
) -> None:
    code = code_in(stage)
    await stage.say("ann", f"case checkin {code} yes preparing nothing -")
    checkin = re.findall(r"CI-[0-9A-Z]{7}", last(stage, "ann"))[0]
    await stage.say("ann", f"case amend {checkin} stage=filed")
    assert "The case itself stands at “In preparation” as before." in last(stage, "ann")
    assert f"case stage case={code} stage=filed" in last(stage, "ann")
    await stage.say("ann", "1")
    assert "stands at “Filed” now" in last(stage, "ann")
    await stage.say("ann", f"case amend {checkin} stage=objection-filed")
    assert "is not on the list" in last(stage, "ann"), "that is another tool's stage"


async def test_only_whoever_may_pause_a_case_may_put_its_question_off(stage: Stage) -> None:
    code = await join_in(stage, "bob", "translator")
    await stage.say("ann", f'case cadence {code} week at="Tue 10:00"')
    await stage.later(timedelta(days=4))
    for line in (f"case snooze {code} tomorrow", f"case pause {code} 2027-01-10"):
        await stage.say("bob", line)
        assert "Only the lead and the co-counsel" in last(stage, "bob")
    await stage.say("ann", f"case snooze {code} tomorrow")
    assert "I ask again" in last(stage, "ann")


async def test_those_who_are_left_hear_that_their_case_was_closed(stage: Stage) -> None:
    await stage.cast("mara", "mentor", "en", "Europe/Kyiv")
    code = await join_in(stage, "mara", "mentor")
    await stage.say("ann", f"case invite {code} bob")
    heard = len(stage.lines)
    await stage.say("ann", f"case leave {code} sure=yes")
    assert f"{code} is closed" in last(stage, "mara")
    assert not any(line.startswith("bot to bob>") for line in stage.lines[heard:]), "who has not joined sees nothing"


@pytest.mark.parametrize(
    ("need", "offered"),
    [
        ("mentor", ["hours book topic="]),
        ("translation", ["ask put question="]),
        ("security", ["find words=", "hours book topic="]),
        ("funds", ["find words=", "ask put question="]),
    ],
)
async def test_every_need_offers_a_command_prefilled_in_the_readers_language(
    stage: Stage, need: str, offered: list[str]
) -> None:
    await stage.cast("olha", "member", "uk", "Europe/Kyiv")
    await stage.say("olha", 'case open uj-complaint title="one" forum=prosecutor jurisdiction=DE')
    code = re.findall(r"C-[0-9A-Z]{6}", last(stage, "olha"))[0]
    await stage.say("olha", f"case checkin {code} yes preparing {need} -")
    for line in offered:
        (button,) = [each for each in last(stage, "olha").splitlines() if line in each]
        label, _, call = button.partition(" — ")
        assert not re.search(r"[a-z]", label)
        assert not re.search(r"[a-z]", call.partition("=")[2])


# What can be learned by trying


@pytest.fixture
async def stage(store: Store) -> Stage:
    stage = Stage(store)
    for name, role in (("ann", "member"), ("bob", "member"), ("cleo", "coordinator")):
        await stage.cast(name, role, "en", "Europe/Kyiv")
    await stage.say("ann", 'case open uj-complaint title="heliotrope" forum=prosecutor jurisdiction=DE')
    return stage


def last(stage: Stage, who: str) -> str:
    """What the bot said to somebody last."""
    starts = [number for number, line in enumerate(stage.lines) if line.startswith(f"bot to {who}>")]
    end = next((n for n in range(starts[-1] + 1, len(stage.lines)) if not stage.lines[n].startswith("    ")), None)
    return "\n".join(stage.lines[starts[-1] : end])


def code_in(stage: Stage) -> str:
    found = re.search(r"C-[0-9A-Z]{6}", "\n".join(stage.lines))
    assert found
    return found[0]


async def test_a_thousand_guesses_learn_nothing_are_slowed_and_stand_in_the_audit(stage: Stage) -> None:
    real, rng = code_in(stage), random.Random(1)
    answers: dict[str, list[str]] = {"real": [], "none": []}
    for number in range(1000):
        kind = rng.choice(["real", "none"])
        guess = real if kind == "real" else f"C-{rng.randrange(10**6):06}"
        await stage.say("bob", f"{rng.choice(['case show', 'case stage', 'case team', 'case history'])} {guess}")
        said = re.sub(r"wait (an? )?[\w ]+,", "wait …,", last(stage, "bob").splitlines()[0])
        answers[kind].append(said)
        stage.now += timedelta(milliseconds=200)
        if number == guesses.FREE - 1:
            assert "Please wait" not in said
    assert set(answers["real"][10:]) == set(answers["none"][10:]) == {answers["none"][-1]}
    assert "Please wait" in answers["none"][-1]

    def audited(session: Session) -> int:
        entries = audit.recent(session, "uj", 2000)
        assert all(each.subject is None for each in entries if each.action == "code guessed")
        return sum(each.action == "code guessed" for each in entries)

    assert await stage.store.run(audited) == 1000
    assert any("bob has named 20 codes" in line for line in stage.lines)
    assert await stage.store.run(audit.verify) is None


async def test_ones_own_case_is_found_however_often_one_has_guessed(stage: Stage) -> None:
    for _ in range(30):
        await stage.say("ann", "case show C-000000")
    await stage.say("ann", f"case show {code_in(stage)}")
    assert "heliotrope" in last(stage, "ann")


async def test_a_case_that_is_named_in_a_room_is_neither_shown_there_nor_opened(stage: Stage) -> None:
    for line in (f"case show {code_in(stage)}", 'case open uj-complaint title="vermilion"'):
        await stage.say("ann", line, in_room=True, direct=True)
        assert last(stage, "ann").startswith("bot to ann> Please say that to me in private")
    await stage.say("ann", "case list", in_room=True, direct=True)
    assert "heliotrope" in last(stage, "ann")
    assert "vermilion" not in last(stage, "ann")


# What a thief finds


async def test_no_word_of_a_case_stands_in_clear_in_any_file_backup_log_or_message(
    sqlite_store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(sqlite_store)
    for name, role in (("ann", "member"), ("bob", "member"), ("cleo", "coordinator")):
        await stage.cast(name, role, "en", "Europe/Kyiv")
    await stage.say("ann", f'case open uj-complaint title="{PLANTED[0]}" forum=prosecutor jurisdiction=DE')
    code = code_in(stage)
    for line in (
        f"case record {code} where={PLANTED[1]} checksum={PLANTED[4] * 2}",
        f"case note {code} {PLANTED[2]}",
        f"case stage {code} filed note={PLANTED[2]}",
        f"case outcome {code} opened today where={PLANTED[1]}",
        f"case cadence {code} week",
        f'case checkin {code} moved=yes stage=filed blocked="{PLANTED[3]}" need=funds',
        f"case invite {code} bob",
        f"case show {code}",
        f"case history {code}",
        f'case open uj-complaint title="{PLANTED[0]}" forum=prosecutor',  # half-filled, in the open form
    ):
        await stage.say("ann", line)
    assert all(word in "\n".join(stage.lines) for word in PLANTED), "they are there"
    for _ in range(8):
        stage.now += timedelta(days=1)
        await stage.later(timedelta(minutes=10))
    with sqlite3.connect(tmp_path / "hub.db") as source, sqlite3.connect(tmp_path / "backup.db") as target:
        source.backup(target)
    files = [path for path in tmp_path.iterdir() if path.is_file()]  # noqa: ASYNC240 a test may wait
    assert {"hub.db", "keys.db", "backup.db"} <= {path.name for path in files}
    logged = "".join(capfd.readouterr())
    for word in PLANTED:
        assert word not in logged
        for path in files:
            assert word.encode() not in path.read_bytes(), path.name
            assert word.encode("utf-16-le") not in path.read_bytes(), path.name
    digest = "\n".join(stage.lines).partition("bot in coordinators>")[2]
    assert digest, "the digest came"
    assert not any(word in digest for word in PLANTED)


# What is killed half-way


FORM = [
    "case open",
    "1",
    "1",
    "Germany",
    "Northern file",
    "case cadence",
    "1",
    "1",
    "checkin",
    "1",
    "yes",
    "1",
    "5",
    "-",
]


@pytest.mark.parametrize("seed", range(2))
async def test_kill_9_in_the_middle_of_a_form_loses_no_answer_and_makes_nothing_twice(
    templates: dict[str, bytes], tmp_path: Path, seed: int
) -> None:
    for name, content in templates.items():
        (tmp_path / name).write_bytes(content)
    store = _open(tmp_path)
    await Stage(store).cast("ann", "member", "en", "Europe/Kyiv")
    await store.close()
    rng, kills = random.Random(seed), 0
    desk = await _desk(tmp_path)
    for number, said in enumerate(FORM):
        while True:
            line = json.dumps({"who": "ann", "said": said, "key": f"$event{number}"}) + "\n"
            assert desk.stdin
            assert desk.stdout
            desk.stdin.write(line.encode())
            if rng.random() < 0.3 and kills < len(FORM):
                kills += 1
                await asyncio.sleep(rng.uniform(0, 0.03))
                desk.kill()
                await desk.wait()
                desk = await _desk(tmp_path)
                continue  # the platform says again what was not answered
            answer = await asyncio.wait_for(desk.stdout.readline(), 20)
            assert b"went wrong" not in answer
            assert b"I do not know" not in answer
            break
    desk.kill()
    await desk.wait()
    assert kills
    store = _open(tmp_path)

    def judge(session: Session) -> None:
        account = members.account(session, platform="console", address="ann")
        assert account
        (found,) = cases.mine(session, member=account.member_id, network="uj")
        assert (found.case.title.text, found.case.jurisdiction) == ("Northern file", "DE")
        assert checkins.rhythm_of(session, found.case) is not None
        (told,) = checkins.history(session, found.case)
        assert told.answers == checkins.Answers(True, "preparing", None, checkins.Need.FUNDS)
        assert told.versions == 1

    await store.run(judge)
    await store.close()


def _open(folder: Path) -> Store:
    return Store(f"sqlite:///{folder}/hub.db", vault=Vault(f"sqlite:///{folder}/keys.db", bytes(range(32))))


async def _desk(folder: Path) -> asyncio.subprocess.Process:
    script = Path(__file__).parent / "fakes" / "mortal_desk.py"
    desk = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(folder), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert desk.stdout
    assert await desk.stdout.readline() == b"ready\n"
    return desk


async def test_a_form_that_was_left_for_a_month_is_gone_and_nothing_was_opened(stage: Stage) -> None:
    await stage.say("bob", "case open uj-complaint")
    stage.now += timedelta(days=31)
    await stage.later(timedelta(minutes=10))
    await stage.say("bob", "Northern file")
    assert "I do not know" in last(stage, "bob")
    await stage.say("bob", "case list")
    assert "no open case" in last(stage, "bob")


async def test_a_question_waits_for_a_homeserver_that_is_down_and_comes_once(stage: Stage) -> None:
    code = code_in(stage)
    await stage.say("ann", f'case cadence {code} week at="Tue 10:00"')
    deliver: Callable[..., object] = stage.deliver
    failures = 0

    async def down(*_parcel: object) -> str:
        nonlocal failures
        from bots.bot import Undelivered

        failures += 1
        raise Undelivered("no answer", permanent=False)

    stage.deliver = down  # type: ignore[method-assign,assignment]
    await stage.later(timedelta(days=4))
    assert failures > 1
    stage.deliver = deliver  # type: ignore[method-assign,assignment]
    await stage.later(timedelta(hours=6))
    assert sum(line.startswith(f"bot to ann> How does {code} go?") for line in stage.lines) == 1


async def test_a_code_name_is_nobodys_name_and_two_values_tell_nothing_together(sqlite_store: Store) -> None:
    stage = Stage(sqlite_store)
    await stage.cast("ann", "member", "en", "UTC")
    line = "case open tool=uj-complaint forum=prosecutor jurisdiction=DE"
    for rest, why in (
        ('title="Olena Kovalenko"', "names somebody"),
        ("title=Олена", "names somebody"),
        ('title="Northern file" note="call Olena Kovalenko, then\nthe victim comes"', "kept nothing"),
    ):
        before = len(stage.lines)
        await stage.say("ann", f"{line} {rest}")
        told = "\n".join(stage.lines[before:])
        assert why in told
        assert "Opened" not in told
        await stage.say("ann", "stop")
    await stage.say("ann", f'{line} title="Northern file" note="ring back"')
    assert any("Opened: C-" in each for each in stage.lines)


async def test_a_name_in_one_value_and_a_victim_in_another_are_stopped(sqlite_store: Store) -> None:
    stage = Stage(sqlite_store)
    await stage.cast("ann", "member", "en", "UTC")
    await stage.say("ann", 'feedback give tool=uj-complaint argument="the victim was a nurse" worked="Olena Kovalenko"')
    assert "kept nothing" in "\n".join(stage.lines)
