"""What a stream has yet to send, in order and bounded, and why it ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Generic, TypeVar

from controlplane.domain.errors import Exhausted

T = TypeVar("T")


class Mailbox(Generic[T]):
    """One reader; any number of writers, none of whom ever waits: a reader that is too slow is cut off (I18)."""

    def __init__(self, limit: int, what: str) -> None:
        self._items: deque[T] = deque()
        self._limit = limit
        self._what = what
        self._wake = asyncio.Event()
        self._error: Exception | None = None
        self._over = False

    @property
    def over(self) -> bool:
        return self._over

    def put(self, item: T) -> None:
        """Too many waiting items end the stream; after the end nothing is taken any more."""
        if self._over:
            return
        if len(self._items) >= self._limit:
            self.end(Exhausted("TOO_SLOW", f"{self._what} reads too slowly; connect again", retry_after_s="1"))
            return
        self._items.append(item)
        self._wake.set()

    def end(self, error: Exception | None = None) -> None:
        """With an error at once, without one when everything waiting has been read. Only the first end counts."""
        if not self._over:
            self._over, self._error = True, error
            self._wake.set()

    async def attend(self, work: Awaitable[None]) -> None:
        """Does the work; whatever breaks it ends the stream, with that error."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - raised again by whoever reads
            self.end(error)

    async def next(self) -> T | None:
        """The next item; None at the end. Raises the error the stream was ended with."""
        while True:
            if self._error is not None:
                raise self._error
            if self._items:
                return self._items.popleft()
            if self._over:
                return None
            self._wake.clear()
            await self._wake.wait()
