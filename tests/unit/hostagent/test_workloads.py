"""What a host does about a decision, and that it waits for none of it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest
from quarterdeck.v1 import sessions_pb2

from hostagent.plan import Forget, Stop, StopCause, WorkloadKey
from hostagent.saves import Saves
from hostagent.sessiondir import SessionDir
from hostagent.surroundings import Surroundings
from hostagent.transfer import ArchiveLink
from hostagent.workloads import Workloads


async def test_a_directory_that_is_long_to_remove_holds_up_neither_the_host_nor_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "sessions"
    root.mkdir()
    large, small = WorkloadKey("large", 1), WorkloadKey("small", 1)
    removed = threading.Event()
    strip = SessionDir.strip

    def strip_at_last(directory: SessionDir, keep_log_in: Path | None = None) -> None:
        assert directory.key != large or removed.wait(60)
        strip(directory, keep_log_in)

    monkeypatch.setattr(SessionDir, "strip", strip_at_last)
    changed = asyncio.Event()
    saves = Saves(tmp_path / "unstored", ArchiveLink(lambda: None), lambda _: None)
    workloads = Workloads(root, Surroundings(Mock(), Mock(), lambda _: changed.set(), saves))
    stop_requested = sessions_pb2.SESSION_REASON_STOP_REQUESTED
    workloads.carry_out(Stop(key, StopCause.PLANNED, stop_requested) for key in (large, small))
    changed.clear()
    workloads.carry_out([Forget(large), Forget(small), Forget(large)])
    async with asyncio.timeout(20):
        await changed.wait()
    assert list(workloads.observed()) == [large]
    changed.clear()
    removed.set()
    async with asyncio.timeout(20):
        await changed.wait()
    assert workloads.observed() == {}
    assert list(root.iterdir()) == []
