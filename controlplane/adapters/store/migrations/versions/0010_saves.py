"""Saves of games, their versions, and the objects that are to go."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    # The defaults are for releases that do not know the columns.
    op.add_column("deployments", sa.Column("saves", JSON, nullable=True))
    op.add_column("sessions", sa.Column("save_id", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "saves",
        sa.Column("project_id", sa.Text(), sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("game_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("session_id", "detail")),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("current", "newest", "version")),
        sa.PrimaryKeyConstraint("project_id", "id"),
        sa.ForeignKeyConstraint(["project_id", "game_id"], ["games.project_id", "games.id"]),
    )
    op.create_index(op.f("ix_saves_project_id_created_at_id"), "saves", ["project_id", "created_at", "id"])
    held = sa.text("session_id <> ''")
    op.create_index(
        "uq_saves_session_id", "saves", ["session_id"], unique=True, postgresql_where=held, sqlite_where=held
    )
    op.create_table(
        "save_versions",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("project_id", "save_id")),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("archive_id", "object_key")),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("content_bytes", "files")),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "save_id", "number"),
        sa.ForeignKeyConstraint(["project_id", "save_id"], ["saves.project_id", "saves.id"]),
        sa.UniqueConstraint("session_id", "generation", "archive_id"),
    )
    op.create_index(op.f("ix_save_versions_object_key"), "save_versions", ["object_key"])
    op.create_table(
        "object_garbage",
        sa.Column("object_key", sa.Text(), primary_key=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index(op.f("ix_object_garbage_due_at"), "object_garbage", ["due_at"])


def downgrade() -> None:
    for table in ("object_garbage", "save_versions", "saves"):
        op.drop_table(table)
    op.drop_column("sessions", "save_id")
    op.drop_column("deployments", "saves")
