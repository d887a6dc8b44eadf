"""A real wrapper process in a directory of its own, and browsers made of aiortc."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import av
import grpc
import numpy as np
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from quarterdeck.v1 import games_pb2, sessions_pb2, streaming_pb2, wrapper_pb2, wrapper_pb2_grpc

from hostagent import procfs

BROADSIDE = ("python", "-m", "examples.broadside")
PLAYER = streaming_pb2.STREAM_ROLE_PLAYER
VIEWER = streaming_pb2.STREAM_ROLE_VIEWER
_PATIENCE_S = 60.0
_BLOCK = 16


def spec(
    command: Sequence[str] = BROADSIDE, picture: int = games_pb2.PICTURE_FRAMES, **environment: str
) -> wrapper_pb2.SessionSpec:
    """A small picture: tests share two cores with everything else."""
    message = wrapper_pb2.SessionSpec(session_id="s1", generation=1, project="default", loopback_candidate=True)
    message.deployment.command.extend(command)
    message.deployment.picture = picture
    message.deployment.environment.update(environment)
    message.deployment.stop_grace.FromSeconds(5)
    message.video.width, message.video.height, message.video.fps = 640, 360, 15
    message.video.bitrate_kbps = 1500
    message.ports.add(port_name="media", protocol=sessions_pb2.PortLease.PROTOCOL_UDP)
    return message


class Wrapper:
    """The process, its directory and its service."""

    def __init__(self, process: subprocess.Popen[bytes], path: Path, stub: wrapper_pb2_grpc.WrapperServiceAsyncStub):
        self.process = process
        self.path = path
        self.stub = stub

    async def until(self, wanted: Callable[[wrapper_pb2.WorkloadStatus], bool]) -> wrapper_pb2.WorkloadStatus:
        """The first status that is wanted, watched or, like an agent that comes late, read from what was left."""
        async with asyncio.timeout(_PATIENCE_S):
            while self.process.poll() is None:
                try:
                    async for status in self.stub.WatchStatus(wrapper_pb2.WatchStatusRequest()):
                        if wanted(status):
                            return status
                except grpc.aio.AioRpcError as error:
                    if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                        raise
                # Not listening yet, or over and about to leave.
                await asyncio.sleep(0.05)
        last = self.saved_status()
        if wanted(last):
            return last
        raise AssertionError(f"the wrapper ended first: {last}\n{self.logs()}")

    async def until_running(self) -> wrapper_pb2.WorkloadStatus:
        return await self.until(lambda status: status.state == wrapper_pb2.WORKLOAD_STATE_RUNNING)

    async def until_exited(self) -> wrapper_pb2.WorkloadStatus:
        """Waits for the process' own end too, and compares what it left with what it said."""
        said = await self.until(lambda status: status.state == wrapper_pb2.WORKLOAD_STATE_EXITED)
        await asyncio.to_thread(self.process.wait, _PATIENCE_S)
        left = self.saved_status()
        assert (left.state, left.reason, left.reason_detail) == (said.state, said.reason, said.reason_detail)
        return said

    async def stop(self, grace_s: int | None = None) -> None:
        request = wrapper_pb2.StopWorkloadRequest(reason=sessions_pb2.SESSION_REASON_STOP_REQUESTED)
        if grace_s is not None:
            request.grace.FromSeconds(grace_s)
        await self.stub.Stop(request)

    def saved_status(self) -> wrapper_pb2.WorkloadStatus:
        return wrapper_pb2.WorkloadStatus.FromString((self.path / "status.binpb").read_bytes())

    def logs(self) -> str:
        return "\n".join(file.read_text() for file in self.path.glob("*.log"))

    @asynccontextmanager
    async def browser_when_running(self) -> AsyncIterator[Browser]:
        await self.until_running()
        async with self.browser() as browser:
            yield browser

    @asynccontextmanager
    async def browser(self, role: int = PLAYER) -> AsyncIterator[Browser]:
        browser = Browser()
        await browser.connect(self.stub, role)
        try:
            yield browser
        finally:
            await browser.close()


class Browser:
    """One person's page: takes the offer, decodes video and sound, sends input."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.frames: asyncio.Queue[av.VideoFrame] = asyncio.Queue()
        self.sounds: asyncio.Queue[av.AudioFrame] = asyncio.Queue()
        self.messages: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self.channels: dict[str, RTCDataChannel] = {}
        self.signals: grpc.aio.StreamStreamCall | None = None
        self._opened = asyncio.Event()
        self._counts = {"keys": 0, "mouse": 0}
        self._reading: list[asyncio.Task[None]] = []
        self.connection.on("track", self._take_track)
        self.connection.on("datachannel", self._take_channel)

    async def connect(self, stub: wrapper_pb2_grpc.WrapperServiceAsyncStub, role: int) -> None:
        self.signals = stub.Signal()
        await self.signals.write(wrapper_pb2.WrapperSignalRequest(open=wrapper_pb2.SignalOpen(role=role)))
        offer = (await self.signals.read()).signal.description
        assert offer.type == "offer"
        await self.connection.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        answer = streaming_pb2.SessionDescription(type="answer", sdp=self.connection.localDescription.sdp)
        await self.signals.write(wrapper_pb2.WrapperSignalRequest(signal=streaming_pb2.Signal(description=answer)))
        async with asyncio.timeout(_PATIENCE_S):
            await self._opened.wait()

    async def frame(self, wanted: Callable[[av.VideoFrame], bool] = lambda _: True) -> av.VideoFrame:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                frame = await self.frames.get()
                if wanted(frame):
                    return frame

    async def sound(self, wanted: Callable[[np.ndarray], bool] = lambda _: True) -> np.ndarray:
        """The next samples that are wanted, in two rows."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                samples = (await self.sounds.get()).to_ndarray().reshape(-1, 2).T
                if wanted(samples):
                    return samples

    async def message(self, kind: str) -> dict[str, object]:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                message = await self.messages.get()
                if message["t"] == kind:
                    return message

    def send(self, channel: str = "keys", **message: object) -> None:
        self._counts[channel] += 1
        self.channels[channel].send(json.dumps({**message, "n": self._counts[channel]}))

    def press(self, code: str) -> None:
        self.send(t="key", code=code, down=True)
        self.send(t="key", code=code, down=False)

    async def close(self) -> None:
        for reading in self._reading:
            reading.cancel()
        await self.connection.close()

    def _take_track(self, track: MediaStreamTrack) -> None:
        async def read() -> None:
            while True:
                try:
                    frame = await track.recv()
                except MediaStreamError:
                    return
                if isinstance(frame, av.VideoFrame):
                    self.frames.put_nowait(frame)
                elif isinstance(frame, av.AudioFrame):
                    self.sounds.put_nowait(frame)

        self._reading.append(asyncio.get_running_loop().create_task(read()))

    def _take_channel(self, channel: RTCDataChannel) -> None:
        self.channels[channel.label] = channel
        channel.on("message", lambda text: self.messages.put_nowait(json.loads(text)))
        if len(self.channels) == 2:
            self._opened.set()


def marks(frame: av.VideoFrame) -> tuple[int, int]:
    """What the demo game's pixel clock says: milliseconds (24 bits) and key presses (8 bits)."""
    luma = frame.to_ndarray(format="gray8")
    row = luma[frame.height - _BLOCK // 2, _BLOCK // 2 : 32 * _BLOCK : _BLOCK]
    value = int("".join("1" if dot > 128 else "0" for dot in row), 2)
    return value >> 8, value & 0xFF


def brightness(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray(format="gray8").astype(np.int16)


@asynccontextmanager
async def wrapper(path: Path, message: wrapper_pb2.SessionSpec, recorded: bool = True) -> AsyncIterator[Wrapper]:
    """Started as an agent would: own session, empty environment. Killed at the end, and what it ran with it."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "spec.binpb").write_bytes(message.SerializeToString())
    command = [sys.executable, "-m", "wrapper", "--session-dir", str(path)]
    process = subprocess.Popen(command, env={}, cwd="/", start_new_session=True)
    if recorded:
        record(path, process)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        async with grpc.aio.insecure_channel(f"unix:/proc/self/fd/{directory}/wrapper.sock") as channel:
            async with asyncio.timeout(_PATIENCE_S):
                while not (path / "wrapper.sock").exists():
                    ended = process.poll() is not None
                    if ended and (path / "status.binpb").exists():
                        break  # a session that is over at once leaves its end on record, where an agent reads it too
                    assert not ended, "the wrapper ended before it listened"
                    await asyncio.sleep(0.02)
            yield Wrapper(process, path, wrapper_pb2_grpc.WrapperServiceStub(channel))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(_PATIENCE_S)
        os.close(directory)


def record(path: Path, process: subprocess.Popen[bytes]) -> None:
    """As an agent does that has joined its wrapper: now the game may begin."""
    (path / "launch.json").write_text(json.dumps({"pid": process.pid}))


def alive(pid: int) -> bool:
    """Running, not merely waiting to be reaped."""
    return procfs.identify(pid) is not None


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while alive(pid):
            await asyncio.sleep(0.02)
