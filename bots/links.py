"""The addresses of the library: which of them lead nowhere any more."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address
from typing import TextIO
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from bots.bar import Bar
from bots.librarian import with_the_store
from bots.settings import Settings
from knowledge.library import Library, Resource

MOST_AT_ONCE = 8
"""Addresses that are looked at together; never two of one host."""
MOST_REDIRECTS = 5
PATIENCE = aiohttp.ClientTimeout(total=30)
HEADERS = {"User-Agent": "impacthub-links/1"}


def links(settings: Settings | None) -> int:
    """Ask for every address of the library once, and list those that do not answer; status 1 if there are any."""
    resources: Mapping[str, Resource] = {each.id: each for each in Library.load().resources}
    if settings:
        resources = {each.id: each for each in asyncio.run(with_the_store(settings)).resources}
    addresses = {id_: each.url for id_, each in resources.items() if each.url}
    dead = asyncio.run(check(addresses, sys.stderr))
    sys.stdout.writelines(f"{line}\n" for line in looked_at(resources, addresses, dead))
    return 1 if dead else 0


def looked_at(
    resources: Collection[str], addresses: Collection[str], dead: Mapping[str, tuple[str, str]]
) -> Iterator[str]:
    """Yield what is told of the addresses that were asked for, a line each: the dead ones, and how many are well."""
    for id_, (url, why) in sorted(dead.items()):
        yield f"{id_}\t{url}\t{why}"
    yield f"{len(addresses) - len(dead)} of {len(addresses)} entries with an address have nothing wrong with it."
    if without := len(resources) - len(addresses):
        yield f"{without} have none."


async def check(
    addresses: Mapping[str, str], progress: TextIO, *, anywhere: bool = False
) -> dict[str, tuple[str, str]]:
    """Return the addresses that do not answer, by the id of their entry, each with what is wrong.

    Each is asked for once, politely: a few at a time, one by one on each host. Members may suggest addresses, so only
    those of the open internet are asked, also after a redirect; `anywhere` lifts that.
    """
    dead: dict[str, tuple[str, str]] = {}
    turns = asyncio.Semaphore(MOST_AT_ONCE)
    hosts: dict[str, asyncio.Lock] = {}
    bar = Bar(len(addresses), progress)

    async def look(id_: str, url: str) -> None:
        async with hosts.setdefault(urlsplit(url).netloc, asyncio.Lock()), turns:
            try:
                if (wrong := await _wrong_with(session, url, anywhere=anywhere)) is not None:
                    dead[id_] = (url, wrong)
            except TimeoutError:
                dead[id_] = (url, "no answer in time")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                dead[id_] = (url, type(error).__name__)
        bar.step()

    connector = aiohttp.TCPConnector(resolver=None if anywhere else OpenInternet())
    async with aiohttp.ClientSession(timeout=PATIENCE, connector=connector, headers=HEADERS) as session:
        await asyncio.gather(*(look(id_, url) for id_, url in addresses.items()))
    bar.done()
    return dead


async def _wrong_with(session: aiohttp.ClientSession, url: str, *, anywhere: bool) -> str | None:
    """Ask for an address, and for where it leads; None if it answers."""
    for _ in range(MOST_REDIRECTS):
        host = URL(url).host
        # A host that is a number is never looked up.
        if host is None or (not anywhere and _is_number(host) and not ip_address(host).is_global):
            raise OSError("not on the open internet")
        async with session.get(url, allow_redirects=False) as answer:
            where = answer.headers.get("Location") if 300 <= answer.status < 400 else None
            if where is None:
                return f"HTTP {answer.status}" if answer.status >= 400 else None
            url = str(answer.url.join(URL(where)))
    return "leads from one address to the next"


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class OpenInternet(aiohttp.ThreadedResolver):
    """Finds hosts, but none that only this machine or its neighbours can reach."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        """Return the addresses of a host.

        Raises:
            OSError: it is not on the open internet.
        """
        found = await super().resolve(host, port, family)
        if not all(ip_address(each["host"]).is_global for each in found):
            raise OSError("not on the open internet")
        return found
