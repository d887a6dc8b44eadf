"""What a host does about a decision, and that it waits for none of it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest
from quarterdeck.v1 import sessions_pb2
from structlog.testing import capture_logs

from hostagent.plan import Forget, Stop, StopCause, WorkloadKey
from hostagent.saves import Saves
from hostagent.sessiondir import SessionDir
from hostagent.surroundings import Surroundings, Timing
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


async def test_a_directory_that_cannot_be_removed_is_tried_again_at_its_own_pace_and_told_once_for_each_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "sessions"
    root.mkdir()
    key = WorkloadKey("shut", 1)
    strip, refusals = SessionDir.strip, [OSError("immutable"), OSError("busy"), OSError("busy")]

    def strip_at_last(directory: SessionDir, keep_log_in: Path | None = None) -> None:
        if refusals:
            raise refusals.pop()
        strip(directory, keep_log_in)

    monkeypatch.setattr(SessionDir, "strip", strip_at_last)
    changed = asyncio.Event()
    saves = Saves(tmp_path / "unstored", ArchiveLink(lambda: None), lambda _: None)
    around = Surroundings(Mock(), Mock(), lambda _: changed.set(), saves, Timing(remove_again_s=0))
    workloads = Workloads(root, around)
    workloads.carry_out([Stop(key, StopCause.PLANNED, sessions_pb2.SESSION_REASON_STOP_REQUESTED)])
    changed.clear()
    with capture_logs() as logs:
        workloads.carry_out([Forget(key)])
        async with asyncio.timeout(20):
            await changed.wait()
    assert workloads.observed() == {}
    assert [entry["event"] for entry in logs] == ["an ended workload's directory cannot be removed"] * 2
