"""What a file says of one document, and the plain text that it is said in."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from knowledge.passage import Passage

MOST_WORDS = 1_000_000
"""Words of one file that are kept: about two thousand five hundred pages."""


MOST_ENTRIES = 20_000
"""Entries of one list that are kept."""


class Unfit(Exception):  # noqa: N818 - what is wrong is the file
    """A file cannot be read; the message is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a file says of one document; nobody has checked it.

    Attributes:
        title: never empty; the file's name if the document has none.
        kind: one of the kinds of `knowledge.schema`, guessed from the title where the file does not say it.
        jurisdiction: capital letters; "INT" if unknown.
        language: two letters.
        date: YYYY, YYYY-MM or YYYY-MM-DD; empty if unknown.
        citation: how the document is cited; empty if the file does not say it.
        url: an http or https address, or empty.
        summary: the file's own abstract or description, or empty.
        passages: in the order of the document.
        guessed: which of title, jurisdiction, kind and language nothing in the file tells.
        place: where it belongs in the words of the file, if these are no code; the jurisdiction is unknown then.
        where: which entry of a list it is ("row 2"); empty for a document.
        notes: what the file declares that cannot be, each as half a sentence.
        digest: SHA-256 (hex) of what the document says: the same words, the same digest, whatever the file is
            called and however it is encoded.
    """

    title: str
    kind: str
    jurisdiction: str
    language: str
    date: str
    citation: str
    url: str
    summary: str
    passages: tuple[Passage, ...]
    digest: str
    guessed: tuple[str, ...] = ()
    place: str = ""
    where: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file says: one draft, or of a list of references one for each entry.

    Attributes:
        drafts: at least one.
        notes: what of the file is not in them, each as half a sentence ("page 3 has no text").
    """

    drafts: tuple[Draft, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph or a heading, as every format yields them.

    Attributes:
        text: plain text.
        level: 1 is the highest heading; 0 is a paragraph.
        page: where it begins, counted from 1; 0 where there are no pages.
        turns: the further pages on which it stands, each with the number of its words that stand before that page.
    """

    text: str
    level: int = 0
    page: int = 0
    turns: tuple[tuple[int, int], ...] = ()

    def page_of(self, word: int) -> int:
        """Return the page on which that word stands; the first is 0."""
        return next((page for before, page in reversed(self.turns) if before <= word), self.page)

    def stretch(self, start: int, end: int) -> "Block":
        """Return the paragraph that its text from one character up to another is."""
        first = len(self.text[:start].split()) if self.turns else 0
        turns = tuple((before - first, page) for before, page in self.turns if before > first)
        return Block(self.text[start:end], self.level, self.page_of(first), turns)


_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_ACCENTS = re.compile("([\u0300-\u036f]{8})[\u0300-\u036f]+")
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")


def clean(text: str) -> str:
    """Return the text in NFC with nothing in it that cannot be seen; line feeds and tabs stay, other space is " "."""
    if text.isascii() and text.isprintable():
        return text
    # To put a hundred thousand accents of one letter in order would take for ever.
    text = unicodedata.normalize("NFC", _ACCENTS.sub(r"\1", _LINE_ENDS.sub("\n", text)))
    # A text has few different characters, however long it is.
    instead = {ord(each): seen for each in set(text) if (seen := _seen(each)) != each}
    return text.translate(instead) if instead else text


def _seen(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    hidden = category[0] == "C" and character not in "\n\t"
    return "" if hidden or _INVISIBLE.match(character) else character


def line(text: str) -> str:
    """Return the text clean and on one line, with single spaces."""
    return " ".join(clean(text).split())


def digest(said: Iterable[str]) -> str:
    """Return the SHA-256 (hex) of the words that are said; how they are spaced and broken does not matter."""
    kept = " ".join(" ".join(unicodedata.normalize("NFKC", each).split()) for each in said)
    return hashlib.sha256(" ".join(kept.split()).encode()).hexdigest()
