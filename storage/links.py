"""One person with several accounts: a code said on the other account makes the two members one.

Whoever asked for the code is who they were; the one who says it becomes part of them. A code is drawn by lot,
works once and for ten minutes, and is stored as a fingerprint only: neither the database nor an old backup of
it tells one. Unknown, expired, used and one's own are one answer, which one and the same statement finds out.

Nobody can be in two conversations at once, and nobody is their own mentor: two members whose quarters of an
hour collide in what is still to come are not joined.
"""

import random
from datetime import datetime, timedelta
from typing import ClassVar, Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, delete, or_, select, update
from sqlalchemy.orm import aliased
from sqlmodel import Field, col

from storage import codes, members, privacy
from storage.forms import Form
from storage.members import Account, DirectRoom, Member
from storage.office_hours import Booking, BusyQuarter, HourSession
from storage.refused import Refused
from storage.sealed import ring
from storage.store import Conflict, Session, attempt, changed, execute, write
from storage.table import UTC, Erasure, Privacy, Table, core, new_id

VALID_FOR: Final = timedelta(minutes=10)
"""How long a code works."""

MOST_CODES: Final = 3
"""How many codes a person gets in an hour."""

MOST_TRIES: Final = 5
"""How many wrong codes a person can say within `VALID_FOR`."""

_PREFIX: Final = "K"
_LENGTH: Final = 8  # thirty-four thousand million codes: no number of guessers finds one in ten minutes
_HOUR: Final = timedelta(hours=1)


class LinkCode(Table, table=True):
    """A code that a person has asked for.

    Attributes:
        fingerprint: a blind index of the code; None when it was used, or another took its place.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="When you asked for a code to link an account; the code itself is not kept.",
        whose=("member_id",),
        kept=timedelta(days=1),
        since="issued_at",
        erase=Erasure.DELETE,
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    member_id: UUID = Field(foreign_key="member.id", index=True)
    fingerprint: bytes | None = Field(default=None, unique=True)
    issued_at: datetime = Field(sa_type=UTC)


class LinkTry(Table, table=True):
    """A wrong code that a person has said."""

    privacy: ClassVar[Privacy] = Privacy(
        what="When you said a code that was wrong, so that nobody can guess one.",
        whose=("member_id",),
        kept=timedelta(days=1),
        since="at",
        erase=Erasure.DELETE,
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    member_id: UUID = Field(foreign_key="member.id", index=True)
    at: datetime = Field(sa_type=UTC)


_code: Final = core(LinkCode).c
_try: Final = core(LinkTry).c
_spent: Final = update(core(LinkCode)).values(fingerprint=None)
_redeemed: Final = (
    _spent.where(
        _code.fingerprint == bindparam("said"),
        _code.issued_at > bindparam("since", type_=UTC),
        _code.member_id != bindparam("by"),
    )
).returning(_code.member_id)


def issue(session: Session, *, member: UUID, now: datetime, rng: random.Random) -> str:
    """Draw a code that works once, for `VALID_FOR`; the one before works no longer.

    Returns:
        The code, such as "K-7K3FQ2AD". Nobody can find it out afterwards.

    Raises:
        Refused: the person has had `MOST_CODES` within the hour.
    """
    lately = select(_code.issued_at).where(_code.member_id == member, _code.issued_at > now - _HOUR)
    issued = execute(session, lately.order_by(_code.issued_at)).scalars().all()
    if len(issued) >= MOST_CODES:
        raise Refused(
            "You have asked for several codes already. Please wait {wait}, then ask again.",
            wait=issued[-MOST_CODES] + _HOUR - now,
        )
    execute(session, _spent.where(_code.member_id == member))
    while True:
        code = codes.draw(rng, _PREFIX, _LENGTH)
        try:
            with attempt(session):
                write(session, LinkCode(member_id=member, fingerprint=_fingerprint(code), issued_at=now))
        except Conflict:
            continue
        return code


def redeem(session: Session, *, code: str, by: UUID, now: datetime) -> Member | None:
    """Use a code up; tells who asked for it.

    Args:
        session: the running transaction.
        code: as it was typed.
        by: who says it.
        now: when.

    Returns:
        The member to become part of (see `join`). None: there is no such code, it has expired, was used, or is the
        speaker's own. That was then a wrong try, which counts only if the transaction commits.

    Raises:
        Refused: the speaker has had `MOST_TRIES` wrong tries; nothing was looked up.
    """
    lately = select(_try.at).where(_try.member_id == by, _try.at > now - VALID_FOR).order_by(_try.at)
    tries = execute(session, lately).scalars().all()
    if len(tries) >= MOST_TRIES:
        raise Refused(
            "Too many wrong codes. Please wait {wait}, then ask your other account for a new one.",
            wait=tries[-MOST_TRIES] + VALID_FOR - now,
        )
    said = {"said": _fingerprint(code), "since": now - VALID_FOR, "by": by}
    owner: UUID | None = execute(session, _redeemed, said).scalar()
    if owner is None:
        write(session, LinkTry(member_id=by, at=now))
        return None
    return session.get_one(Member, owner)


def spoil(session: Session, code: str) -> None:
    """Let a code work no longer, if it is one: others than its owner have seen it."""
    execute(session, _spent.where(_code.fingerprint == _fingerprint(code)))


def join(session: Session, *, survivor: Member, merged: Member, now: datetime) -> None:
    """Make two members one: what the merged one had, did and was told is the survivor's from now on.

    The survivor's handle, language, zone, quiet hours and absence stay. The codes of both work no longer. The merged
    one's accounts count as linked now.

    Raises:
        Refused: they are booked for the same time in what is still to come; nothing was changed.
    """
    clashing = _clashes(session, survivor.id, merged.id, now)
    if clashing:
        raise Refused(
            "Nobody can be in two conversations at once: cancel one of {bookings}, then say the code again.",
            bookings=clashing,
        )
    execute(session, _spent.where(_code.member_id.in_([survivor.id, merged.id])))
    account = core(Account)
    execute(session, update(account).where(account.c.member_id == merged.id).values(created_at=now))
    survivor.created_at = min(survivor.created_at, merged.created_at)
    session.add(survivor)
    privacy.join(session, former=merged.id, present=survivor.id, now=now)


def removable(session: Session, member_id: UUID) -> list[str]:
    """The platforms on which a person has an account that they can do without."""
    held = members.accounts(session, member_id)
    return sorted(set(held.values())) if len(held) > 1 else []


def unlink(session: Session, *, member: Member, platform: str) -> int:
    """Take a person's accounts on a platform away from them, and tell how many; each is a stranger from then on.

    One who has accounts on this platform only keeps the one they had first.

    Raises:
        Refused: they have no account there, or it is their only one.
    """
    held = members.accounts(session, member.id)
    there = [each for each, where in held.items() if where == platform]
    if not there:
        raise Refused("You have no account there.")
    if len(held) == 1:
        raise Refused("This is your only account: without it nobody could reach you.")
    gone = there if len(there) < len(held) else there[1:]
    execute(session, delete(core(DirectRoom)).where(core(DirectRoom).c.account_id.in_(gone)))
    taken = changed(session, delete(core(Account)).where(core(Account).c.id.in_(gone)))
    if gone == there:
        asked = core(Form).c
        execute(session, delete(core(Form)).where(asked.member_id == member.id, asked.bot.startswith(f"{platform}:")))
        if member.platform == platform:
            members.set_platform(session, member, None)
    return taken


def _fingerprint(code: str) -> bytes:
    """The blind index of a code, however it is spelled; words that are no code have one, too, which nobody has."""
    return ring().blind("link_code.fingerprint", codes.read(code, _PREFIX) or "")


def _clashes(session: Session, one: UUID, other: UUID, now: datetime) -> list[str]:
    """The codes of the bookings still to come for which two people would be in one place at once.

    Whoever is in a conversation, on either side, has its cells: so this finds overlaps, two seats in one
    conversation, and a mentor who is the other's mentee. What is over hinders nobody.
    """
    cell, twin = aliased(BusyQuarter), aliased(BusyQuarter)
    hour, twin_hour = aliased(HourSession), aliased(HourSession)
    both_busy = (
        select(col(hour.id), col(twin_hour.id))
        .select_from(cell)
        .join(twin, col(twin.quarter) == col(cell.quarter))
        .join(hour, col(hour.id) == col(cell.session_id))
        .join(twin_hour, col(twin_hour.id) == col(twin.session_id))
        .where(col(cell.person_id) == one, col(twin.person_id) == other)
        .where(col(hour.ends_at) > now, col(twin_hour.ends_at) > now)
    )
    hours = {each for pair in session.execute(both_busy) for each in pair}
    theirs: ColumnElement[bool] = or_(
        col(Booking.member_id).in_([one, other]), col(HourSession.mentor_id).in_([one, other])
    )
    wanted = select(col(Booking.code)).join(HourSession, col(Booking.session_id) == col(HourSession.id))
    seated = and_(col(HourSession.id).in_(hours), col(Booking.seat).is_not(None), theirs)
    return list(session.scalars(wanted.where(seated).order_by(col(Booking.code))))
