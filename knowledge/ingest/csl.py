"""References: CSL-JSON and Zotero's own JSON, and how an entry of any list of references becomes a draft."""

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from knowledge.ingest import declared
from knowledge.ingest.draft import MOST_ENTRIES, Draft, Reading, Unfit, line

_TYPES: Final = {
    "case": ("case", "jurisdiction", "legalcase"),
    "database": ("dataset",),
    "guide": ("book", "chapter", "dictionaryentry", "encyclopediaarticle", "inbook", "incollection", "manual"),
    "regulation": ("regulation", "standard"),
    "statute": ("bill", "legislation", "statute"),
    "treaty": ("treaty",),
}
"""Types of Zotero, CSL, BibTeX and BibLaTeX, without their hyphens; of any other the title decides."""

LONGEST_NAME: Final = 60
"""Characters of an entry's name that are quoted."""

KINDS: Final = {name: kind for kind, names in _TYPES.items() for name in names}

_NO_DOCUMENTS: Final = frozenset(("annotation", "attachment", "note"))
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")


def references(text: str) -> Reading:
    """Return a draft for each reference, with its abstract as summary and as text; notes and attachments are none.

    A reference without a title is left out, and the reading notes which.

    Raises:
        Unfit: it is no such list, or none of its references has a title.
    """
    try:
        read = json.loads(text)
    except ValueError as error:
        raise Unfit("it is no sound JSON.") from error
    items = read.get("items", [read]) if isinstance(read, dict) else read
    if not isinstance(items, list) or not all(isinstance(item, dict) and _type(item) for item in items):
        raise Unfit("it is no list of references; export it as CSL JSON.")
    return listed(
        _fields(item, number) for number, item in enumerate(items, start=1) if _type(item) not in _NO_DOCUMENTS
    )


def listed(references: Iterable[tuple[str, Mapping[str, str]]]) -> Reading:
    """Return the drafts of references; what cannot be understood in one counts as not said, and is noted.

    Each has its name in the list, and title, type, summary, language, jurisdiction, url, date and citation, as far as
    they are known. One without a title is left out and noted.

    Raises:
        Unfit: none of them has a title, or there are too many.
    """
    drafts: list[Draft] = []
    untitled: list[str] = []
    for name, fields in references:
        where = f"entry {line(name)[:LONGEST_NAME]!r}"
        if fields["title"]:
            kind = KINDS.get(fields["type"].lower().replace("-", "").replace("_", ""), "")
            drafts.append(declared.entry({**fields, "kind": kind}, [], where))
        else:
            untitled.append(where)
        if len(drafts) + len(untitled) > MOST_ENTRIES:
            raise Unfit(f"there are more than {MOST_ENTRIES:,} entries; divide the list.")
    if not drafts:
        raise Unfit("none of its entries has a title." if untitled else "there are no entries in it.")
    return Reading(tuple(drafts), declared.untitled(untitled))


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


def _fields(item: Mapping[str, Any], number: int) -> tuple[str, Mapping[str, str]]:
    def said(*names: str) -> str:
        return next(filter(None, (_words(item.get(name)) for name in names)), "")

    date = _date(item.get("issued")) or said("date", "dateDecided", "dateEnacted", "issueDate")
    doi = said("DOI")
    # Codes of Juris-M are "us:c9" for a court, and "un.org" for what is no state.
    place = said("jurisdiction").partition(":")[0]
    return (
        said("id", "citationKey", "key") or str(number),
        {
            "type": _type(item),
            "title": said("title", "caseName", "nameOfAct", "subject", "title-short"),
            "summary": said("abstract", "abstractNote"),
            "language": said("language"),
            "jurisdiction": "" if "." in place else place,
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
                year=(declared.date(date) or "")[:4],
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
    """Return what is said of a date, be it one or not."""
    if not isinstance(issued, dict):
        return ""
    parts = issued.get("date-parts")
    if isinstance(parts, list) and parts and isinstance(parts[0], list):
        return "-".join(_words(part).zfill(2) for part in parts[0][:3])
    return _words(issued.get("raw")) or _words(issued.get("literal"))


def _authors(people: object) -> list[str]:
    names = []
    for person in people if isinstance(people, list) else []:
        if isinstance(person, dict):
            family = _words(person.get("family")) or _words(person.get("lastName"))
            given = _words(person.get("given")) or _words(person.get("firstName"))
            names.append(f"{family} {given[:1]}".strip() or _words(person.get("literal")) or _words(person.get("name")))
    return [name for name in names if name]
