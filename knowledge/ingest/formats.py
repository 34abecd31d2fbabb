"""Which format a file has, by what it begins with and then by its name; each is read by its own module."""

import re
from pathlib import PurePath
from typing import Final

from knowledge.ingest.bibtex import bibliography
from knowledge.ingest.csl import references
from knowledge.ingest.declared import document
from knowledge.ingest.draft import Block, Draft, Unfit
from knowledge.ingest.plain import decoded, first_line, markdown, paragraphs
from knowledge.ingest.table import table

SUFFIXES: Final = frozenset(
    (".bib", ".csv", ".docx", ".htm", ".html", ".json", ".markdown", ".md", ".pdf", ".text", ".tsv", ".txt", ".xhtml")
)
"""The suffixes of files that are looked for in a folder, in small letters."""

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


def drafts(name: str, data: bytes) -> list[Draft]:
    """Return what the content of a file of that name says.

    Raises:
        Unfit: it cannot be read; one sentence that does not name the file.
    """
    suffix, stem = PurePath(name).suffix.lower(), PurePath(name).stem
    if reason := next((reason for begins, reason in _FOREIGN if data.startswith(begins)), ""):
        raise Unfit(reason)
    if b"%PDF-" in data[:1024]:
        found = [document(*_pdf(data), stem)]
    elif data.startswith(b"PK"):
        found = [document(*_docx(data), stem)]
    elif suffix in {".pdf", ".docx", ".doc"}:
        raise Unfit(f"it is called {suffix}, but it is none.")
    else:
        found = _text(suffix, stem, decoded(data))
    if not any(draft.passages or draft.citation for draft in found):
        raise Unfit("there is no text in it.")
    return found


def _text(suffix: str, stem: str, text: str) -> list[Draft]:
    match suffix:
        case ".csv" | ".tsv":
            return table(text)
        case ".bib":
            return bibliography(text)
        case ".json":
            return references(text)
        case ".md" | ".markdown":
            return [document(*markdown(text), stem)]
        case ".htm" | ".html" | ".xhtml":
            return [document(*_page(text), stem)]
        case _ if _BEGINS_HTML.match(text):
            return [document(*_page(text), stem)]
        case _:
            blocks = paragraphs(text)
            return [document({"title": first_line(text)}, blocks, stem)]


# The three large parsers are imported when they are needed: a list of references does not wait for them.


def _pdf(data: bytes) -> tuple[dict[str, str], list[Block]]:
    from knowledge.ingest import pdf  # noqa: PLC0415

    return pdf.document(data)


def _docx(data: bytes) -> tuple[dict[str, str], list[Block]]:
    from knowledge.ingest import docx  # noqa: PLC0415

    return docx.document(data)


def _page(text: str) -> tuple[dict[str, str], list[Block]]:
    from knowledge.ingest import markup  # noqa: PLC0415

    return markup.page(text)
