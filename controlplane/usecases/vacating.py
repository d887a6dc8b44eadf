"""A session leaves its VM: inside the transaction that ends it or places it elsewhere."""

from __future__ import annotations

from datetime import datetime

from controlplane.domain.events import EventDraft
from controlplane.domain.provisioning import Phase
from controlplane.domain.vm import VM_MACHINE, Vm, VmTrigger
from controlplane.interfaces import Tx


async def vacated(tx: Tx, vm: Vm, units: int, now: datetime) -> tuple[Vm, tuple[EventDraft, ...]]:
    """The VM without one session of `units`, and what to tell. A rented one that waited for its last session to be
    terminated is, if it has no machine any more: else that is for its provider to confirm. The caller has locked it."""
    freed, events = vm.give_back(units, now)
    waited = freed.rented and freed.terminate_requested_at is not None and not freed.active_sessions
    row = await tx.provisionings.get(vm.id) if waited else None
    if row is None or row.phase is not Phase.RELEASED or not VM_MACHINE.allows(freed.state, VmTrigger.TERMINATE):
        return freed, events
    ended, more = freed.on(VmTrigger.TERMINATE, now, freed.reason_detail)
    return ended, (*events, *more)
