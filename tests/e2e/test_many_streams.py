"""As many streamed sessions at once as the cores carry: one more each time, all watched in Chromium; nothing leaked.

Browser, games, encoders and house share the cores. They carry a number when every player of it decodes nine pictures in
ten of those it should; that figure is printed. QUARTERDECK_TEST_STREAMS bounds it: three, unless it says more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
import sqlalchemy as sa
from playwright.async_api import Browser, Page
from quarterdeck.v1 import sessions_pb2, vms_pb2

from controlplane.adapters.store.audit import violations
from tests.component.test_hundred import Operator, held, marked, start_agent
from tests.conftest import end_process
from tests.contract.store.rows import synchronous
from tests.e2e.waiting import until
from tests.house import House
from tests.ports import free_ports

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

MOST = int(os.environ.get("QUARTERDECK_TEST_STREAMS", "3"))
FPS, WATCHED_S, SHARE = 30, 4.0, 0.9
MACHINES = ("one", "two")
PLAYS = "window.quarterdeckPlayer?.state === 'live' && quarterdeckPlayer.framesDecoded > 10"
RUNNING, STOPPED = sessions_pb2.SESSION_STATE_RUNNING, sessions_pb2.SESSION_STATE_STOPPED


class Fleet:
    """A house with two agents on this machine, each with room for six streams; and the pages that watch."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house, self.folder = house, folder
        self.operator = Operator(house)
        self.processes = [start_agent(self.operator, folder, vm_id) for vm_id in MACHINES]
        deadline = time.monotonic() + 120
        for vm_id in MACHINES:
            wanted = vms_pb2.GetVmRequest(name=f"vms/{vm_id}")
            while self.operator.call(self.operator.vms.GetVm, wanted).state != vms_pb2.VM_STATE_READY:
                assert time.monotonic() < deadline, house.logs()
                time.sleep(0.2)
        self.before = self.held()

    def held(self) -> list[tuple[int, ...]]:
        return [held(psutil.Process(process.pid)) for process in self.processes]

    def create(self) -> str:
        wish = sessions_pb2.CreateSessionRequest(game="games/broadside", wait_until_playable=True)
        session = self.operator.call(self.operator.sessions.CreateSession, wish, 120.0)
        assert session.state == RUNNING, session
        return str(session.name)

    def stop(self, name: str) -> None:
        self.operator.call(self.operator.sessions.StopSession, sessions_pb2.StopSessionRequest(name=name))

    def state(self, name: str) -> int:
        request = sessions_pb2.GetSessionRequest(name=name)
        return int(self.operator.call(self.operator.sessions.GetSession, request).state)

    def link(self) -> str:
        return str(self.house.json("signin")["url"])

    def left(self) -> list[object]:
        with synchronous(f"sqlite:///{self.house.data_dir / 'quarterdeck.db'}").connect() as rows:
            leases = rows.execute(sa.text("SELECT host_port FROM port_leases WHERE free_at IS NULL")).all()
            units = rows.execute(sa.text("SELECT id FROM vms WHERE used_units <> 0")).all()
        directories = list((self.folder / "agents").glob("*/sessions/*"))
        return [*marked(self.folder), *directories, *leases, *units]

    def end(self) -> None:
        self.operator.close()
        for process in self.processes:
            end_process(process)
        for row in marked(self.folder):
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(row.id.pid).kill()


@pytest_asyncio.fixture(loop_scope="session")
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    house = House(tmp_path, "--no-agent", media_ports=free_ports(400))
    await asyncio.to_thread(house.start)
    try:
        fleet = await asyncio.to_thread(Fleet, house, tmp_path)
        yield fleet
        await asyncio.to_thread(fleet.end)
    finally:
        await asyncio.to_thread(house.stop)


async def rates(pages: list[Page]) -> list[float]:
    """Pictures that each page decodes in a second, all at the same time."""
    before = await asyncio.gather(*(page.evaluate("quarterdeckPlayer.framesDecoded") for page in pages))
    began = time.monotonic()
    await asyncio.sleep(WATCHED_S)
    after = await asyncio.gather(*(page.evaluate("quarterdeckPlayer.framesDecoded") for page in pages))
    took_s = time.monotonic() - began
    return [round((now - then) / took_s, 1) for now, then in zip(after, before, strict=True)]


async def test_streams_are_added_until_the_cores_carry_no_more_and_nothing_is_left(
    fleet: Fleet, browser: Browser
) -> None:
    context = await browser.new_context(viewport={"width": 640, "height": 400})
    names: list[str] = []
    pages: list[Page] = []
    carried = 0
    while len(names) < MOST and carried == len(names):
        names.append(await asyncio.to_thread(fleet.create))
        page = await context.new_page()
        pages.append(page)
        start = await asyncio.to_thread(fleet.link) if len(pages) == 1 else f"{fleet.house.url}/#"
        await page.goto(f"{start}/play/{names[-1].partition('/')[2]}")
        await until(page, PLAYS, timeout_s=90)
        seen = await rates(pages)
        print(f"{len(names)} streams, decoded pictures per second of each: {seen}")
        assert min(seen) > 0, "a player sees nothing"
        if min(seen) >= FPS * SHARE:
            carried = len(names)
    print(f"{psutil.cpu_count()} cores carry {carried} streams of 720p30{' or more' if carried == MOST else ''}")

    for name in names:
        await asyncio.to_thread(fleet.stop, name)
    await context.close()
    async with asyncio.timeout(90):
        while [name for name in names if await asyncio.to_thread(fleet.state, name) != STOPPED]:
            await asyncio.sleep(0.1)
        while await asyncio.to_thread(fleet.left):
            await asyncio.sleep(0.1)
    for now, then in zip(fleet.held(), fleet.before, strict=True):
        assert all(one <= other + 10 for one, other in zip(now, then, strict=True)), (now, then)
    assert violations(f"sqlite:///{fleet.house.data_dir / 'quarterdeck.db'}") == []
