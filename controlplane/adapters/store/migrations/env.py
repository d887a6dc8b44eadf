"""Runs migrations on the connection that schema.py hands over.

On PostgreSQL each in a transaction of its own: the release before serves meanwhile, and gets at what one has locked
before the next is done. On SQLite, whose one lock keeps out other processes that migrate, all in one.
"""

from __future__ import annotations

from alembic import context

from controlplane.adapters.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite alters a table by copying it, and would otherwise leave half a migration behind.
    render_as_batch=True,
    transactional_ddl=True,
    transaction_per_migration=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
