"""The grammar that every feature is written in."""

from commands.core.context import Context, JobContext
from commands.core.feature import Command, Feature, Shown
from commands.core.kinds import Choice, Kind, Unreadable, Whole, Words, YesOrNo, clean, one_of
from commands.core.line import Call
from commands.core.reply import (
    Appointment,
    Bars,
    Button,
    Event,
    Fields,
    File,
    Picture,
    Quote,
    Reply,
    Source,
    Sources,
    Table,
    Timeline,
)
from commands.core.text import Text, _, n_, plain

__all__ = [
    "Appointment",
    "Bars",
    "Button",
    "Call",
    "Choice",
    "Command",
    "Context",
    "Event",
    "Feature",
    "Fields",
    "File",
    "JobContext",
    "Kind",
    "Picture",
    "Quote",
    "Reply",
    "Shown",
    "Source",
    "Sources",
    "Table",
    "Text",
    "Timeline",
    "Unreadable",
    "Whole",
    "Words",
    "YesOrNo",
    "_",
    "clean",
    "n_",
    "one_of",
    "plain",
]
