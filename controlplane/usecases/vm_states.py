"""Operators' verbs that set a VM's state: stop, start, error, ready; and its history (seeds 000, 001, 002)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from controlplane.domain import provisioning as domain
from controlplane.domain import subjects
from controlplane.domain.attempt import Attempt
from controlplane.domain.errors import WrongState
from controlplane.domain.events import EventDraft
from controlplane.domain.host import HostState
from controlplane.domain.identity import Principal
from controlplane.domain.provisioning import Phase, Provisioning
from controlplane.domain.rental import JOINED
from controlplane.domain.vm import Transition, Vm, VmState, VmTrigger
from controlplane.interfaces import AuditEntry, Page, Tx
from controlplane.usecases.vms import owned
from controlplane.usecases.world import World, operators_only

# On their way to a machine that has not joined (again); what is given back when their VM fails.
UNJOINED = domain.SELF_MOVING - {Phase.RELEASING, Phase.PARKING}
# An agent that is heard now is of a machine that goes, or is gone.
WITHOUT_MACHINE = frozenset({Phase.WANTED, Phase.RELEASING, Phase.RELEASED, Phase.PARKING, Phase.PARKED})


async def stop_vm(world: World, who: Principal, vm_id: str, request_id: str) -> Vm:
    """Switches an empty rented machine off and keeps it. Raises WrongState: owned, busy, or not joined yet."""
    operators_only(who)
    async with world.store.tx() as tx:
        vm = owned(await tx.vms.lock(vm_id), who, vm_id)
        if vm.state is VmState.STOPPED:
            return vm
        row = await _rented(tx, vm)
        if vm.active_sessions:
            raise WrongState("VM_BUSY", f"{vm.name} has {vm.active_sessions} sessions: drain it first")
        _stays(vm)
        now = await tx.now()
        if row.phase is Phase.BOOTING:  # READY already, and its worker has not looked since
            row = domain.joined(row, now)
        vm, events = vm.on(VmTrigger.STOP, now)
        await tx.provisionings.save(domain.powering(row, domain.Trigger.STOP, now))
        await _save(tx, vm, events, who, "StopVm", request_id)
    await world.tell(subjects.RENTING)
    return vm


async def start_vm(world: World, who: Principal, vm_id: str, request_id: str) -> Vm:
    """BOOTING until its agent is back; again after the provider had refused for too long. Raises WrongState, also while
    the machine is still being switched off."""
    operators_only(who)
    async with world.store.tx() as tx:
        vm = owned(await tx.vms.lock(vm_id), who, vm_id)
        if vm.state is VmState.BOOTING:
            return vm
        row = await _rented(tx, vm)
        _stays(vm)
        if row.phase is Phase.PARKING:
            raise WrongState("VM_STOPPING", f"{vm.name} is still being switched off: try again in a moment")
        now = await tx.now()
        again = vm.state is VmState.ERROR and row.phase is Phase.PARKED
        events: list[EventDraft] = []
        for trigger in (VmTrigger.RETRY, VmTrigger.PROVISIONED) if again else (VmTrigger.START,):
            vm, told = vm.on(trigger, now)
            events.extend(told)
        await tx.provisionings.save(domain.powering(row, domain.Trigger.START, now))
        await _save(tx, vm, events, who, "StartVm", request_id)
    await world.tell(subjects.RENTING)
    return vm


async def fail_vm(world: World, who: Principal, vm_id: str, request_id: str, *, reason: str) -> Vm:
    """Takes a VM out of service: ERROR, nothing new is placed on it. A rented machine that has not joined is given
    back; one that has is kept until it is terminated, for somebody to look at. Of one in ERROR already another
    reason is noted. Raises WrongState."""
    operators_only(who)
    async with world.store.tx() as tx:
        vm = owned(await tx.vms.lock(vm_id), who, vm_id)
        now = await tx.now()
        if vm.state is VmState.ERROR:
            if reason not in ("", vm.reason_detail):
                vm = replace(vm, reason_detail=reason, updated_at=now, version=vm.version + 1)
                await _save(tx, vm, (), who, "FailVm", request_id)
            return vm
        row = await tx.provisionings.get(vm.id)
        if row is not None and row.phase in UNJOINED:
            if vm.state in JOINED and row.phase is Phase.BOUGHT:  # its agent was quicker than the provider's own word
                row = domain.running(row, "", now, world.policy.renting.patience)
            joined = vm.state in JOINED and row.phase is Phase.BOOTING  # and its worker has not looked since
            await tx.provisionings.save(domain.joined(row, now) if joined else domain.released(row, now))
        vm, events = vm.on(VmTrigger.FAIL, now, reason)
        await _save(tx, vm, events, who, "FailVm", request_id)
    await world.tell(subjects.RENTING)
    return vm


async def mark_vm_ready(world: World, who: Principal, vm_id: str, request_id: str) -> Vm:
    """READY, for a VM that is booting, or that an operator has repaired after an error; a machine without a healthy
    agent cannot be. Raises WrongState."""
    operators_only(who)
    async with world.store.tx() as tx:
        host = await tx.hosts.lock(vm_id)
        vm = owned(await tx.vms.lock(vm_id), who, vm_id)
        if vm.state is VmState.READY:
            return vm
        if vm.state is VmState.TERMINATED:
            raise WrongState("VM_TERMINATED", f"{vm.name} is terminated; create a new VM")
        if host is None or host.state is not HostState.ONLINE or host.revoked_at is not None:
            raise WrongState("AGENT_NOT_HEALTHY", f"the agent of {vm.name} is not enrolled and healthy: start it first")
        row = await tx.provisionings.get(vm.id)
        if row is not None and row.phase in WITHOUT_MACHINE:
            raise WrongState("VM_BEING_RELEASED", f"{vm.name} has no machine to be ready with")
        _stays(vm)
        if vm.active_sessions:
            raise WrongState("VM_BUSY", f"{vm.name} has {vm.active_sessions} unfinished sessions: they must end first")
        events: list[EventDraft] = []
        now = await tx.now()
        repaired = (VmTrigger.RETRY, VmTrigger.PROVISIONED) if vm.state is VmState.ERROR else ()
        for trigger in (*repaired, VmTrigger.AGENT_HEALTHY):
            vm, told = vm.on(trigger, now, "marked ready by an operator")
            events.extend(told)
        if row is not None and row.failure is not None and row.phase is Phase.HELD:
            await tx.provisionings.save(replace(row, failure=None, version=row.version + 1))
        await _save(tx, vm, events, who, "MarkVmReady", request_id)
    await world.tell(subjects.SLOTS, subjects.RENTING)
    return vm


async def list_transitions(world: World, who: Principal, vm_id: str, page: Page) -> Sequence[Transition]:
    """Every change of a VM's state, newest first. Raises NotFound."""
    async with world.store.reading() as tx:
        owned(await tx.vms.get(vm_id), who, vm_id)
        return await tx.transitions.of_vm(vm_id, page)


async def list_attempts(world: World, who: Principal, vm_id: str, page: Page) -> Sequence[Attempt]:
    """Every attempt to rent, stop or start its machine, newest first. Raises NotFound."""
    async with world.store.reading() as tx:
        owned(await tx.vms.get(vm_id), who, vm_id)
        return await tx.attempts.of_vm(vm_id, page)


async def provisionings(world: World, vms: Sequence[Vm]) -> Mapping[str, Provisioning]:
    """How far the rented ones among these VMs are, by the VM's id."""
    rented = [vm.id for vm in vms if vm.rented]
    if not rented:
        return {}
    async with world.store.reading() as tx:
        return await tx.provisionings.of_vms(rented)


def _stays(vm: Vm) -> None:
    """Nothing is placed on a machine that goes (I14); of one that has gone, its state tells. Raises WrongState."""
    if vm.terminate_requested_at is not None and vm.state is not VmState.TERMINATED:
        raise WrongState("VM_BEING_RELEASED", f"{vm.name} is being terminated")


async def _rented(tx: Tx, vm: Vm) -> Provisioning:
    row = await tx.provisionings.get(vm.id)
    if row is None:
        raise WrongState("VM_OWNED", f"{vm.name} is an owned machine: only rented ones are stopped and started here")
    return row


async def _save(tx: Tx, vm: Vm, events: Sequence[EventDraft], who: Principal, action: str, request_id: str) -> None:
    await tx.vms.save(vm)
    await tx.outbox.append(events)
    await tx.outbox.audit(AuditEntry(who.project_id, who.subject, action, vm.name, request_id))
