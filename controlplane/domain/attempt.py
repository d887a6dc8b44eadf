"""One try to rent, stop or start a machine: with which offer, how it ended, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from controlplane.domain.retry import FailureKind, Remedy


@dataclass(frozen=True)
class Offer:
    """Provider + region + machine type + price (micro-units of `currency` per hour)."""

    provider: str
    region_id: str
    machine_type: str
    template_id: str
    price_micro_per_hour: int
    currency: str = "USD"

    @property
    def key(self) -> str:
        return f"{self.provider}/{self.region_id}/{self.machine_type}"


@dataclass(frozen=True)
class Failure:
    """What went wrong last, as operators see it. `code` is stable, `message` is the provider's or ours."""

    kind: FailureKind
    code: str
    message: str
    remedy: Remedy

    @property
    def told(self) -> str:
        return f"{self.code}: {self.message}"


class Purpose(StrEnum):
    """What an attempt is at."""

    RENT = "RENT"
    STOP = "STOP"
    START = "START"


class Outcome(StrEnum):
    OPEN = "OPEN"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CALLED_OFF = "CALLED_OFF"


@dataclass(frozen=True)
class Attempt:
    """One try, as the VM's history keeps it. `number` counts from 1 over the VM's whole life; `offer` is None when
    there was none. `next_attempt_at` is when the next one begins; None: this was the last, or it succeeded."""

    number: int
    purpose: Purpose
    started_at: datetime
    offer: Offer | None = None
    instance_id: str = ""
    outcome: Outcome = Outcome.OPEN
    ended_at: datetime | None = None
    failure: Failure | None = None
    next_attempt_at: datetime | None = None
