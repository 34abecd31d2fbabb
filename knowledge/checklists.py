"""Checklists: what a designation, a complaint or a climate case has to have, each item with its sources.

They are working aids, not advice. Each tells which of its parts were checked in stored sources; everything else was
written down by people who know the field, and must be checked against the law of the day.
"""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from knowledge.schema import BadRow, Jurisdiction, Prose, Row, Slug, read_rows

ItemId = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,3}\d{1,2}$")]
FactName = Literal[
    "authority", "addressee", "measures", "conduct", "standard", "crimes", "presence_or_residence",
    "nationality_links", "subsidiarity_and_discretion", "immunity", "limitation", "victim_role", "special_points",
]  # fmt: skip


class Item(BaseModel):
    """One thing to have: what, whether it must be there, a hint, and the entries of the library that ask for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: ItemId
    text: Prose
    required: bool
    sources: tuple[Slug, ...]
    help: str = ""


class Section(BaseModel):
    """Items that belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Prose
    items: Annotated[tuple[Item, ...], Field(min_length=1)]


class Common(Row):
    """Sections that several checklists share."""

    id: Slug
    sections: tuple[Section, ...]

    @property
    def key(self) -> str:
        """Its id."""
        return self.id


class Checklist(Row):
    """One checklist.

    Attributes:
        common: whose sections come before its own; empty: nobody's.
        facts: what is to be known of the forum, by name.
        verified: which parts were checked in stored sources; the others were not.
        as_of: when it was last reviewed.
    """

    id: Slug
    network: Slug
    common: Annotated[str, StringConstraints(pattern=r"^[a-z-]*$")]
    name: Prose
    jurisdiction: Jurisdiction
    facts: dict[FactName, Prose]
    sections: tuple[Section, ...]
    sources: tuple[Slug, ...]
    verified: tuple[Prose, ...]
    note: str
    as_of: dt.date

    @property
    def key(self) -> str:
        """Its id."""
        return self.id

    @property
    def items(self) -> tuple[Item, ...]:
        """All its items, in their order."""
        return tuple(item for section in self.sections for item in section.items)

    def item(self, typed: str) -> Item | None:
        """Return the item of that id."""
        return next((item for item in self.items if item.id == typed), None)

    @model_validator(mode="after")
    def _names_each_item_once(self) -> Self:
        ids = [item.id for item in self.items]
        if len(set(ids)) < len(ids):
            raise ValueError("two items have one id")
        return self


class Checklists:
    """Every checklist, by its id."""

    def __init__(self, rows: Sequence[Checklist]) -> None:
        self.all = tuple(rows)
        self._by_id = {row.id: row for row in rows}

    @classmethod
    def load(cls, folder: Path | None = None) -> Self:
        """Read the checklists of a folder, by default of the program's.

        Raises:
            BadRow: a row is wrong; one sentence says the file, the line and the field.
        """
        folder = folder or Path(__file__).with_name("checklists")
        common = {row.id: row.sections for row in read_rows([folder / "common.jsonl"], Common)}
        rows = []
        for row in read_rows([folder / "checklists.jsonl"], Checklist, per_network=False):
            if row.common and row.common not in common:
                raise BadRow(f"{folder.name}/checklists.jsonl: {row.id} builds on {row.common!r}, which is not there.")
            whole = {**row.model_dump(), "sections": (*common.get(row.common, ()), *row.sections)}
            rows.append(Checklist.model_validate(whole))
        return cls(rows)

    def __getitem__(self, checklist_id: str) -> Checklist | None:
        """Return the checklist of that id, or None."""
        return self._by_id.get(checklist_id)

    def of(self, network: str) -> list[Checklist]:
        """Return the checklists, those of a network first."""
        return sorted(self.all, key=lambda row: row.network != network)
