"""What a restarted agent makes of records that a game has had its hands in."""

from __future__ import annotations

import time
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest
from quarterdeck.v1 import sessions_pb2, wrapper_pb2

from hostagent.adopt import adopt
from hostagent.plan import WorkloadKey
from hostagent.procfs import ProcessId
from hostagent.runtime import Instance
from hostagent.sessiondir import SPEC, Launch, SessionDir
from hostagent.surroundings import Surroundings
from hostagent.workloads import Workloads


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
    runtime = Mock(find=AsyncMock(return_value=[Instance(hostile.path, ProcessId(1, 1))]), kill=AsyncMock())
    workloads = Workloads(root, Surroundings(runtime, Mock(), Mock(), Mock()))
    await adopt(workloads)
    runtime.kill.assert_awaited_once_with(hostile.path, None)
    told = {status.session_id: (status.state, status.reason) for status in workloads.report()}
    lost = wrapper_pb2.WORKLOAD_STATE_EXITED, sessions_pb2.SESSION_REASON_WRAPPER_LOST
    assert told == {"hostile": lost, "other": lost}


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
