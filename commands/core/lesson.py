"""Lessons as others see them: who may read which where, and how one is named."""

from __future__ import annotations

from collections.abc import Iterator

from commands.core.context import Context
from commands.core.line import Call
from commands.core.procedure import forum_name, outcome_name, place_name, stage_name, tool_name
from commands.core.reply import Button
from commands.core.text import Text, Voice, _, plain
from storage.feedback import Lesson, Viewer

HELD = _("its facts are held back")


def viewer(ctx: Context) -> Viewer:
    """Who reads, and where: nothing is private where others read along."""
    private = ctx.private and ctx.platform not in ctx.hub.overheard
    return Viewer(ctx.actor_id, ctx.network, ctx.roles, private)


def seen_facts(ctx: Context, lesson: Lesson, voice: Voice | None = None) -> Iterator[tuple[Text, Text]]:
    """Name the facts of a lesson that others see, to whoever asks or to another voice."""
    if lesson.seen.held or lesson.tool is None:
        return
    yield _("Tool"), tool_name(ctx, lesson.tool)
    if lesson.seen_forum:
        yield _("Forum"), forum_name(ctx, lesson.seen_forum)
    if lesson.seen_place:
        yield _("Place"), _place(ctx, lesson.seen_place, voice or ctx.voice)
    if lesson.seen_stage:
        yield _("Stage"), stage_name(ctx, lesson.tool, lesson.seen_stage)
    if lesson.seen_outcome:
        yield _("Outcome"), outcome_name(ctx, lesson.seen_outcome)


def lesson_button(ctx: Context, lesson: Lesson) -> Button:
    """Offer to show a lesson, named by what others see of it."""
    facts = [fact for _name, fact in seen_facts(ctx, lesson)]
    label = Text("{code}: {facts}", {"code": lesson.code, "facts": facts or [HELD]})
    return Button(label, Call("feedback show", {"lesson": lesson.code}), terse=True)


def _place(ctx: Context, place: str, voice: Voice) -> Text:
    region = next((each for each in ctx.library.procedures.regions if each.id == place), None)
    return Text(region.name) if region else plain(place_name(voice, place))
