"""How long a session's caller wished to wait; and a low-water mark for the regions that come with the house."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

SEEDED = (
    "us-east-1",
    "us-west-2",
    "eu-west-1",
    "eu-central-1",
    "ap-southeast-1",
    "ap-northeast-1",
    "local",
)


def upgrade() -> None:
    op.add_column("sessions", sa.Column("queue_timeout_s", sa.Double()))
    regions = sa.table("regions", sa.column("id", sa.Text()), sa.column("low_water_seats", sa.BigInteger()))
    unmarked = regions.c.id.in_(SEEDED) & (regions.c.low_water_seats == 0)
    op.execute(regions.update().where(unmarked).values(low_water_seats=1))


def downgrade() -> None:
    op.drop_column("sessions", "queue_timeout_s")
