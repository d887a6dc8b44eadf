"""What happened: news of capacity, events on their way, and what was given up."""

from __future__ import annotations

import sqlalchemy as sa

from controlplane.adapters.store.columns import JSON, flag, id_column, integer, json, moment, reference, text
from controlplane.adapters.store.tables.base import metadata, project

# What was last told of a project's capacity in a region; `version` counts the tellings.
tides = sa.Table(
    "tides",
    metadata,
    project(),
    reference("region_id", "regions.id"),
    flag("low"),
    integer("version"),
    sa.PrimaryKeyConstraint("project_id", "region_id"),
)

# One row: how the heartbeats as a whole arrive.
feed = sa.Table(
    "feed",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
    moment("last_batch_at", optional=True),
    moment("gap_ended_at", optional=True),
    sa.Column("heard", JSON, nullable=False, server_default="[]"),
    sa.CheckConstraint("id = 1", name="single"),
)

# What exactly one process does at a time.
duties = sa.Table(
    "duties",
    metadata,
    id_column("duty", primary_key=True),
    text("holder"),
    moment("lease_until"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    id_column(primary_key=True),
    moment("at"),
    text("type"),
    project(),
    text("subject"),
    integer("subject_version"),
    json("data"),
    moment("lease_until", optional=True),
    moment("published_at", optional=True),
    sa.Index(
        "ix_outbox_unpublished",
        "id",
        postgresql_where=sa.text("published_at IS NULL"),
        sqlite_where=sa.text("published_at IS NULL"),
    ),
    sa.Index(None, "published_at"),
    sa.Index(None, "project_id", "subject", "id"),
)

# The release before empties it of what is old; nobody fills it, and the next release drops it.
inbox = sa.Table(
    "inbox",
    metadata,
    text("consumer"),
    text("event_id"),
    moment("at"),
    sa.PrimaryKeyConstraint("consumer", "event_id"),
    sa.Index(None, "at"),
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    text("consumer"),
    text("event_id"),
    moment("at"),
    sa.Column("payload", sa.LargeBinary(), nullable=False),
    text("error"),
    sa.Column("subject", sa.Text(), nullable=False, server_default=""),
    moment("replay_at", optional=True),
    moment("lease_until", optional=True),
    sa.PrimaryKeyConstraint("consumer", "event_id"),
)

audit = sa.Table(
    "audit",
    metadata,
    reference("project_id", "projects.id"),
    integer("sequence"),
    moment("at"),
    text("subject"),
    text("action"),
    text("resource"),
    text("request_id"),
    text("previous_sha256"),
    text("sha256"),
    sa.PrimaryKeyConstraint("project_id", "sequence"),
)
