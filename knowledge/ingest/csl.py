"""References: CSL-JSON and Zotero's own JSON, and how an entry of any list of references becomes a draft."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from knowledge.ingest import declared
from knowledge.ingest.draft import MOST_ENTRIES, Draft, Unfit, line

_TYPES: Final = {
    "case": ("case", "jurisdiction", "legalcase"),
    "database": ("dataset",),
    "guide": ("book", "chapter", "dictionaryentry", "encyclopediaarticle", "inbook", "incollection", "manual"),
    "regulation": ("regulation", "standard"),
    "statute": ("bill", "legislation", "statute"),
    "treaty": ("treaty",),
}
"""Types of Zotero, CSL, BibTeX and BibLaTeX, without their hyphens; of any other the title decides."""

KINDS: Final = {name: kind for kind, names in _TYPES.items() for name in names}

_NO_DOCUMENTS: Final = frozenset(("annotation", "attachment", "note"))
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")


def references(text: str) -> list[Draft]:
    """Return a draft for each reference, with its abstract as summary and as text; notes and attachments are none.

    Raises:
        Unfit: it is no such list, or a reference has no title; the sentence names the reference.
    """
    try:
        read = json.loads(text)
    except ValueError as error:
        raise Unfit("it is no sound JSON.") from error
    items = read.get("items", [read]) if isinstance(read, dict) else read
    if not isinstance(items, list) or not all(isinstance(item, dict) and _type(item) for item in items):
        raise Unfit("it is no list of references; export it as CSL JSON.")
    if len(items) > MOST_ENTRIES:
        raise Unfit(f"there are more than {MOST_ENTRIES:,} references; divide the list.")
    drafts = [_draft(item, number) for number, item in enumerate(items, start=1) if _type(item) not in _NO_DOCUMENTS]
    if not drafts:
        raise Unfit("there are no references in it.")
    return drafts


def reference(name: str, fields: Mapping[str, str]) -> Draft:
    """Return the draft of a reference; what cannot be understood in it counts as not said.

    Args:
        name: what the list calls it.
        fields: title, type, summary, language, jurisdiction, url, date and citation, as far as they are known.

    Raises:
        Unfit: it has no title.
    """
    if not fields["title"]:
        raise Unfit(f"the entry {line(name)[:60]!r} has no title.")
    kind = KINDS.get(fields["type"].lower().replace("-", "").replace("_", ""), "")
    return declared.entry({**fields, "kind": kind}, [])


def cited(
    *,
    authors: Sequence[str],
    container: str,
    volume: str,
    issue: str,
    number: str,
    issuer: str,
    pages: str,
    year: str,
) -> str:
    """Return how a reference is cited, with whatever is known of it; the title is not in it."""
    names = ", ".join(authors[:3]) + (" et al." if len(authors) > 3 else "")
    within = " ".join(filter(None, (container, volume + (f"({issue})" if issue else ""))))
    known = (names, within, number, issuer, pages and f"p. {pages}", year)
    return ", ".join(dict.fromkeys(filter(None, known)))


def _draft(item: Mapping[str, Any], number: int) -> Draft:
    def said(*names: str) -> str:
        return next(filter(None, (_words(item.get(name)) for name in names)), "")

    date = _date(item.get("issued")) or declared.date(said("date", "dateDecided", "dateEnacted", "issueDate")) or ""
    doi = said("DOI")
    return reference(
        said("id", "citationKey", "key") or str(number),
        {
            "type": _type(item),
            "title": said("title", "caseName", "nameOfAct", "subject", "title-short"),
            "summary": said("abstract", "abstractNote"),
            "language": said("language"),
            "jurisdiction": said("jurisdiction").partition(":")[0],
            "url": said("URL", "url") or (f"https://doi.org/{doi}" if doi else ""),
            "date": date,
            "citation": cited(
                authors=_authors(item.get("author") or item.get("creators")),
                container=said("container-title", "publicationTitle", "reporter", "code", "bookTitle"),
                volume=said("volume", "reporterVolume", "codeNumber"),
                issue=said("issue"),
                number=said("number", "docketNumber", "publicLawNumber", "reportNumber", "billNumber"),
                issuer=said("authority", "court", "publisher", "institution", "legislativeBody"),
                pages=said("page", "pages", "firstPage"),
                year=date[:4],
            ),
        },
    )


def _type(item: Mapping[str, Any]) -> str:
    said = item.get("itemType") or item.get("type")
    return said if isinstance(said, str) else ""


def _words(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return line(html.unescape(_TAG.sub("", str(value))))


def _date(issued: object) -> str:
    if not isinstance(issued, dict):
        return ""
    parts = issued.get("date-parts")
    if isinstance(parts, list) and parts and isinstance(parts[0], list):
        return declared.date("-".join(_words(part).zfill(2) for part in parts[0][:3])) or ""
    return declared.date(_words(issued.get("raw")) or _words(issued.get("literal"))) or ""


def _authors(people: object) -> list[str]:
    names = []
    for person in people if isinstance(people, list) else []:
        if isinstance(person, dict):
            family = _words(person.get("family")) or _words(person.get("lastName"))
            given = _words(person.get("given")) or _words(person.get("firstName"))
            names.append(f"{family} {given[:1]}".strip() or _words(person.get("literal")) or _words(person.get("name")))
    return [name for name in names if name]
