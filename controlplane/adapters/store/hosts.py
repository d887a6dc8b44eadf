"""Hosts in SQL. Heartbeats move by `beat` alone, so that no save can set a clock back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from controlplane.adapters.store.connection import TxConnection, add_versioned, read_versioned, save_versioned, words
from controlplane.adapters.store.tables import hosts
from controlplane.domain.host import Host, HostState
from controlplane.interfaces import Page

ONLY_BY_BEAT = frozenset({"last_heartbeat_at"})


class SqlHosts:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def get(self, host_id: str) -> Host | None:
        return await self._one(sa.select(hosts).where(hosts.c.id == host_id))

    async def lock(self, host_id: str) -> Host | None:
        return await self._one(sa.select(hosts).where(hosts.c.id == host_id).with_for_update(key_share=True))

    async def add(self, host: Host) -> None:
        await add_versioned(self._connection, hosts, host, "host")

    async def save(self, host: Host) -> None:
        await save_versioned(self._connection, hosts, host, without=ONLY_BY_BEAT)

    async def list(self, project_id: str, page: Page) -> Sequence[Host]:
        statement = sa.select(hosts).where(hosts.c.project_id == project_id)
        if page.after is not None:
            statement = statement.where(hosts.c.id > page.after[1])
        return await self._all(statement.order_by(hosts.c.id).limit(page.size))

    async def watched(self) -> Sequence[Host]:
        live = words([HostState.ONLINE, HostState.STALE])
        return await self._all(sa.select(hosts).where(hosts.c.state.in_(live)).order_by(hosts.c.id))

    async def beat(self, host_ids: Sequence[str], at: datetime) -> None:
        behind = hosts.c.last_heartbeat_at.is_(None) | (hosts.c.last_heartbeat_at < at)
        # Locked by id, in order: two batches that share hosts can never deadlock.
        picked = (
            sa.select(hosts.c.id)
            .where(self._connection.among(hosts.c.id, host_ids), behind)
            .order_by(hosts.c.id)
            .with_for_update(key_share=True)
        ).cte("picked")
        statement = hosts.update().where(hosts.c.id.in_(sa.select(picked.c.id))).values(last_heartbeat_at=at)
        await self._connection.write(statement)

    async def silent_among(self, host_ids: Sequence[str]) -> Sequence[str]:
        silent = hosts.c.state.in_(words([HostState.STALE, HostState.LOST]))
        statement = sa.select(hosts.c.id).where(self._connection.among(hosts.c.id, host_ids), silent)
        return [row["id"] for row in await self._connection.rows(statement.order_by(hosts.c.id))]

    async def _one(self, statement: sa.Select[tuple[object, ...]]) -> Host | None:
        row = await self._connection.row(statement)
        return read_versioned(self._connection, hosts, Host, row) if row else None

    async def _all(self, statement: sa.Select[tuple[object, ...]]) -> Sequence[Host]:
        rows = await self._connection.rows(statement)
        return [read_versioned(self._connection, hosts, Host, row) for row in rows]
