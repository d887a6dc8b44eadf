"""Hints within this process: who listens to what, each with a bounded queue that loses its oldest."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator

from controlplane.domain.subjects import matches

QUEUE_LENGTH = 1024


class Feed(AsyncIterator[tuple[str, bytes]]):
    """One subscriber. `lost` counts what its slowness cost it."""

    def __init__(self, pattern: str, queue: str = "", length: int = QUEUE_LENGTH) -> None:
        self.pattern = pattern
        self.queue = queue
        self.lost = 0
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=length)
        self._news = asyncio.Event()

    def put(self, subject: str, payload: bytes) -> None:
        if len(self._waiting) == self._waiting.maxlen:
            self.lost += 1
        self._waiting.append((subject, payload))
        self._news.set()

    async def __anext__(self) -> tuple[str, bytes]:
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


class Switchboard:
    """Finds the feeds of a subject. Of a queue group one member is served, in turn."""

    def __init__(self) -> None:
        self._exact: dict[str, list[Feed]] = {}
        self._wild: list[Feed] = []
        self._turn = 0

    def __iter__(self) -> Iterator[Feed]:
        for feeds in list(self._exact.values()):
            yield from list(feeds)
        yield from list(self._wild)

    def add(self, feed: Feed) -> None:
        if _is_wild(feed.pattern):
            self._wild.append(feed)
        else:
            self._exact.setdefault(feed.pattern, []).append(feed)

    def remove(self, feed: Feed) -> None:
        if _is_wild(feed.pattern):
            self._wild.remove(feed)
            return
        feeds = self._exact[feed.pattern]
        feeds.remove(feed)
        if not feeds:
            del self._exact[feed.pattern]

    def listening(self, subject: str) -> list[Feed]:
        return [*self._exact.get(subject, ()), *(feed for feed in self._wild if matches(feed.pattern, subject))]

    def deliver(self, subject: str, payload: bytes) -> None:
        groups: dict[str, list[Feed]] = {}
        for feed in self.listening(subject):
            if feed.queue:
                groups.setdefault(feed.queue, []).append(feed)
            else:
                feed.put(subject, payload)
        self._turn += 1
        for members in groups.values():
            members[self._turn % len(members)].put(subject, payload)


def _is_wild(pattern: str) -> bool:
    return any(token in ("*", ">") for token in pattern.split("."))
