"""The glossary: one meaning in many languages, and its phrases found in a text whatever their endings.

Two kinds of files lie in its folder. Terms are shown to people. The field lexicon (in lexicon/, by subject) is
not: it holds everyday words of this work, written for this project, so that a question in one language finds
texts in another. Every language in which no native speaker has read a row yet is named in the row itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, Self

from marisa_trie import BytesTrie
from rapidfuzz import fuzz, process

from knowledge import dictionaries
from knowledge.schema import LANGUAGES, Entry, Term, Words, read_rows
from knowledge.words import LITTLE_WORDS, beginning, forms, stem, tongue, words

# Ways to say a meaning in English whose words documents use; those behind them are rather said in questions.
_FORMAL = 3
_EAST_SLAVIC = frozenset({"be", "ru", "uk"})
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

    def __init__(self, terms: Sequence[Term], lexicon: Iterable[Entry] = ()) -> None:
        self.terms = tuple(terms)
        self.places: dict[str, str] = {}
        """The meaning of each place that the lexicon knows, by its code."""
        digest = sha256()
        said: list[_Said] = []
        for row in chain(terms, lexicon):
            digest.update(row.model_dump_json().encode())
            said.append(_Said.of(row))
            if isinstance(row, Entry) and row.place:
                self.places[row.place] = _meaning(row)
        self.fingerprint = digest.hexdigest()
        """Another one whenever any row is another."""
        self._phrases = _Phrases((way, row.meaning) for row in said for way in row.ways.splitlines())
        self._blunt = _Phrases((way, row.meaning) for row in said for way in row.blunt.splitlines())
        self._ways = _packed((row.meaning, way) for row in said for way in row.ways.splitlines())
        self._english = _packed((row.meaning, word) for row in said for word in row.english.split())
        self._everyday = _packed((row.meaning, way) for row in said for way in row.everyday.splitlines())
        self._place_words = frozenset(
            way for meaning in self.places.values() for way in _unpacked(self._ways, meaning) if " " not in way
        )
        self._spellings = tuple(
            _Spelling(" ".join(said), _phrase(said, language), number)
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
        terms = list(read_rows(sorted(folder.glob("*.jsonl")), Term))
        files = sorted((folder / "lexicon").glob("*.jsonl"))
        if dictionaries_in is None:
            return cls(terms, read_rows(files, Entry))
        lexicon = list(read_rows(files, Entry))
        known = {way for row in (*terms, *lexicon) for way in row.ways("en")}
        return cls(terms, chain(lexicon, dictionaries.read(dictionaries_in, known)))

    def spans(
        self, said: Sequence[str], stems: Sequence[str], *, bluntly: bool = False, alone: bool = True
    ) -> Iterator[Span]:
        """Yield every phrase among these folded words, the short ones inside long ones too.

        A word `alone` is a phrase as well; if not, only one that names a place.

        A phrase is known by the stems of its words. Bluntly, a word also is what it begins with, if that is a word
        by itself, or else what has the same first letters: that lets an ending pass which no stemmer knows, and is
        meant for questions, not for documents.
        """
        for start, first in enumerate(stems):
            lengths: Iterable[int] = self._phrases.lengths(first)
            if bluntly:
                lengths = sorted({1, *lengths, *self._blunt.lengths(_cut(said[start], 4))})
            skips_word = not alone and first not in self._place_words
            for length in lengths:
                end = start + length
                if end > len(stems) or (skips_word and length == 1):
                    continue
                meanings = self._phrases.meanings(" ".join(stems[start:end]))
                if not meanings and bluntly and length == 1:
                    meanings = self._word_within(said[start])
                if not meanings and bluntly:
                    meanings = self._blunt.meanings(" ".join(_bluntly(said[start:end])))
                if meanings:
                    yield Span(start, end, meanings)

    def _word_within(self, word: str) -> frozenset[str]:
        """Return the meanings of the longest word with which a word begins: құқық in құқықтары."""
        beginnings = (word[:letters] for letters in range(len(word) - 1, max(3, len(word) // 2) - 1, -1))
        return next(filter(None, map(self._phrases.meanings, beginnings)), frozenset())

    def knows(self, word: str) -> bool:
        """Tell whether a word, in whatever form, means something, or begins a phrase that does."""
        _said, stems = _read(word[:LONGEST_WORD])
        return any(map(self._phrases.lengths, stems))

    def places_in(self, text: str) -> list[str]:
        """Return the codes of the places that a text names, in the order in which it names them."""
        codes = {meaning: code for code, meaning in self.places.items()}
        said, stems = _read(text[:LONGEST_WORD])
        spans = self.spans(said, stems, bluntly=True)
        return [codes[meaning] for span in spans for meaning in sorted(span.meanings) if meaning in codes]

    def english(self, meaning: str) -> frozenset[str]:
        """Return the stems of the usual English words for a meaning."""
        return frozenset(_unpacked(self._english, meaning))

    def ways(self, meaning: str) -> tuple[tuple[str, ...], ...]:
        """Return every way to say a meaning, in all languages, each as the stems of its words."""
        return tuple(tuple(way.split()) for way in _unpacked(self._ways, meaning))

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
        telling = {its for word, its in zip(asked, stems, strict=True) if word not in LITTLE_WORDS}
        found: dict[int, float] = {}
        for spelling in self._spellings:
            if typed == spelling.text:
                likeness = 1.0
            elif phrase == spelling.phrase:
                likeness = 0.95
            elif telling and set(stems) <= set(said := spelling.phrase.split()):
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
        english = {way for meaning in meanings for way in _unpacked(self._everyday, meaning)}
        found = {spelling.term: 0.5 for spelling in self._spellings if spelling.phrase in english}
        return found | {number: 0.6 for number, term in enumerate(self.terms) if _meaning(term) in meanings}

    def _spelt(self, typed: str) -> dict[int, float]:
        texts = [spelling.text for spelling in self._spellings]
        found: dict[int, float] = {}
        for _, score, place in process.extract(typed, texts, scorer=fuzz.ratio, score_cutoff=78, limit=20):
            found.setdefault(self._spellings[place].term, score / 200)
        return found


class _Said(NamedTuple):
    """How a meaning is said, one way a line: until they are packed, a string for each would take ten times as much.

    Attributes:
        meaning: what is said.
        ways: in all languages, as the stems of its words.
        blunt: the same, as the first letters of its words.
        english: the stems of its usual English words, with spaces between them.
        everyday: of a line of the field lexicon, its English ways alone.
    """

    meaning: str
    ways: str
    blunt: str
    english: str
    everyday: str

    @classmethod
    def of(cls, row: Words) -> Self:
        said = [(language, each) for language in LANGUAGES for each in _variants(row, language) if each]
        formal = (word for each in islice(_variants(row, "en"), _FORMAL) for word in each)
        everyday = _variants(row, "en") if isinstance(row, Entry) else ()
        return cls(
            _meaning(row),
            "\n".join(dict.fromkeys(way for language, each in said for way in _in_stems(each, language))),
            "\n".join(" ".join(_bluntly(each)) for _language, each in said),
            " ".join(stem(word) for word in formal if word not in LITTLE_WORDS),
            "\n".join(_phrase(each, "en") for each in everyday if each),
        )


class _Phrases:
    """What each phrase means, and of how many words are those that begin with a word.

    There are tens of thousands of them in every process: packed, they take a twentieth of what dictionaries take.
    """

    def __init__(self, known: Iterable[tuple[str, str]]) -> None:
        self._meanings = _packed(known)
        said = map(str.split, self._meanings)
        # What is longer than a byte can count nobody says.
        self._lengths = BytesTrie((words[0], bytes([len(words)])) for words in said if len(words) < 256)

    def meanings(self, phrase: str) -> frozenset[str]:
        return frozenset(_unpacked(self._meanings, phrase))

    def lengths(self, first: str) -> bytes:
        return b"".join(self._lengths.get(first, ()))


def _packed(pairs: Iterable[tuple[str, str]]) -> BytesTrie:
    return BytesTrie((key, value.encode()) for key, value in pairs)


def _unpacked(trie: BytesTrie, key: str) -> Iterator[str]:
    return map(bytes.decode, trie.get(key, ()))


def _phrase(said: Iterable[str], language: str) -> str:
    return " ".join(stem(word, language) for word in said)


def _in_stems(said: Sequence[str], language: str) -> Iterator[str]:
    """Yield a phrase in stems, and once more for each word of whose other forms something else is left."""
    stems = [stem(word, language) for word in said]
    yield " ".join(stems)
    if language not in _EAST_SLAVIC:
        return
    for place, word in enumerate(said):
        for other in {stem(form) for form in forms(word)}:
            if len(other) > (4 if stems[place].startswith(other) else 3):  # less of a word may be another one's
                yield " ".join((*stems[:place], other, *stems[place + 1 :]))


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
