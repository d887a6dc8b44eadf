"""The main job, end to end: `quarterdeck up`, a real browser, a game that answers, a stop, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.e2e.hearing import LOUD, listen, sounds
from tests.e2e.house import House, enter
from tests.e2e.waiting import until

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

# Where the player's sails are, as share of the picture's width. Only they are cream, and only below the horizon is the
# sky with its clouds and its sun out of the way.
SAILS = """() => {
  const video = document.querySelector("video");
  const [width, height] = [320, 180];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, width, height);
  const pixels = context.getImageData(0, height / 2, width, height / 2).data;
  let [sum, count] = [0, 0];
  for (let at = 0; at < pixels.length; at += 4) {
    const [red, green, blue] = [pixels[at], pixels[at + 1], pixels[at + 2]];
    if (red > 215 && green > 205 && blue > 175 && red - blue > 8) { sum += (at / 4) % width; count += 1; }
  }
  return count > 20 ? sum / count / width : null;
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def house(tmp_path: Path, chromium_path: str, free_port: Callable[..., int]) -> AsyncIterator[House]:
    house = await enter(tmp_path, free_port(), free_port(), free_port(socket.SOCK_DGRAM))
    yield house
    await house.end()


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(browser: Browser) -> AsyncIterator[Page]:
    """A browser that was never here before."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    page.set_default_timeout(30_000)
    yield page
    await context.close()


async def sails_reach(page: Page, low: float, high: float, timeout_s: float = 30) -> float:
    """Waits until the player's ship is seen between `low` and `high` of the picture's width."""
    seen: list[float | None] = []
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                seen.append(await page.evaluate(SAILS))
                if seen[-1] is not None and low <= seen[-1] <= high:
                    return seen[-1]
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"the ship stayed at {seen[-10:]}") from None


async def at_rest(page: Page, timeout_s: float = 30) -> float:
    """Where the player's ship is once what was on its way has arrived, and it stays there."""
    seen: list[float | None] = [None]
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                seen.append(await page.evaluate(SAILS))
                before, now = seen[-2:]
                if before is not None and now is not None and abs(now - before) < 0.005:
                    return now
                await asyncio.sleep(0.3)
    except TimeoutError:
        raise AssertionError(f"the ship never rests: {seen[-10:]}") from None


async def advance(page: Page, frames: int) -> None:
    presented = await until(page, "1 + quarterdeckPlayer.framesPresented") - 1
    await until(page, f"quarterdeckPlayer.framesPresented >= a + {frames}", timeout_s=30, argument=presented)


async def test_a_stranger_plays_from_the_printed_link_to_a_clean_end(house: House, stranger: Page) -> None:
    page = stranger
    try:
        await start_a_session(house, page)
        await play(house, page)
        await stop(page)
    except BaseException as error:
        error.add_note(house.logs())
        raise
    await leave_nothing_behind(house)


async def test_the_demo_plays_at_the_address_it_prints_and_ctrl_c_ends_even_a_game(
    tmp_path: Path, stranger: Page, chromium_path: str, free_port: Callable[..., int]
) -> None:
    house = await enter(tmp_path, free_port(), free_port(), free_port(socket.SOCK_DGRAM), "--demo")
    try:
        async with asyncio.timeout(60):
            link = await house.read_link(r"http://\S+/#/signin/\S+/play/\S+")
        await stranger.goto(link)
        await advance(stranger, 30)
        assert re.fullmatch(r"http://\S+/#/play/s-\w+", stranger.url)
        await leave_nothing_behind(house)
    except BaseException as error:
        error.add_note(house.logs())
        raise
    finally:
        await house.end()


async def start_a_session(house: House, page: Page) -> None:
    await page.goto(house.link)
    await expect(page.get_by_text("Host online")).to_be_visible(timeout=60_000)
    assert "signin" not in page.url
    await page.get_by_role("button", name="Start", exact=True).click()
    await until(page, "quarterdeckPlayer.state === 'live'", timeout_s=60)


async def play(house: House, page: Page) -> None:
    await advance(page, 60)
    await until(page, "quarterdeckPlayer.framesDecoded >= 30")
    assert await page.evaluate("(v => [v.videoWidth, v.videoHeight])(document.querySelector('video'))") == [1280, 720]

    await steer(page)
    await pixels_are_the_games_own(house, page)
    await guns_are_heard(page)


async def steer(page: Page) -> None:
    """To the left, and to the right."""
    await until(page, "quarterdeckPlayer.figures.roundTripMs > 0")  # the game hears the player
    await page.locator(".stage").focus()
    await page.keyboard.down("ArrowLeft")
    await sails_reach(page, 0.0, 0.2)
    await page.keyboard.up("ArrowLeft")
    await page.keyboard.down("ArrowRight")
    await sails_reach(page, 0.6, 1.0)
    await page.keyboard.up("ArrowRight")


async def pixels_are_the_games_own(house: House, page: Page) -> None:
    """While the game's process is held, keys change nothing; once it runs again, they do."""
    named = [one for one in house.processes() if "examples.broadside" in one.cmdline()]
    (game,) = [one for one in named if not one.children()]  # not the keeper above it, which names its command too
    game.suspend()
    try:
        before = await at_rest(page)
        await page.keyboard.down("ArrowLeft")
        await asyncio.sleep(1.0)
        held = await page.evaluate(SAILS)
    finally:
        game.resume()
    assert held == pytest.approx(before, abs=0.02)
    await sails_reach(page, 0.0, 0.2)
    await page.keyboard.up("ArrowLeft")


async def guns_are_heard(page: Page) -> None:
    await expect(page.get_by_role("button", name="Sound on")).to_be_visible()
    assert await page.evaluate("!quarterdeckPlayer.audio.paused && !quarterdeckPlayer.audio.muted")
    await listen(page)
    await until(page, f"!{LOUD}")
    await page.keyboard.press("Space")
    await sounds(page)
    await until(page, f"!{LOUD}")


async def stop(page: Page) -> None:
    await page.get_by_role("button", name="Stop", exact=True).click()
    await page.get_by_role("button", name="Stop the session").click()
    await expect(page.get_by_test_id("ending")).to_have_text(re.compile(r"^Stopped: it was stopped on request"))
    played = await page.get_by_test_id("played").inner_text()
    assert re.fullmatch(r"\d+(\.\d)? s|\d+ min \d\d s", played), played
    assert played != "0.0 s"
    await page.get_by_role("link", name="To the fleet").click()
    await page.get_by_text("Last 1 that ended").click()
    await expect(page.get_by_role("listitem").filter(has_text="it was stopped on request")).to_be_visible()
    await expect(page.get_by_role("meter", name="Used capacity of local")).to_have_attribute("aria-valuenow", "0")


async def leave_nothing_behind(house: House) -> None:
    family = [house.process.pid, *(one.pid for one in house.processes())]
    ports = house.ports()
    assert len(family) > 3
    assert {int(house.origin.rpartition(":")[2])} < ports
    assert await house.interrupt() == 0, house.logs()
    assert house.processes() == []
    assert [pid for pid in family if psutil.pid_exists(pid)] == []
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, f"port {port} still answers"
    assert house.strays() == []
    assert oct(os.stat(house.data_dir).st_mode & 0o077) == "0o0", "others may look into the data directory"
