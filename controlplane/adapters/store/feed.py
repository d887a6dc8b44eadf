"""The one row that tells how the heartbeats as a whole arrive, in SQL."""

from __future__ import annotations

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row, to_row
from controlplane.adapters.store.connection import TxConnection
from controlplane.adapters.store.tables import feed as table
from controlplane.domain.host import Feed


class SqlFeed:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def get(self) -> Feed:
        row = await self._connection.row(sa.select(table))
        return from_row(Feed, row) if row else Feed()

    async def save(self, feed: Feed) -> None:
        values = to_row(feed)
        insert = self._connection.insert(table).values(id=1, **values)
        await self._connection.write(insert.on_conflict_do_update(index_elements=["id"], set_=values))
