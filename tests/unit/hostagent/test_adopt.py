"""What a restarted agent makes of records that a game has had its hands in."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest
from quarterdeck.v1 import sessions_pb2, wrapper_pb2

from hostagent.adopt import adopt
from hostagent.lifecycle import Phase
from hostagent.plan import WorkloadKey
from hostagent.procfs import ProcessId
from hostagent.runtime import Instance
from hostagent.sessiondir import SPEC, Launch, SessionDir
from hostagent.surroundings import Surroundings, Timing
from hostagent.workloads import Workloads

EXITED = wrapper_pb2.WORKLOAD_STATE_EXITED


async def test_records_that_cannot_be_read_end_their_own_session_and_keep_no_agent_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "sessions"
    root.mkdir()
    hostile, other = (SessionDir.of(root, WorkloadKey(name, 1)) for name in ("hostile", "other"))
    launch = SessionDir.launch

    def forged(directory: SessionDir) -> Launch | None:
        if directory.key == hostile.key:
            raise ValueError("forged")
        return launch(directory)

    monkeypatch.setattr(SessionDir, "launch", forged)
    for directory in (hostile, other):
        directory.create()
        directory.record_launch(Launch("another boot", 0.0, time.time(), 1, 1))
    runtime = Mock(
        find=AsyncMock(return_value=[Instance(hostile.path, ProcessId(1, 1))]), kill=AsyncMock(return_value=0)
    )
    workloads = Workloads(root, Surroundings(runtime, Mock(), Mock(), Mock()))
    await adopt(workloads)
    await ended(workloads, hostile, other)
    told = {status.session_id: (status.state, status.reason) for status in workloads.report()}
    lost = wrapper_pb2.WORKLOAD_STATE_EXITED, sessions_pb2.SESSION_REASON_WRAPPER_LOST
    assert told == {"hostile": lost, "other": lost}


class Stubborn:
    """Finds these, and kills only what is let go."""

    def __init__(self, *found: Instance) -> None:
        self.find = AsyncMock(return_value=found)
        self.free = asyncio.Event()

    async def wait(self, _: Instance) -> None:
        await asyncio.Event().wait()

    async def kill(self, session_dir: Path, leader: ProcessId | None) -> int:
        if session_dir.name == "stray.1":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if not self.free.is_set():
            raise TimeoutError(f"{session_dir.name} cannot be killed")
        return 1


async def test_what_cannot_be_killed_holds_up_neither_its_neighbours_nor_the_agent_and_is_told_when_it_is_gone(
    tmp_path: Path,
) -> None:
    root = tmp_path / "sessions"
    root.mkdir()
    dead, half, well = (SessionDir.of(root, WorkloadKey(name, 1)) for name in ("dead", "half", "well"))
    for directory in (dead, half, well):
        directory.create()
    for directory in (dead, well):
        directory.record_launch(Launch("another boot", 0.0, time.time(), 1, 1))
    half.record_launch(Launch("another boot", 0.0, time.time()))
    runtime = Stubborn(Instance(well.path, ProcessId(1, 1), certain=True), Instance(root / "stray.1", ProcessId(2, 1)))
    workloads = Workloads(root, Surroundings(runtime, Mock(), Mock(), Mock(keep=AsyncMock()), Timing(kill_again_s=0)))
    await adopt(workloads)
    await asyncio.sleep(0)
    assert workloads.observed() == {dead.key: Phase.STOPPING, half.key: Phase.STOPPING, well.key: Phase.STARTING}
    runtime.free.set()
    await ended(workloads, dead, half)
    told = {status.session_id: status.reason for status in workloads.report() if status.state == EXITED}
    assert told == {
        "dead": sessions_pb2.SESSION_REASON_WRAPPER_LOST,
        "half": sessions_pb2.SESSION_REASON_START_FAILED,
    }
    await workloads.close()


async def ended(workloads: Workloads, *directories: SessionDir) -> None:
    async with asyncio.timeout(20):
        for directory in directories:
            workload = workloads.get(directory.key)
            assert workload is not None
            await workload.ended()


async def test_an_adopted_session_is_held_to_the_spec_that_it_was_started_with(tmp_path: Path) -> None:
    root = tmp_path / "sessions"
    root.mkdir()
    directory = SessionDir.of(root, WorkloadKey("hostile", 1))
    directory.create()
    spec = wrapper_pb2.SessionSpec(session_id="hostile", generation=1)
    spec.deployment.disk_bytes = 1 << 20
    directory.write_spec(spec.SerializeToString())
    spec.deployment.disk_bytes = 0
    (directory.path / SPEC).write_bytes(spec.SerializeToString())
    (tmp_path / "specs" / "gone.1").write_bytes(b"")
    process = ProcessId(1, 1)
    directory.record_launch(Launch("another boot", 0.0, time.time(), 1, 1))
    runtime = Mock(find=AsyncMock(return_value=[Instance(directory.path, process)]))
    workloads = Workloads(root, Surroundings(runtime, Mock(), Mock(), Mock()))
    await adopt(workloads)
    await workloads.close()
    assert workloads.running() == {directory.path: 1 << 20}
    directory.remove()
    assert list(tmp_path.glob("*/*")) == []
