"""Calendar entries (iCalendar, RFC 5545) that say when, and nothing about who and what."""

from datetime import UTC, datetime
from typing import Final

PRODID: Final = "-//Calendar//EN"
"""What made the file; it must not tell what its reader belongs to."""


def invite(
    uid: str,
    sequence: int,
    starts_at: datetime,
    ends_at: datetime,
    title: str,
    *,
    cancelled: bool = False,
    tentative: bool = False,
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
        tentative: somebody has yet to agree to it.
        now: when the file is made.

    Raises:
        ValueError: an instant is naive, or the end does not come after the start.
    """
    if any(at.utcoffset() is None for at in (starts_at, ends_at, now)) or ends_at <= starts_at:
        raise ValueError("An appointment is between two aware instants.")
    from icalendar import Calendar, Event  # noqa: PLC0415 eighty modules, for the first appointment

    entry = Event()
    entry.add("uid", uid)
    entry.add("sequence", sequence)
    entry.add("dtstamp", now.astimezone(UTC))
    entry.add("dtstart", starts_at.astimezone(UTC))
    entry.add("dtend", ends_at.astimezone(UTC))
    entry.add("summary", " ".join(title.split()))
    entry.add("status", "CANCELLED" if cancelled else "TENTATIVE" if tentative else "CONFIRMED")
    entry.add("class", "PRIVATE")
    calendar = Calendar()
    calendar.add("version", "2.0")
    calendar.add("prodid", PRODID)
    calendar.add("method", "CANCEL" if cancelled else "REQUEST")
    calendar.add_component(entry)
    return bytes(calendar.to_ical())
