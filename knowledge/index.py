"""The engine behind look-up: BM25 over a few hundred to some thousand documents, in memory.

A word is looked for by its stem, by its first letters and by its meaning. A meaning is a token like a word:
the glossary writes it into documents of any language and into the question, so that a Ukrainian question
and an English text meet in it. What may stand for one another in a question (a word, its meanings) is one
group: its frequency is the best of theirs, its rarity that of all the documents it reaches together.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Container, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import TypeVar

from rapidfuzz import fuzz, process

from knowledge.glossary import Glossary
from knowledge.words import LITTLE_WORDS, beginning, numbers, sentences, sound, stem, words

LONGEST_TEXT = 2_000
"""Characters of a question that are read: the rest makes an answer slower, not better."""
LONGEST_QUESTION = 40
"""Words of a question that count."""
LONGEST_SNIPPET = 320
"""Characters up to which a second sentence is added to a snippet."""

K = TypeVar("K", bound=Hashable)

# How soon more of the same word counts no further, and how much a long field is held against a document.
_K1, _B = 1.2, 0.4
# What a group is worth beside that of a word. A number or a place narrows a question most. A phrase repeats
# its words; so does the English of a phrase, which helps where a text says only half of it.
_NUMBER, _PLACE, _PHRASE, _BEGINNING, _ECHO = 1.5, 1.75, 0.5, 0.35, 0.2
# How often a meaning given with a document counts as said in it.
_GIVEN = 3.0
# How many unknown words of a question are compared with names, and the lengths for which that makes sense.
_NAMES_HEARD, _NAME_LENGTHS = 6, range(4, 31)


@dataclass(frozen=True, slots=True)
class Document:
    """What the engine knows of a document: its texts, each with its weight, and meanings it has beside them.

    The prose is searched too, with weight 1, and is what a snippet is taken from. All documents of an index
    have the same fields in the same order.
    """

    fields: tuple[tuple[float, str], ...]
    prose: str
    meanings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A document that answers, by its number, and the sentences of its prose that say most about it."""

    number: int
    score: float
    snippet: str


@dataclass(slots=True)
class _Group:
    """Tokens of a question that stand for one another, with their likeness, and what the group is worth."""

    worth: float
    tokens: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """A question as its tokens: for texts that are kept elsewhere, where only their tokens are known."""

    groups: Sequence[_Group]

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
        held = {token: dict.fromkeys(holders[token], 1.0) for token in self.tokens & holders.keys()}
        scores, _ = _scores(self.groups, held, among)
        answered: defaultdict[K, float] = defaultdict(float)
        for group in self.groups:
            for one in {one for token in group.tokens for one in held.get(token, ())}:
                answered[one] += group.worth
        enough = sum(group.worth for group in self.groups) / 2
        return sorted((one for one in scores if answered[one] >= enough), key=lambda one: -scores[one])


class Index:
    """Documents ready to be searched; built once, read from any thread."""

    def __init__(self, documents: Sequence[Document], glossary: Glossary) -> None:
        self._glossary = glossary
        self._places = frozenset(glossary.places.values())
        self._size = len(documents)
        self._postings: defaultdict[str, dict[int, float]] = defaultdict(dict)
        self._prose: list[list[tuple[str, frozenset[str]]]] = []
        read = [self._read(document) for document in documents]
        totals = [sum(map(len, (tokens for _, tokens in column))) for column in zip(*read, strict=True)]
        for number, fields in enumerate(read):
            for (weight, tokens), total in zip(fields, totals, strict=True):
                length = 1 - _B + _B * len(tokens) * self._size / max(total, 1)
                for token, times in Counter(tokens).items():
                    self._note(token, number, weight * times / length)
            for meaning in documents[number].meanings:
                self._note(meaning, number, _GIVEN)
        self._postings.default_factory = None
        self._names = sorted({word for document in documents for word in _names(document)})
        self._sounds = [sound(name) for name in self._names]

    def search(self, question: str, *, among: Container[int], limit: int) -> list[Found]:
        """Return the documents among those given that answer the question best, the best first."""
        groups = self.question(question).groups
        scores, rarity = _scores(groups, self._postings, self._size)
        ranked = sorted((-score, number) for number, score in scores.items() if number in among)
        return [
            Found(number, -score, self._snippet(number, groups, rarity)) for score, number in ranked[: max(limit, 0)]
        ]

    def question(self, question: str) -> Question:
        """Read a question, as `search` does."""
        return Question(self._groups(question[:LONGEST_TEXT]))

    def tokens(self, text: str) -> Iterator[str]:
        """Yield the tokens of a text, each as often as it is said."""
        said = words(text)
        for word in said:
            yield stem(word)
            if blunt := beginning(word):
                yield blunt
        yield from numbers(text)
        for span in self._glossary.spans(said):
            yield from span.meanings

    def _note(self, token: str, number: int, times: float) -> None:
        held = self._postings[token]
        held[number] = held.get(number, 0.0) + times

    def _read(self, document: Document) -> list[tuple[float, list[str]]]:
        prose = [(sentence, list(self.tokens(sentence))) for sentence in sentences(document.prose)]
        self._prose.append([(sentence, frozenset(tokens)) for sentence, tokens in prose])
        fields = [(weight, list(self.tokens(text))) for weight, text in document.fields]
        return [*fields, (1.0, [token for _, tokens in prose for token in tokens])]

    def _groups(self, question: str) -> list[_Group]:
        asked = words(question)[:LONGEST_QUESTION]
        said = {place: _Group(1.0, {stem(word): 1.0}) for place, word in enumerate(asked) if word not in LITTLE_WORDS}
        blunt = [_Group(_BEGINNING, {cut: 1.0}) for place in said if (cut := beginning(asked[place]))]
        whole = [_Group(_NUMBER, {number: 1.0}) for number in numbers(question)[:LONGEST_QUESTION]]
        phrases: list[_Group] = []
        echoes: set[str] = set()
        for span in self._glossary.spans(asked, bluntly=True):
            meanings = dict.fromkeys(span.meanings, 1.0)
            place = not self._places.isdisjoint(meanings)
            if span.end - span.start > 1:
                phrases.append(_Group(_PLACE if place else _PHRASE, meanings))
                echoes.update(word for meaning in meanings for word in self._glossary.english(meaning))
            elif group := said.get(span.start):
                group.tokens |= meanings
                group.worth = _PLACE if place else group.worth
        self._hear_names(asked, said)
        return [
            *said.values(),
            *blunt,
            *whole,
            *phrases,
            *(_Group(_ECHO, {word: 1.0}) for word in sorted(echoes)),
        ]

    def _hear_names(self, asked: Sequence[str], said: dict[int, _Group]) -> None:
        """Let a word that no document has stand for the names that sound like it: Кади or Kady for Kadi."""
        unknown = [place for place, group in said.items() if self._postings.keys().isdisjoint(group.tokens)]
        for place in unknown[:_NAMES_HEARD]:
            word = asked[place]
            if len(word) not in _NAME_LENGTHS or not word.isalpha():
                continue
            # One letter is half of what tells short names apart, so more of a short one must agree.
            least = 80 if len(word) > 5 else 88
            for heard in filter(None, dict.fromkeys((sound(word), sound(stem(word))))):
                for other, likeness, name in process.extract(
                    heard, self._sounds, scorer=fuzz.ratio, score_cutoff=least, limit=3
                ):
                    if other[0] == heard[0]:
                        said[place].tokens.setdefault(stem(self._names[name]), likeness / 100)

    def _snippet(self, number: int, groups: Sequence[_Group], rarity: Sequence[float]) -> str:
        """Return the sentence that says most of what was asked, and another if both are short and it adds."""
        prose = self._prose[number]
        if not prose:
            return ""
        told = [
            {place for place, group in enumerate(groups) if not tokens.isdisjoint(group.tokens)} for _, tokens in prose
        ]

        def best(known: set[int]) -> tuple[float, int]:
            gains = [sum(rarity[group] for group in groups - known) for groups in told]
            return max(gains), gains.index(max(gains))

        _, first = best(set())
        gain, second = best(told[first])
        one, two = sorted((first, second))
        both = (" " if two == one + 1 else " … ").join((prose[one][0], prose[two][0]))
        return both if gain and len(both) <= LONGEST_SNIPPET else prose[first][0]


def _scores(
    groups: Sequence[_Group], postings: Mapping[str, Mapping[K, float]], size: int
) -> tuple[dict[K, float], list[float]]:
    """Tell how well each text answers, by how often it holds which token; and how much each group tells."""
    scores: defaultdict[K, float] = defaultdict(float)
    rarity: list[float] = []
    for group in groups:
        reached: dict[K, float] = {}
        for token, likeness in group.tokens.items():
            for one, times in postings.get(token, {}).items():
                reached[one] = max(reached.get(one, 0.0), likeness * times)
        rarity.append(group.worth * log(1 + (size - len(reached) + 0.5) / (len(reached) + 0.5)))
        for one, times in reached.items():
            scores[one] += rarity[-1] * times * (1 + _K1) / (times + _K1)
    return scores, rarity


def _names(document: Document) -> Iterator[str]:
    """Yield the words of a document that may be a name: Latin letters, not too short, not a little word."""
    for text in (document.prose, *(text for _, text in document.fields)):
        for word in words(text):
            if len(word) in _NAME_LENGTHS and word.isascii() and word.isalpha() and word not in LITTLE_WORDS:
                yield word
