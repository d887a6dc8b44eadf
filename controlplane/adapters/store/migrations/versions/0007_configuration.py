"""Parameters, files, actions and stop commands of games and deployments; what sessions choose of them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def columns() -> tuple[tuple[str, sa.Column[Any]], ...]:
    """New each time: a column belongs to one table. The defaults are for releases that do not know them."""

    def json(name: str, default: str = "[]") -> sa.Column[Any]:
        return sa.Column(name, JSON, nullable=False, server_default=default)

    return (
        ("games", json("parameters")),
        *(("deployments", json(name)) for name in ("parameters", "volumes", "files", "actions")),
        ("deployments", sa.Column("stop_command", sa.Text(), nullable=False, server_default="")),
        ("deployments", sa.Column("stop_command_grace_s", sa.Double(), nullable=False, server_default="10")),
        ("sessions", json("choice", "{}")),
    )


def upgrade() -> None:
    for table, column in columns():
        op.add_column(table, column)


def downgrade() -> None:
    for table, column in reversed(columns()):
        op.drop_column(table, column.name)
