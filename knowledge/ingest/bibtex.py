"""BibTeX and BibLaTeX, as Zotero and others export them.

@string, @comment and @preamble, values in braces, in quotation marks, as numbers or as names, joined with "#".
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final

from knowledge.ingest import declared
from knowledge.ingest.csl import cited, listed
from knowledge.ingest.draft import Reading, Unfit, line

DEEPEST: Final = 50
"""Braces inside of one another."""

_ENTRY = re.compile(r"@\s*([A-Za-z]+)\s*([{(])")
_KEY = re.compile(r"\s*([^\s,{}()\"=#%]*)\s*,")
_NAME = re.compile(r"\s*([^\W\d][\w:.+\-]*)\s*=\s*")
_BARE = re.compile(r"[\w.:+\-]+")
_SPACE = re.compile(r"\s*")
_MARK = re.compile(r"[{}]|\\.", re.DOTALL)

_QUOTED_MARK = re.compile(r"[{}\"]|\\.", re.DOTALL)
_ESCAPED = re.compile(r"\\([%&$#_{}~^/ ])(?:\{\})?")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_ACCENTS: Final = {
    "`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", '"': "\u0308", "=": "\u0304", ".": "\u0307",
    "u": "\u0306", "v": "\u030c", "H": "\u030b", "c": "\u0327", "k": "\u0328", "r": "\u030a", "d": "\u0323",
    "b": "\u0331",
}  # fmt: skip
_LETTERS: Final = {
    "ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "aa": "å",
    "AA": "Å", "i": "ı", "j": "ȷ", "dh": "ð", "DH": "Ð", "th": "þ", "TH": "Þ", "dj": "đ", "DJ": "Đ", "S": "§",
    "textsection": "§", "P": "¶", "dots": "…", "ldots": "…", "textendash": "–", "textemdash": "—", "textquoteright":
    "’", "textquoteleft": "‘", "textquotedblleft": "“", "textquotedblright": "”", "guillemotleft": "«",
    "guillemotright": "»", "textless": "<", "textgreater": ">", "textbackslash": "\\", "textasciitilde": "~",
    "textbar": "|", "textunderscore": "_", "textdegree": "°", "euro": "€", "pounds": "£", "copyright": "©",
}  # fmt: skip
_ACCENT = re.compile(
    r"""\\(?:([`'^~"=.])\s*|([uvHckrdb])(?:\s+|(?=[{\\])))(?:\{\s*(\\[ij](?![A-Za-z])|[^\W\d_])\s*\}|(\\[ij](?![A-Za-z])|[^\W\d_]))"""
)
_LETTER = re.compile(r"\\([A-Za-z]+)(?:\s+|\{\}|(?![A-Za-z]))")
_FORMAT = re.compile(r"\\(?:text(?:it|bf|sc|rm|sf|tt|up)|emph|mkbibquote|mkbibemph|url|enquote|href)\s*(?=\{)")
"""Commands that only say how their words look."""


def bibliography(text: str) -> Reading:
    """Return a draft for each entry, with its abstract as summary and as text.

    An entry without a title is left out, and the reading notes which.

    Raises:
        Unfit: it is not written by the rules, and the sentence names the line; or no entry has a title.
    """
    return listed(_fields(*entry) for entry in _Reader(text).entries())


def _fields(kind: str, key: str, fields: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    def said(*names: str) -> str:
        return next(filter(None, (words(fields.get(name, "")) for name in names)), "")

    def bare(name: str) -> str:
        return _ESCAPED.sub(r"\1", fields.get(name, "").replace("{", "").replace("}", "")).strip()

    authors = [_author(name) for name in re.split(r"\s+and\s+", said("author", "editor", "institution")) if name]
    day = " ".join(filter(None, (said("day"), said("month"), said("year"))))
    dates = [each for each in (said("date"), day, said("year")) if each]
    # Where none of them is a date, it is told what stands there.
    date = next(filter(None, map(declared.date, dates)), "") or (dates or [""])[0]
    return (
        key,
        {
            "type": kind,
            "title": said("title", "booktitle"),
            "summary": said("abstract"),
            "language": said("langid", "language"),
            "url": bare("url") or (bare("doi") and f"https://doi.org/{bare('doi')}"),
            "date": date,
            "citation": cited(
                authors=authors,
                container=said("journaltitle", "journal", "booktitle", "series"),
                volume=said("volume"),
                issue=said("number") if said("volume") else "",
                number="" if said("volume") else said("number"),
                issuer=said("publisher", "institution", "organization", "school", "howpublished"),
                pages=said("pages"),
                year=(declared.date(date) or "")[:4],
            ),
        },
    )


def _author(name: str) -> str:
    family, _, given = name.partition(",")
    return f"{family} {given.strip()[:1]}".strip() if given else name


def words(value: str) -> str:
    """Return what a value of BibTeX says: accents of LaTeX are letters, and marks of its typesetting are gone."""
    if "\\" in value:
        value = _FORMAT.sub("", value)
        value = _ACCENT.sub(_accented, value)
        value = _LETTER.sub(lambda found: _LETTERS.get(found[1], found[0]), value)
        value = _ESCAPED.sub(r"\1", value.replace("\\\\", " "))
    value = value.replace("---", "—").replace("--", "–").replace("``", "“").replace("''", "”").replace("~", " ")
    return line(re.sub(r"[{}]", "", value))


def _accented(found: re.Match[str]) -> str:
    # An i without its dot gets it back: the accent stands in its place.
    letter = (found[3] or found[4])[-1]
    return unicodedata.normalize("NFC", letter + _ACCENTS[found[1] or found[2]])


class _Reader:
    """Reads a bibliography from its beginning to its end; what stands between entries is a comment."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._names = {name: name for name in _MONTHS}

    def entries(self) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Yield the type, the key and the fields of each entry; names of types and fields in small letters."""
        while found := _ENTRY.search(self._text, self._at):
            self._at = found.end()
            kind, close = found[1].lower(), {"{": "}", "(": ")"}[found[2]]
            if kind == "comment":
                self._at = found.end() - 1 if close == "}" else found.end()
                if close == "}":
                    self._braced()
            elif kind == "preamble":
                self._value()
                self._expect(close)
            elif kind == "string":
                name = self._match(_NAME)[1].lower()
                self._names[name] = self._value()
                self._expect(close)
            else:
                key = self._match(_KEY)[1]
                yield kind, key, self._fields(close)

    def _fields(self, close: str) -> dict[str, str]:
        fields: dict[str, str] = {}
        while not self._skips(close):
            fields.setdefault(self._match(_NAME)[1].lower(), self._value())
            if not self._skips(","):
                self._expect(close)
                break
        return fields

    def _value(self) -> str:
        parts = [self._part()]
        while self._skips("#"):
            parts.append(self._part())
        return "".join(parts)

    def _part(self) -> str:
        self._match(_SPACE)
        opening = self._text[self._at : self._at + 1]
        if opening == "{":
            return self._braced()
        if opening == '"':
            return self._quoted()
        bare = self._match(_BARE)[0]
        if not bare.isdigit() and bare.lower() not in self._names:
            raise self._wrong()
        return self._names.get(bare.lower(), bare)

    def _braced(self) -> str:
        start = self._at + 1
        depth = 0
        for mark in _MARK.finditer(self._text, self._at):
            depth += {"{": 1, "}": -1}.get(mark[0], 0)
            if depth == 0:
                self._at = mark.end()
                return self._text[start : mark.start()]
            if depth > DEEPEST:
                break
        raise self._wrong()

    def _quoted(self) -> str:
        start = self._at + 1
        depth = 0
        for mark in _QUOTED_MARK.finditer(self._text, start):
            depth += {"{": 1, "}": -1}.get(mark[0], 0)
            if mark[0] == '"' and depth == 0:
                self._at = mark.end()
                return self._text[start : mark.start()]
            if not 0 <= depth <= DEEPEST:
                break
        raise self._wrong()

    def _skips(self, mark: str) -> bool:
        self._match(_SPACE)
        found = self._text.startswith(mark, self._at)
        self._at += len(mark) * found
        return found

    def _expect(self, mark: str) -> None:
        if not self._skips(mark):
            raise self._wrong()

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        if not (found := pattern.match(self._text, self._at)):
            raise self._wrong()
        self._at = found.end()
        return found

    def _wrong(self) -> Unfit:
        return Unfit(f"line {self._text.count(chr(10), 0, self._at) + 1} is not written as BibTeX is.")
