"""Port leases in SQL: the primary key is invariant I3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row, to_row
from controlplane.adapters.store.connection import TxConnection, insert_into
from controlplane.adapters.store.tables import port_leases as leases
from controlplane.domain.errors import Conflict
from controlplane.domain.session import PortLease


class SqlPorts:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def taken(self, vm_id: str, protocol: str, now: datetime) -> frozenset[int]:
        live = leases.c.free_at.is_(None) | (leases.c.free_at > now)
        statement = sa.select(leases.c.host_port).where(leases.c.vm_id == vm_id, leases.c.protocol == protocol, live)
        return frozenset(row["host_port"] for row in await self._connection.rows(statement))

    async def lease(self, lease: PortLease, now: datetime) -> None:
        statement = take(self._connection.on_postgres)
        if not await self._connection.write(statement, {**to_row(lease), "this_moment": now}):
            raise Conflict("PORT_TAKEN", f"{lease.protocol} port {lease.host_port} of vms/{lease.vm_id} is leased")

    async def of_session(self, session_id: str) -> Sequence[PortLease]:
        return (await self.of_sessions([session_id])).get(session_id, [])

    async def of_sessions(self, session_ids: Sequence[str]) -> Mapping[str, Sequence[PortLease]]:
        statement = (
            sa.select(leases)
            .where(self._connection.among(leases.c.session_id, session_ids))
            .order_by(leases.c.session_id, leases.c.port_name, leases.c.protocol, leases.c.host_port)
        )
        found: dict[str, list[PortLease]] = {}
        for row in await self._connection.rows(statement):
            found.setdefault(row["session_id"], []).append(from_row(PortLease, row))
        return found

    async def release(self, session_ids: Sequence[str], free_at: datetime) -> None:
        held = self._connection.among(leases.c.session_id, session_ids) & leases.c.free_at.is_(None)
        statement = leases.update().where(held)
        await self._connection.write(statement.values(free_at=free_at))


@cache
def take(on_postgres: bool) -> sa.Executable:
    """INSERT, or take over a lease whose quarantine is over, or keep one's own."""
    insert = insert_into(leases, on_postgres).values(
        {column.name: sa.bindparam(column.name) for column in leases.columns}
    )
    fresh = insert.excluded
    own = leases.c.free_at.is_(None) & (leases.c.session_id == fresh.session_id)
    return insert.on_conflict_do_update(
        index_elements=["vm_id", "protocol", "host_port"],
        set_={name: fresh[name] for name in ("session_id", "port_name", "game_port", "free_at")},
        where=(leases.c.free_at <= sa.bindparam("this_moment", type_=leases.c.free_at.type))
        | (own & (leases.c.port_name == fresh.port_name)),
    )
