"""Where a dead letter came from, and whether it is to be handled once more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # The release before does not name the subject when it buries: it stays good beside this one.
    op.add_column("dead_letters", sa.Column("subject", sa.Text(), nullable=False, server_default=""))
    for name in ("replay_at", "lease_until"):
        op.add_column("dead_letters", sa.Column(name, sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for name in ("lease_until", "replay_at", "subject"):
        op.drop_column("dead_letters", name)
