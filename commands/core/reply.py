"""What we say: blocks that every platform can show, buttons that are command lines, files; and how they are kept."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from commands.core.line import Call
from commands.core.text import Text


@dataclass(frozen=True)
class Fields:
    """Names and values, one pair a line."""

    pairs: tuple[tuple[Text, Text], ...]


@dataclass(frozen=True)
class Table:
    """A small table; a surface that has no tables shows a row a line."""

    head: tuple[Text, ...]
    rows: tuple[tuple[Text, ...], ...]


@dataclass(frozen=True)
class Quote:
    """Somebody else's words, shown as theirs."""

    words: str


@dataclass(frozen=True)
class Source:
    """Where a statement comes from: its title, the citation, an address, how far it was checked, what it says."""

    title: str
    citation: str
    url: str = ""
    badge: Text | None = None
    snippet: str = ""


@dataclass(frozen=True)
class Sources:
    """The sources of what was said."""

    items: tuple[Source, ...]


@dataclass(frozen=True)
class Bars:
    """What a bar chart shows; None stands for a count too small to tell ("< 3")."""

    title: Text
    rows: tuple[tuple[Text, int | None], ...]


@dataclass(frozen=True)
class Event:
    """A day on a time line; not `done` is what lies ahead or was missed."""

    at: date
    label: Text
    done: bool


@dataclass(frozen=True)
class Timeline:
    """What a time line shows, in the order of its days whatever the order of its points."""

    title: Text
    points: tuple[Event, ...]


@dataclass(frozen=True)
class Picture:
    """A drawing in the reader's language, made when it is shown (chart.draw), and words for those who cannot see it."""

    drawing: Bars | Timeline
    alt: Text
    name: str = "picture.png"


Block = Text | Fields | Table | Quote | Sources | Picture


@dataclass(frozen=True)
class Button:
    """Something to press: a label and the command line that it stands for.

    A `terse` one is a choice among others of its kind: its number and label are enough, the line is not shown.
    """

    label: Text
    call: Call
    terse: bool = False


@dataclass(frozen=True)
class File:
    """An attachment. Its name says nothing about people or cases."""

    name: str
    mime: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Appointment:
    """A calendar entry. Its title says nothing: calendars lie on phones and on other people's servers.

    The `uid` stays the same for ever; of two entries of one `uid` the one with the higher `sequence` counts.
    """

    uid: str
    sequence: int
    starts_at: datetime
    ends_at: datetime
    made_at: datetime
    cancelled: bool = False
    tentative: bool = False
    name: str = "invite.ics"


@dataclass(frozen=True, init=False)
class Reply:
    """An answer, not yet said in any language or on any platform.

    With a `page` the whole reply is attached once more, as one self-contained HTML file of that name. That page and
    calendar entries are written when the reply is sent (attachments.py). `typed` says how to go on by typing: it is
    shown where people type, and left out where they press and fill in forms.
    """

    blocks: tuple[Block, ...]
    actions: tuple[Button, ...] = ()
    files: tuple[File | Appointment, ...] = ()
    page: str | None = None
    typed: Text | None = None

    def __init__(
        self,
        *blocks: Block,
        actions: Sequence[Button] = (),
        files: Sequence[File | Appointment] = (),
        page: str | None = None,
        typed: Text | None = None,
    ) -> None:
        object.__setattr__(self, "blocks", blocks)
        object.__setattr__(self, "actions", tuple(actions))
        object.__setattr__(self, "files", tuple(files))
        object.__setattr__(self, "page", page)
        object.__setattr__(self, "typed", typed)

    @property
    def spoken(self) -> tuple[Block, ...]:
        """The blocks as they are shown where people type."""
        return self.blocks if self.typed is None else (*self.blocks, self.typed)


def pack(reply: Reply) -> str:
    """Write a reply as JSON, for the outbox. The law: `unpack(pack(reply)) == reply`."""
    return json.dumps(_out(reply), ensure_ascii=False, separators=(",", ":"))


def unpack(packed: str) -> Reply:
    """Read a packed reply."""
    reply = _in(json.loads(packed))
    if not isinstance(reply, Reply):
        raise TypeError("this is not a packed reply")
    return reply


def _out(value: object) -> Any:
    """Turn a value into JSON: a list led by its tag, so that nothing a member wrote can pass for one of ours."""
    match value:
        case None | str() | bool() | int():
            return value
        case bytes():
            return ["b", base64.b64encode(value).decode()]
        case datetime():
            return ["at", value.isoformat()]
        case date():
            return ["day", value.isoformat()]
        case timedelta():
            return ["for", value.total_seconds()]
        case Text():
            return ["T", value.msgid, _out(value.values), value.plural, value.count]
        case Call():
            return ["call", value.path, dict(value.given)]
        case Fields():
            return ["fields", _out(value.pairs)]
        case Table():
            return ["table", _out(value.head), _out(value.rows)]
        case Quote():
            return ["quote", value.words]
        case Source():
            return ["source", value.title, value.citation, value.url, _out(value.badge), value.snippet]
        case Sources():
            return ["sources", _out(value.items)]
        case Bars():
            return ["bars", _out(value.title), _out(value.rows)]
        case Event():
            return ["event", _out(value.at), _out(value.label), value.done]
        case Timeline():
            return ["timeline", _out(value.title), _out(value.points)]
        case Picture():
            return ["picture", _out(value.drawing), _out(value.alt), value.name]
        case Button():
            return ["button", _out(value.label), _out(value.call), value.terse]
        case File():
            return ["file", value.name, value.mime, _out(value.data)]
        case Appointment():
            return ["appointment", *(_out(each) for each in vars(value).values())]
        case Reply():
            return ["reply", *(_out(each) for each in vars(value).values())]
        case Mapping():
            return ["map", {key: _out(each) for key, each in value.items()}]
        case Sequence():
            return ["list", [_out(each) for each in value]]
        case _:
            raise TypeError(f"a reply cannot hold a {type(value).__name__}")


def _in(packed: Any) -> Any:
    if not isinstance(packed, list):
        return packed
    tag, *rest = packed
    match tag:
        case "b":
            return base64.b64decode(rest[0])
        case "at":
            return datetime.fromisoformat(rest[0])
        case "day":
            return date.fromisoformat(rest[0])
        case "for":
            return timedelta(seconds=rest[0])
        case "T":
            return Text(rest[0], _in(rest[1]), rest[2], rest[3])
        case "call":
            return Call(rest[0], rest[1])
        case "quote":
            return Quote(rest[0])
        case "source":
            return Source(rest[0], rest[1], rest[2], _in(rest[3]), rest[4])
        case "picture":
            return Picture(_in(rest[0]), _in(rest[1]), rest[2])
        case "file":
            return File(rest[0], rest[1], _in(rest[2]))
        case "map":
            return {key: _in(each) for key, each in rest[0].items()}
        case "list":
            return tuple(_in(each) for each in rest[0])
        case "reply":
            blocks, actions, files = (_in(each) for each in rest[:3])
            page, typed = (*rest[3:], None)[:2]  # what an older version packed has no `typed`
            return Reply(*blocks, actions=actions, files=files, page=page, typed=_in(typed))
        case _:
            return _WHOLE[tag](*(_in(each) for each in rest))


_WHOLE: dict[str, Any] = {
    "fields": Fields,
    "table": Table,
    "sources": Sources,
    "button": Button,
    "bars": Bars,
    "event": Event,
    "timeline": Timeline,
    "appointment": Appointment,
}
