"""Archives over the agent link: packed while they are sent, unpacked only when all of them is there and is what it was.

A transfer that breaks is begun anew: nothing of it counts before its end.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from quarterdeck.v1 import agent_pb2, agent_pb2_grpc

from hostagent.archive import Contents
from hostagent.calls import LinkBroken, heard_when_broken
from hostagent.plan import WorkloadKey
from hostagent.threads import in_a_thread_of_its_own

# The generated class exists for the type checker alone.
Stub: TypeAlias = "agent_pb2_grpc.AgentLinkServiceAsyncStub"

_CHUNK_BYTES = 256 << 10
_AT_ONCE = 4
# However long all of it takes, some of it must have moved.
_STALLED_S = 300.0
_CALL_S = 10.0
# The reason of what will never be stored, whenever it is tried.
TOO_LARGE = "ARCHIVE_TOO_LARGE"
# The control plane, or something behind it, is away or busy: the same call may succeed later.
_LATER = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


class NotNow(Exception):
    """It did not come through; the text says why. To be tried again."""


class Refused(Exception):
    """The control plane will not have it, or has none. `reason` is its stable word for why."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Found:
    """An archive to begin with; `sha256` (hex) and `size_bytes` are what it must be."""

    name: str
    size_bytes: int
    sha256: str
    content_bytes: int


class ArchiveLink:
    """`stub` gives the link's stub, or None while there is no link."""

    def __init__(self, stub: Callable[[], Stub | None]) -> None:
        self._stub = stub
        # Reads that are not over, also those that nobody waits for any more: a disk may hang.
        self._packing: dict[WorkloadKey, asyncio.Future[Contents]] = {}
        self._sending = asyncio.Semaphore(_AT_ONCE)
        # Apart: a start shall not wait for what others send.
        self._fetching = asyncio.Semaphore(_AT_ONCE)

    async def store(
        self,
        header: agent_pb2.ArchiveHeader,
        pack: Callable[[BinaryIO], Contents],
        around: AbstractAsyncContextManager[None] | None = None,
    ) -> Contents | None:
        """Sends what `pack` writes; None when it was on record already. `around` is entered when its turn has come and
        there is a link. A session's earlier read that hangs is waited for first, in nobody's way. Raises what `pack`
        does, NotNow, Refused."""
        key = WorkloadKey(header.session_id, header.generation)
        while (hanging := self._packing.get(key)) is not None:
            await asyncio.wait({hanging})
        async with self._sending:
            self._linked()
            async with around or nullcontext(), self._upload(header) as call:
                return await self._pack_into(call, key, pack)
        return None

    async def _pack_into(self, call: Any, key: WorkloadKey, pack: Callable[[BinaryIO], Contents]) -> Contents | None:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        source, out = os.fdopen(reader, "rb", 0), os.fdopen(writer, "wb")
        self._packing[key] = packing = in_a_thread_of_its_own(lambda: _packed(pack, out), "archive")
        packing.add_done_callback(partial(self._packed, key))
        loop, stream = asyncio.get_running_loop(), asyncio.StreamReader(limit=_CHUNK_BYTES)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), source)
        try:
            async with _moving() as moved:
                return await _send(call, stream, packing, moved)
        finally:
            transport.close()  # whoever still packs into it is told by a broken pipe

    def _packed(self, key: WorkloadKey, packing: asyncio.Future[Contents]) -> None:
        self._packing.pop(key, None)
        packing.exception()  # or the loop would complain of one that nobody waits for any more

    async def fail(self, header: agent_pb2.ArchiveHeader, reason: str, detail: str) -> None:
        """Says that there will be no such archive. Raises NotNow, Refused."""
        failure = agent_pb2.ArchiveFailure(reason=reason, detail=detail[:1000])
        async with self._upload(header, _CALL_S) as call:
            await call.write(agent_pb2.StoreArchiveRequest(failure=failure))
            await _answer(call)

    @asynccontextmanager
    async def _upload(self, header: agent_pb2.ArchiveHeader, timeout_s: float | None = None) -> AsyncIterator[Any]:
        """The call, after its header; a yes that comes early ends the block. Raises NotNow, Refused."""
        call: Any = self._linked().StoreArchive(timeout=timeout_s)
        try:
            with heard_when_broken():
                await call.write(agent_pb2.StoreArchiveRequest(header=header))
                yield call
        except LinkBroken as error:
            raise NotNow(str(error)) from error
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            if await call.code() is not grpc.StatusCode.OK:
                raise await _why(call) from error
        finally:
            call.cancel()

    async def fetch(self, key: WorkloadKey, target: Path) -> Found | None:
        """Writes to `target`, which is whole when this returns; None: there is nothing to begin with.

        Raises NotNow, Refused (also for what is damaged), OSError when it cannot be written."""
        request = agent_pb2.FetchArchiveRequest(session_id=key.session_id, generation=key.generation)
        async with self._fetching:
            call = self._linked().FetchArchive(request)
            try:
                with heard_when_broken():
                    async with _moving() as moved:
                        first = await call.read()
                        if not isinstance(first, agent_pb2.FetchArchiveResponse):
                            raise await _why(call)
                        found = first.found
                        if not found.name:
                            return None
                        digest, size = await _receive(call, target, moved)
            except LinkBroken as error:
                raise NotNow(str(error)) from error
            except grpc.aio.AioRpcError as error:
                raise await _why(call) from error
            finally:
                call.cancel()
        if (digest, size) != (found.sha256, found.size_bytes):
            raise Refused("ARCHIVE_DAMAGED", f"{found.name} is damaged in the object store: its SHA-256 is another")
        return Found(found.name, found.size_bytes, found.sha256, found.content_bytes)

    def _linked(self) -> Stub:
        stub = self._stub()
        if stub is None:
            raise NotNow("there is no link to the control plane")
        return stub


def _packed(pack: Callable[[BinaryIO], Contents], out: BinaryIO) -> Contents:
    with out:
        return pack(out)


@asynccontextmanager
async def _moving() -> AsyncIterator[Callable[[], None]]:
    """To be called whenever something has moved. Raises NotNow where nothing does."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_STALLED_S) as limit:
            yield lambda: limit.reschedule(loop.time() + _STALLED_S)
    except TimeoutError:
        if not limit.expired():
            raise
        raise NotNow(f"nothing of the archive has moved for {_STALLED_S:g} s") from None


async def _send(
    call: Any, stream: asyncio.StreamReader, packing: asyncio.Future[Contents], moved: Callable[[], None]
) -> Contents | None:
    """None when it was on record already."""
    digest = hashlib.sha256()
    # What answers early waits for us to stop: a call that ends within a message would not tell why.
    heard = asyncio.ensure_future(call.initial_metadata())
    try:
        while chunk := await stream.read(_CHUNK_BYTES):
            if heard.done():
                await _answer(call)
                return None
            digest.update(chunk)
            await call.write(agent_pb2.StoreArchiveRequest(chunk=chunk))
            moved()
        contents = await asyncio.shield(packing)
        end = agent_pb2.ArchiveEnd(sha256=digest.hexdigest(), content_bytes=contents.size_bytes, files=contents.files)
        await call.write(agent_pb2.StoreArchiveRequest(end=end))
        await _answer(call)
        return contents
    finally:
        heard.cancel()


async def _answer(call: Any) -> None:
    await call.done_writing()
    if not isinstance(await call.read(), agent_pb2.StoreArchiveResponse):
        raise await _why(call)


async def _receive(call: Any, target: Path, moved: Callable[[], None]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        while isinstance(message := await call.read(), agent_pb2.FetchArchiveResponse):
            digest.update(message.chunk)
            size += len(message.chunk)
            await asyncio.to_thread(file.write, message.chunk)
            moved()
    if await call.code() is not grpc.StatusCode.OK:
        raise await _why(call)
    return digest.hexdigest(), size


async def _why(call: Any) -> Exception:
    """What ended a call, as the caller's next move."""
    code: grpc.StatusCode = await call.code()
    reason, told = await _reason(call), f"{code.name}: {await call.details()}"
    if code in _LATER and reason != TOO_LARGE:
        return NotNow(told)
    return Refused(reason, told)


async def _reason(call: Any) -> str:
    with suppress(ValueError):
        status = await rpc_status.aio.from_call(call)
        info = error_details_pb2.ErrorInfo()
        if status is not None and any(detail.Unpack(info) for detail in status.details):
            return str(info.reason)
    return ""
