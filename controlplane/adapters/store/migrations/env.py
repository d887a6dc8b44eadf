"""Runs migrations on the connection that schema.py hands over, in one transaction on either database."""

from __future__ import annotations

from alembic import context

from controlplane.adapters.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite alters a table by copying it, and would otherwise leave half a migration behind.
    render_as_batch=True,
    transactional_ddl=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
