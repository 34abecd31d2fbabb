"""The laws of the house."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
ROOMS = ("bots", "commands", "knowledge", "storage")
FILES = sorted(file for room in ROOMS for file in (HOUSE / room).rglob("*.py"))


def name_of(file: Path) -> str:
    return str(file.relative_to(HOUSE))


def imports(file: Path) -> Iterator[str]:
    """Every module that a file imports, at the top or inside of functions."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def calls(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def importers(package: str) -> set[str]:
    return {name_of(file) for file in FILES if any(each.split(".")[0] == package for each in imports(file))}


MAY_IMPORT = {
    "bots": {"bots", "commands", "knowledge", "storage"},
    "commands": {"commands", "knowledge", "storage"},
    "knowledge": {"knowledge"},
    "storage": {"storage"},
}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_go_in_one_direction(file):
    own = {each.split(".")[0] for each in imports(file)} & set(ROOMS)
    assert own <= MAY_IMPORT[file.relative_to(HOUSE).parts[0]]


def test_each_library_has_its_place():
    assert all(name.startswith("bots/matrix/") for name in importers("nio"))
    assert importers("apscheduler") == {"bots/clockwork.py"}
    assert all(name.startswith("bots/discord/") for name in importers("discord"))
    assert importers("openai") == {"knowledge/completion.py"}


def test_what_few_need_is_not_in_every_process():
    """Megabytes that most installations never use; and no parser of files but in the child that reads them."""
    heavy = (
        *("alembic", "charset_normalizer", "discord", "holidays", "icalendar", "knowledge.ingest.formats", "lxml"),
        *("mammoth", "matplotlib", "numpy", "openai", "pypdfium2", "trafilatura"),
    )
    program = f"import sys, bots.__main__; print(*sorted(set({heavy!r}) & sys.modules.keys()))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=HOUSE, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_sql_is_spoken_in_storage_only():
    speakers = importers("sqlmodel") | importers("sqlalchemy") | importers("pysqlite3") | importers("asyncpg")
    assert all(name.startswith("storage/") for name in speakers)


CLOCKS = re.compile(
    r"(datetime|date)\.(now|utcnow|today)$|^time\.|^(uuid\.)?uuid[14]$|^random\.(?!Random$)|^secrets\.|^os\.urandom$"
)
ALLOWED = {
    "storage/table.py": {"uuid4"},  # the ids of rows
    "storage/sealed.py": {"os.urandom"},  # keys and nonces
}


@pytest.mark.parametrize("file", [file for file in FILES if "bots" not in file.parts], ids=name_of)
def test_rules_have_no_clock_and_no_chance(file):
    found = {call for call in calls(file) if CLOCKS.search(call)}
    assert found <= ALLOWED.get(name_of(file), set())


# A feature is a file in commands/, or a folder where it is too long for one.
PARTS = [file for file in FILES if file.is_relative_to(HOUSE / "commands") and "core" not in file.parts]


def feature_of(file: Path) -> str:
    return file.relative_to(HOUSE / "commands").parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", PARTS, ids=name_of)
def test_features_do_not_import_one_another(file):
    features = {feature_of(each) for each in PARTS} - {"__init__"}
    imported = {
        each.split(".")[1] for each in imports(file) if each.startswith("commands.") and each.count(".")
    } & features
    assert feature_of(file) == "__init__" or imported <= {feature_of(file)}


def test_holidays_are_asked_for_in_one_place():
    assert importers("holidays") == {"storage/rhythm.py"}


def test_books_do_not_import_in_circles():
    books = {file.stem: file for file in (HOUSE / "storage").glob("*.py")}
    edges = {
        name: {
            each.split(".")[1] for each in imports(file) if each.startswith("storage.") and each.split(".")[1] in books
        }
        for name, file in books.items()
    }
    done: set[str] = set()
    while len(done) < len(edges):
        free = {name for name, needs in edges.items() if name not in done and needs <= done}
        assert free, f"a circle among {sorted(set(edges) - done)}"
        done |= free


@pytest.mark.parametrize("file", [file for file in FILES if "migrations" not in file.parts], ids=name_of)
def test_handlers_and_rules_never_commit(file):
    if name_of(file) in {"storage/store.py", "knowledge/index.py"}:  # the index keeps nothing of people's
        return
    assert not [call for call in calls(file) if call.endswith((".commit", ".rollback"))]


def test_no_file_is_a_drawer_for_everything():
    drawers = {"utils", "helpers", "common", "services", "managers", "misc"}
    assert not [name_of(file) for file in FILES if file.stem in drawers]


def test_every_feature_keeps_its_name_in_every_layer():
    written = {file.name.split(".")[0] for file in (HOUSE / "tests/dialogues").glob("*.txt")}
    from commands import FEATURES

    missing = {
        (feature.name, language)
        for feature in FEATURES
        for language in ("en", "uk", "ru")
        if not (HOUSE / f"tests/dialogues/{feature.name}.{language}.txt").exists()
    }
    assert not missing, f"no dialogue for {sorted(missing)} among {sorted(written)}"


def test_no_registry_address_and_no_machine_path_is_in_the_lock():
    lock = (HOUSE / "requirements.lock").read_text("utf-8")
    assert "://" not in lock
    assert "--index" not in lock
    assert all("--hash=sha256:" in block for block in re.findall(r"^\S+==\S+ \\\n(?: {4}\S.*\n?)+", lock, re.MULTILINE))
