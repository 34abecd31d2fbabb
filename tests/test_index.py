"""The engine behind look-up: what is found, what another process sees, and what survives a sudden end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import knowledge
from knowledge.glossary import Glossary
from knowledge.index import Document, Found, Index

GLOSSARY = Glossary.load(Path(knowledge.__file__).parent / "glossary")
PLAIN = Glossary([])
BASE = [
    Document(
        "de-law", ((3, "Code of crimes against international law"), (1, "It punishes torture.")), facets=("n:uj",)
    ),
    Document(
        "urgenda", ((3, "Urgenda"), (1, "Emissions must fall.")), facets=("n:climate",), names="Urgenda Foundation"
    ),
]
LETTERS = st.text("abcdefghij", min_size=6, max_size=9)


def keys(index: Index, question: str, *, parts: int = 1, **within: tuple[str, ...]) -> list[str]:
    found = index.search(index.question(question), within=within, limit=10, parts=parts)
    return [each.key for each in found]


def part(number: int, text: str) -> Document:
    return Document(f"doc#{number}", ((1, text),), facets=("n:uj",))


def test_a_question_finds_what_has_its_words_in_any_form() -> None:
    index = Index(BASE, GLOSSARY)
    assert keys(index, "punishing tortures") == ["de-law"]
    assert keys(index, "пытками") == ["de-law"]
    assert keys(index, "катування") == ["de-law"]
    assert keys(index, "Ургенда") == ["urgenda"]  # by its sound
    assert keys(index, "") == keys(index, "the of and") == []


def test_a_question_is_read_by_the_grammar_of_the_language_that_somebody_says() -> None:
    index = Index([Document("courts", ((1, "Uluslararası mahkemeler için kararlar"),)), *BASE], PLAIN)
    assert "mahkeme" in index.question("mahkemelerin", "tr").tokens
    found = index.search(index.question("mahkemelerin", "tr"), within={}, limit=5)
    assert [each.key for each in found] == ["courts"]
    assert index.question("mahkemelerin", "xx").tokens == index.question("mahkemelerin").tokens


def test_facets_narrow_and_parts_of_one_document_do_not_crowd_out_others() -> None:
    index = Index(BASE, PLAIN)
    assert index.change([], [part(n, f"torture again number{n}") for n in range(1, 8)], 1)
    assert keys(index, "torture", n=("climate",)) == []
    assert keys(index, "torture number3", n=("uj", "climate"))[0] == "doc#3"
    assert sum(key.startswith("doc#") for key in keys(index, "torture")) == 1
    assert sum(key.startswith("doc#") for key in keys(index, "torture", parts=3)) == 3


@given(common=st.lists(LETTERS, min_size=3, max_size=6, unique=True), other=LETTERS, filler=LETTERS)
@settings(max_examples=60, deadline=None)
def test_whoever_says_more_of_what_was_asked_comes_first(common: list[str], other: str, filler: str) -> None:
    """Of two texts of one length, the one with all words of the question beats the one that lacks one of them."""
    whole, lacking = " ".join(common), " ".join([*common[:-1], f"x{filler}"])
    index = Index([Document("whole", ((1, whole),)), Document("lacking", ((1, lacking),))], PLAIN)
    found = index.search(index.question(f"{whole} {other}"), within={}, limit=2)
    assert found[0].key == "whole"
    assert found[0].score > found[1].score


@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.lists(st.sampled_from(["torture", "asylum", "coal", "visa"]), max_size=3)),
        max_size=6,
    )
)
@settings(max_examples=25, deadline=None)
def test_step_by_step_or_at_once_the_index_is_the_same(steps: list[tuple[str, list[str]]]) -> None:
    """Changed one by one, an index finds what one finds that was made of the end result."""
    now: dict[str, list[str]] = {}
    grown = Index(BASE, PLAIN)
    for number, (name, texts) in enumerate(steps, start=1):
        now[name] = texts
        assert grown.change([name], [Document(f"{name}#{n}", ((1, text),)) for n, text in enumerate(texts, 1)], number)
    made = Index(
        [*BASE, *(Document(f"{name}#{n}", ((1, t),)) for name, ts in now.items() for n, t in enumerate(ts, 1))], PLAIN
    )
    for word in ("torture", "asylum", "coal", "visa"):
        assert set(keys(grown, word, parts=9)) == set(keys(made, word, parts=9))
    assert grown.reached == len(steps)


# In a folder, for several processes


def test_another_process_sees_a_change_when_it_looks(tmp_path: Path) -> None:
    one, other = Index(BASE, PLAIN, tmp_path), Index(BASE, PLAIN, tmp_path)
    assert one.change([], [part(1, "asylum")], 7)
    assert keys(other, "asylum") == []
    other.reload()
    assert keys(other, "asylum") == ["doc#1"]
    assert other.reached == 7
    later = Index(BASE, PLAIN, tmp_path)
    assert (keys(later, "asylum"), later.reached) == (["doc#1"], 7)


def test_while_one_writes_another_does_nothing(tmp_path: Path) -> None:
    one, other = Index(BASE, PLAIN, tmp_path), Index(BASE, PLAIN, tmp_path)
    writer = one._index.writer(15_000_000, 1)
    assert not other.change([], [part(1, "asylum")], 1)
    assert other.reached == 0
    del writer
    assert other.change([], [part(1, "asylum")], 1)


def test_other_base_or_other_words_and_another_is_built_beside_it(tmp_path: Path) -> None:
    first = Index(BASE, PLAIN, tmp_path)
    first.change([], [part(1, "asylum")], 1)
    fewer = Index(BASE[:1], PLAIN, tmp_path)
    assert (fewer.reached, keys(fewer, "asylum")) == (0, [])
    assert first.change([], [part(2, "asylum")], 2), "another version beside it does not harm one in use"
    assert len(list(tmp_path.iterdir())) == 2
    for left in tmp_path.iterdir():
        os.utime(left, (1, 1))
    assert Index(BASE[:1], GLOSSARY, tmp_path).reached == 0
    assert len(list(tmp_path.iterdir())) == 1, "what nobody looked at for a day is cleared away"


def test_one_long_document_does_not_hide_the_others() -> None:
    index = Index([Document(f"short-{n}", ((1, "torture"),)) for n in range(4)], PLAIN)
    long = [Document(f"long#{n}", ((1, "torture torture torture"),)) for n in range(1, 400)]
    index.change([], long, 1)
    found = index.search(index.question("torture"), within={}, limit=5)
    assert sorted(each.key.partition("#")[0] for each in found) == ["long", *(f"short-{n}" for n in range(4))]


@pytest.mark.parametrize("harm", ["empty", "half", "gone"])
def test_what_is_broken_is_built_anew(tmp_path: Path, harm: str) -> None:
    Index(BASE, PLAIN, tmp_path).change([], [part(1, "asylum")], 1)
    for file in next(tmp_path.iterdir()).iterdir():
        if harm == "gone" and file.name != "meta.json":
            file.unlink()
        elif harm != "gone" and file.name == "meta.json":
            file.write_bytes(file.read_bytes()[: 0 if harm == "empty" else 40])
    again = Index(BASE, PLAIN, tmp_path)
    assert (again.reached, keys(again, "torture")) == (0, ["de-law"])
    assert again.change([], [part(1, "asylum")], 1)


WRITER = """
import sys
from pathlib import Path
from tests.test_index import BASE, PLAIN, Document, Index
index = Index(BASE, PLAIN, Path(sys.argv[1]))
number = index.reached
print("ready", flush=True)
while True:
    number += 1
    index.change(["doc"], [Document(f"doc#{n}", ((1, f"asylum turn{number}"),)) for n in range(1, 6)], number)
"""


def test_killed_while_writing_it_is_whole(tmp_path: Path) -> None:
    for round_ in range(4):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.15 + 0.11 * round_)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        left = Index(BASE, PLAIN, tmp_path)
        assert keys(left, "torture") == ["de-law"]
        if left.reached:
            assert len(keys(left, f"turn{left.reached}", parts=9)) == 5
            assert len(keys(left, "asylum", parts=9)) == 5
    assert left.reached > 0
    assert left.change(["doc"], [], left.reached + 1)
    assert keys(left, "asylum") == []


def test_an_older_store_makes_it_start_over() -> None:
    index = Index(BASE, PLAIN)
    index.change([], [part(1, "asylum")], 9)
    index.start_over()
    assert (index.reached, keys(index, "asylum"), keys(index, "torture")) == (0, [], ["de-law"])


def test_hits_are_in_the_same_order_every_time() -> None:
    index = Index([Document(f"d{n}", ((1, "torture"),)) for n in range(20)], PLAIN)

    def order() -> Iterator[Found]:
        yield from index.search(index.question("torture"), within={}, limit=20)

    assert [each.key for each in order()] == sorted(f"d{n}" for n in range(20))
