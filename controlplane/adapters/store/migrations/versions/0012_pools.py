"""Pools, budgets, the limit of machines rented in a region, and what the house has decided to rent by itself."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"

JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False)


def integer(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def upgrade() -> None:
    op.add_column("regions", sa.Column("max_rented_vms", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("provisionings", sa.Column("mandate", JSON, nullable=True))
    op.create_table(
        "pools",
        text("id"),
        text("project_id"),
        text("provider"),
        text("region_id"),
        text("template_id"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        integer("min_free_slots"),
        integer("buffer_slots"),
        integer("max_vms"),
        sa.Column("idle_after_s", sa.Double(), nullable=False),
        sa.Column("scale_to_zero", sa.Boolean(), nullable=False),
        text("blocked"),
        integer("version"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pools")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_pools_project_id")),
        sa.ForeignKeyConstraint(["region_id"], ["regions.id"], name=op.f("fk_pools_region_id")),
        sa.ForeignKeyConstraint(["template_id"], ["templates.id"], name=op.f("fk_pools_template_id")),
        sa.UniqueConstraint(
            "project_id",
            "provider",
            "region_id",
            "template_id",
            name=op.f("uq_pools_project_id_provider_region_id_template_id"),
        ),
        sa.CheckConstraint("min_free_slots >= 0 AND buffer_slots >= 0 AND max_vms > 0", name=op.f("ck_pools_figures")),
    )
    op.create_table(
        "budgets",
        text("project_id"),
        integer("micro_per_hour"),
        text("currency"),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_budgets")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_budgets_project_id")),
        sa.CheckConstraint("micro_per_hour >= 0", name=op.f("ck_budgets_micro_per_hour")),
    )


def downgrade() -> None:
    op.drop_table("budgets")
    op.drop_table("pools")
    op.drop_column("provisionings", "mandate")
    op.drop_column("regions", "max_rented_vms")
