"""Which card of its host a session was given."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("gpu_index", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("sessions", "gpu_index")
