"""Logs of sessions: what is stored of each generation, and the objects that hold it."""

from __future__ import annotations

import sqlalchemy as sa

from controlplane.adapters.store.columns import flag, integer, moment, reference, text
from controlplane.adapters.store.tables.base import metadata, project

log_heads = sa.Table(
    "log_heads",
    metadata,
    reference("session_id", "sessions.id"),
    integer("generation"),
    project(),
    text("host_id"),
    integer("to_sequence"),
    integer("lines"),
    integer("bytes"),
    flag("complete"),
    moment("stored_at", optional=True),
    integer("version"),
    sa.PrimaryKeyConstraint("session_id", "generation"),
    sa.Index(None, "stored_at"),
)

log_chunks = sa.Table(
    "log_chunks",
    metadata,
    reference("session_id", "sessions.id"),
    integer("generation"),
    integer("from_sequence"),
    integer("to_sequence"),
    project(),
    moment("from_at"),
    moment("to_at"),
    integer("stdout_lines"),
    integer("stderr_lines"),
    integer("wrapper_lines"),
    integer("bytes"),
    text("object_key"),
    moment("stored_at"),
    moment("expires_at"),
    sa.PrimaryKeyConstraint("session_id", "generation", "from_sequence"),
    sa.UniqueConstraint("object_key"),
    sa.Index(None, "expires_at"),
)
