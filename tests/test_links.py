import asyncio
import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import Column, event, func, insert, select

from storage import audit, forms, links, members, outbox, privacy
from storage import office_hours as hours
from storage.links import LinkCode, LinkTry
from storage.members import DirectRoom, Member, Role
from storage.office_hours import Booked
from storage.refused import Refused
from storage.sealed import ErasedError, Vault, ring
from storage.store import Session, Store, execute
from storage.table import Sealed, SealedText, Table, Word, core, envelope, every_table

MASTER = bytes(range(32))
WRONG = "K-00000000"

Meet = Callable[..., Member]


@pytest.fixture
def meet(now: datetime) -> Meet:
    def recognise(session: Session, address: str, platform: str = "matrix", at: datetime = now) -> Member:
        return members.recognise(
            session, platform=platform, address=address, language="en", zone="UTC", rng=Random(address), now=at
        )

    return recognise


@pytest.fixture
async def ann(store: Store, meet: Meet) -> Member:
    return await store.run(lambda s: meet(s, "@ann:x"))


@pytest.fixture
async def bob(store: Store, meet: Meet) -> Member:
    return await store.run(lambda s: meet(s, "77", "discord"))


def issue(session: Session, member: Member, now: datetime, seed: int = 7) -> str:
    return links.issue(session, member=member.id, now=now, rng=Random(seed))


def redeem(session: Session, code: str, by: Member, now: datetime) -> UUID | None:
    found = links.redeem(session, code=code, by=by.id, now=now)
    return found.id if found else None


def join(session: Session, survivor: Member, merged: Member, now: datetime) -> None:
    """As `me confirm` does it; the members may come from an earlier transaction."""
    one, other = session.get_one(Member, survivor.id), session.get_one(Member, merged.id)
    links.join(session, survivor=one, merged=other, now=now)


def offered(session: Session, mentor: UUID, now: datetime, **facts: Any) -> list[hours.Slot]:
    """The slots of a window on the next day, seats for three."""
    day = (now + timedelta(days=1)).date()
    window = {"zone": "UTC", "from_minute": 600, "to_minute": 780, "day": day, "seats": 3, "notice_hours": 0}
    made = hours.offer(session, mentor=mentor, network="uj", now=now, rng=Random(mentor.int), **window | facts)
    open_ones = hours.open_slots(session, network="uj", now=now, mentor=mentor, limit=None)
    return [slot for slot in open_ones if slot.offer.id == made.id]


def booked(session: Session, slot: hours.Slot, member: UUID, now: datetime, topic: str | None = None) -> Booked:
    return hours.book(session, slot=slot, member=member, topic=topic, now=now, rng=Random(f"{member}{slot.code}{now}"))


# Codes


async def test_a_code_said_on_another_account_tells_once_who_asked_for_it(
    store: Store, ann: Member, bob: Member, now: datetime
) -> None:
    code = await store.run(lambda s: issue(s, ann, now))
    just_in_time = now + timedelta(minutes=9, seconds=59)
    spelled = code.lower().replace("-", " ")
    assert await store.run(lambda s: redeem(s, spelled, bob, just_in_time)) == ann.id
    assert await store.run(lambda s: redeem(s, code, bob, just_in_time)) is None


async def test_a_new_code_takes_the_place_of_the_one_before(
    store: Store, ann: Member, bob: Member, now: datetime
) -> None:
    former, present = [await store.run(lambda s, n=n: issue(s, ann, now, n)) for n in (1, 2)]
    assert await store.run(lambda s: redeem(s, former, bob, now)) is None
    assert await store.run(lambda s: redeem(s, present, bob, now)) == ann.id


async def test_two_people_never_have_one_code(store: Store, ann: Member, bob: Member, now: datetime) -> None:
    drawn = [await store.run(lambda s, m=member: issue(s, m, now, seed=5)) for member in (ann, bob)]
    assert len(set(drawn)) == 2


async def test_a_person_gets_a_few_codes_an_hour(store: Store, ann: Member, bob: Member, now: datetime) -> None:
    for minute in range(links.MOST_CODES):
        at = now + timedelta(minutes=minute)
        await store.run(lambda s, at=at: issue(s, ann, at, at.minute))
    with pytest.raises(Refused, match="several codes") as refused:
        await store.run(lambda s: issue(s, ann, now + timedelta(minutes=20)))
    assert refused.value.values["wait"] == timedelta(minutes=40)
    assert await store.run(lambda s: issue(s, bob, now + timedelta(minutes=20), 8))
    assert await store.run(lambda s: issue(s, ann, now + timedelta(minutes=60), 9))


async def test_the_database_does_not_tell_a_code(
    sqlite_store: Store, meet: Meet, tmp_path: Path, now: datetime
) -> None:
    code = await sqlite_store.run(lambda s: issue(s, meet(s, "@ann:x"), now))
    await sqlite_store.close()
    written = b"".join(file.read_bytes() for file in sorted(tmp_path.glob("hub.db*")))  # noqa: ASYNC240 small files
    assert code.encode() not in written
    assert code[2:].encode() not in written


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """What the database is asked meanwhile."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    event.listen(store._engine, "before_cursor_execute", note)
    yield asked
    event.remove(store._engine, "before_cursor_execute", note)


async def test_unknown_expired_used_replaced_and_own_codes_are_one_answer_after_the_same_work(
    store: Store, ann: Member, bob: Member, meet: Meet, now: datetime
) -> None:
    cleo, dan = [await store.run(lambda s, name=name: meet(s, name)) for name in ("@cleo:x", "@dan:x")]
    later = now + timedelta(minutes=10)
    expired = await store.run(lambda s: issue(s, ann, now, 1))
    replaced = await store.run(lambda s: issue(s, cleo, later, 2))
    used = await store.run(lambda s: issue(s, cleo, later, 3))
    assert await store.run(lambda s: redeem(s, used, dan, later)) == cleo.id
    own = await store.run(lambda s: issue(s, bob, later, 4))

    work = []
    for code in (own, expired, replaced, used, "no code at all"):
        with statements(store) as asked:
            assert await store.run(lambda s, code=code: redeem(s, code, bob, later)) is None
        work.append(asked)
    assert all(each == work[0] for each in work)
    assert await store.run(lambda s: redeem(s, own, dan, later)) == bob.id, "one's own code stays good for others"


async def test_after_five_wrong_codes_none_is_looked_up_until_ten_minutes_have_passed(
    store: Store, ann: Member, bob: Member, meet: Meet, now: datetime
) -> None:
    for minute in range(links.MOST_TRIES):
        at = now + timedelta(minutes=minute)
        assert await store.run(lambda s, at=at: redeem(s, WRONG, bob, at)) is None
    late = now + timedelta(minutes=5)
    code = await store.run(lambda s: issue(s, ann, late))
    with statements(store) as asked, pytest.raises(Refused, match="Too many wrong codes") as refused:
        await store.run(lambda s: redeem(s, code, bob, late))
    assert refused.value.values["wait"] == timedelta(minutes=5)
    assert not any("link_code" in statement for statement in asked)

    cleo = await store.run(lambda s: meet(s, "@cleo:x"))
    assert await store.run(lambda s: redeem(s, WRONG, cleo, late)) is None, "it is each person's own count"
    assert await store.run(lambda s: redeem(s, code, bob, now + timedelta(minutes=10))) == ann.id


async def test_a_code_that_others_have_seen_works_no_longer(
    store: Store, ann: Member, bob: Member, now: datetime
) -> None:
    code = await store.run(lambda s: issue(s, ann, now))
    await store.run(lambda s: links.spoil(s, "anything else"))
    await store.run(lambda s: links.spoil(s, code.lower()))
    assert await store.run(lambda s: redeem(s, code, bob, now)) is None


async def test_codes_and_wrong_tries_are_kept_for_a_day(store: Store, ann: Member, bob: Member, now: datetime) -> None:
    await store.run(lambda s: issue(s, ann, now))
    await store.run(lambda s: redeem(s, WRONG, bob, now))
    assert set(await store.run(lambda s: privacy.export(s, ann.id))) == {"member", "account", "link_code"}
    assert set(await store.run(lambda s: privacy.export(s, bob.id))) == {"member", "account", "link_try"}
    assert await store.run(lambda s: privacy.sweep(s, now + timedelta(hours=23))) == {}
    swept = await store.run(lambda s: privacy.sweep(s, now + timedelta(hours=25)))
    assert swept == {"link_code": 1, "link_try": 1}


# The join


def settle(session: Session, person: Member, name: str, now: datetime) -> None:
    """Give somebody a room, a role, a form, messages on their way, an entry in the audit."""
    account_id, platform = next(iter(members.accounts(session, person.id).items()))
    session.add(
        DirectRoom(
            account_id=account_id, bot=f"{platform}:uj", member_id=person.id, address=Sealed(person.id, f"!{name}")
        )
    )
    members.grant(session, actor=None, member=person, network="uj", role=Role.MEMBER, now=now)
    forms.keep(session, member_id=person.id, bot=f"{platform}:uj", room="r", call=f"call of {name}", asked="x", now=now)
    message = {"sender": f"{platform}:uj", "owner": person.id, "lane": outbox.Lane.ALERT, "due_at": now, "now": now}
    outbox.put(session, key=f"for {name}", payload=f"words for {name}", member_id=person.id, **message)
    outbox.put(session, key=f"by {name}", payload=f"words of {name}", place="the room", **message)
    audit.append(session, at=now, network="uj", actor=person.id, action="hours book", subject="B-1")
    audit.append(session, at=now, network="uj", actor=None, action="roles grant", subject=str(person.id))


async def test_after_a_join_both_accounts_are_one_person(store: Store, ann: Member, bob: Member, now: datetime) -> None:
    def arrange(session: Session) -> str:
        settle(session, ann, "ann", now)
        settle(session, bob, "bob", now)
        members.grant(session, actor=None, member=bob, network="climate", role=Role.MENTOR, now=now)
        slots = offered(session, bob.id, now)
        members.set_language(session, session.get_one(Member, ann.id), "uk")
        members.set_quiet(session, session.get_one(Member, bob.id), 0, 60)
        return slots[0].code

    slot = await store.run(arrange)
    await store.run(lambda s: join(s, ann, bob, now))

    found = await store.run(lambda s: members.account(s, platform="discord", address="77"))
    assert found
    assert (found.member_id, found.address) == (ann.id, Sealed(ann.id, "77"))
    person = await store.run(lambda s: s.get_one(Member, ann.id))
    assert (person.handle, person.language, person.quiet_from) == (ann.handle, "uk", None)
    assert await store.run(lambda s: s.get(Member, bob.id)) is None
    assert await store.run(lambda s: members.by_handle(s, bob.handle)) is None
    assert await store.run(lambda s: members.roles(s, ann.id, "uj")) == {Role.GUEST, Role.MEMBER}
    assert await store.run(lambda s: members.roles(s, ann.id, "climate")) == {Role.GUEST, Role.MENTOR}
    assert await store.run(lambda s: hours.slot_by_code(s, slot, network="uj").offer.mentor_id) == ann.id
    assert {tuple(way) for way in await store.run(lambda s: members.reach(s, ann.id, "uj"))} == {
        ("matrix:uj", "@ann:x", "!ann"),
        ("discord:uj", "77", "!bob"),
    }
    asked = await store.run(lambda s: forms.current(s, member_id=ann.id, bot="discord:uj", room="r"))
    assert asked
    assert asked.call == "call of bob"
    claimed = await store.run(
        lambda s: outbox.claim(s, sender="discord:uj", owner="c", lease=timedelta(minutes=1), limit=9, now=now)
    )
    assert {(each.payload, each.member_id) for each in claimed} == {
        ("words for bob", ann.id),
        ("words of bob", None),
    }


async def test_whoever_still_holds_the_merged_member_cannot_bring_them_back(
    store: Store, ann: Member, bob: Member, now: datetime
) -> None:
    def confirm(session: Session) -> str:
        one, other = session.get_one(Member, ann.id), session.get_one(Member, bob.id)
        links.join(session, survivor=one, merged=other, now=now)
        other.away_until = now
        return other.handle

    assert await store.run(confirm) == bob.handle
    assert await store.run(lambda s: s.get(Member, bob.id)) is None


async def test_after_a_join_no_code_of_either_works(
    store: Store, ann: Member, bob: Member, meet: Meet, now: datetime
) -> None:
    cleo = await store.run(lambda s: meet(s, "@cleo:x"))
    issued = [await store.run(lambda s, m=m, n=n: issue(s, m, now, n)) for n, m in enumerate((ann, bob))]
    await store.run(lambda s: join(s, ann, bob, now))
    assert [await store.run(lambda s, code=code: redeem(s, code, cleo, now)) for code in issued] == [None, None]


async def test_whoever_joins_first_is_known_since_the_earlier_day(
    store: Store, bob: Member, meet: Meet, now: datetime
) -> None:
    later = now + timedelta(days=3)
    ann = await store.run(lambda s: meet(s, "@ann:x", at=later))
    await store.run(lambda s: join(s, ann, bob, later))
    assert (await store.run(lambda s: s.get_one(Member, ann.id))).created_at == now


async def test_of_two_open_questions_in_one_place_the_survivors_stays(
    store: Store, ann: Member, bob: Member, now: datetime
) -> None:
    def arrange(session: Session) -> None:
        for person, room in ((ann, "one"), (bob, "one"), (bob, "two")):
            forms.keep(session, member_id=person.id, bot="b", room=room, call=person.handle, asked="x", now=now)

    await store.run(arrange)
    await store.run(lambda s: join(s, ann, bob, now))
    for room, handle in (("one", ann.handle), ("two", bob.handle)):
        asked = await store.run(lambda s, room=room: forms.current(s, member_id=ann.id, bot="b", room=room))
        assert asked
        assert asked.call == handle


async def test_the_audit_names_the_survivor_is_whole_and_tells_that_it_was_rewritten(
    store: Store, ann: Member, bob: Member, now: datetime
) -> None:
    def arrange(session: Session) -> str:
        audit.append(session, at=now, network="uj", actor=ann.id, action="a")
        settle(session, bob, "bob", now)
        audit.append(session, at=now, network="uj", actor=ann.id, action="z")
        return audit.recent(session, "uj")[0].hash

    head = await store.run(arrange)
    before = await store.run(lambda s: audit.recent(s, "uj"))
    await store.run(lambda s: join(s, ann, bob, now))

    assert await store.run(audit.verify) is None
    after = await store.run(lambda s: audit.recent(s, "uj"))
    assert [(each.seq, each.at, each.action) for each in after] == [(each.seq, each.at, each.action) for each in before]
    assert [each.actor for each in after] == [ann.id, None, ann.id, ann.id]
    assert [each.subject for each in after] == [None, str(ann.id), "B-1", None]
    assert after[-1].hash == before[-1].hash, "what came before stays as it was"
    (note,) = await store.run(lambda s: audit.recent(s, members.EVERYWHERE))
    assert (note.action, note.subject, note.seq) == ("audit rewritten", head, 5)


async def test_an_audit_whose_beginning_was_deleted_by_age_keeps_its_numbers(
    store: Store, ann: Member, bob: Member, now: datetime
) -> None:
    def arrange(session: Session) -> None:
        audit.append(session, at=now - timedelta(days=4 * 365), network="uj", actor=ann.id, action="old")
        audit.append(session, at=now, network="uj", actor=bob.id, action="new")
        privacy.sweep(session, now)

    await store.run(arrange)
    await store.run(lambda s: join(s, ann, bob, now))
    (entry,) = await store.run(lambda s: audit.recent(s, "uj"))
    assert (entry.seq, entry.actor) == (2, ann.id)
    assert await store.run(audit.verify) is None


async def test_an_audit_that_was_changed_does_not_become_whole_by_a_join(
    store: Store, ann: Member, bob: Member, now: datetime
) -> None:
    def tamper(session: Session) -> None:
        seq = audit.append(session, at=now, network="uj", actor=bob.id, action="a")
        session.get_one(audit.AuditEntry, seq).action = "b"

    await store.run(tamper)
    with pytest.raises(Refused, match="audit is broken"):
        await store.run(lambda s: join(s, ann, bob, now))
    assert await store.run(audit.verify) == 1
    assert await store.run(lambda s: s.get(Member, bob.id))


# Who is in two places at once


async def test_bookings_at_one_time_stand_in_the_way_by_their_codes(
    store: Store, ann: Member, bob: Member, meet: Meet, now: datetime
) -> None:
    def arrange(session: Session) -> tuple[str, Booked]:
        one, other = (offered(session, meet(session, name).id, now) for name in ("@mara:x", "@milo:x"))
        booked(session, one[3], ann.id, now)
        free = booked(session, one[0], ann.id, now).booking.code
        theirs = booked(session, other[0], bob.id, now)
        return free, theirs

    mine, theirs = await store.run(arrange)
    before = [await store.run(lambda s, m=m: privacy.export(s, m.id)) for m in (ann, bob)]
    with pytest.raises(Refused, match="two conversations") as refused:
        await store.run(lambda s: join(s, ann, bob, now))
    assert refused.value.values["bookings"] == sorted([mine, theirs.booking.code])
    assert [await store.run(lambda s, m=m: privacy.export(s, m.id)) for m in (ann, bob)] == before

    await store.run(lambda s: hours.cancel(s, booking=s.merge(theirs.booking), by=bob.id, now=now) and None)
    await store.run(lambda s: join(s, ann, bob, now))


async def test_two_seats_in_one_conversation_stand_in_the_way(
    store: Store, ann: Member, bob: Member, meet: Meet, now: datetime
) -> None:
    def arrange(session: Session) -> set[str]:
        slot = offered(session, meet(session, "@mara:x").id, now)[0]
        booked(session, slot, meet(session, "@somebody-else:x").id, now)
        return {booked(session, slot, each.id, now).booking.code for each in (ann, bob)}

    codes = await store.run(arrange)
    with pytest.raises(Refused) as refused:
        await store.run(lambda s: join(s, ann, bob, now))
    assert set(refused.value.values["bookings"]) == codes


@pytest.mark.parametrize("mentor_stays", [True, False])
async def test_nobody_becomes_their_own_mentor(
    store: Store, ann: Member, bob: Member, now: datetime, mentor_stays: bool
) -> None:
    code = await store.run(lambda s: booked(s, offered(s, ann.id, now)[0], bob.id, now).booking.code)
    pair = (ann, bob) if mentor_stays else (bob, ann)
    with pytest.raises(Refused) as refused:
        await store.run(lambda s: join(s, *pair, now))
    assert refused.value.values["bookings"] == [code]


async def test_what_is_over_hinders_nobody(store: Store, ann: Member, bob: Member, now: datetime) -> None:
    await store.run(lambda s: booked(s, offered(s, ann.id, now)[0], bob.id, now) and None)
    await store.run(lambda s: join(s, ann, bob, now + timedelta(days=2)))
    assert await store.run(lambda s: s.get(Member, bob.id)) is None


# The laws


def filled(session: Session, person: UUID, number: int, now: datetime) -> None:
    """Write a row about somebody into every table, whatever it is made of; what may be theirs is."""
    made: dict[str, dict[str, Any]] = {"member": {"id": person}}
    privacies = {str(table.__tablename__): table.privacy for table in every_table()}
    values: dict[type, Any] = {
        int: number,
        float: 1.0,
        bool: True,
        bytes: bytes([number]) * 8,
        datetime: now,
        date: now.date(),
    }

    def value(table: str, column: Column[Any]) -> Any:
        for key in column.foreign_keys:
            return made[key.column.table.name][key.column.name]
        if column.name in privacies[table].whose:
            return person
        if isinstance(column.type, SealedText):
            return Sealed(person, f"{column} of {number}")
        if isinstance(column.type, Word):
            return next(iter(column.type.words))
        plain = getattr(column.type, "impl_instance", column.type)
        if plain.python_type is UUID:
            return uuid4()
        return values.get(plain.python_type) or f"{number} {column.name}"[: plain.length]

    for table in Table.metadata.sorted_tables:
        if table.name in privacies and table.name not in {"member", "audit_entry"}:
            made[table.name] = {column.name: value(table.name, column) for column in table.columns}
            execute(session, insert(table).values(made[table.name]))
    audit.append(session, at=now, network="uj", actor=person, action="a", subject=str(person))


def counted(session: Session) -> dict[str, int]:
    tables = [core(table) for table in every_table()]
    return {table.name: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


async def test_after_a_join_no_column_of_any_table_names_the_former_member_and_every_word_opens(
    store: Store, ann: Member, bob: Member, now: datetime
) -> None:
    def arrange(session: Session) -> dict[str, int]:
        for number, person in enumerate((ann, bob), 1):
            filled(session, person.id, number, now)
        return counted(session)

    before = await store.run(arrange)
    assert min(before.values()) > 0, "every table has a row"
    await store.run(lambda s: join(s, ann, bob, now))

    def look(session: Session) -> None:
        former = bob.id
        for table in map(core, every_table()):
            sealed = [column for column in table.columns if isinstance(column.type, SealedText)]
            raw = select(*(envelope(column) if column in sealed else column for column in table.columns))
            for row in execute(session, raw).mappings():
                for name, stored in row.items():
                    where = f"{table.name}.{name}"
                    assert former.bytes not in stored if isinstance(stored, bytes) else True, where
                    assert str(former) not in str(stored), where
                    assert former.hex not in str(stored), where
            for column in sealed:
                for words in execute(session, select(column)).scalars():
                    assert words is None or words.text, column

    await store.run(look)
    after = await store.run(counted)
    assert after == before | {"member": before["member"] - 1, "audit_entry": before["audit_entry"] + 1, "erased": 3}
    assert await store.run(audit.verify) is None

    await store.run(lambda s: privacy.shred(s, now + timedelta(minutes=6)))
    await store.run(look)


async def test_the_formers_key_goes_a_little_after_the_join_and_old_copies_stay_shut(
    store: Store, ann: Member, bob: Member, now: datetime
) -> None:
    copy = await store.run(lambda _s: ring().seal(Sealed(bob.id, "from a backup"), "form.call"))

    def read() -> Any:
        return store.run(lambda _s: ring().open(copy, "form.call").text)

    await store.run(lambda s: join(s, ann, bob, now))
    await store.run(lambda s: privacy.shred(s, now + timedelta(minutes=1)))
    assert await read() == "from a backup", "somebody may still be in a transaction that began before"
    await store.run(lambda s: privacy.shred(s, now + timedelta(minutes=5)))
    assert await read() is None
    with pytest.raises(ErasedError):
        await store.run(lambda _s: ring().seal(Sealed(bob.id, "anew"), "form.call"))
    assert (await store.run(lambda s: privacy.export(s, ann.id)))["account"][1]["address"]


async def test_erasing_the_survivor_leaves_nothing_of_either(
    store: Store, ann: Member, bob: Member, now: datetime
) -> None:
    def arrange(session: Session) -> None:
        settle(session, ann, "ann", now)
        settle(session, bob, "bob", now)

    await store.run(arrange)
    await store.run(lambda s: join(s, ann, bob, now))
    exported = await store.run(lambda s: privacy.export(s, ann.id))
    written = str(exported)
    assert all(word in written for word in ("@ann:x", "77", "!ann", "!bob", "call of bob", "words for bob"))

    report = await store.run(lambda s: privacy.erase(s, ann.id, now))
    assert report.failed == []
    for person in (ann, bob):
        assert set(await store.run(lambda s, p=person: privacy.export(s, p.id))) <= {"audit_entry"}
    assert (await store.run(counted))["account"] == 0


life = st.fixed_dictionaries(
    {
        "roles": st.sets(st.tuples(st.sampled_from(["uj", "climate"]), st.sampled_from([*Role][1:8])), max_size=4),
        "forms": st.sets(st.tuples(st.sampled_from(["matrix:uj", "discord:uj"]), st.sampled_from("ab")), max_size=3),
        "messages": st.integers(0, 3),
        "bookings": st.dictionaries(st.integers(0, 5), st.integers(0, 1), max_size=3),
        "offers": st.integers(0, 2),
        "entries": st.integers(0, 2),
        "platforms": st.sets(st.sampled_from(["matrix", "discord", "console"]), max_size=2),
        "rooms": st.booleans(),
    }
)
_run = itertools.count()


def lived(session: Session, person: Member, told: dict[str, Any], slots: list[list[hours.Slot]], now: datetime) -> None:
    for network, role in sorted(told["roles"]):
        members.grant(session, actor=None, member=person, network=network, role=role, now=now)
    for bot, room in sorted(told["forms"]):
        forms.keep(session, member_id=person.id, bot=bot, room=room, call=person.handle, asked="x", now=now)
    for n in range(told["messages"]):
        message = {"sender": "matrix:uj", "owner": person.id, "lane": outbox.Lane.ALERT, "due_at": now, "now": now}
        outbox.put(session, key=f"{person.id} {n}", payload=f"message {n}", member_id=person.id, **message)
    for slot, mentor in told["bookings"].items():
        booked(session, slots[mentor][slot], person.id, now, topic=f"topic of {person.handle}")
    for n in range(told["offers"]):
        offered(session, person.id, now, day=(now + timedelta(days=5 + n)).date())
    for n in range(told["entries"]):
        audit.append(session, at=now, network="uj", actor=person.id, action=f"a {n}")
    for platform in sorted(told["platforms"]):
        address = f"{person.handle} on {platform}"
        account = members.add_account(session, person, platform=platform, address=address, now=now)
        if told["rooms"]:
            members.set_dm(session, account, f"{platform}:uj", f"room of {address}")


def questions(session: Session, person: UUID, now: datetime) -> dict[str, Any]:
    """What can be asked about a person, as sets that can be united."""
    return {
        "roles": {(network, role) for network in ("uj", "climate") for role in members.roles(session, person, network)},
        "bookings": {each.booking.code for each in hours.bookings_of(session, person, since=now)},
        "topics": {
            each.booking.topic and each.booking.topic.text for each in hours.bookings_of(session, person, since=now)
        },
        "offers": {each.code for each in hours.offers_of(session, person)},
        "reach": {tuple(way) for way in members.reach(session, person, "uj")},
    }


def rows(exported: dict[str, list[dict[str, Any]]], *, of: Member, named: Member) -> Counter[Any]:
    """Exported rows that both kept, with one name for both people; times of accounts change, hashes follow ids."""
    found: Counter[Any] = Counter()
    for table in set(exported) - {"member", "role_grant", "form"}:
        for row in exported[table]:
            said = {
                name: str(named.id) if value == str(of.id) else value
                for name, value in row.items()
                if (table, name) not in {("account", "created_at"), ("audit_entry", "prev"), ("audit_entry", "hash")}
            }
            found[table, tuple(sorted((name, str(value)) for name, value in said.items()))] += 1
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=life, other=life)
async def test_after_a_join_every_question_has_the_answers_of_both(
    store: Store, meet: Meet, now: datetime, one: dict[str, Any], other: dict[str, Any]
) -> None:
    number = next(_run)

    def arrange(session: Session) -> tuple[Member, Member]:
        slots = [offered(session, meet(session, f"mentor {n} of {number}").id, now) for n in range(2)]
        people = tuple(meet(session, f"{name} {number}") for name in ("one", "other"))
        for person, told in zip(people, (one, other), strict=True):
            lived(session, person, told, slots, now)
        return people

    def ask(session: Session, person: UUID) -> tuple[dict[str, Any], dict[str, Any]]:
        return questions(session, person, now), privacy.export(session, person)

    ann, bob = await store.run(arrange)
    (first, of_ann), (second, of_bob) = [await store.run(lambda s, m=m: ask(s, m.id)) for m in (ann, bob)]
    if one["bookings"].keys() & other["bookings"].keys():
        with pytest.raises(Refused, match="two conversations"):
            await store.run(lambda s: join(s, ann, bob, now))
        assert await store.run(lambda s: ask(s, ann.id)) == (first, of_ann)
        assert await store.run(lambda s: ask(s, bob.id)) == (second, of_bob)
        return
    await store.run(lambda s: join(s, ann, bob, now))

    both, exported = await store.run(lambda s: ask(s, ann.id))
    assert both == {name: first[name] | second[name] for name in first}
    assert rows(exported, of=ann, named=ann) == rows(of_ann, of=ann, named=ann) + rows(of_bob, of=bob, named=ann)
    open_questions = {(row["bot"], row["room"]): row["call"] for row in exported.get("form", [])}
    assert open_questions == dict.fromkeys(other["forms"], bob.handle) | dict.fromkeys(one["forms"], ann.handle)
    assert await store.run(audit.verify) is None
    assert await store.run(lambda s: privacy.export(s, bob.id)) == {}


# At once, and cut short


def confirming(meet: Meet, code: str, address: str, now: datetime) -> Callable[[Session], bool]:
    def confirm(session: Session) -> bool:
        speaker = meet(session, address)
        survivor = links.redeem(session, code=code, by=speaker.id, now=now)
        if survivor is not None:
            links.join(session, survivor=survivor, merged=speaker, now=now)
        return survivor is not None

    return confirm


async def test_a_code_said_on_two_accounts_at_once_joins_one_of_them(
    open_store: Callable[[], Store], meet: Meet, now: datetime
) -> None:
    stores = [open_store() for _ in range(3)]
    ann = await stores[0].run(lambda s: meet(s, "@ann:x"))
    addresses = [f"@other{n}:x" for n in range(3)]
    for address in addresses:
        await stores[0].run(lambda s, a=address: meet(s, a) and None)
    code = await stores[0].run(lambda s: issue(s, ann, now))

    won = await asyncio.gather(
        *(store.run(confirming(meet, code, a, now)) for store, a in zip(stores, addresses, strict=True))
    )
    assert sorted(won) == [False, False, True]
    assert (await stores[0].run(counted))["member"] == 3
    assert len(await stores[0].run(lambda s: members.accounts(s, ann.id))) == 2
    assert (await stores[0].run(counted))["link_try"] == 2


async def test_two_who_confirm_each_others_codes_at_once_become_one_person(
    open_store: Callable[[], Store], meet: Meet, now: datetime
) -> None:
    one, other = open_store(), open_store()
    ann, bob = [await one.run(lambda s, a=address: meet(s, a)) for address in ("@ann:x", "@bob:x")]
    of_ann, of_bob = [await one.run(lambda s, m=m, n=n: issue(s, m, now, n)) for n, m in enumerate((ann, bob))]
    won = await asyncio.gather(
        one.run(confirming(meet, of_ann, "@bob:x", now)), other.run(confirming(meet, of_bob, "@ann:x", now))
    )
    assert sorted(won) == [False, True]
    left = await one.run(lambda s: [member.id for member in (ann, bob) if s.get(Member, member.id)])
    assert len(left) == 1
    assert len(await one.run(lambda s: members.accounts(s, left[0]))) == 2


class Torn(Exception):  # noqa: N818 it says what happened
    """The process ends here."""


@contextmanager
def torn_at(store: Store, nth: int) -> Iterator[list[int]]:
    """Let the nth statement fail, and count them."""
    count = [0]

    def tear(*_facts: object) -> None:
        count[0] += 1
        if count[0] == nth:
            raise Torn

    event.listen(store._engine, "before_cursor_execute", tear)
    yield count
    event.remove(store._engine, "before_cursor_execute", tear)


async def test_a_join_cut_short_at_any_statement_has_changed_nothing(
    store: Store, ann: Member, bob: Member, now: datetime
) -> None:
    def arrange(session: Session) -> str:
        settle(session, ann, "ann", now)
        settle(session, bob, "bob", now)
        for person in (ann, bob):
            forms.keep(session, member_id=person.id, bot="b", room="same", call="c", asked="x", now=now)
        return issue(session, ann, now)

    def confirm(session: Session) -> None:
        survivor = links.redeem(session, code=code, by=bob.id, now=now)
        assert survivor
        links.join(session, survivor=survivor, merged=session.get_one(Member, bob.id), now=now)

    def everything(session: Session) -> Any:
        privacy.shred(session, now + timedelta(hours=1))
        exported = [privacy.export(session, member.id) for member in (ann, bob)]
        # In which order a database gives rows is its own business.
        in_order = [{table: sorted(map(repr, rows)) for table, rows in each.items()} for each in exported]
        return in_order, audit.verify(session)

    code = await store.run(arrange)
    before = await store.run(everything)
    for nth in itertools.count(1):
        with torn_at(store, nth) as count, suppress(Torn):
            await store.run(confirm)
        if count[0] < nth:
            break
        assert await store.run(everything) == before, nth
    assert nth > 40
    assert await store.run(lambda s: s.get(Member, bob.id)) is None


# Backups


def _open(folder: Path) -> Store:
    return Store(f"sqlite:///{folder}/hub.db", vault=Vault(f"sqlite:///{folder}/keys.db", MASTER))


def _back_up(source: Path, target: Path) -> None:
    one, other = sqlite.connect(source), sqlite.connect(target)
    one.backup(other)
    one.close()
    other.close()


def _restore(backup: Path, target: Path) -> None:
    for leftover in target.parent.glob(f"{target.name}-*"):
        leftover.unlink()
    shutil.copy(backup, target)


@pytest.fixture
async def joined(sqlite_store: Store, meet: Meet, tmp_path: Path, now: datetime) -> tuple[Member, Member]:
    """Two who were joined after backups of both stores were made; nothing is open."""

    def arrange(session: Session) -> tuple[Member, Member]:
        ann, bob = meet(session, "@ann:x"), meet(session, "77", "discord")
        settle(session, ann, "ann", now)
        settle(session, bob, "bob", now)
        return ann, bob

    ann, bob = await sqlite_store.run(arrange)
    for name in ("hub", "keys"):
        _back_up(tmp_path / f"{name}.db", tmp_path / f"old-{name}.db")
    await sqlite_store.run(lambda s: join(s, ann, bob, now))
    await sqlite_store.run(lambda s: privacy.shred(s, now + timedelta(minutes=5)))
    await sqlite_store.close()
    return ann, bob


async def test_an_old_backup_of_the_data_brings_back_nobody_who_could_act_as_the_former_member(
    joined: tuple[Member, Member], meet: Meet, tmp_path: Path, now: datetime
) -> None:
    ann, bob = joined
    _restore(tmp_path / "old-hub.db", tmp_path / "hub.db")
    restored = _open(tmp_path)
    assert (await restored.run(lambda s: privacy.export(s, bob.id)))["form"][0]["call"] is None

    told = await restored.run(lambda s: privacy.restored(s, now))
    assert len(told.erased) == 1
    assert set(await restored.run(lambda s: privacy.export(s, bob.id))) == {"audit_entry"}
    assert (await restored.run(lambda s: privacy.export(s, ann.id)))["form"][0]["call"] == "call of ann"
    stranger = await restored.run(lambda s: meet(s, "77", "discord"))
    assert stranger.id not in {ann.id, bob.id}
    assert await restored.run(lambda s: members.roles(s, stranger.id, "uj")) == {Role.GUEST}

    code = await restored.run(lambda s: issue(s, ann, now))
    assert await restored.run(lambda s: redeem(s, code, stranger, now)) == ann.id, "they link it once more"
    await restored.run(lambda s: join(s, ann, stranger, now))
    await restored.close()


async def test_an_old_backup_of_the_keys_opens_nothing_of_the_former_member(
    joined: tuple[Member, Member], tmp_path: Path, now: datetime
) -> None:
    ann, bob = joined
    _restore(tmp_path / "old-keys.db", tmp_path / "keys.db")
    restored = _open(tmp_path)
    assert (await restored.run(lambda s: privacy.restored(s, now))).erased == []
    await restored.close()
    _restore(tmp_path / "old-hub.db", tmp_path / "hub.db")
    older = _open(tmp_path)
    assert (await older.run(lambda s: privacy.export(s, bob.id)))["form"][0]["call"] is None
    assert (await older.run(lambda s: privacy.export(s, ann.id)))["form"][0]["call"] == "call of ann"
    await older.close()


# Unlinking


async def test_an_unlinked_account_is_a_strangers_and_its_rooms_are_forgotten(
    store: Store, ann: Member, bob: Member, meet: Meet, now: datetime
) -> None:
    def arrange(session: Session) -> None:
        settle(session, ann, "ann", now)
        settle(session, bob, "bob", now)
        join(session, ann, bob, now)
        members.set_platform(session, session.get_one(Member, ann.id), "discord")

    await store.run(arrange)
    assert await store.run(lambda s: links.removable(s, ann.id)) == ["discord", "matrix"]
    assert await store.run(lambda s: links.unlink(s, member=s.get_one(Member, ann.id), platform="discord")) == 1

    exported = await store.run(lambda s: privacy.export(s, ann.id))
    assert [row["address"] for row in exported["account"]] == ["@ann:x"]
    assert [row["address"] for row in exported["direct_room"]] == ["!ann"]
    assert [row["bot"] for row in exported["form"]] == ["matrix:uj"]
    assert exported["member"][0]["platform"] is None
    stranger = await store.run(lambda s: meet(s, "77", "discord"))
    assert stranger.id not in {ann.id, bob.id}
    assert await store.run(lambda s: members.roles(s, stranger.id, "uj")) == {Role.GUEST}


async def test_nobody_is_left_without_an_account(store: Store, ann: Member) -> None:
    assert await store.run(lambda s: links.removable(s, ann.id)) == []
    for platform, reason in (("matrix", "only account"), ("discord", "no account there")):
        with pytest.raises(Refused, match=reason):
            await store.run(lambda s, p=platform: links.unlink(s, member=s.get_one(Member, ann.id), platform=p))


async def test_of_several_accounts_on_the_only_platform_the_first_one_stays(
    store: Store, ann: Member, meet: Meet, now: datetime
) -> None:
    earlier = now - timedelta(days=9)
    older = await store.run(lambda s: meet(s, "@older:x", at=earlier))
    await store.run(lambda s: join(s, ann, older, now + timedelta(minutes=1)))
    assert await store.run(lambda s: links.unlink(s, member=s.get_one(Member, ann.id), platform="matrix")) == 1
    (account,) = (await store.run(lambda s: privacy.export(s, ann.id)))["account"]
    assert account["address"] == "@ann:x", "the account that was linked is the one that goes"


def test_every_table_of_links_is_somebodys_and_kept_for_a_day_at_most() -> None:
    for table in (LinkCode, LinkTry):
        assert table.privacy.whose == ("member_id",)
        assert table.privacy.kept == timedelta(days=1)
