"""Questions to the library, answered with its own words or not at all; and to the network, where it has no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from commands.core import (
    Button,
    Call,
    Choice,
    Context,
    Feature,
    Kind,
    Quote,
    Reply,
    Shown,
    Sources,
    Table,
    Text,
    Unreadable,
    Whole,
    Words,
    _,
    clean,
    n_,
    plain,
)
from commands.core.kinds import WORDS
from commands.core.post import Note
from commands.core.shelf import CHECK, look_up, source, under
from knowledge.answer import Evidence, NoAnswer, Trouble, Written, confident, quotable
from knowledge.library import Hit
from storage import ask as book
from storage.ask import OpenQuestion
from storage.members import Role
from storage.places import Purpose

ask = Feature("ask", _("Questions to the library and to the network"))

MOST_QUOTED = 3
"""Passages that an answer quotes."""
MOST_READ = 8
"""Passages that a model is shown."""
LONGEST_QUOTE = 800
"""Characters up to which a passage is quoted whole."""
MOST_CLOSEST = 3
MOST_LISTED = 10

TROUBLES: dict[Trouble, Text] = {
    Trouble.TIMEOUT: _("The writing service did not answer in time."),
    Trouble.BUSY: _("The writing service is too busy just now."),
    Trouble.BROKEN: _("The writing service has failed."),
    Trouble.NONSENSE: _("What the writing service said could not be read."),
    Trouble.CUT: _("The writing service broke off in the middle."),
    Trouble.MODEL: _("The writing service does not know its model; please tell the operator."),
    Trouble.REFUSED: _("The writing service does not accept our key; please tell the operator."),
    Trouble.UNREACHABLE: _("The writing service cannot be reached."),
}


def _open_question(ctx: Context, typed: str) -> OpenQuestion:
    found = book.by_code(ctx.session, clean(typed), ctx.network)
    if found is None:
        raise Unreadable("There is no question “{typed}” in this network.", typed=clean(typed)[:40])
    return found


def _suggest(ctx: Context, _typed: str) -> list[Choice]:
    return [
        Choice(each.code, plain(f"{each.code} {_short(each.words.text)}"))
        for each in book.open_ones(ctx.session, ctx.network)[:MOST_LISTED]
    ]


QuestionCode = Annotated[
    OpenQuestion,
    Kind(
        name=_("a question of the network"),
        read=_open_question,
        show=lambda question: question.code,
        suggest=_suggest,
        nothing=_("No question is open in this network."),
        example="Q-7K3FQ",
    ),
]
QuestionWords = Annotated[str, replace(WORDS, name=_("a question"), example="must the suspect be in Germany")]


@ask.command("ask", allow=Role.MEMBER, shown=Shown.ROOM, alias="ask library")
def ask_library(ctx: Context, question: QuestionWords) -> Reply:
    """Ask the library: it answers in its own words, with their sources, or says that it cannot.

    question: What would you like to know? Please name no client and no case.
    """
    hits = look_up(ctx, question, network=ctx.network, limit=MOST_READ, parts=2)
    good = [hit for hit in hits if confident(hit.coverage, ctx.voice.language) and quotable(hit.snippet)]
    came: Written | NoAnswer | None = None
    written: Written | None = None
    trouble: list[Text] = []
    if good and ctx.hub.writer is not None:
        if book.may_write(ctx.session, member=ctx.actor_id, day=ctx.now.date(), caps=ctx.hub.caps):
            came = _written(ctx, question, good)
            if isinstance(came, NoAnswer):
                trouble = [TROUBLES[came.reason], _("So here is what the library says itself.")]
            else:
                written = came
        else:
            trouble = [_("No more answers are written for you today, so here is what the library says itself.")]
    used = good[:MOST_QUOTED] if written is None else _cited(written, good)
    book.remember(
        ctx.session,
        member=ctx.actor_id,
        network=ctx.network,
        question=question,
        keys=[hit.key for hit in good],
        spent=came.spent if came else None,
        now=ctx.now,
    )
    if not used:
        return _not_found(ctx, question, hits)
    return Reply(
        *trouble,
        *([_("From the library, word for word:")] if written is None else [plain(_with_numbers(written, good, used))]),
        Sources(tuple(source(ctx, hit.resource, passage=hit.passage, snippet=_quote(hit)) for hit in used)),
        CHECK,
        actions=[
            Button(_("Show what this was taken from"), why.bare()),
            Button(_("Put it to the network, without your name"), Call("ask open", {"question": question})),
        ],
    )


def _written(ctx: Context, question: str, good: Sequence[Hit]) -> Written | NoAnswer:
    """Have a model write an answer from these passages and nothing else."""
    writer, language = ctx.hub.writer, ctx.voice.language
    evidence = [
        Evidence(number, hit.resource.id, hit.resource.title, hit.resource.citation, hit.text)
        for number, hit in enumerate(good, start=1)
    ]

    async def write() -> Written | NoAnswer:
        if writer is None:
            return NoAnswer(Trouble.UNREACHABLE)
        try:
            return await writer.write(question, evidence, language)
        except NoAnswer as no_answer:
            return no_answer

    return ctx.fetch("answer", write)


def _quote(hit: Hit) -> str:
    """Quote a passage whole, so that what qualifies a sentence stands beside it; of a long one what answers best."""
    whole = quotable(hit.text)
    return whole if len(whole) <= LONGEST_QUOTE else quotable(hit.snippet)


def _cited(written: Written, good: Sequence[Hit]) -> list[Hit]:
    """Return what the sentences cite, in the order in which they do."""
    numbers = dict.fromkeys(number for sentence in written.sentences for number in sentence.cites)
    return [good[number - 1] for number in numbers]


def _with_numbers(written: Written, good: Sequence[Hit], used: Sequence[Hit]) -> str:
    """Write the sentences, each with the numbers under which its sources are shown."""
    shown = {good.index(hit) + 1: place for place, hit in enumerate(used, start=1)}
    return " ".join(
        f"{sentence.text} {''.join(f'[{shown[number]}]' for number in sentence.cites)}"
        for sentence in written.sentences
    )


def _not_found(ctx: Context, question: str, hits: Sequence[Hit]) -> Reply:
    closest = hits[:MOST_CLOSEST]
    blocks: list[Text | Sources] = [
        _("The library does not answer that. A mentor can be asked, or the network, without your name.")
    ]
    if closest:
        blocks += [_("What comes closest:"), Sources(tuple(source(ctx, hit.resource) for hit in closest))]
    return Reply(
        *blocks,
        actions=[
            Button(_("Put it to the network, without your name"), Call("ask open", {"question": question})),
            Button(_("Look for an hour with a mentor"), Call("hours open")),
        ],
    )


@ask.command(allow=Role.MEMBER)
def why(ctx: Context, question: QuestionWords | None = None) -> Reply:
    """Show the passages from which your last question was answered, whole.

    question: Or a question that begins with “why”.
    """
    if question is not None:  # "ask why must the suspect be present?" is a question like any other
        return ask_library.handler(ctx, f"why {question}")
    last = book.last(ctx.session, member=ctx.actor_id, network=ctx.network)
    if last is None:
        return Reply(_("You have asked nothing here in the last days."))
    words, keys = last
    found = under(ctx, keys, network=ctx.network)
    blocks: list[Text | Sources] = [_("For “{words}” I read:", words=words[:100])]
    if not found:
        blocks = [_("For “{words}” I found nothing in the library.", words=words[:100])]
    return Reply(
        *blocks,
        Sources(
            tuple(
                source(ctx, resource, passage=passage, snippet=quotable(passage.text if passage else resource.summary))
                for resource, passage in found
            )
        ),
        *([CHECK] if found else []),
    )


@ask.command("ask open", allow=Role.MEMBER)
def open_(ctx: Context, question: QuestionWords | None = None) -> Reply:
    """List the network's open questions, or put a new one to it, without your name.

    question: Your question; everybody in the network will read it. Please name no client and no case.
    """
    if question is None:
        return _listed(ctx)
    put = book.put_to_network(
        ctx.session, network=ctx.network, words=question, by=ctx.actor_id, now=ctx.now, rng=ctx.rng
    )
    ctx.announce(
        Reply(
            _("A member asks ({code}):", code=put.code),
            Quote(question),
            _("{answer} answers it.", answer=answer.bare(question=put.code)),
        ),
        network=ctx.network,
        purpose=Purpose.NETWORK,
        key=f"asked:{put.code}",
    )
    return Reply(_("Put to the network, without your name: {code}. I will tell you what is answered.", code=put.code))


def _listed(ctx: Context) -> Reply:
    rows = book.open_ones(ctx.session, ctx.network)[:MOST_LISTED]
    if not rows:
        return Reply(_("No question is open in this network."))
    return Reply(
        Table(
            (_("Question"), _("Words"), _("Answers")),
            tuple(
                (plain(each.code), plain(_short(each.words.text)), plain(str(len(book.answers(ctx.session, each)))))
                for each in rows
            ),
        ),
        actions=[
            Button(_("Answer {code}", code=each.code), answer.bare(question=each.code), terse=True) for each in rows
        ],
    )


@ask.command(allow=Role.MEMBER)
def answer(ctx: Context, question: QuestionCode, words: Words) -> Reply:
    """Answer a question of the network; whoever asked sees your handle.

    question: Which question?
    words: What is your answer? Please name no client and no case.
    """
    given = book.answer(ctx.session, question, words=words, by=ctx.actor_id, now=ctx.now)
    ctx.tell_each(
        [
            Note(
                question.asker_id,
                Reply(
                    _(
                        "{handle} answers your question {code}, “{words}”:",
                        handle=ctx.actor.handle,
                        code=question.code,
                        words=_short(question.words.text),
                    ),
                    Quote(words),
                    CHECK,
                    actions=[Button(_("That helped: close the question"), accept.call(question, given.number))],
                ),
                f"answered:{given.id}",
            )
        ],
        network=ctx.network,
    )
    return Reply(_("Thank you. Whoever asked {code} will read it.", code=question.code))


@ask.command(allow=Role.MEMBER)
def accept(ctx: Context, question: QuestionCode, number: Whole = 1) -> Reply:
    """Close your question with the answer that helped.

    question: Which question?
    number: Which answer? They are counted from 1.
    """
    taken = book.accept(ctx.session, question, number, by=ctx.actor_id)
    if taken is None:
        count = len(book.answers(ctx.session, question))
        return Reply(n_("It has {n} answer so far.", "It has {n} answers so far.", count))
    ctx.tell_each(
        [
            Note(
                taken.author_id,
                Reply(_("Your answer to {code} helped. Thank you.", code=question.code)),
                f"accepted:{question.id}",
            )
        ],
        network=ctx.network,
    )
    return Reply(_("Closed: {code}. Whoever answered knows that it helped.", code=question.code))


def _short(words: str | None) -> str:
    said = " ".join((words or "").split())
    return said if len(said) <= 80 else said[:79] + "…"
