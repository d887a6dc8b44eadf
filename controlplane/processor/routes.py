"""Which durable consumer handles what: the whole list, and how one is served."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controlplane.domain import subjects
from controlplane.domain.events import Event
from controlplane.domain.reconcile import Report
from controlplane.interfaces import Delivery, Handler
from controlplane.processor import consumer
from controlplane.processor.metrics import Metrics
from controlplane.usecases import deadletters
from controlplane.usecases.world import World

REPLAYED_AT_ONCE = 16
REPLAY_LEASE_S = 60.0


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
        if delivery.attempt == 1:
            metrics.waited.labels(route.durable).observe(delivery.waited_s)
        try:
            await route.handler(delivery)
            outcome = "handled"
        finally:
            metrics.handled.labels(route.durable, outcome).observe(time.perf_counter() - started)

    async def bury(delivery: Delivery, error: Exception) -> None:
        await deadletters.bury(world, route.durable, delivery, error)
        metrics.buried.labels(route.durable).inc()

    await world.bus.consume(route.durable, route.subject, handle, bury)


async def replay(world: World, served: Sequence[Route]) -> int:
    """Hands dead letters that operators asked for to their consumers once more; returns how many were handled.

    Letters of consumers that are not here stay marked: another release may have them."""
    handlers = {route.durable: route.handler for route in served}
    async with world.store.tx() as tx:
        letters = await tx.dead_letters.claim(REPLAYED_AT_ONCE, REPLAY_LEASE_S)
    known = [letter for letter in letters if letter.consumer in handlers]
    return sum([await deadletters.try_again(world, letter, handlers[letter.consumer]) for letter in known])
