"""The demo: a real homeserver on loopback, three bots, a seeded world, and a terminal chat as one of its people.

Everything lies in one state folder; started again on it, the world goes on where it was.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import random
import secrets
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from bots import log
from bots.app import store_of
from bots.child import Child
from bots.homeserver import Homeserver
from bots.matrix.identity import new_recovery_key, write_private
from bots.matrix.person import Person, Terminal
from bots.settings import SECRETS_FILE, Settings, WrongSetting, load
from storage import members, office_hours
from storage.members import Role
from storage.store import Session

NETWORKS = {"uj": "Universal jurisdiction", "sanctions": "Sanctions", "climate": "Climate"}


@dataclass(frozen=True)
class Role_:  # noqa: N801 a part in the play
    """One of the demo's people: the account's name, roles, language and zone."""

    name: str
    roles: tuple[Role, ...]
    language: str
    zone: str


CAST = (
    Role_("coordinator", (Role.COORDINATOR,), "en", "Europe/Brussels"),
    Role_("mentor", (Role.MENTOR,), "en", "Europe/Brussels"),
    Role_("mentor2", (Role.MENTOR,), "uk", "Europe/Kyiv"),
    Role_("member", (Role.MEMBER,), "en", "Europe/Kyiv"),
    Role_("member2", (Role.MEMBER,), "uk", "Asia/Tbilisi"),
    Role_("member3", (Role.MEMBER,), "ru", "Asia/Almaty"),
)

OFFERS = {
    "uj": ("complaints to prosecutors, presence of suspects", 10),
    "sanctions": ("dossiers, evidence that links a person to an act", 14),
    "climate": ("objections to permits, standing", 17),
}
"""What the mentors offer in each network, and from which hour of their weekdays."""


class Demo:
    """The world in one folder."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self._lock = self._alone()
        self.homeserver = Homeserver(self.folder / "homeserver", port=port)
        self.passwords = self._kept_passwords()
        self.rooms: dict[str, str] = {}

    def _alone(self) -> IO[str]:
        """Hold the folder: two homeservers on one database would ruin it."""
        lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise WrongSetting(
                f"A demo is already running on {self.folder}; stop it, or choose another --state."
            ) from None
        return lock

    def user(self, name: str) -> str:
        """Return the account of somebody, or of a network's bot (`hub-uj`)."""
        return f"@{name}:localhost"

    @property
    def bots(self) -> dict[str, str]:
        """The bots' accounts by network."""
        return {network: self.user(f"hub-{network}") for network in NETWORKS}

    def told(self) -> str:
        """Tell in one line of JSON where everything is."""
        accounts = {part.name: {"user": self.user(part.name), "password": self.passwords[part.name]} for part in CAST}
        return json.dumps(
            {"homeserver": self.homeserver.url, "rooms": self.rooms, "bots": self.bots, "accounts": accounts}
        )

    def _kept_passwords(self) -> dict[str, str]:
        file = self.folder / "passwords.json"
        with suppress(FileNotFoundError):
            kept: dict[str, str] = json.loads(file.read_text())
            return kept
        names = [*(part.name for part in CAST), *(f"hub-{network}" for network in NETWORKS)]
        fresh = {name: secrets.token_urlsafe(12) for name in names}
        write_private(file, json.dumps(fresh))
        return fresh

    async def furnish(self) -> None:
        """Make what is not there yet: accounts, space, rooms, settings, roles, offers."""
        for name, password in self.passwords.items():
            self.homeserver.register(name, password)
        for bot in self.bots.values():
            self.homeserver.override_ratelimit(bot)
        await self._make_rooms()
        settings = self._write_settings()
        await self._seed(settings)

    async def _make_rooms(self) -> None:
        everybody = [self.user(part.name) for part in CAST if part.name != "coordinator"]
        async with self._person("coordinator") as coordinator:
            space = await coordinator.room("hub", "Human Rights Impact Hub", invite=everybody, space=True)
            for network, name in NETWORKS.items():
                bot = self.bots[network]
                self.rooms[network] = await coordinator.room(network, name, invite=[*everybody, bot], moderators=[bot])
            self.rooms["coordinators"] = await coordinator.room(
                "coordinators", "Coordinators", invite=list(self.bots.values())
            )
            for room in self.rooms.values():
                await coordinator.put_into(space, room)
        for part in CAST:
            async with self._person(part.name) as person:
                for room in (space, *(self.rooms[network] for network in NETWORKS)):
                    await person.client.join(room)

    def _person(self, name: str) -> Person:
        return Person(self.homeserver.url, self.user(name), self.passwords[name])

    def _write_settings(self) -> Settings:
        """Write the settings anew (the port may have changed), the secrets once."""
        lines = ["[hub]"]
        lines += [
            f'{key} = "sqlite:///{self.folder}/{file}.db"' for key, file in (("database", "hub"), ("keys", "keys"))
        ]
        lines += [f'state = "{self.folder}"', f'first_admin = "matrix:{self.user("coordinator")}"']
        for network, name in NETWORKS.items():
            lines += [f"[networks.{network}]", f'name = "{name}"', 'zone = "Europe/Kyiv"']
            lines += [
                f"[matrix.{network}]",
                f'homeserver = "{self.homeserver.url}"',
                f'user = "{self.bots[network]}"',
            ]
            lines += [f'room = "{self.rooms[network]}"', f'coordinators = "{self.rooms["coordinators"]}"']
        write_private(self.folder / "settings.toml", "\n".join(lines) + "\n")
        secret_file = self.folder / "secrets.toml"
        if not secret_file.exists():
            kept = [f'master_key = "{secrets.token_hex(32)}"']
            for network in NETWORKS:
                kept += [f"[matrix.{network}]", f'password = "{self.passwords[f"hub-{network}"]}"']
                kept += [f'recovery_key = "{new_recovery_key()}"']
            write_private(secret_file, "\n".join(kept) + "\n")
        os.environ[SECRETS_FILE] = str(secret_file)
        return load(self.folder / "settings.toml")

    async def _seed(self, settings: Settings) -> None:
        store = store_of(settings)
        try:
            await store.migrate()
            await store.run(self._people)
        finally:
            await store.close()

    def _people(self, session: Session) -> None:
        now, rng = datetime.now(UTC), random.SystemRandom()
        for part in CAST:
            who = members.recognise(
                session,
                platform="matrix",
                address=self.user(part.name),
                language=part.language,
                zone=part.zone,
                rng=rng,
                now=now,
            )
            for network in NETWORKS:
                for role in part.roles:
                    members.grant(session, actor=None, member=who, network=network, role=role, now=now)
            if Role.MENTOR in part.roles and not office_hours.offers_of(session, who.id):
                # The second mentor confirms each booking, and begins later: a newcomer's first slot is booked at once.
                confirms = part.name == "mentor2"
                for network, (topics, hour) in OFFERS.items():
                    first = (hour + (2 if confirms else 0)) * 60
                    office_hours.offer(
                        session,
                        mentor=who.id,
                        network=network,
                        zone=part.zone,
                        weekdays=range(5),
                        from_minute=first,
                        to_minute=first + 120,
                        topics=topics,
                        languages="en uk" if part.language == "uk" else "en",
                        needs_confirmation=confirms,
                        now=now,
                        rng=rng,
                    )

    def bots_process(self) -> Child:
        """Return the process that runs the three bots; it writes its log into the folder."""
        return Child(
            "bots",
            ["run", "--settings", str(self.folder / "settings.toml")],
            log=self.folder / "bots.log",
        )

    async def everybody_is_in(self) -> None:
        """Wait until the bots have come into their rooms."""
        async with self._person("coordinator") as coordinator:
            wanted = [(self.rooms[network], {bot}) for network, bot in self.bots.items()]
            wanted.append((self.rooms["coordinators"], set(self.bots.values())))
            for room, bots in wanted:
                while not bots <= await coordinator.members_of(room):  # noqa: ASYNC110 they join elsewhere
                    await asyncio.sleep(0.1)


def run(args: argparse.Namespace) -> int:
    """Run the demo until the chat ends, or until SIGTERM."""
    log.set_up()
    with suppress(asyncio.CancelledError):
        asyncio.run(_run(args))
    return 0


async def _run(args: argparse.Namespace) -> None:
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    say = sys.stderr.write
    demo = Demo(args.state, args.port)
    async with AsyncExitStack() as stack:
        say("Starting the homeserver…\n")
        stack.callback(demo.homeserver.stop)
        await asyncio.to_thread(demo.homeserver.start)
        say("Furnishing the world…\n")
        await demo.furnish()
        say("Starting the bots…\n")
        bots = demo.bots_process()
        stack.push_async_callback(bots.stop)
        await bots.start()
        minding = asyncio.create_task(bots.mind())
        stack.callback(minding.cancel)
        await demo.everybody_is_in()
        if args.json:
            sys.stdout.write(demo.told() + "\n")
            sys.stdout.flush()
        else:
            sys.stdout.write(_how_to_join(demo))
        if args.no_chat:
            await asyncio.Event().wait()
        await _chat(demo, args.person)


async def _chat(demo: Demo, name: str) -> None:
    folder = demo.folder / "people" / name
    async with Person(demo.homeserver.url, demo.user(name), demo.passwords[name], folder) as person:
        await Terminal(person, folder / "files").run(demo.rooms["uj"])


def _how_to_join(demo: Demo) -> str:
    lines: Sequence[str] = (
        "",
        f"The homeserver is {demo.homeserver.url}. Any Matrix client can join it, with these accounts:",
        *(f"    {demo.user(part.name):<24} {demo.passwords[part.name]}" for part in CAST),
        "",
        "Try: !help    !hours open    !hours book    !find torture in Syria, Germany    !term command responsibility",
        "",
    )
    return "\n".join(lines) + "\n"
