"""Entries of the library in conversation: those of the program and those that people added, looked up as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import TypeVar

import structlog

from commands.core.context import Context
from commands.core.post import Post
from commands.core.reply import Source
from commands.core.text import Text, _
from knowledge.answer import NoAnswer, quotable
from knowledge.library import Change, Checklist, Hit, Library, Passage, Resource, Scope, Stored, badge
from knowledge.schema import is_recent
from knowledge.words import asked_in
from storage import library as book
from storage import members
from storage.library import Changes, Stretch
from storage.members import Role
from storage.store import Store

log = structlog.get_logger()

R = TypeVar("R", Resource, Checklist)

BADGES: dict[Scope | None, Text] = {
    Scope.FULL: _("checked against its source, {day}"),
    Scope.PARTIAL: _("checked in part, {day}"),
    Scope.NONE: _("not verified, {day}"),
    None: _("last reviewed more than a year ago, {day}"),
}
CHECK = _("Check before relying: laws change.")


def look_up(
    ctx: Context,
    words: str,
    *,
    network: str,
    limit: int,
    parts: int = 1,
    vector: Sequence[float] | None = None,
    **narrowed: str | None,
) -> list[Hit]:
    """Search the library as a network sees it, each entry with its last review; see `Library.search`."""
    shelves = mine(ctx)
    hits = ctx.library.search(
        words,
        network=network,
        limit=limit,
        parts=parts,
        stored=partial(_stored, ctx, shelves),
        vector=vector,
        shelves=shelves,
        **narrowed,
    )
    days = book.reviews(ctx.session, {hit.resource.id for hit in hits})
    return [replace(hit, resource=_reviewed(hit.resource, days.get(hit.resource.id))) for hit in hits]


def meaning(ctx: Context, words: str) -> Sequence[float] | None:
    """Return what words mean, as look-up's encoder sees it; None if there is none, or if it fails.

    An encoder that is elsewhere ends the handler once; see `Context.fetch`. The words may leave the machine then.
    """
    dense = ctx.library.dense
    if dense is None:
        return None
    if dense.encoder.here:
        return dense.at_once(words)

    async def ask() -> Sequence[float] | None:
        try:
            return await dense.ask(words, ctx.library.knows)
        except NoAnswer as none:
            log.warning("a question goes without a vector", why=none.reason)
            return None

    return ctx.fetch("meaning", ask)


def under(ctx: Context, keys: Sequence[str]) -> list[tuple[Resource, Passage | None]]:
    """Return what was found under these keys and is still there, in their order."""
    stored = _stored(ctx, mine(ctx), keys)
    found = ((key, *stored.get(key, (ctx.library.resource(key), None))) for key in keys)
    known = [(resource, passage) for _key, resource, passage in found if resource is not None]
    days = book.reviews(ctx.session, {resource.id for resource, _passage in known})
    return [(_reviewed(resource, days.get(resource.id)), passage) for resource, passage in known]


def entry(ctx: Context, typed: str) -> Resource | None:
    """Return the entry of that id, in any case, with its last review; None if there is none to be seen here."""
    id_ = typed.strip().casefold()
    resource = ctx.library.resource(id_)
    if resource is None and (row := book.one(ctx.session, id_, mine(ctx))) is not None:
        resource = Resource.model_validate_json(row.facts)
    return resource and _reviewed(resource, book.reviews(ctx.session, {id_}).get(id_))


def entries(ctx: Post, network: str) -> list[Resource]:
    """Return every entry that a network sees, with its last review."""
    shelved = map(Resource.model_validate_json, book.published(ctx.session, {network}).values())
    days = book.reviews(ctx.session)
    return [
        _reviewed(each, days.get(each.id))
        for each in (*ctx.library.resources, *shelved)
        if each.network in {network, book.EVERY_NETWORK}
    ]


def stale(ctx: Post, network: str) -> list[Resource]:
    """Return the entries that nobody has reviewed for twelve months, the oldest first."""
    today = ctx.now.date()
    return sorted(
        (each for each in entries(ctx, network) if badge(each, today) is None), key=lambda each: (each.as_of, each.id)
    )


def checklists(ctx: Post, rows: Sequence[Checklist]) -> list[Checklist]:
    """Return checklists with their last review: the program's, or somebody's here."""
    days = book.reviews(ctx.session, [_key(each) for each in rows])
    return [_reviewed(each, days.get(_key(each))) for each in rows]


def stale_checklists(ctx: Post, network: str) -> list[Checklist]:
    """Return a network's checklists that nobody has reviewed for twelve months, the oldest first."""
    known = checklists(ctx, [each for each in ctx.library.checklists.all if each.network == network])
    today = ctx.now.date()
    return sorted((each for each in known if not is_recent(each.as_of, today)), key=lambda each: (each.as_of, each.id))


def confirm_checklist(ctx: Context, checklist: Checklist) -> None:
    """Note that a checklist was looked at today, and is still right."""
    book.confirm(ctx.session, _key(checklist), day=ctx.now.date(), by=ctx.actor_id)


def _key(checklist: Checklist) -> str:
    return f"checklist:{checklist.id}"


def source(ctx: Context, resource: Resource, *, passage: Passage | None = None, snippet: str = "") -> Source:
    """Show an entry: its title in the reader's language where it has one, its citation, how far it was checked.

    What gives orders is left out of the snippet, whoever wrote it.
    """
    place = (passage.place or passage.heading.rpartition(" › ")[2]) if passage else ""
    own = ctx.voice.language == asked_in(resource.title_original) != "en"
    return Source(
        title=resource.title_original if own else resource.title,
        citation=", ".join(filter(None, (resource.citation, place))),
        url=resource.url,
        badge=Text(BADGES[badge(resource, ctx.now.date())].msgid, {"day": resource.as_of}),
        snippet=quotable(snippet),
    )


async def follow(store: Store, library: Library) -> None:
    """Bring look-up in this process up to date with what the store has.

    One process of a machine brings the index that they share up to date; the others see it a moment later.
    """
    library.catch_up()
    while True:
        changes = await store.run(lambda session: book.changes(session, library.reached))
        if changes.newest < library.reached:  # an older store was put in the place of the one that was followed
            if not await asyncio.to_thread(library.start_over):
                return
            continue
        if not changes.each:
            return
        if not await asyncio.to_thread(library.follow, _came(changes), changes.reached):
            return


async def follow_meanings(
    store: Store, library: Library, *, most: int | None = None, step: Callable[[], None] = lambda: None
) -> None:
    """Let the vectors follow what the store has, and have at most so many of those made that are missing.

    What is known of the documents is known in this process only, so that the first time all of them are read.

    Args:
        store: what people added.
        library: whose vectors they are; without an encoder nothing is done.
        most: texts whose vectors are made; None: all that lack one.
        step: called for each of them that is done.
    """
    dense = library.dense
    if dense is None:
        return
    while (changes := await store.run(lambda session: book.changes(session, dense.reached))).newest != dense.reached:
        if changes.newest < dense.reached:  # as above; what is not in the store any more is not found there
            dense.reached = 0
            continue
        await asyncio.to_thread(library.mean, _came(changes), changes.reached)
    try:
        await dense.make(most, step)
    except NoAnswer as none:
        log.warning("texts of the library have no vectors yet", why=none.reason, missing=dense.missing)


def mine(ctx: Context) -> set[str]:
    """Return the networks whose own shelf the actor sees: those in which they are more than a guest."""
    return {key for key in ctx.hub.networks if members.roles(ctx.session, ctx.actor_id, key) - {Role.GUEST}}


def _came(changes: Changes) -> list[Change]:
    return [
        Change(
            each.id,
            Resource.model_validate_json(each.facts) if each.facts is not None else None,
            tuple(Passage(*stretch) for stretch in each.passages),
        )
        for each in changes.each
    ]


def _stored(ctx: Context, shelves: Collection[str], keys: Sequence[str]) -> Stored:
    return {
        key: (Resource.model_validate_json(found.facts), _passage(found.passage))
        for key, found in book.found(ctx.session, keys, shelves).items()
    }


def _passage(stretch: Stretch | None) -> Passage | None:
    return stretch and Passage(stretch.heading, stretch.text, stretch.place)


def _reviewed(row: R, day: date | None) -> R:
    return row if day is None or day <= row.as_of else row.model_copy(update={"as_of": day})
