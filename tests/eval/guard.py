"""Measure the survivor guard on sentences written for it: how much it finds, how often it is wrong, how fast it is.

    python -m tests.eval.guard [--misses]

The rules were tuned on guard_dev.jsonl only. Of guard_held.jsonl, figures are shown and never a sentence.
Ends with status 1 if a target is missed on the sentences that were held apart.
"""

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from knowledge.guard import findings

LEAST_FOUND, MOST_FALSE = 0.90, 0.05
LANGUAGES = ("en", "uk", "ru")
HERE = Path(__file__).parent


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / name).read_text(encoding="utf-8").splitlines() if line.strip()]


def share(stopped: list[bool]) -> float:
    return statistics.fmean(stopped) if stopped else 0.0


def measure(title: str, sentences: list[dict[str, Any]], *, misses: bool = False) -> bool:
    """Print the figures of one file; return whether both targets are met in total."""
    took: list[float] = []
    answers: list[tuple[dict[str, Any], bool]] = []
    for row in sentences:
        started = time.perf_counter()
        found = findings(row["text"])
        took.append((time.perf_counter() - started) * 1000)
        answers.append((row, bool(found)))
        if misses and bool(found) != row["identifying"]:
            kinds = ", ".join(finding.kind for finding in found)
            sys.stdout.write(f"{'false alarm' if found else 'missed'} {row['id']} {row['text']!r} {kinds}\n")

    sys.stdout.write(f"{title}\nlanguage  identifying  recall  harmless  false alarms\n")
    recall = alarms = 0.0
    for language in (*LANGUAGES, "all"):
        here = [(row, stopped) for row, stopped in answers if language in (row["language"], "all")]
        dangerous = [stopped for row, stopped in here if row["identifying"]]
        harmless = [stopped for row, stopped in here if not row["identifying"]]
        recall, alarms = share(dangerous), share(harmless)
        sys.stdout.write(f"{language:8}  {len(dangerous):11}  {recall:6.3f}  {len(harmless):8}  {alarms:12.3f}\n")
    wrong = Counter(row["kind"] for row, stopped in answers if stopped != row["identifying"])
    listed = ", ".join(f"{kind} {number}" for kind, number in sorted(wrong.items())) or "none"
    sys.stdout.write(f"wrong by kind: {listed}\n")
    sys.stdout.write(f"sentence p50 {statistics.median(took):.2f} ms, slowest {max(took):.2f} ms\n\n")
    return recall >= LEAST_FOUND and alarms <= MOST_FALSE


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--misses", action="store_true", help="show the sentences of guard_dev that were judged wrongly"
    )
    options.add_argument("--dev", action="store_true", help="leave the sentences alone that were held apart")
    chosen = options.parse_args()
    met = measure("tuned on", rows("guard_dev.jsonl"), misses=chosen.misses)
    if not chosen.dev:
        met = measure("held apart", rows("guard_held.jsonl"))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
