"""Regions: ours, mapped to the providers', each with its fallback chain and its law. All of it is data."""

from __future__ import annotations

from dataclasses import dataclass, field

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.events import EventDraft, Value


@dataclass(frozen=True)
class Law:
    """Territories (ISO 3166-1 alpha-2) that may play: all of `allow` (empty: everybody) but none of `deny`."""

    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()

    def permits(self, territory: str) -> bool:
        if territory in self.deny:
            return False
        return not self.allow or territory in self.allow


@dataclass(frozen=True)
class Region:
    """Coordinates in degrees, 0, 0 when unknown; city level is enough for a nearest-first choice. `chain` are the
    regions to try next, in order. Fewer free seats than `low_water_seats` are worth telling where machines are in
    service; 0: never. The house rents machines here by itself, up to `max_rented_vms` over all projects; 0: none."""

    id: str
    display_name: str
    latitude: float = 0.0
    longitude: float = 0.0
    territory: str = ""
    chain: tuple[str, ...] = ()
    law: Law = field(default_factory=Law)
    low_water_seats: int = 0
    max_rented_vms: int = 0

    @property
    def name(self) -> str:
        return f"regions/{self.id}"

    @property
    def located(self) -> bool:
        return (self.latitude, self.longitude) != (0.0, 0.0)


def checked(region: Region, known: frozenset[str]) -> Region:
    """The same region, if its chain names other regions that there are, each once. Raises InvalidRequest."""
    for other in region.chain:
        if other == region.id or other not in known or region.chain.count(other) > 1:
            raise InvalidRequest(
                "REGION_CHAIN_INVALID",
                f"the chain of {region.name} may name each other region once; '{other}' is not one. "
                f"Known: {', '.join(sorted(known))}",
                field="region.fallback_chain",
            )
    return region


def tide(region: Region, low: bool, free_seats: int, seats: int) -> bool:
    """Whether the capacity of a region with so many seats counts as low now. Hysteresis: what is low stays low until
    there are a quarter (at least one) more free seats than the mark, or all are free, so that one session coming and
    going tells nothing."""
    mark = region.low_water_seats
    return free_seats < (min(mark + max(1, mark // 4), seats) if low and mark else mark)


def low_capacity(region: Region, project_id: str, free_seats: int, version: int) -> EventDraft:
    """VMPoolLowCapacity of seed 001."""
    data: dict[str, Value] = {
        "region": region.name,
        "free_seats": free_seats,
        "low_water_seats": region.low_water_seats,
    }
    return EventDraft("quarterdeck.region.low_capacity", project_id, region.name, version, data)
