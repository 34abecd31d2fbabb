"""The files that go along with a reply: written when it is sent, in the reader's language, outside of transactions."""

from __future__ import annotations

from commands.core import ics, page
from commands.core.reply import Appointment, File, Reply
from commands.core.text import Voice, _


def attachments(reply: Reply, voice: Voice) -> list[File]:
    """Return the files of a reply, its calendar entries written, and its page if it wants one."""
    files = [_written(each, voice) if isinstance(each, Appointment) else each for each in reply.files]
    if reply.page is not None:
        files.append(File(reply.page, "text/html", page.write(reply, voice)))
    return files


def _written(appointment: Appointment, voice: Voice) -> File:
    data = ics.invite(
        uid=appointment.uid,
        sequence=appointment.sequence,
        starts_at=appointment.starts_at,
        ends_at=appointment.ends_at,
        title=voice.say(_("Appointment")),
        cancelled=appointment.cancelled,
        tentative=appointment.tentative,
        now=appointment.made_at,
    )
    return File(appointment.name, "text/calendar", data)
