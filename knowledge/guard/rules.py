"""The rules of the guard: which marks near one another are a danger.

Each rule yields the stretches of the text where it found something. Distances are in tokens, or in words where a
sign between does not matter.
"""

import re
from collections.abc import Callable, Iterator
from enum import StrEnum, auto
from itertools import pairwise
from typing import NamedTuple

from rapidfuzz import process
from rapidfuzz.distance import OSA

from knowledge.guard.marks import WORDS, Mark
from knowledge.guard.names import Name, Shape
from knowledge.guard.reading import FAR, YEAR, Read
from knowledge.words import fold


class Danger(StrEnum):
    """What kind of thing was found."""

    NAME = auto()
    BIRTH_DATE = auto()
    PHONE = auto()
    EMAIL = auto()
    COORDINATES = auto()
    ADDRESS = auto()
    DOCUMENT = auto()
    CASE_FILE = auto()
    HEALTH = auto()
    SEXUAL_VIOLENCE = auto()
    PERSON = auto()


_Spans = Iterator[tuple[int, int]]

_ROLE_WORDS = [word for word in WORDS.marked(Mark.ROLE) if len(word) > 5]


def _names(read: Read) -> _Spans:
    """Find a name beside a role, or a full name with what was done to this person.

    The less a name looks like one, the closer the role must stand. Public names pass, and so do the names of
    cases, judges, books and lists, unless a role stands directly beside them.
    """
    for name in read.people:
        reach = _REACH[name.shape]
        role = read.gap(name, Mark.ROLE, before=reach.role, after=reach.role)
        others = read.gap(name, Mark.ROLES, Mark.TESTIMONY, before=reach.others, after=reach.others)
        relative = read.gap(name, Mark.RELATIVE, Mark.RELATIVES, before=reach.others, after=reach.others)
        if relative <= reach.others and read.gap(name, Mark.LISTED, before=8, after=8) <= 8:
            relative = FAR
        called = read.gap(name, Mark.INTRO, before=reach.called)
        beside = 0 in (role, others, relative)
        found = role <= reach.role or others <= reach.others or relative <= reach.others or called <= reach.called
        if name.shape in (Shape.FULL, Shape.LIKELY):
            found = found or _is_somebody(read, name)
        elif name.shape in (Shape.GIVEN, Shape.SURNAME):
            found = found or read.gap(name, Mark.SUFFERED, before=1, after=1) <= 1
        elif name.shape in (Shape.FAMILY, Shape.PAIR):
            found = found and _is_led_or_followed(read, name)
        if (found and (beside or not _is_public_matter(read, name))) or (
            name.shape in _WHOLE and _is_misspelt_role(read, name)
        ):
            yield read.span(name.first, name.last)


def _called(read: Read) -> _Spans:
    """Find any capitalised word by which somebody is said to be called: "the survivor's name is …"."""
    for intro in read.at(Mark.INTRO):
        if read.near(intro, Mark.PRONOUN, Mark.ROLE, Mark.PERSON, Mark.RELATIVE, before=4, after=2) is None:
            continue
        for place in range(intro + 1, min(intro + 4, len(read.tokens))):
            if read.is_unknown_capital(place, least=2) and not read.tokens[place].opens:
                yield read.span(place, place)


class _Reach(NamedTuple):
    """How many words may lie between a name and a role, other such words, or a word that leads to a name."""

    role: int
    others: int
    called: int


_NOT = -1
_REACH = {
    Shape.FULL: _Reach(14, 3, 2),
    Shape.LIKELY: _Reach(8, 2, 2),
    Shape.SMALL: _Reach(2, 2, 2),
    Shape.CUT: _Reach(2, 4, 2),
    Shape.GIVEN: _Reach(1, 0, 1),
    Shape.SURNAME: _Reach(1, 1, 1),
    Shape.FAMILY: _Reach(0, _NOT, _NOT),
    Shape.PAIR: _Reach(0, _NOT, _NOT),
}
_WHOLE = (Shape.FULL, Shape.LIKELY, Shape.SMALL, Shape.PAIR)


def _is_led_or_followed(read: Read, name: Name) -> bool:
    """Tell whether a role stands before a name, or after it and set off from it: "Dzhaparov (victim)"."""
    return read.gap(name, Mark.ROLE, before=0) == 0 or read.said(name.last + 1) in (",", "(", "-")


def _is_somebody(read: Read, name: Name) -> bool:
    """Tell whether somebody is spoken of who suffered, or of whom the writer goes on to speak."""
    if read.gap(name, Mark.HARM, Mark.SUFFERED, Mark.PERSON, before=8, after=8) <= 8:
        return True
    pronoun = read.near(name.first, Mark.PRONOUN, before=3)
    if pronoun is not None and read.tokens[pronoun].key in _SUBJECTS:
        return True
    return (
        read.gap(name, Mark.PRONOUN, before=_NOT, after=4) <= 4 and read.gap(name, Mark.PUBLIC, before=8, after=8) > 8
    )


_SUBJECTS = {"he", "she", "він", "вона", "он", "она"}


def _is_public_matter(read: Read, name: Name) -> bool:
    """Tell whether an office, a case or a book bears the name: "Judge …", "the case of …", "… v. Russia"."""
    place = name.first - 1
    while place >= 0 and (read.tokens[place].said in '."' or read.tokens[place].key in _OF):
        place -= 1
    return read.has(place, Mark.PUBLIC) or read.has(name.last + 1, Mark.PUBLIC)


_OF = {"of", "the", "on", "by", "with", "against", "щодо", "над", "про", "по", "о", "об"}


def _is_misspelt_role(read: Read, name: Name) -> bool:
    """Tell whether the word beside a name is a role with one slip of the finger: "clinet", "свдок"."""
    return any(
        4 < len(token.key) < 20
        and not token.marks
        and process.extractOne(token.key, _ROLE_WORDS, scorer=OSA.distance, score_cutoff=1) is not None
        for place in (name.first - 1, name.last + 1)
        for token in read.tokens[max(place, 0) : place + 1]
    )


def _described(read: Read) -> _Spans:
    """Find one person who is told by an age and a place, by a nickname, or by a village."""
    someone = (Mark.PERSON, Mark.JOB, Mark.ROLE, Mark.RELATIVE)
    for age in read.ages:
        person = read.near(age, *someone, Mark.PRONOUN, before=8, after=5)
        if person is None:
            person = _as_noun(read, age)
        place = read.near_origin(age, before=6, after=9)
        if person is not None and place is not None:
            yield read.span(min(age, person, place), max(age, person, place))
    for nickname in read.at(Mark.NICKNAME):
        told = any(token.said == '"' or token.said[0].isupper() for token in read.tokens[nickname + 1 : nickname + 4])
        if told and (
            read.near(nickname, *someone, before=8, after=8) is not None
            or read.near_origin(nickname, before=8, after=8) is not None
        ):
            yield read.span(nickname, nickname)
    for person in read.at(Mark.PERSON, Mark.JOB, Mark.ROLE):
        unique = read.near(person, Mark.UNIQUE, before=3)
        if unique is not None and (place := read.near_origin(person, before=0, after=4)) is not None:
            yield read.span(unique, place)
    for village in read.villages:
        person = read.near(village, *someone, before=7, after=5)
        if person is None:
            person = read.near(village, Mark.PRONOUN, before=3, after=5)
        if person is not None:
            yield read.span(min(person, village), max(person, village))


def _as_noun(read: Read, age: int) -> int | None:
    """Return the end of "a nine-year-old from …", where no other word says who it is."""
    end = read.near(age, Mark.YEARS, after=2) or age
    said = read.has(end + 1, Mark.FROM) or read.said(end + 1) == "who"
    return end if said and "year-old" in read.tokens[end].key else None


def _birth_dates(read: Read) -> _Spans:
    """Find a date at which somebody was born or came of age, and one directly beside a role or a name.

    The dates of hearings, deadlines, laws and judgments pass.
    """
    for first, last, year in read.dates:
        turned = read.near(first, Mark.TURNED, before=6, after=6)
        if (
            read.near(first, Mark.BIRTH, before=6, after=last - first + 5) is not None
            or (
                turned is not None
                and (read.near(turned, Mark.COUNT, after=2) is not None or read.said(turned + 1).isdigit())
            )
            or (year is not None and year < _RECENT and _stands_beside_somebody(read, first, last))
        ):
            yield read.span(first, last)
    for place in read.numbers:
        shaped = _SHAPED_LIKE_A_DATE.fullmatch(read.tokens[place].said)
        if shaped and place not in read.dated and read.near(place, Mark.BIRTH, before=4, after=3) is not None:
            yield read.span(place, place)
        if not _is_year_of_birth(read, place):
            continue
        somebody = (Mark.ROLE, Mark.PRONOUN, Mark.PERSON, Mark.JOB, Mark.RELATIVE)
        birth = read.near(place, Mark.BIRTH, before=3, after=3)
        if birth is not None and (
            read.near(place, *somebody, before=10, after=6) is not None
            # "Born in 1962", but not "born after 2014".
            or birth == place + 1
            or (birth < place and read.joins(birth, place))
        ):
            yield read.span(place, place)
        elif place > 1 and read.tokens[place - 1].said == "." and read.tokens[place - 2].said in _BORN_IN_SHORT:
            yield read.span(place - 2, place)


_BORN_IN_SHORT = {"b", "н", "р"}
_SHAPED_LIKE_A_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}|\d{6}|\d{8}")
_RECENT = 2018


def _is_year_of_birth(read: Read, place: int) -> bool:
    said = read.tokens[place].said
    if len(said) == 2:
        return place > 0 and read.tokens[place - 1].said == "'"
    return bool(YEAR.fullmatch(said)) and int(said) < _RECENT


def _stands_beside_somebody(read: Read, first: int, last: int) -> bool:
    """Tell whether nothing but signs lies between a date and a role or a name."""
    before, after = first - 1, last + 1
    while before > 0 and read.tokens[before].said in _BESIDE:
        before -= 1
    while after < len(read.tokens) - 1 and read.tokens[after].said in _BESIDE:
        after += 1
    names = (name for name in read.people if name.shape in _WHOLE)
    somebody = (Mark.ROLE, Mark.PERSON)
    return any(read.has(place, mark) for place in (before, after) for mark in somebody) or any(
        name.last == before for name in names
    )


_BESIDE = (",", "(", ")", ":", "-", "b", ".", "born")


def _phones(read: Read) -> _Spans:
    """Find a phone number: with a country's prefix, grouped like one, spelt in words, or led by a word for it.

    Sums, years, articles and registry numbers pass.
    """
    for place in read.numbers:
        said, digits = read.tokens[place].said, read.tokens[place].key
        if place in read.dated or _LAW_NUMBER.fullmatch(said) or _YEARS.fullmatch(said) or _DAY.match(said):
            continue
        if not 5 <= len(digits) <= 17:
            continue
        if place and read.tokens[place - 1].kind == "word" and read.tokens[place - 1].end == read.tokens[place].start:
            continue
        groups = len(re.findall(r"\d+", said))
        prefixed = said.startswith("+") or digits.startswith("00")
        led = read.near(place, Mark.PHONE, before=6, after=6) is not None
        somebodys = read.near(place, Mark.NUMBER, before=6) is not None and (
            read.near(place, Mark.PRONOUN, Mark.ROLE, Mark.RELATIVE, Mark.RELATIVES, Mark.PERSON, before=8) is not None
        )
        if read.near(place, Mark.DOCUMENT, Mark.CASE_FILE, before=5) is not None and not led and not prefixed:
            continue
        if (
            (prefixed and len(digits) >= 9)
            or (led and (len(digits) > 5 or groups > 2) and not _is_amount(read, place))
            or (somebodys and len(digits) >= 9)
            or (_DIALLED.match(digits) and groups >= 3 and 10 <= len(digits) <= 12 and not _VOLUME.search(said))
        ):
            yield read.span(place, place)
    for first, last in read.spelt:
        led = read.near(first, Mark.PHONE, Mark.NUMBER, before=8, after=last - first + 4) is not None
        if led or read.tokens[first].key in _DIALLED_FIRST:
            yield read.span(first, last)
    for place, token in enumerate(read.tokens[:-1]):
        if (
            token.said == "@"
            and read.tokens[place + 1].kind == "word"
            and read.near(place, Mark.PHONE, before=5) is not None
        ):
            yield read.span(place, place + 1)


_DIALLED_FIRST = {"plus", "zero", "плюс", "нуль", "ноль"}
_DIALLED = re.compile(r"0|8|7\d{10}|38|375|37[34]|99[2-68]")
_VOLUME = re.compile(r"\d \((?:19|20)\d\d\)")
_LAW_NUMBER = re.compile(r"\d{1,6}/(?:\d\d|(?:19|20)\d\d)")
_DAY = re.compile(r"\d{4}-(?:0\d|1[0-2])-[0-3]\d(?![-\d])")
_YEARS = re.compile(r"(?:19|20)\d\d ?[-/ ] ?(?:19|20)\d\d")


def _is_amount(read: Read, place: int) -> bool:
    return read.has(place - 1, Mark.AMOUNT) or read.has(place + 1, Mark.AMOUNT)


def _emails(read: Read) -> _Spans:
    """Find a person's e-mail address, also with "(at)" or "собака"; the mailboxes of institutions pass."""
    for found in _EMAIL.finditer(read.plain):
        local, domain = found["local"], found["domain"].casefold()
        first = re.split(r"[._+-]", local)[0]
        if not _PUBLIC_DOMAIN.search(domain) and Mark.OFFICE not in WORDS.marks(fold(first)):
            yield read.place(*found.span())


_EMAIL = re.compile(
    r"""
    (?<![\w.+-]) (?P<local> [\w.+-]{1,64} )
    (?: \ ? @ \ ?
      | \s{0,2} [\[({<] \s? (?: at | dog | собака | собачка | равлик | песик | ат | ет | эт | @ ) \s? [\])}>] \s{0,2}
      | \s (?: собака | собачка | равлик | sobaka ) \s
      | "? \s at \s (?= [\w-]{1,63} \s dot \s ) )
    (?P<domain> [\w-]{1,63}
      (?: (?: \. | \s? [\[({] \s? (?: dot | крапка | точка | тчк | \. ) \s? [\])}] \s?
            | \s (?: dot | крапка | точка ) \s )
          [\w-]{2,24} ){1,4} )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PUBLIC_DOMAIN = re.compile(r"\.int$|(?:^|\.)(?:gov|gob|gouv|europa|coe|un|ohchr|icc-cpi)\b")


def _coordinates(read: Read) -> _Spans:
    """Find a point on the map: a pair of long decimals, degrees and minutes, a grid or plus code, a map's link."""
    yield from (read.place(*found.span()) for found in _POINT.finditer(read.plain))
    decimals = list(_DECIMAL.finditer(read.plain))
    for one, two in pairwise(decimals):
        between = read.plain[one.end() : two.start()]
        exact = min(len(one["fraction"]), len(two["fraction"])) > 3
        if len(between) < 30 and (exact or read.near_latitude(one.start())) and _is_on_the_map(read, one, two):
            yield read.place(one.start(), two.end())
    for one in decimals:
        if len(one["fraction"]) > 2 and read.near_latitude(one.start()):
            yield read.place(*one.span())


def _is_on_the_map(read: Read, one: re.Match[str], two: re.Match[str]) -> bool:
    """Tell whether two decimals can be degrees; small ones only beside a word that says so."""
    least = 0 if read.near_latitude(one.start()) else 10
    return least <= abs(int(one["whole"])) <= 90 and least <= abs(int(two["whole"])) <= 180


_DECIMAL = re.compile(r"(?<![\d.])(?P<whole>[-+]?\d{1,3})[.,](?P<fraction>\d{3,9})(?!\d)")
_POINT = re.compile(
    r"""
    \b\d{1,3}\s?° \s? \d{1,2} (?: [.,]\d+ )? (?: \s?['"]{1,2} (?: \s?\d{1,2} (?: [.,]\d+ )? )? )?
    | \b\d{1,2}[.,]\d{2,}\s?°?\s?[NS]\b[\s,;/]{0,3}\d{1,3}[.,]\d{2,}\s?°?\s?[EW]\b
    | \b[23456789CFGHJMPQRVWX]{4,8}\+[23456789CFGHJMPQRVWX]{2,3}\b
    | \b\d{1,2}\s?[C-X]\s?[A-Z]{2}\s?\d{4,5}\s?\d{4,5}\b
    | /{3}[^\W\d_]+\.[^\W\d_]+\.[^\W\d_]+
    | (?: maps\.app\.goo\.gl | goo\.gl/maps | google\.\w{2,3}/maps | maps\.google\.\w{2,3}
        | yandex\.\w{2,3}/maps | osm\.org | what3words\.com ) / \S+
    """,
    re.VERBOSE,
)


def _addresses(read: Read) -> _Spans:
    """Find where somebody lives or hides: a street with a number, a flat, a house, a village.

    Streets without a number, rooms of courts, regions and cities pass.
    """
    tokens = read.tokens
    for street in read.at(Mark.STREET):
        if not _is_street(read, street):
            continue
        for place in range(max(street - 4, 0), min(street + 7, len(tokens))):
            between = {token.said for token in tokens[place + 1 : street]}
            if _is_house_number(read, place) and "," not in between:
                yield read.span(min(street, place), max(street, place))
                break
        else:
            house = read.near(street, Mark.HOUSE, Mark.FLAT, after=12)
            if house is not None and (number := _numbered(read, house)):
                yield read.span(street, number)
    for flat in read.at(Mark.FLAT):
        if (number := _numbered(read, flat)) and any(
            token.kind == "number" or token.said[0].isupper() for token in tokens[max(flat - 6, 0) : flat]
        ):
            yield read.span(flat, number)
    for house in read.at(Mark.HOUSE):
        if (number := _numbered(read, house)) and (
            read.near(house, Mark.VILLAGE, Mark.LIVING, Mark.STREET, before=8, after=8) is not None
            or any(abs(village - house) <= 8 for village in read.villages)
        ):
            yield read.span(house, number)
    for living in read.at(Mark.LIVING):
        for place in range(living + 1, min(living + 7, len(tokens) - 1)):
            if read.is_unknown_capital(place) and (
                _is_house_number(read, place + 1 + (tokens[place + 1].said == ","))
                or (_is_house_number(read, place - 1) and place - 1 > living)
            ):
                yield read.span(place - 1, place + 1)
    for place, token in enumerate(tokens[:-1]):
        number = place + 1 + (tokens[place + 1].said == ",")
        if not (read.is_unknown_capital(place) and _is_house_number(read, number)):
            continue
        on = place > 0 and tokens[place - 1].key == "на" and token.key.endswith(("ій", "ой", "ей"))
        like_a_street = bool(_LIKE_A_STREET.search(token.key))
        beside = like_a_street and _is_beside_a_town(read, place, number)
        if beside or (not token.opens and (on or (like_a_street and read.near_one_person(place, before=8, after=8)))):
            yield read.span(place, number)
    for village in read.villages:
        if read.near(village, Mark.LIVING, before=6, after=3) is not None:
            yield read.span(village, village + 1)


_LIKE_A_STREET = re.compile("(?:ska|skaya|ova|eva|ina|yna|naya|lna|ська|цька|ская|цкая|ова|ева|єва|ная|ьна)$")


def _is_beside_a_town(read: Read, place: int, number: int) -> bool:
    """Tell whether a comma leads from a town to a street, or from its number to a town: "Вокзальна 5, Буча"."""
    before = place > 1 and read.said(place - 1) == "," and _is_town(read, place - 2)
    return before or (read.said(number + 1) == "," and _is_town(read, number + 2))


def _is_town(read: Read, place: int) -> bool:
    return (
        0 <= place < len(read.tokens)
        and read.tokens[place].said[0].isupper()
        and (read.is_unknown_capital(place) or read.has(place, Mark.CITY))
    )


def _is_street(read: Read, place: int) -> bool:
    """Tell whether a word means a street here: in English only beside a name, "st" and "road" mean so much else."""
    after = place + 1 + (read.said(place + 1) == ".")
    return not read.tokens[place].key.isascii() or read.is_unknown_capital(place - 1) or read.is_unknown_capital(after)


def _is_house_number(read: Read, place: int) -> bool:
    if not 0 <= place < len(read.tokens) or read.tokens[place].kind != "number" or place in read.dated:
        return False
    said, following = read.tokens[place].said, place + 1
    return bool(_HOUSE_NUMBER.fullmatch(said)) and not (
        YEAR.fullmatch(said)
        or read.has(following, Mark.AMOUNT)
        or read.has(following, Mark.YEARS)
        or read.has(following, Mark.MONTH)
        or read.said(following) in (":", "%", "€", "$")
    )


_HOUSE_NUMBER = re.compile(r"\d{1,3}(?: ?[-/] ?\d{1,3})?(?: ?[-/] ?\d{1,3})?")


def _numbered(read: Read, place: int) -> int:
    """Return the number that a house or flat has; 0 if none follows."""
    for other in range(place + 1, min(place + 4, len(read.tokens))):
        if _is_house_number(read, other):
            return other
        if read.tokens[other].said not in ".#" and read.tokens[other].key != "no":
            return 0
    return 0


def _documents(read: Read) -> _Spans:
    """Find the number of somebody's passport, card, tax file or certificate; those of companies and laws pass."""
    for place in read.numbers:
        said, digits = read.tokens[place].said, read.tokens[place].key
        if place in read.dated or len(digits) < 5 or _LAW_NUMBER.fullmatch(said) or _YEARS.fullmatch(said):
            continue
        if _is_amount(read, place) or read.near(place, Mark.COMPANY, before=6, after=4) is not None:
            continue
        series = read.tokens[place - 1].said if place else ""
        is_series = len(series) == 2 and series.isupper() and len(digits) in (6, 7)
        first = place - 1 if is_series else place
        led = read.near(place, Mark.DOCUMENT, before=7, after=4)
        phone = led is not None and read.near(place, Mark.PHONE, before=max(place - led, 0)) is not None
        # Without a word for it, only the shape tells: two letters and six digits, or a long number of somebody.
        shaped = is_series or (9 <= len(digits) <= 14 and said == digits)
        somebodys = read.near(first, Mark.ROLE, Mark.PRONOUN, Mark.RELATIVE, before=6, after=5) is not None
        if (led is not None and not phone) or (is_series and not series.isascii()) or (shaped and somebodys):
            yield read.span(first, place)


def _case_files(read: Read) -> _Spans:
    """Find the number of an investigation or of a domestic criminal case.

    Applications to international courts, judgments, laws, resolutions and licences pass: they are published.
    """
    for place in read.numbers:
        said, digits = read.tokens[place].said, read.tokens[place].key
        if place in read.dated or _YEARS.fullmatch(said) or _is_amount(read, place):
            continue
        told = (
            len(digits) > 4
            and not _LAW_NUMBER.fullmatch(said)
            and not _is_part_of_a_code(read, place)
            and read.near(place, Mark.CASE_FILE, before=6 if len(digits) > 5 else 3, after=3) is not None
            and read.near(place, Mark.PUBLISHED, before=3) is None
            and read.near(place, Mark.COMPANY, Mark.DOCUMENT, Mark.PHONE, before=5) is None
        )
        if told or _DOMESTIC.fullmatch(said) or (len(digits) in (15, 16, 17) and said == digits):
            yield read.span(place, place)


_DOMESTIC = re.compile(r"\d{1,2}-\d{1,7}/(?:\d\d|20\d\d)|\d{3}/\d{3,6}/\d\d")


def _is_part_of_a_code(read: Read, place: int) -> bool:
    """Tell whether a number hangs on letters, like the one in ICC-01/04 or A/HRC/46/4."""
    return place > 1 and (
        read.tokens[place - 1].said in "-/"
        and read.tokens[place - 1].end == read.tokens[place].start
        and read.tokens[place - 2].said.isascii()
    )


def _health(read: Read) -> _Spans:
    """Find what ails one person; medicine as a subject, the ill in general and attacks on hospitals pass."""
    for ailment in read.at(Mark.HEALTH):
        if read.near_one_person(ailment, before=10, after=8):
            yield read.span(ailment, ailment)


def _sexual_violence(read: Read) -> _Spans:
    """Find what was done to one person's body.

    The crime's name is a term of law: it counts only close to somebody, and not where law is spoken of.
    """
    for act in read.at(Mark.SEXUAL_ACT):
        if read.near_one_person(act, before=12, after=10) or read.near(act, Mark.ROLE, before=8, after=8) is not None:
            yield read.span(act, act)
    for crime in read.at(Mark.SEXUAL_NOUN):
        if read.near(crime, Mark.LAW, before=5, after=5) is None and read.near_one_person(
            crime, before=6, after=6, named=True
        ):
            yield read.span(crime, crime)
    for place, token in enumerate(read.tokens[1:-1], 1):
        quoted = read.tokens[place - 1].said == read.tokens[place + 1].said == '"'
        if quoted and Mark.RELATIVE in token.marks and read.near(place, Mark.MASTER, after=6) is not None:
            yield read.span(place, place)


RULES: tuple[tuple[Danger, Callable[[Read], _Spans]], ...] = (
    (Danger.NAME, _names),
    (Danger.NAME, _called),
    (Danger.PERSON, _described),
    (Danger.BIRTH_DATE, _birth_dates),
    (Danger.PHONE, _phones),
    (Danger.EMAIL, _emails),
    (Danger.COORDINATES, _coordinates),
    (Danger.ADDRESS, _addresses),
    (Danger.DOCUMENT, _documents),
    (Danger.CASE_FILE, _case_files),
    (Danger.HEALTH, _health),
    (Danger.SEXUAL_VIOLENCE, _sexual_violence),
)
