"""What keeps the house in order: forgetting what is over, and saying how things stand, within and without."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.domain.errors import QuarterdeckError
from controlplane.interfaces import Backlog, Counts, RegionFigure
from controlplane.usecases.capacity import Capacity, capacity_of
from controlplane.usecases.survey import MEASURED_S
from controlplane.usecases.world import World

EVERY_PROJECT = ""
TELLING, TELLING_LEASE_S = "figures", 15.0
CHECK_TIMEOUT_S = 2.0

# A day more than the bus keeps events: whatever it still gives is listed, too.
KEPT_DAYS = 8


@dataclass(frozen=True)
class Standing:
    """How things stand, over all projects. Ages are in seconds, None where there is nothing that could be old."""

    figures: tuple[RegionFigure, ...]
    rooms: tuple[Capacity, ...]
    counts: Counts
    backlog: Backlog
    backlog_age_s: float | None
    queue_age_s: float | None
    beats_age_s: float | None

    def vms_by(self, part: Callable[[RegionFigure], str]) -> dict[str, int]:
        counter: Counter[str] = Counter()
        for figure in self.figures:
            counter[part(figure)] += figure.vms
        return dict(counter)


async def standing(world: World, holder: str) -> Standing | None:
    """None where another replica is to tell it: each figure of the database is told by one place at a time."""
    async with world.store.tx() as tx:
        if not await tx.figures.lead(TELLING, holder, TELLING_LEASE_S):
            return None
    async with world.store.reading() as tx:
        now = await tx.now()
        figures = await tx.figures.regions(EVERY_PROJECT)
        flows = await tx.figures.flow(EVERY_PROJECT, now - timedelta(seconds=MEASURED_S))
        counts, backlog, feed = await tx.figures.counts(), await tx.figures.backlog(), await tx.feed.get()
        regions = [region.id for region in await tx.shapes.regions()]
    wishless = [flow.region_id for flow in flows if flow.region_id not in regions]

    def age_s(since: datetime | None) -> float | None:
        return max(0.0, (now - since).total_seconds()) if since else None

    return Standing(
        tuple(figures),
        tuple(capacity_of(region_id, figures, flows) for region_id in (*regions, *wishless)),
        counts,
        backlog,
        age_s(backlog.oldest_at),
        age_s(counts.waiting_since),
        age_s(feed.last_batch_at),
    )


async def prune(world: World) -> int:
    """Forgets published events, stream tokens that are spent and credentials that are over; returns how many rows went.
    Client tokens stay: they are few, and whatever one made must not be made twice (I20)."""
    async with world.store.tx() as tx:
        return await tx.outbox.prune(await tx.now() - timedelta(days=KEPT_DAYS))


async def outside(world: World) -> Mapping[str, str]:
    """Part of the outside world → "" when it answers, otherwise why not."""
    database = ""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S), world.store.reading() as tx:
            await tx.now()
    except QuarterdeckError as error:
        database = error.reason
    except TimeoutError:
        database = "TIMEOUT"
    return {"database": database, "bus": "" if world.bus.connected else "BUS_AWAY"}
