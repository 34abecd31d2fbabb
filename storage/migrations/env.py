"""Alembic's entry: works inside a running transaction, and leaves committing to whoever began it."""

from alembic import context

from storage.migrations import render
from storage.table import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_item=render,
    render_as_batch=True,  # SQLite changes a table by copying it
    transactional_ddl=True,
    compare_type=True,
)
context.run_migrations()
