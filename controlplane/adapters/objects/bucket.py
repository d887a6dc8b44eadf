"""Objects in any store that obstore knows.

Its blocking calls in threads, not its coroutines: those leave threads that touch the interpreter as it ends, and abort
the process (PyO3/pyo3-async-runtimes#40).
"""

from __future__ import annotations

import asyncio
import heapq
import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import LocalStore, MemoryStore, S3Store

from controlplane.adapters.objects.keys import check_key
from controlplane.adapters.objects.pull import Pull
from controlplane.domain.errors import Conflict, Exhausted, NotFound, QuarterdeckError, Unavailable

T = TypeVar("T")
PIECE_BYTES = 4 << 20
# A part of an upload; S3 takes ten thousand of them, so that an object is at most 78 GiB.
PART_BYTES = 8 << 20
THREADS = 8
# Of one upload: one that fills, and two on their way.
PARTS_HELD = 3
# As many as the API lets hosts store at once: together they hold 288 MiB, where an API has 512 and more.
UPLOADS = 12
# An upload that has not grown for so long has nobody who writes it.
LEFT_OVER_S = 86400.0
_FULL = ("os error 28", "os error 122")


class Bucket:
    """The Objects of the interfaces. `name` is for people; `root` is the directory of a local store."""

    def __init__(self, store: LocalStore | MemoryStore | S3Store, name: str, root: Path | None = None) -> None:
        self._store = store
        self._name = name
        self._root = root
        # Long uploads wait for their source: they may not keep the short calls waiting.
        self._short = ThreadPoolExecutor(THREADS, "objects")
        self._long = ThreadPoolExecutor(UPLOADS, "uploads")

    async def close(self) -> None:
        for pool in (self._short, self._long):
            pool.shutdown(wait=False, cancel_futures=True)

    def sweep(self) -> None:
        """Begins to remove what uploads of processes that died have left in a directory."""
        if self._root is not None:
            self._short.submit(_sweep, self._root, time.time() - LEFT_OVER_S)

    async def put(self, key: str, content: AsyncIterable[bytes]) -> int:
        check_key(key)
        source = aiter(content)
        first, over = await _first(source)
        if over:
            await self._call(partial(self._put, key, first))
            return len(first)
        pull = Pull(first, source)
        del first  # who waits here holds no part of his own
        work = asyncio.get_running_loop().run_in_executor(self._long, self._told, lambda: self._put(key, pull))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            pull.stop()
            await asyncio.wait({work})  # it reads from `content` until then
            raise
        except Exception:
            if pull.error is not None:
                raise pull.error from None
            raise
        return pull.size

    async def get(self, key: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        found = await self._call(lambda: obstore.head(self._store, check_key(key)))
        end = found["size"] if length is None else min(found["size"], offset + length)
        for start in range(offset, end, PIECE_BYTES):
            options: obstore.GetOptions = {"range": (start, min(end, start + PIECE_BYTES))}
            if found["e_tag"] is not None:
                options["if_match"] = found["e_tag"]
            yield await self._call(lambda options=options: self._read(key, options))  # type: ignore[misc]

    async def list(self, prefix: str, after: str = "", limit: int = 1000) -> Sequence[str]:
        for given in filter(None, (prefix, after)):
            check_key(given)
        return await self._call(lambda: self._list(prefix, after, limit))

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            check_key(key)
        await self._call(lambda: self._delete(keys))

    async def url(self, key: str, valid_s: float) -> str | None:
        check_key(key)
        store = self._store
        if not isinstance(store, S3Store):
            return None
        return await self._call(lambda: obstore.sign(store, "GET", key, timedelta(seconds=valid_s)))

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._short, self._told, work)

    def _told(self, work: Callable[[], T]) -> T:
        """Raises the errors of the house."""
        try:
            return work()
        except (BaseError, OSError) as error:
            raise self._refusal(error) from error

    def _put(self, key: str, content: bytes | Pull) -> None:
        """Raises Unavailable where an object is missing: it is the bucket then."""
        try:
            obstore.put(self._store, key, content, chunk_size=PART_BYTES, max_concurrency=PARTS_HELD - 1)
        except FileNotFoundError as error:
            raise self._away(error) from error
        if self._root is not None:
            _make_durable(self._root, key)

    def _read(self, key: str, options: obstore.GetOptions) -> bytes:
        return obstore.get(self._store, key, options=options).bytes().to_bytes()

    def _list(self, prefix: str, after: str, limit: int) -> Sequence[str]:
        pages = obstore.list(self._store, prefix or None, offset=after or None)
        keys = (meta["path"] for page in pages for meta in page)
        if isinstance(self._store, S3Store):
            return list(islice(keys, limit))  # S3 lists in order
        return heapq.nsmallest(limit, keys)

    def _delete(self, keys: Sequence[str]) -> None:
        if isinstance(self._store, S3Store):
            obstore.delete(self._store, list(keys))
            return
        for key in keys:
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError:
                continue

    def _refusal(self, error: BaseError | OSError) -> QuarterdeckError:
        if isinstance(error, PreconditionError):
            return Conflict("OBJECT_REPLACED", "the object was replaced while it was read: read it again")
        if isinstance(error, FileNotFoundError):
            return NotFound("OBJECT_NOT_FOUND", "there is no such object: it was deleted, or never stored")
        if any(sign in str(error) for sign in _FULL) or (isinstance(error, OSError) and error.errno in (28, 122)):
            return Exhausted(
                "OBJECT_STORE_FULL",
                f"the object store {self._name} is full: make room on its disk, or shorten what is kept there",
            )
        return self._away(error)

    def _away(self, error: Exception) -> Unavailable:
        why = str(error).partition("\n")[0][:300]
        return Unavailable("OBJECT_STORE_AWAY", f"the object store {self._name} cannot be used: {why}")


async def _first(source: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """As much as one request carries, and whether that was all."""
    pieces: list[bytes] = []
    size = 0
    async for piece in source:
        pieces.append(piece)
        size += len(piece)
        if size >= PART_BYTES:
            return b"".join(pieces), False
    return b"".join(pieces), True


def _sweep(root: Path, before: float) -> None:
    """Unfinished uploads have a number behind their name, which no key has; live ones are written all the time."""
    for path in root.rglob("*#*"):
        try:
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()
        except FileNotFoundError:
            continue  # another process sweeps too


def _make_durable(root: Path, key: str) -> None:
    """The file and each directory on its way, which may be new."""
    for path in (root / key, *(root / parent for parent in Path(key).parents)):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
