"""Where a document is cut: by its own structure first, then between sentences.

A heading, an article and a numbered paragraph begin a passage. What is longer than a passage is divided where a
sentence ends; what has no sentences is divided anyhow, so that no passage is ever longer than LONGEST words.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

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
    r"(?P<label>(?:Article|Art\.|Section|Rule|Стаття|Статья|Артыкул|Правило|Articolul|Maddə|Հոդված|მუხლი)\s+№?\s*"
    r"(?:\d[\w\-\u2011]*(?:\.\d+)*|[IVXLC]+\b)|\d+-(?:бап|бабы|maddə)|§\s?\d[\w\-]*(?:\.\d+)*)\s*(?P<after>.?)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(?:\((\d{1,3})\)|(\d{1,3})[.)])\s+(?=\S)")
_ITEM = re.compile(r"(?:[•●▪◦–—\-*+]|\((?:\w|[ivx]{2,4})\)|(?:\w|[ivx]{2,4})\)|[ivx]{2,4}\.)\s+(?=\S)")
_PAUSES = re.compile(r"(?:[.;:,!?…։]|\b(?:and|or|and/or|та|і|або|и|или|şi|și|sau))$")
_SENTENCE = re.compile(r"""[.!?…։]["»”’)\]]*\s+(?=["«“„(\[]?[^\W_a-zа-яёіїєґўәғқңөұүһա-ֆ])""")
_ABBREVIATION = re.compile(
    r"\b(?:\w|no|nos|art|arts|para|paras|pp|cf|vs|mr|mrs|ms|dr|prof|vol|ed|eds|inc|ltd|co|ст|стст|пп|гг|рр|см|див|"
    r"ред|ул|вул|им|ім|проф|т\.\s?[дпек])$",
    re.IGNORECASE,
)


@dataclass(slots=True)
class _Stand:
    """Where in a document the reading stands."""

    title: str
    headings: list[tuple[int, str]] = field(default_factory=list)
    article: str = ""
    number: int = 0
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
            self.article, self.number = label, 0
        elif level < ARTICLE_LEVEL:
            self.article = ""

    def begins(self, text: str) -> bool:
        """Tell whether a paragraph begins a part of its own, and remember which."""
        if label := _article(text):
            self.leave(ARTICLE_LEVEL)
            self.article, self.number, self.anew = label, 0, True
            return True
        if (found := _NUMBERED.match(text)) and self._follows(number := int(found[1] or found[2])):
            self.number, self.anew = number, False
            return True
        return False

    def _follows(self, number: int) -> bool:
        # An enumeration inside of a numbered paragraph begins at 1 without a heading: that is no place.
        return (self.anew and (number == 1 or not self.number)) or self.number < number <= self.number + 3

    def place(self, page: int) -> str:
        paragraph = "" if self.anew or not self.number else f"§ {self.number}"
        part = f"{self.article} {paragraph}".strip()
        return ", ".join(filter(None, (part, f"p. {page}" if page else "")))


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
            yield replace(block, text=text)


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
    heading = place = ""
    gathered: list[str] = []
    length = 0  # words of what is gathered
    bare: Block | None = None  # a heading under which nothing has stood so far

    def alone(bare: Block) -> Passage:
        where = stand.place(bare.page)
        stand.leave(bare.level)
        return Passage(stand.heading(), bare.text, where)

    for block in blocks:
        if block.level:
            yield from (Passage(heading, text, place) for text in _pieces(gathered))
            gathered.clear()
            if bare and bare.level >= block.level:
                yield alone(bare)
            stand.enter(block.level, block.text)
            bare = block
            continue
        if stand.begins(block.text) or length >= USUAL:
            yield from (Passage(heading, text, place) for text in _pieces(gathered))
            gathered.clear()
        if not gathered:
            heading, place, length = stand.heading(), stand.place(block.page), 0
        gathered.append(block.text)
        length += _length(block.text)
        bare = None
    yield from (Passage(heading, text, place) for text in _pieces(gathered))
    if bare:
        yield alone(bare)


def _article(text: str) -> str:
    """Return the label of the article that a text begins, or nothing: "Article 5 of the Convention" begins none."""
    found = _ARTICLE.match(text)
    if not found:
        return ""
    titled = found["after"].isupper() and text[-1] not in ".;:," and _length(text) <= 15
    return found["label"] if titled or not found["after"] or found["after"] in ".:–—-(" else ""


def _length(text: str) -> int:
    return len(text.split())


def _pieces(paragraphs: list[str]) -> list[str]:
    """Divide what belongs together into texts of about USUAL words, between sentences where there are some."""
    pieces: list[tuple[str, str]] = []  # what stands before the piece in the text, and the piece
    length = LONGEST
    for before, sentence in _sentences(paragraphs):
        count = _length(sentence)
        if length >= USUAL or length + count > LONGEST:
            pieces.append((before, sentence))
            length = count
        else:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + before + sentence)
            length += count
    if len(pieces) > 1 and length < SHORT and _length(pieces[-2][1]) + length <= LONGEST:
        before, last = pieces.pop()
        pieces[-1] = (pieces[-1][0], pieces[-1][1] + before + last)
    return [piece for _, piece in pieces]


def _sentences(paragraphs: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what stands before each sentence, and the sentence; what has no end is divided by its length."""
    for paragraph in paragraphs:
        start, before = 0, "\n"
        ends = [found.end() for found in _SENTENCE.finditer(paragraph) if not _is_short_form(paragraph, found.start())]
        for end in (*ends, len(paragraph)):
            words = paragraph[start:end].split()
            for first in range(0, len(words), LONGEST):
                yield before, " ".join(words[first : first + LONGEST])
                before = " "
            start = end


def _is_short_form(text: str, dot: int) -> bool:
    return text[dot] == "." and bool(_ABBREVIATION.search(text[max(0, dot - 12) : dot]))
