"""PDF: which words are on a page and where they stand, by pdfium; how they are read is for `layout` to say."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from math import pi

import pypdfium2
from pypdfium2 import raw

from knowledge.ingest.draft import Block, Unfit, line
from knowledge.ingest.layout import SOFT, Word, lines, paragraphs

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""

FEWEST = 40
"""Characters; a page with fewer is taken for a picture."""

_HYPHENS = "\ufffe\x02"
"""What pdfium puts where a word is divided."""

_RUN = re.compile(f"[^\\s\\x00{_HYPHENS}]+")
_NO_TITLE = re.compile(
    r"untitled.*|microsoft (?:word|powerpoint).*|.*\.(?:docx?|pdf|indd|rtf|odt|tex|dvi)|(?:document|layout)\s?\d*",
    re.IGNORECASE,
)


def document(data: bytes) -> tuple[tuple[dict[str, str], list[Block]], tuple[str, ...]]:
    """Return what a PDF declares of itself (title) and its text, without running titles and page numbers.

    Beside both stands a note of the pages that have no text, if there are any.

    Raises:
        Unfit: it is damaged, needs a password, or most of its pages are pictures.
    """
    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == raw.FPDF_ERR_PASSWORD:
            raise Unfit("it needs a password; save it without one first.") from error
        raise Unfit("it is damaged, or no PDF.") from error
    with closing(pdf):
        pages, pictures, unread = [], 0, []
        for number in range(len(pdf)):
            words = list(_words(pdf, number))
            if sum(len(word.text) for word in words) < FEWEST:
                pictures += 1
                # A short page that only has text, such as that of a title, is read.
                unread += [number + 1] * (not words or _has_picture(pdf, number))
            pages.append(lines(words))
        title = line(pdf.get_metadata_value("Title"))
    if not pages:
        raise Unfit("it has no pages.")
    if pictures > len(pages) / 2:
        raise Unfit("its pages are pictures; run OCR over it first.")
    declared = {"title": "" if _NO_TITLE.fullmatch(title) else title}
    return (declared, paragraphs(pages)), _note(unread)


def _note(unread: Sequence[int]) -> tuple[str, ...]:
    """Return what is told of pages without text: "pages 3, 5–7 have no text"."""
    if not unread:
        return ()
    if len(unread) == 1:
        return (f"page {unread[0]} has no text",)
    runs = [[unread[0]]]
    for before, page in pairwise(unread):
        if page > before + 1:
            runs.append([])
        runs[-1].append(page)
    named = ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
    return (f"pages {named} have no text",)


def _has_picture(pdf: pypdfium2.PdfDocument, number: int) -> bool:
    with closing(pdf[number]) as page:
        return next(page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=5), None) is not None


def _words(pdf: pypdfium2.PdfDocument, number: int) -> Iterator[Word]:
    try:
        page = pdf[number]
        text = page.get_textpage()
    except pypdfium2.PdfiumError as error:
        raise Unfit(f"its page {number + 1} is damaged.") from error
    with closing(page), closing(text):
        # Not by the text of the page: it leaves characters out, and then their numbers are others.
        characters = "".join(chr(raw.FPDFText_GetUnicode(text, index)) for index in range(text.count_chars()))
        runs = list(_RUN.finditer(characters))
        turns = Counter(_quarters(text, run.start()) for run in runs[:: max(1, len(runs) // 20)])
        quarters = turns.most_common(1)[0][0] if turns else 0
        paper = page.get_cropbox()
        for run in runs:
            first, last = _box(text, run.start()), _box(text, run.end() - 1)
            # What stands beside the paper is seen by nobody who looks at the page.
            if _meet(first, paper) or _meet(last, paper):
                left, bottom, _, top = _turned(first, quarters)
                divided = characters[run.end() : run.end() + 1] in tuple(_HYPHENS)
                yield Word(run[0] + SOFT * divided, left, _turned(last, quarters)[2], bottom, top)


def _quarters(text: pypdfium2.PdfTextPage, index: int) -> int:
    angle: float = raw.FPDFText_GetCharAngle(text, index)
    return -round(angle / (pi / 2)) % 4  # pdfium counts clockwise


def _box(text: pypdfium2.PdfTextPage, index: int) -> Box:
    box = raw.FS_RECTF()
    raw.FPDFText_GetLooseCharBox(text, index, box)
    return box.left, box.bottom, box.right, box.top


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _turned(box: Box, quarters: int) -> Box:
    """Return where a box is once the page is turned so that it can be read."""
    left, bottom, right, top = box
    for _ in range(quarters):
        left, bottom, right, top = bottom, -right, top, -left
    return left, bottom, right, top
