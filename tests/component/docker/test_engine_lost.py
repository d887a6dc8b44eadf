"""The engine itself is killed: sessions play on, and what the plan wants is reached once it is back."""

from __future__ import annotations

import psutil
import pytest

from hostagent import procfs
from tests.component.docker.rig import EXITED, RUNNING, Fleet, Reason
from tests.component.hostagent.conftest import eventually
from tests.component.hostagent.fakeplane import run_line, stop_line
from tests.docker_engine import Engine

GAME = ("sh", "-c", "echo ready; exec /opt/quarterdeck/launcher/busybox sleep 600")


async def test_a_session_plays_on_without_the_engine_and_stops_when_it_is_back(
    own_fleet: Fleet, box_image: str
) -> None:
    digest = own_fleet.add(box_image, GAME)
    own_fleet.start_agent()
    await own_fleet.run(digest)
    game = procfs.identify(own_fleet.container("game")["State"]["Pid"])
    own_fleet.engine.kill()
    assert procfs.is_alive(game)
    assert own_fleet.plane.is_in("game-1", RUNNING)
    own_fleet.engine.start()
    assert procfs.is_alive(game)
    ended = await own_fleet.stop(digest)
    assert ended.reason == Reason.SESSION_REASON_STOP_REQUESTED
    await eventually(lambda: not own_fleet.containers())


async def test_a_stop_while_the_engine_is_dead_ends_the_game_and_is_told_afterwards(
    own_fleet: Fleet, box_image: str
) -> None:
    digest = own_fleet.add(box_image, GAME)
    own_fleet.start_agent()
    await own_fleet.run(digest)
    game = procfs.identify(own_fleet.container("game")["State"]["Pid"])
    own_fleet.engine.kill()
    own_fleet.plane.plan(stop_line("game-1", digest))
    # The wrapper needs no engine to stop its game.
    await eventually(lambda: not procfs.is_alive(game))
    assert not own_fleet.plane.is_in("game-1", EXITED), "its ports may not be free before its containers are gone"
    own_fleet.engine.start()
    assert (await own_fleet.until(EXITED)).reason == Reason.SESSION_REASON_STOP_REQUESTED
    await eventually(lambda: not own_fleet.containers())


async def test_a_start_begun_without_the_engine_is_finished_when_it_is_back(own_fleet: Fleet, box_image: str) -> None:
    digest = own_fleet.add(box_image, GAME)
    own_fleet.start_agent()
    await own_fleet.plane.until(lambda: own_fleet.plane.streams)
    own_fleet.engine.kill()
    own_fleet.plane.plan(run_line("game-1", digest))
    await own_fleet.plane.until(lambda: own_fleet.plane.reported("game-1") is not None)
    own_fleet.engine.start()
    await own_fleet.until(RUNNING)


@pytest.mark.parametrize("alone", [False, True], ids=["in its own image", "in the wrapper's"])
async def test_an_engine_that_dies_while_it_starts_something_forgets_no_session(
    own_fleet: Fleet, box_image: str, alone: bool
) -> None:
    """It may forget the containers that it was starting: they are undone and made anew, and the game begins once."""
    script = "echo begun >> $HOME/starts; echo ready; exec /opt/quarterdeck/launcher/busybox sleep 600"
    digest = own_fleet.add("" if alone else box_image, ("sh", "-c", script))
    own_fleet.start_agent()
    await own_fleet.plane.until(lambda: own_fleet.plane.streams)
    own_fleet.plane.plan(run_line("game-1", digest))
    await eventually(lambda: [row["State"] for row in own_fleet.containers() if row["State"] != "created"])
    own_fleet.engine.kill()
    own_fleet.engine.start()
    await own_fleet.until(RUNNING)
    assert (own_fleet.path() / "home" / "starts").read_text() == "begun\n"
    assert len(own_fleet.containers()) == (1 if alone else 2)
    assert len(shims(own_fleet.engine)) == len(own_fleet.containers())
    await own_fleet.stop(digest)
    await eventually(lambda: not own_fleet.containers() and not shims(own_fleet.engine))


def shims(engine: Engine) -> list[int]:
    """What keeps containers of this engine alive, those that it has forgotten too."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words and "containerd-shim" in words[0] and any(str(engine.home) in word for word in words):
            found.append(process.pid)
    return found
