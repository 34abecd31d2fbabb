"""Where a document is cut: by its own structure first, then between sentences.

A heading, an article and a numbered paragraph begin a passage, also where several of them stand on one line. A new page
begins one too, unless too little would stand alone. What is longer than a passage is divided where a sentence ends;
what has no sentences is divided anyhow, so that no passage is ever longer than LONGEST words.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from knowledge.ingest.draft import MOST_WORDS, Block, Unfit
from knowledge.passage import Passage

USUAL, LONGEST, SHORT = 130, 200, 40
"""Words: where a passage ends, what it never exceeds, and what is too little to stand alone."""

LONGEST_HEADING = 30
"""Words; what is longer is a paragraph, whatever it looks like."""

LONGEST_WORD = 300
"""Characters; what is longer is no word, and is cut, so that the size of a passage is bounded too."""

CAPITALS_LEVEL, ARTICLE_LEVEL = 7, 9
"""The levels of a line in capitals and of an article's heading: below every heading that a format knows."""

_ARTICLE = re.compile(
    r"(?P<label>(?:Article|Art\.|Artikel|Section|Sec\.|Rule|Стаття|Статья|Ст\.|Артыкул|Арт\.|Правило|Правіла|Articolul|"
    r"Articol|Secțiunea|Maddə|Madde|Modda|Моддаи?|Հոդված|Հոդ\.|მუხლი)\s+№?\s*"
    r"(?:\d\w*(?:[\-\u2011]\w+)*(?:\.\d+)*|[IVXLC]+\b)"
    r"|\d+(?:-\d+)?[\-\u2011–](?:бап|бабы|берене|беренеси|modda|модда|(?:c[iıuü] )?maddə)\b"
    r"|§\s?\d[\w\-]*(?:\.\d+)*)\s*(?P<after>.?)",
    re.IGNORECASE,
)
_AFTER_LABEL = ".․:–—-("
"""What stands after the number of an article that begins there; Armenian has a full stop of its own."""

_NUMBERED = re.compile(r"(?:\((?P<in>\d{1,3})\)|(?P<out>\d{1,3})(?P<mark>[.)]))\s+(?=\S)")
_GOES_ON = re.compile(r"""(?<=[.;:!?…։»”"’)\]])\s+(?=(?:\(\d{1,3}\)|\d{1,3}[.)])\s+["«“„(\[]?[^\W\d_])""")
"""Where inside of a paragraph the next number may stand."""

_PART = re.compile(
    r"(?:entry|item|no\.|case|applicant|chapter|part|title|annex|appendix|schedule|principle|guideline|exhibit|form|table|"
    r"запис|запись|пункт|глава|часть|частина|частка|раздел|розділ|раздзел|приложение|додаток|дадатак|дело|справа|таблиц.|"
    r"принцип|capitolul|partea|titlul|anexa|fəsil|bölmə|hissə|əlavə|bölüm|kısım|тарау|бөлім|қосымша|თავი|კარი|ნაწილი|"
    r"დანართი|գլուխ|բաժին|մաս|հավելված|№)\s*(?:№|no\.)?\s*\d",
    re.IGNORECASE,
)
_ITEM = re.compile(r"(?:[•●▪◦–—\-*+]|\((?:\w|[ivx]{2,4})\)|(?:\w|[ivx]{2,4})\)|[ivx]{2,4}\.)\s+(?=\S)")
_PAUSES = re.compile(r"(?:[.;:,!?…։]|\b(?:and|or|and/or|та|і|або|и|или|şi|și|sau))$")
_SENTENCE = re.compile(r"""[.!?…։]["»”’)\]]*\s+(?=["«“„(\[]?[^\W_a-zа-яёіїєґўәғқңөұүһա-ֆ])""")
_ABBREVIATION = re.compile(
    r"\b(?:\w|no|nos|nr|abs|art|arts|para|paras|pp|cf|vs|mr|mrs|ms|dr|prof|vol|ed|eds|inc|ltd|co|ст|стст|пп|гг|рр|см|див|"
    r"ред|ул|вул|им|ім|проф|т\.\s?[дпек])$",
    re.IGNORECASE,
)


class _Sentence(NamedTuple):
    """A sentence, what stands before it in its text, and its first and its last page."""

    before: str
    text: str
    first: int
    last: int


@dataclass(slots=True)
class _Stand:
    """Where in a document the reading stands."""

    title: str
    headings: list[tuple[int, str]] = field(default_factory=list)
    article: str = ""
    number: int = 0
    numbers: dict[str, int] = field(default_factory=dict)
    """The last number with each mark: "1)" inside of "1." is an enumeration, and after it comes "2."."""
    anew: bool = True
    """Whether no number has come since the last heading or article: numbers may then begin at 1 again."""

    def heading(self) -> str:
        """Return the path of headings; the document's own title says nothing in it."""
        return " › ".join(text for _, text in self.headings if text.casefold() != self.title.casefold())

    def leave(self, level: int) -> None:
        """Leave all headings that are not above this level."""
        while self.headings and self.headings[-1][0] >= level:
            self.headings.pop()

    def enter(self, level: int, text: str) -> None:
        self.leave(level)
        self.headings.append((level, text))
        self.anew = True
        if label := _article(text):
            self._enter_article(label)
        elif level < ARTICLE_LEVEL:
            self.article = ""

    def begins(self, text: str) -> bool:
        """Tell whether a paragraph begins a part of its own, and remember which."""
        label = _article(text)
        if label:
            self.leave(ARTICLE_LEVEL)
            self._enter_article(label)
        if numbered := _number(text):
            number, mark = numbered
            if self._follows(number, mark):
                self.number = self.numbers[mark] = number
                self.anew = False
                return True
        return bool(label)

    def part(self) -> str:
        """Return where a paragraph stands that begins here, but for its page."""
        paragraph = "" if self.anew or not self.number else f"§ {self.number}"
        return f"{self.article} {paragraph}".strip()

    def _enter_article(self, label: str) -> None:
        self.article, self.number, self.anew = label, 0, True
        self.numbers.clear()

    def _follows(self, number: int, mark: str) -> bool:
        # An enumeration inside of a numbered paragraph begins at 1 without a heading: that is no place.
        last = self.numbers.get(mark, 0)
        return (self.anew and (number == 1 or not self.number)) or 0 < last < number <= last + 3


def passages(blocks: Iterable[Block], title: str = "") -> tuple[Passage, ...]:
    """Cut blocks into passages, in order; none crosses a heading, and every word of every paragraph is in one.

    A heading without a text under it becomes a passage itself, so that nothing is lost.

    Raises:
        Unfit: there are more words than are kept of one file.
    """
    return tuple(_cut(map(_as_heading, _sound(blocks)), title))


def begins_part(text: str) -> bool:
    """Tell whether a line looks like the beginning of an article, a numbered paragraph or an item of a list."""
    return bool(_article(text) or _NUMBERED.match(text) or _ITEM.match(text))


def numbers_part(text: str) -> bool:
    """Tell whether a line looks like the heading of one part of several: an article, a chapter, an entry of a list."""
    return bool(_article(text) or _PART.match(text))


def pauses(text: str) -> bool:
    """Tell whether something may begin after this line: after "under Article" a line "5. The Court" begins nothing."""
    return bool(_PAUSES.search(text))


def is_titled(text: str) -> bool:
    """Tell whether a line is the heading of an article with its title ("Article 5. Right to liberty")."""
    return _is_article_heading(text) and _length(text) > 2


def _is_article_heading(text: str) -> bool:
    return bool(_article(text)) and _length(text) <= 15 and text[-1] not in ".;:,"


def _sound(blocks: Iterable[Block]) -> Iterator[Block]:
    words = 0
    for block in blocks:
        text = " ".join(
            word[start : start + LONGEST_WORD]
            for word in block.text.split()
            for start in range(0, len(word), LONGEST_WORD)
        )
        words += _length(text)
        if words > MOST_WORDS:
            raise Unfit(f"it has more than {MOST_WORDS:,} words; divide it into parts.")
        if text:
            yield from _numbered_parts(replace(block, text=text))


def _numbered_parts(block: Block) -> Iterator[Block]:
    """Divide a paragraph where a number goes on with which it began: "1. … 2. … 3. …" on one line are three."""
    text, start = block.text, 0
    if numbered := _number(text):
        number, mark = numbered
        for space in _GOES_ON.finditer(text):
            follows = _numbered(_NUMBERED.match(text, space.end())) == (number + 1, mark)
            if follows and not _is_short_form(text, space.start() - 1):
                yield block.stretch(start, space.start())
                start, number = space.end(), number + 1
    yield block.stretch(start, len(text)) if start else block


def _number(text: str) -> tuple[int, str] | None:
    """Return the number with which a paragraph begins, and how it is marked; after the label of an article only 1."""
    label = _article(text)
    found = _numbered(_NUMBERED.match(text[len(label) :].lstrip(" .․:–—-") if label else text))
    return None if label and found and found[0] != 1 else found


def _numbered(found: re.Match[str] | None) -> tuple[int, str] | None:
    return (int(found["in"] or found["out"]), found["mark"] or "(") if found else None


def _as_heading(block: Block) -> Block:
    if _length(block.text) > LONGEST_HEADING:
        return replace(block, level=0)
    if not block.level and _is_article_heading(block.text):
        return replace(block, level=ARTICLE_LEVEL)
    if not block.level and block.text.isupper() and 1 < _length(block.text) <= 15:
        return replace(block, level=CAPITALS_LEVEL)
    return block


def _cut(blocks: Iterable[Block], title: str) -> Iterator[Passage]:
    stand = _Stand(title)
    heading = part = ""
    gathered: list[Block] = []
    length = 0  # words of what is gathered
    bare: Block | None = None  # a heading under which nothing has stood so far

    def said() -> Iterator[Passage]:
        for text, first, last in _pieces(gathered):
            yield Passage(heading, text, _place(part, first, last))
        gathered.clear()

    def alone(bare: Block) -> Passage:
        where = _place(stand.part(), bare.page, bare.page)
        stand.leave(bare.level)
        return Passage(stand.heading(), bare.text, where)

    for block in blocks:
        if block.level:
            yield from said()
            if bare and bare.level >= block.level:
                yield alone(bare)
            stand.enter(block.level, block.text)
            bare = block
            continue
        turned = bool(gathered) and block.page != gathered[0].page and length >= SHORT
        if stand.begins(block.text) or turned or length >= USUAL:
            yield from said()
        if not gathered:
            heading, part, length = stand.heading(), stand.part(), 0
        gathered.append(block)
        length += _length(block.text)
        bare = None
    yield from said()
    if bare:
        yield alone(bare)


def _place(part: str, first: int, last: int) -> str:
    pages = f"pp. {first}–{last}" if first < last else f"p. {first}" if first else ""
    return ", ".join(filter(None, (part, pages)))


def _article(text: str) -> str:
    """Return the label of the article that a text begins, or nothing: "Article 5 of the Convention" begins none."""
    found = _ARTICLE.match(text)
    if not found:
        return ""
    titled = found["after"].isupper() and text[-1] not in ".;:," and _length(text) <= 15
    return found["label"] if titled or not found["after"] or found["after"] in _AFTER_LABEL else ""


def _length(text: str) -> int:
    return len(text.split())


def _pieces(paragraphs: Sequence[Block]) -> list[tuple[str, int, int]]:
    """Divide what belongs together into texts of about USUAL words, between sentences where there are some.

    With each come its first and its last page.
    """
    pieces: list[list[_Sentence]] = []
    length = LONGEST
    for sentence in _sentences(paragraphs):
        count = _length(sentence.text)
        if length >= USUAL or length + count > LONGEST:
            pieces.append([])
            length = 0
        pieces[-1].append(sentence)
        length += count
    if len(pieces) > 1 and length < SHORT and sum(_length(each.text) for each in pieces[-2]) + length <= LONGEST:
        last = pieces.pop()
        pieces[-1] += last
    return [
        (
            "".join(each.before + each.text for each in piece).removeprefix(piece[0].before),
            min(each.first for each in piece),
            max(each.last for each in piece),
        )
        for piece in pieces
    ]


def _sentences(paragraphs: Iterable[Block]) -> Iterator[_Sentence]:
    """Yield every sentence; what has no end is divided by its length."""
    for block in paragraphs:
        paragraph, start, before, so_far = block.text, 0, "\n", 0
        ends = [found.end() for found in _SENTENCE.finditer(paragraph) if not _is_short_form(paragraph, found.start())]
        for end in (*ends, len(paragraph)):
            words = paragraph[start:end].split()
            for first in range(0, len(words), LONGEST):
                some = words[first : first + LONGEST]
                pages = block.page_of(so_far), block.page_of(so_far + len(some) - 1)
                yield _Sentence(before, " ".join(some), *pages)
                before = " "
                so_far += len(some)
            start = end


def _is_short_form(text: str, dot: int) -> bool:
    return text[dot] == "." and bool(_ABBREVIATION.search(text[max(0, dot - 12) : dot]))
