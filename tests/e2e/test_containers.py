"""The main job with containers: a game in its own image, on a bridge network, in Chromium; console, stop and kills."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from quarterdeck.v1 import games_pb2

from hostagent import procfs
from tests.console import typed
from tests.docker_engine import Engine
from tests.e2e.containers import ContainerHouse, eventually, off, reason_word, state_word
from tests.e2e.hearing import listen, sounds
from tests.e2e.test_play import SAILS, advance, at_rest, sails_reach, steer
from tests.e2e.waiting import until

# A game of ours as it is, and beside it a listener on its console that keeps what it hears in a volume.
LISTENS = (
    "cat /world/heard; exec 4<&0; (while read -r line; do echo $line >>/world/heard; echo heard $line; done) <&4 &"
    " exec python3 -P -m examples.broadside </dev/null"
)

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="session")]


KEPT = {
    "picture": games_pb2.PICTURE_FRAMES,
    "volumes": {"world": "/world"},
    "saves": games_pb2.SaveSpec(volumes=["world"]),
}


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    page.set_default_timeout(30_000)
    yield page
    await context.close()


@pytest_asyncio.fixture(loop_scope="session", params=["sqlite", "postgres"])
async def house(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    docker_engine: Engine,
    shipped_image: str,
    broadside_image: str,
    chromium_path: str,
) -> AsyncIterator[ContainerHouse]:
    options = {"database_url": request.getfixturevalue("postgres_url")} if request.param == "postgres" else {}
    house = ContainerHouse(tmp_path, docker_engine, shipped_image, **options)
    try:
        await off(house.start)
        await off(house.add_game, "broadside-in-a-box", broadside_image, ("sh", "-c", LISTENS), **KEPT)
        yield house
    finally:
        await off(house.stop)
    assert house.networks() == []


async def test_a_game_in_a_container_is_played_saved_and_played_on_and_leaves_nothing(
    house: ContainerHouse, page: Page
) -> None:
    session = await off(house.ask, "broadside-in-a-box", True, "voyage")
    assert state_word(session) == "RUNNING", f"{session}\n{house.logs()}"
    await page.goto(f"{house.house.page}/play/{session.name.partition('/')[2]}")
    await until(page, "quarterdeckPlayer.state === 'live'", timeout_s=60)
    await advance(page, 60)
    game, wrapper = house.container(session.name, "game"), house.container(session.name, "wrapper")
    assert wrapper["HostConfig"]["NetworkMode"].startswith("quarterdeck-")
    assert game["HostConfig"]["NetworkMode"] == f"container:{wrapper['Id']}"

    await steer(page)

    house.engine.client.pause(game["Id"])
    held = await at_rest(page)
    await page.keyboard.down("ArrowLeft")
    await asyncio.sleep(1.0)
    assert await page.evaluate(SAILS) == pytest.approx(held, abs=0.02), "the pixels are not the container's"
    house.engine.client.unpause(game["Id"])
    await sails_reach(page, 0.0, 0.2)
    await page.keyboard.up("ArrowLeft")

    printed = await typed(house.house, session.name, "land ho", "heard land ho")
    assert await typed(house.house, session.name, "again", "heard again", printed[-1][0]) == [
        (printed[-1][0] + 1, "heard again")
    ]
    await off(house.stop_session, session.name)
    ended = await off(house.until, session.name, "STOPPED")
    assert reason_word(ended) == "STOP_REQUESTED"
    await off(house.until_nothing_is_left)

    following = await off(house.ask, "broadside-in-a-box", True, "voyage")
    assert state_word(following) == "RUNNING", f"{following}\n{house.logs()}"
    printed = await typed(house.house, following.name, "home", "heard home")
    assert [text for _, text in printed][:2] == ["land ho", "again"], "the save was not restored"
    await off(house.stop_session, following.name)
    await off(house.until, following.name, "STOPPED")
    await off(house.until_nothing_is_left)


@pytest.mark.parametrize("house", ["sqlite"], indirect=True)
async def test_a_strange_game_is_heard(house: ContainerHouse, page: Page, games_image: str) -> None:
    """Out of Debian, with no change to it; SDL finds the session's PulseAudio by itself."""
    await off(house.add_game, "circus", games_image, ("circuslinux",), picture=games_pb2.PICTURE_X11)
    session = await off(house.ask, "circus", True)
    assert state_word(session) == "RUNNING", f"{session}\n{house.logs()}"
    await page.goto(f"{house.house.page}/play/{session.name.partition('/')[2]}")
    await until(page, "quarterdeckPlayer.state === 'live'", timeout_s=60)
    try:
        await listen(page)
        await sounds(page)
    except AssertionError as error:
        error.add_note(house.logs())
        raise
    (sound,) = [line for line in processes(house, session.name) if line.startswith("/usr/bin/pulseaudio")]
    assert sound
    settings = house.container(session.name, "wrapper")
    assert settings["HostConfig"]["ReadonlyRootfs"]
    assert not settings["Config"]["User"].startswith("0")
    await off(house.stop_session, session.name)
    await off(house.until, session.name, "STOPPED")
    await off(house.until_nothing_is_left)


def processes(house: ContainerHouse, session: str) -> list[str]:
    """Command lines of what runs in the wrapper's container and beside it."""
    told = house.engine.client.top(house.container(session, "wrapper")["Id"])
    at = told["Titles"].index("CMD")
    return [row[at] for row in told["Processes"]]


@pytest.mark.parametrize("house", ["sqlite"], indirect=True)
async def test_the_picture_goes_on_while_agent_and_engine_are_killed(house: ContainerHouse, page: Page) -> None:
    if not house.engine.ours:
        pytest.skip("no Docker Engine of our own to kill: QUARTERDECK_TEST_DOCKER is set")
    session = await off(house.ask, "broadside-in-a-box", True)
    assert state_word(session) == "RUNNING", f"{session}\n{house.logs()}"
    await page.goto(f"{house.house.page}/play/{session.name.partition('/')[2]}")
    await until(page, "quarterdeckPlayer.state === 'live'", timeout_s=60)
    await advance(page, 30)
    game = procfs.identify(house.container(session.name, "game")["State"]["Pid"])
    assert game is not None

    house.engine.kill()
    agent = house.house.pid("agent")
    os.kill(agent, signal.SIGKILL)
    await advance(page, 60)
    assert procfs.is_alive(game)
    await off(house.engine.start)
    await off(eventually, lambda: house.house.pids("agent") not in ([], [agent]))
    await advance(page, 60)
    state, peers = await page.evaluate("(p => [p.state, p.peers])(quarterdeckPlayer)")
    assert (state, peers) == ("live", 1), "the player lost its stream"

    await off(house.stop_session, session.name)
    await off(house.until, session.name, "STOPPED")
    await off(house.until_nothing_is_left)
