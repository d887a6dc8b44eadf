"""Logs of sessions: what is stored of each generation, and the objects that hold it; how long a game's are kept."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False)


def integer(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def moment(name: str, *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=optional)


def owners(table: str) -> tuple[sa.ForeignKeyConstraint, ...]:
    return (
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f(f"fk_{table}_session_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f(f"fk_{table}_project_id")),
    )


def upgrade() -> None:
    op.create_table(
        "log_heads",
        text("session_id"),
        integer("generation"),
        text("project_id"),
        text("host_id"),
        integer("to_sequence"),
        integer("lines"),
        integer("bytes"),
        sa.Column("complete", sa.Boolean(), nullable=False),
        moment("stored_at", optional=True),
        integer("version"),
        *owners("log_heads"),
        sa.PrimaryKeyConstraint("session_id", "generation"),
    )
    op.create_index(op.f("ix_log_heads_stored_at"), "log_heads", ["stored_at"])
    op.create_table(
        "log_chunks",
        text("session_id"),
        integer("generation"),
        integer("from_sequence"),
        integer("to_sequence"),
        text("project_id"),
        moment("from_at"),
        moment("to_at"),
        integer("stdout_lines"),
        integer("stderr_lines"),
        integer("wrapper_lines"),
        integer("bytes"),
        text("object_key"),
        moment("stored_at"),
        moment("expires_at"),
        *owners("log_chunks"),
        sa.PrimaryKeyConstraint("session_id", "generation", "from_sequence"),
        sa.UniqueConstraint("object_key", name=op.f("uq_log_chunks_object_key")),
    )
    op.create_index(op.f("ix_log_chunks_expires_at"), "log_chunks", ["expires_at"])
    op.add_column("games", sa.Column("log_retention_s", sa.Double(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("games", "log_retention_s")
    op.drop_table("log_chunks")
    op.drop_table("log_heads")
