"""How fast the library is loaded and searched: as it comes, and with a hundred thousand or a million passages more.

Passages are drawn from the words of the library and of the field lexicon, the frequent ones often, and from names that
occur hardly anywhere, as in real documents. The questions are the graded ones of `tests.eval`.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from knowledge.library import Change, Library, Passage, Resource
from knowledge.schema import added
from knowledge.words import words
from tests.bench import Figure, of_rounds, percentile

QUERIES = Path(__file__).parents[1] / "eval" / "lookup_queries.jsonl"
WORDS_A_PASSAGE, PASSAGES_A_DOCUMENT, DOCUMENTS_AT_ONCE = 130, 20, 500
MEMORY = """
import re
from pathlib import Path
held = lambda: int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = held()
from knowledge.library import Library
library = Library.load()
library.search("torture in Syria")
print(before, held())
"""


def measure() -> list[Figure]:
    """Load the library and ask every question once; then the same among a hundred thousand passages."""
    loading: list[float] = []
    for _ in range(3):
        started = time.perf_counter()
        library = Library.load()
        loading.append(time.perf_counter() - started)
    took = asked(library)
    before, after = map(int, subprocess.check_output([sys.executable, "-c", MEMORY], text=True).split())
    return [
        of_rounds("loading the library", loading, "s"),
        Figure("a search, p50", percentile(took, 0.5), "ms", percentile(took, 0.99), 5, note="the worst is the p99"),
        Figure("memory of the library with its packages", (after - before) / 1024, "MiB"),
        *grown(100_000, p50=3, p99=15),
    ]


def measure_million() -> list[Figure]:
    """Ask every question among a million passages."""
    return grown(1_000_000, p50=None, p99=40)


def grown(size: int, *, p50: float | None, p99: float) -> list[Figure]:
    """Let the library grow by so many passages, in a folder, and measure."""
    with tempfile.TemporaryDirectory() as folder:
        library = Library.load(index=Path(folder))
        empty = weight(Path(folder))
        rng, started = random.Random(1), time.process_time()
        texts: list[str] = []
        batch: list[Change] = []
        last = size // PASSAGES_A_DOCUMENT
        for number, passages in enumerate(documents(library, size, rng), start=1):
            batch.append(Change(f"doc-{number}", entry(number), passages))
            if size <= 100_000:
                texts += [each.text for each in passages]
            if len(batch) == DOCUMENTS_AT_ONCE or number == last:
                library.follow(batch, number)
                batch = []
        building = time.process_time() - started
        took = asked(library)
        adding = []
        for more, passages in zip(range(30), documents(library, 600, rng), strict=True):
            began = time.process_time()
            library.follow([Change(f"more-{more}", entry(more), passages[:1])], last + more + 1)
            adding.append((time.process_time() - began) * 1000)
        named = f"{size:,} passages"
        figures = [
            Figure(f"{named}: a search, p50", percentile(took, 0.5), "ms", target=p50),
            Figure(f"{named}: a search, p99", percentile(took, 0.99), "ms", target=p99),
            Figure(
                f"{named}: index beyond the text", (weight(Path(folder)) - empty) / size, "bytes a passage", target=250
            ),
            Figure(f"{named}: taking in", building / size * 1000, "ms a passage"),
            Figure(f"{named}: one more document", percentile(adding, 0.5), "ms", percentile(adding, 0.99), 5),
            Figure("memory of this process", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MiB"),
        ]
        if size <= 100_000:
            bare = fts5(texts)
            figures.append(
                Figure(
                    f"{named}: bare FTS5, words joined by OR, p50", percentile(bare, 0.5), "ms", percentile(bare, 0.99)
                )
            )
        return figures


def asked(library: Library) -> list[float]:
    """Ask every question; return the milliseconds of processor time of each."""
    took = []
    for line in QUERIES.read_text(encoding="utf-8").splitlines():
        query = json.loads(line)["query"]
        started = time.process_time()
        library.search(query)
        took.append((time.process_time() - started) * 1000)
    return took


def documents(library: Library, size: int, rng: random.Random) -> Iterator[tuple[Passage, ...]]:
    """Write documents of passages, so many passages in all."""
    said = Counter(
        word for each in library.resources for word in words(f"{each.summary} {each.relevance} {each.title}")
    )
    rare = sorted(word.decode() for _meaning, word in library.glossary._english.items())
    said.update(rare)
    vocabulary, weights = list(said), list(accumulate(said.values()))
    for start in range(0, size, PASSAGES_A_DOCUMENT):
        yield tuple(
            Passage(
                "Part one",
                ". ".join(
                    " ".join([*rng.choices(vocabulary, cum_weights=weights, k=25), f"Name{rng.randrange(60_000)}"])
                    for _ in range(WORDS_A_PASSAGE // 26)
                ),
                f"p. {place}",
            )
            for place in range(start, min(start + PASSAGES_A_DOCUMENT, size))
        )


def entry(number: int) -> Resource:
    """Return the row of a document."""
    return added(
        network="all", url="https://example.org/document", kind="report", jurisdiction="UA", language="en",
        title=f"Document {number}", summary="A document.", relevance="It is there.", by="measured",
        day=dt.date(2026, 11, 1),
    )  # fmt: skip


def weight(folder: Path) -> int:
    """Return the bytes of everything in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def fts5(texts: list[str]) -> list[float]:
    """Ask the same of SQLite's own full-text search, with nothing but the words as they were typed."""
    db = sqlite3.connect(":memory:")
    db.execute("create virtual table passage using fts5(text, content='')")
    db.executemany("insert into passage(rowid, text) values (?, ?)", enumerate(texts, start=1))
    took = []
    for line in QUERIES.read_text(encoding="utf-8").splitlines():
        query = " OR ".join(f'"{word}"' for word in words(json.loads(line)["query"]))
        started = time.process_time()
        db.execute(
            "select rowid from passage where passage match ? order by bm25(passage) limit 5", (query,)
        ).fetchall()
        took.append((time.process_time() - started) * 1000)
    return took
