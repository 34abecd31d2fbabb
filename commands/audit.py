"""The audit: who did what that others must be able to check, as codes; reads are entries too.

Of what is confidential it shows that it was done, and when. Who did it would tell who works on cases, and with whom:
that stands in the chain as a row id, for whoever has the database and a reason to look.
"""

from __future__ import annotations

from uuid import UUID

from commands.core import Context, Feature, Reply, Table, Text, _
from commands.core.text import plain
from storage import audit as book
from storage.members import Member, Role

audit = Feature("audit", _("The audit"))

MOST_ENTRIES = 20


@audit.command(allow=Role.COORDINATOR, audited=True)
def show(ctx: Context) -> Reply:
    """Show the latest entries of this network's audit."""
    entries = book.recent(ctx.session, ctx.network, MOST_ENTRIES)
    if not entries:
        return Reply(_("The audit has no entry yet."))
    rows = tuple(
        (
            plain(str(entry.seq)),
            Text("{moment}", {"moment": entry.at}),
            plain(_handle(ctx, None if _is_confidential(ctx, entry.action) else entry.actor)),
            plain(entry.action),
            plain(_object(ctx, None if _is_confidential(ctx, entry.action) else entry.subject)),
        )
        for entry in entries
    )
    return Reply(Table((_("No."), _("When"), _("Who"), _("What"), _("On")), rows))


def _is_confidential(ctx: Context, action: str) -> bool:
    """Tell whether an action is nobody's business but the actor's: its feature is confidential, or what it needs."""
    command = ctx.commands.by_path.get(action)
    if command is None:
        return False
    needed = any(param.kind.confidential for param in command.params.values() if param.required)
    return needed or ctx.commands.feature_of[action].confidential


def _handle(ctx: Context, member_id: UUID | None) -> str:
    """Name a person by handle; somebody who was erased has none any more."""
    member = ctx.session.get(Member, member_id) if member_id else None
    return member.handle if member else "—"


def _object(ctx: Context, subject: str | None) -> str:
    if subject is None:
        return "—"
    try:
        return _handle(ctx, UUID(subject))
    except ValueError:
        return subject


@audit.command(allow=Role.COORDINATOR)
def verify(ctx: Context) -> Reply:
    """Check that no entry of the audit was changed or removed."""
    broken = book.verify(ctx.session)
    if broken is None:
        return Reply(_("The audit is whole: every entry fits the one before it."))
    return Reply(_("The audit is broken: entry {seq} does not fit the one before it.", seq=broken))
