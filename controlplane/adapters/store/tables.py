"""The tables, as SQLAlchemy Core metadata: what the entities are when they lie still.

A column is called as the field it keeps; parts that are never searched by are JSON. Every row has its project where
the entity has one. Invariants that one row can show are constraints (I1 capacity, I3 ports, I5 inbox, I20 tokens).
"""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from controlplane.adapters.store.columns import (
    flag,
    id_column,
    integer,
    json,
    moment,
    number,
    reference,
    text,
)
from controlplane.domain.game import Picture
from controlplane.domain.host import HostState
from controlplane.domain.identity import CredentialKind, Role
from controlplane.domain.provisioning import Phase
from controlplane.domain.session import SessionState
from controlplane.domain.vm import VmState

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def one_of(column: str, words: type[StrEnum]) -> sa.CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


def project() -> sa.Column[str]:
    return reference("project_id", "projects.id")


projects = sa.Table(
    "projects",
    metadata,
    id_column(primary_key=True),
    moment("created_at"),
    # The head of the project's audit chain (I22): whoever appends holds this row until it commits.
    integer("audit_sequence"),
    text("audit_sha256"),
)

credentials = sa.Table(
    "credentials",
    metadata,
    id_column(primary_key=True),
    project(),
    text("kind"),
    text("subject"),
    text("role"),
    text("secret_sha256"),
    moment("created_at"),
    moment("expires_at"),
    reference("vm_id", "vms.id", optional=True),
    moment("used_at", optional=True),
    moment("revoked_at", optional=True),
    one_of("kind", CredentialKind),
    one_of("role", Role),
    sa.UniqueConstraint("kind", "secret_sha256"),
)

spent_tokens = sa.Table(
    "spent_tokens",
    metadata,
    id_column("jti", primary_key=True),
    moment("expires_at"),
    sa.Index(None, "expires_at"),
)

vms = sa.Table(
    "vms",
    metadata,
    id_column(primary_key=True),
    project(),
    text("provider"),
    reference("region_id", "regions.id", optional=True),
    reference("template_id", "templates.id", optional=True),
    text("state"),
    integer("capacity_units"),
    moment("created_at"),
    moment("updated_at"),
    integer("used_units"),
    integer("active_sessions"),
    text("advertised_address"),
    json("media_ports"),
    text("reason_detail"),
    moment("terminate_requested_at", optional=True),
    integer("plan_version"),
    integer("version"),
    one_of("state", VmState),
    sa.CheckConstraint("used_units BETWEEN 0 AND capacity_units", name="units"),
    sa.CheckConstraint("active_sessions >= 0", name="active_sessions"),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "project_id", "state"),
)

vm_transitions = sa.Table(
    "vm_transitions",
    metadata,
    reference("vm_id", "vms.id"),
    integer("version"),
    moment("at"),
    text("previous"),
    text("state"),
    text("trigger"),
    text("detail"),
    sa.PrimaryKeyConstraint("vm_id", "version"),
)

UNRELEASED = "phase <> 'RELEASED'"

# A rented VM's way to its machine; the tag is committed before anything is bought.
provisionings = sa.Table(
    "provisionings",
    metadata,
    sa.Column("id", sa.Text(), sa.ForeignKey("vms.id"), primary_key=True),
    project(),
    text("provider"),
    text("tag"),
    text("phase"),
    json("region_ids"),
    text("template_id"),
    moment("created_at"),
    json("offer", optional=True),
    text("instance_id"),
    text("address"),
    integer("attempt"),
    moment("next_attempt_at", optional=True),
    moment("again_at", optional=True),
    moment("deadline_at", optional=True),
    moment("buying_since", optional=True),
    integer("absences"),
    json("refused"),
    json("failure", optional=True),
    flag("release_for_good"),
    integer("version"),
    text("lease_token"),
    moment("lease_until", optional=True),
    one_of("phase", Phase),
    sa.UniqueConstraint("provider", "tag"),
    sa.Index(
        "ix_provisionings_unreleased",
        "provider",
        "id",
        postgresql_where=sa.text(UNRELEASED),
        sqlite_where=sa.text(UNRELEASED),
    ),
)

hosts = sa.Table(
    "hosts",
    metadata,
    sa.Column("id", sa.Text(), sa.ForeignKey("vms.id"), primary_key=True),
    project(),
    text("state"),
    integer("epoch"),
    text("start_id"),
    integer("report_sequence"),
    integer("observed_plan_version"),
    moment("last_heartbeat_at", optional=True),
    moment("state_since", optional=True),
    text("link_replica"),
    text("link_token"),
    text("certificate_serial"),
    moment("certificate_expires_at", optional=True),
    moment("revoked_at", optional=True),
    json("inventory"),
    json("addresses"),
    integer("workloads"),
    integer("version"),
    one_of("state", HostState),
    sa.Index(None, "project_id", "id"),
    sa.Index(None, "state", "id"),
)

games = sa.Table(
    "games",
    metadata,
    reference("project_id", "projects.id"),
    id_column(),
    text("display_name"),
    text("summary"),
    reference("default_preset_id", "presets.id", optional=True),
    moment("created_at"),
    integer("current_deployment"),
    json("law"),
    json("parameters"),
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.Index(None, "project_id", "created_at", "id"),
)

deployments = sa.Table(
    "deployments",
    metadata,
    reference("project_id", "projects.id"),
    text("game_id"),
    integer("number"),
    json("command"),
    text("picture"),
    moment("created_at"),
    json("environment"),
    json("ports"),
    json("readiness", optional=True),
    number("stop_grace_s"),
    flag("replaceable"),
    json("container", optional=True),
    json("parameters"),
    json("volumes"),
    json("files"),
    json("actions"),
    text("stop_command"),
    number("stop_command_grace_s"),
    sa.PrimaryKeyConstraint("project_id", "game_id", "number"),
    sa.ForeignKeyConstraint(["project_id", "game_id"], ["games.project_id", "games.id"]),
    one_of("picture", Picture),
    sa.CheckConstraint("number > 0", name="number"),
)

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
        sa.Text(),
        sa.ForeignKey("sessions.id", deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
    text("port_name"),
    integer("game_port"),
    moment("free_at", optional=True),
    sa.PrimaryKeyConstraint("vm_id", "protocol", "host_port"),
    sa.CheckConstraint("host_port BETWEEN 1 AND 65535", name="host_port"),
    sa.Index(None, "session_id"),
)

templates = sa.Table(
    "templates",
    metadata,
    id_column(primary_key=True),
    text("display_name"),
    integer("vcpus"),
    integer("ram_gb"),
    integer("vram_gb"),
    integer("seats"),
    text("gpu_model"),
    sa.CheckConstraint("seats > 0", name="seats"),
)

presets = sa.Table(
    "presets",
    metadata,
    id_column(primary_key=True),
    text("display_name"),
    integer("width"),
    integer("height"),
    integer("fps"),
    integer("bitrate_kbps"),
    integer("min_bitrate_kbps"),
    integer("max_bitrate_kbps"),
    text("encoder_preset"),
    integer("sessions_per_vm"),
    integer("min_vram_gb"),
    text("project_id"),
    text("game_id"),
    sa.CheckConstraint("min_bitrate_kbps <= bitrate_kbps AND bitrate_kbps <= max_bitrate_kbps", name="bitrate"),
)

regions = sa.Table(
    "regions",
    metadata,
    id_column(primary_key=True),
    text("display_name"),
    number("latitude"),
    number("longitude"),
    text("territory"),
    json("chain"),
    json("law"),
    integer("low_water_seats"),
)

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
    sa.CheckConstraint("id = 1", name="single"),
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
)

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
