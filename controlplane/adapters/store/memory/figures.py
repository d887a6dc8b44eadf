"""Counts over all projects in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

from controlplane.adapters.store.memory.tables import TxTables
from controlplane.domain.vm import Vm, VmState
from controlplane.interfaces import Backlog, VmFigure


class MemoryFigures:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def backlog(self) -> Backlog:
        waiting = [row.event.at for row in self._tables.seen("outbox").values() if row.published_at is None]
        return Backlog(len(waiting), min(waiting, default=None))

    async def born_at(self) -> datetime:
        return datetime.min.replace(tzinfo=UTC)

    async def fleet(self) -> Sequence[VmFigure]:
        rows: list[Vm] = [vm for vm in self._tables.seen("vms").values() if vm.state is not VmState.TERMINATED]
        rows.sort(key=lambda vm: (vm.region_id, vm.state))
        figures = []
        for (region_id, state), alike in groupby(rows, key=lambda vm: (vm.region_id, vm.state)):
            group = list(alike)
            capacity, used = sum(vm.capacity_units for vm in group), sum(vm.used_units for vm in group)
            figures.append(VmFigure(region_id, state, len(group), capacity, used))
        return figures
