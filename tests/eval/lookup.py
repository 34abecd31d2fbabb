"""Measure look-up on graded questions, beside plain full-text search and plain BM25 in the same run.

    python -m tests.eval.lookup [QUERIES.jsonl] [--split dev] [--misses] [--dense]

hit@5 is the share of questions with a right resource among the first five; nDCG@10 tells how good the order of the
first ten is, with the grades of the questions. Nothing fails here: the figures are to be read.

lookup_queries.jsonl (the default) was looked at while weights were chosen. lookup_colloquial.jsonl was written by
somebody who had seen neither the lexicon nor the engine, as lawyers in a hurry would type: it tells what to expect of
questions that nobody has seen.
"""

import argparse
import asyncio
import json
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from math import log, log2
from pathlib import Path

from knowledge.library import Library, Resource

TARGETS = {"en": (1.00, 0.90), "ru": (0.95, 0.82), "uk": (0.95, 0.82)}
"""hit@5 and nDCG@10."""
Search = Callable[[str], list[str]]


def ndcg(ranked: list[str], relevant: dict[str, int], depth: int = 10) -> float:
    gained = sum((2.0 ** relevant.get(id_, 0) - 1) / log2(place + 2) for place, id_ in enumerate(ranked[:depth]))
    ideal = sorted(relevant.values(), reverse=True)[:depth]
    return gained / sum((2.0**grade - 1) / log2(place + 2) for place, grade in enumerate(ideal))


def everything(resource: Resource) -> str:
    return " ".join(
        (
            resource.title,
            resource.title_original,
            resource.citation,
            *resource.tags,
            resource.summary,
            resource.relevance,
        )
    )


def plain_words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def fts5(library: Library) -> Search:
    """SQLite's full-text search with its own tokens, the words of the question joined by OR."""
    db = sqlite3.connect(":memory:")
    db.execute("create virtual table entry using fts5(id unindexed, text)")
    db.executemany("insert into entry values (?, ?)", ((each.id, everything(each)) for each in library.resources))

    def search(query: str) -> list[str]:
        asked = " OR ".join(f'"{word}"' for word in plain_words(query))
        found = db.execute("select id from entry where entry match ? order by bm25(entry) limit 10", (asked,))
        return [id_ for (id_,) in found]

    return search


def bm25(library: Library) -> Search:
    """The textbook's BM25 over words as they are typed."""
    texts = [Counter(plain_words(everything(each))) for each in library.resources]
    held = Counter(word for text in texts for word in text)
    average = statistics.fmean(text.total() for text in texts)

    def score(text: Counter[str], asked: list[str]) -> float:
        length = 1.2 * (0.25 + 0.75 * text.total() / average)
        rarity = {word: log(1 + (len(texts) - held[word] + 0.5) / (held[word] + 0.5)) for word in asked}
        return sum(rarity[word] * text[word] * 2.2 / (text[word] + length) for word in asked)

    def search(query: str) -> list[str]:
        asked = plain_words(query)
        scores = sorted(((-score(text, asked), number) for number, text in enumerate(texts)))
        return [library.resources[number].id for value, number in scores[:10] if value]

    return search


def with_vectors() -> Search:
    """Ours, with the local encoder beside the words."""
    from knowledge.dense import Dense, Local

    with tempfile.TemporaryDirectory() as folder:
        dense = Dense(Local(), Path(folder))
        library = Library.load(dense=dense)
        asyncio.run(dense.make())
    return lambda query: [hit.resource.id for hit in library.search(query, limit=10, vector=dense.at_once(query))]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("queries", nargs="?", type=Path, default=Path(__file__).with_name("lookup_queries.jsonl"))
    options.add_argument("--split", help="only the questions of this split")
    options.add_argument("--misses", action="store_true", help="show the questions without an answer among five")
    options.add_argument("--dense", action="store_true", help="measure what the local encoder brings, too")
    chosen = options.parse_args()

    library = Library.load()
    rows = [json.loads(line) for line in chosen.queries.read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = [row for row in rows if chosen.split in {None, row["split"]}]
    ours: Search = lambda query: [hit.resource.id for hit in library.search(query, limit=10)]  # noqa: E731
    sys.stdout.write("language  questions  search              hit@1  hit@5  nDCG@10  target hit@5, nDCG@10\n")
    dense = [("ours with vectors", with_vectors())] if chosen.dense else []
    for name, search in (("ours", ours), *dense, ("BM25 on plain words", bm25(library)), ("FTS5", fts5(library))):
        figures: defaultdict[str, list[tuple[float, float, float]]] = defaultdict(list)
        took: list[float] = []
        for row in rows:
            started = time.process_time()
            ranked = search(row["query"])
            took.append((time.process_time() - started) * 1000)
            found = [id_ in row["relevant"] for id_ in ranked]
            figures[row["lang"]].append((any(found[:1]), any(found[:5]), ndcg(ranked, row["relevant"])))
            if chosen.misses and search is ours and not any(found[:5]):
                sys.stdout.write(f"missed {row['id']} {row['query']!r}: {ranked[:5]} instead of {row['relevant']}\n")
        for language, scores in sorted(figures.items(), key=lambda item: -len(item[1])):
            one, five_, gain = (statistics.fmean(column) for column in zip(*scores, strict=True))
            wanted = "{:.2f}, {:.2f}".format(*TARGETS[language]) if search is ours and language in TARGETS else "-"
            sys.stdout.write(
                f"{language:8}  {len(scores):9}  {name:19} {one:5.2f}  {five_:5.2f}  {gain:7.3f}  {wanted}\n"
            )
        sys.stdout.write(f"{name}: p50 {statistics.median(took):.2f} ms a question\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
