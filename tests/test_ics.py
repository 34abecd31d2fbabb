from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from commands.core.ics import invite

KYIV = ZoneInfo("Europe/Kyiv")
STARTS = datetime(2026, 12, 1, 16, tzinfo=KYIV)
NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
ALLOWED = {"UID", "SEQUENCE", "DTSTAMP", "DTSTART", "DTEND", "SUMMARY", "STATUS", "CLASS"}


def made(**facts: Any) -> bytes:
    told = {"uid": "7", "sequence": 0, "starts_at": STARTS, "ends_at": STARTS + timedelta(minutes=30)}
    return invite(**told | {"title": "Conversation", "now": NOW} | facts)


def test_an_invitation_says_when_in_utc() -> None:
    lines = made().decode().split("\r\n")
    assert lines[0] == "BEGIN:VCALENDAR"
    for line in ("METHOD:REQUEST", "DTSTART:20261201T140000Z", "DTEND:20261201T143000Z", "DTSTAMP:20261120T090000Z",
                 "UID:7", "SEQUENCE:0", "SUMMARY:Conversation", "STATUS:CONFIRMED"):  # fmt: skip
        assert line in lines


def test_an_invitation_says_nothing_else() -> None:
    calendar = Calendar.from_ical(made())
    (entry,) = calendar.subcomponents
    assert set(entry) == ALLOWED
    assert set(calendar) == {"VERSION", "PRODID", "METHOD"}
    assert entry.subcomponents == []


def test_what_waits_for_a_yes_is_tentative() -> None:
    assert b"STATUS:TENTATIVE" in made(tentative=True)
    assert b"STATUS:CANCELLED" in made(tentative=True, cancelled=True)


def test_a_cancellation_has_the_same_uid_and_a_higher_sequence() -> None:
    lines = made(sequence=3, cancelled=True).decode().split("\r\n")
    for line in ("METHOD:CANCEL", "STATUS:CANCELLED", "UID:7", "SEQUENCE:3"):
        assert line in lines


@given(title=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200))
def test_any_title_is_one_property_and_cannot_add_another(title: str) -> None:
    (entry,) = Calendar.from_ical(made(title=title + "\r\nATTENDEE:mailto:x@example.org")).subcomponents
    assert set(entry) == ALLOWED
    assert str(entry["SUMMARY"]).endswith("ATTENDEE:mailto:x@example.org")


@pytest.mark.parametrize(
    "facts",
    [{"ends_at": STARTS}, {"starts_at": STARTS.replace(tzinfo=None)}, {"now": NOW.replace(tzinfo=None)}],
)
def test_naive_instants_and_empty_spans_are_refused(facts: dict[str, datetime]) -> None:
    with pytest.raises(ValueError, match="aware instants"):
        made(**facts)
