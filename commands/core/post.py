"""Post: what is said to somebody else, or later. It leaves through the outbox, after the commit."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import NAMESPACE_OID, UUID, uuid5

from commands.core.reply import Reply, pack, unpack
from knowledge.answer import Evidence, Written
from knowledge.library import Library
from storage import forms, members, outbox, places
from storage.ask import NOTHING, Caps
from storage.members import Member
from storage.outbox import Lane
from storage.store import Session

PRIVATE = "private"
"""The room of every form that is filled in private: a person has one such place with each bot."""
PATIENCE = timedelta(hours=1)
"""For how long a bare number or word in a room is an answer to us: later it is part of people's own talk."""


@dataclass(frozen=True)
class Network:
    """One thematic network: its key in every table, its name, and how its rooms are spoken to."""

    key: str
    name: str
    language: str = "en"
    zone: str = "UTC"
    off: frozenset[str] = frozenset()
    """Features that are switched off here."""
    contact: str | None = None
    """The account of this network's bot where what is said is encrypted: people are led there."""


@dataclass(frozen=True)
class Hub:
    """What the commands know of this installation."""

    networks: Mapping[str, Network]
    platforms: tuple[str, ...] = ()
    """Where the bots are, the platform first where people are best reached."""
    overheard: frozenset[str] = frozenset()
    """Platforms that can read what is said on them: confidential features are refused there."""
    first_admin: str | None = None
    """The account that is admin from its first word on, as `platform:address`."""
    writer: Writer | None = None
    """Who writes answers out of the library's passages; None: its own words are quoted."""
    caps: Caps = NOTHING
    """What written answers may take in a day."""


class Writer(Protocol):
    """A model that writes answers out of passages; see `knowledge.answer.Endpoint`."""

    async def write(self, question: str, evidence: Sequence[Evidence], language: str) -> Written:
        """Return what it writes, as far as the passages bear it out.

        Raises:
            NoAnswer: it gave none.
        """


def subject_of(network: str) -> UUID:
    """Return whose key seals what is said in a network's own rooms."""
    return uuid5(NAMESPACE_OID, f"impacthub:{network}")


@dataclass(frozen=True)
class Envelope:
    """A reply on its way: what it answers, in whose language, and whether it should ring."""

    reply: Reply
    language: str | None = None
    zone: str | None = None
    reply_to: str | None = None
    thread: str | None = None
    asked: tuple[str, str] | None = None
    """The room and the event of a question whose answer is private: the question gets a mark."""
    dm: str | None = None
    """The private room where it was asked."""
    address: str | None = None
    """The account that asked, of several that a person may have on a platform."""
    farewell: bool = False
    """For the account at `address`, though it may not be theirs any more."""
    mention: bool = False
    confidential: bool = False
    """It must not be said on a platform that reads along, whatever becomes of the others."""
    ticket: str | None = None
    """What the platform gave along with the question to answer it by, where it does that; it expires."""
    public: bool = False
    """By the ticket, everybody in the room may see the answer."""
    question: str | None = None
    """The key of the question that is open now, on a surface where it is answered by pressing and in forms."""

    remove: tuple[str, str] | None = None
    """The room and the event of what was heard, if the platform is asked to take it away."""

    def elsewhere(self) -> Envelope:
        """Return the same words without the way back to where they were asked for."""
        return Envelope(self.reply, self.language, self.zone, mention=self.mention, confidential=self.confidential)

    def pack(self) -> str:
        """Write the envelope as JSON, for the outbox."""
        return json.dumps({**vars(self), "reply": pack(self.reply)}, ensure_ascii=False)

    @classmethod
    def unpack(cls, packed: str) -> Envelope:
        """Read a packed envelope."""
        inside = json.loads(packed)
        pairs = {name: tuple(inside[name]) for name in ("asked", "remove") if inside.get(name)}
        return cls(**{**inside, **pairs, "reply": unpack(inside["reply"])})


class Note(NamedTuple):
    """Something to tell somebody: to whom, what, and under which unique key."""

    to: UUID
    reply: Reply
    key: str


@dataclass
class Post:
    """What commands and jobs share: one transaction, one instant, and the way to tell somebody something."""

    session: Session
    now: datetime
    rng: random.Random = field(repr=False)
    hub: Hub = field(repr=False)
    library: Library = field(repr=False)

    def tell(
        self,
        to: Member,
        reply: Reply,
        *,
        network: str,
        key: str,
        lane: Lane = Lane.ALERT,
        until: datetime | None = None,
        confidential: bool = False,
    ) -> None:
        """Tell a person something in private, once for each `key`; it is dropped when `until` has passed.

        It reaches them on the platform that they prefer, after the commit and outside their quiet hours; what is
        `confidential` only where nobody reads along.
        """
        self.tell_each([Note(to.id, reply, key)], network=network, lane=lane, until=until, confidential=confidential)

    def tell_each(
        self,
        notes: Sequence[Note],
        *,
        network: str,
        lane: Lane = Lane.ALERT,
        until: datetime | None = None,
        confidential: bool = False,
    ) -> None:
        """Tell many people something, each their own; see `tell`."""
        platforms = [each for each in self.hub.platforms if not (confidential and each in self.hub.overheard)]
        ways = members.reach_each(self.session, {note.to for note in notes}, network, platforms)
        # Without a key there is nobody any more.
        reached = [(note, ways[note.to][0]) for note in notes if ways[note.to] and ways[note.to][0].address is not None]
        if not reached:
            return
        outbox.put_each(
            self.session,
            [
                {
                    "key": note.key,
                    "sender": way.sender,
                    "owner": note.to,
                    "payload": Envelope(note.reply, mention=True, confidential=confidential).pack(),
                    "member_id": note.to,
                    "lane": lane,
                    "due_at": self.now,
                    "expires_at": until,
                    "now": self.now,
                }
                for note, way in reached
            ],
        )
        for sender in {way.sender for _note, way in reached}:
            offers: dict[UUID, list[str]] = {}
            for note, way in reached:
                if way.sender == sender and note.reply.actions:
                    offers.setdefault(note.to, [button.call.line() for button in note.reply.actions])
            if offers:
                forms.offer(self.session, offers, bot=sender, room=PRIVATE, now=self.now, patience=PATIENCE)

    def tell_at_every_account(self, to: Member, reply: Reply, *, network: str, key: str) -> None:
        """Tell a person something at each of their accounts, also at one that is about to go."""
        for way in members.reach(self.session, to.id, network, self.hub.platforms):
            if way.address is None:
                continue
            outbox.put(
                self.session,
                key=f"{key}:{outbox.tx_id(f'{way.sender} {way.address}')}",
                sender=way.sender,
                owner=to.id,
                payload=Envelope(
                    reply, language=to.language, zone=to.zone, mention=True, address=way.address, farewell=True
                ).pack(),
                member_id=to.id,
                lane=Lane.ALERT,
                due_at=self.now,
                now=self.now,
            )

    def announce(self, reply: Reply, *, network: str, purpose: places.Purpose, key: str) -> int:
        """Say something in a network's rooms of one purpose, on every platform; return in how many rooms."""
        rooms = places.of(self.session, network=network, purpose=purpose)
        here = self.hub.networks[network]
        for room in rooms:
            outbox.put(
                self.session,
                key=f"{key}:{room.bot}",
                sender=room.bot,
                owner=subject_of(network),
                payload=Envelope(reply, language=here.language, zone=here.zone).pack(),
                place=room.address,
                lane=Lane.DIGEST,
                due_at=self.now,
                now=self.now,
            )
        return len(rooms)
