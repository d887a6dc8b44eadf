"""What every workload of a host shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from hostagent import watchdog
from hostagent.runtime import Runtime
from hostagent.saves import Saves

# A digest's spec, or None when the control plane does not give it now.
SpecSource = Callable[[str], Awaitable[bytes | None]]


@dataclass(frozen=True)
class Timing:
    """How long a workload waits for what, in seconds."""

    spec_retry_s: float = 1.0
    ready_s: float = 60.0
    reconnect_s: float = 0.5
    # Between two statuses of one wrapper: each may be a report of the whole host.
    pace_s: float = 0.02
    default_grace_s: float = 10.0
    # What a wrapper gets beyond its game's grace before all of it is killed.
    firm_margin_s: float = 10.0
    # Between two tries to kill what cannot be killed.
    kill_again_s: float = 1.0
    # Between two tries to remove what cannot be removed: each walks all of it.
    remove_again_s: float = 60.0
    watchdog: watchdog.Terms = field(default_factory=watchdog.Terms)


@dataclass(frozen=True)
class Surroundings:
    """What every workload of a host shares. `changed(urgent)` is called after each change of what is to be reported."""

    runtime: Runtime
    specs: SpecSource
    changed: Callable[[bool], None]
    saves: Saves
    timing: Timing = Timing()
