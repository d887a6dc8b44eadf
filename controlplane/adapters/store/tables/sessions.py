"""Sessions and their ports. I3 (one lease for a port) and I20 (client tokens) are constraints."""

from __future__ import annotations

import sqlalchemy as sa

from controlplane.adapters.store.columns import (
    Reference,
    flag,
    id_column,
    integer,
    json,
    moment,
    number,
    reference,
    text,
)
from controlplane.adapters.store.tables.base import metadata, one_of, project
from controlplane.domain.session import SessionState

UNFINISHED = "state IN ('PENDING', 'STARTING', 'RUNNING', 'STOPPING')"

sessions = sa.Table(
    "sessions",
    metadata,
    id_column(primary_key=True),
    project(),
    text("game_id"),
    integer("deployment_number"),
    reference("preset_id", "presets.id", optional=True),
    text("state"),
    moment("created_at"),
    moment("updated_at"),
    text("region_id"),
    reference("vm_id", "vms.id", optional=True),
    integer("units"),
    integer("generation"),
    text("reason"),
    text("reason_detail"),
    sa.Column("exit_code", sa.BigInteger()),
    moment("unreachable_at", optional=True),
    json("stages"),
    json("limits"),
    number("lost_after_s"),
    moment("queue_deadline_at", optional=True),
    moment("ended_at", optional=True),
    flag("streamed"),
    json("video", optional=True),
    integer("connected_players"),
    text("client_token"),
    text("request_sha256"),
    text("created_by"),
    integer("version"),
    json("coordinates", optional=True),
    text("territory"),
    json("passed_over"),
    number("lease_s"),
    json("choice"),
    moment("last_activity_at", optional=True),
    text("save_id"),
    json("usage", optional=True),
    text("progress"),
    sa.ForeignKeyConstraint(
        ["project_id", "game_id", "deployment_number"],
        ["deployments.project_id", "deployments.game_id", "deployments.number"],
    ),
    one_of("state", SessionState),
    sa.CheckConstraint("units >= 0", name="units"),
    sa.CheckConstraint("generation > 0", name="generation"),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(
        "uq_sessions_project_id_client_token",
        "project_id",
        "client_token",
        unique=True,
        postgresql_where=sa.text("client_token <> ''"),
        sqlite_where=sa.text("client_token <> ''"),
    ),
    sa.Index(None, "vm_id", "created_at"),
    sa.Index(None, "project_id", "ended_at"),
    sa.Index(
        "ix_sessions_unfinished",
        "state",
        "created_at",
        "id",
        postgresql_where=sa.text(UNFINISHED),
        sqlite_where=sa.text(UNFINISHED),
    ),
)

port_leases = sa.Table(
    "port_leases",
    metadata,
    reference("vm_id", "vms.id"),
    text("protocol"),
    integer("host_port"),
    # Looked at when the transaction commits: a new session's ports are leased before it is added.
    sa.Column(
        "session_id",
        Reference(),
        sa.ForeignKey("sessions.id", deferrable=True, initially="DEFERRED"),
        nullable=True,
    ),
    text("port_name"),
    integer("game_port"),
    moment("free_at", optional=True),
    text("purpose"),
    text("game_id"),
    reference("project_id", "projects.id", optional=True),
    text("client_token"),
    moment("reserved_at", optional=True),
    sa.PrimaryKeyConstraint("vm_id", "protocol", "host_port"),
    sa.CheckConstraint("session_id IS NOT NULL OR purpose <> ''", name="holder"),
    sa.Index(
        "uq_port_leases_project_id_client_token",
        "project_id",
        "client_token",
        unique=True,
        postgresql_where=sa.text("client_token <> ''"),
        sqlite_where=sa.text("client_token <> ''"),
    ),
    sa.CheckConstraint("host_port BETWEEN 1 AND 65535", name="host_port"),
    sa.Index(None, "session_id"),
)
