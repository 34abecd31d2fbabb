"""Asking: what a model may write and cost, what becomes of its faults, and questions that go to the network."""

import asyncio
import random
import re
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from commands.core.dispatch import Heard
from knowledge.answer import Endpoint, Remembering
from storage import ask, codes, members, privacy
from storage.ask import NOTHING, Asked, Caps, OpenQuestion, QuestionAnswer
from storage.members import Member, Role
from storage.refused import Refused
from storage.store import Session, Store
from storage.table import core
from tests.fakes.loopback_model import Answer, LoopbackModel, completion, error, said
from tests.transcript import LIBRARY, Stage

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
QUESTION = "does Germany need the suspect to be present to open a universal jurisdiction case"
QUOTE = "even if the act was committed abroad and has no link to Germany"
SENTENCE = "Section 1 applies to genocide even if the act was committed abroad and has no link to Germany."
CAPS = Caps(answers=3, tokens=10_000, all_tokens=100_000)


class Room:
    """A member who asks, in private, with a model behind the hub."""

    def __init__(self, stage: Stage, model: LoopbackModel, *, timeout: float = 2.0, caps: Caps = CAPS) -> None:
        self.stage = stage
        endpoint = Endpoint(model.url, "loopback", timeout=timeout, tokens=LIBRARY.tokens)
        stage.dispatcher.hub = replace(stage.dispatcher.hub, writer=Remembering(endpoint), caps=caps)
        self.number = 0

    async def ask(self, words: str, who: str = "ann") -> str:
        before = len(self.stage.lines)
        await self.stage.say(who, words)
        return "\n".join(self.stage.lines[before:])


@pytest.fixture
async def stage(store: Store) -> Stage:
    made = Stage(store)
    for name, role in (("ann", "member"), ("bob", "mentor"), ("max", "member")):
        await made.cast(name, role, "en", "Europe/Kyiv")
    return made


def right(request: object) -> Answer:
    """Answer from whichever passage has the words."""
    passages = request.data["passages"]  # type: ignore[attr-defined]
    number = next(each["number"] for each in passages if QUOTE in each["text"])
    return said((SENTENCE, [number], QUOTE), ("Germany has the best beer in the world.", [number], QUOTE))


async def count(store: Store, table: type) -> int:
    return await store.run(lambda s: s.scalar(select(func.count()).select_from(core(table))) or 0)


# What a model writes


async def test_what_a_model_writes_is_shown_with_its_sources_and_what_is_not_borne_out_is_not(stage: Stage) -> None:
    async with LoopbackModel(right) as model:
        room = Room(stage, model)
        shown = await room.ask(f"ask {QUESTION}")
    assert f"{SENTENCE} [1]" in shown
    assert "beer" not in shown
    assert "Code of Crimes against International Law" in shown
    assert "Check before relying" in shown
    assert "word for word" not in shown


async def test_the_same_question_is_written_once_and_costs_once(stage: Stage) -> None:
    async with LoopbackModel(right) as model:
        room = Room(stage, model)
        first = await room.ask(f"ask {QUESTION}")
        assert await room.ask(f"ask {QUESTION}", who="max") == first.replace("ann", "max")
        assert len(model.requests) == 1
    spent = await stage.store.run(lambda s: sorted(s.scalars(select(core(Asked).c.tokens))))
    assert spent == [0, 70]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Answer(silence=30), "did not answer in time"),
        (error(429, Retry_After="30"), "too busy"),
        (error(500), "has failed"),
        (Answer(b"<html>"), "could not be read"),
        (completion("I think so!"), "could not be read"),
        (Answer(b'{"choices": [', headers={"Content-Length": "9000"}), "broke off"),
        (error(404, "model_not_found"), "does not know its model"),
        (error(401), "does not accept our key"),
    ],
    ids=["time-out", "429", "500", "no JSON", "no sentences", "cut", "wrong model", "wrong key"],
)
async def test_every_fault_is_one_clear_sentence_and_the_library_is_quoted(
    stage: Stage, fault: Answer, sentence: str
) -> None:
    async with LoopbackModel(fault) as model:
        shown = await Room(stage, model, timeout=0.7).ask(f"ask {QUESTION}")
    assert sentence in shown
    assert "From the library, word for word:" in shown
    assert "Code of Crimes against International Law" in shown
    assert await count(stage.store, Asked) == 1


async def test_a_model_that_is_gone_is_one_clear_sentence_too(stage: Stage) -> None:
    async with LoopbackModel(right) as model:
        room = Room(stage, model)
    assert "cannot be reached" in await room.ask(f"ask {QUESTION}")


async def test_what_nothing_bears_out_is_not_found(stage: Stage) -> None:
    async with LoopbackModel(said(("It needs a permit from the mayor.", [1], "a permit from the mayor"))) as model:
        shown = await Room(stage, model).ask(f"ask {QUESTION}")
    assert "does not answer that" in shown
    assert "mayor" not in shown


async def test_what_the_library_does_not_answer_is_not_even_sent(stage: Stage) -> None:
    async with LoopbackModel(right) as model:
        assert "does not answer that" in await Room(stage, model).ask("ask How do I bake sourdough bread?")
    assert model.requests == []


@pytest.mark.parametrize("caps", [NOTHING, Caps(1, 10_000, 10_000), Caps(9, 50, 10_000), Caps(9, 10_000, 50)])
async def test_when_a_cap_is_reached_the_library_is_quoted(stage: Stage, caps: Caps) -> None:
    async with LoopbackModel(right) as model:
        room = Room(stage, model, caps=caps)
        if caps.answers:
            assert "word for word" not in await room.ask(f"ask {QUESTION}")
        shown = await room.ask(f"ask {QUESTION} please")
        assert "No more answers are written for you today" in shown
        assert "word for word" in shown
        assert len(model.requests) == bool(caps.answers)
        if caps.answers:
            stage.now += timedelta(days=1)
            assert "word for word" not in await room.ask(f"ask {QUESTION} again")


async def test_nobody_and_no_case_is_named_to_the_model(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys.modules["commands.ask"], "confident", lambda *_: True
    )  # names make a question harder to answer
    known = "genocide committed abroad no link to Germany"
    async with LoopbackModel(said()) as model:
        for named in ("C-7K3FQQ", "ardent-rabbit", "@ann:example.org"):
            await Room(stage, model).ask(f"ask {known} {named}")
    sent = str([request.body for request in model.requests])
    assert len(model.requests) == 3
    for named in ("7K3FQQ", "ardent", "rabbit", "@ann", "example.org"):
        assert named not in sent


async def test_what_was_heard_once_is_answered_once_although_the_handler_ran_twice(stage: Stage) -> None:
    async with LoopbackModel(right) as model:
        Room(stage, model)
        heard = Heard("console", "ann", stage.name, "uj", "dm:ann", private=True, said=f"ask {QUESTION}", key="$1")
        assert await stage.dispatcher.answer(heard) is not None
        assert await stage.dispatcher.answer(heard) is None
    assert await stage.store.run(lambda s: list(s.scalars(select(core(Asked).c.written)))) == [1]


# The last question, and the network's


def enter(session: Session, name: str) -> Member:
    person = members.recognise(
        session, platform="console", address=name, language="en", zone="UTC", rng=random.Random(name), now=NOW
    )
    members.grant(session, actor=None, member=person, network="uj", role=Role.MEMBER, now=NOW)
    return person


def put(session: Session, by: Member, words: str = "Which court?", seed: int = 1) -> OpenQuestion:
    return ask.put_to_network(session, network="uj", words=words, by=by.id, now=NOW, rng=random.Random(seed))


async def test_a_question_is_its_askers_to_close_and_others_to_answer(store: Store) -> None:
    ann, bob = await store.run(lambda s: (enter(s, "ann"), enter(s, "bob")))
    code = (await store.run(lambda s: put(s, ann))).code

    def do(what: Callable[[Session, OpenQuestion], object]) -> Callable[[Session], object]:
        return lambda s: what(s, ask.by_code(s, code, "uj"))

    with pytest.raises(Refused, match="your own question"):
        await store.run(do(lambda s, q: ask.answer(s, q, words="Mine.", by=ann.id, now=NOW)))
    for words in ("The first.", "The second."):
        await store.run(do(lambda s, q, w=words: ask.answer(s, q, words=w, by=bob.id, now=NOW)))
    with pytest.raises(Refused, match="Only who asked"):
        await store.run(do(lambda s, q: ask.accept(s, q, 1, by=bob.id)))
    assert await store.run(do(lambda s, q: ask.accept(s, q, 9, by=ann.id))) is None
    taken = await store.run(do(lambda s, q: ask.accept(s, q, 2, by=ann.id)))
    assert taken.words.text == "The second."
    assert await store.run(lambda s: ask.open_ones(s, "uj")) == []
    with pytest.raises(Refused, match="answered already"):
        await store.run(do(lambda s, q: ask.answer(s, q, words="Late.", by=bob.id, now=NOW)))
    assert await store.run(lambda s: ask.by_code(s, code, "climate")) is None


async def test_so_many_questions_and_no_more(store: Store) -> None:
    ann = await store.run(lambda s: enter(s, "ann"))
    for number in range(ask.MOST_OPEN):
        await store.run(lambda s, n=number: put(s, ann, seed=n))
    with pytest.raises(Refused, match="open already"):
        await store.run(lambda s: put(s, ann, seed=99))


async def test_whoever_is_erased_takes_questions_and_answers_along(store: Store) -> None:
    ann, bob = await store.run(lambda s: (enter(s, "ann"), enter(s, "bob")))
    mine, theirs = await store.run(lambda s: (put(s, ann, seed=1), put(s, bob, seed=2)))
    await store.run(lambda s: ask.answer(s, ask.by_code(s, mine.code, "uj"), words="x", by=bob.id, now=NOW))
    await store.run(lambda s: ask.answer(s, ask.by_code(s, theirs.code, "uj"), words="y", by=ann.id, now=NOW))
    await store.run(
        lambda s: ask.remember(s, member=ann.id, network="uj", question="q", keys=["k"], spent=None, now=NOW)
    )
    await store.run(lambda s: privacy.erase(s, ann.id, NOW))
    assert await store.run(lambda s: [each.code for each in ask.open_ones(s, "uj")]) == [theirs.code]
    assert await count(store, QuestionAnswer) == 0
    assert await count(store, Asked) == 0


async def test_nobody_learns_who_asked(store: Store) -> None:
    """What others get of a question is its words: the announcement, the list and an answerer's export name nobody."""
    made = Stage(store)
    for name in ("ann", "bob"):
        await made.cast(name, "member", "en", "UTC")
    await made.say("ann", "ask put Which court hears it?")
    await made.say("ann", "yes")
    await made.say("bob", "ask open")
    heard = "\n".join(line for line in made.lines if "bot in network" in line or "bot to bob" in line)
    assert "Q-" in heard
    code = next(word.strip("():") for word in heard.split() if word.startswith("(Q-"))
    await made.say("bob", f"ask answer {code} The city court.")
    bob = await store.run(lambda s: members.by_handle(s, "bob"))
    ann = await store.run(lambda s: members.by_handle(s, "ann"))
    exported = str(await store.run(lambda s: privacy.export(s, bob.id)))
    assert "The city court." in exported
    assert ann.id.hex not in exported.replace("-", "")
    assert "ann" not in heard.split()


async def test_what_was_asked_is_nowhere_in_clear(sqlite_store: Store, tmp_path: Path) -> None:
    made = Stage(sqlite_store)
    await made.cast("ann", "member", "en", "UTC")
    await made.say("ann", "ask is the heliotropic doctrine known")
    await made.say("ann", "ask put is the heliotropic doctrine known")
    await made.say("ann", "yes")
    with sqlite3.connect(tmp_path / "hub.db") as db:
        db.execute("pragma wal_checkpoint(truncate)")
    files = [file for file in tmp_path.rglob("*") if file.is_file()]  # noqa: ASYNC240 nothing else runs here
    assert not [file for file in files if b"heliotropic" in file.read_bytes()]


async def shown(stage: Stage, who: str, words: str, **where: object) -> str:
    before = len(stage.lines)
    await stage.say(who, words, **where)  # type: ignore[arg-type]
    return "\n".join(stage.lines[before:])


async def test_a_question_is_put_in_private_only_and_after_a_question_back(stage: Stage) -> None:
    assert "in private" in await shown(stage, "ann", "ask put Which court?", in_room=True, direct=True)
    asked = await shown(stage, "ann", f"ask {QUESTION}", in_room=True, direct=True)
    assert "Show what this was taken from" in asked
    assert "Put it to the network" not in asked, "everybody has just seen whose question it is"
    assert "Put it to the network" in await shown(stage, "ann", f"ask {QUESTION}")
    await shown(stage, "ann", "ask put Which court?")
    assert "Nothing was changed" in await shown(stage, "ann", "no")
    await shown(stage, "ann", "ask open courts of Georgia")  # a question that begins with “open” is a question
    assert await count(stage.store, OpenQuestion) == 0


async def test_a_platform_that_reads_along_learns_of_no_question_to_the_network(stage: Stage) -> None:
    stage.dispatcher.hub = replace(stage.dispatcher.hub, overheard=frozenset({"console"}))
    assert "others can read along" in await shown(stage, "ann", "ask put Which court?")
    assert "Put it to the network" not in await shown(stage, "ann", f"ask {QUESTION}")
    assert await count(stage.store, OpenQuestion) == 0


async def test_the_room_does_not_learn_whose_handle_answers(stage: Stage) -> None:
    await shown(stage, "ann", "ask put Which court?")
    code = re.findall(r"Q-\w+", await shown(stage, "ann", "yes"))[0]
    assert "in private" in await shown(stage, "max", f"ask answer {code} The city court.", in_room=True, direct=True)
    assert await count(stage.store, QuestionAnswer) == 0


async def test_neither_a_question_nor_an_answer_tells_the_network_of_a_case(stage: Stage) -> None:
    case = codes.draw(random.Random(5), "C")
    await shown(stage, "ann", f"ask put What to do in {case}?")
    assert "code of a case" in await shown(stage, "ann", "yes")
    assert await count(stage.store, OpenQuestion) == 0
    await shown(stage, "ann", "ask put Which court?")
    code = re.findall(r"Q-\w+", await shown(stage, "ann", "yes"))[0]
    assert "code of a case" in await shown(stage, "max", f"ask answer {code} As in {case.lower()}.")
    assert await count(stage.store, QuestionAnswer) == 0


async def test_an_answer_cites_what_the_model_read_or_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the model writes, what it read is taken away: no other source slips under its numbers."""
    found = sys.modules["commands.ask"].look_up

    def changed(request: object) -> Answer:
        def fewer(*args: object, **how: object) -> object:
            return [hit for hit in found(*args, **how) if QUOTE not in hit.text]

        monkeypatch.setattr(sys.modules["commands.ask"], "look_up", fewer)
        return right(request)

    async with LoopbackModel(changed) as model:
        told = await Room(stage, model).ask(f"ask {QUESTION}")
    assert "Section 1 applies" not in told
    assert "went wrong" not in told


async def test_no_more_questions_are_written_at_once_than_can_be_counted(stage: Stage) -> None:
    slow = replace(said(), silence=0.4)
    async with LoopbackModel(slow) as model:
        room = Room(stage, model, caps=Caps(answers=99, tokens=10**6, all_tokens=10**6))
        await asyncio.gather(*(room.ask(f"ask {QUESTION} {n}", who=("ann", "max")[n % 2]) for n in range(8)))
        assert len(model.requests) <= 2
