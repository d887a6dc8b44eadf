"""Region fallback: in which regions to look, in which order, and why each other one was passed over (seed 001).

A region's chain is data. With coordinates the nearest region comes first; the law of a region or of a game may forbid
some, whatever their distance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import asin, cos, inf, radians, sin, sqrt

from controlplane.domain.region import Law, Region

EARTH_RADIUS_KM = 6371.0088


@dataclass(frozen=True)
class Wish:
    """Where a player wants to play. Coordinates in degrees; `territory` is the player's, "" when unknown. `settled`:
    had a place in the region already, and is placed again."""

    region_id: str = ""
    coordinates: tuple[float, float] | None = None
    territory: str = ""
    game_law: Law = field(default_factory=Law)
    settled: bool = False


@dataclass(frozen=True)
class RegionChoice:
    region_id: str
    distance_km: float | None


@dataclass(frozen=True)
class RegionPassedOver:
    """`forbidden`: by law; else only because no chain leads there."""

    region_id: str
    why: str
    forbidden: bool = True


def distance_km(here: tuple[float, float], there: tuple[float, float]) -> float:
    """Great-circle distance by the haversine formula on the mean Earth radius; good to 0.5 %."""
    (lat1, lon1), (lat2, lon2) = here, there
    rise, run = radians(lat2 - lat1), radians(lon2 - lon1)
    chord = sin(rise / 2) ** 2 + cos(radians(lat1)) * cos(radians(lat2)) * sin(run / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(chord)))


def order(wish: Wish, regions: Iterable[Region]) -> tuple[tuple[RegionChoice, ...], tuple[RegionPassedOver, ...]]:
    """The regions to try, best first, and those the law forbids.

    A wished region comes first, then its chain; without a wish the nearest comes first (by id when the caller gave no
    coordinates), and whatever no chain names follows by distance. Every region is in exactly one of the answers."""
    known = {region.id: region for region in regions}
    wished = known.get(wish.region_id)
    named = [wish.region_id, *(wished.chain if wished else ())] if wish.region_id else []
    by_distance = sorted(known, key=lambda region_id: (_rank(wish, known[region_id]), region_id))
    # A caller who names a region without coordinates means that region and its chain, not the whole world.
    rest = by_distance if not wish.region_id or wish.coordinates else []
    choices: list[RegionChoice] = []
    passed: list[RegionPassedOver] = []
    for region_id in dict.fromkeys([*named, *rest]):
        if region_id not in known:
            continue
        why = forbidden(wish, known[region_id])
        if why:
            passed.append(RegionPassedOver(region_id, why))
        else:
            choices.append(RegionChoice(region_id, _distance(wish, known[region_id])))
    tried = {choice.region_id for choice in choices} | {entry.region_id for entry in passed}
    passed.extend(
        RegionPassedOver(region_id, f"is not in the fallback chain of {wish.region_id}", forbidden=False)
        for region_id in sorted(known.keys() - tried)
    )
    return tuple(choices), tuple(passed)


def _rank(wish: Wish, region: Region) -> float:
    """By distance; a region that is nobody knows where comes last for whoever is somewhere."""
    distance = _distance(wish, region)
    return distance if distance is not None else inf if wish.coordinates else 0.0


def _distance(wish: Wish, region: Region) -> float | None:
    if wish.coordinates is None or not region.located:
        return None
    return distance_km(wish.coordinates, (region.latitude, region.longitude))


def forbidden(wish: Wish, region: Region) -> str:
    """Why the law closes `region` to `wish`, or "". A player of whom nobody says where they are is in no list that
    allows, and in the clear of none that denies: whoever leaves the territory out gains nothing by it. Only where they
    play already they stay: the region may have got its law since, or their session be older than this rule."""
    if not wish.game_law.permits(region.territory):
        return f"the game may not run in {region.territory or 'an unknown territory'}"
    if not wish.territory and (region.law.allow or region.law.deny):
        stays = wish.settled and wish.region_id == region.id
        return "" if stays else "serves only players whose territory is known: name it"
    if not region.law.permits(wish.territory):
        return f"may not serve players from {wish.territory}"
    return ""
