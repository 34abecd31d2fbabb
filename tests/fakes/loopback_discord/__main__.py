"""A loopback Discord in a process of its own, which takes orders: `python -m tests.fakes.loopback_discord SETUP`.

SETUP is JSON: {"applications": ["uj"], "channels": ["general"], "people": {"ann": "uk"}}. Everybody is in one guild.
It writes where it listens as one line of JSON; then it reads one order a line and answers each with a line:

    {"do": "types", "person": "ann", "where": "general", "line": "hours book", "given": {"slot": "B-7K3F"},
     "application": "uj", "times": 1000, "at_once": 50}
    → {"seconds": [time to the answer of each], "took": seconds for all, "failed": how many had none}

`where` is a channel, or "@uj" for the direct messages with an application. Other orders: {"do": "violations"},
{"do": "drop"}. It ends with its input.
"""

import asyncio
import json
import sys
import time
from typing import Any

from tests.fakes.loopback_discord.interactions import NoAnswer
from tests.fakes.loopback_discord.people import Person
from tests.fakes.loopback_discord.server import LoopbackDiscord

PATIENCE = 30.0


class Stage:
    """One guild with everybody in it."""

    def __init__(self, discord: LoopbackDiscord, setup: dict[str, Any]) -> None:
        self.discord = discord
        self.applications = {name: discord.application(name) for name in setup.get("applications", ["bot"])}
        self.guild = discord.guild("Hub", *self.applications.values(), channels=setup.get("channels", ["general"]))
        self.people: dict[str, Person] = {}
        for name, locale in setup.get("people", {"ann": "en-US"}).items():
            self.people[name] = discord.person(name, locale=locale)
            self.people[name].joins(self.guild)

    def described(self) -> dict[str, Any]:
        """Say where everything is."""
        return {
            "api": self.discord.api,
            "gateway": self.discord.gateway.url,
            "guild": self.guild.id,
            "channels": {each.name: each.id for each in self.guild.channels.values()},
            "applications": {name: {"id": each.id, "token": each.token} for name, each in self.applications.items()},
            "people": {name: each.id for name, each in self.people.items()},
        }

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do what an order says."""
        match order.pop("do"):
            case "types":
                return await self._type(**order)
            case "violations":
                return {
                    "violations": list(map(str, self.discord.violations)),
                    "unknown_routes": self.discord.unknown_routes,
                }
            case "drop":
                self.discord.drop()
                return {}
            case unknown:
                return {"error": f"no order {unknown}"}

    async def _type(
        self,
        person: str,
        line: str,
        where: str = "general",
        given: dict[str, Any] | None = None,
        application: str | None = None,
        times: int = 1,
        at_once: int = 1,
    ) -> dict[str, Any]:
        somebody = self.people[person]
        whose = self.applications[application] if application else None
        alone = where.startswith("@")
        channel = somebody.dm_with(self.applications[where[1:]]) if alone else self.guild.channel(where)
        left = iter(range(times))
        seconds: list[float] = []
        failed = 0

        async def keep_asking() -> None:
            nonlocal failed
            for _ in left:
                asked = await somebody.types(channel, line, given, application=whose)
                try:
                    await asked.answered(PATIENCE)
                except NoAnswer:
                    failed += 1
                else:
                    seconds.append(asked.answered_after or 0.0)

        began = time.perf_counter()
        await asyncio.gather(*(keep_asking() for _ in range(at_once)))
        return {"seconds": seconds, "took": time.perf_counter() - began, "failed": failed}


async def main() -> None:
    """Serve until the input ends."""
    async with LoopbackDiscord() as discord:
        stage = Stage(discord, json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})
        _say(stage.described())
        while order := await asyncio.to_thread(sys.stdin.readline):
            _say(await stage.obey(json.loads(order)))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
