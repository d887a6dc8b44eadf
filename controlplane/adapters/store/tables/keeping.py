"""What outlives sessions: saves, their versions, backups and their schedules, and objects that are to go."""

from __future__ import annotations

import sqlalchemy as sa

from controlplane.adapters.store.columns import flag, id_column, integer, moment, reference, text
from controlplane.adapters.store.tables.base import metadata, one_of, project
from controlplane.domain.backup import BackupState

HELD = "session_id <> ''"

saves = sa.Table(
    "saves",
    metadata,
    reference("project_id", "projects.id"),
    id_column(),
    text("game_id"),
    moment("created_at"),
    moment("updated_at"),
    text("session_id"),
    text("detail"),
    integer("current"),
    integer("newest"),
    integer("version"),
    sa.Column("owner", sa.Text(), nullable=False, server_default=""),
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.ForeignKeyConstraint(["project_id", "game_id"], ["games.project_id", "games.id"]),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "project_id", "owner"),
    # A session writes one save.
    sa.Index(
        "uq_saves_session_id",
        "session_id",
        unique=True,
        postgresql_where=sa.text(HELD),
        sqlite_where=sa.text(HELD),
    ),
)

save_versions = sa.Table(
    "save_versions",
    metadata,
    text("project_id"),
    text("save_id"),
    integer("number"),
    moment("created_at"),
    text("session_id"),
    integer("generation"),
    text("archive_id"),
    text("object_key"),
    integer("size_bytes"),
    text("sha256"),
    integer("content_bytes"),
    integer("files"),
    flag("final"),
    sa.PrimaryKeyConstraint("project_id", "save_id", "number"),
    sa.ForeignKeyConstraint(["project_id", "save_id"], ["saves.project_id", "saves.id"]),
    sa.UniqueConstraint("session_id", "generation", "archive_id"),
    sa.Index(None, "object_key"),
)

UNFINISHED = "state IN ('PENDING', 'RUNNING')"

backups = sa.Table(
    "backups",
    metadata,
    id_column(primary_key=True),
    project(),
    text("game_id"),
    text("session_id"),
    integer("generation"),
    text("state"),
    moment("created_at"),
    moment("updated_at"),
    moment("deadline_at"),
    text("save_id"),
    text("schedule_id"),
    text("reason"),
    text("reason_detail"),
    moment("ended_at", optional=True),
    text("object_key"),
    integer("size_bytes"),
    text("sha256"),
    integer("content_bytes"),
    integer("files"),
    text("client_token"),
    text("created_by"),
    integer("version"),
    one_of("state", BackupState),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "object_key"),
    sa.Index(None, "schedule_id", "state"),
    sa.Index(
        "uq_backups_project_id_client_token",
        "project_id",
        "client_token",
        unique=True,
        postgresql_where=sa.text("client_token <> ''"),
        sqlite_where=sa.text("client_token <> ''"),
    ),
    # One at a time of each session.
    sa.Index(
        "uq_backups_unfinished",
        "session_id",
        unique=True,
        postgresql_where=sa.text(UNFINISHED),
        sqlite_where=sa.text(UNFINISHED),
    ),
)

backup_schedules = sa.Table(
    "backup_schedules",
    metadata,
    id_column(primary_key=True),
    project(),
    text("game_id"),
    text("cron"),
    moment("created_at"),
    moment("updated_at"),
    text("save_id"),
    text("time_zone"),
    integer("keep_count"),
    sa.Column("keep_for_s", sa.Double()),
    flag("paused"),
    moment("next_at", optional=True),
    text("client_token"),
    integer("version"),
    sa.ForeignKeyConstraint(["project_id", "game_id"], ["games.project_id", "games.id"]),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "next_at"),
    sa.Index(
        "uq_backup_schedules_project_id_client_token",
        "project_id",
        "client_token",
        unique=True,
        postgresql_where=sa.text("client_token <> ''"),
        sqlite_where=sa.text("client_token <> ''"),
    ),
)

# Objects to be deleted when due, unless a row refers to them then: what is being written, and what rows have left.
object_garbage = sa.Table(
    "object_garbage",
    metadata,
    id_column("object_key", primary_key=True),
    moment("due_at"),
    sa.Index(None, "due_at"),
)
