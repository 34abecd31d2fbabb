"""Pointing the libraries of bots at a loopback Discord."""

from collections.abc import Iterator
from contextlib import contextmanager

import discord
import yarl

from tests.fakes.loopback_discord.server import LoopbackDiscord


@contextmanager
def discord_py_speaks_to(server: LoopbackDiscord) -> Iterator[None]:
    """Let discord.py of this process speak to a server; two addresses change, and change back."""
    with discord_py_at(server.api, server.gateway.url):
        yield


@contextmanager
def discord_py_at(api: str, gateway: str) -> Iterator[None]:
    """The same with the addresses of a server in another process."""
    before = discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
    discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = api, yarl.URL(gateway)
    try:
        yield
    finally:
        discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = before
