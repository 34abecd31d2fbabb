import json
import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.guard import Danger, findings, marks, names, reading, rules, tokens

HOUSE = Path(__file__).parents[1]

# Nobody here exists, and no number can be called.
DANGEROUS = {
    Danger.NAME: """
        My witness Farkhod will not travel
        The survivor, Zhazgul Mamatova, asked for a female interpreter
        victim's statement - Besik Kvaratskhelia - needs translation
        our client Ms Tkachenko needs an exit visa
        Applicant: YAROSHENKO Viktoriia
        survvior Marta Ilnytska is ready
        applicant: T. Ch. Nadirova, Tashkent
        An applicant (Dildora X., from Namangan) wants to stay anonymous
        Two questions about deadlines. Also, Rinat Ibragimov was beaten again yesterday.
        the wife of Azamat Nurmatov is under threat
        Mother of Ilya D., who died in custody, asks
        Svidok Petro Havryliuk bachyv komandyra
        postradavshaya Liana Khachatryan prosit perevodchika
        Свідок Гончаренко змінив показання
        потрпіла Наталія Гриценко боїться
        свідок марія коваленко боїться
        ОЛЕНА ТКАЧЕНКО, ПОТЕРПІЛА
        допитано Мельничука як свідка
        Моя клієнтка — Halyna Prytula, так у паспорті
        сестра зниклого Руслана Т. готова свідчити
        Допоможіть Тетяні Шаповал, її сина вивезли до Росії
        потерпіла на прізвище Сорока
        мать убитого Рустама Азимова ищет адвоката
        протокол опроса: свидетель Иванов А. П., один лист
        Речь о Тахире Каримове, его держат в подвале
        потерпевшую зовут Диля
        заявитель Абдуллаев не получил ответа
        Ivan was tortured
        Ивана пытали
        victim: Sidorova
        потерпевшая: Сидорова
        потерпіла: Сидоренко
    """,
    Danger.BIRTH_DATE: """
        born: 1979/12/02 in Donetsk
        Victim (b. 12/03/1975) wants to join the case
        17 May '79, injured party
        his DOB is Nov. 2, 1998
        she turned 18 on 2 February 2022
        1981 р.н., освіта вища
        народжена п'ятого травня 1955 року
        вік: 2011-04-05, хлопчик, свідок
        12 апреля 86-го года рождения
        ему исполнилось 18 лет 3 марта 2021 года
        родилась в 1962-м, живёт одна
    """,
    Danger.PHONE: """
        you can reach her on Signal: +995 000 12 34 56
        +38(050)0001122 - sister
        call his sister, zero six seven, one two three, four five, six seven
        Telegram of the witness: @svitlana_k
        номер мами: 0 0 7 1 2 3 4 5 6 7
        тел.: (000) 000-11-22
        пишите ей в телеграм @madina_kg
        свяжитесь: 8 000 000 12 34
    """,
    Danger.EMAIL: """
        her email is olena.k@example.com
        tamar_1985 [at] example [dot] org
        mail him: timur AT example DOT org
        її скринька olha(равлик)example.net
        пишите на ruslan собака example точка com
    """,
    Danger.COORDINATES: """
        50.45466, 30.52380 this is where the witness sleeps
        48.8566N 2.3522E
        49.99 N, 36.23 E
        the grave is at 48°27'31" N 35°02'10" E
        Maps: 49.83970,24.02970
        location https://maps.app.goo.gl/abcDEF123
        широта 48,4647, довгота 35,0462
        геометка 42.8746; 74.5698
    """,
    Danger.ADDRESS: """
        They took him from 31 Lesi Ukrainky Blvd
        м. Буча, Яблунська 144
        Bucha, Yablunska 144
        Вокзальна 5, Буча
        с. Мощун, буд. 7
        He hides at Rustaveli Avenue 12, flat 5
        address of the family: 14 Khreshchatyk, Kyiv
        живе на вулиці Шевченка, буд. 12
        родина на Польовій, 14, Чугуїв
        мешкає в селі Бабинці, третя хата від церкви
        г. Алматы, мкр. Самал-2, д. 33, кв. 4
        скрывается в ауле Жаркент, у тёти
    """,
    Danger.DOCUMENT: """
        residence permit RU1234567 expires soon
        her national ID 00345678901
        паспорт КВ 000456 виданий у 2005
        РНОКПП 0034567890
        ПИНФЛ 01234567890123
        удостоверение личности № 034567891
    """,
    Danger.CASE_FILE: """
        criminal case 12200000754000123 was opened
        the inquiry number is 12-4172/09, investigator unknown
        справа № 757/22334/23-к у Печерському суді
        уголовное дело № 1-123/2023 районного суда
        ЕРДР 227500031000012
    """,
    Danger.HEALTH: """
        he lost his leg and walks on crutches
        Olena is HIV positive
        Iryna is pregnant
        Олена вагітна
        Ірина має ВІЛ
        у Ольги гепатит
        the boy stopped talking and wets his bed since the shelling
        My client is HIV-positive, can he be extradited?
        свідкиня не чує на ліве вухо після удару
        після катувань у нього відмовили нирки
        заявительница на пятом месяце беременности
        свидетель перенёс инсульт и не может говорить
    """,
    Danger.SEXUAL_VIOLENCE: """
        they forced her to undress and filmed it
        soldiers raped Olena in Bucha
        Олену зґвалтували
        Сидорову изнасиловали
        солдаты изнасиловали Марию в подвале
        she was kept as the "wife" of a commander
        our client was sexually abused by the guards for months
        солдати роздягли її догола перед сусідами
        сексуальне насильство щодо нашої клієнтки тривало місяць
        его изнасиловали дубинкой в СИЗО
        видео изнасилования отправили её брату
    """,
    Danger.PERSON: """
        a teacher, 45, from Oleshky, is ready to talk
        The 55-year-old beekeeper of Moshchun with the burnt house
        the only nurse in Lukianivka heard the order
        everyone calls him Uncle Cat in the village of Lypivka
        сімнадцятирічний хлопець із Куп'янська
        учитель фізики із села Андріївка бачив розстріл
        сторож по прозвищу Пасечник из деревни Лукино
        женщина 58 лет из Ачхой-Мартана была в подвале
    """,
}

HARMLESS = """
    Does the victim need to be present in Germany?
    Can our client be a civil party in France?
    Our client, a journalist, is banned from travelling
    How do I prepare a client for cross-examination in Koblenz?
    Client Earth v. Shell, what was argued
    Witness to Atrocities app eyeWitness: export format
    Two witnesses withdrew; can their pre-trial statements be read out?
    Magnitsky Act designation of judges in Belarus
    Judge Theodor Meron on command responsibility
    Which witnesses were heard in the case of Yan Petrovsky in Helsinki?
    Is the wife of Dmitry Peskov still sanctioned?
    Oleg Sentsov was a prisoner, which resolutions mention him?
    Grant reports are due, may Mark approve? Will Tuesday work?
    Faith in courts is low, hope remains
    Does rape count as torture under Article 3?
    What if a victim of rape does not want to testify?
    HIV status and discrimination, ECtHR case law
    the court ordered a psychiatric examination of the accused
    is sterilisation without consent a crime against humanity
    Carter v. Russia, no. 20914/07, burden of proof
    Regulation (EU) No 833/2014 and Council Decision 2012/642/CFSP
    Case C-123/20, T-193/22, ECLI:EU:C:2020:1, celex 32014R0833
    BGH 3 StR 564/19 and § 153f StPO; Az. 1 StE 9/19 OLG Koblenz
    applications no. 71412/01 and 78166/01, A/HRC/46/4, S/RES/2467 (2019)
    ICC-01/04-01/06 and IT-95-14/2-A, appeal judgments
    OFAC programmes MAGNIT and GLOMAG, E.O. 13818, UKRAINE-EO13662
    mohrsiebeck JZ 79 (2024) 669-673, a summary
    IMO 9876543, flag Panama; company registration HE 417220, Cyprus
    The hearing is on 05.06.2026 at 14:00, room 4, Bow Street
    budget 12 000 EUR for 3 experts, 4 000 each; 1,262.50 in total
    write to otp.informationdesk@icc-cpi.int or info@example.org
    0.0345 and 0.0567 mg/m3 of cyanide near the plant
    village council refused to publish the report
    I am 34 and from Kutaisi, is there an age limit for the course?
    ask amber-otter about B-4M9T and C-2XW8P
    Thank you Olena, the template was great
    Чи можна допитати свідка через відеозв'язок?
    Наш свідок боїться їхати, як захистити?
    Потерпілий від сексуального насильства і безоплатна допомога
    Зґвалтування як воєнний злочин, практика МТКЮ
    Справа Магнітського і глобальний режим ЄС
    Вирок Анвару Раслану в Кобленці
    дружина Медведчука Оксана Марченко під санкціями
    рішення ЄСПЛ № 8019/16 і 43800/14; Закон № 2341-III, стаття 438
    жінки, які пережили сексуальне насильство: доступ до репарацій
    кар'єр біля села Кам'янка, дозвіл № 12345
    Віра у справедливість і санкції
    Роман, дякую за семінар
    ЄДРПОУ 12345678, кар'єр, перевірити власника
    тренінг з травма-чутливого інтерв'ю
    лікарі як свідки катувань
    Права потерпевшего по Директиве 2012/29/ЕС
    с точки зрения свидетеля процесс слишком долгий
    беременные женщины в СИЗО, стандарты
    обращение к спецдокладчику по пыткам: его мандат и сроки
    Приговор Анвару Раслану в Кобленце
    жена Пескова Татьяна Навка под санкциями
    Надежда на апелляцию есть
    свидетельство о смерти на оккупированной территории
    мой клиент — общественная организация
    срок до 3 марта 2027 года, зал 237
    кому писать о защите свидетелей
    Rape as a crime against humanity in the Akayesu judgment
    Wagner fighters raped civilians according to the UN
    The Opuz case against Turkey on domestic violence
    Умова: Суд має прийняти скаргу
    Надія на те, що катування припиняться
    Georgia 12, Moldova 15 complaints
    Мова скарги: Українська 5, Англійська 3
    Кадыровцы пытали людей, сообщает ООН
    Північна група: клієнт чекає на відповідь
    клієнт і Північна Ірландія
"""


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


EVERY_DANGER = [(danger, line) for danger, text in DANGEROUS.items() for line in lines(text)]
EVERY_LINE = [line for _, line in EVERY_DANGER]


def kinds(text: str) -> set[Danger]:
    return {finding.kind for finding in findings(text)}


@pytest.mark.parametrize(("danger", "text"), EVERY_DANGER)
def test_what_identifies_somebody_is_found_and_named_by_its_kind(danger, text):
    assert danger in kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "our client Li was tortured",
        "witness Kim Li",
        "victim's name is Li",
        "Потерпілий Лі",
        "Свідок Кім",
        "свидетель Ан дал показания",
        "Клиентка Ли задержана",
    ],
)
def test_a_name_of_two_letters_is_found_beside_a_role(text):
    assert Danger.NAME in kinds(text)


@pytest.mark.parametrize(
    "text", ["Хто тут свідок\nЧи має він право", "Is the client US or EU based?", "the witness May"]
)
def test_not_every_short_word_beside_a_role_is_a_name(text):
    assert findings(text) == ()


@pytest.mark.parametrize("text", lines(HARMLESS))
def test_law_public_life_and_everyday_talk_pass(text):
    assert findings(text) == ()


def test_every_kind_of_danger_has_examples():
    assert set(DANGEROUS) == set(Danger)


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\u200b", "?", "§", "\u0301\u0301", "."])
def test_nothing_is_found_in_nothing(text):
    assert findings(text) == ()


def test_a_finding_points_at_the_words_in_the_text_as_it_was_typed():
    typed = "\u200bThe\u00a0wit\u00adness Olena Marchuk, tel. \ufb01ve +380\u00a000\u2011614\u201122\u201105!"
    assert {(found.kind, typed[found.start : found.end]) for found in findings(typed)} == {
        (Danger.NAME, "Olena Marchuk"),
        (Danger.PHONE, "+380\u00a000\u2011614\u201122\u201105"),
    }


@given(st.text(max_size=200) | st.sampled_from(EVERY_LINE).flatmap(lambda line: st.text(max_size=9).map(line.__add__)))
def test_findings_lie_inside_the_text_and_are_the_same_each_time(text):
    found = findings(text)
    assert found == findings(text)
    assert all(0 <= finding.start < finding.end <= len(text) for finding in found)


HARMLESS_WORDS = st.lists(
    st.sampled_from(
        ["please", "thanks", "tomorrow", "the question was long,", "дякую", "гарно", "спасибо", "потом", "очень"]
    ),
    max_size=30,
).map(" ".join)


@settings(max_examples=300)
@given(st.sampled_from(EVERY_DANGER), HARMLESS_WORDS, HARMLESS_WORDS, st.sampled_from([". ", "\n", ".\n\n", "! "]))
def test_harmless_words_around_it_hide_nothing(danger, before, after, stop):
    kind, text = danger
    assert kind in kinds(f"{before}{stop}{text}{stop}{after}")


SPACES = str.maketrans(" ", "\u00a0")
DASHES = str.maketrans("-—", "\u2011\u2013")


@pytest.mark.parametrize(("danger", "text"), EVERY_DANGER)
def test_other_spaces_dashes_and_invisible_letters_hide_nothing(danger, text):
    assert danger in kinds(text.translate(SPACES))
    assert danger in kinds(text.translate(DASHES))
    assert danger in kinds(unicodedata.normalize("NFD", text))
    assert danger in kinds(text.replace("e", "\u200be").replace("о", "о\u00ad"))


@pytest.mark.parametrize(
    "text",
    [
        "The viсtim Olena Marchuk would like to be heard",
        "The victim Оlеna Mаrchuk would like to be heard",
        "клиенткa Coня Вершинская спрашивает про визу",
        "Потерпiлa Марiя Запорожченко питає про строки",
        "the w\u200bi\u200bt\u200bn\u200be\u200bs\u200bs Olena Marchuk",
        "ｗｉｔｎｅｓｓ Ｏｌｅｎａ Ｍａｒｃｈｕｋ",
    ],
)
def test_letters_of_another_alphabet_hide_nothing(text):
    assert Danger.NAME in kinds(text)


@pytest.mark.parametrize(
    ("danger", "text"),
    [
        (Danger.NAME, "Our witness Olena Marchuk wants to talk"),
        (Danger.NAME, "наша потерпіла Оксана Пилипчук хоче говорити"),
        (Danger.NAME, "наш свидетель Руслан Каримов хочет говорить"),
        (Danger.HEALTH, "the victim is pregnant, she needs a doctor"),
        (Danger.BIRTH_DATE, "родился 5 мая 1991 года"),
        (Danger.ADDRESS, "вул. Садова, буд. 19, кв. 7"),
        (Danger.DOCUMENT, "паспорт потерпевшего кв 123456"),
        (Danger.EMAIL, "write to olena.k@example.org"),
    ],
)
def test_capital_and_small_letters_hide_nothing(danger, text):
    assert danger in kinds(text)
    assert danger in kinds(text.upper())
    assert danger in kinds(text.lower())


def rows(folder: str) -> Iterator[dict[str, Any]]:
    for file in sorted((HOUSE / "knowledge" / folder).rglob("*.jsonl")):
        yield from map(json.loads, file.read_text("utf-8").splitlines())


def test_every_title_and_citation_of_the_library_passes():
    told = [row[field] for row in rows("resources") for field in ("title", "title_original", "citation")]
    assert told
    assert [text for text in told if findings(text)] == []


def test_nearly_every_summary_of_the_library_passes():
    told = [row[field] for row in rows("resources") for field in ("summary", "relevance")]
    stopped = [text for text in told if findings(text)]
    assert len(stopped) <= 0.01 * len(told), stopped


def test_every_word_of_the_glossary_passes():
    def said(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield from value.split(" / ")
        elif isinstance(value, list):
            for each in value:
                yield from said(each)
        elif isinstance(value, dict):
            for each in value.values():
                yield from said(each)

    # Of fifty thousand ways to say something these two are stopped, as if they spoke of somebody.
    alarms = {"mother tongue", "child sexual abuse"}
    assert {text for row in rows("glossary") for text in said(row) if findings(text)} <= alarms


def test_every_question_of_the_look_up_evaluation_passes():
    questions = (HOUSE / "tests/eval/lookup_queries.jsonl").read_text("utf-8").splitlines()
    assert [query for line in questions if findings(query := json.loads(line)["query"])] == []


def test_whatever_members_type_in_the_dialogues_passes():
    typed = [
        found[1]
        for file in sorted((HOUSE / "tests/dialogues").glob("*.txt"))
        if not file.name.startswith("guard.")
        for found in re.finditer(r"^[\w-]+> (.+)$", file.read_text("utf-8"), re.MULTILINE)
    ]
    assert typed
    assert [line for line in typed if findings(line)] == []


HOSTILE = [
    *("a", "1", "1 ", "a.", "a@", "a-", "(", "/", "+1(", "www.", "\u0301", "\u200b", "' ", '"wife" ', "é\u0301", "A. "),
    *(
        "Olena Marchuk ",
        "Abc ",
        "witness Olena ",
        "12.3456,",
        "St. 5 Abc ",
        "дом кв ул 5 ,",
        "5 May ",
        "her hiv ",
        "two ",
    ),
    *("born 1990 ", "село Х ", "из Яру ", "свідок ", "a at b dot ", "16 years from "),
]


def steps(text: str) -> int:
    """Count the functions that are called, Python's and those in C."""
    count = 0

    def look(_frame, event, _arg):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(look)
    try:
        findings(text)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("unit", HOSTILE)
def test_twice_the_text_is_at_most_about_twice_the_work(unit):
    text = (unit * 8_000)[:8_000]
    findings(text)  # so that nothing is counted that is done but once
    half, whole = steps(text[:4_000]), steps(text)
    assert whole <= 2.3 * half + 200


def patterns() -> Iterator[re.Pattern[str]]:
    held = [*vars(names.NAMES).values()]
    for module in (marks, names, reading, rules, tokens):
        held += vars(module).values()
    return (each for each in held if isinstance(each, re.Pattern))


def endless(tree, *, inside: bool = False) -> bool:
    """Tell whether a repetition without a limit can be tried again inside of another."""
    from re import _constants as sre

    for kind, value in tree:
        parts, repeats = [], False
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            parts, repeats = [value[2]], value[1] == sre.MAXREPEAT
        elif kind is sre.POSSESSIVE_REPEAT:
            parts = [value[2]]
        elif kind is sre.SUBPATTERN:
            parts = [value[3]]
        elif kind is sre.BRANCH:
            parts = value[1]
        elif kind in (sre.ASSERT, sre.ASSERT_NOT):
            parts = [value[1]]
        if (repeats and inside) or any(endless(part, inside=inside or repeats) for part in parts):
            return True
    return False


def test_no_pattern_can_be_driven_round_in_circles():
    from re import _parser

    found = list(patterns())
    assert len(found) > 15
    assert [each.pattern for each in found if endless(_parser.parse(each.pattern, each.flags & ~re.UNICODE))] == []
    assert endless(_parser.parse("(a+b?)+"))


def test_no_word_that_was_read_is_remembered():
    held = [each for module in (marks, names, reading, rules, tokens) for each in vars(module).values()]
    assert not [each for each in held if hasattr(each, "cache_info")]
