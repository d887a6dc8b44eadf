"""Regions: ours, mapped to the providers'."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """Coordinates in degrees; city level is enough for a nearest-first choice."""

    id: str
    display_name: str
    latitude: float = 0.0
    longitude: float = 0.0
    territory: str = ""
