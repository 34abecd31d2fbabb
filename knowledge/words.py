"""How a text becomes the words that are compared: one spelling, one stem, whole numbers.

Everything here is pure and works on any Unicode text. Documents, the glossary and questions are all read this
way; that is what makes them meet.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import snowballstemmer

_DROPPED = dict.fromkeys(map(ord, "'’ʼ‘`´′\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_ONE_SPELLING = str.maketrans({"ё": "е", "ı": "i", "ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe", "–": "-"})
# The country, not the pronoun: in capitals, or in small letters after an article or in front of everything. And the
# organisation, not the Romanian article.
_US_OR_UN = re.compile(r"\bU\.?[SN]\b(?![\w$]|\.\w)\.?")
_SMALL_US = re.compile(r"(?:^|(?<=\bthe ))us\b(?!\$)")
_ACCENTED_LATIN = re.compile(r"([a-z])[\u0300-\u036f]+")
# Letters with accents, accents by themselves, and what NFD takes apart otherwise, but for the Cyrillic й and ї.
_ACCENTS = re.compile(r"[^\u0000-\u00bf\u0400-\u058f\u10d0-\u10ff\u2000-\u22ff]")
_WORD = re.compile(r"[^\W_]+")
# Possessive, and only from the start of a word: a question of one endless word must not cost its square.
_JOINED = re.compile(r"(?<![^\W_])[^\W_]++(?:[-./:]++[^\W_]++|\([^\W_]{1,3}\))++")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_ARMENIAN = re.compile(r"[\u0530-\u058f]")
_GEORGIAN = re.compile(r"[\u10d0-\u10ff]")
# Snowball has no Georgian: the endings of case and number, and the postpositions that grow onto a noun.
_GEORGIAN_ENDINGS = re.compile(
    "(?:ებ)?(?:ისთვის|ისგან|ისათვის|იდან|ადან|იდანვე|ებრივი|ური|ული|ში|ზე|თან|მდე|ის|ით|ად|მა|თა|ას|ს|ი|ა|ო|ე|ნი)$"
)
# Letters and words by which Romanian, and Turkish or Azerbaijani, are told from English; none is common in French.
_ROMANIAN = re.compile(r"[ășțţ]|\bî[nm]|\b(?:pentru|privind|cum|este|sau|unui|unei|prin|dintre|asupra)\b")
_TURKIC = re.compile(r"[ğıə]|\b(?:ve|icin|ucun|ile|bir|nasil|nece|haqqinda|hakkinda|olarak|olan)\b")
_DIGIT = re.compile(r"\d")
_LOOKALIKES = str.maketrans("авсеіікмортхуѕј", "abceiikmoptxysj")

# Snowball has no Ukrainian. Its endings are said in Russian first; then one stemmer serves both languages,
# and their many common words (юрисдикції, юрисдикции) meet. Longest ending first.
_UKRAINIAN_ENDINGS: dict[str, list[tuple[re.Pattern[str], str]]] = {}
for _ending, _russian in (
    ("([нт])[нт]ями", r"\1иями"),
    ("([нт])[нт]ях", r"\1иях"),
    ("([нт])[нт]ям", r"\1ием"),
    ("([нт])[нт]я", r"\1ие"),
    ("([нт])[нт]ю", r"\1ию"),
    ("([нт])[нт]і", r"\1ии"),
    ("([ауеє])нь", r"\1ний"),
    ("ість", "ость"),
    ("істю", "остью"),
    ("(?:ові|еві|єві)", "у"),
    ("(?:ією|єю)", "ией"),
    ("(?:ів|їв)", "ов"),
    ("ьої", "ей"),
    ("ої", "ой"),
    ("ії", "ии"),
):
    # By their last letter: most words have none of those, and need not be compared with every ending.
    _UKRAINIAN_ENDINGS.setdefault(_ending.rstrip(")")[-1], []).append((re.compile(rf"(?<=\w\w){_ending}$"), _russian))
# One alphabet for the East Slavic languages: Russian ы sounds and bends like Ukrainian и, э like е.
_ONE_ALPHABET = str.maketrans("іїєґыэўъ", "ииегиевь")

# Endings after which East Slavic nouns bend as no stemmer follows, and forms that have each of the other stems; by
# their last letter, because most words have none of those. What is no such noun gets a form that nobody writes.
_BENT: dict[str, list[tuple[re.Pattern[str], str]]] = {}
for _last, _ending, _others in (
    # It looks like a verb: Казахстан, Сенегал, печать; or like a verb or an adjective when it bends: дипломах, систему.
    ("бвгджзклмнпрстфхцчшщ", "(.{3,})", r"\1у"),
    ("ь", "(.{3,}(?<![аеєиіоуыюя]т))ь", r"\1и"),
    ("ь", "(.+)ість", r"\1ості"),
    ("м", "(.+[ое]м)", r"\1ах"),
    ("а", "(.+[ое]м)а", r"\1у"),
    ("ао", "(.+[аи][лн])[ао]", r"\1ах"),
    ("ао", "(.+[ое]в)[ао]", r"\1"),
    ("н", "(.+[ая]н)ин", r"\1ам"),
    ("й", "(.+[аеоуією])й", r"\1ю"),
    # A vowel flees: свідок, свідка; истец, истца; китаец, китайца; перечень, перечня; ошибка, ошибок.
    ("ць", "(.+[^аеєиіоуыюял])(?:ец|ець)", r"\1ца"),
    ("ць", "(.+л)(?:ец|ець)", r"\1ьца \1ца"),
    ("ць", "(.+[ао])(?:ец|єць)", r"\1йца"),
    ("к", "(.+[^аеєиіоуыюя])ок", r"\1ка"),
    ("ь", "(.+[^аеєиіоуыюя])ень", r"\1ня"),
    ("а", "(.+[^аеєиіоуыюяйжчш])ка", r"\1ок"),
    ("а", "(.+[жчш])ка", r"\1ек \1ок"),
    ("а", "(.+)йка", r"\1ек \1йок"),
    # Ukrainian sounds change: обхід, обходу; папір, паперу; особа, осіб; довідка, довідці; дорога, дорозі.
    ("бвгджзклмнпрстфхцчшщ", "(.+)і(.)", r"\1о\2у \1е\2у"),
    ("ая", "(.+)[оеє]([^аеєиіоуыюя])[ая]", r"\1і\2"),
    ("а", "(.+)ка", r"\1ці"),
    ("а", "(.+)га", r"\1зі"),
):
    for _letter in _last:
        _BENT.setdefault(_letter, []).extend((re.compile(rf"^{_ending}$"), other) for other in _others.split())

LITTLE_WORDS = frozenset(
    """
    a about after all an and any are as at be before being between by can could did do does for from had has have
    he her him his how i if in into is it its may my no not of on or our she should so than that the their them there
    these they this to under us was we were what when where which who whom why will with without would you your

    а без бы был была были было быть в во вот все всех вы где да для до если есть еще же за и из или им их к
    как какая какие какой каких когда ко которые который кто ли меня между мне можно мой мы на над надо не
    нет ни них но нужно о об он она они от по под после при про против с свои свой со так также
    такое там то того тоже только тот ту ты у уже чем через что чтобы эта эти это я
    есть имеет имеют

    або аби але більше був була були було бути від він вона вони все всі де для до з зі за із й його її їх і
    ким коли крім ми мій можна має мати на над нам нас не немає ні ніж однак після перед під по при про
    проти та так також такий те ти тільки то у хто це цей ця чи чим чому через що щоб щодо як яка які який
    є має мають мав мала

    супраць аб для па і ў   de din la pe și si un una
    """.split()  # noqa: SIM905 - a list of quotes would hide the words
)
"""Words of en, ru, uk (and a few of be and ro) that say how a question is asked, not what it is about."""


def fold(text: str) -> str:
    """Return a text in one spelling: NFKC, lower case, ё as е, no apostrophes, no accents on Latin; usa and uno.

    US and UN are spelt so, because in small letters they are other words.
    """
    return _SMALL_US.sub("usa", _folded(_US_OR_UN.sub(lambda said: "USA" if "S" in said[0] else "UNO", text)))


def _folded(text: str) -> str:
    if text.isascii():
        return text.translate(_DROPPED).lower()
    plain = unicodedata.normalize("NFKC", text.translate(_DROPPED)).casefold()
    if not _ACCENTS.search(plain):
        return plain.translate(_ONE_SPELLING).translate(_DROPPED)
    bare = _ACCENTED_LATIN.sub(r"\1", unicodedata.normalize("NFD", plain))
    return unicodedata.normalize("NFC", bare).translate(_ONE_SPELLING).translate(_DROPPED)


def words(text: str) -> list[str]:
    """Return the folded words of a text in their order; a word is a run of letters and digits."""
    return _words(fold(text))


def numbers(text: str) -> list[str]:
    """Return article, case and application numbers in one piece: "7031(c)", "55723/00", "4012-ix"."""
    return _numbers(fold(text))


def words_and_numbers(text: str) -> tuple[list[str], list[str]]:
    """Return both, for little more than one of them costs."""
    folded = fold(text)
    return _words(folded), _numbers(folded)


def _words(folded: str) -> list[str]:
    found = _WORD.findall(folded)
    return list(map(_plain_number, found)) if _DIGIT.search(folded) else found


def _numbers(folded: str) -> list[str]:
    if not _DIGIT.search(folded):
        return []
    return [_plain_number(found) for found in _JOINED.findall(folded) if _DIGIT.search(found)]


def tongue(text: str) -> str:
    """Return by whose grammar a text's Latin words bend: "ro", "az" (Turkish bends alike) or "en"."""
    lower = text.casefold()
    if _TURKIC.search(lower):
        return "az"
    return "ro" if _ROMANIAN.search(lower) else "en"


def asked_in(text: str) -> str:
    """Return in which of the answers' languages a question is asked, by its letters: "uk", "ru" or "en"."""
    lower = text.casefold()
    if _CYRILLIC.search(lower):
        return "uk" if re.search("[іїєґ]", lower) else "ru"
    return "en"


@lru_cache(maxsize=1 << 12)
def stem(word: str, tongue: str = "en") -> str:
    """Return what a folded word shares with its other forms; a number is left alone.

    Args:
        word: as `words` gives it.
        tongue: by whose grammar a Latin word bends; see `tongue`.
    """
    if _DIGIT.search(word):
        return word
    # A stemmer keeps its place inside itself, so each word gets one of its own: searches may run in any
    # thread.
    if _CYRILLIC.search(word):
        return str(snowballstemmer.stemmer("russian").stemWord(_east_slavic(word)))
    if _ARMENIAN.search(word):
        return str(snowballstemmer.stemmer("armenian").stemWord(word))
    if _GEORGIAN.search(word):
        bare = _GEORGIAN_ENDINGS.sub("", word)
        return bare if len(bare) > 2 else word
    return str(snowballstemmer.stemmer(_STEMMERS.get(tongue, "english")).stemWord(word)) if word.isascii() else word


_STEMMERS = {"ro": "romanian", "tr": "turkish", "az": "turkish"}


def forms(word: str) -> Iterator[str]:
    """Yield forms of a folded East Slavic noun of which `stem` may leave something else than of the noun itself."""
    for ending, other in _BENT.get(word[-1:], ()):
        form, bent = ending.subn(other, word)
        if bent:
            yield form


def beginning(word: str, letters: int = 5) -> str | None:
    """Return "~" and the word's first letters, a blunter stem; None for a number or a shorter word."""
    if len(word) < letters or _DIGIT.search(word):
        return None
    return "~" + word.translate(_ONE_ALPHABET)[:letters]


def transliterated(word: str) -> str:
    """Return a folded Cyrillic word in Latin letters, roughly as it is said in English."""
    return "".join(_LATIN.get(letter, letter) for letter in word.translate(_ONE_ALPHABET))


def sound(word: str) -> str:
    """Return a Latin spelling in which the usual transliterations of a name meet (Гаравский, Harauski)."""
    latin = transliterated(word)
    for written, heard in _HEARD:
        latin = latin.replace(written, heard)
    return re.sub(r"(.)\1+", r"\1", latin)


_LATIN = {
    "ж": "zh",
    "х": "kh",
    "ц": "ts",
    "ч": "ch",
    "ш": "sh",
    "щ": "shch",
    "ь": "",
    "ю": "yu",
    "я": "ya",
} | dict(zip("абвгдезийклмнопрстуф", "abvgdeziiklmnoprstuf", strict=True))
# Written so > heard so; the order matters.
_HEARD = tuple(
    re.findall(
        r"(\w+)>(\w+)",
        "kh>h shch>s sch>s sh>s zh>z ch>c ts>c tz>c ph>f th>t x>ks w>v au>av eu>ev y>i j>i q>k h>g ie>e ii>i",
    )
)


def sentences(text: str) -> list[str]:
    """Split a text after its sentences, not after "art.", "No.", "v." or an initial."""
    return list(_sentences(text))


_STOP = re.compile(r"[.!?][\"”»)]?\s+(?=[\"“«(]?[^\W\d_a-z])")
_ABBREVIATION = re.compile(r"\b(?:arts?|nos?|v|vs|cf|paras?|ch|sec|ss?|vol|co|st|e\.g|i\.e|al|[A-Z])\.$", re.IGNORECASE)


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for stop in _STOP.finditer(text):
        if not _ABBREVIATION.search(text[start : stop.start() + 1]):
            yield text[start : stop.end()].strip()
            start = stop.end()
    if rest := text[start:].strip():
        yield rest


def _plain_number(word: str) -> str:
    # "IX" is typed with Cyrillic letters as often as with Latin ones; they look alike and mean the same.
    return word.translate(_LOOKALIKES) if _DIGIT.search(word) else word


def _east_slavic(word: str) -> str:
    for ending, russian in _UKRAINIAN_ENDINGS.get(word[-1], ()):
        said, changed = ending.subn(russian, word)
        if changed:
            return said.translate(_ONE_ALPHABET)
    return word.translate(_ONE_ALPHABET)
