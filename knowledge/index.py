"""The engine behind look-up: grouped BM25 over tantivy, in memory or in a folder that can be thrown away.

A word is looked for by its stem, by its first letters and by its meaning. A meaning is a token like a word:
the glossary writes it into documents of any language and into the question, so that a Ukrainian question
and an English text meet in it. What may stand for one another in a question (a word, its meanings) is one
group: its frequency is the best of theirs, its rarity that of all the documents it reaches together.

Tantivy does not know groups. It is asked for the best of a group's tokens (a disjunction maximum), each of them
boosted so that it weighs what the group weighs: with one rarity for all of them the best score is the score of the
best frequency.
"""

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from math import log
from pathlib import Path
from tempfile import mkdtemp
from typing import TypeVar

import tantivy
from rapidfuzz import fuzz, process
from tantivy import Occur, Query

from knowledge.glossary import Glossary, Span
from knowledge.words import LITTLE_WORDS, beginning, numbers, sentences, sound, stem, tongue, words, words_and_numbers

ANALYSIS = 5
"""Raised whenever a text becomes other tokens than before: every index is then built anew."""
LONGEST_TEXT = 2_000
"""Characters of a question that are read: the rest makes an answer slower, not better."""
LONGEST_QUESTION = 40
"""Words of a question that count."""
LONGEST_SNIPPET = 320
"""Characters up to which a second sentence is added to a snippet."""

K = TypeVar("K", bound=Hashable)

# How soon more of the same word counts no further.
_K1 = 1.2
# What a group is worth beside that of a word. A number or a place narrows a question most. A phrase is worth
# less where it only repeats words that documents have, more where its words say nothing to them, and these are worth
# less then; its English helps where a text says only half of it.
_NUMBER, _PLACE, _PHRASE, _WITHIN, _REPEATED, _BEGINNING, _ECHO = 1.5, 1.75, 0.5, 0.5, 0.2, 0.35, 0.2
# How often a meaning given with a document counts as said in it.
_GIVEN = 3
# How many unknown words of a question are compared with names, and the lengths for which that makes sense.
_NAMES_HEARD, _NAME_LENGTHS = 6, range(4, 31)
# Memory that tantivy may fill before it writes a segment, for many documents and for a few.
_HEAP, _LITTLE_HEAP, _MANY = 60_000_000, 15_000_000, 1_000
# Parts beyond which it costs more to ask for an echo than that tells.
_MOST_ECHOED = 100_000
# Parts that are looked at for a search, where few documents have so many that others are behind them.
_MOST_LOOKED_AT = 4_000
# Seconds after which an index that nobody looked at may be cleared away.
_LEFT_BEHIND = 24 * 60 * 60
# Segments after which a change waits until some of them have become one: more of them make a search slower.
_MOST_SEGMENTS = 8
_STATE = "#state"


@dataclass(frozen=True, slots=True)
class Document:
    """What the engine knows of a document.

    Attributes:
        key: what it is found as. All that comes before a "#" names what it is a part of: parts go together.
        texts: its texts, each with how often it counts.
        meanings: what it is about beside what is said in it.
        facets: by what a search can be narrowed, such as "network:uj".
        names: text in which a word may be a name that people write by ear.
    """

    key: str
    texts: tuple[tuple[int, str], ...]
    meanings: tuple[str, ...] = ()
    facets: tuple[str, ...] = ()
    names: str = ""

    @property
    def whole(self) -> str:
        """The key of what it is a part of."""
        return self.key.partition("#")[0]


@dataclass(frozen=True, slots=True)
class Found:
    """A document that answers, by its key."""

    key: str
    score: float


@dataclass(slots=True)
class _Group:
    """Tokens of a question that stand for one another, with their likeness, and what the group is worth.

    An echo repeats what other groups ask: it helps to rank, and says nothing on whether a text answers.
    """

    worth: float
    tokens: dict[str, float] = field(default_factory=dict)
    echo: bool = False


@dataclass(frozen=True)
class Told:
    """What of a text answers a question.

    Attributes:
        snippet: the sentence that says most of what was asked; with another if both are short and it adds.
        coverage: the share of the question that the text speaks of, by the rarity of its words: 0 to 1. 0 as well if
            it is of none of the places that the question names: the law of another place answers nothing.
        elsewhere: whether it does not even mention any of them.
    """

    snippet: str
    coverage: float
    elsewhere: bool = False


@dataclass(frozen=True)
class Question:
    """A question as its tokens, with the rarity of each group of them."""

    groups: Sequence[_Group]
    glossary: Glossary = field(repr=False)
    rarity: Sequence[float] = ()

    @property
    def tokens(self) -> frozenset[str]:
        """Every token that a text may answer with."""
        return frozenset(token for group in self.groups for token in group.tokens)

    def rank(self, holders: Mapping[str, Collection[K]], *, among: int) -> list[K]:
        """Return those texts that answer at least half of the question, the best first.

        Args:
            holders: by token, the texts that hold it.
            among: how many texts there are, for the rarity of a token.
        """
        scores: defaultdict[K, float] = defaultdict(float)
        answered: defaultdict[K, float] = defaultdict(float)
        for group in self.groups:
            reached: dict[K, float] = {}
            for token, likeness in group.tokens.items():
                for one in holders.get(token, ()):
                    reached[one] = max(reached.get(one, 0.0), likeness)
            rarity = group.worth * _rarity(len(reached), among)
            for one, likeness in reached.items():
                scores[one] += rarity * likeness * (1 + _K1) / (likeness + _K1)
                answered[one] += group.worth
        enough = sum(group.worth for group in self.groups) / 2
        return sorted((one for one in scores if answered[one] >= enough), key=lambda one: -scores[one])

    def told(self, prose: str, title: str = "", beside: str = "", place: str | None = None) -> Told:
        """Tell what of a text answers; its title and what else stands `beside` it count, but are not quoted.

        It is of the place whose meaning is given, and of those that its title names.
        """
        said = [(sentence, self._answered(sentence)) for sentence in sentences(prose)]
        if self.places and place not in self.places and self.places.isdisjoint(self._meant(title)):
            return Told(self._snippet(said), 0.0, self.places.isdisjoint(self._meant(f"{beside} {prose}")))
        answered = self._answered(f"{title} {beside}").union(*(groups for _, groups in said))
        # Being of the place says nothing on what is asked about it.
        matter = {at for at in self._asked if self.places.isdisjoint(self.groups[at].tokens)} or self._asked.keys()
        asked = sum(self.rarity[at] for at in matter)
        coverage = sum(self.rarity[at] for at in answered & matter) / asked if asked else 0.0
        return Told(self._snippet(said), coverage)

    @property
    def subjects(self) -> int:
        """How many things the question speaks of; with fewer than two hardly anything is asked."""
        return len(self._asked)

    @cached_property
    def places(self) -> frozenset[str]:
        """The meanings of the places that the question names."""
        return self.tokens & frozenset(self.glossary.places.values())

    @property
    def jurisdictions(self) -> list[str]:
        """The codes of the places that the question names."""
        return [code for code, meaning in self.glossary.places.items() if meaning in self.places]

    def _meant(self, text: str) -> set[str]:
        said, how = words(text), tongue(text)
        spans = self.glossary.spans(said, [stem(word, how) for word in said])
        return {meaning for span in spans for meaning in span.meanings}

    @cached_property
    def _asked(self) -> dict[int, tuple[tuple[str, ...], ...]]:
        """The groups that a text must answer, each as the ways to say it in stems."""
        return {
            place: tuple(
                way
                for token in group.tokens
                for way in (self.glossary.ways(token) if token.startswith("#") else ((token,),))
            )
            for place, group in enumerate(self.groups)
            if not group.echo
        }

    def _answered(self, text: str) -> set[int]:
        (said, counted), how = words_and_numbers(text), tongue(text)
        known = {stem(word, how) for word in said}
        known.update(filter(None, map(beginning, said)))
        known.update(counted)
        return {
            place
            for place, ways in self._asked.items()
            if any(way[0] in known and (len(way) == 1 or known.issuperset(way)) for way in ways)
        }

    def _snippet(self, said: Sequence[tuple[str, set[int]]]) -> str:
        if not said:
            return ""

        def best(known: set[int]) -> tuple[float, int]:
            gains = [sum(self.rarity[place] for place in groups - known) for _, groups in said]
            return max(gains), gains.index(max(gains))

        _, first = best(set())
        gain, second = best(said[first][1])
        one, two = sorted((first, second))
        both = (" " if two == one + 1 else " … ").join((said[one][0], said[two][0]))
        return both if gain and len(both) <= LONGEST_SNIPPET else said[first][0]


class Index:
    """Documents ready to be searched, from any thread; changed by one process at a time.

    Args:
        base: the documents that are always there.
        glossary: what words mean.
        folder: where the index is kept between runs, for every process on this machine; None: in memory. What lies in
            it is only worth the time that it takes to make: whatever does not fit is thrown away and built anew.
    """

    def __init__(self, base: Sequence[Document], glossary: Glossary, folder: Path | None = None) -> None:
        self._base = tuple(base)
        self._glossary = glossary
        self._places = frozenset(glossary.places.values())
        self._schema = _schema()
        self._heard: tuple[list[str], list[str]] = ([], [])
        self._folder = folder / _fingerprint(self._base, glossary) if folder is not None else None
        if self._folder is None:
            self._index = _ready(tantivy.Index(self._schema))
            self._fill(self._index)
        else:
            self._index = self._open(self._folder)
        self.reload()

    @property
    def reached(self) -> int:
        """Up to which change of the store the index has come; 0: it has only its base."""
        return self._reached

    def reload(self) -> None:
        """See what another process has written."""
        self._index.reload()
        searcher = self._index.searcher()
        found = searcher.search(Query.term_query(self._schema, "whole", _STATE, "basic"), 1, count=False).hits
        names = [name for name, _ in searcher.terms_with_prefix("names", "")]
        # Others search meanwhile: what belongs together changes in one step.
        known = dict(zip(*self._heard, strict=True))
        self._heard = (names, [known.get(name) or sound(name) for name in names])
        self._reached = int(searcher.doc(found[0][1])["reached"][0]) if found else 0
        self._size = searcher.num_docs
        self._searcher = searcher
        self._counts: dict[str, int] = {}  # after the searcher: what is counted from now on is counted in it
        if self._folder is not None:
            os.utime(self._folder)  # so that others can tell an index in use from one that was left behind

    def start_over(self) -> bool:
        """Keep the base alone. Returns False, with nothing done, if another process is writing."""
        try:
            self._fill(self._index)
        except ValueError:  # the lock is taken
            return False
        self.reload()
        return True

    def change(self, gone: Iterable[str], come: Iterable[Document], reached: int) -> bool:
        """Take out all parts of what is `gone`, put in what has `come`, and note up to which change that leads.

        Either all of it is done or nothing. Returns False, with nothing done, if another process is writing.
        """
        come = list(come)
        try:
            writer = self._index.writer(_HEAP if len(come) > _MANY else _LITTLE_HEAP, 1)
        except ValueError:  # the lock is taken
            return False
        for whole in gone:
            writer.delete_documents_by_term("whole", whole)
        self._write(writer, come, reached)
        self.reload()
        if self._searcher.num_segments > _MOST_SEGMENTS:
            writer.wait_merging_threads()
            self.reload()
        return True

    def search(
        self, question: Question, *, within: Mapping[str, Collection[str]], limit: int, parts: int = 1
    ) -> list[Found]:
        """Return the documents that answer best, the best first.

        Args:
            question: as `question` reads it.
            within: by the name of a facet, the values one of which a document must have.
            limit: how many at most.
            parts: how many at most that are parts of the same.
        """
        if limit <= 0:
            return []
        ways = [
            (Occur.Should, each)
            for group, rarity in zip(question.groups, question.rarity, strict=True)
            if (each := self._any_of(group, rarity)) is not None
        ]
        if not ways:
            return []
        narrowed = [
            (Occur.Must, Query.const_score_query(_one_of(self._schema, name, values), 0.0))
            for name, values in within.items()
        ]
        query = Query.boolean_query([(Occur.Must, Query.boolean_query(ways)), *narrowed])
        # Parts of one document may crowd out others: then more are looked at.
        most = limit * 4
        while True:
            hits = self._searcher.search(query, most, count=False).hits
            found = self._apart(hits, limit, parts)
            if len(found) >= limit or len(hits) < most or most >= _MOST_LOOKED_AT:
                return sorted(found, key=lambda each: (-each.score, each.key))[:limit]
            most *= 8

    def _apart(self, hits: Sequence[tuple[float, tantivy.DocAddress]], limit: int, parts: int) -> list[Found]:
        """Name what was hit, with so many parts of one document at most, until there are enough."""
        searcher = self._searcher
        found: list[Found] = []
        seen: defaultdict[str, int] = defaultdict(int)
        for score, address in hits:
            if len(found) >= limit and score < found[-1].score:
                break
            key = bytes(searcher.doc(address)["key"][0]).decode()
            whole = key.partition("#")[0]
            seen[whole] += 1
            if seen[whole] <= parts:
                found.append(Found(key, score))
        return found

    def question(self, asked: str, said_in: str | None = None) -> Question:
        """Read a question; whoever knows its language says it."""
        groups = self._groups(asked[:LONGEST_TEXT], said_in)
        return Question(groups, self._glossary, [group.worth * self._rarity(group) for group in groups])

    def tokens(self, text: str, *, every: bool = True) -> Iterator[str]:
        """Yield the tokens of a text, each as often as it is said; of `every` meaning, or of phrases and places."""
        (said, counted), how = words_and_numbers(text), tongue(text)
        stems = [stem(word, how) for word in said]
        for word, its in zip(said, stems, strict=True):
            if word not in LITTLE_WORDS:
                yield its
                if blunt := beginning(word):
                    yield blunt
        yield from counted
        for span in self._glossary.spans(said, stems, alone=every):
            if every or span.end - span.start > 1:
                yield from span.meanings
            else:
                yield from span.meanings & self._places

    def _rarity(self, group: _Group) -> float:
        """Tell how rare it is that a document has any of these tokens, as if they knew nothing of one another."""
        lacking = 1.0
        for token in group.tokens:
            lacking *= 1 - self._held(token) / self._size
        return _rarity(self._size * (1 - lacking), self._size)

    def _held(self, token: str) -> int:
        counts = self._counts
        if (times := counts.get(token)) is None:
            times = counts[token] = self._searcher.doc_freq("tokens", token)
        return times

    def _any_of(self, group: _Group, rarity: float) -> Query | None:
        """Ask for the best of a group's tokens, each weighing what the group weighs; None if it is not worth asking."""
        held = {token: times for token in group.tokens if (times := self._held(token))}
        if group.echo and sum(held.values()) > _MOST_ECHOED:
            return None
        ways = [
            Query.boost_query(
                Query.term_query(self._schema, "tokens", token, "freq"),
                group.tokens[token] * rarity / _rarity(times, self._size),
            )
            for token, times in held.items()
        ]
        if len(ways) < 2:
            return ways[0] if ways else None
        return Query.disjunction_max_query(ways)

    def _groups(self, question: str, said_in: str | None) -> list[_Group]:
        asked, how = words(question)[:LONGEST_QUESTION], said_in or tongue(question)
        stems = [stem(word, how) for word in asked]
        said = {place: _Group(1.0, {stems[place]: 1.0}) for place, word in enumerate(asked) if word not in LITTLE_WORDS}
        blunt = [_Group(_BEGINNING, {cut: 1.0}, echo=True) for place in said if (cut := beginning(asked[place]))]
        whole = [_Group(_NUMBER, {number: 1.0}) for number in numbers(question)[:LONGEST_QUESTION]]
        phrases: list[_Group] = []
        inside: list[tuple[Span, _Group]] = []
        echoes: set[str] = set()
        for span in self._glossary.spans(asked, stems, bluntly=True):
            meanings = dict.fromkeys(span.meanings, 1.0)
            place = not self._places.isdisjoint(meanings)
            ways = (way for meaning in span.meanings - self._places for way in self._glossary.ways(meaning))
            alone = {way[0]: 1.0 for way in ways if len(way) == 1}
            if span.end - span.start > 1:
                worth = _REPEATED if all(map(self._held, stems[span.start : span.end])) else _PHRASE
                # Where no text has the phrase, a word that means it has to do; the question's own are asked for.
                held = any(map(self._held, meanings))
                others = {} if held else {word: 1.0 for word in alone if word not in stems}
                phrase = _Group(_PLACE if place else worth, meanings | others, echo=not place)
                phrases.append(phrase)
                inside.append((span, phrase))
                echoes.update(word for meaning in meanings for word in self._glossary.english(meaning))
            elif group := said.get(span.start):
                group.tokens |= meanings | alone
                group.worth = _PLACE if place else group.worth
        for span, phrase in inside:
            self._weigh([said[at] for at in range(span.start, span.end) if at in said], phrase)
        self._hear_names(asked, said)
        return [
            *said.values(),
            *blunt,
            *whole,
            *phrases,
            *(_Group(_ECHO, {word: 1.0}, echo=True) for word in sorted(echoes.difference(stems))),
        ]

    def _weigh(self, words: Sequence[_Group], phrase: _Group) -> None:
        """Let a phrase speak for its words, where they are of another language than the documents."""
        if not any(map(self._held, phrase.tokens)):
            return
        own = [next(iter(word.tokens)) for word in words]
        if not any(map(self._held, own)):  # alone they may mean something else as well
            for word in words:
                word.worth *= _WITHIN
        for word in words:
            if not any(map(self._held, word.tokens)):
                word.echo, phrase.echo = True, False

    def _hear_names(self, asked: Sequence[str], said: dict[int, _Group]) -> None:
        """Let a word that no document has stand for the names that sound like it: Кади or Kady for Kadi."""
        unknown = [place for place, group in said.items() if not any(map(self._held, group.tokens))]
        for place in unknown[:_NAMES_HEARD]:
            word = asked[place]
            if len(word) not in _NAME_LENGTHS or not word.isalpha():
                continue
            # One letter is half of what tells short names apart, so more of a short one must agree.
            least = 80 if len(word) > 5 else 88
            names, sounds = self._heard
            for heard in filter(None, dict.fromkeys((sound(word), sound(stem(word))))):
                for other, likeness, name in process.extract(
                    heard, sounds, scorer=fuzz.ratio, score_cutoff=least, limit=3
                ):
                    if other[0] == heard[0]:
                        said[place].tokens.setdefault(stem(names[name]), likeness / 100)

    def _open(self, mine: Path) -> tantivy.Index:
        """Open the index of just these documents and this analysis, or build it."""
        try:
            return _ready(tantivy.Index.open(str(mine)))
        except ValueError:  # there is none, or it is broken
            shutil.rmtree(mine, ignore_errors=True)
        mine.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = Path(mkdtemp(dir=mine.parent))
        self._fill(_ready(tantivy.Index(self._schema, str(fresh))))
        try:
            os.rename(fresh, mine)  # noqa: PTH104 whole or not at all; Path.rename says the same less plainly
        except OSError:  # another process was faster
            shutil.rmtree(fresh)
        # An index of another version may be in use beside this one, and another process may be building its own.
        newest = mine.stat().st_mtime
        for other in mine.parent.iterdir():
            if other != mine and other.stat().st_mtime < newest - _LEFT_BEHIND:
                shutil.rmtree(other, ignore_errors=True)
        return _ready(tantivy.Index.open(str(mine)))

    def _fill(self, index: tantivy.Index) -> None:
        writer = index.writer(_LITTLE_HEAP, 1)
        writer.delete_all_documents()
        self._write(writer, self._base, 0)

    def _write(self, writer: tantivy.IndexWriter, come: Iterable[Document], reached: int) -> None:
        for each in come:
            row = tantivy.Document()
            row.add_bytes("key", each.key.encode())
            row.add_text("whole", each.whole)
            row.add_text("tokens", " ".join(self._counted(each)))
            row.add_text("facets", " ".join(each.facets))
            row.add_text("names", " ".join(_names(each.names)))
            writer.add_document(row)
        writer.delete_documents_by_term("whole", _STATE)
        state = tantivy.Document()
        state.add_text("whole", _STATE)
        state.add_unsigned("reached", reached)
        writer.add_document(state)
        writer.commit()

    def _counted(self, document: Document) -> Iterator[str]:
        # The meaning of a single word says no more than its stem: a question asks for all its stems instead.
        for times, text in document.texts:
            yield from list(self.tokens(text, every=False)) * times
        yield from document.meanings * _GIVEN


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_bytes_field("key", stored=True)  # nobody searches for it
    builder.add_text_field("whole", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("tokens", tokenizer_name="between_spaces", index_option="freq")
    builder.add_text_field("facets", tokenizer_name="between_spaces", index_option="basic")
    builder.add_text_field("names", tokenizer_name="between_spaces", index_option="basic")
    builder.add_unsigned_field("reached", stored=True)
    return builder.build()


def _ready(index: tantivy.Index) -> tantivy.Index:
    index.register_tokenizer("between_spaces", tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())
    return index


def _one_of(schema: tantivy.Schema, facet: str, values: Collection[str]) -> Query:
    terms = [Query.term_query(schema, "facets", f"{facet}:{value}", "basic") for value in values]
    return Query.boolean_query([(Occur.Should, each) for each in terms])


def _rarity(held: float, size: int) -> float:
    return log(1 + (size - held + 0.5) / (held + 0.5))


def _fingerprint(base: Sequence[Document], glossary: Glossary) -> str:
    """Name an index by all that its tokens depend on beside the store."""
    said = json.dumps([ANALYSIS, [repr(each) for each in base], glossary.fingerprint], ensure_ascii=False)
    return sha256(said.encode()).hexdigest()[:16]


def _names(text: str) -> Iterator[str]:
    """Yield the words that may be a name: Latin letters, not too short, not a little word."""
    for word in words(text):
        if len(word) in _NAME_LENGTHS and word.isascii() and word.isalpha() and word not in LITTLE_WORDS:
            yield word
