# A newcomer needs two commands: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.made
SOURCES := bots commands knowledge storage tests

.PHONY: help setup demo test check format bench eval soak accept strings manual migration lock

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## build the environment in .venv

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: setup  ## a real homeserver, three bots, a seeded world, and a terminal chat
	$(BIN)/impacthub demo

test: setup  ## every test, on SQLite and PostgreSQL, and against a real Synapse
	$(BIN)/python -m pytest -n 2

check: setup  ## formatter, linter, types
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy

format: setup  ## format, and mend what the linter can mend
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

bench: setup  ## speed and memory, beside bare libraries in the same run
	$(BIN)/python -m tests.bench

eval: setup  ## quality of the look-up, of the survivor guard and of answers
	$(BIN)/python -m tests.eval.lookup
	$(BIN)/python -m tests.eval.lookup tests/eval/lookup_colloquial.jsonl
	$(BIN)/python -m tests.eval.guard
	$(BIN)/python -m tests.eval.answers

soak: setup  ## kills and restarts, long; SOAK=10 makes it ten times longer
	$(BIN)/python -m pytest -n 0 -m soak

accept: setup  ## rewrite the golden transcripts from what the bots say now
	$(BIN)/python -m tests.transcript

strings: setup  ## bring every catalogue up to date with the sentences in the code
	$(BIN)/python -m commands.core.extract

manual: setup  ## write docs/commands.md from the commands' declarations
	$(BIN)/python -m commands.core.reference

migration: setup  ## write a migration for what changed in the tables: make migration m="what changes"
	$(BIN)/python -m storage.migrations "$(m)"

lock:  ## resolve the dependencies anew
	uv pip compile --universal --generate-hashes --python-version 3.11 --extra demo --extra dense --extra dev \
		--no-header --quiet pyproject.toml -o requirements.lock
