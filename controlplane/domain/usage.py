"""What sessions take of their host's processors, memory and disk, as its agent measures it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Usage:
    """What sessions use on their host: processor time since the start, memory now and at most, processes, how many
    of them were killed for want of memory, and disk. `told_at`: when that was kept."""

    cpu_s: float = 0.0
    memory_bytes: int = 0
    memory_peak_bytes: int = 0
    processes: int = 0
    oom_kills: int = 0
    disk_bytes: int = 0
    told_at: datetime | None = None


def total(used: Iterable[Usage | None]) -> Usage:
    """What all of a host's sessions use together."""
    parts = [usage for usage in used if usage is not None]
    return Usage(
        cpu_s=sum(part.cpu_s for part in parts),
        memory_bytes=sum(part.memory_bytes for part in parts),
        memory_peak_bytes=sum(part.memory_peak_bytes for part in parts),
        processes=sum(part.processes for part in parts),
        oom_kills=sum(part.oom_kills for part in parts),
        disk_bytes=sum(part.disk_bytes for part in parts),
    )
