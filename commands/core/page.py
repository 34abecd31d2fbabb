"""A reply as one self-contained HTML file: it opens anywhere, loads nothing, and can be kept."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator
from typing import assert_never

from commands.core.chart import draw
from commands.core.reply import Block, Fields, Picture, Quote, Reply, Sources, Table
from commands.core.text import Text, Voice

STYLE = """
h1{font-size:1.4rem}
body{font:16px/1.5 system-ui,sans-serif;color:#1f2933;background:#fff;max-width:46rem;margin:2rem auto;padding:0 1rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:#52606d}dd{margin:0}
table{border-collapse:collapse}th,td{text-align:left;padding:.25rem 1rem .25rem 0;border-bottom:1px solid #e4e7eb}
blockquote{margin:.5rem 0;padding-left:1rem;border-left:3px solid #cbd2d9}img{max-width:100%}code{background:#f1f3f5}
@media(prefers-color-scheme:dark){body{color:#e4e7eb;background:#1f2933}code{background:#323f4b}img{background:#fff}}
""".strip()


def write(reply: Reply, voice: Voice) -> bytes:
    """Write the page. Its first block is its title; the browser is told to run and to load nothing."""
    first, *others = reply.blocks or (Text(""),)
    title = html.escape(voice.say(first)) if isinstance(first, Text) else ""
    heading = [f"<h1>{title}</h1>"] if title else list(_block(first, voice))
    body = "\n".join([*heading, *(part for block in others for part in _block(block, voice))])
    return (
        f'<!doctype html><html lang="{voice.language}"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{STYLE}</style></head>'
        f"<body>\n{body}\n</body></html>\n"
    ).encode()


def dressed(what: str, words: str) -> str:
    """Escape every piece of a sentence, and set command lines as code."""
    safe = html.escape(words)
    return f"<code>{safe}</code>" if what == "line" else safe


def _block(block: Block, voice: Voice) -> Iterator[str]:
    def say(text: Text) -> str:
        return voice.say(text, dressed)

    match block:
        case Text():
            yield f"<p>{say(block)}</p>"
        case Fields():
            yield (
                "<dl>" + "".join(f"<dt>{say(name)}</dt><dd>{say(value)}</dd>" for name, value in block.pairs) + "</dl>"
            )
        case Table():
            head = "".join(f"<th>{say(cell)}</th>" for cell in block.head)
            rows = "".join("<tr>" + "".join(f"<td>{say(cell)}</td>" for cell in row) + "</tr>" for row in block.rows)
            yield f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        case Quote():
            yield f"<blockquote>{html.escape(block.words)}</blockquote>"
        case Sources():
            for source in block.items:
                name = html.escape(source.title)
                link = f'<a href="{html.escape(source.url)}">{name}</a>' if source.url else name
                badge = f" · {say(source.badge)}" if source.badge else ""
                quote = f"<blockquote>{html.escape(source.snippet)}</blockquote>" if source.snippet else ""
                yield f"<p>{link}<br>{html.escape(source.citation)}{badge}</p>{quote}"
        case Picture():
            data = base64.b64encode(draw(block.drawing, voice)).decode()
            yield f'<p><img src="data:image/png;base64,{data}" alt="{html.escape(voice.say(block.alt))}"></p>'
        case _:
            assert_never(block)
