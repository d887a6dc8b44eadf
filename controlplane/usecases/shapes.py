"""What a session may be asked for: presets and regions, the same for every project."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.region import Region
from controlplane.domain.template import Preset
from controlplane.usecases.world import World


async def list_presets(world: World) -> Sequence[Preset]:
    async with world.store.reading() as tx:
        return await tx.shapes.presets()


async def list_regions(world: World) -> Sequence[Region]:
    async with world.store.reading() as tx:
        return await tx.shapes.regions()
