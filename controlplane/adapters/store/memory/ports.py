"""Port leases, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from controlplane.adapters.store.memory.tables import TxTables, constrain
from controlplane.domain.errors import Conflict
from controlplane.domain.session import PortLease
from controlplane.interfaces import Page

TABLE = "port_leases"


class MemoryPorts:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def taken(self, vm_id: str, protocol: str, now: datetime) -> frozenset[int]:
        return frozenset(
            lease.host_port
            for lease in self.rows()
            if (lease.vm_id, lease.protocol) == (vm_id, protocol) and _not_to_be_had(lease, now)
        )

    async def lease(self, lease: PortLease, now: datetime) -> None:
        self._tables.refer("vms", lease.vm_id)
        if lease.session_id:
            self._tables.refer_at_commit("sessions", lease.session_id)
        constrain(bool(lease.session_id or lease.purpose))
        held: PortLease | None = self._tables.seen(TABLE).get(_key(lease))
        if held is not None:
            own = held.free_at is None and (held.session_id, held.port_name) == (lease.session_id, lease.port_name)
            rested = held.free_at is not None and held.free_at <= now
            reserved = bool(held.purpose) and held.purpose == lease.purpose and bool(lease.session_id)
            idle = reserved and (rested or not held.session_id)
            if not ((rested and not held.purpose) or idle or (own and bool(lease.session_id))):
                raise Conflict("PORT_TAKEN", f"{lease.protocol} port {lease.host_port} of vms/{lease.vm_id} is leased")
        token = lease.client_token, lease.project_id
        holders = [row for row in self.rows() if lease.client_token and (row.client_token, row.project_id) == token]
        constrain(all(_key(row) == _key(lease) for row in holders))
        self._tables.own(TABLE)[_key(lease)] = lease

    async def of_vm(self, vm_id: str, page: Page, now: datetime) -> Sequence[PortLease]:
        rows = sorted((row for row in self.rows() if row.vm_id == vm_id and _not_to_be_had(row, now)), key=_place)
        after = page.after[1] if page.after is not None else ""
        return [row for row in rows if _place(row) > after][: page.size]

    async def unreserve(self, lease: PortLease) -> None:
        rows = self._tables.own(TABLE)
        kept: PortLease | None = rows.pop(_key(lease), None)
        if kept is not None and kept.session_id:
            rows[_key(lease)] = replace(kept, purpose="", game_id="", project_id="", client_token="", reserved_at=None)

    async def of_session(self, session_id: str) -> Sequence[PortLease]:
        return (await self.of_sessions([session_id])).get(session_id, [])

    async def of_sessions(self, session_ids: Sequence[str]) -> Mapping[str, Sequence[PortLease]]:
        found: dict[str, list[PortLease]] = {}
        for lease in sorted(self.rows(), key=lambda row: (row.port_name, row.protocol, row.host_port)):
            if lease.session_id in session_ids:
                found.setdefault(lease.session_id, []).append(lease)
        return found

    async def release(self, session_ids: Sequence[str], free_at: datetime) -> None:
        rows = self._tables.own(TABLE)
        for key, lease in rows.items():
            if lease.session_id in session_ids and lease.free_at is None:
                rows[key] = replace(lease, free_at=free_at)

    def rows(self) -> Sequence[PortLease]:
        return list(self._tables.seen(TABLE).values())


def _key(lease: PortLease) -> tuple[str, str, int]:
    return lease.vm_id, lease.protocol, lease.host_port


def _not_to_be_had(lease: PortLease, now: datetime) -> bool:
    return lease.free_at is None or lease.free_at > now or bool(lease.purpose)


def _place(lease: PortLease) -> str:
    return f"{lease.protocol}-{lease.host_port:05d}"
