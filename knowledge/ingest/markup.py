"""HTML: the main text of a page as blocks.

What is around the main text is recognised in two steps: what says so itself (navigation, forms, what its own style
hides) goes; then trafilatura says which sentences are main text, and the smallest element that holds nearly all of them
is read whole. It alone would leave out lists and tables, and those are where laws say what they mean.
"""

import re
from collections.abc import Iterator
from copy import deepcopy

import lxml.html
import trafilatura
from lxml import etree
from trafilatura.settings import Document

from knowledge.ingest.draft import Block, Unfit, line

DEEPEST = 200
"""Elements inside of one another; a page that somebody wrote has about thirty."""

LARGEST_SIFTED = 2_000_000
"""Characters; of a larger page the menus are the smaller part, and to look for them takes long."""

_AROUND = (
    "self::script or self::style or self::noscript or self::template or self::nav or self::aside or self::form or "
    "self::button or self::select or self::iframe or self::object or self::svg or self::math or self::head or "
    "@hidden or @aria-hidden='true' or @role='navigation' or @role='banner' or @role='contentinfo' or "
    "@role='search' or @role='dialog' or (self::header or self::footer) and not(ancestor::main or ancestor::article)"
)
_NOT_SEEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|opacity\s*:\s*0(?![.\d])"
)
_BREAKS = frozenset(
    (
        "address", "article", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt", "fieldset",
        "figcaption", "figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "li", "main",
        "ol", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
    )
)  # fmt: skip
"""Elements that begin and end a paragraph."""

_CELLS = frozenset(("td", "th"))
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))

LONGEST_ROW = 100
"""Words; a longer row of a table is read cell by cell."""

MOSTLY = 0.9
"""Share of the main text that the element which is read must hold."""


def page(text: str) -> tuple[dict[str, str], list[Block]]:
    """Return what a page declares of itself (title, date, url, summary, language) and its main text.

    Raises:
        Unfit: it is no page, or nested more deeply than anybody writes.
    """
    root = _tree(text)
    declared = _declared(root)
    for around in root.xpath(f"//*[{_AROUND}]"):
        _drop(around)
    for styled in root.xpath("//*[@style]"):
        if _NOT_SEEN.search(styled.get("style", "").lower()):
            _drop(styled)
    whole = root.find("body") if root.find("body") is not None else root
    return declared, list(_blocks(_main(root, whole) if len(text) <= LARGEST_SIFTED else whole))


def fragment(text: str) -> list[Block]:
    """Return everything that a piece of HTML says, in its order.

    Raises:
        Unfit: it is nested more deeply than anybody writes.
    """
    return list(_blocks(_tree(text)))


def _tree(text: str) -> lxml.html.HtmlElement:
    # A declaration of an encoding inside of the text is about bytes that are read already.
    text = re.sub(r"^\s*<\?xml[^>]*>", "", text)
    try:
        root = lxml.html.document_fromstring(text, parser=lxml.html.HTMLParser(remove_comments=True, remove_pis=True))
    except etree.ParserError as error:
        raise Unfit("there is no text in it.") from error
    depth = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > DEEPEST:
            raise Unfit("its elements are nested too deeply to be a page that somebody wrote.")
    return root


def _declared(root: lxml.html.HtmlElement) -> dict[str, str]:
    def first(*paths: str) -> str:
        found = (
            line(value if isinstance(value, str) else value.text_content())
            for path in paths
            for value in root.xpath(path)
        )
        return next(filter(None, found), "")

    def meta(*names: str) -> str:
        return first(*(f"//meta[@name='{name}' or @property='{name}']/@content" for name in names))

    return {
        "title": meta("citation_title", "og:title", "dc.title", "DC.title") or first("//h1", "//title"),
        "date": meta(
            "citation_publication_date", "article:published_time", "dcterms.date", "DC.date", "dc.date", "date"
        ),
        "url": first("//link[@rel='canonical']/@href") or meta("og:url"),
        "summary": meta("description", "og:description", "dcterms.abstract"),
    }


def _drop(element: lxml.html.HtmlElement) -> None:
    if element.getparent() is not None:
        element.drop_tree()


def _main(root: lxml.html.HtmlElement, body: lxml.html.HtmlElement) -> lxml.html.HtmlElement:
    """Return the smallest element that holds MOSTLY of what trafilatura takes for main text, or the body."""
    found = trafilatura.bare_extraction(deepcopy(root), fast=True, favor_recall=True, include_comments=False)
    if not isinstance(found, Document) or found.body is None:
        return body
    known = {_key(part) for part in found.body.iter("p", "head", "quote", "item", "cell")} - {""}
    holds: dict[lxml.html.HtmlElement, int] = {}
    for leaf in filter(_is_leaf, body.iter(*_BREAKS)):
        if (key := _key(leaf)) in known:
            for element in (leaf, *leaf.iterancestors()):
                holds[element] = holds.get(element, 0) + len(key)
    most = MOSTLY * holds.get(body, 0)
    while within := [child for child in body.iterchildren(*_BREAKS) if holds.get(child, 0) > most]:
        body = within[0]
    return body


def _is_leaf(element: lxml.html.HtmlElement) -> bool:
    return next(element.iterdescendants(*_BREAKS), None) is None


def _key(element: lxml.html.HtmlElement) -> str:
    return "".join("".join(element.itertext()).split()).casefold()


def _blocks(root: lxml.html.HtmlElement) -> Iterator[Block]:
    """Yield the paragraphs and headings under an element; a row of a table is a paragraph, " | " between its cells."""
    parts: list[str] = []
    level = 0
    row: lxml.html.HtmlElement | None = None

    def said() -> Iterator[Block]:
        if text := line("".join(parts)).removesuffix(" |"):
            yield Block(text, level)
        parts.clear()

    for event, element in etree.iterwalk(root, events=("start", "end")):
        breaks = element.tag in _BREAKS and row is None
        if event == "start":
            if breaks:
                yield from said()
                level = int(element.tag[1]) if element.tag in _HEADINGS else 0
                row = element if element.tag == "tr" and _is_row(element) else None
            parts.append(" " if element.tag == "br" or element.tag in _BREAKS else "")
            parts.append(element.text or "")
            continue
        if breaks or element is row:
            yield from said()
            level, row = 0, None
        elif element.tag in _BREAKS:
            parts.append(" | " if element.tag in _CELLS else " ")
        if element is not root:
            parts.append(element.tail or "")
    yield from said()


def _is_row(element: lxml.html.HtmlElement) -> bool:
    # Old pages are laid out with tables: there a cell is not a value, but half of the page.
    cells = sum(child.tag in _CELLS for child in element)
    apart = next(element.iterdescendants("table", *_HEADINGS), None)
    return cells > 1 and apart is None and len("".join(element.itertext()).split()) <= LONGEST_ROW
