"""When each network's digest is due, and which ones were made: one for each occurrence, whatever happens.

An occurrence has a key: the network and the ISO week (or, for digests more often than weekly, the local date) of
its schedule. The key of a digest that was made is unique; so a restart, a second process, a repeated hour or a
schedule that was changed in the middle of the week cannot make another one. After downtime only the latest
occurrence is owed: nobody reads three old digests.
"""

from datetime import datetime, timedelta
from typing import ClassVar, NamedTuple

from sqlmodel import Field, col, select

from storage.engine import upsert
from storage.recurrence import Occurrence, Schedule, zone_of
from storage.store import Session, changed, execute
from storage.table import UTC, Erasure, Privacy, Table, core


class DigestSchedule(Table, table=True):
    """When a network wants its digest.

    Attributes:
        schedule: such as "Mon 09:00", as `Schedule.show` writes it.
        zone: on whose wall.
        since: when it was set: what was due before is not owed.
    """

    privacy: ClassVar[Privacy] = Privacy(what="When each network's digest is sent.", erase=Erasure.KEEP)

    network: str = Field(primary_key=True, max_length=32)
    schedule: str = Field(max_length=64)
    zone: str = Field(max_length=64)
    since: datetime = Field(sa_type=UTC)


class DigestIssue(Table, table=True):
    """A digest that was made.

    Attributes:
        key: its occurrence, such as "digest:uj:2026-W48" or "digest:uj:2026-11-24".
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="Which digests were made.", kept=timedelta(days=400), since="made_at", erase=Erasure.KEEP
    )

    key: str = Field(primary_key=True, max_length=80)
    network: str = Field(max_length=32, index=True)
    made_at: datetime = Field(sa_type=UTC)


class Due(NamedTuple):
    """A digest that is owed: for which network, under which key, and since which instant."""

    network: str
    key: str
    at: datetime


def schedule(session: Session, *, network: str, when: str, zone: str, now: datetime) -> Schedule:
    """Set when a network's digest is made; the first one is the next one after `now`.

    Args:
        session: the running transaction.
        network: whose digest.
        when: such as "Mon 09:00" or "0 9 * * 1"; see `Schedule.read`.
        zone: the IANA name of the zone on whose wall.
        now: the instant of the change.

    Raises:
        Refused: `when` or `zone` cannot be read.
    """
    read = Schedule.read(when)
    facts = {"schedule": read.show(), "zone": zone_of(zone).key, "since": now}
    row = upsert(core(DigestSchedule)).values(network=network, **facts)
    execute(session, row.on_conflict_do_update(index_elements=["network"], set_=facts))
    return read


def scheduled(session: Session, network: str) -> DigestSchedule | None:
    """A network's schedule, if it has one."""
    return session.get(DigestSchedule, network, populate_existing=True)


def due(session: Session, now: datetime) -> list[Due]:
    """The digests that are owed: of each network the latest occurrence, if it was not made."""
    found = []
    for each in session.scalars(select(DigestSchedule)):
        schedule = Schedule.read(each.schedule)
        latest = schedule.latest(now, zone_of(each.zone))
        if latest.at > each.since:
            found.append(Due(each.network, _key(each.network, schedule, latest), latest.at))
    keys = [each.key for each in found]
    made = set(session.scalars(select(DigestIssue.key).where(col(DigestIssue.key).in_(keys))))
    return [each for each in found if each.key not in made]


def mark(session: Session, *, network: str, key: str, now: datetime) -> bool:
    """Write down that a digest is made, in the transaction that puts it into the outbox.

    Returns:
        False if it was made before: then there is nothing to do.
    """
    row = upsert(core(DigestIssue)).values(key=key, network=network, made_at=now)
    return changed(session, row.on_conflict_do_nothing()) > 0


def _key(network: str, schedule: Schedule, occurrence: Occurrence) -> str:
    if len(schedule.weekdays) > 1:
        return f"digest:{network}:{occurrence.day}"
    year, week, _ = occurrence.day.isocalendar()
    return f"digest:{network}:{year}-W{week:02}"
