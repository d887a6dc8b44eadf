"""What the sessions of this host use, measured now and then and told with the reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from hostagent.disk import Gauge, Taken
from hostagent.runtime import Runtime, Usage
from hostagent.threads import in_a_thread_of_its_own

log = structlog.get_logger()
ANSWER_S = 10.0
_UNANSWERED = 3
_HANGS = "its disk hangs"


class _Disk:
    """Of one session. One that hangs, as a game's own file system may (FUSE), holds up nobody, nor the agent's end."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._last = Taken()
        self._asked: asyncio.Future[Taken] | None = None
        self._unanswered = 0

    async def taken(self, answer_s: float) -> Taken:
        """The newest measurement, waited for so long. Raises what the measuring does, once each time."""
        if self._asked is None:
            self._asked = in_a_thread_of_its_own(self._gauge.go_on, "disk")
        done, _ = await asyncio.wait({self._asked}, timeout=answer_s)
        if done:
            asked, self._asked, self._unanswered = self._asked, None, 0
            self._last = asked.result()
            return self._last
        self._unanswered += 1
        return self._last

    @property
    def answers(self) -> bool:
        """Whether the last measurement came in time."""
        return self._unanswered == 0

    @property
    def hangs(self) -> bool:
        """Whether no measurement has come for so long, three times in a row."""
        return self._unanswered >= _UNANSWERED


class Meter:
    """`told` is called with the usage of each running session's directory."""

    def __init__(
        self, runtime: Runtime, told: Callable[[Mapping[Path, Usage]], None], answer_s: float = ANSWER_S
    ) -> None:
        self._runtime = runtime
        self._told = told
        self._answer_s = answer_s
        self._disks: dict[Path, _Disk] = {}

    async def run(self, running: Callable[[], Mapping[Path, int]], every_s: float) -> None:
        """For ever. `running`: with the bound of each one's disk in bytes, 0 for none."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.measure(running())
            except Exception:
                log.exception("sessions are not measured this time")

    async def measure(self, bounds: Mapping[Path, int]) -> None:
        """Once, all side by side and each by itself: what fails for one is told of the others."""
        for gone in self._disks.keys() - bounds.keys():
            del self._disks[gone]
        usages = await self._runtime.usage(list(bounds)) if bounds else {}
        for path in usages.keys() - self._disks.keys():
            self._disks[path] = _Disk(Gauge(path, bounds[path]))
        disks = {path: self._disks[path] for path in usages}
        measured = await asyncio.gather(
            *(disk.taken(self._answer_s) for disk in disks.values()), return_exceptions=True
        )
        # Where none answers, the host's own disk may hang, and no session is to blame.
        some_answer = any(disk.answers for disk in disks.values())
        for (path, disk), taken in zip(disks.items(), measured, strict=True):
            if isinstance(taken, BaseException):
                log.error("a session's disk is not measured", of=path.name, exc_info=taken)
                continue
            unmeasured = _HANGS if disk.hangs and some_answer else taken.unmeasured
            if unmeasured or disk.hangs:
                log.warning("a session's disk cannot be measured", of=path.name, why=unmeasured or _HANGS)
            self._told({path: replace(usages[path], disk_bytes=taken.disk_bytes, disk_unmeasured=unmeasured)})


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
