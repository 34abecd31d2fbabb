"""People, as handles: their accounts on the platforms, their roles, how and when to reach them."""

import random
from collections.abc import Collection, Iterable
from datetime import UTC as ZULU
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Column, String, UniqueConstraint, and_, bindparam, func, or_, text
from sqlalchemy import select as core_select
from sqlmodel import Field, col, delete, select

from storage import handles
from storage.engine import upsert
from storage.recurrence import resolve, zone_of
from storage.refused import Refused
from storage.sealed import TamperedError, ring
from storage.store import Session, changed, execute
from storage.table import UTC, Erasure, Privacy, Sealed, Table, core, envelope, new_id, one_of, opened, sealed

EVERYWHERE: Final = "*"


class Role(StrEnum):
    """What somebody may do in a network. Every person is at least a guest."""

    GUEST = "guest"
    MEMBER = "member"
    MENTOR = "mentor"
    SELECTOR = "selector"
    OFFICER = "officer"
    TREASURER = "treasurer"
    COUNSEL = "counsel"
    COORDINATOR = "coordinator"
    ADMIN = "admin"


# Money, who may give roles, and who may read cases (counsel) are not for a coordinator to hand out.
_COORDINATORS_GIVE: Final = frozenset({Role.MEMBER, Role.MENTOR, Role.SELECTOR, Role.OFFICER})


class Member(Table, table=True):
    """A person.

    Attributes:
        handle: two words, drawn by lot.
        language: the language's tag, such as "uk".
        zone: the time zone's IANA name.
        quiet_from, quiet_to: no pings between these minutes of the person's own day (0 to 1439); None:
        always.
        away_until: no pings before this instant.
        platform: where pings arrive first, such as "matrix"; None: where they reach the person best.
        created_at: when we first heard from them.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="Your handle, your language, your time zone, your quiet hours.",
        whose=("id",),
        erase=Erasure.DELETE,
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    handle: str = Field(unique=True, max_length=64)
    language: str = Field(max_length=16)
    zone: str = Field(max_length=64)
    quiet_from: int | None = None
    quiet_to: int | None = None
    away_until: datetime | None = Field(default=None, sa_type=UTC)
    platform: str | None = Field(default=None, max_length=32)
    created_at: datetime = Field(sa_type=UTC)


class Account(Table, table=True):
    """A person's account on a platform.

    Attributes:
        platform: such as "matrix".
        fingerprint: a blind index of the address, to recognise it by.
        address: the platform's id of the account.
        created_at: since when it is this person's.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="Your accounts on chat platforms, encrypted.",
        whose=("member_id",),
        erase=Erasure.DELETE,
    )
    __table_args__ = (UniqueConstraint("platform", "fingerprint"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    member_id: UUID = Field(foreign_key="member.id", index=True)
    platform: str = Field(max_length=32)
    fingerprint: bytes
    address: Sealed = sealed("account.address")
    created_at: datetime = Field(sa_type=UTC)


class DirectRoom(Table, table=True):
    """Where one bot talks with one account in private: every bot has its own room with a person.

    Attributes:
        bot: such as "matrix:uj".
        address: the platform's name of the room.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="The rooms in which bots talk with you alone, encrypted.",
        whose=("member_id",),
        erase=Erasure.DELETE,
    )

    account_id: UUID = Field(foreign_key="account.id", primary_key=True)
    bot: str = Field(primary_key=True, max_length=64)
    member_id: UUID = Field(foreign_key="member.id", index=True)
    address: Sealed = sealed("direct_room.address")


class RoleGrant(Table, table=True):
    """A role that a person has in a network; an admin's network is "*"."""

    privacy: ClassVar[Privacy] = Privacy(
        what="Your roles in the networks.",
        whose=("member_id",),
        erase=Erasure.DELETE,
    )

    member_id: UUID = Field(foreign_key="member.id", primary_key=True)
    network: str = Field(primary_key=True, max_length=32)
    role: Role = one_of(Role, primary_key=True)
    granted_at: datetime = Field(sa_type=UTC)


class Reach(NamedTuple):
    """A way to reach a person: the bot that speaks, to which address, in which room if there is one."""

    sender: str
    address: str | None
    room: str | None


_grant: Final = core(RoleGrant)
_known: Final = (
    select(Member)
    .join(Account, col(Account.member_id) == Member.id)
    .where(Account.platform == bindparam("platform"), Account.fingerprint == bindparam("fingerprint"))
)
_with_roles: Final = _known.add_columns(_grant.c.role).outerjoin(
    _grant,
    and_(
        _grant.c.member_id == Member.id,
        or_(_grant.c.network == bindparam("network"), _grant.c.network == text("'*'")),
    ),
)
_account: Final = core(Account).c
_room: Final = core(DirectRoom).c
_person: Final = core(Member).c
_ways: Final = (
    core_select(
        _account.member_id,
        _account.platform,
        envelope(_account.address),
        envelope(_room.address).label("room"),
        (_account.platform == _person.platform).label("preferred"),
    )
    .join(core(Member), _person.id == _account.member_id)
    .outerjoin(
        core(DirectRoom),
        and_(
            _room.account_id == _account.id,
            _room.bot == _account.platform + ":" + bindparam("network", type_=String),
        ),
    )
    .where(_account.member_id.in_(bindparam("member_ids", expanding=True)))
    .order_by(_account.created_at)
)
_accounts: Final = (
    select(_account.id, _account.platform)
    .where(_account.member_id == bindparam("member_id"))
    .order_by(_account.created_at, _account.id)
)
_roles: Final = select(_grant.c.role).where(
    _grant.c.member_id == bindparam("member_id"),
    or_(_grant.c.network == bindparam("network"), _grant.c.network == text("'*'")),
)


def known(session: Session, *, platform: str, address: str, network: str) -> tuple[Member, frozenset[Role]] | None:
    """Whose account this is, and their roles in a network (see `roles`); None for a stranger."""
    fingerprint = ring().blind(f"account.{platform}", address)
    rows = session.execute(_with_roles, {"platform": platform, "fingerprint": fingerprint, "network": network}).all()
    if not rows:
        return None
    return rows[0][0], frozenset({Role.GUEST, *(role for _member, role in rows if role is not None)})


def recognise(
    session: Session,
    *,
    platform: str,
    address: str,
    language: str,
    zone: str,
    rng: random.Random,
    now: datetime,
) -> Member:
    """Find whose account this is; somebody new becomes a guest with a fresh handle.

    Args:
        session: the running transaction.
        platform: such as "matrix".
        address: the platform's id of the account, exactly as the platform spells it.
        language: what to speak with somebody new.
        zone: in which time zone to suppose somebody new.
        rng: draws the handle.
        now: when we hear from them.
    """
    fingerprint = ring().blind(f"account.{platform}", address)
    known: Member | None = session.execute(_known, {"platform": platform, "fingerprint": fingerprint}).scalar()
    if known is not None:
        return known
    member = Member(handle=_fresh_handle(session, rng), language=language, zone=zone, created_at=now)
    session.add(member)
    session.flush()
    add_account(session, member, platform=platform, address=address, now=now)
    return member


def add_account(session: Session, member: Member, *, platform: str, address: str, now: datetime) -> Account:
    """Give a person one more account.

    Raises:
        storage.store.Conflict: when the account is somebody's already (at the latest at commit).
    """
    account = Account(
        member_id=member.id,
        platform=platform,
        fingerprint=ring().blind(f"account.{platform}", address),
        address=Sealed(member.id, address),
        created_at=now,
    )
    session.add(account)
    session.flush()
    return account


def by_handle(session: Session, handle: str) -> Member | None:
    """The person who bears a handle, however it is spelled: "Quiet Heron" is "quiet-heron"."""
    spelled = "-".join(handle.lower().replace("-", " ").split())
    return session.exec(select(Member).where(Member.handle == spelled)).first()


def roles(session: Session, member_id: UUID, network: str) -> frozenset[Role]:
    """A person's roles in a network: everywhere GUEST, and what was granted there or everywhere."""
    granted = execute(session, _roles, {"member_id": member_id, "network": network}).scalars()
    return frozenset({Role.GUEST, *granted})


def grant(session: Session, *, actor: Member | None, member: Member, network: str, role: Role, now: datetime) -> bool:
    """Give a person a role.

    Args:
        session: the running transaction.
        actor: who gives it; None is the operator, at the machine itself.
        member: who gets it.
        network: where; an admin is one everywhere.
        role: what.
        now: when.

    Returns:
        Whether the person did not have it.

    Raises:
        Refused: the actor may not give this role here.
    """
    _may_give(session, actor, network, role)
    row = {
        "member_id": member.id,
        "network": EVERYWHERE if role is Role.ADMIN else network,
        "role": role,
        "granted_at": now,
    }
    return changed(session, upsert(_grant).on_conflict_do_nothing(), row) > 0


def revoke(session: Session, *, actor: Member | None, member: Member, network: str, role: Role) -> bool:
    """Take a role away; who may give it may take it. False if the person did not have it.

    Raises:
        Refused: the actor may not take this role here, or is the last coordinator or admin and wants to go.
    """
    _may_give(session, actor, network, role)
    where = EVERYWHERE if role is Role.ADMIN else network
    own = actor is not None and actor.id == member.id
    if own and role in {Role.COORDINATOR, Role.ADMIN} and _ids(session, where, role) == [member.id]:
        raise Refused("You are the last one with this role; give it to somebody else first.")
    c = _grant.c
    held = delete(_grant).where(c.member_id == member.id, c.network == where, c.role == role)
    return changed(session, held) > 0


def set_language(session: Session, member: Member, language: str) -> None:
    """Speak this language with a person."""
    member.language = language
    session.add(member)


def set_zone(session: Session, member: Member, zone: str) -> None:
    """Show a person times in this zone; a former name becomes the present one.

    Raises:
        Refused: there is no such zone.
    """
    member.zone = zone_of(zone).key
    session.add(member)


def set_quiet(session: Session, member: Member, start: int | None, end: int | None) -> None:
    """No pings between two minutes of the person's own day (0 to 1439), also over midnight.

    Raises:
        Refused: one is missing, or they are the same, or no minute of a day. None and None: no quiet hours.
    """
    if (start is None) != (end is None) or (start is not None and start == end):
        raise Refused("Quiet hours need a beginning and a different end.")
    if not all(minute is None or 0 <= minute < 1440 for minute in (start, end)):
        raise Refused("A day has 24 hours.")
    member.quiet_from, member.quiet_to = start, end
    session.add(member)


def set_away(session: Session, member: Member, until: datetime | None) -> None:
    """No pings before this instant; None: here again."""
    member.away_until = until
    session.add(member)


def set_platform(session: Session, member: Member, platform: str | None) -> None:
    """Let a person's pings arrive on this platform first; None: where they reach the person best."""
    member.platform = platform
    session.add(member)


def set_dm(session: Session, account: Account, bot: str, address: str) -> None:
    """Remember in which room a bot talks with an account in private, instead of the one before."""
    room = session.get(DirectRoom, (account.id, bot))
    if room is None:
        room = DirectRoom(
            account_id=account.id,
            bot=bot,
            member_id=account.member_id,
            address=Sealed(account.member_id, address),
        )
    room.address = Sealed(account.member_id, address)
    session.add(room)


def reach(
    session: Session, member_id: UUID, network: str, platforms: Iterable[str] = ("matrix", "discord")
) -> list[Reach]:
    """All ways to reach a person by the bots of a network, best first; empty if there are none.

    The platform that the person prefers comes first. Then a room that exists is better than one that must be
    made first; then the order of `platforms` decides (Matrix can keep a secret), then the account that they had
    first. An address that cannot be opened is as if it were erased.
    """
    return reach_each(session, [member_id], network, platforms)[member_id]


def reach_each(
    session: Session, member_ids: Collection[UUID], network: str, platforms: Iterable[str] = ("matrix", "discord")
) -> dict[UUID, list[Reach]]:
    """All ways to reach each of these people; see `reach`."""
    ring().fetch(member_ids)
    order = {platform: rank for rank, platform in enumerate(platforms)}
    found = execute(session, _ways, {"member_ids": list(member_ids), "network": network})
    ways = [row for row in found if row.platform in order]
    ways.sort(key=lambda way: (not way.preferred, way.room is None, order[way.platform]))
    reached: dict[UUID, list[Reach]] = {member_id: [] for member_id in member_ids}
    for way in ways:
        reached[way.member_id].append(
            Reach(f"{way.platform}:{network}", _words(_account.address, way.address), _words(_room.address, way.room))
        )
    return reached


def account(session: Session, *, platform: str, address: str) -> Account | None:
    """The account behind a platform's id; None if nobody here has it."""
    fingerprint = ring().blind(f"account.{platform}", address)
    return session.exec(select(Account).where(Account.platform == platform, Account.fingerprint == fingerprint)).first()


def accounts(session: Session, member_id: UUID) -> dict[UUID, str]:
    """A person's accounts, as row id and platform; the one they had first comes first."""
    return {row.id: row.platform for row in execute(session, _accounts, {"member_id": member_id})}


def everyone(session: Session, network: str) -> list[tuple[Member, frozenset[Role]]]:
    """Everybody who has a role in a network, in the order of their handles, with their roles there."""
    held = session.exec(
        select(Member, RoleGrant.role)
        .join(RoleGrant, col(RoleGrant.member_id) == Member.id)
        .where(col(RoleGrant.network).in_([network, EVERYWHERE]))
        .order_by(Member.handle)
    )
    people: dict[UUID, tuple[Member, frozenset[Role]]] = {}
    for member, role in held:
        people[member.id] = (member, people.get(member.id, (member, frozenset()))[1] | {Role(role)})
    return list(people.values())


def quiet_until(member: Member, now: datetime) -> datetime | None:
    """Until when nothing may ring for a person: the end of their absence or of their quiet hours, if it is one now.

    It lies after now, whatever the clocks do.
    """
    until = member.away_until if member.away_until is not None and member.away_until > now else None
    if member.quiet_from is None or member.quiet_to is None:
        return until
    zone = ZoneInfo(member.zone)
    begins = until or now
    local = begins.astimezone(zone)
    minute = local.hour * 60 + local.minute
    since_start = (minute - member.quiet_from) % 1440
    if since_start >= (member.quiet_to - member.quiet_from) % 1440:
        return until
    day = local.date() + timedelta(days=member.quiet_to <= minute)
    end = resolve(day, member.quiet_to, zone).at
    if end <= begins:  # in the hour that clocks show twice: the first time is over, the second is meant
        wall = datetime.combine(day, time()) + timedelta(minutes=member.quiet_to)
        end = wall.replace(tzinfo=zone, fold=1).astimezone(ZULU)
    return end


def _words(column: Column[Any], stored: bytes | None) -> str | None:
    """One address that was changed must not keep a bot from reaching everybody else."""
    try:
        words = opened(column, stored)
    except TamperedError:
        return None
    return words.text if words else None


def _fresh_handle(session: Session, rng: random.Random) -> str:
    while True:
        handle = handles.draw(rng)
        if session.exec(select(func.count()).select_from(Member).where(Member.handle == handle)).one() == 0:
            return handle


def _may_give(session: Session, actor: Member | None, network: str, role: Role) -> None:
    if role is Role.GUEST:
        raise Refused("Everybody is a guest.")
    if actor is None:
        return
    own = roles(session, actor.id, network)
    if Role.ADMIN in own or (Role.COORDINATOR in own and role in _COORDINATORS_GIVE):
        return
    raise Refused("You may not give or take this role here.")


def _ids(session: Session, network: str, role: Role) -> list[UUID]:
    held = select(RoleGrant.member_id).where(RoleGrant.network == network, col(RoleGrant.role) == role)
    return list(session.exec(held))
