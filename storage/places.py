"""Where our rooms are now: settings name them once, and rooms move when a platform upgrades them."""

from enum import StrEnum
from typing import ClassVar

from sqlmodel import Field, select

from storage.store import Session
from storage.table import Erasure, Privacy, Table


class Purpose(StrEnum):
    """What a room is for."""

    NETWORK = "network"
    COORDINATORS = "coordinators"


class Place(Table, table=True):
    """A room of a network.

    Attributes:
        bot: the bot that speaks there, such as "matrix:uj".
        purpose: what the room is for, a `Purpose`.
        network: whose room it is.
        address: the platform's name of the room, as of now.
        settled: the address that the settings gave.
    """

    privacy: ClassVar[Privacy] = Privacy(what="Where the networks' rooms are.", erase=Erasure.KEEP)

    bot: str = Field(primary_key=True, max_length=64)
    purpose: str = Field(primary_key=True, max_length=32)
    network: str = Field(max_length=32)
    address: str = Field(index=True)
    settled: str


def settle(session: Session, *, bot: str, purpose: Purpose, network: str, address: str) -> Place:
    """Say what the settings say; a room that moved stays there until they say something new."""
    place = session.get(Place, (bot, purpose))
    if place is None:
        place = Place(bot=bot, purpose=purpose, network=network, address=address, settled=address)
    elif place.settled != address:
        place.address = place.settled = address
    place.network = network
    session.add(place)
    return place


def address(session: Session, bot: str, purpose: Purpose) -> str | None:
    """Where a bot finds the room for this purpose."""
    place = session.get(Place, (bot, purpose))
    return place.address if place else None


def of(session: Session, *, network: str, purpose: Purpose) -> list[Place]:
    """A network's rooms for this purpose, one on each platform."""
    rooms = select(Place).where(Place.network == network, Place.purpose == purpose).order_by(Place.bot)
    return list(session.exec(rooms))


def at(session: Session, bot: str, address: str) -> Place | None:
    """Which of our rooms this is; None if it is none."""
    return session.exec(select(Place).where(Place.bot == bot, Place.address == address)).first()


def shared_by(session: Session, address: str) -> frozenset[str]:
    """The networks whose bots sit in one room together, on any platform."""
    return frozenset(session.exec(select(Place.network).where(Place.address == address)))


def move(session: Session, bot: str, old: str, new: str) -> bool:
    """A room was replaced by another; False if it is none of ours."""
    place = at(session, bot, old)
    if place is None:
        return False
    place.address = new
    session.add(place)
    return True
