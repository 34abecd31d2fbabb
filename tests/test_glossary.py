import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import knowledge
from knowledge.glossary import Glossary, Span
from knowledge.schema import LANGUAGES, BadRow, Entry, Term
from knowledge.words import beginning, fold, numbers, sound, stem, words

FOLDER = Path(knowledge.__file__).parent / "glossary"

ROW: dict[str, Any] = {
    "id": "x1",
    "network": "uj",
    **dict.fromkeys(LANGUAGES, ""),
    "en": "hostage",
    "ru": "заложник",
    "definition_en": "A person held.",
    "forms": {"en": ["hostage"], "ru": ["заложник"]},
    "attested": [],
    "native_review_needed": [],
}


@pytest.fixture(scope="module")
def glossary() -> Glossary:
    return Glossary.load(FOLDER)


def meant(glossary: Glossary, word: str, **how: Any) -> list[str]:
    return [term.en for term in glossary.look_up(word, **how)]


def spans(glossary: Glossary, text: str) -> Iterator[Span]:
    said = words(text)
    return glossary.spans(said, list(map(stem, said)), bluntly=True)


def written(tmp_path: Path, *rows: dict[str, Any], file: str = "uj.jsonl") -> Path:
    (tmp_path / "glossary" / "lexicon").mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / "glossary" / file).write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "glossary"


def test_every_term_that_was_written_is_there(glossary: Glossary) -> None:
    assert len(glossary.terms) == 221
    assert {term.network for term in glossary.terms} == {"uj", "sanctions", "climate", "cross"}


def test_every_way_to_say_a_term_leads_to_it(glossary: Glossary) -> None:
    for term in glossary.terms:
        for language in LANGUAGES:
            for way in term.ways(language):
                found = glossary.look_up(way, limit=3)
                assert term in found, (term.id, language, way)


@pytest.mark.parametrize(
    ("asked", "term"),
    [
        ("ЭКСТРАДИЦИИ", "extradition"),
        ("пыток", "torture"),
        ("катуванням", "torture"),
        ("замороженные активы", "asset freeze"),
        ("санкціями", "sanctions"),
        ("универсальной юрисдикции", "universal jurisdiction"),
        ("універсальною юрисдикцією", "universal jurisdiction"),
        ("war crime", "war crimes"),
        ("зеленый камуфляж", "greenwashing"),
        ("зелёный камуфляж", "greenwashing"),
        ("пом'якшення наслідків зміни клімату", "mitigation"),
        ("пом’якшення наслідків зміни клімату", "mitigation"),
        ("помякшення наслідків зміни клімату", "mitigation"),
        ("jurisdicție universală", "universal jurisdiction"),
        ("jurisdictie universala", "universal jurisdiction"),
        ("გენოციდი", "genocide"),
        ("универсалная юрисдикция", "universal jurisdiction"),
        ("geonocide", "genocide"),
        ("ОВОС", "environmental impact assessment"),
        ("locus standi", "standing (locus standi)"),
        ("тортури", "torture"),
        ("трибуналу щодо злочину агресії", "Special Tribunal for the Crime of Aggression"),
    ],
)
def test_a_term_is_found_in_any_language_ending_and_spelling(glossary: Glossary, asked: str, term: str) -> None:
    assert meant(glossary, asked)[0] == term


def test_a_word_leads_to_every_term_that_contains_it(glossary: Glossary) -> None:
    assert meant(glossary, "иммунитет") == [
        "functional immunity (ratione materiae)",
        "personal immunity (ratione personae)",
        "diplomatic immunity",
    ]


def test_the_exact_term_comes_before_longer_ones(glossary: Glossary) -> None:
    assert meant(glossary, "sanctions", limit=1) == ["sanctions"]
    assert meant(glossary, "sanctions", limit=0) == []


def test_an_unknown_word_leads_nowhere(glossary: Glossary) -> None:
    for word in ("", " ", "!!", "qqqqqqqq", "🙂"):
        assert glossary.look_up(word) == []


def test_the_networks_own_term_comes_first_among_equals() -> None:
    one = Term.model_validate(ROW)
    other = Term.model_validate(ROW | {"id": "x2", "network": "climate"})
    glossary = Glossary([one, other])
    assert glossary.look_up("hostage", network="climate") == [other, one]
    assert glossary.look_up("hostage", network="uj") == glossary.look_up("hostage") == [one, other]


def test_a_term_tells_which_words_a_native_speaker_has_not_read(glossary: Glossary) -> None:
    term = glossary.look_up("universal jurisdiction")[0]
    assert [language for language in LANGUAGES if term.needs_review(language)] == ["ka", "kk", "az", "be"]
    assert term.ways("uk") == ("універсальна юрисдикція",)
    assert term.ways("hy")
    assert term.ways("fr") == ()


@given(word=st.text(max_size=200))
@settings(max_examples=200, deadline=500)
def test_any_text_may_be_looked_up(glossary: Glossary, word: str) -> None:
    assert len(glossary.look_up(word)) <= 5


# Phrases in running text


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("дело о военных преступлениях в Сирии", "war crimes"),
        ("за вчинення воєнних злочинів", "war crimes"),
        ("в Международном уголовном суде", "International Criminal Court"),
        ("до Спеціального трибуналу щодо злочину агресії", "Special Tribunal for the Crime of Aggression"),
        ("о праве на справедливое судебное разбирательство", "fair trial"),
        ("the victims of enforced disappearances", "enforced disappearance"),
    ],
)
def test_a_phrase_is_found_whatever_its_endings(glossary: Glossary, text: str, meaning: str) -> None:
    term = next(term for term in glossary.terms if term.en == meaning)
    assert f"#{term.id}" in {found for span in spans(glossary, text) for found in span.meanings}


def test_bluntly_an_ending_passes_that_no_stemmer_knows(glossary: Glossary) -> None:
    asked = "Еуропалық Одақтың санкциялары"
    place = glossary.places["EU"]
    assert place in {found for span in spans(glossary, asked) for found in span.meanings}


# Words


@pytest.mark.parametrize(
    "forms",
    [
        "санкция санкции санкцию санкцией санкциями",
        "юрисдикція юрисдикції юрисдикцію юрисдикцією юрисдикциями",
        "катування катуванню катуванням катувань катуваннях",
        "злочин злочину злочинів злочинами злочинах",
        "відповідальність відповідальності відповідальністю",
        "універсальна універсальної універсальну універсальною универсального",
        "україна україни україні україну",
        "crime crimes",
    ],
)
def test_the_forms_of_a_word_have_one_stem(forms: str) -> None:
    assert len({stem(word) for word in words(forms)}) == 1


@given(text=st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(text=st.text())
def test_every_word_of_any_text_can_be_read(text: str) -> None:
    for word in words(text):
        assert stem(word) == stem(word)
        assert beginning(word) is None or len(beginning(word) or "") == 6
        assert isinstance(sound(word), str)


def test_numbers_stay_whole_and_words_do_not() -> None:
    assert numbers("Section 7031(c), no. 55723/00, art. 442-1, OC-32/25 and/or Ljubljana-The") == [
        "7031(c)", "55723/00", "442-1", "oc-32/25",
    ]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), [("гаравский", "harauski"), ("кади", "kadi"), ("финч", "finch")])
def test_a_name_sounds_the_same_in_both_scripts(one: str, other: str) -> None:
    assert sound(one) == sound(other)


# Bad rows


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"ru": "пленник"}, "glossary/uj.jsonl, line 1: forms and ru do not say the same."),
        (
            {"native_review_needed": ["uk"]},
            "line 1: native_review_needed names uk, but there are no words in it.",
        ),
        ({"en": ""}, "line 1, field en: "),
        ({"network": "climate"}, "line 1, field network: "),
    ],
)
def test_a_bad_term_is_named_by_file_line_and_field(tmp_path: Path, bad: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadRow) as refused:
        Glossary.load(written(tmp_path, ROW | bad))
    assert sentence in str(refused.value)


def test_the_lexicon_is_read_beside_the_terms(tmp_path: Path) -> None:
    written(tmp_path, ROW)
    line = {"en": "Ruritania / Ruritanian", "ru": "Руритания", "place": "RX", "native_review_needed": ["ru"]}
    glossary = Glossary.load(written(tmp_path, line, file="lexicon/general.jsonl"))
    assert glossary.places_in("дело в Руритании") == ["RX"]
    assert [term.id for term in glossary.terms] == ["x1"]
    assert glossary.look_up("Руритания") == []
    with pytest.raises(BadRow, match=r"lexicon/general\.jsonl, line 2: 'Ruritania / Ruritanian' occurs a second time"):
        Glossary.load(written(tmp_path, line, line, file="lexicon/general.jsonl"))


def test_no_row_of_the_lexicon_claims_a_native_reader_it_did_not_have() -> None:
    lines = [line for file in FOLDER.glob("lexicon/*.jsonl") for line in file.read_text("utf-8").splitlines()]
    assert lines
    for line in lines:
        row = json.loads(line)
        assert set(row["native_review_needed"]) <= set(row) & set(LANGUAGES)
        assert "ru" in row
        assert "uk" in row


def test_without_words_alone_only_phrases_and_places_are_left(glossary: Glossary) -> None:
    said = words("Пытки в Сирии, универсальная юрисдикция и торговля людьми")
    stems = list(map(stem, said))
    every = list(glossary.spans(said, stems))
    left = list(glossary.spans(said, stems, alone=False))
    places = frozenset(glossary.places.values())
    assert left == [span for span in every if span.end - span.start > 1 or span.meanings & places]
    assert 0 < len([span for span in left if span.end - span.start == 1]) < len(left) < len(every)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("суд в Казахстане", "KZ"),
        ("беженцы из Ирана", "IR"),
        ("у Білорусі", "BY"),
        ("в Беларуси", "BY"),
        ("у Молдові", "MD"),
        ("из Узбекистана", "UZ"),
    ],
)
def test_a_noun_is_known_in_every_case(glossary: Glossary, text: str, code: str) -> None:
    said = words(text)
    found = {meaning for span in glossary.spans(said, list(map(stem, said))) for meaning in span.meanings}
    assert glossary.places[code] in found


@pytest.mark.parametrize(
    "forms",
    [
        "свідок свідка свідків свідками",
        "біженець біженця біженців",
        "беженец беженца беженцев",
        "истец истца истцом",
        "перечень перечня перечнях",
        "ошибка ошибку ошибок",
        "стройка стройку строек",
        "обхід обходу обходом",
        "особа особи осіб",
        "довідка довідки довідці довідок",
        "дорога дороги дорозі доріг",
        "установа установи установ",
        "екосистема екосистему екосистем",
        "диплом дипломы дипломах",
        "могила могил могилах",
        "громадянин громадянам громадяни",
    ],
)
def test_a_noun_means_the_same_in_every_case(glossary: Glossary, forms: str) -> None:
    meant = [
        {meaning for span in glossary.spans([word], [stem(word)]) for meaning in span.meanings} for word in words(forms)
    ]
    assert meant[0]
    assert all(meant[0] & each for each in meant)


def test_a_verb_is_not_bent_into_another_word(glossary: Glossary) -> None:
    for text, never in (("питати свідка", "#tortur"), ("печать", "#sad"), ("прибыть", "#profit")):
        said = words(text)
        found = {meaning for span in glossary.spans(said, list(map(stem, said))) for meaning in span.meanings}
        assert not [meaning for meaning in found if meaning.startswith(never)]


def test_a_row_may_be_long_or_have_no_letters() -> None:
    rows = [Entry(en=way, native_review_needed=()) for way in ("a b " * 150 + "c", "♥ / hearts", "quokka")]
    odd = Glossary([], rows)
    assert odd.ways("#quokka") == (("quokka",),)
    assert () not in odd.ways("#♥_/_hearts")
    assert [span.meanings for span in odd.spans(["quokka"], ["quokka"])] == [{"#quokka"}]
    assert list(odd.spans([""], [""])) == []
