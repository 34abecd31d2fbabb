from random import Random

from hypothesis import given
from hypothesis import strategies as st

from storage.codes import ALPHABET, draw, read

codes = st.builds(
    lambda seed, prefix, length: (draw(Random(seed), prefix, length), prefix),
    st.integers(0, 2**64),
    st.sampled_from(["B", "C", "F", "ML"]),
    st.integers(2, 12),
)


@given(codes)
def test_a_code_is_read_as_it_was_drawn(drawn: tuple[str, str]) -> None:
    code, prefix = drawn
    assert read(code, prefix) == code


@given(codes, st.sampled_from([str.lower, str.upper]), st.sampled_from(["", " ", "-", " - "]))
def test_case_spaces_and_dashes_do_not_matter(drawn: tuple[str, str], case: object, gap: str) -> None:
    code, prefix = drawn
    typed = "  " + case(code.replace("-", gap)) + " "
    assert read(typed, prefix) == code


@given(codes)
def test_look_alikes_are_read_as_what_they_look_like(drawn: tuple[str, str]) -> None:
    code, prefix = drawn
    latin = code.translate(str.maketrans("01", "Ol"))
    cyrillic = code.translate(str.maketrans("ABCEHKMPTXY0", "АВСЕНКМРТХУО"))
    assert read(latin, prefix) == code
    assert read(cyrillic, prefix) == code


@given(codes)
def test_a_code_may_be_typed_without_its_prefix(drawn: tuple[str, str]) -> None:
    code, prefix = drawn
    assert read(code.partition("-")[2], prefix) == code


@given(codes, st.data())
def test_one_wrong_character_makes_no_other_code(drawn: tuple[str, str], data: st.DataObject) -> None:
    code, prefix = drawn
    start = len(prefix) + 1
    where = data.draw(st.integers(start, len(code) - 1))
    wrong = data.draw(st.sampled_from([c for c in ALPHABET if c != code[where]]))
    assert read(code[:where] + wrong + code[where + 1 :], prefix) is None


@given(codes, st.data())
def test_two_exchanged_characters_make_no_other_code(drawn: tuple[str, str], data: st.DataObject) -> None:
    code, prefix = drawn
    start = len(prefix) + 1
    one, two = sorted(data.draw(st.lists(st.integers(start, len(code) - 1), min_size=2, max_size=2)))
    letters = list(code)
    letters[one], letters[two] = letters[two], letters[one]
    assert read("".join(letters), prefix) == (code if letters == list(code) else None)


def test_a_code_of_one_kind_is_not_one_of_another() -> None:
    code = draw(Random(1), "C", 6)
    assert read(code, "C") == code
    assert read(code, "B") is None


@given(st.text(max_size=30))
def test_any_text_can_be_read_and_what_is_read_is_a_code(text: str) -> None:
    code = read(text, "B")
    assert code is None or read(code, "B") == code


def test_codes_are_spread_over_the_whole_alphabet() -> None:
    rng = Random(3)
    drawn = {draw(rng, "B") for _ in range(3000)}
    assert len(drawn) > 2980
    assert {letter for code in drawn for letter in code[2:]} == set(ALPHABET)
