"""The Hub's own program, led to a Discord on loopback.

python -m tests.bench.loopback_hub API GATEWAY run --settings FILE …
"""

from __future__ import annotations

import sys

from bots.__main__ import main
from tests.fakes.loopback_discord import discord_py_at

if __name__ == "__main__":
    program, api, gateway, *sys.argv[1:] = sys.argv
    with discord_py_at(api, gateway):
        main()
