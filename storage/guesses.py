"""How often somebody has named what is none of theirs: whoever tries codes by the hundred is slowed, and noticed.

What does not exist and what is somebody else's get one and the same answer, so that trying tells nothing. Slowing it is
a second lock behind the first. Only the number of misses is kept, never what was named.
"""

from datetime import datetime, timedelta
from typing import ClassVar, Final
from uuid import UUID

from sqlmodel import Field

from storage import audit
from storage.store import Session
from storage.table import UTC, Erasure, Privacy, Table

FREE: Final = 5
"""Misses that anybody may have: slips of the finger."""

MANY: Final = 20
"""Misses after which somebody should look."""

LONGEST_PAUSE: Final = timedelta(hours=1)

_FORGOTTEN_AFTER: Final = timedelta(days=1)


class Guess(Table, table=True):
    """A person's misses in a network.

    Attributes:
        misses: how many, since the last day without one.
        last_at: when the latest was.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="How many times you named a code that is none of yours; not which.",
        whose=("member_id",),
        kept=timedelta(days=2),
        since="last_at",
        erase=Erasure.DELETE,
    )

    member_id: UUID = Field(foreign_key="member.id", primary_key=True)
    network: str = Field(primary_key=True, max_length=32)
    misses: int
    last_at: datetime = Field(sa_type=UTC)

    @property
    def pause(self) -> timedelta:
        """How long after the latest miss nothing more is looked up: doubling from five seconds to an hour."""
        over = self.misses - FREE
        return min(timedelta(seconds=5 * 2 ** min(over, 12)), LONGEST_PAUSE) if over > 0 else timedelta(0)


def wait(session: Session, *, member: UUID, network: str, now: datetime) -> timedelta | None:
    """How long this person still has to wait before another code is looked up; None: not at all."""
    guess = session.get(Guess, (member, network))
    left = guess.last_at + guess.pause - now if guess is not None else timedelta(0)
    return left if left > timedelta(0) else None


def miss(session: Session, *, member: UUID, network: str, now: datetime) -> int:
    """Note that somebody named what is none of theirs; returns how many times in a row that was.

    What is read twice at one instant was said once.
    """
    guess = session.get(Guess, (member, network))
    if guess is None:
        guess = Guess(member_id=member, network=network, misses=0, last_at=now)
    elif guess.last_at == now:
        return guess.misses
    elif now - guess.last_at > _FORGOTTEN_AFTER:
        guess.misses = 0
    guess.misses += 1
    guess.last_at = now
    session.add(guess)
    audit.append(session, at=now, network=network, actor=member, action="code guessed")
    return guess.misses
