"""VMs, hosts, sessions and port leases in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from controlplane.adapters.store.memory.tables import TxTables, constrain, exists, paged
from controlplane.domain.host import Host, HostState, LinkState
from controlplane.domain.session import ON_HOST, Session, SessionState
from controlplane.domain.vm import PLACEABLE, Vm, VmState
from controlplane.interfaces import Page

NEVER = datetime.min.replace(tzinfo=UTC)


class MemoryVms:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def get(self, vm_id: str) -> Vm | None:
        vm: Vm | None = self._tables.get("vms", vm_id)
        return vm

    async def lock(self, vm_id: str) -> Vm | None:
        return await self.get(vm_id)

    async def add(self, vm: Vm) -> None:
        self._check(vm)
        self._tables.add_versioned("vms", vm, "VM")

    async def save(self, vm: Vm) -> None:
        self._check(vm)
        self._tables.save_versioned("vms", vm)

    async def list(self, project_id: str, states: Sequence[VmState], page: Page) -> Sequence[Vm]:
        rows: Sequence[Vm] = list(self._tables.seen("vms").values())
        matching = [vm for vm in rows if vm.project_id == project_id and (not states or vm.state in states)]
        return self._tables.read("vms", paged(matching, page))

    async def placeable(self, project_id: str, regions: Sequence[str], limit: int) -> Sequence[tuple[Vm, Host]]:
        rows: Sequence[Vm] = list(self._tables.seen("vms").values())
        hosts = self._tables.seen("hosts")
        fitting = [
            vm
            for vm in rows
            if vm.project_id == project_id
            and vm.state in PLACEABLE
            and vm.free_units > 0
            and (not regions or vm.region_id in regions)
            and vm.id in hosts
        ]
        order = {region_id: place for place, region_id in enumerate(regions)}
        fitting.sort(key=lambda vm: (order.get(vm.region_id, 0), vm.free_units, vm.id))
        return [(vm, hosts[vm.id]) for vm in fitting[:limit]]

    async def links(self, vm_ids: Sequence[str]) -> Mapping[str, LinkState]:
        vms, hosts = self._tables.seen("vms"), self._tables.seen("hosts")
        return {
            host.id: LinkState(
                host.epoch,
                host.report_sequence,
                host.link_token,
                host.revoked_at is not None,
                vms[host.id].plan_version,
            )
            for host in (hosts[vm_id] for vm_id in vm_ids if vm_id in hosts)
        }

    def _check(self, vm: Vm) -> None:
        constrain(0 <= vm.used_units <= vm.capacity_units and vm.active_sessions >= 0)
        self._tables.refer("projects", vm.project_id)
        if vm.region_id:
            self._tables.refer("regions", vm.region_id)
        if vm.template_id:
            self._tables.refer("templates", vm.template_id)


class MemoryHosts:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def get(self, host_id: str) -> Host | None:
        host: Host | None = self._tables.get("hosts", host_id)
        return host

    async def lock(self, host_id: str) -> Host | None:
        return await self.get(host_id)

    async def add(self, host: Host) -> None:
        self._tables.refer("vms", host.id)
        self._tables.add_versioned("hosts", host, "host")

    async def save(self, host: Host) -> None:
        stored = self._tables.seen("hosts").get(host.id)
        self._tables.save_versioned(
            "hosts", replace(host, last_heartbeat_at=stored.last_heartbeat_at if stored else None)
        )

    async def list(self, project_id: str, page: Page) -> Sequence[Host]:
        after = page.after[1] if page.after else ""
        rows = [host for host in self._sorted() if host.project_id == project_id and host.id > after]
        return self._tables.read("hosts", rows[: page.size])

    async def watched(self) -> Sequence[Host]:
        live = (HostState.ONLINE, HostState.STALE)
        return self._tables.read("hosts", [host for host in self._sorted() if host.state in live])

    async def beat(self, host_ids: Sequence[str], at: datetime) -> None:
        rows = self._tables.own("hosts")
        for host_id in set(host_ids) & rows.keys():
            if (rows[host_id].last_heartbeat_at or NEVER) < at:
                rows[host_id] = replace(rows[host_id], last_heartbeat_at=at)

    async def silent_among(self, host_ids: Sequence[str]) -> Sequence[str]:
        silent = (HostState.STALE, HostState.LOST)
        return [host.id for host in self._sorted() if host.id in host_ids and host.state in silent]

    def _sorted(self) -> Sequence[Host]:
        return sorted(self._tables.seen("hosts").values(), key=lambda host: str(host.id))


class MemorySessions:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def get(self, session_id: str) -> Session | None:
        session: Session | None = self._tables.get("sessions", session_id)
        return session

    async def add(self, session: Session) -> None:
        if session.client_token and await self.by_client_token(session.project_id, session.client_token):
            raise exists("session")
        self._check(session)
        self._tables.add_versioned("sessions", session, "session")

    async def save(self, session: Session) -> None:
        self._check(session)
        self._tables.save_versioned("sessions", session)

    async def by_client_token(self, project_id: str, client_token: str) -> Session | None:
        if not client_token:
            return None
        rows = [s for s in self._rows() if (s.project_id, s.client_token) == (project_id, client_token)]
        return next(iter(self._tables.read("sessions", rows)), None)

    async def list(
        self, project_id: str, states: Sequence[SessionState], vm_id: str, page: Page, created_by: str = ""
    ) -> Sequence[Session]:
        matching = [
            session
            for session in self._rows()
            if session.project_id == project_id
            and (not states or session.state in states)
            and vm_id in ("", session.vm_id)
            and created_by in ("", session.created_by)
        ]
        return self._tables.read("sessions", paged(matching, page))

    async def on_vm(self, vm_id: str) -> Sequence[Session]:
        rows = [session for session in self._rows() if session.vm_id == vm_id and session.state in ON_HOST]
        return self._tables.read("sessions", sorted(rows, key=lambda session: session.id))

    async def starting(self, untouched_since: datetime) -> Sequence[Session]:
        starting = [s for s in self._rows() if s.state is SessionState.STARTING and s.updated_at <= untouched_since]
        return self._tables.read("sessions", sorted(starting, key=lambda s: (s.created_at, s.id)))

    async def unreachable(self) -> Sequence[Session]:
        rows = [session for session in self._rows() if session.unreachable_at is not None and not session.finished]
        rows.sort(key=lambda session: (session.unreachable_at or NEVER, session.id))
        return self._tables.read("sessions", rows)

    def _rows(self) -> Sequence[Session]:
        return list(self._tables.seen("sessions").values())

    def _check(self, session: Session) -> None:
        constrain(session.units >= 0 and session.generation > 0)
        self._tables.refer("deployments", (session.project_id, session.game_id, session.deployment_number))
        if session.preset_id:
            self._tables.refer("presets", session.preset_id)
        if session.vm_id:
            self._tables.refer("vms", session.vm_id)
