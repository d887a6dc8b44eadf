"""Sessions of a lost host that may be re-placed start afresh elsewhere, once their lease there has lapsed (I2)."""

from __future__ import annotations

from datetime import datetime, timedelta

from controlplane.domain.errors import Conflict
from controlplane.domain.host import HostState
from controlplane.domain.session import SESSION_MACHINE, Session, SessionTrigger
from controlplane.interfaces import Tx
from controlplane.usecases.allocation import place_many
from controlplane.usecases.queue import asks_of
from controlplane.usecases.saves import forsake
from controlplane.usecases.vacating import vacated
from controlplane.usecases.world import Policy, World


class _NoRoom(Exception):
    """Nowhere to go: what the transaction has done for it is undone."""


def lapsed(session: Session, now: datetime, policy: Policy) -> bool:
    """Whether its wrapper has surely stopped the game. The lease was renewed last while its host was still heard of;
    the time after which a host counts as lost is added, for what was on its way then."""
    if session.lease_s <= 0 or session.unreachable_at is None:
        return False
    return now - session.unreachable_at >= timedelta(seconds=session.lease_s + policy.silence.lost_after_s)


async def replace_lost(world: World) -> int:
    """Gives each such session its next generation on another VM; returns how many. Where there is no room it stays
    unreachable: it is tried again until its `lost_after` is over."""
    async with world.store.reading() as tx:
        now = await tx.now()
        due = [session for session in await tx.sessions.unreachable() if lapsed(session, now, world.policy)]
    replaced = 0
    for stale in due:
        try:
            async with world.store.tx() as tx:
                hints = await _replace_one(tx, world, stale)
        except (Conflict, _NoRoom):
            continue
        replaced += bool(hints)
        await world.tell(*hints)
    return replaced


async def _replace_one(tx: Tx, world: World, stale: Session) -> tuple[str, ...]:
    host = await tx.hosts.lock(stale.vm_id)
    vm = await tx.vms.lock(stale.vm_id)
    session = await tx.sessions.get(stale.id)
    if session is None or session.unreachable_at != stale.unreachable_at or session.generation != stale.generation:
        return ()
    if host is None or vm is None or host.state not in (HostState.LOST, HostState.OFFLINE):
        return ()
    if not SESSION_MACHINE.allows(session.state, SessionTrigger.REPLACED):
        return ()
    now = await tx.now()
    freed, vm_events = await vacated(tx, vm, session.units, now)
    await tx.vms.save(freed)
    # The game may have held them until a moment ago, and nobody can ask.
    await tx.ports.release([session.id], now + timedelta(seconds=world.policy.lost_port_quarantine_s))
    await tx.outbox.append(vm_events)
    (placement,) = await place_many(tx, await asks_of(tx, [session]), now)
    if placement.bound is None:
        raise _NoRoom
    await tx.sessions.save(placement.bound)
    await forsake(tx, session, now)
    return placement.hints
