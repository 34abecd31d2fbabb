"""Short codes that people read aloud and type: "B-7K3FQ".

Crockford's base 32 (no I, L, O, U), and one check character more, so that a slip of the finger becomes
"unknown code" and never somebody else's booking. The check is a parity over GF(32): it notices every single
wrong character and every pair that changed places. The prefix is part of it, so that a case's code is no
booking's.
"""

import random
import re
from collections.abc import Collection
from itertools import pairwise
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

_VALUE: Final = {character: value for value, character in enumerate(ALPHABET)}
# What people type for something else that looks the same, from a Latin or from a Cyrillic keyboard.
_LOOKALIKE: Final = str.maketrans("OILUАВЕЗКМНОРСТХУІ", "011VABE3KMH0PCTXY1")
_POLYNOMIAL: Final = 0b100101  # x^5 + x^2 + 1 is primitive: its powers of x differ for 31 positions

_WORD: Final = re.compile(r"[^\W_]+")
_DASH: Final = frozenset("-–—‑")
_WIDEST: Final = 3
"""Characters between the prefix of a code and what follows it."""
_SHORTEST: Final = 5
_LONGEST: Final = 12
"""Characters that a code has, at least without its prefix and at most with it."""


def draw(rng: random.Random, prefix: str, length: int = 5) -> str:
    """Draw a new code such as "B-7K3FQ".

    Args:
        rng: where chance comes from; the system's in production, seeded in tests.
        prefix: one or two Latin capitals that tell what the code names.
        length: how many characters follow the dash, the check character included. Five give a million
            codes: whoever stores one still needs a unique column.
    """
    while True:
        body = "".join(rng.choice(ALPHABET) for _ in range(length - 1))
        body += check(prefix, body)
        if not body.startswith(prefix.translate(_LOOKALIKE)):  # or nobody could leave the prefix out
            return f"{prefix}-{body}"


def read(text: str, prefix: str) -> str | None:
    """Read a typed code, forgiving case, spaces, dashes, a missing prefix and look-alikes (O for 0, В for B).

    Returns:
        The code exactly as `draw` wrote it, or None when it is not one of this prefix.
    """
    typed = _squeezed(text)
    body = typed.removeprefix(prefix.translate(_LOOKALIKE))
    if len(body) > 1 and _VALUE.keys() >= set(body) and check(prefix, body[:-1]) == body[-1]:
        return f"{prefix}-{body}"
    return None


def is_meant(text: str, prefixes: Collection[str]) -> bool:
    """Whether somebody who typed this meant a code of one of the prefixes, be it right, wrong or misspelled.

    Whatever `read` reads is one, up to the length of a code. A wrong check character saves nobody from being counted:
    a code's characters are one as well if there is a digit, or the prefix before at least five of them. Other words
    are no codes.
    """
    typed = _squeezed(text)
    if len(typed) > _LONGEST or not _VALUE.keys() >= set(typed):
        return False
    if any(read(text, prefix) is not None for prefix in prefixes):
        return True
    begun = (typed.removeprefix(_squeezed(prefix)) for prefix in prefixes if typed.startswith(_squeezed(prefix)))
    return any(map(str.isdigit, text)) or any(len(body) >= _SHORTEST for body in begun)


def named_in(text: str, prefixes: Collection[str]) -> frozenset[str]:
    """The codes of these prefixes that a text names with their prefix: "C-M9S346", "(c m9s346)", "CM9S346".

    An ordinary word can happen to be a code. So what has no digit is one only with a dash, or in capitals.
    """
    words = list(_WORD.finditer(text))
    written = [each[0] for each in words]
    written += [text[one.start() : two.end()] for one, two in pairwise(words) if two.start() - one.end() <= _WIDEST]
    found: set[str] = set()
    for each in written:
        evident = each.isupper() or any(map(str.isdigit, each)) or not _DASH.isdisjoint(each)
        for prefix in prefixes:
            body = _squeezed(each).removeprefix(_squeezed(prefix))
            if evident and _squeezed(each) != body and len(body) >= _SHORTEST and (code := read(each, prefix)):
                found.add(code)
    return frozenset(found)


def _squeezed(text: str) -> str:
    return "".join(filter(str.isalnum, text)).upper().translate(_LOOKALIKE)


def check(prefix: str, body: str) -> str:
    """The character that makes prefix and body add up to zero."""
    total = 0
    for value in [*(ord(letter) % 32 for letter in prefix), *(_VALUE[character] for character in body)]:
        total = _times_x(total) ^ value
    return ALPHABET[_times_x(total)]


def _times_x(element: int) -> int:
    doubled = element << 1
    return doubled ^ _POLYNOMIAL if doubled & 32 else doubled
