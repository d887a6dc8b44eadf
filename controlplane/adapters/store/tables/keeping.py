"""What outlives sessions: saves, their versions, and objects that are to go."""

from __future__ import annotations

import sqlalchemy as sa

from controlplane.adapters.store.columns import flag, id_column, integer, moment, reference, text
from controlplane.adapters.store.tables.base import metadata

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
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.ForeignKeyConstraint(["project_id", "game_id"], ["games.project_id", "games.id"]),
    sa.Index(None, "project_id", "created_at", "id"),
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

# Objects to be deleted when due, unless a row refers to them then: what is being written, and what rows have left.
object_garbage = sa.Table(
    "object_garbage",
    metadata,
    id_column("object_key", primary_key=True),
    moment("due_at"),
    sa.Index(None, "due_at"),
)
