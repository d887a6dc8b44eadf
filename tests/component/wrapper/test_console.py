"""A real wrapper's console, its configuration files, and the game's own way to stop."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest
from quarterdeck.v1 import console_pb2, games_pb2, sessions_pb2, wrapper_pb2

from tests.component.wrapper.rig import Wrapper, spec, wrapper
from tests.spooled import said

# Repeats what it reads; ends well on "quit".
SERVER = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
print("ready", flush=True)
for line in sys.stdin:
    print("heard " + line.strip(), flush=True)
    if line.strip() == "quit":
        sys.exit(0)
"""
DEAF = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("ready", flush=True)
while True:
    time.sleep(1)
"""


def server(script: str = SERVER) -> wrapper_pb2.SessionSpec:
    message = spec(("python", "-u", "-c", script), games_pb2.PICTURE_NONE)
    message.deployment.readiness.log_pattern = "^ready$"
    del message.ports[:]
    return message


async def typed(process: Wrapper, *lines: str) -> int:
    answer = await process.stub.SendConsoleInput(wrapper_pb2.WrapperConsoleInput(lines=lines))
    return answer.sequence


async def read_until(process: Wrapper, last: str, after_sequence: int = 0) -> Sequence[console_pb2.ConsoleLine]:
    lines: list[console_pb2.ConsoleLine] = []
    call = process.stub.StreamConsole(wrapper_pb2.WrapperConsoleRequest(after_sequence=after_sequence))
    try:
        async for output in call:
            lines += output.lines
            if lines and lines[-1].text == last:
                break
    finally:
        call.cancel()
    return lines


async def test_lines_go_in_and_come_out_numbered_and_can_be_resumed(tmp_path: Path) -> None:
    async with wrapper(tmp_path, server()) as process:
        await process.until_running()
        before = await typed(process, "one", "two")
        lines = await read_until(process, "heard two")
        assert [(line.sequence, line.text) for line in lines] == [(1, "ready"), (2, "heard one"), (3, "heard two")]
        assert before >= 1
        await typed(process, "three")
        resumed = await read_until(process, "heard three", after_sequence=3)
        assert [line.sequence for line in resumed] == [4]


async def test_a_typed_line_is_activity(tmp_path: Path) -> None:
    async with wrapper(tmp_path, server()) as process:
        running = await process.until_running()
        assert not running.HasField("last_activity_after")
        await typed(process, "one")
        active = await process.until(lambda status: status.HasField("last_activity_after"))
        assert active.last_activity_after.ToNanoseconds() >= running.age.ToNanoseconds()


async def test_a_line_that_is_two_is_refused(tmp_path: Path) -> None:
    async with wrapper(tmp_path, server()) as process:
        await process.until_running()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await typed(process, "one\ntwo")
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_game_that_does_not_read_refuses_more_than_fits(tmp_path: Path) -> None:
    async with wrapper(tmp_path, server(DEAF)) as process:
        await process.until_running()

        async def flood() -> None:
            for _ in range(100):
                await typed(process, "x" * 4000)

        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await flood()
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_the_console_ends_with_the_game(tmp_path: Path) -> None:
    async with wrapper(tmp_path, server()) as process:
        await process.until_running()
        texts: list[str] = []
        async for output in process.stub.StreamConsole(wrapper_pb2.WrapperConsoleRequest()):
            if not texts:
                await typed(process, "quit")
            texts += [line.text for line in output.lines]
        assert texts == ["ready", "heard quit", "over: game_exited"]


async def test_the_games_own_command_stops_it_before_any_signal(tmp_path: Path) -> None:
    message = server()
    message.deployment.stop_command = "quit"
    message.deployment.stop_command_grace.FromSeconds(60)
    async with wrapper(tmp_path, message) as process:
        await process.until_running()
        await process.stop()
        status = await process.until_exited()
        # 3 would be what it answers to SIGTERM.
        assert (status.exit_code, status.reason) == (0, sessions_pb2.SESSION_REASON_STOP_REQUESTED)


async def test_after_the_command_comes_the_signal(tmp_path: Path) -> None:
    message = server()
    message.deployment.stop_command = "not its word"
    message.deployment.stop_command_grace.FromMilliseconds(100)
    async with wrapper(tmp_path, message) as process:
        await process.until_running()
        await process.stop()
        assert (await process.until_exited()).exit_code == 3


async def test_after_the_signal_comes_the_kill(tmp_path: Path) -> None:
    message = server(DEAF.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN"))
    message.deployment.stop_command = "quit"
    message.deployment.stop_command_grace.FromMilliseconds(100)
    message.deployment.stop_grace.FromMilliseconds(100)
    async with wrapper(tmp_path, message) as process:
        await process.until_running()
        await process.stop()
        assert (await process.until_exited()).exit_code == -signal.SIGKILL


async def test_files_are_there_before_the_game(tmp_path: Path) -> None:
    message = server("print(open('data/server.cfg').read().strip(), flush=True)\nprint('ready')")
    message.files.add(path="data/server.cfg", content=b"slots=8\n")
    async with wrapper(tmp_path, message) as process:
        await process.until_exited()
        assert (tmp_path / "home/data/server.cfg").read_bytes() == b"slots=8\n"
        assert "slots=8" in said(tmp_path)


async def test_a_file_that_leaves_the_home_starts_no_game(tmp_path: Path) -> None:
    message = server()
    message.files.add(path="../spec.binpb", content=b"x")
    async with wrapper(tmp_path, message) as process:
        status = await process.until_exited()
        assert status.reason == sessions_pb2.SESSION_REASON_START_FAILED
        assert "spec.binpb" in status.reason_detail


async def test_only_console_input_keeps_a_game_without_a_picture_from_being_idle(tmp_path: Path) -> None:
    message = server()
    message.limits.idle_timeout.FromMilliseconds(1500)
    async with wrapper(tmp_path, message) as process:
        assert (await process.until_exited()).reason == sessions_pb2.SESSION_REASON_IDLE
