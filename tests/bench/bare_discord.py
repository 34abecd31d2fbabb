"""A bare discord.py bot with one slash command: what a bot costs without a house around it.

python -m tests.bench.bare_discord API GATEWAY TOKEN
"""

from __future__ import annotations

import asyncio
import sys

import discord
from discord import app_commands

from tests.fakes.loopback_discord import discord_py_at

SAID = """**Handle**: quiet-heron
**Roles here**: member
**Language**: English
**Time zone**: Europe/Kyiv; now it is <t:1795255200:F>
**Quiet hours**: none

Change them with `/me language language:uk`, `/me zone zone:Europe/Kyiv` or `/me quiet span:22:00-08:00`."""


class Bare(discord.Client):
    """A client that caches nothing, as ours, and says always the same."""

    def __init__(self) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
        )
        self.tree = app_commands.CommandTree(self)
        me = app_commands.Group(name="me", description="Your own settings")

        @me.command(description="Show what the Hub keeps as your settings.")
        async def show(interaction: discord.Interaction) -> None:
            await interaction.response.send_message(SAID, ephemeral=True)

        self.tree.add_command(me)

    async def setup_hook(self) -> None:
        """Declare the command."""
        await self.tree.sync()

    async def on_ready(self) -> None:
        """Say `ready`."""
        sys.stdout.write("ready\n")
        sys.stdout.flush()


async def main(token: str) -> None:
    """Answer until killed."""
    async with Bare() as client:
        await client.start(token)


if __name__ == "__main__":
    with discord_py_at(*sys.argv[1:3]):
        asyncio.run(main(sys.argv[3]))
