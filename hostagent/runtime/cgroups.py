"""What the kernel counts for a control group: processor time, memory, processes, kills for want of memory.

Reads cgroup v2 and v1, and machines with both: files take two milliseconds where asking the engine may take a second.
Sources: cgroups(7), kernel docs admin-guide/cgroup-v2 and cgroup-v1/{memory,cpuacct,pids}.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hostagent.runtime import Usage

_UNIFIED = ""
_COUNTED = ("cpuacct", "memory", "pids")


@dataclass(frozen=True)
class Cgroup:
    """The directories of one group, by v1 controller; "" is that of the unified hierarchy (v2)."""

    directories: Mapping[str, Path]


def of_process(pid: int, proc: Path = Path("/proc")) -> Cgroup | None:
    """The group that a process is in; None when it is gone, or when nothing is counted for it."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
        mounts = dict(_mounts((proc / "self" / "mountinfo").read_text().splitlines()))
    except (FileNotFoundError, ProcessLookupError):
        return None
    found: dict[str, Path] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            # In the root group is the whole machine, which is no session's.
            if controller in mounts and path != "/" and (controller in _COUNTED or controller == _UNIFIED):
                root, point = mounts[controller]
                found[controller] = point / _below(root, path)
    return Cgroup(found) if found else None


def _mounts(lines: Iterable[str]) -> Iterator[tuple[str, tuple[str, Path]]]:
    """(controller, (root, mount point)) of each hierarchy: proc(5), mountinfo."""
    for line in lines:
        mount, _, rest = line.partition(" - ")
        fields, (kind, _, options) = mount.split(), rest.split()[:3]
        if kind == "cgroup2":
            yield _UNIFIED, (fields[3], Path(fields[4]))
        elif kind == "cgroup":
            for controller in options.split(","):
                yield controller, (fields[3], Path(fields[4]))


def _below(root: str, path: str) -> str:
    inside = PurePosixPath(path)
    return str(inside.relative_to(root if inside.is_relative_to(root) else "/"))


def read(group: Cgroup) -> Usage | None:
    """Its figures; None when the group is gone. Those that its kernel does not count are 0."""
    directories = group.directories
    try:
        unified = directories.get(_UNIFIED)
        if unified is not None and (unified / "memory.current").exists():
            return _unified(unified)
        if not any(directory.is_dir() for directory in directories.values()):
            return None
        return _separate(directories)
    except (FileNotFoundError, ProcessLookupError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == 19:  # ENODEV: removed while we read
            return None
        raise


def _unified(directory: Path) -> Usage:
    idle = _keyed(directory / "memory.stat").get("inactive_file", 0)
    return Usage(
        cpu_s=_keyed(directory / "cpu.stat").get("usage_usec", 0) / 1e6,
        memory_bytes=max(0, _number(directory / "memory.current") - idle),
        memory_peak_bytes=_number(directory / "memory.peak"),
        processes=_number(directory / "pids.current"),
        oom_kills=_keyed(directory / "memory.events").get("oom_kill", 0),
    )


def _separate(directories: Mapping[str, Path]) -> Usage:
    cpu, memory, pids = (directories.get(controller) for controller in _COUNTED)
    used = peak = kills = 0
    if memory is not None:
        used = _number(memory / "memory.usage_in_bytes") - _keyed(memory / "memory.stat").get("total_inactive_file", 0)
        peak = _number(memory / "memory.max_usage_in_bytes")
        kills = _keyed(memory / "memory.oom_control").get("oom_kill", 0)
    return Usage(
        cpu_s=_number(cpu / "cpuacct.usage") / 1e9 if cpu is not None else 0.0,
        memory_bytes=max(0, used),
        memory_peak_bytes=peak,
        processes=_number(pids / "pids.current") if pids is not None else 0,
        oom_kills=kills,
    )


def _number(path: Path) -> int:
    """0 for a file that this kernel does not have."""
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return 0
    return int(text) if text.isdecimal() else 0


def _keyed(path: Path) -> dict[str, int]:
    """Lines of a word and a number."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
