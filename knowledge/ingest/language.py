"""In which language a text is written, of the networks' own and Turkish: by script, letters and most frequent words."""

import re
from collections import Counter

LONGEST_SAMPLE = 20_000
"""Characters of a text that are looked at."""

_LETTERS = {
    "ka": "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
    "hy": "աբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆև",
    "az": "ə",
    "ro": "ăâîșțţ",
    "kk": "әғқңөұүһ",
    "be": "ў",
    "uk": "їєґ",
    "ru": "ъ",
}
"""Letters that one of the languages has alone, or nearly so; Georgian and Armenian have no letter in common."""

_SHARED = {
    "і": ("uk", "be", "kk"),
    "ы": ("ru", "be", "kk"),
    "э": ("ru", "be", "kk"),
    "ё": ("ru", "be"),
    "и": ("ru", "uk"),
    "ş": ("ro", "az", "tr"),
    "ı": ("az", "tr"),
    "ğ": ("az", "tr"),
    "ö": ("az", "tr"),
    "ü": ("az", "tr"),
    "w": ("en",),
}
"""Letters that speak for some languages and against the rest."""

_WORDS = {
    "en": "the of and to in is that for be by as on with or not shall are this any which was from have it",
    "ru": "и в не на что по с к от для из о как это или при его статья",
    "uk": "і в не на що та у за до з від про або для як це при його стаття",
    "be": "і ў не на што па з да для ад або як гэта пры яго артыкул аб",
    "kk": "және мен үшін бұл бойынша туралы немесе құқығы осы бар деп",
    "ro": "și şi de la în a cu pe nu din care este sau pentru al ale se prin orice",
    "az": "və bir bu ilə üçün hər olan hüquq haqqında da də ki maddə",
    "tr": "ve bir bu ile için olan olarak da de ki her veya hakkında kanun hak göre madde maddesi insan mahkemesi",
}
_FREQUENT = {language: frozenset(words.split()) for language, words in _WORDS.items()}
_WORD = re.compile(r"[^\W\d_]+")


def language(text: str) -> str:
    """Return the likeliest of en, ru, uk, ka, hy, kk, az, ro, be and tr; en for a text without any letters.

    Every text gets one of them: what is written in any other language gets the nearest.
    """
    sample = text[:LONGEST_SAMPLE].lower()
    letters = Counter(sample)
    cyrillic = sum(count for letter, count in letters.items() if "а" <= letter <= "ӿ")
    latin = sum(count for letter, count in letters.items() if "a" <= letter <= "z")
    own = {code: sum(letters[letter] for letter in alphabet) for code, alphabet in _LETTERS.items()}
    shares = {"latin": latin, "cyrillic": cyrillic, "ka": own["ka"], "hy": own["hy"]}
    script = max(shares, key=lambda name: shares[name])
    if script in {"ka", "hy"}:
        return script
    candidates = ("ru", "uk", "be", "kk") if script == "cyrillic" else ("en", "ro", "az", "tr")
    words = Counter(_WORD.findall(sample))
    points = {
        code: 3 * sum(words[word] for word in _FREQUENT[code])
        + 2 * own.get(code, 0)
        + sum(letters[letter] for letter, users in _SHARED.items() if code in users)
        for code in candidates
    }
    return max(candidates, key=lambda code: points[code])
