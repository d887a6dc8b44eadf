"""Pools, budgets and the rented fleet in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from controlplane.adapters.store.memory.tables import TxTables, constrain, exists
from controlplane.domain.host import Host, Inventory
from controlplane.domain.pool import Budget, Pool, Rented
from controlplane.domain.provisioning import Provisioning
from controlplane.domain.vm import Vm


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
        return [one for one in known if one.held or (one.row.failure and one.vm.updated_at >= failed_since)]

    async def inventories(self, since: datetime) -> Mapping[tuple[str, str], Inventory]:
        vms: Sequence[Vm] = sorted(self._tables.seen("vms").values(), key=lambda vm: (vm.created_at, vm.id))
        hosts: Mapping[str, Host] = self._tables.seen("hosts")
        rented = [vm for vm in vms if vm.id in self._tables.seen("provisionings") and vm.created_at >= since]
        joined = [vm for vm in rented if vm.id in hosts and hosts[vm.id].epoch > 0]
        return {(vm.provider, vm.template_id): hosts[vm.id].inventory for vm in joined}

    async def budgets(self) -> Mapping[str, Budget]:
        return dict(self._tables.seen("budgets"))

    async def put_budget(self, budget: Budget) -> None:
        self._tables.refer("projects", budget.project_id)
        constrain(budget.micro_per_hour >= 0)
        self._tables.own("budgets")[budget.project_id] = budget
