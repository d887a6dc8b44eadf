"""A real agent process, real wrapper processes, real mTLS."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from quarterdeck.v1 import sessions_pb2, wrapper_pb2

from hostagent import procfs
from hostagent.agent import HostAgent
from hostagent.plan import WorkloadKey
from hostagent.runtime.process import ProcessRuntime
from hostagent.sessiondir import SessionDir, launch_now
from hostagent.settings import Settings
from hostagent.wrapperlink import WrapperLink
from tests.component.hostagent.conftest import Agents, eventually, exit_code
from tests.component.hostagent.fakeplane import FakePlane, run_line, stop_line
from tests.encoders import NO_ENCODERS

RUNNING, EXITED = wrapper_pb2.WORKLOAD_STATE_RUNNING, wrapper_pb2.WORKLOAD_STATE_EXITED
STARTING = wrapper_pb2.WORKLOAD_STATE_STARTING
REASON = sessions_pb2.SessionReason


async def playing(plane: FakePlane, agents: Agents, *options: str, name: str = "agent") -> subprocess.Popen[bytes]:
    """An agent, once it has told that game-1 runs."""
    plane.plan(run_line("game-1", plane.add_spec("game-1")))
    agent = agents.start(*options, name=name)
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    return agent


def kill(agent: subprocess.Popen[bytes]) -> None:
    agent.kill()
    agent.wait()


async def test_a_planned_session_starts_and_its_reports_are_acknowledged(plane: FakePlane, agents: Agents) -> None:
    await playing(plane, agents)

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
    agent = await playing(plane, agents)
    wrapper_pid = plane.reported("game-1").wrapper_pid
    kill(agent)
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
    agent = await playing(plane, agents)
    agent.send_signal(signal.SIGTERM)
    assert await exit_code(agent) == 0
    await plane.until(lambda: plane.stream.goodbye)
    os.kill(plane.reported("game-1").wrapper_pid, 0)


async def test_whoever_has_said_goodbye_waits_for_nothing_else(
    plane: FakePlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostagent.agent._LEAVE_S", None)
    settings = Settings(
        tmp_path / "agent", plane.enrolment_target, plane.ca.ca_sha256, "token-1", probe_command=NO_ENCODERS
    )
    settings.sessions_dir.mkdir(parents=True)
    leave = asyncio.Event()
    running = asyncio.create_task(HostAgent(settings, ProcessRuntime(settings.sessions_dir)).run(leave))
    await plane.until(lambda: plane.streams)
    leave.set()
    await asyncio.wait_for(running, 30)
    assert plane.stream.goodbye == "the agent stops"


async def test_stop_sessions_on_exit_leaves_nothing(plane: FakePlane, agents: Agents) -> None:
    plane.plan(run_line("game-1", plane.add_spec("game-1")), run_line("game-2", plane.add_spec("game-2")))
    agent = agents.start("--stop-sessions-on-exit")
    await plane.until(lambda: plane.is_in("game-1", RUNNING) and plane.is_in("game-2", RUNNING))
    agent.send_signal(signal.SIGINT)
    assert await exit_code(agent) == 0
    await plane.until(lambda: plane.is_in("game-1", EXITED) and plane.is_in("game-2", EXITED))
    await eventually(lambda: not agents.marked())


async def test_a_wrapper_that_dies_is_told_and_its_game_is_not_left_behind(plane: FakePlane, agents: Agents) -> None:
    await playing(plane, agents)
    os.kill(plane.reported("game-1").wrapper_pid, signal.SIGKILL)
    await plane.until(lambda: plane.is_in("game-1", EXITED))
    status = plane.reported("game-1")
    assert status.reason == REASON.SESSION_REASON_WRAPPER_LOST
    assert status.reason_detail == "the wrapper died by SIGKILL"
    assert status.first_frame_after.ToMilliseconds() == 120
    assert agents.marked() == []


async def test_a_wrapper_that_died_while_the_agent_was_away_is_told(plane: FakePlane, agents: Agents) -> None:
    agent = await playing(plane, agents)
    wrapper_pid = plane.reported("game-1").wrapper_pid
    kill(agent)
    os.kill(wrapper_pid, signal.SIGKILL)
    agents.start()
    await plane.until(lambda: len(plane.streams) == 2 and plane.is_in("game-1", EXITED))
    assert plane.reported("game-1").reason == REASON.SESSION_REASON_WRAPPER_LOST
    assert agents.marked() == []
    assert (agents.session_dir("game-1") / "starts").read_text() == f"{wrapper_pid}\n"


@pytest.mark.parametrize("spoken", [False, True], ids=["never begun", "spoken"])
async def test_a_start_that_its_agent_did_not_finish_is_made_anew_unless_its_wrapper_has_spoken(
    plane: FakePlane, agents: Agents, spoken: bool
) -> None:
    directory = SessionDir(agents.session_dir("game-1"), WorkloadKey("game-1", 1))
    directory.path.mkdir(parents=True)
    directory.record_launch(launch_now())
    if spoken:
        status = wrapper_pb2.WorkloadStatus(session_id="game-1", generation=1, state=STARTING)
        directory.write("status.binpb", status.SerializeToString())
    agents.root.joinpath("agent.token").write_text("token-1")
    plane.plan(run_line("game-1", plane.add_spec("game-1")))
    agents.start()
    await plane.until(lambda: plane.is_in("game-1", EXITED if spoken else RUNNING))
    if spoken:
        assert plane.reported("game-1").reason == REASON.SESSION_REASON_WRAPPER_LOST


async def test_an_end_while_the_agent_was_away_is_told_in_the_wrappers_own_words(
    plane: FakePlane, agents: Agents
) -> None:
    agent = await playing(plane, agents)
    kill(agent)
    link = WrapperLink(agents.session_dir("game-1"))
    await link.stop(REASON.SESSION_REASON_IDLE)
    await link.close()
    await eventually(lambda: not agents.marked())
    agents.start()
    await plane.until(lambda: len(plane.streams) == 2 and plane.is_in("game-1", EXITED))
    assert plane.reported("game-1").reason == REASON.SESSION_REASON_IDLE
    assert plane.reported("game-1").exit_code == 0


async def test_a_session_that_the_plan_drops_is_stopped_and_forgotten(plane: FakePlane, agents: Agents) -> None:
    await playing(plane, agents)
    plane.plan()
    await plane.until(lambda: plane.reported("game-1") is None)
    assert agents.marked() == []
    assert not agents.session_dir("game-1").exists()


async def test_an_orphan_found_at_the_start_is_adopted_then_stopped_by_the_plan(
    plane: FakePlane, agents: Agents
) -> None:
    agent = await playing(plane, agents)
    kill(agent)
    plane.plan()
    agents.start()
    await plane.until(lambda: len(plane.streams) == 2 and plane.stream.reports)
    await plane.until(lambda: plane.reported("game-1") is None)
    await eventually(lambda: not agents.marked())


async def test_strays_whose_directory_is_gone_are_killed_and_foreign_processes_are_not(
    plane: FakePlane, agents: Agents
) -> None:
    agent = await playing(plane, agents)
    kill(agent)
    shutil.rmtree(agents.session_dir("game-1"))
    notes = agents.data_dir() / "sessions" / "notes"
    notes.mkdir()
    foreign_mark = {**os.environ, procfs.MARK: str(agents.root / "elsewhere" / "sessions" / "game-1.1")}
    foreign = [
        subprocess.Popen(["sleep", "60"], cwd=notes, start_new_session=True),
        subprocess.Popen(["sleep", "60"], env=foreign_mark, start_new_session=True),
    ]
    try:
        plane.plan()
        agents.start()
        await plane.until(lambda: len(plane.streams) == 2 and plane.stream.reports)
        assert [row.mark for row in agents.marked()] == [foreign_mark[procfs.MARK]]
        assert [process.poll() for process in foreign] == [None, None]
        assert notes.is_dir()
    finally:
        for process in foreign:
            process.kill()
            process.wait()


async def test_agents_of_one_machine_do_not_see_each_others_sessions(plane: FakePlane, agents: Agents) -> None:
    first = await playing(plane, agents, name="first")
    wrapper_pid = plane.reported("game-1").wrapper_pid
    plane.plan()
    first.send_signal(signal.SIGSTOP)
    agents.start(name="second", token="token-2")
    await plane.until(lambda: len(plane.streams) == 2 and plane.stream.reports)
    assert list(plane.stream.hello.workloads) == []
    os.kill(wrapper_pid, 0)


async def test_a_stop_succeeds_though_the_wrapper_leaves_no_end_behind(plane: FakePlane, agents: Agents) -> None:
    digest = plane.add_spec("game-1", behaviour="vanish")
    plane.plan(run_line("game-1", digest))
    agents.start()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    plane.plan(stop_line("game-1", digest))
    await plane.until(lambda: plane.is_in("game-1", EXITED))
    assert plane.reported("game-1").reason == REASON.SESSION_REASON_STOP_REQUESTED
    assert plane.reported("game-1").reason_detail == "the wrapper ended with exit code 0 while stopping"
    assert agents.marked() == []


async def test_a_wrapper_that_crashes_at_once_is_a_failed_start_with_its_last_words(
    plane: FakePlane, agents: Agents
) -> None:
    plane.plan(run_line("game-1", plane.add_spec("game-1", behaviour="crash")))
    agents.start()
    await plane.until(lambda: plane.is_in("game-1", EXITED))
    status = plane.reported("game-1")
    assert status.reason == REASON.SESSION_REASON_START_FAILED
    assert status.reason_detail.endswith("exit code 3 before it said anything: the stand-in crashes as told")
    assert agents.marked() == []


async def test_a_taken_port_fails_the_start_and_names_port_and_holder(plane: FakePlane, agents: Agents) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        number = taken.getsockname()[1]
        lease = sessions_pb2.PortLease(
            port_name="media", protocol=sessions_pb2.PortLease.PROTOCOL_UDP, host_port=number
        )
        plane.plan(run_line("game-1", plane.add_spec("game-1", ports=[lease])))
        agents.start()
        await plane.until(lambda: plane.is_in("game-1", EXITED))
    status = plane.reported("game-1")
    assert status.reason == REASON.SESSION_REASON_PORT_TAKEN
    assert status.reason_detail.startswith(f"udp port {number} (media) is taken by ")
    assert f"(pid {os.getpid()})" in status.reason_detail
    assert not (agents.session_dir("game-1") / "starts").exists()


@pytest.mark.parametrize("session_id", ["../escape", "UPPER", ""])
async def test_a_session_named_badly_starts_nothing_and_disturbs_nobody(
    plane: FakePlane, agents: Agents, session_id: str
) -> None:
    plane.plan(run_line(session_id, "0" * 64), run_line("game-1", plane.add_spec("game-1")))
    agents.start()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    assert os.listdir(agents.data_dir() / "sessions") == ["game-1.1"]
    assert "names a session badly" in agents.log()


async def test_a_spec_of_another_session_is_refused(plane: FakePlane, agents: Agents) -> None:
    plane.plan(run_line("game-1", plane.add_spec("game-2")))
    agents.start()
    await plane.until(lambda: plane.is_in("game-1", EXITED))
    assert plane.reported("game-1").reason == REASON.SESSION_REASON_START_FAILED
    assert plane.reported("game-1").reason_detail == "the spec does not match the plan"


async def test_a_newer_generation_replaces_the_older_and_both_are_told(plane: FakePlane, agents: Agents) -> None:
    await playing(plane, agents)
    plane.plan(run_line("game-1", plane.add_spec("game-1", generation=2), generation=2))
    await plane.until(lambda: plane.is_in("game-1", RUNNING, generation=2))
    assert plane.reported("game-1", generation=1) is None
    assert os.listdir(agents.data_dir() / "sessions") == ["game-1.2"]


async def test_a_plan_out_of_an_old_backup_does_not_start_an_ended_game_again(plane: FakePlane, agents: Agents) -> None:
    digest = plane.add_spec("game-1")
    plane.plan(run_line("game-1", digest))
    agent = agents.start()
    await plane.until(lambda: plane.is_in("game-1", RUNNING))
    plane.plan()
    await plane.until(lambda: plane.reported("game-1") is None)
    kill(agent)
    plane.plan(run_line("game-1", digest))
    agents.start()
    await plane.until(lambda: len(plane.streams) == 2 and plane.is_in("game-1", EXITED))
    assert plane.reported("game-1").reason_detail == "this generation has already ended on this host"
    assert not (agents.session_dir("game-1") / "starts").exists()


async def test_stop_sessions_on_exit_holds_for_an_agent_that_is_only_just_back(
    plane: FakePlane, agents: Agents
) -> None:
    agent = await playing(plane, agents, "--stop-sessions-on-exit")
    kill(agent)
    await plane.stop()
    agent = agents.start("--stop-sessions-on-exit")
    await eventually(lambda: "workload adopted" in agents.log())
    agent.send_signal(signal.SIGTERM)
    assert await exit_code(agent) == 0
    assert agents.marked() == []


async def test_a_data_directory_that_was_moved_keeps_its_sessions(plane: FakePlane, agents: Agents) -> None:
    agent = await playing(plane, agents)
    wrapper_pid = plane.reported("game-1").wrapper_pid
    kill(agent)
    agents.data_dir().rename(agents.data_dir("moved"))
    agents.start(name="moved")
    await plane.until(lambda: len(plane.streams) == 2 and plane.is_in("game-1", RUNNING))
    assert plane.reported("game-1").wrapper_pid == wrapper_pid
    plane.plan()
    await plane.until(lambda: plane.reported("game-1") is None)
    assert agents.marked() == []


async def test_a_forged_record_of_a_start_makes_no_stranger_a_wrapper(plane: FakePlane, agents: Agents) -> None:
    """Or the agent would adopt, and at the end kill, whatever process of its host a game has named there."""
    kill(await playing(plane, agents))
    for row in agents.marked():
        procfs.send(row.id, signal.SIGKILL)
    await eventually(lambda: not agents.marked())
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            identity = procfs.identify(stranger.pid)
            path = agents.session_dir("game-1") / "launch.json"
            named = {"pid": identity.pid, "start_ticks": identity.start_ticks}
            path.write_text(json.dumps(json.loads(path.read_text()) | named))
            agents.start()
            await plane.until(lambda: plane.is_in("game-1", EXITED))
            assert plane.reported("game-1").reason == REASON.SESSION_REASON_WRAPPER_LOST
            assert stranger.poll() is None
        finally:
            stranger.kill()
