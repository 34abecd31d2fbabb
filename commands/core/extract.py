"""Bring every catalogue up to date: find each sentence of the code, keep what is translated, mark what is new.

Sentences stand in `_()`, `n_()`, `Text()`, `Refused()` and `Unreadable()`, in commands' docstrings and in the tables'
declarations of privacy. The names of commands and of their values in menus are entries, too, and so are those of tools,
stages, forums, outcomes and regions.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from commands import FEATURES
from commands.core.feature import Commands
from commands.core.names import names
from commands.core.strings import LOCALES
from knowledge.library import Procedures
from storage.privacy import what

HOUSE = Path(__file__).parents[2]
SAYING = {"_": 1, "Text": 1, "Refused": 1, "Unreadable": 1, "n_": 2, "_sentence": 1}
"""What takes a sentence, and how many of its arguments are one."""


def sentences() -> dict[str | tuple[str, str], set[str]]:
    """Return every sentence (or pair of singular and plural), with the files in which it stands."""
    found: dict[str | tuple[str, str], set[str]] = {}
    for file in sorted([*HOUSE.glob("commands/**/*.py"), *HOUSE.glob("storage/*.py"), *HOUSE.glob("bots/**/*.py")]):
        for msgid in _in_code(ast.parse(file.read_text(encoding="utf-8"))):
            found.setdefault(msgid, set()).add(str(file.relative_to(HOUSE)))
    for feature in FEATURES:
        for command in feature.commands:
            for text in (command.about, *(param.about for param in command.params.values())):
                found.setdefault(text.msgid, set()).add(f"commands/{feature.name}")
            for param in command.params.values():
                if param.kind.prose:
                    found.setdefault(param.kind.example, set()).add(f"commands/{feature.name}")
    for name, feature_name in names(Commands(FEATURES)):
        found.setdefault(name, set()).add(f"commands/{feature_name}")
    for name in Procedures.load().names():
        found.setdefault(name, set()).add("knowledge/procedures")
    for kept in what():
        found.setdefault(kept.privacy.what, set()).add("storage")
    return {msgid: places for msgid, places in found.items() if _speaks(msgid)}


def _speaks(msgid: str | tuple[str, str]) -> bool:
    """Leave out what is only places for values: it is the same in every language."""
    bare = msgid if isinstance(msgid, str) else msgid[0]
    return any(part.isalpha() for literal in bare.split("{") for part in literal.rpartition("}")[2])


def _in_code(tree: ast.AST) -> Iterator[str | tuple[str, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        args = [each.value for each in node.args[: SAYING.get(name, 0)] if isinstance(each, ast.Constant)]
        words = [each for each in args if isinstance(each, str)]
        if len(words) == 2:
            yield words[0], words[1]
        elif words and SAYING[name] == 1:
            yield words[0]


def template() -> Catalog:
    """Make a catalogue of all sentences without translations."""
    catalog = Catalog(project="impacthub", charset="utf-8")
    for msgid, places in sorted(sentences().items(), key=str):
        catalog.add(msgid, locations=[(place, 0) for place in sorted(places)])
    return catalog


def main() -> None:
    """Update every `.po` file; new sentences are there, untranslated, and old ones are gone."""
    fresh = template()
    for path in sorted(LOCALES.glob("*.po")):
        with path.open("rb") as file:
            catalog = read_po(file, locale=path.stem)
        catalog.update(fresh, no_fuzzy_matching=True, update_creation_date=False)
        catalog.obsolete.clear()
        catalog.project, catalog.version = "impacthub", "1"
        catalog.msgid_bugs_address = catalog.last_translator = catalog.language_team = path.stem
        with path.open("wb") as file:
            write_po(file, catalog, width=110, sort_output=True, include_lineno=False, omit_header=False)


if __name__ == "__main__":
    main()
