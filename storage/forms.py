"""Half-filled commands: what was asked, and what has been said so far. Nothing typed is lost by a restart."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final
from uuid import UUID

from sqlalchemy import UniqueConstraint, bindparam, delete, select
from sqlmodel import Field

from storage.engine import upsert
from storage.store import Session, changed, execute
from storage.table import UTC, Erasure, Privacy, Sealed, Table, core, new_id, sealed


class Form(Table, table=True):
    """The one question that is open for a person in a room.

    Attributes:
        call: the command line so far.
        asked: the name of the parameter that was asked for.
        choices: the lines behind the numbered answers, a JSON list.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="A command you have begun and not finished.",
        whose=("member_id",),
        kept=timedelta(days=30),
        since="updated_at",
        erase=Erasure.DELETE,
    )
    __table_args__ = (UniqueConstraint("member_id", "bot", "room"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    member_id: UUID = Field(foreign_key="member.id")
    bot: str = Field(max_length=64)
    room: str
    call: Sealed = sealed("form.call")
    asked: str = Field(max_length=64)
    choices: Sealed = sealed("form.choices")
    updated_at: datetime = Field(sa_type=UTC)


@dataclass(frozen=True, slots=True)
class Open:
    """An open question; the attributes are those of `Form`, opened."""

    call: str
    asked: str
    choices: tuple[str, ...]
    updated_at: datetime


_form: Final = core(Form)
_c: Final = _form.c
_WHICH: Final = ("member_id", "bot", "room")
_here: Final = (_c.member_id == bindparam("member_id")) & (_c.bot == bindparam("bot")) & (_c.room == bindparam("room"))
_latest: Final = select(_c.member_id, _c.asked, _c.updated_at).where(
    _c.member_id.in_(bindparam("member_ids", expanding=True)),
    _c.bot == bindparam("bot"),
    _c.room == bindparam("room"),
)
_find: Final = select(_c.call, _c.asked, _c.choices, _c.updated_at).where(_here)
_new = upsert(_form)
_keep: Final = _new.on_conflict_do_update(
    index_elements=_WHICH,
    set_={name: _new.excluded[name] for name in ("call", "asked", "choices", "updated_at")},
)


def keep(
    session: Session,
    *,
    member_id: UUID,
    bot: str,
    room: str,
    call: str,
    asked: str,
    choices: Sequence[str] = (),
    now: datetime,
) -> None:
    """Keep the person's open question in this room; it takes the place of the one before."""
    row = _row(member_id=member_id, bot=bot, room=room, call=call, asked=asked, choices=choices, now=now)
    execute(session, _keep, row)


def _row(
    *, member_id: UUID, bot: str, room: str, call: str, asked: str, choices: Sequence[str], now: datetime
) -> dict[str, Any]:
    return {
        "id": new_id(),
        "member_id": member_id,
        "bot": bot,
        "room": room,
        "call": Sealed(member_id, call),
        "asked": asked,
        "choices": Sealed(member_id, json.dumps(list(choices), ensure_ascii=False)),
        "updated_at": now,
    }


def offer(
    session: Session,
    offers: Mapping[UUID, Sequence[str]],
    *,
    bot: str,
    room: str,
    now: datetime,
    patience: timedelta,
) -> None:
    """Let a bare number of each person mean one of the lines offered to them.

    Not for somebody who has an open question there, or was shown a list within `patience`.
    """
    which = {"member_ids": list(offers), "bot": bot, "room": room}
    busy = {row.member_id for row in execute(session, _latest, which) if row.asked or now - row.updated_at < patience}
    rows = [
        _row(member_id=member_id, bot=bot, room=room, call="", asked="", choices=lines, now=now)
        for member_id, lines in offers.items()
        if member_id not in busy
    ]
    if rows:
        execute(session, _keep, rows)


def current(session: Session, *, member_id: UUID, bot: str, room: str) -> Open | None:
    """The person's open question in this room, if there is one."""
    row = execute(session, _find, {"member_id": member_id, "bot": bot, "room": room}).first()
    if row is None or row.call.text is None or row.choices.text is None:
        return None
    return Open(row.call.text, row.asked, tuple(json.loads(row.choices.text)), row.updated_at)


def stop(session: Session, *, member_id: UUID, bot: str, room: str) -> bool:
    """Forget the open question, because it was answered or given up; False if there was none."""
    which = {"member_id": member_id, "bot": bot, "room": room}
    return changed(session, delete(_form).where(_here), which) > 0


def stop_others(session: Session, *, member_id: UUID, bot: str, room: str) -> None:
    """Forget what other bots have asked the person in this room."""
    others = (_c.member_id == member_id) & (_c.bot != bot) & (_c.room == room)
    execute(session, delete(_form).where(others))
