"""Checklists of designations, complaints and climate cases, and how far a case has come with one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated

from commands.core import (
    Button,
    Choice,
    Context,
    Feature,
    Fields,
    Kind,
    Reply,
    Text,
    Unreadable,
    _,
    clean,
    one_of,
    plain,
    shelf,
)
from commands.core.closed import OwnCase
from commands.core.shelf import CHECK
from knowledge.library import Checklist, Item
from knowledge.schema import is_recent
from storage import checklists as book
from storage.cases import Mine
from storage.checklists import Mark
from storage.members import Role

checklists = Feature("checklist", _("Checklists"))

MOST_OFFERED = 9
FACTS: dict[str, Text] = {
    "authority": _("Authority"),
    "addressee": _("Addressee"),
    "measures": _("Measures"),
    "conduct": _("Conduct"),
    "standard": _("Standard"),
    "crimes": _("Crimes"),
    "presence_or_residence": _("Presence or residence"),
    "nationality_links": _("Links of nationality"),
    "subsidiarity_and_discretion": _("Subsidiarity and discretion"),
    "immunity": _("Immunity"),
    "limitation": _("Limitation"),
    "victim_role": _("Role of victims"),
    "special_points": _("Special points"),
}
MARKS: dict[str, Text] = {
    Mark.DONE.value: _("done"),
    Mark.NOT_NEEDED.value: _("not needed"),
    Mark.OPEN.value: _("open again"),
}
SIGNS = {Mark.DONE: "☑", Mark.NOT_NEEDED: "–", Mark.OPEN: "☐"}


def _read(ctx: Context, typed: str) -> Checklist:
    word = clean(typed).casefold()
    found = ctx.library.checklists[word]
    if found is None:
        begun = [each for each in ctx.library.checklists.all if word and each.id.startswith(word)]
        if len(begun) != 1:
            raise Unreadable("There is no checklist “{typed}”.", typed=clean(typed)[:40])
        found = begun[0]
    return shelf.checklists(ctx, [found])[0]


def _suggested(ctx: Context, _typed: str) -> list[Choice]:
    """Suggest every checklist, first those for the case's own jurisdiction, then those of the network."""
    case = ctx.values.get("case")
    place = case.case.jurisdiction if isinstance(case, Mine) else None
    rows = sorted(ctx.library.checklists.of(ctx.network), key=lambda each: each.jurisdiction != place)
    return [Choice(each.id, plain(each.name)) for each in rows]


def _item(ctx: Context, typed: str) -> Item:
    checklist = ctx.values.get("which")
    found = checklist.item(clean(typed).casefold()) if isinstance(checklist, Checklist) else None
    if found is None:
        raise Unreadable("The checklist has no item “{typed}”.", typed=clean(typed)[:40])
    return found


def _items(ctx: Context, _typed: str) -> list[Choice]:
    checklist = ctx.values.get("which")
    items = checklist.items if isinstance(checklist, Checklist) else ()
    return [Choice(item.id, plain(f"{item.id} {item.text}"[:90])) for item in items]


Which = Annotated[
    Checklist,
    Kind(
        name=_("a checklist"),
        read=_read,
        show=lambda checklist: checklist.id,
        suggest=_suggested,
        example="uj-de",
    ),
]
ItemOf = Annotated[
    Item,
    Kind(name=_("an item of the checklist"), read=_item, show=lambda item: item.id, suggest=_items, example="u1"),
]
HowItStands = Annotated[str, one_of(_("how it stands"), MARKS, example="done")]


@checklists.command("checklist", alias="checklist show")
def show(ctx: Context, which: Which, case: OwnCase | None = None) -> Reply:
    """Show a checklist; with a case, how far it has come.

    which: Which checklist?
    case: For which of your cases?
    """
    marks = _marks(ctx, which, case)
    open_ = [item for item in which.items if marks.get(item.id, Mark.OPEN) is Mark.OPEN]
    progress = _("{done} of {n} items are settled.", done=len(which.items) - len(open_), n=len(which.items))
    return Reply(
        plain(which.name),
        *([progress] if case else []),
        *_facts(which),
        *(Text("{words}", {"words": line}) for line in _lines(which, marks, marked=case is not None)),
        *([plain(which.note)] if which.note else []),
        _("A working aid for lawyers, not legal advice. Sources: {sources}.", sources=list(which.sources)),
        *_reviewed(which, ctx.now.date()),
        CHECK,
        actions=_offers(which, case, open_),
    )


@checklists.command("checklist mark", allow=Role.MEMBER)
def mark(ctx: Context, case: OwnCase, which: Which, item: ItemOf, state: HowItStands) -> Reply:
    """Note how a case stands with an item of a checklist.

    case: For which of your cases?
    which: Which checklist?
    item: Which item?
    state: How does it stand?
    """
    book.mark(ctx.session, case, checklist=which.id, item=item.id, mark=Mark(state), by=ctx.actor_id, now=ctx.now)
    marks = _marks(ctx, which, case)
    left = [each for each in which.items if marks.get(each.id, Mark.OPEN) is Mark.OPEN]
    return Reply(
        _("{item}: {state}. {n} items are still open.", item=item.id, state=MARKS[state], n=len(left)),
        actions=_offers(which, case, left),
    )


@checklists.command("checklist confirm", allow=Role.COORDINATOR, audited=True)
def confirm(ctx: Context, which: Which) -> Reply:
    """Confirm that you looked at a checklist today, and that it is still right.

    which: Which checklist?
    """
    if which.network != ctx.network:
        return Reply(_("{id} is another network's.", id=which.id))
    ctx.subject = which.id
    shelf.confirm_checklist(ctx, which)
    return Reply(_("Confirmed: {id}, reviewed on {day}.", id=which.id, day=ctx.now.date()))


def _marks(ctx: Context, which: Checklist, case: Mine | None) -> Mapping[str, Mark]:
    if case is None:
        return {}
    return book.marks(ctx.session, case.case.id, which.id)


def _facts(which: Checklist) -> list[Fields]:
    return [Fields(tuple((FACTS[name], plain(words)) for name, words in which.facts.items()))] if which.facts else []


def _reviewed(which: Checklist, today: date) -> list[Text]:
    if not is_recent(which.as_of, today):
        return [_("Last reviewed more than a year ago, on {day}: everything has to be checked anew.", day=which.as_of)]
    checked = (
        _("Checked in stored sources: {parts}. Everything else has to be checked.", parts=list(which.verified))
        if which.verified
        else _("Nothing of this was checked in stored sources: everything has to be checked.")
    )
    return [checked, _("Last reviewed on {day}.", day=which.as_of)]


def _lines(which: Checklist, marks: Mapping[str, Mark], *, marked: bool) -> Iterator[str]:
    for section in which.sections:
        yield section.title
        for item in section.items:
            sign = SIGNS[marks.get(item.id, Mark.OPEN)] if marked else "•"
            optional = "" if item.required else "(+) "
            sources = f" [{', '.join(item.sources)}]" if item.sources else ""
            yield f"{sign} {item.id} {optional}{item.text}{sources}"


def _offers(which: Checklist, case: Mine | None, open_: list[Item]) -> list[Button]:
    if case is None:
        return []
    return [
        Button(_("{item} is done", item=item.id), mark.call(case, which, item, Mark.DONE.value), terse=True)
        for item in open_[:MOST_OFFERED]
    ]
