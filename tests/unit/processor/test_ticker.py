"""A job runs at its period, at once when woken, and through its failures."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from controlplane.adapters.bus.memory import MemoryBus
from controlplane.domain import subjects
from controlplane.domain.errors import Unavailable
from controlplane.processor.metrics import Metrics
from controlplane.processor.ticker import Job, tick

PATIENCE_S = 20


class Work:
    """Counts its runs; fails as often as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.runs = 0
        self._failures = list(failures)
        self._changed = asyncio.Event()

    async def run(self) -> None:
        self.runs += 1
        self._changed.set()
        if self._failures:
            raise self._failures.pop(0)

    async def ran(self, times: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.runs < times:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def ticking(job: Job, bus: MemoryBus):
    metrics = Metrics(CollectorRegistry())
    task = asyncio.create_task(tick(job, bus, metrics, jitter=lambda: 0.5))
    try:
        yield metrics.registry
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_runs_at_once_and_again_after_each_period():
    work = Work()
    async with MemoryBus() as bus, ticking(Job("a", 0.01, work.run), bus) as registry:
        await work.ran(5)
    assert registry.get_sample_value("quarterdeck_tick_seconds_count", {"job": "a", "outcome": "done"}) >= 4


async def test_a_hint_wakes_it_long_before_its_period():
    work = Work()
    async with MemoryBus() as bus, ticking(Job("a", 3600, work.run, wakes_on=subjects.SLOTS), bus):
        await work.ran(1)
        for times in range(2, 6):
            await bus.hint(subjects.SLOTS)
            await work.ran(times)


async def test_hints_while_it_works_are_not_lost():
    begun, release, work = asyncio.Event(), asyncio.Event(), Work()

    async def slow() -> None:
        await work.run()
        begun.set()
        await release.wait()

    async with MemoryBus() as bus, ticking(Job("a", 3600, slow, wakes_on=subjects.SLOTS), bus):
        await begun.wait()
        await bus.hint(subjects.SLOTS)
        release.set()
        await work.ran(2)


async def test_failures_are_counted_and_do_not_end_it():
    work = Work(Unavailable("DATABASE_AWAY", "later"), KeyError("a mistake"))
    async with MemoryBus() as bus, ticking(Job("a", 0.01, work.run), bus) as registry:
        await work.ran(4)
    assert registry.get_sample_value("quarterdeck_tick_seconds_count", {"job": "a", "outcome": "failed"}) == 2


async def test_a_broken_piece_of_work_is_told_each_time_and_keeps_no_other_waiting():
    work = Work(*[ExceptionGroup("rows", [KeyError(row)]) for row in ("a", "b")])
    job = Job("a", 3600, work.run, wakes_on=subjects.SLOTS)
    with capture_logs() as logs:
        async with MemoryBus() as bus, ticking(job, bus) as registry:
            await work.ran(1)
            for times in (2, 3):
                await bus.hint(subjects.SLOTS)
                await work.ran(times)
    assert [line["event"] for line in logs] == ["job.failed"] * 2
    assert registry.get_sample_value("quarterdeck_tick_seconds_count", {"job": "a", "outcome": "failed"}) == 2


async def test_a_failing_job_is_not_hurried_by_hints():
    work = Work(*[Unavailable("DATABASE_AWAY", "later")] * 3)
    async with MemoryBus() as bus, ticking(Job("a", 3600, work.run, wakes_on=subjects.SLOTS), bus):
        await work.ran(1)
        for _ in range(10):
            await bus.hint(subjects.SLOTS)
            await asyncio.sleep(0)
        assert work.runs == 1
