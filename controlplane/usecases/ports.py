"""Operators' verbs for host ports: who holds which, and those kept for a purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from controlplane.domain.errors import Conflict, Exhausted, InvalidRequest, NotFound, WrongState
from controlplane.domain.game import PortSpec
from controlplane.domain.identity import Principal
from controlplane.domain.placement import given_away
from controlplane.domain.portrange import FIRST_UNPRIVILEGED, covering, free_port
from controlplane.domain.ports import held, in_use
from controlplane.domain.session import PortLease
from controlplane.domain.vm import LIVE, Vm, VmState
from controlplane.interfaces import AuditEntry, Page, Tx
from controlplane.usecases.repeating import Create, once
from controlplane.usecases.vms import owned
from controlplane.usecases.world import World, operators_only

MACHINES, TOLD = 10_000, 5


@dataclass(frozen=True)
class PortRequest:
    """`host_port` 0: any free one of the VM's range. `game_id`: whose sessions may take it; "" for none."""

    vm_id: str
    protocol: str
    purpose: str
    host_port: int = 0
    game_id: str = ""
    client_token: str = ""


async def list_ports(world: World, who: Principal, vm_id: str, page: Page) -> tuple[Sequence[PortLease], datetime]:
    """By protocol and number, and the moment that they are seen at; those that rested long enough are left out.

    Raises NotFound."""
    operators_only(who)
    async with world.store.reading() as tx:
        owned(await tx.vms.get(vm_id), who, vm_id)
        now = await tx.now()
        return await tx.ports.of_vm(vm_id, page, now), now


async def allocate_port(
    world: World, who: Principal, request: PortRequest, request_id: str
) -> tuple[PortLease, datetime]:
    """A reservation that lasts until it is released, and the moment it is seen at. The same client token gives the same
    port; with another request it is refused (I20).

    Raises NotFound (VM, game), InvalidRequest (port), AlreadyExists, Conflict (somebody holds it), Exhausted (the range
    has none left), WrongState (terminated)."""
    operators_only(who)
    async with world.store.tx() as tx:

        async def find(name: str) -> PortLease | None:
            number = int(name.rpartition("-")[2])
            leases = await tx.batch.leases_at([request.vm_id], [(request.protocol, number)])
            return next((lease for lease in leases if lease.client_token == request.client_token), None)

        create = Create(who, "AllocatePort", request.client_token, replace(request, client_token=""))
        lease = await once(tx, create, lambda: _reserve(tx, who, request, request_id), lambda one: one.name, find)
        return lease, await tx.now()


async def _reserve(tx: Tx, who: Principal, request: PortRequest, request_id: str) -> PortLease:
    vm = owned(await tx.vms.lock(request.vm_id), who, request.vm_id)
    now = await tx.now()
    if vm.state is VmState.TERMINATED:
        raise WrongState("VM_TERMINATED", f"{vm.name} is terminated")
    if request.game_id and await tx.catalogue.game(who.project_id, request.game_id) is None:
        raise NotFound("GAME_NOT_FOUND", f"there is no game 'games/{request.game_id}'", field="game")
    number = await _number(tx, vm, request, now)
    lease = PortLease(
        vm.id,
        request.protocol,
        number,
        purpose=request.purpose,
        game_id=request.game_id,
        project_id=who.project_id,
        client_token=request.client_token,
        reserved_at=now,
    )
    await tx.ports.lease(lease, now)
    await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "AllocatePort", lease.name, request_id))
    return lease


async def _number(tx: Tx, vm: Vm, request: PortRequest, now: datetime) -> int:
    host = await tx.hosts.get(vm.id)
    kept = host.inventory.ephemeral_ports if host is not None else ()
    first, last = vm.media_ports
    if not request.host_port:
        taken = await tx.ports.taken(vm.id, request.protocol, now)
        # From the far end: sessions walk round the range from its beginning.
        number = free_port(taken, first, last, last, kept)
        if number is None:
            raise Exhausted("NO_PORT", f"{vm.name} has no free {request.protocol} port in {first}-{last}")
        return number
    number = request.host_port
    if number < FIRST_UNPRIVILEGED:
        raise InvalidRequest(
            "PORT_PRIVILEGED",
            f"port {number} belongs to the system: choose one from {FIRST_UNPRIVILEGED} up",
            field="host_port",
        )
    if covering(number, kept):
        raise InvalidRequest("PORT_EPHEMERAL", f"of {vm.name}, {given_away(number, number)}", field="host_port")
    for lease in await tx.batch.leases_at([vm.id], [(request.protocol, number)]):
        if (why := held(lease, now)) is not None:
            raise Conflict("PORT_TAKEN", f"{request.protocol} port {number} of {vm.name} {why.why}", field="host_port")
    return number


async def release_port(
    world: World, who: Principal, vm_id: str, protocol: str, host_port: int, request_id: str
) -> None:
    """Ends a reservation; a session that has the port keeps it until its end. Raises NotFound; WrongState when the port
    is not reserved but a session's."""
    operators_only(who)
    async with world.store.tx() as tx:
        vm = owned(await tx.vms.lock(vm_id), who, vm_id)
        now = await tx.now()
        found = await tx.batch.leases_at([vm.id], [(protocol, host_port)])
        lease = next((lease for lease in found if lease.purpose or in_use(lease, now)), None)
        if lease is None:
            raise NotFound(
                "PORT_NOT_FOUND", f"nobody has {protocol} port {host_port} of {vm.name}: it is free", field="name"
            )
        if not lease.purpose:
            raise WrongState(
                "PORT_OF_SESSION", f"{lease.name} is held by sessions/{lease.session_id}: it is free after its end"
            )
        await tx.ports.unreserve(lease)
        await tx.outbox.audit(AuditEntry(who.project_id, who.subject, "ReleasePort", lease.name, request_id))


async def check_available(tx: Tx, project_id: str, game_id: str, ports: Sequence[PortSpec]) -> None:
    """Whether some machine of the project may ever give a deployment its fixed ports: what a session holds comes free,
    what is kept for something else, or given away by the kernel, does not. Without machines nothing is known.

    Raises WrongState."""
    wanted = [(port.protocol, port.host_port) for port in ports if port.host_port]
    if not wanted:
        return
    vms = await tx.vms.list(project_id, sorted(LIVE), Page(MACHINES))
    kept = {host.id: host.inventory.ephemeral_ports for host in await tx.hosts.list(project_id, Page(MACHINES))}
    foreign: dict[str, list[str]] = {}
    for vm in vms:
        away = sorted({number for _, number in wanted if covering(number, kept.get(vm.id, ()))})
        if away:
            foreign[vm.id] = [given_away(number, number) for number in away]
    for lease in await tx.batch.leases_at([vm.id for vm in vms], wanted):
        if lease.purpose and lease.game_id != game_id:
            why = f"its {lease.protocol} port {lease.host_port} is reserved for {lease.purpose}"
            foreign.setdefault(lease.vm_id, []).append(why)
    if vms and len(foreign) == len(vms):
        told = "; ".join(f"vms/{vm_id}: {', '.join(why)}" for vm_id, why in sorted(foreign.items())[:TOLD])
        raise WrongState("PORT_UNAVAILABLE", f"no machine may give it its ports. {told}", field="deployment.ports")
