"""Outbox to bus: each committed event is published at least once, and by its id stored once (I4).

Any number of relays may run: each leases what it takes. One that dies between publishing and marking leaves its
events leased; the next publishes them again, and the broker drops them by their id."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from controlplane.domain import subjects
from controlplane.domain.errors import Conflict, InvalidRequest, Unavailable
from controlplane.domain.events import Event
from controlplane.interfaces import Bus, Store
from controlplane.processor.metrics import Metrics
from controlplane.usecases.world import woken

log = structlog.get_logger(__name__)

CONSUMER = "relay"
BATCH = 256
POLL_S = 1.0
LEASE_S = 20.0
# A try may take five seconds to fail, and the lease must outlive the last.
LAST_TRY_BEFORE_S = 8.0
Refused = tuple[Event, InvalidRequest]
RETRY_S = 0.25
LONGEST_PAUSE_S = 5.0


class Relay:
    """`run` for ever; `pass_on` once."""

    def __init__(
        self, store: Store, bus: Bus, metrics: Metrics, *, batch: int = BATCH, lease_s: float = LEASE_S
    ) -> None:
        self._store = store
        self._bus = bus
        self._metrics = metrics
        self._batch = batch
        self._lease_s = lease_s

    async def run(self) -> None:
        """Wakes at once on a hint, and every second. Cancelled, it finishes the batch that it has begun."""
        failures = 0
        async with self._bus.subscribe(subjects.OUTBOX, queue=CONSUMER) as hints:
            while True:
                passing = asyncio.create_task(self.pass_on())
                try:
                    full = await asyncio.shield(passing) == self._batch
                    failures = 0
                except asyncio.CancelledError:
                    await asyncio.gather(passing, return_exceptions=True)
                    raise
                except (Conflict, Unavailable) as error:
                    failures += 1
                    log.warning("relay.postponed", reason=error.reason)
                    await asyncio.sleep(min(LONGEST_PAUSE_S, RETRY_S * 2 ** min(failures, 10)))
                    continue
                if not full:
                    await woken(hints, POLL_S)

    async def pass_on(self) -> int:
        """Publishes and marks one batch; returns how many events it took. Takes none while the broker is away.

        Raises Conflict and Unavailable of the store."""
        if not self._bus.connected:
            return 0
        async with self._store.tx() as tx:
            events = await tx.outbox.claim(self._batch, self._lease_s)
        if not events:
            return 0
        told, poison = await self._publish(events)
        async with self._store.tx() as tx:
            for event, error in poison:
                await tx.outbox.bury(CONSUMER, event.id, repr(event).encode(), repr(error))
            await tx.outbox.published(told + [event.id for event, _ in poison])
        done = set(told)
        await self._metrics.history.note(self._store, [event for event in events if event.id in done])
        self._metrics.published.inc(len(told))
        self._metrics.buried.labels(CONSUMER).inc(len(poison))
        return len(events)

    async def _publish(self, events: Sequence[Event]) -> tuple[list[str], list[Refused]]:
        """Ids of events that the bus holds, and events that no bus can take. The rest waits for its lease to end."""
        told: list[str] = []
        poison: list[Refused] = []
        waiting = list(events)
        until = asyncio.get_running_loop().time() + self._lease_s - LAST_TRY_BEFORE_S
        while True:
            results = await asyncio.gather(*map(self._bus.publish_event, waiting), return_exceptions=True)
            again: list[Event] = []
            for event, result in zip(waiting, results, strict=True):
                if result is None:
                    told.append(event.id)
                elif isinstance(result, InvalidRequest):
                    log.error("relay.buried", event_id=event.id, type=event.draft.type, reason=result.reason)
                    poison.append((event, result))
                elif isinstance(result, Unavailable):
                    again.append(event)
                else:
                    raise result
            if not again or asyncio.get_running_loop().time() > until:
                break
            self._metrics.relay_failures.inc(len(again))
            waiting = again
            await asyncio.sleep(RETRY_S)
        return told, poison
