"""What sessions use on their host, and how far a start is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0014"
down_revision = "0013"

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("hosts", sa.Column("usage", JSON))
    op.add_column("sessions", sa.Column("usage", JSON))
    # The default is for releases that do not know the column.
    op.add_column("sessions", sa.Column("progress", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("sessions", "progress")
    op.drop_column("sessions", "usage")
    op.drop_column("hosts", "usage")
