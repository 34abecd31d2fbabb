"""Kinds of the closed lists in `knowledge/procedures`: tools, forums, jurisdictions, stages, outcomes.

What is listed is said in the reader's language, and read in it, in English, or by its id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

from babel import Locale

from commands.core.context import Context
from commands.core.kinds import MOST_SUGGESTED, Choice, Kind, Unreadable, clean
from commands.core.post import Post
from commands.core.text import Text, Voice, _, plain
from knowledge.procedures import Named, Tool


def named(row: Named | None) -> Text:
    """Say what is listed; nothing is a dash."""
    return Text(row.name) if row is not None else plain("—")


def tool_name(ctx: Post, tool: str) -> Text:
    """Name a tool by its id."""
    return named(ctx.library.procedures.tool(tool))


def stage_name(ctx: Post, tool: str, stage: str | None) -> Text:
    """Name a stage of a tool by its id."""
    known = ctx.library.procedures.tool(tool)
    return named(known.stage(stage) if known and stage else None)


def forum_name(ctx: Post, forum: str | None) -> Text:
    """Name a forum by its id."""
    return named(ctx.library.procedures.forum(forum) if forum else None)


def outcome_name(ctx: Post, outcome: str | None) -> Text:
    """Name an outcome by its id."""
    return named(ctx.library.procedures.outcome(outcome) if outcome else None)


def place_name(voice: Voice, code: str | None) -> str:
    """Name a jurisdiction by its code: a country in the reader's language, anything else as it is."""
    return str(Locale(voice.language).territories.get(code, code)) if code else "—"


def listed(ctx: Context, typed: str, rows: Iterable[Named]) -> str:
    """Read the id of something listed; a unique beginning of its id or name is enough.

    Raises:
        Unreadable: it is none of them, or could be several.
    """
    word = " ".join(clean(typed).casefold().split())
    spoken = {row.id: (row.id, row.name.casefold(), ctx.voice.say(Text(row.name)).casefold()) for row in rows}
    if word in spoken:
        return word
    same = [one for one, names in spoken.items() if word in names]
    begun = [one for one, names in spoken.items() if word and any(name.startswith(word) for name in names)]
    for found in (same, begun):
        if len(found) == 1:
            return found[0]
    raise Unreadable("“{typed}” is not on the list.", typed=word[:40])


def choices(rows: Iterable[Named]) -> list[Choice]:
    """Suggest what is listed, in its order."""
    return [Choice(row.id, Text(row.name)) for row in rows][:MOST_SUGGESTED]


def _usual_first(rows: Sequence[Named], usual: Sequence[str]) -> list[Named]:
    """Put what is usual in front, in its own order."""
    order = {one: place for place, one in enumerate(usual)}
    return sorted(rows, key=lambda row: order.get(row.id, len(order)))


def given_tool(ctx: Context) -> Tool | None:
    """The tool of which the call speaks, as far as it was read: named in it, or that of the case in it."""
    case = getattr(ctx.values.get("case"), "case", None)
    tool = ctx.values.get("tool") or getattr(case, "tool", None)
    return ctx.library.procedures.tool(tool) if isinstance(tool, str) else None


def _forums(ctx: Context, _typed: str) -> list[Choice]:
    tool = given_tool(ctx)
    return choices(_usual_first(ctx.library.procedures.forums, tool.forums if tool else ()))


def _outcomes(ctx: Context, _typed: str) -> list[Choice]:
    tool = given_tool(ctx)
    return choices(_usual_first(ctx.library.procedures.outcomes, tool.outcomes if tool else ()))


def _jurisdiction(ctx: Context, typed: str) -> str:
    word = clean(typed)
    known = ctx.library.procedures.jurisdictions
    for language in (ctx.voice.language, "en"):
        names = {
            str(name).casefold(): str(code) for code, name in Locale(language).territories.items() if code in known
        }
        if (code := names.get(word.casefold())) is not None:
            return code
    code = word.upper() if word.upper() in known else ctx.library.jurisdiction(word)
    if code is None or code not in known:
        raise Unreadable(
            "I do not know the jurisdiction “{typed}”. Write a country, or a code such as {example}.",
            typed=word[:40],
            example="DE",
        )
    return code


def _kind(name: Text, rows: Callable[[Context], Sequence[Named]], *, example: str) -> Kind[str]:
    return Kind(
        name=name,
        read=lambda ctx, typed: listed(ctx, typed, rows(ctx)),
        show=str,
        suggest=lambda ctx, _typed: choices(rows(ctx)),
        example=example,
    )


TOOL = _kind(_("a legal tool"), lambda ctx: ctx.library.procedures.tools_for(ctx.network), example="uj-complaint")
FORUM: Kind[str] = Kind(
    name=_("a forum"),
    read=lambda ctx, typed: listed(ctx, typed, ctx.library.procedures.forums),
    show=str,
    suggest=_forums,
    example="prosecutor",
)
OUTCOME: Kind[str] = Kind(
    name=_("an outcome"),
    read=lambda ctx, typed: listed(ctx, typed, ctx.library.procedures.outcomes),
    show=str,
    suggest=_outcomes,
    example="opened",
)
JURISDICTION: Kind[str] = Kind(name=_("a jurisdiction"), read=_jurisdiction, show=str, example="DE")

ToolId = Annotated[str, TOOL]
ForumId = Annotated[str, FORUM]
OutcomeId = Annotated[str, OUTCOME]
JurisdictionCode = Annotated[str, JURISDICTION]
