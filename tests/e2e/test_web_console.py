"""The console page against a gateway made of paper: output, typed lines, actions, and streams that break."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.e2e.stub import Stub, problem

# One event loop for all: the browser, which takes long to start, is shared.
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def opened(page: Page, stub: Stub, state: str = "RUNNING") -> None:
    stub.put("aurora", state, streamed=False)
    await page.goto(f"{stub.url}/#/console/aurora")


async def test_what_the_game_prints_shows_and_what_is_typed_reaches_it(page: Page, signed_in: Stub) -> None:
    await opened(page, signed_in)
    log = page.get_by_role("log")
    await expect(log).to_have_text("ready")
    line = page.get_by_label("Line to type into the game")
    await line.fill("say <b>ahoy</b>")
    await line.press("Enter")
    await expect(log).to_contain_text("heard say <b>ahoy</b>")
    await expect(line).to_have_value("")
    await line.press("ArrowUp")
    await expect(line).to_have_value("say <b>ahoy</b>")


async def test_an_action_asks_for_its_parameters_and_sends_them(page: Page, signed_in: Stub) -> None:
    await opened(page, signed_in)
    await page.get_by_role("button", name="Save now").click()
    await expect(page.get_by_role("log")).to_contain_text("heard save {}")
    await page.get_by_role("button", name="weather").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Send").click()
    assert signed_in.called("/v1/sessions/aurora:executeAction")[1:] == []  # a choice without a default must be made
    await dialog.get_by_label("kind").select_option("squall")
    await dialog.get_by_role("button", name="Send").click()
    await expect(dialog).to_have_count(0)
    sent = signed_in.called("/v1/sessions/aurora:executeAction")
    assert sent[1:] == [{"action": "weather", "parameters": {"kind": "squall"}}]


async def test_a_refused_line_stays_to_be_sent_again(page: Page, signed_in: Stub) -> None:
    await opened(page, signed_in)
    line = page.get_by_label("Line to type into the game")
    signed_in.refuse = (400, problem(9, "CONSOLE_BUSY", "The game does not read its input."))
    await line.fill("again")
    await line.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("CONSOLE_BUSY")
    await expect(line).to_have_value("again")
    signed_in.refuse = None
    await line.press("Enter")
    await expect(page.get_by_role("log")).to_contain_text("heard again")
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_a_broken_stream_goes_on_after_the_last_line(page: Page, signed_in: Stub) -> None:
    await opened(page, signed_in)
    log = page.get_by_role("log")
    await expect(log).to_have_text("ready")
    signed_in.cut_consoles()
    signed_in.console.append("while away")
    await expect(log).to_contain_text("while away")
    assert (await log.inner_text()).split("\n")[:2] == ["ready", "while away"]


async def test_the_end_is_told_and_takes_no_more_lines(page: Page, signed_in: Stub) -> None:
    await opened(page, signed_in)
    await expect(page.get_by_role("log")).to_have_text("ready")
    signed_in.put("aurora", "COMPLETED", reason="SESSION_REASON_GAME_EXITED")
    await expect(page.get_by_text("Completed")).to_be_visible()
    await expect(page.get_by_label("Line to type into the game")).to_be_disabled()
    await expect(page.get_by_role("log")).to_contain_text("ready")


async def test_the_log_of_a_session_that_is_over_shows_whole_with_what_its_host_hands_on_late(
    page: Page, signed_in: Stub
) -> None:
    signed_in.console = ["ready", "a storm", "late word"]
    signed_in.put("aurora", "CRASHED", reason="SESSION_REASON_GAME_CRASHED")
    await page.goto(signed_in.url)
    await page.get_by_text("Last 1 that ended").click()
    await page.get_by_role("link", name="Log of session aurora").click()
    await expect(page.get_by_role("log")).to_have_text("ready\na storm\nlate word")
    asked = [path for _, path, _ in signed_in.calls if path.endswith(":followLogs")]
    assert len(asked) == 1


async def test_a_session_that_is_not_there_says_so(page: Page, signed_in: Stub) -> None:
    await page.goto(f"{signed_in.url}/#/console/nowhere")
    await expect(page.get_by_role("alert")).to_contain_text("There is no session nowhere")
