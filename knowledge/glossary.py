"""The glossary: one meaning in many languages, and its phrases found in a text whatever their endings.

Two kinds of files lie in its folder. Terms are shown to people. The field lexicon (in lexicon/, by subject) is
not: it holds everyday words of this work, written for this project, so that a question in one language finds
texts in another. Every language in which no native speaker has read a row yet is named in the row itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import islice
from pathlib import Path
from sys import intern
from typing import Self

from rapidfuzz import fuzz, process

from knowledge import dictionaries
from knowledge.schema import LANGUAGES, Entry, Term, Words, read_rows
from knowledge.words import LITTLE_WORDS, beginning, stem, tongue, words

# Ways to say a meaning in English whose words documents use; those behind them are rather said in questions.
_FORMAL = 3
LONGEST_WORD, MOST_WORDS = 100, 20
"""Characters, and folded words in them, that are read of what is looked up: more than any term has."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of words that means something: `start` up to `end`, and the meanings it may have."""

    start: int
    end: int
    meanings: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Spelling:
    """One way to say a term: as folded text, as a phrase, and whose it is."""

    text: str
    phrase: str
    term: int


class Glossary:
    """Terms and the field lexicon, read once and never changed."""

    def __init__(self, terms: Sequence[Term], lexicon: Sequence[Entry] = ()) -> None:
        self.terms = tuple(terms)
        self.places = {entry.place: _meaning(entry) for entry in lexicon if entry.place}
        """The meaning of each place that the lexicon knows, by its code."""
        # A phrase is the stems of its words with a space between them: one string, and one copy of it, because there
        # are tens of thousands.
        self._everyday: dict[str, tuple[str, ...]] = {}
        self._english: dict[str, tuple[str, ...]] = {}
        self._ways: dict[str, tuple[str, ...]] = {}
        self._phrases = _Phrases()
        self._blunt = _Phrases()
        digest = sha256()
        for row in (*terms, *lexicon):
            self._learn(row)
            digest.update(row.model_dump_json().encode())
        for entry in lexicon:
            self._everyday[_meaning(entry)] = tuple(_phrase(map(stem, words(way))) for way in entry.ways("en"))
        self.fingerprint = digest.hexdigest()
        """Another one whenever any row is another."""
        self._spellings = tuple(
            _Spelling(" ".join(said), _phrase(stem(word, language) for word in said), number)
            for number, term in enumerate(self.terms)
            for language in LANGUAGES
            for said in _variants(term, language)
        )

    @classmethod
    def load(cls, folder: Path, dictionaries_in: Path | None = None) -> Self:
        """Read every file of terms in the folder, every file of the field lexicon in its lexicon/, and dictionaries.

        Raises:
            BadRow: something of it cannot be read; one sentence.
        """
        terms = read_rows(sorted(folder.glob("*.jsonl")), Term)
        lexicon = read_rows(sorted((folder / "lexicon").glob("*.jsonl")), Entry)
        if dictionaries_in is not None:
            known = {way for row in (*terms, *lexicon) for way in row.ways("en")}
            lexicon += dictionaries.read(dictionaries_in, known)
        return cls(terms, lexicon)

    def spans(self, said: Sequence[str], stems: Sequence[str], *, bluntly: bool = False) -> Iterator[Span]:
        """Yield every phrase among these folded words, the short ones inside long ones too.

        A phrase is known by the stems of its words. Bluntly, a word also is what it begins with, if that is a word
        by itself, or else what has the same first letters: that lets an ending pass which no stemmer knows, and is
        meant for questions, not for documents.
        """
        for start, first in enumerate(stems):
            lengths: Iterable[int] = self._phrases.lengths.get(first, ())
            if bluntly:
                lengths = sorted({1, *lengths, *self._blunt.lengths.get(_cut(said[start], 4), ())})
            for end in (start + length for length in lengths if start + length <= len(stems)):
                meanings = self._phrases.meanings.get(" ".join(stems[start:end]))
                if meanings is None and bluntly and end == start + 1:
                    meanings = self._word_within(said[start])
                if meanings is None and bluntly:
                    meanings = self._blunt.meanings.get(" ".join(_bluntly(said[start:end])))
                if meanings:
                    yield Span(start, end, meanings)

    def _word_within(self, word: str) -> frozenset[str] | None:
        """Return the meanings of the longest word with which a word begins: құқық in құқықтары."""
        for letters in range(len(word) - 1, max(3, len(word) // 2) - 1, -1):
            if (meanings := self._phrases.meanings.get(word[:letters])) is not None:
                return meanings
        return None

    def places_in(self, text: str) -> list[str]:
        """Return the codes of the places that a text names, in the order in which it names them."""
        codes = {meaning: code for code, meaning in self.places.items()}
        said, stems = _read(text[:LONGEST_WORD])
        spans = self.spans(said, stems, bluntly=True)
        return [codes[meaning] for span in spans for meaning in sorted(span.meanings) if meaning in codes]

    def english(self, meaning: str) -> frozenset[str]:
        """Return the stems of the usual English words for a meaning."""
        return frozenset(self._english.get(meaning, ()))

    def ways(self, meaning: str) -> tuple[tuple[str, ...], ...]:
        """Return every way to say a meaning, in all languages, each as the stems of its words."""
        return tuple(tuple(way.split()) for way in self._ways.get(meaning, ()))

    def look_up(self, word: str, *, network: str | None = None, limit: int = 5) -> list[Term]:
        """Return the terms that a word or phrase of any language may mean, the likeliest first.

        Case, endings, ё or е, apostrophes and small typos do not matter. A term said exactly like this comes
        first, then one with another ending, then one that contains the words; if there is none, one that
        begins alike or that the field lexicon leads to; at last one that is only spelt alike. Among equals
        the network's own come first. No such term: an empty list.
        """
        asked, stems = _read(word[:LONGEST_WORD])
        if not asked:
            return []
        likeness = self._said(asked, stems) or self._meant(asked, stems) or self._spelt(" ".join(asked))
        ranked = sorted(likeness, key=lambda number: (-likeness[number], self.terms[number].network != network, number))
        return [self.terms[number] for number in ranked[: max(limit, 0)]]

    def _said(self, asked: Sequence[str], stems: Sequence[str]) -> dict[int, float]:
        typed, phrase = " ".join(asked), " ".join(stems)
        found: dict[int, float] = {}
        for spelling in self._spellings:
            if typed == spelling.text:
                likeness = 1.0
            elif phrase == spelling.phrase:
                likeness = 0.95
            elif set(stems) <= set(said := spelling.phrase.split()):
                likeness = 0.5 + 0.4 * len(stems) / len(said)
            elif len(typed) >= 4 and spelling.text.startswith(typed):
                likeness = 0.5 + 0.3 * len(typed) / len(spelling.text)
            else:
                continue
            found[spelling.term] = max(found.get(spelling.term, 0.0), likeness)
        return found

    def _meant(self, asked: Sequence[str], stems: Sequence[str]) -> dict[int, float]:
        whole = (span for span in self.spans(asked, stems, bluntly=True) if span.end - span.start == len(asked))
        meanings = {meaning for span in whole for meaning in span.meanings}
        english = {way for meaning in meanings for way in self._everyday.get(meaning, ())}
        found = {spelling.term: 0.5 for spelling in self._spellings if spelling.phrase in english}
        return found | {number: 0.6 for number, term in enumerate(self.terms) if _meaning(term) in meanings}

    def _spelt(self, typed: str) -> dict[int, float]:
        texts = [spelling.text for spelling in self._spellings]
        found: dict[int, float] = {}
        for _, score, place in process.extract(typed, texts, scorer=fuzz.ratio, score_cutoff=78, limit=20):
            found.setdefault(self._spellings[place].term, score / 200)
        return found

    def _learn(self, row: Words) -> None:
        meaning = intern(_meaning(row))
        alone = frozenset({meaning})
        ways: dict[str, None] = {}
        for language in LANGUAGES:
            for said in _variants(row, language):
                stems = [stem(word, language) for word in said]
                ways[self._phrases.add(stems, alone)] = None
                self._blunt.add(_bluntly(said), alone)
        self._ways[meaning] = tuple(ways)
        english = (word for said in islice(_variants(row, "en"), _FORMAL) for word in said if word not in LITTLE_WORDS)
        self._english[meaning] = tuple({intern(stem(word)) for word in english})


class _Phrases:
    """Phrases, by their words: what they mean, and how long those are that begin with a word."""

    def __init__(self) -> None:
        self.meanings: dict[str, frozenset[str]] = {}
        self.lengths: dict[str, tuple[int, ...]] = {}

    def add(self, said: Sequence[str], meanings: frozenset[str]) -> str:
        phrase, first = _phrase(said), intern(said[0])
        known = self.meanings.get(phrase)
        self.meanings[phrase] = meanings if known is None else known | meanings
        lengths = self.lengths.get(first, ())
        if len(said) not in lengths:
            self.lengths[first] = _one_of_each(tuple(sorted((*lengths, len(said)))))
        return phrase


@cache
def _one_of_each(lengths: tuple[int, ...]) -> tuple[int, ...]:
    return lengths


def _phrase(said: Iterable[str]) -> str:
    return intern(" ".join(said))


def _meaning(row: Words) -> str:
    return "#" + row.key.replace(" ", "_")


def _read(text: str) -> tuple[list[str], list[str]]:
    said, how = words(text)[:MOST_WORDS], tongue(text)
    return said, [stem(word, how) for word in said]


def _bluntly(said: Sequence[str]) -> list[str]:
    # Several words vouch for one another, so less is asked of each.
    letters = 4 if len(said) > 1 else 5
    return [_cut(word, letters) for word in said]


def _cut(word: str, letters: int) -> str:
    return beginning(word, letters) or stem(word)


def _variants(row: Words, language: str) -> Iterator[list[str]]:
    """Yield the words of each way to say it: whole, without its brackets, and an abbreviation in brackets."""
    for way in row.ways(language):
        outside, bracket, rest = way.partition("(")
        inside, _, after = rest.partition(")")
        yield words(way)
        if bracket:
            yield words(outside + after)
        if inside.isupper():
            yield words(inside)
