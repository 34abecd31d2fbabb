"""How the guard reads a text: one spelling, whatever it was typed with, then words, numbers and signs."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from knowledge.guard.marks import WORDS, Mark
from knowledge.words import fold

_SAME_LENGTH = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d\u30fc", "-")
    | dict.fromkeys("’ʼ‘`´ʹʻ′‵＇", "'")
    | dict.fromkeys("“”„‟«»‹›″", '"')
    | dict.fromkeys(
        "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
    )
    | {"º": "°", "˚": "°", "№": "#"}
    | {sign: str(number) for row in ("٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹") for number, sign in enumerate(row)}
)
_INVISIBLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff"
)
_COMBINING = r"\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_HIDDEN = re.compile(rf"[{_INVISIBLE}{_COMBINING}]")
# A letter and what is written over it; so many at most, because order has to be brought into them.
_CLUSTER = re.compile(rf"[^{_COMBINING}{_INVISIBLE}][{_COMBINING}{_INVISIBLE}]{{0,8}}|.", re.DOTALL)


def plain(text: str) -> tuple[str, Sequence[int]]:
    """Return a text in one spelling, and for each of its characters (and its end) the place in the text.

    One kind of space, dash, quotation mark and digit; composed letters; nothing invisible, no stress marks.
    """
    plain = text.translate(_SAME_LENGTH)
    if not _HIDDEN.search(plain) and unicodedata.is_normalized("NFKC", plain):
        return plain, range(len(plain) + 1)
    signs: list[str] = []
    places: list[int] = []
    for cluster in _CLUSTER.finditer(plain):
        written = _HIDDEN.sub("", unicodedata.normalize("NFKC", re.sub(f"[{_INVISIBLE}]", "", cluster[0])))
        signs.append(written.translate(_SAME_LENGTH))
        places += [cluster.start()] * len(written)
    return "".join(signs), [*places, len(text)]


_LATIN, _CYRILLIC = re.compile(r"[A-Za-z]"), re.compile(r"[\u0400-\u04ff]")
_TO_LATIN = str.maketrans(
    "авсеіїкмнорстухѕјԁӏАВСЕІЇКМНОРСТУХЅЈӀαεικνορτυχΑΒΕΗΙΚΜΝΟΡΤΥΧ",
    "abceiikmhopctyxsjdlABCEIIKMHOPCTYXSJIaeiknoptuxABEHIKMNOPTYX",
)
_TO_CYRILLIC = str.maketrans(
    "aceikmoptxysjABCEHIKMOPTXYSJαεικορτχΑΒΕΗΙΚΜΟΡΤΧ", "асеікмортхуѕјАВСЕНІКМОРТХУЅЈаеікортхАВЕНІКМОРТХ"
)


def _one_alphabet(word: str) -> str:
    """Return a word with the look-alike letters of another alphabet written in the one that most of it has."""
    if word.isascii():
        return word
    latin, cyrillic = len(_LATIN.findall(word)), len(_CYRILLIC.findall(word))
    if max(latin, cyrillic) == len(word):
        return word
    return word.translate(_TO_LATIN if latin > cyrillic else _TO_CYRILLIC)


_TOKEN = re.compile(
    r"""
    (?P<number> (?: \+\ ? )? (?: \( (?= \d{1,5}\) \ ?-?\d ) )? \d (?: (?: \. | \ ?[-/()]{1,2}\ ? | \  )? \d )*+ )
    | (?P<word> [^\W\d_]++ (?: ['-][^\W\d_]++ )*+ '? )
    | (?P<sign> \S )
    """,
    re.VERBOSE,
)
_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a number in all its groups, or a sign."""

    said: str
    """As it is written, in one spelling and one alphabet."""
    key: str
    """A word, folded; the digits of a number; nothing for a sign."""
    start: int
    end: int
    kind: str
    marks: frozenset[Mark] = frozenset()
    opens: bool = False
    """It stands where any word is capitalised."""


def _marks(key: str) -> set[Mark]:
    parts = (mark for part in key.split("-") for mark in WORDS.marks(part))
    return WORDS.marks(key) or set(parts) or WORDS.heard(key)


def tokens(plain: str) -> Iterator[Token]:
    """Yield the words, numbers and signs of a plain text; what stands inside of a link is not read."""
    opens, before = True, ""
    for found in _TOKEN.finditer(_URL.sub(lambda url: " " * len(url[0]), plain)):
        kind = str(found.lastgroup)
        said = found[0]
        key, marks = "", frozenset[Mark]()
        if kind == "word":
            said = "-".join(map(_one_alphabet, said.split("-")))
            key = fold(re.sub("'s?$", "", said))
            marks = frozenset(_marks(key))
        elif kind == "number":
            key = re.sub(r"\D", "", said)
        yield Token(said, key, found.start(), found.end(), kind, marks, opens)
        # A stop after a short word is more often an abbreviation's than a sentence's.
        stops = said in "!?:;#•*|>" or (said == "." and len(before) > 3) or (opens and said in "\"'(-")
        opens, before = kind == "sign" and stops, said
