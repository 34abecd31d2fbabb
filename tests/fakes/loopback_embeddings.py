"""An endpoint that makes vectors, on loopback: those of words that it knows, or whatever a test has it say."""

import json
from collections.abc import Sequence

from tests.fakes.loopback_model import Answer, Request


def given(vectors: Sequence[object]) -> Answer:
    """Return vectors as such a server wraps them; not in their order, which it need not keep."""
    rows = [{"object": "embedding", "index": place, "embedding": each} for place, each in enumerate(vectors)]
    return Answer(json.dumps({"object": "list", "model": "loopback", "data": rows[::-1]}).encode())


def vector(text: str, words: Sequence[str]) -> list[float]:
    """Tell which of these words a text has; no text is without any direction."""
    return [0.01, *(1.0 if word in text.casefold() else 0.0 for word in words)]


def knowing(*words: str) -> object:
    """Return what answers every request with one number for each of these words."""

    def answer(request: Request) -> Answer:
        return given([vector(text, words) for text in request.body["input"]])

    return answer
