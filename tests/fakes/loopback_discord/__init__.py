"""A strict Discord on loopback: REST and gateway over real sockets, and people who use its client.

async with LoopbackDiscord() as discord:
    app = discord.application("uj")
    guild = discord.guild("Hub", app)
    ann = discord.person("ann")
    ann.joins(guild)
    …
    asked = await ann.types(guild.channel("general"), "hours book", slot="B-7K3F")
    assert "booked" in (await asked.message()).text
    discord.assert_lawful()
"""

from tests.fakes.loopback_discord.clients import discord_py_at, discord_py_speaks_to
from tests.fakes.loopback_discord.interactions import Callback, Choice, Interaction, Kind, Modal, NoAnswer
from tests.fakes.loopback_discord.messages import Message
from tests.fakes.loopback_discord.people import Impossible, Person
from tests.fakes.loopback_discord.remote import RemoteDiscord
from tests.fakes.loopback_discord.server import LoopbackDiscord
from tests.fakes.loopback_discord.spec import Specification
from tests.fakes.loopback_discord.world import Application, Channel, Guild, Intent, Permission, Violation

__all__ = [
    "Application",
    "Callback",
    "Channel",
    "Choice",
    "Guild",
    "Impossible",
    "Intent",
    "Interaction",
    "Kind",
    "LoopbackDiscord",
    "Message",
    "Modal",
    "NoAnswer",
    "Permission",
    "Person",
    "RemoteDiscord",
    "Specification",
    "Violation",
    "discord_py_at",
    "discord_py_speaks_to",
]
