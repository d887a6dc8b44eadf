"""How long the house leaves alone what it could not rent: by the retry schedule of what failed, over all its tries.

A failed machine is given up at once and the next one is another VM, so that the series is told by the tries of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.domain.attempt import Failure, Offer, Outcome
from controlplane.domain.pool import Rented
from controlplane.domain.retry import FailureKind, Schedule


@dataclass(frozen=True)
class Setback:
    """Try number `tries` in a row failed; there is no next one before `again_at`."""

    failure: Failure
    tries: int
    failed_at: datetime
    again_at: datetime

    @property
    def told(self) -> str:
        return f"{self.failure.told}; attempt {self.tries + 1} not before {self.again_at:%Y-%m-%d %H:%M:%S} UTC"


def lot(offer: Offer) -> str:
    """What fails together: a machine type of a provider in a region, for one template."""
    return f"{offer.key}/{offer.template_id}"


def setbacks(rented: Iterable[Rented], schedules: Mapping[FailureKind, Schedule]) -> Mapping[str, Setback]:
    """By lot; a machine of it that came since makes up for all before."""
    found: dict[str, Setback] = {}
    came: dict[str, datetime] = {}
    for one in rented:
        price, last = one.price, one.row.last
        if price is None:
            continue
        if one.failing and one.row.failure:
            setback = _setback(one, one.row.failure, schedules)
            known = found.get(lot(price))
            if known is None or (setback.failed_at, setback.again_at) > (known.failed_at, known.again_at):
                found[lot(price)] = setback
        elif last is not None and last.outcome is Outcome.SUCCEEDED and last.ended_at is not None:
            came[lot(price)] = max(last.ended_at, came.get(lot(price), last.ended_at))
    return {key: setback for key, setback in found.items() if key not in came or came[key] < setback.failed_at}


def _setback(one: Rented, failure: Failure, schedules: Mapping[FailureKind, Schedule]) -> Setback:
    row, last = one.row, one.row.last
    tries = row.attempt if row.mandate else 1
    over = last is not None and last.outcome in (Outcome.FAILED, Outcome.CALLED_OFF)
    failed_at = last.ended_at if over and last and last.ended_at else one.vm.updated_at
    decided = (last.next_attempt_at if over and last else None) or row.next_attempt_at
    delay = timedelta(seconds=schedules[failure.kind].delay_s(tries, 0))
    return Setback(failure, tries, failed_at, decided or failed_at + delay)
