"""What is taken out of a question before it leaves for a model that others run, and put back into the answer.

The survivor guard stops what may tell who a victim is; here more is hidden, because a question is read abroad:
every name that is not public, every address, number and code. A name too many hidden makes an answer poorer; a
name too few hidden cannot be called back. So whatever is in doubt is hidden.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from knowledge.guard import Danger, findings
from knowledge.guard.marks import Mark
from knowledge.guard.names import NAMES, Shape
from knowledge.guard.reading import YEAR, Read
from knowledge.guard.tokens import Token, plain, tokens
from knowledge.words import LITTLE_WORDS, sound, words

Knows = Callable[[str], bool]
"""Whether a word is known to be something else than a name. `Library.knows` is one."""


class Kind(StrEnum):
    """What a placeholder stands for; its name is what a model reads in its place."""

    PERSON = "PERSON"
    PLACE = "PLACE"
    DATE = "DATE"
    EMAIL = "EMAIL"
    PHONE = "PHONE"
    HANDLE = "HANDLE"
    LINK = "LINK"
    CODE = "CODE"
    NUMBER = "NUMBER"


class _Span(NamedTuple):
    start: int
    end: int
    kind: Kind


def redact(
    question: str,
    public: str = "",
    handles: re.Pattern[str] | None = None,
    knows: Knows | None = None,
) -> tuple[str, Mapping[str, str]]:
    """Return a question in which placeholders stand for what could lead to somebody, and what each stands for.

    The same words, written alike, get the same placeholder. A placeholder looks like "[PERSON_1]" and is never one
    that the question already contains.

    Args:
        question: as it was typed.
        public: text that is sent along anyway. A name or number that stands in it is not hidden, unless the
            survivor guard finds somebody in need of protection at that very place.
        handles: what else names somebody here.
        knows: which words are no names. Without it a name that opens a sentence alone, or is written small, is known by
            its ending or not at all.
    """
    hidden: dict[str, str] = {}
    known: dict[str, str] = {}
    parts: list[str] = []
    end = 0
    for span in _merged(question, sorted(_whole(question, _spans(question, public, handles, knows)))):
        said = question[span.start : span.end]
        key = f"{span.kind}{said}"
        if key not in known:
            known[key] = _placeholder(span.kind, question, hidden)
            hidden[known[key]] = said
        parts += question[end : span.start], known[key]
        end = span.end
    return "".join((*parts, question[end:])), hidden


def restore(text: str, hidden: Mapping[str, str]) -> str:
    """Return a text with what its placeholders stand for."""
    # One pass, so that what is put back is not itself taken for a placeholder.
    return re.sub(r"\[[A-Z]+_\d+\]", lambda found: hidden.get(found[0], found[0]), text)


def _placeholder(kind: Kind, question: str, hidden: Mapping[str, str]) -> str:
    number = 1
    while (name := f"[{kind}_{number}]") in hidden or name in question:
        number += 1
    return name


def _whole(text: str, spans: Iterable[_Span]) -> Iterator[_Span]:
    """Yield the spans, persons with the whole account of which their name is a part: vasya_pupkin."""
    accounts = [found.span() for found in _ACCOUNT.finditer(text)]
    for span in spans:
        around = [each for each in accounts if each[0] < span.end and span.start < each[1]]
        if span.kind is Kind.PERSON and around:
            yield _Span(min(span.start, around[0][0]), max(span.end, around[-1][1]), span.kind)
        else:
            yield span


_ACCOUNT = re.compile(r"(?<![\w.@-])(?=[\w.@-]*[_.@]\w)[\w.@-]*\w")


def _merged(text: str, spans: list[_Span]) -> Iterator[_Span]:
    """Yield the spans as one where they overlap, and where two of the same kind stand side by side."""
    open_: _Span | None = None
    for span in spans:
        if open_ is None:
            open_ = span
            continue
        between = text[open_.end : span.start]
        if span.start < open_.end or (span.kind is open_.kind is Kind.PERSON and between in (" ", ". ", "-", "")):
            # The longer reading says best what it is.
            longer = span if span.end - span.start > open_.end - open_.start else open_
            open_ = _Span(open_.start, max(open_.end, span.end), longer.kind)
        else:
            yield open_
            open_ = span
    if open_ is not None:
        yield open_


# What ails somebody and what was done to them is what a lawyer asks about; without a name it leads to nobody.
_KINDS = {
    Danger.NAME: Kind.PERSON,
    Danger.PERSON: Kind.PERSON,
    Danger.BIRTH_DATE: Kind.DATE,
    Danger.PHONE: Kind.PHONE,
    Danger.EMAIL: Kind.EMAIL,
    Danger.COORDINATES: Kind.PLACE,
    Danger.ADDRESS: Kind.PLACE,
    Danger.DOCUMENT: Kind.NUMBER,
    Danger.CASE_FILE: Kind.NUMBER,
}


def _spans(
    question: str,
    public: str,
    handles: re.Pattern[str] | None,
    knows: Knows | None,
) -> Iterator[_Span]:
    for found in handles.finditer(question) if handles else ():
        yield _Span(*found.span(), Kind.HANDLE)
    for finding in findings(question):
        if kind := _KINDS.get(finding.kind):
            yield _Span(finding.start, finding.end, kind)
    read, known = Read(question), _Public(public, knows)
    for kind, shape in _SHAPES:
        for found in shape.finditer(read.plain):
            if not known.has(found[0]):
                yield _Span(*read.place(*found.span()), kind)
    for found in _GEORGIAN_NAME.finditer(read.plain):
        yield _Span(*read.place(*found.span()), Kind.PERSON)
    yield from _numbers(read, known)
    yield from _names(read, known, knows)


# Georgian has no capitals: a given name that many bear with the word after it, and the endings of family names.
_GEORGIAN_NAME = re.compile(
    r"""
    (?<![ა-ჰ]) (?: (?:
        გიორგი | დავით | დათო | ლევან | ზურაბ | ნიკოლოზ | ნიკა | ირაკლი | ალექსანდრე | სანდრო | მიხეილ | მიშა | თამაზ
      | თენგიზ | გოჩა | გია | ვახტანგ | ვახო | ვასილ | შოთა | ოთარ | რევაზ | რეზო | ავთანდილ | ავთო | ბადრი | ბექა
      | გელა | კახა | კობა | ლაშა | მამუკა | მერაბ | მალხაზ | ნოდარ | პაატა | რამაზ | სოსო | იოსებ | ტარიელ | იური
      | ჯემალ | ნუგზარ | ემზარ | თორნიკე | ლუკა | საბა | ნინო | ნანა | ნათია | ნათელა | მარიამ | მარინა | მაია | მანანა
      | თამარ | თამთა | თეა | თეონა | ანა | ანი | ეკა | ეკატერინე | ელენე | ელისო | ირინა | ირმა | ია | ქეთევან | ქეთი
      | ლელა | ლია | ლიკა | ლილი | მზია | მედეა | ნატალია | ნატო | სალომე | სოფიო | სოფო | ხათუნა | შორენა | ცირა
      | ეთერ | დალი | გვანცა | ბარბარე
      ) (?: ი|მ|ს|ის|ით|მა|სთან|ისთვის|ისგან|ისა|ო )? (?: \s [ა-ჰ]{3,} )?
    | (?: [ა-ჰ]{3,} \s )? [ა-ჰ]{2,} (?: შვილ(?:ი|მა|ს|ის|ით|თან|ისთვის|ისგან)?
      | ძე(?:მ|ს|სთან)? | ძის(?:გან|თვის)? | ძით ) ) (?![ა-ჰ])
    """,
    re.VERBOSE,
)


class _Public:
    """What stands in a text that is sent anyway.

    A name there is a word that is capitalised where others are not, and that means nothing to `knows`: March makes
    no Marchuk public, nor Roman a Romanov. The first word of a sentence or title counts if a case is called by it.
    """

    def __init__(self, text: str, knows: Knows | None) -> None:
        self._text = text.casefold()
        self._heard: list[str] = []
        for token, following in pairwise([*tokens(plain(text)[0]), _END]):
            is_name = token.said[0].isupper() and (not token.opens or following.key in _AGAINST)
            for part in words(token.key):
                self._heard.append("" if not is_name or (knows and knows(part)) else sound(part))

    def has(self, said: str) -> bool:
        """Tell whether the same characters stand there, as words of their own."""
        said = re.escape(said.casefold())
        return bool(self._text and re.search(rf"(?<!\w){said}(?!\w)", self._text))

    def names(self, said: str) -> bool:
        """Tell whether a name stands there, in whatever alphabet and case: Піночета, Pinochet."""
        asked = [sound(part) for token in tokens(said) for part in words(token.key)]
        return any(
            all(map(_sounds_like, asked, self._heard[place : place + len(asked)]))
            for place in range(len(self._heard) - len(asked) + 1)
        )


_END = Token("", "", 0, 0, "end")
# What stands between the parties of a case.
_AGAINST = frozenset({"v", "vs", "проти", "против", "and", "та", "и", "et"})
# Endings of family names in all cases, by their sound. Those that make another name of a name are not among them.
_CASES = frozenset(("", *"a e i o u s am em im om oi iu ia oiu evi ovi ogo omu aia uiu".split()))  # noqa: SIM905


def _sounds_like(asked: str, heard: str) -> bool:
    # Only how a name bends may differ, and four letters must agree.
    return asked == heard or any(
        asked[:end] == heard[:end] and asked[end:] in _CASES and heard[end:] in _CASES
        for end in range(4, min(len(asked), len(heard)) + 1)
    )


_SHAPES = (
    (Kind.EMAIL, re.compile(r"[^\s@<>,;:()\[\]\"']+@[^\s@<>,;:()\[\]\"']+\.[^\W\d_]{2,}")),
    (Kind.LINK, re.compile(r"(?:[a-z][a-z0-9+.-]{1,12}://|www\.|mailto:|tel:)[^\s<>\"]+", re.IGNORECASE)),
    (
        Kind.LINK,
        re.compile(
            r"""
            (?<![\w@.-]) (?: [\w-]{1,63} \. ){1,5}
            (?: (?: com|org|net|info|biz|int|gov|edu|mil|io|me|app|dev|site|online|xyz|link|news|media|рф|укр
              | eu|ua|ru|by|kz|ge|am|az|md|kg|uz|tj|tm|lt|lv|ee|pl|de|fr|nl|be|ch|at|it|es|se|no|fi|dk|cz|uk|us|ca )
              (?! [\w-] ) (?: [/:?\#] [^\s<>"]* )?
            | [^\W\d_]{2,12} / [^\s<>"]+ )
            """,
            re.VERBOSE | re.IGNORECASE,
        ),
    ),
    # Accounts: @person:server, #room:server, <@123>, @person, person#1234.
    (
        Kind.HANDLE,
        re.compile(r"<[@#][!&]?\d+>|[@#!+][\w.=/+-]+:[\w.-]+(?::\d+)?|(?<!\w)@[\w.-]{2,}|\b\w{2,32}\#\d{4}\b"),
    ),
    # The names that people bear here are two words with a hyphen; so are some ordinary words, which is no harm.
    (
        Kind.HANDLE,
        re.compile(
            r"(?<![\w-])(?!(?:non|anti|pre|post|co|re|ex|self|cross|extra|inter|multi|semi|quasi|pro|so|well|fact)-)"
            r"[a-z]{2,10}-[a-z]{2,10}(?![\w-])",
            re.IGNORECASE,
        ),
    ),
    # Codes such as C-7K3FQ: with a figure among the letters, or all in capitals, or with a prefix of ours.
    # As Skype has them: live:somebody.
    (Kind.HANDLE, re.compile(r"\b(?:live|skype|telegram|tg|wa|signal): ?[\w.@+-]{2,}", re.IGNORECASE)),
    (Kind.CODE, re.compile(r"(?<!\w)[^\W\d_]{1,2} ?- ?(?=[^\W_]*\d)[^\W_]{4,8}(?![\w/])")),
    (Kind.CODE, re.compile(r"(?<!\w)[A-ZА-ЯІ]{1,2} ?- ?[A-ZА-ЯІ]{4,8}(?![\w/])")),
    (Kind.CODE, re.compile(r"(?<!\w)(?:ci|[cbloqs])-[0-9a-hjkmnp-tv-z]{4,6}(?![\w/])", re.IGNORECASE)),
    # The same, taken apart as people read it aloud: C-7K3-FQ, C 7K3 FQ.
    (
        Kind.CODE,
        re.compile(r"(?<!\w)(?:ci|[cbloqs])[ -](?=[a-z]*\d)[0-9a-z]{2,4}[ -][0-9a-z]{2,4}(?![\w/])", re.IGNORECASE),
    ),
    # Letters and figures in one word: passports, accounts, a code without its prefix; not "1990s" or "7031c".
    (
        Kind.NUMBER,
        re.compile(r"(?<!\w)(?!\d{4}[^\W\d_]{1,2}(?!\w))(?=[^\W_]*\d)(?=\d*[^\W\d_])[^\W_]{5,}(?!\w)"),
    ),
)


def _numbers(read: Read, known: _Public) -> Iterator[_Span]:
    """Find long numbers; years, days, sums and the numbers of laws and applications pass."""
    for place in read.numbers:
        token = read.tokens[place]
        if len(token.key) < 6 or place in read.dated or _PUBLIC_NUMBER.fullmatch(token.said) or known.has(token.said):
            continue
        if not (read.has(place - 1, Mark.AMOUNT) or read.has(place + 1, Mark.AMOUNT)):
            yield _Span(*read.span(place, place), Kind.NUMBER)


_PUBLIC_NUMBER = re.compile(
    rf"\d{{1,6}}/(?:\d\d|(?:19|20)\d\d)|(?:19|20)\d\d/\d{{1,5}}|{YEAR.pattern} ?[-/ ] ?{YEAR.pattern}"
)
_LONGEST_ACRONYM = 5


def _names(read: Read, known: _Public, knows: Knows | None) -> Iterator[_Span]:
    """Find names of persons, other capitalised words that nobody knows, and what ends like a name written small."""
    for name in read.people:
        start, end = read.tokens[name.first].start, read.tokens[name.last].end
        # A given name alone may be anybody's, whoever else bears it in public.
        anybodys = name.shape in _ANYBODYS or _is_protected(read, name.first, name.last)
        public = not anybodys and (
            known.names(read.plain[start:end]) or _NAMED_IN_LAW.match(read.tokens[name.first].key)
        )
        if not public:
            yield _Span(*read.place(start, end), Kind.PERSON)
    # Where everything is written in capitals, no acronym can be told.
    shouting = not any(token.said.islower() for token in read.tokens if len(token.said) > 1)
    for place, token in enumerate(read.tokens):
        if token.kind != "word":
            continue
        if _is_short_name(read, place):
            named = True
        elif token.key in LITTLE_WORDS:
            continue
        elif read.is_unknown_capital(place):
            acronym = _ACRONYM.fullmatch(token.said) and not shouting
            public = NAMES.public(token.key) or _NAMED_IN_LAW.match(token.key)
            # Where any word is capitalised, company tells a name ("Chidi Okonkwo asks"), or that it means nothing.
            alone = token.opens and not read.is_unknown_capital(place + 1)
            named = not (acronym or public or (alone and _is_ordinary(read, place, knows)))
        else:
            named = token.said.islower() and not token.marks and _is_small_family(token.key, knows)
            named = named or _is_after_small_given(read, place, knows)
        # Last, because all the passages are looked through for it.
        if named and (_is_protected(read, place, place) or not known.names(token.said)):
            yield _Span(*read.span(place, place), Kind.PERSON)


def _is_short_name(read: Read, place: int) -> bool:
    """Tell whether a word too short to look like a name is capitalised within a sentence: Ли, Ким, Wu."""
    token, before = read.tokens[place], read.tokens[place - 1] if place else None
    little = token.key in LITTLE_WORDS
    return (
        before is not None
        and (before.kind == "word" or before.said == ",")
        and "\n" not in read.plain[before.end : token.start]
        and token.said[0].isupper()
        and not (token.opens or token.said.isupper())
        and (little or (len(token.key) == 2 and not token.marks))
        # English titles have little words in capitals, too, and "No 5" is no name.
        and not (little and token.key.isascii())
        and token.key not in _SHORT
        and not _ACRONYM.fullmatch(token.said.partition("'")[0])
    )


# Capitalised in titles of laws, before numbers and in names of places.
_SHORT = frozenset("про об no nr st ст co re al el la le de id ii iv vi ix".split())  # noqa: SIM905


def _is_ordinary(read: Read, place: int, knows: Knows | None) -> bool:
    """Tell whether a word that opens a sentence is no name: by what it means, or by how the sentence goes on."""
    token, following = read.tokens[place], read.tokens[place + 1 : place + 2]
    ends = NAMES.family(token.key)[1]
    if NAMES.given(token.key)[0]:
        return False
    if knows is None:
        return not ends
    if token.marks or token.key in _ASKING or all(map(knows, filter(None, token.said.split("-")))):
        return True
    return not ends and bool(_VERB.fullmatch(token.key) or any(each.key == "ли" for each in following))


def _is_small_family(word: str, knows: Knows | None) -> bool:
    """Tell whether a word in small letters ends like a family name, and means nothing."""
    if knows is None:
        return bool(_SMALL_FAMILY.fullmatch(word))
    return bool(_SMALL_FAMILY.fullmatch(word) or _MAYBE_FAMILY.fullmatch(word)) and not knows(word)


def _is_after_small_given(read: Read, place: int, knows: Knows | None) -> bool:
    """Tell whether a small word stands where a family name does, whatever it may mean: emma brown, петро коваль."""
    token, before = read.tokens[place], read.tokens[place - 1] if place else None
    if before is None or not (before.said.islower() and token.said.islower() and NAMES.given(before.key)[1]):
        return False
    if token.key in _AFTER_A_NAME:
        return False
    return token.key.isascii() or not (_VERB.fullmatch(token.key) or (knows and knows(token.key)))


# What people are said to do or to be, right after their name.
_AFTER_A_NAME = frozenset(
    """
    appeals applied applies asked asks became came complains died faces fears files filed fled flees gets got goes
    left lives lost needs owns said says seeks sues sued told took wants went works alone also already again always
    ever never now still then today yesterday alive arrested beaten charged convicted dead detained deported killed
    missing raped sentenced tortured appeal apply ask claim complain file get go leave need rely seek stay sue testify

    боиться боится живе живет зник зникла може может пише пишет хоче хочет
    """.split()  # noqa: SIM905 - a list of quotes would hide the words
)


# Endings that in small letters hardly any other word has, and those that hardly any has which means nothing.
_SMALL_FAMILY = re.compile(
    r"""
    [а-яіїєґ]{2,} (?: енк(?:о|а|у|ом|ові) | (?:[чщ]ук|[тнлдрс]юк)(?:а|у|ом|ові)? | [оеє]вич(?:а|у|ем|еві)?
      | швили | швілі | [аиі]дзе | оглы | огли | заде )
    | [a-z]{2,} (?: enko | chuk | shvili | dze | ovich | evich | iev | ov | ev | ova | eva | [nv]sk(?:y|yi|iy|i)
      | oglu | zade )
    """,
    re.VERBOSE,
)
_MAYBE_FAMILY = re.compile(
    "[а-яіїєґ]{3,}(?:(?:[оеє]в|[иії]н)(?:а|у|ым|им|ом|ой|ою|е|і)?|ян(?:а|у|ом)?|сь?к(?:ий|ого|ому|им))"
)
# A verb, by endings that few names have.
_VERB = re.compile(
    "[а-яіїєґ]{2,}(?:[ауяюієо]ют|[ауяюи]ет|[юуая]ть|[еюия]тся|ться|[аяуії]є|[ийрв]те|іть|імо|[аиеіуя]ли|[аиу]ло)"
)
# Words that open a question and are in no lexicon.
_ASKING = frozenset(
    """
    although amicus anyone ask asking besides chain clarify compare currently describe due either even everyone
    explain extrajudicial give habeas having hello however interim list many might most must neither nobody notice
    once outline please recently red seeking shall sham show somebody someone still summarise suppose tell thank
    thanks using whether whose

    адже бывшая бывшие бывший вдруг верно видимо дайте добрый должен должна должно должны допустим достаточно еще
    затем здравствуйте кажется каков какова каково каковы кого кому куда мало много могут может мочь наверное
    назовите нас насколько наш наша наши недавно нужен нужна нужны однако откуда подскажите потом поэтому правда
    приведите привет прошу сейчас сколько сначала спасибо хватит хотелось хотим хочу чего чей чему чье чья

    будь варто відтак вітаю дайте добрий дякую зараз звідки кого кому куди мабуть може можемо можливо можуть
    наведіть навіщо назвіть нас наскільки наш наша наше наші невже нещодавно нібито однак опісля повинен повинна
    повинно повинні потрібен потрібна потрібно потрібні потім правда привіт прошу скільки спершу спочатку тепер тому
    треба хочемо хочу хтось цікавить чий чия чиє щось
    """.split()  # noqa: SIM905 - a list of quotes would hide the words
)


def _is_protected(read: Read, first: int, last: int) -> bool:
    """Tell whether somebody is spoken of nearby whom a proceeding protects, or who is the asker's."""
    protected = (Mark.ROLE, Mark.RELATIVE, Mark.OURS)
    return read.near(first, *protected, before=5) is not None or read.near(last, *protected, after=5) is not None


_ANYBODYS = frozenset({Shape.GIVEN, Shape.SMALL, Shape.CUT})
_ACRONYM = re.compile(r"[^\W\d_a-zа-яіїєґ]{2,5}s?")
# Treaties, courts and protocols are called after places; in these languages those bend like family names.
_NAMED_IN_LAW = re.compile(
    "(?:рим(?:(?:а|у|е|і|ом)?$|с)|женев|гааг|гаазь|орхус|стамбул|страсбур|нюрнберг|кобленц|м[иі]намат|[эе]спо$)"
    "|(?:rome$|genev|hague|aarhus|istanbul|strasbourg|nuremberg|koblenz|espoo|minnesota|berkeley)"
    "|(?:генеральн|верховн|конституційн|конституционн|міжамериканськ|межамериканск)"
)
