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
from controlplane.interfaces import Page


class SqlPorts:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def taken(self, vm_id: str, protocol: str, now: datetime) -> frozenset[int]:
        statement = sa.select(leases.c.host_port).where(
            leases.c.vm_id == vm_id, leases.c.protocol == protocol, not_to_be_had(now)
        )
        return frozenset(row["host_port"] for row in await self._connection.rows(statement))

    async def lease(self, lease: PortLease, now: datetime) -> None:
        statement = take(self._connection.on_postgres)
        if not await self._connection.write(statement, {**to_row(lease), "this_moment": now}):
            raise Conflict("PORT_TAKEN", f"{lease.protocol} port {lease.host_port} of vms/{lease.vm_id} is leased")

    async def of_vm(self, vm_id: str, page: Page, now: datetime) -> Sequence[PortLease]:
        statement = sa.select(leases).where(leases.c.vm_id == vm_id, not_to_be_had(now))
        if page.after is not None:
            protocol, _, number = page.after[1].partition("-")
            place = sa.tuple_(leases.c.protocol, leases.c.host_port)
            # Whatever a caller's page token says: six digits are past every port.
            statement = statement.where(place > sa.tuple_(protocol, int(number[:6]) if number.isdecimal() else 0))
        statement = statement.order_by(leases.c.protocol, leases.c.host_port).limit(page.size)
        return [from_row(PortLease, row) for row in await self._connection.rows(statement)]

    async def unreserve(self, lease: PortLease) -> None:
        this = (
            leases.c.vm_id == lease.vm_id,
            leases.c.protocol == lease.protocol,
            leases.c.host_port == lease.host_port,
        )
        await self._connection.write(leases.delete().where(*this, leases.c.session_id.is_(None)))
        plain = {"purpose": "", "game_id": "", "project_id": "", "client_token": "", "reserved_at": None}
        await self._connection.write(leases.update().where(*this).values(plain))

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


def not_to_be_had(now: datetime) -> sa.ColumnElement[bool]:
    """Of a lease: it is a session's, rests, or is reserved."""
    return leases.c.free_at.is_(None) | (leases.c.free_at > now) | (leases.c.purpose != "")


@cache
def take(on_postgres: bool) -> sa.Executable:
    """INSERT, or take over a lease whose quarantine is over, or an idle reservation with itself, or keep one's own."""
    insert = insert_into(leases, on_postgres).values(
        {column.name: sa.bindparam(column.name) for column in leases.columns}
    )
    fresh = insert.excluded
    own = leases.c.free_at.is_(None) & (leases.c.session_id == fresh.session_id)
    rested = leases.c.free_at <= sa.bindparam("this_moment", type_=leases.c.free_at.type)
    reserved = (leases.c.purpose != "") & (leases.c.purpose == fresh.purpose) & fresh.session_id.is_not(None)
    key = ("vm_id", "protocol", "host_port")
    return insert.on_conflict_do_update(
        index_elements=key,
        set_={column.name: fresh[column.name] for column in leases.columns if column.name not in key},
        where=(rested & (leases.c.purpose == ""))
        | (reserved & (rested | leases.c.session_id.is_(None)))
        | (own & (leases.c.port_name == fresh.port_name)),
    )
