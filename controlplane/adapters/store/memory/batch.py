"""Batches of rows, and the placement queue, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from controlplane.adapters.store.memory.fleet import MemorySessions, MemoryVms
from controlplane.adapters.store.memory.ports import MemoryPorts
from controlplane.adapters.store.memory.tables import TxTables
from controlplane.domain.host import GONE, HostState
from controlplane.domain.queueing import Rivals
from controlplane.domain.session import REPLACEABLE, PortLease, Session, SessionState
from controlplane.domain.vm import Vm
from controlplane.interfaces import Wanted


class MemoryBatch:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables
        self._vms = MemoryVms(tables)
        self._sessions = MemorySessions(tables)
        self._ports = MemoryPorts(tables)

    async def by_client_tokens(self, project_id: str, client_tokens: Sequence[str]) -> Mapping[str, Session]:
        found = {token: await self._sessions.by_client_token(project_id, token) for token in set(client_tokens)}
        return {token: session for token, session in found.items() if session is not None}

    async def lock_vms(self, vm_ids: Sequence[str], *, wait: bool) -> Sequence[Vm]:
        found = [await self._vms.lock(vm_id) for vm_id in sorted(set(vm_ids))]
        return [vm for vm in found if vm is not None]

    async def save_vms(self, changed: Sequence[Vm]) -> None:
        for vm in changed:
            await self._vms.save(vm)

    async def add_sessions(self, added: Sequence[Session]) -> None:
        for session in added:
            await self._sessions.add(session)

    async def save_sessions(self, changed: Sequence[Session]) -> None:
        for session in changed:
            await self._sessions.save(session)

    async def ports_taken(self, vm_ids: Sequence[str], now: datetime) -> Mapping[tuple[str, str], frozenset[int]]:
        return {
            (vm_id, protocol): taken
            for vm_id in vm_ids
            for protocol in ("tcp", "udp")
            if (taken := await self._ports.taken(vm_id, protocol, now))
        }

    async def leases_at(self, vm_ids: Sequence[str], ports: Collection[tuple[str, int]]) -> Sequence[PortLease]:
        return [row for row in self._ports.rows() if row.vm_id in vm_ids and (row.protocol, row.host_port) in ports]

    async def lease_ports(self, leases: Sequence[PortLease], now: datetime) -> None:
        for lease in leases:
            await self._ports.lease(lease, now)


class MemoryQueue:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def after(self, last: tuple[datetime, str] | None, limit: int) -> Sequence[Session]:
        behind = [s for s in self._line() if last is None or (s.created_at, s.id) > last]
        return self._tables.read("sessions", behind[:limit])

    async def overdue(self, now: datetime, limit: int) -> Sequence[Session]:
        late = [s for s in self._line() if s.queue_deadline_at is not None and s.queue_deadline_at <= now]
        return self._tables.read("sessions", late[:limit])

    async def lock(self, session_ids: Sequence[str]) -> Sequence[Session]:
        held = [session for session in self._line() if session.id in session_ids]
        return self._tables.read("sessions", sorted(held, key=lambda session: session.id))

    async def still(self, session_ids: Sequence[str]) -> Mapping[str, int]:
        def waits(session: Session) -> bool:
            away = session.state in REPLACEABLE and session.unreachable_at is not None
            return away or session.state is SessionState.PENDING

        rows = self._tables.seen("sessions")
        return {key: rows[key].generation for key in session_ids if key in rows and waits(rows[key])}

    async def stranded(self, since: datetime, states: Collection[HostState] = GONE) -> Sequence[Session]:
        rows: Sequence[Session] = list(self._tables.seen("sessions").values())
        hosts = self._tables.seen("hosts")
        lost = [
            (session.unreachable_at, session.id, session)
            for session in rows
            if session.state in REPLACEABLE
            and session.lease_s > 0
            and session.unreachable_at is not None
            and session.unreachable_at <= since
            and session.vm_id in hosts
            and hosts[session.vm_id].state in states
        ]
        return self._tables.read("sessions", [session for *_, session in sorted(lost, key=lambda row: row[:2])])

    async def places(self, session_ids: Sequence[str], among: Rivals) -> Mapping[str, int]:
        def competes(session: Session) -> bool:
            anywhere = among.region_ids is None or not session.region_id or session.coordinates is not None
            near = anywhere or session.region_id in (among.region_ids or ())
            return session.project_id == among.project_id and near

        line = filter(competes, self._line())
        return {s.id: place for place, s in enumerate(line, start=1) if s.id in session_ids}

    async def waiting(self, project_id: str) -> Mapping[str, int]:
        return Counter(session.created_by for session in self._line() if session.project_id == project_id)

    async def wanted(self) -> frozenset[Wanted]:
        return frozenset(map(Wanted.of, self._line()))

    async def firsts(self, project_ids: Sequence[str]) -> Sequence[Session]:
        firsts: dict[Wanted, Session] = {}
        for session in self._line():
            if session.project_id in project_ids:
                firsts.setdefault(Wanted.of(session), session)
        return self._tables.read("sessions", firsts.values())

    def _line(self) -> Sequence[Session]:
        rows: Sequence[Session] = list(self._tables.seen("sessions").values())
        waiting = [session for session in rows if session.state is SessionState.PENDING]
        return sorted(waiting, key=lambda session: (session.created_at, session.id))
