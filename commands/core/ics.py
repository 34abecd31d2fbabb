"""Calendar entries (iCalendar, RFC 5545) that say when, and nothing about who and what."""

from datetime import UTC, datetime
from typing import Final

PRODID: Final = "-//Calendar//EN"
"""What made the file; it must not tell what its reader belongs to."""

_LONGEST: Final = 75
"""Octets of a line; what is longer goes on in the next line, behind a space."""


def invite(
    uid: str,
    sequence: int,
    starts_at: datetime,
    ends_at: datetime,
    title: str,
    *,
    cancelled: bool = False,
    now: datetime,
) -> bytes:
    """Make the .ics file of an appointment, or of its cancellation.

    A calendar that is given a later file of the same `uid` with a higher `sequence` changes or removes its entry.
    There are no attendees, organisers, places, descriptions and alarms in it: calendars are copied to servers and
    shown on locked screens.

    Args:
        uid: the appointment's name for ever.
        sequence: 0 at first, higher with every change, highest in the cancellation.
        starts_at: an instant; it is written in UTC.
        ends_at: a later instant.
        title: neutral words in the reader's language, which name nobody and no case.
        cancelled: the appointment is off.
        now: when the file is made.

    Raises:
        ValueError: an instant is naive, or the end does not come after the start.
    """
    if any(at.utcoffset() is None for at in (starts_at, ends_at, now)) or ends_at <= starts_at:
        raise ValueError("An appointment is between two aware instants.")
    lines = (
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:{PRODID}",
        f"METHOD:{'CANCEL' if cancelled else 'REQUEST'}",
        "BEGIN:VEVENT",
        f"UID:{_quoted(uid)}",
        f"SEQUENCE:{sequence}",
        f"DTSTAMP:{_moment(now)}",
        f"DTSTART:{_moment(starts_at)}",
        f"DTEND:{_moment(ends_at)}",
        f"SUMMARY:{_quoted(title)}",
        f"STATUS:{'CANCELLED' if cancelled else 'CONFIRMED'}",
        "CLASS:PRIVATE",
        "END:VEVENT",
        "END:VCALENDAR",
    )
    return b"".join(map(_folded, lines))


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _quoted(words: str) -> str:
    """Keep a text in its line: what would end the line becomes a space, what would end the value is quoted."""
    text = " ".join(words.split())
    for mark in ("\\", ";", ","):
        text = text.replace(mark, f"\\{mark}")
    return text


def _folded(line: str) -> bytes:
    """Write a line, cut where it is too long, but never inside a character."""
    rest, pieces = line.encode(), []
    while len(rest) > _LONGEST:
        cut = _LONGEST
        while rest[cut] & 0b1100_0000 == 0b1000_0000:
            cut -= 1
        pieces.append(rest[:cut])
        rest = b" " + rest[cut:]
    return b"\r\n".join([*pieces, rest, b""])
