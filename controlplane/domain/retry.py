"""The retry pipeline's schedule: how often, how long between, and which class of error deserves it (seed 000).

Pure: the random part is an argument. Attempts count from 1 and persist with the row they belong to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """Where it failed; each kind has its own schedule."""

    PROVISIONING = "PROVISIONING"
    BOOT = "BOOT"
    NETWORK = "NETWORK"
    PROVIDER_API = "PROVIDER_API"


class Remedy(StrEnum):
    """What the class of the error says to do next."""

    RETRY = "RETRY"
    ANOTHER_OFFER = "ANOTHER_OFFER"
    GIVE_UP = "GIVE_UP"


@dataclass(frozen=True)
class Schedule:
    """Delay before attempt n+1: `first_delay_s * multiplier**(n-1)`, at most `cap_s`, of which a random part of
    `jitter` (0 to 1) is taken off; no attempt after `attempts`, nor once `budget_s` has passed since the first."""

    attempts: int = 5
    first_delay_s: float = 1.0
    multiplier: float = 2.0
    cap_s: float = 60.0
    jitter: float = 0.5
    budget_s: float = 3600.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_delay_s < 0 or self.multiplier < 1 or self.cap_s < 0 or self.budget_s < 0:
            raise ValueError("a retry schedule needs attempts >= 1, multiplier >= 1, and no negative time")
        if not 0 <= self.jitter <= 1:
            raise ValueError("jitter is a part of the delay, from 0 to 1")

    def delay_s(self, attempt: int, chance: float) -> float:
        """Seconds to wait after failed attempt number `attempt`; `chance` is uniform in [0, 1)."""
        exponent = min(attempt - 1, 64)  # beyond that every cap is reached, and floats overflow
        full_s = min(self.cap_s, self.first_delay_s * self.multiplier**exponent)
        return full_s * (1 - self.jitter * chance)

    def another(self, attempt: int, spent_s: float, chance: float) -> float | None:
        """Seconds until the next attempt, or None when `attempt` was the last that attempts and budget allow."""
        if attempt >= self.attempts:
            return None
        wait_s = self.delay_s(attempt, chance)
        return wait_s if spent_s + wait_s <= self.budget_s else None


DEFAULT_SCHEDULES: Mapping[FailureKind, Schedule] = {
    FailureKind.PROVISIONING: Schedule(attempts=5, first_delay_s=5.0, cap_s=300.0, budget_s=3600.0),
    FailureKind.BOOT: Schedule(attempts=3, first_delay_s=10.0, cap_s=120.0, budget_s=5400.0),
    FailureKind.NETWORK: Schedule(attempts=8, first_delay_s=0.5, cap_s=30.0, budget_s=900.0),
    FailureKind.PROVIDER_API: Schedule(attempts=6, first_delay_s=1.0, cap_s=120.0, budget_s=1800.0),
}
