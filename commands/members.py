"""The people: one's own settings, and who may do what."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from babel import Locale
from rapidfuzz import process

from commands.core import Context, Feature, Fields, Reply, Table, Unreadable, _
from commands.core.context import ROLE_NAMES, role_names
from commands.core.kinds import Choice, Kind, clean, one_of
from commands.core.strings import Catalogues
from commands.core.text import Text, place_of, plain
from commands.core.when import Moment, QuietSpan, read_days, read_moment, read_quiet, show_quiet
from storage import members as book
from storage.members import Member, Role
from storage.recurrence import zone_of
from storage.refused import Refused

me = Feature("me", _("Your own settings"))
roles = Feature("roles", _("Who may do what"))

ZONES_OF_THE_REGION = (
    "Europe/Kyiv",
    "Europe/Chisinau",
    "Europe/Minsk",
    "Asia/Tbilisi",
    "Asia/Yerevan",
    "Asia/Baku",
    "Asia/Almaty",
    "Asia/Bishkek",
    "Europe/Brussels",
)
"""Zones offered first: where most members live."""

LANGUAGES = Catalogues.load().languages

_NAMED = [zone for zone in sorted(available_timezones()) if "/" in zone or zone == "UTC"]


def _spelled(name: str) -> str:
    return name.casefold().replace(" ", "_")


_ZONES = (
    {_spelled(place_of(zone, language)): zone for language in LANGUAGES for zone in _NAMED}
    | {_spelled(zone.rsplit("/", 1)[-1]): zone for zone in _NAMED}
    | {_spelled(zone): zone for zone in _NAMED}
)
"""Every zone by its name and by its city in every language, in lower case."""

LANGUAGE_NAMES: dict[str, Text] = {
    code: plain((Locale(code).get_display_name(code) or code).capitalize()) for code in LANGUAGES
}
"""Every language that the bots speak, in its own words."""

NO_QUIET = ("off", "none", "ні", "вимк", "нет", "выкл")


def _zone(_ctx: Context, typed: str) -> ZoneInfo:
    name = clean(typed)
    found = _ZONES.get(_spelled(name))
    if found is None:
        near = [
            zone for zone, _score, _i in process.extract(name, _NAMED, processor=str.casefold, score_cutoff=75, limit=3)
        ]
        if near:
            raise Unreadable("I do not know the zone “{typed}”. Did you mean {near}?", typed=name[:40], near=near)
        raise Unreadable(
            "I do not know the zone “{typed}”. Write it like {example}.",
            typed=name[:40],
            example="Europe/Kyiv",
        )
    return zone_of(found)


def _quiet(_ctx: Context, typed: str) -> QuietSpan | None:
    return None if clean(typed).casefold() in NO_QUIET else read_quiet(clean(typed))


def _until(ctx: Context, typed: str) -> Moment | None:
    """Read until when: a moment, or a day, which means its beginning."""
    words = clean(typed)
    if words.casefold() in NO_QUIET:
        return None
    try:
        return read_moment(words, now=ctx.now, zone=ctx.voice.zone)
    except Unreadable:
        return Moment(read_days(words, now=ctx.now, zone=ctx.voice.zone).instants(ctx.voice.zone)[0])


def _member(ctx: Context, typed: str) -> Member:
    handle = clean(typed).casefold().lstrip("@").replace(" ", "-")
    found = book.by_handle(ctx.session, handle)
    if found is None:
        raise Unreadable("I know nobody by the handle “{typed}”.", typed=handle[:40])
    return found


Zone = Annotated[
    ZoneInfo,
    Kind(
        name=_("a time zone"),
        read=_zone,
        show=lambda zone: zone.key,
        suggest=lambda ctx, _typed: [
            Choice(zone, plain(f"{place_of(zone, ctx.voice.language)} — {zone}")) for zone in ZONES_OF_THE_REGION
        ],
        prose=True,
        example="Europe/Kyiv",
    ),
]
Language = Annotated[str, one_of(_("a language"), LANGUAGE_NAMES, example="uk")]
Quiet = Annotated[
    QuietSpan | None,
    Kind(
        name=_("quiet hours"),
        read=_quiet,
        show=lambda span: show_quiet(span) if span else "off",
        suggest=lambda _ctx, _typed: [
            Choice("22:00-08:00", plain("22:00-08:00")),
            Choice("off", _("no quiet hours")),
        ],
        prose=True,
        example="22:00-08:00",
    ),
]
Until = Annotated[
    Moment | None,
    Kind(
        name=_("a day or a moment"),
        read=_until,
        show=lambda until: until.at.isoformat() if until else "off",
        prose=True,
        example="2026-12-01 10:00",
    ),
]
Handle = Annotated[
    Member,
    Kind(name=_("a handle"), read=_member, show=lambda member: member.handle, example="quiet-heron"),
]
RoleName = Annotated[
    Role,
    Kind(
        name=_("a role"),
        read=lambda ctx, typed: Role(_ROLE.read(ctx, typed)),
        show=lambda role: role.value,
        suggest=lambda ctx, typed: _ROLE.suggest(ctx, typed) if _ROLE.suggest else [],
        example="member",
    ),
]
_ROLE = one_of(_("a role"), {role.value: name for role, name in ROLE_NAMES.items() if role is not Role.GUEST})


@me.command("me")
def show_me(ctx: Context) -> Reply:
    """Show what the Hub keeps as your settings."""
    until = ctx.actor.away_until
    away_until = ((_("Away until"), Text("{until}", {"until": until})),) if until and until > ctx.now else ()
    start, end = ctx.actor.quiet_from, ctx.actor.quiet_to
    quiet = plain(show_quiet(QuietSpan(start, end))) if start is not None and end is not None else _("none")
    return Reply(
        Fields(
            (
                (_("Handle"), plain(ctx.actor.handle)),
                (_("Roles here"), _("{roles}", roles=role_names(ctx.roles))),
                (_("Language"), LANGUAGE_NAMES[ctx.voice.language]),
                (_("Time zone"), _("{zone}; now it is {moment}", zone=ctx.actor.zone, moment=ctx.now)),
                (_("Quiet hours"), quiet),
                *away_until,
            )
        ),
        _(
            "Change them with {language}, {zone} or {hours}.",
            language=language.example(),
            zone=zone.example(),
            hours=quiet_.example(),
        ),
    )


@me.command()
def language(ctx: Context, language: Language) -> Reply:
    """Choose the language in which I speak to you.

    language: Which language shall I speak with you?
    """
    book.set_language(ctx.session, ctx.actor, language)
    return Reply(_("From now on I speak English with you."))


@me.command()
def zone(ctx: Context, zone: Zone) -> Reply:
    """Choose the time zone in which I tell you times.

    zone: In which time zone do you live?
    """
    book.set_zone(ctx.session, ctx.actor, zone.key)
    return Reply(_("From now on I tell you times in the zone {zone}.", zone=zone.key))


@me.command("me quiet")
def quiet_(ctx: Context, span: Quiet) -> Reply:
    """Choose the hours in which I keep quiet.

    span: From when to when, in your zone? “off” means never.
    """
    start, end = (span.from_minute, span.to_minute) if span else (None, None)
    book.set_quiet(ctx.session, ctx.actor, start, end)
    if span is None:
        return Reply(_("You have no quiet hours now."))
    return Reply(
        _(
            "I keep quiet {span} ({zone}). Only what would be too late afterwards still reaches you.",
            span=show_quiet(span),
            zone=ctx.actor.zone,
        )
    )


@me.command()
def away(ctx: Context, until: Until) -> Reply:
    """Say until when nothing of mine may ring.

    until: Until when are you away? “off” means that you are here.
    """
    if until is not None and until.at <= ctx.now:
        raise Refused("That moment has passed.")
    book.set_away(ctx.session, ctx.actor, until.at if until else None)
    if until is None:
        return Reply(_("Welcome back. I can ring again."))
    return Reply(_("Until {moment} I keep quiet. Only what would be too late then still reaches you.", moment=until.at))


@roles.command(allow=Role.COORDINATOR, audited=True)
def grant(ctx: Context, handle: Handle, role: RoleName) -> Reply:
    """Give somebody a role in this network.

    handle: Who gets it? Their handle, please.
    role: Which role?
    """
    ctx.subject = str(handle.id)
    book.grant(ctx.session, actor=ctx.actor, member=handle, network=ctx.network, role=role, now=ctx.now)
    here = ctx.hub.networks[ctx.network].name
    ctx.tell(
        handle,
        Reply(_("You now have the role “{role}” in the network {network}.", role=ROLE_NAMES[role], network=here)),
        network=ctx.network,
        key=f"role:{ctx.network}:{handle.id}:{role.value}:{ctx.now.isoformat()}",
    )
    return Reply(_("{handle} now has the role “{role}” here.", handle=handle.handle, role=ROLE_NAMES[role]))


@roles.command(allow=Role.COORDINATOR, audited=True)
def revoke(ctx: Context, handle: Handle, role: RoleName) -> Reply:
    """Take a role in this network from somebody.

    handle: Who loses it? Their handle, please.
    role: Which role?
    """
    ctx.subject = str(handle.id)
    book.revoke(ctx.session, actor=ctx.actor, member=handle, network=ctx.network, role=role)
    for feature in ctx.commands.features:
        for farewell in feature.farewells:
            farewell(ctx, handle.id, role)
    here = ctx.hub.networks[ctx.network].name
    ctx.tell(
        handle,
        Reply(_("You no longer have the role “{role}” in the network {network}.", role=ROLE_NAMES[role], network=here)),
        network=ctx.network,
        key=f"role:{ctx.network}:{handle.id}:{role.value}:{ctx.now.isoformat()}",
    )
    return Reply(_("{handle} no longer has the role “{role}” here.", handle=handle.handle, role=ROLE_NAMES[role]))


@roles.command("roles list", allow=Role.COORDINATOR, audited=True)
def listed(ctx: Context) -> Reply:
    """List who has which role in this network, by handle."""
    rows = tuple(
        (plain(member.handle), _("{roles}", roles=role_names(held)))
        for member, held in book.everyone(ctx.session, ctx.network)
    )
    if not rows:
        return Reply(_("Nobody has a role here yet."))
    return Reply(Table((_("Handle"), _("Roles here")), rows))
