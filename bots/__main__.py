"""The program: `impacthub COMMAND`, where COMMAND runs the bots, keeps the store, or tends the library."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bots import doctor, intake, librarian, links, log
from bots.app import App, Stopped, store_of
from bots.bot import SignedOut, Unfit
from bots.child import ChildError
from bots.console import talk
from bots.homeserver import HomeserverError
from bots.matrix.identity import new_recovery_key
from bots.matrix.person import PersonError
from bots.settings import Settings, WrongSetting, load
from knowledge.ingest import Unfit as UnfitFile
from knowledge.library import BadRow
from storage import privacy
from storage.sealed import WrongMasterError
from storage.store import Busy, ReadOnly

SAID = (
    *(WrongSetting, WrongMasterError, ReadOnly, Busy, BadRow, Unfit, UnfitFile),
    *(SignedOut, Stopped, ChildError, HomeserverError, PersonError),
)
"""What an operator can mend: the error's own sentence says how."""


def main() -> None:
    """Run one subcommand. What an operator can mend is one sentence on standard error, and exit status 2.

    Anything else is logged without its message, which may quote people's words, and the status is 1.
    """
    args = _parser().parse_args()
    os.umask(0o077)  # databases, journals and key stores are nobody else's, wherever they lie
    try:
        sys.exit(args.command(args))
    except SAID as error:
        sys.stderr.write(f"impacthub: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 a traceback would show its message
        log.ended(error)
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="impacthub", description="Bots for the Human Rights Impact Hub.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Any, help_: str, *, settings: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_, description=help_)
        sub.set_defaults(command=command)
        if settings:
            sub.add_argument("--settings", type=Path, default=Path("settings.toml"), metavar="FILE")
        return sub

    run = add("run", _run, "run the bots until stopped")
    run.add_argument("--only", metavar="BOT", help="one bot alone, as matrix:uj or discord:uj")
    console = add("console", _console, "talk to the Hub in this terminal, without a chat platform")
    console.add_argument("--network", default="uj")
    console.add_argument("--as", dest="address", default="operator", metavar="NAME")
    looking = add("find", _find, "look something up in the library", settings=False)
    looking.add_argument("words", nargs="*", metavar="WORDS")
    looking.add_argument(
        "--jsonl", action="store_true", help='read lines {"id", "query", "language"} from standard input'
    )
    looking.add_argument("--limit", type=int, default=10, metavar="N", help="results for each question (10)")
    looking.add_argument("--settings", type=Path, metavar="FILE", help="look into this Hub's store as well")
    taking = add("ingest", _ingest, "take a file, or every file of a folder, into the library")
    taking.add_argument("path", type=Path, metavar="FILE|FOLDER")
    taking.add_argument("--network", default="all", metavar="KEY", help="whose library; all of them by default")
    taking.add_argument("--checked", choices=["none", "partial", "full"], help="how far people have checked it (none)")
    for name, what in (("jurisdiction", "a code or a name"), ("kind", "such as statute"), ("language", "two letters")):
        taking.add_argument(f"--{name}", metavar=name.upper(), help=f"of what declares none itself; {what}")
    add("index", _index, "bring look-up up to date, with the vectors that it lacks")
    checking = add(
        "links", _links, "ask for every address of the library, and list those that are dead", settings=False
    )
    checking.add_argument("--settings", type=Path, metavar="FILE", help="look into this Hub's store as well")
    add("migrate", _migrate, "bring the database up to date; safe to repeat")
    add("doctor", _doctor, "check settings, database, libraries and homeservers")
    add("restored", _restored, "say that a backup was restored; once, before the bots run again")
    add("rotate", _rotate, "let a new master key take over; the old one stands under former_master_keys")
    add("keys", _keys, "print a fresh secrets file", settings=False)
    demo = add("demo", _demo, "a real homeserver on loopback, three bots and a seeded world", settings=False)
    demo.add_argument("--state", type=Path, default=Path(".demo"), metavar="DIR")
    demo.add_argument("--port", type=int, metavar="N")
    demo.add_argument("--json", action="store_true", help="print one line of JSON when everything answers")
    demo.add_argument("--no-chat", action="store_true", help="stay until SIGTERM instead of opening the chat")
    demo.add_argument("--as", dest="person", default="member", metavar="NAME", help="who you are in the chat")
    return parser


def _load(args: argparse.Namespace) -> Settings:
    settings = load(args.settings)
    log.set_up(level=settings.hub.log_level, format_=settings.hub.log_format)
    return settings


def _until_stopped(work: Coroutine[Any, Any, None]) -> int:
    """Run until done, SIGTERM or Ctrl-C; everything is closed in order."""

    async def stoppable() -> None:
        task = asyncio.ensure_future(work)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            return

    asyncio.run(stoppable())
    return 0


def _run(args: argparse.Namespace) -> int:
    settings = _load(args)

    async def run() -> None:
        async with App.open(settings) as app:
            await app.run(only=args.only, ready=partial(print, "ready", flush=True))

    return _until_stopped(run())


def _console(args: argparse.Namespace) -> int:
    settings = _load(args)
    if args.network not in settings.networks:
        raise WrongSetting(f"There is no network “{args.network}” in the settings.")

    async def run() -> None:
        async with App.open(settings) as app:
            await talk(app.dispatcher, network=args.network, address=args.address)

    return _until_stopped(run())


def _find(args: argparse.Namespace) -> int:
    return librarian.find(args, _load(args) if args.settings else None)


def _ingest(args: argparse.Namespace) -> int:
    return intake.ingest(args, _load(args))


def _index(args: argparse.Namespace) -> int:
    return librarian.index(_load(args))


def _links(args: argparse.Namespace) -> int:
    return links.links(_load(args) if args.settings else None)


def _migrate(args: argparse.Namespace) -> int:
    settings = _load(args)

    async def run() -> None:
        store = store_of(settings)
        try:
            await store.migrate()
        finally:
            await store.close()

    asyncio.run(run())
    sys.stdout.write("The database is up to date.\n")
    return 0


def _doctor(args: argparse.Namespace) -> int:
    return doctor.examine(args.settings)


def _restored(args: argparse.Namespace) -> int:
    settings = _load(args)

    async def restored() -> privacy.Restored:
        store = store_of(settings)
        try:
            await store.migrate()
            now = datetime.now(UTC) + settings.hub.clock_shift
            return await store.run(lambda session: privacy.restored(session, now))
        finally:
            await store.close()

    told = asyncio.run(restored())
    # It follows a store by the numbers of its changes, and an older store gives the same numbers to others.
    shutil.rmtree(settings.hub.state / "index", ignore_errors=True)
    sys.stdout.write(
        f"{len(told.erased)} people were erased again; {told.unsure} messages are looked up before sending.\n"
    )
    return 0


def _rotate(args: argparse.Namespace) -> int:
    settings = _load(args)

    async def rotate() -> int:
        store = store_of(settings)
        try:
            await store.migrate()
            return await store.vault.rotate()
        finally:
            await store.close()

    rewrapped = asyncio.run(rotate())
    sys.stdout.write(f"{rewrapped} keys are wrapped anew; the former master keys can go.\n")
    return 0


def _keys(_args: argparse.Namespace) -> int:
    lines = [f'master_key = "{secrets.token_hex(32)}"']
    for network in ("uj", "sanctions", "climate"):
        lines += ["", f"[matrix.{network}]", 'password = ""', f'recovery_key = "{new_recovery_key()}"']
    for network in ("uj", "sanctions", "climate"):
        lines += ["", f"# [discord.{network}]", '# token = ""']
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _demo(args: argparse.Namespace) -> int:
    from bots import demo  # noqa: PLC0415 it needs the optional homeserver

    return demo.run(args)


if __name__ == "__main__":
    main()
