"""The wrapper's side of one signalling channel: a real aiortc peer with a synthetic picture and tone."""

from __future__ import annotations

import asyncio
import json
import time
from fractions import Fraction
from typing import Any

import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.sdp import candidate_from_sdp
from av import AudioFrame, VideoFrame

WIDTH, HEIGHT, FPS = 320, 180, 20
Inputs = list[tuple[str, dict[str, Any]]]


class Picture(VideoStreamTrack):
    """Grey, and green where a key is held: what the page sent shows in what it gets back."""

    def __init__(self, held: set[str]) -> None:
        super().__init__()
        self.held = held
        self.started = time.monotonic()
        self.count = 0

    async def recv(self) -> VideoFrame:
        self.count += 1
        await asyncio.sleep(max(0.0, self.started + self.count / FPS - time.monotonic()))
        pixels = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
        pixels[:, (self.count * 4) % WIDTH : (self.count * 4) % WIDTH + 8] = 200
        if self.held:
            pixels[60:120, 120:200] = (20, 220, 40)
        frame = VideoFrame.from_ndarray(pixels, "rgb24")
        frame.pts, frame.time_base = self.count * 90000 // FPS, Fraction(1, 90000)
        return frame


class Tone(MediaStreamTrack):
    """440 Hz in both channels."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.started = time.monotonic()
        self.count = 0

    async def recv(self) -> AudioFrame:
        self.count += 1
        await asyncio.sleep(max(0.0, self.started + self.count / 50 - time.monotonic()))
        at = (np.arange(960) + 960 * self.count) / 48_000
        mono = (8000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)
        frame = AudioFrame.from_ndarray(np.repeat(mono, 2).reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self.count * 960, Fraction(1, 48_000)
        return frame


class Peer:
    """One browser's. `inputs` takes what the page sends, each with its channel."""

    def __init__(self, inputs: Inputs, *, sounds: bool, silent: str) -> None:
        self.inputs = inputs
        self.held: set[str] = set()
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.addTrack(Picture(self.held))
        if sounds:
            self.connection.addTrack(Tone())
        self.keys = self.connection.createDataChannel("keys")
        self.mouse = self.connection.createDataChannel("mouse", ordered=False, maxRetransmits=0)
        for channel in (self.keys, self.mouse):
            channel.on("message", lambda data, channel=channel: self.hear(channel, data))
        hello = {"t": "hello", "role": "player", "width": WIDTH, "silent": silent}
        self.keys.on("open", lambda: self.keys.send(json.dumps(hello)))

    def hear(self, channel: RTCDataChannel, data: str) -> None:
        message = json.loads(data)
        if message["t"] == "ping":
            channel.send(json.dumps({"t": "pong", "n": message["n"]}))
            channel.send(json.dumps({"t": "figures", "encoder": "libx264", "encoded_fps": FPS, "encode_ms": 2.5}))
            return
        self.inputs.append((channel.label, message))
        if message["t"] == "key":
            (self.held.add if message["down"] else self.held.discard)(message["code"])
        if message["t"] == "release":
            self.held.clear()

    async def listening(self) -> None:
        """Once what the page sends arrives here."""
        async with asyncio.timeout(30):
            while {self.keys.readyState, self.mouse.readyState} != {"open"}:
                await asyncio.sleep(0.01)

    async def offer(self) -> dict[str, Any]:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        description = self.connection.localDescription
        return {"description": {"type": description.type, "sdp": description.sdp}}

    async def take(self, signal: dict[str, Any]) -> None:
        if "description" in signal:
            await self.connection.setRemoteDescription(RTCSessionDescription(**signal["description"]))
        if "candidate" in signal:
            wire = signal["candidate"]
            candidate = candidate_from_sdp(wire["candidate"].removeprefix("candidate:"))
            candidate.sdpMid, candidate.sdpMLineIndex = wire["sdpMid"], wire["sdpMLineIndex"]
            await self.connection.addIceCandidate(candidate)
