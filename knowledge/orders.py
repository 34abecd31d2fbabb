"""What may not be said to a reader as if it were law: orders, links, mentions, markup, command lines.

Passages come from documents that others wrote, and so does what a model makes of them. A passage that speaks to
whoever reads it, or to the machine that does, is not quoted. Legal guides give orders, too ("File within four
months"), so an order is known by what it wants: that something be disregarded, handed over, opened, run, paid or
said. The words are in orders.toml.

Tables know the usual ways to say so, and whoever plants an order may find another: of 46 orders that were worded after
the tables, to slip past them, 14 were known at first sight. So this is the last of three nets. The others are that only
public documents are quoted, which somebody took in, and that what a model says once it obeys is not in its passages.
"""

import re
import tomllib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from knowledge.guard.tokens import plain, tokens
from knowledge.words import fold, sentences


def forbidden(text: str) -> bool:
    """Tell whether a text carries a link, a mention, markup, a command line or an order to its reader."""
    said, _ = plain(text)
    return bool(_SIGNS.search(said) or _DIRECTION.search(text)) or _orders(said)


def quotable(text: str) -> str:
    """Return the sentences of a text that may be shown, with " … " where some are left out; perhaps nothing."""
    shown: list[str] = []
    gap = False
    for sentence in sentences(text):
        if forbidden(sentence):
            gap = bool(shown)
        else:
            shown += ["…", sentence] if gap else [sentence]
            gap = False
    return " ".join(shown)


# Signs that turn the direction of writing, or carry a text that nobody sees.
_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_SIGNS = re.compile(
    r"""
    [a-z][a-z0-9+.-]{1,12}:// | \bwww\. | \b(?:mailto|javascript|tel|data):\S
    | (?<![\w@]) (?: [\w-]{1,63} \. ){1,5}
      (?: com|org|net|info|biz|int|gov|edu|io|me|app|dev|site|online|xyz|link|click|top|example|invalid|test|onion
        | eu|ua|ru|by|kz|ge|am|az|md|kg|uz|tj|tm|pl|de|fr|nl|be|ch|uk|us|ca|рф|укр ) (?! [\w-] | \.\w )
    | hxxps? | \[ \.? (?: dot | \. ) \]
    | @ [\w.-]{2,} | <[@\#] | \w\#\d{4}\b
    | (?: [a-z]+[а-яіїєґ]+ ){2} | (?: [а-яіїєґ]+[a-z]+ ){2}
    | ``? | \*\* | __ | ~~ | \|\| | \]\( | < [a-z/!?] | &\#?\w{2,8}; | \{\{ | ^\s{0,3}\#{1,6}\s | \[/?INST
    | (?: ^ | \s ) (?: [!/] [^\W\d_]{2,} (?! [\w/] ) | \$ \s? [a-z]+ \s )
    | \b (?: sudo | wget | curl | chmod | powershell | cmd\.exe | rm \s -\w | pip3? \s install | npm \s install
      | ssh \s \S+@ | bash \s -c | eval\( | base64 ) \b
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)


def _table(lines: Iterable[str]) -> re.Pattern[str]:
    said = (fold(word.replace("_", " ")).replace(" ", "_") for word in " ".join(lines).split())
    return re.compile("|".join(re.escape(word).replace(r"\*", r"[^\W_]*") for word in said))


_TABLES = {
    name: _table(languages.values())
    for name, languages in tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")).items()
}
# How an order ends in Ukrainian and Russian; so does no infinitive.
_IMPERATIVE = re.compile(r"(?!.*(?:ти|[аеиоуыюяє]ть|т[иь]ся|тись)$).*(?:й|йте|іть|їть|ите|[жчшщ]те|и|ь|ьте)")
_ROLE = re.compile(
    r"\s*(?:(?:system|assistant|user|developer|human|система|асистент|ассистент)\s*[:,]|(?:new\s+rules?|нов\w+\s+правил\w+)\s*:)",
    re.IGNORECASE,
)


class _Words:
    """The words of a text, each with the tables in which it stands, alone or with the next."""

    def __init__(self, text: str) -> None:
        self.tables: list[set[str]] = []
        self._orders: list[bool] = []
        said = list(tokens(text))
        words = [(token, before) for before, token in pairwise([None, *said]) if token and token.kind == "word"]
        following = [token.key for token, _ in words[1:]]
        for (token, before), after in zip(words, [*following, ""], strict=False):
            ways = (token.key, f"{token.key}_{after}")
            led = (
                before is None
                or (before.kind == "sign" and before.said != ",")
                or bool(self.tables and "before" in self.tables[-1])
            )
            self._orders.append(led if token.key.isascii() else bool(_IMPERATIVE.fullmatch(token.key)))
            self.tables.append({name for name, table in _TABLES.items() if any(map(table.fullmatch, ways))})

    def near(self, one: str, two: str, within: int, *, order: bool = False, after: bool = False) -> bool:
        """Tell whether a word of one table stands near one of another.

        Args:
            one: the first table.
            two: the other.
            within: how many words apart they may be.
            order: the first must have the form or the place of an order.
            after: the other must follow.
        """
        for place, tables in enumerate(self.tables):
            if one not in tables or (order and not self._orders[place]):
                continue
            around = range(place + 1 if after else max(place - within, 0), min(place + within + 1, len(self.tables)))
            if any(two in self.tables[other] for other in around if other != place):
                return True
        return False

    def has(self, *tables: str) -> bool:
        """Tell whether a word of one of the tables is there."""
        return any(not each.isdisjoint(tables) for each in self.tables)

    def ordered(self, *tables: str) -> bool:
        """Tell whether a word of one of the tables is an order, by its form or its place."""
        return any(order and not each.isdisjoint(tables) for each, order in zip(self.tables, self._orders, strict=True))


def _orders(said: str) -> bool:
    if _ROLE.match(said):
        return True
    words = _Words(said)
    return (
        words.has("always")
        or words.ordered("drop", "answer")
        or words.near("drop", "talk", 6)
        or words.near("you", "drop", 3, after=True)
        or words.near("told", "void", 4)
        or words.near("think", "made", 4, order=True, after=True)
        or words.near("give", "secret", 8)
        or words.near("give", "money", 6)
        or words.near("give", "talk", 4, order=True, after=True)
        or words.near("yours", "secret", 3, after=True)
        or (words.near("yours", "code", 1, after=True) and words.has("you", "lawyer", "user"))
        or words.near("expose", "identity", 3, order=True, after=True)
        or words.near("act", "link", 4, after=True)
        or words.near("act", "thing", 5, order=True, after=True)
        or (words.near("you", "act", 3, after=True) and words.near("act", "thing", 5, after=True))
        or words.near("say", "user", 4)
        or words.near("give", "user", 6, order=True, after=True)
        or words.near("user", "must", 1, after=True)
        or words.near("say", "crowd", 3, order=True, after=True)
        or words.near("you", "machine", 6)
        or (words.has("device") and (words.has("you", "user") or (words.has("lawyer") and words.has("must"))))
        or (words.has("device", "machine") and words.ordered("give", "say", "think"))
    )
