"""What is closed to everybody but some: what is unknown and what is not yours get one and the same answer."""

from __future__ import annotations

from typing import Annotated

from commands.core.context import Context
from commands.core.kinds import Choice, Kind, Unreadable, clean
from commands.core.reply import Reply
from commands.core.text import Text, _
from storage import cases, codes, guesses
from storage.cases import Mine
from storage.places import Purpose

CODES_OF_CASES = ("C", "CI")
"""What the codes of cases and of check-ins begin with."""

PREFIXES = (*CODES_OF_CASES, "L")
"""What the codes of cases, check-ins and lessons begin with: whoever tries one where another is asked guesses, too."""


def not_yours(ctx: Context, typed: str, said: Unreadable) -> Unreadable:
    """Note that somebody named what is none of theirs, and return what they are told: after many misses, to wait.

    What does not look like a code is a word that was not understood, and no guess.
    """
    if not codes.is_meant(typed, PREFIXES):
        return said
    wait = guesses.wait(ctx.session, member=ctx.actor_id, network=ctx.network, now=ctx.now)
    misses = guesses.miss(ctx.session, member=ctx.actor_id, network=ctx.network, now=ctx.now)
    if misses == guesses.MANY:
        ctx.announce(
            Reply(
                _(
                    "{handle} has named {n} codes that are none of theirs. Please ask whether they need help.",
                    handle=ctx.actor.handle,
                    n=misses,
                )
            ),
            network=ctx.network,
            purpose=Purpose.COORDINATORS,
            key=f"guesses:{ctx.actor_id}:{ctx.now.date()}",
        )
    if wait is None:
        return said
    return Unreadable("That was none of yours, several times. Please wait {wait}, then try again.", wait=wait)


def case_label(mine: Mine) -> Text:
    """Name a case to its team."""
    return Text("{code} {title}", {"code": mine.case.code, "title": mine.case.title.text or "—"})


def _read(ctx: Context, typed: str) -> Mine:
    found = cases.one_of_mine(ctx.session, clean(typed), member=ctx.actor_id, network=ctx.network)
    if found is None:
        raise not_yours(ctx, clean(typed), Unreadable("There is no case with that code among yours."))
    return found


def _suggest(ctx: Context, _typed: str) -> list[Choice]:
    mine = cases.mine(ctx.session, member=ctx.actor_id, network=ctx.network)
    return [Choice(each.case.code, case_label(each)) for each in mine]


OWN_CASE: Kind[Mine] = Kind(
    name=_("one of your cases"),
    read=_read,
    show=lambda mine: mine.case.code,
    suggest=_suggest,
    nothing=_("You have no open case here."),
    example="C-7K3FQQ",
    confidential=True,
)
OwnCase = Annotated[Mine, OWN_CASE]
