"""Which durable consumer handles what: the whole list, and how one is served."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from controlplane.domain import subjects
from controlplane.domain.events import Event
from controlplane.domain.reconcile import Report
from controlplane.interfaces import Delivery, Handler
from controlplane.processor import consumer
from controlplane.processor.metrics import Metrics
from controlplane.usecases.world import World

MAX_ERROR_CHARACTERS = 2000


@dataclass(frozen=True)
class Route:
    """`durable` is the consumer's name at the broker and in dead letters: renaming one forgets where it was."""

    durable: str
    subject: str
    handler: Handler


def routes(
    world: World, decode_report: Callable[[bytes], Report], decode_event: Callable[[bytes], Event]
) -> tuple[Route, ...]:
    return (
        Route("reports", subjects.REPORTS, consumer.reports(world, decode_report)),
        Route("external", subjects.EVENTS, consumer.external(world, decode_event)),
    )


async def serve(world: World, route: Route, metrics: Metrics) -> None:
    """Consumes for ever; a message given up becomes a dead letter in the database (I19)."""

    async def handle(delivery: Delivery) -> None:
        started, outcome = time.perf_counter(), "failed"
        try:
            await route.handler(delivery)
            outcome = "handled"
        finally:
            metrics.handled.labels(route.durable, outcome).observe(time.perf_counter() - started)

    async def bury(delivery: Delivery, error: Exception) -> None:
        async with world.store.tx() as tx:
            why = f"{delivery.subject}: {error!r}"[:MAX_ERROR_CHARACTERS]
            await tx.outbox.bury(route.durable, delivery.message_id, delivery.payload, why)
        metrics.buried.labels(route.durable).inc()

    await world.bus.consume(route.durable, route.subject, handle, bury)
