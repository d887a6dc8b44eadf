"""Sessions of a lost host that may be re-placed start afresh elsewhere, once their lease there has lapsed (I2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from controlplane.domain.errors import Conflict, as_one
from controlplane.domain.host import GONE
from controlplane.domain.placement import assign_many
from controlplane.domain.session import REPLACEABLE, Session
from controlplane.interfaces import Tx, Wanted
from controlplane.usecases.allocation import Ask, place_many, surveyed
from controlplane.usecases.queue import asks_of, place_queue
from controlplane.usecases.saves import forsake
from controlplane.usecases.survey import ways
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


async def place_all(world: World) -> None:
    """Those who lost their host, then those who wait: they have no queue timeout to come back from. A fault in those
    keeps these from nothing. Raises Conflict, Unavailable; an ExceptionGroup where some of the first were not foreseen.
    """
    try:
        await replace_lost(world)
    except Exception:
        await place_queue(world)
        raise
    await place_queue(world)


async def replace_lost(world: World) -> int:
    """Gives each such session its next generation on another VM; returns how many. Where there is no room it stays
    unreachable, and so do others who ask for the same: until its `lost_after` is over it is tried again. Raises
    Unavailable, ExceptionGroup."""
    async with world.store.reading() as tx:
        now = await tx.now()
        stranded = await tx.queue.stranded(now - timedelta(seconds=world.policy.silence.lost_after_s))
        asks = await _with_room(tx, [session for session in stranded if lapsed(session, now, world.policy)], now)
    replaced, unmet, broken = 0, set[Wanted](), list[Exception]()
    for ask in asks:
        if Wanted.of(ask.session) in unmet:
            continue
        try:
            async with world.store.tx() as tx:
                hints = await _replace_one(tx, world, ask.session)
        except Conflict:
            continue
        except _NoRoom:
            unmet.add(Wanted.of(ask.session))
        except Exception as error:  # noqa: BLE001 - raised below
            broken.append(error)
        else:
            replaced += bool(hints)
            await world.tell(*hints)
    if broken:
        raise as_one("replacement", broken)
    return replaced


async def _with_room(tx: Tx, stranded: Sequence[Session], now: datetime) -> Sequence[Ask]:
    """Those who would find room now. The others, who are looked at whenever a slot is free, lock nothing meanwhile."""
    if not stranded:
        return []
    asks = await asks_of(tx, stranded)
    found = ways(await tx.shapes.regions(), [ask.wish for ask in asks])
    choices, _ = assign_many(*await surveyed(tx, asks, found, now))
    return [ask for ask, choice in zip(asks, choices, strict=True) if choice is not None]


async def _replace_one(tx: Tx, world: World, stale: Session) -> tuple[str, ...]:
    host = await tx.hosts.lock(stale.vm_id)
    vm = await tx.vms.lock(stale.vm_id)
    session = await tx.sessions.get(stale.id)
    if session is None or session.unreachable_at != stale.unreachable_at or session.generation != stale.generation:
        return ()
    if host is None or vm is None or host.state not in GONE or session.state not in REPLACEABLE:
        return ()
    now = await tx.now()
    freed, vm_events = await vacated(tx, vm, session.units, now)
    await tx.vms.save(freed)
    # The game may have held them until a moment ago, and nobody can ask.
    await tx.ports.release([session.id], now + timedelta(seconds=world.policy.lost_port_quarantine_s))
    await tx.outbox.append(vm_events)
    # What others hold is waited for: who only passes by would be overtaken by every new session.
    (placement,) = await place_many(tx, await asks_of(tx, [session]), now, wait=True)
    if placement.bound is None:
        raise _NoRoom
    await tx.sessions.save(placement.bound)
    await forsake(tx, session, now)
    return placement.hints
