"""When to start again what has died: soon at first, then ever later, with jitter; anew after a long life."""

from __future__ import annotations

from collections.abc import Callable

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 15.0
STAYED_UP_S = 30.0


class Backoff:
    """`draw(low, high)` is the randomness; delays double from FIRST_DELAY_S to LONGEST_DELAY_S, each ±50 %."""

    def __init__(self, draw: Callable[[float, float], float]):
        self._draw = draw
        self._failures = 0

    def next_delay_s(self, uptime_s: float) -> float:
        """The wait before the next start of something that has just ended after `uptime_s`."""
        self._failures = 1 if uptime_s >= STAYED_UP_S else self._failures + 1
        steady_s = min(FIRST_DELAY_S * 2.0 ** min(self._failures - 1, 30), LONGEST_DELAY_S)
        return min(steady_s * self._draw(0.5, 1.5), LONGEST_DELAY_S)
