"""Measure look-up on graded questions: how often the right resource is among the first, and how fast.

    python -m tests.eval.lookup [QUERIES.jsonl] [--split dev] [--misses]

Ends with status 1 if a target is missed.
"""

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from math import log2
from pathlib import Path

from knowledge.library import Library

TARGETS = {"en": 0.95, "ru": 0.80, "uk": 0.80}
SLOWEST_MEDIAN_MS = 5.0


def ndcg(ranked: list[str], relevant: dict[str, int], depth: int = 10) -> float:
    gained = sum((2.0 ** relevant.get(id_, 0) - 1) / log2(place + 2) for place, id_ in enumerate(ranked[:depth]))
    ideal = sorted(relevant.values(), reverse=True)[:depth]
    return gained / sum((2.0**grade - 1) / log2(place + 2) for place, grade in enumerate(ideal))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("queries", nargs="?", type=Path, default=Path(__file__).with_name("lookup_queries.jsonl"))
    options.add_argument("--split", help="only the questions of this split")
    options.add_argument("--misses", action="store_true", help="show the questions without an answer among five")
    chosen = options.parse_args()

    started = time.perf_counter()
    library = Library.load()
    loading = time.perf_counter() - started

    rows = [json.loads(line) for line in chosen.queries.read_text(encoding="utf-8").splitlines() if line.strip()]
    figures: defaultdict[str, list[tuple[float, float, float]]] = defaultdict(list)
    took: list[float] = []
    for row in rows:
        if chosen.split and row["split"] != chosen.split:
            continue
        started = time.perf_counter()
        ranked = [hit.resource.id for hit in library.search(row["query"], limit=10)]
        took.append((time.perf_counter() - started) * 1000)
        relevant: dict[str, int] = row["relevant"]
        found = [id_ in relevant for id_ in ranked]
        figures[row["lang"]].append((any(found[:1]), any(found[:5]), ndcg(ranked, relevant)))
        if chosen.misses and not any(found[:5]):
            sys.stdout.write(f"missed {row['id']} {row['query']!r}: {ranked[:5]} instead of {list(relevant)}\n")

    median = statistics.median(took)
    slow = sorted(took)[int(0.99 * (len(took) - 1))]
    met = median <= SLOWEST_MEDIAN_MS
    sys.stdout.write("language  questions  hit@1  hit@5  nDCG@10  target hit@5\n")
    for language, scores in sorted(figures.items(), key=lambda item: -len(item[1])):
        one, five_, gain = (statistics.fmean(column) for column in zip(*scores, strict=True))
        target = TARGETS.get(language)
        met = met and (target is None or five_ >= target)
        wanted = f"{target:.2f}" if target else "-"
        sys.stdout.write(f"{language:8}  {len(scores):9}  {one:5.2f}  {five_:5.2f}  {gain:7.3f}  {wanted:>12}\n")
    sys.stdout.write(f"query p50 {median:.2f} ms, p99 {slow:.2f} ms (target p50 {SLOWEST_MEDIAN_MS:.0f} ms)\n")
    sys.stdout.write(f"Library.load {loading:.2f} s\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
