"""What the dispatcher itself costs: parse, admit, read, handler, reply; and a whole answer beside it."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from unittest.mock import patch

from commands.core.context import Context
from commands.core.dispatch import Heard
from commands.core.post import Envelope
from storage import forms, members
from storage.store import Session
from tests.bench import Figure, of_rounds
from tests.bench.world import BOT, NETWORK, NOW, World, world

SAID = "help command=me"
ROUNDS = 7
IN_A_ROUND = 200


async def measure(folder: Path) -> list[Figure]:
    """Measure the dispatcher alone, inside one open transaction, and whole answers on SQLite."""
    async with world(folder / "dispatching", ROUNDS + 1) as hub:
        own: list[float] = []
        whole: list[float] = []
        for number, person in enumerate(hub.people):
            heard = hub.heard(person, SAID)
            own.append(await hub.store.run(partial(_own_work, hub, heard)) * 1e6)
            started = time.perf_counter()
            for turn in range(IN_A_ROUND):
                await hub.dispatcher.answer(hub.heard(person, SAID, f"$event{number}.{turn}"))
            whole.append((time.perf_counter() - started) / IN_A_ROUND * 1e6)
    own, whole = own[1:], whole[1:]  # the first round warms caches up
    rest = [all_ - ours for all_, ours in zip(whole, own, strict=True)]
    return [
        of_rounds("dispatcher's own work", own, "µs", target=100, note=f"“{SAID}”: parse, admit, read, handler, reply"),
        of_rounds("a whole answer on SQLite", whole, "µs", note="with inbox and outbox, on the disk"),
        of_rounds("… of which store, keys, disk", rest, "µs"),
    ]


def _own_work(hub: World, heard: Heard, session: Session) -> float:
    """Answer many times without a statement: the person is recognised, and no form is open."""
    dispatcher = hub.dispatcher
    member = members.recognise(
        session, platform=heard.platform, address=heard.address, language="en", zone="UTC", rng=dispatcher._rng, now=NOW
    )
    roles = members.roles(session, member.id, NETWORK)
    with patch.object(forms, "current", lambda *_args, **_more: None):
        started = time.perf_counter()
        for _ in range(IN_A_ROUND):
            voice = dispatcher._voice(member)
            context = Context(
                session,
                NOW,
                dispatcher._rng,
                dispatcher.hub,
                dispatcher._library,
                actor=member,
                roles=roles,
                network=NETWORK,
                platform="console",
                private=True,
                voice=voice,
                commands=dispatcher.commands,
            )
            outcome = dispatcher._act(context, heard)
            if outcome is None:
                raise RuntimeError(f"{BOT} did not answer")
            said = dispatcher._keep(session, heard, outcome, member.id, voice)
            Envelope(said.reply, language=voice.language, zone=voice.zone.key, dm=heard.room).pack()
        return (time.perf_counter() - started) / IN_A_ROUND
