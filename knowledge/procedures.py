"""Procedures: the legal tools, the stages a case passes in each, where it is brought and what comes of it.

The stages are the usual ones, drawn up from the library's resources; national law differs, and every tool says how
far its stages were checked. They suggest what comes next and never bind: real cases skip, repeat and surprise.
"""

import datetime as dt
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from knowledge.schema import EVERY_NETWORK, BadRow, Jurisdiction, Prose, R, Row, Scope, Slug, read_rows


def _each_once(given: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(given)) != len(given):
        raise ValueError("something is named twice")
    return given


# A brace would be a place for a value: names are said in every language, and nothing is put into them.
Name = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[^\s{}]([^{}]*[^\s{}])?$")]
Slugs = Annotated[tuple[Slug, ...], AfterValidator(_each_once)]
Jurisdictions = Annotated[tuple[Jurisdiction, ...], AfterValidator(_each_once), Field(min_length=1)]


class Named(Row):
    """What all rows of this module have in common: an id for the store and a name for people."""

    id: Slug
    name: Name

    @property
    def key(self) -> str:
        """The id."""
        return self.id


class Stage(Named):
    """A step of a case under one tool.

    Attributes:
        leads_to: the stages that usually come next, the likeliest first.
        ends: whether a case may end here; it may go on all the same if the stage leads further.
    """

    leads_to: Slugs
    ends: bool


class Forum(Named):
    """Who decides: a court, a committee, a prosecutor, an authority."""

    sources: Slugs


class Outcome(Named):
    """What came of a step or of a whole case."""


class Region(Named):
    """A part of the world, so that one can say where something happened without naming the State."""

    jurisdictions: Jurisdictions


class Tool(Named):
    """A legal tool, with the stages of a case that uses it.

    Attributes:
        usual_in: the network in which it is usual, or "all"; every network may use every tool.
        stages: in the usual order; a case begins at the first.
        forums: the ids of the forums where it is usually brought, the commonest first.
        outcomes: the ids of what may come of it.
        sources: the ids of the resources from which the stages were drawn up.
        verified_scope: how much of the stages is borne out by resources that were checked themselves.
        note: what a lawyer should know before relying on the stages.
    """

    # Not "network": for a row of that attribute the file must be the network's own, and these lie in one file.
    usual_in: Slug = Field(alias="network")
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    forums: Annotated[Slugs, Field(min_length=1)]
    outcomes: Annotated[Slugs, Field(min_length=1)]
    sources: Annotated[Slugs, Field(min_length=1)]
    as_of: dt.date
    verified_scope: Scope
    note: Prose

    @property
    def first(self) -> Stage:
        """The stage at which a case begins."""
        return self.stages[0]

    def stage(self, stage_id: str) -> Stage | None:
        """Return the stage of that id, in any case, or None."""
        return _of_id(self.stages, stage_id)

    def following(self, stage_id: str) -> tuple[Stage, ...]:
        """Return the stages that usually come after one, the likeliest first; none after one it does not have."""
        stage = self.stage(stage_id)
        led_to = stage.leads_to if stage else ()
        return tuple(each for one in led_to for each in self.stages if each.id == one)

    @model_validator(mode="after")
    def _every_way_leads_from_the_first_stage_to_an_end(self) -> Self:
        onward = {stage.id: stage.leads_to for stage in self.stages}
        if len(onward) != len(self.stages):
            raise ValueError("a stage occurs twice")
        for stage in self.stages:
            for unknown in sorted(set(stage.leads_to) - onward.keys()):
                raise ValueError(f"stage {stage.id} leads to {unknown}, which is no stage of this tool")
        for lost in sorted(onward.keys() - _reached({self.first.id}, onward)):
            raise ValueError(f"stage {lost} cannot be reached")
        backward = {one: [other for other, led_to in onward.items() if one in led_to] for one in onward}
        for endless in sorted(onward.keys() - _reached({stage.id for stage in self.stages if stage.ends}, backward)):
            raise ValueError(f"stage {endless} never comes to an end")
        return self


class Procedures:
    """Every tool, forum, outcome and region; nothing in it ever changes, so any thread may read it."""

    def __init__(
        self, tools: Sequence[Tool], forums: Sequence[Forum], outcomes: Sequence[Outcome], regions: Sequence[Region]
    ) -> None:
        self.tools = tuple(tools)
        self.forums = tuple(forums)
        self.outcomes = tuple(outcomes)
        self.regions = tuple(regions)
        self._regions = {code: region for region in regions for code in region.jurisdictions}
        self.jurisdictions = frozenset(self._regions)
        """The codes of every jurisdiction that lies in a region."""

    @classmethod
    def load(cls, folder: Path | None = None) -> Self:
        """Read the folder with the four files, by default the one that comes with the program.

        Raises:
            BadRow: a row is wrong, or names something that is not there; one sentence says the file and the line.
        """
        folder = folder or Path(__file__).with_suffix("")
        tools = list(read_rows([folder / "tools.jsonl"], Tool))
        forums = list(read_rows([folder / "forums.jsonl"], Forum))
        outcomes = list(read_rows([folder / "outcomes.jsonl"], Outcome))
        regions = list(read_rows([folder / "regions.jsonl"], Region))
        for tool in tools:
            for field, named, known in (("forums", tool.forums, forums), ("outcomes", tool.outcomes, outcomes)):
                for unknown in sorted(set(named) - {row.id for row in known}):
                    where = _place(folder / "tools.jsonl", tool)
                    raise BadRow(f"{where}, field {field}: {unknown!r} is not in {field}.jsonl.")
        seen: dict[str, Region] = {}
        for region in regions:
            for code in region.jurisdictions:
                if (other := seen.setdefault(code, region)) is not region:
                    where = _place(folder / "regions.jsonl", region)
                    raise BadRow(f"{where}, field jurisdictions: {code!r} lies in {other.id!r} already.")
        return cls(tools, forums, outcomes, regions)

    def tool(self, tool_id: str) -> Tool | None:
        """Return the tool of that id, in any case, or None."""
        return _of_id(self.tools, tool_id)

    def tools_for(self, network: str) -> tuple[Tool, ...]:
        """Return all tools: first the network's own, then those usual in every network, then the others."""
        order = {network: 0, EVERY_NETWORK: 1}
        return tuple(sorted(self.tools, key=lambda tool: order.get(tool.usual_in, 2)))

    def forum(self, forum_id: str) -> Forum | None:
        """Return the forum of that id, in any case, or None."""
        return _of_id(self.forums, forum_id)

    def outcome(self, outcome_id: str) -> Outcome | None:
        """Return the outcome of that id, in any case, or None."""
        return _of_id(self.outcomes, outcome_id)

    def region(self, jurisdiction: str) -> Region | None:
        """Return the region in which a jurisdiction lies, by its code in any case, or None."""
        return self._regions.get(jurisdiction.strip().upper())

    def names(self) -> Iterator[str]:
        """Yield every name that people read, once each: English sentences for the catalogues."""
        rows: tuple[Named, ...] = (*self.tools, *self.forums, *self.outcomes, *self.regions)
        stages = (stage for tool in self.tools for stage in tool.stages)
        yield from dict.fromkeys(row.name for row in (*rows, *stages))


def _of_id(rows: Sequence[R], row_id: str) -> R | None:
    wanted = row_id.strip().lower()
    return next((row for row in rows if row.key == wanted), None)


def _reached(start: Collection[str], steps: Mapping[str, Collection[str]]) -> set[str]:
    found, new = set(start), set(start)
    while new:
        new = {led_to for one in new for led_to in steps[one]} - found
        found |= new
    return found


def _place(file: Path, row: Named) -> str:
    # Rows do not know their lines: what is wrong between two files is rare enough to look once more.
    lines = enumerate(file.read_text(encoding="utf-8").split("\n"), start=1)
    number = next(number for number, line in lines if line.strip() and json.loads(line)["id"] == row.id)
    return f"{file.parent.name}/{file.name}, line {number}"
