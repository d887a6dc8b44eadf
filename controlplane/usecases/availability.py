"""Which VMs of a region take one more session now, and a project's VMs in figures (seeds 000 and 001)."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.errors import NotFound
from controlplane.domain.host import Host, HostState
from controlplane.domain.identity import Principal
from controlplane.domain.template import UNITS_PER_SEAT
from controlplane.domain.vm import PLACEABLE, Vm
from controlplane.interfaces import RegionFigure
from controlplane.usecases.allocation import ALL
from controlplane.usecases.vms import owned
from controlplane.usecases.world import World, operators_only

LISTED = 100


async def available_vms(world: World, who: Principal, region_id: str) -> Sequence[Vm]:
    """VMs with a free seat and a healthy agent, fullest first, at most 100. Raises NotFound."""
    operators_only(who)
    async with world.store.reading() as tx:
        if await tx.shapes.region(region_id) is None:
            raise NotFound("REGION_NOT_FOUND", f"there is no region '{region_id}'", field="region")
        found = await tx.vms.placeable(who.project_id, [region_id], ALL)
    return [vm for vm, host in found if _takes(vm, host)][:LISTED]


async def vm_room(world: World, who: Principal, vm_id: str) -> tuple[Vm, bool]:
    """The VM, and whether it takes one more session of one seat now. Raises NotFound."""
    operators_only(who)
    async with world.store.reading() as tx:
        vm = owned(await tx.vms.get(vm_id), who, vm_id)
        return vm, _takes(vm, await tx.hosts.get(vm_id))


def _takes(vm: Vm, host: Host | None) -> bool:
    heard = host is not None and host.state is HostState.ONLINE and host.revoked_at is None
    return heard and vm.state in PLACEABLE and vm.free_units >= UNITS_PER_SEAT


async def vm_figures(world: World, who: Principal) -> Sequence[RegionFigure]:
    """The project's VMs by region, state and whether their hosts are online."""
    operators_only(who)
    async with world.store.reading() as tx:
        return await tx.figures.regions(who.project_id)
