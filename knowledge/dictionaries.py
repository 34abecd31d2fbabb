"""Dictionaries that an operator may add: StarDict and FreeDict files, from a language of the networks into English.

They widen what can be asked and are never shown. Most are under licences of their own, so none comes with the program.
A dictionary is named by its languages as FreeDict does it, rus-eng or ukr-eng, and lies in the folder as StarDict
(.ifo, .idx, .dict) or as dictd (.index, .dict); the last of each may be compressed (.gz, .dz).
"""

import gzip
import re
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator
from html import unescape
from pathlib import Path
from struct import error as struct_error
from struct import unpack_from

from knowledge.schema import BadRow, Entry
from knowledge.words import fold

LARGEST = 400_000_000
"""Bytes of one file, unpacked."""
LANGUAGES = {
    "rus": "ru", "ukr": "uk", "bel": "be", "kat": "ka", "hye": "hy", "kaz": "kk", "aze": "az", "ron": "ro",
    **{code: code for code in ("ru", "uk", "be", "ka", "hy", "kk", "az", "ro")},
}  # fmt: skip

# Glosses of one word that count, and words of the longest gloss: what is longer explains and translates nothing.
_MOST_GLOSSES, _LONGEST_GLOSS = 8, 3
_NAME = re.compile(r"(?:^|[^a-z])([a-z]{2,3})[-_](?:eng|en)(?:[^a-z]|$)")
_TAG = re.compile(r"<[^>]*>")
_ASIDE = re.compile(r"\([^)]*\)|\[[^\]]*\]|/[^/\n]{1,60}/|\{[^}]*\}")
_APART = re.compile(r"[;,\n•]|\b\d+[.)]")
_GLOSS = re.compile(r"[a-z][a-z' -]{1,40}")
_DIGITS = {
    letter: value for value, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}


def read(folder: Path, known: Collection[str] = ()) -> list[Entry]:
    """Return the words of every dictionary in a folder, one line for each English gloss.

    Args:
        folder: where the dictionaries lie; none there: an empty list.
        known: English words that the field lexicon has already: its own translations are better.

    Raises:
        BadRow: a file cannot be read; one sentence.
    """
    skipped = {fold(each) for each in known}
    said: defaultdict[str, defaultdict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    for file in sorted((*folder.glob("*.ifo"), *folder.glob("*.index"))):
        named = _NAME.search(file.name.casefold())
        language = LANGUAGES.get(named[1]) if named else None
        if language is None:
            raise BadRow(f"{file.name}: its name must tell its languages, such as rus-eng or uk-en.")
        try:
            for word, meaning in _stardict(file) if file.suffix == ".ifo" else _dictd(file):
                for gloss in _glosses(meaning):
                    if gloss not in skipped:
                        said[gloss][language][word] = None
        except (OSError, EOFError, zlib.error, UnicodeDecodeError, ValueError, struct_error, KeyError) as error:
            raise BadRow(f"{file.name}: this dictionary cannot be read ({error}).") from error
    return [_entry(gloss, words) for gloss, words in sorted(said.items())]


def _entry(gloss: str, words: dict[str, dict[str, None]]) -> Entry:
    ways = {language: _joined(each) for language, each in words.items()}
    return Entry(en=gloss, native_review_needed=tuple(sorted(ways)), **ways)


def _joined(words: dict[str, None], longest: int = 300) -> str:
    joined = ""
    for word in words:
        more = f"{joined} / {word}" if joined else word
        if len(more) <= longest:
            joined = more
    return joined


def _glosses(meaning: str) -> list[str]:
    plain = _ASIDE.sub(" ", unescape(_TAG.sub(" ", meaning.replace("<br", "\n<br"))))
    found: dict[str, None] = {}
    for part in _APART.split(plain.casefold()):
        # A letter in front tells the part of speech.
        words = " ".join(word for word in part.split() if len(word) > 1)
        words = words.removeprefix("to ").removeprefix("a ").removeprefix("the ").strip(" .:-")
        if _GLOSS.fullmatch(words) and words.count(" ") < _LONGEST_GLOSS:
            found[words] = None
    return list(found)[:_MOST_GLOSSES]


def _stardict(ifo: Path) -> Iterator[tuple[str, str]]:
    facts = dict(line.split("=", 1) for line in ifo.read_text("utf-8").splitlines() if "=" in line)
    wide = facts.get("idxoffsetbits") == "64"
    index, text = _bytes(ifo, ".idx", ".idx.gz"), _bytes(ifo, ".dict", ".dict.dz")
    # Without this key each field of an entry begins with a letter that tells its kind, and ends with a zero.
    typed = "sametypesequence" not in facts
    at = 0
    while at < len(index):
        end = index.index(b"\0", at)
        offset, size = unpack_from(">QI" if wide else ">II", index, end + 1)
        word = index[at:end].decode("utf-8")
        at = end + (13 if wide else 9)
        meaning = text[offset : offset + size]
        yield from _kept(word, meaning[1:].split(b"\0")[0] if typed else meaning)


def _dictd(index: Path) -> Iterator[tuple[str, str]]:
    text = _bytes(index, ".dict", ".dict.dz")
    for line in index.read_text("utf-8").splitlines():
        word, offset, size = line.split("\t")[:3]
        if not word.startswith("00database"):
            start = _number(offset)
            yield from _kept(word, text[start : start + _number(size)])


def _kept(word: str, meaning: bytes) -> Iterator[tuple[str, str]]:
    word = word.strip()
    if word and len(word) <= 60 and " / " not in word:
        yield word, meaning.decode("utf-8")


def _number(letters: str) -> int:
    value = 0
    for letter in letters:
        value = value * 64 + _DIGITS[letter]
    return value


def _bytes(beside: Path, *suffixes: str) -> bytes:
    """Read the file of the same name with one of these suffixes, unpacked.

    Raises:
        ValueError: there is none, or it is larger than we read.
    """
    for suffix in suffixes:
        file = beside.with_name(beside.stem + suffix)
        if file.is_file():
            packed = suffix.endswith((".gz", ".dz"))
            with gzip.open(file) if packed else file.open("rb") as opened:
                data: bytes = opened.read(LARGEST + 1)
            if len(data) > LARGEST:
                raise ValueError(f"{file.name} is too large")
            return data
    raise ValueError(f"there is no {beside.stem}{suffixes[0]} beside it")
