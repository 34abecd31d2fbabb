"""Which format a file has, by what it begins with and then by its name; each is read by its own module."""

import re
from pathlib import PurePath
from typing import Final

from knowledge.ingest.bibtex import bibliography
from knowledge.ingest.csl import references
from knowledge.ingest.declared import document
from knowledge.ingest.draft import Block, Reading, Unfit
from knowledge.ingest.plain import decoded, first_line, markdown, paragraphs
from knowledge.ingest.table import table

_LISTS: Final = {".bib": bibliography, ".csv": table, ".json": references, ".tsv": table}

_FOREIGN: Final = (
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "it is an old or a protected Word file; save it as .docx without a password.",
    ),
    (b"{\\rtf", "it is rich text; save it as .docx."),
    (b"\x89PNG", "it is a picture; run OCR over it first."),
    (b"\xff\xd8\xff", "it is a picture; run OCR over it first."),
    (b"II*\0", "it is a picture; run OCR over it first."),
    (b"MM\0*", "it is a picture; run OCR over it first."),
    (b"GIF8", "it is a picture; run OCR over it first."),
)
_BEGINS_HTML = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)


def reading(name: str, data: bytes) -> Reading:
    """Return what the content of a file of that name says.

    Raises:
        Unfit: it cannot be read; one sentence that does not name the file.
    """
    suffix, stem = PurePath(name).suffix.lower(), PurePath(name).stem
    if reason := next((reason for begins, reason in _FOREIGN if data.startswith(begins)), ""):
        raise Unfit(reason)
    notes: tuple[str, ...] = ()
    if b"%PDF-" in data[:1024]:
        said, notes = _pdf(data)
    elif data.startswith(b"PK"):
        said = _docx(data)
    elif suffix in {".pdf", ".docx", ".doc"}:
        raise Unfit(f"it is called {suffix}, but it is none.")
    else:
        text = decoded(data)
        if suffix in _LISTS:
            return _LISTS[suffix](text)
        said = _text(suffix, text)
    draft = document(*said, stem)
    if not draft.passages:
        raise Unfit("there is no text in it.")
    return Reading((draft,), notes)


def _text(suffix: str, text: str) -> tuple[dict[str, str], list[Block]]:
    if suffix in {".md", ".markdown"}:
        return markdown(text)
    if suffix in {".htm", ".html", ".xhtml"} or _BEGINS_HTML.match(text):
        return _page(text)
    return {"title": first_line(text)}, paragraphs(text)


# The three large parsers are imported when they are needed: a list of references does not wait for them.


def _pdf(data: bytes) -> tuple[tuple[dict[str, str], list[Block]], tuple[str, ...]]:
    from knowledge.ingest import pdf  # noqa: PLC0415

    return pdf.document(data)


def _docx(data: bytes) -> tuple[dict[str, str], list[Block]]:
    from knowledge.ingest import docx  # noqa: PLC0415

    return docx.document(data)


def _page(text: str) -> tuple[dict[str, str], list[Block]]:
    from knowledge.ingest import markup  # noqa: PLC0415

    return markup.page(text)
