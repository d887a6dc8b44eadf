"""The wrapper's own gRPC service on its unix socket: status, signalling, console, stop, lease."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import grpc
import structlog
from quarterdeck.v1 import console_pb2, streaming_pb2, wrapper_pb2, wrapper_pb2_grpc

from wrapper import wire
from wrapper.gameinput import InputRefusedError
from wrapper.life import Life

_MESSAGE_MAX_BYTES = 256 * 1024
_SIGNALS_MAX = 64
_OPTIONS = [("grpc.max_receive_message_length", _MESSAGE_MAX_BYTES)]


def status_of(life: Life) -> wrapper_pb2.WorkloadStatus:
    return wire.status_message(
        life.spec, life.session, life.age_s, life.active_s, life.figures(), life.game_pid, os.getpid()
    )


class WrapperService(wrapper_pb2_grpc.WrapperServiceServicer):
    """Called by the machine's agent only: the socket's directory is closed to others."""

    def __init__(self, life: Life) -> None:
        self._life = life

    async def WatchStatus(
        self,
        request: wrapper_pb2.WatchStatusRequest,
        context: grpc.aio.ServicerContext[wrapper_pb2.WatchStatusRequest, wrapper_pb2.WorkloadStatus],
    ) -> AsyncIterator[wrapper_pb2.WorkloadStatus]:
        async for _ in self._life.statuses():
            yield status_of(self._life)

    async def Stop(
        self,
        request: wrapper_pb2.StopWorkloadRequest,
        context: grpc.aio.ServicerContext[wrapper_pb2.StopWorkloadRequest, wrapper_pb2.StopWorkloadResponse],
    ) -> wrapper_pb2.StopWorkloadResponse:
        grace_s = wire.seconds(request.grace) if request.HasField("grace") else None
        self._life.stop(wire.reason_of(request.reason), grace_s)
        return wrapper_pb2.StopWorkloadResponse()

    async def StreamConsole(
        self,
        request: wrapper_pb2.WrapperConsoleRequest,
        context: grpc.aio.ServicerContext[wrapper_pb2.WrapperConsoleRequest, console_pb2.ConsoleOutput],
    ) -> AsyncIterator[console_pb2.ConsoleOutput]:
        async for batch in self._life.console.follow(request.after_sequence):
            yield wire.console_message(batch)

    async def SendConsoleInput(
        self,
        request: wrapper_pb2.WrapperConsoleInput,
        context: grpc.aio.ServicerContext[wrapper_pb2.WrapperConsoleInput, wrapper_pb2.WrapperConsoleInputResponse],
    ) -> wrapper_pb2.WrapperConsoleInputResponse:
        try:
            return wrapper_pb2.WrapperConsoleInputResponse(sequence=self._life.type(request.lines))
        except InputRefusedError as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    async def RenewLease(
        self,
        request: wrapper_pb2.RenewLeaseRequest,
        context: grpc.aio.ServicerContext[wrapper_pb2.RenewLeaseRequest, wrapper_pb2.RenewLeaseResponse],
    ) -> wrapper_pb2.RenewLeaseResponse:
        lease_s = wire.seconds(request.lease)
        if lease_s <= 0:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "lease: must be longer than nothing")
        self._life.renew_lease(lease_s)
        return wrapper_pb2.RenewLeaseResponse()

    async def Signal(
        self,
        request_iterator: AsyncIterator[wrapper_pb2.WrapperSignalRequest],
        context: grpc.aio.ServicerContext[wrapper_pb2.WrapperSignalRequest, wrapper_pb2.WrapperSignalResponse],
    ) -> AsyncIterator[wrapper_pb2.WrapperSignalResponse]:
        """Offer, answer, candidates. The connection outlives the channel: media needs nobody."""
        hub = self._life.hub
        if hub is None:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "this session has no stream")
            return
        from wrapper.stream.hub import StreamError, TooManyPeersError
        from wrapper.stream.peer import AnswerError, Peer

        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("kind") != "open":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "open: must come first")
            return
        ended: asyncio.Queue[str] = asyncio.Queue()
        try:
            player = first.open.role == streaming_pb2.STREAM_ROLE_PLAYER
            peer, offer = await hub.connect(player, ended.put_nowait)
        except TooManyPeersError as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
            return
        except StreamError as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            return
        yield _signal(description=streaming_pb2.SessionDescription(type="offer", sdp=offer))

        async def listen(peer: Peer) -> None:
            count = 0
            async for request in request_iterator:
                count += 1
                try:
                    if count > _SIGNALS_MAX:
                        raise AnswerError("too many signals")
                    if await _take(peer, request.signal):
                        return
                except AnswerError as error:
                    structlog.get_logger().info("signal refused", why=str(error))
                    peer.close(str(error))
                    return

        listening = asyncio.create_task(listen(peer))
        try:
            yield _signal(close=streaming_pb2.SignalClose(reason=await ended.get()))
        finally:
            listening.cancel()


async def _take(peer: object, signal: streaming_pb2.Signal) -> bool:
    """Acts on one signal of the browser; true when it was the last.

    Raises AnswerError.
    """
    from wrapper.stream.peer import AnswerError, Peer

    if not isinstance(peer, Peer):
        raise TypeError("a signal for no peer")
    kind = signal.WhichOneof("kind")
    if kind == "description":
        if signal.description.type != "answer":
            raise AnswerError("the wrapper offers, the browser answers")
        await peer.answer(signal.description.sdp)
    elif kind == "candidate":
        await peer.candidate(signal.candidate.candidate, signal.candidate.sdp_mid)
    elif kind == "close":
        peer.close("closed by the browser")
        return True
    return False


def _signal(
    description: streaming_pb2.SessionDescription | None = None, close: streaming_pb2.SignalClose | None = None
) -> wrapper_pb2.WrapperSignalResponse:
    return wrapper_pb2.WrapperSignalResponse(signal=streaming_pb2.Signal(description=description, close=close))


async def serve(life: Life, target: str) -> grpc.aio.Server:
    """Listens on `target`, a unix socket.

    Raises RuntimeError when it cannot be bound.
    """
    server = grpc.aio.server(options=_OPTIONS)
    wrapper_pb2_grpc.add_WrapperServiceServicer_to_server(WrapperService(life), server)
    server.add_insecure_port(target)
    await server.start()
    return server
