"""What files declare of a document: in which form it is kept, and what is guessed where nothing is said."""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, get_args

from knowledge.ingest.draft import Block, Draft, digest, line
from knowledge.ingest.language import language
from knowledge.ingest.passages import numbers_part, passages
from knowledge.schema import Kind

UNKNOWN_PLACE: Final = "INT"
LONGEST_TITLE, LONGEST_SUMMARY, LONGEST_CITATION = 300, 2_000, 500
"""Characters that are kept."""

LONGEST_SAID, MOST_NAMED = 40, 10
"""Characters that are quoted of what cannot be understood; how many entries are named."""

KINDS: Final = frozenset(get_args(Kind))
UNKNOWN_KIND: Final = "report"

_KIND_WORDS: Final = (
    ("case", r"\bv\.?\s|\bjudgments?\b|\bcase of\b|\bрішення у справі\b|\bдело\b"),
    # "Against torture" stands in the names of conventions and laws.
    ("case", r"^(?!.*(?:конвенц|канвенц|пакт|протокол|закон|кодекс)).*\b(?:проти|против|супраць)\b"),
    (
        "treaty",
        r"\b(?:conventions?|covenant|treaty|protocol|protocolul|пакт|протокол|договор|статут)\b|конвенц|канвенц",
    ),
    ("treaty", r"კონვენცი|կոնվենցիա|\bsözleşmesi\b|\bkonvensiya"),
    ("regulation", r"\b(?:regulations?|directive|decree|постанова|постановление|указ|наказ|приказ|пастанова)\b"),
    ("regulation", r"დადგენილებ|ბრძანებულებ|հրամանագիր|\bқаулы|\bжарлы|\byönetmeli|\bkararname|\bfərman|\bhotărâre"),
    ("statute", r"\b(?:acts?|laws? (?:on|of)|constitution|code|lege|legea|codul|constituția)\b|\bqanun|\bməcəllə"),
    ("statute", r"\bзакон|\bкод[еэ]кс|\bконститу|\bканстыту|\bзаң|\bkonstitusiya|\bkanun|\byasası\b|\banayasa"),
    ("statute", r"კანონი|კოდექსი|კონსტიტუცია|օրենք|օրենսգիրք|սահմանադրությ"),
    ("guide", r"\b(?:guides?|handbook|manual|toolkit|guidelines|ghid)\b|посібник|пособие|руководств|настанов|довідник"),
    ("form", r"\b(?:forms?|template|зразок|образец)\b|\bбланк|\bформуляр"),
)
"""What the titles of each kind speak of; the first that is found counts."""

_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "jan january январь января січень січня",
            "feb february февраль февраля лютий лютого",
            "mar march март марта березень березня",
            "apr april апрель апреля квітень квітня",
            "may май мая травень травня",
            "jun june июнь июня червень червня",
            "jul july июль июля липень липня",
            "aug august август августа серпень серпня",
            "sep sept september сентябрь сентября вересень вересня",
            "oct october октябрь октября жовтень жовтня",
            "nov november ноябрь ноября листопад листопада",
            "dec december декабрь декабря грудень грудня",
        ),
        start=1,
    )
    for name in names.split()
}

_LANGUAGE_NAMES: Final = {
    "english": "en", "american": "en", "british": "en", "russian": "ru", "ukrainian": "uk", "georgian": "ka",
    "armenian": "hy", "kazakh": "kk", "azerbaijani": "az", "romanian": "ro", "belarusian": "be", "french": "fr",
    "german": "de", "ngerman": "de", "spanish": "es", "polish": "pl", "turkish": "tr", "eng": "en", "rus": "ru",
    "ukr": "uk", "английский": "en", "русский": "ru", "англійська": "en", "українська": "uk",
}  # fmt: skip
"""What Zotero and LaTeX call languages."""

_DATES: Final = (
    re.compile(r"(?P<y>\d{4})(?:[-/.](?P<m>\d{1,2})(?:[-/.](?P<d>\d{1,2}))?)?(?:[t ]\d{2}:\d{2}.*)?"),
    re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})"),
    re.compile(r"(?:(?P<d>\d{1,2})\.?(?:st|nd|rd|th)? )?(?P<m>[^\W\d_]+)\.?,? (?P<y>\d{4})(?: ?(?:г|р|года|року)\.?)?"),
    re.compile(r"(?P<m>[^\W\d_]+)\.? (?P<d>\d{1,2})(?:st|nd|rd|th)?,? (?P<y>\d{4})"),
)


def date(said: str) -> str | None:
    """Return a date as YYYY, YYYY-MM or YYYY-MM-DD, "" if nothing is said, or None if what is said is no date.

    "3/5/2020" is none: nobody knows which of the two is the month.
    """
    said = line(said).lower()
    if not said:
        return ""
    for form in _DATES:
        if not (found := form.fullmatch(said)):
            continue
        parts = found.groupdict()
        month = _MONTHS.get(parts["m"] or "", parts["m"])
        try:
            day = dt.date(int(parts["y"]), int(month or 1), int(parts["d"] or 1))
        except ValueError:
            continue
        return day.isoformat()[: 10 if parts["d"] else 7 if parts["m"] else 4]
    return None


def url(said: str) -> str | None:
    """Return an http or https address, "" if nothing is said, or None if what is said is none."""
    said = said.strip()
    return said if not said or re.fullmatch(r"https?://[^\s<>\"]{3,2000}", said) else None


def jurisdiction(said: str) -> str | None:
    """Return two to four capital letters, "" if nothing is said, or None if what is said is no such code."""
    said = said.strip().upper()
    return said if not said or re.fullmatch(r"[A-Z]{2,4}", said) else None


def languages() -> frozenset[str]:
    """Return the codes of the languages that have a name here."""
    return frozenset(_LANGUAGE_NAMES.values())


def language_code(said: str) -> str | None:
    """Return two small letters for "uk", "uk-UA" or "UK"; "" if nothing is said, None if what is said is no code."""
    said = _LANGUAGE_NAMES.get(said.strip().lower(), said.strip().lower())
    return said[:2] if re.fullmatch(r"[a-z]{2}(?:[-_][a-z0-9]+)*", said) else None if said else ""


def kind_of(title: str) -> str:
    """Return the kind that a title speaks of, or "report"."""
    return next((kind for kind, words in _KIND_WORDS if re.search(words, title.casefold())), UNKNOWN_KIND)


def document(declared: Mapping[str, str], blocks: Iterable[Block], name: str) -> Draft:
    """Return the draft of a file that is one document.

    What is declared counts where it can be understood; the rest is guessed from the text. A file without a title
    gets that of its first highest heading that is no article's, or its own name.

    Raises:
        Unfit: it has more words than are kept of one file.
    """
    blocks = list(blocks)
    said = [block.text for block in blocks]
    own = line(declared.get("title", "") or _title(blocks))
    title = (own or line(name))[:LONGEST_TITLE]
    kind = declared.get("kind", "").strip().lower()
    place, tongue = declared.get("jurisdiction", ""), language_code(declared.get("language", ""))
    known = {
        "title": own,
        "jurisdiction": jurisdiction(place),
        "kind": kind if kind in KINDS else "",
        "language": tongue,
    }
    return Draft(
        title=title,
        kind=known["kind"] or kind_of(title),
        jurisdiction=known["jurisdiction"] or UNKNOWN_PLACE,
        language=known["language"] or language(" ".join(said).strip() or title),
        date=date(declared.get("date", "")) or "",
        citation=line(declared.get("citation", ""))[:LONGEST_CITATION],
        url=url(declared.get("url", "")) or "",
        summary=line(declared.get("summary", ""))[:LONGEST_SUMMARY],
        passages=passages(blocks, title),
        digest=digest(said),
        guessed=tuple(fact for fact, said in known.items() if not said),
        place=line(place)[:LONGEST_SAID] if known["jurisdiction"] is None else "",
        notes=tuple(_not_understood(declared)),
    )


def _not_understood(declared: Mapping[str, str]) -> Iterator[str]:
    readers: tuple[tuple[str, Callable[[str], str | None], str], ...] = (
        ("date", date, "no date"),
        ("url", url, "no http or https address"),
        ("language", language_code, "no language"),
        ("kind", lambda said: said if said.strip().lower() in KINDS or not said else None, "no kind"),
    )
    for name, read, what in readers:
        if read(said := declared.get(name, "")) is None:
            yield f"{line(said)[:LONGEST_SAID]!r} is {what}"


def entry(declared: Mapping[str, str], text: Iterable[Block], where: str) -> Draft:
    """Return the draft of one entry of a list: its text is what the list holds of it, or else its summary.

    `where` tells which entry it is ("row 2").

    Raises:
        Unfit: it has more words than are kept of one file.
    """
    blocks = list(text) or [Block(declared.get("summary", ""))]
    draft = document(declared, blocks, declared["title"])
    # Of two entries without a text it is the fields that tell whether they are the same.
    fields = (draft.title, draft.kind, draft.jurisdiction, draft.date, draft.citation, draft.url, draft.summary)
    return replace(draft, where=where, digest=digest((*fields, *(block.text for block in blocks))))


def untitled(where: Sequence[str]) -> tuple[str, ...]:
    """Return the note that names the entries of a list that are left out because they have no title."""
    if not where:
        return ()
    more = f" and {len(where) - MOST_NAMED} more" if len(where) > MOST_NAMED else ""
    return (f"left out, without a title: {', '.join(where[:MOST_NAMED])}{more}",)


def _title(blocks: Iterable[Block]) -> str:
    headings = [
        block
        for block in blocks
        if block.level > 0 and len(block.text) <= LONGEST_TITLE and not numbers_part(block.text)
    ]
    return min(headings, key=lambda block: block.level).text if headings else ""
