"""Waits inside the page, without eval: the pages' content security policy forbids what Playwright's own wait needs."""

from __future__ import annotations

import time
from typing import Any

from playwright.async_api import Page

# What the driver says where the page is another one by now.
LEFT = "Execution context was destroyed"


async def until(page: Page, condition: str, timeout_s: float = 30, argument: Any = None) -> Any:
    """The first truthy value of `condition`, JavaScript over the argument `a`, checked at each animation frame.

    A page that starts over meanwhile, since a module did not arrive, is waited for too. Raises AssertionError with the
    player's own figures when it stays false.
    """
    script = f"""(a) => new Promise((resolve, reject) => {{
      const deadline = {time.time() + timeout_s} * 1000;
      const check = () => {{
        let value;
        try {{
          value = {condition};
        }} catch (error) {{
          if (!(error instanceof ReferenceError)) return reject(error);  // else the page's modules are on their way
        }}
        if (value) resolve(value);
        else if (Date.now() > deadline) reject(new Error(JSON.stringify(window.quarterdeckPlayer)));
        else setTimeout(check, 20);
      }};
      check();
    }})"""
    while True:
        try:
            return await page.evaluate(script, argument)
        except Exception as error:
            if LEFT not in str(error):
                raise AssertionError(f"never true: {condition}: {error}") from error
            await page.wait_for_load_state()


async def colour(page: Page, x: float, y: float) -> list[int]:
    """Red, green and blue of the video's current frame at 0..1 of the picture, averaged over 8 × 8 pixels."""
    script = """([x, y]) => {
      const video = document.querySelector("video");
      const canvas = new OffscreenCanvas(8, 8);
      const context = canvas.getContext("2d");
      context.drawImage(video, x * video.videoWidth - 4, y * video.videoHeight - 4, 8, 8, 0, 0, 8, 8);
      const pixels = context.getImageData(0, 0, 8, 8).data;
      const mean = (at) => pixels.filter((_, index) => index % 4 === at).reduce((sum, one) => sum + one, 0) / 64;
      return [0, 1, 2].map((at) => Math.round(mean(at)));
    }"""
    return await page.evaluate(script, [x, y])  # type: ignore[no-any-return]
