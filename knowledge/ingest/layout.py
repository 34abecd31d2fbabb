"""Printed pages: in which order the words of a page are read, and where paragraphs and headings are.

A PDF knows only where each word stands. Words that follow one another on one height are a run; runs to both sides of
a gutter are columns; lines that follow at the usual distance are a paragraph; what is set larger is a heading.
Lengths are in points, heights are counted from the foot of the page.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median

from knowledge.ingest.draft import Block, line
from knowledge.ingest.passages import begins_part, numbers_part, pauses

SOFT = "\u00ad"
"""Stands at the end of a word that is divided, or was joined with a hyphen."""

LARGER, SMALLER = 1.12, 0.9
"""Against the size of the running text: from where a line is a heading, and up to where it is a note."""

EDGE = 2
"""Lines at the head and at the foot of a page among which running titles are looked for."""

FEWEST_LINES, NARROWEST, MOST_CROSSING = 3, 15, 0.2
"""What a column has at least: lines, characters in its usual line; and the share of lines that may cross a gutter."""

_ENDS = tuple(".!?:;…։")
_OPENS = re.compile(r"(?:^|[.!?:;…։]\s)(?:\(\d{1,3}\)|\d{1,3}[.)])$")
"""The end of a line with which nothing ends: the number of what the next line says."""

_DIGITS = re.compile(r"\d{1,9}")
_PAGE_NUMBER = re.compile(
    r"[\s\-–—|\[(]*(?:(?:page|p|стор(?:інка)?|с(?:тр)?)\b\.?)?\s*(?:\d{1,4}|[ivxlc]{1,7})"
    r"(?:\s*(?:/|of|из|з|із)\s*\d{1,4})?[\s\-–—|\])]*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Word:
    """A word and the box of its font, which is equally high for all letters."""

    text: str
    left: float
    right: float
    bottom: float
    top: float

    @property
    def size(self) -> float:
        """The height of its font."""
        return self.top - self.bottom


@dataclass(frozen=True, slots=True)
class Line:
    """A printed line in its column, which reaches from `start` to `end`."""

    text: str
    left: float
    right: float
    bottom: float
    size: float
    start: float = 0
    end: float = 0


def lines(words: Sequence[Word]) -> list[Line]:
    """Return the lines of a page in the order in which they are read, column by column."""
    return list(_columns([_line(run) for run in _runs(words)]))


def paragraphs(pages: Sequence[Sequence[Line]]) -> list[Block]:
    """Return the paragraphs and headings of these pages, without running titles, page numbers and divided words."""
    kept = _without_running_titles(pages)
    usual = _usual(kept)
    sizes = {each.size for page in kept for each in page}
    levels: dict[float, int] = {}
    before, level = float("inf"), 0
    for size in sorted((size for size in sizes if size > usual * LARGER), reverse=True):
        # Two fonts of one size are not equally high.
        if size < before * 0.95:
            before, level = size, min(level + 1, 6)
        levels[size] = level
    known = {word for page in kept for each in page for word in each.text.casefold().split()}
    blocks = []
    for held in _held_together(kept, usual):
        texts = [each.text for _, each in held]
        text = line(_joined(texts, known))
        turns = tuple(
            (len(line(_joined(texts[:at], known)).split()), page)
            for at, ((before, _), (page, _)) in enumerate(pairwise(held), start=1)
            if page != before
        )
        # What begins with a small letter goes on from somewhere: it is set larger, but it is no heading.
        level = 0 if text[:1].islower() else levels.get(held[0][1].size, 0)
        blocks.append(Block(text, level, held[0][0], turns))
    return blocks


def _runs(words: Sequence[Word]) -> Iterator[list[Word]]:
    run: list[Word] = []
    for word in words:
        if run and not _goes_on(run[-1], word):
            yield run
            run = []
        run.append(word)
    if run:
        yield run


def _goes_on(last: Word, word: Word) -> bool:
    overlap = min(last.top, word.top) - max(last.bottom, word.bottom)
    gap = word.left - last.right
    return overlap > min(last.size, word.size) / 2 and -last.size / 2 < gap < 0.8 * max(last.size, word.size)


def _line(run: Sequence[Word]) -> Line:
    text = run[0].text
    for last, word in pairwise(run):
        # A hyphen inside of a line divides nothing.
        if text.endswith(SOFT):
            text = f"{text[:-1]}-"
        elif word.left - last.right > last.size / 20:
            text += " "
        text += word.text
    # The height of most letters: a word in another font is often higher or lower than its line.
    heights: Counter[tuple[float, float]] = Counter()
    for word in run:
        heights[round(word.bottom, 1), round(word.size, 1)] += len(word.text)
    bottom, size = heights.most_common(1)[0][0]
    return Line(text, run[0].left, run[-1].right, bottom, size)


def _columns(runs: list[Line]) -> Iterator[Line]:
    """Yield runs in reading order: above and below what crosses the gutter, first the left side, then the right."""
    gutter = _gutter(runs)
    if gutter is None:
        yield from _rows(runs)
        return
    left: list[Line] = []
    right: list[Line] = []
    for run in sorted(runs, key=lambda run: -run.bottom):
        if run.right <= gutter:
            left.append(run)
        elif run.left >= gutter:
            right.append(run)
        else:
            yield from (*_columns(left), *_columns(right), *_rows([run]))
            left, right = [], []
    yield from (*_columns(left), *_columns(right))


def _gutter(runs: Sequence[Line]) -> float | None:
    """Return where the page is divided, if two columns of prose stand beside each other; tables are not prose."""
    if len(runs) < 2 * FEWEST_LINES:
        return None
    start, end = min(run.left for run in runs), max(run.right for run in runs)
    begins = Counter(int(run.left) for run in runs)
    ends = Counter(int(run.right) + 1 for run in runs)
    over = dict(
        zip(steps := range(int(start), int(end)), accumulate(begins[at] - ends[at] for at in steps), strict=True)
    )
    middle = [at for at in steps if start + (end - start) / 4 < at < end - (end - start) / 4]
    if not middle:
        return None
    fewest = min(over[at] for at in middle)
    free = [at for at in middle if over[at] == fewest]
    gutter = free[len(free) // 2]
    sides = ([run for run in runs if run.right <= gutter], [run for run in runs if run.left >= gutter])
    divided = min(map(len, sides)) >= FEWEST_LINES and fewest <= MOST_CROSSING * len(runs)
    return gutter if divided and all(median(len(run.text) for run in side) >= NARROWEST for side in sides) else None


def _rows(runs: Sequence[Line]) -> Iterator[Line]:
    """Yield lines from top to bottom; runs on one height are one line, however far they are from each other."""
    if not runs:
        return
    start, end = min(run.left for run in runs), max(run.right for run in runs)
    rows: list[list[Line]] = []
    for run in sorted(runs, key=lambda run: -run.bottom):
        if rows and rows[-1][0].bottom - run.bottom < min(run.size, rows[-1][0].size) / 2:
            rows[-1].append(run)
        else:
            rows.append([run])
    for row in rows:
        row.sort(key=lambda run: run.left)
        longest = max(row, key=lambda run: len(run.text))
        text = " ".join(run.text.replace(SOFT, "-") for run in row[:-1]) + f" {row[-1].text}"
        yield Line(text.strip(), row[0].left, row[-1].right, longest.bottom, longest.size, start, end)


def _without_running_titles(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Leave out what stands in the same place of several pages, but for the page's number, and the numbers of pages."""
    usual = _usual(pages)
    seen: defaultdict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    for number, page in enumerate(pages):
        for each in _edges(page, EDGE):
            seen[_title(each)][number] = each.text.casefold()
    same = Counter((title, text) for title, texts in seen.items() for text in texts.values())
    growing = {title for title, texts in seen.items() if _grow(texts)}

    def times(printed: Line) -> int:
        # The heading of an article or an entry has a number of its own, even if there is one on each page.
        title, text = _title(printed), printed.text
        heads = numbers_part(text) or begins_part(text) or printed.size > usual * LARGER
        return len(seen[title]) if title in growing and not heads else same[title, text.casefold()]

    announced = " ".join(each.text for page in pages[:1] for each in page if each.size > usual * LARGER).casefold()
    kept = []
    for number, page in enumerate(pages):
        titles = {each for each in _edges(page, EDGE) if times(each) > 2}
        titles |= {each for each in _edges(page, 1) if times(each) > 1}
        if number and page:
            # What the first page announces in large letters stands small above the others.
            head = max(page, key=_height)
            small = head.size <= usual * LARGER and len(head.text.split()) > 1
            titles |= {head} if small and head.text.casefold() in announced else set()
        rest = [each for each in page if each not in titles]
        outermost = {min(rest, key=_height), max(rest, key=_height)} if rest else set()
        kept.append([each for each in rest if each not in outermost or not _PAGE_NUMBER.fullmatch(each.text)])
    return kept


def _grow(texts: Mapping[int, str]) -> bool:
    """Tell whether one of the numbers in texts that are alike but for their numbers mostly grows as their pages do."""
    numbers = [(page, [int(each) for each in _DIGITS.findall(text)]) for page, text in texts.items()]
    steps = [after - before for (before, _), (after, _) in pairwise(numbers)]
    return any(
        2 * sum(after - before == step for (before, after), step in zip(pairwise(column), steps, strict=True))
        >= len(steps)
        for column in zip(*(found for _, found in numbers), strict=True)
    )


def _usual(pages: Sequence[Sequence[Line]]) -> float:
    """Return the size in which most is set."""
    sizes: Counter[float] = Counter()
    for each in (each for page in pages for each in page):
        sizes[each.size] += len(each.text)
    return sizes.most_common(1)[0][0] if sizes else 1.0


def _edges(page: Sequence[Line], number: int) -> set[Line]:
    ordered = sorted(page, key=_height)
    return {*ordered[:number], *ordered[-number:]}


def _height(printed: Line) -> float:
    return printed.bottom


def _title(printed: Line) -> tuple[str, int]:
    return _DIGITS.sub("\0", printed.text.casefold()), round(printed.bottom / 4)


def _held_together(pages: Sequence[Sequence[Line]], usual: float) -> Iterator[list[tuple[int, Line]]]:
    """Yield the lines of each paragraph with the numbers of their pages; notes after what they interrupt."""
    held: list[tuple[int, Line]] = []
    notes: list[list[tuple[int, Line]]] = []
    for number, page in enumerate(pages, start=1):
        pitch = _pitch(page)
        body, foot = _without_notes(page, usual)
        for each in body:
            if held and _continues(held[-1][1], each, pitch):
                held.append((number, each))
                continue
            if held:
                yield held
            yield from notes
            notes = []
            held = [(number, each)]
        for each in foot:
            if notes and notes[-1][0][0] == number and _continues(notes[-1][-1][1], each, pitch):
                notes[-1].append((number, each))
            else:
                notes.append([(number, each)])
    if held:
        yield held
    yield from notes


def _without_notes(page: Sequence[Line], usual: float) -> tuple[Sequence[Line], Sequence[Line]]:
    body = len(page)
    while body and page[body - 1].size < usual * SMALLER:
        body -= 1
    return page[:body], page[body:]


def _pitch(page: Sequence[Line]) -> float:
    """Return the usual distance between two lines; a paragraph begins where it is greater."""
    steps = [
        above.bottom - below.bottom
        for above, below in pairwise(page)
        if 0 < above.bottom - below.bottom < 3 * above.size
    ]
    return median(steps) if steps else 0


def _continues(above: Line, below: Line, pitch: float) -> bool:
    step = above.bottom - below.bottom
    ended = above.text.endswith(_ENDS) and not _OPENS.search(above.text)
    short = above.right < above.end - (above.end - above.start) / 5
    if begins_part(below.text) and (pauses(above.text) or short):
        return False
    if abs(above.size - below.size) > above.size / 10 and (ended or not below.text[:1].islower()):
        return False
    if step <= 0 or step > 3 * above.size or (above.start, above.end) != (below.start, below.end):
        # Another column, another page, or a picture between them.
        return not ended and above.right > above.end - (above.end - above.start) / 4
    indented = below.left - above.left > below.size / 2 and not begins_part(above.text)
    return step < 1.35 * pitch and not indented and not (ended and short)


def _joined(texts: Sequence[str], known: set[str]) -> str:
    """Join lines; a word that was divided is whole again, unless the document writes it with its hyphen elsewhere."""
    text = texts[0]
    for following in texts[1:]:
        first = following.split(maxsplit=1)[0] if following.strip() else ""
        if text.endswith((SOFT, "-", "\u2010")) and len(text) > 1 and text[-2].isalpha() and first[:1].isalpha():
            stem = text[:-1]
            part = stem.split()[-1]
            compound = f"{part}-{first}".casefold() in known and f"{part}{first}".casefold() not in known
            text = f"{stem}-{following}" if compound or not first[0].islower() else stem + following
        elif text.endswith((SOFT, "-")) and first[:1].isalnum():
            text = f"{text[:-1]}-{following}"
        else:
            text = f"{text} {following}"
    return text.replace(SOFT, "")
