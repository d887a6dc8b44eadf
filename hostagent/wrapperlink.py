"""The agent's client of one wrapper: gRPC over the unix socket in the session's directory.

The socket is reached through a descriptor of its own, which is kept: whatever a game puts in its place later, or a link
to another session's before an adoption, is not followed. Besides, a unix socket's path may have 107 bytes only.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path

import grpc
from google.protobuf.duration_pb2 import Duration
from quarterdeck.v1 import console_pb2, sessions_pb2, streaming_pb2, wrapper_pb2, wrapper_pb2_grpc

from hostagent.files import UNOPENED
from hostagent.sessiondir import SOCKET

_CALL_S = 5.0
_POLL_S = 0.01
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.default_authority", "localhost"),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_reconnect_backoff_ms", 500),
    # More than a wrapper says at once, and less than one message of this host's link may hold.
    ("grpc.max_receive_message_length", 256 * 1024),
)


class WrapperUnreachable(Exception):
    """The wrapper's socket did not appear in time, or the wrapper does not answer."""


class WrapperLink:
    """One connection to a wrapper. Close it when done."""

    def __init__(self, session_dir: Path) -> None:
        self._directory = os.open(session_dir, UNOPENED | os.O_DIRECTORY)
        # What the channel dials: the directory, which takes no connection, until there is a socket.
        self._dialled = os.open(session_dir, UNOPENED | os.O_DIRECTORY)
        self._held = self._listens()
        self._channel = grpc.aio.insecure_channel(f"unix:/proc/self/fd/{self._dialled}", options=_OPTIONS)
        self._stub = wrapper_pb2_grpc.WrapperServiceStub(self._channel)

    async def hold(self, timeout_s: float) -> None:
        """Waits until the wrapper listens; from then on its socket is this link's, wherever it is moved.

        Raises WrapperUnreachable.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not self._held:
                    await asyncio.sleep(_POLL_S)  # another process makes it
                    self._held = self._listens()
        except TimeoutError as error:
            raise WrapperUnreachable(
                f"the wrapper did not open its socket within {timeout_s:g} s "
                "(`make wrapper-image` builds its image anew, where that is older than this agent)"
            ) from error

    async def until_ready(self, timeout_s: float) -> None:
        """Waits until the wrapper answers. Raises WrapperUnreachable."""
        await self.hold(timeout_s)
        try:
            await asyncio.wait_for(self._channel.channel_ready(), timeout_s)
        except TimeoutError as error:
            raise WrapperUnreachable(f"the wrapper did not answer within {timeout_s:g} s") from error

    def _listens(self) -> bool:
        """Whether somebody listens at the socket; then that is what will be dialled. One of a start that was undone is
        there, too, and refuses."""
        try:
            descriptor = os.open(SOCKET, UNOPENED, dir_fd=self._directory)
        except FileNotFoundError:
            return False
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                return False
            with socket.socket(socket.AF_UNIX) as probe:
                probe.setblocking(False)
                if probe.connect_ex(f"/proc/self/fd/{descriptor}") not in (0, errno.EAGAIN):
                    return False
            os.dup2(descriptor, self._dialled, inheritable=False)
            return True
        finally:
            os.close(descriptor)

    async def watch(self, pace_s: float = 0.0) -> AsyncGenerator[wrapper_pb2.WorkloadStatus]:
        """Statuses until the wrapper ends or the connection breaks; both end the iteration. `pace_s` lies between two,
        of which a wrapper gives the newest; only the first word of a stop is not paused after, for the last comes soon,
        and the end of the wrapper with it."""
        stops = False
        try:
            async for status in self._stub.WatchStatus(wrapper_pb2.WatchStatusRequest()):
                yield status
                if status.state == wrapper_pb2.WORKLOAD_STATE_STOPPING and not stops:
                    stops = True
                else:
                    await asyncio.sleep(pace_s)
        except grpc.aio.AioRpcError:
            return

    async def answers(self, timeout_s: float) -> bool:
        """Whether the wrapper says how it is within that time: its own loop must turn for that."""
        call = self._stub.WatchStatus(wrapper_pb2.WatchStatusRequest(), timeout=timeout_s, wait_for_ready=True)
        try:
            return await call.read() is not grpc.aio.EOF
        except grpc.aio.AioRpcError:
            return False
        finally:
            call.cancel()

    async def stop(self, reason: sessions_pb2.SessionReason) -> None:
        """Starts the polite stop, with the deployment's own grace. Raises WrapperUnreachable."""
        try:
            await self._stub.Stop(wrapper_pb2.StopWorkloadRequest(reason=reason), timeout=_CALL_S, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            raise WrapperUnreachable(f"the wrapper does not take the stop: {error.code().name}") from error

    async def renew_lease(self, lease_s: float) -> None:
        """Lets the session play for `lease_s` more seconds. Raises WrapperUnreachable."""
        lease = Duration(nanos=0)
        lease.FromNanoseconds(int(lease_s * 1e9))
        try:
            await self._stub.RenewLease(wrapper_pb2.RenewLeaseRequest(lease=lease), timeout=_CALL_S)
        except grpc.aio.AioRpcError as error:
            raise WrapperUnreachable(f"the wrapper does not take the lease: {error.code().name}") from error

    async def signal(
        self, role: streaming_pb2.StreamRole, outgoing: AsyncIterator[streaming_pb2.Signal]
    ) -> AsyncIterator[streaming_pb2.Signal]:
        """One signalling channel: yields what the wrapper says until it ends. Raises WrapperUnreachable."""

        async def requests() -> AsyncIterator[wrapper_pb2.WrapperSignalRequest]:
            yield wrapper_pb2.WrapperSignalRequest(open=wrapper_pb2.SignalOpen(role=role))
            async for signal in outgoing:
                yield wrapper_pb2.WrapperSignalRequest(signal=signal)

        call = self._stub.Signal(requests())
        try:
            async for response in call:
                yield response.signal
        except grpc.aio.AioRpcError as error:
            raise WrapperUnreachable(error.details() or error.code().name) from error
        finally:
            call.cancel()

    async def console(self, after_sequence: int) -> AsyncIterator[console_pb2.ConsoleOutput]:
        """The game's output, until the session is over. Raises WrapperUnreachable."""
        call = self._stub.StreamConsole(wrapper_pb2.WrapperConsoleRequest(after_sequence=after_sequence))
        try:
            async for output in call:
                yield output
        except grpc.aio.AioRpcError as error:
            raise WrapperUnreachable(error.details() or error.code().name) from error
        finally:
            call.cancel()

    async def type(self, lines: Sequence[str]) -> int:
        """Types lines into the game; the sequence of its newest line. Raises WrapperUnreachable."""
        try:
            answer = await self._stub.SendConsoleInput(wrapper_pb2.WrapperConsoleInput(lines=lines), timeout=_CALL_S)
        except grpc.aio.AioRpcError as error:
            raise WrapperUnreachable(error.details() or error.code().name) from error
        sequence: int = answer.sequence
        return sequence

    async def close(self) -> None:
        """Closes the connection; the wrapper does not mind."""
        await self._channel.close(grace=None)
        os.close(self._dialled)
        os.close(self._directory)
