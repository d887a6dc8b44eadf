"""A workload's end: told once nothing of it is left, and told whatever happens."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from quarterdeck.v1 import sessions_pb2, wrapper_pb2

from hostagent.lifecycle import Phase
from hostagent.plan import WorkloadKey
from hostagent.procfs import ProcessId
from hostagent.runtime import Instance, Order, Runtime, StartFailed
from hostagent.runtime.process import ProcessRuntime
from hostagent.saves import Saves
from hostagent.sessiondir import Launch, SessionDir
from hostagent.surroundings import Surroundings, Timing
from hostagent.transfer import ArchiveLink
from hostagent.workload import Workload
from tests.ports import free_port

Reason = sessions_pb2.SessionReason
# Wrappers that begin nothing.
MUTE = "import signal; signal.pause()"
LISTENING = "import socket; here = socket.socket(socket.AF_UNIX); here.bind('wrapper.sock'); here.listen(); " + MUTE


async def nothing(*_: object) -> None:
    return


class Scripted:
    """A runtime that does what a test wants; something of each workload is left until `free` is set."""

    def __init__(
        self, prepare: Callable[..., Awaitable[None]] = nothing, start: Callable[..., Awaitable[None]] = nothing
    ) -> None:
        self.prepare = prepare
        self._start = start
        self.killed = asyncio.Event()
        self.free = asyncio.Event()
        self.started = False
        self.refusal: OSError = TimeoutError("not now")

    async def start(self, order: Order) -> Instance:
        await self._start(order)
        self.started = True
        return Instance(order.session_dir, ProcessId(1, 1))

    async def kill(self, session_dir: Path, leader: ProcessId | None) -> int:
        self.killed.set()
        if not self.free.is_set():
            raise self.refusal
        return 0


def begun(tmp_path: Path, runtime: Runtime, *ports: sessions_pb2.PortLease, ready_s: float = 60.0) -> Workload:
    root = tmp_path / "sessions"
    root.mkdir()
    content = wrapper_pb2.SessionSpec(session_id="game", generation=1, ports=ports).SerializeToString()

    async def specs(_: str) -> bytes:
        return content

    saves = Saves(tmp_path / "unstored", ArchiveLink(lambda: None), lambda _: None)
    around = Surroundings(runtime, specs, lambda _: None, saves, Timing(kill_again_s=0, ready_s=ready_s))
    workload = Workload(SessionDir.of(root, WorkloadKey("game", 1)), hashlib.sha256(content).hexdigest(), around)
    workload.begin()
    return workload


async def end_of(workload: Workload) -> wrapper_pb2.WorkloadStatus:
    async with asyncio.timeout(20):
        await workload.ended()
    assert workload.phase is Phase.EXITED
    return workload.status()


@pytest.mark.parametrize(
    "error", [StartFailed("no such card"), RuntimeError("as nobody foresaw"), asyncio.CancelledError()], ids=repr
)
async def test_a_start_that_fails_is_told_when_nothing_of_it_is_left(tmp_path: Path, error: BaseException) -> None:
    async def fail(_: Order) -> None:
        raise error

    runtime = Scripted(start=fail)
    workload = begun(tmp_path, runtime)
    async with asyncio.timeout(20):
        await runtime.killed.wait()
    assert workload.phase is Phase.PREPARING
    runtime.refusal, runtime.killed = OSError(errno.EMFILE, os.strerror(errno.EMFILE)), asyncio.Event()
    async with asyncio.timeout(20):
        await runtime.killed.wait()
    runtime.free.set()
    assert (await end_of(workload)).reason == Reason.SESSION_REASON_START_FAILED


async def test_files_that_cannot_be_kept_keep_no_session_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Order) -> None:
        raise StartFailed("no such card")

    def refuse(*_: object) -> None:
        raise ValueError("as nobody foresaw")

    monkeypatch.setattr(Saves, "set_aside", refuse)
    runtime = Scripted(start=fail)
    runtime.free.set()
    status = await end_of(begun(tmp_path, runtime))
    assert (status.reason, status.reason_detail) == (Reason.SESSION_REASON_START_FAILED, "no such card")


async def test_a_port_that_is_taken_while_a_session_is_prepared_is_told_before_it_starts(tmp_path: Path) -> None:
    lease = sessions_pb2.PortLease(protocol=sessions_pb2.PortLease.PROTOCOL_TCP, host_port=free_port())
    with socket.socket() as other:

        async def take(*_: object) -> None:
            other.bind(("127.0.0.1", lease.host_port))
            other.listen()

        runtime = Scripted(prepare=take)
        runtime.free.set()
        status = await end_of(begun(tmp_path, runtime, lease))
    assert status.reason == Reason.SESSION_REASON_PORT_TAKEN
    assert not runtime.started


async def test_a_wrapper_that_does_not_listen_may_not_begin(tmp_path: Path) -> None:
    """Or its game might hide from the agent what that has not seen yet."""
    runtime = ProcessRuntime(tmp_path / "sessions", (sys.executable, "-c", MUTE))
    workload = begun(tmp_path, runtime, ready_s=0.2)
    ended = await end_of(workload)
    assert (launch := workload.directory.launch()) is not None
    assert launch.unfinished
    assert ended.reason == Reason.SESSION_REASON_START_FAILED
    assert ended.reason_detail == (
        "the wrapper did not open its socket within 0.2 s "
        "(`make wrapper-image` builds its image anew, where that is older than this agent)"
    )


async def test_a_wrapper_whose_start_cannot_be_recorded_may_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record: Callable[[SessionDir, Launch], None] = SessionDir.record_launch

    def record_on_a_full_disk(directory: SessionDir, launch: Launch) -> None:
        if not launch.unfinished:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        record(directory, launch)

    monkeypatch.setattr(SessionDir, "record_launch", record_on_a_full_disk)
    ended = await end_of(begun(tmp_path, ProcessRuntime(tmp_path / "sessions", (sys.executable, "-c", LISTENING))))
    assert ended.reason == Reason.SESSION_REASON_START_FAILED
    assert "No space left" in ended.reason_detail
