"""Surfaces with buttons and forms of their own: what is asked there, what is kept, and what is refused."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlmodel import select

from bots.console import render
from commands import FEATURES
from commands.core import Context, Feature, Reply, Shown, Text, Words, _
from commands.core.dispatch import Dispatcher, Heard, Said
from commands.core.feature import Commands
from commands.core.pace import Pace
from commands.core.post import Envelope, Hub, Network
from commands.core.strings import Catalogues
from knowledge.library import Library
from storage import inbox, members, outbox
from storage.members import Member, Role
from storage.outbox import Outbox, State
from storage.refused import Refused
from storage.store import Session, Store

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
HUB = Hub(
    {
        "uj": Network("uj", "Universal jurisdiction", "en", "Europe/Kyiv", contact="@hub-uj:example.org"),
        "climate": Network("climate", "Climate", "en", "Europe/Kyiv"),
    },
    platforms=("matrix", "discord"),
    overheard=frozenset({"discord"}),
)
CATALOGUES = Catalogues.load()
LIBRARY = Library.load()

secret = Feature("secret", Text("What must not be overheard"), confidential=True)
survey = Feature("survey", Text("A long form"))


@secret.command()
def tell(_ctx: Context, words: Words) -> Reply:
    """Say something confidential.

    words: What is it?
    """
    return Reply(_("{words}", words=words))


@survey.command()
def fill(_ctx: Context, a: Words, b: Words, c: Words, d: Words, e: Words, f: Words, g: Words) -> Reply:
    """Fill in seven fields.

    a: A?
    b: B?
    c: C?
    d: D?
    e: E?
    f: F?
    g: G?
    """
    return Reply(*(_("{words}", words=words) for words in (a, b, c, d, e, f, g)))


once = Feature("once", Text("What can be done once"))


@once.command()
def now(ctx: Context) -> Reply:
    """Do it, if it was not done."""
    if ctx.actor.language == "ru":
        raise Refused("That moment has passed.")
    members.set_language(ctx.session, ctx.actor, "ru")
    return Reply(_("Welcome back. I can ring again."))


COMMANDS = Commands((*FEATURES, secret, survey, once))


class Desk:
    """A dispatcher that hears people on a platform with buttons and forms."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOW
        self.heard = 0
        self.posted: list[frozenset[str]] = []
        self.dispatcher = Dispatcher(
            store=store,
            commands=COMMANDS,
            hub=HUB,
            library=LIBRARY,
            catalogues=CATALOGUES,
            clock=lambda: self.now,
            rng=Random(7),
            pace=Pace(burst=100_000),
            posted=self.posted.append,
        )

    def heard_from(self, who: str, said: str, **facts: Any) -> Heard:
        self.heard += 1
        usual: dict[str, Any] = {
            "platform": "discord",
            "address": who,
            "bot": "discord:uj",
            "network": "uj",
            "room": "channel",
            "private": False,
            "said": said,
            "key": str(self.heard),
            "native": True,
            "ticket": f"{self.heard}:token",
        }
        return Heard(**{**usual, **facts})

    async def hear(self, who: str, said: str, **facts: Any) -> Said:
        answer = await self.dispatcher.answer(self.heard_from(who, said, **facts))
        assert answer is not None
        return answer

    async def words(self, who: str, said: str, **facts: Any) -> str:
        answer = await self.hear(who, said, **facts)
        return render(answer.reply, answer.voice)

    async def rows(self) -> dict[str, Outbox]:
        found = await self.store.run(lambda session: list(session.exec(select(Outbox))))
        return {row.key: row for row in found}

    async def claim(self, owner: str = "one", after: timedelta = timedelta()) -> list[outbox.Claimed]:
        return await self.store.run(
            lambda session: outbox.claim(
                session, sender="discord:uj", owner=owner, lease=timedelta(minutes=1), limit=9, now=NOW + after
            )
        )

    async def people(self) -> list[str]:
        return await self.store.run(lambda session: list(session.exec(select(Member.handle))))


@pytest.fixture
async def desk(store: Store) -> Desk:
    desk = Desk(store)

    def enter(session: Session) -> None:
        for name, language in (("ann", "en"), ("olha", "uk")):
            member = members.recognise(
                session,
                platform="discord",
                address=name,
                language=language,
                zone="Europe/Kyiv",
                rng=Random(name),
                now=NOW - timedelta(days=1),
            )
            members.grant(session, actor=None, member=member, network="uj", role=Role.MEMBER, now=NOW)

    await store.run(enter)
    return desk


# What is kept


async def test_what_changed_nothing_is_not_kept(desk: Desk) -> None:
    said = await desk.hear("ann", "find words=genocide")
    assert not said.kept
    assert said.shown is Shown.ROOM
    assert await desk.rows() == {}
    assert await desk.store.run(lambda session: inbox.is_done(session, "discord:uj", "1")) is False


async def test_what_changed_something_is_kept_with_the_way_back_to_it(desk: Desk) -> None:
    said = await desk.hear("ann", "me language language=uk")
    assert said.kept
    row = (await desk.rows())["reply:discord:uj:1"]
    envelope = Envelope.unpack(row.payload.text or "")
    assert (envelope.ticket, envelope.public, row.place) == ("1:token", False, None)
    assert row.member_id is not None


async def test_a_change_that_is_heard_again_is_not_made_again(desk: Desk) -> None:
    first = desk.heard_from("ann", "me language language=uk")
    assert await desk.dispatcher.answer(first) is not None
    await desk.hear("ann", "me language language=en")
    assert await desk.dispatcher.answer(first) is None
    assert len(await desk.rows()) == 2
    assert "English" in await desk.words("ann", "me show")


async def test_an_answer_that_did_not_arrive_is_handed_over_once(desk: Desk) -> None:
    heard = desk.heard_from("ann", "help")
    said = await desk.dispatcher.answer(heard)
    assert said is not None
    await desk.dispatcher.hand_over(heard, said)
    await desk.dispatcher.hand_over(heard, said)
    rows = await desk.rows()
    assert set(rows) == {"reply:discord:uj:1"}
    assert len(await desk.claim()) == 1


async def test_couriers_leave_an_answer_alone_while_it_goes_the_shortest_way_back(desk: Desk) -> None:
    heard = desk.heard_from("ann", "me language language=uk")
    said = await desk.dispatcher.answer(heard)
    assert said is not None
    assert await desk.claim() == []
    await desk.dispatcher.hand_over(heard, said)
    assert len(await desk.claim()) == 1


async def test_an_answer_whose_hearer_died_is_taken_over_after_a_while(desk: Desk) -> None:
    await desk.hear("ann", "me language language=uk")
    assert await desk.claim(after=timedelta(seconds=4)) == []
    assert len(await desk.claim(after=timedelta(seconds=6))) == 1


async def test_an_answer_that_arrived_is_nobodys_any_more(desk: Desk) -> None:
    heard = desk.heard_from("ann", "me language language=uk")
    await desk.dispatcher.answer(heard)
    await desk.dispatcher.arrived(heard, "message")
    row = (await desk.rows())["reply:discord:uj:1"]
    assert (row.state, row.remote_id, row.payload) == (State.SENT, "message", None)
    assert await desk.claim(after=timedelta(seconds=6)) == []


async def test_who_has_something_to_send_is_told_after_the_commit(desk: Desk) -> None:
    await desk.hear("ann", "me language language=uk")
    await desk.hear("ann", "find words=torture")
    assert desk.posted == [frozenset({"discord:uj"})]


# Questions


async def test_a_question_is_for_the_one_who_was_asked_and_has_a_key_of_its_own(desk: Desk) -> None:
    said = await desk.hear("ann", "find")
    assert said.question == "1"
    assert said.shown is Shown.ACTOR
    answer = await desk.hear("ann", "", question="1", given={"words": "torture"})
    assert answer.shown is Shown.ROOM
    assert answer.reply.blocks
    assert answer.question is None


async def test_somebody_elses_question_cannot_be_answered(desk: Desk) -> None:
    await desk.hear("ann", "find")
    said = await desk.words("olha", "", question="1", given={"words": "torture"})
    assert said == "На це питання вже є відповідь, воно застаріло або його ставили комусь іншому."
    assert await desk.dispatcher.blank(desk.heard_from("olha", "", question="1", given={})) is None


async def test_a_question_that_is_answered_is_closed(desk: Desk) -> None:
    await desk.hear("ann", "find")
    await desk.hear("ann", "", question="1", given={"words": "torture"})
    assert "is answered" in await desk.words("ann", "", question="1", given={"words": "torture"})


async def test_a_form_of_seven_fields_has_two_pages_and_loses_nothing(desk: Desk) -> None:
    blank = await desk.dispatcher.blank(desk.heard_from("ann", "survey fill"))
    assert blank is not None
    assert [param.name for param in blank.params] == ["a", "b", "c", "d", "e"]
    long = {name: name * 3000 for name in "abcde"}
    said = await desk.hear("ann", "survey fill", given=long)
    assert said.question is not None
    second = Desk(desk.store)  # as after a restart
    blank = await second.dispatcher.blank(desk.heard_from("ann", "", question=said.question, given={}))
    assert blank is not None
    assert [param.name for param in blank.params] == ["f", "g"]
    done = await second.hear("ann", "", key="99", question=said.question, given={"f": "ef", "g": "gee"})
    assert [block.values["words"] for block in done.reply.blocks] == [*long.values(), "ef", "gee"]


async def test_what_could_not_be_read_is_there_again_to_be_mended(desk: Desk) -> None:
    said = await desk.hear("ann", "me away until=sometime")
    assert said.question is not None
    blank = await desk.dispatcher.blank(desk.heard_from("ann", "", question=said.question, given={}))
    assert blank is not None
    assert [param.name for param in blank.params] == ["until"]
    assert blank.call.given["until"] == "sometime"


async def test_lines_that_no_button_can_carry_are_kept_by_number(desk: Desk) -> None:
    typed = "hlep " + "x" * 100
    said = await desk.hear("ann", typed)
    assert said.question is None  # the lines that it proposes are short


async def test_half_a_character_in_a_form_is_refused_in_one_sentence(desk: Desk) -> None:
    assert "invisible character" in await desk.words("ann", "find", given={"words": "a\ud800"})


# Forms before there is an answer


async def test_a_form_asks_for_what_people_write_and_nothing_else(desk: Desk) -> None:
    blank = await desk.dispatcher.blank(desk.heard_from("ann", "find kind=case"))
    assert blank is not None
    assert [param.name for param in blank.params] == ["words"]
    assert blank.call.given == {"kind": "case"}
    assert await desk.dispatcher.blank(desk.heard_from("ann", "find words=torture")) is None
    assert await desk.dispatcher.blank(desk.heard_from("ann", "me show")) is None


async def test_no_form_is_shown_to_somebody_who_may_not_fill_it_in(desk: Desk) -> None:
    assert await desk.dispatcher.blank(desk.heard_from("stranger", "secret tell")) is None
    assert "stranger" not in await desk.people()


# Suggestions


async def test_suggestions_are_in_the_askers_language_and_make_nobody_known(desk: Desk) -> None:
    before = await desk.people()
    heard = desk.heard_from("stranger", "me language", locale="ru")
    voice, choices = await desk.dispatcher.suggest(heard, "language", "")
    assert voice.language == "ru"
    assert [choice.value for choice in choices] == ["en", "ru", "uk"]
    assert await desk.people() == before


async def test_nothing_is_suggested_to_somebody_who_may_not_say_it(desk: Desk) -> None:
    heard = desk.heard_from("stranger", "roles grant")
    assert (await desk.dispatcher.suggest(heard, "role", ""))[1] == ()


# Confidential features


@pytest.mark.parametrize("private", [True, False])
async def test_a_confidential_feature_is_refused_where_others_read_along(desk: Desk, *, private: bool) -> None:
    said = await desk.hear("olha", "secret tell words=hush", private=private)
    assert said.shown is Shown.ACTOR
    assert render(said.reply, said.voice) == (
        "Це конфіденційно, а тут можуть читати й інші. Скажіть це мені приватно: @hub-uj:example.org."
    )
    assert "coordinator" in await desk.words("ann", "secret tell words=hush", network="climate", bot="discord:climate")


async def test_a_confidential_feature_is_there_where_nobody_reads_along(desk: Desk) -> None:
    said = await desk.words(
        "ann", "secret tell words=hush", platform="matrix", bot="matrix:uj", native=False, private=True
    )
    assert said == "hush"


# Roles that the platform vouches for


async def test_a_vouched_role_counts_when_somebody_is_first_heard_and_only_then(desk: Desk) -> None:
    await desk.hear("new", "me show", vouched=("member",))

    def roles_of(session: Session) -> frozenset[Role]:
        account = members.account(session, platform="discord", address="new")
        assert account is not None
        return members.roles(session, account.member_id, "uj")

    assert Role.MEMBER in await desk.store.run(roles_of)
    desk.now += timedelta(minutes=1)
    await desk.hear("new", "me show", vouched=("member", "mentor"))
    assert Role.MENTOR not in await desk.store.run(roles_of)


# Who will see it


async def test_who_will_see_an_answer_is_known_before_it_is_there(desk: Desk) -> None:
    assert desk.dispatcher.shown(desk.heard_from("ann", "find words=x")) is Shown.ROOM
    assert desk.dispatcher.shown(desk.heard_from("ann", "me show")) is Shown.ACTOR
    assert desk.dispatcher.shown(desk.heard_from("ann", "", question="1", given={})) is Shown.ACTOR


async def test_what_is_typed_narrows_what_is_suggested(desk: Desk) -> None:
    _voice, choices = await desk.dispatcher.suggest(desk.heard_from("ann", "me zone"), "zone", "tbil")
    assert [choice.value for choice in choices] == ["Asia/Tbilisi"]
    _voice, choices = await desk.dispatcher.suggest(desk.heard_from("ann", "me zone"), "zone", "nowhere")
    assert len(choices) > 1


async def test_what_another_process_has_heard_and_done_is_not_told_as_refused(desk: Desk) -> None:
    heard = desk.heard_from("ann", "once now")
    assert await desk.dispatcher.answer(heard) is not None
    assert await desk.dispatcher.answer(heard) is None
