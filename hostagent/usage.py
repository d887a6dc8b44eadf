"""What the sessions of this host use, measured now and then and told with the reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from hostagent.disk import Gauge
from hostagent.runtime import Runtime, Usage

log = structlog.get_logger()
MEASURE_S = 10.0


class Meter:
    """`told` is called with the usage of each running session's directory."""

    def __init__(self, runtime: Runtime, told: Callable[[Mapping[Path, Usage]], None]) -> None:
        self._runtime = runtime
        self._told = told
        self._gauges: dict[Path, Gauge] = {}

    async def run(self, running: Callable[[], Mapping[Path, int]], every_s: float = MEASURE_S) -> None:
        """For ever. `running`: with the bound of each one's disk in bytes, 0 for none."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.measure(running())
            except Exception:
                log.exception("sessions are not measured this time")

    async def measure(self, bounds: Mapping[Path, int]) -> None:
        """Once, each by itself: what fails for one is told of the others."""
        for gone in self._gauges.keys() - bounds.keys():
            del self._gauges[gone]
        for path, usage in (await self._runtime.usage(list(bounds))).items() if bounds else ():
            try:
                taken = await asyncio.to_thread(self._gauges.setdefault(path, Gauge(path, bounds[path])).go_on)
            except Exception:
                log.exception("a session's disk is not measured", of=path.name)
                continue
            if taken.unmeasured:
                log.warning("a session's disk cannot be measured", of=path.name, why=taken.unmeasured)
            self._told({path: replace(usage, disk_bytes=taken.disk_bytes, disk_unmeasured=taken.unmeasured)})


def grown(before: Usage | None, now: Usage) -> Usage:
    """What only grows stays, though a process took its share along, or a kernel does not keep the peak."""
    if before is None:
        return replace(now, memory_peak_bytes=max(now.memory_peak_bytes, now.memory_bytes))
    return replace(
        now,
        cpu_s=max(before.cpu_s, now.cpu_s),
        memory_peak_bytes=max(before.memory_peak_bytes, now.memory_peak_bytes, now.memory_bytes),
        oom_kills=max(before.oom_kills, now.oom_kills),
    )


def together(parts: list[Usage]) -> Usage:
    """Of all parts of one session."""
    return Usage(
        cpu_s=sum(part.cpu_s for part in parts),
        memory_bytes=sum(part.memory_bytes for part in parts),
        memory_peak_bytes=sum(part.memory_peak_bytes for part in parts),
        processes=sum(part.processes for part in parts),
        oom_kills=sum(part.oom_kills for part in parts),
    )
