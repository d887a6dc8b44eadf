"""A small, real wrapper for the agent's tests: the contract of a wrapper without media.

How it behaves is told by STANDIN in the deployment's environment: "", "deaf" (ignores the stop), "mute" (never opens
its socket), "crash" (exits 3 at once), "vanish" (exits without a durable end when stopped).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from quarterdeck.v1 import streaming_pb2, wrapper_pb2, wrapper_pb2_grpc


class StandIn(wrapper_pb2_grpc.WrapperServiceServicer):
    def __init__(self, directory: Path, spec: wrapper_pb2.SessionSpec, game_pid: int) -> None:
        self.directory = directory
        self.spec = spec
        self.behaviour = spec.deployment.environment.get("STANDIN", "")
        self.status = wrapper_pb2.WorkloadStatus(
            session_id=spec.session_id,
            generation=spec.generation,
            state=wrapper_pb2.WORKLOAD_STATE_RUNNING,
            wrapper_pid=os.getpid(),
            game_pid=game_pid,
        )
        self.status.first_frame_after.FromMilliseconds(120)
        self.changed = asyncio.Condition()
        self.over = asyncio.Event()

    def store(self) -> None:
        fresh = self.directory / "status.new"
        fresh.write_bytes(self.status.SerializeToString())
        fresh.replace(self.directory / "status.binpb")

    async def WatchStatus(self, request, context) -> AsyncIterator[wrapper_pb2.WorkloadStatus]:
        while not self.over.is_set():
            yield self.status
            async with self.changed:
                await self.changed.wait()

    async def Stop(self, request, context) -> wrapper_pb2.StopWorkloadResponse:
        (self.directory / "stops").open("a").write(f"{request.reason}\n")
        if self.behaviour == "deaf":
            return wrapper_pb2.StopWorkloadResponse()
        self.status.state = wrapper_pb2.WORKLOAD_STATE_EXITED
        self.status.reason = request.reason
        self.status.exit_code = 0
        if self.behaviour != "vanish":
            self.store()
        self.over.set()
        return wrapper_pb2.StopWorkloadResponse()

    async def RenewLease(self, request, context) -> wrapper_pb2.RenewLeaseResponse:
        (self.directory / "leases").open("a").write(f"{request.lease.ToNanoseconds() / 1e9}\n")
        return wrapper_pb2.RenewLeaseResponse()

    async def Signal(self, request_iterator, context) -> AsyncIterator[wrapper_pb2.WrapperSignalResponse]:
        async for request in request_iterator:
            if request.HasField("open"):
                offer = streaming_pb2.SessionDescription(type="offer", sdp=f"role {request.open.role}")
                yield wrapper_pb2.WrapperSignalResponse(signal=streaming_pb2.Signal(description=offer))
            elif request.signal.HasField("close"):
                return
            elif request.signal.candidate.candidate == "end":
                close = streaming_pb2.SignalClose(reason="the peer is done")
                yield wrapper_pb2.WrapperSignalResponse(signal=streaming_pb2.Signal(close=close))
            else:
                yield wrapper_pb2.WrapperSignalResponse(signal=request.signal)


async def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--session-dir", type=Path, required=True)
    os.chdir(parser.parse_args().session_dir)
    directory = Path()  # as a wrapper's own, it may be moved meanwhile
    with (directory / "starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    spec = wrapper_pb2.SessionSpec.FromString((directory / "spec.binpb").read_bytes())
    # Leads a process session of its own, as games may: only the mark and the descent tell whose it is.
    game = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
    service = StandIn(directory, spec, game.pid)
    if service.behaviour == "crash":
        sys.stderr.write("the stand-in crashes as told\n")
        return 3
    start_ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    (directory / "wrapper.pid").write_text(f"{os.getpid()} {start_ticks}\n")
    if service.behaviour == "mute":
        await asyncio.Event().wait()
    service.store()
    server = grpc.aio.server()
    wrapper_pb2_grpc.add_WrapperServiceServicer_to_server(service, server)
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    server.add_insecure_port(f"unix:/proc/self/fd/{descriptor}/wrapper.sock")
    await server.start()
    await service.over.wait()
    game.kill()
    game.wait()
    await server.stop(0.2)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
