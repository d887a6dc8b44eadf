"""Pools, budgets, replacements and the rented fleet in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from controlplane.adapters.store.memory.tables import TxTables, constrain, exists, paged
from controlplane.domain.host import Host
from controlplane.domain.pool import Budget, Model, Pool, Rented
from controlplane.domain.provisioning import Provisioning
from controlplane.domain.succession import Replacement
from controlplane.domain.vm import Vm, VmState
from controlplane.interfaces import Page

REPLACEMENTS = "replacements"


class MemoryPools:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def get(self, pool_id: str) -> Pool | None:
        pool: Pool | None = self._tables.get("pools", pool_id)
        return pool

    async def all(self, project_id: str = "") -> Sequence[Pool]:
        rows: Sequence[Pool] = [row for _, row in sorted(self._tables.seen("pools").items())]
        return self._tables.read("pools", [row for row in rows if project_id in ("", row.project_id)])

    async def add(self, pool: Pool) -> None:
        self._check(pool)
        if any(other.kind == pool.kind for other in self._tables.seen("pools").values()):
            raise exists("pool")
        self._tables.add_versioned("pools", pool, "pool")

    async def save(self, pool: Pool) -> None:
        self._check(pool)
        self._tables.save_versioned("pools", pool)

    async def delete(self, pool_id: str) -> None:
        self._tables.own("pools").pop(pool_id, None)

    def _check(self, pool: Pool) -> None:
        for table, key in (("projects", pool.project_id), ("regions", pool.region_id), ("templates", pool.template_id)):
            self._tables.refer(table, key)
        constrain(pool.min_free_slots >= 0 and pool.buffer_slots >= 0 and pool.max_vms > 0)


class MemoryReplacements:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def get(self, replacement_id: str) -> Replacement | None:
        row: Replacement | None = self._tables.get(REPLACEMENTS, replacement_id)
        return row

    async def list(self, project_id: str, page: Page) -> Sequence[Replacement]:
        mine = [row for row in self._rows() if row.project_id == project_id]
        return self._tables.read(REPLACEMENTS, paged(mine, page))

    async def of_series(self, series_id: str) -> Sequence[Replacement]:
        return self._tables.read(REPLACEMENTS, [row for row in self._rows() if row.series_id == series_id])

    async def unfinished(self) -> Sequence[Replacement]:
        return self._tables.read(REPLACEMENTS, [row for row in self._rows() if not row.finished])

    async def add(self, replacement: Replacement) -> None:
        self._refer(replacement)
        self._tables.add_versioned(REPLACEMENTS, replacement, "replacement")

    async def save(self, replacement: Replacement) -> None:
        self._refer(replacement)
        self._tables.save_versioned(REPLACEMENTS, replacement)

    def _refer(self, replacement: Replacement) -> None:
        self._tables.refer("projects", replacement.project_id)
        for vm_id in filter(None, (replacement.vm_id, replacement.successor_id)):
            self._tables.refer("vms", vm_id)

    def _rows(self) -> Sequence[Replacement]:
        return [row for _, row in sorted(self._tables.seen(REPLACEMENTS).items())]


class MemoryRenting:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def take_turn(self) -> None:
        """Writing transactions come one at a time as it is."""
        self._tables.own("budgets")

    async def fleet(self, failed_since: datetime) -> Sequence[Rented]:
        vms, hosts = self._tables.seen("vms"), self._tables.seen("hosts")
        rows: Sequence[Provisioning] = [row for _, row in sorted(self._tables.seen("provisionings").items())]
        known = [Rented(vms[row.id], row, hosts.get(row.id)) for row in rows]
        return [one for one in known if one.held or (one.row.failure and self._recent(one, failed_since))]

    def _recent(self, one: Rented, failed_since: datetime) -> bool:
        return one.vm.updated_at >= failed_since or one.vm.state is not VmState.TERMINATED

    async def models(self, since: datetime) -> Mapping[tuple[str, str], Model]:
        vms: Sequence[Vm] = sorted(self._tables.seen("vms").values(), key=lambda vm: (vm.created_at, vm.id))
        hosts: Mapping[str, Host] = self._tables.seen("hosts")
        rented = [vm for vm in vms if vm.id in self._tables.seen("provisionings") and vm.created_at >= since]
        joined = [vm for vm in rented if vm.id in hosts and hosts[vm.id].epoch > 0]
        return {(vm.provider, vm.template_id): Model(hosts[vm.id].inventory, vm.media_ports) for vm in joined}

    async def budgets(self) -> Mapping[str, Budget]:
        return dict(self._tables.seen("budgets"))

    async def put_budget(self, budget: Budget) -> None:
        self._tables.refer("projects", budget.project_id)
        constrain(budget.micro_per_hour >= 0)
        self._tables.own("budgets")[budget.project_id] = budget
