"""When heartbeats were listened to, so that only such time is held against a host."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0025"
down_revision = "0024"

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("feed", sa.Column("heard", JSON, nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("feed", "heard")
