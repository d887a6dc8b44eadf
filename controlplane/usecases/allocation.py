"""Binding a session to a VM, and giving the VM back: both inside the caller's transaction.

Lock order everywhere: host, then VM, then sessions and ports. Capacity, ports, session and events commit together.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from controlplane.domain import subjects
from controlplane.domain.errors import Exhausted, WrongState
from controlplane.domain.events import EventDraft
from controlplane.domain.game import MEDIA_PORT, Deployment, Picture
from controlplane.domain.placement import Candidate, Choice, Need, PassedOver, free_port, rank
from controlplane.domain.session import PortLease, Session, SessionTrigger
from controlplane.domain.template import Preset
from controlplane.domain.vm import Vm
from controlplane.interfaces import Tx
from controlplane.usecases.world import Policy

CANDIDATES = 50


async def place(
    tx: Tx, session: Session, deployment: Deployment, preset: Preset, now: datetime
) -> tuple[Session | None, tuple[PassedOver, ...], tuple[str, ...]]:
    """The session bound to the best VM that still has room, or None; who was passed over and why; hints to give.

    The caller saves or adds the session; the VM, its ports and events are written here."""
    need = Need(session.project_id, preset, deployment.picture, session.region_id)
    snapshot = await tx.vms.placeable(session.project_id, session.region_id, CANDIDATES)
    choices, passed = rank(need, (Candidate(vm, host) for vm, host in snapshot))
    for choice in choices:
        bound, obstacle = await _bind(tx, session, deployment, choice, now)
        if bound is not None:
            return bound, passed, (subjects.hint_plan(choice.vm_id), subjects.hint_session(session.id))
        passed = (*passed, PassedOver(choice.vm_id, obstacle))
    return None, passed, ()


async def _bind(
    tx: Tx, session: Session, deployment: Deployment, choice: Choice, now: datetime
) -> tuple[Session | None, str]:
    vm = await tx.vms.lock(choice.vm_id)
    if vm is None:
        return None, "is gone"
    try:
        taken, vm_events = vm.take(choice.units, now)
    except (Exhausted, WrongState) as refusal:
        return None, refusal.message
    leases = await _leases(tx, vm, session, deployment, now)
    if leases is None:
        return None, f"has no free port in {vm.media_ports[0]}-{vm.media_ports[1]}"
    for lease in leases:
        await tx.ports.lease(lease, now)
    await tx.vms.save(taken)
    bound = replace(
        session,
        vm_id=vm.id,
        region_id=vm.region_id,
        units=choice.units,
        stages=replace(session.stages, allocated_at=now),
    )
    bound, events = bound.on(SessionTrigger.ALLOCATED, now)
    await tx.outbox.append([*vm_events, *events, bound.event("assigned")])
    return bound, ""


async def _leases(
    tx: Tx, vm: Vm, session: Session, deployment: Deployment, now: datetime
) -> tuple[PortLease, ...] | None:
    wanted = [(port.name, port.protocol, port.game_port) for port in deployment.ports]
    if deployment.picture is not Picture.NONE:
        wanted.append((MEDIA_PORT, "udp", 0))
    leases: list[PortLease] = []
    for protocol in ("tcp", "udp"):
        names = [entry for entry in wanted if entry[1] == protocol]
        taken = await tx.ports.taken(vm.id, protocol, now) if names else frozenset[int]()
        first, last = vm.media_ports
        for name, _, game_port in names:
            # Starting where the plan's version points walks round the range: a port just freed is used last.
            port = free_port(taken, first, last, first + vm.plan_version % (last - first + 1))
            if port is None:
                return None
            taken |= {port}
            leases.append(PortLease(vm.id, protocol, port, session.id, name, game_port))
    return tuple(leases)


async def start_on_other_ports(
    tx: Tx, session: Session, detail: str, now: datetime, policy: Policy
) -> tuple[str, ...] | None:
    """Makes the session's next generation start on other ports of its VM; None when it has tried enough, or there are
    none. Those that others hold rest as long as those of a host that was lost. Returns hints to give."""
    vm = await tx.vms.lock(session.vm_id)
    deployment = await tx.catalogue.deployment(session.project_id, session.game_id, session.deployment_number)
    if vm is None or deployment is None or session.generation >= policy.port_attempts:
        return None
    await tx.ports.release(session.id, now + timedelta(seconds=policy.lost_port_quarantine_s))
    leases = await _leases(tx, vm, session, deployment, now)
    if leases is None:
        return None
    for lease in leases:
        await tx.ports.lease(lease, now)
    await tx.vms.save(vm.replanned(now))
    again, events = session.replaced(now, detail)
    await tx.sessions.save(again)
    await tx.outbox.append(events)
    return subjects.hint_session(session.id), subjects.hint_plan(vm.id)


async def settle(
    tx: Tx, session: Session, events: tuple[EventDraft, ...], now: datetime, policy: Policy, *, confirmed: bool = True
) -> tuple[str, ...]:
    """Saves a session that changed; if it finished on a VM, gives the VM and its ports back. Returns hints to give.

    `confirmed` says that the host itself told of the exit; otherwise its ports rest longer, for the game may still
    hold them. The caller holds the VM's lock, or is the only one to know the session."""
    await tx.sessions.save(session)
    hints: tuple[str, ...] = (subjects.hint_session(session.id),)
    if not session.finished or not session.vm_id:
        await tx.outbox.append(events)
        return hints
    vm = await tx.vms.lock(session.vm_id)
    if vm is None:
        raise RuntimeError(f"{session.name} is bound to a VM that does not exist: {session.vm_id}")
    freed, vm_events = vm.give_back(session.units, now)
    await tx.vms.save(freed)
    rest_s = policy.port_quarantine_s if confirmed else policy.lost_port_quarantine_s
    await tx.ports.release(session.id, now + timedelta(seconds=rest_s))
    await tx.outbox.append([*events, session.event("released"), *vm_events])
    return (*hints, subjects.hint_plan(session.vm_id), subjects.SLOTS)
