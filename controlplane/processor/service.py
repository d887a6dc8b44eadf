"""The processor as a whole: its parts run side by side, one that breaks is started again, all stop politely."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog
from prometheus_client import CollectorRegistry

from controlplane.domain.events import Event
from controlplane.domain.reconcile import Report
from controlplane.processor import ticker
from controlplane.processor.heartbeats import Heartbeats
from controlplane.processor.jobs import jobs
from controlplane.processor.metrics import Metrics
from controlplane.processor.relay import Relay
from controlplane.processor.routes import replay, routes, serve
from controlplane.processor.standing import StandingPage
from controlplane.usecases.world import World

log = structlog.get_logger(__name__)

RESTART_PAUSE_S = 1.0
STOP_GRACE_S = 8.0
REPLAY_S = 1.0

Part = Callable[[], Awaitable[None]]


class Processor:
    """`registry` may be shared with other parts of the process."""

    def __init__(
        self,
        world: World,
        decode_report: Callable[[bytes], Report],
        decode_event: Callable[[bytes], Event],
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._world = world
        self.metrics = Metrics(registry or CollectorRegistry())
        self._parts: dict[str, Part] = {
            "relay": Relay(world.store, world.bus, self.metrics).run,
            "heartbeats": Heartbeats(world, self.metrics).run,
        }
        served = routes(world, decode_report, decode_event)
        for route in served:
            self._parts[f"consumer {route.durable}"] = partial(serve, world, route, self.metrics)
        replaying = ticker.Job("replay", REPLAY_S, lambda: replay(world, served))
        standing = StandingPage(world, self.metrics.registry)
        for job in (*jobs(world, standing), replaying):
            self._parts[f"job {job.name}"] = partial(ticker.tick, job, world.bus, self.metrics)

    async def run(self) -> None:
        """Until cancelled; then every part finishes what it has begun."""
        async with asyncio.TaskGroup() as group:
            for name, part in self._parts.items():
                group.create_task(self._keep(name, part), name=name)

    async def _keep(self, name: str, part: Part) -> None:
        while True:
            try:
                await part()
            except Exception:
                log.exception("part.failed", part=name)
                self.metrics.restarts.labels(name).inc()
            await asyncio.sleep(RESTART_PAUSE_S)


@asynccontextmanager
async def running(
    world: World,
    decode_report: Callable[[bytes], Report],
    decode_event: Callable[[bytes], Event],
    registry: CollectorRegistry | None = None,
) -> AsyncIterator[Processor]:
    """Runs a processor meanwhile. On leaving it has STOP_GRACE_S seconds to finish; what is cut off is done again by
    another, since leases end and messages come back."""
    processor = Processor(world, decode_report, decode_event, registry)
    task = asyncio.create_task(processor.run(), name="processor")
    try:
        yield processor
    finally:
        task.cancel()
        _, late = await asyncio.wait({task}, timeout=STOP_GRACE_S)
        if late:
            log.warning("processor.cut_off", after_s=STOP_GRACE_S)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
