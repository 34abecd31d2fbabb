"""Questions: what written answers may cost, what somebody asked last, and what a network is asked.

A question that the library does not answer may be put to the network. No member sees who asks; whoever answers does it
under their handle. Words of both are sealed under the key of who wrote them.
"""

import random
from datetime import date, datetime, timedelta
from typing import ClassVar, Final, NamedTuple
from uuid import UUID

from sqlalchemy import UniqueConstraint, func, select
from sqlmodel import Field, col

from storage import codes
from storage.engine import upsert
from storage.refused import Refused
from storage.store import Session, execute, write
from storage.table import UTC, Erasure, Privacy, Sealed, Table, core, new_id, sealed

MOST_OPEN: Final = 5
"""Questions that one person may have open in a network at a time."""
MOST_ANSWERS: Final = 20
"""Answers that one question takes."""


class Asked(Table, table=True):
    """What somebody asked the library last, and how much they asked on that day.

    Attributes:
        day: the day (UTC) that is counted.
        written: how many answers a model wrote for them on that day.
        tokens: how many tokens these took, question and answer.
        question: the last question.
        keys: what it was answered from, as the index knows it, a space between them.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="Your last question to the library and what was read for it, encrypted, and what was written that day.",
        whose=("member_id",),
        kept=timedelta(days=30),
        since="asked_at",
        erase=Erasure.DELETE,
    )

    member_id: UUID = Field(primary_key=True, foreign_key="member.id")
    network: str = Field(primary_key=True, max_length=32)
    asked_at: datetime = Field(sa_type=UTC)
    day: date = Field(index=True)
    written: int = 0
    tokens: int = 0
    question: Sealed = sealed("asked.question")
    keys: Sealed = sealed("asked.keys")


class OpenQuestion(Table, table=True):
    """A question that somebody put to a network.

    Attributes:
        code: such as "Q-7K3FQ".
        accepted_id: the answer that helped; the question is closed then.
    """

    privacy: ClassVar[Privacy] = Privacy(
        what="The questions that you put to a network, encrypted; no member sees that they are yours. They go after "
        "a year.",
        whose=("asker_id",),
        kept=timedelta(days=365),
        since="asked_at",
        erase=Erasure.DELETE,
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    code: str = Field(unique=True, max_length=16)
    network: str = Field(max_length=32, index=True)
    asker_id: UUID = Field(foreign_key="member.id", index=True)
    words: Sealed = sealed("open_question.words")
    asked_at: datetime = Field(sa_type=UTC)
    accepted_id: UUID | None = None


class QuestionAnswer(Table, table=True):
    """What a member answered to a question; `number` counts a question's answers from 1."""

    privacy: ClassVar[Privacy] = Privacy(
        what="Your answers to questions of a network, encrypted. They go with the question.",
        whose=("author_id",),
        erase=Erasure.DELETE,
    )
    __table_args__ = (UniqueConstraint("question_id", "number"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    question_id: UUID = Field(foreign_key="open_question.id", ondelete="CASCADE", index=True)
    number: int
    author_id: UUID = Field(foreign_key="member.id", index=True)
    words: Sealed = sealed("question_answer.words")
    answered_at: datetime = Field(sa_type=UTC)


class Caps(NamedTuple):
    """What written answers may take in a day: answers and tokens of one person, and tokens of everybody together."""

    answers: int
    tokens: int
    all_tokens: int


NOTHING: Final = Caps(0, 0, 0)

_asked: Final = core(Asked)
_question: Final = core(OpenQuestion)
_answer: Final = core(QuestionAnswer)


def may_write(session: Session, *, member: UUID, day: date, caps: Caps) -> bool:
    """Whether a model may write one more answer for this person today."""
    mine, all_tokens = _asked.c.member_id == member, func.coalesce(func.sum(_asked.c.tokens), 0)
    written, tokens = execute(
        session,
        select(func.coalesce(func.sum(_asked.c.written), 0), all_tokens).where(mine, _asked.c.day == day),
    ).one()
    everybody = execute(session, select(all_tokens).where(_asked.c.day == day)).scalar() or 0
    return bool(written < caps.answers and tokens < caps.tokens and everybody < caps.all_tokens)


def remember(
    session: Session,
    *,
    member: UUID,
    network: str,
    question: str,
    keys: list[str],
    spent: int | None,
    now: datetime,
) -> None:
    """Remember what somebody asked, what it was answered from, and the tokens spent if a model wrote for it."""
    last = session.get(Asked, (member, network), populate_existing=True)
    same_day = last is not None and last.day == now.date()
    counts = (last.written, last.tokens) if last is not None and same_day else (0, 0)
    facts = {
        "asked_at": now,
        "day": now.date(),
        "written": counts[0] + (spent is not None),
        "tokens": counts[1] + (spent or 0),
        "question": Sealed(member, question),
        "keys": Sealed(member, " ".join(keys)),
    }
    row = upsert(_asked).values(member_id=member, network=network, **facts)
    execute(session, row.on_conflict_do_update(index_elements=["member_id", "network"], set_=facts))


def last(session: Session, *, member: UUID, network: str) -> tuple[str, list[str]] | None:
    """What somebody asked last in a network, and the keys of what it was answered from."""
    row = session.get(Asked, (member, network), populate_existing=True)
    if row is None or row.question.text is None:
        return None
    return row.question.text, (row.keys.text or "").split()


def put_to_network(
    session: Session, *, network: str, words: str, by: UUID, now: datetime, rng: random.Random
) -> OpenQuestion:
    """Put a question to a network.

    Raises:
        Refused: too many questions of this person are open, or the words name a case.
    """
    _check_words(words)
    mine = _question.c.asker_id == by, _question.c.network == network, _question.c.accepted_id.is_(None)
    if (execute(session, select(func.count()).select_from(_question).where(*mine)).scalar() or 0) >= MOST_OPEN:
        raise Refused("{n} of your questions are open already. Accept an answer to one of them first.", n=MOST_OPEN)
    row = OpenQuestion(
        code=_fresh_code(session, rng), network=network, asker_id=by, words=Sealed(by, words), asked_at=now
    )
    write(session, row)
    return row


def _check_words(words: str) -> None:
    # What looks like a code counts: whether there is such a case is not told.
    if codes.named_in(words, ("C", "CI")):
        raise Refused("Your words hold the code of a case, and others will read them. Please say it without the code.")


def open_ones(session: Session, network: str) -> list[OpenQuestion]:
    """The open questions of a network that can still be read, the oldest first."""
    rows = (
        select(OpenQuestion)
        .where(col(OpenQuestion.network) == network, col(OpenQuestion.accepted_id).is_(None))
        .order_by(col(OpenQuestion.asked_at), col(OpenQuestion.code))
    )
    return [row for row in session.scalars(rows) if row.words.text is not None]


def by_code(session: Session, typed: str, network: str) -> OpenQuestion | None:
    """The question of that code in a network."""
    code = codes.read(typed, "Q")
    rows = select(OpenQuestion).where(col(OpenQuestion.code) == code, col(OpenQuestion.network) == network)
    row = session.scalars(rows).first() if code else None
    return row if row is not None and row.words.text is not None else None


def answers(session: Session, question: OpenQuestion) -> list[QuestionAnswer]:
    """The answers to a question that can still be read, in their order."""
    rows = select(QuestionAnswer).where(col(QuestionAnswer.question_id) == question.id)
    return [row for row in session.scalars(rows.order_by(col(QuestionAnswer.number))) if row.words.text is not None]


def answer(session: Session, question: OpenQuestion, *, words: str, by: UUID, now: datetime) -> QuestionAnswer:
    """Answer a question of somebody else.

    Raises:
        Refused: it is closed, one's own, or has as many answers as it takes; or the words name a case.
    """
    _check_words(words)
    if question.accepted_id is not None:
        raise Refused("That question is answered already.")
    if question.asker_id == by:
        raise Refused("That is your own question.")
    most = select(func.coalesce(func.max(_answer.c.number), 0)).where(_answer.c.question_id == question.id)
    number = (execute(session, most).scalar() or 0) + 1
    if number > MOST_ANSWERS:
        raise Refused("That question has {n} answers already.", n=MOST_ANSWERS)
    row = QuestionAnswer(question_id=question.id, number=number, author_id=by, words=Sealed(by, words), answered_at=now)
    write(session, row)
    return row


def accept(session: Session, question: OpenQuestion, number: int, *, by: UUID) -> QuestionAnswer | None:
    """Close one's own question with the answer that helped; None if there is no answer of that number.

    Raises:
        Refused: it is somebody else's question, or closed already.
    """
    if question.asker_id != by:
        raise Refused("Only who asked can accept an answer.")
    if question.accepted_id is not None:
        raise Refused("That question is answered already.")
    found = next((each for each in answers(session, question) if each.number == number), None)
    if found is not None:
        question.accepted_id = found.id
        session.add(question)
    return found


def _fresh_code(session: Session, rng: random.Random) -> str:
    while True:
        code = codes.draw(rng, "Q")
        if session.scalars(select(_question.c.id).where(_question.c.code == code)).first() is None:
            return code
