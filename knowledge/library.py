"""The one door to what is known: resources and the passages of documents, terms and procedures.

What comes with the program is loaded once. What people add is kept in the store, which this package does not know: it
is told what has changed there, and asks back for the words of what it has found.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rapidfuzz import fuzz

from knowledge.checklists import Checklist, Checklists, Item
from knowledge.glossary import Glossary
from knowledge.index import Document, Found, Index, Question, Told
from knowledge.passage import Passage
from knowledge.procedures import Forum, Outcome, Procedures, Region, Stage, Tool
from knowledge.schema import EVERY_NETWORK, BadRow, Resource, Scope, Term, badge, read_rows
from knowledge.words import words

if TYPE_CHECKING:  # numpy comes in only where vectors are wanted
    from knowledge.dense import Dense

__all__ = [
    "BadRow", "Change", "Checklist", "Forum", "Hit", "Item", "Library", "Outcome", "Passage", "Procedures",
    "Question", "Region", "Resource", "Scope", "Stage", "Stored", "Term", "Tool", "badge",
]  # fmt: skip

LONGEST_TYPED, MOST_TYPED = 100, 12
"""Characters, and folded words among them, that are read of what somebody has typed so far."""

MOST_SAID, MOST_NEAR, NEARNESS = 100, 50, 0.25
"""Of a question with a vector: how many texts that say its words are weighed, how many that mean alike, and what the
second is worth beside the first."""


@dataclass(frozen=True)
class Hit:
    """A resource that answers a search, and why.

    Attributes:
        resource: what was found.
        key: what it was found as: the resource's id, or "id#3" for its third passage.
        score: how well it answers, beside the others of the same search.
        passage: where in the document it stands, if the document itself is in the store.
        asked: the question that it answers.
    """

    resource: Resource
    key: str
    score: float
    passage: Passage | None
    asked: Question = field(repr=False, compare=False)

    @property
    def text(self) -> str:
        """The whole text that was found."""
        return self.passage.text if self.passage else self.resource.summary

    @property
    def snippet(self) -> str:
        """The words of it that say most of what was asked (plain text)."""
        return self._told.snippet

    @property
    def coverage(self) -> float:
        """The share of the question that it speaks of, by the rarity of the words: 0 to 1."""
        return self._told.coverage

    @property
    def elsewhere(self) -> bool:
        """Whether the question names places, and this mentions none of them."""
        return self._told.elsewhere

    @cached_property
    def _told(self) -> Told:
        its = self.resource
        title = f"{its.title}. {its.title_original} {its.citation}"
        beside = f"{its.kind} {'; '.join(its.tags)} {its.id} {self.passage.heading if self.passage else its.relevance}"
        return self.asked.told(self.text, title, beside, self.asked.glossary.places.get(its.jurisdiction))


@dataclass(frozen=True, slots=True)
class Change:
    """A resource of the store that came or changed, with its passages; None: it is gone."""

    id: str
    resource: Resource | None = None
    passages: tuple[Passage, ...] = ()


Stored = Mapping[str, tuple[Resource, Passage | None]]
"""What the store has, by the keys under which it was found: "id" for a resource, "id#3" for its third passage."""


def _nothing(_keys: Sequence[str]) -> Stored:
    return {}


class Library:
    """Every resource, term and procedure of all networks; any thread may read it.

    Args:
        resources: those that come with the program.
        glossary: the terms and the field lexicon.
        procedures: the legal tools with their stages, the forums, outcomes and regions; by default the program's.
        index: the folder in which the search index is kept between runs; None: in memory.
        dense: the vectors of what can be found, if there is an encoder.
    """

    def __init__(
        self,
        resources: Sequence[Resource],
        glossary: Glossary,
        procedures: Procedures | None = None,
        index: Path | None = None,
        dense: "Dense | None" = None,
    ) -> None:
        self.procedures = procedures or Procedures.load()
        self.checklists = Checklists.load()
        self.resources = tuple(resources)
        self._by_id = {resource.id: resource for resource in self.resources}
        self.glossary = glossary
        self._index = Index([_document(resource, glossary) for resource in self.resources], glossary, index)
        self._labels = [words(f"{resource.id} {resource.title}") for resource in self.resources]
        self.dense = dense
        if dense:
            self.mean([Change(resource.id, resource) for resource in self.resources], 0)

    @classmethod
    def load(
        cls,
        folder: Path | None = None,
        index: Path | None = None,
        dictionaries: Path | None = None,
        dense: "Dense | None" = None,
    ) -> Self:
        """Read the folder with resources/ and glossary/, by default the one that comes with the program.

        If the folder has no procedures/, those that come with the program are taken. Dictionaries of the operator's,
        if there is a folder of them, widen what can be asked.

        Raises:
            BadRow: a row is wrong; one sentence says the file, the line and the field.
        """
        folder = folder or Path(__file__).parent
        resources = list(read_rows(sorted((folder / "resources").glob("*.jsonl")), Resource))
        if not resources:
            raise BadRow(f"{folder}/resources: no resources were found.")
        own = folder / "procedures"
        procedures = Procedures.load(own) if own.is_dir() else None
        return cls(resources, Glossary.load(folder / "glossary", dictionaries), procedures, index, dense)

    def search(
        self,
        query: str,
        *,
        network: str | None = None,
        kind: str | None = None,
        jurisdiction: str | None = None,
        language: str | None = None,
        limit: int = 5,
        parts: int = 1,
        stored: Callable[[Sequence[str]], Stored] = _nothing,
        vector: Sequence[float] | None = None,
        shelves: Collection[str] | None = None,
        said_in: str | None = None,
    ) -> list[Hit]:
        """Return what answers a question in any of the networks' languages, the best first.

        A network sees its own resources and those that serve every network; None sees all. Kind,
        jurisdiction and the language of the text (codes, in any case) narrow the search further. Any text
        is a valid query; of a very long one the beginning counts. There are at most `limit` hits, and at most
        `parts` of one document.

        Of what people added, only the `shelves` of these networks are looked at, beside that of every network (None:
        all). `stored` gives what the store has under these keys; what is not there any more, or is nothing for whoever
        asks, it leaves out, and so does the answer. With the question's `vector` what means alike counts as well, among
        what has the question's words; a vector that fits nothing changes nothing. In which language it is asked is
        told from its words, unless somebody says it (`said_in`, a code).
        """
        asked = self._index.question(query, said_in)
        within: dict[str, Collection[str]] = {}
        if network is not None:
            within["network"] = (network, EVERY_NETWORK)
        if kind is not None:
            within["kind"] = (kind,)
        if jurisdiction is not None:
            within["jurisdiction"] = (jurisdiction.upper(),)
        if language is not None:
            within["language"] = (language.lower(),)
        if shelves is not None:
            within["shelf"] = (_PROGRAM, EVERY_NETWORK, *shelves)
        found = self._fused(asked, vector, within, limit, parts) if self.dense and vector is not None else []
        found = found or self._index.search(asked, within=within, limit=limit, parts=parts)
        kept = stored([each.key for each in found if each.key not in self._by_id])
        known = ((each, *kept.get(each.key, (self._by_id.get(each.key.partition("#")[0]), None))) for each in found)
        return [Hit(resource, each.key, each.score, passage, asked) for each, resource, passage in known if resource]

    def _fused(
        self,
        asked: Question,
        vector: Sequence[float],
        within: Mapping[str, Collection[str]],
        limit: int,
        parts: int,
    ) -> list[Found]:
        """Rank by words and by meaning together; nothing where one of them finds nothing."""
        said = {
            each.key: each.score for each in self._index.search(asked, within=within, limit=MOST_SAID, parts=MOST_SAID)
        }
        if self.dense is None or not said:
            return []
        near = self.dense.near(vector, within=within, most=MOST_NEAR, beside=said)
        if not near:
            return []
        by_words, by_meaning = _evened(said, said | near, 0.0), _evened(near, said | near, min(near.values()))
        scores = {key: by_words[key] + NEARNESS * by_meaning[key] for key in by_words}
        found: list[Found] = []
        seen: defaultdict[str, int] = defaultdict(int)
        for key in sorted(scores, key=lambda key: (-scores[key], key)):
            seen[whole := key.partition("#")[0]] += 1
            if seen[whole] <= parts:
                found.append(Found(key, scores[key]))
        return found[: max(limit, 0)]

    def mean(self, changes: Iterable[Change], reached: int) -> None:
        """Let the vectors follow what changed in the store, up to the change with that number, as `follow` look-up."""
        if self.dense:
            parts = ((each.id, each.resource and self._parts(each.resource, each.passages)) for each in changes)
            self.dense.take({id_: its or () for id_, its in parts})
            self.dense.reached = reached

    @property
    def reached(self) -> int:
        """Up to which change of the store look-up knows it; 0: it knows none."""
        return self._index.reached

    def follow(self, changes: Iterable[Change], reached: int) -> bool:
        """Bring look-up up to date with what changed in the store, up to the change with that number.

        Returns False, with nothing done, if another process is about to do it: then `catch_up` sees it later.
        """
        changes = list(changes)
        come = (part for change in changes if change.resource for part in self._parts(change.resource, change.passages))
        return self._index.change([change.id for change in changes], come, reached)

    def catch_up(self) -> None:
        """See what other processes on this machine have brought up to date."""
        self._index.reload()

    def learn(self, stored: Mapping[str, Resource]) -> None:
        """Take resources of the store among one's own: for programs that only name what they find."""
        self.resources = (*self.resources, *stored.values())
        self._by_id |= stored
        self._labels += [words(f"{each.id} {each.title}") for each in stored.values()]

    def start_over(self) -> bool:
        """Forget all that the store had: it is another one now, or an older one. False if another is writing."""
        return self._index.start_over()

    def _parts(self, resource: Resource, passages: Sequence[Passage]) -> Iterable[Document]:
        # Where the text itself is there, a summary of it would only stand before the passage that answers.
        row = resource.model_copy(update={"summary": ""}) if passages else resource
        whole = _document(row, self.glossary, shelf=resource.network)
        yield whole
        for number, passage in enumerate(passages, start=1):
            texts = ((1, resource.title), (2, passage.heading), (1, passage.text))
            yield Document(f"{resource.id}#{number}", texts, facets=whole.facets)

    def resource(self, resource_id: str) -> Resource | None:
        """Return the resource of that id, in any case, or None."""
        return self._by_id.get(resource_id.strip().lower())

    def resources_like(self, typed: str, *, limit: int = 10) -> list[Resource]:
        """Return the resources that somebody may mean who has typed this much of an id or a title.

        First those whose id begins so, then those in whose id or title every word begins a word, then those
        in which every word nearly is one. Nothing typed: the first of the library.
        """
        asked = words(typed[:LONGEST_TYPED])[:MOST_TYPED]
        nearness = {
            number: near
            for number, resource in enumerate(self.resources)
            if (near := _nearness(typed.strip().lower(), asked, resource.id, self._labels[number]))
        }
        ranked = sorted(nearness, key=lambda number: (-nearness[number], number))
        return [self.resources[number] for number in ranked[: max(limit, 0)]]

    def term(self, word: str, *, network: str | None = None, limit: int = 5) -> list[Term]:
        """Return the terms that a word of any of the glossary's languages may mean, the likeliest first.

        Forgives case, endings, ё or е, apostrophes and small typos. A term tells with
        `needs_review(language)` where its words still wait for a native speaker. The network decides only
        between equals.
        """
        return self.glossary.look_up(word, network=network, limit=limit)

    def jurisdiction(self, typed: str) -> str | None:
        """Return the code of a jurisdiction named by code or in words ("de", "Германии"), or None."""
        code = typed.strip().upper()
        if code in self.jurisdictions():
            return code
        return next((code for code in self.glossary.places_in(typed) if code in self.jurisdictions()), None)

    def question(self, asked: str) -> Question:
        """Read a question that is also put to texts which are kept elsewhere."""
        return self._index.question(asked)

    def tokens(self, text: str) -> frozenset[str]:
        """Return what a text is found by, whatever the language of the question."""
        return frozenset(self._index.tokens(text))

    def knows(self, word: str) -> bool:
        """Tell whether a word, in whatever form, means something to the glossary."""
        return self.glossary.knows(word)

    def places(self, text: str) -> frozenset[str]:
        """Return the codes of all places that a text names."""
        said = self.tokens(text)
        return frozenset(code for code, meaning in self.glossary.places.items() if meaning in said)

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of resources there are, in alphabetical order."""
        return tuple(sorted({resource.kind for resource in self.resources}))

    def jurisdictions(self) -> tuple[str, ...]:
        """Return the codes of the jurisdictions there are, in alphabetical order."""
        return tuple(sorted({resource.jurisdiction for resource in self.resources}))


_PROGRAM = "program"
"""The shelf of what comes with the program."""


def _document(resource: Resource, glossary: Glossary, *, shelf: str = _PROGRAM) -> Document:
    place = glossary.places.get(resource.jurisdiction)
    titles, about = f"{resource.title} {resource.id}", f"{resource.kind} " + "; ".join(resource.tags)
    return Document(
        key=resource.id,
        texts=(
            (3, titles),
            (1, resource.title_original),
            (2, resource.citation),
            (2, about),
            (1, resource.relevance),
            (1, resource.summary),
        ),
        meanings=(place,) if place else (),
        facets=(
            f"network:{resource.network}",
            f"shelf:{shelf}",
            f"kind:{resource.kind}",
            f"jurisdiction:{resource.jurisdiction}",
            *(f"language:{language}" for language in resource.languages),
        ),
        names=f"{titles} {resource.title_original} {resource.citation} {about} {resource.summary}",
    )


def _evened(scores: Mapping[str, float], among: Iterable[str], none: float) -> dict[str, float]:
    """Stretch scores over 0 to 1; whoever has none has `none`."""
    values = {key: scores.get(key, none) for key in among}
    low, high = min(values.values()), max(values.values())
    return {key: (value - low) / ((high - low) or 1.0) for key, value in values.items()}


def _nearness(typed: str, asked: Sequence[str], name: str, label: Sequence[str]) -> float:
    if name.startswith(typed):
        return 3 - len(name) / 100 if typed else 1
    if not asked:
        return 0
    if all(any(word.startswith(part) for word in label) for part in asked):
        return 2
    return min(max(fuzz.ratio(part, word, score_cutoff=80) for word in label) for part in asked) / 100
