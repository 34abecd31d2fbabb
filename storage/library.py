"""The library's own shelf: documents and suggestions that people added, and when somebody last reviewed an entry.

What comes with the program lies in its files. What people add is here, as facts (the JSON of a row of the library,
which this book does not read) and passages. The search index of every machine follows it by a number: each change of a
resource gets the next one, in the order of the commits, so that nobody who asks for what came since misses any.
"""

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import ClassVar, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Text, UniqueConstraint, and_, delete, func, insert, select, tuple_
from sqlmodel import Field, col

from storage import codes
from storage.engine import upsert
from storage.refused import Refused
from storage.store import Session, changed, execute, write
from storage.table import UTC, Erasure, Privacy, Table, core, one_of

EVERY_NETWORK: Final = "all"
MOST_WAITING: Final = 10
"""Suggestions of one person that may wait for a decision at a time."""


class Standing(StrEnum):
    """Where a resource stands. Only coordinators see what is SUGGESTED; only what is PUBLISHED is found."""

    SUGGESTED = "suggested"
    PUBLISHED = "published"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class Put(IntEnum):
    """What became of a document that was put onto the shelf: NOTHING is false."""

    NOTHING = 0
    CORRECTED = 1
    NEW = 2


class Shelved(Table, table=True):
    """A resource that somebody added.

    Attributes:
        id: what it is called, as the ids of the program's own resources.
        network: whose it is; "all" serves every network.
        facts: the row of the library, as JSON.
        digest: a SHA-256 of its content, where it has one: no network keeps it twice.
        number: of its last change; see `changes`. 0: it was never published, and may go; whatever has a number stays,
            so that no number is given twice.
        by: who suggested it; None: an operator, or somebody who is gone.
        stays: whether it was published: then it outlives whoever suggested it.
        declined_at: when it was declined; its words are gone then, and soon it is.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="What you suggested for the library, not encrypted. What was published stays without you; its words go at "
        "once when it is declined.",
        whose=("by",),
        kept=timedelta(days=30),
        since="declined_at",
        erase=Erasure.DELETE,
        stays="stays",
        blank=("by",),
    )
    __table_args__ = (UniqueConstraint("digest", "network"),)

    id: str = Field(primary_key=True, max_length=60)
    network: str = Field(max_length=32)
    standing: Standing = one_of(Standing, index=True)
    facts: str = Field(sa_type=Text)
    digest: str | None = Field(default=None, max_length=64)
    number: int = Field(index=True)
    by: UUID | None = Field(default=None, index=True)
    since: datetime = Field(sa_type=UTC)
    stays: bool = False
    declined_at: datetime | None = Field(default=None, sa_type=UTC)


class ShelvedPassage(Table, table=True):
    """A stretch of a document on the shelf; its number counts from 1."""

    privacy: ClassVar[Privacy] = Privacy(what="The texts of the library's documents.", erase=Erasure.KEEP)

    resource_id: str = Field(primary_key=True, foreign_key="shelved.id", ondelete="CASCADE", max_length=60)
    number: int = Field(primary_key=True)
    heading: str = Field(sa_type=Text)
    text: str = Field(sa_type=Text)
    place: str = Field(max_length=120)


class Review(Table, table=True):
    """When an entry of the library (the program's, the shelf's, or `checklist:ID`) was last found to be still right."""

    privacy: ClassVar[Privacy] = Privacy(
        what="Which entries and checklists of the library you confirmed.",
        whose=("by",),
        erase=Erasure.BLANK,
        blank=("by",),
    )

    resource_id: str = Field(primary_key=True, max_length=60)
    day: date
    by: UUID | None = Field(default=None, index=True)


class SavedResource(Table, table=True):
    """Somebody wants to find an entry again."""

    privacy: ClassVar[Privacy] = Privacy(
        what="Which entries of the library you saved.", whose=("member_id",), erase=Erasure.DELETE
    )

    member_id: UUID = Field(primary_key=True, foreign_key="member.id")
    resource_id: str = Field(primary_key=True, max_length=60)
    saved_at: datetime = Field(sa_type=UTC)


class Stretch(NamedTuple):
    """A passage: its headings, its text, and where it stands."""

    heading: str
    text: str
    place: str


class Changed(NamedTuple):
    """A resource that changed, with all its passages; without facts it is not to be found any more."""

    id: str
    facts: str | None
    passages: list[Stretch]


class Changes(NamedTuple):
    """What changed, in order; the number of the last of these changes, and that of the newest there is."""

    each: list[Changed]
    reached: int
    newest: int


class FoundHere(NamedTuple):
    """What is kept under a key: the facts of the resource, and the passage if the key names one."""

    facts: str
    passage: Stretch | None


_shelved: Final = core(Shelved)
_passage: Final = core(ShelvedPassage)
_review: Final = core(Review)
_saved: Final = core(SavedResource)


def put(
    session: Session,
    *,
    id: str,  # noqa: A002 the column's name
    network: str,
    facts: str,
    digest: str | None,
    passages: Sequence[Stretch],
    now: datetime,
    correct: Callable[[str, str], str] | None = None,
) -> Put:
    """Put a document onto the shelf for everybody to find, or its new version in the place of the old.

    Where the network has just this content already, under whatever id, it is not kept a second time. Then `correct`,
    given that id and the facts that are kept, returns the facts that shall stand there from now on, and the passages
    are those given here; without it nothing changes.
    """
    same = (_shelved.c.digest == digest, _shelved.c.network == network)
    had = select(_shelved.c.id, _shelved.c.facts).where(*same, _shelved.c.standing == Standing.PUBLISHED)
    kept = execute(session, had).first() if digest is not None else None
    if kept is not None:
        id, facts = kept.id, correct(kept.id, kept.facts) if correct else kept.facts  # noqa: A001
        if correct is None or (facts == kept.facts and list(passages) == _passages(session, [id])[id]):
            return Put.NOTHING
    facts_now = {
        "network": network,
        "standing": Standing.PUBLISHED,
        "facts": facts,
        "digest": digest,
        "number": _next(session),
        "since": now,
        "stays": True,
    }
    # What was withdrawn may come again under another id.
    execute(session, _shelved.update().where(*same, _shelved.c.id != id).values(digest=None))
    row = upsert(_shelved).values(id=id, **facts_now)
    execute(session, row.on_conflict_do_update(index_elements=["id"], set_=facts_now))
    execute(session, delete(_passage).where(_passage.c.resource_id == id))
    if passages:
        execute(
            session,
            insert(_passage),
            [{"resource_id": id, "number": number, **each._asdict()} for number, each in enumerate(passages, start=1)],
        )
    return Put.CORRECTED if kept is not None else Put.NEW


def fresh_id(session: Session, wanted: str, rng: random.Random, *, taken: Collection[str]) -> str:
    """An id like the one wanted that no resource has, here or among those `taken` by the program."""
    found = wanted
    while found in taken or session.get(Shelved, found) is not None:
        found = drawn_id(wanted, rng)
    return found


def drawn_id(wanted: str, rng: random.Random) -> str:
    """An id like the one wanted that tells nobody whether another of that name is there."""
    return f"{wanted[:53]}-{codes.draw(rng, 'R')[2:].casefold()}"


def suggest(session: Session, *, id: str, network: str, facts: str, by: UUID, now: datetime) -> Shelved:  # noqa: A002
    """Suggest a resource: a coordinator of the network decides.

    Raises:
        Refused: too many suggestions of this person wait.
    """
    waiting_now = (
        select(func.count()).select_from(_shelved).where(_shelved.c.by == by, _shelved.c.standing == Standing.SUGGESTED)
    )
    if (execute(session, waiting_now).scalar() or 0) >= MOST_WAITING:
        raise Refused("{n} of your suggestions wait already. Please wait until they are decided.", n=MOST_WAITING)
    row = Shelved(
        id=id,
        network=network,
        standing=Standing.SUGGESTED,
        facts=facts,
        number=0,
        by=by,
        since=now,
    )
    write(session, row)
    return row


def waiting(session: Session, network: str) -> list[Shelved]:
    """The suggestions that wait for a decision in a network, the oldest first."""
    rows = (
        select(Shelved)
        .where(col(Shelved.network) == network, col(Shelved.standing) == Standing.SUGGESTED)
        .order_by(col(Shelved.since), col(Shelved.id))
    )
    return list(session.scalars(rows))


def one(session: Session, id: str, networks: Collection[str]) -> Shelved | None:  # noqa: A002
    """The published resource of that id, if one of these networks may see it."""
    row = session.get(Shelved, id)
    if row is None or row.standing is not Standing.PUBLISHED or row.network not in {*networks, EVERY_NETWORK}:
        return None
    return row


def decide(session: Session, row: Shelved, *, publish: bool, facts: str, by: UUID, now: datetime) -> None:
    """Publish or decline a suggestion.

    Raises:
        Refused: it was decided already, or is one's own.
    """
    if row.standing is not Standing.SUGGESTED:
        raise Refused("That was decided already.")
    if row.by == by:
        raise Refused("This is your own suggestion: somebody else has to decide.")
    row.standing = Standing.PUBLISHED if publish else Standing.DECLINED
    row.facts = facts if publish else "{}"
    row.stays = publish
    row.number = _next(session) if publish else 0
    row.declined_at = None if publish else now
    row.since = now
    session.add(row)


def withdraw(session: Session, row: Shelved, *, now: datetime) -> None:
    """Take a published resource away: it is found no more, and its words are gone."""
    row.facts = "{}"
    row.standing = Standing.WITHDRAWN
    row.number = _next(session)
    row.since = now
    session.add(row)
    execute(session, delete(_passage).where(_passage.c.resource_id == row.id))


def found(session: Session, keys: Iterable[str], networks: Collection[str]) -> dict[str, FoundHere]:
    """What is kept under these keys ("id", or "id#3" for its third passage), if one of these networks may see it."""
    parted = {key: (key.partition("#")[0], int(key.partition("#")[2] or 0)) for key in keys}
    if not parted:
        return {}
    visible = and_(
        _shelved.c.id.in_({id_ for id_, _ in parted.values()}),
        _shelved.c.standing == Standing.PUBLISHED,
        _shelved.c.network.in_({*networks, EVERY_NETWORK}),
    )
    rows = execute(session, select(_shelved.c.id, _shelved.c.facts).where(visible))
    facts = {row.id: row.facts for row in rows}
    wanted = [pair for pair in parted.values() if pair[1] and pair[0] in facts]
    stretches = (
        {
            (row.resource_id, row.number): Stretch(row.heading, row.text, row.place)
            for row in execute(
                session, select(_passage).where(tuple_(_passage.c.resource_id, _passage.c.number).in_(wanted))
            )
        }
        if wanted
        else {}
    )
    return {
        key: FoundHere(facts[id_], stretches.get((id_, number)))
        for key, (id_, number) in parted.items()
        if id_ in facts and (not number or (id_, number) in stretches)
    }


def changes(session: Session, since: int, most: int = 100) -> Changes:
    """What changed after the change with that number: at most so many resources, in order."""
    rows = execute(
        session,
        select(_shelved.c.id, _shelved.c.facts, _shelved.c.standing, _shelved.c.number)
        .where(_shelved.c.number > since)
        .order_by(_shelved.c.number)
        .limit(most),
    ).all()
    published = [row.id for row in rows if row.standing is Standing.PUBLISHED]
    passages = _passages(session, published)
    each = [Changed(row.id, row.facts if row.id in passages else None, passages.get(row.id, [])) for row in rows]
    return Changes(each, rows[-1].number if rows else since, _next(session) - 1)


def published(session: Session, networks: Collection[str]) -> dict[str, str]:
    """The facts of every published resource that one of these networks may see, by id."""
    rows = select(_shelved.c.id, _shelved.c.facts).where(
        _shelved.c.standing == Standing.PUBLISHED, _shelved.c.network.in_({*networks, EVERY_NETWORK})
    )
    return {row.id: row.facts for row in execute(session, rows.order_by(_shelved.c.id))}


def confirm(session: Session, resource_id: str, *, day: date, by: UUID | None) -> None:
    """Note that an entry was looked at, and is still right."""
    facts = {"day": day, "by": by}
    row = upsert(_review).values(resource_id=resource_id, **facts)
    execute(session, row.on_conflict_do_update(index_elements=["resource_id"], set_=facts))


def reviews(session: Session, ids: Collection[str] | None = None) -> dict[str, date]:
    """When which of these entries, or of all, were last confirmed by somebody here."""
    rows = select(_review.c.resource_id, _review.c.day)
    if ids is not None:
        rows = rows.where(_review.c.resource_id.in_(ids))
    return {row.resource_id: row.day for row in execute(session, rows)}


def save(session: Session, resource_id: str, *, member: UUID, now: datetime) -> bool:
    """Keep an entry in mind for somebody; False if it was."""
    row = upsert(_saved).values(member_id=member, resource_id=resource_id, saved_at=now)
    return changed(session, row.on_conflict_do_nothing()) > 0


def saved(session: Session, member: UUID) -> list[str]:
    """The ids of the entries that somebody saved, the latest first."""
    rows = select(_saved.c.resource_id).where(_saved.c.member_id == member)
    return [id_ for (id_,) in execute(session, rows.order_by(_saved.c.saved_at.desc(), _saved.c.resource_id))]


def forget(session: Session, resource_id: str, *, member: UUID) -> bool:
    """Keep an entry in mind no longer; False if it was not."""
    row = delete(_saved).where(and_(_saved.c.member_id == member, _saved.c.resource_id == resource_id))
    return changed(session, row) > 0


def _passages(session: Session, ids: Collection[str]) -> dict[str, list[Stretch]]:
    """All passages of each of these resources, in order."""
    passages: dict[str, list[Stretch]] = {id_: [] for id_ in ids}
    rows = select(_passage).where(_passage.c.resource_id.in_(ids))
    for row in execute(session, rows.order_by(_passage.c.resource_id, _passage.c.number)):
        passages[row.resource_id].append(Stretch(row.heading, row.text, row.place))
    return passages


def _next(session: Session) -> int:
    """The number of the next change. Whoever takes it at the same time collides, and tries again after us."""
    return (execute(session, select(func.max(_shelved.c.number))).scalar() or 0) + 1
