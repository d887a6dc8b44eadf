"""What happened to one resource, and what one player's sessions are, is found without looking at all there is.

Built while others read and write: in PostgreSQL outside of a transaction, so that what a try that was cut off has left
is dropped first.
"""

from __future__ import annotations

from alembic import op

revision = "0027"
down_revision = "0026"

INDEXES = {
    "ix_outbox_project_id_subject_id": ("outbox", ["project_id", "subject", "id"]),
    "ix_sessions_project_id_created_by_created_at_id": ("sessions", ["project_id", "created_by", "created_at", "id"]),
}


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        for name, (table, columns) in INDEXES.items():
            op.create_index(name, table, columns)
        return
    with op.get_context().autocommit_block():
        for name, (table, columns) in INDEXES.items():
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
            op.create_index(name, table, columns, postgresql_concurrently=True)


def downgrade() -> None:
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table)
