"""Ports that an operator reserves: a lease needs no session any more, and may outlive many."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

INDEX = "uq_port_leases_project_id_client_token"
HOLDER = "session_id IS NOT NULL OR purpose <> ''"


def _leases() -> sa.Table:
    """As the first migration made it: SQLite changes a table by making it anew."""
    return sa.Table(
        "port_leases",
        sa.MetaData(),
        sa.Column("vm_id", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("host_port", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("port_name", sa.Text(), nullable=False),
        sa.Column("game_port", sa.BigInteger(), nullable=False),
        sa.Column("free_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("host_port BETWEEN 1 AND 65535", name="ck_port_leases_host_port"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], "fk_port_leases_session_id", deferrable=True, initially="DEFERRED"
        ),
        sa.ForeignKeyConstraint(["vm_id"], ["vms.id"], "fk_port_leases_vm_id"),
        sa.PrimaryKeyConstraint("vm_id", "protocol", "host_port", name="pk_port_leases"),
        sa.Index("ix_port_leases_session_id", "session_id"),
    )


def _words(name: str) -> sa.Column[str]:
    """The default is for releases that do not know the column."""
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def upgrade() -> None:
    with op.batch_alter_table("port_leases", copy_from=_leases()) as batch:
        batch.alter_column("session_id", existing_type=sa.Text(), nullable=True)
        batch.add_column(_words("purpose"))
        batch.add_column(_words("game_id"))
        batch.add_column(sa.Column("project_id", sa.Text()))
        batch.add_column(_words("client_token"))
        batch.add_column(sa.Column("reserved_at", sa.DateTime(timezone=True)))
        batch.create_foreign_key(op.f("fk_port_leases_project_id"), "projects", ["project_id"], ["id"])
        batch.create_check_constraint(op.f("ck_port_leases_holder"), HOLDER)
    given = sa.text("client_token <> ''")
    columns = ["project_id", "client_token"]
    op.create_index(INDEX, "port_leases", columns, unique=True, postgresql_where=given, sqlite_where=given)


def downgrade() -> None:
    op.execute("DELETE FROM port_leases WHERE session_id IS NULL")
    op.drop_index(INDEX, "port_leases")
    with op.batch_alter_table("port_leases") as batch:
        batch.drop_constraint(op.f("ck_port_leases_holder"), type_="check")
        batch.drop_constraint(op.f("fk_port_leases_project_id"), type_="foreignkey")
        for name in ("reserved_at", "client_token", "project_id", "game_id", "purpose"):
            batch.drop_column(name)
        batch.alter_column("session_id", existing_type=sa.Text(), nullable=False)
