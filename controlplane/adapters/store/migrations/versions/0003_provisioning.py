"""Rented VMs' way to their machines, and the history of every VM."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"

PHASES = "WANTED BUYING BOUGHT BOOTING HELD PARKING PARKED STARTING RELEASING RELEASED"


def text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False)


def integer(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def moment(name: str, *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=optional)


def json(name: str, *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON().with_variant(JSONB(), "postgresql"), nullable=optional)


def upgrade() -> None:
    op.create_table(
        "vm_transitions",
        text("vm_id"),
        integer("version"),
        moment("at"),
        text("previous"),
        text("state"),
        text("trigger"),
        text("detail"),
        sa.ForeignKeyConstraint(["vm_id"], ["vms.id"], name=op.f("fk_vm_transitions_vm_id")),
        sa.PrimaryKeyConstraint("vm_id", "version"),
    )
    phases = ", ".join(repr(phase) for phase in PHASES.split())
    op.create_table(
        "provisionings",
        text("id"),
        text("project_id"),
        text("provider"),
        text("tag"),
        text("phase"),
        json("region_ids"),
        text("template_id"),
        moment("created_at"),
        json("offer", optional=True),
        text("instance_id"),
        text("address"),
        integer("attempt"),
        moment("next_attempt_at", optional=True),
        moment("again_at", optional=True),
        moment("deadline_at", optional=True),
        moment("buying_since", optional=True),
        integer("absences"),
        json("refused"),
        json("failure", optional=True),
        sa.Column("release_for_good", sa.Boolean(), nullable=False),
        integer("version"),
        text("lease_token"),
        moment("lease_until", optional=True),
        sa.CheckConstraint(f"phase IN ({phases})", name=op.f("ck_provisionings_phase")),
        sa.ForeignKeyConstraint(["id"], ["vms.id"], name=op.f("fk_provisionings_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_provisionings_project_id")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("provider", "tag", name=op.f("uq_provisionings_provider_tag")),
    )
    unreleased = sa.text("phase <> 'RELEASED'")
    op.create_index(
        op.f("ix_provisionings_unreleased"),
        "provisionings",
        ["provider", "id"],
        postgresql_where=unreleased,
        sqlite_where=unreleased,
    )


def downgrade() -> None:
    op.drop_table("provisionings")
    op.drop_table("vm_transitions")
