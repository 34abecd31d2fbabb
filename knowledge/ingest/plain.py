"""Files of text: how their bytes are read, and where plain text and Markdown have paragraphs and headings."""

import codecs
import html
import re
from collections.abc import Iterable, Iterator

from charset_normalizer import from_bytes

from knowledge.ingest.draft import Block, Unfit, clean, line
from knowledge.ingest.passages import LONGEST_HEADING, begins_part, is_titled, pauses

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LEGACY = ["cp1251", "koi8_r", "koi8_u", "cp866", "iso8859_5", "cp1252", "cp1250", "cp1254", "utf_16_le", "utf_16_be"]
"""What texts of this field were written in before UTF-8."""

_DECLARED = re.compile(
    rb"(?:charset|encoding)\s*=\s*[\"']?(windows-125\d|koi8-[ru]|iso-8859-\d{1,2}|cp866|cp125\d)", re.IGNORECASE
)
_HEAD = 2_048
"""Bytes among which a page declares its encoding."""

_SAMPLE = 60_000
"""Bytes by which an encoding is recognised."""

_CONTROLS = [chr(code) for code in range(0x20) if chr(code) not in "\t\n\v\f\r"]
"""What stands in no text; a text that was damaged may have some of them."""

_HEADING = re.compile(r"(#{1,6})\s+(?=\S)")
_FRONT_MATTER = re.compile(r"---\n(.*?)\n(?:---|\.\.\.)(?:\n|$)", re.DOTALL)
_UNDERLINED = re.compile(r"(=+|-{3,})\s*$")
_FENCE = re.compile(r"\s*(```|~~~)")
_RULE = re.compile(r"\s*([-*_])(\s*\1){2,}\s*$")
_TABLE_RULE = re.compile(r"[\s:|-]+$")
_EMPTY_LINES = re.compile(r"\n[ \n]*\n")
SHORTEST_LINE = 50
"""Characters; a shorter line of a paragraph is its last."""

_BULLET = re.compile(r"[-*+•]\s+")
_INLINE = (
    (re.compile(r"!?\[([^\[\]]{0,500})\](?:\([^()\s]{0,2000}(?:\s+\"[^\"]{0,500}\")?\)|\[[^\[\]]{0,200}\])"), r"\1"),
    (re.compile(r"<((?:https?|mailto):[^<>\s]{1,2000})>"), r"\1"),
    (re.compile(r"(`{1,3})([^`]{1,1000})\1"), r"\2"),
    (re.compile(r"(?<!\w)(\*{1,3}|_{1,3})(?=[^\s*_])([^*_]{1,1000})(?<=\S)\1(?!\w)"), r"\2"),
    (re.compile(r"~~([^~]{1,1000})~~"), r"\1"),
    (re.compile(r"</?[a-zA-Z][^<>]{0,500}>"), ""),
    (re.compile(r"\\([\\`*_{}\[\]()#+\-.!|>~])"), r"\1"),
)
"""Marks inside of a line, and what stays of them. All are bounded: a line may be as long as the file."""


def decoded(data: bytes) -> str:
    """Return the text of these bytes, clean: as they are marked, as UTF-8, as they declare, else as is likeliest.

    Where a few bytes of a text in UTF-8 are damaged, U+FFFD stands for each.

    Raises:
        Unfit: they are no text.
    """
    text = next(filter(None, (_tried(data, encoding) for encoding in _encodings(data))), "")
    kept = clean(text)
    if sum(text.count(control) for control in _CONTROLS) > len(text) / 20 or not kept.strip():
        raise Unfit("it is no text in an encoding that is known here; save it as UTF-8.")
    return kept


def _encodings(data: bytes) -> Iterator[str]:
    yield next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    if declared := _DECLARED.search(data[:_HEAD]):
        yield declared[1].decode().lower()
    beyond_ascii = sum(byte > 0x7F for byte in data[:_SAMPLE])
    if beyond_ascii > 10 * data[:_SAMPLE].decode("utf-8", "replace").count("\ufffd"):
        yield "utf-8-damaged"
    if likeliest := from_bytes(data[:_SAMPLE], cp_isolation=_LEGACY).best():
        yield likeliest.encoding


def _tried(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding.removesuffix("-damaged"), "replace" if encoding.endswith("-damaged") else "strict")
    except (UnicodeDecodeError, LookupError):
        return ""


def first_line(text: str) -> str:
    """Return the line with which a text begins if it may be its title: short, and no sentence; else nothing."""
    first = line(text.lstrip().split("\n", 1)[0])
    short = len(first.split()) <= LONGEST_HEADING and not first.endswith((".", ",", ";", ":"))
    return first if short and not begins_part(first) else ""


def paragraphs(text: str) -> list[Block]:
    """Return the paragraphs of plain text: empty lines divide them, and whatever begins a part or an enumeration."""
    return [Block(paragraph) for group in _EMPTY_LINES.split(text) for paragraph in _joined(group.split("\n"))]


def _joined(lines: Iterable[str]) -> Iterator[str]:
    held: list[str] = []
    for each in lines:
        titled = len(held) == 1 and is_titled(line(held[0])) and line(each)[:1].isupper()
        last = line(held[-1]) if held else ""
        begins = begins_part(each.strip()) and (len(last) < SHORTEST_LINE or pauses(last))
        if not each.strip() or titled or begins:
            yield from filter(None, [line(" ".join(held))])
            held = []
        held.append(each)
    yield from filter(None, [line(" ".join(held))])


def markdown(text: str) -> tuple[dict[str, str], list[Block]]:
    """Return the front matter of a Markdown text, one `name: value` a line, and its blocks without the marks."""
    declared: dict[str, str] = {}
    if found := _FRONT_MATTER.match(text):
        text = text[found.end() :]
        for each in found[1].split("\n"):
            name, colon, value = each.partition(":")
            if colon and not name[:1].isspace():
                declared[name.strip().lower()] = line(value).strip("\"'")
    return declared, list(_marked(_EMPTY_LINES.sub("\n\n", text).split("\n")))


def _marked(lines: list[str]) -> Iterator[Block]:
    held: list[str] = []
    fence = ""

    def said() -> Iterator[Block]:
        yield from (Block(_plain(paragraph)) for paragraph in _joined(held))
        held.clear()

    for each in lines:
        mark = _FENCE.match(each)
        if fence or mark:
            yield from said()
            if mark and mark[1] == (fence or mark[1]):
                fence = "" if fence else mark[1]
            elif text := line(each):
                yield Block(text)  # inside of a fence nothing is a mark
        elif heading := _HEADING.match(each):
            yield from said()
            if text := _plain(each[heading.end() :].rstrip().rstrip("#")):
                yield Block(text, len(heading[1]))
        elif held and held[-1].strip() and (under := _UNDERLINED.match(each)):
            title = held.pop()
            yield from said()
            yield Block(_plain(title), 1 if under[1][0] == "=" else 2)
        elif _RULE.match(each) or (_TABLE_RULE.match(each) and "|" in each):
            yield from said()
        elif each.lstrip().startswith("|"):
            yield from said()
            if text := _plain(" | ".join(filter(None, map(str.strip, each.strip().strip("|").split("|"))))):
                yield Block(text)
        else:
            held.append(re.sub(r"^(\s*>)+\s?", "", each))
    yield from said()


def _plain(text: str) -> str:
    for mark, instead in _INLINE:
        text = mark.sub(instead, text)
    return line(_BULLET.sub("", html.unescape(text)))
