"""What the player page is heard to play, by WebAudio."""

from __future__ import annotations

from playwright.async_api import Page

from tests.e2e.waiting import until

EAR = """() => {
  const context = new AudioContext();
  window.ear = new AnalyserNode(context, { fftSize: 2048 });
  context.createMediaStreamSource(quarterdeckPlayer.audio.srcObject).connect(window.ear);
}"""
LOUD = """(() => {
  const samples = new Float32Array(ear.fftSize);
  ear.getFloatTimeDomainData(samples);
  return samples.some((one) => Math.abs(one) > 0.02);
})()"""


async def listen(page: Page) -> None:
    """Once there is sound to come."""
    await until(page, "quarterdeckPlayer.audio?.srcObject")
    await page.evaluate(EAR)


async def sounds(page: Page, timeout_s: float = 30) -> None:
    await until(page, LOUD, timeout_s)
