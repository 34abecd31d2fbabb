"""The dispatcher: admits, reads, runs in one transaction, records and answers."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from rapidfuzz import fuzz, process

from commands.core.closed import CODES_OF_CASES
from commands.core.context import ROLE_NAMES, Context, Errand, JobContext
from commands.core.feature import Command, Commands, Job, Param, Shown
from commands.core.guard import Endangering, look, stopped
from commands.core.kinds import INVISIBLE, Choice, Unreadable, clean
from commands.core.line import Call, Unparsed, read_values
from commands.core.pace import Pace
from commands.core.post import PATIENCE, PRIVATE, Envelope, Hub, subject_of
from commands.core.reply import Button, Reply
from commands.core.strings import Catalogues
from commands.core.text import Text, Voice, _
from knowledge.library import Library
from storage import audit, codes, forms, inbox, leases, members, outbox, places
from storage.members import Member, Role
from storage.outbox import Lane
from storage.refused import Line, Refused
from storage.sealed import ErasedError, ring
from storage.store import Session, Store, wrote

log = structlog.get_logger()

Known = tuple[Member, frozenset[Role]]
T = TypeVar("T")

STOP = frozenset({"stop", "стоп", "cancel", "скасувати", "отмена"})
GREETINGS = frozenset(
    {"hello", "hi", "hey", "start", "/start", "привіт", "вітаю", "добрий день", "добридень", "доброго дня"}
    | {"привет", "здравствуйте", "добрый день"}
)
HELP = frozenset({"?", "menu", "меню", "довідка", "допомога", "поміч", "справка", "помощь"})
MOST_CHOICES = 9
"""Suggestions listed with a question: as many as there are number keys to react with."""
SWEEP = timedelta(minutes=2)
"""How long one process keeps others from the same sweep; longer than a sweep takes, and no longer than needed."""
LONGEST_LINE = 8000
"""Characters of a message that are read at all."""
LONGEST_BUTTON = 90
"""Characters of a line that a button can carry by itself; a longer one is kept, and the button names where."""
FIRST_TURN = timedelta(seconds=5)
"""For how long couriers leave an answer alone that goes the shortest way back, without them."""
MOST_BLANKS = 5
"""Values that one form asks for."""


@dataclass(frozen=True)
class Heard:
    """What a platform heard: who said what, where. `key` is the platform's event id, answered once.

    On a `native` surface commands have buttons, lists and forms of their own. A question that was put there has its
    key in `question`, and what was filled into its form is `given`; `said` is then a choice's number, or nothing.
    Such a platform shows by itself that something was not answered: what changed nothing is not recorded.
    """

    platform: str
    address: str
    bot: str
    network: str
    room: str
    private: bool
    said: str
    direct: bool = True
    """True for what is certainly meant as a command: prefixed, or with a mention of the bot."""
    named: bool = False
    """True where the person named the bot on purpose, with a mention: nobody else is meant."""
    locale: str | None = None
    key: str | None = None
    thread: str | None = None
    native: bool = False
    question: str | None = None
    given: Mapping[str, str] | None = None
    ticket: str | None = None
    vouched: tuple[str, ...] = ()
    """Roles that somebody has at once who is heard for the first time: the platform vouches for them."""


@dataclass(frozen=True)
class Said:
    """What is to be said, to whom it is shown, and in which voice.

    `question` is the key of the question that is open now. On native surfaces whoever called delivers it, and says
    whether it has `arrived` or is to be `handed over` to a courier; what is not `kept` stands in no outbox so far.
    """

    reply: Reply
    shown: Shown
    voice: Voice
    person: UUID
    question: str | None = None
    kept: bool = True


@dataclass(frozen=True)
class Blank:
    """A form to fill in: what it is about, the call so far, what that still lacks, and the voice that asks for it."""

    about: Text
    call: Call
    params: tuple[Param, ...]
    voice: Voice


class _AlreadyAnswered(Exception):  # noqa: N818 it is no error
    """What was heard has been answered before: whatever was done once more is undone."""


@dataclass(frozen=True)
class Ask:
    """A call that lacks something: what to ask next, from which choices, and what was wrong with the last answer."""

    call: Call
    param: Param
    choices: tuple[Choice, ...] = ()
    wrong: Text | None = None

    def reply(self) -> Reply:
        """Put the question, with its choices as buttons."""
        blocks = [self.param.about] if self.wrong is None else [self.wrong, self.param.about]
        stop = Call("stop")
        if self.choices:
            typed = _("Answer with a number, or type it yourself; {stop} ends this.", stop=stop)
        else:
            # What people type in words of their own language is shown in it; what is read has no language.
            example = Text(self.param.kind.example) if self.param.kind.prose else self.param.kind.example
            typed = _("Type your answer, for example: {example}. {stop} ends this.", example=example, stop=stop)
        return Reply(
            *blocks,
            typed=typed,
            actions=[
                Button(each.label, self.call.also(**{self.param.name: each.value}), terse=True) for each in self.choices
            ],
        )


@dataclass(frozen=True)
class _Outcome:
    """What came of one thing heard, before it is recorded."""

    reply: Reply
    shown: Shown = Shown.ACTOR
    ask: Ask | None = None
    """The question that is open now."""
    done: bool = False
    """The open question, if any, is answered or ended."""
    gone: bool = False
    """The person has just been erased."""
    remove: bool = False
    """What was heard must not stay where it was said."""


_TOLD_THE_ROOM = _Outcome(
    Reply(_("Please say that to me in private: here others read it. I have kept nothing of it.")), remove=True
)


class Dispatcher:
    """Answers people and runs jobs: every platform and the clock speak to this object only."""

    def __init__(
        self,
        *,
        store: Store,
        commands: Commands,
        hub: Hub,
        library: Library,
        catalogues: Catalogues,
        clock: Callable[[], datetime],
        rng: random.Random,
        pace: Pace | None = None,
        owner: str = "one",
        posted: Callable[[frozenset[str]], None] = lambda _senders: None,
    ) -> None:
        self._store = store
        self.commands = commands
        self.hub = hub
        self._library = library
        self._catalogues = catalogues
        self._clock = clock
        self._rng = rng
        self._pace = pace or Pace()
        self._owner = owner
        self._hearer = f"{owner}/hears"
        self._posted = posted

    async def answer(self, heard: Heard) -> Said | None:
        """Answer what was heard: exactly once for each `key`, in one transaction with all that it changes.

        Returns None when there is nothing to say: it was answered before, or it was not meant for us.
        """
        # Talk in a room that turns out to be none of ours costs nobody anything.
        who = f"{heard.bot} {heard.platform} {heard.address}"
        wait = self._pace.wait(who, self._clock()) if heard.direct or heard.private else None
        if wait is not None:
            too_fast = _Outcome(Reply(_("That was very fast. Please wait {wait}, then go on.", wait=wait)))
            return await self._run_in_one(partial(self._record, heard, too_fast))
        try:
            return await self._run_with_errands(partial(self._converse, heard))
        except _AlreadyAnswered:
            return None
        except Refused as refused:
            # What the handler had written is rolled back; the refusal itself is recorded like any answer.
            outcome = _Outcome(Reply(said_no(refused)))
        except Unreadable as unreadable:
            outcome = _Outcome(Reply(unreadable.text))
        except Endangering as endangering:
            outcome = _Outcome(stopped(endangering, self._library), remove=True)
        except ErasedError:
            # The person's key went, and then the transaction did not get through: only going on to the end is left.
            return await self._run_with_errands(partial(self._finish_erasing, heard))
        except Exception as error:
            incident = codes.draw(self._rng, "E", 6)
            log.error(  # noqa: TRY400 the log's own processor writes the trace, without the words in the message
                "command failed",
                incident=incident,
                network=heard.network,
                error=type(error).__name__,
                exc_info=error,
            )
            outcome = _Outcome(
                Reply(
                    _(
                        "Something went wrong on our side and nothing was changed. Tell your coordinator {code}.",
                        code=incident,
                    )
                )
            )
        return await self._run_in_one(partial(self._record, heard, outcome))

    async def _run_with_errands(self, fn: Callable[[dict[str, object], Session], Said | None]) -> Said | None:
        """Run one transaction, and fetch in between, with none open, what its handler needs from outside."""
        fetched: dict[str, object] = {}
        while True:
            try:
                return await self._run_in_one(partial(fn, fetched))
            except Errand as errand:
                if errand.name in fetched:
                    raise
                fetched[errand.name] = await errand.run()

    async def hand_over(self, heard: Heard, said: Said) -> None:
        """Leave an answer that did not arrive on the way back to a courier; what was not kept is kept now."""

        def hand_over(session: Session) -> None:
            now = self._clock()
            if not said.kept and heard.key is not None and inbox.done(session, heard.bot, heard.key, now):
                self._post(session, heard, said, now)
            outbox.again(session, _reply_to(heard), self._hearer, now, "the way back is closed")

        await self._run_in_one(hand_over)

    async def arrived(self, heard: Heard, remote_id: str) -> None:
        """Note that an answer that was kept has arrived on the way back, as what the platform calls it."""
        await self._run_in_one(
            lambda session: outbox.sent(session, _reply_to(heard), self._hearer, remote_id, self._clock())
        )

    async def blank(self, heard: Heard) -> Blank | None:
        """Return the form for what a line, or an open question, still lacks and people have to write.

        None if there is nothing to write, or if this person may not say it here: `answer` tells them why.
        """
        return await self._run_in_one(partial(self._blank, heard))

    def shown(self, heard: Heard) -> Shown:
        """Tell who will see the answer, as far as that is certain before there is one."""
        found = self._find(heard.said) if heard.question is None else None
        return found[0].shown if found else Shown.ACTOR

    async def suggest(self, heard: Heard, name: str, typed: str) -> tuple[Voice, tuple[Choice, ...]]:
        """Return what somebody may mean who has typed this much of a value of the command in `heard.said`.

        Nothing is recorded: whoever only looks stays a stranger. Somebody who may not say the command gets nothing.
        """

        def suggest(session: Session) -> tuple[Voice, tuple[Choice, ...]]:
            context = self._context(session, heard, self._clock(), self._somebody(session, heard))
            found = self._find(heard.said)
            if found is None or self._not_admitted(context, found[0]) is not None:
                return context.voice, ()
            kind = found[0].params[name].kind
            if kind.confidential and not self._unheard(context):
                return context.voice, ()
            every = tuple(kind.suggest(context, typed)) if kind.suggest else ()
            sought = typed.casefold()
            meant = (each for each in every if sought in f"{each.value} {context.voice.say(each.label)}".casefold())
            return context.voice, tuple(meant) or every

        return await self._run_in_one(suggest)

    async def run(self, job: Job) -> None:
        """Run a job, unless another process holds its lease."""
        await self._run_in_one(partial(self._sweep, job))

    async def _run_in_one(self, fn: Callable[[Session], T]) -> T:
        """Run one transaction; once it is committed, tell those who have something to send now."""
        senders: frozenset[str] = frozenset()

        def run(session: Session) -> T:
            nonlocal senders
            result = fn(session)
            senders = outbox.senders(session)
            return result

        result = await self._store.run(run)
        if senders:
            self._posted(senders)
        return result

    def _sweep(self, job: Job, session: Session) -> None:
        now = self._clock()
        if leases.take(session, f"job:{job.name}", self._owner, for_=min(job.period, SWEEP), now=now) is not None:
            job.run(JobContext(session, now, self._rng, self.hub, self._library))

    def _voice(self, member: Member) -> Voice:
        return Voice(self._catalogues.speak(member.language), ZoneInfo(member.zone))

    def _blank(self, heard: Heard, session: Session) -> Blank | None:
        context = self._context(session, heard, self._clock(), self._somebody(session, heard))
        line, asked = heard.said, ""
        if heard.question is not None:
            form = forms.current(session, member_id=context.actor_id, bot=heard.bot, room=heard.question)
            if form is None:
                return None
            line, asked = form.call, form.asked
        found = self._find(line)
        if found is None or self._not_admitted(context, found[0]) is not None:
            return None
        command, rest = found
        call = read_values(command, rest)
        lacking = [
            param
            for name, param in command.params.items()
            if name == asked or (param.required and param.kind.prose and name not in call.given)
        ]
        return Blank(command.about, call, tuple(lacking[:MOST_BLANKS]), context.voice) if lacking else None

    def _known(self, session: Session, heard: Heard) -> Known | None:
        return members.known(session, platform=heard.platform, address=heard.address, network=heard.network)

    def _somebody(self, session: Session, heard: Heard) -> Known:
        """Return who this is; somebody new is nobody yet, and is not remembered."""
        zone = self.hub.networks[heard.network].zone
        nobody = Member(handle="", language=self._language(heard), zone=zone, created_at=self._clock())
        return self._known(session, heard) or (nobody, frozenset({Role.GUEST}))

    def _language(self, heard: Heard) -> str:
        """Return the language to speak with somebody new."""
        known = heard.locale is not None and heard.locale in self._catalogues.languages
        return heard.locale if known and heard.locale else self.hub.networks[heard.network].language

    def _recognise(self, session: Session, heard: Heard, now: datetime) -> Known:
        """Return who this is; somebody new becomes a guest, or what they were promised."""
        is_admin = self.hub.first_admin == f"{heard.platform}:{heard.address}"
        known = self._known(session, heard)
        if known is not None and (not is_admin or Role.ADMIN in known[1]):
            return known
        member = members.recognise(
            session,
            platform=heard.platform,
            address=heard.address,
            language=self._language(heard),
            zone=self.hub.networks[heard.network].zone,
            rng=self._rng,
            now=now,
        )
        promised = {Role.ADMIN} if is_admin else set()
        if known is None:
            promised.update(map(Role, heard.vouched))
        for role in promised:
            members.grant(session, actor=None, member=member, network=heard.network, role=role, now=now)
            audit.append(
                session,
                at=now,
                network=heard.network,
                actor=member.id,
                action=f"vouched {role}",
                subject=str(member.id),
            )
        return member, members.roles(session, member.id, heard.network)

    def _converse(self, heard: Heard, fetched: dict[str, object], session: Session) -> Said | None:
        now = self._clock()
        if not heard.native and not self._is_new(session, heard, now):
            return None
        said = heard.said if heard.private or heard.native else self._meant_for_us(session, heard)
        if said is None:
            return None
        heard = replace(heard, said=said)
        if not (heard.direct or heard.private) and not self._is_known(session, heard):
            return None
        context = self._context(session, heard, now)
        context.fetched = fetched
        outcome = self._act(context, heard)
        if outcome is None:
            return None
        voice = context.voice if outcome.gone else self._voice(context.actor)  # a command may have changed it
        return self._keep(session, heard, outcome, context.actor_id, voice)

    def _context(self, session: Session, heard: Heard, now: datetime, somebody: Known | None = None) -> Context:
        member, roles = somebody or self._recognise(session, heard, now)
        return Context(
            session,
            now,
            self._rng,
            self.hub,
            self._library,
            actor=member,
            roles=roles,
            network=heard.network,
            platform=heard.platform,
            private=heard.private,
            native=heard.native,
            voice=self._voice(member),
            commands=self.commands,
        )

    def _meant_for_us(self, session: Session, heard: Heard) -> str | None:
        """Return the line, if this bot is the one to answer it.

        In a room that several bots share, a mention or a network's key before the command names the one that is
        meant; without either, the first network's bot answers. Each bot decides that by itself, and all come to the
        same result.
        """
        first, _space, rest = heard.said.lstrip().partition(" ")
        if not heard.direct:
            return heard.said  # an answer to a question may begin with any word
        if first.casefold() == heard.network:
            return rest
        sharing = places.shared_by(session, heard.room)
        if heard.named or len(sharing) < 2:
            return heard.said
        named = first.casefold() if first.casefold() in sharing else None
        host = next(key for key in self.hub.networks if key in sharing)
        return heard.said if (named or host) == heard.network else None

    @staticmethod
    def _is_known(session: Session, heard: Heard) -> bool:
        """Tell whether we know the speaker already: a number said in a room makes nobody a guest."""
        return members.account(session, platform=heard.platform, address=heard.address) is not None

    @staticmethod
    def _is_new(session: Session, heard: Heard, now: datetime) -> bool:
        """Mark what was heard as done, in the transaction of its answer; False if it was answered before."""
        return heard.key is None or inbox.done(session, heard.bot, heard.key, now)

    def _finish_erasing(self, heard: Heard, fetched: dict[str, object], session: Session) -> Said | None:
        now = self._clock()
        context = self._context(session, heard, now)
        if not ring().erased(context.actor_id):  # it was somebody else's key, who is a part of this member now
            return self._converse(heard, fetched, session)
        if not heard.native and not self._is_new(session, heard, now):
            return None
        context.private = True
        command = self.commands.by_path["privacy erase"]
        outcome = self._run(context, command, Call(command.path, {"sure": "yes"}))
        return self._keep(session, heard, outcome, context.actor_id, context.voice)

    def _record(self, heard: Heard, outcome: _Outcome, session: Session) -> Said | None:
        now = self._clock()
        if heard.native and heard.key is not None and inbox.is_done(session, heard.bot, heard.key):
            return None  # another process has heard it as well, and what it did is why this one was refused
        if not heard.native and not self._is_new(session, heard, now):
            return None
        member, _roles = self._recognise(session, heard, now)
        return self._keep(session, heard, outcome, member.id, self._voice(member))

    def _keep(self, session: Session, heard: Heard, outcome: _Outcome, person: UUID, voice: Voice) -> Said:
        """Record the answer: the open question and the outbox row, in the same transaction."""
        now = self._clock()
        if heard.native and outcome.ask is not None:  # a form is filled in by one person
            outcome = replace(outcome, shown=Shown.ACTOR)
        personal = _is_personal(heard, outcome.shown) and not outcome.gone
        if not personal:  # in whose zone somebody lives is not told to a room
            voice = replace(voice, zone=ZoneInfo(self.hub.networks[heard.network].zone))
        if heard.native:
            question = self._keep_native_question(session, heard, outcome, person)
        else:
            question = None
            self._keep_question(session, heard, outcome, person, PRIVATE if personal else heard.room)
        said = Said(outcome.reply, outcome.shown, voice, person, question, kept=not heard.native or wrote(session))
        if said.kept and heard.key is not None:
            if heard.native and not self._is_new(session, heard, now):
                raise _AlreadyAnswered
            self._post(session, heard, said, now, gone=outcome.gone, remove=outcome.remove)
        return said

    def _keep_question(self, session: Session, heard: Heard, outcome: _Outcome, person: UUID, room: str) -> None:
        """Keep what a bare number or word answers now: there is one such question for each person and place."""
        lines = tuple(button.call.line() for button in outcome.reply.actions)
        if outcome.ask is not None or lines:
            if room != PRIVATE:  # a bare number has one meaning in a room, also where several bots sit in it
                forms.stop_others(session, member_id=person, bot=heard.bot, room=room)
            self._keep_form(session, heard, outcome, person, room)
        elif outcome.done and not outcome.gone:
            forms.stop(session, member_id=person, bot=heard.bot, room=room)

    def _keep_native_question(self, session: Session, heard: Heard, outcome: _Outcome, person: UUID) -> str | None:
        """Keep what a form asks for and lines that no button can carry, under the key of what was heard."""
        if heard.question is not None and (outcome.done or outcome.ask is not None) and not outcome.gone:
            forms.stop(session, member_id=person, bot=heard.bot, room=heard.question)
        written = outcome.ask is not None and not outcome.ask.param.kind.choices  # else buttons are all there is to it
        too_long = any(len(button.call.line()) > LONGEST_BUTTON for button in outcome.reply.actions)
        if heard.key is None or not (written or too_long):
            return None
        self._keep_form(session, heard, outcome, person, heard.key)
        return heard.key

    def _keep_form(self, session: Session, heard: Heard, outcome: _Outcome, person: UUID, room: str) -> None:
        forms.keep(
            session,
            member_id=person,
            bot=heard.bot,
            room=room,
            call=outcome.ask.call.line() if outcome.ask else "",
            asked=outcome.ask.param.name if outcome.ask else "",
            choices=[button.call.line() for button in outcome.reply.actions],
            now=self._clock(),
        )

    def _post(
        self, session: Session, heard: Heard, said: Said, now: datetime, *, gone: bool = False, remove: bool = False
    ) -> None:
        """Put an answer into the outbox. On a native surface it is the person's, whoever else may see it."""
        personal = _is_personal(heard, said.shown) and not gone
        to_person = (personal or heard.native) and not gone
        outbox.put(
            session,
            key=_reply_to(heard),
            sender=heard.bot,
            owner=subject_of(heard.network) if gone else said.person,
            payload=Envelope(
                said.reply,
                language=said.voice.language,
                zone=said.voice.zone.key,
                reply_to=None if personal else heard.key,
                thread=None if personal else heard.thread,
                asked=(heard.room, heard.key or "") if personal and not heard.private else None,
                dm=heard.room if heard.private else None,
                address=heard.address if to_person else None,
                ticket=heard.ticket,
                public=not personal and not gone,
                question=said.question,
                remove=(heard.room, heard.key or "") if remove else None,
            ).pack(),
            member_id=said.person if to_person else None,
            place=None if to_person else heard.room,
            lane=Lane.REPLY,
            due_at=now,
            held_by=(self._hearer, now + FIRST_TURN) if heard.native else None,
            now=now,
        )

    def _act(self, context: Context, heard: Heard) -> _Outcome | None:
        if heard.native:
            return self._press(context, heard)
        line = heard.said.strip()
        form = forms.current(
            context.session,
            member_id=context.actor.id,
            bot=heard.bot,
            room=PRIVATE if heard.private else heard.room,
        )
        if not heard.direct and not heard.private and (form is None or context.now - form.updated_at > PATIENCE):
            return None
        _fit_to_read(line)
        if line.casefold() in STOP:
            # Whoever says it in the room may mean the question that was put there, or in private.
            asked = [
                forms.stop(context.session, member_id=context.actor_id, bot=heard.bot, room=place)
                for place in {PRIVATE, PRIVATE if heard.private else heard.room}
            ]
            done = _("Stopped. Nothing was changed.") if any(asked) else _("There is nothing to stop.")
            return _Outcome(Reply(done), done=True)
        if form is not None:
            if line.isdecimal() and len(line) < 3 and 1 <= int(line) <= len(form.choices):
                return self._follow(context, form.choices[int(line) - 1], done=bool(form.asked))
            if form.asked and not heard.direct:
                return self._continue(context, form.call, form.asked, line)
            if not heard.direct and not heard.private:
                return None
        elif line.isdecimal() and len(line) < 3:
            return _Outcome(
                Reply(
                    _(
                        "The question that “{n}” answers is gone or too old; say its command again to begin anew, "
                        "or {help} to see all commands.",
                        n=line,
                        help=Call("help"),
                    )
                )
            )
        return self._follow(context, line)

    def _press(self, context: Context, heard: Heard) -> _Outcome:
        """Act on a command, a pressed button or a form that was filled in: each of them is a line."""
        line, asked = heard.said.strip(), ""
        for each in (line, *(heard.given or {}).values()):
            _fit_to_read(each)
        if heard.question is not None:
            form = forms.current(context.session, member_id=context.actor.id, bot=heard.bot, room=heard.question)
            if form is None:
                return _Outcome(Reply(_("That question is answered, too old, or was put to somebody else.")))
            asked = form.asked
            line = form.call if heard.given is not None else form.choices[int(line) - 1]
        found = self._find(line)
        if heard.given is None or found is None:
            return self._follow(context, line, done=bool(asked))
        command, rest = found
        return self._run(context, command, read_values(command, rest).also(**heard.given), done=True)

    def _continue(self, context: Context, call: str, asked: str, answer: str) -> _Outcome:
        """Take a bare line as the answer to the open question; a command that is no fitting answer is a command."""
        command, rest = self._find(call) or (None, "")
        if command is None or asked not in command.params:
            return self._follow(context, answer)
        so_far = read_values(command, rest)
        kind = command.params[asked].kind
        found = self._find(answer)
        if found is not None:
            # What takes any words takes a command only where nothing else can be meant: "hours mine", but not "me too".
            certain = not found[1] or len(answer.split()) - len(found[1].split()) == 2
            if kind.free and certain:
                return self._follow(context, answer)
            try:
                kind.read(context, answer)
            except (Unreadable, Refused):
                return self._follow(context, answer)
        return self._run(context, command, so_far.also(**{asked: answer}), done=True)

    def _find(self, line: str) -> tuple[Command[...], str] | None:
        """Find the command that a line begins with, and the rest of the line."""
        words = line.split(maxsplit=3)
        for count in (2, 1):
            path = " ".join(words[:count]).casefold()
            command = self.commands.by_path.get(path)
            if command is not None and len(words) >= count:
                rest = line.split(maxsplit=count)[count:]
                return command, rest[0] if rest else ""
        return None

    def _follow(self, context: Context, line: str, *, done: bool = False) -> _Outcome:
        found = self._find(line)
        if found is None:
            return self._unknown(context, line)
        command, rest = found
        try:
            call = read_values(command, rest)
        except Unparsed as unparsed:
            look(line)
            no = self._not_here(context, command, rest)
            if no is not None:
                return no
            near = self._near(context, line, 80)
            if near and self.commands.by_path[near[0]] is not command:
                return self._suggest_near(context, line, near)
            return _Outcome(
                Reply(
                    _("I do not know what to do with “{extra}”.", extra=clean(unparsed.extra[:100])),
                    *usage(command),
                )
            )
        return self._run(context, command, call, done=done)

    def _run(self, context: Context, command: Command[...], call: Call, *, done: bool = False) -> _Outcome:
        no = self._not_admitted(context, command, call)
        if no is not None:
            return _Outcome(Reply(no))
        if context.native:  # what is picked from a menu nobody sees but who may see the answer
            context.private = context.private or command.shown is Shown.ACTOR
        if self._tells_the_room(context, command, call):
            return _TOLD_THE_ROOM
        values = self._read(context, command, call)
        if isinstance(values, Ask):
            return _Outcome(values.reply(), command.shown, ask=values)
        if command.confirm is not None and not values.pop("sure"):
            return _Outcome(Reply(_("Nothing was changed.")), done=True)
        reply = command.handler(context, **values)
        if command.audited:
            audit.append(
                context.session,
                at=context.now,
                network=context.network,
                actor=context.actor.id,
                action=command.path,
                subject=context.subject,
            )
        if context.asks is not None:
            return self._ask_on(context, command, reply)
        return _Outcome(reply, command.shown, done=done, gone=context.gone)

    def _ask_on(self, context: Context, command: Command[...], reply: Reply) -> _Outcome:
        """Answer, and put the next question along with it: what was said so far is kept, and one answer leads on."""
        call, name = context.asks or (Call(command.path), "")
        param = self.commands.by_path[call.path].params[name]
        ask = Ask(call, param, _suggested(context, param, ""))
        asked = ask.reply()
        both = Reply(
            *reply.blocks, *asked.blocks, actions=asked.actions, files=reply.files, page=reply.page, typed=asked.typed
        )
        return _Outcome(both, command.shown, ask=ask)

    def _tells_the_room(self, context: Context, command: Command[...], call: Call) -> bool:
        """Tell whether something confidential was said where others read it; what is on a list for all is not."""
        if context.private:
            return False
        kinds = [command.params[name].kind for name in call.given]
        if self.commands.feature_of[command.path].confidential:
            return any(not kind.choices for kind in kinds)
        return any(kind.confidential for kind in kinds)

    def _not_here(self, context: Context, command: Command[...], rest: str) -> _Outcome | None:
        """Answer what seems to be meant for a command as the command would if it is confidential here.

        None if the words may stand where they were said: a slip must not undo what protects those who make none.
        """
        if not rest:
            return None
        try:
            call, over = read_values(command, rest), False
        except Unparsed:  # every value is there, and words are left over
            call, over = Call(command.path, dict.fromkeys(command.params, "")), True
        if context.platform in self.hub.overheard and self._is_confidential(command, call):
            no = self._not_admitted(context, command, call)
            return _Outcome(Reply(no)) if no is not None else None
        over = over and not context.private and self.commands.feature_of[command.path].confidential
        return _TOLD_THE_ROOM if over or self._tells_the_room(context, command, call) else None

    def _unheard(self, context: Context) -> bool:
        """Tell whether nobody else reads what is said, neither people nor the platform."""
        return (context.private or context.native) and context.platform not in self.hub.overheard

    def _is_confidential(self, command: Command[...], call: Call | None) -> bool:
        """Tell whether a call is for the ears of one person: the command is, or something that it names or needs."""
        return command.confidential or any(
            param.kind.confidential and (param.required or (call is not None and name in call.given))
            for name, param in command.params.items()
        )

    def _not_admitted(self, context: Context, command: Command[...], call: Call | None = None) -> Text | None:
        """Say why a person may not use a command here; None if they may."""
        here = self.hub.networks[context.network]
        feature = self.commands.feature_of[command.path]
        if feature.name in here.off:
            return _("This is not switched on in this network.")
        if not context.may(command.allow):
            return _("You need the role “{role}” for that here.", role=ROLE_NAMES[command.allow])
        if context.platform in self.hub.overheard and self._is_confidential(command, call):
            return self._overheard(context)
        return None

    def _overheard(self, context: Context) -> Text:
        contact = self.hub.networks[context.network].contact
        if contact is None:
            return _("This is confidential, and others can read along here. Ask your coordinator where to say it.")
        return _(
            "This is confidential, and others can read along here. Say it to me in private at {contact}.",
            contact=contact,
        )

    def _read(self, context: Context, command: Command[...], call: Call) -> dict[str, object] | Ask:
        """Read every value through its Kind, or say what to ask for."""
        context.values = values = {}
        for name, param in command.params.items():
            typed = call.given.get(name)
            if typed is None:
                if param.required:
                    choices = _suggested(context, param, "")
                    if not choices and param.kind.nothing is not None:
                        raise Refused(param.kind.nothing.msgid, **param.kind.nothing.values)
                    return Ask(call, param, choices)
                continue
            try:
                if param.kind.free:
                    look(typed)
                values[name] = param.kind.read(context, typed)
            except (Unreadable, Refused) as no:
                look(typed)  # what is wrong is quoted
                choices = _suggested(context, param, typed)
                if isinstance(no, Refused) and not choices:
                    raise
                wrong = no.text if isinstance(no, Unreadable) else said_no(no)
                return Ask(call, param, choices, wrong=wrong)
        # What each leaves open, two may tell together: a name here, and there that she is the victim.
        look("\n".join(typed for name, typed in call.given.items() if command.params[name].kind.free))
        return values

    def _unknown(self, context: Context, line: str) -> _Outcome:
        look(line)
        words = clean(line[:100]).casefold().split()
        help_call = Call("help")
        if not words or " ".join(words).strip(",.!") in GREETINGS:
            return _Outcome(Reply(_("Hello. {help} shows what I can do for you.", help=help_call)))
        if " ".join(words) in HELP:
            return self._follow(context, help_call.line())
        if words[0] == context.network and len(words) > 1:
            return self._follow(context, line.split(maxsplit=1)[1])
        if words[0] in self.commands.groups:
            near = self._near(context, line, 80) if len(words) > 1 else []
            if near:
                return self._suggest_near(context, line, near)
            if not context.private and self._is_confidential_group(words[0]) and (words[2:] or "=" in line):
                return self._elsewhere(context)
            return self._follow(context, Call("help", {"command": words[0]}).line())
        near = self._near(context, line, 70)
        if near:
            return self._suggest_near(context, line, near)
        if not context.private and len(words) > 1 and codes.named_in(line, CODES_OF_CASES):
            return self._elsewhere(context)  # whatever it means, it tells the room something of a case
        return _Outcome(
            Reply(
                _(
                    "I do not know “{typed}”. {help} shows what I can do for you.",
                    typed=command_words(line),
                    help=help_call,
                )
            )
        )

    def _near(self, context: Context, line: str, cutoff: int) -> list[str]:
        """Find the commands that somebody may have meant, also on a Cyrillic keyboard; only those they may use."""
        words = clean(line[:100]).casefold().split()
        typed = " ".join(words[:2])
        known = [path for path, command in self.commands.by_path.items() if context.may(command.allow)]
        near: list[str] = []
        for guess in (typed, on_latin_keys(typed), words[0], on_latin_keys(words[0])):
            near += [
                path
                for path, _score, _i in process.extract(guess, known, scorer=fuzz.ratio, score_cutoff=cutoff, limit=3)
            ]
        return list(dict.fromkeys(near))[:3]

    def _suggest_near(self, context: Context, line: str, near: list[str]) -> _Outcome:
        nearest = self.commands.by_path[near[0]]
        words = line.split()
        count = 1 if _likeness(words[0], near[0]) >= _likeness(" ".join(words[:2]), near[0]) else 2
        no = self._not_here(context, nearest, "".join(line.split(maxsplit=count)[count:]))
        if no is not None:
            return no
        return _Outcome(
            Reply(
                _(
                    "I do not know “{typed}”. Did you mean {call}?",
                    typed=command_words(line, count),
                    call=Call(near[0]),
                ),
                *usage(nearest),
                actions=[Button(self.commands.by_path[path].about, Call(path)) for path in near],
            )
        )

    def _elsewhere(self, context: Context) -> _Outcome:
        """Send somebody elsewhere who said something confidential in a room, without a command that would do so."""
        if context.platform in self.hub.overheard:
            return _Outcome(Reply(self._overheard(context)))
        return _TOLD_THE_ROOM

    def _is_confidential_group(self, group: str) -> bool:
        return any(feature.confidential and group in feature.groups for feature in self.commands.features)


def _likeness(typed: str, path: str) -> float:
    """Tell how much a path looks like what was typed, on either keyboard, from 0 to 100."""
    words = typed.casefold()
    return max(fuzz.ratio(words, path), fuzz.ratio(on_latin_keys(words), path))


def _reply_to(heard: Heard) -> str:
    return f"reply:{heard.bot}:{heard.key}"


def _is_personal(heard: Heard, shown: Shown) -> bool:
    return heard.private or shown is Shown.ACTOR


def _fit_to_read(line: str) -> None:
    """Refuse a line that is too long, or that nothing which we keep or send can hold."""
    if len(line) > LONGEST_LINE:
        raise Unreadable("That is {n} characters long; {most} is the most I can take.", n=len(line), most=LONGEST_LINE)
    half = _HALF.search(line)
    if half is not None:
        raise Unreadable(INVISIBLE, code=f"U+{ord(half[0]):04X}")


def command_words(line: str, count: int = 2) -> str:
    """Return the words of a line that may be a command's, to be quoted: `count` at most, and nothing of a value.

    A value shows by quotes or an equals sign; what stands behind a number or a code is one, too.
    """
    words = clean(line[:100]).split()
    path = words[:1] if any(map(str.isdigit, "".join(words[:2]))) else words[:count]
    said = _VALUE.split(" ".join(path))[0].strip()[:40]
    return said if said == " ".join(words) else f"{said}…"


def said_no(refused: Refused) -> Text:
    """Turn a rule's refusal into a sentence; the lines that it hints at are shown as they are typed here."""
    return Text(
        refused.msgid,
        {name: Call(value) if isinstance(value, Line) else value for name, value in refused.values.items()},
    )


def usage(command: Command[...]) -> tuple[Text, ...]:
    """Say how a command is typed, with an example."""
    said = _("Usage: {usage}", usage=Call(command.usage()))
    if not command.params or command.usage() == command.example().line():
        return (said,)
    return said, _("Example: {example}", example=command.example())


def _suggested(context: Context, param: Param, typed: str) -> tuple[Choice, ...]:
    if param.kind.suggest is None:
        return ()
    return tuple(param.kind.suggest(context, typed) or param.kind.suggest(context, ""))[:MOST_CHOICES]


_VALUE = re.compile(r"[=\"“”„«»]")

_HALF = re.compile("[\ud800-\udfff]")
"""Half of a character, which broken or ill-meant clients send alone."""

CYRILLIC_KEYS = str.maketrans(
    "йцукенгшщзхїъфівапролджєэячсмитьбюыё",
    "qwertyuiop[]]asdfghjkl;''zxcvbnm,.s`",
)
"""The same keys on a Ukrainian or Russian keyboard and on a Latin one."""


def on_latin_keys(typed: str) -> str:
    """Return what the same keys would have written on a Latin keyboard: `рудз` is `help`."""
    return typed.translate(CYRILLIC_KEYS)
