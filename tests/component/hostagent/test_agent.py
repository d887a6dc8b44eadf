"""A real agent process, real wrapper processes, real mTLS."""

from __future__ import annotations

import os
import signal

from quarterdeck.v1 import sessions_pb2, wrapper_pb2

from tests.component.hostagent.conftest import Agents, eventually, exit_code
from tests.component.hostagent.fakeplane import FakePlane, run_line, stop_line

RUNNING, EXITED = wrapper_pb2.WORKLOAD_STATE_RUNNING, wrapper_pb2.WORKLOAD_STATE_EXITED
REASON = sessions_pb2.SessionReason


async def test_a_planned_session_starts_and_its_reports_are_acknowledged(plane: FakePlane, agents: Agents) -> None:
    plane.plan(run_line("game-1", plane.add_spec("game-1")))
    agents.start()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))

    status = plane.reported("game-1")
    assert status is not None
    assert status.first_frame_after.ToMilliseconds() == 120
    assert status.age.ToNanoseconds() > 0
    assert plane.stream.hello.inventory.cpu_count >= 1
    assert plane.stream.hello.inventory.runtimes == ["process"]
    await plane.until(lambda: plane.stream.reports[-1].observed_plan_version == plane.version)
    assert not (agents.root / "agent.token").exists()
    assert (agents.data_dir() / "identity.json").stat().st_mode & 0o777 == 0o600
    heartbeats = plane.stream.heartbeats
    await plane.until(lambda: plane.stream.heartbeats >= heartbeats + 2)


async def test_kill_9_of_the_agent_leaves_the_wrapper_which_the_next_agent_adopts(
    plane: FakePlane, agents: Agents
) -> None:
    plane.plan(run_line("game-1", plane.add_spec("game-1")))
    agent = agents.start()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    wrapper_pid = plane.reported("game-1").wrapper_pid
    agent.kill()
    agent.wait()
    os.kill(wrapper_pid, 0)

    agents.start()
    await plane.until(lambda: len(plane.streams) == 2 and plane.is_in("game-1", RUNNING))
    assert [stream.epoch for stream in plane.streams] == [1, 2]
    assert plane.stream.reports[-1].epoch == 2
    assert plane.stream.hello.workloads[0].wrapper_pid == wrapper_pid
    assert plane.reported("game-1").wrapper_pid == wrapper_pid
    assert (agents.session_dir("game-1") / "starts").read_text() == f"{wrapper_pid}\n"


async def test_a_planned_stop_ends_the_session_and_dropping_it_removes_its_directory(
    plane: FakePlane, agents: Agents
) -> None:
    digest = plane.add_spec("game-1")
    plane.plan(run_line("game-1", digest))
    agents.start()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    plane.plan(stop_line("game-1", digest))
    await plane.until(lambda: plane.is_in("game-1", EXITED))
    assert plane.reported("game-1").reason == REASON.SESSION_REASON_STOP_REQUESTED
    assert plane.reported("game-1").exit_code == 0
    assert agents.marked() == []

    plane.plan()
    await plane.until(lambda: plane.reported("game-1") is None)
    assert not agents.session_dir("game-1").exists()


async def test_sigterm_says_goodbye_and_leaves_sessions_running(plane: FakePlane, agents: Agents) -> None:
    plane.plan(run_line("game-1", plane.add_spec("game-1")))
    agent = agents.start()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    agent.send_signal(signal.SIGTERM)
    assert await exit_code(agent) == 0
    assert plane.stream.goodbye is not None
    os.kill(plane.reported("game-1").wrapper_pid, 0)


async def test_stop_sessions_on_exit_leaves_nothing(plane: FakePlane, agents: Agents) -> None:
    plane.plan(run_line("game-1", plane.add_spec("game-1")), run_line("game-2", plane.add_spec("game-2")))
    agent = agents.start("--stop-sessions-on-exit")
    await plane.until(lambda: plane.is_in("game-1", RUNNING) and plane.is_in("game-2", RUNNING))
    agent.send_signal(signal.SIGINT)
    assert await exit_code(agent) == 0
    assert plane.is_in("game-1", EXITED)
    assert plane.is_in("game-2", EXITED)
    await eventually(lambda: not agents.marked())
