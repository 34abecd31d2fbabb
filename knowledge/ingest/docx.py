"""Word documents: the archive is weighed and looked through first, then mammoth turns it into HTML."""

import io
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, Any
from xml.parsers import expat

import mammoth

from knowledge.ingest.draft import Block, Unfit, line
from knowledge.ingest.markup import fragment

LARGEST_UNPACKED = 200_000_000
"""Bytes of all parts of a document together."""

LARGEST_PART = 50_000_000
"""Bytes of one part that is read."""

MOST_PARTS = 5_000
DEEPEST = 500
"""Elements inside of one another."""

_TEXT = "word/document.xml"
_MACROS = ("vbaproject.bin", "vbadata.xml")
_CHUNK = 1 << 20


def document(data: bytes) -> tuple[dict[str, str], list[Block]]:
    """Return what a Word document declares of itself (title, summary) and its text, footnotes at the end.

    Raises:
        Unfit: it is no sound Word document, has macros, or unpacks to more than anybody writes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            properties = _look_through(archive)
    # Whatever the module says of a false archive; a password, or a way to compress that it does not know, is a
    # RuntimeError.
    except (zipfile.BadZipFile, EOFError, RuntimeError, OSError, ValueError, zlib.error) as error:
        raise Unfit("its archive is damaged; open it in a word processor and save it again.") from error
    html = mammoth.convert_to_html(
        io.BytesIO(data),
        convert_image=lambda _: [],
        include_embedded_style_map=False,
        external_file_access=False,
        style_map="p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => p:fresh",
    ).value
    # The arrow at the end of a footnote leads back; on paper there is none.
    return properties, fragment(html.replace("↑</a>", "</a>")) if html else []


def _look_through(archive: zipfile.ZipFile) -> dict[str, str]:
    """Unpack every part once, counting; return what the core properties say."""
    parts = archive.infolist()
    names = {part.filename for part in parts}
    if _TEXT not in names:
        raise Unfit("it is an archive, but not a Word document.")
    if any(name.lower().endswith(_MACROS) for name in names):
        raise Unfit("it contains macros; save it as .docx without them.")
    if len(parts) > MOST_PARTS or len(names) < len(parts):
        raise Unfit("its archive has too many parts, or two of one name.")
    if any(name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") for name in names):
        raise Unfit("its archive names places outside of itself.")
    if sum(part.file_size for part in parts) > LARGEST_UNPACKED:
        raise Unfit(f"it unpacks to more than {LARGEST_UNPACKED // 1_000_000} MB.")
    left = LARGEST_UNPACKED
    properties: dict[str, str] = {}
    for part in parts:
        is_xml = part.filename.endswith((".xml", ".rels"))
        with archive.open(part) as opened:
            reader = _Reader(properties if part.filename == "docProps/core.xml" else {})
            left -= _weigh(opened, reader.feed if is_xml else None, LARGEST_PART if is_xml else left, left)
            if is_xml:
                reader.feed(b"", last=True)
    return properties


def _weigh(part: IO[bytes], feed: Callable[[bytes], object] | None, largest: int, left: int) -> int:
    size = 0
    while chunk := part.read(_CHUNK):
        size += len(chunk)
        if size > min(largest, left):
            raise Unfit(f"it unpacks to more than {LARGEST_UNPACKED // 1_000_000} MB.")
        if feed:
            feed(chunk)
    return size


class _Reader:
    """Reads a part as XML without building anything; `found` takes the core properties."""

    def __init__(self, found: dict[str, str]) -> None:
        self._found = found
        self._depth = 0
        self._name = ""
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text

    def feed(self, chunk: bytes, *, last: bool = False) -> None:
        try:
            self._parser.Parse(chunk, last)
        except expat.ExpatError as error:
            raise Unfit("one of its parts is not sound XML.") from error

    def _doctype(self, *_: Any) -> None:
        # Entities are declared there, and no Word document has any.
        raise Unfit("it declares entities, as no word processor does.")

    def _start(self, name: str, _: dict[str, str]) -> None:
        self._depth += 1
        self._name = name.rpartition(" ")[2]
        if self._depth > DEEPEST:
            raise Unfit("its elements are nested too deeply.")

    def _end(self, _: str) -> None:
        self._depth -= 1
        self._name = ""

    def _text(self, text: str) -> None:
        field = {"title": "title", "description": "summary"}.get(self._name)
        if field:
            self._found[field] = line(self._found.get(field, "") + text)
