"""The library: resources with their sources, and the glossary across languages."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Annotated

from babel import Locale

from commands.core import (
    Button,
    Context,
    Feature,
    Fields,
    Quote,
    Reply,
    Shown,
    Source,
    Sources,
    Unreadable,
    Words,
    _,
    n_,
)
from commands.core.kinds import WORDS, Choice, Kind, clean, one_of
from commands.core.lesson import lesson_button, viewer
from commands.core.line import Call
from commands.core.text import Text, plain
from knowledge.library import Resource, Scope, Term, badge
from knowledge.schema import LANGUAGES
from storage import feedback
from storage.feedback import Lesson

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
BADGES: dict[Scope | None, Text] = {
    Scope.FULL: _("checked against its source, {day}"),
    Scope.PARTIAL: _("checked in part, {day}"),
    Scope.NONE: _("not verified, {day}"),
    None: _("last reviewed more than a year ago, {day}"),
}
MOST_HITS = 5
MOST_LESSONS = 3


def _network(ctx: Context, typed: str) -> str:
    word = clean(typed).casefold()
    if word not in ctx.hub.networks:
        raise Unreadable("“{typed}” is none of: {choices}.", typed=word[:40], choices=list(ctx.hub.networks))
    return word


def _jurisdiction(ctx: Context, typed: str) -> str:
    code = ctx.library.jurisdiction(clean(typed))
    if code is None:
        raise Unreadable("The library has nothing from “{typed}”.", typed=clean(typed)[:40])
    return code


def _language(ctx: Context, typed: str) -> str:
    code = clean(typed).casefold()
    code = next((known for known in LANGUAGES if code in _names(ctx, known)), code)
    if len(code) != 2 or not code.isascii() or not code.isalpha():
        raise Unreadable(
            "“{typed}” is no language code; write two letters, for example: {example}.",
            typed=code[:40],
            example="uk",
        )
    return code


def _names(ctx: Context, code: str) -> set[str]:
    return {str(Locale(spoken).languages.get(code, "")).casefold() for spoken in (ctx.voice.language, "en")}


def _resource(ctx: Context, typed: str) -> Resource:
    found = ctx.library.resource(clean(typed).casefold())
    if found is None:
        raise Unreadable("The library has no entry “{typed}”.", typed=clean(typed)[:60])
    return found


def _resources_like(ctx: Context, typed: str) -> list[Choice]:
    return [Choice(each.id, plain(each.title)) for each in ctx.library.resources_like(typed)] if typed else []


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
    hits = ctx.library.search(
        words,
        network=network or ctx.network,
        kind=kind,
        jurisdiction=jurisdiction,
        language=language,
        limit=MOST_HITS,
    )
    answers: list[Text | Sources] = [
        n_("{n} entry for “{words}”:", "{n} entries for “{words}”, the best first:", len(hits), words=words[:100]),
        Sources(tuple(_source(hit.resource, ctx.now.date(), hit.snippet) for hit in hits)),
        _("Check before relying: laws change."),
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
            *(
                Button(_("Show {id}", id=hit.resource.id), Call("resource show", {"id": hit.resource.id}), terse=True)
                for hit in hits
            ),
            *(lesson_button(ctx, each) for each in learned),
        ],
    )


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
        (_("Checked against"), plain(id.source)),
    ]
    status = _("Check the current status of this one before you use it.") if id.check_before_use else None
    return Reply(
        Sources((_source(id, ctx.now.date()),)),
        Quote(id.summary),
        _("Why it matters: {words}", words=id.relevance),
        Fields(tuple(facts)),
        *([status] if status else []),
        _("Check before relying: laws change."),
    )


@library.command("term", shown=Shown.ROOM)
def term(ctx: Context, word: LegalTerm) -> Reply:
    """Show a legal term in the networks' languages.

    word: Which term? In any of the languages.
    """
    found = ctx.library.term(word, network=ctx.network)
    if not found:
        return Reply(_("The glossary has no term like “{word}”.", word=word[:100]))
    first, *others = found
    blocks: list[Text | Fields] = [
        Text("{words}", {"words": first.definition_en}),
        Fields(tuple(_spoken(ctx, first, language) for language in LANGUAGES if first.ways(language))),
    ]
    return Reply(
        *blocks,
        actions=[Button(plain(each.en), Call("term", {"word": each.en})) for each in others[:4]],
    )


def _spoken(ctx: Context, term: Term, language: str) -> tuple[Text, Text]:
    said = " / ".join(term.ways(language))
    name = plain(_language_name(ctx, language))
    if term.needs_review(language):
        return name, _("{words} (a native speaker has yet to confirm this)", words=said)
    return name, plain(said)


def _language_name(ctx: Context, code: str) -> str:
    return str(Locale(ctx.voice.language).languages.get(code, code))


def _source(resource: Resource, today: date, snippet: str = "") -> Source:
    return Source(
        title=resource.title,
        citation=resource.citation,
        url=resource.url,
        badge=Text(BADGES[badge(resource, today)].msgid, {"day": resource.as_of}),
        snippet=snippet,
    )
