"""Jobs that time drives. Each works on leased or guarded rows, so that any number of replicas may tick at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from controlplane.domain.errors import Conflict, Unavailable
from controlplane.interfaces import Bus
from controlplane.processor.metrics import Metrics
from controlplane.usecases.world import woken

log = structlog.get_logger(__name__)

JITTER = 0.1
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True)
class Job:
    """`run` every `period_s` (±10 %), and at once on a hint on `wakes_on`."""

    name: str
    period_s: float
    run: Callable[[], Awaitable[object]]
    wakes_on: str = ""


async def tick(job: Job, bus: Bus, metrics: Metrics, *, jitter: Callable[[], float] = random.random) -> None:
    """For ever. A failure is told once a row and makes the pauses longer until the job succeeds again. An
    ExceptionGroup is of single pieces of work, whose others were done: each is told, and lengthens no pause."""
    failures = 0
    async with AsyncExitStack() as stack:
        hints = await stack.enter_async_context(bus.subscribe(job.wakes_on)) if job.wakes_on else None
        while True:
            failures = 0 if await _served(job, metrics, told=failures > 0) else failures + 1
            pause_s = min(max(job.period_s, LONGEST_PAUSE_S), job.period_s * 2 ** min(failures, 10))
            pause_s *= 1 + JITTER * (2 * jitter() - 1)
            if hints is None or failures:
                await asyncio.sleep(pause_s)
            else:
                await woken(hints, pause_s)


async def _served(job: Job, metrics: Metrics, *, told: bool) -> bool:
    """One run; whether whatever could be done was."""
    started, outcome, served = time.perf_counter(), "failed", False
    try:
        await job.run()
        outcome, served = "done", True
    except ExceptionGroup:
        served = True
        log.exception("job.failed", job=job.name)
    except (Conflict, Unavailable) as error:
        if not told:
            log.warning("job.postponed", job=job.name, reason=error.reason, why=str(error))
    except Exception:
        # One broken row must not end the ticking; every failure is counted, the first of a row is told whole.
        if not told:
            log.exception("job.failed", job=job.name)
    finally:
        metrics.ticks.labels(job.name, outcome).observe(time.perf_counter() - started)
    return served
