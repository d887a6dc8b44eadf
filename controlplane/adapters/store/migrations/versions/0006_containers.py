"""The container of a deployment: its image, and what it may use."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    container = sa.Column("container", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=True)
    op.add_column("deployments", container)


def downgrade() -> None:
    op.drop_column("deployments", "container")
