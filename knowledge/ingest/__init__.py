"""Ingestion: files that lawyers have become drafts of documents, in passages that can be quoted.

PDF, Word, HTML, Markdown, plain text, CSV, BibTeX and CSL-JSON are read by what they contain. Whoever makes such a file
may mean harm: it is read by a child process (child.py) with bounds on memory and time, which knows no secrets, and
what comes back is either drafts or one sentence about what is wrong. No database, no network, no clock.
"""

import atexit
import os
import stat
from pathlib import Path
from typing import Final

from knowledge.ingest.child import Child
from knowledge.ingest.draft import Draft, Reading, Unfit, line
from knowledge.passage import Passage

__all__ = ["LARGEST", "SUFFIXES", "Draft", "Passage", "Reading", "Unfit", "files", "read"]

SUFFIXES: Final = frozenset(
    (".bib", ".csv", ".docx", ".htm", ".html", ".json", ".markdown", ".md", ".pdf", ".text", ".tsv", ".txt", ".xhtml")
)
"""The suffixes of files that are looked for in a folder, in small letters."""

LARGEST: Final = 50_000_000
"""Bytes of a file that is read."""

_child = Child()
atexit.register(_child.close)


def files(path: Path) -> list[Path]:
    """Return the files at a path that can be read: itself, or those in the folder and its folders, in a stable order.

    In a folder only those count whose suffix is known here. What is hidden, links that lead out of the folder,
    links to folders, devices, pipes and sockets are left out.

    Raises:
        Unfit: there is nothing at that path, or a folder cannot be looked into.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise Unfit(f"{line(str(path))}: there is no file and no folder of that name.")
    home = path.resolve()
    found: list[Path] = []
    for folder, folders, names in os.walk(path, onerror=_closed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += (Path(folder, name) for name in names if not name.startswith("."))
    return sorted(
        each
        for each in found
        if each.suffix.lower() in SUFFIXES and each.is_file() and each.resolve().is_relative_to(home)
    )


def _closed(error: OSError) -> None:
    raise Unfit(f"{line(str(error.filename))}: the folder cannot be looked into.") from error


def read(path: Path) -> Reading:
    """Return what a file says: one draft, or of a list of references one for each entry, and what is not in them.

    Takes at most a minute. May be called from any thread; files are read one after another.

    Raises:
        Unfit: it cannot be read; one sentence says why. Nothing else is raised, whatever the file holds.
    """
    return _child.read(path.name, _bytes(path))


def _bytes(path: Path) -> bytes:
    name = line(path.name)
    try:
        # To open a device or a pipe may already do something, or wait for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise Unfit(f"{name}: it is not a file.")
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise Unfit(f"{name}: it is not a file.")
            data = file.read(LARGEST + 1) if about.st_size <= LARGEST else b" " * (LARGEST + 1)
    except (OSError, ValueError) as error:
        raise Unfit(f"{name}: it cannot be opened.") from error
    if len(data) > LARGEST:
        raise Unfit(f"{name}: it is larger than {LARGEST // 1_000_000} MB; divide it into parts.")
    if not data.strip(b"\0\t\n\r "):
        raise Unfit(f"{name}: it is empty.")
    return data
