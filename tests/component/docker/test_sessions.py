"""Sessions in containers: games that know nothing of us, beside a wrapper, over a bridge network."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest
from quarterdeck.v1 import games_pb2, sessions_pb2

from hostagent import procfs
from tests.component.docker.rig import EXITED, RUNNING, Fleet, Reason
from tests.component.hostagent.conftest import eventually
from tests.component.hostagent.fakeplane import run_line, stop_line
from tests.component.wrapper.rig import marks
from tests.ports import free_port
from tests.spooled import said

TCP, UDP = sessions_pb2.PortLease.PROTOCOL_TCP, sessions_pb2.PortLease.PROTOCOL_UDP


async def test_a_game_in_its_own_image_is_played_over_a_bridge_network(fleet: Fleet) -> None:
    port = free_port(socket.SOCK_DGRAM)
    command = ("python3", "-m", "examples.broadside")
    frames = games_pb2.PICTURE_FRAMES
    digest = fleet.add(
        fleet.image, command, picture=frames, ports=[("media", UDP, port, 0)], QUARTERDECK_PIXEL_CLOCK="1"
    )
    fleet.start_agent()
    await fleet.plane.until(lambda: fleet.plane.streams)
    asked = time.monotonic()
    status = await fleet.run(digest)
    print(f"create to running: {time.monotonic() - asked:.2f} s")
    assert status.game_pid
    async with fleet.browser() as browser:
        early, presses = marks(await browser.frame())
        assert presses == 0
        await browser.frame(lambda frame: marks(frame)[0] > early)
        browser.press("Space")
        await browser.frame(lambda frame: marks(frame)[1] == 1)
    game, wrapper = fleet.container("game"), fleet.container("wrapper")
    assert wrapper["HostConfig"]["NetworkMode"].startswith("quarterdeck-")
    assert game["HostConfig"]["PidMode"] == f"container:{wrapper['Id']}"
    assert (await fleet.stop(digest)).reason == Reason.SESSION_REASON_STOP_REQUESTED
    await eventually(lambda: not fleet.containers())


async def test_a_strange_dedicated_server_is_ready_answers_and_stops(fleet: Fleet, games_image: str) -> None:
    port = free_port()
    command = ("bzfs", "-p", "5154", "-i", "0.0.0.0", "-dd")
    digest = fleet.add(games_image, command, ready="listening|Running|bzfs|server", ports=[("game", TCP, port, 5154)])
    fleet.start_agent()
    await fleet.run(digest)

    def answers() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.sendall(b"BZFLAG\r\n\r\n")
                return client.recv(8).startswith(b"BZFS")
        except OSError:
            return False

    await eventually(answers)
    ended = await fleet.stop(digest)
    assert ended.reason == Reason.SESSION_REASON_STOP_REQUESTED
    await eventually(lambda: not fleet.containers())


async def test_a_strange_game_on_an_x_display_is_seen(fleet: Fleet, games_image: str) -> None:
    port = free_port(socket.SOCK_DGRAM)
    digest = fleet.add(
        games_image, ("xgalaga", "-window"), picture=games_pb2.PICTURE_X11, ports=[("media", UDP, port, 0)]
    )
    fleet.start_agent()
    await fleet.run(digest)
    async with fleet.browser() as browser:
        drawn = await browser.frame(lambda frame: frame.to_ndarray(format="gray8").std() > 1)
        first = drawn.to_ndarray(format="gray8")
        # That image of the wrapper has no PulseAudio.
        assert (await browser.message("hello"))["silent"] == "PulseAudio is not installed on this host."
        await browser.frame(lambda frame: (frame.to_ndarray(format="gray8") != first).any())
    await fleet.stop(digest)


async def test_a_killed_agent_finds_the_session_in_its_containers_again(fleet: Fleet, box_image: str) -> None:
    digest = fleet.add(box_image, ("sh", "-c", "echo ready; exec sleep 600"))
    agent = fleet.start_agent()
    await fleet.run(digest)
    game = procfs.identify(fleet.container("game")["State"]["Pid"])
    agent.kill()
    agent.wait()

    fleet.start_agent()
    await fleet.plane.until(lambda: len(fleet.plane.streams) == 2 and fleet.plane.is_in("game-1", RUNNING))
    assert procfs.is_alive(game)
    ended = await fleet.stop(digest)
    assert ended.reason == Reason.SESSION_REASON_STOP_REQUESTED
    await eventually(lambda: not fleet.containers())


async def test_a_game_whose_agent_died_before_starting_it_is_started_by_the_next(fleet: Fleet, box_image: str) -> None:
    digest = fleet.add(box_image, ("sh", "-c", "echo ready; exec sleep 600"))
    fleet.plane.plan(run_line("game-1", digest))
    agent = fleet.start_agent()
    # The very moment between the two containers' starts.
    await eventually(lambda: any(row["Labels"]["quarterdeck.role"] == "wrapper" for row in fleet.containers(False)))
    agent.kill()
    agent.wait()
    fleet.start_agent()
    await fleet.until(RUNNING)


@pytest.mark.parametrize("away", [False, True], ids=["agent there", "agent away"])
async def test_a_killed_wrapper_leaves_nothing(fleet: Fleet, box_image: str, away: bool) -> None:
    digest = fleet.add(box_image, ("sh", "-c", "echo ready; exec sleep 600"))
    agent = fleet.start_agent()
    await fleet.run(digest)
    if away:
        agent.kill()
        agent.wait()
    game = procfs.identify(fleet.container("game")["State"]["Pid"])
    fleet.engine.client.kill(fleet.container("wrapper")["Id"], signal.SIGKILL)
    await eventually(lambda: not procfs.is_alive(game))
    if away:
        fleet.start_agent()
        await fleet.plane.until(lambda: len(fleet.plane.streams) == 2)
    assert (await fleet.until(EXITED)).reason == Reason.SESSION_REASON_WRAPPER_LOST
    if not away:
        await eventually(lambda: not fleet.containers())


MISBEHAVIOUR = {
    "ends with 3": ("echo ready; sleep 1; exit 3", Reason.SESSION_REASON_GAME_CRASHED, "exit code 3"),
    "no such program": ("exec /no/such/program", Reason.SESSION_REASON_GAME_CRASHED, "exit code 127"),
    "is never ready": ("sleep 600", Reason.SESSION_REASON_START_FAILED, "not ready after 2 s"),
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
async def test_a_game_that_fails_says_why(fleet: Fleet, box_image: str, name: str) -> None:
    script, reason, detail = MISBEHAVIOUR[name]
    timeout_s = 2 if reason == Reason.SESSION_REASON_START_FAILED else 60
    digest = fleet.add(box_image, ("sh", "-c", script), timeout_s=timeout_s, grace_ms=500)
    fleet.plane.plan(run_line("game-1", digest))
    fleet.start_agent()
    status = await fleet.until(EXITED)
    assert (status.reason, detail in status.reason_detail) == (reason, True), status
    await eventually(lambda: not fleet.containers())


async def test_what_a_game_may_not_do_in_its_container(fleet: Fleet, box_image: str) -> None:
    script = (
        "id -u; touch /etc/x; touch /bin/x; cat /proc/self/status; touch /tmp/a $HOME/b /saves/c && echo written;"
        "env; /bin/busybox ls /dev; echo ready; sleep 600"
    )
    digest = fleet.add(box_image, ("sh", "-c", script), volumes=[("saves", "/saves")], GREETING="hello")
    fleet.start_agent()
    await fleet.run(digest)
    log = said(fleet.path())
    assert log.startswith("10001\n")
    assert "touch: /etc/x: Read-only file system" in log
    assert "written" in log
    assert "CapEff:\t0000000000000000" in log
    assert "NoNewPrivs:\t1" in log
    assert "Seccomp:\t2" in log
    assert {"GREETING=hello", "FROM_IMAGE=yes", "QUARTERDECK_SESSION_ID=game-1"} <= set(log.split("\n"))
    limits = fleet.container("game")["HostConfig"]
    processors = max(1, (os.cpu_count() or 1) - 1)
    assert (limits["Memory"], limits["NanoCpus"], limits["PidsLimit"]) == (4 << 30, processors * 10**9, 512)
    assert fleet.container("wrapper")["HostConfig"]["NanoCpus"] > 0
    assert (fleet.path() / "volumes" / "saves" / "c").exists()
    fleet.plane.plan(stop_line("game-1", digest))
    await fleet.until(EXITED)


async def test_the_log_of_a_game_in_a_container_is_handed_on(fleet: Fleet) -> None:
    digest = fleet.add(fleet.image, ("sh", "-c", "echo ready; echo broken >&2; sleep 600"))
    fleet.start_agent()
    await fleet.run(digest)
    await fleet.plane.until(lambda: len(fleet.plane.logged.get("game-1", [])) == 2, 60)
    await fleet.stop(digest)
    await fleet.plane.until(lambda: "game-1" in fleet.plane.log_complete, 60)
    heard = {(stream, text) for _, stream, text in fleet.plane.logged["game-1"]}
    assert heard >= {("stdout", "ready"), ("stderr", "broken"), ("wrapper", "over: stop_requested")}
