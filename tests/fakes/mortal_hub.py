"""A Hub in a process of its own, to be killed: `python mortal_hub.py SETTINGS`.

SETTINGS is JSON: where Discord is (`api`, `gateway`), and the Hub's `settings`. Some commands take their time.
"""

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import discord

import bots.app
from bots.settings import Settings
from commands import FEATURES
from tests.fakes.loopback_discord import discord_py_at
from tests.loopback import PROBES, at_once


async def main() -> None:
    given = json.loads(sys.argv[1])
    with discord_py_at(given["api"], given["gateway"]):
        async with bots.app.App.open(Settings(**given["settings"])) as app:
            answer = app.dispatcher.answer

            async def take_time(heard: Any) -> Any:
                await asyncio.sleep(random.choice((0.0, 0.0, 0.1, 0.9, 1.5)))
                return await answer(heard)

            app.dispatcher.answer = take_time
            await app.run()


discord.Client.before_identify_hook = at_once
bots.app.FEATURES = (*FEATURES, *PROBES)
asyncio.run(main())
