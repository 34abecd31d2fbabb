"""What an operator does with the library from a terminal: take documents in, look up, check addresses."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import aiohttp
from pydantic import ValidationError
from yarl import URL

from bots.app import library_of, store_of
from bots.settings import Settings, WrongSetting
from commands.core.shelf import follow, follow_meanings
from knowledge.ingest import Draft, Unfit, files, read
from knowledge.library import Library, Resource, Scope
from knowledge.schema import EVERY_NETWORK, added
from storage import library as book
from storage.library import Stretch
from storage.store import Session, Store

LONGEST_TITLE, LONGEST_SUMMARY = 300, 600
"""Characters of what a document says of itself."""
MOST_AT_ONCE = 8
"""Addresses that are looked at together; never two of one host."""
MOST_REDIRECTS = 5
PATIENCE = aiohttp.ClientTimeout(total=30)
HEADERS = {"User-Agent": "impacthub-links/1"}


def ingest(args: argparse.Namespace, settings: Settings) -> int:
    """Take a file, or every file of a folder, into the library; status 1 if one of them could not be read.

    A file is taken in whole or not at all, and one that was taken in already changes nothing: whatever stopped this, it
    can be run again.
    """
    if args.network not in {EVERY_NETWORK, *settings.networks}:
        raise WrongSetting(f"There is no network “{args.network}” in the settings.")
    found = files(args.path)
    if not found:
        raise Unfit(f"{args.path}: there is no file in it that can be read.")
    return asyncio.run(_ingest(found, args.network, Scope(args.checked), settings))


async def _ingest(found: list[Path], network: str, scope: Scope, settings: Settings) -> int:
    store = store_of(settings)
    told: dict[Path, str] = {}
    bad = 0
    bar = Bar(len(found), sys.stderr)
    try:
        await store.migrate()
        taken = {each.id for each in Library.load().resources}
        for path in found:
            try:
                drafts = await asyncio.to_thread(read, path)
                now = datetime.now(UTC) + settings.hub.clock_shift
                told[path] = await take_in(store, drafts, path.name, network=network, scope=scope, taken=taken, now=now)
            except Unfit as unfit:
                told[path], bad = f"✗ {unfit}", 1
            bar.step()
    finally:
        bar.done()
        await store.close()
    for path, what in told.items():
        sys.stdout.write(f"{path}: {what}\n")
    sys.stdout.write(
        f"{len(told) - sum(what.startswith('✗') for what in told.values())} of {len(found)} files are in.\n"
    )
    return bad


async def take_in(
    store: Store,
    drafts: list[Draft],
    name: str,
    *,
    network: str,
    scope: Scope,
    taken: set[str],
    now: datetime,
) -> str:
    """Put what a file says onto the shelf, all of it or nothing; return what became of it.

    What came from a file of the same name under the same title before is replaced.

    Raises:
        Unfit: something in it is no row of the library; one sentence.
    """
    rows = []
    for draft in drafts:
        summary = draft.summary or " ".join(each.text for each in draft.passages[:1])
        try:
            row = added(
                network=network,
                kind=draft.kind,
                jurisdiction=draft.jurisdiction,
                language=draft.language,
                title=draft.title[:LONGEST_TITLE],
                url=draft.url,
                summary=_shortened(summary) or draft.title[:LONGEST_TITLE],
                relevance=f"Taken in from {name}.",
                by="taken in by an operator",
                day=now.date(),
                citation=draft.citation or name,
                date=draft.date,
                scope=scope,
                source=draft.url or name,
            )
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise Unfit(f"{name}, “{draft.title[:60]}”: {what}.") from None
        rows.append((draft, row))

    def put(session: Session) -> tuple[int, int]:
        new = passages = 0
        used: set[str] = set()  # two entries of one list are two, however alike they are called
        for draft, row in rows:
            id_ = _id_of(session, row, taken | used)
            used.add(id_)
            facts = row.model_copy(update={"id": id_}).model_dump_json()
            stretches = [Stretch(each.heading, each.text, each.place) for each in draft.passages]
            if book.put(
                session, id=id_, network=network, facts=facts, digest=draft.digest, passages=stretches, now=now
            ):
                new += 1
                passages += len(stretches)
        return new, passages

    new, passages = await store.run(put)
    if not new:
        return "was in already."
    documents = "1 document" if new == 1 else f"{new} documents"
    return f"{documents}, {passages} passages."


def _shortened(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= LONGEST_SUMMARY else words[:LONGEST_SUMMARY].rpartition(" ")[0] + " …"


def _id_of(session: Session, row: Resource, taken: set[str]) -> str:
    """Return the id of what came from the same place under the same title before, or a fresh one."""
    before = book.one(session, row.id, {row.network})
    known = Resource.model_validate_json(before.facts) if before and row.id not in taken else None
    if known is not None and (known.source, known.network) == (row.source, row.network):
        return row.id
    return book.fresh_id(session, row.id, random.SystemRandom(), taken=taken)


def find(args: argparse.Namespace, settings: Settings | None) -> int:
    """Answer questions: words on the command line for people, lines of JSON for programs.

    A line is `{"id", "query", "language"}`, its answer `{"id", "results": [{"id", "score"}]}`, the best first. A line
    that cannot be read is named on standard error, and the others are answered all the same; the status is 1 then.
    """
    library = asyncio.run(_with_the_store(settings)) if settings else Library.load()
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
        hits = library.search(asked["query"], limit=args.limit)
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
    return asked


async def _with_the_store(settings: Settings) -> Library:
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


def links(settings: Settings | None) -> int:
    """Ask for every address of the library once, and list those that do not answer; status 1 if there are any."""
    resources: Mapping[str, Resource] = {each.id: each for each in Library.load().resources}
    if settings:
        resources = {each.id: each for each in asyncio.run(_with_the_store(settings)).resources}
    dead = asyncio.run(check({id_: each.url for id_, each in resources.items() if each.url}, sys.stderr))
    for id_, (url, why) in sorted(dead.items()):
        sys.stdout.write(f"{id_}\t{url}\t{why}\n")
    sys.stdout.write(
        f"{len(resources) - len(dead)} of {len(resources)} entries have nothing wrong with their address.\n"
    )
    return 1 if dead else 0


async def check(
    addresses: Mapping[str, str], progress: TextIO, *, anywhere: bool = False
) -> dict[str, tuple[str, str]]:
    """Return the addresses that do not answer, by the id of their entry, each with what is wrong.

    Each is asked for once, politely: a few at a time, one by one on each host. Members may suggest addresses, so only
    those of the open internet are asked, also after a redirect; `anywhere` lifts that.
    """
    dead: dict[str, tuple[str, str]] = {}
    turns = asyncio.Semaphore(MOST_AT_ONCE)
    hosts: dict[str, asyncio.Lock] = {}
    bar = Bar(len(addresses), progress)

    async def look(id_: str, url: str) -> None:
        async with hosts.setdefault(urlsplit(url).netloc, asyncio.Lock()), turns:
            try:
                if (wrong := await _wrong_with(session, url, anywhere=anywhere)) is not None:
                    dead[id_] = (url, wrong)
            except TimeoutError:
                dead[id_] = (url, "no answer in time")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                dead[id_] = (url, type(error).__name__)
        bar.step()

    connector = aiohttp.TCPConnector(resolver=None if anywhere else OpenInternet())
    async with aiohttp.ClientSession(timeout=PATIENCE, connector=connector, headers=HEADERS) as session:
        await asyncio.gather(*(look(id_, url) for id_, url in addresses.items()))
    bar.done()
    return dead


async def _wrong_with(session: aiohttp.ClientSession, url: str, *, anywhere: bool) -> str | None:
    """Ask for an address, and for where it leads; None if it answers."""
    for _ in range(MOST_REDIRECTS):
        host = URL(url).host
        # A host that is a number is never looked up.
        if host is None or (not anywhere and _is_number(host) and not ip_address(host).is_global):
            raise OSError("not on the open internet")
        async with session.get(url, allow_redirects=False) as answer:
            where = answer.headers.get("Location") if 300 <= answer.status < 400 else None
            if where is None:
                return f"HTTP {answer.status}" if answer.status >= 400 else None
            url = str(answer.url.join(URL(where)))
    return "leads from one address to the next"


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class OpenInternet(aiohttp.ThreadedResolver):
    """Finds hosts, but none that only this machine or its neighbours can reach."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        """Return the addresses of a host.

        Raises:
            OSError: it is not on the open internet.
        """
        found = await super().resolve(host, port, family)
        if not all(ip_address(each["host"]).is_global for each in found):
            raise OSError("not on the open internet")
        return found


class Bar:
    """A progress bar on a terminal; nothing where nobody looks."""

    def __init__(self, total: int, out: TextIO) -> None:
        self._total, self._out, self._so_far = total, out, 0
        self._shown = out.isatty()

    def step(self) -> None:
        """One more is done."""
        self._so_far += 1
        if self._shown:
            full = 30 * self._so_far // max(self._total, 1)
            self._out.write(f"\r[{'█' * full}{' ' * (30 - full)}] {self._so_far}/{self._total}")
            self._out.flush()

    def done(self) -> None:
        """Leave the bar as it is, and go on in the next line."""
        if self._shown:
            self._out.write("\n")
