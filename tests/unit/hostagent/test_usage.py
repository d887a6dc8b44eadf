"""Each session is measured by itself."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hostagent import statuses
from hostagent.disk import Gauge, Taken
from hostagent.procfs import MARK
from hostagent.runtime import Usage
from hostagent.runtime.process import ProcessRuntime
from hostagent.usage import Meter
from tests.trees import grow

MIB = 1 << 20


@pytest.fixture
def sessions(deep_folder: Path) -> Iterator[list[Path]]:
    """Two with a process each; the first has a tree deeper than any path."""
    paths = [deep_folder / "deep.1", deep_folder / "plain.1"]
    for path in paths:
        path.mkdir()
    grow(paths[0] / "home", 1200)
    (paths[1] / "home").mkdir()
    (paths[1] / "home" / "world").write_bytes(os.urandom(MIB))
    running = [subprocess.Popen(["sleep", "600"], env={MARK: str(path)}) for path in paths]
    yield paths
    for process in running:
        process.kill()
        process.wait()


async def test_all_are_told_whatever_the_trees_of_some(tmp_path: Path, sessions: list[Path]) -> None:
    told: dict[Path, Usage] = {}

    def tell(usage: Mapping[Path, Usage]) -> None:
        told.update(usage)

    meter = Meter(ProcessRuntime(tmp_path), tell)
    while len(told) < 2 or not told[sessions[0]].disk_bytes:  # a busy machine takes several turns
        await meter.measure(dict.fromkeys(sessions, 0))
    assert told.keys() == set(sessions)
    assert told[sessions[0]].disk_bytes >= 2400 * 512
    assert told[sessions[1]].disk_bytes >= MIB
    assert {usage.disk_unmeasured for usage in told.values()} == {""}


async def test_a_disk_that_hangs_holds_up_nobody_else_and_breaks_a_bound_in_the_end(
    tmp_path: Path, sessions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mended, go_on = threading.Event(), Gauge.go_on

    def hanging(gauge: Gauge) -> Taken:
        if gauge.session_dir == sessions[0]:
            mended.wait()
        return go_on(gauge)

    monkeypatch.setattr(Gauge, "go_on", hanging)
    told: list[Mapping[Path, Usage]] = []
    meter, bounds = Meter(ProcessRuntime(tmp_path), told.append, answer_s=2), dict.fromkeys(sessions, 64 * MIB)
    try:
        for _ in range(3):
            await meter.measure(bounds)
        last = {path: usage for one in told for path, usage in one.items()}
        assert last[sessions[0]].disk_unmeasured == "its disk hangs"
        assert last[sessions[1]].disk_unmeasured == ""
        assert statuses.breaks_disk_limit(last[sessions[0]], 64 * MIB)
    finally:
        mended.set()
    while told[-1].get(sessions[0], last[sessions[0]]).disk_unmeasured or sessions[0] not in told[-1]:
        await meter.measure({sessions[0]: 64 * MIB})


async def test_one_failure_ends_no_sessions_measuring(
    tmp_path: Path, sessions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    failures, go_on = [RuntimeError("once")], Gauge.go_on

    def failing_once(gauge: Gauge) -> Taken:
        if failures:
            raise failures.pop()
        return go_on(gauge)

    monkeypatch.setattr(Gauge, "go_on", failing_once)
    told: list[Mapping[Path, Usage]] = []
    meter = Meter(ProcessRuntime(tmp_path), told.append)
    for _ in range(2):
        await meter.measure({sessions[1]: 64 * MIB})
    assert [usage.disk_bytes >= MIB for one in told for usage in one.values()] == [True]


async def test_a_disk_on_which_all_hang_is_the_hosts_and_breaks_no_bound(
    tmp_path: Path, sessions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mended = threading.Event()

    def hanging(_: Gauge) -> Taken:
        mended.wait()
        return Taken()

    monkeypatch.setattr(Gauge, "go_on", hanging)
    told: list[Mapping[Path, Usage]] = []
    meter = Meter(ProcessRuntime(tmp_path), told.append, answer_s=0.1)
    try:
        for _ in range(4):
            await meter.measure(dict.fromkeys(sessions, 64 * MIB))
        assert len(told) == 8
        assert {usage.disk_unmeasured for one in told for usage in one.values()} == {""}
    finally:
        mended.set()


async def test_hanging_disks_are_waited_for_together(
    tmp_path: Path, sessions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(2)

    def meeting(_: Gauge) -> Taken:
        together.wait(30)  # breaks, and tells nothing, where one comes after the other
        return Taken(disk_bytes=MIB)

    monkeypatch.setattr(Gauge, "go_on", meeting)
    told: list[Mapping[Path, Usage]] = []
    await Meter(ProcessRuntime(tmp_path), told.append, answer_s=60).measure(dict.fromkeys(sessions, 64 * MIB))
    assert [usage.disk_bytes for one in told for usage in one.values()] == [MIB, MIB]
