"""Machines: VMs, their history and purchase, and hosts. I1 (capacity) is a constraint."""

from __future__ import annotations

import sqlalchemy as sa

from controlplane.adapters.store.columns import flag, id_column, integer, json, moment, reference, text
from controlplane.adapters.store.tables.base import metadata, one_of, project
from controlplane.domain.attempt import Outcome, Purpose
from controlplane.domain.host import HostState
from controlplane.domain.provisioning import Phase
from controlplane.domain.vm import VmState

TERMINATED = "state = 'TERMINATED'"

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
    sa.Index(
        "ix_vms_terminated",
        "updated_at",
        postgresql_where=sa.text(TERMINATED),
        sqlite_where=sa.text(TERMINATED),
    ),
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

vm_attempts = sa.Table(
    "vm_attempts",
    metadata,
    reference("vm_id", "vms.id"),
    integer("number"),
    text("purpose"),
    moment("started_at"),
    json("offer", optional=True),
    text("instance_id"),
    text("outcome"),
    moment("ended_at", optional=True),
    json("failure", optional=True),
    moment("next_attempt_at", optional=True),
    one_of("purpose", Purpose),
    one_of("outcome", Outcome),
    sa.PrimaryKeyConstraint("vm_id", "number"),
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
    moment("trying_since", optional=True),
    json("last", optional=True),
    json("mandate", optional=True),
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
    json("usage", optional=True),
    one_of("state", HostState),
    sa.Index(None, "project_id", "id"),
    sa.Index(None, "state", "id"),
)
