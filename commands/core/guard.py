"""The survivor guard in conversation: words that may identify a victim or a witness are stopped before anything else.

Nothing is done with such words and nothing of them is kept or quoted. There is no way around it but to say the same
thing without them.
"""

from __future__ import annotations

from commands.core.reply import Reply, Source, Sources
from commands.core.text import Text, _
from knowledge.guard import Danger, findings
from knowledge.library import Library

WHERE_IT_BELONGS = ("berkeley-protocol", "murad-code", "eurojust-cso-guidelines")
"""Entries of the library that say how survivors' accounts are taken and kept."""

DANGERS: dict[Danger, Text] = {
    Danger.NAME: _("a person's name"),
    Danger.BIRTH_DATE: _("a date of birth"),
    Danger.PHONE: _("a phone number"),
    Danger.EMAIL: _("an e-mail address"),
    Danger.COORDINATES: _("coordinates"),
    Danger.ADDRESS: _("an address"),
    Danger.DOCUMENT: _("the number of a document"),
    Danger.CASE_FILE: _("the number of a case file"),
    Danger.HEALTH: _("somebody's health"),
    Danger.SEXUAL_VIOLENCE: _("what was done to somebody"),
    Danger.PERSON: _("who somebody is"),
}


class Endangering(Exception):  # noqa: N818 the words are endangering
    """Words may identify a victim or a witness; the words themselves are not in here."""

    def __init__(self, dangers: frozenset[Danger]) -> None:
        super().__init__("words that may identify a victim or a witness")
        self.dangers = dangers


def look(words: str) -> None:
    """Let words pass.

    Raises:
        Endangering: they may identify a victim or a witness.
    """
    found = findings(words)
    if found:
        raise Endangering(frozenset(finding.kind for finding in found))


def stopped(endangering: Endangering, library: Library) -> Reply:
    """Say why words were stopped, and where such things belong."""
    entries = filter(None, map(library.resource, WHERE_IT_BELONGS))
    return Reply(
        _(
            "I stopped here and kept nothing: your words may tell who a victim or a witness is ({dangers}). "
            "Survivors' accounts never enter the chat.",
            dangers=[DANGERS[danger] for danger in Danger if danger in endangering.dangers],
        ),
        _(
            "Please say it again without that. What you know about people belongs into a secure record that follows "
            "rules such as these; give me only where it lies. If you still see your message, delete it."
        ),
        Sources(tuple(Source(entry.title, entry.citation, entry.url) for entry in entries)),
    )
