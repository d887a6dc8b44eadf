"""The placement queue: PENDING sessions get a slot in order as slots free up, or are rejected at their deadline."""

from __future__ import annotations

from controlplane.domain import subjects
from controlplane.domain.errors import Conflict
from controlplane.domain.session import SessionReason, SessionState, SessionTrigger
from controlplane.usecases.allocation import place, settle
from controlplane.usecases.world import World

BATCH = 200


async def place_queue(world: World) -> int:
    """Places what fits now, oldest first, each in a transaction of its own; returns how many were placed."""
    async with world.store.reading() as tx:
        waiting = await tx.sessions.queue(BATCH)
    placed = 0
    for session in waiting:
        try:
            placed += await _place_one(world, session.id)
        except Conflict:
            continue  # another replica is at it; the next tick looks again
    return placed


async def _place_one(world: World, session_id: str) -> bool:
    async with world.store.tx() as tx:
        session = await tx.sessions.get(session_id)
        if session is None or session.state is not SessionState.PENDING:
            return False
        now = await tx.now()
        deployment = await tx.catalogue.deployment(session.project_id, session.game_id, session.deployment_number)
        preset = await tx.shapes.preset(session.preset_id)
        if deployment is None or preset is None:
            raise RuntimeError(f"{session.name} refers to a deployment or preset that is gone")
        bound, _, hints = await place(tx, session, deployment, preset, now)
        if bound is None:
            return False
        await tx.sessions.save(bound)
    await world.tell(*hints)
    return True


async def expire_queue(world: World) -> int:
    """Rejects PENDING sessions whose deadline has passed; returns how many."""
    async with world.store.reading() as tx:
        now = await tx.now()
        overdue = [s for s in await tx.sessions.queue(BATCH) if s.queue_deadline_at and s.queue_deadline_at <= now]
    rejected = 0
    for stale in overdue:
        async with world.store.tx() as tx:
            session = await tx.sessions.get(stale.id)
            if session is None or session.state is not SessionState.PENDING:
                continue
            now = await tx.now()
            detail = session.reason_detail.replace("waits for a slot", "no slot became free in time")
            ended, events = session.on(SessionTrigger.DEADLINE, now, SessionReason.QUEUE_DEADLINE, detail)
            hints = await settle(tx, ended, events, now, world.policy)
            rejected += 1
        await world.tell(*hints, subjects.hint_session(stale.id))
    return rejected
