"""The agent link's bulk: archives of sessions' files between hosts and the object store, in bounded chunks."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from quarterdeck.v1 import agent_pb2 as pb

from controlplane.domain.errors import Exhausted, InvalidRequest, QuarterdeckError, Unavailable
from controlplane.usecases import archives
from controlplane.usecases.archives import Arrived, Sent
from controlplane.usecases.world import World

CHUNK_BYTES = 256 << 10
STALLED_S = 300.0

Requests = AsyncIterator[pb.StoreArchiveRequest]


async def store(world: World, host_id: str, requests: Requests) -> None:
    """Returns when it is in the object store and on record, or when it is on record that there will be none. Raises
    InvalidRequest for what is cut short or is not what was sent, Exhausted for what is too large."""
    first = await _next(requests)
    if first is None or not first.HasField("header"):
        raise InvalidRequest("HEADER_FIRST", "the first message of an archive must be its header", field="header")
    header = first.header
    sent = Sent(header.session_id, header.generation, header.archive_id, header.final, header.backup_id)
    second = await _next(requests)
    if second is not None and second.HasField("failure"):
        await archives.fail(world, host_id, sent, second.failure.reason, second.failure.detail)
        return
    upload = await archives.begin(world, host_id, sent)
    if upload is None:
        return
    incoming = _Incoming(_after(second, requests), upload.max_bytes)
    try:
        async with _within(archives.UPLOAD_S / 2, "ARCHIVE_TOO_SLOW", "the archive was not whole after half a day"):
            await world.objects.put(upload.object_key, incoming.content())
        await archives.finish(world, upload, incoming.arrived())
    except QuarterdeckError:
        await archives.abandon(world, upload)
        raise


async def fetch(world: World, host_id: str, request: pb.FetchArchiveRequest) -> AsyncIterator[pb.FetchArchiveResponse]:
    """What it is, then its content; nothing to begin with has no name."""
    version = await archives.wanted(world, host_id, request.session_id, request.generation)
    if version is None:
        yield pb.FetchArchiveResponse(found=pb.FoundArchive())
        return
    found = pb.FoundArchive(
        name=version.name,
        size_bytes=version.size_bytes,
        sha256=version.sha256,
        content_bytes=version.content_bytes,
    )
    yield pb.FetchArchiveResponse(found=found)
    async for piece in world.objects.get(version.object_key):
        for start in range(0, len(piece), CHUNK_BYTES):
            yield pb.FetchArchiveResponse(chunk=bytes(piece[start : start + CHUNK_BYTES]))


async def _next(requests: Requests) -> pb.StoreArchiveRequest | None:
    """None: that was all. Raises Unavailable where nothing comes: who stands still keeps the place of others."""
    async with _within(STALLED_S, "ARCHIVE_STALLED", f"nothing of the archive has come for {STALLED_S:g} s"):
        return await anext(requests, None)
    raise AssertionError("a timeout raises")


async def _after(request: pb.StoreArchiveRequest | None, requests: Requests) -> Requests:
    while request is not None:
        yield request
        request = await _next(requests)


@asynccontextmanager
async def _within(limit_s: float, reason: str, told: str) -> AsyncIterator[None]:
    """Raises Unavailable when the time is over."""
    try:
        async with asyncio.timeout(limit_s) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise Unavailable(reason, told) from None


class _Incoming:
    """The chunks of one archive, counted and hashed as they pass."""

    def __init__(self, requests: Requests, max_bytes: int) -> None:
        self._requests = requests
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._size = 0
        self._end: pb.ArchiveEnd | None = None

    async def content(self) -> AsyncIterator[bytes]:
        """Until the end; whatever raises here leaves no object behind."""
        async for request in self._requests:
            if request.HasField("end"):
                self._end = request.end
                if request.end.sha256 != self._hash.hexdigest():
                    raise InvalidRequest("ARCHIVE_DAMAGED", "what arrived is not what was sent", field="end.sha256")
                return
            if not request.HasField("chunk"):
                raise InvalidRequest("CHUNK_EXPECTED", "after its header an archive has chunks, then its end")
            self._size += len(request.chunk)
            if self._size > self._max_bytes:
                raise Exhausted("ARCHIVE_TOO_LARGE", f"the archive is larger than {self._max_bytes} bytes")
            self._hash.update(request.chunk)
            yield request.chunk
        raise InvalidRequest("ARCHIVE_CUT_SHORT", "the archive ended before its end")

    def arrived(self) -> Arrived:
        """What came. Raises InvalidRequest before the end has."""
        if self._end is None:
            raise InvalidRequest("ARCHIVE_CUT_SHORT", "the archive ended before its end")
        return Arrived(self._size, self._hash.hexdigest(), self._end.content_bytes, self._end.files)
