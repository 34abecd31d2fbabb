"""A bot in a process of its own, to be killed: `python mortal_bot.py SETTINGS`."""

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from bots.matrix.client import MatrixAccount
from storage.sealed import Vault
from storage.store import Store
from tests.synapse import MASTER, Running


async def main() -> None:
    settings = json.loads(sys.argv[1])
    folder = settings.pop("store")
    settings["folder"] = Path(settings["folder"])
    account = MatrixAccount(**settings, pickle_secret="a secret for tests", sync_timeout=5)
    vault = Vault(f"sqlite:///{folder}/keys.db", MASTER)
    one = Running(account, Store(f"sqlite:///{folder}/hub.db", vault=vault, synchronous="NORMAL"))
    one.begin()
    assert one.listening is not None
    await one.listening


asyncio.run(main())
