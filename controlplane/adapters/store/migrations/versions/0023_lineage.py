"""What a credential was made with, so that it is revoked with it; indexes to list and to forget credentials by; whose a
save is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

INDEXES = (
    ("ix_credentials_parent_id", ["parent_id"]),
    ("ix_credentials_project_id_subject_kind_expires_at", ["project_id", "subject", "kind", "expires_at"]),
    ("ix_credentials_expires_at", ["expires_at"]),
)


def upgrade() -> None:
    op.add_column("credentials", sa.Column("parent_id", sa.Text(), nullable=False, server_default=""))
    op.add_column("saves", sa.Column("owner", sa.Text(), nullable=False, server_default=""))
    for name, columns in INDEXES:
        op.create_index(name, "credentials", columns)


def downgrade() -> None:
    for name, _ in INDEXES:
        op.drop_index(name, "credentials")
    op.drop_column("credentials", "parent_id")
    op.drop_column("saves", "owner")
