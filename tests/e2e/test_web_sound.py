"""Sound in the player: heard as soon as the browser lets it, as loud as it was left, and missed with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright, expect

from tests.e2e.conftest import FLAGS
from tests.e2e.hearing import listen, sounds
from tests.e2e.stub import Stub
from tests.e2e.test_web_player import LIVE, heard
from tests.e2e.waiting import until

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def sounding(page: Page, signed_in: Stub) -> Stub:
    signed_in.sounds = True
    signed_in.put("aurora")
    await page.goto(f"{signed_in.url}/#/play/aurora")
    await until(page, LIVE)
    await signed_in.peers[-1].listening()
    return signed_in


async def test_it_is_heard_and_as_loud_as_it_was_left(page: Page, sounding: Stub) -> None:
    await listen(page)
    await sounds(page)
    assert await page.evaluate("[quarterdeckPlayer.audio.paused, quarterdeckPlayer.audio.muted]") == [False, False]
    await page.get_by_label("Volume").fill("0.25")
    await page.get_by_role("button", name="Sound on").click()
    await expect(page.get_by_role("button", name="Sound off")).to_be_visible()
    assert await page.evaluate("quarterdeckPlayer.audio.muted")
    await page.keyboard.press("KeyM")
    assert [one["code"] for one in await heard(sounding, "key", 2)] == ["KeyM", "KeyM"], "the click took the keyboard"
    await page.reload()
    await until(page, f"{LIVE} && quarterdeckPlayer.audio")
    assert await page.evaluate("[quarterdeckPlayer.audio.muted, quarterdeckPlayer.audio.volume]") == [True, 0.25]
    await page.get_by_role("button", name="Sound off").click()
    await expect(page.get_by_label("Volume")).to_have_value("0.25")
    assert await page.evaluate("[quarterdeckPlayer.audio.muted, quarterdeckPlayer.audio.paused]") == [False, False]


async def test_a_session_without_sound_says_why(page: Page, signed_in: Stub) -> None:
    signed_in.silent = "PulseAudio is not installed on this host."
    signed_in.put("aurora")
    await page.goto(f"{signed_in.url}/#/play/aurora")
    await until(page, LIVE)
    await expect(page.get_by_test_id("silent")).to_have_text(f"No sound: {signed_in.silent}")
    await expect(page.get_by_label("Volume")).to_have_count(0)


@pytest_asyncio.fixture(loop_scope="session")
async def strict_page(chromium_path: str) -> AsyncIterator[Page]:
    """In a browser that lets no page be heard before it is clicked, as they come."""
    flags = [flag for flag in FLAGS if not flag.startswith("--autoplay-policy")]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_path, args=[*flags, "--autoplay-policy=document-user-activation-required"]
        )
        page = await browser.new_page()
        page.set_default_timeout(30_000)
        yield page
        await browser.close()


@pytest.mark.parametrize("by", ["button", "key", "click"])
async def test_a_page_that_may_not_be_heard_yet_shows_the_picture_and_is_heard_from_the_first_key_or_click(
    strict_page: Page, signed_in: Stub, by: str
) -> None:
    page = strict_page
    signed_in.sounds = True
    signed_in.put("aurora")
    await page.goto(f"{signed_in.url}/#/play/aurora")
    # Playwright's own looks at a page count as its user's doing: none before the sound has come.
    async with asyncio.timeout(30):
        while not (signed_in.peers and signed_in.peers[0].connection.connectionState == "connected"):
            await asyncio.sleep(0.01)
    turn_on = page.get_by_role("button", name="Turn sound on")
    await expect(turn_on).to_be_visible()
    await until(page, LIVE)
    assert await page.evaluate("quarterdeckPlayer.audio.paused")
    if by == "button":
        await turn_on.click()
    elif by == "key":
        await page.keyboard.press("KeyW")
    else:
        await page.locator(".stage").click()
    await expect(page.get_by_role("button", name="Sound on")).to_be_visible()
    await until(page, "!quarterdeckPlayer.audio.paused")
    await listen(page)
    await sounds(page)
