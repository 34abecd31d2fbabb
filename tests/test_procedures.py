import datetime as dt
import importlib.resources
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import knowledge
from commands.core.extract import sentences
from knowledge.library import BadRow, Library, Procedures, Scope, Stage, Tool

SHIPPED = Path(knowledge.__file__).parent
LIBRARY = Library.load()
PROCEDURES = LIBRARY.procedures

STAGES: list[dict[str, Any]] = [
    {"id": "preparing", "name": "In preparation", "leads_to": ["filed"], "ends": False},
    {"id": "filed", "name": "Filed", "leads_to": [], "ends": True},
]
TOOL: dict[str, Any] = {
    "id": "petition",
    "network": "uj",
    "name": "Petition",
    "stages": STAGES,
    "forums": ["court"],
    "outcomes": ["won"],
    "sources": ["xx-law"],
    "as_of": "2026-11-28",
    "verified_scope": "none",
    "note": "National law differs.",
}
ROWS: dict[str, list[dict[str, Any]]] = {
    "tools": [TOOL],
    "forums": [{"id": "court", "name": "Court", "sources": []}],
    "outcomes": [{"id": "won", "name": "Won"}],
    "regions": [{"id": "here", "name": "Here", "jurisdictions": ["DE", "INT"]}],
}

for_every_tool = pytest.mark.parametrize("tool", PROCEDURES.tools, ids=lambda tool: tool.id)


def folder(tmp_path: Path, **rows: list[dict[str, Any]]) -> Path:
    (tmp_path / "procedures").mkdir(exist_ok=True)
    for file, lines in (ROWS | rows).items():
        text = "\n".join(map(json.dumps, lines)) + "\n"
        (tmp_path / "procedures" / f"{file}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path / "procedures"


def tool(tool_id: str) -> Tool:
    found = PROCEDURES.tool(tool_id)
    assert found
    return found


def after(tool_id: str, stage: str) -> set[str]:
    return {each.id for each in tool(tool_id).following(stage)}


def ways_on(of: Tool, stage: Stage) -> set[str]:
    """Every stage that can still come, this one among them."""
    found, new = {stage.id}, [stage]
    while new:
        new = [each for one in new for each in of.following(one.id) if each.id not in found]
        found |= {each.id for each in new}
    return found


def named() -> Iterator[tuple[str, str]]:
    for row in (*PROCEDURES.outcomes, *(stage for each in PROCEDURES.tools for stage in each.stages)):
        yield row.id, row.name


# Tools and stages


def test_the_tools_are_those_of_the_networks() -> None:
    assert [each.id for each in PROCEDURES.tools] == [
        "uj-complaint", "sanctions-submission", "climate-litigation", "permit-objection", "strasbourg-application",
        "treaty-body-communication", "rule-9-communication", "aarhus-communication", "ncp-complaint",
        "icc-communication", "domestic-proceedings",
    ]  # fmt: skip


@for_every_tool
def test_a_case_begins_in_preparation(tool: Tool) -> None:
    assert (tool.first.id, tool.first.name, tool.first.ends) == ("preparing", "In preparation", False)
    assert not [stage for stage in tool.stages if tool.first in tool.following(stage.id)]


@for_every_tool
def test_every_stage_can_be_reached_and_from_each_an_end(tool: Tool) -> None:
    assert ways_on(tool, tool.first) == {stage.id for stage in tool.stages}
    for stage in tool.stages:
        assert any(each.ends for each in tool.stages if each.id in ways_on(tool, stage)), stage.id


@for_every_tool
def test_what_leads_nowhere_is_an_end_and_nothing_leads_to_itself(tool: Tool) -> None:
    for stage in tool.stages:
        assert stage.leads_to or stage.ends, stage.id
        assert stage.id not in stage.leads_to


@for_every_tool
def test_forums_and_outcomes_of_a_tool_are_known(tool: Tool) -> None:
    assert tool.forums
    assert tool.outcomes
    assert all(map(PROCEDURES.forum, tool.forums))
    assert all(map(PROCEDURES.outcome, tool.outcomes))


def test_every_forum_and_outcome_belongs_to_a_tool() -> None:
    tools = PROCEDURES.tools
    assert {forum.id for forum in PROCEDURES.forums} == {forum for each in tools for forum in each.forums}
    assert {row.id for row in PROCEDURES.outcomes} == {outcome for each in tools for outcome in each.outcomes}


@pytest.mark.parametrize(
    ("tool_id", "stage", "next_ones"),
    [
        ("uj-complaint", "investigation-open", {"arrest-warrant", "charged"}),  # charged without a warrant
        ("uj-complaint", "arrest-warrant", {"trial"}),  # a trial in absence
        ("uj-complaint", "refused", {"review-of-refusal"}),
        ("sanctions-submission", "filed", {"designated", "no-designation"}),  # authorities need not ask or answer
        ("sanctions-submission", "delisted", {"designated"}),  # listed again for better reasons
        ("strasbourg-application", "communicated", {"judgment", "grand-chamber"}),  # a chamber may relinquish
        ("strasbourg-application", "grand-chamber", {"inadmissible", "final"}),
        ("treaty-body-communication", "registered", {"views-adopted"}),  # a State that does not answer
        ("rule-9-communication", "cm-decision", {"infringement"}),
        ("aarhus-communication", "admissibility", {"draft-findings"}),  # summary proceedings
        ("ncp-complaint", "initial-assessment", {"good-offices", "under-examination"}),
        ("icc-communication", "filed", {"investigation-open"}),  # a situation that is open already
        ("domestic-proceedings", "final", {"constitutional-complaint"}),
    ],
)
def test_a_case_may_go_the_ways_that_real_cases_go(tool_id: str, stage: str, next_ones: set[str]) -> None:
    assert next_ones <= after(tool_id, stage)


def test_nothing_follows_a_stage_that_the_tool_does_not_have() -> None:
    assert tool("uj-complaint").following("mop-decision") == ()
    assert tool("uj-complaint").stage("mop-decision") is None


def test_everything_is_known_by_its_id_in_any_case() -> None:
    assert tool(" UJ-Complaint ").id == "uj-complaint"
    found = (tool("uj-complaint").stage("TRIAL"), PROCEDURES.forum("EctHR"), PROCEDURES.outcome(" Filed"))
    assert [row and row.name for row in found] == ["Trial", "European Court of Human Rights", "Filed"]
    assert PROCEDURES.tool("") is PROCEDURES.forum("?") is PROCEDURES.outcome("no such outcome") is None


@pytest.mark.parametrize(
    ("network", "first", "last"),
    [
        ("uj", ["uj-complaint", "icc-communication", "strasbourg-application"], "ncp-complaint"),
        ("sanctions", ["sanctions-submission", "strasbourg-application"], "icc-communication"),
        ("climate", ["climate-litigation", "permit-objection", "aarhus-communication"], "icc-communication"),
        ("a-new-one", ["strasbourg-application", "treaty-body-communication"], "icc-communication"),
    ],
)
def test_a_network_sees_every_tool_its_own_first(network: str, first: list[str], last: str) -> None:
    seen = [each.id for each in PROCEDURES.tools_for(network)]
    assert seen[: len(first)] == first
    assert seen[-1] == last
    assert sorted(seen) == sorted(each.id for each in PROCEDURES.tools)


# Sources


def test_every_source_is_a_resource_of_the_library() -> None:
    for row in (*PROCEDURES.tools, *PROCEDURES.forums):
        assert [source for source in row.sources if not LIBRARY.resource(source)] == [], row.id


@for_every_tool
def test_a_tool_says_from_when_its_stages_are_and_how_far_they_were_checked(tool: Tool) -> None:
    assert tool.as_of == dt.date(2026, 11, 28)
    assert tool.note.endswith(".")
    verified = [source for source in tool.sources if (row := LIBRARY.resource(source)) and row.verified]
    assert tool.verified_scope is Scope.NONE or (tool.verified_scope is Scope.PARTIAL and verified)


def test_a_tool_is_usual_in_a_network_that_has_resources() -> None:
    networks = {file.stem for file in (SHIPPED / "resources").glob("*.jsonl")}
    assert {each.usual_in for each in PROCEDURES.tools} <= networks


# Regions


def test_every_jurisdiction_of_the_library_lies_in_a_region() -> None:
    assert set(LIBRARY.jurisdictions()) <= PROCEDURES.jurisdictions


def test_every_country_of_the_world_lies_in_a_region() -> None:
    table = (importlib.resources.files("tzdata") / "zoneinfo" / "iso3166.tab").read_text(encoding="utf-8")
    countries = {line[:2] for line in table.splitlines() if not line.startswith("#")}
    assert len(countries) > 240
    assert countries <= PROCEDURES.jurisdictions


@pytest.mark.parametrize(
    ("code", "region"),
    [
        ("UA", "eastern-europe"),
        ("ru", "eastern-europe"),
        ("GE", "south-caucasus"),
        ("KZ", "central-asia"),
        ("LT", "central-europe-and-baltics"),
        ("DE", "western-europe"),
        (" se ", "northern-europe"),
        ("AR", "latin-america-and-caribbean"),
        ("XK", "south-eastern-europe"),
        ("EU", "international"),
        ("ECHR", "international"),
        ("INT", "international"),
    ],
)
def test_a_jurisdiction_lies_in_its_region(code: str, region: str) -> None:
    found = PROCEDURES.region(code)
    assert found
    assert found.id == region


def test_what_is_no_jurisdiction_lies_nowhere() -> None:
    assert PROCEDURES.region("ZZ") is PROCEDURES.region("") is None


# Names


def test_one_id_has_one_name_wherever_it_occurs() -> None:
    names: dict[str, set[str]] = {}
    for row_id, name in named():
        names.setdefault(row_id, set()).add(name)
    assert {row_id: said for row_id, said in names.items() if len(said) > 1} == {}


def test_two_choices_in_one_list_never_read_the_same() -> None:
    lists = (PROCEDURES.tools, PROCEDURES.forums, PROCEDURES.outcomes, PROCEDURES.regions)
    for rows in (*lists, *(each.stages for each in PROCEDURES.tools)):
        names = [row.name.casefold() for row in rows]
        assert sorted(names) == sorted(set(names))


def test_every_list_fits_a_menu_of_25_choices() -> None:
    for rows in (PROCEDURES.tools, PROCEDURES.forums, PROCEDURES.outcomes, *(each.stages for each in PROCEDURES.tools)):
        assert len(rows) <= 25


def test_every_name_is_said_once_and_found_for_the_catalogues() -> None:
    names = list(PROCEDURES.names())
    assert len(names) == len(set(names))
    assert {"Climate litigation", "Arrest warrant issued", "Investigating judge", "Settlement", "Central Asia"} <= {
        *names
    }
    found = sentences()
    assert all("knowledge/procedures" in found[name] for name in names)


def test_a_name_holds_no_place_for_a_value_and_fits_a_menu() -> None:
    for name in PROCEDURES.names():
        assert not {"{", "}"} & set(name)
        assert len(name) <= 80


# Where they come from


def test_a_library_has_the_procedures_of_its_own_folder(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED / "resources", tmp_path / "resources")
    assert len(Library.load(tmp_path).procedures.tools) == len(PROCEDURES.tools)
    folder(tmp_path)
    assert [each.id for each in Library.load(tmp_path).procedures.tools] == ["petition"]


def test_rows_that_agree_are_loaded_as_they_stand(tmp_path: Path) -> None:
    loaded = Procedures.load(folder(tmp_path))
    assert [json.loads(each.model_dump_json(by_alias=True)) for each in loaded.tools] == [TOOL]
    assert loaded.jurisdictions == {"DE", "INT"}


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"forums": ["court", "moot"]}, ", field forums: 'moot' is not in forums.jsonl."),
        ({"outcomes": ["lost"]}, ", field outcomes: 'lost' is not in outcomes.jsonl."),
        ({"forums": []}, ", field forums: "),
        ({"forums": ["court", "court"]}, ", field forums: something is named twice."),
        ({"sources": []}, ", field sources: "),
        ({"stages": []}, ", field stages: "),
        ({"stages": [*STAGES, STAGES[1]]}, ": a stage occurs twice."),
        ({"stages": STAGES[:1]}, ": stage preparing leads to filed, which is no stage of this tool."),
        ({"stages": [*STAGES, STAGES[1] | {"id": "far"}]}, ": stage far cannot be reached."),
        ({"stages": [STAGES[0], STAGES[1] | {"ends": False}]}, ": stage filed never comes to an end."),
        ({"name": "Petition of {whom}"}, ", field name: "),
        ({"network": "Everybody"}, ", field network: "),
        ({"verified_scope": "some"}, ", field verified_scope: "),
        ({"surprise": 1}, ", field surprise: Extra inputs are not permitted."),
        ({"id": "petition"}, ": 'petition' occurs a second time."),
    ],
)
def test_a_bad_tool_is_named_by_file_and_line(tmp_path: Path, bad: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadRow) as refused:
        Procedures.load(folder(tmp_path, tools=[TOOL, TOOL | {"id": "second"} | bad]))
    text = str(refused.value)
    assert text.startswith("procedures/tools.jsonl, line 2")
    assert sentence in text
    assert ("line 2:" in text) == sentence.startswith(":")


def test_a_stage_that_only_leads_round_in_a_circle_is_refused(tmp_path: Path) -> None:
    circle = [
        STAGES[0] | {"leads_to": ["filed", "round"]},
        STAGES[1],
        {"id": "round", "name": "Round", "leads_to": ["about"], "ends": False},
        {"id": "about", "name": "About", "leads_to": ["round"], "ends": False},
    ]
    with pytest.raises(BadRow, match=r"tools\.jsonl, line 1: stage about never comes to an end\."):
        Procedures.load(folder(tmp_path, tools=[TOOL | {"stages": circle}]))


def test_a_jurisdiction_lies_in_one_region_only(tmp_path: Path) -> None:
    twice = [*ROWS["regions"], {"id": "there", "name": "There", "jurisdictions": ["FR", "DE"]}]
    with pytest.raises(BadRow) as refused:
        Procedures.load(folder(tmp_path, regions=twice))
    assert str(refused.value) == "procedures/regions.jsonl, line 2, field jurisdictions: 'DE' lies in 'here' already."


@pytest.mark.parametrize("file", ROWS)
def test_without_one_of_the_files_there_are_no_procedures(tmp_path: Path, file: str) -> None:
    (folder(tmp_path) / f"{file}.jsonl").unlink()
    with pytest.raises(BadRow, match=rf"procedures/{file}\.jsonl: cannot be read"):
        Procedures.load(tmp_path / "procedures")
