"""What client tokens stand for, in one table: those that rows have kept so far are taken over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

# Rows that keep the token that made them, and the resource names of these.
KEPT = (
    ("AllocatePort", "port_leases", "'vms/' || vm_id || '/ports/' || protocol || '-' || host_port"),
    ("CreateBackup", "backups", "'backups/' || id"),
    ("CreateBackupSchedule", "backup_schedules", "'backupSchedules/' || id"),
)


def upgrade() -> None:
    op.create_table(
        "client_tokens",
        sa.Column("project_id", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("verb", "token", "request_sha256")),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "verb", "token", name=op.f("pk_client_tokens")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_client_tokens_project_id")),
    )
    op.create_index(op.f("ix_client_tokens_created_at"), "client_tokens", ["created_at"])
    for verb, table, name in KEPT:
        op.execute(
            f"INSERT INTO client_tokens (project_id, verb, token, request_sha256, created_at, made) "  # noqa: S608
            f"SELECT project_id, '{verb}', client_token, '', CURRENT_TIMESTAMP, {name} FROM {table} "
            f"WHERE client_token <> ''"
        )


def downgrade() -> None:
    op.drop_table("client_tokens")
