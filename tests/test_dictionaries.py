"""Dictionaries of the operator's: both formats, packed or not, and whatever is wrong with one."""

import gzip
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knowledge import dictionaries
from knowledge.library import BadRow, Library

WORDS = {
    "мангуст": "<b>мангуст</b><br>/mɐnˈɡust/ <i>n</i> (zool.) mongoose; ichneumon",
    "носорог": "1. rhinoceros, rhino 2. to be as stubborn as a very old rhinoceros in the rain",
    "бежать": "to run; to flee",
}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def base64(number: int) -> str:
    digits = ""
    while number or not digits:
        digits = LETTERS[number % 64] + digits
        number //= 64
    return digits


def stardict(folder: Path, name: str = "rus-eng", *, packed: bool = False) -> Path:
    index, text = b"", b""
    for word, meaning in WORDS.items():
        index += word.encode() + b"\0" + struct.pack(">II", len(text), len(meaning.encode()))
        text += meaning.encode()
    (folder / f"{name}.ifo").write_text("StarDict's dict ifo file\nversion=2.4.2\nsametypesequence=h\nbookname=x\n")
    if packed:
        (folder / f"{name}.idx.gz").write_bytes(gzip.compress(index))
        (folder / f"{name}.dict.dz").write_bytes(gzip.compress(text))
    else:
        (folder / f"{name}.idx").write_bytes(index)
        (folder / f"{name}.dict").write_bytes(text)
    return folder


def dictd(folder: Path, name: str = "freedict-rus-eng") -> Path:
    lines, text = ["00databaseshort\tA\tB"], b"x"
    for word, meaning in WORDS.items():
        lines.append(f"{word}\t{base64(len(text))}\t{base64(len(meaning.encode()))}")
        text += meaning.encode()
    (folder / f"{name}.index").write_text("\n".join(lines) + "\n")
    (folder / f"{name}.dict.dz").write_bytes(gzip.compress(text))
    return folder


def translations(folder: Path, **how: set[str]) -> dict[str, str]:
    return {entry.en: entry.ru for entry in dictionaries.read(folder, **how)}


@pytest.mark.parametrize("packed", [False, True])
def test_stardict_is_read_gloss_by_gloss(tmp_path: Path, packed: bool) -> None:
    assert translations(stardict(tmp_path, packed=packed)) == {
        "mongoose": "мангуст",
        "ichneumon": "мангуст",
        "rhinoceros": "носорог",
        "rhino": "носорог",
        "run": "бежать",
        "flee": "бежать",
    }


def test_what_freedict_ships_is_read_too(tmp_path: Path) -> None:
    assert translations(dictd(tmp_path)) == translations(stardict(tmp_path))


def test_what_the_lexicon_knows_better_is_left_to_it(tmp_path: Path) -> None:
    assert "run" not in translations(stardict(tmp_path), known={"Run"})


def test_a_question_finds_what_only_a_dictionary_translates(tmp_path: Path) -> None:
    from tests.test_library import ROW, folder

    home = folder(tmp_path, ROW | {"title": "Mongoose act", "id": "xx-mongoose"})
    (home / "glossary").mkdir()
    (home / "words").mkdir()
    assert Library.load(home).search("мангусты") == []
    found = Library.load(home, dictionaries=stardict(home / "words")).search("мангусты")
    assert [hit.resource.id for hit in found] == ["xx-mongoose"]


def test_a_name_must_tell_the_languages(tmp_path: Path) -> None:
    with pytest.raises(BadRow, match="must tell its languages"):
        dictionaries.read(stardict(tmp_path, "big"))
    with pytest.raises(BadRow, match="must tell its languages"):
        dictionaries.read(stardict(tmp_path, "deu-eng"))


def test_no_dictionaries_are_no_fault(tmp_path: Path) -> None:
    assert dictionaries.read(tmp_path) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_broken_dictionary_is_one_sentence_and_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    stardict(tmp_path)
    file = data.draw(st.sampled_from(sorted(tmp_path.glob("rus-eng.*"))))
    whole = file.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    file.write_bytes(whole[:cut] + data.draw(st.binary(max_size=6)) + whole[cut + 3 :])
    with suppress(BadRow):
        dictionaries.read(tmp_path)
