"""Whoever tries codes is slowed and noticed, however the codes are written; whoever says other words is not."""

from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.core.closed import PREFIXES
from storage import audit, codes, guesses, members
from storage.guesses import Guess
from storage.sealed import Vault
from storage.store import Session, Store
from tests.transcript import Stage

WRITTEN = [
    "C-{}",
    "C.{}",
    "C—{}",
    "C--{}",
    '"C {}"',
    "C/{}",
    "#C-{}",
    "C{}",
    "c_{}",
    "{}",
    "С-{}",  # a Cyrillic С
]
"""Ways to write a case's code, each of which finds it."""


@given(
    st.builds(
        lambda seed, prefix: codes.draw(Random(seed), prefix, 6), st.integers(0, 2**32), st.sampled_from(PREFIXES)
    ),
    st.sampled_from(["-", "", ".", "—", "--", " ", "/", "_", " – ", "·"]),
    st.sampled_from(["", "#", "(", "»"]),
)
def test_whatever_is_read_as_a_code_is_meant_as_one(code: str, gap: str, before: str) -> None:
    typed = before + code.replace("-", gap).lower()
    assert any(codes.read(typed, prefix) == code for prefix in PREFIXES)
    assert codes.is_meant(typed, PREFIXES)


@pytest.mark.parametrize("typed", ["CABCDEFG", "C-ABCDEF", "C ABCDEF", "ABC123", "c_abcdef", "L-ABCDE", "2026"])
def test_a_wrong_code_is_meant_as_one_too(typed: str) -> None:
    assert codes.is_meant(typed, PREFIXES)


@pytest.mark.parametrize(
    "typed", ["", "-", "court", "cases", "help me", "справа", "the northern file", "наша справа 12"]
)
def test_other_words_are_no_codes(typed: str) -> None:
    assert not codes.is_meant(typed, PREFIXES)


@given(
    st.builds(lambda seed, prefix: codes.draw(Random(seed), prefix, 6), st.integers(0, 2**32), st.sampled_from("CL")),
    st.sampled_from(["-", "", ".", "—", " - ", " "]),
)
def test_a_code_in_a_text_is_found_by_its_prefix(code: str, gap: str) -> None:
    for written in (code.replace("-", gap), code.lower()):
        assert codes.named_in(f"We filed ({written}), then waited.", ("C", "L")) == {code}


def test_ordinary_words_in_a_text_are_no_codes() -> None:
    text = Path("ARCHITECTURE.md").read_text(encoding="utf-8")
    assert codes.named_in(text.replace("C-", ""), ("C", "CI", "L")) == frozenset()


@pytest.mark.parametrize("written", WRITTEN)
async def test_a_guess_is_counted_slowed_and_audited_however_it_is_written(tmp_path: Path, written: str) -> None:
    store = Store(f"sqlite:///{tmp_path}/hub.db", vault=Vault(f"sqlite:///{tmp_path}/keys.db", bytes(32)))
    await store.migrate()
    stage = Stage(store)
    for who in ("ann", "bob"):
        await stage.cast(who, "member", "en", "Europe/Kyiv")
    await stage.say("ann", "case open tool=uj-complaint title=Nightjar forum=prosecutor jurisdiction=DE")
    code = next(word.strip(",.:") for word in " ".join(stage.lines).split() if word.startswith("C-"))
    line = f"case show {written.format(code[2:])}"
    await stage.say("ann", line)
    assert any("Nightjar" in each for each in stage.lines), "it does find the case"
    stage.lines.clear()
    for _time in range(guesses.FREE + 2):
        stage.now += timedelta(seconds=1)
        await stage.say("bob", line)
    assert any("Please wait" in each for each in stage.lines)

    def counted(session: Session) -> tuple[int, int]:
        bob = members.by_handle(session, "bob")
        assert bob is not None
        entries = audit.recent(session, "uj", 100)
        return session.get_one(Guess, (bob.id, "uj")).misses, sum(each.action == "code guessed" for each in entries)

    assert await store.run(counted) == (guesses.FREE + 2, guesses.FREE + 2)
    await store.close()
