"""Client tokens are never forgotten: nobody looks them up by age, in this release or the last."""

from __future__ import annotations

from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.drop_index(op.f("ix_client_tokens_created_at"), "client_tokens")


def downgrade() -> None:
    op.create_index(op.f("ix_client_tokens_created_at"), "client_tokens", ["created_at"])
