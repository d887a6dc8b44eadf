"""Saving sessions that changed, and giving back the VMs and ports of those that finished: both inside the caller's
transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from controlplane.domain import subjects
from controlplane.domain.events import EventDraft
from controlplane.domain.session import Session
from controlplane.interfaces import Tx
from controlplane.usecases import saves
from controlplane.usecases.vacating import vacated
from controlplane.usecases.world import Policy

Changed = tuple[Session, tuple[EventDraft, ...]]


async def settle(
    tx: Tx, session: Session, events: tuple[EventDraft, ...], now: datetime, policy: Policy, *, confirmed: bool = True
) -> tuple[str, ...]:
    """`settle_all` of one session."""
    return await settle_all(tx, [(session, events)], now, policy, confirmed=confirmed)


async def settle_all(
    tx: Tx, changed: Sequence[Changed], now: datetime, policy: Policy, *, confirmed: bool = True
) -> tuple[str, ...]:
    """Saves sessions that changed, and what to tell of each; gives the VMs and ports of those that finished back.
    Returns hints to give.

    `confirmed` says that the host itself told of the exit; otherwise ports rest longer, for the game may still hold
    them. The caller holds the VMs' locks, or is the only one to know the sessions."""
    await tx.batch.save_sessions([session for session, _ in changed])
    ended = [session for session, _ in changed if session.finished and session.vm_id]
    vms = {vm.id: vm for vm in await tx.batch.lock_vms([s.vm_id for s in ended], wait=True)} if ended else {}
    told: list[EventDraft] = []
    for session, events in changed:
        told.extend(events)
        if session.finished and not session.vm_id and session.save_id:
            await saves.let_go(tx, session, now)
        if not session.finished or not session.vm_id:
            continue
        if session.vm_id not in vms:
            raise RuntimeError(f"{session.name} is bound to a VM that does not exist: {session.vm_id}")
        vms[session.vm_id], vm_events = await vacated(tx, vms[session.vm_id], session.units, now)
        told.extend((session.event("released"), *vm_events))
    if ended:
        await tx.batch.save_vms(list(vms.values()))
        rest_s = policy.port_quarantine_s if confirmed else policy.lost_port_quarantine_s
        await tx.ports.release([session.id for session in ended], now + timedelta(seconds=rest_s))
    await tx.outbox.append(told)
    freed = [*(subjects.hint_plan(vm_id) for vm_id in vms), subjects.SLOTS] if ended else []
    return (*(subjects.hint_session(session.id) for session, _ in changed), *freed)
