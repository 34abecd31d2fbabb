"""How fast the library is loaded, and searched for the graded questions of `tests.eval`."""

from __future__ import annotations

import json
import time
from pathlib import Path

from knowledge.library import Library
from tests.bench import Figure, of_rounds, percentile

QUERIES = Path(__file__).parents[1] / "eval" / "lookup_queries.jsonl"


def measure() -> list[Figure]:
    """Load it, then ask every question once."""
    loading: list[float] = []
    for _ in range(3):
        started = time.perf_counter()
        library = Library.load()
        loading.append(time.perf_counter() - started)
    took: list[float] = []
    for line in QUERIES.read_text(encoding="utf-8").splitlines():
        query = json.loads(line)["query"]
        started = time.perf_counter()
        library.search(query)
        took.append((time.perf_counter() - started) * 1000)
    return [
        of_rounds("loading the library", loading, "s"),
        Figure("a search, p50", percentile(took, 0.5), "ms", percentile(took, 0.99), 5, note="the worst is the p99"),
    ]
