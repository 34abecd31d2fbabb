"""What a person may do here, in their language."""

from __future__ import annotations

from typing import Annotated

from commands.core import Context, Feature, Fields, Reply, Unreadable, _
from commands.core.context import ROLE_NAMES, role_names
from commands.core.dispatch import usage
from commands.core.feature import Command
from commands.core.kinds import Choice, Kind, clean
from commands.core.line import Call
from commands.core.text import Text, plain

help_ = Feature("help", _("What I can do for you"))


def _read(ctx: Context, typed: str) -> str:
    path = " ".join(clean(typed).casefold().split())
    if path in ctx.commands.by_path:
        return ctx.commands.by_path[path].path
    if path in ctx.commands.groups:
        return path
    raise Unreadable("There is no command “{typed}”.", typed=path[:60])


def _suggest(ctx: Context, typed: str) -> list[Choice]:
    return [
        Choice(command.path, Text("{call}: {about}", {"call": Call(command.path), "about": command.about}))
        for command in ctx.commands
        if ctx.may(command.allow) and command.path.startswith(typed)
    ]


CommandPath = Annotated[
    str,
    Kind(name=_("a command"), read=_read, show=str, suggest=_suggest, prose=True, example="hours book"),
]


@help_.command("help")
def help_me(ctx: Context, command: CommandPath | None = None) -> Reply:
    """Show what you may do here.

    command: Which command?
    """
    if command is None:
        return _everything(ctx)
    if command in ctx.commands.by_path:
        return _one(ctx, ctx.commands.by_path[command])
    blocks: list[Text | Fields] = []
    for feature in ctx.commands.features:
        if command in feature.groups and (listed := _listed(ctx, feature, command)):
            blocks += [feature.about, Fields(listed)]
    return Reply(*(blocks or [_("There is nothing in “{typed}” that you may do here.", typed=command)]))


def _everything(ctx: Context) -> Reply:
    blocks: list[Text | Fields] = [
        _(
            "You are {handle} here: {roles}.",
            handle=ctx.actor.handle,
            roles=role_names(ctx.roles),
        )
    ]
    offered = [
        (feature.about, Text("{calls}", {"calls": calls}))
        for feature in ctx.commands.features
        if (calls := [Call(command.path) for command in feature.commands if ctx.may(command.allow)])
    ]
    blocks.append(Fields(tuple(offered)))
    blocks.append(
        _(
            "More on a group: {group}. More on one of them: {one}.",
            group=Call("help me"),
            one=Call("help find"),
        )
    )
    return Reply(*blocks, typed=_("In a private chat with me, commands need no sign before them."))


def _listed(ctx: Context, feature: Feature, group: str) -> tuple[tuple[Text, Text], ...]:
    return tuple(
        (Text("{call}", {"call": Call(command.usage())}), command.about)
        for command in feature.commands
        if ctx.may(command.allow) and group in {feature.name, command.path.split()[0]}
    )


def _one(ctx: Context, command: Command[...]) -> Reply:
    if not ctx.may(command.allow):
        return Reply(_("You need the role “{role}” for that here.", role=ROLE_NAMES[command.allow]))
    params = tuple(
        (plain(param.name), param.about) for param in command.params.values() if param.about is not command.confirm
    )
    return Reply(command.about, *usage(command), *([Fields(params)] if params else []))
