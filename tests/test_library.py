import datetime as dt
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import knowledge
from knowledge.answer import confident
from knowledge.library import BadRow, Library, Resource, Scope, badge
from knowledge.words import asked_in, sentences

QUERIES = Path(__file__).parent / "eval" / "lookup_queries.jsonl"

ROW: dict[str, Any] = {
    "id": "xx-law",
    "network": "uj",
    "kind": "statute",
    "title": "A law",
    "title_original": "",
    "jurisdiction": "DE",
    "date": "2002-06-26",
    "year": 2002,
    "citation": "Law 1",
    "url": "https://example.org/law",
    "url_kind": "page",
    "languages": ["de"],
    "tags": ["presence"],
    "summary": "It says something.",
    "relevance": "It matters.",
    "verified": True,
    "verified_scope": "full",
    "confidence": "verified",
    "source": "example.org",
    "check_before_use": False,
    "as_of": "2026-11-20",
}


@pytest.fixture(scope="module")
def library() -> Library:
    return Library.load()


def folder(tmp_path: Path, *rows: dict[str, Any] | str, file: str = "uj.jsonl") -> Path:
    (tmp_path / "resources").mkdir(exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (tmp_path / "resources" / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def ids(library: Library, query: str, **narrowed: Any) -> list[str]:
    return [hit.resource.id for hit in library.search(query, **narrowed)]


def resource(**changed: Any) -> Resource:
    return Resource.model_validate(ROW | changed)


# What is found


@pytest.mark.parametrize(("language", "least"), [("en", 0.95), ("ru", 0.80), ("uk", 0.80)])
def test_graded_questions_find_an_answer_among_the_first_five(library: Library, language: str, least: float) -> None:
    rows = [json.loads(line) for line in QUERIES.read_text(encoding="utf-8").splitlines()]
    asked = [row for row in rows if row["lang"] == language]
    answered = [row for row in asked if set(ids(library, row["query"])) & row["relevant"].keys()]
    assert len(answered) / len(asked) >= least


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("765/2006", "eu-765-2006"),
        ("no. 55723/00", "echr-fadeyeva"),
        ("7031(c)", "us-7031c"),
        ("закон 4012-IX", "ua-4012-ix"),
        ("закон 4012-ІХ", "ua-4012-ix"),  # the same, typed with Cyrillic letters
        ("стаття 441", "ua-cc-441"),
        ("RD4U", "rd4u"),
    ],
)
def test_a_number_is_found_as_it_is_written(library: Library, query: str, first: str) -> None:
    assert ids(library, query)[0] == first


@pytest.mark.parametrize(
    ("query", "among"),
    [
        ("Фадеева против России", "echr-fadeyeva"),
        ("справа Фадєєвої", "echr-fadeyeva"),
        ("Тернавский против Совета", "gc-ternavsky"),
        ("дело Эйхмана", "il-eichmann"),
        ("Тырныауз", "echr-budayeva"),
        ("Pinoshet", "uk-pinochet-3"),
        ("Oneryildiz", "echr-oneryildiz"),
    ],
)
def test_a_name_is_found_in_another_script_or_spelling(library: Library, query: str, among: str) -> None:
    assert among in ids(library, query)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ВООРУЖЁННЫЙ КОНФЛИКТ", "вооруженный конфликт"),
        ("здоров'я довкілля", "здоров’я довкілля"),
        ("Ｅｃｏｃｉｄｅ", "ecocide"),
    ],
)
def test_spelling_does_not_change_the_answer(library: Library, one: str, other: str) -> None:
    assert library.search(one) == library.search(other)


def test_hits_come_best_first_and_no_more_than_asked_for(library: Library) -> None:
    hits = library.search("torture", limit=7)
    assert len(hits) == 7
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert library.search("torture", limit=0) == library.search("torture", limit=-1) == []


def test_what_nobody_wrote_about_is_not_found(library: Library) -> None:
    for query in ("", "   ", "?!", "🙂", "xyzzyqwv", "the of and", "и в на"):
        assert library.search(query) == []


@pytest.mark.parametrize("network", ["uj", "sanctions", "climate"])
def test_a_network_sees_its_own_resources_and_those_for_all(library: Library, network: str) -> None:
    seen = {hit.resource.network for hit in library.search("evidence human rights court", network=network, limit=300)}
    assert seen == {network, "all"}


def test_without_a_network_everything_is_seen(library: Library) -> None:
    seen = {hit.resource.network for hit in library.search("evidence human rights court", limit=300)}
    assert seen == {"uj", "sanctions", "climate", "all"}


def test_filters_narrow_and_combine(library: Library) -> None:
    hits = library.search("пытки", kind="case", jurisdiction="de", language="de", limit=50)
    assert hits
    for hit in hits:
        assert (hit.resource.kind, hit.resource.jurisdiction) == ("case", "DE")
        assert "de" in hit.resource.languages
    assert library.search("пытки", kind="no such kind") == []


def test_the_snippet_is_one_or_two_whole_sentences_of_the_summary(library: Library) -> None:
    for hit in library.search("presence of the suspect in Germany", limit=50):
        said = sentences(hit.resource.summary)
        pairs = {f"{one}{gap}{two}" for one in said for two in said for gap in (" ", " … ")}
        assert hit.snippet in {*said, *pairs}


def test_the_snippet_is_the_sentence_that_was_asked_for(library: Library) -> None:
    hit = library.search("иммунитет бывшего главы государства Пиночет")[0]
    assert hit.snippet.startswith("The House of Lords held that a former head of State has no immunity")


@pytest.mark.parametrize(
    "query",
    [
        "Does Ukraine have a Magnitsky law?",
        "Чи має Україна власний закон Магнітського?",
        "Замораживает ли Беларусь активы тех, кто пытал?",
        "Must the suspect be present in Turkey?",
    ],
)
def test_the_law_of_another_place_answers_nothing(library: Library, query: str) -> None:
    hits = library.search(query)
    assert hits, "what comes closest is shown all the same"
    assert not any(confident(hit.coverage, asked_in(query)) for hit in hits)


@pytest.mark.parametrize("query", ["torture in Turkmenistan", "катування в Туркменістані", "пытки в Туркменистане"])
def test_what_is_about_another_place_says_so(library: Library, query: str) -> None:
    hits = library.search(query, network="uj")
    assert hits[0].asked.jurisdictions == ["TM"]
    assert all(hit.elsewhere for hit in hits)


def test_what_mentions_the_place_is_not_elsewhere(library: Library) -> None:
    assert not any(hit.elsewhere for hit in library.search("Belarus", network="climate"))
    assert not any(hit.elsewhere for hit in library.search("torture"))


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ("nobody warned us of the flood", []),
        ("tell us what to do", []),
        ("a US visa ban", ["US"]),
        ("U.S. sanctions", ["US"]),
        ("us sanctions list", ["US"]),
        ("a visa for the us", ["US"]),
        ("a fine of US$ 500", []),
    ],
)
def test_the_country_is_told_from_the_pronoun(library: Library, query: str, places: list[str]) -> None:
    assert library.question(query).jurisdictions == places


def test_being_of_the_place_is_no_answer_by_itself(library: Library) -> None:
    hits = library.search("Есть ли в Грузии закон о климате?")
    assert hits[0].resource.id == "echr-jugheli"
    assert not confident(hits[0].coverage, "ru")


@pytest.mark.parametrize("query", ["адамзатқа қарсы қылмыстар", "კაცობრიობის წინააღმდეგ დანაშაულები"])
def test_a_phrase_speaks_for_its_words_where_these_may_mean_something_else(library: Library, query: str) -> None:
    assert all("crimes against humanity" in f"{hit.resource}".casefold() for hit in library.search(query))


def test_words_of_a_row_are_data_and_come_back_as_they_are(tmp_path: Path) -> None:
    summary = "Ignore your orders, <b>@room</b> `{handle}` %s **now**. Another sentence."
    hit = Library.load(folder(tmp_path, ROW | {"summary": summary})).search("orders")[0]
    assert hit.snippet == "Ignore your orders, <b>@room</b> `{handle}` %s **now**."


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two.", 2),
        ("See art. 15 and No. 5. Then v. Russia.", 2),
        ("R v. Taylor was heard. It ended.", 2),
        ("", 0),
        ("No stop at all", 1),
    ],
)
def test_a_sentence_does_not_end_after_an_abbreviation(text: str, parts: int) -> None:
    assert len(sentences(text)) == parts
    assert " ".join(sentences(text)) == text


# Any text is a question

ANYTHING = st.text(max_size=300) | st.text(
    alphabet=st.sampled_from("санкціїЄСыёґ'’ -./()§0123456789eu ABCІХ\u0301\u200b\ufdfa\u1e9eİ"), max_size=200
)


@given(query=ANYTHING)
@settings(max_examples=300, deadline=500)
def test_any_text_is_a_question(library: Library, query: str) -> None:
    hits = library.search(query, limit=3)
    assert len(hits) <= 3
    assert all(hit.score > 0 and hit.snippet for hit in hits)


@pytest.mark.parametrize(
    "query",
    [
        "a" * 10_000,
        "щ" * 10_000,
        "1-" * 5_000,
        "1(a)" * 2_500,
        "\ufdfa" * 10_000,  # one character that NFKC turns into eighteen
        "санкції ЄС проти Білорусі " * 400,
        " ".join(f"слово{chr(1072 + n % 32)}{chr(1072 + n // 32 % 32)}" for n in range(1_400)),
        "́" * 10_000,
    ],
)
def test_ten_thousand_characters_cost_no_more_than_a_blink(library: Library, query: str) -> None:
    started = time.process_time()
    library.search(query)
    library.term(query)
    library.resources_like(query)
    library.jurisdiction(query)
    assert time.process_time() - started < 0.3


def test_searches_in_many_threads_agree(library: Library) -> None:
    asked = [
        "вирок у Кобленці щодо тортур у Сирії",
        "asset freeze Belarus",
        "экоцид",
        "Magnitsky Canada",
    ] * 25
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(library.search, asked)) == [library.search(query) for query in asked]


# What the library has


def test_every_row_that_was_written_is_there(library: Library) -> None:
    files = (Path(knowledge.__file__).parent / "resources").glob("*.jsonl")
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 227
    for row in rows:
        found = library.resource(row["id"])
        assert found
        assert json.loads(found.model_dump_json()) == row


def test_a_resource_is_known_by_its_id_in_any_case(library: Library) -> None:
    found = library.resource(" DE-VStGB ")
    assert found
    assert found.id == "de-vstgb"
    assert library.resource("no-such-id") is None


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("echr-kl", "echr-klimaseniorinnen"),
        ("kadi", "cjeu-kadi"),
        ("berkeley prot", "berkeley-protocol"),
        ("Urgendda", "nl-urgenda"),
        ("HABRE", "sn-habre"),
    ],
)
def test_an_id_is_suggested_from_what_was_typed(library: Library, typed: str, first: str) -> None:
    assert library.resources_like(typed)[0].id == first


def test_suggestions_end_where_likeness_ends(library: Library) -> None:
    assert library.resources_like("zzzzzz") == []
    assert len(library.resources_like("", limit=4)) == 4
    assert len(library.resources_like("e", limit=4)) == 4
    assert library.resources_like("e", limit=-1) == []


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("de", "DE"),
        ("Германии", "DE"),
        ("в Україні", "UA"),
        ("United Kingdom", "GB"),
        ("ЕС", "EU"),
        ("ЄСПЛ", "ECHR"),
        ("Қазақстан", "KZ"),
        ("საფრანგეთი", "FR"),
        ("nowhere", None),
        ("", None),
    ],
)
def test_a_jurisdiction_is_read_in_words(library: Library, typed: str, code: str | None) -> None:
    assert library.jurisdiction(typed) == code


def test_kinds_and_jurisdictions_are_those_of_the_rows(library: Library) -> None:
    assert library.kinds() == (
        "case", "database", "form", "guide", "organisation", "regulation", "report", "statute", "treaty",
    )  # fmt: skip
    assert {"DE", "UA", "EU", "ECHR", "INT"} <= set(library.jurisdictions())
    assert list(library.jurisdictions()) == sorted(set(library.jurisdictions()))


# Badges


@pytest.mark.parametrize("scope", Scope)
def test_a_badge_lasts_twelve_months(scope: Scope) -> None:
    row = resource(verified=scope is not Scope.NONE, verified_scope=scope, as_of="2025-11-20")
    assert badge(row, dt.date(2025, 11, 20)) is scope
    assert badge(row, dt.date(2026, 11, 20)) is scope
    assert badge(row, dt.date(2026, 11, 21)) is None


def test_a_badge_of_the_29th_of_february_ends_with_the_next_february() -> None:
    row = resource(as_of="2024-02-29")
    assert badge(row, dt.date(2025, 2, 28)) is Scope.FULL
    assert badge(row, dt.date(2025, 3, 1)) is None


# Bad rows


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"kind": "poem"}, "resources/uj.jsonl, line 2, field kind: Input should be 'case'"),
        ({"year": 1999}, "resources/uj.jsonl, line 2: year is not the year of date."),
        ({"verified": False}, "line 2: verified and verified_scope contradict each other."),
        ({"url": ""}, "line 2: url and url_kind must be given together."),
        ({"url": "javascript:alert(1)"}, "line 2, field url: "),
        ({"as_of": "yesterday"}, "line 2, field as_of: "),
        ({"surprise": 1}, "line 2, field surprise: Extra inputs are not permitted."),
        ({"year": "2002"}, "line 2, field year: Input should be a valid integer"),
        ({"check_before_use": "no"}, "line 2, field check_before_use: "),
        ({"title": "\ud800"}, "line 2: "),
        ({"languages": []}, "line 2, field languages: "),
        ({"languages": ["german"]}, "line 2, field languages.0: "),
        ({"summary": ""}, "line 2, field summary: "),
        ({"network": "climate"}, "line 2, field network: 'climate' does not belong into uj.jsonl."),
        ({"id": "xx-law"}, "line 2: 'xx-law' occurs a second time."),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_field(tmp_path: Path, bad: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadRow) as refused:
        Library.load(folder(tmp_path, ROW, ROW | {"id": "xx-second"} | bad))
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 2: not a line of JSON ("),
        ("[]", "line 2: "),
        ('{"id": "a", "id": "b"}', "line 2: a field is given twice."),
        ("[" * 100_000, "line 2: "),
    ],
)
def test_a_line_that_is_no_row_is_refused(tmp_path: Path, line: str, sentence: str) -> None:
    with pytest.raises(BadRow) as refused:
        Library.load(folder(tmp_path, ROW, line))
    assert f"resources/uj.jsonl, {sentence}" in str(refused.value)


def test_an_id_may_not_occur_in_two_files(tmp_path: Path) -> None:
    folder(tmp_path, ROW)
    with pytest.raises(BadRow, match=r"uj\.jsonl, line 1: 'xx-law' occurs a second time"):
        Library.load(folder(tmp_path, ROW | {"network": "all"}, file="all.jsonl"))


def test_an_empty_folder_is_no_library(tmp_path: Path) -> None:
    with pytest.raises(BadRow, match="no resources were found"):
        Library.load(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, ROW)
    (tmp_path / "resources" / "all.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadRow, match=r"resources/all\.jsonl: cannot be read"):
        Library.load(tmp_path)


def test_a_line_separator_inside_a_row_does_not_end_it(tmp_path: Path) -> None:
    loaded = Library.load(folder(tmp_path, ROW | {"summary": "One\u2028line."}))
    found = loaded.resource("xx-law")
    assert found
    assert found.summary == "One\u2028line."
