"""Figures of control groups, out of files as kernels of both kinds write them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostagent.runtime import Usage, cgroups
from hostagent.usage import grown, together

V2_MOUNTS = "30 25 0:26 / {root}/cg rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNTS = (
    "31 25 0:27 / {root}/cg/memory rw - cgroup cgroup rw,memory\n"
    "32 25 0:28 / {root}/cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 25 0:29 / {root}/cg/pids rw - cgroup cgroup rw,pids\n"
    "34 25 0:30 / {root}/cg/systemd rw - cgroup cgroup rw,name=systemd\n"
)
V1_PATHS = "12:pids:/docker/abc\n11:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"
STAT = "cache 5000\ninactive_file 900\ntotal_inactive_file 1000\n"
V2 = {
    "cg/a.slice/game/cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n",
    "cg/a.slice/game/memory.current": "5000\n",
    "cg/a.slice/game/memory.peak": "9000\n",
    "cg/a.slice/game/memory.stat": "anon 4000\ninactive_file 1000\n",
    "cg/a.slice/game/memory.events": "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\n",
    "cg/a.slice/game/pids.current": "3\n",
}
V1 = {
    "cg/memory/docker/abc/memory.usage_in_bytes": "5000\n",
    "cg/memory/docker/abc/memory.max_usage_in_bytes": "9000\n",
    "cg/memory/docker/abc/memory.stat": STAT,
    "cg/memory/docker/abc/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    "cg/cpu,cpuacct/docker/abc/cpuacct.usage": "2500000000\n",
    "cg/pids/docker/abc/pids.current": "3\n",
}
USED = Usage(cpu_s=2.5, memory_bytes=4000, memory_peak_bytes=9000, processes=3, oom_kills=1)


def machine(root: Path, mounts: str, paths: str, files: dict[str, str]) -> Path:
    contents = files | {"proc/self/mountinfo": mounts.format(root=root), "proc/7/cgroup": paths}
    for path, text in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root / "proc"


KINDS = {
    "v2": (V2_MOUNTS, "0::/a.slice/game\n", V2),
    "v1": (V1_MOUNTS, V1_PATHS, V1),
    # systemd's own hierarchy is v2, but nothing is counted there.
    "both": (V1_MOUNTS + V2_MOUNTS.replace("/cg ", "/cg/unified "), V1_PATHS + "0::/docker/abc\n", V1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_is_found_and_read(tmp_path: Path, kind: str) -> None:
    group = cgroups.of_process(7, machine(tmp_path, *KINDS[kind]))
    assert group is not None
    assert cgroups.read(group) == USED


def test_an_older_kernel_that_keeps_no_peak_is_read_all_the_same(tmp_path: Path) -> None:
    mounts, paths, files = KINDS["v2"]
    lacking = {name: text for name, text in files.items() if "peak" not in name and "events" not in name}
    group = cgroups.of_process(7, machine(tmp_path, mounts, paths, lacking))
    assert group is not None
    assert cgroups.read(group) == Usage(2.5, 4000, 0, 3, 0)


def test_a_group_that_is_gone_is_nothing(tmp_path: Path) -> None:
    for kind in ("v1", "v2"):
        proc = machine(tmp_path / kind, KINDS[kind][0], KINDS[kind][1], {})
        group = cgroups.of_process(7, proc)
        assert group is not None
        assert cgroups.read(group) is None
        assert cgroups.of_process(8, proc) is None


def test_the_root_group_is_no_sessions(tmp_path: Path) -> None:
    assert cgroups.of_process(7, machine(tmp_path, V2_MOUNTS, "0::/\n", {})) is None


def test_a_hierarchy_of_which_only_a_part_is_mounted(tmp_path: Path) -> None:
    mounts = "31 25 0:27 /docker {root}/cg/memory rw - cgroup cgroup rw,memory\n"
    files = {name.replace("memory/docker/abc", "memory/abc"): text for name, text in V1.items()}
    group = cgroups.of_process(7, machine(tmp_path, mounts, "11:memory:/docker/abc\n", files))
    assert group is not None
    assert cgroups.read(group) == Usage(0.0, 4000, 9000, 0, 1)


def test_this_machine_is_read_without_complaint() -> None:
    group = cgroups.of_process(os.getpid())
    if group is None:
        pytest.skip("this process is in no control group of its own")
    assert cgroups.read(group) is not None


def test_what_only_grows_never_shrinks() -> None:
    first = grown(None, Usage(5.0, 800, 0, 4))
    assert first.memory_peak_bytes == 800
    assert grown(first, Usage(3.0, 500, 0, 2, 1)) == Usage(5.0, 500, 800, 2, 1)
    assert together([USED, USED]) == Usage(5.0, 8000, 18000, 6, 2)
    assert together([]) == Usage()
