"""How long a place in the queue is going to take, from what was measured; nothing is invented."""

from __future__ import annotations

ENOUGH = 3


def wait_s(position: int, freed: int, measured_s: float) -> float | None:
    """Seconds until `position` slots are free, if they go on being freed as the `freed` ones were over `measured_s`.
    None when fewer than three were: too few to tell."""
    if freed < ENOUGH or position < 1:
        return None
    return position * measured_s / freed
