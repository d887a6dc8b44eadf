"""The placement queue: PENDING sessions get a slot in order as slots free up, or are rejected at their deadline."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime

from controlplane.domain import subjects
from controlplane.domain.errors import Conflict
from controlplane.domain.game import Deployment, Game
from controlplane.domain.session import Session, SessionReason, SessionTrigger
from controlplane.domain.template import Preset
from controlplane.interfaces import Tx, Wanted
from controlplane.usecases.allocation import Ask, Placement, place_many
from controlplane.usecases.settling import settle
from controlplane.usecases.world import World

BATCH = 200
TRIES = 8


Last = tuple[datetime, str] | None


async def place_queue(world: World) -> int:
    """Places what fits now, oldest first, in batches; returns how many were placed. Who fits nowhere holds up those
    behind who ask for the same, and nobody else."""
    async with world.store.reading() as tx:
        wanted = await tx.queue.wanted()
    placed, last, unmet, wait = 0, None, frozenset[Wanted](), False
    while wanted - unmet:
        placements, asks = await _place_batch(world, last, unmet, wait=wait)
        if not asks:
            break
        placed += sum(placement.bound is not None for placement in placements)
        wait = not wait and any(placement.contended for placement in placements)
        if wait:
            continue  # whoever creates sessions beside us must not always be first: what they hold is waited for
        left = [ask for ask, placement in zip(asks, placements, strict=True) if placement.bound is None]
        unmet |= {Wanted.of(ask.session) for ask in left}
        last = (asks[-1].session.created_at, asks[-1].session.id)
    return placed


async def _place_batch(
    world: World, last: Last, unmet: frozenset[Wanted], *, wait: bool
) -> tuple[Sequence[Placement], Sequence[Ask]]:
    """Places among the BATCH sessions behind `last` those who do not ask for what is `unmet`. Raises Conflict."""
    for attempt in range(TRIES):
        try:
            async with world.store.tx() as tx:
                now = await tx.now()
                asks = await asks_of(tx, await tx.queue.after(last, BATCH))
                hopeful = [index for index, ask in enumerate(asks) if Wanted.of(ask.session) not in unmet]
                found = await place_many(tx, [asks[index] for index in hopeful], now, wait=wait or attempt > 0)
                await tx.batch.save_sessions([placement.bound for placement in found if placement.bound is not None])
            break
        except Conflict:  # one was stopped, or placed by another replica
            if attempt == TRIES - 1:
                raise
            await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - not a secret
    placements = [Placement() for _ in asks]
    for index, placement in zip(hopeful, found, strict=True):
        placements[index] = placement
    await world.tell(*(hint for placement in found for hint in placement.hints))
    return placements, asks


async def asks_of(tx: Tx, waiting: Sequence[Session]) -> list[Ask]:
    deployments: dict[tuple[str, str, int], Deployment | None] = {}
    presets: dict[str, Preset | None] = {}
    games: dict[tuple[str, str], Game | None] = {}
    asks = []
    for session in waiting:
        key = (session.project_id, session.game_id, session.deployment_number)
        if key not in deployments:
            deployments[key] = await tx.catalogue.deployment(*key)
        if session.preset_id not in presets:
            presets[session.preset_id] = await tx.shapes.preset(session.preset_id)
        if key[:2] not in games:
            games[key[:2]] = await tx.catalogue.game(*key[:2])
        game, deployment, preset = games[key[:2]], deployments[key], presets[session.preset_id]
        if game is None or deployment is None or preset is None:
            raise RuntimeError(f"{session.name} refers to a game, deployment or preset that is gone")
        asks.append(Ask(session, deployment, preset, game.law))
    return asks


async def expire_queue(world: World) -> int:
    """Rejects PENDING sessions whose deadline has passed; returns how many."""
    async with world.store.reading() as tx:
        overdue = await tx.queue.overdue(await tx.now(), BATCH)
    rejected = 0
    for stale in overdue:
        try:
            rejected += await _reject(world, stale.id)
        except (
            Conflict
        ):  # placed, stopped, or given more time while we looked; if it is overdue still, the next round's
            continue
    return rejected


async def _reject(world: World, session_id: str) -> bool:
    """Whether it was overdue still. Raises Conflict."""
    async with world.store.tx() as tx:
        session = await tx.sessions.get(session_id)
        now = await tx.now()
        if session is None or not session.overdue(now):
            return False
        detail = session.reason_detail.replace("waits for a slot", "no slot became free in time")
        ended, events = session.on(SessionTrigger.DEADLINE, now, SessionReason.QUEUE_DEADLINE, detail)
        hints = await settle(tx, ended, events, now, world.policy)
    await world.tell(*hints, subjects.hint_session(session_id))
    return True
