"""Backups of sessions' volumes, and their schedules."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

UNFINISHED = sa.text("state IN ('PENDING', 'RUNNING')")
TOKEN = sa.text("client_token <> ''")


def text(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def integer(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def moment(*names: str, optional: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.DateTime(timezone=True), nullable=optional) for name in names]


def project() -> sa.Column[Any]:
    return sa.Column("project_id", sa.Text(), sa.ForeignKey("projects.id"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "backups",
        sa.Column("id", sa.Text(), primary_key=True),
        project(),
        *text("game_id", "session_id"),
        *integer("generation"),
        *text("state"),
        *moment("created_at", "updated_at", "deadline_at"),
        *text("save_id", "schedule_id", "reason", "reason_detail"),
        *moment("ended_at", optional=True),
        *text("object_key"),
        *integer("size_bytes"),
        *text("sha256"),
        *integer("content_bytes", "files"),
        *text("client_token", "created_by"),
        *integer("version"),
        sa.CheckConstraint("state IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED')", name=op.f("ck_backups_state")),
    )
    op.create_index(op.f("ix_backups_project_id_created_at_id"), "backups", ["project_id", "created_at", "id"])
    op.create_index(op.f("ix_backups_object_key"), "backups", ["object_key"])
    op.create_index(op.f("ix_backups_schedule_id_state"), "backups", ["schedule_id", "state"])
    _unique("uq_backups_project_id_client_token", "backups", ["project_id", "client_token"], TOKEN)
    _unique("uq_backups_unfinished", "backups", ["session_id"], UNFINISHED)
    op.create_table(
        "backup_schedules",
        sa.Column("id", sa.Text(), primary_key=True),
        project(),
        *text("game_id", "cron"),
        *moment("created_at", "updated_at"),
        *text("save_id", "time_zone"),
        *integer("keep_count"),
        sa.Column("keep_for_s", sa.Double(), nullable=True),
        sa.Column("paused", sa.Boolean(), nullable=False),
        *moment("next_at", optional=True),
        *text("client_token"),
        *integer("version"),
        sa.ForeignKeyConstraint(["project_id", "game_id"], ["games.project_id", "games.id"]),
    )
    order = ["project_id", "created_at", "id"]
    op.create_index(op.f("ix_backup_schedules_project_id_created_at_id"), "backup_schedules", order)
    op.create_index(op.f("ix_backup_schedules_next_at"), "backup_schedules", ["next_at"])
    scope = ["project_id", "client_token"]
    _unique("uq_backup_schedules_project_id_client_token", "backup_schedules", scope, TOKEN)


def downgrade() -> None:
    op.drop_table("backup_schedules")
    op.drop_table("backups")


def _unique(name: str, table: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, table, columns, unique=True, postgresql_where=where, sqlite_where=where)
