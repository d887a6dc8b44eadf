"""Logs in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import accumulate

from controlplane.adapters.store.memory.tables import TxTables
from controlplane.adapters.store.versions import version_conflict
from controlplane.domain.logs import LogChunk, LogHead
from controlplane.interfaces import LogRange


class MemoryLogs:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def heads(self, session_id: str) -> Sequence[LogHead]:
        rows: dict[tuple[str, int], LogHead] = dict(self._tables.seen("log_heads"))
        return [rows[key] for key in sorted(rows) if key[0] == session_id]

    async def put(self, head: LogHead, chunk: LogChunk | None) -> None:
        rows, key = self._tables.own("log_heads"), (head.session_id, head.generation)
        known = rows[key].version if key in rows else 0
        if known != head.version - 1:
            raise version_conflict(f"the log of sessions/{head.session_id}")
        self._tables.refer("sessions", head.session_id)
        rows[key] = head
        if chunk is not None:
            self._tables.own("log_chunks")[chunk.object_key] = chunk

    async def chunks(self, session_id: str, wanted: LogRange, limit: int) -> Sequence[LogChunk]:
        def within(chunk: LogChunk) -> bool:
            first, last = (chunk.generation, chunk.from_sequence), (chunk.generation, chunk.to_sequence)
            behind = wanted.after is None or (first < wanted.after if wanted.backwards else last > wanted.after)
            return (
                chunk.session_id == session_id
                and behind
                and (wanted.since is None or chunk.to_at >= wanted.since)
                and (wanted.until is None or chunk.from_at < wanted.until)
            )

        found = [chunk for chunk in self._all() if within(chunk)]
        order = sorted(found, key=lambda chunk: (chunk.generation, chunk.from_sequence), reverse=wanted.backwards)
        return order[:limit]

    async def expired(self, limit: int) -> Sequence[LogChunk]:
        now = await self._tables.now()
        due = [chunk for chunk in self._all() if chunk.expires_at <= now]
        return sorted(due, key=lambda chunk: chunk.expires_at)[:limit]

    async def remove(self, gone: Sequence[LogChunk]) -> None:
        rows = self._tables.own("log_chunks")
        for chunk in gone:
            rows.pop(chunk.object_key, None)

    async def spent(self, stored_before: datetime, limit: int) -> Sequence[LogHead]:
        full = {(chunk.session_id, chunk.generation) for chunk in self._all()}
        heads: dict[tuple[str, int], LogHead] = dict(self._tables.seen("log_heads"))
        old = [
            (head.stored_at, key, head)
            for key, head in heads.items()
            if head.stored_at is not None and head.stored_at < stored_before and key not in full
        ]
        return [head for _, _, head in sorted(old, key=lambda item: item[:2])][:limit]

    async def forget(self, gone: Sequence[LogHead]) -> Sequence[LogHead]:
        rows, forgotten = self._tables.own("log_heads"), []
        for head in gone:
            key = (head.session_id, head.generation)
            if key in rows and rows[key].version == head.version:
                del rows[key]
                forgotten.append(head)
        return forgotten

    async def shorten(self, session_id: str, keep_bytes: int) -> int:
        now, rows = await self._tables.now(), self._tables.own("log_chunks")
        own = [chunk for chunk in self._all() if chunk.session_id == session_id]
        newest_first = sorted(own, key=lambda chunk: (chunk.generation, chunk.from_sequence), reverse=True)
        together = accumulate(chunk.bytes for chunk in newest_first)
        late = [c for c, size in zip(newest_first, together, strict=True) if size > keep_bytes and c.expires_at > now]
        for chunk in late:
            rows[chunk.object_key] = replace(chunk, expires_at=now)
        return len(late)

    def _all(self) -> Sequence[LogChunk]:
        return list(self._tables.seen("log_chunks").values())
