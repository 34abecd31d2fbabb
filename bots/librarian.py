"""What an operator asks of the library from a terminal: look-up, and its vectors."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from bots.app import library_of, store_of
from bots.bar import Bar
from bots.settings import Settings
from commands.core.shelf import follow, follow_meanings
from knowledge.library import Library, Resource
from storage import library as book


def find(args: argparse.Namespace, settings: Settings | None) -> int:
    """Answer questions: words on the command line for people, lines of JSON for programs.

    A line is `{"id", "query", "language"}` (the last may be left out), its answer
    `{"id", "results": [{"id", "score"}]}`, the best first. A line that cannot be read is named on standard error, and
    the others are answered all the same; the status is 1 then.
    """
    library = asyncio.run(with_the_store(settings)) if settings else Library.load()
    if not args.jsonl:
        for hit in library.search(" ".join(args.words), limit=args.limit):
            sys.stdout.write(f"{hit.score:7.2f}  {hit.resource.id:32}  {hit.resource.title}\n")
        return 0
    bad = 0
    for number, line in enumerate(sys.stdin, start=1):
        if not line.strip():
            continue
        try:
            asked = _question(line)
        except ValueError as error:
            sys.stderr.write(f"line {number}: {error}\n")
            bad = 1
            continue
        hits = library.search(asked["query"], said_in=asked["language"], limit=args.limit)
        results = [{"id": hit.resource.id, "score": round(hit.score, 4)} for hit in hits]
        sys.stdout.write(json.dumps({"id": asked["id"], "results": results}, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    return bad


def _question(line: str) -> dict[str, Any]:
    try:
        asked = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        raise ValueError("this is no line of JSON.") from None
    if not isinstance(asked, dict) or not isinstance(asked.get("query"), str) or "id" not in asked:
        raise ValueError('this is no question: {"id": …, "query": "…"} is needed.')
    said_in = asked.get("language")
    if not isinstance(said_in, str | None):
        raise ValueError("its language is no text.")  # noqa: TRY004 one error for whatever a line may have wrong
    return asked | {"language": said_in and said_in.casefold().partition("-")[0]}


async def with_the_store(settings: Settings) -> Library:
    """Load the library with what the store has; its texts stay there, and are not needed to name what was found."""
    library = Library.load(index=settings.hub.state / "index", dictionaries=settings.hub.dictionaries)
    store = store_of(settings)
    try:
        await store.migrate()
        await follow(store, library)
        shelved = await store.run(lambda session: book.published(session, settings.networks))
    finally:
        await store.close()
    library.learn({id_: Resource.model_validate_json(facts) for id_, facts in shelved.items()})
    return library


def index(settings: Settings) -> int:
    """Bring look-up up to date, and have the vectors made that are missing; status 1 if some are missing still."""
    return asyncio.run(_index(settings))


async def _index(settings: Settings) -> int:
    store = store_of(settings)
    try:
        await store.migrate()
        library = library_of(settings)
        await follow(store, library)
        await follow_meanings(store, library, most=0)
        if library.dense is None:
            sys.stdout.write("Look-up is up to date; there is no encoder in the settings, so it needs no vectors.\n")
            return 0
        missing = library.dense.missing
        bar = Bar(missing, sys.stderr)
        try:
            await follow_meanings(store, library, step=bar.step)
        finally:
            bar.done()
        left = library.dense.missing
    finally:
        await store.close()
    sys.stdout.write(f"Look-up is up to date; {missing - left} vectors were made, {left} are missing.\n")
    return 1 if left else 0
