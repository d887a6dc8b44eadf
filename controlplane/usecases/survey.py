"""Where a session could go: regions in their order, VMs within, and why each other one was passed over. Only reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.fallback import Wish, order
from controlplane.domain.placement import PassedOver
from controlplane.domain.pool import RENTING
from controlplane.domain.queueing import Rivals, rivals, wait_s
from controlplane.domain.region import Region
from controlplane.domain.session import Session, SessionState
from controlplane.domain.template import Preset
from controlplane.domain.vm import PLACEABLE
from controlplane.interfaces import RegionFigure, Tx

TOLD = 20
MEASURED_S = 900.0


@dataclass(frozen=True)
class Way:
    """The regions to try, best first, and those that are closed to this session: by law, or by no chain."""

    regions: tuple[str, ...]
    forbidden: tuple[PassedOver, ...]
    unchained: tuple[PassedOver, ...]


def ways(regions: Sequence[Region], wishes: Sequence[Wish]) -> Sequence[Way]:
    """For each wish; those who wish alike share one."""
    known: dict[Wish, Way] = {}
    for wish in wishes:
        if wish not in known:
            choices, passed = order(wish, regions)
            closed = [(entry.forbidden, PassedOver("", entry.why, entry.region_id)) for entry in passed]
            known[wish] = Way(
                tuple(choice.region_id for choice in choices),
                tuple(entry for forbidden, entry in closed if forbidden),
                tuple(entry for forbidden, entry in closed if not forbidden),
            )
    return [known[wish] for wish in wishes]


def explained(
    way: Way, figures: Sequence[RegionFigure], passed: Sequence[PassedOver], taken_region: str
) -> tuple[PassedOver, ...]:
    """Why what came before `taken_region` ("": everything) was passed over: regions first, then VMs, at most 20."""
    before = way.regions[: way.regions.index(taken_region)] if taken_region else way.regions
    told = {entry.region_id for entry in passed}
    empty = [PassedOver("", _standing(figures, region_id), region_id) for region_id in before if region_id not in told]
    relevant = [entry for entry in passed if entry.region_id in (*before, taken_region)]
    unchained = way.unchained if not taken_region else ()
    return (*way.forbidden, *empty, *relevant, *unchained)[:TOLD]


def with_renting(passed: Sequence[PassedOver], news: Sequence[PassedOver]) -> tuple[PassedOver, ...]:
    """What is told of regions and VMs, with what is known now of renting in some regions in place of what was. Nothing
    is news of those further on: a machine that was on its way there may be no more."""
    fresh = {entry.region_id for entry in news}
    kept = (entry for entry in passed if entry.vm_id or (entry.region_id not in fresh and entry.code != RENTING))
    return (*news, *kept)[:TOLD]


async def places_of(tx: Tx, sessions: Sequence[Session]) -> Mapping[str, int]:
    """How far from the front each of those that wait is, from 1, among those of its project who may be given the same:
    what others wait for elsewhere is no matter of its caller's."""
    waiting = [session for session in sessions if session.state is SessionState.PENDING]
    regions = await tx.shapes.regions() if waiting else []
    lines: dict[Rivals, list[str]] = {}
    for session in waiting:
        among = rivals(session.project_id, session.region_id, session.coordinates is not None, regions)
        lines.setdefault(among, []).append(session.id)
    places: dict[str, int] = {}
    for among, session_ids in lines.items():
        places |= await tx.queue.places(session_ids, among)
    return places


async def queue_estimate_s(tx: Tx, session: Session, position: int, now: datetime) -> float | None:
    """How long the session at this place of the queue still waits, if slots go on being freed in the regions that it
    may go to as they were lately; None when too few were to tell."""
    since = now - timedelta(seconds=MEASURED_S)
    flows = await tx.figures.flow(session.project_id, since)
    wished = await tx.shapes.region(session.region_id) if session.region_id else None
    open_to = {wished.id, *wished.chain} if wished and session.coordinates is None else None
    freed = sum(flow.released for flow in flows if open_to is None or flow.region_id in open_to)
    return wait_s(position, freed, MEASURED_S)


async def known_preset(tx: Tx, project_id: str, game_id: str, preset_id: str) -> Preset:
    """Raises InvalidRequest for one that is not there for this game."""
    preset = await tx.shapes.preset(preset_id)
    if preset is None or not preset.fits(project_id, game_id):
        known = ", ".join(p.id for p in await tx.shapes.presets() if p.fits(project_id, game_id))
        raise InvalidRequest("PRESET_UNKNOWN", f"there is no preset '{preset_id}'; known: {known}", field="preset")
    return preset


async def known_region(tx: Tx, region_id: str) -> None:
    """Raises InvalidRequest for one that is not there; "" is any."""
    if region_id and await tx.shapes.region(region_id) is None:
        known = ", ".join(r.id for r in await tx.shapes.regions())
        raise InvalidRequest("REGION_UNKNOWN", f"there is no region '{region_id}'; known: {known}", field="region")


def in_words(passed: Sequence[PassedOver]) -> str:
    return "; ".join(entry.told for entry in passed[:10])


def _standing(figures: Sequence[RegionFigure], region_id: str) -> str:
    here = [figure for figure in figures if figure.region_id == region_id]
    if not here:
        return "has no VM"
    if any(figure.state in PLACEABLE and figure.online for figure in here):
        return f"is full: no free seat on {sum(figure.vms for figure in here)} VMs"
    counted = ", ".join(f"{figure.vms} {figure.state}{'' if figure.online else ' (away)'}" for figure in here)
    return f"has no VM that takes sessions: {counted}"
