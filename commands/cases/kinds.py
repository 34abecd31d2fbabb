"""What people give when they speak of a case, and how a case is told to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Annotated

from commands.core import Choice, Context, Feature, Kind, Text, Unreadable, _, clean, one_of, plain
from commands.core.closed import OWN_CASE, case_label, not_yours
from commands.core.kinds import MOST_SUGGESTED, WORDS
from commands.core.procedure import choices, given_tool, listed
from commands.core.when import Moment, read_days, read_moment, read_schedule
from knowledge.guard import names_somebody
from knowledge.procedures import Tool
from storage import cases as book
from storage import checkins, codes, members
from storage.cases import Mine, Part
from storage.checkins import Checkin, Need
from storage.members import Member, Role
from storage.recurrence import Schedule
from storage.rhythm import Every, countries

case = Feature("case", _("Cases"), confidential=True)

PARTS: dict[Part, Text] = {
    Part.LEAD: _("lead"),
    Part.COCOUNSEL: _("co-counsel"),
    Part.RESEARCHER: _("researcher"),
    Part.TRANSLATOR: _("translator"),
    Part.MENTOR: _("mentor of the case"),
}
NEEDS: dict[Need, Text] = {
    Need.NOTHING: _("nothing"),
    Need.MENTOR: _("an hour with a mentor"),
    Need.TRANSLATION: _("translation"),
    Need.SECURITY: _("security"),
    Need.FUNDS: _("funds"),
}
EVERY: dict[Every, Text] = {
    Every.WEEK: _("every week"),
    Every.FORTNIGHT: _("every two weeks"),
    Every.MONTH: _("every month"),
    Every.QUARTER: _("every three months"),
}
NEVER = "never"
NOTHING = frozenset({"-", "—", "nothing", "no", "none", "нічого", "ні", "ничего", "нет"})
"""Words that mean: nothing to say."""

HALF_A_YEAR = timedelta(days=183)


def local_day(ctx: Context, at: datetime) -> date:
    """The day of an instant on the wall of whoever asks: what happens at night there is not of the day before."""
    return at.astimezone(ctx.voice.zone).date()


def _code_name(ctx: Context, typed: str) -> str:
    words = WORDS.read(ctx, typed)
    if names_somebody(words):
        raise Unreadable("That names somebody. A code name tells nothing: a bird, a colour, a river.")
    return words


CodeName = Annotated[str, replace(WORDS, name=_("a code name"), read=_code_name, example="Kingfisher")]


def _readable(ctx: Context, typed: str) -> Mine:
    """Read a case that one may read: one's own, or, as counsel, any of the network."""
    found = book.one_of_mine(ctx.session, clean(typed), member=ctx.actor_id, network=ctx.network)
    if found is None and ctx.may(Role.COUNSEL):
        found = book.for_counsel(ctx.session, clean(typed), network=ctx.network)
    if found is None:
        raise not_yours(ctx, clean(typed), Unreadable("There is no case with that code among yours."))
    return found


def _invitation(ctx: Context, typed: str) -> Mine:
    code = codes.read(clean(typed), "C")
    found = next((each for each in _invitations(ctx) if each.case.code == code), None)
    if found is None:
        raise not_yours(ctx, clean(typed), Unreadable("There is no case with that code among yours."))
    return found


def _invitations(ctx: Context) -> list[Mine]:
    return book.invitations(ctx.session, member=ctx.actor_id, network=ctx.network)


def _colleague(ctx: Context, typed: str) -> Member:
    """Read the handle of somebody in this network; whether there is such a person elsewhere is not told."""
    found = members.by_handle(ctx.session, clean(typed).lstrip("@"))
    if found is None or members.roles(ctx.session, found.id, ctx.network) == {Role.GUEST}:
        raise Unreadable("I know no member by that handle in this network.")
    return found


def _tool(ctx: Context) -> Tool | None:
    """The tool of the case in the call, or of the case of the check-in in it."""
    checkin = ctx.values.get("checkin")
    if isinstance(checkin, Checkin):
        tool = next((each.case.tool for each in _mine(ctx) if each.case.id == checkin.case_id), None)
        return ctx.library.procedures.tool(tool) if tool else None
    return given_tool(ctx)


def _stage(ctx: Context, typed: str) -> str:
    tool = _tool(ctx)
    tools = [tool] if tool else ctx.library.procedures.tools
    return listed(ctx, typed, {stage.id: stage for each in tools for stage in each.stages}.values())


def _following_stage(ctx: Context, typed: str) -> str:
    """Read a stage that a case can reach from where it stands; the present one is the rule's to refuse."""
    stage = _stage(ctx, typed)
    mine, tool = ctx.values.get("case"), given_tool(ctx)
    if isinstance(mine, Mine) and tool is not None and stage != mine.case.stage:
        known, present = tool.stage(stage), tool.stage(mine.case.stage)
        if known and present and stage not in {each.value for each in _next_stages(ctx, "")}:
            raise Unreadable(
                "“{stage}” does not follow “{present}”.", stage=Text(known.name), present=Text(present.name)
            )
    return stage


def _next_stages(ctx: Context, _typed: str) -> list[Choice]:
    mine, tool = ctx.values.get("case"), given_tool(ctx)
    if tool is None or not isinstance(mine, Mine):
        return []
    before = tool.stage(book.stage_before(ctx.session, mine.case) or "")
    following = tool.following(mine.case.stage)
    return choices([*following, *([before] if before and before not in following else [])])


def _present_and_next_stages(ctx: Context, typed: str) -> list[Choice]:
    mine, tool = ctx.values.get("case"), _tool(ctx)
    if tool is not None and not isinstance(mine, Mine):  # a check-in is put right: it may have been at any stage
        return choices(tool.stages)
    present = tool.stage(mine.case.stage) if tool and isinstance(mine, Mine) else None
    same = [Choice(present.id, _("{stage}, as before", stage=Text(present.name)))] if present else []
    return [*same, *(each for each in _next_stages(ctx, typed) if not present or each.value != present.id)]


def _past_day(ctx: Context, typed: str) -> date:
    """Read a day that has come; one without a year is the last such day, and not the next."""
    day = read_days(clean(typed), now=ctx.now, zone=ctx.voice.zone).first
    today = ctx.now.astimezone(ctx.voice.zone).date()
    if day - today > HALF_A_YEAR and str(day.year) not in typed:
        day = (
            day.replace(year=day.year - 1, day=28)
            if (day.month, day.day) == (2, 29)
            else day.replace(year=day.year - 1)
        )
    return day


def _coming_day(ctx: Context, typed: str) -> date:
    day = read_days(clean(typed), now=ctx.now, zone=ctx.voice.zone).first
    if day <= ctx.now.astimezone(ctx.voice.zone).date():
        raise Unreadable("That day has passed.")
    return day


def _later(ctx: Context, typed: str) -> Moment:
    """Read a moment; a day means its morning."""
    words = clean(typed)
    try:
        return read_moment(words, now=ctx.now, zone=ctx.voice.zone)
    except Unreadable:
        day = read_days(words, now=ctx.now, zone=ctx.voice.zone).first
        return read_moment(f"{day} 09:00", now=ctx.now, zone=ctx.voice.zone)


def _weekly(_ctx: Context, typed: str) -> Schedule:
    schedule = read_schedule(clean(typed))
    if len(schedule.weekdays) != 1:
        raise Unreadable("Please name one day of the week and a time, such as {example}.", example=Text("Tue 10:00"))
    return schedule


def _line(ctx: Context, typed: str) -> str:
    words = clean(typed)
    return "" if words.casefold() in NOTHING else WORDS.read(ctx, words)


def _country(_ctx: Context, typed: str) -> str | None:
    code = clean(typed).upper()
    if code.casefold() in {"off", "none", "-"}:
        return None
    if code not in countries():
        raise Unreadable(
            "I know no holidays of “{typed}”. Write a country's code, such as {example}, or “off”.",
            typed=clean(typed)[:40],
            example="GE",
        )
    return code


def _checkin(ctx: Context, typed: str) -> Checkin:
    found = checkins.by_code(ctx.session, clean(typed), [each.case.id for each in _mine(ctx)])
    if found is None:
        raise not_yours(ctx, clean(typed), Unreadable("There is no check-in with that code among yours."))
    return found


def _answered(ctx: Context, _typed: str) -> list[Choice]:
    told = [
        (mine, each)
        for mine in _mine(ctx)
        for each in checkins.history(ctx.session, mine.case)
        if each.answers is not None
    ]
    told.sort(key=lambda pair: pair[1].checkin.day, reverse=True)
    return [
        Choice(each.checkin.code, _("{code}, {day}", code=mine.case.code, day=each.checkin.day))
        for mine, each in told[:MOST_SUGGESTED]
    ]


def _mine(ctx: Context) -> Iterable[Mine]:
    return book.mine(ctx.session, member=ctx.actor_id, network=ctx.network)


ReadableCase = Annotated[Mine, replace(OWN_CASE, read=_readable)]
Invitation = Annotated[
    Mine,
    Kind(
        name=_("an invitation to a case"),
        read=_invitation,
        show=lambda mine: mine.case.code,
        suggest=lambda ctx, _typed: [Choice(each.case.code, plain(each.case.code)) for each in _invitations(ctx)],
        nothing=_("Nobody has invited you to a case."),
        example="C-7K3FQQ",
    ),
]
ClosedToo = Annotated[
    Mine,
    replace(
        OWN_CASE,
        suggest=lambda ctx, _typed: [
            Choice(each.case.code, case_label(each))
            for closed in (False, True)
            for each in book.mine(ctx.session, member=ctx.actor_id, network=ctx.network, closed=closed)
        ],
    ),
]
Colleague = Annotated[
    Member,
    Kind(name=_("a member's handle"), read=_colleague, show=lambda member: member.handle, example="quiet-heron"),
]
_PART = one_of(_("a part in the team"), {part.value: name for part, name in PARTS.items() if part is not Part.LEAD})
PartName = Annotated[
    Part,
    Kind(
        name=_PART.name,
        read=lambda ctx, typed: Part(_PART.read(ctx, typed)),
        show=lambda part: part.value,
        suggest=_PART.suggest,
        choices=_PART.choices,
        example="cocounsel",
    ),
]
Stage = Annotated[str, Kind(name=_("a stage"), read=_following_stage, show=str, suggest=_next_stages, example="filed")]
PresentStage = Annotated[
    str, Kind(name=_("a stage"), read=_following_stage, show=str, suggest=_present_and_next_stages, example="filed")
]
PastDay = Annotated[
    date,
    Kind(
        name=_("a day"),
        read=_past_day,
        show=date.isoformat,
        suggest=lambda _ctx, _typed: [Choice("today", _("today")), Choice("yesterday", _("yesterday"))],
        example="2026-11-20",
    ),
]
ComingDay = Annotated[
    date, Kind(name=_("a day"), read=_coming_day, show=date.isoformat, prose=True, example="2027-02-01")
]
Later = Annotated[
    Moment,
    Kind(
        name=_("a later moment"),
        read=_later,
        show=lambda moment: moment.at.isoformat(),
        suggest=lambda _ctx, _typed: [Choice("tomorrow", _("tomorrow")), Choice("next week", _("next week"))],
        prose=True,
        example="tomorrow 15:00",
    ),
]
_EVERY = one_of(
    _("how often"), {**{every.value: name for every, name in EVERY.items()}, NEVER: _("never")}, example="week"
)
HowOften = Annotated[
    Every | None,
    Kind(
        name=_EVERY.name,
        read=lambda ctx, typed: None if (word := _EVERY.read(ctx, typed)) == NEVER else Every(word),
        show=lambda every: every.value if every else NEVER,
        suggest=_EVERY.suggest,
        choices=_EVERY.choices,
        example=_EVERY.example,
    ),
]
Weekly = Annotated[
    Schedule,
    Kind(
        name=_("a day of the week and a time"),
        read=_weekly,
        show=lambda schedule: schedule.show(),
        prose=True,
        example="Tue 10:00",
    ),
]
HolidaysOf = Annotated[
    str | None, Kind(name=_("a country"), read=_country, show=lambda code: code or "off", example="GE")
]
_NEED = one_of(_("what would help"), {need.value: name for need, name in NEEDS.items()})
NeedName = Annotated[
    Need,
    Kind(
        name=_NEED.name,
        read=lambda ctx, typed: Need(_NEED.read(ctx, typed)),
        show=lambda need: need.value,
        suggest=_NEED.suggest,
        choices=_NEED.choices,
        example="mentor",
    ),
]
Line = Annotated[
    str,
    Kind(
        name=_("one line of words"),
        read=_line,
        show=lambda words: words or "-",
        suggest=lambda _ctx, _typed: [Choice("-", _("nothing"))],
        prose=True,
        free=True,
        example="we wait for the prosecutor's answer",
    ),
]
OwnCheckin = Annotated[
    Checkin,
    Kind(
        name=_("one of your check-ins"),
        read=_checkin,
        show=lambda checkin: checkin.code,
        suggest=_answered,
        nothing=_("There is no answered check-in yet."),
        example="CI-7K3FQ20",
    ),
]
_WHICH = one_of(
    _("one of the four answers"),
    {
        "blocked": _("what holds it up"),
        "moved": _("whether it moved"),
        "stage": _("the stage"),
        "need": _("what would help"),
    },
)
WhichAnswer = Annotated[str, _WHICH]
