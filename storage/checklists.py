"""How far a case has come with a checklist: an item is done, or does not apply; whatever is not noted is open."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final
from uuid import UUID

from sqlalchemy import delete, select
from sqlmodel import Field

from storage.cases import Mine, to_change
from storage.engine import upsert
from storage.store import Session, execute
from storage.table import UTC, Erasure, Privacy, Table, core, one_of


class Mark(StrEnum):
    """What is noted of an item."""

    OPEN = "open"
    DONE = "done"
    NOT_NEEDED = "not-needed"


class ChecklistMark(Table, table=True):
    """What a team noted of an item of a checklist.

    Attributes:
        by: who noted it, while they are here.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="Which items of a case's checklists you marked.", whose=("by",), erase=Erasure.BLANK, blank=("by",)
    )

    case_id: UUID = Field(foreign_key="case.id", ondelete="CASCADE", primary_key=True)
    checklist: str = Field(max_length=60, primary_key=True)
    item: str = Field(max_length=8, primary_key=True)
    mark: Mark = one_of(Mark)
    by: UUID | None = Field(default=None, index=True)
    at: datetime = Field(sa_type=UTC)


_mark: Final = core(ChecklistMark)


def marks(session: Session, case_id: UUID, checklist: str) -> dict[str, Mark]:
    """What a case's team noted, by item; an item that is not there is open."""
    rows = select(_mark.c.item, _mark.c.mark).where(_mark.c.case_id == case_id, _mark.c.checklist == checklist)
    return {row.item: row.mark for row in execute(session, rows)}


def mark(session: Session, mine: Mine, *, checklist: str, item: str, mark: Mark, by: UUID, now: datetime) -> None:
    """Note how it stands with an item.

    Raises:
        Refused: the case is closed, or somebody else's to change.
    """
    case = to_change(mine)
    here = (_mark.c.case_id == case.id, _mark.c.checklist == checklist, _mark.c.item == item)
    if mark is Mark.OPEN:
        execute(session, delete(_mark).where(*here))
        return
    facts = {"mark": mark, "by": by, "at": now}
    row = upsert(_mark).values(case_id=case.id, checklist=checklist, item=item, **facts)
    execute(session, row.on_conflict_do_update(index_elements=["case_id", "checklist", "item"], set_=facts))
