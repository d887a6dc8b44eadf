"""How much room a project has in each region, how long one waits for it, and the word that it runs low."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from controlplane.domain.errors import NotFound
from controlplane.domain.identity import Principal
from controlplane.domain.pool import RENTING
from controlplane.domain.queueing import wait_s
from controlplane.domain.region import Region, low_capacity, tide
from controlplane.domain.template import UNITS_PER_SEAT
from controlplane.domain.vm import PLACEABLE, VmState
from controlplane.interfaces import Flow, RegionFigure, Tx
from controlplane.usecases.survey import MEASURED_S
from controlplane.usecases.world import World, operators_only

UNDERWAY = frozenset({VmState.PROVISIONING, VmState.BOOTING})
IN_SERVICE = PLACEABLE | {VmState.DRAINING}


@dataclass(frozen=True)
class Capacity:
    """VMs of one region: `available` take sessions now, `unavailable` are in another state or their host is away.
    Slots are whole seats of available VMs. `waiting` sessions wish for this region or, `waiting_anywhere` of them, for
    none; `expected_wait_s` is what one more would wait, from the slots freed lately: 0 with a slot free, None when too
    few were freed to tell. `rented` machines count over all projects, as their limit does; `blocked` is why none is
    rented for the session that waits longest of those that are told so: a code and a sentence."""

    region_id: str
    available: int = 0
    provisioning: int = 0
    draining: int = 0
    unavailable: int = 0
    free_slots: int = 0
    capacity_units: int = 0
    used_units: int = 0
    active_sessions: int = 0
    waiting: int = 0
    waiting_anywhere: int = 0
    expected_wait_s: float | None = None
    rented: int = 0
    max_rented: int = 0
    blocked: str = ""


async def capacities(world: World, who: Principal, region_id: str = "") -> Sequence[Capacity]:
    """Of every region, by id, or of one. Raises NotFound."""
    operators_only(who)
    async with world.store.reading() as tx:
        regions = await tx.shapes.regions()
        figures = await tx.figures.regions(who.project_id)
        flows = await tx.figures.flow(who.project_id, await tx.now() - timedelta(seconds=MEASURED_S))
        rented = Counter(one.vm.region_id for one in await tx.renting.fleet(await tx.now()) if one.held)
        blocked = await _blocked(tx, who) if any(flow.waiting for flow in flows) else {}
    anywhere = sum(flow.waiting for flow in flows if not flow.region_id)
    asked = [region for region in regions if region_id in ("", region.id)]
    if not asked:
        raise NotFound("REGION_NOT_FOUND", f"there is no region 'regions/{region_id}'", field="name")
    return [
        replace(
            capacity_of(region.id, figures, flows, anywhere),
            rented=rented[region.id],
            max_rented=region.max_rented_vms,
            blocked=blocked.get(region.id, ""),
        )
        for region in asked
    ]


async def _blocked(tx: Tx, who: Principal) -> Mapping[str, str]:
    """By region, from what those who wait have been told: of each thing that is waited for the one who has waited
    longest."""
    told: dict[str, str] = {}
    for session in await tx.queue.firsts([who.project_id]):
        for entry in session.passed_over:
            if entry.code and entry.code != RENTING:
                told.setdefault(entry.region_id, f"{entry.code}: {entry.why}")
    return told


def capacity_of(region_id: str, figures: Sequence[RegionFigure], flows: Sequence[Flow], anywhere: int = 0) -> Capacity:
    """`anywhere`: how many wait who wish for no region, and so count here too."""
    here = [figure for figure in figures if figure.region_id == region_id]
    able = [figure for figure in here if figure.state in PLACEABLE and figure.online]
    available = sum(figure.vms for figure in able)
    provisioning = sum(figure.vms for figure in here if figure.state in UNDERWAY)
    draining = sum(figure.vms for figure in here if figure.state is VmState.DRAINING)
    flow = next((flow for flow in flows if flow.region_id == region_id), Flow(region_id, 0, 0))
    waiting = flow.waiting + anywhere
    free_slots = sum(figure.free_seats for figure in able)
    return Capacity(
        region_id=region_id,
        available=available,
        provisioning=provisioning,
        draining=draining,
        unavailable=sum(figure.vms for figure in here) - available - provisioning - draining,
        free_slots=free_slots,
        capacity_units=sum(figure.capacity_units for figure in able),
        used_units=sum(figure.used_units for figure in able),
        active_sessions=sum(figure.active_sessions for figure in here),
        waiting=waiting,
        waiting_anywhere=anywhere,
        expected_wait_s=0.0 if free_slots else wait_s(waiting + 1, flow.released, MEASURED_S),
    )


async def watch_tides(world: World) -> int:
    """Tells each project once of each region with machines of its own in service whose free slots have sunk below the
    region's low-water mark (VMPoolLowCapacity of seed 001), and again only after they had risen; returns how often it
    told."""
    turned: list[tuple[str, Region, bool, int]] = []
    async with world.store.reading() as tx:
        marked = [region for region in await tx.shapes.regions() if region.low_water_seats]
        known = await tx.figures.low()
        figures_of = await tx.figures.regions_of_each() if marked else {}
        for project_id in sorted(figures_of.keys() | {project_id for project_id, _ in known}):
            figures = figures_of.get(project_id, ())
            for region in marked:
                was, room = (project_id, region.id) in known, capacity_of(region.id, figures, ())
                low = _serves(region, figures) and tide(
                    region, was, room.free_slots, room.capacity_units // UNITS_PER_SEAT
                )
                if low != was:
                    turned.append((project_id, region, low, room.free_slots))
    told = 0
    for project_id, region, low, free_slots in turned:
        async with world.store.tx() as tx:
            turns = await tx.figures.turn(project_id, region.id, low)
            if turns and low:
                await tx.outbox.append([low_capacity(region, project_id, free_slots, turns)])
                told += 1
    if told:
        await world.tell()
    return told


def _serves(region: Region, figures: Sequence[RegionFigure]) -> bool:
    return any(figure.region_id == region.id and figure.state in IN_SERVICE for figure in figures)
