"""Logs in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row, to_row
from controlplane.adapters.store.connection import TxConnection
from controlplane.adapters.store.tables import log_chunks as chunks
from controlplane.adapters.store.tables import log_heads as heads
from controlplane.adapters.store.versions import version_conflict
from controlplane.domain.logs import LogChunk, LogHead
from controlplane.interfaces import LogRange


class SqlLogs:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def heads(self, session_id: str) -> Sequence[LogHead]:
        statement = sa.select(heads).where(heads.c.session_id == session_id).order_by(heads.c.generation)
        return [from_row(LogHead, row) for row in await self._connection.rows(statement)]

    async def put(self, head: LogHead, chunk: LogChunk | None) -> None:
        if head.version == 1:
            statement: sa.Executable = self._connection.insert(heads).on_conflict_do_nothing().values(to_row(head))
        else:
            known = (heads.c.session_id == head.session_id) & (heads.c.generation == head.generation)
            statement = heads.update().where(known, heads.c.version == head.version - 1).values(to_row(head))
        if await self._connection.write(statement) != 1:
            raise version_conflict(f"the log of sessions/{head.session_id}")
        if chunk is not None:
            await self._connection.write(chunks.insert(), to_row(chunk))

    async def chunks(self, session_id: str, wanted: LogRange, limit: int) -> Sequence[LogChunk]:
        statement = sa.select(chunks).where(chunks.c.session_id == session_id).limit(limit)
        if wanted.after is not None and wanted.backwards:
            first = sa.tuple_(chunks.c.generation, chunks.c.from_sequence)
            statement = statement.where(first < sa.tuple_(*wanted.after))
        elif wanted.after is not None:
            last = sa.tuple_(chunks.c.generation, chunks.c.to_sequence)
            statement = statement.where(last > sa.tuple_(*wanted.after))
        if wanted.since is not None:
            statement = statement.where(chunks.c.to_at >= wanted.since)
        if wanted.until is not None:
            statement = statement.where(chunks.c.from_at < wanted.until)
        order = (chunks.c.generation, chunks.c.from_sequence)
        statement = statement.order_by(*(column.desc() if wanted.backwards else column for column in order))
        return [from_row(LogChunk, row) for row in await self._connection.rows(statement)]

    async def expired(self, limit: int) -> Sequence[LogChunk]:
        now = await self._connection.now()
        statement = sa.select(chunks).where(chunks.c.expires_at <= now).order_by(chunks.c.expires_at).limit(limit)
        return [from_row(LogChunk, row) for row in await self._connection.rows(statement)]

    async def remove(self, gone: Sequence[LogChunk]) -> None:
        keys = [chunk.object_key for chunk in gone]
        await self._connection.write(chunks.delete().where(self._connection.among(chunks.c.object_key, keys)))

    async def spent(self, stored_before: datetime, limit: int) -> Sequence[LogHead]:
        same = (chunks.c.session_id == heads.c.session_id) & (chunks.c.generation == heads.c.generation)
        statement = (
            sa.select(heads)
            .where(heads.c.stored_at < stored_before, ~sa.exists().where(same))
            .order_by(heads.c.stored_at)
            .limit(limit)
        )
        return [from_row(LogHead, row) for row in await self._connection.rows(statement)]

    async def forget(self, gone: Sequence[LogHead]) -> Sequence[LogHead]:
        forgotten = []
        for head in gone:
            known = (heads.c.session_id == head.session_id) & (heads.c.generation == head.generation)
            if await self._connection.write(heads.delete().where(known, heads.c.version == head.version)):
                forgotten.append(head)
        return forgotten

    async def shorten(self, session_id: str, keep_bytes: int) -> int:
        now = await self._connection.now()
        newest_first = (chunks.c.generation.desc(), chunks.c.from_sequence.desc())
        sizes = (
            sa.select(chunks.c.object_key, sa.func.sum(chunks.c.bytes).over(order_by=newest_first).label("together"))
            .where(chunks.c.session_id == session_id)
            .subquery()
        )
        surplus = sa.select(sizes.c.object_key).where(sizes.c.together > keep_bytes)
        late = chunks.update().where(chunks.c.object_key.in_(surplus), chunks.c.expires_at > now)
        return await self._connection.write(late.values(expires_at=now))
