"""What keeps the house in order: forgetting what is over, and saying how things stand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from controlplane.domain.vm import PLACEABLE
from controlplane.interfaces import Backlog, VmFigure
from controlplane.usecases.world import World

# A day more than the bus keeps events: until then a consumer may be given one again, and must know it (I5).
KEPT_DAYS = 8


@dataclass(frozen=True)
class Standing:
    """How things stand, over all projects. Units are twelfths of a seat; capacity counts VMs that take sessions."""

    fleet: tuple[VmFigure, ...]
    backlog: Backlog
    lag_s: float

    def by_state(self) -> dict[str, int]:
        counter: Counter[str] = Counter()
        for figure in self.fleet:
            counter[str(figure.state)] += figure.vms
        return dict(counter)

    def by_region(self) -> dict[str, int]:
        counter: Counter[str] = Counter()
        for figure in self.fleet:
            counter[figure.region_id] += figure.vms
        return dict(counter)

    @property
    def capacity_units(self) -> int:
        return sum(figure.capacity_units for figure in self.fleet if figure.state in PLACEABLE)

    @property
    def used_units(self) -> int:
        return sum(figure.used_units for figure in self.fleet if figure.state in PLACEABLE)


async def standing(world: World) -> Standing:
    async with world.store.reading() as tx:
        backlog, fleet, now = await tx.figures.backlog(), await tx.figures.fleet(), await tx.now()
    lag_s = max(0.0, (now - backlog.oldest_at).total_seconds()) if backlog.oldest_at else 0.0
    return Standing(tuple(fleet), backlog, lag_s)


async def prune(world: World) -> int:
    """Forgets published events, handled message ids and spent tokens; returns how many rows went."""
    async with world.store.tx() as tx:
        return await tx.outbox.prune(await tx.now() - timedelta(days=KEPT_DAYS))
