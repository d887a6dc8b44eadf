"""The directory of one workload: the record that it was started here, and all that a restarted agent needs to adopt it.

Of the spec the agent keeps a copy beside all directories, where no game in a container reaches: the bounds of a session
are not its own to write.

`launch.json` is written before the process is, and again with the process when the agent holds its wrapper's socket:
only then does that one begin. So a start without the second writing may be undone; whoever finds that, or a word of the
wrapper in `status.binpb`, must never start this workload again.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hostagent import tree
from hostagent.files import open_plain, write_atomic
from hostagent.plan import WorkloadKey
from hostagent.procfs import ProcessId

# Ids come from the control plane and become file names: nothing else may pass (architecture: ids validated).
_NAME = re.compile(r"(?P<session>[a-z0-9][a-z0-9-]{0,62})\.(?P<generation>0|[1-9][0-9]{0,8})", re.ASCII)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SPEC = "spec.binpb"
STATUS = "status.binpb"
SOCKET = "wrapper.sock"
# The wrapper's spool of the session's log.
LOG = "log"
# What the wrapper says before it has a log of its own, and the last words of its interpreter.
OUTPUT = "wrapper.output"
LAUNCH = "launch.json"
# Beside the sessions: their specs, out of reach.
_SPECS = "specs"
_WRAPPER_PID = "wrapper.pid"
# As a kernel counts them: a game may have written something else there.
_PROCESS = re.compile(rb"(\d{1,10}) (\d{1,18})\n?")
_MAX_FILE_BYTES = 4 * 1024 * 1024
# No clock and no count of ticks since boot is ever so far.
_FAR = 1e12


class InvalidSessionId(ValueError):
    """The control plane named a session in a way that cannot be a directory's name."""


@dataclass(frozen=True)
class Launch:
    """When a workload was started, by this host's clocks; `boot_s` counts from boot and survives a clock step."""

    boot_id: str
    boot_s: float
    wall_s: float
    pid: int = 0
    start_ticks: int = 0

    @property
    def process(self) -> ProcessId | None:
        """The process that was started; None until that was recorded."""
        return ProcessId(self.pid, self.start_ticks) if self.pid else None

    def of(self, process: ProcessId) -> Launch:
        """The same launch, with the process it made."""
        return replace(self, pid=process.pid, start_ticks=process.start_ticks)

    @property
    def unfinished(self) -> bool:
        """True when it was not recorded whether there ever was a process."""
        return bool(self.boot_id) and not self.pid

    @property
    def this_boot(self) -> bool:
        """True when the machine has not been started anew since."""
        return self.boot_id == _boot_id()

    def age_s(self) -> float:
        """Seconds since the start, never negative; by the wall clock only across a reboot."""
        if self.this_boot:
            return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - self.boot_s)
        return max(0.0, time.time() - self.wall_s)


def launch_now() -> Launch:
    """A launch record of this moment, without a process yet."""
    return Launch(_boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


@dataclass(frozen=True)
class SessionDir:
    """One workload's directory, `<data-dir>/sessions/<session>.<generation>`."""

    path: Path
    key: WorkloadKey

    @classmethod
    def of(cls, root: Path, key: WorkloadKey) -> SessionDir:
        """The directory of `key` under `root`, which need not exist. Raises InvalidSessionId."""
        if parse_name(str(key)) is None:
            raise InvalidSessionId(f"not a session id with a generation: {str(key)[:80]!r}")
        return cls(root / str(key), key)

    @classmethod
    def forget_gone(cls, root: Path) -> None:
        """Removes what was kept beside directories that are gone: an agent may have died between the two."""
        for copy in (root.parent / _SPECS).glob("*"):
            if not (root / copy.name).exists():
                copy.unlink()

    @classmethod
    def scan(cls, root: Path) -> Iterator[SessionDir]:
        """Every workload directory under `root`; whatever else lies there is none of the agent's business."""
        for entry in sorted(root.iterdir()) if root.is_dir() else ():
            key = parse_name(entry.name)
            if key is not None and entry.is_dir() and not entry.is_symlink():
                yield cls(entry, key)

    def create(self) -> None:
        """Makes the directory, readable by this user only. Raises FileExistsError."""
        self.path.mkdir(mode=0o700)

    def read(self, name: str) -> bytes | None:
        """A file of the directory, or None; a symbolic link or an oversized file counts as none."""
        return _content(self.path / name)

    def write(self, name: str, content: bytes, mode: int = 0o600) -> None:
        """Replaces a file atomically and durably."""
        write_atomic(self.path / name, content, mode)

    def write_spec(self, content: bytes) -> None:
        """For the wrapper, and for whoever adopts it."""
        self._kept_spec.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomic(self._kept_spec, content)
        self.write(SPEC, content, 0o640)  # for the group: of its container, where it gets one

    def spec(self) -> bytes | None:
        """As it was written; the wrapper's own only where an agent that kept no copy wrote it."""
        return _content(self._kept_spec) or self.read(SPEC)

    @property
    def _kept_spec(self) -> Path:
        return self.path.parent.parent / _SPECS / self.path.name

    def launch(self) -> Launch | None:
        """The launch record; None when the workload was never started. An unreadable one counts as a start long ago."""
        content = self.read(LAUNCH)
        if content is None:
            return None
        try:
            return _launch_of(content)
        except (ValueError, TypeError, RecursionError):
            return Launch("", 0.0, time.time())

    def record_launch(self, launch: Launch) -> None:
        """Writes the launch record; a wrapper reads it too, as another user where it has a container."""
        self.write(LAUNCH, json.dumps(asdict(launch)).encode(), 0o644)

    def wrapper_process(self) -> ProcessId | None:
        """The wrapper's own word on who it is: pid and start time in `wrapper.pid`."""
        match = _PROCESS.fullmatch(self.read(_WRAPPER_PID) or b"")
        return ProcessId(int(match[1]), int(match[2])) if match else None

    def output_tail(self, max_bytes: int = 400) -> str:
        """The end of the wrapper's output, for people."""
        content = self.read(OUTPUT) or b""
        return content[-max_bytes:].decode("utf-8", "replace").strip()

    def strip(self, keep_log_in: Path | None = None) -> None:
        """Removes all but the records that this workload was started here and has ended; a log that somebody still
        waits for moves to `keep_log_in`."""
        spool = self.path / LOG
        kept = keep_log_in is not None and spool.is_dir() and not spool.is_symlink()
        if keep_log_in is not None and kept and not (keep_log_in / self.path.name).exists():
            keep_log_in.mkdir(mode=0o700, exist_ok=True)
            spool.rename(keep_log_in / self.path.name)
        for entry in self.path.iterdir() if self.path.exists() else ():
            if entry.name in (LAUNCH, STATUS):
                continue
            if entry.is_dir() and not entry.is_symlink():
                tree.remove(entry)
            else:
                entry.unlink()

    def remove(self) -> None:
        """Removes the directory and all in it; one that is gone already is fine."""
        tree.remove(self.path)
        self._kept_spec.unlink(missing_ok=True)


def parse_name(name: str) -> WorkloadKey | None:
    """The workload whose directory has this name; None for any other name."""
    match = _NAME.fullmatch(name)
    return WorkloadKey(match["session"], int(match["generation"])) if match else None


def _content(path: Path) -> bytes | None:
    try:
        descriptor = open_plain(path)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MAX_FILE_BYTES) if os.fstat(descriptor).st_size <= _MAX_FILE_BYTES else None


def _launch_of(content: bytes) -> Launch:
    """Raises ValueError, TypeError for what no agent has written: it is told with every report of the host."""
    launch = Launch(**json.loads(content))
    numbers = (launch.boot_s, launch.wall_s, launch.pid, launch.start_ticks)
    if not isinstance(launch.boot_id, str) or any(type(number) not in (int, float) for number in numbers):
        raise TypeError("a launch has other fields")
    if not all(0 <= number < _FAR for number in numbers):
        raise ValueError("a launch is of another time")
    return replace(launch, pid=int(launch.pid), start_ticks=int(launch.start_ticks))


def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()
