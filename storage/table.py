"""What every table is made of: its privacy, its columns' types, its names.

A table says in its declaration whose it is, how long it is kept and what erasure does to it. Export,
erasure and retention are therefore one walk over the tables (privacy.py), and a table that forgot to say so
cannot be made.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC as ZULU
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final, cast
from uuid import UUID, uuid4

from sqlalchemy import Column, DateTime, Dialect, Label, LargeBinary, MetaData, String, type_coerce
from sqlalchemy import Table as CoreTable
from sqlalchemy.orm import declared_attr
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

import storage
from storage.sealed import Sealed, ring

__all__ = [
    "UTC",
    "Erasure",
    "Privacy",
    "Sealed",
    "SealedText",
    "Table",
    "Word",
    "core",
    "envelope",
    "every_table",
    "new_id",
    "one_of",
    "opened",
    "sealed",
]


class Erasure(StrEnum):
    """What happens to a person's rows when the person is erased."""

    DELETE = "delete"
    BLANK = "blank"
    KEEP = "keep"


@dataclass(frozen=True, kw_only=True)
class Privacy:
    """What a table tells about the people in it.

    Attributes:
        what: an English sentence (a msgid) that names what is stored and why. People read it in `privacy
            what`.
        whose: the columns that hold a member's id. Empty: the table is about nobody.
        kept: how long a row lives, counted from `since`. None: as long as its owner stays.
        since: the column with the instant from which `kept` counts; rows where it is NULL stay.
        erase: what erasure does to every row that has the erased person in one of these columns. Members'
            rows go for good, so rows that stay (BLANK, KEEP) hold ids without a foreign key, or blank them.
        blank: the columns set to NULL in rows that stay.
        stays: a column that is true in rows which a person chose to leave here: `Erasure.DELETE` blanks them instead.
        own_key: the column that holds the id under which a row's words are sealed, where that is the row's own key and
            not a person's. It is destroyed when the row goes, by erasure or by its age, and when its words are blanked.
    """

    what: str
    whose: tuple[str, ...] = ()
    kept: timedelta | None = None
    since: str | None = None
    erase: Erasure
    blank: tuple[str, ...] = ()
    stays: str | None = None
    own_key: str | None = None

    def __post_init__(self) -> None:
        if (self.kept is None) != (self.since is None):
            raise TypeError("Retention needs both: how long (kept) and from which column it counts (since).")
        if bool(self.blank) != (self.erase is Erasure.BLANK or self.stays is not None):
            raise TypeError("Columns to blank belong to rows that stay, and rows that stay need them.")


class Table(SQLModel):
    """The base of every table: a class per table, named in the singular, stored in snake case.

    Subclasses must declare ``privacy: ClassVar[Privacy]``; a class without its own raises TypeError when
    made.
    """

    # Named constraints are the same on both databases, can be migrated, and can be told apart in a Conflict.
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    privacy: ClassVar[Privacy]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not isinstance(cls.__dict__.get("privacy"), Privacy):
            raise TypeError(f"{cls.__name__} must declare its privacy.")

    @declared_attr.directive
    @classmethod
    def __tablename__(cls) -> str:
        """RoleGrant is kept in role_grant."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()


def every_table() -> list[type[Table]]:
    """Every table of every book, in the order of their names; imports the books first."""
    for book in pkgutil.iter_modules(storage.__path__, "storage."):
        if not book.ispkg:
            importlib.import_module(book.name)
    return sorted(_below(Table), key=lambda table: table.__name__)


def _below(base: type[Table]) -> Iterator[type[Table]]:
    for table in base.__subclasses__():
        yield table
        yield from _below(table)


def core(table: type[Table]) -> CoreTable:
    """The table as SQLAlchemy's Core knows it: hot paths need rows, not objects."""
    return Table.metadata.tables[str(table.__tablename__)]


def new_id() -> UUID:
    """A fresh random row id (UUID 4): says nothing about order, and needs no sequence shared by databases."""
    return uuid4()


class UTC(TypeDecorator[datetime]):
    """An instant: aware datetimes in, aware UTC datetimes out, comparable in SQL on both databases.

    A naive datetime raises ValueError: nobody knows when it is.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; SQLite stores it as text without a zone, which sorts in order of time."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A naive datetime cannot be stored: give it its zone.")
        value = value.astimezone(ZULU)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """As aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=ZULU) if dialect.name == "sqlite" else value.astimezone(ZULU)


class SealedText(TypeDecorator[Sealed]):
    """A `Sealed` value: plain in Python, an AES-GCM envelope in the database.

    Args:
        place: "table.column". It is sealed in with the text, so that an envelope moved to another column
            does not open; it therefore stays as it is when the column is renamed.
    """

    impl = LargeBinary
    cache_ok = True

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place

    def process_bind_param(self, value: Sealed | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        """Seal under the owner's key."""
        return None if value is None else ring().seal(value, self.place)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> Sealed | None:  # noqa: ARG002
        """Open; the text is None when the owner's key was erased."""
        return None if value is None else ring().open(value, self.place)


def sealed(place: str, *, nullable: bool = False) -> Any:
    """A column for a `Sealed` value; `place` is "table.column" (see `SealedText`)."""
    return Field(default=None if nullable else ..., sa_column=Column(SealedText(place), nullable=nullable))


def envelope(column: Column[Any]) -> Label[bytes]:
    """A sealed column as it is stored, under its own name: for rows that are `opened` one by one."""
    return type_coerce(column, LargeBinary).label(column.name)


def opened(column: Column[Any], stored: bytes | None) -> Sealed | None:
    """What the column's `envelope` holds, as reading the column itself would give it.

    Raises:
        storage.sealed.TamperedError: it was changed. Read like this, it does not hide the other rows.
    """
    return None if stored is None else ring().open(stored, cast("SealedText", column.type).place)


class Word(TypeDecorator[StrEnum]):
    """A member of a StrEnum, stored as its text: a new member needs no migration, and dumps can be read.

    A word the enum does not know raises ValueError, on its way in and on its way out.
    """

    impl = String(32)
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Its text."""
        return None if value is None else str(self.words(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002
        """The member of the enum."""
        return None if value is None else self.words(value)


_REQUIRED: Final = cast("Any", ...)


def one_of(words: type[StrEnum], *, default: Any = _REQUIRED, nullable: bool = False, **column: Any) -> Any:
    """A column for a member of the StrEnum `words`; `column` goes to Column (index=, primary_key= …)."""
    if nullable and default is _REQUIRED:
        default = None
    return Field(default=default, sa_column=Column(Word(words), nullable=nullable, **column))
