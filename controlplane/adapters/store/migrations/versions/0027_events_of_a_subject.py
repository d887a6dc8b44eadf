"""What happened to one resource is found without looking at all that happened."""

from __future__ import annotations

from alembic import op

revision = "0027"
down_revision = "0026"

NAME = "ix_outbox_project_id_subject_id"


def upgrade() -> None:
    op.create_index(NAME, "outbox", ["project_id", "subject", "id"])


def downgrade() -> None:
    op.drop_index(NAME, "outbox")
