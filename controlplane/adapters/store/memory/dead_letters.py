"""Dead letters in memory: rows of (letter, end of its lease)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from controlplane.adapters.store.memory.tables import TxTables
from controlplane.domain.deadletter import DeadLetter
from controlplane.interfaces import Page


class MemoryDeadLetters:
    def __init__(self, tables: TxTables) -> None:
        self._tables = tables

    async def get(self, key: str) -> DeadLetter | None:
        letter: DeadLetter | None = self._tables.seen("dead_letters").get(key, (None, None))[0]
        return letter

    async def list(self, consumer: str, page: Page) -> Sequence[DeadLetter]:
        letters: list[DeadLetter] = [letter for letter, _ in self._tables.seen("dead_letters").values()]
        newest = sorted(letters, key=lambda letter: (letter.at, letter.key), reverse=True)
        wanted = [letter for letter in newest if consumer in ("", letter.consumer)]
        return [letter for letter in wanted if page.after is None or (letter.at, letter.key) < page.after][: page.size]

    async def ask_replay(self, key: str) -> bool:
        rows = self._tables.own("dead_letters")
        if key not in rows:
            return False
        letter, lease_until = rows[key]
        rows[key] = (replace(letter, replay_at=await self._tables.now()), lease_until)
        return True

    async def claim(self, limit: int, lease_s: float) -> Sequence[DeadLetter]:
        now, rows = await self._tables.now(), self._tables.own("dead_letters")
        due = [letter for letter, until in rows.values() if letter.replay_at and (until is None or until <= now)]
        for letter in due[:limit]:
            rows[letter.key] = (letter, now + timedelta(seconds=lease_s))
        return due[:limit]

    async def remove(self, key: str) -> bool:
        return self._tables.own("dead_letters").pop(key, None) is not None
