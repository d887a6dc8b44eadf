"""Lets a thread read what the event loop produces: an async iterator as an iterator."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator, Iterator


class Stopped(Exception):
    """Whoever wanted the pieces has gone."""


class Pull(Iterator[bytes]):
    """Made on the loop, read by one thread. `first` comes before what `source` gives."""

    def __init__(self, first: bytes, source: AsyncIterator[bytes]) -> None:
        self.size = 0
        self.error: BaseException | None = None
        self._first = first
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._asked: concurrent.futures.Future[bytes | None] | None = None
        self._stopped = False

    def stop(self) -> None:
        """Called on the loop: the thread meets Stopped at its next piece."""
        self._stopped = True
        if self._asked is not None:
            self._asked.cancel()

    def __next__(self) -> bytes:
        piece, self._first = self._first, b""
        if not piece:
            try:
                if self._stopped:
                    raise Stopped
                self._asked = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
                if self._stopped:  # before stop() could see what to cancel
                    self._asked.cancel()
                got = self._asked.result()
            except concurrent.futures.CancelledError:
                self.error = Stopped()
                raise self.error from None
            except BaseException as error:
                self.error = error
                raise
            if got is None:
                raise StopIteration
            piece = got
        self.size += len(piece)
        return piece

    async def _next(self) -> bytes | None:
        if self._stopped:
            raise Stopped
        async for piece in self._source:
            if piece:
                return piece
        return None
