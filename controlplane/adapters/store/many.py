"""Many new rows in one statement. To PostgreSQL they travel as one JSON document: a parameter for each value of each
row costs both sides more than anything else that a batch of placements does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from controlplane.adapters.store.codec import to_row
from controlplane.adapters.store.columns import Reference
from controlplane.adapters.store.connection import TxConnection, Versioned, insert_into
from controlplane.domain.errors import AlreadyExists


async def add_all(connection: TxConnection, table: sa.Table, entities: Sequence[Versioned], what: str) -> None:
    """Raises AlreadyExists when a unique key of any of them is taken: the others are added, so the transaction is to be
    rolled back."""
    if await insert_all(connection, table, entities, but_taken=True) != len(entities):
        raise AlreadyExists(f"{what.upper()}_EXISTS", f"a {what} of this batch exists already")
    for entity in entities:
        connection.versions[table.name, entity.id] = entity.version


async def insert_all(connection: TxConnection, table: sa.Table, rows: Sequence[Any], *, but_taken: bool = False) -> int:
    """Adds entities, or rows of the same columns, in their order, and returns how many. `but_taken` leaves those out
    whose unique keys are taken. Raises Conflict for them otherwise."""
    if not rows:
        return 0
    names = _names(rows[0])
    if connection.on_postgres:
        return await connection.write(_from_document(table, names, but_taken), {"document": document(rows)})
    values = [to_row(row) if is_dataclass(row) else row for row in rows]
    return await connection.write(_one_by_one(table, but_taken), values)


def document(rows: Sequence[Any]) -> str:
    """Entities as codec.to_row has them, in JSON. Raises ValueError for a moment without a time zone."""
    return orjson.dumps(rows, default=_told, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()


def _told(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone")
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"no rule for keeping {type(value)}")


def _names(row: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(row)) if is_dataclass(row) else tuple(row)


@cache
def _from_document(table: sa.Table, names: tuple[str, ...], but_taken: bool) -> sa.Executable:
    columns = [sa.column(name, table.c[name].type) for name in names]
    given = sa.func.jsonb_to_recordset(sa.cast(sa.bindparam("document", type_=sa.Text()), postgresql.JSONB))
    row = given.table_valued(*columns, name="given").render_derived(with_types=True)
    values = [
        sa.func.nullif(row.c[name], "") if isinstance(table.c[name].type, Reference) else row.c[name] for name in names
    ]
    insert = insert_into(table, on_postgres=True).from_select(list(names), sa.select(*values))
    return insert.on_conflict_do_nothing() if but_taken else insert


@cache
def _one_by_one(table: sa.Table, but_taken: bool) -> sa.Executable:
    insert = insert_into(table, on_postgres=False)
    return insert.on_conflict_do_nothing() if but_taken else insert
