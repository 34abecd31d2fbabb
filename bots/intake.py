"""Taking documents into the library: what a file says becomes rows and passages on the shelf."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bots.app import store_of
from bots.bar import Bar
from bots.settings import Settings, WrongSetting
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
    places = Places(library.glossary, library.jurisdictions())
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
