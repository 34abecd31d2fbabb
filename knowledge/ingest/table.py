"""CSV: a list of documents, a row for each, under names that say what the columns are."""

import csv
import io
from collections.abc import Mapping
from itertools import islice
from typing import Final

from knowledge.ingest import declared
from knowledge.ingest.draft import MOST_ENTRIES, Draft, Unfit, line
from knowledge.ingest.plain import paragraphs

COLUMNS: Final = ("title", "url", "citation", "date", "language", "kind", "jurisdiction", "summary", "text")
LONGEST_CELL: Final = 10_000_000
"""Characters."""


def table(text: str) -> list[Draft]:
    """Return a draft for each row; the first row names the columns, in any case and order, and only "title" must be.

    Commas, semicolons or tabs divide the cells, whichever the first row has.

    Raises:
        Unfit: a column is not known, or a row cannot be used; the sentence names the row, as spreadsheets count.
    """
    csv.field_size_limit(LONGEST_CELL)
    text = text.lstrip("\n")
    head = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
    number = 1
    drafts: list[Draft] = []
    try:
        columns = [line(name).lower() for name in next(reader, [])]
        _check(columns)
        for number, cells in enumerate(islice(reader, MOST_ENTRIES + 1), start=2):  # noqa: B007 - errors name it
            if any(map(str.strip, cells)):
                drafts.append(_row(columns, cells))
    except csv.Error as error:
        raise Unfit(f"row {number + 1} is broken: {error}.") from error
    except Unfit as unfit:
        raise Unfit(f"row {number}: {unfit}") from unfit
    if not 0 < len(drafts) <= MOST_ENTRIES:
        raise Unfit(f"there are more than {MOST_ENTRIES:,} rows; divide it." if drafts else "there are no rows in it.")
    return drafts


def _check(columns: list[str]) -> None:
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise Unfit(f"{unknown[0][:40]!r} is not a column that is known here; these are: {', '.join(COLUMNS)}.")
    if "title" not in columns or len(set(columns)) < len(columns):
        raise Unfit("it must name a column title, and no column twice.")


def _row(columns: list[str], cells: list[str]) -> Draft:
    if len(cells) != len(columns):
        raise Unfit(f"it has {len(cells)} cells, but there are {len(columns)} columns.")
    row = dict(zip(columns, cells, strict=True))
    if not line(row["title"]):
        raise Unfit("it has no title.")
    _sound(row)
    return declared.entry(row, paragraphs(row.get("text", "")))


def _kind(said: str) -> str | None:
    return said if said in declared.KINDS or not said else None


def _sound(row: Mapping[str, str]) -> None:
    """Refuse what would otherwise be guessed: whoever fills in a column means what stands there."""
    readers = {
        "date": (declared.date, "is no date; write YYYY, YYYY-MM or YYYY-MM-DD"),
        "url": (declared.url, "is no http or https address"),
        "language": (declared.language_code, "is no language; write two letters"),
        "jurisdiction": (declared.jurisdiction, "is no jurisdiction; write two to four letters"),
        "kind": (_kind, f"is no kind; these are: {', '.join(sorted(declared.KINDS))}"),
    }
    for name, (read, reason) in readers.items():
        said = line(row.get(name, ""))
        if read(said) is None:
            raise Unfit(f"{said[:40]!r} {reason}.")
