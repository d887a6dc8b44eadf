"""Full-jitter backoff: many agents that lost the same server must not come back in step."""

from __future__ import annotations

from collections.abc import Callable


def full_jitter_s(attempt: int, base_s: float, cap_s: float, uniform: Callable[[float, float], float]) -> float:
    """Seconds to wait before retry number `attempt` (0 is the first); between 0 and min(cap_s, base_s * 2**attempt)."""
    return uniform(0.0, min(cap_s, base_s * 2.0 ** min(attempt, 30)))
