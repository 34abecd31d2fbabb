"""The weekly digest for coordinators: counts and what needs a decision, nothing that identifies anybody."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from commands.core import (
    Bars,
    Call,
    Context,
    Feature,
    Fields,
    JobContext,
    Kind,
    Picture,
    Reply,
    Table,
    Text,
    _,
    clean,
    n_,
    plain,
)
from commands.core.post import Post
from commands.core.procedure import stage_name, tool_name
from commands.core.shelf import stale, stale_checklists
from commands.core.when import read_schedule
from storage import cases, checkins, digests, feedback, library, office_hours
from storage.checkins import Need
from storage.members import Role
from storage.places import Purpose
from storage.recurrence import WEEKDAYS, Schedule

digest = Feature("digest", _("The coordinators' digest"))

FEW = 3
"""Counts below this are shown as “< 3”: one booking in a week may be one person that everybody knows."""

MOST_STALE = 10
"""Entries of the library that a digest names."""

USUAL = "Mon 09:00"
"""When a digest comes until a coordinator chooses otherwise."""

When = Annotated[
    Schedule,
    Kind(
        name=_("a schedule"),
        read=lambda _ctx, typed: read_schedule(clean(typed)),
        show=lambda schedule: schedule.show(),
        prose=True,
        example="Mon 09:00",
    ),
]


@digest.command(allow=Role.COORDINATOR, audited=True)
def now(ctx: Context) -> Reply:
    """Send this network's digest to the coordinators' room now."""
    rooms = ctx.announce(
        write(ctx, ctx.network),
        network=ctx.network,
        purpose=Purpose.COORDINATORS,
        key=f"digest:{ctx.network}:{ctx.now.isoformat()}",
    )
    if not rooms:
        return Reply(
            _(
                "There is no coordinators' room yet; {preview} shows the digest to you.",
                preview=preview.bare(),
            )
        )
    return Reply(_("The digest is on its way to the coordinators' room."))


@digest.command(allow=Role.COORDINATOR)
def preview(ctx: Context) -> Reply:
    """Show this network's digest to you alone."""
    return write(ctx, ctx.network)


@digest.command(allow=Role.COORDINATOR, audited=True)
def schedule(ctx: Context, cron: When) -> Reply:
    """Choose when the digest goes to the coordinators' room.

    cron: When, in your zone? A day and a time.
    """
    digests.schedule(ctx.session, network=ctx.network, when=cron.show(), zone=ctx.voice.zone.key, now=ctx.now)
    following = cron.after(ctx.now, ctx.voice.zone)
    every_day = len(cron.weekdays) == len(WEEKDAYS)
    return Reply(
        _(
            "Set: {days}, {time}. The next digest comes on {moment}.",
            days=_("every day") if every_day else [ctx.voice.weekday(day) for day in sorted(cron.weekdays)],
            time=f"{cron.minute // 60:02}:{cron.minute % 60:02}",
            moment=following.at,
        )
    )


@digest.every(timedelta(minutes=1))
def send(ctx: JobContext) -> None:
    """Send the digests that are due: each occurrence once, the latest one also after a long downtime."""
    for network in ctx.hub.networks.values():
        if digests.scheduled(ctx.session, network.key) is None:
            digests.schedule(ctx.session, network=network.key, when=USUAL, zone=network.zone, now=ctx.now)
    for issue in digests.due(ctx.session, ctx.now):
        if issue.network not in ctx.hub.networks or "digest" in ctx.hub.networks[issue.network].off:
            continue
        digests.mark(ctx.session, network=issue.network, key=issue.key, now=ctx.now)
        ctx.announce(write(ctx, issue.network), network=issue.network, purpose=Purpose.COORDINATORS, key=issue.key)


def write(ctx: Post, network: str) -> Reply:
    """Write the digest of the week that ends now."""
    week = office_hours.week(ctx.session, network=network, since=ctx.now - timedelta(days=7), now=ctx.now)
    decisions = [*_decisions(week), *_cases_to_look_at(ctx, network), *_library_to_look_at(ctx, network)]
    counts = (
        (_("Booked"), week.booked),
        (_("Held"), week.held),
        (_("Missed"), week.missed),
        (_("Cancelled"), week.cancelled),
    )
    return Reply(
        _(
            "Digest of {network}, the week to {day}",
            network=ctx.hub.networks[network].name,
            day=ctx.now.astimezone(ZoneInfo(ctx.hub.networks[network].zone)).date(),
        ),
        *([_("This needs a decision:"), *decisions] if decisions else [_("Nothing needs a decision.")]),
        Fields(
            (
                *((name, _count(n)) for name, n in counts),
                (_("Offers"), _count(week.offers)),
                (_("Open slots in the next 14 days"), _count(week.open_slots)),
            )
        ),
        Picture(
            Bars(
                _("Office hours this week"),
                tuple((name, n if n == 0 or n >= FEW else None) for name, n in counts),
            ),
            alt=_(
                "A bar chart of this week's office hours: {counts}.",
                counts=[_("{name} {count}", name=name, count=_count(n)) for name, n in counts],
            ),
            name="digest.png",
        ),
        *_cases(ctx, network),
        page="digest.html",
    )


def _cases_to_look_at(ctx: Post, network: str) -> list[Text]:
    """Name the cases that nobody answers for, by code, and the lessons that wait for counsel."""
    late = checkins.overdue(ctx.session, network)
    found = [_("• Nobody answers for these cases: {codes}. Ask their leads how they go.", codes=late)] if late else []
    _released, waiting = feedback.week(ctx.session, network=network, since=ctx.now - timedelta(days=7), now=ctx.now)
    if waiting:
        found.append(_("• Lessons wait for counsel to release them."))
    return found


def _library_to_look_at(ctx: Post, network: str) -> list[Text]:
    """Tell what members suggested for the library, and which of its entries have lost their badge."""
    found = []
    if suggested := library.waiting(ctx.session, network):
        found.append(
            n_(
                "• {n} suggestion for the library waits: {waiting}.",
                "• {n} suggestions for the library wait: {waiting}.",
                len(suggested),
                waiting=Call("resource waiting"),
            )
        )
    if old := stale(ctx, network):
        found.append(
            n_(
                "• {n} entry of the library has lost its badge: {ids}. See {stale}.",
                "• {n} entries of the library have lost their badge, the oldest first: {ids}. See {stale}.",
                len(old),
                ids=[each.id for each in old[:MOST_STALE]],
                stale=Call("resource stale"),
            )
        )
    if unseen := stale_checklists(ctx, network):
        found.append(
            n_(
                "• {n} checklist was last reviewed more than a year ago: {ids}. Look at it again, then {confirm}.",
                "• {n} checklists were last reviewed more than a year ago: {ids}. Look at them again, then {confirm}.",
                len(unseen),
                ids=[each.id for each in unseen],
                confirm=Call("checklist confirm"),
            )
        )
    return found


def _cases(ctx: Post, network: str) -> list[Text | Table | Fields]:
    """Count the open cases by tool and stage, what they need, and new lessons: nothing that identifies one."""
    counted = cases.counts(ctx.session, network)
    since = ctx.now - timedelta(days=7)
    needs = checkins.needs(ctx.session, network=network, since=since)
    released, _waiting = feedback.week(ctx.session, network=network, since=since, now=ctx.now)
    rows = tuple(
        (tool_name(ctx, each.tool), stage_name(ctx, each.tool, each.stage), _count(each.n))
        for each in sorted(counted, key=lambda each: (each.tool, -each.n, each.stage))
    )
    if not (rows or needs or released):
        return []
    # A total beside counts that are held back would tell them: by subtraction, or because each is one at least.
    all_told = len(counted) <= 1 or all(each.n >= FEW for each in counted)
    facts = [
        *([(_("Open cases"), _count(sum(each.n for each in counted)))] if all_told else []),
        *(
            (_("Needed this week: {need}", need=name), _count(needs[need]))
            for need, name in NEEDS.items()
            if needs[need]
        ),
        (_("New lessons"), _count(released)),
    ]
    return [
        Fields(tuple(facts)),
        *([Table((_("Tool"), _("Stage"), _("Open cases")), rows)] if rows else []),
    ]


NEEDS: dict[Need, Text] = {
    Need.MENTOR: _("an hour with a mentor"),
    Need.TRANSLATION: _("translation"),
    Need.SECURITY: _("security"),
    Need.FUNDS: _("funds"),
}


def _decisions(week: office_hours.Week) -> list[Text]:
    found = []
    if 0 < week.waiting < FEW:
        found.append(_("• A few bookings have waited for their mentor's yes for more than a day. Ask the mentors."))
    elif week.waiting:
        found.append(
            n_(
                "• {n} booking has waited for its mentor's yes for more than a day. Ask the mentors.",
                "• {n} bookings have waited for their mentor's yes for more than a day. Ask the mentors.",
                week.waiting,
            )
        )
    if not week.offers:
        found.append(_("• No mentor offers office hours. Invite one."))
    elif not week.open_slots:
        found.append(_("• Every slot of the next 14 days is taken. Ask mentors for more hours."))
    return found


def _count(n: int) -> Text:
    return plain("< 3" if 0 < n < FEW else str(n))
