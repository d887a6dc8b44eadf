"""Operators' verbs for machines: create, drain, terminate. An owned one (provider "static") joins by a token that its
operator hands to its agent; a rented one is a wish that the workers of `usecases.provisioning` fulfil."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controlplane.domain import rental, subjects
from controlplane.domain.attempt import Offer
from controlplane.domain.errors import AlreadyExists, InvalidRequest, NotFound, WrongState
from controlplane.domain.events import EventDraft
from controlplane.domain.identity import Credential, CredentialKind, Principal, Role
from controlplane.domain.portrange import FIRST_UNPRIVILEGED, PortRange
from controlplane.domain.provisioning import Phase, Provisioning
from controlplane.domain.request import named_by
from controlplane.domain.session import SessionReason, SessionState
from controlplane.domain.template import Template
from controlplane.domain.vm import STATIC, VM_MACHINE, Vm, VmState, VmTrigger
from controlplane.interfaces import AuditEntry, Page, Tx
from controlplane.usecases.repeating import Create, mismatch, once
from controlplane.usecases.sessions import request_stop
from controlplane.usecases.world import World, operators_only

# Between an error and why its VM goes.
GOES = "; to be terminated: "


@dataclass(frozen=True)
class VmRequest:
    """`vm_id` "" lets us choose; `media_ports` None takes the default range. `provider` is who rents it to us;
    `fallback_region_ids` are the regions to look in when the first has nothing, in this order. `mandate` is the offer
    that the house rents by itself, at its price at most, in try number `attempt`; None: an operator wishes for it."""

    vm_id: str
    region_id: str
    template_id: str = "local"
    advertised_address: str = ""
    client_token: str = ""
    media_ports: tuple[int, int] | None = None
    provider: str = STATIC
    fallback_region_ids: tuple[str, ...] = ()
    mandate: Offer | None = None
    attempt: int = 1


async def create_vm(world: World, who: Principal, request: VmRequest, request_id: str) -> Vm:
    """Registers an owned machine, or the wish for a rented one: PROVISIONING until its agent enrols. The
    same client token gives the same VM; with another request it is refused (I20).

    Raises InvalidRequest, AlreadyExists."""
    operators_only(who)
    if request.provider != STATIC and request.provider not in world.providers:
        known = ", ".join([STATIC, *sorted(world.providers)])
        raise InvalidRequest(
            "PROVIDER_UNKNOWN", f"there is no provider '{request.provider}'; known: {known}", field="provider"
        )
    _check_range(request.media_ports or world.policy.media_ports)
    async with world.store.tx() as tx:
        vm = await add_vm(tx, world, who, request, request_id)
    await world.tell(subjects.RENTING)
    return vm


def _check_range(span: PortRange) -> None:
    if not FIRST_UNPRIVILEGED <= span[0] <= span[1] <= 65535:
        raise InvalidRequest(
            "PORT_RANGE_INVALID",
            f"{span[0]}-{span[1]} is no range of ports from {FIRST_UNPRIVILEGED} to 65535",
            field="port_range",
        )


async def add_vm(tx: Tx, world: World, who: Principal, request: VmRequest, request_id: str) -> Vm:
    """As `create_vm`, inside the caller's transaction, for a known provider."""
    create = Create(who, "CreateVm", request.client_token, replace(request, client_token=""))

    async def find(name: str) -> Vm | None:
        return await tx.vms.get(name.removeprefix("vms/"))

    return await once(tx, create, lambda: _add(tx, world, who, request, request_id), lambda vm: vm.name, find)


async def _add(tx: Tx, world: World, who: Principal, request: VmRequest, request_id: str) -> Vm:
    vm_id = request.vm_id or named_by("vm", who.project_id, request.client_token) or world.ids.new("vm")
    earlier = await tx.vms.get(vm_id)
    if earlier is not None:
        return _made_before(earlier, who, request)
    template = await _shape(tx, request)
    now = await tx.now()
    vm = Vm(
        id=vm_id,
        project_id=who.project_id,
        provider=request.provider,
        region_id=request.region_id,
        template_id=template.id,
        state=VmState.PROVISIONING,
        capacity_units=template.capacity_units,
        created_at=now,
        updated_at=now,
        advertised_address=request.advertised_address,
        media_ports=request.media_ports or world.policy.media_ports,
        version=1,
    )
    await tx.vms.add(vm)
    if vm.rented:
        await tx.provisionings.add(_wish(world, request, vm))
    born = EventDraft(
        "quarterdeck.vm.provisioned",
        vm.project_id,
        vm.name,
        vm.version,
        {"state": str(vm.state), "provider": vm.provider, "previous": "", "trigger": "create", "detail": ""},
    )
    await tx.outbox.append([born])
    await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "CreateVm", vm.name, request_id))
    return vm


def _made_before(earlier: Vm, who: Principal, request: VmRequest) -> Vm:
    """A VM of this id that the table of client tokens does not know may be the work of the last release, which knew a
    repeat by the VM itself: it counts as the same where all that a VM keeps of its request agrees. Raises
    AlreadyExists."""
    kept = (earlier.project_id, earlier.provider, earlier.template_id) == (
        who.project_id,
        request.provider,
        request.template_id,
    )
    if request.client_token and kept and earlier.region_id in (request.region_id, *request.fallback_region_ids):
        return earlier
    if request.vm_id:
        raise AlreadyExists("VM_EXISTS", f"there is a VM '{earlier.name}' already", field="vm_id")
    raise mismatch(earlier.name)


async def _shape(tx: Tx, request: VmRequest) -> Template:
    """The wished template. Raises InvalidRequest, for an unknown region too."""
    template = await tx.shapes.template(request.template_id)
    if template is None:
        known = ", ".join(t.id for t in await tx.shapes.templates())
        raise InvalidRequest(
            "TEMPLATE_UNKNOWN", f"there is no template '{request.template_id}'; known: {known}", field="template"
        )
    if await tx.shapes.region(request.region_id) is None:
        known = ", ".join(r.id for r in await tx.shapes.regions())
        raise InvalidRequest(
            "REGION_UNKNOWN", f"there is no region '{request.region_id}'; known: {known}", field="region"
        )
    return template


def _wish(world: World, request: VmRequest, vm: Vm) -> Provisioning:
    return Provisioning(
        id=vm.id,
        project_id=vm.project_id,
        provider=vm.provider,
        tag=rental.tag_of(world.authority.ca_sha256, vm.id),
        phase=Phase.WANTED,
        region_ids=tuple(dict.fromkeys([vm.region_id, *request.fallback_region_ids])),
        template_id=vm.template_id,
        created_at=vm.created_at,
        mandate=request.mandate,
        attempt=request.attempt,
    )


async def get_vm(world: World, who: Principal, vm_id: str) -> Vm:
    """Raises NotFound, for another project's VM too."""
    async with world.store.reading() as tx:
        return owned(await tx.vms.get(vm_id), who, vm_id)


async def list_vms(world: World, who: Principal, states: Sequence[VmState], page: Page) -> Sequence[Vm]:
    """Newest first."""
    async with world.store.reading() as tx:
        return await tx.vms.list(who.project_id, states, page)


async def create_join_token(world: World, who: Principal, vm_id: str, request_id: str) -> tuple[str, datetime]:
    """(secret, end): single-use, bound to this VM; only its hash is kept. Raises WrongState for a terminated VM."""
    operators_only(who)
    secret = world.ids.secret()
    async with world.store.tx() as tx:
        vm = owned(await tx.vms.lock(vm_id), who, vm_id)
        if vm.state is VmState.TERMINATED:
            raise WrongState("VM_TERMINATED", f"{vm.name} is terminated; create a new VM")
        token = join_token(world, vm, secret, await tx.now(), who.token_id)
        await tx.credentials.add(token)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "CreateJoinToken", vm.name, request_id))
    return secret, token.expires_at


def join_token(world: World, vm: Vm, secret: str, now: datetime, parent_id: str = "") -> Credential:
    """What lets one machine in as this VM, once."""
    return Credential(
        id=world.ids.new("j"),
        kind=CredentialKind.JOIN,
        project_id=vm.project_id,
        subject=f"hosts/{vm.id}",
        role=Role.PLAYER,
        secret_sha256=hashlib.sha256(secret.encode()).hexdigest(),
        created_at=now,
        expires_at=now + timedelta(seconds=world.policy.join_token_ttl_s),
        vm_id=vm.id,
        parent_id=parent_id,
    )


async def drain_vm(world: World, who: Principal, vm_id: str, request_id: str) -> Vm:
    """Accepts nothing new and lets the rest finish; draining a draining VM changes nothing (I14)."""
    return await _steer(world, who, vm_id, "DrainVm", request_id, VmState.DRAINING, VmTrigger.DRAIN)


async def undrain_vm(world: World, who: Principal, vm_id: str, request_id: str) -> Vm:
    """Back to READY, or to IN_USE while sessions play. Calls off a termination that waits for the last of them."""
    async with world.store.reading() as tx:
        busy = owned(await tx.vms.get(vm_id), who, vm_id).active_sessions > 0
    target = VmState.IN_USE if busy else VmState.READY
    trigger = VmTrigger.UNDRAIN_BUSY if busy else VmTrigger.UNDRAIN
    return await _steer(world, who, vm_id, "UndrainVm", request_id, target, trigger)


async def _steer(
    world: World, who: Principal, vm_id: str, action: str, request_id: str, target: VmState, trigger: VmTrigger
) -> Vm:
    operators_only(who)
    async with world.store.tx() as tx:
        vm = owned(await tx.vms.lock(vm_id), who, vm_id)
        if vm.state is target:
            return vm
        if trigger is not VmTrigger.DRAIN and await _being_released(tx, vm):
            raise WrongState("VM_BEING_RELEASED", f"the machine of {vm.name} is being given back; create a new VM")
        if trigger is VmTrigger.UNDRAIN and vm.active_sessions > 0:
            trigger = VmTrigger.UNDRAIN_BUSY
        elif trigger is VmTrigger.UNDRAIN_BUSY and vm.active_sessions == 0:
            trigger = VmTrigger.UNDRAIN
        vm, events = vm.on(trigger, await tx.now())
        if trigger is not VmTrigger.DRAIN:
            vm = replace(vm, terminate_requested_at=None)
        await tx.vms.save(vm)
        await tx.outbox.append(events)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, action, vm.name, request_id))
    await world.tell(subjects.SLOTS)
    return vm


async def terminate_vm(
    world: World, who: Principal, vm_id: str, request_id: str, *, force: bool, reason: str = ""
) -> Vm:
    """TERMINATED at once when empty, a rented VM once its machine is confirmed to be gone. While sessions play:
    refused, or with `force` drained, its sessions stopped with reason VM_TERMINATED, and terminated when the last has
    ended. `reason` is kept in its history. Raises WrongState."""
    operators_only(who)
    async with world.store.tx() as tx:
        vm = owned(await tx.vms.lock(vm_id), who, vm_id)
        if vm.state is VmState.TERMINATED:
            return vm
        now = await tx.now()
        sessions = await tx.sessions.on_vm(vm_id)
        if sessions and not force:
            raise WrongState(
                "VM_BUSY",
                f"{vm.name} has {len(sessions)} unfinished sessions: drain it, or use force",
                field="force",
            )
        held = vm.rented and await may_have_machine(tx, vm)
        vm = await towards_termination(tx, vm, bool(sessions) or held, now, reason or vm.reason_detail)
        hints: list[str] = []
        for session in sessions:
            if session.state is not SessionState.STOPPING:
                hints.extend(await request_stop(tx, world, session, SessionReason.VM_TERMINATED, now))
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "TerminateVm", vm.name, request_id))
        vm = owned(await tx.vms.get(vm_id), who, vm_id)
    await world.tell(*hints, subjects.RENTING)
    return vm


async def may_have_machine(tx: Tx, vm: Vm) -> bool:
    """Whether a rented VM's machine may exist: then only its provider can tell that it is gone."""
    row = await tx.provisionings.get(vm.id)
    return row is not None and row.phase is not Phase.RELEASED


async def _being_released(tx: Tx, vm: Vm) -> bool:
    row = await tx.provisionings.get(vm.id) if vm.rented else None
    return row is not None and row.phase in (Phase.RELEASING, Phase.RELEASED)


async def towards_termination(tx: Tx, vm: Vm, waits: bool, now: datetime, reason: str) -> Vm:
    """TERMINATED; with `waits` once its sessions have ended and its machine is gone. Saves, inside the caller's
    transaction, which has locked the VM."""
    if not waits:
        ended, events = vm.on(VmTrigger.TERMINATE, now, reason)
    elif VM_MACHINE.allows(vm.state, VmTrigger.DRAIN):
        ended, events = vm.on(VmTrigger.DRAIN, now, reason)
        ended = replace(ended, terminate_requested_at=now)
    else:
        wished = replace(vm, terminate_requested_at=now, reason_detail=_why(vm, reason))
        ended, events = replace(wished, version=vm.version + 1, updated_at=now), ()
    await tx.vms.save(ended)
    await tx.outbox.append(events)
    return ended


def _why(vm: Vm, reason: str) -> str:
    """An error stays told, and before why its VM goes: by whoever has said so last."""
    if vm.state is not VmState.ERROR or not vm.reason_detail:
        return reason
    error, _, _ = vm.reason_detail.partition(GOES)
    return vm.reason_detail if vm.reason_detail in reason else f"{error}{GOES}{reason}"


def owned(vm: Vm | None, who: Principal, vm_id: str) -> Vm:
    if vm is None or vm.project_id != who.project_id:
        raise NotFound("VM_NOT_FOUND", f"there is no VM 'vms/{vm_id}'", field="name")
    return vm
