"""The survivor guard: what in a text could lead to a victim, a witness or somebody close to them.

Survivors' accounts do not belong into a chat. Every free text that people type is read here before anything else
is done with it: by rules, in English, Ukrainian and Russian, freely mixed; without a model, a network or a memory.
A finding says of which kind it is and where it stands, never what was written.

A text becomes tokens (tokens.py), words get the marks of the tables in words.toml (marks.py), names are known by
names.toml (names.py), and every rule (rules.py) asks what stands near what (reading.py). Rules judge what is close
together: words before or after a dangerous passage do not hide it, and the work grows no faster than the text.
"""

from dataclasses import dataclass

from knowledge.guard.names import Shape
from knowledge.guard.reading import Read
from knowledge.guard.rules import RULES, Danger

__all__ = ["Danger", "Finding", "findings", "names_somebody"]

# One word that ends like a family name, and two that nobody knows, are mostly something else.
_SURELY_NAMES = frozenset(Shape) - {Shape.FAMILY, Shape.PAIR}


@dataclass(frozen=True, slots=True)
class Finding:
    """A stretch of the text, from `start` up to `end`, that is likely to identify somebody who needs protection."""

    kind: Danger
    start: int
    end: int


def findings(text: str) -> tuple[Finding, ...]:
    """Return what in the text is likely to identify a victim or a witness, in the order of the text.

    An empty tuple means that the text may pass. The same text always gives the same findings.
    """
    read = Read(text)
    found = {(start, end, kind) for kind, rule in RULES for start, end in rule(read) if start < end}
    return tuple(Finding(kind, start, end) for start, end, kind in sorted(found))


def names_somebody(text: str) -> bool:
    """Tell whether a text names a person who is not known to all, whatever it says of them."""
    return any(name.shape in _SURELY_NAMES for name in Read(text).people)
