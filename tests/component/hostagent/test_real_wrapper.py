"""The agent with the wrapper that ships: one real game without a picture."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import signal
import sys

import pytest
from quarterdeck.v1 import games_pb2, sessions_pb2, wrapper_pb2

from hostagent import procfs
from hostagent.plan import WorkloadKey
from hostagent.runtime import Order
from hostagent.runtime.process import ProcessRuntime
from hostagent.sessiondir import SessionDir, launch_now
from hostagent.settings import default_probe
from tests.component.hostagent.conftest import Agents, eventually
from tests.component.hostagent.fakeplane import FakePlane, run_line, stop_line

RUNNING, EXITED = wrapper_pb2.WORKLOAD_STATE_RUNNING, wrapper_pb2.WORKLOAD_STATE_EXITED
WRAPPER = ("--wrapper-command", f"{sys.executable} -P -m wrapper")
GAME = "import signal, time; print('ready', flush=True); time.sleep(600)"


def add_game(plane: FakePlane, program: str = GAME, disk_bytes: int = 0) -> str:
    spec = wrapper_pb2.SessionSpec(session_id="game-1", generation=1, project="p")
    spec.deployment.name = "games/sleeper/deployments/1"
    spec.deployment.command.extend([sys.executable, "-c", program])
    spec.deployment.picture = games_pb2.PICTURE_NONE
    spec.deployment.readiness.log_pattern = "ready"
    spec.deployment.disk_bytes = disk_bytes
    content = spec.SerializeToString(deterministic=True)
    digest = hashlib.sha256(content).hexdigest()
    plane.specs[digest] = content
    return digest


async def test_a_real_session_starts_is_adopted_after_kill_9_and_stops(plane: FakePlane, agents: Agents) -> None:
    digest = add_game(plane)
    plane.plan(run_line("game-1", digest))
    agent = agents.start(*WRAPPER)
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    before = plane.reported("game-1")
    game = procfs.identify(before.game_pid)
    assert game is not None
    agent.kill()
    agent.wait()

    agents.start(*WRAPPER)
    await plane.until(lambda: len(plane.streams) == 2 and plane.is_in("game-1", RUNNING))
    after = plane.reported("game-1")
    assert (after.wrapper_pid, after.game_pid) == (before.wrapper_pid, before.game_pid)
    assert procfs.is_alive(game)

    plane.plan(stop_line("game-1", digest))
    await plane.until(lambda: plane.is_in("game-1", EXITED))
    assert plane.reported("game-1").reason == sessions_pb2.SESSION_REASON_STOP_REQUESTED
    assert not procfs.is_alive(game)
    assert agents.marked() == []


async def test_a_start_that_is_not_on_record_begins_no_game_and_is_made_anew(plane: FakePlane, agents: Agents) -> None:
    """Its agent died between the start of the wrapper, which listens, and the note of it."""
    digest = add_game(plane)
    directory = SessionDir(agents.session_dir("game-1"), WorkloadKey("game-1", 1))
    directory.path.mkdir(parents=True)
    directory.write("spec.binpb", plane.specs[digest])
    directory.record_launch(launch_now())
    runtime = ProcessRuntime(directory.path.parent)
    first = (await runtime.start(Order(directory.path))).process
    await eventually((directory.path / "wrapper.sock").exists)
    agents.root.joinpath("agent.token").write_text("token-1")
    plane.plan(run_line("game-1", digest))
    agents.start(*WRAPPER)
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    assert not procfs.is_alive(first)
    assert plane.reported("game-1").wrapper_pid != first.pid
    await runtime.close()


async def test_a_game_that_ends_by_itself_is_told_with_its_exit_code(plane: FakePlane, agents: Agents) -> None:
    plane.plan(run_line("game-1", add_game(plane, "print('ready', flush=True); raise SystemExit(3)")))
    agents.start(*WRAPPER)
    await plane.until(lambda: plane.is_in("game-1", EXITED))
    assert plane.reported("game-1").exit_code == 3
    assert plane.reported("game-1").reason == sessions_pb2.SESSION_REASON_GAME_CRASHED


@pytest.mark.parametrize("away", [False, True], ids=["agent there", "agent away"])
async def test_a_real_wrapper_that_is_killed_leaves_no_game(plane: FakePlane, agents: Agents, away: bool) -> None:
    plane.plan(run_line("game-1", add_game(plane)))
    agent = agents.start(*WRAPPER)
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    status = plane.reported("game-1")
    if away:
        agent.kill()
        agent.wait()
    os.kill(status.wrapper_pid, signal.SIGKILL)
    if away:
        agents.start(*WRAPPER)
    await plane.until(lambda: len(plane.streams) == 1 + away and plane.is_in("game-1", EXITED))
    assert plane.reported("game-1").reason == sessions_pb2.SESSION_REASON_WRAPPER_LOST
    await eventually(lambda: procfs.identify(status.game_pid) is None)
    assert agents.marked() == []


@pytest.mark.parametrize("room_mib", [4, 40])
async def test_a_game_that_fills_the_disk_is_stopped_at_its_bound_and_says_why(
    plane: FakePlane, agents: Agents, room_mib: int
) -> None:
    filling = "import os; open('world', 'wb').write(os.urandom(8 << 20)); time.sleep(600)"
    plane.plan(run_line("game-1", add_game(plane, GAME.replace("time.sleep(600)", filling), room_mib << 20)))
    agents.start(*WRAPPER)
    if room_mib == 40:
        await plane.until(lambda: (told := plane.reported("game-1")) is not None and told.usage.disk_bytes >= 8 << 20)
        await plane.until(lambda: plane.is_in("game-1", RUNNING))
        return
    await plane.until(lambda: plane.is_in("game-1", EXITED))
    status = plane.reported("game-1")
    assert status.reason == sessions_pb2.SESSION_REASON_DISK_LIMIT
    told = r"Its files took [4-8]\.[0-9] MiB of its host's disk; its deployment allows 4\.0 MiB\."
    assert re.match(told, status.reason_detail), status.reason_detail
    assert agents.marked() == []


async def test_a_tree_deeper_than_any_path_is_measured_and_removed(plane: FakePlane, deep_agents: Agents) -> None:
    digging = "import os; [(os.mkdir('deep'), os.chdir('deep')) for _ in range(1200)]; "
    digging += "open('world', 'wb').write(os.urandom(8 << 20)); "
    digest = add_game(plane, digging + GAME, 64 << 20)  # without a bound it would be measured rarely
    plane.plan(run_line("game-1", digest))
    agent = deep_agents.start(*WRAPPER)
    await plane.until(lambda: (told := plane.reported("game-1")) is not None and told.usage.disk_bytes >= 8 << 20)
    plane.plan(stop_line("game-1", digest))
    await plane.until(lambda: plane.is_in("game-1", EXITED))
    plane.plan()
    await eventually(lambda: not deep_agents.session_dir("game-1").exists())
    assert agent.poll() is None


async def test_the_inventory_names_the_encoder_that_worked(plane: FakePlane, agents: Agents) -> None:
    plane.plan()
    agents.start("--probe-command", shlex.join(default_probe()))
    await plane.until(lambda: plane.streams and plane.stream.hello.inventory.encoders)
    assert "libx264" in [encoder.encoder_name for encoder in plane.stream.hello.inventory.encoders]
