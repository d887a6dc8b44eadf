"""Rolling replacement: a rented VM is drained once its successor is ready, and goes when its last session has ended.

One row for each VM; those of one series go one after another, and a successor that fails ends the series.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from controlplane.domain.machine import Machine


class ReplacementState(StrEnum):
    QUEUED = "QUEUED"
    RENTING = "RENTING"
    DRAINING = "DRAINING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class ReplacementTrigger(StrEnum):
    RENT = "rent"
    SUCCESSOR_READY = "successor_ready"
    SUCCESSOR_FAILED = "successor_failed"
    GONE = "gone"
    CANCEL = "cancel"


R, T = ReplacementState, ReplacementTrigger

REPLACEMENT_MACHINE: Machine[ReplacementState, ReplacementTrigger] = Machine(
    name="replacement",
    initial=frozenset({R.QUEUED}),
    final=frozenset({R.DONE, R.FAILED, R.CANCELLED}),
    table={
        (R.QUEUED, T.RENT): R.RENTING,
        (R.QUEUED, T.GONE): R.DONE,
        (R.QUEUED, T.CANCEL): R.CANCELLED,
        (R.RENTING, T.SUCCESSOR_READY): R.DRAINING,
        (R.RENTING, T.SUCCESSOR_FAILED): R.FAILED,
        (R.RENTING, T.GONE): R.DONE,
        (R.DRAINING, T.GONE): R.DONE,
        (R.DRAINING, T.CANCEL): R.CANCELLED,
    },
)


@dataclass(frozen=True)
class Replacement:
    """Of `vm_id` by `successor_id`, as part of a series for `scope` (vms/…, pools/… or templates/…). `detail` says what
    it waits for, or how it ended."""

    id: str
    project_id: str
    series_id: str
    scope: str
    vm_id: str
    state: ReplacementState
    created_at: datetime
    updated_at: datetime
    successor_id: str = ""
    detail: str = ""
    version: int = 1

    @property
    def name(self) -> str:
        return f"replacements/{self.id}"

    @property
    def finished(self) -> bool:
        return self.state in REPLACEMENT_MACHINE.final

    def on(self, trigger: ReplacementTrigger, now: datetime, detail: str = "") -> Replacement:
        """Raises WrongState."""
        state = REPLACEMENT_MACHINE.next(self.state, trigger)
        return replace(self, state=state, updated_at=now, detail=detail, version=self.version + 1)

    def waiting(self, now: datetime, detail: str) -> Replacement:
        """The same step, later, because of `detail`."""
        return replace(self, updated_at=now, detail=detail, version=self.version + 1)
