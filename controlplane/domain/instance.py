"""What a provider answers: machines as it lists them, and refusals whose class says the next move."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from controlplane.domain.attempt import Failure


class InstanceState(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Instance:
    """A machine of a provider. `media_ports` is set where the provider decides which ports players can reach;
    `created_at` is by the provider's clock, right to the second: it tells the machines of one tag apart, and from those
    of an order that was given up minutes ago."""

    id: str
    tag: str
    region_id: str
    state: InstanceState
    created_at: datetime
    address: str = ""
    media_ports: tuple[int, int] | None = None


@dataclass(frozen=True)
class Listing:
    """`complete` says that whatever is not here was not there. Only then does an absence mean anything."""

    complete: bool
    instances: tuple[Instance, ...] = ()


@dataclass(frozen=True)
class Invitation:
    """What a new machine needs for its agent to join. The token is single-use and bound to the VM."""

    vm_id: str
    enrolment_target: str
    ca_sha256: str
    join_token: str


class ProviderRefused(Exception):
    """The provider said no, and did nothing. Any other error leaves unknown what it has done."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.failure = failure
