"""`python -m tests.bench.stream`: what a player of the demo game sees in Chromium, beside bare aiortc in the same run.

The ceiling is one process that does nothing but paint a clock on a still picture, encode it and send it with aiortc
as it comes. All on one machine: no network, no display. The wrapper is measured alone, without control plane.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import av
import numpy as np
import psutil
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from playwright.async_api import Page, async_playwright

from examples.broadside.canvas import Canvas
from examples.broadside.scene import draw_pixel_clock
from tests.component.wrapper.page import CHROMIUM, PAGE, STATS, launch, signal
from tests.component.wrapper.rig import spec, wrapper
from wrapper.stream.encoder import CLOCK_RATE, Video
from wrapper.stream.pipeline import Frame
from wrapper.stream.sender import EncodedTrack
from wrapper.stream.x264 import X264Encoder

WIDTH, HEIGHT, FPS, KBPS = 1280, 720, 30, 4000
WATCH_S = 8.0
KEYS = 30
SHOTS = 12

COLLECT = """
(monotonic_lag_ms) => {
  window.ages = []; window.times = [];
  const see = () => {
    const now = window.marks.at + performance.timeOrigin - monotonic_lag_ms;
    window.ages.push((now % 16777216) - window.marks.clock);
    window.times.push(window.marks.at);
    video.requestVideoFrameCallback(see);
  };
  video.requestVideoFrameCallback(see);
}
"""
PRESS = """
async (times) => {
  const waits = [];
  for (let i = 0; i < times; i++) {
    const wanted = (window.marks.count + 1) % 256, began = performance.now();
    const send = (n, down) =>
      window.channels.keys.send(JSON.stringify({t: 'key', n: 1000 + 2 * i + n, code: 'KeyX', down}));
    send(0, true);
    while (window.marks.count !== wanted) await new Promise((seen) => video.requestVideoFrameCallback(seen));
    waits.push(performance.now() - began);
    send(1, false);
    await new Promise((later) => setTimeout(later, 60 + Math.random() * 60));
  }
  return waits;
}
"""

# From the key of a gun to its sound, in a browser that plays it. Before each shot all is still, splashes too.
FIRE = """
async (times) => {
  const ear = new AnalyserNode(window.ears[0].context, {fftSize: 256});
  window.context.createMediaStreamSource(window.audio.srcObject).connect(ear);
  const samples = new Float32Array(ear.fftSize);
  const loud = () => (ear.getFloatTimeDomainData(samples), samples.some((one) => Math.abs(one) > 0.02));
  const soon = (ms) => new Promise((later) => setTimeout(later, ms));
  const still = async () => {
    for (let since = performance.now(); performance.now() - since < 900; await soon(10))
      if (loud()) since = performance.now();
  };
  const waits = [];
  for (let i = 0; i < times; i++) {
    await still();
    const send = (n, down) =>
      window.channels.keys.send(JSON.stringify({t: 'key', n: 100000 + 2 * i + n, code: 'Space', down}));
    const began = performance.now();
    send(0, true);
    while (!loud()) await soon(1);
    waits.push(performance.now() - began);
    send(1, false);
  }
  return waits;
}
"""


async def measure(page: Page, connect: Callable[[], Awaitable[object]]) -> dict[str, float]:
    """Connects the page, watches, presses keys."""
    began_s = time.monotonic()
    await connect()
    await page.wait_for_function("window.presented >= 1", polling=5)
    figures = {"signalling to first picture, ms": (time.monotonic() - began_s) * 1000}
    await page.wait_for_function("window.presented >= 30 && window.channels.keys?.readyState === 'open'")
    await page.evaluate(COLLECT, (time.time() - time.monotonic()) * 1000)
    before, began_s = await page.evaluate(STATS), time.monotonic()
    await asyncio.sleep(WATCH_S)
    after, took_s = await page.evaluate(STATS), time.monotonic() - began_s
    ages, times = await page.evaluate("[window.ages, window.times]")
    emitted = after["jitterBufferEmittedCount"] - before["jitterBufferEmittedCount"]
    buffered_s = after["jitterBufferDelay"] - before["jitterBufferDelay"]
    figures["decoded pictures per second"] = (after["framesDecoded"] - before["framesDecoded"]) / took_s
    figures["glass to glass, ms p50"], figures["glass to glass, ms p95"] = quantiles(ages)
    figures["jitter buffer, ms"] = buffered_s / emitted * 1000
    figures["longest gap between pictures, ms"] = max(np.diff(times))
    waits = await page.evaluate(PRESS, KEYS)
    figures["key to picture, ms p50"], figures["key to picture, ms p95"] = quantiles(waits)
    return figures


def quantiles(values: list[float]) -> tuple[float, float]:
    return statistics.median(values), statistics.quantiles(values, n=20)[18]


async def the_wrapper(page: Page) -> dict[str, float]:
    message = spec(QUARTERDECK_PIXEL_CLOCK="1")
    message.video.width, message.video.height, message.video.fps = WIDTH, HEIGHT, FPS
    message.video.bitrate_kbps = KBPS
    with tempfile.TemporaryDirectory() as directory:
        began_s = time.monotonic()
        async with wrapper(Path(directory), message) as process:
            status = await process.until_running()
            ready_ms = (time.monotonic() - began_s) * 1000
            program = psutil.Process(process.process.pid)
            spent_s = sum(program.cpu_times()[:2])
            began_s = time.monotonic()
            figures = await measure(page, lambda: signal(process, page))
            spent_s = sum(program.cpu_times()[:2]) - spent_s
            took_s = time.monotonic() - began_s
            heard = quantiles(await page.evaluate(FIRE, SHOTS))
            figures |= dict(zip(("key to sound, ms p50", "key to sound, ms p95"), heard, strict=True))
            return {
                "process start to game started, ms": status.game_started_after.ToMilliseconds(),
                "process start to first frame encoded, ms": ready_ms,
                "processor, % of a core": spent_s / took_s * 100,
            } | figures


class Bare:
    """A still picture with a running clock, encoded and sent as it comes."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.track = EncodedTrack(lambda: None)
        self._keys = 0
        self._pressed = threading.Event()
        self._stopped = threading.Event()
        self._loop = asyncio.get_running_loop()
        self.thread = threading.Thread(target=self._encode, daemon=True)

    async def connect(self, page: Page) -> None:
        self.connection.addTrack(self.track)
        transceiver = self.connection.getTransceivers()[0]
        codecs = RTCRtpSender.getCapabilities("video").codecs
        transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType.lower() == "video/h264"])
        self.connection.createDataChannel("keys").on("message", self._key)
        await self.connection.setLocalDescription(await self.connection.createOffer())
        answer = await page.evaluate(PAGE, self.connection.localDescription.sdp)
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        while self.connection.connectionState != "connected":
            await asyncio.sleep(0.005)
        self.thread.start()

    async def close(self) -> None:
        self._stopped.set()
        await asyncio.to_thread(self.thread.join)
        await self.connection.close()

    def _key(self, text: str) -> None:
        if '"down":true' in text:
            self._keys += 1
            self._pressed.set()

    def _encode(self) -> None:
        encoder = X264Encoder(Video(WIDTH, HEIGHT, FPS, KBPS, KBPS))
        pixels = np.full(WIDTH * HEIGHT * 3 // 2, 128, np.uint8)
        canvas = Canvas(pixels, WIDTH, HEIGHT)
        while not self._stopped.is_set():
            began_ns = time.monotonic_ns()
            draw_pixel_clock(canvas, began_ns // 1_000_000, self._keys)
            frame = av.VideoFrame.from_ndarray(pixels.reshape(-1, WIDTH), format="yuv420p")
            pts = began_ns * CLOCK_RATE // 1_000_000_000
            encoded = encoder.encode(frame, pts, key=False)
            if encoded is not None:
                self._loop.call_soon_threadsafe(self.track.put, Frame(encoded.data, encoded.pts, encoded.key, began_ns))
            self._pressed.wait(max(0.0, 1 / FPS - (time.monotonic_ns() - began_ns) / 1e9))
            self._pressed.clear()


async def bare(page: Page) -> dict[str, float]:
    sender = Bare()
    try:
        return await measure(page, lambda: sender.connect(page))
    finally:
        await sender.close()


async def main() -> int:
    if CHROMIUM is None:
        print("Chromium is not installed: nothing was measured")
        return 1
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        results = []
        for subject in (the_wrapper, bare):
            page = await browser.new_page()
            results.append(await subject(page))
            await page.close()
        await browser.close()
    ours, ceiling = results
    print(f"Demo game, {WIDTH}x{HEIGHT} at {FPS}, {KBPS} kbit/s, headless Chromium on the same machine")
    print(f"{'':44}{'wrapper':>10}{'bare aiortc':>13}")
    for name, value in ours.items():
        print(f"{name:44}{value:10.1f}{f'{ceiling[name]:.1f}' if name in ceiling else '-':>13}")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
