"""The placement queue: who waits for the same, how long a place takes by what was measured, and how long it may get."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from controlplane.domain.region import Region

ENOUGH = 3


@dataclass(frozen=True)
class Bounds:
    """How many sessions may wait at once, of a project and of one of its subjects; 0: any number."""

    per_project: int = 5000
    per_subject: int = 1000


@dataclass(frozen=True)
class Rivals:
    """Those of a project who may be given what somebody waits for: all who go anywhere, and those who wish for one of
    these regions; None: for any."""

    project_id: str
    region_ids: frozenset[str] | None = None


def rivals(project_id: str, region_id: str, located: bool, regions: Iterable[Region]) -> Rivals:
    """Of a session that wishes for this region; one without, or with coordinates, goes anywhere. Two compete where the
    wished regions and their chains meet."""
    chains = {region.id: {region.id, *region.chain} for region in regions}
    if not region_id or located or region_id not in chains:
        return Rivals(project_id)
    mine = chains[region_id]
    return Rivals(project_id, frozenset(other for other, chain in chains.items() if chain & mine))


def wait_s(position: int, freed: int, measured_s: float) -> float | None:
    """Seconds until `position` slots are free, if they go on being freed as the `freed` ones were over `measured_s`.
    None when fewer than three were: too few to tell."""
    if freed < ENOUGH or position < 1:
        return None
    return position * measured_s / freed
