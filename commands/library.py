"""The library: resources with their sources, and the glossary across languages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Annotated
from urllib.parse import urlsplit

from babel import Locale

from commands.core import (
    Button,
    Context,
    Feature,
    Fields,
    Quote,
    Reply,
    Shown,
    Sources,
    Unreadable,
    Words,
    YesOrNo,
    _,
    n_,
    shelf,
)
from commands.core.kinds import WORDS, Choice, Kind, clean, one_of
from commands.core.lesson import lesson_button, viewer
from commands.core.line import Call
from commands.core.post import Note
from commands.core.procedure import JurisdictionCode, place_name
from commands.core.shelf import CHECK, entry, look_up, meaning, source
from commands.core.text import Text, plain
from knowledge.answer import quotable
from knowledge.library import Hit, Resource, Scope, Term
from knowledge.schema import EVERY_NETWORK, LANGUAGES, WEB_ADDRESS, added
from storage import feedback
from storage import library as book
from storage.feedback import Lesson
from storage.library import Shelved
from storage.members import Role
from storage.places import Purpose

library = Feature("library", _("The library and the glossary"))

KIND_NAMES: dict[str, Text] = {
    "case": _("case"),
    "database": _("database"),
    "form": _("form"),
    "guide": _("guide"),
    "organisation": _("organisation"),
    "regulation": _("regulation"),
    "report": _("report"),
    "statute": _("statute"),
    "treaty": _("treaty"),
}
MOST_HITS = 5
MOST_LESSONS = 3
MOST_RELATED, HALF = 3, 0.5
"""How many entries are shown beside a term, and how much of it each must speak of."""
MOST_SAVED = 10
MOST_STALE = 10


def _network(ctx: Context, typed: str) -> str:
    word = clean(typed).casefold()
    if word not in ctx.hub.networks:
        raise Unreadable("“{typed}” is none of: {choices}.", typed=word[:40], choices=list(ctx.hub.networks))
    return word


def _jurisdiction(ctx: Context, typed: str) -> str:
    word = clean(typed)
    code = ctx.library.jurisdiction(word)
    if code is None and word.upper() in ctx.library.procedures.jurisdictions:
        code = word.upper()  # the program's own entries have none from there, but people may have added some
    if code is None:
        raise Unreadable("The library has nothing from “{typed}”.", typed=word[:40])
    return code


def _language(ctx: Context, typed: str) -> str:
    code = clean(typed).casefold()
    spoken = (Locale(tongue).languages.items() for tongue in (ctx.voice.language, "en"))
    code = next((known for known, name in chain.from_iterable(spoken) if str(name).casefold() == code), code)
    if len(code) != 2 or not code.isascii() or not code.isalpha():
        raise Unreadable(
            "“{typed}” is no language code; write two letters, for example: {example}.",
            typed=code[:40],
            example="uk",
        )
    return code


def _resource(ctx: Context, typed: str) -> Resource:
    found = entry(ctx, clean(typed))
    if found is None:
        raise Unreadable("The library has no entry “{typed}”.", typed=clean(typed)[:60])
    return found


def _resources_like(ctx: Context, typed: str) -> list[Choice]:
    return [Choice(each.id, plain(each.title)) for each in ctx.library.resources_like(typed)] if typed else []


def _address(_ctx: Context, typed: str) -> str:
    address = clean(typed)
    if not WEB_ADDRESS.fullmatch(address) or len(address) > 500 or not _has_host(address):
        raise Unreadable("Please write a web address, such as {example}.", example="https://www.icc-cpi.int")
    return address


def _has_host(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.username is None
    except ValueError:
        return False


def _sentence(longest: int) -> Callable[[Context, str], str]:
    def read(ctx: Context, typed: str) -> str:
        words = " ".join(WORDS.read(ctx, typed).split())
        if len(words) > longest:
            raise Unreadable("That is {n} characters long; {most} is the most I can take.", n=len(words), most=longest)
        return words

    return read


def _suggestion(ctx: Context, typed: str) -> Shelved:
    word = clean(typed).casefold()
    found = next((each for each in book.waiting(ctx.session, ctx.network) if each.id == word), None)
    if found is None:
        raise Unreadable("No suggestion “{typed}” waits here.", typed=word[:60])
    return found


NetworkKey = Annotated[
    str,
    Kind(
        name=_("a network"),
        read=_network,
        show=str,
        suggest=lambda ctx, _typed: [Choice(key, plain(each.name)) for key, each in ctx.hub.networks.items()],
        example="uj",
    ),
]
ResourceKind = Annotated[str, one_of(_("a kind of resource"), KIND_NAMES, example="case")]
LegalTerm = Annotated[str, replace(WORDS, name=_("a legal term"), example="universal jurisdiction")]
Jurisdiction = Annotated[str, Kind(name=_("a jurisdiction"), read=_jurisdiction, show=str, example="DE")]
LanguageCode = Annotated[
    str,
    Kind(
        name=_("a language"),
        read=_language,
        show=str,
        suggest=lambda ctx, _typed: [Choice(code, plain(_language_name(ctx, code))) for code in LANGUAGES],
        example="uk",
    ),
]
Entry = Annotated[
    Resource,
    Kind(
        name=_("an entry of the library"),
        read=_resource,
        show=lambda resource: resource.id,
        suggest=_resources_like,
        example="de-vstgb",
    ),
]
Address = Annotated[
    str, Kind(name=_("a web address"), read=_address, show=str, free=True, example="https://www.icc-cpi.int")
]
Title = Annotated[str, replace(WORDS, name=_("a title"), read=_sentence(200), example="Rome Statute of the ICC")]
Sentence = Annotated[
    str, replace(WORDS, name=_("a sentence or two"), read=_sentence(1000), example="It lists the crimes of the Court")
]
Suggestion = Annotated[
    Shelved,
    Kind(
        name=_("a suggestion"),
        read=_suggestion,
        show=lambda row: row.id,
        suggest=lambda ctx, _typed: [
            Choice(row.id, plain(_facts(row).title)) for row in book.waiting(ctx.session, ctx.network)
        ],
        nothing=_("No suggestion waits for a decision."),
        example="rome-statute-of-the-icc",
    ),
]
SCOPES: dict[str, Text] = {
    Scope.NONE.value: _("not checked"),
    Scope.PARTIAL.value: _("checked in part"),
    Scope.FULL.value: _("checked against its source"),
}
HowFar = Annotated[str, one_of(_("how far it was checked"), SCOPES, example="partial")]


@library.command("find", shown=Shown.ROOM)
def find(
    ctx: Context,
    words: Words,
    network: NetworkKey | None = None,
    kind: ResourceKind | None = None,
    jurisdiction: Jurisdiction | None = None,
    language: LanguageCode | None = None,
) -> Reply:
    """Look up laws, cases, guides and forms.

    words: What are you looking for? Any language will do.
    network: In which network's library?
    kind: Which kind: a case, a statute, a guide?
    jurisdiction: Which jurisdiction, as a code: DE, UA, ECHR?
    language: In which language must the text itself be?
    """
    hits = look_up(
        ctx,
        words,
        network=network or ctx.network,
        limit=MOST_HITS,
        vector=meaning(ctx, words),
        kind=kind,
        jurisdiction=jurisdiction,
        language=language,
    )
    answers: list[Text | Sources] = [
        n_("{n} entry for “{words}”:", "{n} entries for “{words}”, the best first:", len(hits), words=words[:100]),
        *_elsewhere(ctx, hits),
        Sources(tuple(source(ctx, hit.resource, passage=hit.passage, snippet=hit.snippet) for hit in hits)),
        CHECK,
    ]
    if not hits:
        answers = [
            _(
                "The library has nothing on “{words}”. Try fewer or other words, or another network.",
                words=words[:100],
            )
        ]
    narrowed = any((network, kind, jurisdiction, language))
    learned = [] if narrowed else _learned(ctx, words)
    return Reply(
        *answers,
        *([_("Members learned from cases: {codes}", codes=[each.code for each in learned])] if learned else []),
        actions=[
            *(_show_button(hit.resource) for hit in hits),
            *(lesson_button(ctx, each) for each in learned),
        ],
    )


def _elsewhere(ctx: Context, hits: Sequence[Hit]) -> list[Text]:
    """Say that nothing of what was found is about the place that was asked about."""
    if not hits or not all(hit.elsewhere for hit in hits):
        return []
    places = [place_name(ctx.voice, code) for code in hits[0].asked.jurisdictions]
    return [_("None of these is about the place that you asked about ({places}).", places=places)]


def _learned(ctx: Context, words: str) -> list[Lesson]:
    """Find the lessons that answer best, among those that may be read here."""
    if "lessons" in ctx.hub.networks[ctx.network].off:
        return []
    question = ctx.library.question(words)
    held = feedback.holding(ctx.session, viewer(ctx), question.tokens)
    return feedback.by_ids(ctx.session, question.rank(held.by_token, among=held.among)[:MOST_LESSONS])


@library.command("resource show", shown=Shown.ROOM)
def resource_show(ctx: Context, id: Entry) -> Reply:  # noqa: A002 the command contract calls it ID
    """Show one entry of the library, with its source.

    id: Which entry? The answers of find name each one.
    """
    facts = [
        (_("Kind"), KIND_NAMES[id.kind]),
        (_("Jurisdiction"), plain(id.jurisdiction)),
        (_("Date"), plain(id.date or "—")),
        (_("Languages"), plain(", ".join(_language_name(ctx, code) for code in id.languages))),
        (_("Subjects"), plain(", ".join(id.tags) or "—")),
        (_("Where this is from"), plain(id.source)),
    ]
    status = _("Check the current status of this one before you use it.") if id.check_before_use else None
    return Reply(
        Sources((source(ctx, id),)),
        Quote(quotable(id.summary)),
        _("Why it matters: {words}", words=quotable(id.relevance)),
        Fields(tuple(facts)),
        *([status] if status else []),
        CHECK,
        actions=[Button(_("Save {id}", id=id.id), save.call(id), terse=True)],
    )


@library.command("resource save", allow=Role.MEMBER)
def save(ctx: Context, id: Entry, keep: YesOrNo = True) -> Reply:  # noqa: A002 the command contract calls it ID
    """Save an entry of the library, to find it again.

    id: Which entry? The answers of find name each one.
    keep: Shall I keep it for you? With “no” I forget that you saved it.
    """
    if keep:
        book.save(ctx.session, id.id, member=ctx.actor_id, now=ctx.now)
        return Reply(_("Saved: {id}. {saved} lists what you saved.", id=id.id, saved=saved.bare()))
    book.forget(ctx.session, id.id, member=ctx.actor_id)
    return Reply(_("{id} is no longer among those you saved.", id=id.id))


@library.command("resource saved", allow=Role.MEMBER)
def saved(ctx: Context) -> Reply:
    """List the entries of the library that you saved."""
    found = [each for id_ in book.saved(ctx.session, ctx.actor_id) if (each := entry(ctx, id_)) is not None]
    if not found:
        return Reply(_("You have saved no entry of the library."))
    return Reply(
        _("You saved:"),
        Sources(tuple(source(ctx, each) for each in found[:MOST_SAVED])),
        *([_("Earlier: {ids}.", ids=[each.id for each in earlier])] if (earlier := found[MOST_SAVED:]) else []),
        actions=[_show_button(each) for each in found[:MOST_SAVED]],
    )


@library.command("resource suggest", allow=Role.MEMBER)
def suggest(
    ctx: Context,
    url: Address,
    kind: ResourceKind,
    jurisdiction: JurisdictionCode,
    language: LanguageCode,
    title: Title,
    summary: Sentence,
    relevance: Sentence,
) -> Reply:
    """Suggest a resource for the library; a coordinator decides.

    url: Where on the web does it stand?
    kind: Which kind: a case, a statute, a guide?
    jurisdiction: From which jurisdiction is it? A country, or a code such as DE or ECHR.
    language: In which language is its text?
    title: What is it called?
    summary: What does it say, in a sentence or two?
    relevance: Why does it matter for our work?
    """
    row = added(
        network=ctx.network,
        url=url,
        kind=kind,
        jurisdiction=jurisdiction,
        language=language,
        title=title,
        summary=summary,
        relevance=relevance,
        by="suggested by a member",
        day=ctx.now.date(),
    )
    row = row.model_copy(update={"id": book.drawn_id(row.id, ctx.rng)})
    book.suggest(ctx.session, id=row.id, network=ctx.network, facts=row.model_dump_json(), by=ctx.actor_id, now=ctx.now)
    ctx.announce(
        Reply(_("A resource was suggested: {title}. {waiting} shows it.", title=row.title, waiting=waiting.bare())),
        network=ctx.network,
        purpose=Purpose.COORDINATORS,
        key=f"suggested:{row.id}",
    )
    return Reply(_("Thank you. A coordinator decides about {id}, and I will tell you.", id=row.id))


@library.command("resource waiting", allow=Role.COORDINATOR)
def waiting(ctx: Context) -> Reply:
    """List the suggestions that wait for a decision."""
    rows = book.waiting(ctx.session, ctx.network)
    if not rows:
        return Reply(_("No suggestion waits for a decision."))
    first = _facts(rows[0])
    return Reply(
        n_("{n} suggestion waits for a decision.", "{n} suggestions wait for a decision, the oldest first.", len(rows)),
        Sources((source(ctx, first, snippet=f"{first.summary}\n{first.relevance}"),)),
        actions=[
            Button(_("Publish {id}", id=first.id), approve.bare(suggestion=first.id)),
            Button(_("Decline {id}", id=first.id), decline.bare(suggestion=first.id)),
        ],
    )


@library.command("resource approve", allow=Role.COORDINATOR, audited=True)
def approve(ctx: Context, suggestion: Suggestion, scope: HowFar) -> Reply:
    """Publish a suggestion: everybody in this network can find it.

    suggestion: Which suggestion?
    scope: How far did you check it against its source?
    """
    checked = Scope(scope)
    facts = _facts(suggestion).model_copy(
        update={"verified": checked is not Scope.NONE, "verified_scope": checked, "as_of": ctx.now.date()}
    )
    ctx.subject = suggestion.id
    book.decide(ctx.session, suggestion, publish=True, facts=facts.model_dump_json(), by=ctx.actor_id, now=ctx.now)
    _tell_whoever_suggested(
        ctx, suggestion, _("Your suggestion {id} is in the library now. Thank you.", id=suggestion.id)
    )
    return Reply(_("Published: {id}. Within a minute everybody can find it.", id=suggestion.id))


@library.command("resource decline", allow=Role.COORDINATOR, audited=True)
def decline(ctx: Context, suggestion: Suggestion, why: Sentence) -> Reply:
    """Decline a suggestion.

    suggestion: Which suggestion?
    why: What shall I tell whoever suggested it?
    """
    ctx.subject = suggestion.id
    book.decide(ctx.session, suggestion, publish=False, facts=suggestion.facts, by=ctx.actor_id, now=ctx.now)
    _tell_whoever_suggested(
        ctx, suggestion, _("Your suggestion {id} was not taken into the library:", id=suggestion.id), Quote(why)
    )
    return Reply(_("Declined: {id}.", id=suggestion.id))


@library.command("resource withdraw", allow=Role.COORDINATOR, audited=True)
def withdraw(ctx: Context, id: Entry) -> Reply:  # noqa: A002 the command contract calls it ID
    """Take an entry that was added here out of the library.

    id: Which entry? The answers of find name each one.
    """
    row = book.one(ctx.session, id.id, {ctx.network})
    if row is None or row.network != ctx.network:
        return Reply(_("{id} came with the program, or is another network's: it can only be confirmed.", id=id.id))
    ctx.subject = id.id
    book.withdraw(ctx.session, row, now=ctx.now)
    return Reply(_("Withdrawn: {id}. Within a minute nobody finds it any more.", id=id.id))


@library.command("resource stale", allow=Role.COORDINATOR)
def stale(ctx: Context) -> Reply:
    """List the entries that nobody has reviewed for more than a year, the oldest first."""
    found = shelf.stale(ctx, ctx.network)
    if not found:
        return Reply(_("Every entry was reviewed within the last twelve months."))
    return Reply(
        n_(
            "{n} entry has lost its badge. Look at it again, then confirm it.",
            "{n} entries have lost their badge, the oldest first. Look at them again, then confirm each.",
            len(found),
        ),
        Sources(tuple(source(ctx, each) for each in found[:MOST_STALE])),
        actions=[
            Button(_("Confirm {id}", id=each.id), confirm.bare(id=each.id), terse=True) for each in found[:MOST_STALE]
        ],
    )


@library.command("resource confirm", allow=Role.COORDINATOR, audited=True)
def confirm(ctx: Context, id: Entry) -> Reply:  # noqa: A002 the command contract calls it ID
    """Confirm that you looked at an entry today, and that it is still right.

    id: Which entry? The answers of find name each one.
    """
    if id.network not in {ctx.network, EVERY_NETWORK}:
        return Reply(_("{id} is another network's.", id=id.id))
    ctx.subject = id.id
    book.confirm(ctx.session, id.id, day=ctx.now.date(), by=ctx.actor_id)
    return Reply(_("Confirmed: {id}, reviewed on {day}.", id=id.id, day=ctx.now.date()))


def _facts(row: Shelved) -> Resource:
    return Resource.model_validate_json(row.facts)


def _tell_whoever_suggested(ctx: Context, suggestion: Shelved, *said: Text | Quote) -> None:
    if suggestion.by is not None:
        note = Note(suggestion.by, Reply(*said), f"decided:{suggestion.id}")
        ctx.tell_each([note], network=ctx.network)


def _show_button(resource: Resource) -> Button:
    return Button(_("Show {id}", id=resource.id), Call("resource show", {"id": resource.id}), terse=True)


@library.command("term", shown=Shown.ROOM)
def term(ctx: Context, word: LegalTerm) -> Reply:
    """Show a legal term in the networks' languages.

    word: Which term? In any of the languages.
    """
    found = ctx.library.term(word, network=ctx.network)
    if not found:
        return Reply(_("The glossary has no term like “{word}”.", word=word[:100]))
    first, *others = found
    near = look_up(ctx, first.ways("en")[0], network=ctx.network, limit=MOST_RELATED)
    related = [hit for hit in near if hit.coverage >= HALF]
    return Reply(
        Text("{words}", {"words": first.definition_en}),
        Fields(tuple(_spoken(ctx, first, language) for language in LANGUAGES if first.ways(language))),
        _("The definition was written for this project; no source confirms it yet."),
        *_in_the_library(ctx, related),
        CHECK,
        actions=[
            *(_show_button(each.resource) for each in related),
            *(Button(plain(each.en), Call("term", {"word": each.en})) for each in others[:4]),
        ],
    )


def _in_the_library(ctx: Context, related: Sequence[Hit]) -> list[Text | Sources]:
    if not related:
        return []
    return [_("In the library:"), Sources(tuple(source(ctx, each.resource) for each in related))]


def _spoken(ctx: Context, term: Term, language: str) -> tuple[Text, Text]:
    said = " / ".join(term.ways(language))
    name = plain(_language_name(ctx, language))
    if term.needs_review(language):
        return name, _("{words} (a native speaker has yet to confirm this)", words=said)
    return name, plain(said)


def _language_name(ctx: Context, code: str) -> str:
    return str(Locale(ctx.voice.language).languages.get(code, code))
