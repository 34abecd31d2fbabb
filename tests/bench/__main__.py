"""Measure and print one table: `python -m tests.bench [--json] [PART …]`. A bench is no test: its status is 0."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.bench import Figure, booking, cases, discord, dispatching, lookup, matrix, table

LONG: dict[str, Callable[[Path], list[Figure]]] = {"million": lambda _folder: lookup.measure_million()}
"""What takes a quarter of an hour and more: only by its name."""
PARTS: dict[str, Callable[[Path], list[Figure]]] = {
    "dispatch": lambda folder: asyncio.run(dispatching.measure(folder)),
    "booking": lambda folder: asyncio.run(booking.measure(folder)),
    "cases": lambda folder: asyncio.run(cases.measure(folder)),
    "lookup": lambda _folder: lookup.measure(),
    "matrix": lambda folder: asyncio.run(matrix.measure(folder)),
    "discord": lambda folder: asyncio.run(discord.measure(folder)),
}


def main() -> None:
    """Run the parts that are named, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all of them by default; {', '.join(LONG)}"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON for machines")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - (PARTS | LONG).keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    figures: list[Figure] = []
    busy = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name in chosen.parts or PARTS:
            sys.stderr.write(f"measuring {name} …\n")
            try:
                figures += (PARTS | LONG)[name](Path(folder))
            except Exception as error:  # noqa: BLE001 what could be measured is still worth reading
                sys.stderr.write(f"{name} could not be measured: {error!r}\n")
            busy.append(os.getloadavg()[0])
    cores = os.cpu_count() or 1
    if chosen.json:
        told = [{**asdict(each), "met": each.met} for each in figures]
        sys.stdout.write(json.dumps({"cores": cores, "load": busy, "figures": told}, ensure_ascii=False) + "\n")
        return
    sys.stdout.write(table(figures) + "\n")
    sys.stdout.write(f"\n{cores} cores; load before and after each part: {' '.join(f'{each:.1f}' for each in busy)}\n")
    if max(busy) > cores + 1:
        sys.stdout.write("Others were using this machine: trust the ratios more than the times.\n")


if __name__ == "__main__":
    main()
