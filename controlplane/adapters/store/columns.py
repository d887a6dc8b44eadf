"""Column types that behave alike on PostgreSQL and SQLite: UTC moments, optional references, JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect

JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Moment(sa.types.TypeDecorator[datetime]):
    """A UTC-aware datetime with microseconds. SQLite keeps it as text of fixed width, so that order is preserved.

    Raises ValueError for a datetime without a time zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Reference(sa.types.TypeDecorator[str]):
    """The id of another row, or "" (NULL in the database, so that a foreign key may stand on it)."""

    impl = sa.Text()
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value or None

    def process_result_value(self, value: str | None, dialect: Dialect) -> str:
        return value or ""


def id_column(name: str = "id", **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, **options)


def text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def number(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=False)


def flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def moment(name: str, *, optional: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, Moment(), nullable=optional)


def json(name: str, *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, JSON, nullable=optional)


def reference(name: str, target: str, *, optional: bool = False) -> sa.Column[str]:
    """A foreign key to `table.column`."""
    return sa.Column(name, Reference(), sa.ForeignKey(target), nullable=optional)
