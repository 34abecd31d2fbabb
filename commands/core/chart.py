"""Quiet drawings, as PNGs for people who read pictures faster than lists: bars with their numbers, and time lines."""

from __future__ import annotations

import io
import textwrap
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final, assert_never

from commands.core.reply import Bars, Timeline
from commands.core.text import Voice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK: Final = "#1f2933"
FAINT: Final = "#cbd2d9"
BAR: Final = "#2f6f9f"

MOST_POINTS: Final = 40
"""Points of a time line that are drawn, the latest ones."""

_LONG: Final = timedelta(days=90)


def draw(drawing: Bars | Timeline, voice: Voice) -> bytes:
    """Draw in the reader's language, the first bar or the earliest day on top; the PNG is 1200 pixels wide.

    It takes a tenth of a second, a long time line half a second, the first time half a second more: not a thing to do
    inside a transaction.
    """
    # Drawing is needed rarely and slow to import: nobody waits for it at the start.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.tick_params(left=False)
    axes.spines[:].set_visible(False)
    match drawing:
        case Bars():
            height = _bars(axes, drawing, voice)
        case Timeline():
            height = _timeline(axes, drawing, voice)
        case _:
            assert_never(drawing)
    axes.invert_yaxis()
    figure.set_size_inches(8, 0.9 + height)
    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return png.getvalue()


def _bars(axes: Axes, bars: Bars, voice: Voice) -> float:
    """Draw the bars, and return how many inches high they are."""
    for place, (_label, count) in enumerate(bars.rows):
        axes.barh(place, count or 0, height=0.6, color=BAR)
        axes.annotate(
            "< 3" if count is None else str(count),
            (count or 0, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=INK,
        )
    labels = [voice.say(label) for label, _count in bars.rows]
    axes.set_yticks(range(len(bars.rows)), labels, color=INK, parse_math=False)
    axes.set_xlim(0, 1.15 * max([1, *(count or 0 for _label, count in bars.rows)]))
    axes.set_xticks([])
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color(FAINT)
    axes.set_title(voice.say(bars.title), loc="left", color=INK, fontsize=12, parse_math=False)
    return 0.45 * len(bars.rows)


def _timeline(axes: Axes, timeline: Timeline, voice: Voice) -> float:
    """Draw the line with its dots, and return how many inches high it is."""
    in_order = sorted(timeline.points, key=lambda point: point.at)
    points = in_order[-MOST_POINTS:]
    # One row a point, however far apart the days: a scale would cost what is read. The line is dotted where long
    # nothing happened, and at its top where earlier points are left out.
    for place, (one, other) in enumerate(pairwise(points)):
        axes.vlines(0, place, place + 1, color=FAINT, linewidth=2, linestyle=":" if other.at - one.at > _LONG else "-")
    if len(points) < len(in_order):
        axes.vlines(0, -0.5, 0, color=FAINT, linewidth=2, linestyle=":")
    for place, point in enumerate(points):
        axes.plot(0, place, "o", markersize=10, color=BAR, markerfacecolor=BAR if point.done else "white")
        axes.annotate(
            _folded(voice.say(point.label)),
            (0, place),
            xytext=(15, 0),
            textcoords="offset points",
            va="center_baseline",
            color=INK,
            fontsize=13,
            parse_math=False,
            in_layout=False,  # what does not fit is cut at the edge, rather than squeezing the dates
        )
    axes.set_yticks(range(len(points)), [voice.day(point.at) for point in points], color=INK, fontsize=12)
    axes.set_ylim(-0.5, max(len(points), 1) - 0.5)
    axes.set_xlim(-1, 30)
    axes.set_xticks([])
    axes.figure.suptitle(
        _folded(voice.say(timeline.title)), x=0.01, ha="left", color=INK, fontsize=14, parse_math=False
    )
    return 0.55 * len(points)


def _folded(words: str) -> str:
    return "\n".join(textwrap.wrap(words, 48, max_lines=2, placeholder="…", break_on_hyphens=False))
