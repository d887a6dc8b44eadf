"""Each session is measured by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hostagent import tree
from hostagent.procfs import MARK
from hostagent.runtime import Usage
from hostagent.runtime.process import ProcessRuntime
from hostagent.usage import Meter
from tests.trees import grow

MIB = 1 << 20


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[list[Path]]:
    """Two with a process each; the first has a tree deeper than any path."""
    paths = [tmp_path / "deep.1", tmp_path / "plain.1"]
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
    tree.remove(paths[0])


async def test_all_are_told_whatever_the_trees_of_some(tmp_path: Path, sessions: list[Path]) -> None:
    told: dict[Path, Usage] = {}

    def tell(usage: Mapping[Path, Usage]) -> None:
        told.update(usage)

    meter = Meter(ProcessRuntime(tmp_path), tell)
    await meter.measure(dict.fromkeys(sessions, 0))
    assert told.keys() == set(sessions)
    assert told[sessions[0]].disk_bytes >= 2400 * 512
    assert told[sessions[1]].disk_bytes >= MIB
    assert {usage.disk_unmeasured for usage in told.values()} == {""}
