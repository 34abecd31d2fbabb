"""How the schema came to be what it is; `Store.migrate` replays what a database lacks.

A book's author changes its tables and runs `python -m storage.migrations "what changed"`: the difference
between the tables and the migrations so far becomes a new file in versions/, to be read through before it
is committed. Until the first release there is one migration: delete its file and run the command again.
"""

import tempfile
from pathlib import Path
from typing import Any, Final, Literal

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.types import TypeDecorator

from storage.engine import connect, turn
from storage.table import Table, every_table

_HERE: Final = Path(__file__).parent


def upgrade(connection: Connection) -> None:
    """Bring the schema up to date, inside the running transaction."""
    command.upgrade(_config(connection), "head")


def no_way_back() -> None:
    """Stand in every migration for the way back, which none has: it would lose what people told us since.

    Raises:
        RuntimeError: always; whoever wants the former state restores a backup.
    """
    raise RuntimeError("Restore a backup instead: a downgrade would lose what people told us.")


def differences(connection: Connection) -> list[Any]:
    """What tables and database do not have in common; empty when they agree."""
    every_table()
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, Table.metadata))


def write(message: str) -> Path:
    """Write the migration from the schema of versions/ to the tables as declared now; returns its file."""
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(f"sqlite:///{folder}/scratch.db", foreign_keys=False)
        with turn(engine) as connection:
            upgrade(connection)
            config = _config(connection)
            number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
            script = command.revision(config, message, autogenerate=True, rev_id=f"{number:04}")
        engine.dispose()
    assert script is not None  # noqa: S101 - Alembic gives a list only for several bases
    return Path(script.path)  # type: ignore[union-attr]


def render(kind: str, thing: Any, _context: object) -> str | Literal[False]:
    """A column's type in a migration: SQLAlchemy's own, so that old migrations outlive our classes."""
    if kind == "type" and isinstance(thing, TypeDecorator):
        return f"sa.{thing.impl_instance!r}"
    return False


def _config(connection: Connection) -> Config:
    every_table()
    config = Config()
    config.set_main_option("script_location", str(_HERE))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
