"""How many saves a player has is counted without looking at all there are.

Built while others read and write: in PostgreSQL outside of a transaction, so that what a try that was cut off has left
is dropped first.
"""

from __future__ import annotations

from alembic import op

revision = "0029"
down_revision = "0028"

NAME = "ix_saves_project_id_owner"
COLUMNS = ["project_id", "owner"]


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        op.create_index(NAME, "saves", COLUMNS)
        return
    with op.get_context().autocommit_block():
        op.drop_index(NAME, "saves", postgresql_concurrently=True, if_exists=True)
        op.create_index(NAME, "saves", COLUMNS, postgresql_concurrently=True)


def downgrade() -> None:
    op.drop_index(NAME, "saves")
