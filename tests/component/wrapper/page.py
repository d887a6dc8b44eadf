"""A page in a real Chromium that takes a wrapper's offer, shows its video and reads the demo game's pixel clock."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from playwright.async_api import Browser, Page, Playwright, async_playwright
from quarterdeck.v1 import streaming_pb2, wrapper_pb2

from tests.component.wrapper.rig import PLAYER, Wrapper

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

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
    if (track.kind === 'audio') window.listen(track);
    else video.srcObject = new MediaStream([track]);
  };
  window.listen = (track) => {
    const stream = new MediaStream([track]);
    window.audio = new Audio();
    window.audio.srcObject = stream;  // Chromium decodes only what an element plays
    window.audio.play();
    const context = window.context = new AudioContext({latencyHint: 'interactive'});
    const splitter = context.createChannelSplitter(2);
    context.createMediaStreamSource(stream).connect(splitter);
    window.ears = [0, 1].map((channel) => {
      const analyser = new AnalyserNode(context, {fftSize: 8192, smoothingTimeConstant: 0});
      splitter.connect(analyser, channel);
      return analyser;
    });
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
  if (window.knowsNoOpus) offer = offer.replace('opus/48000', 'unheardof/48000');
  await connection.setRemoteDescription({type: 'offer', sdp: offer});
  if (window.wantsNoSound)
    connection.getTransceivers().filter((one) => one.receiver.track.kind === 'audio').forEach((one) => one.stop());
  const answer = await connection.createAnswer();
  answer.sdp = answer.sdp.replace(/useinbandfec=1/, 'useinbandfec=1;stereo=1');  // else it plays the middle of both
  await connection.setLocalDescription(answer);
  return connection.localDescription.sdp;
}
"""

# The loudest frequency that each ear hears, in Hz; 0: nothing.
HEARD = """
() => (window.ears ?? []).map((ear) => {
  const decibels = new Float32Array(ear.frequencyBinCount);
  ear.getFloatFrequencyData(decibels);
  let best = 0;
  for (let i = 1; i < decibels.length; i++) if (decibels[i] > decibels[best]) best = i;
  return decibels[best] > -60 ? best * ear.context.sampleRate / ear.fftSize : 0;
})
"""

STATS = """
async () => {
  for (const report of (await window.connection.getStats()).values())
    if (report.type === 'inbound-rtp' && report.kind === 'video') return report;
}
"""


async def launch(playwright: Playwright) -> Browser:
    """Headless, without a sandbox: tests run as root."""
    return await playwright.chromium.launch(
        executable_path=CHROMIUM,
        args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        timeout=120_000,
    )


@asynccontextmanager
async def opened() -> AsyncIterator[Page]:
    """A page of a Chromium of its own, patient: the machine may be busy."""
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        page = await browser.new_page()
        page.set_default_timeout(90_000)
        yield page
        await browser.close()


async def signal(process: Wrapper, page: Page) -> grpc.aio.StreamStreamCall[Any, Any]:
    """Connects the page to the wrapper, without agent and gateway in between."""
    call = process.stub.Signal()
    await call.write(wrapper_pb2.WrapperSignalRequest(open=wrapper_pb2.SignalOpen(role=PLAYER)))
    offer = (await call.read()).signal.description.sdp
    answer = streaming_pb2.SessionDescription(type="answer", sdp=await page.evaluate(PAGE, offer))
    await call.write(wrapper_pb2.WrapperSignalRequest(signal=streaming_pb2.Signal(description=answer)))
    return call
