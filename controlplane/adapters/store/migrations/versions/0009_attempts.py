"""The history of attempts to rent, stop and start a VM's machine."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"


def text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False)


def moment(name: str, *, optional: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=optional)


def json(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON().with_variant(JSONB(), "postgresql"))


def upgrade() -> None:
    op.add_column("provisionings", moment("trying_since"))
    op.add_column("provisionings", json("last"))
    op.create_table(
        "vm_attempts",
        text("vm_id"),
        sa.Column("number", sa.BigInteger(), nullable=False),
        text("purpose"),
        moment("started_at", optional=False),
        json("offer"),
        text("instance_id"),
        text("outcome"),
        moment("ended_at"),
        json("failure"),
        moment("next_attempt_at"),
        sa.CheckConstraint("purpose IN ('RENT', 'STOP', 'START')", name=op.f("ck_vm_attempts_purpose")),
        sa.CheckConstraint(
            "outcome IN ('OPEN', 'SUCCEEDED', 'FAILED', 'CALLED_OFF')", name=op.f("ck_vm_attempts_outcome")
        ),
        sa.ForeignKeyConstraint(["vm_id"], ["vms.id"], name=op.f("fk_vm_attempts_vm_id")),
        sa.PrimaryKeyConstraint("vm_id", "number"),
    )


def downgrade() -> None:
    op.drop_table("vm_attempts")
    op.drop_column("provisionings", "last")
    op.drop_column("provisionings", "trying_since")
