"""The people: one's own settings, and who may do what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from babel import Locale
from rapidfuzz import process

from commands.core import Context, Feature, Fields, JobContext, Reply, Table, Unreadable, _
from commands.core.context import ROLE_NAMES, role_names
from commands.core.kinds import Choice, Kind, clean, one_of
from commands.core.line import Call
from commands.core.strings import Catalogues
from commands.core.text import Text, place_of, plain
from commands.core.when import Moment, QuietSpan, read_days, read_moment, read_quiet, show_quiet
from storage import links, privacy
from storage import members as book
from storage.members import Member, Role
from storage.recurrence import zone_of
from storage.refused import Line, Refused

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

ONLY_ACCOUNT = _("This is your only account: without it nobody could reach you.")

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


def _named(platform: str) -> Text:
    return plain(platform.capitalize())


def _one_of_platforms(typed: str, platforms: Sequence[str]) -> str:
    platform = clean(typed).casefold()
    if platform not in platforms:
        names = [_named(each) for each in platforms]
        raise Unreadable("“{typed}” is none of: {choices}.", typed=platform[:40], choices=names)
    return platform


def _platform(ctx: Context, typed: str) -> str | None:
    return None if clean(typed).casefold() in NO_QUIET else _one_of_platforms(typed, ctx.hub.platforms)


def _linked(ctx: Context, typed: str) -> str:
    # A person may have an account where there is no bot any more; whether they have one is the rule's to say.
    return _one_of_platforms(typed, sorted({*ctx.hub.platforms, *links.removable(ctx.session, ctx.actor_id)}))


def _code(ctx: Context, typed: str) -> str:
    """Read a code; whoever saw one could use it first, so what was said before others works no longer."""
    code = clean(typed)
    if not ctx.private:
        links.spoil(ctx.session, code)
        raise Unreadable(
            "A code works only if you tell it to me in private, and this one works no longer. {link} gives a new one.",
            link=Call("me link"),
        )
    return code


def _as_handle(typed: str) -> str:
    return clean(typed).casefold().lstrip("@").replace(" ", "-")


def _nobody(typed: str) -> Unreadable:
    return Unreadable("I know nobody by the handle “{typed}”.", typed=_as_handle(typed)[:40])


def _member(ctx: Context, typed: str) -> Member:
    found = book.by_handle(ctx.session, _as_handle(typed))
    if found is None:
        raise _nobody(typed)
    return found


def _colleague(ctx: Context, typed: str) -> Member:
    """Read the handle of somebody with a role here; whether it is somebody's elsewhere is not told."""
    found = _member(ctx, typed)
    if book.roles(ctx.session, found.id, ctx.network) == {Role.GUEST}:
        raise _nobody(typed)
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
Platform = Annotated[
    str | None,
    Kind(
        name=_("a platform"),
        read=_platform,
        show=lambda platform: platform or "off",
        suggest=lambda ctx, _typed: [
            *(Choice(each, _named(each)) for each in ctx.hub.platforms),
            Choice("off", _("wherever I can")),
        ],
        example="matrix",
    ),
]
LinkedPlatform = Annotated[
    str,
    Kind(
        name=_("a platform where you have an account"),
        read=_linked,
        show=str,
        suggest=lambda ctx, _typed: [Choice(each, _named(each)) for each in links.removable(ctx.session, ctx.actor_id)],
        nothing=ONLY_ACCOUNT,
        example="matrix",
    ),
]
LinkCode = Annotated[
    str,
    Kind(name=_("a code"), read=_code, show=str, example="K-7K3FQ2AD"),
]
Handle = Annotated[
    Member,
    Kind(name=_("a handle"), read=_member, show=lambda member: member.handle, example="quiet-heron"),
]
Colleague = Annotated[
    Member,
    Kind(name=_("a handle"), read=_colleague, show=lambda member: member.handle, example="quiet-heron"),
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


@me.command("me", alias="me show")
def show_me(ctx: Context) -> Reply:
    """Show what the Hub keeps as your settings."""
    until = ctx.actor.away_until
    away_until = ((_("Away until"), Text("{until}", {"until": until})),) if until and until > ctx.now else ()
    start, end = ctx.actor.quiet_from, ctx.actor.quiet_to
    quiet = plain(show_quiet(QuietSpan(start, end))) if start is not None and end is not None else _("none")
    accounts = [_named(each) for each in sorted(book.accounts(ctx.session, ctx.actor_id).values())]
    linked = ((_("Accounts"), Text("{accounts}", {"accounts": accounts})),) if len(accounts) > 1 else ()
    preferred = ((_("Pings first on"), _named(ctx.actor.platform)),) if ctx.actor.platform else ()
    return Reply(
        Fields(
            (
                (_("Handle"), plain(ctx.actor.handle)),
                (_("Roles here"), _("{roles}", roles=role_names(ctx.roles))),
                (_("Language"), LANGUAGE_NAMES[ctx.voice.language]),
                (_("Time zone"), _("{zone}; now it is {moment}", zone=ctx.actor.zone, moment=ctx.now)),
                (_("Quiet hours"), quiet),
                *away_until,
                *linked,
                *preferred,
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


@me.command("me platform")
def platform_(ctx: Context, platform: Platform) -> Reply:
    """Choose the platform on which my pings reach you first.

    platform: On which platform shall I reach you first? “off” means wherever I can.
    """
    book.set_platform(ctx.session, ctx.actor, platform)
    if platform is None:
        return Reply(_("My pings reach you wherever I can."))
    said = _("From now on my pings reach you on {platform} first.", platform=_named(platform))
    if platform in book.accounts(ctx.session, ctx.actor_id).values():
        return Reply(said)
    return Reply(said, _("You have no account there yet; {link} links one.", link=link.example()))


@me.command()
def link(ctx: Context) -> Reply:
    """Get a code that makes another account of yours one with this one."""
    code = links.issue(ctx.session, member=ctx.actor_id, now=ctx.now, rng=ctx.rng)
    return Reply(
        _(
            "Say this to me on your other account within {length}, in private: {line}",
            length=links.VALID_FOR,
            line=Call(f"{confirm.path} {code}"),
        ),
        _(
            "Whoever says it becomes you, so show it to nobody. "
            "You stay {handle}, with the language, time zone and quiet hours that you have here.",
            handle=ctx.actor.handle,
        ),
    )


@me.command(
    confirm=_(
        "Say yes only if you asked for this code yourself, on another account of your own. This account becomes part "
        "of that one: roles, bookings and words belong to both, and the handle, language, time zone and quiet hours "
        "that you have here end. Join them?"
    ),
    audited=True,
)
def confirm(ctx: Context, code: LinkCode) -> Reply:
    """Make this account one with the account on which you got a code.

    code: Which code did you get on your other account?
    """
    survivor = links.redeem(ctx.session, code=code, by=ctx.actor_id, now=ctx.now)
    if survivor is None:
        return Reply(
            _(
                "That code does not work. A code works once, for {length}, and not on the account that got it: "
                "say {link} there for a new one.",
                length=links.VALID_FOR,
                link=link.example(),
            )
        )
    here = sorted(set(book.accounts(ctx.session, ctx.actor_id).values()))
    ctx.subject = str(survivor.id)
    # Before they are one: the account that got the code must hear of it, and not only the one that said it.
    ctx.tell_at_every_account(
        survivor,
        Reply(
            _(
                "Another account of yours is linked now, on {platforms}: whoever has it is you. "
                "If that was not you, say {unlink} at once and tell your coordinator.",
                platforms=[_named(each) for each in here],
                unlink=[Call(f"{unlink.path} {each}") for each in here],
            )
        ),
        network=ctx.network,
        key=f"linked:{survivor.id}:{ctx.now.isoformat()}",
    )
    links.join(ctx.session, survivor=survivor, merged=ctx.actor, now=ctx.now)
    ctx.actor, ctx.actor_id = survivor, survivor.id
    return Reply(
        _(
            "Done: you are {handle} on this account, too. Roles, bookings and settings are the same on both.",
            handle=survivor.handle,
        )
    )


@me.command(
    confirm=_("I will no longer know the account there, and it can see and do nothing of yours. Unlink it?"),
    audited=True,
)
def unlink(ctx: Context, platform: LinkedPlatform) -> Reply:
    """Take your account on a platform away from you: I no longer know it.

    platform: On which platform? Of several accounts on your only platform, the first one stays.
    """
    if ctx.platform == platform:
        if not ctx.private:
            raise Refused("Please say this to me in private: {line}.", line=Line(f"{unlink.path} {platform}"))
        ctx.gone = True  # nobody is known at this account any more: the answer goes to the room where it was asked
    ctx.tell_at_every_account(
        ctx.actor,
        Reply(
            _(
                "I no longer know your account on {platform}. If that was not you, tell your coordinator.",
                platform=_named(platform),
            )
        ),
        network=ctx.network,
        key=f"unlinked:{ctx.actor_id}:{ctx.now.isoformat()}",
    )
    links.unlink(ctx.session, member=ctx.actor, platform=platform)
    ctx.subject = platform
    return Reply(_("Done: I no longer know your account on {platform}.", platform=_named(platform)))


@me.every(timedelta(minutes=5))
def shred(ctx: JobContext) -> None:
    """Destroy the keys of members who became part of others: old copies of what was sealed under them stay shut."""
    privacy.shred(ctx.session, ctx.now)


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
def revoke(ctx: Context, handle: Colleague, role: RoleName) -> Reply:
    """Take a role in this network from somebody.

    handle: Who loses it? Their handle, please.
    role: Which role?
    """
    ctx.subject = str(handle.id)
    if not book.revoke(ctx.session, actor=ctx.actor, member=handle, network=ctx.network, role=role):
        raise Refused("{handle} does not have the role “{role}” here.", handle=handle.handle, role=ROLE_NAMES[role])
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
