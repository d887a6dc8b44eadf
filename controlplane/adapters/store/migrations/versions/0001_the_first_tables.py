"""The first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

TABLES = (
    "projects",
    "audit",
    "presets",
    "regions",
    "templates",
    "inbox",
    "dead_letters",
    "outbox",
    "feed",
    "spent_tokens",
    "games",
    "deployments",
    "vms",
    "hosts",
    "credentials",
    "sessions",
    "port_leases",
)


def text(name: str, *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=optional)


def integer(name: str, *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=optional)


def number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Double(), nullable=False)


def flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def moment(name: str, *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=optional)


def json(name: str, *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON().with_variant(JSONB(), "postgresql"), nullable=optional)


def foreign_key(column: str, target: str, name: str, **options: Any) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=op.f(name), **options)


def check(condition: str, name: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(name))


def one_of(column: str, words: str, name: str) -> sa.CheckConstraint:
    return check(f"{column} IN ({', '.join(repr(word) for word in words.split())})", name)


def where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def _accounts() -> None:
    op.create_table(
        "projects",
        text("id"),
        moment("created_at"),
        integer("audit_sequence"),
        text("audit_sha256"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "audit",
        text("project_id"),
        integer("sequence"),
        moment("at"),
        text("subject"),
        text("action"),
        text("resource"),
        text("request_id"),
        text("previous_sha256"),
        text("sha256"),
        foreign_key("project_id", "projects.id", "fk_audit_project_id"),
        sa.PrimaryKeyConstraint("project_id", "sequence"),
    )


def _shapes() -> None:
    op.create_table(
        "presets",
        text("id"),
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
        check("min_bitrate_kbps <= bitrate_kbps AND bitrate_kbps <= max_bitrate_kbps", "ck_presets_bitrate"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "regions",
        text("id"),
        text("display_name"),
        number("latitude"),
        number("longitude"),
        text("territory"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "templates",
        text("id"),
        text("display_name"),
        integer("vcpus"),
        integer("ram_gb"),
        integer("vram_gb"),
        integer("seats"),
        text("gpu_model"),
        check("seats > 0", "ck_templates_seats"),
        sa.PrimaryKeyConstraint("id"),
    )


def _news() -> None:
    op.create_table(
        "inbox",
        text("consumer"),
        text("event_id"),
        moment("at"),
        sa.PrimaryKeyConstraint("consumer", "event_id"),
    )
    op.create_index(op.f("ix_inbox_at"), "inbox", ["at"])
    op.create_table(
        "dead_letters",
        text("consumer"),
        text("event_id"),
        moment("at"),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        text("error"),
        sa.PrimaryKeyConstraint("consumer", "event_id"),
    )
    op.create_table(
        "outbox",
        text("id"),
        moment("at"),
        text("type"),
        text("project_id"),
        text("subject"),
        integer("subject_version"),
        json("data"),
        moment("lease_until", optional=True),
        moment("published_at", optional=True),
        foreign_key("project_id", "projects.id", "fk_outbox_project_id"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_outbox_published_at"), "outbox", ["published_at"])
    op.create_index(op.f("ix_outbox_unpublished"), "outbox", ["id"], **where("published_at IS NULL"))
    op.create_table(
        "feed",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        moment("last_batch_at", optional=True),
        moment("gap_ended_at", optional=True),
        check("id = 1", "ck_feed_single"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table("spent_tokens", text("jti"), moment("expires_at"), sa.PrimaryKeyConstraint("jti"))
    op.create_index(op.f("ix_spent_tokens_expires_at"), "spent_tokens", ["expires_at"])


def _catalogue() -> None:
    op.create_table(
        "games",
        text("project_id"),
        text("id"),
        text("display_name"),
        text("summary"),
        text("default_preset_id", optional=True),
        moment("created_at"),
        integer("current_deployment"),
        foreign_key("default_preset_id", "presets.id", "fk_games_default_preset_id"),
        foreign_key("project_id", "projects.id", "fk_games_project_id"),
        sa.PrimaryKeyConstraint("project_id", "id"),
    )
    op.create_index(op.f("ix_games_project_id_created_at_id"), "games", ["project_id", "created_at", "id"])
    op.create_table(
        "deployments",
        text("project_id"),
        text("game_id"),
        integer("number"),
        json("command"),
        text("picture"),
        moment("created_at"),
        json("environment"),
        json("ports"),
        json("readiness", optional=True),
        number("stop_grace_s"),
        one_of("picture", "NONE FRAMES X11", "ck_deployments_picture"),
        check("number > 0", "ck_deployments_number"),
        sa.ForeignKeyConstraint(
            ["project_id", "game_id"], ["games.project_id", "games.id"], name=op.f("fk_deployments_project_id_game_id")
        ),
        foreign_key("project_id", "projects.id", "fk_deployments_project_id"),
        sa.PrimaryKeyConstraint("project_id", "game_id", "number"),
    )


def _machines() -> None:
    op.create_table(
        "vms",
        text("id"),
        text("project_id"),
        text("provider"),
        text("region_id", optional=True),
        text("template_id", optional=True),
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
        one_of("state", "TEMPLATE PROVISIONING BOOTING READY IN_USE DRAINING STOPPED ERROR TERMINATED", "ck_vms_state"),
        check("active_sessions >= 0", "ck_vms_active_sessions"),
        check("used_units BETWEEN 0 AND capacity_units", "ck_vms_units"),
        foreign_key("project_id", "projects.id", "fk_vms_project_id"),
        foreign_key("region_id", "regions.id", "fk_vms_region_id"),
        foreign_key("template_id", "templates.id", "fk_vms_template_id"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_vms_project_id_created_at_id"), "vms", ["project_id", "created_at", "id"])
    op.create_index(op.f("ix_vms_project_id_state"), "vms", ["project_id", "state"])
    op.create_table(
        "hosts",
        text("id"),
        text("project_id"),
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
        one_of("state", "OFFLINE ONLINE STALE LOST", "ck_hosts_state"),
        foreign_key("id", "vms.id", "fk_hosts_id"),
        foreign_key("project_id", "projects.id", "fk_hosts_project_id"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_hosts_project_id_id"), "hosts", ["project_id", "id"])
    op.create_index(op.f("ix_hosts_state_id"), "hosts", ["state", "id"])


def _credentials() -> None:
    op.create_table(
        "credentials",
        text("id"),
        text("project_id"),
        text("kind"),
        text("subject"),
        text("role"),
        text("secret_sha256"),
        moment("created_at"),
        moment("expires_at"),
        text("vm_id", optional=True),
        moment("used_at", optional=True),
        moment("revoked_at", optional=True),
        one_of("kind", "BEARER SIGN_IN JOIN", "ck_credentials_kind"),
        one_of("role", "PLAYER OPERATOR", "ck_credentials_role"),
        foreign_key("project_id", "projects.id", "fk_credentials_project_id"),
        foreign_key("vm_id", "vms.id", "fk_credentials_vm_id"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "secret_sha256", name=op.f("uq_credentials_kind_secret_sha256")),
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        text("id"),
        text("project_id"),
        text("game_id"),
        integer("deployment_number"),
        text("preset_id", optional=True),
        text("state"),
        moment("created_at"),
        moment("updated_at"),
        text("region_id"),
        text("vm_id", optional=True),
        integer("units"),
        integer("generation"),
        text("reason"),
        text("reason_detail"),
        integer("exit_code", optional=True),
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
        one_of(
            "state", "PENDING STARTING RUNNING STOPPING STOPPED COMPLETED CRASHED LOST REJECTED", "ck_sessions_state"
        ),
        check("generation > 0", "ck_sessions_generation"),
        check("units >= 0", "ck_sessions_units"),
        foreign_key("preset_id", "presets.id", "fk_sessions_preset_id"),
        sa.ForeignKeyConstraint(
            ["project_id", "game_id", "deployment_number"],
            ["deployments.project_id", "deployments.game_id", "deployments.number"],
            name=op.f("fk_sessions_project_id_game_id_deployment_number"),
        ),
        foreign_key("project_id", "projects.id", "fk_sessions_project_id"),
        foreign_key("vm_id", "vms.id", "fk_sessions_vm_id"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_sessions_project_id_created_at_id"), "sessions", ["project_id", "created_at", "id"])
    op.create_index(
        op.f("ix_sessions_unfinished"),
        "sessions",
        ["state", "created_at", "id"],
        **where("state IN ('PENDING', 'STARTING', 'RUNNING', 'STOPPING')"),
    )
    op.create_index(op.f("ix_sessions_vm_id_created_at"), "sessions", ["vm_id", "created_at"])
    op.create_index(
        op.f("uq_sessions_project_id_client_token"),
        "sessions",
        ["project_id", "client_token"],
        unique=True,
        **where("client_token <> ''"),
    )


def _port_leases() -> None:
    op.create_table(
        "port_leases",
        text("vm_id"),
        text("protocol"),
        integer("host_port"),
        text("session_id"),
        text("port_name"),
        integer("game_port"),
        moment("free_at", optional=True),
        check("host_port BETWEEN 1 AND 65535", "ck_port_leases_host_port"),
        foreign_key("session_id", "sessions.id", "fk_port_leases_session_id", deferrable=True, initially="DEFERRED"),
        foreign_key("vm_id", "vms.id", "fk_port_leases_vm_id"),
        sa.PrimaryKeyConstraint("vm_id", "protocol", "host_port"),
    )
    op.create_index(op.f("ix_port_leases_session_id"), "port_leases", ["session_id"])


def upgrade() -> None:
    _accounts()
    _shapes()
    _news()
    _catalogue()
    _machines()
    _credentials()
    _sessions()
    _port_leases()


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
