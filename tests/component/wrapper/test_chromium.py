"""The demo game in a real headless Chromium: the picture advances, a key changes what the game drew."""

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from playwright.async_api import Page, async_playwright
from quarterdeck.v1 import streaming_pb2, wrapper_pb2

from tests.component.wrapper.rig import PLAYER, Wrapper, spec, wrapper

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

PAGE = """
async (offer) => {
  const connection = new RTCPeerConnection();
  window.connection = connection;
  window.channels = {};
  window.messages = [];
  connection.ondatachannel = ({channel}) => {
    window.channels[channel.label] = channel;
    channel.onmessage = ({data}) => window.messages.push(JSON.parse(data));
  };
  const video = document.createElement('video');
  video.muted = true; video.autoplay = true; video.playsInline = true;
  document.body.append(video);
  window.video = video;
  connection.ontrack = ({track, receiver}) => {
    if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
    video.srcObject = new MediaStream([track]);
  };
  window.presented = 0;
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', {willReadFrequently: true});
  window.marks = null;
  const see = (now, data) => {
    window.presented += 1;
    canvas.width = video.videoWidth; canvas.height = video.videoHeight;
    context.drawImage(video, 0, canvas.height - 16, 512, 16, 0, 0, 512, 16);
    const row = context.getImageData(0, 8, 512, 1).data;
    let clock = 0, count = 0;
    for (let i = 0; i < 32; i++) {
      const bit = row[(i * 16 + 8) * 4] > 128 ? 1 : 0;
      if (i < 24) clock = clock * 2 + bit; else count = count * 2 + bit;
    }
    window.marks = {clock, count, at: performance.now()};
    video.requestVideoFrameCallback(see);
  };
  video.requestVideoFrameCallback(see);
  await connection.setRemoteDescription({type: 'offer', sdp: offer});
  await connection.setLocalDescription(await connection.createAnswer());
  return connection.localDescription.sdp;
}
"""

STATS = """
async () => {
  for (const report of (await window.connection.getStats()).values())
    if (report.type === 'inbound-rtp' && report.kind === 'video') return report;
}
"""


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        yield await browser.new_page()
        await browser.close()


async def signal(process: Wrapper, page: Page) -> grpc.aio.StreamStreamCall[Any, Any]:
    call = process.stub.Signal()
    await call.write(wrapper_pb2.WrapperSignalRequest(open=wrapper_pb2.SignalOpen(role=PLAYER)))
    offer = (await call.read()).signal.description.sdp
    answer = streaming_pb2.SessionDescription(type="answer", sdp=await page.evaluate(PAGE, offer))
    await call.write(wrapper_pb2.WrapperSignalRequest(signal=streaming_pb2.Signal(description=answer)))
    return call


async def test_chromium_plays_the_demo_game(
    tmp_path: Path, page: Page, record_property: Callable[[str, object], None]
) -> None:
    message = spec(QUARTERDECK_PIXEL_CLOCK="1")
    message.video.width, message.video.height, message.video.fps, message.video.bitrate_kbps = 1280, 720, 30, 4000
    async with wrapper(tmp_path, message) as process:
        await process.until_running()
        await signal(process, page)
        await page.wait_for_function("window.presented >= 10 && window.channels.keys?.readyState === 'open'")
        assert await page.evaluate("[window.video.videoWidth, window.video.videoHeight]") == [1280, 720]
        first = await page.evaluate(STATS)
        clock = await page.evaluate("window.marks.clock")
        await page.wait_for_function(f"window.marks.clock > {clock} && window.presented >= 60")
        assert await page.evaluate("window.marks.count") == 0
        await page.evaluate("window.channels.keys.send(JSON.stringify({t: 'key', n: 1, code: 'Space', down: true}))")
        await page.wait_for_function("window.marks.count === 1")
        last = await page.evaluate(STATS)
        for name in ("framesDecoded", "framesDropped", "packetsLost", "jitterBufferDelay", "jitterBufferEmittedCount"):
            record_property(name, last[name])
        assert last["framesDecoded"] > first["framesDecoded"]
        assert await page.evaluate("window.messages[0].t") == "hello"
        # A closed tab is noticed.
        await page.close()
        await process.until(lambda status: status.stream.players == 0)
