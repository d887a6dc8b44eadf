"""The player with real WebRTC: a peer that offers, a picture that answers to keys, and lines that break."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect

from tests.e2e.stub import Stub, problem
from tests.e2e.waiting import colour, until

# One event loop for all: the browser, which takes long to start, is shared.
pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="session")]

LIVE = "quarterdeckPlayer.state === 'live' && quarterdeckPlayer.framesPresented > 5"


@pytest_asyncio.fixture(loop_scope="session")
async def playing(page: Page, signed_in: Stub) -> Stub:
    signed_in.put("aurora")
    await page.goto(f"{signed_in.url}/#/play/aurora")
    await until(page, LIVE)
    await signed_in.peers[-1].listening()
    return signed_in


def inputs(stub: Stub, *kinds: str) -> list[dict[str, Any]]:
    return [message for _, message in stub.inputs if message["t"] in kinds]


async def heard(stub: Stub, kind: str, count: int = 1) -> list[dict[str, Any]]:
    async with asyncio.timeout(30):
        while len(found := inputs(stub, kind)) < count:
            await asyncio.sleep(0.01)
    return found


async def is_green(page: Page, wanted: bool) -> None:
    async with asyncio.timeout(30):
        while ((seen := await colour(page, 0.5, 0.5))[1] > seen[0] + 80) is not wanted:
            await asyncio.sleep(0.02)


async def test_the_picture_runs_and_its_figures_show(page: Page, playing: Stub) -> None:
    before = await page.evaluate("quarterdeckPlayer.framesPresented")
    await until(page, "quarterdeckPlayer.framesPresented > a + 20", argument=before)
    await until(page, "quarterdeckPlayer.framesDecoded > 20")
    stages = await page.evaluate("quarterdeckPlayer.stages")
    assert 0 < stages["tokenMs"] < stages["offerMs"] < stages["connectedMs"]
    assert stages["pictureMs"] > stages["offerMs"]
    await page.get_by_role("button", name="Figures").click()
    figures = page.get_by_label("Live figures")
    await expect(figures).to_contain_text("320 × 180")
    await expect(figures).to_contain_text("libx264")
    await expect(page.get_by_test_id("glance")).to_contain_text("fps")
    await until(page, "quarterdeckPlayer.figures.roundTripMs > 0")


async def test_a_key_changes_the_picture_and_letting_go_changes_it_back(page: Page, playing: Stub) -> None:
    await is_green(page, False)
    await page.keyboard.down("ArrowLeft")
    await is_green(page, True)
    await page.keyboard.down("ArrowLeft")  # what a held key repeats is not sent
    await page.keyboard.up("ArrowLeft")
    await is_green(page, False)
    assert [(one["code"], one["down"]) for one in inputs(playing, "key")] == [("ArrowLeft", True), ("ArrowLeft", False)]
    counts = [message["n"] for label, message in playing.inputs if label == "keys"]
    assert counts == sorted(set(counts))


async def test_leaving_the_picture_lets_go_of_every_key(page: Page, playing: Stub) -> None:
    await page.keyboard.down("KeyW")
    await is_green(page, True)
    await page.keyboard.press("Shift+Escape")
    await heard(playing, "release")
    await is_green(page, False)
    await page.keyboard.press("KeyA")
    assert not [one for one in inputs(playing, "key") if one["code"] == "KeyA"]
    await page.keyboard.up("KeyW")
    await page.locator(".stage").click()
    await page.keyboard.press("KeyD")
    async with asyncio.timeout(30):
        while "KeyD" not in [one["code"] for one in inputs(playing, "key")]:
            await asyncio.sleep(0.01)


async def test_the_mouse_speaks_in_parts_of_the_picture(page: Page, playing: Stub) -> None:
    box = await page.locator("video").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2, steps=4)
    (point,) = (await heard(playing, "point"))[-1:]
    await page.mouse.down()
    await page.mouse.up()
    await page.mouse.wheel(0, 120)
    pressed, released = await heard(playing, "button", 2)
    (wheel,) = await heard(playing, "wheel")
    assert point["x"] <= 0.26
    assert pressed["x"] == pytest.approx(0.25, abs=0.01)
    assert pressed["y"] == pytest.approx(0.5, abs=0.01)
    assert (pressed["button"], pressed["down"], released["down"]) == (0, True, False)
    assert (wheel["dx"], wheel["dy"]) == (0, 120)
    assert {label for label, one in playing.inputs if one["t"] == "point"} == {"mouse"}


async def test_signalling_may_die_once_the_picture_is_there(page: Page, playing: Stub) -> None:
    (socket,) = playing.sockets
    await socket.close(1012, "the control plane restarts")
    playing.drop_signalling = 1_000_000
    presented = await page.evaluate("quarterdeckPlayer.framesPresented")
    await until(page, "quarterdeckPlayer.framesPresented > a + 40", argument=presented)
    assert len(playing.peers) == 1
    assert await page.evaluate("quarterdeckPlayer.state") == "live"


async def test_a_picture_is_not_taken_away_when_the_login_runs_out(page: Page, playing: Stub) -> None:
    playing.signed_in = False
    presented = await page.evaluate("quarterdeckPlayer.framesPresented")
    answers = [(await page.request.get(f"{playing.url}/v1/account")).status]
    await page.evaluate("fetch('/v1/account')")
    await until(page, "quarterdeckPlayer.framesPresented > a + 20", argument=presented)
    assert answers == [401]


async def test_broken_signalling_is_tried_again_until_the_picture_is_there(page: Page, signed_in: Stub) -> None:
    signed_in.drop_signalling = 1_000_000
    signed_in.put("aurora")
    await page.goto(f"{signed_in.url}/#/play/aurora")
    await expect(page.get_by_text("Reconnecting …")).to_be_visible()
    async with asyncio.timeout(30):
        while len(signed_in.stream_tokens) < 3:
            await asyncio.sleep(0.01)
    signed_in.drop_signalling = 0
    await until(page, LIVE)
    tokens = signed_in.stream_tokens
    assert len(set(tokens)) == len(tokens) > 3, "a stream token works once: each try needs its own"


async def test_a_wrapper_that_goes_away_and_comes_back_is_met_again(page: Page, playing: Stub) -> None:
    await playing.peers[0].connection.close()
    await until(page, "quarterdeckPlayer.peers === 2", timeout_s=30)
    presented = await page.evaluate("quarterdeckPlayer.framesPresented")
    await until(
        page, "quarterdeckPlayer.framesPresented > a + 10 && quarterdeckPlayer.state === 'live'", argument=presented
    )
    await playing.peers[-1].listening()
    await page.keyboard.down("KeyS")
    await is_green(page, True)
    await page.keyboard.up("KeyS")


async def test_a_second_tab_is_another_peer(page: Page, context: BrowserContext, playing: Stub) -> None:
    second = await context.new_page()
    await second.goto(f"{playing.url}/#/play/aurora")
    await until(second, LIVE)
    presented = await page.evaluate("quarterdeckPlayer.framesPresented")
    assert len(playing.peers) == 2
    await second.close()
    await page.bring_to_front()
    await until(page, "quarterdeckPlayer.framesPresented > a + 10", argument=presented)


async def test_the_end_says_why_and_how_long_and_offers_another_round(page: Page, playing: Stub) -> None:
    await page.get_by_role("button", name="Stop", exact=True).click()
    await page.get_by_role("button", name="Stop the session").click()
    await expect(page.get_by_test_id("ending")).to_contain_text("it was stopped on request")
    await expect(page.get_by_test_id("played")).to_have_text("3 min 12 s")
    await until(page, "quarterdeckPlayer.state === 'ended'")
    await page.get_by_role("button", name="Play again").click()
    await expect(page.get_by_text("Waiting for a free place")).to_be_visible()
    assert page.url.endswith("#/play/fresh")
    (asked,) = playing.called("/v1/sessions")
    del asked["clientToken"]
    assert asked == {"game": "games/regatta", "preset": "software-720p30", "region": "local"}


async def test_a_stop_is_not_lost_with_a_control_plane_that_is_away(page: Page, playing: Stub) -> None:
    playing.refuse = (503, problem(14, "AWAY", "The control plane is away."))
    await page.get_by_role("button", name="Stop", exact=True).click()
    await page.get_by_role("button", name="Stop the session").click()
    async with asyncio.timeout(30):
        while len(playing.called("/v1/sessions/aurora:stop")) < 2:
            await asyncio.sleep(0.01)
    await expect(page.get_by_role("button", name="Stopping …")).to_be_disabled()
    assert await page.evaluate("quarterdeckPlayer.state") == "live"
    playing.refuse = None
    await expect(page.get_by_test_id("ending")).to_contain_text("it was stopped on request")


async def test_a_click_on_a_button_leaves_the_keys_with_the_game(page: Page, playing: Stub) -> None:
    await page.get_by_role("button", name="Figures").click()
    await page.keyboard.press("KeyE")
    assert [one["code"] for one in await heard(playing, "key", 2)] == ["KeyE", "KeyE"]


async def test_the_keys_of_the_game_come_from_its_catalogue_entry(page: Page, playing: Stub) -> None:
    await page.get_by_role("button", name="Keys").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Arrow keys steer")
    await page.get_by_role("button", name="Close").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
