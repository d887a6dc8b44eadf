"""Rented VMs' progress and attempts, and every VM's history, in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from controlplane.adapters.store.memory.tables import TxTables, exists
from controlplane.adapters.store.versions import version_conflict
from controlplane.domain.attempt import Attempt, Outcome
from controlplane.domain.provisioning import SELF_MOVING, Phase, Provisioning
from controlplane.domain.save import STORED_WITHIN_S
from controlplane.domain.vm import Transition, Vm
from controlplane.interfaces import Page

TABLE, ATTEMPTS, LEASES = "provisionings", "vm_attempts", "provisioning_leases"


class MemoryTransitions:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def of_vm(self, vm_id: str, page: Page) -> Sequence[Transition]:
        rows: Sequence[Transition] = [
            row for key, row in self._tables.seen("vm_transitions").items() if key[0] == vm_id
        ]
        behind = [row for row in rows if page.after is None or row.version < int(page.after[1])]
        return sorted(behind, key=lambda row: row.version, reverse=True)[: page.size]


class MemoryAttempts:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def of_vm(self, vm_id: str, page: Page) -> Sequence[Attempt]:
        rows: Sequence[Attempt] = [row for key, row in self._tables.seen(ATTEMPTS).items() if key[0] == vm_id]
        behind = [row for row in rows if page.after is None or row.number < int(page.after[1])]
        return sorted(behind, key=lambda row: row.number, reverse=True)[: page.size]


class MemoryProvisionings:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def get(self, vm_id: str) -> Provisioning | None:
        row: Provisioning | None = self._tables.get(TABLE, vm_id)
        return row

    async def of_vms(self, vm_ids: Sequence[str]) -> Mapping[str, Provisioning]:
        found = {vm_id: await self.get(vm_id) for vm_id in vm_ids}
        return {vm_id: row for vm_id, row in found.items() if row is not None}

    async def add(self, row: Provisioning) -> None:
        self._tables.refer("vms", row.id)
        if any((known.provider, known.tag) == (row.provider, row.tag) for known in self._rows()):
            raise exists("provisioning")
        self._tables.add_versioned(TABLE, row, "provisioning")

    async def save(self, row: Provisioning) -> None:
        self._tables.save_versioned(TABLE, row)
        if row.last is None:
            return
        known: Attempt | None = self._tables.seen(ATTEMPTS).get((row.id, row.last.number))
        if known is None or known.outcome is Outcome.OPEN:
            self._tables.own(ATTEMPTS)[row.id, row.last.number] = row.last

    async def claim(
        self, limit: int, lease_s: float, lease_token: str, apart_from: Collection[str] = ()
    ) -> Sequence[Provisioning]:
        now = await self._tables.now()
        leases = self._tables.own(LEASES)
        free = [row for row in self._rows() if row.id not in leases or leases[row.id][1] <= now]
        due = [
            row for row in free if row.provider not in apart_from and (self._moves(row, now) or self._ends(row, now))
        ]
        due.sort(key=lambda row: (row.next_attempt_at or row.created_at, row.id))
        claimed = sorted(due[:limit], key=lambda row: row.id)
        leases.update({row.id: (lease_token, now + timedelta(seconds=lease_s)) for row in claimed})
        return self._tables.read(TABLE, claimed)

    async def apply(self, row: Provisioning, lease_token: str, *, keep: bool = False) -> None:
        leases = self._tables.own(LEASES)
        if leases.get(row.id, ("", None))[0] != lease_token:
            raise version_conflict(row.name)
        await self.save(row)
        if not keep:
            del leases[row.id]

    async def lease(self, lease_token: str, lease_s: float) -> None:
        leases = self._tables.own(LEASES)
        until = await self._tables.now() + timedelta(seconds=lease_s)
        for vm_id in [key for key, lease in leases.items() if lease[0] == lease_token]:
            if lease_s > 0:
                leases[vm_id] = (lease_token, until)
            else:
                del leases[vm_id]

    async def wanted(self, provider: str) -> Sequence[Provisioning]:
        rows = [row for row in self._rows() if row.provider == provider and row.phase is not Phase.RELEASED]
        return self._tables.read(TABLE, sorted(rows, key=lambda row: row.id))

    def _rows(self) -> Sequence[Provisioning]:
        return list(self._tables.seen(TABLE).values())

    def _moves(self, row: Provisioning, now: datetime) -> bool:
        return row.phase in SELF_MOVING and (row.next_attempt_at is None or row.next_attempt_at <= now)

    def _ends(self, row: Provisioning, now: datetime) -> bool:
        if row.phase is Phase.RELEASED or row.release_for_good:
            return False
        vm: Vm | None = self._tables.seen("vms").get(row.id)
        if vm is None or vm.terminate_requested_at is None or vm.active_sessions:
            return False
        sessions = self._tables.seen("sessions")
        held = [sessions.get(save.session_id) for save in self._tables.seen("saves").values()]
        lately = now - timedelta(seconds=STORED_WITHIN_S)
        return not any(one and one.vm_id == vm.id and one.ended_at and one.ended_at > lately for one in held)
