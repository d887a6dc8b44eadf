"""VMs on their way to be replaced."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

UNFINISHED = "state IN ('QUEUED', 'RENTING', 'DRAINING')"


def text(name: str, *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=optional)


def moment(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def upgrade() -> None:
    op.create_table(
        "replacements",
        text("id"),
        text("project_id"),
        text("series_id"),
        text("scope"),
        text("vm_id"),
        text("state"),
        moment("created_at"),
        moment("updated_at"),
        text("successor_id", optional=True),
        text("detail"),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replacements")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_replacements_project_id")),
        sa.ForeignKeyConstraint(["vm_id"], ["vms.id"], name=op.f("fk_replacements_vm_id")),
        sa.ForeignKeyConstraint(["successor_id"], ["vms.id"], name=op.f("fk_replacements_successor_id")),
        sa.CheckConstraint(
            "state IN ('QUEUED', 'RENTING', 'DRAINING', 'DONE', 'FAILED', 'CANCELLED')",
            name=op.f("ck_replacements_state"),
        ),
    )
    op.create_index("ix_replacements_project_id_created_at_id", "replacements", ["project_id", "created_at", "id"])
    op.create_index("ix_replacements_series_id_id", "replacements", ["series_id", "id"])
    op.create_index(
        "ix_replacements_unfinished",
        "replacements",
        ["id"],
        postgresql_where=sa.text(UNFINISHED),
        sqlite_where=sa.text(UNFINISHED),
    )


def downgrade() -> None:
    op.drop_table("replacements")
