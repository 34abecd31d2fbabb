import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage import handles, members
from storage.members import Member, Role
from storage.refused import Refused
from storage.store import Conflict, Session, Store
from tests.transcript import Stage

Meet = Callable[..., Member]


@pytest.fixture
def meet(now: datetime) -> Callable[[Session, str], Member]:
    def recognise(session: Session, address: str, platform: str = "matrix") -> Member:
        return members.recognise(
            session,
            platform=platform,
            address=address,
            language="uk",
            zone="Europe/Kyiv",
            rng=Random(address),
            now=now,
        )

    return recognise


async def test_a_newcomer_becomes_a_guest_with_a_handle_and_is_known_from_then_on(
    store: Store, meet: Meet, now: datetime
) -> None:
    ann = await store.run(lambda s: meet(s, "@ann:x"))
    assert re.fullmatch(r"[a-z]+-[a-z]+", ann.handle)
    assert (ann.language, ann.zone, ann.created_at) == ("uk", "Europe/Kyiv", now)
    assert await store.run(lambda s: members.roles(s, ann.id, "uj")) == {Role.GUEST}

    again = await store.run(lambda s: meet(s, "@ann:x"))
    assert again == ann


async def test_accounts_are_told_apart_by_platform_and_spelling(store: Store, meet: Meet) -> None:
    met = [
        await store.run(lambda s, a=address, p=platform: meet(s, a, p))
        for address, platform in [("@ann:x", "matrix"), ("@Ann:x", "matrix"), ("@ann:x", "discord")]
    ]
    assert len({member.id for member in met}) == 3


async def test_two_accounts_can_belong_to_one_person_but_not_one_account_to_two(
    store: Store, meet: Meet, now: datetime
) -> None:
    ann = await store.run(lambda s: meet(s, "@ann:x"))
    bob = await store.run(lambda s: meet(s, "@bob:x"))
    later = now + timedelta(hours=1)
    await store.run(lambda s: members.add_account(s, ann, platform="discord", address="77", now=later) and None)

    assert await store.run(lambda s: meet(s, "77", "discord")) == ann
    found = await store.run(lambda s: members.account(s, platform="discord", address="77"))
    assert found is not None
    assert (found.member_id, found.address.text) == (ann.id, "77")
    with pytest.raises(Conflict) as conflict:
        await store.run(lambda s: members.add_account(s, bob, platform="discord", address="77", now=now))
    assert conflict.value.constraint == "uq_account_platform_fingerprint"


async def test_one_who_writes_to_several_processes_at_once_becomes_one_person(
    open_store: Callable[[], Store], meet: Meet
) -> None:
    stores = [open_store() for _ in range(3)]
    met = await asyncio.gather(*(store.run(lambda s: meet(s, "@ann:x")) for _ in range(4) for store in stores))
    assert len({member.id for member in met}) == 1


async def test_no_two_people_bear_one_handle(store: Store, now: datetime) -> None:
    def twice(session: Session) -> list[str]:
        return [
            members.recognise(
                session, platform="x", address=address, language="en", zone="UTC", rng=Random(1), now=now
            ).handle
            for address in ("a", "b", "c")
        ]

    assert len(set(await store.run(twice))) == 3


async def test_a_person_is_found_by_their_handle_however_it_is_spelled(store: Store, meet: Meet) -> None:
    ann = await store.run(lambda s: meet(s, "@ann:x"))
    first, second = ann.handle.split("-")
    for spelled in (
        ann.handle,
        f" {first.title()} {second.title()} ",
        f"{first}--{second}",
        ann.handle.upper(),
    ):
        assert await store.run(lambda s, h=spelled: members.by_handle(s, h)) == ann
    assert await store.run(lambda s: members.by_handle(s, "nobody-here")) is None
    assert await store.run(lambda s: members.by_handle(s, "")) is None


def test_handles_are_made_of_short_plain_words_that_are_in_one_list_only() -> None:
    words = [*handles.ADJECTIVES, *handles.NOUNS]
    assert len(words) == len(set(words))
    assert min(len(handles.ADJECTIVES), len(handles.NOUNS)) >= 200
    assert all(re.fullmatch(r"[a-z]{3,10}", word) for word in words)


class TestRoles:
    @pytest.fixture
    async def people(self, store: Store, meet: Meet, now: datetime) -> dict[str, Member]:
        """An admin, a coordinator of uj, and somebody."""

        def arrange(session: Session) -> dict[str, Member]:
            made = {name: meet(session, f"@{name}:x") for name in ("admin", "coordinator", "ann")}
            for name, network in (("admin", "anything"), ("coordinator", "uj")):
                members.grant(session, actor=None, member=made[name], network=network, role=Role(name), now=now)
            return made

        return await store.run(arrange)

    async def test_an_admin_gives_and_takes_every_role_everywhere(
        self, store: Store, people: dict[str, Member], now: datetime
    ) -> None:
        admin, ann = people["admin"], people["ann"]
        for role in set(Role) - {Role.GUEST}:
            for network in ("uj", "climate"):
                facts = {"actor": admin, "member": ann, "network": network, "role": role}
                await store.run(lambda s, f=facts: members.grant(s, **f, now=now))
                assert role in await store.run(lambda s, n=network: members.roles(s, ann.id, n))
                await store.run(lambda s, f=facts: members.revoke(s, **f))
        assert await store.run(lambda s: members.roles(s, ann.id, "uj")) == {Role.GUEST}

    async def test_a_coordinator_gives_and_takes_some_roles_in_their_own_network(
        self, store: Store, people: dict[str, Member], now: datetime
    ) -> None:
        facts = {"actor": people["coordinator"], "member": people["ann"]}
        given = set()
        for role in Role:
            try:
                await store.run(lambda s, r=role: members.grant(s, **facts, network="uj", role=r, now=now))
                given.add(role)
            except Refused:
                with pytest.raises(Refused):
                    await store.run(lambda s, r=role: members.revoke(s, **facts, network="uj", role=r))
            with pytest.raises(Refused):
                await store.run(lambda s, r=role: members.grant(s, **facts, network="climate", role=r, now=now))
        assert given == {Role.MEMBER, Role.MENTOR, Role.SELECTOR, Role.OFFICER}
        assert await store.run(lambda s: members.roles(s, people["ann"].id, "uj")) == given | {Role.GUEST}
        assert await store.run(lambda s: members.roles(s, people["ann"].id, "climate")) == {Role.GUEST}

    async def test_others_give_nothing(self, store: Store, people: dict[str, Member], now: datetime) -> None:
        for role in Role:
            with pytest.raises(Refused):
                await store.run(
                    lambda s, r=role: members.grant(
                        s, actor=people["ann"], member=people["ann"], network="uj", role=r, now=now
                    )
                )

    async def test_giving_twice_and_taking_what_is_not_there_change_nothing(
        self, store: Store, people: dict[str, Member], now: datetime
    ) -> None:
        facts = {"actor": people["admin"], "member": people["ann"], "network": "uj", "role": Role.MENTOR}
        assert await store.run(lambda s: members.grant(s, **facts, now=now))
        assert not await store.run(lambda s: members.grant(s, **facts, now=now))
        assert await store.run(lambda s: members.revoke(s, **facts))
        assert not await store.run(lambda s: members.revoke(s, **facts))

    async def test_the_last_admin_cannot_leave_but_the_last_but_one_can(
        self, store: Store, people: dict[str, Member], now: datetime
    ) -> None:
        admin, ann = people["admin"], people["ann"]
        leave = {"actor": admin, "member": admin, "network": "uj", "role": Role.ADMIN}
        with pytest.raises(Refused, match="last one"):
            await store.run(lambda s: members.revoke(s, **leave))
        await store.run(lambda s: members.grant(s, actor=admin, member=ann, network="x", role=Role.ADMIN, now=now))
        assert await store.run(lambda s: members.revoke(s, **leave))

    async def test_a_last_coordinator_who_is_admin_too_cannot_leave_their_network_alone(
        self, store: Store, people: dict[str, Member], now: datetime
    ) -> None:
        both = people["admin"]
        operator = {"actor": None, "network": "climate", "role": Role.COORDINATOR}
        await store.run(lambda s: members.grant(s, **operator, member=both, now=now))
        leave = {"actor": both, "member": both, "network": "climate", "role": Role.COORDINATOR}
        with pytest.raises(Refused, match="last one"):
            await store.run(lambda s: members.revoke(s, **leave))


async def test_what_a_person_sets_stays_set(store: Store, meet: Meet, now: datetime) -> None:
    def change(session: Session) -> UUID:
        ann = meet(session, "@ann:x")
        members.set_language(session, ann, "ru")
        members.set_zone(session, ann, "Asia/Almaty")
        members.set_quiet(session, ann, 22 * 60, 7 * 60)
        members.set_away(session, ann, now)
        return ann.id

    ann_id = await store.run(change)
    ann = await store.run(lambda s: s.get(Member, ann_id))
    assert ann
    assert (ann.language, ann.zone, ann.quiet_from, ann.quiet_to) == ("ru", "Asia/Almaty", 1320, 420)
    assert ann.away_until == now

    await store.run(lambda s: members.set_quiet(s, s.get_one(Member, ann_id), None, None))
    await store.run(lambda s: members.set_away(s, s.get_one(Member, ann_id), None))
    ann = await store.run(lambda s: s.get(Member, ann_id))
    assert ann
    assert (ann.quiet_from, ann.quiet_to, ann.away_until) == (None, None, None)


@pytest.mark.parametrize("zone", ["Europe/Kiyv", "", "/etc/passwd", "../UTC", "Mars", "Europe"])
async def test_a_zone_that_does_not_exist_is_refused(store: Store, meet: Meet, zone: str) -> None:
    with pytest.raises(Refused, match="time zone"):
        await store.run(lambda s: members.set_zone(s, meet(s, "@ann:x"), zone))


async def test_a_zones_former_name_is_kept_as_the_present_one(store: Store, meet: Meet) -> None:
    def change(session: Session) -> str:
        ann = meet(session, "@ann:x")
        members.set_zone(session, ann, "Europe/Kiev")
        return ann.zone

    assert await store.run(change) == "Europe/Kyiv"


@pytest.mark.parametrize("quiet", [(60, None), (None, 60), (60, 60), (-1, 60), (60, 1440)])
async def test_quiet_hours_that_make_no_sense_are_refused(
    store: Store, meet: Meet, quiet: tuple[int | None, int | None]
) -> None:
    with pytest.raises(Refused):
        await store.run(lambda s: members.set_quiet(s, meet(s, "@ann:x"), *quiet))


@given(
    zone=st.sampled_from(["Europe/Kyiv", "America/Havana", "Asia/Beirut", "Australia/Lord_Howe", "Asia/Almaty"]),
    start=st.integers(0, 1439),
    length=st.integers(1, 1439),
    at=st.integers(0, 365 * 1440).map(lambda minute: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)),
)
@example(zone="Europe/Kyiv", start=60, length=150, at=datetime(2026, 10, 25, 1, 0, tzinfo=UTC))
def test_quiet_hours_end_later_than_now_whatever_the_clocks_do(
    zone: str, start: int, length: int, at: datetime
) -> None:
    ann = Member(
        handle="ann", language="en", zone=zone, created_at=at, quiet_from=start, quiet_to=(start + length) % 1440
    )
    until = members.quiet_until(ann, at)
    assert until is None or at < until <= at + timedelta(hours=25)


def test_quiet_hours_end_the_second_time_in_the_hour_that_comes_twice() -> None:
    again = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
    ann = Member(handle="ann", language="en", zone="Europe/Kyiv", created_at=again, quiet_from=60, quiet_to=210)
    assert members.quiet_until(ann, again) == again + timedelta(minutes=30)


# Who loses a role


@pytest.fixture
async def hub(store: Store) -> Stage:
    """Mara offers hours; ann is a member and a mentor, moe a mentor only; cleo coordinates; zoe is of elsewhere."""
    stage = Stage(store)
    for name, roles in {
        "mara": "mentor",
        "ann": "member mentor",
        "moe": "mentor",
        "cleo": "coordinator",
        "zoe": "guest",
    }.items():
        first, *others = roles.split()
        await stage.cast(name, first, "en", "UTC")
        await store.run(lambda s, name=name, others=others: [give(s, name, role) for role in others] and None)
    await store.run(lambda s: give(s, "zoe", "mentor", network="sanctions") and None)
    await stage.say("mara", "hours offer Tue 16:00-18:00")
    return stage


def give(session: Session, name: str, role: str, network: str = "uj") -> bool:
    member = members.by_handle(session, name)
    assert member is not None
    return members.grant(session, actor=None, member=member, network=network, role=Role(role), now=member.created_at)


async def heard(stage: Stage, who: str, said: str) -> str:
    """All that anybody hears after somebody has said something."""
    before = len(stage.lines)
    await stage.say(who, said)
    return "\n".join(stage.lines[before:])


async def test_bookings_stand_as_long_as_some_role_may_book(hub: Stage) -> None:
    await hub.say("ann", "hours open")
    await hub.say("ann", "1")
    assert "Cancelled" not in await heard(hub, "cleo", "roles revoke ann member")
    assert "mara" in await heard(hub, "ann", "hours mine")
    assert "bot to mara> Cancelled" in await heard(hub, "cleo", "roles revoke ann mentor")


async def test_whoever_is_a_guest_again_holds_no_booking(hub: Stage) -> None:
    await hub.say("moe", "hours open")
    await hub.say("moe", "1")
    assert "bot to mara> Cancelled" in await heard(hub, "cleo", "roles revoke moe mentor")


async def test_taking_a_role_that_nobody_had_does_nothing_and_says_so(hub: Stage) -> None:
    said = await heard(hub, "cleo", "roles revoke mara selector")
    assert "mara does not have the role" in said
    assert "bot to mara" not in said


async def test_a_handle_of_another_network_is_answered_as_one_that_does_not_exist(hub: Stage) -> None:
    of_elsewhere = await heard(hub, "cleo", "roles revoke zoe mentor")
    assert "I know nobody by the handle" in of_elsewhere
    assert "bot to zoe" not in of_elsewhere
    assert of_elsewhere.replace("zoe", "xyz") == await heard(hub, "cleo", "roles revoke xyz mentor")


async def test_a_person_is_reached_where_a_room_is_and_else_on_matrix_first(
    store: Store, meet: Meet, now: datetime
) -> None:
    ann = await store.run(lambda s: meet(s, "77", "discord"))
    await store.run(lambda s: members.add_account(s, ann, platform="matrix", address="@ann:x", now=now) and None)
    await store.run(lambda s: members.add_account(s, ann, platform="console", address="tty", now=now) and None)

    async def ways(network: str = "uj") -> list[tuple[str, str | None, str | None]]:
        found = await store.run(lambda s: members.reach(s, ann.id, network))
        return [(way.sender, way.address, way.room) for way in found]

    assert await ways() == [("matrix:uj", "@ann:x", None), ("discord:uj", "77", None)]

    def settle(room: str) -> Callable[[Session], None]:
        def set_dm(session: Session) -> None:
            account = members.account(session, platform="discord", address="77")
            assert account
            members.set_dm(session, account, "discord:uj", room)

        return set_dm

    await store.run(settle("D1"))
    await store.run(settle("D2"))
    assert await ways() == [("discord:uj", "77", "D2"), ("matrix:uj", "@ann:x", None)]
    assert await ways("climate") == [("matrix:climate", "@ann:x", None), ("discord:climate", "77", None)]
    assert await store.run(lambda s: members.reach(s, UUID(int=9), "uj")) == []


async def test_a_person_is_reached_first_on_the_platform_they_prefer_if_they_are_there(
    store: Store, meet: Meet, now: datetime
) -> None:
    def arrange(session: Session) -> Member:
        ann = meet(session, "@ann:x")
        account = members.account(session, platform="matrix", address="@ann:x")
        assert account
        members.set_dm(session, account, "matrix:uj", "!ann")
        members.add_account(session, ann, platform="discord", address="77", now=now + timedelta(hours=1))
        return ann

    ann = await store.run(arrange)
    ways = {}
    for platform in (None, "matrix", "discord", "carrier pigeon"):
        await store.run(lambda s, p=platform: members.set_platform(s, s.get_one(Member, ann.id), p))
        ways[platform] = [way.sender for way in await store.run(lambda s: members.reach(s, ann.id, "uj"))]
    assert ways == {
        None: ["matrix:uj", "discord:uj"],
        "matrix": ["matrix:uj", "discord:uj"],
        "discord": ["discord:uj", "matrix:uj"],
        "carrier pigeon": ["matrix:uj", "discord:uj"],
    }


async def test_a_persons_accounts_are_told_in_the_order_in_which_they_had_them(
    store: Store, meet: Meet, now: datetime
) -> None:
    ann = await store.run(lambda s: meet(s, "@ann:x"))
    for hours, platform in ((2, "discord"), (1, "console")):
        at = now + timedelta(hours=hours)
        await store.run(
            lambda s, p=platform, at=at: members.add_account(s, ann, platform=p, address="a", now=at) and None
        )
    assert list((await store.run(lambda s: members.accounts(s, ann.id))).values()) == ["matrix", "console", "discord"]
    assert await store.run(lambda s: members.accounts(s, UUID(int=9))) == {}
