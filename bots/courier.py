"""The courier: takes what is to be said out of the outbox and hands it to the right bot, each message once.

A message is claimed before it is sent, under a lease; the bot sends it under an id that is a function of its key, so a
courier that dies is followed by another with the very same request. What remains: a process that is frozen between the
last look at its lease and the write to the socket, for longer than the platform remembers ids, may say a thing twice.
No client can close that gap.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from weakref import WeakValueDictionary
from zoneinfo import ZoneInfo

import structlog

from bots.bot import Bot, Parcel, Undelivered
from commands.core.post import Envelope, Hub, subject_of
from commands.core.reply import Reply
from commands.core.strings import Catalogues
from commands.core.text import Voice, n_
from storage import members, outbox, places
from storage.members import Member, Reach
from storage.outbox import Claimed, Lane
from storage.store import Busy, Session, Store

log = structlog.get_logger()

LEASE = timedelta(seconds=60)
BATCH = 20
"""Messages in one courier's hands at a time."""
POLL = 1.0
"""Seconds after which a courier looks by itself for what other processes have put."""
LONGEST_PAUSE = timedelta(minutes=1)
GIVE_UP_AFTER = timedelta(days=1)
"""Since the first try. More tries than a few are not counted: a platform that throttles makes many in a minute."""
FEW_TRIES = 2


def _way(ways: Sequence[Reach], envelope: Envelope) -> Reach | None:
    """Choose among a bot's ways to a person: who has several accounts there is answered at the one that asked."""
    return next((way for way in ways if way.address == envelope.address), ways[0] if ways else None)


@dataclass(frozen=True)
class Addressed:
    """A claimed message and what is needed to deliver it, read in the same transaction."""

    message: Claimed
    ways: tuple[Reach, ...]
    language: str
    zone: str
    quiet_until: datetime | None


class Courier:
    """Delivers the messages of one bot. Messages to one destination arrive in the order in which they were claimed.

    `per_second` and `burst` are the pace that the platform allows; where `free_replies` is set, answers count for none.
    """

    def __init__(
        self,
        bot: Bot,
        *,
        store: Store,
        hub: Hub,
        catalogues: Catalogues,
        clock: Callable[[], datetime],
        owner: str,
        prefix: str = "",
        per_second: float = 20,
        burst: int = 100,
        free_replies: bool = False,
    ) -> None:
        self._bot = bot
        self._store = store
        self._hub = hub
        self._catalogues = catalogues
        self._clock = clock
        self._owner = owner
        self._prefix = prefix
        self._rate = per_second
        self._burst = burst
        self._free_replies = free_replies
        self._wake = asyncio.Event()
        self._in_hand: set[asyncio.Task[None]] = set()
        self._lines: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def nudge(self) -> None:
        """Say that there is something new: it leaves at once instead of at the next look."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                self._wake.clear()
                free = BATCH - len(self._in_hand)
                try:
                    taken = await self._take()
                except Busy:
                    taken = 0
                except Exception as error:  # one bot's post must not end the others
                    log.error("nothing could be taken", bot=self._bot.name, error=type(error).__name__, exc_info=error)  # noqa: TRY400
                    taken = 0
                # Fewer than there was room for: nothing more is due. A full hand waits until one is delivered.
                if taken < free or len(self._in_hand) >= BATCH:
                    await self._something()
        finally:
            for task in self._in_hand:
                task.cancel()
            await asyncio.gather(*self._in_hand, return_exceptions=True)

    async def resume(self) -> None:
        """Take up at once what an earlier process of this bot had in hand when it died: people wait for it.

        To be called when the bot listens: then it holds its account alone.
        """
        await self._store.run(lambda session: outbox.resume(session, sender=self._bot.name, owner=self._owner))
        self.nudge()

    async def empty(self) -> None:
        """Deliver what is due now, and return."""
        while await self._take():
            await asyncio.gather(*self._in_hand)

    async def _something(self) -> None:
        """Wait for a nudge, or for the next look."""
        try:
            async with asyncio.timeout(POLL):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _take(self) -> int:
        free = BATCH - len(self._in_hand)
        if free <= 0:
            return 0
        claimed_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        found = await self._store.run(partial(self._claim, free))
        for each in found:
            task = asyncio.create_task(self._carry(each, claimed_at + LEASE.total_seconds() * 0.8))
            self._in_hand.add(task)
            task.add_done_callback(self._finished)
        return len(found)

    def _finished(self, task: asyncio.Task[None]) -> None:
        if len(self._in_hand) >= BATCH:
            self._wake.set()
        self._in_hand.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The lease runs out and the message is tried again.
            log.error("a delivery failed", bot=self._bot.name, error=type(error).__name__, exc_info=error)

    def _claim(self, limit: int, session: Session) -> list[Addressed]:
        now = self._clock()
        claimed = outbox.claim(session, sender=self._bot.name, owner=self._owner, lease=LEASE, limit=limit, now=now)
        if not claimed:
            return []
        paced = [message for message in claimed if not (self._free_replies and message.lane is Lane.REPLY)]
        allowed = outbox.take(session, self._bot.name, len(paced), now, rate=self._rate, burst=self._burst)
        late = paced[allowed:]
        for number, message in enumerate(late, start=1):
            outbox.postpone(session, message.key, self._owner, now + timedelta(seconds=number / self._rate))
        return [self._addressed(session, message, now) for message in claimed if message not in late]

    def _addressed(self, session: Session, message: Claimed, now: datetime) -> Addressed:
        here = self._hub.networks[self._bot.network]
        member = session.get(Member, message.member_id) if message.member_id else None
        if member is None:
            return Addressed(message, (), here.language, here.zone, None)
        ways = members.reach(session, member.id, here.key, self._hub.platforms)
        return Addressed(
            message,
            tuple(way for way in ways if way.sender == self._bot.name and way.address is not None),
            member.language,
            member.zone,
            None if message.lane is Lane.REPLY else members.quiet_until(member, now),
        )

    async def _carry(self, addressed: Addressed, deadline: float) -> None:
        message = addressed.message
        line = self._lines.setdefault(str(message.member_id or message.place), asyncio.Lock())
        async with line:
            if time.clock_gettime(time.CLOCK_BOOTTIME) > deadline:
                return  # it may be in another's hands by now
            if self._must_wait(addressed):
                await self._store.run(
                    lambda session: outbox.postpone(
                        session, message.key, self._owner, addressed.quiet_until or self._clock()
                    )
                )
                return
            parcel = None if message.payload is None else self._parcel(addressed, Envelope.unpack(message.payload))
            if parcel is None or parcel[0].place is parcel[0].address is None:
                await self._bury(message, "nobody is there to read it")
                return
            try:
                async with asyncio.timeout(max(0.01, deadline - time.clock_gettime(time.CLOCK_BOOTTIME))):
                    remote_id = await self._bot.deliver(*parcel)
            except Undelivered as undelivered:
                if undelivered.permanent or self._is_hopeless(message):
                    await self._bury(message, str(undelivered))
                else:
                    await self._later(message, str(undelivered), undelivered.retry_after)
                return
            except TimeoutError:
                await self._later(message, "it took too long", None)
                return
            except Exception as error:  # what cannot be said must neither come back for ever nor vanish unnoticed
                what = type(error).__name__
                log.error("a delivery failed", bot=self._bot.name, error=what, exc_info=error)  # noqa: TRY400
                if self._is_hopeless(message):
                    await self._bury(message, what)
                else:
                    await self._later(message, what, None)
                return
            await self._store.run(
                lambda session: outbox.sent(session, message.key, self._owner, remote_id, self._clock())
            )

    def _is_hopeless(self, message: Claimed) -> bool:
        """Tell whether it was tried for long, and often enough for that to mean something."""
        since = message.first_try_at
        return since is not None and message.tries >= FEW_TRIES and self._clock() - since > GIVE_UP_AFTER

    def _must_wait(self, addressed: Addressed) -> bool:
        """Tell whether quiet hours hold it back: not when it would be worthless after them."""
        until, expires = addressed.quiet_until, addressed.message.expires_at
        return until is not None and (expires is None or until < expires)

    def _parcel(self, addressed: Addressed, envelope: Envelope) -> tuple[Parcel, Reply, Voice]:
        message = addressed.message
        way = _way(addressed.ways, envelope) or Reach(self._bot.name, None, None)
        if envelope.farewell and way.address != envelope.address:
            way = Reach(self._bot.name, envelope.address, None)
        elif envelope.address is not None and way.address != envelope.address:
            envelope = envelope.elsewhere()  # the account that asked is not theirs any more
        parcel = Parcel(
            key=message.key,
            tx_id=message.tx_id,
            address=way.address,
            dm=envelope.dm or way.room,
            place=message.place,
            reply_to=envelope.reply_to,
            thread=envelope.thread,
            mention=envelope.mention,
            asked=envelope.asked,
            ticket=envelope.ticket,
            public=envelope.public,
            question=envelope.question,
            remove=envelope.remove,
            first_try_at=message.first_try_at,
        )
        voice = Voice(
            self._catalogues.speak(envelope.language or addressed.language),
            ZoneInfo(envelope.zone or addressed.zone),
            prefix=self._prefix,
        )
        return parcel, envelope.reply, voice

    async def _later(self, message: Claimed, error: str, retry_after: float | None) -> None:
        pause = min(timedelta(seconds=0.5 * 2 ** min(message.tries, 12)), LONGEST_PAUSE)
        if retry_after is not None:
            pause = timedelta(seconds=retry_after)
        await self._store.run(
            lambda session: outbox.again(session, message.key, self._owner, self._clock() + pause, error)
        )

    async def _bury(self, message: Claimed, error: str) -> None:
        log.warning("a message could not be delivered", bot=self._bot.name, lane=message.lane.name, reason=error)
        await self._store.run(partial(self._give_up, message, error))

    def _may_say(self, way: Reach, *, confidential: bool) -> bool:
        """Tell whether it may be said there instead: a ping names nothing, but an answer may be confidential."""
        overheard = way.sender.partition(":")[0] in self._hub.overheard
        return way.address is not None and not (confidential and overheard)

    def _give_up(self, message: Claimed, error: str, session: Session) -> None:
        """Give a message up; try the person's other account, else tell the coordinators that there is one."""
        now = self._clock()
        if not outbox.dead(session, message.key, self._owner, error, now):
            return
        if message.member_id is None or message.payload is None:
            return
        if ":via:" not in message.key:
            envelope = Envelope.unpack(message.payload)
            ways = members.reach(session, message.member_id, self._bot.network, self._hub.platforms)
            tried = _way([way for way in ways if way.sender == self._bot.name], envelope)
            confidential = message.lane is Lane.REPLY or envelope.confidential
            other = next((way for way in ways if way != tried and self._may_say(way, confidential=confidential)), None)
            if other is not None:
                outbox.put(
                    session,
                    key=f"{message.key}:via:{other.sender}",
                    sender=other.sender,
                    owner=message.member_id,
                    payload=replace(envelope.elsewhere(), address=other.address).pack(),
                    member_id=message.member_id,
                    lane=message.lane,
                    due_at=now,
                    expires_at=message.expires_at,
                    now=now,
                )
                return
        here = self._hub.networks[self._bot.network]
        notice = Reply(n_("{n} item could not be delivered.", "{n} items could not be delivered.", 1))
        for room in places.of(session, network=here.key, purpose=places.Purpose.COORDINATORS):
            outbox.put(
                session,
                key=f"undelivered:{message.tx_id}:{room.bot}",
                sender=room.bot,
                owner=subject_of(here.key),
                payload=Envelope(notice, language=here.language, zone=here.zone).pack(),
                place=room.address,
                lane=Lane.ALERT,
                due_at=now,
                now=now,
            )
