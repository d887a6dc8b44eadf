"""Which VMs were terminated lately is found without looking at all that ever were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

TERMINATED = sa.text("state = 'TERMINATED'")


def upgrade() -> None:
    op.create_index("ix_vms_terminated", "vms", ["updated_at"], postgresql_where=TERMINATED, sqlite_where=TERMINATED)


def downgrade() -> None:
    op.drop_index("ix_vms_terminated", "vms")
