"""What the sessions of this host use, measured now and then and told with the reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from hostagent.disk import taken_bytes
from hostagent.runtime import Runtime, Usage

MEASURE_S = 10.0


class Meter:
    """`told` is called with the usage of each running session's directory."""

    def __init__(self, runtime: Runtime, told: Callable[[Mapping[Path, Usage]], None]) -> None:
        self._runtime = runtime
        self._told = told

    async def run(self, running: Callable[[], list[Path]], every_s: float = MEASURE_S) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(every_s)
            if directories := running():
                used = await self._runtime.usage(directories)
                self._told({path: await asyncio.to_thread(_with_disk, path, usage) for path, usage in used.items()})


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


def _with_disk(session_dir: Path, usage: Usage) -> Usage:
    return replace(usage, disk_bytes=taken_bytes(session_dir))


def together(parts: list[Usage]) -> Usage:
    """Of all parts of one session."""
    return Usage(
        cpu_s=sum(part.cpu_s for part in parts),
        memory_bytes=sum(part.memory_bytes for part in parts),
        memory_peak_bytes=sum(part.memory_peak_bytes for part in parts),
        processes=sum(part.processes for part in parts),
        oom_kills=sum(part.oom_kills for part in parts),
    )
