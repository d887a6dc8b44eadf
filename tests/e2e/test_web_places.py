"""The places of an operator's pages in a real house: machines, capacity, sessions, saves and dead letters, each by the
way that is gone most. What is pressed is done by agents, the object store and the broker; nothing stands in for them.
"""

from __future__ import annotations

import asyncio
import io
import sys
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, Request, expect

from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNTING = """
import pathlib, time
kept = pathlib.Path('world/turns')
kept.parent.mkdir(exist_ok=True)
turns = int(kept.read_text()) + 1 if kept.exists() else 1
kept.write_text(str(turns))
print('turn', turns, flush=True)
time.sleep(3600)
"""
WAITING = 27  # sessions, more than a page of the list holds


class Operator:
    """The gateway's REST, for what a test needs before it looks."""

    def __init__(self, house: House) -> None:
        token = (house.data_dir / "operator.token").read_text().strip()
        self.client = httpx.AsyncClient(base_url=house.url, headers={"authorization": f"Bearer {token}"}, timeout=60)

    async def post(self, path: str, body: Any) -> Any:
        answer = await self.client.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def play(self, **wish: Any) -> str:
        """A session's id."""
        session = await self.post("/v1/sessions", {"game": "games/counter", "queueTimeout": "120s"} | wish)
        return str(session["name"]).removeprefix("sessions/")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory, chromium_path: str) -> AsyncIterator[House]:
    house = House(tmp_path_factory.mktemp("places"), local_vms="1", provider_poll_s="0.3", provider_listing_lag_s="0.5")
    await asyncio.to_thread(house.start)
    yield house
    await asyncio.to_thread(house.stop)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def operator(house: House) -> AsyncIterator[Operator]:
    operator = Operator(house)
    await operator.post("/v1/games?gameId=counter", {"displayName": "Counter"})
    deployment = {
        "command": [sys.executable, "-c", COUNTING], "picture": "PICTURE_NONE", "readiness": {"logPattern": "^turn "},
        "volumes": [{"volumeName": "world", "path": "world"}], "saves": {"volumes": ["world"]},
    }  # fmt: skip
    await operator.post("/v1/games/counter/deployments", deployment)
    yield operator
    await operator.client.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def signed_in(browser: Browser, house: House) -> AsyncIterator[Any]:
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    await page.goto(house.page)
    await expect(page.get_by_role("heading", name="VMs and hosts")).to_be_visible()
    await page.close()
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(signed_in: Any, house: House) -> AsyncIterator[Page]:
    """On the fleet page. Script errors, refused scripts and a second open stream fail the test."""
    page = await signed_in.new_page()
    page.set_default_timeout(30_000)
    broken: list[str] = []
    streams: set[Request] = set()
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", lambda line: broken.append(line.text) if "Content Security Policy" in line.text else None)
    page.on("request", lambda request: streams.add(request) if ":watch" in request.url else None)
    page.on("requestfailed", lambda request: streams.discard(request))
    page.on("requestfinished", lambda request: streams.discard(request))
    await page.goto(f"{house.url}/#/")
    try:
        yield page
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        async with asyncio.timeout(30):  # that one has been left is told in its time
            while len(streams) != 1:
                await asyncio.sleep(0.02)
        assert broken == []
    except BaseException as error:
        error.add_note(house.logs())
        raise
    finally:
        await page.close()


def panel(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


async def answer(page: Page, verb: str, **fields: str) -> None:
    """Fills the fields of the open dialog, presses its button, and waits until it has been done."""
    dialog = page.get_by_role("dialog")
    for label, value in fields.items():
        await dialog.get_by_label(label.replace("_", " ")).fill(value)
    await dialog.get_by_role("button", name=verb, exact=True).click()
    await expect(dialog).to_have_count(0)


async def test_a_rented_machine_from_its_purchase_to_its_end(page: Page, operator: Operator) -> None:
    await operator.post("/v1/vms", {"vmId": "rented", "region": "local", "provider": "local"})
    await page.get_by_role("link", name="rented").click()
    head = panel(page, "rented")
    await expect(head).to_contain_text("Ready", timeout=60_000)
    await expect(panel(page, "Capabilities")).to_contain_text("libx264")
    await expect(panel(page, "Attempts")).to_contain_text("Succeeded")
    await expect(panel(page, "History").get_by_role("row")).to_have_count(4)  # its head, and three states
    await expect(panel(page, "Host events")).to_contain_text("Online")

    for _ in range(2):
        await page.get_by_role("button", name="Reserve a port").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Number").fill("23456")
        await dialog.get_by_label("What for").fill("voice")
        await dialog.get_by_role("button", name="Reserve").click()
        await expect(panel(page, "Ports")).to_contain_text("voice")
    await expect(dialog.get_by_role("alert")).to_contain_text("PORT_TAKEN")
    await dialog.get_by_role("button", name="Cancel").click()
    await panel(page, "Ports").get_by_role("button", name="Release udp 23456").click()
    await answer(page, "Release")
    await expect(panel(page, "Ports")).to_contain_text("none is reserved")

    await head.get_by_role("button", name="Drain").click()
    await expect(head).to_contain_text("Draining")
    await head.get_by_role("button", name="Undrain").click()
    await expect(head.get_by_role("button", name="Drain rented", exact=True)).to_be_visible()
    await head.get_by_role("button", name="Switch off").click()
    await answer(page, "Switch off")
    await expect(head).to_contain_text("Stopped", timeout=60_000)
    await head.get_by_role("button", name="Terminate").click()
    await answer(page, "Terminate")
    await expect(head).to_contain_text("Terminated", timeout=60_000)
    await expect(head.get_by_role("button")).to_have_count(0)
    await expect(panel(page, "History")).to_contain_text("undrain")

    await page.get_by_role("link", name="Capacity").click()
    await panel(page, "All VMs").get_by_label("State").select_option("terminated")
    await panel(page, "All VMs").get_by_role("link", name="rented").click()
    await expect(panel(page, "rented")).to_contain_text("Terminated")


async def test_limits_pools_and_budget_and_why_nothing_is_rented(page: Page, operator: Operator) -> None:
    await page.get_by_role("link", name="Capacity").click()
    regions, pools = panel(page, "Regions"), panel(page, "Pools")
    await expect(pools).to_contain_text("First set the limit of a region")
    await regions.get_by_role("button", name="Edit eu-west-1").click()
    limits = {"Machines rented by themselves, at most": "2", "Then tried, in this order": "us-east-1"}
    await answer(page, "Set", **limits)
    dublin = regions.get_by_role("row", name="Dublin")
    await expect(dublin).to_contain_text("0 of 2")
    await expect(dublin.get_by_role("cell").nth(6)).to_have_text("us-east-1")

    await pools.get_by_role("button", name="New pool").click()
    await page.get_by_label("Template").select_option("local")
    await answer(page, "Make it", Name="evening", Slots_to_keep_free="3")
    # The provider of this house offers nothing there: the pool says so by itself.
    await expect(pools).to_contain_text("0 of 3 wanted")
    await expect(pools).to_contain_text("NO_OFFER")
    # Where a pool wants slots there are too few; where nobody does, none is missing.
    await expect(dublin.get_by_role("cell").nth(3).locator(".warn")).to_have_text("0 low under 1")
    idle = regions.get_by_role("row", name="us-east-1").get_by_role("cell").nth(3)
    await expect(idle).to_have_text("0")
    await expect(idle.locator(".warn")).to_have_count(0)
    await pools.get_by_role("button", name="Edit pool evening").click()
    await answer(page, "Set", Slots_to_keep_free="0")
    await expect(pools).to_contain_text("0 of 0 wanted")

    await page.get_by_role("button", name="Set the budget").click()
    await answer(page, "Set", An_hour="2.5")
    await expect(page.get_by_label("Capacity at a glance")).to_contain_text("of 2.50 USD")
    await pools.get_by_role("button", name="Delete pool evening").click()
    await answer(page, "Delete")
    await expect(pools).to_contain_text("No pool keeps slots free")


async def test_sessions_are_filtered_and_turned_page_by_page(page: Page, operator: Operator) -> None:
    wish = {"region": "ap-northeast-1", "queueTimeout": "3600s"}
    *_, newest = [await operator.play(**wish) for _ in range(WAITING)]
    await page.get_by_role("link", name="Sessions").click()
    rows = panel(page, "Sessions").get_by_role("row")
    await page.get_by_label("Show").select_option("Only: pending")
    await expect(rows).to_have_count(1 + 25)
    await page.get_by_role("button", name="Next").click()
    await expect(rows).to_have_count(1 + WAITING - 25)
    await expect(page.get_by_role("button", name="Next")).to_be_disabled()
    # Whoever opens a session and comes back finds the list as it was left.
    await rows.nth(1).get_by_role("link").click()
    await expect(page.get_by_role("list", name="Story")).to_contain_text("Asked")
    await page.go_back()
    await expect(page.get_by_text("Page 2")).to_be_visible()
    await expect(rows).to_have_count(1 + WAITING - 25)
    await page.get_by_role("button", name="Previous").click()
    await rows.filter(has_text=newest).get_by_role("link").click()
    await panel(page, f"counter {newest}").get_by_role("button", name="Stop").click()
    await answer(page, "Stop it")
    story = page.get_by_role("list", name="Story")
    await expect(story).to_contain_text("it was cancelled before it started")
    await page.go_back()
    await page.get_by_label("Show").select_option("Ended")
    await expect(rows.filter(has_text=newest)).to_contain_text("Stopped")


async def test_a_session_is_told_from_its_wish_to_what_it_left(page: Page, operator: Operator, tmp_path: Path) -> None:
    session = await operator.play(saveId="voyage", waitUntilPlayable=True)
    await page.get_by_role("link", name=session, exact=True).click()
    head, events, log = panel(page, f"counter {session}"), panel(page, "Events"), panel(page, "Log")
    # Opened late, it is told from its beginning.
    await expect(events).to_contain_text("Assigned")
    await expect(events.get_by_role("row").nth(1)).to_contain_text("Running")
    await expect(log).to_contain_text("turn 1")
    await head.get_by_role("button", name="Back up now").click()
    await answer(page, "Back up")
    await expect(panel(page, "Backups")).to_contain_text("Completed")
    await head.get_by_role("button", name="Stop").click()
    await answer(page, "Stop it")
    await expect(page.get_by_role("list", name="Story")).to_contain_text("it was stopped on request")
    await expect(events).to_contain_text("it was stopped on request")
    await log.get_by_label("Only lines that contain").fill("storm")
    await log.get_by_role("button", name="Search").click()
    await expect(log).to_contain_text("No stored line contains that.")

    await head.get_by_role("link", name="voyage").click()
    await expect(panel(page, "Versions")).to_contain_text("Current")
    second = await operator.play(saveId="voyage", waitUntilPlayable=True)
    await operator.post(f"/v1/sessions/{second}:stop", {"wait": True})
    await panel(page, "Versions").get_by_role("button", name="Restore version 1").click()
    await answer(page, "Restore")
    await expect(panel(page, "voyage")).to_contain_text("version 1")

    await page.get_by_role("link", name="Saves", exact=True).click()
    backups, schedules = panel(page, "Backups"), panel(page, "Schedules")
    async with page.expect_download() as started:
        await backups.get_by_role("button", name="Download").click()
    archive = await (await started.value).path()
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as files:
        assert [name for name in files.getnames() if name.endswith("world/turns")]
    await backups.get_by_role("button", name="Restore").click()
    await answer(page, "Restore", Into_save="another")
    await expect(panel(page, "Saves").get_by_role("link", name="another")).to_be_visible()

    await schedules.get_by_role("button", name="New schedule").click()
    await page.get_by_label("Game", exact=True).select_option("Counter")
    await answer(page, "Schedule", When="0 5 * * *", Time_zone="Europe/Berlin")
    await expect(schedules).to_contain_text("the last 7")
    await schedules.get_by_role("button", name="Pause").click()
    await expect(schedules).to_contain_text("Paused")
    await schedules.get_by_role("button", name="Delete").click()
    await answer(page, "Delete")
    await expect(schedules).to_contain_text("Nothing is backed up by itself.")


async def test_a_dead_letter_is_read_replayed_and_deleted(page: Page, house: House) -> None:
    await page.get_by_role("link", name="Dead letters").click()
    letters = panel(page, "Dead letters")
    await expect(letters).to_contain_text("every message found its consumer")
    broker = house.data_dir / "nats"
    url = f"nats://127.0.0.1:{(broker / 'port').read_text().strip()}"
    client = await nats.connect(url, token=(broker / "token").read_text().strip())
    await client.jetstream().publish("quarterdeck.work.report.local", b"\xff no report")
    await client.close()
    await letters.get_by_role("button", name="Show").click()
    await expect(page.get_by_role("dialog")).to_contain_text("ff 20 6e 6f")
    await answer(page, "Replay")
    # It failed again, and may be asked for again.
    await expect(letters.get_by_role("button", name="Replay")).to_be_visible()
    await letters.get_by_role("button", name="Delete").click()
    await answer(page, "Delete")
    await expect(letters).to_contain_text("every message found its consumer")
