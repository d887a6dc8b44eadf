"""What makes capacity come and go: pools of machines kept ready, what a project may spend, VMs to be replaced."""

from __future__ import annotations

import sqlalchemy as sa

from controlplane.adapters.store.columns import flag, id_column, integer, moment, number, reference, text
from controlplane.adapters.store.tables.base import metadata, one_of, project
from controlplane.domain.succession import ReplacementState

pools = sa.Table(
    "pools",
    metadata,
    id_column(primary_key=True),
    project(),
    text("provider"),
    reference("region_id", "regions.id"),
    reference("template_id", "templates.id"),
    moment("created_at"),
    integer("min_free_slots"),
    integer("buffer_slots"),
    integer("max_vms"),
    number("idle_after_s"),
    flag("scale_to_zero"),
    text("blocked"),
    integer("version"),
    sa.UniqueConstraint("project_id", "provider", "region_id", "template_id"),
    sa.CheckConstraint("min_free_slots >= 0 AND buffer_slots >= 0 AND max_vms > 0", name="figures"),
)

budgets = sa.Table(
    "budgets",
    metadata,
    sa.Column("project_id", sa.Text(), sa.ForeignKey("projects.id"), primary_key=True),
    integer("micro_per_hour"),
    text("currency"),
    sa.CheckConstraint("micro_per_hour >= 0", name="micro_per_hour"),
)

UNFINISHED = "state IN ('QUEUED', 'RENTING', 'DRAINING')"

replacements = sa.Table(
    "replacements",
    metadata,
    id_column(primary_key=True),
    project(),
    text("series_id"),
    text("scope"),
    reference("vm_id", "vms.id"),
    text("state"),
    moment("created_at"),
    moment("updated_at"),
    reference("successor_id", "vms.id", optional=True),
    text("detail"),
    integer("version"),
    one_of("state", ReplacementState),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "series_id", "id"),
    sa.Index(
        "ix_replacements_unfinished",
        "id",
        postgresql_where=sa.text(UNFINISHED),
        sqlite_where=sa.text(UNFINISHED),
    ),
)
