"""Where a document belongs: the code for what its file, or an operator, says in words, and what its title tells."""

import re
from collections.abc import Collection
from typing import Final

from knowledge.glossary import Glossary
from knowledge.ingest.draft import Draft
from knowledge.words import stem, tongue, words

_NAMED_AFTER: Final = frozenset(("case", "regulation", "statute"))
"""Kinds whose titles name the state whose they are; a report or a treaty may be about any."""

_PARTIES = re.compile(r"\bv\.?\s|\bvs\b|\bпроти\b|\bпротив\b|\bсупраць\b", re.IGNORECASE)
_WHOSE = re.compile(r"\bof (?:the )?((?:[A-Z][\w’'-]*|of|the)(?: (?:[A-Z][\w’'-]*|of|the))*)")
"""In an English title, whose a law is: "Criminal Code of Ukraine", but not "Ukraine Freedom Support Act"."""

_UNSTEMMED = re.compile("[ა-ჿәғқңөұүһğışəöü]")
"""Letters of Georgian, Kazakh, Azerbaijani and Turkish."""


class Places:
    """The jurisdictions that the library knows.

    Args:
        glossary: what they are called.
        codes: further codes that are in use.
    """

    def __init__(self, glossary: Glossary, codes: Collection[str]) -> None:
        self._glossary = glossary
        self._by_meaning = {meaning: code for code, meaning in glossary.places.items()}
        self._codes = frozenset((*codes, *glossary.places))

    def code(self, said: str) -> str | None:
        """Return the code of a jurisdiction named by its code or in words ("ge", "Россия"); None if none or several."""
        if (code := said.strip().upper()) in self._codes:
            return code
        named = self._named(said)
        return named.pop() if len(named) == 1 else None

    def of(self, draft: Draft) -> str | None:
        """Return the code of the one state that a law or a judgment names as its own, in its title or its first line.

        None if it names none or several. A judgment between parties tells with their names nothing about the court.
        """
        if draft.kind not in _NAMED_AFTER:
            return None
        first = draft.passages[0] if draft.passages and not draft.where else None
        heads = [first.heading.partition(" › ")[0], first.text.partition("\n")[0]] if first else []
        for head in (draft.title, *heads):
            if head.endswith((".", ";", ":", ",")) or _PARTIES.search(head):
                continue
            whose = " / ".join(_WHOSE.findall(head)) if draft.language == "en" else head
            if named := self._named(whose):
                return named.pop() if len(named) == 1 else None
        return None

    def _named(self, text: str) -> set[str]:
        said, how = words(text), tongue(text)
        spans = self._glossary.spans(said, [stem(word, how) for word in said])
        meanings = (meaning for span in spans for meaning in span.meanings)
        named = {self._by_meaning[meaning] for meaning in meanings if meaning in self._by_meaning}
        # By its beginning alone Niger is Nigeria: only where no stemmer takes the endings off.
        return named or (set(self._glossary.places_in(text)) if _UNSTEMMED.search(text.casefold()) else set())
