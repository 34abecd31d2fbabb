"""The doctor: one line for each thing that has to be right, and what to do where it is not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen
from zoneinfo import ZoneInfo

from bots.app import store_of
from bots.settings import MatrixSettings, Settings, load
from knowledge.library import Library
from storage.engine import SQLITE
from storage.store import Session


def examine(path: Path) -> int:
    """Check everything that can be checked without signing in; return 1 if anything is wrong, else 0."""
    settings = load(path)
    sick = 0
    checks: list[tuple[str, Callable[[], str]]] = [
        ("settings", lambda: f"{len(settings.networks)} networks, {len(settings.matrix) + len(settings.discord)} bots"),
        ("SQLite", lambda: SQLITE),
        ("time zones", _zones),
        ("library", lambda: f"{len(Library.load().kinds())} kinds of resources"),
        ("database", lambda: asyncio.run(_database(settings))),
        *((f"homeserver of {network}", lambda bot=bot: _homeserver(bot)) for network, bot in settings.matrix.items()),
        *(
            (f"Discord of {network}", lambda secret=secret: _discord(secret.token.get_secret_value()))
            for network, secret in settings.secrets.discord.items()
        ),
    ]
    for name, check in checks:
        try:
            found, mark = check(), "✓"
        except Exception as error:  # noqa: BLE001 whatever is wrong is what the operator wants to read
            found, mark, sick = str(error) or type(error).__name__, "✗", 1
        sys.stdout.write(f"{mark} {name}: {found}\n")
    sys.stdout.write(
        "  If replies come slowly: lift the bots' rate limit (override_ratelimit), see docs/operating.md.\n"
    )
    return sick


def _zones() -> str:
    """Almaty has been at +05 since 2024-03-01: older data would put every appointment there an hour off."""
    offset = datetime(2026, 1, 1, tzinfo=UTC).astimezone(ZoneInfo("Asia/Almaty")).utcoffset()
    if offset is None or offset.total_seconds() != 5 * 3600:
        raise ValueError("the time zone data are too old; install a newer tzdata")
    return f"tzdata {version('tzdata')}"


async def _database(settings: Settings) -> str:
    store = store_of(settings)

    def write(session: Session) -> None:
        session.connection()

    try:
        await store.migrate()
        await store.run(write)
    finally:
        await store.close()
    return "can be written, and is up to date"


def _discord(token: str) -> str:
    from bots.discord.client import sign_in  # noqa: PLC0415 heavy, and needed only where there is such a bot

    return asyncio.run(sign_in(token))


def _homeserver(bot: MatrixSettings) -> str:
    if not bot.homeserver.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise ValueError("use https")
    try:
        with urlopen(f"{bot.homeserver}/_matrix/client/versions", timeout=10) as answer:  # noqa: S310 checked above
            answer.read()
    except URLError as error:
        raise ValueError(f"does not answer: {error.reason}") from None
    return "answers"
