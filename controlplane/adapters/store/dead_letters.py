"""Dead letters in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from controlplane.adapters.store.connection import TxConnection
from controlplane.adapters.store.tables import dead_letters as table
from controlplane.domain.deadletter import DeadLetter
from controlplane.interfaces import Page

KEY = table.c.consumer + "." + table.c.event_id


class SqlDeadLetters:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def get(self, key: str) -> DeadLetter | None:
        row = await self._connection.row(sa.select(table).where(_is(key)))
        return _letter(row) if row else None

    async def list(self, consumer: str, page: Page) -> Sequence[DeadLetter]:
        statement = sa.select(table).order_by(table.c.at.desc(), KEY.desc()).limit(page.size)
        if consumer:
            statement = statement.where(table.c.consumer == consumer)
        if page.after is not None:
            statement = statement.where(sa.tuple_(table.c.at, KEY) < sa.tuple_(*page.after))
        return [_letter(row) for row in await self._connection.rows(statement)]

    async def ask_replay(self, key: str) -> bool:
        statement = table.update().where(_is(key))
        return await self._connection.write(statement.values(replay_at=await self._connection.now())) == 1

    async def claim(self, limit: int, lease_s: float) -> Sequence[DeadLetter]:
        now = await self._connection.now()
        free = table.c.lease_until.is_(None) | (table.c.lease_until <= now)
        picked = (
            sa.select(table.c.consumer, table.c.event_id)
            .where(table.c.replay_at.is_not(None), free)
            .order_by(table.c.replay_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).cte("picked")
        both = sa.tuple_(table.c.consumer, table.c.event_id)
        statement = (
            table.update()
            .where(both.in_(sa.select(picked.c.consumer, picked.c.event_id)))
            .values(lease_until=now + timedelta(seconds=lease_s))
            .returning(table)
        )
        return [_letter(row) for row in await self._connection.returning(statement)]

    async def remove(self, key: str) -> bool:
        return await self._connection.write(table.delete().where(_is(key))) == 1


def _is(key: str) -> sa.ColumnElement[bool]:
    consumer, _, event_id = key.partition(".")
    return (table.c.consumer == consumer) & (table.c.event_id == event_id)


def _letter(row: Mapping[str, Any]) -> DeadLetter:
    return DeadLetter(**{name: value for name, value in row.items() if name != "lease_until"})
