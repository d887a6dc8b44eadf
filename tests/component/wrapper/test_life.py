"""A real wrapper around games without a picture: how they start, end, and take everything with them."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from quarterdeck.v1 import games_pb2, sessions_pb2, wrapper_pb2

from tests.component.wrapper.rig import alive, record, spec, until_gone, wrapper
from tests.ports import free_port
from tests.spooled import records, said

SCRIPT = "import os, signal, sys, time\n"
FORKING = (
    SCRIPT
    + """
child = os.fork()
if child == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open("grandchild", "w").write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
os.waitpid(child, 0)
while not os.path.exists("grandchild") or not open("grandchild").read():
    time.sleep(0.01)
print("ready", flush=True)
"""
)


def server(script: str, **environment: str) -> wrapper_pb2.SessionSpec:
    """A game without a picture, ready when it prints so."""
    message = spec(("python", "-c", script), games_pb2.PICTURE_NONE, **environment)
    message.deployment.readiness.log_pattern = "^ready$"
    del message.ports[:]
    return message


async def test_it_listens_first_and_begins_when_its_agent_has_recorded_the_start(tmp_path: Path) -> None:
    message = server(SCRIPT + "print('ready', flush=True); time.sleep(600)")
    async with wrapper(tmp_path, message, recorded=False) as process:
        waiting = await process.until(lambda status: True)
        assert waiting.state == wrapper_pb2.WORKLOAD_STATE_STARTING
        assert not waiting.HasField("game_started_after")
        assert not (tmp_path / "status.binpb").exists()
        record(tmp_path, process.process)
        await process.until_running()


async def test_a_game_that_ends_well_is_exited(tmp_path: Path) -> None:
    async with wrapper(tmp_path, server(SCRIPT + "print('ready', flush=True)")) as process:
        status = await process.until_exited()
        assert status.reason == sessions_pb2.SESSION_REASON_GAME_EXITED
        assert status.exit_code == 0
        assert process.process.returncode == 0


@pytest.mark.parametrize(("ending", "code"), [("sys.exit(7)", 7), ("os.kill(os.getpid(), signal.SIGSEGV)", -11)])
async def test_a_game_that_ends_badly_is_crashed_with_its_code(tmp_path: Path, ending: str, code: int) -> None:
    async with wrapper(tmp_path, server(SCRIPT + ending)) as process:
        status = await process.until_exited()
        assert status.reason == sessions_pb2.SESSION_REASON_GAME_CRASHED
        assert status.exit_code == code


async def test_a_game_that_is_not_there_fails_to_start(tmp_path: Path) -> None:
    message = server("")
    message.deployment.command[0] = "no-such-game"
    async with wrapper(tmp_path, message) as process:
        status = await process.until_exited()
        assert status.reason == sessions_pb2.SESSION_REASON_START_FAILED
        assert "no-such-game" in status.reason_detail
        assert not status.HasField("exit_code")


async def test_the_polite_stop_lets_the_game_finish(tmp_path: Path) -> None:
    script = SCRIPT + (
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(0)))\n"
        "print('ready', flush=True)\ntime.sleep(600)"
    )
    async with wrapper(tmp_path, server(script)) as process:
        running = await process.until_running()
        assert alive(running.game_pid)
        await process.stop()
        status = await process.until_exited()
        assert status.reason == sessions_pb2.SESSION_REASON_STOP_REQUESTED
        assert status.exit_code == 0
        assert "saved" in said(tmp_path)
        assert not alive(running.game_pid)


async def test_a_game_that_will_not_stop_is_killed_after_its_grace(tmp_path: Path) -> None:
    script = SCRIPT + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(600)"
    async with wrapper(tmp_path, server(script)) as process:
        await process.until_running()
        await process.stop(grace_s=3)
        stopping = await process.until(lambda status: status.state == wrapper_pb2.WORKLOAD_STATE_STOPPING)
        assert stopping.reason == sessions_pb2.SESSION_REASON_STOP_REQUESTED
        status = await process.until_exited()
        assert status.exit_code == -signal.SIGKILL
        assert status.reason == sessions_pb2.SESSION_REASON_STOP_REQUESTED


async def test_sigterm_to_the_wrapper_stops_the_game(tmp_path: Path) -> None:
    async with wrapper(tmp_path, server(SCRIPT + "print('ready', flush=True)\ntime.sleep(600)")) as process:
        running = await process.until_running()
        process.process.terminate()
        status = await process.until_exited()
        assert status.reason == sessions_pb2.SESSION_REASON_STOP_REQUESTED
        assert not alive(running.game_pid)


async def test_the_end_of_a_game_ends_all_that_came_of_it(tmp_path: Path) -> None:
    async with wrapper(tmp_path, server(FORKING)) as process:
        await process.until_exited()
        assert not alive(int((tmp_path / "home" / "grandchild").read_text()))


async def test_a_killed_wrapper_takes_game_and_grandchildren_along(tmp_path: Path) -> None:
    async with wrapper(tmp_path, server(FORKING + "time.sleep(600)")) as process:
        running = await process.until_running()
        grandchild = int((tmp_path / "home" / "grandchild").read_text())
        assert alive(grandchild)
        process.process.kill()
        await until_gone(running.game_pid)
        await until_gone(grandchild)


async def test_a_killed_keeper_ends_the_session_and_leaves_nothing(tmp_path: Path) -> None:
    async with wrapper(tmp_path, server(FORKING + "time.sleep(600)")) as process:
        running = await process.until_running()
        keeper = int(Path(f"/proc/{running.game_pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(keeper, signal.SIGKILL)
        status = await process.until_exited()
        assert status.reason == sessions_pb2.SESSION_REASON_GAME_CRASHED
        assert not alive(running.game_pid)
        assert not alive(int((tmp_path / "home" / "grandchild").read_text()))


async def test_the_environment_is_the_deployments_own(tmp_path: Path) -> None:
    message = server(SCRIPT + "print(sorted(os.environ.items()))\nprint('ready', flush=True)", GREETING="ahoy")
    message.ports.add(port_name="game-port", protocol=sessions_pb2.PortLease.PROTOCOL_TCP, host_port=28000, game_port=0)
    async with wrapper(tmp_path, message) as process:
        await process.until_exited()
        seen = said(tmp_path)
        assert "('GREETING', 'ahoy')" in seen
        assert "('QUARTERDECK_SESSION_ID', 's1')" in seen
        assert "('QUARTERDECK_PORT_GAME_PORT', '28000')" in seen
        assert f"('HOME', '{tmp_path}/home')" in seen


async def test_ready_when_its_port_is_open(tmp_path: Path) -> None:
    port = free_port()
    script = f"import socket, time\ns = socket.create_server(('127.0.0.1', {port}))\ntime.sleep(600)"
    message = server(script)
    message.deployment.readiness.tcp_port = "play"
    message.ports.add(port_name="play", protocol=sessions_pb2.PortLease.PROTOCOL_TCP, host_port=port)
    async with wrapper(tmp_path, message) as process:
        status = await process.until_running()
        assert status.first_frame_after.ToMilliseconds() >= status.game_started_after.ToMilliseconds() > 0


async def test_never_ready_is_a_failed_start(tmp_path: Path) -> None:
    message = server(SCRIPT + "time.sleep(600)")
    message.deployment.readiness.timeout.FromMilliseconds(300)
    async with wrapper(tmp_path, message) as process:
        status = await process.until_exited()
        assert status.reason == sessions_pb2.SESSION_REASON_START_FAILED
        assert "not ready after 0.3 s" in status.reason_detail


async def test_the_longest_duration_ends_the_session(tmp_path: Path) -> None:
    message = server(SCRIPT + "print('ready', flush=True)\ntime.sleep(600)")
    message.limits.max_duration.FromMilliseconds(300)
    async with wrapper(tmp_path, message) as process:
        assert (await process.until_exited()).reason == sessions_pb2.SESSION_REASON_MAX_DURATION


async def test_a_lease_that_lapses_stops_the_game_and_a_renewed_one_does_not(tmp_path: Path) -> None:
    message = server(SCRIPT + "print('ready', flush=True)\ntime.sleep(600)")
    message.lease.FromSeconds(600)
    async with wrapper(tmp_path, message) as process:
        await process.until_running()
        request = wrapper_pb2.RenewLeaseRequest()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await process.stub.RenewLease(request)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        request.lease.FromMilliseconds(200)
        await process.stub.RenewLease(request)
        assert (await process.until_exited()).reason == sessions_pb2.SESSION_REASON_LEASE_EXPIRED


async def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    async with wrapper(deep, server(SCRIPT + "print('ready', flush=True)\ntime.sleep(600)")) as process:
        await process.until_running()
        pid, ticks = (deep / "wrapper.pid").read_text().split()
        assert int(pid) == process.process.pid
        assert ticks == Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


async def test_no_picture_no_media_library(tmp_path: Path) -> None:
    async with wrapper(tmp_path, server(SCRIPT + "print('ready', flush=True)\ntime.sleep(600)")) as process:
        await process.until_running()
        mapped = Path(f"/proc/{process.process.pid}/maps").read_text()
        assert "grpc" in mapped
        assert not [line for line in mapped.splitlines() if "numpy" in line or "/av" in line or "pylibsrtp" in line]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await process.stub.Signal(
                iter([wrapper_pb2.WrapperSignalRequest(open=wrapper_pb2.SignalOpen(role=1))])
            ).read()
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_importing_the_wrapper_imports_no_media_library() -> None:
    program = (
        "import sys, wrapper.__main__; print([m for m in ('av','aiortc','numpy','aioice','Xlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_a_directory_serves_one_session_once(tmp_path: Path) -> None:
    async with wrapper(tmp_path, server(SCRIPT + "print('ready', flush=True)\ntime.sleep(600)")) as process:
        await process.until_running()
        again = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "wrapper", "--session-dir", str(tmp_path), stderr=asyncio.subprocess.PIPE
        )
        _, complaint = await again.communicate()
        assert again.returncode == 2
        assert b"another wrapper" in complaint


async def test_the_log_is_bounded(tmp_path: Path) -> None:
    script = "for n in range(400_000):\n    print(n, 'x' * 50)\nprint('ready', flush=True)"
    async with wrapper(tmp_path, server(script)) as process:
        assert (await process.until_exited()).exit_code == 0
        assert sum(file.stat().st_size for file in (tmp_path / "log").iterdir()) <= 16 << 20
        kept = records(tmp_path)
        assert [sequence for sequence, _, _ in kept] == list(range(kept[0][0], 400_003))
        assert kept[0][0] > 1
        assert kept[-1] == (400_002, "wrapper", "over: game_exited")
