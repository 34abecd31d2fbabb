"""The field lexicon as data: enough of it, in the right letters, without doubles, waiting for native readers."""

import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

import knowledge
from knowledge.words import fold

FOLDER = Path(knowledge.__file__).parent / "glossary"
ROWS = [
    (file.name, json.loads(line))
    for file in sorted((FOLDER / "lexicon").glob("*.jsonl"))
    for line in file.read_text("utf-8").splitlines()
]
LEAST = {"ru": 3000, "uk": 3000, "ka": 800, "hy": 800, "kk": 800, "az": 800, "ro": 800, "be": 800}
LETTERS = {
    "ru": "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
    "uk": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя’",
    "be": "абвгдеёжзійклмнопрстуўфхцчшыьэюя’",
    "kk": "аәбвгғдеёжзийкқлмнңоөпрстуұүфхһцчшщъыіьэюя",
    "ka": "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
    "hy": "աբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆև",
    "ro": "abcdefghijklmnopqrstuvwxyzăâîșț",
    "az": "abcdefghijklmnopqrstuvwxyzçəğıöşü\u0307",
}


def ways(row: dict[str, str], language: str) -> list[str]:
    return row[language].split(" / ") if row.get(language) else []


@pytest.mark.parametrize(("language", "least"), LEAST.items())
def test_there_are_enough_words_to_ask_with(language: str, least: int) -> None:
    assert len({fold(way) for _, row in ROWS for way in ways(row, language)}) >= least


@pytest.mark.parametrize("language", LETTERS)
def test_words_are_written_in_the_letters_of_their_language(language: str) -> None:
    """No Latin letter hides in a Cyrillic word, and no Russian one in a Ukrainian."""
    for file, row in ROWS:
        for way in ways(row, language):
            for word in re.findall(r"[^\s\d\-–()./,«»\"]+", way):
                letters = set(word.casefold())
                foreign = bool(re.fullmatch(r"[a-z0-9&+]+", word.casefold()))  # names as they are: NSO, Frontex
                assert foreign or letters <= set(LETTERS[language]), (file, row["en"], language, word)


def test_rows_are_composed_and_have_no_stray_spaces() -> None:
    for file, row in ROWS:
        for language, said in row.items():
            if isinstance(said, str):
                assert unicodedata.normalize("NFC", said) == said, (file, row["en"], language)
                assert all(way == way.strip() and way for way in said.split(" / ")), (file, row["en"], language)


def test_no_way_stands_twice_in_one_row_and_no_row_twice() -> None:
    for file, row in ROWS:
        for language in ("en", *LETTERS):
            twice = [way for way, times in Counter(map(str.casefold, ways(row, language))).items() if times > 1]
            assert not twice, (file, row["en"], language, twice)
    assert not [words for words, times in Counter(row["en"].casefold() for _, row in ROWS).items() if times > 1]


def test_every_row_says_it_in_english_russian_and_ukrainian_and_names_whom_it_waits_for() -> None:
    for file, row in ROWS:
        assert {"en", "ru", "uk"} <= {name for name, words in row.items() if words}, (file, row)
        said = {language for language in LETTERS if row.get(language)}
        assert set(row["native_review_needed"]) == said, (file, row["en"])
