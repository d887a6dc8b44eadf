"""The agent link's bulk: archives of sessions' files between hosts and the object store, in bounded chunks."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from quarterdeck.v1 import agent_pb2 as pb

from controlplane.domain.errors import Exhausted, InvalidRequest
from controlplane.usecases import archives
from controlplane.usecases.archives import Arrived, Sent
from controlplane.usecases.world import World

CHUNK_BYTES = 256 << 10

Requests = AsyncIterator[pb.StoreArchiveRequest]


async def store(world: World, host_id: str, requests: Requests) -> None:
    """Returns when it is in the object store and on record. Raises InvalidRequest for what is cut short or is not what
    was sent, Exhausted for what is too large."""
    first = await anext(requests, None)
    if first is None or not first.HasField("header"):
        raise InvalidRequest("HEADER_FIRST", "the first message of an archive must be its header", field="header")
    header = first.header
    sent = Sent(header.session_id, header.generation, header.archive_id, header.final, header.backup_id)
    upload = await archives.begin(world, host_id, sent)
    if upload is None:
        return
    incoming = _Incoming(requests, upload.max_bytes)
    try:
        await world.objects.put(upload.object_key, incoming.content())
    except _Abandoned as told:
        await archives.fail(world, host_id, sent, told.failure.reason, told.failure.detail)
    else:
        await archives.finish(world, upload, incoming.arrived())


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


class _Abandoned(Exception):
    """The host says that there will be no archive."""

    def __init__(self, failure: pb.ArchiveFailure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


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
            if request.HasField("failure"):
                raise _Abandoned(request.failure)
            if not request.HasField("chunk"):
                raise InvalidRequest("HEADER_TWICE", "an archive has one header, first", field="header")
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
