"""The library's own shelf: what is kept, who sees it, and how look-up follows it; on both databases."""

import asyncio
import random
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from commands.core.shelf import follow
from knowledge.glossary import Glossary
from knowledge.library import Library, Resource
from knowledge.schema import added
from storage import library as book
from storage import members, privacy
from storage.library import SavedResource, Shelved, ShelvedPassage, Standing, Stretch
from storage.members import Member, Role
from storage.refused import Refused
from storage.store import Session, Store
from storage.table import core
from tests.transcript import LIBRARY, Stage

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
TORTURE = [Stretch("Article 1", "Torture is forbidden.", "p. 1"), Stretch("Article 2", "No exceptions.", "p. 2")]


def row(title: str, network: str = "uj", summary: str = "A summary.") -> Resource:
    return added(
        network=network,
        url="https://example.org/x",
        kind="guide",
        jurisdiction="UA",
        language="en",
        title=title,
        summary=summary,
        relevance="It matters.",
        by="a test",
        day=NOW.date(),
    )


def put(
    session: Session, title: str, passages: list[Stretch], *, network: str = "uj", digest: str | None = None
) -> bool:
    its = row(title, network)
    return book.put(
        session, id=its.id, network=network, facts=its.model_dump_json(), digest=digest, passages=passages, now=NOW
    )


def suggest(session: Session, title: str, by: Member) -> Shelved:
    its = row(title)
    return book.suggest(session, id=its.id, network="uj", facts=its.model_dump_json(), by=by.id, now=NOW)


def enter(session: Session, name: str) -> Member:
    person = members.recognise(
        session, platform="console", address=name, language="en", zone="UTC", rng=random.Random(name), now=NOW
    )
    members.grant(session, actor=None, member=person, network="uj", role=Role.MEMBER, now=NOW)
    return person


def library(tmp_path: Path | None = None) -> Library:
    return Library([row("The base", summary="It is always there.")], Glossary([]), index=tmp_path)


def ids(library: Library, question: str, session: Session) -> list[str]:
    def stored(keys: list[str]) -> dict[str, tuple[Resource, None]]:
        found = book.found(session, keys, {"uj"})
        return {key: (Resource.model_validate_json(each.facts), None) for key, each in found.items()}

    return [hit.key for hit in library.search(question, network="uj", parts=5, limit=10, stored=stored)]


async def test_the_same_content_is_kept_once_whatever_it_is_called(store: Store) -> None:
    assert await store.run(lambda s: put(s, "One", TORTURE, digest="d" * 64))
    assert not await store.run(lambda s: put(s, "Two", TORTURE, digest="d" * 64))
    assert await store.run(lambda s: book.one(s, "two", {"uj"})) is None
    assert await store.run(lambda s: s.scalar(select(func.count()).select_from(core(ShelvedPassage)))) == 2


async def test_a_new_version_takes_the_place_of_the_old(store: Store) -> None:
    await store.run(lambda s: put(s, "One", TORTURE, digest="a" * 64))
    assert await store.run(lambda s: put(s, "One", TORTURE[:1], digest="b" * 64))
    changes = await store.run(lambda s: book.changes(s, 0))
    assert [(each.id, each.passages) for each in changes.each] == [("one", TORTURE[:1])]
    assert (changes.reached, changes.newest) == (2, 2)


async def test_what_was_withdrawn_may_come_again_under_another_name(store: Store) -> None:
    await store.run(lambda s: put(s, "One", TORTURE, digest="a" * 64))
    await store.run(lambda s: book.withdraw(s, book.one(s, "one", {"uj"}), now=NOW))
    assert await store.run(lambda s: put(s, "Two", TORTURE, digest="a" * 64))


async def test_changes_come_in_order_and_none_is_missed(store: Store) -> None:
    for number in range(7):
        await store.run(lambda s, n=number: put(s, f"Entry {n}", TORTURE))
    await store.run(lambda s: book.withdraw(s, book.one(s, "entry-2", {"uj"}), now=NOW))
    seen, reached = [], 0
    while (changes := await store.run(lambda s, since=reached: book.changes(s, since, most=3))).each:
        seen += [(each.id, each.facts is not None, len(each.passages)) for each in changes.each]
        reached = changes.reached
    here = [(f"entry-{n}", True, 2) for n in range(7) if n != 2]
    assert seen == [*here, ("entry-2", False, 0)]


async def test_two_processes_that_add_at_once_take_different_numbers(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    added = [stores[n % 2].run(lambda s, n=n: put(s, f"Entry {n}", [])) for n in range(16)]
    assert all(await asyncio.gather(*added))
    numbers = await stores[0].run(lambda s: list(s.scalars(select(core(Shelved).c.number))))
    assert sorted(numbers) == list(range(1, 17))


async def test_only_a_network_of_ones_own_shows_what_is_kept(store: Store) -> None:
    await store.run(lambda s: put(s, "Ours", TORTURE))
    await store.run(lambda s: put(s, "Everybodys", TORTURE, network="all"))
    await store.run(lambda s: put(s, "Theirs", TORTURE, network="climate"))
    keys = ["ours", "ours#2", "ours#9", "everybodys#1", "theirs", "theirs#1", "nothing"]
    found = await store.run(lambda s: book.found(s, keys, {"uj"}))
    assert set(found) == {"ours", "ours#2", "everybodys#1"}
    assert found["ours#2"].passage == TORTURE[1]
    assert await store.run(lambda s: book.one(s, "theirs", {"uj"})) is None
    assert await store.run(lambda s: book.found(s, [], {"uj"})) == {}


async def test_nobody_decides_about_their_own_suggestion_and_nothing_is_decided_twice(store: Store) -> None:
    ann, vera = await store.run(lambda s: (enter(s, "ann"), enter(s, "vera")))
    await store.run(lambda s: suggest(s, "Useful", ann))
    waiting = await store.run(lambda s: book.waiting(s, "uj"))
    assert [each.id for each in waiting] == ["useful"]
    assert await store.run(lambda s: book.one(s, "useful", {"uj"})) is None, "not before it is decided"

    def decide(session: Session, by: Member) -> None:
        found = session.get(Shelved, "useful")
        book.decide(session, found, publish=True, facts=found.facts, by=by.id, now=NOW)

    with pytest.raises(Refused, match="your own suggestion"):
        await store.run(lambda s: decide(s, ann))
    await store.run(lambda s: decide(s, vera))
    assert await store.run(lambda s: book.one(s, "useful", {"uj"})) is not None
    with pytest.raises(Refused, match="decided already"):
        await store.run(lambda s: decide(s, vera))


async def test_one_person_has_so_many_suggestions_waiting_and_no_more(store: Store) -> None:
    ann = await store.run(lambda s: enter(s, "ann"))
    for number in range(book.MOST_WAITING):
        await store.run(lambda s, n=number: suggest(s, f"Entry {n}", ann))
    with pytest.raises(Refused, match="wait already"):
        await store.run(lambda s: suggest(s, "One more", ann))


async def test_whoever_suggested_is_forgotten_and_only_what_was_published_stays(store: Store) -> None:
    ann, vera = await store.run(lambda s: (enter(s, "ann"), enter(s, "vera")))
    for title in ("Useful", "Waiting", "Useless"):
        await store.run(lambda s, title=title: suggest(s, title, ann))
    await store.run(lambda s: book.save(s, "useful", member=ann.id, now=NOW))
    await store.run(lambda s: book.confirm(s, "useful", day=NOW.date(), by=ann.id))
    for name, publish in (("useful", True), ("useless", False)):

        def decide(session: Session, name: str = name, publish: bool = publish) -> None:
            found = session.get(Shelved, name)
            book.decide(session, found, publish=publish, facts=found.facts, by=vera.id, now=NOW)

        await store.run(decide)
    assert (await store.run(lambda s: s.get(Shelved, "useless"))).facts == "{}", "its words are gone at once"
    await store.run(lambda s: privacy.erase(s, ann.id, NOW))
    left = await store.run(lambda s: list(s.scalars(select(Shelved))))
    assert [(each.id, each.by, each.standing) for each in left] == [("useful", None, Standing.PUBLISHED)]
    assert await store.run(lambda s: book.reviews(s, {"useful"})) == {"useful": NOW.date()}
    assert await store.run(lambda s: s.scalar(select(func.count()).select_from(core(SavedResource)))) == 0


async def test_each_network_keeps_its_own_copy_and_takes_nobody_elses(store: Store) -> None:
    assert await store.run(lambda s: put(s, "Guide", TORTURE, network="all", digest="d" * 64))
    its = row("Guide of ours")
    facts = {"id": its.id, "network": "uj", "facts": its.model_dump_json(), "passages": TORTURE, "now": NOW}
    assert await store.run(lambda s: book.put(s, digest="d" * 64, **facts))
    assert not await store.run(lambda s: book.put(s, digest="d" * 64, **facts))
    found = await store.run(lambda s: book.found(s, ["guide", "guide-of-ours"], {"climate"}))
    assert set(found) == {"guide"}


async def test_a_review_counts_from_its_own_day(store: Store) -> None:
    await store.run(lambda s: book.confirm(s, "de-vstgb", day=date(2026, 11, 1), by=None))
    await store.run(lambda s: book.confirm(s, "de-vstgb", day=date(2026, 11, 9), by=None))
    assert await store.run(book.reviews) == {"de-vstgb": date(2026, 11, 9)}
    assert await store.run(lambda s: book.reviews(s, {"other"})) == {}


async def test_an_id_that_is_taken_gets_an_ending(store: Store) -> None:
    await store.run(lambda s: put(s, "One", []))
    fresh = await store.run(lambda s: book.fresh_id(s, "one", random.Random(1), taken={"two"}))
    assert fresh.startswith("one-")
    assert await store.run(lambda s: book.fresh_id(s, "three", random.Random(1), taken={"two"})) == "three"
    assert (await store.run(lambda s: book.fresh_id(s, "two", random.Random(1), taken={"two"}))).startswith("two-")
    Resource.model_validate(row("One").model_dump() | {"id": fresh})  # it may be called so


async def test_look_up_follows_what_comes_changes_and_goes(store: Store) -> None:
    known = library()
    await store.run(lambda s: put(s, "Against torture", TORTURE))
    assert await store.run(lambda s: ids(known, "torture", s)) == []
    await follow(store, known)
    assert await store.run(lambda s: ids(known, "torture exceptions", s)) != []
    assert "against-torture#1" in await store.run(lambda s: ids(known, "torture forbidden", s))
    await store.run(lambda s: put(s, "Against torture", [Stretch("", "Quokkas are protected.", "")]))
    await follow(store, known)
    assert await store.run(lambda s: ids(known, "forbidden", s)) == []
    assert await store.run(lambda s: ids(known, "quokkas", s)) == ["against-torture#1"]
    await store.run(lambda s: book.withdraw(s, book.one(s, "against-torture", {"uj"}), now=NOW))
    assert await store.run(lambda s: ids(known, "quokkas", s)) == [], "at once: the store is asked again"
    await follow(store, known)
    assert known.search("quokkas") == []
    assert [hit.key for hit in known.search("always there")] == ["the-base"]


async def test_processes_of_one_machine_share_the_work(open_store: Callable[[], Store], tmp_path: Path) -> None:
    store, other = open_store(), open_store()
    one, two = library(tmp_path), library(tmp_path)
    for number in range(5):
        await store.run(lambda s, n=number: put(s, f"Entry {n}", TORTURE))
    await asyncio.gather(follow(store, one), follow(other, two))
    await follow(store, one)
    await follow(other, two)
    assert one.reached == two.reached == 5
    assert len(await store.run(lambda s: ids(two, "torture", s))) == 5


async def test_an_older_store_is_followed_from_its_beginning(store: Store) -> None:
    known = library()
    known.follow([], 40)
    await store.run(lambda s: put(s, "Against torture", TORTURE))
    await follow(store, known)
    assert known.reached == 1
    assert await store.run(lambda s: ids(known, "torture", s)) != []


async def test_no_number_is_given_twice_although_suggestions_go(store: Store) -> None:
    ann = await store.run(lambda s: enter(s, "ann"))
    known = library()
    await store.run(lambda s: put(s, "One", TORTURE))
    await store.run(lambda s: suggest(s, "Waiting", ann))
    await follow(store, known)
    await store.run(lambda s: privacy.erase(s, ann.id, NOW))
    await store.run(lambda s: put(s, "Quokkas", [Stretch("", "Quokkas are protected.", "")]))
    await follow(store, known)
    assert await store.run(lambda s: ids(known, "quokkas protected", s)) != []


# Who sees what


async def staged(store: Store) -> Stage:
    """A stage with a document of uj, one of sanctions, and one for everybody, all about quokkas."""
    made = Stage(store)
    for name, role in (("gus", "guest"), ("ann", "member"), ("vera", "coordinator")):
        await made.cast(name, role, "en", "UTC")
    for title, network in (("Ours", "uj"), ("Theirs", "sanctions"), ("Everybodys", "all")):
        await store.run(lambda s, t=title, n=network: put(s, t, [Stretch("", f"Quokkas of {t}.", "")], network=n))
    await made.follow()
    return made


async def heard(stage: Stage, who: str, words: str, **where: bool) -> str:
    before = len(stage.lines)
    await stage.say(who, words, **where)
    return "\n".join(stage.lines[before:])


async def test_a_network_reads_its_own_shelf_and_a_guest_only_what_is_for_everybody(store: Store) -> None:
    stage = await staged(store)
    for who, seen in (("gus", {"Everybodys"}), ("ann", {"Ours", "Everybodys"})):
        shown = await heard(stage, who, "find quokkas")
        assert {title for title in ("Ours", "Theirs", "Everybodys") if title in shown} == seen
        for network in ("sanctions", "climate"):
            assert "Theirs" not in await heard(stage, who, f"find network={network} words=quokkas")
        assert "has no entry" in await heard(stage, who, "resource show theirs")
    assert "Theirs" not in await heard(stage, "ann", "ask quokkas of theirs")


async def test_a_term_stands_beside_entries_that_speak_of_it_and_no_others(store: Store) -> None:
    stage = await staged(store)
    assert "hrw-uj-germany" in await heard(stage, "ann", "term limitation period")
    assert "In the library" not in await heard(stage, "ann", "term trafficking in persons")


async def test_what_one_may_not_see_takes_nobodys_place(store: Store) -> None:
    stage = await staged(store)
    many = [Stretch("", "Quokkas quokkas quokkas.", "") for _ in range(3)]
    for number in range(30):
        await store.run(lambda s, n=number: put(s, f"Secret {n}", many))
    await stage.follow()
    assert "Everybodys" in await heard(stage, "gus", "find quokkas")


async def test_a_coordinator_withdraws_and_confirms_for_their_own_network_only(store: Store) -> None:
    stage = await staged(store)
    for id_ in ("everybodys", "theirs"):
        assert "Withdrawn" not in await heard(stage, "vera", f"resource withdraw {id_}")
    assert "Confirmed" not in await heard(stage, "vera", "resource confirm theirs")
    assert "Confirmed" in await heard(stage, "vera", "resource confirm everybodys")
    assert "Withdrawn" in await heard(stage, "vera", "resource withdraw ours")
    assert "Ours" not in await heard(stage, "ann", "find quokkas")


async def test_what_was_saved_is_listed_to_the_last(store: Store) -> None:
    stage = await staged(store)
    ids_ = [each.id for each in LIBRARY.resources if each.network in {"uj", "all"}][:13]
    for id_ in ids_:
        await stage.say("ann", f"resource save {id_}")
        stage.now += timedelta(minutes=1)
    shown = await heard(stage, "ann", "resource saved")
    assert all(id_ in shown for id_ in ids_)
    assert f"Earlier: {', '.join(reversed(ids_[:3]))}." in shown


async def test_a_checklist_of_last_year_stands_in_its_own_networks_digest_until_it_is_confirmed(store: Store) -> None:
    stage = await staged(store)
    checklists = [each for each in LIBRARY.checklists.all if each.network == "uj"]
    later = max(each.as_of for each in checklists) + timedelta(days=400)
    told = f"{len(checklists)} checklists were last reviewed"
    assert told not in await heard(stage, "vera", "digest preview")
    stage.now = datetime.combine(later, time(9), UTC)
    shown = await heard(stage, "vera", "digest preview")
    assert told in shown
    assert "uk-ghr" not in shown
    assert "Confirmed" in await heard(stage, "vera", "checklist confirm uj-de")
    assert f"{len(checklists) - 1} checklists were" in await heard(stage, "vera", "digest preview")


async def test_the_id_of_a_suggestion_tells_nobody_that_another_waits(store: Store) -> None:
    stage = await staged(store)
    line = (
        "resource suggest url=https://example.org/x kind=guide jurisdiction=DE language=en "
        "title=Ours summary=About quokkas. relevance=It matters."
    )
    for _ in range(2):
        assert re.search(r"about ours-[0-9a-z]{5}, ", await heard(stage, "ann", line))
    assert "web address" in await heard(stage, "ann", line.replace("https://example.org/x", "https://[x"))
