"""Rows of sessions' logs: what is stored of each generation, and in which objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from controlplane.domain.logs import LogChunk, LogHead

LogPosition = tuple[int, int]
"""(generation, sequence)"""


@dataclass(frozen=True)
class LogRange:
    """Chunks with a line behind `after` (before it, when read backwards), and within these times."""

    after: LogPosition | None = None
    since: datetime | None = None
    until: datetime | None = None
    backwards: bool = False


class LogRows(Protocol):
    async def heads(self, session_id: str) -> Sequence[LogHead]:
        """By generation."""
        ...

    async def put(self, head: LogHead, chunk: LogChunk | None) -> None:
        """Writes the head over the version before its own, 0 for none, and adds the chunk. Raises Conflict when that
        is not the version that is there: of two who append the same lines exactly one succeeds."""
        ...

    async def chunks(self, session_id: str, wanted: LogRange, limit: int) -> Sequence[LogChunk]:
        """By (generation, sequence), or backwards."""
        ...

    async def expired(self, limit: int) -> Sequence[LogChunk]:
        """Those past `expires_at`, over all projects, longest first."""
        ...

    async def remove(self, chunks: Sequence[LogChunk]) -> None:
        """Those that are gone are fine."""
        ...

    async def spent(self, stored_before: datetime, limit: int) -> Sequence[LogHead]:
        """Heads without a chunk left to which nothing has been added since then, over all projects."""
        ...

    async def forget(self, heads: Sequence[LogHead]) -> Sequence[LogHead]:
        """Those that are gone now, by this call: one to which something has been added meanwhile stays."""
        ...

    async def shorten(self, session_id: str, keep_bytes: int) -> int:
        """Lets the oldest chunks expire now, all but the newest that together take `keep_bytes`; how many."""
        ...
