"""What a project owns or is offered: games, shapes, credentials."""

from __future__ import annotations

import sqlalchemy as sa

from controlplane.adapters.store.columns import flag, id_column, integer, json, moment, number, reference, text
from controlplane.adapters.store.tables.base import metadata, one_of, project
from controlplane.domain.game import Picture
from controlplane.domain.identity import CredentialKind, Role

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
    sa.Column("parent_id", sa.Text(), nullable=False, server_default=""),
    one_of("kind", CredentialKind),
    one_of("role", Role),
    sa.UniqueConstraint("kind", "secret_sha256"),
    sa.Index(None, "parent_id"),
    sa.Index(None, "project_id", "subject", "kind", "expires_at"),
    sa.Index(None, "expires_at"),
)

spent_tokens = sa.Table(
    "spent_tokens",
    metadata,
    id_column("jti", primary_key=True),
    moment("expires_at"),
    sa.Index(None, "expires_at"),
)

client_tokens = sa.Table(
    "client_tokens",
    metadata,
    project(),
    text("verb"),
    text("token"),
    text("request_sha256"),
    moment("created_at"),
    text("made"),
    sa.PrimaryKeyConstraint("project_id", "verb", "token"),
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
    sa.Column("log_retention_s", sa.Double(), nullable=False, server_default="0"),
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
    json("saves", optional=True),
    flag("silent"),
    sa.Column("disk_bytes", sa.BigInteger(), nullable=False, server_default="0"),
    sa.PrimaryKeyConstraint("project_id", "game_id", "number"),
    sa.ForeignKeyConstraint(["project_id", "game_id"], ["games.project_id", "games.id"]),
    one_of("picture", Picture),
    sa.CheckConstraint("number > 0", name="number"),
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
    integer("max_rented_vms"),
)
