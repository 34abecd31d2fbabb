"""The dispatcher: everything heard is answered once, in one transaction, and nobody gets more than their role."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from bots.console import render
from bots.log import set_up
from commands import FEATURES
from commands.core import Context, Feature, Reply, Text, Words, _
from commands.core.dispatch import Dispatcher, Heard, Said
from commands.core.feature import Commands
from commands.core.kinds import Unreadable
from commands.core.pace import Pace
from commands.core.post import Envelope, Hub, Network
from commands.core.reply import pack
from commands.core.strings import Catalogues
from commands.core.text import Voice
from knowledge.library import Library
from storage import ask, audit, cases, checkins, feedback, forms, inbox, library, members, office_hours, privacy
from storage.cases import Mine, Part
from storage.checkins import Answers, Need
from storage.members import Member, Role
from storage.outbox import Outbox
from storage.refused import Refused
from storage.store import Session, Store

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
CATALOGUES = Catalogues.load()
LIBRARY = Library.load()
HUB = Hub(
    {
        "uj": Network("uj", "Universal jurisdiction", "en", "Europe/Kyiv"),
        "sanctions": Network("sanctions", "Sanctions", "en", "Europe/Kyiv", off=frozenset({"digest"})),
    },
    platforms=("console", "matrix"),
)

probe = Feature("probe", Text("Commands that only these tests have"))


@probe.command(audited=True)
def refused(ctx: Context, words: Words) -> Reply:
    """Write, then refuse.

    words: Any words.
    """
    ctx.tell(ctx.actor, Reply(_("{words}", words=words)), network=ctx.network, key="probe:refused")
    members.set_language(ctx.session, ctx.actor, "uk")
    ctx.session.flush()
    raise Refused("A day has 24 hours.")


@probe.command(audited=True)
def broken(ctx: Context, words: Words) -> Reply:
    """Write, then fail.

    words: Any words.
    """
    ctx.tell(ctx.actor, Reply(_("{words}", words=words)), network=ctx.network, key="probe:broken")
    members.set_language(ctx.session, ctx.actor, "uk")
    ctx.session.flush()
    raise RuntimeError(f"this message quotes {words}")


COMMANDS = Commands((*FEATURES, probe))


@dataclass
class Desk:
    """A dispatcher on a store, with a clock that the test sets."""

    store: Store
    now: datetime = NOW
    pace: Pace = field(default_factory=lambda: Pace(burst=100_000))

    def __post_init__(self) -> None:
        self.dispatcher = self.open()

    def open(self) -> Dispatcher:
        return Dispatcher(
            store=self.store,
            commands=COMMANDS,
            hub=HUB,
            library=LIBRARY,
            catalogues=CATALOGUES,
            clock=lambda: self.now,
            rng=Random(7),
            pace=self.pace,
        )

    async def cast(self, name: str, *roles: Role, network: str = "uj", language: str = "en") -> None:
        def enter(session: Session) -> None:
            member = members.recognise(
                session,
                platform="console",
                address=name,
                language=language,
                zone="Europe/Kyiv",
                rng=Random(name),
                now=self.now,
            )
            member.handle = name
            session.add(member)
            for role in roles:
                members.grant(session, actor=None, member=member, network=network, role=role, now=self.now)

        await self.store.run(enter)

    async def hear(self, who: str, said: str, **facts: Any) -> Said | None:
        private = facts.pop("private", True)
        network = facts.pop("network", "uj")
        heard: dict[str, Any] = {
            "platform": "console",
            "address": who,
            "bot": f"console:{network}",
            "network": network,
            "room": f"dm:{who}" if private else "room",
            "private": private,
            "said": said,
            "direct": not private,
        }
        return await self.dispatcher.answer(Heard(**{**heard, **facts}))

    async def words(self, who: str, said: str, **facts: Any) -> str:
        answer = await self.hear(who, said, **facts)
        assert answer is not None
        return render(answer.reply, answer.voice)

    async def rows(self) -> dict[str, Outbox]:
        found = await self.store.run(lambda session: list(session.exec(select(Outbox))))
        return {row.key: row for row in found}


@pytest.fixture
async def desk(store: Store) -> Desk:
    desk = Desk(store)
    await desk.cast("ann", Role.MEMBER)
    await desk.cast("mara", Role.MENTOR)
    await desk.cast("gus")
    return desk


def language_of(name: str) -> Callable[[Session], str]:
    def look(session: Session) -> str:
        found = members.by_handle(session, name)
        assert found is not None
        return found.language

    return look


# Once


async def test_a_heard_key_is_answered_exactly_once(desk: Desk) -> None:
    first = await desk.hear("ann", "me language uk", key="$event")
    before = await desk.rows()
    assert first is not None
    assert set(before) == {"reply:console:uj:$event"}
    payload = before["reply:console:uj:$event"].payload
    assert payload is not None
    assert Envelope.unpack(payload.text or "").reply == first.reply
    await desk.hear("ann", "me language en", key="$other")
    assert await desk.hear("ann", "me language uk", key="$event") is None
    assert set(await desk.rows()) == {*before, "reply:console:uj:$other"}
    assert await desk.store.run(language_of("ann")) == "en"


async def test_what_two_processes_hear_at_once_one_of_them_answers(desk: Desk) -> None:
    desks = [desk.open() for _process in range(4)]
    heard = Heard("console", "ann", "console:uj", "uj", "dm:ann", private=True, said="me quiet 22-8", key="$event")
    answers = await asyncio.gather(*(each.answer(heard) for each in desks))
    assert len([answer for answer in answers if answer is not None]) == 1
    assert set(await desk.rows()) == {"reply:console:uj:$event"}


async def test_a_refusal_is_an_answer_too(desk: Desk) -> None:
    assert await desk.hear("gus", "hours open", key="$event") is not None
    assert await desk.hear("gus", "hours open", key="$event") is None
    assert await desk.store.run(lambda session: inbox.is_done(session, "console:uj", "$event"))


async def test_what_is_not_for_us_is_done_and_has_no_answer(desk: Desk) -> None:
    assert await desk.hear("ann", "good morning", private=False, direct=False, key="$talk") is None
    assert await desk.rows() == {}
    assert await desk.store.run(lambda session: inbox.is_done(session, "console:uj", "$talk"))


# All or nothing


async def test_a_refusal_after_writing_leaves_nothing_written_but_the_refusal(desk: Desk) -> None:
    assert await desk.words("ann", "probe refused some words", key="$event") == "A day has 24 hours."
    assert set(await desk.rows()) == {"reply:console:uj:$event"}
    assert await desk.store.run(language_of("ann")) == "en"
    assert await desk.store.run(lambda session: audit.recent(session, "uj")) == []


async def test_a_failure_gives_a_code_and_the_log_has_no_words(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    set_up(format_="json")
    try:
        said = await desk.words("ann", "probe broken a heliotrope, 44 000", key="$event")
    finally:
        structlog.reset_defaults()
    logged = capsys.readouterr().err
    entry = json.loads(logged.splitlines()[-1])
    assert entry["incident"] in said
    assert entry["error"] == "RuntimeError"
    assert any(frame.endswith(" broken") for frame in entry["trace"])
    assert not any(word in logged for word in ("heliotrope", "44 000", "ann"))
    assert set(await desk.rows()) == {"reply:console:uj:$event"}
    assert await desk.store.run(language_of("ann")) == "en"
    assert await desk.store.run(lambda session: audit.recent(session, "uj")) == []


async def test_an_audited_command_leaves_one_entry_without_words(desk: Desk) -> None:
    await desk.hear("mara", "hours offer Tue 16:00-18:00 topics=a secret topic")
    (entry,) = await desk.store.run(lambda session: audit.recent(session, "uj"))
    assert (entry.action, entry.network) == ("hours offer", "uj")
    assert "secret" not in str(entry.model_dump())


# Questions


async def test_an_open_question_survives_a_restart(desk: Desk) -> None:
    assert "Which language" in await desk.words("ann", "me language")
    desk.dispatcher = desk.open()
    assert "українською" in await desk.words("ann", "3")
    assert "застаріло" in await desk.words("ann", "3")


async def test_a_question_asked_in_private_is_not_answered_by_a_word_in_a_room(desk: Desk) -> None:
    await desk.hear("ann", "me language")
    assert await desk.hear("ann", "3", private=False, direct=False) is None
    assert "українською" in await desk.words("ann", "3")


async def test_one_persons_question_is_not_answered_by_another(desk: Desk) -> None:
    await desk.hear("ann", "find", private=False)
    assert await desk.hear("mara", "torture", private=False, direct=False) is None
    answer = await desk.hear("ann", "torture", private=False, direct=False)
    assert answer is not None


async def test_talk_in_a_room_is_left_alone_while_a_list_of_choices_stands(desk: Desk) -> None:
    await desk.hear("mara", "hours offer Tue 16:00-18:00")
    await desk.hear("ann", "hours open", private=False)
    assert await desk.hear("ann", "good morning everybody", private=False, direct=False) is None
    assert await desk.hear("ann", "99", private=False, direct=False) is None


async def test_a_number_in_a_room_is_an_answer_for_an_hour(desk: Desk) -> None:
    await desk.hear("mara", "hours offer Tue 16:00-18:00")
    await desk.hear("ann", "hours open", private=False)
    desk.now += timedelta(hours=2)
    assert await desk.hear("ann", "2", private=False, direct=False) is None
    await desk.hear("ann", "hours open", private=False)
    assert "Booked" in await desk.words("ann", "2", private=False, direct=False)


async def test_a_number_whose_question_is_gone_says_so_and_how_to_begin_anew(desk: Desk) -> None:
    await desk.hear("ann", "me language")
    desk.now += timedelta(days=31)
    await desk.store.run(lambda session: privacy.sweep(session, desk.now) and None)
    for where in (True, False):
        said = await desk.words("ann", "1", private=where)
        assert said.startswith("The question that “1” answers is gone or too old")
        assert "help" in said
    assert await desk.store.run(language_of("ann")) == "en"


@pytest.mark.parametrize("number", ["00015", "1" * 5000, "٣", "０１", "-1", "1.0"])
async def test_odd_numbers_are_only_words(desk: Desk, number: str) -> None:
    await desk.hear("ann", "me zone")
    assert "went wrong" not in await desk.words("ann", number)


async def test_a_choice_by_number_ends_the_question(desk: Desk) -> None:
    await desk.hear("ann", "me language")
    await desk.hear("ann", "1")
    assert "Stopped" not in await desk.words("ann", "stop")


async def test_a_command_is_a_command_even_while_words_are_asked_for(desk: Desk) -> None:
    await desk.hear("ann", "find")
    assert "no bookings" in await desk.words("ann", "hours mine")
    await desk.hear("ann", "find")
    assert "me too" in await desk.words("ann", "me too")


@pytest.mark.parametrize("word", ["stop", "STOP", "стоп", "скасувати", "отмена"])
async def test_stop_ends_a_question_in_every_language(desk: Desk, word: str) -> None:
    await desk.hear("ann", "me zone")
    assert await desk.words("ann", word) == "Stopped. Nothing was changed."
    assert await desk.words("ann", word) == "There is nothing to stop."


@pytest.mark.parametrize("question", ["find", "me zone"])
async def test_stop_in_the_room_ends_what_was_asked_there_and_in_private(desk: Desk, question: str) -> None:
    await desk.hear("ann", question, private=False)
    assert await desk.words("ann", "stop", private=False) == "Stopped. Nothing was changed."
    assert await desk.hear("ann", "genocide", private=False, direct=False) is None
    assert "I do not know" in await desk.words("ann", "Genocide")


async def test_an_answer_may_begin_with_the_networks_own_name(desk: Desk) -> None:
    await desk.hear("ann", "find", private=False)
    assert "“uj complaints”" in await desk.words("ann", "uj complaints", private=False, direct=False)


async def test_a_mentor_who_is_one_no_longer_is_offered_to_nobody(desk: Desk) -> None:
    await desk.cast("vera", Role.COORDINATOR)
    await desk.hear("mara", "hours offer Tue 16:00-18:00")
    assert "mara" in await desk.words("ann", "hours open")
    await desk.hear("vera", "roles revoke mara mentor")
    assert await desk.words("ann", "hours open") == "There is no open slot like that now."


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
async def test_a_day_at_the_end_of_the_calendar_is_a_sentence_and_no_fault(desk: Desk, day: str) -> None:
    for said in (f"hours block {day}", f"hours offer {day} 10:00-12:00", f"hours open when={day}"):
        assert f"“{day}" in await desk.words("mara", said)
        await desk.hear("mara", "stop")


# Pace and size


async def test_the_twenty_first_quick_command_is_asked_to_wait(store: Store) -> None:
    desk = Desk(store, pace=Pace())
    for _time in range(20):
        assert "fast" not in await desk.words("ann", "me")
    assert await desk.words("ann", "me") == "That was very fast. Please wait 2 seconds, then go on."
    assert "fast" not in await desk.words("gus", "me")
    desk.now += timedelta(milliseconds=1900)
    assert await desk.words("ann", "me") == "That was very fast. Please wait 1 second, then go on."
    desk.now += timedelta(seconds=2)
    assert "fast" not in await desk.words("ann", "me")


async def test_ten_thousand_characters_are_refused_in_one_sentence(desk: Desk) -> None:
    assert await desk.words("ann", "x" * 10_000) == "That is 10000 characters long; 8000 is the most I can take."
    assert "That is 5000 characters long; 4000 is the most" in await desk.words("ann", "find " + "й" * 5000)
    assert "4000 is the most" in await desk.words("ann", "ж" * 4001)


async def test_half_a_character_is_refused_whatever_it_is_in(desk: Desk) -> None:
    for line in ("\ud800", "find \udfff", "find torture jurisdiction=Atlantis language=\ud83d"):
        assert "invisible character" in await desk.words("ann", line)


# Who may what


def test_guests_may_look_things_up_and_see_to_themselves_and_nothing_more() -> None:
    open_to_all = {command.path for command in Commands(FEATURES) if command.allow is Role.GUEST}
    assert open_to_all == {
        "help",
        "me",
        "me language",
        "me zone",
        "me quiet",
        "me away",
        "me platform",
        "me link",
        "me confirm",
        "me unlink",
        "find",
        "resource show",
        "term",
        "checklist",
        "feedback mine",  # consent can be withdrawn by whoever gave it, whatever became of their role
        "feedback withdraw",
        "feedback browse",
        "feedback show",
        "privacy what",
        "privacy export",
        "privacy erase",
    }


@pytest.mark.parametrize(
    "command", [each for each in Commands(FEATURES) if each.allow is not Role.GUEST], ids=lambda each: each.path
)
async def test_what_needs_a_role_is_refused_to_a_guest_before_anything_is_read(desk: Desk, command: Any) -> None:
    for line in filter(None, (command.path, command.example().line(), command.alias)):
        assert "You need the role" in await desk.words("gus", line)
    assert await desk.rows() == {}
    assert await desk.store.run(lambda session: audit.recent(session, "uj")) == []


async def test_roles_hold_in_their_own_network_only(desk: Desk) -> None:
    assert "You need the role" not in await desk.words("ann", "hours mine")
    assert "You need the role" in await desk.words("ann", "hours mine", network="sanctions")
    await desk.cast("vera", Role.COORDINATOR, network="sanctions")
    assert "You need the role" in await desk.words("vera", "roles grant gus member")
    assert "now has the role" in await desk.words("vera", "roles grant gus member", network="sanctions")


async def test_a_role_that_was_taken_is_gone_at_once_also_behind_a_button(desk: Desk) -> None:
    await desk.cast("adam", Role.ADMIN)
    await desk.hear("mara", "hours offer Tue 16:00-18:00")
    await desk.hear("ann", "hours open")
    await desk.hear("adam", "roles revoke ann member")
    assert "You need the role" in await desk.words("ann", "1")


async def test_a_feature_that_is_off_says_so(desk: Desk) -> None:
    await desk.cast("vera", Role.COORDINATOR, network="sanctions")
    assert await desk.words("vera", "digest now", network="sanctions") == "This is not switched on in this network."


async def test_unknown_and_not_yours_get_the_same_answer(desk: Desk) -> None:
    await desk.cast("bea", Role.MEMBER)
    await desk.hear("mara", "hours offer Tue 16:00-18:00")
    await desk.hear("ann", "hours book")
    booked = await desk.words("ann", "1")
    code = booked.partition("booking ")[2][:7]
    for line in ("hours cancel {}", "hours move {} S-0000000", "hours cancel booking={}"):
        strange = await desk.hear("bea", line.format("B-00000"))
        others = await desk.hear("bea", line.format(code))
        assert strange is not None
        assert others is not None
        assert pack(strange.reply) == pack(others.reply)


async def test_a_mistyped_command_never_names_one_that_is_closed_to_the_person(desk: Desk) -> None:
    for line in ("roles grnt", "audit shwo", "digset now", "hours opn"):
        said = await desk.words("gus", line)
        assert not any(path in said for path in ("roles grant", "audit show", "digest now", "hours open"))


# Words


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("рудз", "help"),
        ("РУДЗ", "help"),
        ("ьу ящту", "me zone"),
        ("рщгкы ьшту", "hours mine"),
        ("hous mine", "hours mine"),
        ("hours cansel", "hours cancel"),
        ("me langauge", "me language"),
    ],
)
async def test_a_slip_gets_a_did_you_mean(desk: Desk, typed: str, meant: str) -> None:
    said = await desk.words("ann", typed)
    assert f"Did you mean {meant}?" in said
    assert f"Usage: {meant}" in said


@pytest.mark.parametrize("typed", ["hours  mine", "HOURS MINE", "hours\u00a0mine", " hours mine ", "Hours\nmine"])
async def test_case_and_spaces_do_not_matter_in_a_path(desk: Desk, typed: str) -> None:
    assert "no bookings" in await desk.words("ann", typed)


async def test_members_words_stay_words(desk: Desk) -> None:
    words = "<b>x</b> **y** @room @everyone [z](https://example.org)"
    answer = await desk.hear("ann", f"term {words}")
    assert answer is not None
    assert isinstance(answer.reply.blocks[0], Text)
    assert answer.reply.blocks[0].values == {"word": words}


def context(session: Session, name: str) -> Context:
    actor = members.by_handle(session, name)
    assert actor is not None
    return Context(
        session,
        NOW,
        Random(1),
        HUB,
        LIBRARY,
        actor=actor,
        roles=members.roles(session, actor.id, "uj"),
        network="uj",
        platform="console",
        private=True,
        voice=Voice(CATALOGUES.speak("en"), ZoneInfo("Europe/Kyiv")),
        commands=COMMANDS,
    )


def _a_case(session: Session, mara: Member, ann: Member) -> tuple[str, str, str, str]:
    """Mara's case, one that ann invites her into, her check-in and her lesson: their codes."""
    facts = {"network": "uj", "tool": "uj-complaint", "stage": "preparing", "now": NOW}
    case = cases.open_case(session, title="one", by=mara.id, rng=Random(3), **facts)  # type: ignore[arg-type]
    other = cases.open_case(session, title="two", by=ann.id, rng=Random(4), **facts)  # type: ignore[arg-type]
    cases.invite(session, Mine(other, Part.LEAD), member=mara, part=Part.MENTOR, now=NOW)
    answers = Answers(moved=True, stage="filed", blocked=None, need=Need.NOTHING)
    told = checkins.answer(session, case, answers=answers, by=mara.id, today=NOW.date(), now=NOW, rng=Random(5))
    lesson = feedback.begin(session, network="uj", author=mara.id, case=case, now=NOW, rng=Random(6))
    return case.code, other.code, told.code, lesson.code


async def test_what_a_kind_shows_it_reads_back(desk: Desk) -> None:
    def check(session: Session) -> set[str]:
        mara, ann = members.by_handle(session, "mara"), members.by_handle(session, "ann")
        assert isinstance(mara, Member)
        assert isinstance(ann, Member)
        made = office_hours.offer(
            session,
            mentor=mara.id,
            network="uj",
            zone="Asia/Tbilisi",
            from_minute=16 * 60,
            to_minute=18 * 60,
            weekdays={1},
            now=NOW,
            rng=Random(1),
        )
        slot = office_hours.open_slots(session, network="uj", now=NOW)[0]
        booked = office_hours.book(session, slot=slot, member=ann.id, now=NOW, rng=Random(2))
        case, invited, checkin, lesson = _a_case(session, mara, ann)
        question = ask.put_to_network(session, network="uj", words="who?", by=ann.id, now=NOW, rng=Random(7))
        entry = LIBRARY.resources[0].model_copy(update={"id": "rome-statute-of-the-icc"})
        library.suggest(session, id=entry.id, network="uj", facts=entry.model_dump_json(), by=ann.id, now=NOW)
        codes = {
            "C-7K3FQQ": case,
            "CI-7K3FQ20": checkin,
            "L-7K3FQ": lesson,
            "Q-7K3FQ": question.code,
            "S-07K3FQ9": slot.code,
            "B-7K3FQ": booked.booking.code,
            "O-7K3F": made.code,
            "quiet-heron": "mara",
        }
        ctx = context(session, "mara")
        ctx.values["which"] = LIBRARY.checklists["uj-de"]
        read = set()
        for command in COMMANDS:
            for param in command.params.values():
                typed = [codes.get(param.kind.example, param.kind.example)]
                if param.kind.name.msgid == "an invitation to a case":
                    typed = [invited]
                typed += [each.value for each in (param.kind.suggest(ctx, "") if param.kind.suggest else ())]
                for each in typed:
                    value = param.kind.read(ctx, each)
                    assert param.kind.read(ctx, param.kind.show(value)) == value, (command.path, param.name, each)
                    read.add(param.kind.name.msgid)
        return read

    read = await desk.store.run(check)
    assert {"an open slot", "one of your bookings", "a time window", "a role", "quiet hours"} <= read


WORDS = st.text(max_size=60) | st.text(st.sampled_from('hours bk="«»“”\\ \u202e\u200b\n\x00:1-9.,;&йцуєї'), max_size=60)
BEGUN = st.builds(" ".join, st.tuples(st.sampled_from([*COMMANDS.by_path, "me quiet", "find", "term"]), WORDS))


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(lines=st.lists(WORDS | BEGUN, min_size=1, max_size=4), private=st.booleans())
async def test_whatever_is_said_is_answered(desk: Desk, lines: list[str], private: bool) -> None:
    await desk.cast("max", Role.MEMBER, Role.MENTOR, Role.COORDINATOR)
    for line in lines:
        if line.startswith("probe broken"):
            continue
        said = await desk.words("max", line, private=private)
        assert said
        assert "went wrong" not in said
    if not private:
        await desk.hear("max", lines[0], private=False, direct=False)  # an answer or None, never an exception
    await desk.words("max", "stop")


async def test_an_erasure_that_did_not_get_through_is_finished_by_the_next_try(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.hear("ann", "privacy erase")
    commit = Session.commit

    def fail_once(session: Session) -> None:
        monkeypatch.setattr(Session, "commit", commit)
        session.rollback()
        raise OperationalError("COMMIT", {}, SerializationError())

    monkeypatch.setattr(Session, "commit", fail_once)
    assert "are gone" in await desk.words("ann", "yes", key="$yes")
    assert await _is_gone(desk, "ann")
    assert await desk.words("ann", "me") != ""


class SerializationError(Exception):
    sqlstate = "40001"


async def _is_gone(desk: Desk, name: str) -> bool:
    return await desk.store.run(lambda session: members.by_handle(session, name)) is None


async def test_a_room_is_not_told_in_whose_zone_somebody_lives(desk: Desk) -> None:
    await desk.hear("ann", "me zone Asia/Almaty")
    await desk.hear("mara", "hours offer Mon-Fri 10:00-12:00")
    assert "(Kyiv)" in await desk.words("ann", "hours open", private=False)
    assert "(Almaty)" in await desk.words("ann", "hours open")


async def test_a_form_holds_nothing_after_it_is_done(desk: Desk) -> None:
    await desk.hear("ann", "me quiet")
    await desk.hear("ann", "22:00-08:00")

    def look(session: Session) -> object:
        ann = members.by_handle(session, "ann")
        assert ann is not None
        return forms.current(session, member_id=ann.id, bot="console:uj", room="private")

    assert await desk.store.run(look) is None


# Words that may identify a victim or a witness

NAMED = "our witness Olena Kovalenko saw the shelling"
DANGEROUS = [
    f"find {NAMED}",
    f"probe refused {NAMED}",
    NAMED,  # no command at all
    f"hours move {NAMED}",  # a value that cannot be read is quoted
    f"me language {NAMED}",
    f"help {NAMED}",
]


@pytest.mark.parametrize("line", DANGEROUS)
async def test_words_that_may_identify_a_victim_are_stopped_and_nothing_of_them_is_kept_or_quoted(
    desk: Desk, line: str
) -> None:
    await desk.cast("ann", Role.MENTOR)
    answer = await desk.hear("ann", line, key="$event")
    assert answer is not None
    said = render(answer.reply, answer.voice)
    assert said.startswith("I stopped here and kept nothing")
    assert "Berkeley Protocol" in said
    assert "Murad Code" in said
    rows = await desk.rows()
    for row in rows.values():
        words = row.payload.text if row.payload else None
        assert words is not None
        assert "Kovalenko" not in words
        assert Envelope.unpack(words).remove == ("dm:ann", "$event")
    assert await desk.store.run(language_of("ann")) == "en"


async def test_the_same_thing_without_the_name_passes_and_the_question_is_still_open(desk: Desk) -> None:
    await desk.hear("ann", "find")
    assert "I stopped here" in await desk.words("ann", NAMED)
    assert "genocide" in (await desk.words("ann", "witnesses of genocide")).casefold()


async def test_what_a_question_was_answered_with_in_a_room_is_stopped_too_and_told_in_private(desk: Desk) -> None:
    answer = await desk.hear("ann", f"find {NAMED}", private=False, key="$event")
    assert answer is not None
    assert answer.shown.name == "ACTOR"
    (row,) = (await desk.rows()).values()
    assert row.member_id is not None
    envelope = Envelope.unpack(row.payload.text or "") if row.payload else None
    assert envelope is not None
    assert envelope.remove == ("room", "$event")


@pytest.mark.parametrize(
    "param", [each for command in COMMANDS for each in command.params.values()], ids=lambda p: p.name
)
def test_every_value_that_takes_any_words_is_looked_at(param: Any) -> None:
    """A kind that reads a witness's name as it stands takes any words, and has to say so."""
    if param.kind.free:
        return
    with pytest.raises((Unreadable, Refused, AttributeError, TypeError)):
        param.kind.read(None, NAMED)


# What is for one person's ears

SLIPS = [
    'case opem uj-complaint title="Nightjar file" note="a heliotrope"',
    'CASE OPEM title="Nightjar file"',
    'case opem title="Nightjar',
    "cas show C-M9S346 Nightjar",
    "case show C-M9S346 Nightjar",  # the command is right, and has no place for the last word
    "chekin C-M9S346 yes filed nothing Nightjar",
    "case Nightjar heliotrope file",
    "case title=Nightjar",
    'feedback giv worked="the Nightjar argument"',
    "fedback give worked=Nightjar",
    "uj case opem title=Nightjar",
    "сфыу щзут Nightjar",
    "cheklist uj-de case=C-M9S346",
    "aks put the Nightjar argument",
    "c-m9s346 Nightjar file",
    "Nightjar file (C-M9S346) moved",
]


@pytest.mark.parametrize("line", SLIPS)
async def test_a_slip_in_a_room_is_treated_like_the_confidential_command_that_it_meant(desk: Desk, line: str) -> None:
    assert await desk.words("ann", line, private=False, key="$slip") == (
        "Please say that to me in private: here others read it. I have kept nothing of it."
    )
    (row,) = (await desk.rows()).values()
    words = row.payload.text if row.payload else None
    assert words is not None
    assert Envelope.unpack(words).remove == ("room", "$slip")
    assert "nightjar" not in words.casefold()


@pytest.mark.parametrize("line", [each for each in SLIPS if not each.startswith("case show")])
async def test_in_private_a_slip_is_quoted_without_the_values_behind_it(desk: Desk, line: str) -> None:
    said = (await desk.words("ann", line)).casefold()
    assert "heliotrope" not in said
    assert "nightjar" not in said or "Nightjar" in line.split()[:2]  # the first two words may be a command


@pytest.mark.parametrize("line", SLIPS)
async def test_where_the_platform_reads_along_a_slip_is_sent_elsewhere(desk: Desk, line: str) -> None:
    desk.dispatcher.hub = replace(desk.dispatcher.hub, overheard=frozenset({"console"}))
    for private in (True, False):
        said = await desk.words("ann", line, private=private)
        assert "nightjar" not in said.casefold() or (private and "Nightjar" in line.split()[:2])


async def test_where_the_platform_reads_along_nothing_is_exported(desk: Desk) -> None:
    desk.dispatcher.hub = replace(desk.dispatcher.hub, overheard=frozenset({"console"}))
    assert "others can read along" in await desk.words("ann", "privacy export")
    desk.dispatcher.hub = replace(desk.dispatcher.hub, overheard=frozenset())
    assert "in one file" in await desk.words("ann", "privacy export")


@pytest.mark.parametrize(
    "line", ["case opem", "feedback shw L-7K3FQ", "hours opn when=tomorrow", "case", "feedback brws"]
)
async def test_a_slip_without_anything_confidential_gets_its_did_you_mean_in_a_room(desk: Desk, line: str) -> None:
    answer = await desk.hear("ann", line, private=False, key="$slip")
    assert answer is not None
    assert "in private" not in render(answer.reply, answer.voice)
    (row,) = (await desk.rows()).values()
    assert row.payload is not None
    assert Envelope.unpack(row.payload.text or "").remove is None


@pytest.mark.parametrize(
    ("line", "quoted"),
    [
        ("brew coffee for Nightjar", "“brew coffee…”"),
        ("brew", "“brew”"),
        ("b-m9s346 Nightjar file", "“b-m9s346…”"),
        ('title="Nightjar file"', "“title…”"),
        ("«Nightjar» file", "“…”"),
    ],
)
async def test_of_what_nobody_understands_the_first_words_are_quoted(desk: Desk, line: str, quoted: str) -> None:
    said = await desk.words("ann", line, private=False)
    assert quoted in said
    assert "Nightjar" not in said


async def test_a_case_is_neither_named_nor_suggested_where_the_platform_reads_along(desk: Desk) -> None:
    opened = await desk.words("ann", "case open tool=uj-complaint forum=prosecutor jurisdiction=DE title=Nightjar")
    code = next(word.strip(",.:") for word in opened.split() if word.startswith("C-"))
    told = await desk.words("ann", "checklist mark")
    assert "Nightjar" in told
    await desk.hear("ann", "stop")
    desk.dispatcher.hub = replace(desk.dispatcher.hub, overheard=frozenset({"console"}))
    for line in ("checklist mark", f"checklist uj-de case={code}", "case show"):
        refused = await desk.words("ann", line)
        assert "others can read along" in refused
        assert "Nightjar" not in refused
    assert "Nightjar" not in await desk.words("ann", "checklist uj-de")
    for command in ("checklist mark", "checklist", "case show"):
        typing = Heard("console", "ann", "console:uj", "uj", "dm:ann", private=True, said=command)
        _voice, choices = await desk.dispatcher.suggest(typing, "case", "")
        assert choices == ()
