"""What every platform promises: to hear people, and to deliver what is said to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from commands.core.dispatch import Dispatcher
from commands.core.reply import Reply
from commands.core.text import Voice


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """One thing to deliver, and where to.

    Without a `place` it is personal: nobody but the person at `address` may be able to read it. With a `place` it
    goes into that room, and `address` then only names whom to mention there.

    Attributes:
        key: the business key of the outbox row; what was delivered under it once is never delivered again.
        tx_id: the platform's idempotency key, derived from `key`.
        address: the person's account on this platform.
        dm: the room where the bot last met the person alone; a hint, checked before use.
        place: the room's address; None for a personal parcel.
        reply_to: the event that is answered; it stands in the room where the parcel goes.
        thread: the event that a thread hangs on; the same.
        asked: room and event of a question that is answered in private; the question gets a mark.
        mention: whether the person at `address` is to be notified.
        ticket: what the platform gave along with the question to answer it by; it expires.
        public: by the ticket, everybody in the room may see the answer.
        question: the key of the question that the reply puts, on a surface that answers it by a form.
        remove: room and event of what was heard, which the platform is asked to take away first.
        first_try_at: when delivery was first tried; None at the first try.
    """

    key: str
    tx_id: str
    address: str | None = None
    dm: str | None = None
    place: str | None = None
    reply_to: str | None = None
    thread: str | None = None
    asked: tuple[str, str] | None = None
    mention: bool = False
    ticket: str | None = None
    public: bool = False
    question: str | None = None
    remove: tuple[str, str] | None = None
    first_try_at: datetime | None = None


class Undelivered(Exception):  # noqa: N818 it says what the parcel is
    """A parcel did not arrive.

    Attributes:
        permanent: another try cannot help: the room is gone, the person left, the platform forbids it.
        retry_after: the seconds the platform asked us to wait, if it did.
    """

    def __init__(self, reason: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.permanent = permanent
        self.retry_after = retry_after


class SignedOut(Exception):  # noqa: N818 it names what happened
    """The platform does not take our token any more, or not our password: an operator has to look."""


class Unfit(Exception):  # noqa: N818 the commands are unfit
    """A platform would refuse these commands; each line says which one, and why."""


class Answers(Protocol):
    """Whoever answers what a bot hears; in the product it is the dispatcher."""

    async def answer(self, heard: Any, /) -> object:
        """Answer one thing that was said: its effects, its reply and "done" are committed when this returns."""


class Bot(Protocol):
    """A platform, for one network."""

    @property
    def name(self) -> str:
        """Platform and network, for instance "matrix:uj"; the sender's name in the outbox."""

    @property
    def network(self) -> str:
        """The network the bot serves."""

    async def run(self, dispatcher: Dispatcher) -> None:
        """Hear people until cancelled.

        Raises:
            SignedOut: an operator has to act.
            Exception: it can go on when it is begun anew.
        """

    async def ready(self) -> None:
        """Wait until the bot listens."""

    async def deliver(self, parcel: Parcel, reply: Reply, voice: Voice) -> str:
        """Deliver a parcel once, however often this is called, and return the platform's id of it.

        Raises:
            Undelivered: it did not arrive.
        """
