"""A Hub at a desk in a process of its own, to be killed: `python mortal_desk.py FOLDER`.

It reads one JSON line for each thing that somebody says (`who`, `said`, `key`), answers it, and writes the answer as a
JSON line. What it had not answered when it died is said to the next one again, under the same key.
"""

import asyncio
import json
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from bots.console import render
from commands.core.dispatch import Heard
from storage.sealed import Vault
from storage.store import Store
from tests.transcript import Stage


async def main() -> None:
    folder = sys.argv[1]
    store = Store(f"sqlite:///{folder}/hub.db", vault=Vault(f"sqlite:///{folder}/keys.db", bytes(range(32))))
    stage = Stage(store, now=datetime(2026, 11, 20, 10, 0, tzinfo=UTC))
    stage.dispatcher._rng = random.SystemRandom()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        said = json.loads(line)
        answer = await stage.dispatcher.answer(
            Heard(
                platform="console",
                address=said["who"],
                bot="console:uj",
                network="uj",
                room=f"dm:{said['who']}",
                private=True,
                direct=False,
                said=said["said"],
                key=said["key"],
            )
        )
        sys.stdout.write(json.dumps(render(answer.reply, answer.voice) if answer else None) + "\n")
        sys.stdout.flush()


asyncio.run(main())
