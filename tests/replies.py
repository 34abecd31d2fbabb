"""Replies of every shape, for the laws that hold for all of them."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from commands.core.line import Call
from commands.core.reply import (
    Appointment,
    Bars,
    Button,
    Event,
    Fields,
    File,
    Picture,
    Quote,
    Reply,
    Source,
    Sources,
    Table,
    Timeline,
)
from commands.core.text import Text

words = st.text(max_size=40)
moments = st.integers(1_600_000_000, 2_200_000_000).map(lambda at: datetime.fromtimestamp(at, UTC))
calls = st.builds(
    Call,
    st.sampled_from(["help", "hours book", "find"]),
    st.dictionaries(st.sampled_from(["slot", "words", "topic"]), words, max_size=2),
)
values = st.one_of(
    words,
    st.integers(0, 10_000),
    moments,
    st.dates(),
    st.integers(0, 10_000).map(lambda n: timedelta(minutes=n)),
    calls,
    st.lists(words, max_size=3).map(tuple),
)
texts = st.one_of(
    st.builds(Text, st.just("{words}"), words.map(lambda said: {"words": said})),
    st.builds(Text, st.just("On {value}."), values.map(lambda value: {"value": value})),
    st.integers(0, 200).map(lambda n: Text("{n} slot", {"n": n}, "{n} slots", n)),
)
sources = st.builds(
    Source, words, words, st.sampled_from(["", "https://example.org/a?b=c&d"]), st.none() | texts, words
)
bars = st.builds(
    Bars, texts, st.lists(st.tuples(texts, st.none() | st.integers(3, 99)), min_size=1, max_size=4).map(tuple)
)
timelines = st.builds(
    Timeline, texts, st.lists(st.builds(Event, st.dates(), texts, st.booleans()), max_size=4).map(tuple)
)
blocks = st.one_of(
    texts,
    st.builds(Fields, st.lists(st.tuples(texts, texts), max_size=4).map(tuple)),
    st.integers(1, 3).flatmap(
        lambda columns: st.builds(
            Table,
            st.tuples(*[texts] * columns),
            st.lists(st.tuples(*[texts] * columns), max_size=3).map(tuple),
        )
    ),
    st.builds(Quote, st.text(max_size=300)),
    st.builds(Sources, st.lists(sources, max_size=3).map(tuple)),
)
pictures = st.builds(Picture, bars | timelines, texts)
buttons = st.builds(Button, texts, calls, st.booleans())
files = st.builds(File, st.just("invite.ics"), st.just("text/calendar"), st.binary(max_size=50))
appointments = st.builds(
    lambda uid, sequence, start, minutes, cancelled: Appointment(
        uid, sequence, start, start + timedelta(minutes=minutes), start, cancelled
    ),
    st.uuids().map(str),
    st.integers(0, 9),
    moments,
    st.integers(1, 300),
    st.booleans(),
)
replies = st.builds(
    lambda blocks, actions, files, page, typed: Reply(*blocks, actions=actions, files=files, page=page, typed=typed),
    st.lists(blocks | pictures, max_size=5),
    st.lists(buttons, max_size=9),
    st.lists(files | appointments, max_size=2),
    st.sampled_from([None, "digest.html"]),
    st.none() | texts,
)
