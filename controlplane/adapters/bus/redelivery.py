"""What becomes of a delivery: handled, tried again later, or buried. The same rule on every bus (I19)."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from controlplane.domain.errors import InvalidRequest, NotFound, WrongState
from controlplane.interfaces import Bury, Delivery, Handler

log = structlog.get_logger(__name__)

MAX_TRIES = 5
PERMANENT = (InvalidRequest, NotFound, WrongState)
FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 10.0


@dataclass(frozen=True)
class Backoff:
    """The wait before the next try grows fourfold: the first is for a lost race, the last for a part that restarts."""

    first_s: float = FIRST_DELAY_S
    longest_s: float = LONGEST_DELAY_S

    def delay_s(self, attempt: int) -> float:
        return float(min(self.longest_s, self.first_s * 4 ** min(attempt - 1, 16)))


async def attempt(delivery: Delivery, handler: Handler, bury: Bury, backoff: Backoff) -> float | None:
    """None when the delivery is settled: handled, or buried. Otherwise the seconds to wait before the next try.

    It is tried even after the last failure when `bury` itself failed before: the database may have been away."""
    try:
        await handler(delivery)
    except Exception as error:  # noqa: BLE001 - whatever a handler raises is one failed try
        facts = {"subject": delivery.subject, "message": delivery.message_id, "attempt": delivery.attempt}
        if delivery.attempt < MAX_TRIES and not isinstance(error, PERMANENT):
            log.warning("delivery failed, will be tried again", error=repr(error), **facts)
            return backoff.delay_s(delivery.attempt)
        try:
            await bury(delivery, error)
        except Exception as grave:  # noqa: BLE001 - without its dead letter the delivery must stay
            log.error("dead letter could not be written", error=repr(grave), cause=repr(error), **facts)
            return backoff.delay_s(delivery.attempt)
        log.error("delivery buried", error=repr(error), **facts)
    return None
