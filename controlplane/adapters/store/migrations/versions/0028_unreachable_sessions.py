"""Sessions whose host is not heard of are found without looking at all that play: they are few, and looked for often.

Built while others read and write: in PostgreSQL outside of a transaction, so that what a try that was cut off has left
is dropped first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"

NAME, TABLE, COLUMNS = "ix_sessions_unreachable", "sessions", ["unreachable_at", "id"]
WHERE = sa.text("unreachable_at IS NOT NULL")


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        op.create_index(NAME, TABLE, COLUMNS, sqlite_where=WHERE)
        return
    with op.get_context().autocommit_block():
        op.drop_index(NAME, TABLE, postgresql_concurrently=True, if_exists=True)
        op.create_index(NAME, TABLE, COLUMNS, postgresql_where=WHERE, postgresql_concurrently=True)


def downgrade() -> None:
    op.drop_index(NAME, TABLE)
