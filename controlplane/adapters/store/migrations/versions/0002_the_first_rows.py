"""The project "default", templates, presets and regions."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from controlplane.adapters.store.migrations.first_rows import PRESETS, PROJECTS, REGIONS, TEMPLATES, Rows

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    now = datetime.now(UTC)
    projects: Rows = tuple({"created_at": now, **project} for project in PROJECTS)
    for name, rows in (("projects", projects), ("templates", TEMPLATES), ("presets", PRESETS), ("regions", REGIONS)):
        table = sa.Table(name, sa.MetaData(), autoload_with=op.get_bind())
        present = set(op.get_bind().scalars(sa.select(table.c.id)))
        op.bulk_insert(table, [dict(row) for row in rows if row["id"] not in present])


def downgrade() -> None:
    """Leaves the rows: others may refer to them by now, and 0001 drops the tables with whatever they hold."""
