"""What the Hub keeps about a person, and how they take it along or away: a walk over the tables' declarations."""

from __future__ import annotations

import json
from datetime import timedelta

from commands.core import Context, Feature, File, JobContext, Reply, _, n_
from commands.core.text import Text
from storage import privacy as book
from storage.refused import Line, Refused

privacy = Feature("privacy", _("What is kept about you"))


@privacy.command()
def what(_ctx: Context) -> Reply:
    """Tell what the Hub keeps about you, and for how long."""
    about_people = [kept.privacy for kept in book.what() if kept.privacy.whose]
    lengths = sorted({kept.kept for kept in about_people if kept.kept is not None})
    blocks: list[Text] = []
    for length in (None, *reversed(lengths)):
        blocks.append(
            _("As long as you are here:") if length is None else _("For {length}, then deleted:", length=length)
        )
        blocks += [Text("• {what}", {"what": Text(kept.what)}) for kept in about_people if kept.kept == length]
    return Reply(
        *blocks,
        _(
            "Your words are encrypted with a key of your own; {erase} destroys it, and no backup can bring them back.",
            erase=erase.bare(),
        ),
    )


@privacy.every(timedelta(hours=6))
def forget(ctx: JobContext) -> None:
    """Delete what has been kept for as long as its table declares."""
    book.sweep(ctx.session, ctx.now)


@privacy.command(confidential=True)  # cases, lessons and notes stand in it
def export(ctx: Context) -> Reply:
    """Get a file with everything the Hub keeps about you."""
    kept = book.export(ctx.session, ctx.actor.id)
    data = json.dumps(kept, ensure_ascii=False, indent=2, default=str).encode()
    return Reply(
        n_("{n} kind of record, in one file.", "{n} kinds of records, in one file.", len(kept)),
        files=[File("export.json", "application/json", data)],
    )


@privacy.command(
    confirm=_(
        "This erases you: your settings, roles, bookings and words, here and in every backup. "
        "It cannot be undone. Erase everything?"
    ),
    audited=True,
)
def erase(ctx: Context) -> Reply:
    """Erase everything about you from the Hub, for good."""
    if not ctx.private:
        raise Refused("Please say this to me in private: {erase}.", erase=Line("privacy erase"))
    for feature in ctx.commands.features:
        for farewell in feature.farewells:
            farewell(ctx, ctx.actor_id, None)
    report = book.erase(ctx.session, ctx.actor.id, ctx.now)
    ctx.gone = True
    if report.failed:
        return Reply(
            _(
                "Your words are gone, but some records stayed; tell your coordinator: {parts}.",
                parts=report.failed,
            )
        )
    rows = sum(report.rows.values())
    return Reply(
        n_("Done. {n} record about you is gone.", "Done. {n} records about you are gone.", rows),
        _("If you write to me again, you are a new guest."),
    )
