"""Counts in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

from controlplane.adapters.store.memory.tables import TxTables
from controlplane.domain.host import Host, HostState
from controlplane.domain.session import Session, SessionState
from controlplane.domain.template import UNITS_PER_SEAT
from controlplane.domain.vm import Vm, VmState
from controlplane.interfaces import Backlog, Counts, Flow, RegionFigure


class MemoryFigures:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def backlog(self) -> Backlog:
        waiting = [row.event.at for row in self._tables.seen("outbox").values() if row.published_at is None]
        return Backlog(len(waiting), min(waiting, default=None))

    async def born_at(self) -> datetime:
        return datetime.min.replace(tzinfo=UTC)

    async def counts(self) -> Counts:
        unfinished: list[Session] = [s for s in self._tables.seen("sessions").values() if not s.finished]
        waiting = [session.created_at for session in unfinished if session.state is SessionState.PENDING]
        return Counts(
            sessions=Counter(session.state for session in unfinished),
            hosts=Counter(host.state for host in self._tables.seen("hosts").values()),
            waiting_since=min(waiting, default=None),
            dead_letters=len(self._tables.seen("dead_letters")),
        )

    async def regions(self, project_id: str) -> Sequence[RegionFigure]:
        hosts = self._tables.seen("hosts")

        def alike(vm: Vm) -> tuple[str, VmState, bool]:
            host: Host | None = hosts.get(vm.id)
            return vm.region_id, vm.state, host is not None and host.state is HostState.ONLINE and not host.revoked_at

        rows: list[Vm] = [vm for vm in self._tables.seen("vms").values() if project_id in ("", vm.project_id)]
        figures = []
        for key, group in groupby(sorted((vm for vm in rows if vm.state is not VmState.TERMINATED), key=alike), alike):
            vms = list(group)
            active, capacity, used, seats = (
                sum(vm.active_sessions for vm in vms),
                sum(vm.capacity_units for vm in vms),
                sum(vm.used_units for vm in vms),
                sum(vm.free_units // UNITS_PER_SEAT for vm in vms),
            )
            figures.append(RegionFigure(*key, len(vms), active, capacity, used, seats))
        return figures

    async def regions_of_each(self) -> Mapping[str, Sequence[RegionFigure]]:
        having = {vm.project_id for vm in self._tables.seen("vms").values() if vm.state is not VmState.TERMINATED}
        return {project_id: await self.regions(project_id) for project_id in sorted(having)}

    async def flow(self, project_id: str, since: datetime) -> Sequence[Flow]:
        rows: list[Session] = [s for s in self._tables.seen("sessions").values() if project_id in ("", s.project_id)]
        released = [s.region_id for s in rows if s.vm_id and s.ended_at is not None and s.ended_at >= since]
        waiting = [s.region_id for s in rows if s.state is SessionState.PENDING]
        return [Flow(r, released.count(r), waiting.count(r)) for r in sorted({*released, *waiting})]

    async def low(self) -> frozenset[tuple[str, str]]:
        return frozenset(key for key, (low, _) in self._tables.seen("tides").items() if low)

    async def turn(self, project_id: str, region_id: str, low: bool) -> int:
        was, version = self._tables.seen("tides").get((project_id, region_id), (False, 0))
        if was == low:
            return 0
        self._tables.own("tides")[project_id, region_id] = (low, version + 1)
        return int(version) + 1

    async def lead(self, duty: str, holder: str, lease_s: float) -> bool:
        now = await self._tables.now()
        known, until = self._tables.seen("duties").get(duty, (holder, now))
        if known != holder and until >= now:
            return False
        self._tables.own("duties")[duty] = (holder, now + timedelta(seconds=lease_s))
        return True
