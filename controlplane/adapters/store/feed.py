"""The one row that tells how the heartbeats as a whole arrive, in SQL."""

from __future__ import annotations

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row, to_row
from controlplane.adapters.store.connection import TxConnection
from controlplane.adapters.store.tables import feed as table
from controlplane.domain.silence import Feed


class SqlFeed:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def get(self) -> Feed:
        return await self._one(sa.select(table))

    async def lock(self) -> Feed:
        return await self._one(sa.select(table).with_for_update())

    async def save(self, feed: Feed) -> None:
        values = to_row(feed)
        insert = self._connection.insert(table).values(id=1, **values)
        await self._connection.write(insert.on_conflict_do_update(index_elements=["id"], set_=values))

    async def _one(self, statement: sa.Select[tuple[object, ...]]) -> Feed:
        row = await self._connection.row(statement)
        return from_row(Feed, row) if row else Feed()
