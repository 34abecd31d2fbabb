"""Speed and memory, beside bare libraries in the same run: `python -m tests.bench`.

An absolute time measures the machine. So wherever there is a bare library that does the same work, both take turns in
one run, round by round, and the figure is their ratio: its median over the rounds, beside the worst of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One thing measured.

    Attributes:
        what: what was measured.
        value: the median, in `unit`.
        worst: the worst round; None when there was only one.
        target: what it should not exceed, or, with `floor`, not fall below. None: for information.
        note: how it was measured, where the name does not tell.
    """

    what: str
    value: float
    unit: str
    worst: float | None = None
    target: float | None = None
    floor: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.floor else self.value <= self.target


def of_rounds(
    what: str,
    rounds: Sequence[float],
    unit: str,
    *,
    target: float | None = None,
    floor: bool = False,
    note: str = "",
) -> Figure:
    """Sum up the rounds of one measurement."""
    worst = min(rounds) if floor else max(rounds)
    return Figure(what, statistics.median(rounds), unit, worst, target, floor, note)


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which this part of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(part * (len(ordered) - 1)))]


def table(figures: Sequence[Figure]) -> str:
    """Write figures as a table for people."""
    rows = [("figure", "median", "worst", "target", "met", "note")]
    for each in figures:
        target = "" if each.target is None else f"{'≥' if each.floor else '≤'} {_number(each.target)}"
        worst = "" if each.worst is None else _number(each.worst)
        met = {None: "", True: "yes", False: "NO"}[each.met]
        rows.append((each.what, f"{_number(each.value)} {each.unit}", worst, target, met, each.note))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    right = (1, 2, 3)
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def _number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
