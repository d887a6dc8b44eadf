"""The demo game in a real headless Chromium: the picture advances, a key changes what the game drew."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.component.wrapper.page import CHROMIUM, STATS, opened, signal
from tests.component.wrapper.rig import spec, wrapper

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with opened() as page:
        yield page


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
