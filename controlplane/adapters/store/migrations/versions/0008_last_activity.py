"""When a session last saw input, a typed line, or a player who came or went."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("last_activity_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("sessions", "last_activity_at")
