"""Questions to the library, answered word for word or not at all; and to the network, where it has no answer."""

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
from knowledge.words import asked_in
from storage import ask as book
from storage.ask import OpenQuestion
from storage.members import Role
from storage.places import Purpose
from storage.refused import Line, Refused

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


QUESTION_CODE: Kind[OpenQuestion] = Kind(
    name=_("a question of the network"),
    read=_open_question,
    show=lambda question: question.code,
    suggest=_suggest,
    nothing=_("No question is open in this network."),
    example="Q-7K3FQ",
)
QuestionCode = Annotated[OpenQuestion, QUESTION_CODE]
OwnQuestionCode = Annotated[OpenQuestion, replace(QUESTION_CODE, confidential=True)]
NetworkQuestion = Annotated[
    str, replace(WORDS, name=_("a question"), example="which court hears such complaints", confidential=True)
]
QuestionWords = Annotated[str, replace(WORDS, name=_("a question"), example="must the suspect be in Germany")]


@ask.command("ask", allow=Role.MEMBER, shown=Shown.ROOM, alias="ask library")
def ask_library(ctx: Context, question: QuestionWords) -> Reply:
    """Ask the library: it answers word for word, with its sources, or says that it cannot.

    question: What would you like to know? Please name no client and no case.
    """
    hits = look_up(ctx, question, network=ctx.network, limit=MOST_READ, parts=2)
    good = [
        hit
        for hit in hits
        if hit.asked.subjects > 1 and confident(hit.coverage, asked_in(question)) and quotable(hit.snippet)
    ]
    came, trouble = _written(ctx, question, good)
    used = good[:MOST_QUOTED]
    said: Text = _("From the library, word for word:")
    if isinstance(came, Written):
        sentences, used = _borne_out(came, good)
        said = plain(sentences)
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
        said,
        Sources(tuple(source(ctx, hit.resource, passage=hit.passage, snippet=_quote(hit)) for hit in used)),
        CHECK,
        actions=[Button(_("Show what this was taken from"), why.bare()), *_to_the_network(ctx, question)],
    )


def _written(ctx: Context, question: str, good: Sequence[Hit]) -> tuple[Written | NoAnswer | None, list[Text]]:
    """Have a model write an answer from these passages and nothing else, if there is one; or say why there is none."""
    writer, language = ctx.hub.writer, ctx.voice.language
    if writer is None or not good:
        return None, []
    # What is written already has been paid for, whatever others have spent meanwhile.
    if "answer" not in ctx.fetched and not book.may_write(
        ctx.session, member=ctx.actor_id, day=ctx.now.date(), caps=ctx.hub.caps
    ):
        return None, [_("No more answers are written for you today, so here is what the library says itself.")]
    evidence = [
        Evidence(number, hit.key, hit.resource.title, hit.resource.citation, hit.text)
        for number, hit in enumerate(good, start=1)
    ]

    async def write() -> tuple[Written | NoAnswer, list[Evidence]]:
        try:
            return await writer.write(question, evidence, language), evidence
        except NoAnswer as no_answer:
            return no_answer, evidence

    came, read = ctx.fetch("answer", write)
    if isinstance(came, NoAnswer):
        return came, [TROUBLES[came.reason], _("So here is what the library says itself.")]
    was_read = {(each.id, each.text) for each in read}
    here = {hit.key: place for place, hit in enumerate(good, start=1) if (hit.key, hit.text) in was_read}
    # The library may have changed while the model wrote: what it read and is there no more bears nothing out.
    places = {each.number: here[each.id] for each in read if each.id in here}
    sentences = tuple(
        replace(each, cites=tuple(places[number] for number in each.cites))
        for each in came.sentences
        if places.keys() >= set(each.cites)
    )
    return replace(came, sentences=sentences), []


def _borne_out(written: Written, good: Sequence[Hit]) -> tuple[str, list[Hit]]:
    """Return the sentences, each with the numbers under which its sources are shown, and these in that order."""
    numbers = list(dict.fromkeys(number for sentence in written.sentences for number in sentence.cites))
    shown = {number: place for place, number in enumerate(numbers, start=1)}
    sentences = (
        f"{sentence.text} {''.join(f'[{shown[number]}]' for number in sentence.cites)}"
        for sentence in written.sentences
    )
    return " ".join(sentences), [good[number - 1] for number in numbers]


def _to_the_network(ctx: Context, question: str) -> list[Button]:
    """Offer to put a question to the network: not where everybody has just seen whose it is."""
    if not ctx.private or ctx.platform in ctx.hub.overheard:
        return []
    return [Button(_("Put it to the network, without your name"), Call("ask put", {"question": question}))]


def _quote(hit: Hit) -> str:
    """Quote a passage whole, so that what qualifies a sentence stands beside it; of a long one what answers best."""
    whole = quotable(hit.text)
    return whole if len(whole) <= LONGEST_QUOTE else quotable(hit.snippet)


def _not_found(ctx: Context, question: str, hits: Sequence[Hit]) -> Reply:
    closest = hits[:MOST_CLOSEST]
    blocks: list[Text | Sources] = [
        _("The library does not answer that. A mentor can be asked, or the network, without your name.")
    ]
    if closest:
        blocks += [_("What comes closest:"), Sources(tuple(source(ctx, hit.resource) for hit in closest))]
    return Reply(
        *blocks,
        actions=[Button(_("Look for an hour with a mentor"), Call("hours open")), *_to_the_network(ctx, question)],
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
    found = under(ctx, keys)
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


@ask.command(
    allow=Role.MEMBER,
    confirm=_("Everybody in this network will read your question, without your name. Shall I put it to them?"),
)
def put(ctx: Context, question: NetworkQuestion) -> Reply:
    """Put a question to the network, without your name.

    question: What would you like to ask the network? Please name no client and no case.
    """
    row = book.put_to_network(
        ctx.session, network=ctx.network, words=question, by=ctx.actor_id, now=ctx.now, rng=ctx.rng
    )
    ctx.announce(
        Reply(
            _("A member asks ({code}):", code=row.code),
            Quote(question),
            _("{answer} answers it.", answer=answer.bare(question=row.code)),
        ),
        network=ctx.network,
        purpose=Purpose.NETWORK,
        key=f"asked:{row.code}",
    )
    return Reply(_("Put to the network, without your name: {code}. I will tell you what is answered.", code=row.code))


@ask.command("ask open", allow=Role.MEMBER)
def open_(ctx: Context, question: QuestionWords | None = None) -> Reply:
    """List the questions of the network that are still open.

    question: Or a question that begins with “open”.
    """
    if question is not None:  # as with "ask why"
        return ask_library.handler(ctx, f"open {question}")
    return _listed(ctx)


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
    if not ctx.private and not ctx.native:  # the room sees the account, and whoever asked will see the handle
        raise Refused("Please say this to me in private: {line}.", line=Line(f"ask answer {question.code}"))
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
        confidential=True,  # where others read along it would tell them who asked
    )
    return Reply(_("Thank you. Whoever asked {code} will read it.", code=question.code))


@ask.command(allow=Role.MEMBER)
def accept(ctx: Context, question: OwnQuestionCode, number: Whole = 1) -> Reply:
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
