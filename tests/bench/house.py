"""`python -m tests.bench.house`: a whole `quarterdeck up`: from the click to the first picture, and calls of the API
and the gateway beside a bare grpc.aio echo and a bare Starlette in the same run. All on one machine."""

from __future__ import annotations

import asyncio
import re
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
import httpx
from playwright.async_api import Page, async_playwright
from quarterdeck.v1 import sessions_pb2, sessions_pb2_grpc

from tests.bench import ceilings
from tests.component.wrapper.page import CHROMIUM, launch
from tests.e2e.waiting import until
from tests.house import House

STARTS = 3
CALLS = 400
AT_ONCE = 16

Call = Callable[[], Awaitable[object]]


async def first_picture(house: House, page: Page) -> dict[str, float]:
    """One session from the click on Start to its first picture, in ms, with what happened when since the click."""
    await page.goto(f"{house.url}/#/")
    start = page.get_by_role("button", name="Start", exact=True)
    await start.wait_for()
    clicked = await page.evaluate("performance.now()")
    await start.click()
    await until(page, "quarterdeckPlayer.state === 'live'", timeout_s=60)
    asked, stages = await page.evaluate("[quarterdeckPlayer.askedAt, quarterdeckPlayer.stages]")
    found = re.search(r"play/([a-z0-9-]+)", page.url)
    assert found, page.url
    session = await asyncio.to_thread(house.json, "sessions", "get", found[1])
    began = moment(session["createTime"])
    figures = {
        f"  {words}": (moment(session["stages"][stage]) - began) * 1000
        for words, stage in (
            ("request to allocated", "allocatedTime"),
            ("request to game started", "gameStartedTime"),
            ("request to first frame encoded", "firstFrameTime"),
        )
    }
    figures["  click to player open"] = asked - clicked
    figures |= {f"  player open to {name.removesuffix('Ms')}": ms for name, ms in stages.items()}
    figures["click to first picture"] = asked + stages["pictureMs"] - clicked
    await asyncio.to_thread(house.json, "sessions", "stop", session["name"], "--wait")
    return figures


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def pace(call: Call) -> dict[str, float]:
    """Milliseconds of one call at a time, and calls per second with some at once."""
    for _ in range(20):
        await call()
    took: list[float] = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call()
        took.append((time.perf_counter() - began) * 1000)
    began = time.perf_counter()

    async def some() -> None:
        for _ in range(CALLS // AT_ONCE):
            await call()

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    cut = statistics.quantiles(took, n=100)
    return {
        "p50 ms": cut[49],
        "p99 ms": cut[98],
        f"calls/s, {AT_ONCE} at once": CALLS // AT_ONCE * AT_ONCE / (time.perf_counter() - began),
    }


async def api_calls(house: House, name: str, token: str) -> Mapping[str, Mapping[str, float]]:
    """GetSession beside an echo of as many bytes."""
    results = {}
    async with grpc.aio.insecure_channel(f"127.0.0.1:{house.grpc_port}") as channel:
        stub = sessions_pb2_grpc.SessionServiceStub(channel)
        metadata = (("authorization", f"Bearer {token}"),)
        request = sessions_pb2.GetSessionRequest(name=name)
        results["GetSession"] = await pace(lambda: stub.GetSession(request, metadata=metadata))
    async with ceilings.running("grpc") as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        echo = channel.unary_unary(ceilings.ECHO)
        results["ceiling: bare grpc.aio"] = await pace(lambda: echo(ceilings.BODY))
    return results


async def gateway_calls(house: House, name: str, token: str) -> Mapping[str, Mapping[str, float]]:
    """GET /v1/sessions/… beside a fixed answer."""
    results = {}
    async with (
        httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client,
        ceilings.running("http") as port,
    ):
        results["GET /v1/sessions/…"] = await pace(lambda: client.get(f"{house.url}/v1/{name}"))
        results["ceiling: bare Starlette"] = await pace(lambda: client.get(f"http://127.0.0.1:{port}/v1/{name}"))
    return results


def tell(results: Mapping[str, Mapping[str, float]]) -> None:
    for name, figures in results.items():
        print(f"{name:40}" + "".join(f"{what:>20} {value:7.1f}" for what, value in figures.items()))


async def starts(house: House) -> None:
    if CHROMIUM is None:
        print("Chromium is not installed: the way to the first picture was not measured")
        return
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        page = await browser.new_page()
        await page.goto(house.page)
        await page.get_by_text("Host online").wait_for()
        told: list[dict[str, Any]] = [await first_picture(house, page) for _ in range(STARTS)]
        await browser.close()
    print(f"{f'{STARTS} sessions of the demo game, ms':44}{'median':>10}{'longest':>10}")
    for name in told[0]:
        values = [one[name] for one in told]
        print(f"{name:44}{statistics.median(values):10.0f}{max(values):10.0f}")


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        began = time.monotonic()
        house = House(Path(directory))
        try:
            await asyncio.to_thread(house.start)
            ready = next(line for line in house.lines if "ready after" in line).strip()
            print(f"{ready}; greeted after {time.monotonic() - began:.1f} s")
            await starts(house)
            session = await asyncio.to_thread(house.json, "sessions", "create", "broadside", "--wait")
            token = (house.data_dir / "operator.token").read_text().strip()
            tell(await api_calls(house, session["name"], token))
            tell(await gateway_calls(house, session["name"], token))
        finally:
            await asyncio.to_thread(house.stop)


if __name__ == "__main__":
    asyncio.run(main())
