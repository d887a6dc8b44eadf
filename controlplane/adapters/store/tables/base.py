"""The metadata that all tables belong to, and the columns and constraints that many of them have."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from controlplane.adapters.store.columns import reference

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def one_of(column: str, words: type[StrEnum]) -> sa.CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


def project() -> sa.Column[str]:
    return reference("project_id", "projects.id")
