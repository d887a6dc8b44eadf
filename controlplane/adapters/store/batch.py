"""Many rows in one round trip: what a batch of placements reads, locks and writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from controlplane.adapters.store.codec import from_row, to_row
from controlplane.adapters.store.connection import TxConnection, one_of, read_versioned, save_all
from controlplane.adapters.store.many import add_all
from controlplane.adapters.store.ports import not_to_be_had, take
from controlplane.adapters.store.tables import port_leases, sessions, vms
from controlplane.domain.errors import Conflict
from controlplane.domain.session import PortLease, Session
from controlplane.domain.vm import Vm


class SqlBatch:
    def __init__(self, connection: TxConnection) -> None:
        self._connection = connection

    async def by_client_tokens(self, project_id: str, client_tokens: Sequence[str]) -> Mapping[str, Session]:
        values = {"project": project_id, "tokens": self._connection.listed(client_tokens)}
        rows = await self._connection.rows(_by_tokens(self._connection.on_postgres), values)
        found = [read_versioned(self._connection, sessions, Session, row) for row in rows]
        return {session.client_token: session for session in found}

    async def lock_vms(self, vm_ids: Sequence[str], *, wait: bool) -> Sequence[Vm]:
        statement = _locked(self._connection.on_postgres, wait)
        rows = await self._connection.rows(statement, {"vms": self._connection.listed(vm_ids)})
        return [read_versioned(self._connection, vms, Vm, row) for row in rows]

    async def save_vms(self, changed: Sequence[Vm]) -> None:
        await save_all(self._connection, vms, changed)

    async def add_sessions(self, added: Sequence[Session]) -> None:
        ordered = sorted(added, key=lambda session: (session.project_id, session.client_token, session.id))
        await add_all(self._connection, sessions, ordered, "session")

    async def save_sessions(self, changed: Sequence[Session]) -> None:
        await save_all(self._connection, sessions, changed)

    async def ports_taken(self, vm_ids: Sequence[str], now: datetime) -> Mapping[tuple[str, str], frozenset[int]]:
        columns = (port_leases.c.vm_id, port_leases.c.protocol, port_leases.c.host_port)
        statement = sa.select(*columns).where(self._connection.among(port_leases.c.vm_id, vm_ids), not_to_be_had(now))
        taken: dict[tuple[str, str], set[int]] = {}
        for row in await self._connection.rows(statement):
            taken.setdefault((row["vm_id"], row["protocol"]), set()).add(row["host_port"])
        return {key: frozenset(ports) for key, ports in taken.items()}

    async def leases_at(self, vm_ids: Sequence[str], ports: Collection[tuple[str, int]]) -> Sequence[PortLease]:
        statement = sa.select(port_leases).where(
            self._connection.among(port_leases.c.vm_id, vm_ids),
            sa.tuple_(port_leases.c.protocol, port_leases.c.host_port).in_(sorted(ports)),
        )
        return [from_row(PortLease, row) for row in await self._connection.rows(statement)]

    async def lease_ports(self, leases: Sequence[PortLease], now: datetime) -> None:
        ordered = sorted(leases, key=lambda lease: (lease.vm_id, lease.protocol, lease.host_port))
        if not ordered:
            return
        rows = [{**to_row(lease), "this_moment": now} for lease in ordered]
        if await self._connection.write(take(self._connection.on_postgres), rows) != len(rows):
            raise Conflict("PORT_TAKEN", "a port of this batch is leased: read again and retry")


@cache
def _by_tokens(on_postgres: bool) -> sa.Select[Any]:
    return sa.select(sessions).where(
        sessions.c.project_id == sa.bindparam("project"),
        sessions.c.client_token != "",
        one_of(sessions.c.client_token, sa.bindparam("tokens"), on_postgres),
    )


@cache
def _locked(on_postgres: bool, wait: bool) -> sa.Select[Any]:
    chosen = sa.select(vms).where(one_of(vms.c.id, sa.bindparam("vms"), on_postgres)).order_by(vms.c.id)
    return chosen.with_for_update(key_share=True, skip_locked=not wait)
