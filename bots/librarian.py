"""What an operator does with the library from a terminal: take documents in, look up, check addresses."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from knowledge.ingest import Draft, Reading, Unfit, files, read
from knowledge.ingest.declared import KINDS, UNKNOWN_KIND, UNKNOWN_PLACE, language_code, languages
from knowledge.ingest.places import Places
from knowledge.library import Library, Resource, Scope
from knowledge.schema import EVERY_NETWORK, LANGUAGES, added
from storage import library as book
from storage.library import Stretch
from storage.store import Session, Store

LONGEST_TITLE, LONGEST_SUMMARY = 300, 600
"""Characters of what a document says of itself."""
TAKEN_FROM = "Taken in from "
"""What stands in a row before the name of its file."""
MOST_NOTES = 10
"""Notes on one file that are told."""
MOST_AT_ONCE = 8
"""Addresses that are looked at together; never two of one host."""
MOST_REDIRECTS = 5
PATIENCE = aiohttp.ClientTimeout(total=30)
HEADERS = {"User-Agent": "impacthub-links/1"}


@dataclass(frozen=True, slots=True)
class Stated:
    """What an operator states of everything that is taken in by one command; None: nothing.

    Jurisdiction, kind and language count for what declares none itself. `scope` is how far it was checked.
    """

    jurisdiction: str | None = None
    kind: str | None = None
    language: str | None = None
    scope: Scope | None = None


def ingest(args: argparse.Namespace, settings: Settings) -> int:
    """Take a file, or every file of a folder, into the library; status 1 if one of them could not be read.

    A file is taken in whole or not at all, and one that was taken in already changes nothing: whatever stopped this, it
    can be run again.
    """
    if args.network not in {EVERY_NETWORK, *settings.networks}:
        raise WrongSetting(f"There is no network “{args.network}” in the settings.")
    library = Library.load()
    places = Places.load(library.jurisdictions())
    stated = _stated(args, library, places)
    found = files(args.path)
    if not found:
        raise Unfit(f"{args.path}: there is no file in it that can be read.")
    return asyncio.run(_ingest(found, args.network, stated, places, {each.id for each in library.resources}, settings))


def _stated(args: argparse.Namespace, library: Library, places: Places) -> Stated:
    jurisdiction, language = args.jurisdiction, args.language
    if jurisdiction is not None and (jurisdiction := places.code(jurisdiction)) is None:
        raise WrongSetting(
            f"“{args.jurisdiction}” is no jurisdiction that the library knows; write a code, such as UA."
        )
    if args.kind is not None and args.kind not in KINDS:
        raise WrongSetting(f"There is no kind “{args.kind}”; these are: {', '.join(sorted(KINDS))}.")
    known = {*LANGUAGES, *languages(), *(code for each in library.resources for code in each.languages)}
    if language is not None and (language := language_code(language) or "") not in known:
        raise WrongSetting(f"“{args.language}” is no language that the library knows; write two letters, such as uk.")
    return Stated(jurisdiction, args.kind, language, None if args.checked is None else Scope(args.checked))


async def _ingest(
    found: list[Path], network: str, stated: Stated, places: Places, taken: set[str], settings: Settings
) -> int:
    store = store_of(settings)
    told: dict[Path, str] = {}
    bad = 0
    bar = Bar(len(found), sys.stderr)
    try:
        await store.migrate()
        for path in found:
            try:
                reading = await asyncio.to_thread(read, path)
                now = datetime.now(UTC) + settings.hub.clock_shift
                told[path] = await take_in(
                    store, reading, path.name, network=network, stated=stated, places=places, taken=taken, now=now
                )
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


@dataclass(frozen=True, slots=True)
class Entry:
    """A draft, the row that it becomes, and what of the row is merely assumed, by its name."""

    draft: Draft
    row: Resource
    assumed: Mapping[str, str]


async def take_in(
    store: Store,
    reading: Reading,
    name: str,
    *,
    network: str,
    stated: Stated,
    places: Places,
    taken: set[str],
    now: datetime,
) -> str:
    """Put what a file says onto the shelf, all of it or nothing; return what became of it.

    What came from a file of the same name under the same title before is replaced. Of what is there word for word, the
    facts are put right where the file, or the operator, says others.

    Raises:
        Unfit: something in it is no row of the library; one sentence.
    """
    entries = [_entry(draft, name, network, stated, places, now) for draft in reading.drafts]

    def put(session: Session) -> tuple[list[Entry], list[set[str]]]:
        new: list[Entry] = []
        put_right: list[set[str]] = []
        used: set[str] = set()  # two entries of one list are two, however alike they are called
        for entry in entries:
            id_ = _id_of(session, entry, taken | used)
            used.add(id_)
            others: set[str] = set()

            def correct(id_: str, facts: str, entry: Entry = entry, others: set[str] = others) -> str:
                before = Resource.model_validate_json(facts)
                after = _put_right(before, entry, checked=stated.scope is not None).model_copy(update={"id": id_})
                others |= _differing(before, after)
                return after.model_dump_json() if others else facts

            became = book.put(
                session,
                id=id_,
                network=network,
                facts=entry.row.model_copy(update={"id": id_}).model_dump_json(),
                digest=entry.draft.digest,
                passages=[Stretch(each.heading, each.text, each.place) for each in entry.draft.passages],
                now=now,
                correct=correct,
            )
            if became is book.Put.NEW:
                new.append(entry)
            elif became is book.Put.CORRECTED:
                put_right.append(others or {"passages"})
        return new, put_right

    new, put_right = await store.run(put)
    return "; ".join(filter(None, (_came(new, put_right), _assumed(new), _noted(reading)))) + "."


def _entry(draft: Draft, name: str, network: str, stated: Stated, places: Places, now: datetime) -> Entry:
    draft, assumed = _settled(draft, name, stated, places)
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
            relevance=f"{TAKEN_FROM}{name}.",
            by="taken in by an operator",
            day=now.date(),
            citation=draft.citation or name,
            date=draft.date,
            scope=stated.scope or Scope.NONE,
            source=draft.url or name,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise Unfit(f"{name}, “{draft.title[:60]}”: {what}.") from None
    return Entry(draft, row, assumed)


def _settled(draft: Draft, name: str, stated: Stated, places: Places) -> tuple[Draft, dict[str, str]]:
    """Return the draft with what the operator states where it declares nothing, and what is left to be assumed."""
    if draft.place and places.code(draft.place) is None:
        where = f"{draft.where}: " if draft.where else ""
        raise Unfit(f"{name}: {where}{draft.place!r} is no jurisdiction that is known here; write two to four letters.")
    guessed = set(draft.guessed) - ({"jurisdiction"} if draft.place else set())
    facts = {
        fact: said
        for fact in ("kind", "language", "jurisdiction")
        if fact in guessed and (said := getattr(stated, fact)) is not None
    }
    guessed -= facts.keys()
    draft = replace(draft, **facts)
    if "jurisdiction" in guessed:
        draft = replace(draft, jurisdiction=places.of(draft) or draft.jurisdiction)
    elif "jurisdiction" not in facts:
        code = places.code(draft.place or draft.jurisdiction)
        draft = replace(draft, jurisdiction=code or draft.jurisdiction)
    return draft, {
        fact: getattr(draft, fact) for fact in ("title", "jurisdiction", "kind", "language") if fact in guessed
    }


def _put_right(before: Resource, entry: Entry, *, checked: bool) -> Resource:
    """Return the row as it shall be from now on; what is merely assumed does not take the place of what is known."""
    stays: dict[str, object] = {"title": before.title} if "title" in entry.assumed else {}
    if "jurisdiction" in entry.assumed and before.jurisdiction != UNKNOWN_PLACE:
        stays["jurisdiction"] = before.jurisdiction
    if "kind" in entry.assumed and before.kind != UNKNOWN_KIND:
        stays["kind"] = before.kind
    if "language" in entry.assumed:
        stays["languages"] = before.languages
    if not checked:
        stays |= {name: getattr(before, name) for name in ("verified", "verified_scope", "as_of")}
    return entry.row.model_copy(update=stays)


def _differing(one: Resource, other: Resource) -> set[str]:
    """Return what two rows say differently; the day does not count, nor does the name of the file."""
    names = {"languages": "language", "verified_scope": "checked"}  # as the options are called
    ones, others = _said(one), _said(other)
    return {names.get(fact, fact) for fact in ones if ones[fact] != others[fact]}


def _said(row: Resource) -> dict[str, Any]:
    file = row.relevance.removeprefix(TAKEN_FROM).removesuffix(".")
    facts = row.model_dump(exclude={"id", "as_of", "relevance", "source", "verified", "year", "url_kind"})
    return {fact: "" if value == file else value for fact, value in facts.items()}


def _came(new: Sequence[Entry], put_right: Sequence[set[str]]) -> str:
    said = []
    if new:
        passages = sum(len(each.draft.passages) for each in new)
        said.append(f"{_counted(len(new), 'document')}, {_counted(passages, 'passage')}")
    if put_right:
        said.append(f"{_counted(len(put_right), 'document')} put right ({', '.join(sorted(set().union(*put_right)))})")
    return "; ".join(said) or "was in already"


def _assumed(new: Sequence[Entry]) -> str:
    """Return what was assumed of new documents: "jurisdiction INT, kind report: nothing was declared"."""
    said = []
    for fact in ("jurisdiction", "kind", "language"):
        values = Counter(each.assumed[fact] for each in new if fact in each.assumed)
        said += [f"{fact} {value}{f' ({count})' * (len(new) > 1)}" for value, count in values.most_common()]
    return f"{', '.join(said)}: nothing was declared" if said else ""


def _noted(reading: Reading) -> str:
    """Return what of a file could not be read, or is not in what it became."""
    notes = list(reading.notes)
    for draft in reading.drafts:
        notes += [f"{draft.where}: {note}" if draft.where else note for note in draft.notes]
    more = [f"and {len(notes) - MOST_NOTES} more of this kind"] if len(notes) > MOST_NOTES else []
    return "; ".join(notes[:MOST_NOTES] + more)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shortened(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= LONGEST_SUMMARY else words[:LONGEST_SUMMARY].rpartition(" ")[0] + " …"


def _id_of(session: Session, entry: Entry, taken: set[str]) -> str:
    """Return the id of what came from the same place under the same title before, or a fresh one.

    An entry of a list comes from the same place if it stood in the list, even if its address was another.
    """
    row = entry.row
    before = book.one(session, row.id, {row.network})
    known = Resource.model_validate_json(before.facts) if before and row.id not in taken else None
    if known is not None and known.network == row.network:
        listed = bool(entry.draft.where) and known.relevance == row.relevance
        if listed or known.source == row.source:
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
    addresses = {id_: each.url for id_, each in resources.items() if each.url}
    dead = asyncio.run(check(addresses, sys.stderr))
    sys.stdout.writelines(f"{line}\n" for line in looked_at(resources, addresses, dead))
    return 1 if dead else 0


def looked_at(
    resources: Collection[str], addresses: Collection[str], dead: Mapping[str, tuple[str, str]]
) -> Iterator[str]:
    """Yield what is told of the addresses that were asked for, a line each: the dead ones, and how many are well."""
    for id_, (url, why) in sorted(dead.items()):
        yield f"{id_}\t{url}\t{why}"
    yield f"{len(addresses) - len(dead)} of {len(addresses)} entries with an address have nothing wrong with it."
    if without := len(resources) - len(addresses):
        yield f"{without} have none."


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
