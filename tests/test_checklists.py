"""Checklists: the data as it was written, and how far a case has come; on both databases."""

import json
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import knowledge
from commands.checklists import FACTS
from knowledge.checklists import Checklists
from knowledge.library import BadRow, Library
from storage import cases, checklists, members, privacy
from storage.cases import Mine, Part
from storage.checklists import Mark
from storage.members import Member, Role
from storage.refused import Refused
from storage.store import Session, Store
from storage.table import core
from tests.transcript import Stage

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
FOLDER = Path(knowledge.__file__).parent / "checklists"
ALL = Checklists.load()
LIBRARY = Library.load()


def test_there_are_five_regimes_fifteen_countries_and_climate() -> None:
    assert {each.id for each in ALL.all if each.network == "sanctions"} == {
        "us-glomag", "uk-ghr", "eu-ghrsr", "ca-jvcfoa-sema", "au-thematic",
    }  # fmt: skip
    assert len([each for each in ALL.all if each.network == "uj"]) == 15
    assert next(iter(ALL.of("climate"))).id == "climate"


def test_every_source_is_an_entry_of_the_library_and_every_row_has_its_day() -> None:
    for each in ALL.all:
        for source in (*each.sources, *(name for item in each.items for name in item.sources)):
            assert LIBRARY.resource(source) is not None, (each.id, source)
        assert each.as_of == date(2026, 11, 20)
        assert each.items
        assert set(each.facts) <= FACTS.keys()


def test_a_regime_has_what_all_have_and_its_own() -> None:
    us = ALL["us-glomag"]
    assert us is not None
    assert us.item("t1") is not None
    assert us.item("us3") is not None
    assert us.item("uk1") is None
    assert ALL["mars"] is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"common": "nothing"}, "builds on 'nothing', which is not there"),
        ({"verified": [""]}, "field verified.0"),
        ({"sections": [{"title": "x", "items": []}]}, "field sections.0.items"),
        ({"facts": {"colour": "red"}}, "field facts"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_field(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    row = json.loads((FOLDER / "checklists.jsonl").read_text("utf-8").splitlines()[0])
    (tmp_path / "common.jsonl").write_text((FOLDER / "common.jsonl").read_text("utf-8"))
    (tmp_path / "checklists.jsonl").write_text(json.dumps(row | change))
    with pytest.raises(BadRow, match=r"checklists\.jsonl") as refused:
        Checklists.load(tmp_path)
    assert sentence in str(refused.value)


def enter(session: Session, name: str) -> Member:
    person = members.recognise(
        session, platform="console", address=name, language="en", zone="UTC", rng=random.Random(name), now=NOW
    )
    members.grant(session, actor=None, member=person, network="uj", role=Role.MEMBER, now=NOW)
    return person


def open_case(session: Session, by: Member) -> Mine:
    facts = {"network": "uj", "tool": "uj-complaint", "stage": "preparing", "title": "one"}
    case = cases.open_case(session, **facts, by=by.id, now=NOW, rng=random.Random(1))
    return Mine(case, Part.LEAD)


def mark(session: Session, mine: Mine, item: str, state: Mark, by: Member) -> None:
    checklists.mark(session, mine, checklist="uj-de", item=item, mark=state, by=by.id, now=NOW)


async def test_what_is_marked_is_kept_for_its_case_and_can_be_opened_again(store: Store) -> None:
    ann = await store.run(lambda s: enter(s, "ann"))

    def do(session: Session) -> tuple[dict[str, Mark], ...]:
        mine, other = open_case(session, ann), Mine(
            cases.open_case(
                session, network="uj", tool="uj-complaint", stage="preparing", title="two", by=ann.id, now=NOW,
                rng=random.Random(2),
            ),
            Part.LEAD,
        )  # fmt: skip
        for item, state in (("u1", Mark.DONE), ("u2", Mark.NOT_NEEDED), ("u1", Mark.NOT_NEEDED), ("u2", Mark.OPEN)):
            mark(session, mine, item, state, ann)
        return (
            checklists.marks(session, mine.case.id, "uj-de"),
            checklists.marks(session, mine.case.id, "uj-fr"),
            checklists.marks(session, other.case.id, "uj-de"),
        )

    assert await store.run(do) == ({"u1": Mark.NOT_NEEDED}, {}, {})


async def test_a_closed_case_and_counsel_mark_nothing(store: Store) -> None:
    ann = await store.run(lambda s: enter(s, "ann"))
    mine = await store.run(lambda s: open_case(s, ann))
    with pytest.raises(Refused):
        await store.run(lambda s: mark(s, Mine(s.merge(mine.case), None), "u1", Mark.DONE, ann))

    def close(session: Session) -> None:
        cases.close(session, Mine(session.merge(mine.case), Part.LEAD), by=ann.id, now=NOW)

    await store.run(close)
    closed = await store.run(lambda s: cases.mine(s, member=ann.id, network="uj", closed=True)[0])
    with pytest.raises(Refused):
        await store.run(lambda s: mark(s, closed, "u1", Mark.DONE, ann))


async def test_whoever_marked_is_forgotten_and_the_mark_stays_with_the_case(store: Store) -> None:
    ann, bob = await store.run(lambda s: (enter(s, "ann"), enter(s, "bob")))
    mine = await store.run(lambda s: open_case(s, ann))
    await store.run(lambda s: mark(s, mine, "u1", Mark.DONE, bob))
    await store.run(lambda s: privacy.erase(s, bob.id, NOW))
    rows = await store.run(lambda s: s.execute(core(checklists.ChecklistMark).select()).all())
    assert [(row.item, row.by) for row in rows] == [("u1", None)]


async def test_after_twelve_months_a_checklist_no_longer_says_that_it_was_checked(store: Store) -> None:
    stage = Stage(store)
    await stage.cast("ann", "member", "en", "UTC")
    for days, said in ((0, "Checked in stored sources"), (400, "everything has to be checked anew")):
        stage.now, before = datetime(2026, 11, 20, 9, 0, tzinfo=UTC) + timedelta(days=days), len(stage.lines)
        await stage.say("ann", "checklist uj-de")
        shown = "\n".join(stage.lines[before:])
        assert said in shown
        assert ("Checked in stored sources" in shown) is (days == 0)
