"""Games, images and disks that go wrong: a clear reason each time, the session over, nothing left, the host fit for the
next one. In containers, and as programs of the host where that can be. Pulls that fail are in test_pull.py."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from quarterdeck.v1 import games_pb2

from tests.component.docker.rig import EXITED, Fleet, Reason
from tests.component.hostagent.conftest import eventually
from tests.component.hostagent.fakeplane import run_line, stop_line
from tests.docker_engine import Engine
from tests.house import House
from tests.small_disk import small_disk as a_small_disk
from tests.spooled import segments

DEAF = "trap '' TERM; echo ready; while :; do sleep 1; done"


@pytest.fixture(params=["containers", "processes"])
def machine(request: pytest.FixtureRequest, fleet: Fleet) -> Fleet:
    """A machine whose games are containers, or programs of its own."""
    fleet.contained = request.param == "containers"
    return fleet


@pytest.fixture
def small_disk(machine: Fleet) -> Iterator[Path]:
    """The agent's data directory on a disk of its own, of eight megabytes."""
    with a_small_disk(machine.agents.data_dir(), 8192) as directory:
        machine.agents.root.joinpath("agent.token").write_text("token-1")
        yield directory
        machine.agents.end()
        machine.remove_all()


async def nothing_is_left(machine: Fleet) -> None:
    await eventually(lambda: not machine.agents.marked(), 60)
    await eventually(lambda: not machine.containers(), 60)


async def plays_the_next(machine: Fleet, image: str) -> None:
    digest = machine.add(image, ("sh", "-c", "echo ready; exec sleep 600"), session_id="next")
    await machine.run(digest, "next")
    await machine.stop(digest, "next")


async def test_a_game_that_ignores_sigterm_is_killed_after_its_grace_and_the_end_says_so(
    machine: Fleet, box_image: str
) -> None:
    digest = machine.add(box_image, ("sh", "-c", DEAF), grace_ms=500)
    machine.start_agent()
    await machine.run(digest)
    ended = await machine.stop(digest)
    assert ended.reason == Reason.SESSION_REASON_STOP_REQUESTED
    assert ended.reason_detail == "It did not stop within 0.5 s and was killed."
    await nothing_is_left(machine)
    await plays_the_next(machine, box_image)


async def test_a_game_that_forks_deaf_children_into_sessions_of_their_own_leaves_none(
    machine: Fleet, box_image: str
) -> None:
    script = f'for i in 1 2 3; do /bin/busybox setsid sh -c "{DEAF}" & done; {DEAF}'
    digest = machine.add(box_image, ("sh", "-c", script), grace_ms=500)
    machine.start_agent()
    await machine.run(digest)
    assert (await machine.stop(digest)).reason == Reason.SESSION_REASON_STOP_REQUESTED
    await nothing_is_left(machine)


async def test_a_game_that_puts_itself_into_the_background_is_over(machine: Fleet, box_image: str) -> None:
    script = "/bin/busybox setsid sh -c 'sleep 600' & echo ready; sleep 1; exit 0"
    machine.plane.plan(run_line("game-1", machine.add(box_image, ("sh", "-c", script))))
    machine.start_agent()
    await machine.plane.until(lambda: machine.plane.is_in("game-1", EXITED), 60)
    ended = machine.plane.reported("game-1")
    assert (ended.reason, ended.exit_code) == (Reason.SESSION_REASON_GAME_EXITED, 0)
    await nothing_is_left(machine)


async def test_a_game_that_forks_without_end_meets_its_limit_and_can_be_stopped(fleet: Fleet, box_image: str) -> None:
    script = "bomb() { bomb | bomb & }; echo ready; (while :; do (bomb); done) & exec sleep 600"
    digest = fleet.add(box_image, ("sh", "-c", script), container={"pids": 50}, grace_ms=500)
    fleet.start_agent()
    await fleet.run(digest)
    await eventually(lambda: any("can't fork" in segment for segment in segments(fleet.path())))
    assert (await fleet.stop(digest)).reason == Reason.SESSION_REASON_STOP_REQUESTED
    await nothing_is_left(fleet)
    await plays_the_next(fleet, box_image)


async def test_a_game_that_fills_its_log_plays_on_and_the_log_stays_small(machine: Fleet, box_image: str) -> None:
    script = "echo ready; yes 0123456789 | /bin/busybox head -c 8000000; touch $HOME/done; sleep 600"
    digest = machine.add(box_image, ("sh", "-c", script))
    machine.start_agent()
    await machine.run(digest)
    await eventually((machine.path() / "home" / "done").exists, 60)
    assert 0 < sum(map(len, segments(machine.path()))) <= 16 << 20
    await machine.stop(digest)


async def test_a_game_that_fills_its_disk_plays_on_stops_and_gives_the_room_back(
    machine: Fleet, small_disk: Path, box_image: str
) -> None:
    script = (
        "trap 'exit 0' TERM; touch $HOME/filling; echo ready; cat /dev/zero >$HOME/fill; /bin/busybox rm $HOME/filling;"
        "echo full; yes 0123456789 |"
        "/bin/busybox head -c 100000; : >/tmp/$PPID; echo on; while :; do sleep 0.1; done"
    )
    digest = machine.add(box_image, ("sh", "-c", script), grace_ms=20_000)
    machine.start_agent()
    await machine.run(digest)
    await eventually(lambda: not (machine.path() / "home" / "filling").exists())
    assert (machine.path() / "home" / "fill").stat().st_size > 4 << 20
    ended = await machine.stop(digest)
    assert (ended.reason, ended.exit_code) == (Reason.SESSION_REASON_STOP_REQUESTED, 0)
    await nothing_is_left(machine)
    machine.plane.plan()
    await machine.plane.until(lambda: machine.plane.reported("game-1") is None)
    assert not machine.path().exists()
    await plays_the_next(machine, box_image)


def fill(path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        path.write_bytes(bytes(16 << 20))


async def test_a_disk_that_is_full_before_the_start_fails_it_by_name_and_not_for_good(
    machine: Fleet, small_disk: Path, box_image: str
) -> None:
    machine.start_agent()
    await machine.plane.until(lambda: machine.plane.streams)
    fill(small_disk / "filler")
    machine.plane.plan(run_line("game-1", machine.add(box_image, ("sh", "-c", "echo ready; sleep 600"))))
    await machine.plane.until(lambda: machine.plane.is_in("game-1", EXITED), 60)
    ended = machine.plane.reported("game-1")
    assert ended.reason == Reason.SESSION_REASON_START_FAILED
    assert "No space left on device" in ended.reason_detail
    await nothing_is_left(machine)
    (small_disk / "filler").unlink()
    await plays_the_next(machine, box_image)


IMAGES = {
    "not there": ("quarterdeck-test/none:1", Reason.SESSION_REASON_IMAGE_NOT_FOUND, "may not be pulled"),
    "not allowed": ("forbidden/game:1", Reason.SESSION_REASON_IMAGE_DENIED, "not on this host's list"),
}


@pytest.mark.parametrize("case", IMAGES)
async def test_an_image_that_may_not_be_had_says_why(fleet: Fleet, case: str) -> None:
    image, reason, detail = IMAGES[case]
    fleet.plane.plan(run_line("game-1", fleet.add(image)))
    fleet.start_agent("--allow-image", "quarterdeck-test/*")
    status = await fleet.until(EXITED)
    assert status.reason == reason
    assert detail in status.reason_detail
    assert not fleet.containers()


async def test_a_session_whose_registry_is_silent_can_be_stopped_at_once(fleet: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections, and says nothing
        image = f"127.0.0.1:{silent.getsockname()[1]}/quarterdeck-test/silent:1"
        digest = fleet.add(image, container={"pull": games_pb2.PULL_POLICY_ALWAYS})
        fleet.plane.plan(run_line("game-1", digest))
        fleet.start_agent()
        await fleet.plane.until(
            lambda: (told := fleet.plane.reported("game-1")) is not None and "pulling" in told.reason_detail, 60
        )
        fleet.plane.plan(stop_line("game-1", digest))
        status = await fleet.until(EXITED)
        assert status.reason == Reason.SESSION_REASON_STOP_REQUESTED
        assert status.reason_detail == "stopped before it was started"


async def test_an_image_whose_files_are_gone_from_the_engines_disk_says_so(
    own_fleet: Fleet, box_image: str, tmp_path: Path
) -> None:
    archive = tmp_path / "broken.tar"
    image = "quarterdeck-test/broken:latest"
    subprocess.run(["tar", "-cf", str(archive), "-C", str(tmp_path), "--files-from", "/dev/null"], check=True)
    own_fleet.engine.load(image, archive, ['CMD ["/hello"]'])
    layer = own_fleet.engine.client.inspect_image(image)["GraphDriver"]["Data"]["UpperDir"]
    shutil.rmtree(Path(layer).parent)
    try:
        own_fleet.plane.plan(run_line("game-1", own_fleet.add(image)))
        own_fleet.start_agent()
        status = await own_fleet.until(EXITED)
        assert status.reason == Reason.SESSION_REASON_IMAGE_CORRUPT
        assert status.reason_detail.startswith("the engine cannot tell of its images: ")
        assert not own_fleet.containers()
        await plays_the_next(own_fleet, box_image)
    finally:
        own_fleet.engine.client.remove_image(image, force=True)


async def test_a_host_without_the_wrappers_image_says_how_to_get_it(fleet: Fleet, box_image: str) -> None:
    fleet.image = "127.0.0.1:1/quarterdeck/wrapper"
    fleet.plane.plan(run_line("game-1", fleet.add(box_image)))
    fleet.start_agent()
    status = await fleet.until(EXITED)
    assert status.reason == Reason.SESSION_REASON_REGISTRY_UNREACHABLE
    assert "make wrapper-image" in status.reason_detail


@pytest.mark.parametrize(
    ("image", "said"),
    [("quarterdeck-test/none", "need the image quarterdeck-test/none on its engine: `make wrapper-image`"),
     ("quarterdeck-test/box", "games in images run here too")],
)  # fmt: skip
def test_up_says_whether_its_engine_has_the_wrappers_image(
    docker_engine: Engine, box_image: str, tmp_path: Path, image: str, said: str
) -> None:
    with House(tmp_path, agent_docker_socket=docker_engine.socket, agent_wrapper_image=image) as house:
        assert said in "".join(house.lines), house.lines
