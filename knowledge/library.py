"""The one door to what the program knows: resources, terms and procedures, loaded once, the same for every reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rapidfuzz import fuzz

from knowledge.glossary import Glossary
from knowledge.index import Document, Index, Question
from knowledge.procedures import Forum, Outcome, Procedures, Region, Stage, Tool
from knowledge.schema import EVERY_NETWORK, BadRow, Resource, Scope, Term, badge, read_rows
from knowledge.words import words

__all__ = [
    "BadRow", "Forum", "Hit", "Library", "Outcome", "Procedures", "Question", "Region", "Resource", "Scope", "Stage",
    "Term", "Tool", "badge",
]  # fmt: skip

LONGEST_TYPED, MOST_TYPED = 100, 12
"""Characters, and folded words among them, that are read of what somebody has typed so far."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A resource that answers a search, how well, and the words of its summary that say so (plain text)."""

    resource: Resource
    score: float
    snippet: str


class Library:
    """Every resource, term and procedure of all networks; nothing in it ever changes, so any thread may read it."""

    def __init__(self, resources: Sequence[Resource], glossary: Glossary, procedures: Procedures | None = None) -> None:
        self.procedures = procedures or Procedures.load()
        """The legal tools with their stages, the forums, outcomes and regions; by default those of the program."""
        self._resources = tuple(resources)
        self._by_id = {resource.id: resource for resource in self._resources}
        self._glossary = glossary
        self._index = Index([_document(resource, glossary) for resource in self._resources], glossary)
        self._labels = [words(f"{resource.id} {resource.title}") for resource in self._resources]

    @classmethod
    def load(cls, folder: Path | None = None) -> Self:
        """Read the folder with resources/ and glossary/, by default the one that comes with the program.

        If the folder has no procedures/, those that come with the program are taken.

        Raises:
            BadRow: a row is wrong; one sentence says the file, the line and the field.
        """
        folder = folder or Path(__file__).parent
        resources = read_rows(sorted((folder / "resources").glob("*.jsonl")), Resource)
        if not resources:
            raise BadRow(f"{folder}/resources: no resources were found.")
        own = folder / "procedures"
        return cls(resources, Glossary.load(folder / "glossary"), Procedures.load(own) if own.is_dir() else None)

    def search(
        self,
        query: str,
        *,
        network: str | None = None,
        kind: str | None = None,
        jurisdiction: str | None = None,
        language: str | None = None,
        limit: int = 5,
    ) -> list[Hit]:
        """Return the resources that answer a question in any of the networks' languages, the best first.

        A network sees its own resources and those that serve every network; None sees all. Kind,
        jurisdiction and the language of the text (codes, in any case) narrow the search further. Any text
        is a valid query; of a very long one the beginning counts.
        """
        among = {
            number
            for number, resource in enumerate(self._resources)
            if (network is None or resource.network in {network, EVERY_NETWORK})
            and (kind is None or resource.kind == kind)
            and (jurisdiction is None or resource.jurisdiction == jurisdiction.upper())
            and (language is None or language.lower() in resource.languages)
        }
        found = self._index.search(query, among=among, limit=limit)
        return [Hit(self._resources[one.number], one.score, one.snippet) for one in found]

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
            for number, resource in enumerate(self._resources)
            if (near := _nearness(typed.strip().lower(), asked, resource.id, self._labels[number]))
        }
        ranked = sorted(nearness, key=lambda number: (-nearness[number], number))
        return [self._resources[number] for number in ranked[: max(limit, 0)]]

    def term(self, word: str, *, network: str | None = None, limit: int = 5) -> list[Term]:
        """Return the terms that a word of any of the glossary's languages may mean, the likeliest first.

        Forgives case, endings, ё or е, apostrophes and small typos. A term tells with
        `needs_review(language)` where its words still wait for a native speaker. The network decides only
        between equals.
        """
        return self._glossary.look_up(word, network=network, limit=limit)

    def jurisdiction(self, typed: str) -> str | None:
        """Return the code of a jurisdiction named by code or in words ("de", "Германии"), or None."""
        code = typed.strip().upper()
        if code in self.jurisdictions():
            return code
        return next((code for code in self._glossary.places_in(typed) if code in self.jurisdictions()), None)

    def question(self, asked: str) -> Question:
        """Read a question that is also put to texts which are kept elsewhere."""
        return self._index.question(asked)

    def tokens(self, text: str) -> frozenset[str]:
        """Return what a text is found by, whatever the language of the question."""
        return frozenset(self._index.tokens(text))

    def places(self, text: str) -> frozenset[str]:
        """Return the codes of all places that a text names."""
        said = self.tokens(text)
        return frozenset(code for code, meaning in self._glossary.places.items() if meaning in said)

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of resources there are, in alphabetical order."""
        return tuple(sorted({resource.kind for resource in self._resources}))

    def jurisdictions(self) -> tuple[str, ...]:
        """Return the codes of the jurisdictions there are, in alphabetical order."""
        return tuple(sorted({resource.jurisdiction for resource in self._resources}))


def _document(resource: Resource, glossary: Glossary) -> Document:
    place = glossary.places.get(resource.jurisdiction)
    return Document(
        fields=(
            (3.0, f"{resource.title} {resource.id}"),
            (2.0, resource.title_original),
            (2.0, resource.citation),
            (2.0, f"{resource.kind} " + "; ".join(resource.tags)),
            (0.7, resource.relevance),
        ),
        prose=resource.summary,
        meanings=(place,) if place else (),
    )


def _nearness(typed: str, asked: Sequence[str], name: str, label: Sequence[str]) -> float:
    if name.startswith(typed):
        return 3 - len(name) / 100 if typed else 1
    if not asked:
        return 0
    if all(any(word.startswith(part) for word in label) for part in asked):
        return 2
    return min(max(fuzz.ratio(part, word, score_cutoff=80) for word in label) for part in asked) / 100
