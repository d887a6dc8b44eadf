"""Chains, laws and low-water marks of regions; laws and presets of games; where a session wished to be, and why not."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.adapters.store.migrations.first_chains import CHAINS

revision = "0004"
down_revision = "0003"

JSON = sa.JSON().with_variant(JSONB(), "postgresql")
NO_LAW = '{"allow": [], "deny": []}'


def text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def columns() -> tuple[tuple[str, sa.Column[Any]], ...]:
    """New each time: a column belongs to one table."""
    return (
        ("regions", sa.Column("chain", JSON, nullable=False, server_default="[]")),
        ("regions", sa.Column("law", JSON, nullable=False, server_default=NO_LAW)),
        ("regions", sa.Column("low_water_seats", sa.BigInteger(), nullable=False, server_default="0")),
        ("games", sa.Column("law", JSON, nullable=False, server_default=NO_LAW)),
        ("deployments", sa.Column("replaceable", sa.Boolean(), nullable=False, server_default=sa.false())),
        ("presets", text("project_id")),
        ("presets", text("game_id")),
        ("sessions", sa.Column("coordinates", JSON, nullable=True)),
        ("sessions", text("territory")),
        ("sessions", sa.Column("passed_over", JSON, nullable=False, server_default="[]")),
        ("sessions", sa.Column("lease_s", sa.Double(), nullable=False, server_default="0")),
    )


def upgrade() -> None:
    for table, column in columns():
        op.add_column(table, column)
    op.create_index("ix_sessions_project_id_ended_at", "sessions", ["project_id", "ended_at"])
    op.create_table(
        "tides",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("region_id", sa.Text(), nullable=False),
        sa.Column("low", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "region_id", name=op.f("pk_tides")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_tides_project_id")),
        sa.ForeignKeyConstraint(["region_id"], ["regions.id"], name=op.f("fk_tides_region_id")),
    )
    regions = sa.table("regions", sa.column("id", sa.Text()), sa.column("chain", JSON))
    for region_id, chain in CHAINS.items():
        op.execute(regions.update().where(regions.c.id == region_id).values(chain=chain))


def downgrade() -> None:
    op.drop_table("tides")
    op.drop_index("ix_sessions_project_id_ended_at", "sessions")
    for table, column in reversed(columns()):
        op.drop_column(table, column.name)
