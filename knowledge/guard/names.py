"""How the guard knows that words are a person's name."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from itertools import zip_longest

from knowledge.guard.marks import Mark, Words, load
from knowledge.guard.tokens import Token
from knowledge.words import LITTLE_WORDS, fold, sound

# How given names bend in Ukrainian and Russian: how they end, and how they end then.
_BENDING = (
    ("ія", "ія ії ію ією іє"),
    ("ия", "ия ии ию ией ие"),
    ("я", "я ї і и ю єю ею ей є е"),
    ("а", "а и ы і у ою ой ею ей е о"),
    ("ій", "ій ія ію ієм ієві ії"),
    ("ий", "ий ия ию ием ии ія ію ієм ієві ії"),
    ("й", "й я ю єм ем єві еві ї и і е"),
    ("ь", "ь я ю ем ём еві і е"),
    ("о", "о а у ом ові і е"),
    ("и", "и"),
    ("і", "і"),
    ("у", "у"),
    ("е", "е"),
    ("", "· а у ом ові і е ы и"),
)


def _bent(name: str) -> Iterator[str]:
    ending, endings = next(way for way in _BENDING if name.endswith(way[0]))
    root = name.removesuffix(ending)
    yield name
    for other in endings.split():
        yield root + other.strip("·")
    if root.endswith("г"):
        yield root[:-1] + "зі"


def _endings(lines: str) -> re.Pattern[str]:
    return re.compile(rf"\w{{2,}}(?:{'|'.join(f'(?:{line})' for line in lines.split())})")


class Names:
    """What looks like a person's name, and which names are public."""

    def __init__(self, tables: Mapping[str, str]) -> None:
        # By their sound the Cyrillic spellings and the Latin ones are one name.
        self._given = self._sounds(tables["given"], tables["latin"])
        self._ambiguous = self._sounds(tables["ambiguous"], tables["ambiguous_latin"])
        self._ordinary = frozenset(map(fold, tables["ordinary"].split()))
        self._surely_family = _endings(tables["surely_family"])
        self._family = _endings(tables["family"])
        self._patronymic = _endings(tables["patronymic"])
        people = (person.split("_") for person in tables["public_people"].split())
        both = (f"{form}_{family}" for given, family in people for form in _bent(given))
        self._public = Words({Mark.PUBLIC: (*tables["public_families"].split(), *both)})

    @staticmethod
    def _sounds(cyrillic: str, latin: str) -> frozenset[str]:
        bent = (form for name in cyrillic.split() for form in _bent(fold(name)))
        return frozenset(map(sound, (*bent, *map(fold, latin.split()))))

    def given(self, key: str) -> tuple[bool, bool]:
        """Return whether a word is a given name, and whether it is nothing else."""
        if key in self._ordinary:
            return False, False
        heard = sound(key.partition("-")[0])
        given = heard in self._given or heard in self._ambiguous
        return given, given and heard not in self._ambiguous

    def family(self, key: str) -> tuple[bool, bool]:
        """Return whether a word ends like a family name, and whether hardly anything else does."""
        word = key.replace("-", "")
        if len(word) < 5:
            return False, False
        surely = bool(self._surely_family.fullmatch(word))
        return surely or bool(self._family.fullmatch(word)), surely

    def patronymic(self, key: str) -> bool:
        """Return whether a word ends like a name after the father's."""
        return len(key) >= 6 and bool(self._patronymic.fullmatch(key))

    def public(self, first: str, second: str = "") -> bool:
        """Return whether a word, alone or with the next, is the name of somebody known to all."""
        return bool(
            self._public.marks(first) or (second and self._public.marks(f"{first}_{second}", beyond=len(first)))
        )


NAMES = Names(load("names.toml"))


class Shape(StrEnum):
    """How surely words are a person's name."""

    FULL = auto()
    """A given and a family name, a patronymic, two initials: Olena Marchuk, Бойко Н. С."""
    SMALL = auto()
    """The same without capital letters: оксана пилипчук."""
    GIVEN = auto()
    CUT = auto()
    """With one initial: Ислама Д., A. Demchenko."""
    SURNAME = auto()
    """One word with an ending that hardly anything but a family name has."""
    FAMILY = auto()
    """One word that ends like a family name, or a given name in small letters."""
    LIKELY = auto()
    """Two capitalised words, the second with a family name's ending."""
    PAIR = auto()
    """Two capitalised words that nobody knows."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name from its first token to its last."""

    first: int
    last: int
    shape: Shape


_OTHER_THAN_A_NAME = frozenset(
    {
        *(Mark.ROLE, Mark.ROLES, Mark.TESTIMONY, Mark.INTRO, Mark.TITLE, Mark.PRONOUN, Mark.OURS, Mark.PERSON),
        *(Mark.RELATIVE, Mark.RELATIVES, Mark.PUBLIC, Mark.INSTITUTION, Mark.PLACE, Mark.CITY, Mark.FROM, Mark.STREET),
        *(Mark.PHONE, Mark.DOCUMENT),
    }
)


# What stands directly before somebody's name.
_LEADING = frozenset({Mark.ROLE, Mark.RELATIVE, Mark.PERSON, Mark.INTRO})

# Little words that are family names as well.
_LITTLE_NAMES = frozenset({"ли", "ким", "ни"})


_INITIAL = re.compile(r"[^\W\d_a-zа-яіїєґ]|Ch|Sh|Zh|Kh|Ts|Yu|Ya|Ye|Дж")


class People:
    """The names in a text, public ones left out."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        words = [token.said for token in tokens if token.kind == "word" and len(token.said) > 3]
        capitals = sum(word[0].isupper() and not word.isupper() for word in words)
        self._heading = len(words) > 6 and capitals > 0.6 * len(words)
        self._given = [self._free(place) and NAMES.given(token.key) for place, token in enumerate(tokens)]

    def names(self) -> Iterator[Name]:
        """Yield the names in their order; no word belongs to two of them."""
        place = 0
        while place < len(self._tokens):
            name = self._written(place) or self._short(place) or self._small(place)
            if name and not self._public(name):
                yield name
            place = name.last + 1 if name else place + 1

    def _written(self, place: int) -> Name | None:
        """Read a name with its capital letters, the surest reading first."""
        following = place + 1
        if last := self._initials(place):
            if self._proper(last + 1):
                return Name(place, last + 1, Shape.FULL if last > following else Shape.CUT)
            return None
        if not self._proper(place):
            return None
        opens, bare = self._tokens[place].opens, not self._tokens[place].marks
        given, family = self._is_given(place), self._family(place)
        if opens and self._family(place, surely=True) and self._is_led_or_suffers(place):
            opens = False
        if last := self._initials(following):
            if given or family or last > following + 1 or (bare and not opens):
                return Name(place, last, Shape.FULL if last > following + 1 else Shape.CUT)
        elif given and self._initial(following):
            return Name(place, following, Shape.CUT)
        if self._proper(following):
            if given and (self._is_given(place, surely=True) or self._ends_like_a_name(following)):
                return Name(place, self._rest(following), Shape.FULL)
            if bare and self._is_given(following) and (family or self._is_given(following, surely=True)):
                # The first word of a sentence is capitalised anyway; then only a family name's ending tells.
                if not opens or self._family(place, surely=True):
                    return Name(place, self._rest(following), Shape.FULL)
                return None
        if NAMES.patronymic(self._tokens[place].key):
            return Name(place, self._rest(place), Shape.FULL)
        if given and (self._is_given(place, surely=True) or (bare and not opens)):
            return Name(place, place, Shape.GIVEN)
        if not bare:
            return None
        if self._proper(following):
            if self._family(following, surely=True) or (self._family(place, surely=True) and not opens):
                return Name(place, following, Shape.LIKELY)
            if not (self._heading or opens or self._tokens[following].marks):
                return Name(place, following, Shape.PAIR)
        titled = place > 0 and any(Mark.TITLE in token.marks for token in self._tokens[max(place - 2, 0) : place])
        if titled:
            return Name(place, place, Shape.SURNAME)
        if not family or opens or self._heading:
            return None
        return Name(place, place, Shape.SURNAME if self._family(place, surely=True) else Shape.FAMILY)

    def _short(self, place: int) -> Name | None:
        """Read a capitalised word of two or three letters: directly after what leads to a name it is one, too."""
        token = self._tokens[place]
        if not (
            token.kind == "word"
            and 1 < len(token.key) < 4
            and token.said[0].isupper()
            and not (token.said.isupper() or token.opens or self._heading)
        ):
            return None
        stop = place > 1 and self._tokens[place - 1].said == "."
        before = place - 1 - stop
        leads = self._tokens[before].marks if before >= 0 else frozenset[Mark]()
        if Mark.TITLE in leads:
            return Name(place, place, Shape.SURNAME)
        # Any other word may open the next line: "the witness", and below it "How …".
        if token.key not in _LITTLE_NAMES and (token.marks or token.key in LITTLE_WORDS):
            return None
        if stop:
            return Name(place, place, Shape.CUT) if self._initial(before) else None
        led = not _LEADING.isdisjoint(leads) or (self._proper(before) and self._is_given(before, surely=True))
        return Name(place, place, Shape.SURNAME) if led else None

    def _is_led_or_suffers(self, place: int) -> bool:
        """Tell whether a role and a colon lead to a word, or what was done to somebody follows: "Victim: Sidorova"."""
        led = place > 1 and self._tokens[place - 1].said == ":" and Mark.ROLE in self._tokens[place - 2].marks
        following = self._tokens[place + 1 : place + 3]
        return led or any(not token.marks.isdisjoint((Mark.SUFFERED, Mark.SEXUAL_ACT)) for token in following)

    def _small(self, place: int) -> Name | None:
        """Read a name in small letters, of words that are nothing else; a given name alone tells the least."""
        if not self._is_small(place):
            return None
        surely = self._is_given(place, surely=True)
        if self._is_small(place + 1) and (
            (surely and self._family(place + 1)) or (self._family(place) and self._is_given(place + 1, surely=True))
        ):
            return Name(place, place + 1, Shape.SMALL)
        return Name(place, place, Shape.FAMILY) if surely else None

    def _is_small(self, place: int) -> bool:
        return self._free(place) and not self._tokens[place].marks and self._tokens[place].said.islower()

    def _public(self, name: Name) -> bool:
        keys = [token.key for token in self._tokens[name.first : name.last + 1]]
        return any(NAMES.public(first, second) for first, second in zip_longest(keys, keys[1:], fillvalue=""))

    def _rest(self, place: int) -> int:
        """Return the last token of a name whose second word stands here."""
        while self._proper(place + 1) and self._ends_like_a_name(place + 1):
            place += 1
        return place

    def _free(self, place: int) -> bool:
        return (
            place < len(self._tokens)
            and self._tokens[place].kind == "word"
            and 2 < len(self._tokens[place].key) < 40
            and _OTHER_THAN_A_NAME.isdisjoint(self._tokens[place].marks)
        )

    def _proper(self, place: int) -> bool:
        """Tell whether a word is capitalised as names are; one in capitals throughout must sound like a name, too."""
        if not self._free(place) or not (said := self._tokens[place].said)[0].isupper():
            return False
        return not said.isupper() or (len(said) > 3 and (self._is_given(place) or self._family(place)))

    def _is_given(self, place: int, *, surely: bool = False) -> bool:
        given = place < len(self._tokens) and self._given[place]
        return bool(given and given[surely])

    def _family(self, place: int, *, surely: bool = False) -> bool:
        return self._free(place) and NAMES.family(self._tokens[place].key)[surely]

    def _ends_like_a_name(self, place: int) -> bool:
        return self._family(place) or (self._free(place) and NAMES.patronymic(self._tokens[place].key))

    def _initial(self, place: int) -> bool:
        return place < len(self._tokens) and bool(_INITIAL.fullmatch(self._tokens[place].said))

    def _initials(self, place: int) -> int:
        """Return the last token of one or two initials with their stops; 0 if there are none."""
        last = 0
        for one in (place, place + 2):
            if self._initial(one) and one + 1 < len(self._tokens) and self._tokens[one + 1].said == ".":
                last = one + 1
            else:
                break
        return last
