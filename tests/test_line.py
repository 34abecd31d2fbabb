"""The command line: what people type, what we write, and that the two are the same."""

from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.core.line import Call, Unparsed, quoted, read_values


@dataclass(frozen=True)
class Declared:
    path: str = "hours book"
    prose: dict[str, bool] = field(default_factory=lambda: {"slot": False, "seats": False, "topic": True})


BOOK = Declared()
FIND = Declared("find", {"words": True, "network": False})


def read(rest: str, command: Declared = BOOK) -> dict[str, str]:
    return dict(read_values(command, rest).given)


@given(st.dictionaries(st.sampled_from(["slot", "seats", "topic"]), st.text()))
def test_every_call_reads_back_from_its_own_line(values):
    call = Call("hours book", {name: values[name] for name in BOOK.prose if name in values})
    assert read_values(BOOK, call.line().removeprefix("hours book")) == call


@given(st.text())
def test_reading_any_line_ends_in_a_call_or_in_unparsed(rest):
    with suppress(Unparsed):
        assert read_values(BOOK, rest).path == "hours book"


@given(st.text(min_size=1).filter(lambda words: words.strip() == words))
def test_a_quoted_value_stands_alone(words):
    assert read(quoted(words)) == {"slot": words}


def test_values_fill_parameters_in_order():
    assert read("S-7K3F 2 how to begin") == {"slot": "S-7K3F", "seats": "2", "topic": "how to begin"}


def test_a_named_text_takes_the_words_that_follow():
    assert read("S-7K3F topic=how to  begin a case") == {"slot": "S-7K3F", "topic": "how to  begin a case"}


def test_names_may_stand_anywhere():
    assert read("universal jurisdiction network=uj in Germany", FIND) == {
        "words": "universal jurisdiction in Germany",
        "network": "uj",
    }


def test_apostrophes_and_unclosed_quotes_are_letters():
    assert read("об'єкт «справа про “щось", FIND) == {"words": "об'єкт «справа про “щось"}


def test_curly_quotes_quote():
    assert read("slot=“S 7” topic=«a b»") == {"slot": "S 7", "topic": "a b"}


def test_an_unknown_name_is_part_of_the_words():
    assert read("x=1 y", FIND) == {"words": "x=1 y"}


def test_words_without_a_place_are_told():
    with pytest.raises(Unparsed) as unparsed:
        read_values(Declared("hours mine", {}), "now  please")
    assert unparsed.value.extra == "now  please"
