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

from bots.librarian import check
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

    async def look() -> dict[str, int]:
        from storage import library

        store = Store(f"sqlite:///{hub}/hub.db", vault=Vault(f"sqlite:///{hub}/keys.db", MASTER))
        try:
            changes = await store.run(lambda s: library.changes(s, 0, most=10_000))
        finally:
            await store.close()
        return {each.id: len(each.passages) for each in changes.each if each.facts is not None}

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
    assert lines[str(shelf / "quokka.md")] == "1 document, 1 passages."
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


def test_killed_at_any_moment_no_file_is_half_there(hub: Path) -> None:
    many = hub / "many"
    many.mkdir()
    for number in range(40):
        text = "\n\n".join(f"## Article {n}\n\nText number {n} of file {number}." for n in range(1, 41))
        (many / f"file-{number:02}.md").write_text(f"# Document {number}\n\n{text}\n")
    environment = {**os.environ, "IMPACTHUB_SECRETS__MASTER_KEY": MASTER.hex()}
    command = [sys.executable, "-m", "bots", "ingest", "--settings", str(hub / "settings.toml"), str(many)]
    for wait in (2.5, 3.0, 3.5):
        child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        time.sleep(wait)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert set(kept(hub).values()) <= {40}
    assert impacthub(hub, "ingest", str(many)).returncode == 0
    assert list(kept(hub).values()) == [40] * 40


def test_questions_in_lines_of_json_are_answered_in_lines_of_json(hub: Path) -> None:
    asked = [
        {"id": "a", "query": "asset freeze Belarus", "language": "en"},
        {"id": 7, "query": "санкції проти Білорусі", "language": "uk"},
        {"id": "none", "query": "xyzzyqwv", "language": "en"},
    ]
    lines = [*map(json.dumps, asked), "not json", "", '{"id": "b"}', "[" * 100_000]
    done = impacthub(hub, "find", "--jsonl", "--limit", "3", said="\n".join(lines))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["id"] for each in answers] == ["a", 7, "none"]
    assert [len(each["results"]) for each in answers] == [3, 3, 0]
    scores = [each["score"] for each in answers[0]["results"]]
    assert scores == sorted(scores, reverse=True)
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["line 4", "line 6", "line 7"]


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


async def test_what_is_not_on_the_open_internet_is_not_asked() -> None:
    with web() as base:
        inner = {"here": f"{base}/good", "name": f"{base.replace('127.0.0.1', 'localhost')}/good"}
        inner["cloud"] = "http://169.254.169.254/latest/meta-data"
        assert set(await check(inner, StringIO())) == set(inner)
