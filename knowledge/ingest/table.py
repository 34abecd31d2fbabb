"""CSV: a list of documents, a row for each, under names that say what the columns are."""

import csv
import io
from collections.abc import Mapping
from itertools import islice
from typing import Final

from knowledge.ingest import declared
from knowledge.ingest.draft import MOST_ENTRIES, Draft, Reading, Unfit, line
from knowledge.ingest.plain import paragraphs

COLUMNS: Final = ("title", "url", "citation", "date", "language", "kind", "jurisdiction", "summary", "text")
LONGEST_CELL: Final = 10_000_000
"""Characters."""


def table(text: str) -> Reading:
    """Return a draft for each row; the first row names the columns, in any case and order, and only "title" must be.

    Commas, semicolons or tabs divide the cells, whichever the first row has. A row without a title is left out, and the
    reading notes which.

    Raises:
        Unfit: a column is not known, or a row cannot be used; the sentence names the row, as spreadsheets count.
    """
    csv.field_size_limit(LONGEST_CELL)
    text = text.lstrip("\n")
    head = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
    number = 1
    drafts: list[Draft] = []
    untitled: list[str] = []
    try:
        columns = [line(name).lower() for name in next(reader, [])]
        _check(columns)
        for number, cells in enumerate(islice(reader, MOST_ENTRIES + 1), start=2):
            if not any(map(str.strip, cells)):
                continue
            row = _row(columns, cells)
            if line(row["title"]):
                drafts.append(declared.entry(row, paragraphs(row.get("text", "")), f"row {number}"))
            else:
                untitled.append(f"row {number}")
    except csv.Error as error:
        raise Unfit(f"row {number + 1} is broken: {error}.") from error
    except Unfit as unfit:
        raise Unfit(f"row {number}: {unfit}") from unfit
    if len(drafts) + len(untitled) > MOST_ENTRIES:
        raise Unfit(f"there are more than {MOST_ENTRIES:,} rows; divide it.")
    if not drafts:
        raise Unfit("none of its rows has a title." if untitled else "there are no rows in it.")
    return Reading(tuple(drafts), declared.untitled(untitled))


def _check(columns: list[str]) -> None:
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise Unfit(f"{unknown[0][:40]!r} is not a column that is known here; these are: {', '.join(COLUMNS)}.")
    if "title" not in columns or len(set(columns)) < len(columns):
        raise Unfit("it must name a column title, and no column twice.")


def _row(columns: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(columns):
        raise Unfit(f"it has {len(cells)} cells, but there are {len(columns)} columns.")
    row = dict(zip(columns, cells, strict=True))
    _sound(row)
    return row


def _kind(said: str) -> str | None:
    return said if said in declared.KINDS or not said else None


def _sound(row: Mapping[str, str]) -> None:
    """Refuse what would otherwise be guessed: whoever fills in a column means what stands there."""
    readers = {
        "date": (declared.date, "is no date; write YYYY, YYYY-MM or YYYY-MM-DD"),
        "url": (declared.url, "is no http or https address"),
        "language": (declared.language_code, "is no language; write two letters"),
        "kind": (_kind, f"is no kind; these are: {', '.join(sorted(declared.KINDS))}"),
    }
    for name, (read, reason) in readers.items():
        said = line(row.get(name, ""))
        if read(said) is None:
            raise Unfit(f"{said[:40]!r} {reason}.")
