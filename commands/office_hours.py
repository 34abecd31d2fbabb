"""Mentors' office hours: mentors offer windows, members book slots, and nobody is forgotten or booked twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Annotated
from uuid import UUID

from commands.core import (
    Appointment,
    Button,
    Choice,
    Context,
    Feature,
    Fields,
    JobContext,
    Kind,
    Reply,
    Shown,
    Table,
    Text,
    Unreadable,
    Whole,
    Words,
    YesOrNo,
    _,
    clean,
    n_,
    plain,
)
from commands.core.kinds import MOST_SUGGESTED
from commands.core.post import Post
from commands.core.when import (
    DateWindow,
    DayRange,
    WeeklyWindow,
    read_days,
    read_length,
    read_window,
    show_days,
    show_length,
    show_window,
)
from storage import members
from storage import office_hours as book
from storage.members import Member, Role
from storage.office_hours import Booked, Booking, BookingState, Offer, Slot
from storage.places import Purpose

hours = Feature("hours", _("Mentors' office hours"))

MOST_SLOTS = 9
"""Slots listed at once: as many as there are number keys to react with."""

WEEKDAYS = (_("Mon"), _("Tue"), _("Wed"), _("Thu"), _("Fri"), _("Sat"), _("Sun"))
TOO_OFTEN = 2
"""Missed conversations after which a coordinator is asked to ask."""

STATES: dict[BookingState, Text] = {
    BookingState.PENDING: _("waiting for the mentor's yes"),
    BookingState.CONFIRMED: _("confirmed"),
    BookingState.DECLINED: _("declined"),
    BookingState.CANCELLED: _("cancelled"),
    BookingState.EXPIRED: _("expired"),
    BookingState.DONE: _("held"),
    BookingState.NOSHOW: _("missed"),
}


# What people give


def _label(ctx: Post, slot: Slot) -> Text:
    mentor = _handle(ctx, slot.offer.mentor_id)
    if slot.offer.topics:
        return _("{moment}, {mentor}: {topics}", moment=slot.starts_at, mentor=mentor, topics=slot.offer.topics)
    return _("{moment}, {mentor}", moment=slot.starts_at, mentor=mentor)


def _open(ctx: Context, _typed: str) -> list[Choice]:
    slots = book.open_slots(ctx.session, network=ctx.network, now=ctx.now, member=ctx.actor_id, limit=MOST_SUGGESTED)
    return [Choice(slot.code, _label(ctx, slot)) for slot in slots]


def _own(ctx: Context, _typed: str) -> list[Choice]:
    return [Choice(each.booking.code, _summary(ctx, each)) for each in _standing(ctx)]


def _seats(ctx: Context, _typed: str) -> list[Choice]:
    """Suggest one's bookings as a member: those that one can move."""
    return [
        Choice(each.booking.code, _summary(ctx, each))
        for each in _standing(ctx)
        if each.booking.member_id == ctx.actor_id
    ]


def _waiting(ctx: Context, _typed: str) -> list[Choice]:
    """Suggest the bookings that wait for the mentor's yes."""
    return [
        Choice(each.booking.code, _summary(ctx, each))
        for each in _standing(ctx)
        if each.hour.mentor_id == ctx.actor_id and each.booking.state is BookingState.PENDING
    ]


def _begun(ctx: Context, _typed: str) -> list[Choice]:
    """A mentor's conversations of the last month of which it is not yet said how they went."""
    last_month = book.bookings_for_mentor(ctx.session, ctx.actor_id, since=ctx.now - timedelta(days=30))
    return [
        Choice(each.booking.code, _summary(ctx, each))
        for each in last_month
        if each.hour.starts_at <= ctx.now and each.booking.state is BookingState.CONFIRMED
    ]


def _offers(ctx: Context, _typed: str) -> list[Choice]:
    offers = book.offers_of(ctx.session, ctx.actor_id, network=ctx.network)
    return [Choice(each.code, _window(each)) for each in offers]


def _mentor(ctx: Context, typed: str) -> Member:
    found = members.by_handle(ctx.session, clean(typed).lstrip("@"))
    if found is None or Role.MENTOR not in members.roles(ctx.session, found.id, ctx.network):
        raise Unreadable("There is no mentor by the handle “{typed}” here.", typed=clean(typed)[:40])
    return found


def _languages(_ctx: Context, typed: str) -> str:
    codes = clean(typed).casefold().replace(",", " ").split()
    if not codes or any(len(code) != 2 or not code.isascii() for code in codes):
        raise Unreadable("Write languages as two-letter codes, for example: {example}.", example="en uk")
    return " ".join(codes)


def _language(ctx: Context, typed: str) -> str:
    code = _languages(ctx, typed)
    if " " in code:
        raise Unreadable("Please write one language, for example: {example}.", example="uk")
    return code


OpenSlot = Annotated[
    Slot,
    Kind(
        name=_("an open slot"),
        read=lambda ctx, typed: book.slot_by_code(ctx.session, clean(typed), network=ctx.network),
        show=lambda slot: slot.code,
        suggest=_open,
        nothing=_("There is no open slot now."),
        example="S-07K3FQ9",
    ),
]
OWN_BOOKING: Kind[Booked] = Kind(
    name=_("one of your bookings"),
    read=lambda ctx, typed: book.booking_by_code(ctx.session, clean(typed), person=ctx.actor_id),
    show=lambda booked: booked.booking.code,
    suggest=_own,
    nothing=_("You have no bookings now."),
    example="B-7K3FQ",
)
OwnBooking = Annotated[Booked, OWN_BOOKING]
OwnSeat = Annotated[Booked, replace(OWN_BOOKING, suggest=_seats)]
PendingBooking = Annotated[
    Booked, replace(OWN_BOOKING, suggest=_waiting, nothing=_("No booking is waiting for your yes."))
]
PastBooking = Annotated[
    Booked, replace(OWN_BOOKING, suggest=_begun, nothing=_("There is no conversation to say that of."))
]
OwnOffer = Annotated[
    Offer,
    Kind(
        name=_("one of your offers"),
        read=lambda ctx, typed: book.offer_by_code(ctx.session, clean(typed), mentor=ctx.actor_id),
        show=lambda offer: offer.code,
        suggest=_offers,
        nothing=_("You offer nothing here now."),
        example="O-7K3F",
    ),
]
Window = Annotated[
    WeeklyWindow | DateWindow,
    Kind(
        name=_("a time window"),
        read=lambda ctx, typed: read_window(clean(typed), now=ctx.now, zone=ctx.voice.zone),
        show=show_window,
        prose=True,
        example="Tue 16:00-18:00",
    ),
]
Days = Annotated[
    DayRange,
    Kind(
        name=_("a day or several days"),
        read=lambda ctx, typed: read_days(clean(typed), now=ctx.now, zone=ctx.voice.zone),
        show=show_days,
        prose=True,
        example="2026-12-24..2027-01-02",
    ),
]
Length = Annotated[
    timedelta,
    Kind(
        name=_("a length of time"),
        read=lambda _ctx, typed: read_length(clean(typed)),
        show=show_length,
        prose=True,
        example="30m",
    ),
]
Mentor = Annotated[
    Member,
    Kind(name=_("a mentor's handle"), read=_mentor, show=lambda member: member.handle, example="quiet-heron"),
]
Languages = Annotated[str, Kind(name=_("languages"), read=_languages, show=str, prose=True, example="en uk")]
LanguageCode = Annotated[str, Kind(name=_("a language"), read=_language, show=str, example="uk")]


# Members


@hours.command("hours open", allow=Role.MEMBER, shown=Shown.ROOM)
def open_(
    ctx: Context,
    mentor: Mentor | None = None,
    topic: Words | None = None,
    language: LanguageCode | None = None,
    when: Days | None = None,
) -> Reply:
    """List the open slots of the mentors.

    mentor: Only one mentor's? Their handle, please.
    topic: Only about one topic?
    language: Only in one language?
    when: Only on certain days?
    """
    slots = book.open_slots(
        ctx.session,
        network=ctx.network,
        now=ctx.now,
        # A room is not told, by what is missing from a list, when somebody has a conversation.
        member=ctx.actor_id if ctx.private else None,
        mentor=mentor.id if mentor else None,
        topic=topic,
        language=language,
        when=when.instants(ctx.voice.zone) if when else None,
        limit=MOST_SLOTS + 1,
    )
    if not slots:
        return Reply(_("There is no open slot like that now."))
    more = []
    if len(slots) > MOST_SLOTS:
        later = DayRange(first := slots[MOST_SLOTS].starts_at.astimezone(ctx.voice.zone).date(), first)
        more = [_("There are more: narrow them down with {example}.", example=open_.call(when=later))]
    return Reply(
        _("Open slots. Choose one with its number, or {book}.", book=book_.bare(slot=slots[0].code)),
        *more,
        actions=[Button(_label(ctx, slot), book_.bare(slot=slot.code), terse=True) for slot in slots[:MOST_SLOTS]],
    )


@hours.command("hours book", alias="book", allow=Role.MEMBER, audited=True)
def book_(ctx: Context, slot: OpenSlot, topic: Words | None = None) -> Reply:
    """Book an open slot with a mentor.

    slot: Which slot?
    topic: What would you like to talk about? Please name no client and no case.
    """
    booked = book.book(ctx.session, slot=slot, member=ctx.actor_id, topic=topic, now=ctx.now, rng=ctx.rng)
    ctx.subject = booked.booking.code
    _ping_mentor(ctx, booked)
    mentor = _handle(ctx, booked.hour.mentor_id)
    if booked.booking.state is BookingState.PENDING:
        said = _(
            "Asked for: {moment} with {mentor}, booking {code}. I will tell you when the mentor has answered.",
            moment=booked.hour.starts_at,
            mentor=mentor,
            code=booked.booking.code,
        )
    else:
        said = _(
            "Booked: {moment} with {mentor}, booking {code}. I will remind you a day and an hour before.",
            moment=booked.hour.starts_at,
            mentor=mentor,
            code=booked.booking.code,
        )
    return Reply(said, actions=_changes(booked), files=[_calendar(ctx, booked)])


@hours.command(allow=Role.MEMBER)
def mine(ctx: Context) -> Reply:
    """List your bookings, as a member and as a mentor."""
    standing = _standing(ctx)
    if not standing:
        return Reply(_("You have no bookings. {open} lists the open slots.", open=open_.bare()))
    rows = tuple(
        (
            plain(each.booking.code),
            Text("{moment}", {"moment": each.hour.starts_at}),
            plain(_handle(ctx, _other(ctx, each))),
            STATES[each.booking.state],
            plain(each.booking.topic.text or "—" if each.booking.topic else "—"),
        )
        for each in standing
    )
    return Reply(
        Table((_("Booking"), _("When"), _("With"), _("State"), _("Topic")), rows),
        actions=[
            button
            for each in standing
            for button in _changes(each, name=True)
            if button.call.path == cancel.path or each.booking.member_id == ctx.actor_id
        ][:MOST_SLOTS],
    )


@hours.command(allow=Role.MEMBER, audited=True)
def move(ctx: Context, booking: OwnSeat, slot: OpenSlot) -> Reply:
    """Move a booking to another open slot.

    booking: Which booking?
    slot: To which slot?
    """
    booked, former = book.move(ctx.session, booking=booking.booking, slot=slot, by=ctx.actor_id, now=ctx.now)
    ctx.subject = booked.booking.code
    if former.mentor_id != booked.hour.mentor_id:
        _tell(
            ctx,
            former.mentor_id,
            booked.booking,
            _(
                "{handle} has moved the booking {code} of {moment} to another mentor.",
                **_facts(ctx, booked, former.starts_at),
            ),
            what="away",
            files=[_calendar(ctx, Booked(booked.booking, former), cancelled=True)],
        )
        _ping_mentor(ctx, booked)
    else:
        _tell(
            ctx,
            booked.hour.mentor_id,
            booked.booking,
            _("{handle} has moved the booking {code} to {moment}.", **_facts(ctx, booked)),
            what="moved",
            actions=_judgement(booked),
            files=[_calendar(ctx, booked)],
        )
    return Reply(
        _(
            "Moved: booking {code} is now on {moment} with {mentor}.",
            code=booked.booking.code,
            moment=booked.hour.starts_at,
            mentor=_handle(ctx, booked.hour.mentor_id),
        ),
        *([_("The mentor still has to say yes.")] if booked.booking.state is BookingState.PENDING else []),
        actions=_changes(booked),
        files=[_calendar(ctx, booked)],
    )


@hours.command(allow=Role.MEMBER, audited=True)
def cancel(ctx: Context, booking: OwnBooking) -> Reply:
    """Cancel a booking; as its mentor, the whole conversation.

    booking: Which booking?
    """
    cancelled = book.cancel(ctx.session, booking=booking.booking, by=ctx.actor_id, now=ctx.now)
    ctx.subject = booking.booking.code
    _tell_cancelled(ctx, cancelled.bookings, by=ctx.actor_id)
    return Reply(
        n_(
            "Cancelled: {n} booking on {moment}.",
            "Cancelled: {n} bookings on {moment}.",
            len(cancelled.bookings),
            moment=booking.hour.starts_at,
        ),
        *([_("That was at short notice; the others have been told at once.")] if cancelled.late else []),
        files=[_calendar(ctx, cancelled.bookings[0], cancelled=True)],
    )


# Mentors


@hours.command(allow=Role.MENTOR, audited=True)
def offer(
    ctx: Context,
    when: Window,
    length: Length = timedelta(minutes=30),
    buffer: Length = timedelta(0),
    seats: Whole = 1,
    notice: Length = timedelta(hours=12),
    horizon: Whole = 28,
    daily: Whole | None = None,
    weekly: Whole | None = None,
    topics: Words = "",
    languages: Languages = "",
    confirm: YesOrNo = False,
) -> Reply:
    """Offer office hours: a weekly window or a single date, in your own zone.

    when: When, in your zone? A weekly window, or one date.
    length: How long is a conversation?
    buffer: How long a pause do you need after each conversation?
    seats: How many members at once in a conversation?
    notice: How long in advance must members book?
    horizon: How many days ahead can members book?
    daily: How many conversations a day at most?
    weekly: How many conversations a week at most?
    topics: What do you offer to talk about?
    languages: In which languages?
    confirm: Do you want to confirm each booking?
    """
    made = book.offer(
        ctx.session,
        mentor=ctx.actor_id,
        network=ctx.network,
        zone=ctx.voice.zone.key,
        from_minute=when.from_minute,
        to_minute=when.to_minute,
        weekdays=when.weekdays if isinstance(when, WeeklyWindow) else (),
        day=when.day if isinstance(when, DateWindow) else None,
        length=_minutes(length),
        buffer=_minutes(buffer),
        seats=seats,
        notice_hours=-(-_minutes(notice) // 60),
        horizon_days=horizon,
        daily_cap=daily,
        weekly_cap=weekly,
        topics=topics,
        languages=languages,
        needs_confirmation=confirm,
        now=ctx.now,
        rng=ctx.rng,
    )
    ctx.subject = made.code
    slots = book.open_slots(ctx.session, network=ctx.network, now=ctx.now, mentor=ctx.actor_id, limit=None)
    return Reply(
        _("Offered: {window}, offer {code}.", window=_window(made), code=made.code),
        n_("You have {n} open slot now.", "You have {n} open slots now.", len(slots)),
        actions=[Button(_("Withdraw it"), withdraw.bare(offer=made.code))],
    )


@hours.command(allow=Role.MENTOR)
def offers(ctx: Context) -> Reply:
    """List what you offer, and the days you have blocked."""
    standing = book.offers_of(ctx.session, ctx.actor_id, network=ctx.network)
    blocks = book.blocks_of(ctx.session, ctx.actor_id, now=ctx.now)
    if not standing and not blocks:
        return Reply(_("You offer nothing here yet. Begin with {example}.", example=offer.example()))
    rows = tuple(
        (
            plain(each.code),
            _window(each),
            Text("{length}", {"length": timedelta(minutes=each.length)}),
            n_("{n} seat", "{n} seats", each.seats),
            plain(each.topics or "—"),
        )
        for each in standing
    )
    blocked = tuple((_("Blocked"), _days(each.first_day, each.last_day)) for each in blocks)
    return Reply(
        *([Table((_("Offer"), _("When"), _("Length"), _("Seats"), _("Topic")), rows)] if rows else []),
        *([Fields(blocked)] if blocked else []),
        actions=[
            Button(_("Withdraw {code}", code=each.code), withdraw.bare(offer=each.code))
            for each in standing[:MOST_SLOTS]
        ],
    )


@hours.command(allow=Role.MENTOR, audited=True)
def withdraw(ctx: Context, offer: OwnOffer) -> Reply:
    """Withdraw an offer; what is booked already stays.

    offer: Which offer?
    """
    still = book.withdraw_offer(ctx.session, offer=offer, by=ctx.actor_id, now=ctx.now)
    ctx.subject = offer.code
    return Reply(_("Withdrawn: {code}.", code=offer.code), *_still_booked(still), actions=_cancellations(ctx, still))


@hours.command(allow=Role.MENTOR, audited=True)
def block(ctx: Context, dates: Days) -> Reply:
    """Hold no office hours on certain days; what is booked already stays.

    dates: On which days are you away?
    """
    still = book.block(
        ctx.session,
        mentor=ctx.actor_id,
        first_day=dates.first,
        last_day=dates.last,
        zone=ctx.voice.zone.key,
        now=ctx.now,
    )
    return Reply(
        _("Blocked: {days}.", days=_days(dates.first, dates.last)),
        *_still_booked(still),
        actions=[
            *_cancellations(ctx, still)[: MOST_SLOTS - 1],
            Button(_("Open all blocked days again"), unblock.bare()),
        ],
    )


@hours.command(allow=Role.MENTOR, audited=True)
def unblock(ctx: Context) -> Reply:
    """Open again all the days that you have blocked."""
    opened = book.unblock(ctx.session, mentor=ctx.actor_id, now=ctx.now)
    return Reply(_("Your days are open again.") if opened else _("You have blocked no days."))


@hours.command(allow=Role.MENTOR, audited=True)
def confirm(ctx: Context, booking: PendingBooking) -> Reply:
    """Say yes to a booking.

    booking: Which booking?
    """
    if booking.hour.mentor_id == ctx.actor_id and booking.booking.state is BookingState.CONFIRMED:
        return Reply(_("It is confirmed already: {handle}, {moment}.", **_facts(ctx, booking)))
    booked = book.confirm(ctx.session, booking=booking.booking, by=ctx.actor_id, now=ctx.now)
    ctx.subject = booked.booking.code
    _tell(
        ctx,
        booked.booking.member_id,
        booked.booking,
        _("{mentor} has confirmed your booking {code}: {moment}.", **_facts(ctx, booked)),
        what="confirmed",
        actions=_changes(booked),
        files=[_calendar(ctx, booked)],
    )
    return Reply(_("Confirmed: {handle}, {moment}.", **_facts(ctx, booked)), files=[_calendar(ctx, booked)])


@hours.command(allow=Role.MENTOR, audited=True)
def decline(ctx: Context, booking: PendingBooking) -> Reply:
    """Say no to a booking; the slot is open again.

    booking: Which booking?
    """
    if booking.hour.mentor_id == ctx.actor_id and booking.booking.state is BookingState.CONFIRMED:
        return cancel.handler(ctx, booking)
    booked = book.decline(ctx.session, booking=booking.booking, by=ctx.actor_id, now=ctx.now)
    ctx.subject = booked.booking.code
    _tell(
        ctx,
        booked.booking.member_id,
        booked.booking,
        _(
            "{mentor} cannot take your booking {code} of {moment}. {open} lists the open slots.",
            **_facts(ctx, booked),
            open=open_.bare(),
        ),
        what="declined",
        files=[_calendar(ctx, booked, cancelled=True)],
    )
    return Reply(_("Declined: {handle}, {moment}. The member has been told.", **_facts(ctx, booked)))


@hours.command(allow=Role.MENTOR, audited=True)
def rezone(ctx: Context) -> Reply:
    """Let your weekly offers follow the clock of your present time zone."""
    moved = book.rezone(ctx.session, mentor=ctx.actor_id, zone=ctx.actor.zone)
    if not moved:
        return Reply(_("All your weekly offers follow the clock of {zone} already.", zone=ctx.actor.zone))
    return Reply(
        n_(
            "{n} offer now follows the clock of {zone}. Bookings stay where they are.",
            "{n} offers now follow the clock of {zone}. Bookings stay where they are.",
            moved,
            zone=ctx.actor.zone,
        )
    )


@hours.command(allow=Role.MENTOR, audited=True)
def done(ctx: Context, booking: PastBooking) -> Reply:
    """Say that a conversation took place.

    booking: Which booking?
    """
    booked = book.done(ctx.session, booking=booking.booking, by=ctx.actor_id, now=ctx.now)
    ctx.subject = booked.booking.code
    return Reply(_("Noted as held: {handle}, {moment}.", **_facts(ctx, booked)))


@hours.command(allow=Role.MENTOR, audited=True)
def noshow(ctx: Context, booking: PastBooking) -> Reply:
    """Say that the member did not come.

    booking: Which booking?
    """
    booked, times = book.noshow(ctx.session, booking=booking.booking, by=ctx.actor_id, now=ctx.now)
    ctx.subject = booked.booking.code
    if times == TOO_OFTEN:
        # Nothing follows from it but a question: how are they?
        ctx.announce(
            Reply(_("{handle} has missed {n} conversations. Please ask how they are.", n=times, **_facts(ctx, booked))),
            network=ctx.network,
            purpose=Purpose.COORDINATORS,
            key=f"noshow:{booked.booking.code}",
        )
    return Reply(_("Noted as missed: {handle}, {moment}.", **_facts(ctx, booked)))


# What is said by itself


@hours.every(timedelta(minutes=1))
def remind(ctx: JobContext) -> None:
    """Remind both sides a day and an hour before; nobody needs a reminder of what has begun."""
    due = book.due_reminders(ctx.session, ctx.now)
    for each in due:
        said = _(
            "Reminder: {moment} with {mentor}, booking {code}.",
            **_facts(ctx, Booked(each.booking, each.hour)),
        )
        _tell(ctx, each.booking.member_id, each.booking, said, key=each.key, until=each.hour.starts_at)
    # A mentor is reminded once of a conversation, however many seats it has.
    for each in {each.hour.id: each for each in due}.values():
        seats = sum(other.hour.id == each.hour.id for other in due)
        said = n_(
            "Reminder: {moment}, {n} booking.",
            "Reminder: {moment}, {n} bookings.",
            seats,
            moment=each.hour.starts_at,
        )
        key = f"remind:{each.hour.id}:{each.offset}"
        _tell(ctx, each.hour.mentor_id, each.booking, said, key=key, until=each.hour.starts_at)


@hours.every(timedelta(minutes=5))
def expire(ctx: JobContext) -> None:
    """Give back the slots for which the mentor has not said yes in time, and tell both sides."""
    for booked in book.expire(ctx.session, ctx.now):
        said = _(
            "The booking {code} of {moment} has expired: the mentor has not answered in time.",
            **_facts(ctx, booked),
        )
        for person in (booked.booking.member_id, booked.hour.mentor_id):
            _tell(ctx, person, booked.booking, said, what="expired", files=[_calendar(ctx, booked, cancelled=True)])


@hours.leaving
def leave(ctx: Context, who: UUID, lost: Role | None) -> None:
    """Cancel what somebody who goes, or may no longer do it, still stands in; tell the others."""
    fallen = book.leave(
        ctx.session,
        person=who,
        now=ctx.now,
        network=ctx.network if lost else None,
        as_mentor=lost in {None, Role.MENTOR},
        as_member=lost is None or members.roles(ctx.session, who, ctx.network) == {Role.GUEST},  # who may book no more
    )
    _tell_cancelled(ctx, fallen, by=who)


def _ping_mentor(ctx: Context, booked: Booked) -> None:
    """Tell the mentor who and when; what it is about stands in `hours mine`, where only the mentor looks."""
    _tell(
        ctx,
        booked.hour.mentor_id,
        booked.booking,
        _("New booking {code}: {handle}, {moment}.", **_facts(ctx, booked)),
        what="booked",
        actions=_judgement(booked),
        files=[_calendar(ctx, booked)],
    )


def _tell_cancelled(ctx: Context, bookings: list[Booked], *, by: UUID) -> None:
    for booked in bookings:
        said = _(
            "Cancelled: the booking {code} of {moment} with {other}.",
            **_facts(ctx, booked),
            other=_handle(ctx, by),
        )
        for person in {booked.booking.member_id, booked.hour.mentor_id} - {by}:
            _tell(ctx, person, booked.booking, said, what="cancelled", files=[_calendar(ctx, booked, cancelled=True)])


def _tell(
    ctx: Post,
    person: UUID,
    booking: Booking,
    said: Text,
    *,
    what: str = "",
    key: str | None = None,
    until: datetime | None = None,
    actions: Iterable[Button] = (),
    files: Iterable[Appointment] = (),
) -> None:
    """Tell one side of a booking something, once for each change of the booking."""
    to = ctx.session.get(Member, person)
    if to is None:
        return
    ctx.tell(
        to,
        Reply(said, actions=tuple(actions), files=tuple(files)),
        network=booking.network,
        key=key or f"hours:{what}:{booking.code}:{booking.sequence}:{person}",
        until=until,
    )


# How it is shown


def _standing(ctx: Context) -> list[Booked]:
    """A person's bookings on both sides, the soonest first."""
    both = [
        *book.bookings_of(ctx.session, ctx.actor_id, since=ctx.now),
        *book.bookings_for_mentor(ctx.session, ctx.actor_id, since=ctx.now),
    ]
    return sorted(both, key=lambda booked: booked.hour.starts_at)


def _other(ctx: Context, booked: Booked) -> UUID:
    return booked.hour.mentor_id if booked.booking.member_id == ctx.actor_id else booked.booking.member_id


def _summary(ctx: Context, booked: Booked) -> Text:
    return _("{moment}, {mentor}", moment=booked.hour.starts_at, mentor=_handle(ctx, _other(ctx, booked)))


def _facts(ctx: Post, booked: Booked, moment: datetime | None = None) -> dict[str, object]:
    return {
        "code": booked.booking.code,
        "handle": _handle(ctx, booked.booking.member_id),
        "mentor": _handle(ctx, booked.hour.mentor_id),
        "moment": moment or booked.hour.starts_at,
    }


def _handle(ctx: Post, person: UUID) -> str:
    member = ctx.session.get(Member, person)
    return member.handle if member else "—"


def _changes(booked: Booked, *, name: bool = False) -> list[Button]:
    """What a member can do with a booking; with its code in the labels where several are listed."""
    code = booked.booking.code
    return [
        Button(_("Move {code}", code=code) if name else _("Move it"), move.bare(booking=code)),
        Button(_("Cancel {code}", code=code) if name else _("Cancel it"), cancel.bare(booking=code)),
    ]


def _judgement(booked: Booked) -> list[Button]:
    """What a mentor can say to a booking."""
    code = booked.booking.code
    if booked.booking.state is BookingState.PENDING:
        return [
            Button(_("Confirm"), confirm.bare(booking=code)),
            Button(_("Decline"), decline.bare(booking=code)),
        ]
    return [Button(_("Cancel it"), cancel.bare(booking=code))]


def _cancellations(ctx: Context, still: list[Booked]) -> list[Button]:
    return [
        Button(
            _("Cancel {code}: {moment}", code=each.booking.code, moment=each.hour.starts_at),
            cancel.bare(booking=each.booking.code),
        )
        for each in still[:MOST_SLOTS]
        if each.hour.mentor_id == ctx.actor_id
    ]


def _still_booked(still: list[Booked]) -> list[Text]:
    return [n_("{n} booking in it still stands.", "{n} bookings in it still stand.", len(still))] if still else []


def _window(offer: Offer) -> Text:
    hours_ = (
        f"{offer.from_minute // 60:02}:{offer.from_minute % 60:02}–{offer.to_minute // 60:02}:{offer.to_minute % 60:02}"
    )
    days: object = [WEEKDAYS[day] for day in sorted(offer.days)] if offer.day is None else offer.day
    if len(offer.days) == len(WEEKDAYS):
        days = _("every day")
    return Text("{days} {hours} ({zone})", {"days": days, "hours": hours_, "zone": offer.zone})


def _days(first: date, last: date) -> Text:
    return (
        Text("{first}", {"first": first}) if first == last else Text("{first} – {last}", {"first": first, "last": last})
    )


def _minutes(length: timedelta) -> int:
    return round(length.total_seconds() / 60)


def _calendar(ctx: Post, booked: Booked, *, cancelled: bool = False) -> Appointment:
    return Appointment(
        uid=booked.booking.uid,
        sequence=booked.booking.sequence,
        starts_at=booked.hour.starts_at,
        ends_at=booked.hour.ends_at,
        made_at=ctx.now,
        cancelled=cancelled,
        tentative=booked.booking.state is BookingState.PENDING,
    )
