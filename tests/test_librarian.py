"""The operator's library commands, as they are typed: taking documents in, finding, checking addresses."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from threading import Thread

import pytest

from bots.links import check, looked_at
from knowledge.schema import Resource
from storage.library import Changes
from storage.sealed import Vault
from storage.store import Store
from tests import papers

MASTER = bytes(range(32))


@pytest.fixture
def hub(templates: dict[str, bytes], tmp_path: Path) -> Path:
    """A folder with settings and a store."""
    for name, content in templates.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "settings.toml").write_text(
        f"""
[hub]
database = "sqlite:///{tmp_path}/hub.db"
keys = "sqlite:///{tmp_path}/keys.db"
state = "{tmp_path}/state"
[networks.uj]
name = "Universal jurisdiction"
[networks.climate]
name = "Climate"
"""
    )
    return tmp_path


def impacthub(hub: Path, *args: str, said: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "IMPACTHUB_SECRETS__MASTER_KEY": MASTER.hex()}
    settings = ["--settings", str(hub / "settings.toml")]
    return subprocess.run(
        [sys.executable, "-m", "bots", args[0], *settings, *args[1:]],
        input=said,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )


def kept(hub: Path) -> dict[str, int]:
    """The ids on the shelf, each with how many passages it has."""
    return {each.id: len(each.passages) for each in shelved(hub).each if each.facts is not None}


def facts(hub: Path) -> dict[str, Resource]:
    """The rows of the documents on the shelf, by their ids."""
    return {each.id: Resource.model_validate_json(each.facts) for each in shelved(hub).each if each.facts is not None}


def shelved(hub: Path) -> Changes:
    """What the shelf has."""

    async def look() -> Changes:
        from storage import library

        store = Store(f"sqlite:///{hub}/hub.db", vault=Vault(f"sqlite:///{hub}/keys.db", MASTER))
        try:
            return await store.run(lambda s: library.changes(s, 0, most=10_000))
        finally:
            await store.close()

    return asyncio.run(look())


@pytest.fixture
def shelf(hub: Path) -> Path:
    """A folder of documents, good and bad."""
    folder = hub / "documents"
    folder.mkdir()
    (folder / "quokka.md").write_text("# Quokka protection act\n\n## Article 5\n\nNobody may trade in quokkas.\n")
    (folder / "quokka.docx").write_bytes(papers.docx(papers.paragraph("A wholly different wombat decree.")))
    (folder / "page.html").write_text("<html><title>Numbat</title><body><h1>Numbat</h1><p>The numbat rests.</p></body>")
    (folder / "list.csv").write_text("title,url,summary\nBilby law,https://example.org/b,About bilbies.\n")
    (folder / "scan.pdf").write_bytes(papers.pdf([""]))
    (folder / "broken.docx").write_bytes(b"PK\x03\x04 nothing")
    (folder / ".hidden.md").write_text("# Hidden\n\nNobody reads this.\n")
    return folder


def test_a_folder_is_taken_in_file_by_file_and_what_is_bad_is_named(hub: Path, shelf: Path) -> None:
    done = impacthub(hub, "ingest", str(shelf))
    assert done.returncode == 1
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines()[:-1])
    assert {Path(name).name for name, what in lines.items() if what.startswith("✗")} == {"scan.pdf", "broken.docx"}
    assert lines[str(shelf / "quokka.md")] == (
        "1 document, 1 passage; jurisdiction INT, kind statute, language en: nothing was declared."
    )
    assert done.stdout.splitlines()[-1] == "4 of 6 files are in."
    assert {"quokka-protection-act", "numbat", "bilby-law"} <= set(kept(hub))

    again = impacthub(hub, "ingest", str(shelf))
    assert again.stdout.count("was in already.") == 4
    assert len(kept(hub)) == 4


def test_a_new_version_takes_the_place_of_the_old_and_a_namesake_does_not(hub: Path, shelf: Path) -> None:
    impacthub(hub, "ingest", str(shelf / "quokka.md"))
    (shelf / "quokka.md").write_text("# Quokka protection act\n\nFirst part.\n\n## Article 6\n\nSecond part.\n")
    impacthub(hub, "ingest", str(shelf / "quokka.md"))
    assert list(kept(hub)) == ["quokka-protection-act"]
    shutil.move(shelf / "quokka.md", shelf / "other.md")
    (shelf / "other.md").write_text("# Quokka protection act\n\nThe act of another country.\n")
    impacthub(hub, "ingest", str(shelf / "other.md"))
    assert len(kept(hub)) == 2


def test_what_was_taken_in_is_found_with_its_place_in_a_network(hub: Path, shelf: Path) -> None:
    assert impacthub(hub, "ingest", "--network", "uj", "--checked", "full", str(shelf / "quokka.md")).returncode == 0
    found = impacthub(hub, "find", "quokkas trade")
    assert found.stdout.split()[1] == "quokka-protection-act"
    assert "no network “mars”" in impacthub(hub, "ingest", "--network", "mars", str(shelf)).stderr
    assert impacthub(hub, "ingest", str(shelf / "nothing.md")).returncode == 2


def taken_in(hub: Path, *args: str | Path) -> str:
    """What is told of the one file that is taken in."""
    done = impacthub(hub, "ingest", *map(str, args))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[0].split(": ", 1)[1]


def test_what_an_operator_states_holds_for_what_declares_nothing(hub: Path, shelf: Path) -> None:
    (shelf / "own.md").write_text("---\njurisdiction: Грузия\nkind: report\n---\n# Potoroo act\n\nPotoroos dig.\n")
    options = ("--jurisdiction", "Казахстан", "--kind", "regulation", "--language", "kk")
    assert taken_in(hub, *options, shelf / "own.md") == "1 document, 1 passage."
    assert taken_in(hub, *options, shelf / "quokka.md") == "1 document, 1 passage."
    own, quokka = facts(hub)["potoroo-act"], facts(hub)["quokka-protection-act"]
    assert (own.jurisdiction, own.kind, own.languages) == ("GE", "report", ("kk",))
    assert (quokka.jurisdiction, quokka.kind, quokka.languages) == ("KZ", "regulation", ("kk",))


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--jurisdiction", "Mordor", "“Mordor” is no jurisdiction that the library knows"),
        ("--kind", "novel", "There is no kind “novel”; these are: case, "),
        ("--language", "klingon", "“klingon” is no language that the library knows"),
    ],
)
def test_what_cannot_be_stated_is_refused_in_one_sentence(
    hub: Path, shelf: Path, option: str, value: str, why: str
) -> None:
    done = impacthub(hub, "ingest", option, value, str(shelf))
    assert done.returncode == 2
    assert done.stderr.startswith(f"impacthub: {why}")
    assert done.stderr.count("\n") == 1
    assert not kept(hub)


def test_a_law_that_names_its_state_belongs_there_and_it_is_told(hub: Path, shelf: Path) -> None:
    (shelf / "law.txt").write_text("Закон Республики Казахстан о жалобах\n\nСтатья 1. Право\n\nЖалоба подаётся.\n")
    told = taken_in(hub, shelf / "law.txt")
    assert told == "1 document, 2 passages; jurisdiction KZ, kind statute, language ru: nothing was declared."
    assert [each.jurisdiction for each in facts(hub).values()] == ["KZ"]


def test_the_same_text_with_other_facts_puts_the_entry_right(hub: Path, shelf: Path) -> None:
    def law(**front: str) -> Path:
        said = "\n".join(f"{name}: {value}" for name, value in front.items())
        (shelf / "law.md").write_text(f"---\n{said}\n---\n# Quoll law\n\nQuolls hunt at night.\n")
        return shelf / "law.md"

    first = {"title": "Law on a quoll", "jurisdiction": "UA"}
    taken_in(hub, law(**first))
    (id_,) = kept(hub)
    number = shelved(hub).newest
    assert taken_in(hub, law(**first)) == "was in already."
    assert shelved(hub).newest == number

    told = taken_in(hub, law(title="Law on quolls", jurisdiction="GE", date="2020", url="https://example.org/q"))
    assert told == "1 document put right (date, jurisdiction, title, url)."
    row = facts(hub)[id_]
    assert list(kept(hub)) == [id_]
    assert (row.title, row.jurisdiction, row.date, row.year) == ("Law on quolls", "GE", "2020", 2020)
    assert (row.url, row.url_kind, row.verified) == ("https://example.org/q", "page", False)
    assert shelved(hub).newest == number + 1, "the index follows by this number"

    assert taken_in(hub, "--checked", "full", shelf / "law.md") == "1 document put right (checked)."
    assert facts(hub)[id_].verified
    assert taken_in(hub, shelf / "law.md") == "was in already."
    assert facts(hub)[id_].verified, "nobody has said that it is not"
    assert impacthub(hub, "find", "quolls hunt").stdout.split()[1] == id_


def test_what_was_stated_outlives_what_is_only_assumed(hub: Path, shelf: Path) -> None:
    assert "INT" in taken_in(hub, shelf / "quokka.md")
    assert taken_in(hub, "--jurisdiction", "AU", shelf / "quokka.md") == "1 document put right (jurisdiction)."
    assert taken_in(hub, shelf / "quokka.md") == "was in already."
    shutil.copy(shelf / "quokka.md", shelf / "copy.md")
    assert taken_in(hub, shelf / "copy.md") == "was in already."
    (row,) = facts(hub).values()
    assert (row.jurisdiction, row.source) == ("AU", "quokka.md")


def test_a_row_of_a_list_whose_address_was_put_right_is_still_one_document(hub: Path, shelf: Path) -> None:
    taken_in(hub, shelf / "list.csv")
    (shelf / "list.csv").write_text("title,url,summary\nBilby law,https://example.org/bilby,About bilbies.\n")
    taken_in(hub, shelf / "list.csv")
    assert [each.url for each in facts(hub).values()] == ["https://example.org/bilby"]


def test_a_jurisdiction_in_words_is_read_and_one_that_nobody_knows_is_named(hub: Path, shelf: Path) -> None:
    table = shelf / "places.csv"
    table.write_text("title,jurisdiction\nBilby decree,Россия\nBilby order,UK\n")
    taken_in(hub, table)
    assert [each.jurisdiction for each in facts(hub).values()] == ["RU", "GB"]
    table.write_text("title,jurisdiction\nNumbat decree,UA\nNumbat order,Mordor\n")
    done = impacthub(hub, "ingest", str(table))
    assert "row 3: 'Mordor' is no jurisdiction that is known here" in done.stdout
    assert done.returncode == 1
    assert len(kept(hub)) == 2, "a file is taken in whole or not at all"


def test_what_is_left_out_of_a_list_and_what_cannot_be_read_is_told(hub: Path, shelf: Path) -> None:
    (shelf / "list.bib").write_text("@misc{one, title={One bilby}, date={2021-13-45}}\n@misc{two, year={2020}}\n")
    assert taken_in(hub, shelf / "list.bib") == (
        "1 document, 0 passages; jurisdiction INT, kind report, language en: nothing was declared; "
        "left out, without a title: entry 'two'; entry 'one': '2021-13-45' is no date."
    )
    page = papers.column(papers.LIBERTY)
    (shelf / "holes.pdf").write_bytes(papers.pdf([page, page, [], page]))
    assert taken_in(hub, shelf / "holes.pdf").endswith("; page 3 has no text.")


def test_killed_at_any_moment_no_file_is_half_there(hub: Path) -> None:
    many = hub / "many"
    many.mkdir()
    for number in range(40):
        text = "\n\n".join(f"## Article {n}\n\nText number {n} of file {number}." for n in range(1, 41))
        (many / f"file-{number:02}.md").write_text(f"# Document {number}\n\n{text}\n")
    environment = {**os.environ, "IMPACTHUB_SECRETS__MASTER_KEY": MASTER.hex()}
    command = [sys.executable, "-m", "bots", "ingest", "--settings", str(hub / "settings.toml"), str(many)]
    for so_far in (1, 12, 25):
        child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        while len(kept(hub)) < so_far and child.poll() is None:
            time.sleep(0.01)
        child.kill()
        assert child.wait() == -signal.SIGKILL, "it was at work when it died"
        assert so_far <= len(kept(hub)) < len(list(many.iterdir()))
        assert set(kept(hub).values()) == {40}
    assert impacthub(hub, "ingest", str(many)).returncode == 0
    assert list(kept(hub).values()) == [40] * 40


def test_questions_in_lines_of_json_are_answered_in_lines_of_json(hub: Path) -> None:
    asked = [
        {"id": "a", "query": "asset freeze Belarus", "language": "en"},
        {"id": 7, "query": "санкції проти Білорусі", "language": "uk"},
        {"id": "none", "query": "xyzzyqwv", "language": None},
    ]
    wrong = ["not json", "", '{"id": "b"}', "[" * 100_000, '{"id": "c", "query": "sanctions", "language": 7}']
    lines = [*map(json.dumps, asked), *wrong]
    done = impacthub(hub, "find", "--jsonl", "--limit", "3", said="\n".join(lines))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["id"] for each in answers] == ["a", 7, "none"]
    assert [len(each["results"]) for each in answers] == [3, 3, 0]
    scores = [each["score"] for each in answers[0]["results"]]
    assert scores == sorted(scores, reverse=True)
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["line 4", "line 6", "line 7", "line 8"]


@contextmanager
def web() -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/moved":
                self.send_response(301)
                self.send_header("Location", "/good")
            elif self.path == "/cut":
                self.connection.close()
                return
            else:
                self.send_response(200 if self.path == "/good" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


async def test_dead_addresses_are_told_from_living_ones() -> None:
    with web() as base:
        addresses = {name: f"{base}/{name}" for name in ("good", "moved", "gone", "cut")}
        dead = await check({**addresses, "nobody": "http://127.0.0.1:1/"}, StringIO(), anywhere=True)
    assert set(dead) == {"gone", "cut", "nobody"}
    assert dead["gone"] == (addresses["gone"], "HTTP 404")


def test_only_entries_with_an_address_can_have_a_sound_one() -> None:
    addresses = {"a": "https://example.org/a", "b": "https://example.org/b"}
    told = list(looked_at(["a", "b", "c"], addresses, {"b": ("https://example.org/b", "HTTP 404")}))
    assert told == [
        "b\thttps://example.org/b\tHTTP 404",
        "1 of 2 entries with an address have nothing wrong with it.",
        "1 have none.",
    ]


async def test_what_is_not_on_the_open_internet_is_not_asked() -> None:
    with web() as base:
        inner = {"here": f"{base}/good", "name": f"{base.replace('127.0.0.1', 'localhost')}/good"}
        inner["cloud"] = "http://169.254.169.254/latest/meta-data"
        assert set(await check(inner, StringIO())) == set(inner)
