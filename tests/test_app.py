"""The composition root: what runs goes on running, and what cannot run says so."""

import asyncio
from datetime import timedelta

import pytest

from bots.app import App, Stopped
from bots.bot import SignedOut
from bots.courier import Courier
from bots.settings import SECRETS_FILE, EmbeddingsSettings, Settings, WrongSetting, load
from tests.fakes.loopback_embeddings import knowing
from tests.fakes.loopback_model import LoopbackModel, error

KEY = "ab" * 32


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.delenv(SECRETS_FILE, raising=False)
    monkeypatch.setenv("IMPACTHUB_SECRETS__MASTER_KEY", KEY)
    path = tmp_path / "settings.toml"
    path.write_text(
        f'[hub]\nstate = "{tmp_path}"\n'
        f'database = "sqlite:///{tmp_path}/hub.db"\nkeys = "sqlite:///{tmp_path}/keys.db"\n'
        '[networks.uj]\nname = "UJ"\n'
        '[matrix.uj]\nhomeserver = "http://127.0.0.1:1"\nuser = "@hub:localhost"\n'
    )
    return load(path)


class Clumsy:
    """A bot on paper that ends as it is told, time after time."""

    name = "matrix:uj"
    network = "uj"

    def __init__(self, ends: list[Exception]):
        self.ends = ends
        self.runs = 0
        self.up = asyncio.Event()

    async def ready(self) -> None:
        await self.up.wait()

    async def run(self, _dispatcher) -> None:
        self.runs += 1
        if self.ends:
            raise self.ends.pop(0)
        self.up.set()
        await asyncio.Event().wait()

    async def deliver(self, parcel, _reply, _voice) -> str:
        return str(parcel.key)


def with_bot(app: App, bot: Clumsy) -> App:
    async def make(_network):
        courier = Courier(
            bot,
            store=app.store,
            hub=app.hub,
            catalogues=app.catalogues,
            clock=app.clock,
            owner=app.owner,
        )
        return bot, courier

    app._matrix = make
    return app


async def test_a_bot_that_falls_begins_anew(settings):
    async with App.open(settings) as app:
        bot = Clumsy([RuntimeError("a defect")])
        listening = asyncio.Event()
        running = asyncio.create_task(with_bot(app, bot).run(ready=listening.set))
        await asyncio.wait_for(listening.wait(), 20)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert bot.runs == 2


async def test_a_hub_whose_every_bot_was_signed_out_stops_and_says_so(settings):
    async with App.open(settings) as app:
        with pytest.raises(Stopped):
            await with_bot(app, Clumsy([SignedOut("the token is gone")])).run()


async def test_a_bot_that_is_not_set_up_is_named(settings):
    async with App.open(settings) as app:
        with pytest.raises(WrongSetting, match="matrix:moon"):
            await app.run(only="matrix:moon")


async def test_vectors_are_made_while_the_bots_run_and_are_there_at_the_next_start(settings, monkeypatch) -> None:
    async with LoopbackModel(error(503), knowing("sea", "court", "sanctions")) as model:
        chosen = EmbeddingsSettings(kind="endpoint", base_url=model.url, model="m")
        settings = settings.model_copy(update={"embeddings": chosen})
        monkeypatch.setattr("bots.app.FOLLOWED", timedelta(seconds=0.2))  # the first tick fails
        async with App.open(settings) as app:
            dense = app.library.dense
            assert dense.missing == len(app.library.resources)
            running = asyncio.create_task(with_bot(app, Clumsy([])).run())
            while dense.missing:  # noqa: ASYNC110 nobody tells
                await asyncio.sleep(0.05)
            running.cancel()
        asked = len(model.requests)
        async with App.open(settings) as app:
            assert app.library.dense.near([1.0, 0.0, 1.0, 0.0], within={"network": ["uj"]}, most=3)
        assert len(model.requests) == asked
