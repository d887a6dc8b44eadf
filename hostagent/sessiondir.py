"""The directory of one workload: the record that it was started here, and all that a restarted agent needs to adopt it.

`launch.json` is written before the process is, and again with the process: only then does its wrapper begin. So a start
without the second writing may be undone; whoever finds that, or a word of the wrapper in `status.binpb`, must never
start this workload again.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hostagent import tree
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
_LAUNCH = "launch.json"
_WRAPPER_PID = "wrapper.pid"
_MAX_FILE_BYTES = 4 * 1024 * 1024


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
        try:
            descriptor = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_FILE_BYTES:
            os.close(descriptor)
            return None
        with os.fdopen(descriptor, "rb") as file:
            return file.read(_MAX_FILE_BYTES)

    def write(self, name: str, content: bytes, mode: int = 0o600) -> None:
        """Replaces a file atomically and durably."""
        write_atomic(self.path / name, content, mode)

    def launch(self) -> Launch | None:
        """The launch record; None when the workload was never started. An unreadable one counts as a start long ago."""
        content = self.read(_LAUNCH)
        if content is None:
            return None
        try:
            return Launch(**json.loads(content))
        except (ValueError, TypeError):
            return Launch("", 0.0, time.time())

    def record_launch(self, launch: Launch) -> None:
        """Writes the launch record; a wrapper reads it too, as another user where it has a container."""
        self.write(_LAUNCH, json.dumps(asdict(launch)).encode(), 0o644)

    def wrapper_process(self) -> ProcessId | None:
        """The wrapper's own word on who it is: pid and start time in `wrapper.pid`."""
        numbers = re.findall(rb"\d+", self.read(_WRAPPER_PID) or b"")
        return ProcessId(int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else None

    def output_tail(self, max_bytes: int = 400) -> str:
        """The end of the wrapper's output, for people."""
        content = self.read(OUTPUT) or b""
        return content[-max_bytes:].decode("utf-8", "replace").strip()

    def strip(self, keep_log_in: Path | None = None) -> None:
        """Removes all but the records that this workload was started here and has ended; a log that somebody still
        waits for moves to `keep_log_in`."""
        if keep_log_in is not None and (self.path / LOG).is_dir() and not (keep_log_in / self.path.name).exists():
            keep_log_in.mkdir(mode=0o700, exist_ok=True)
            (self.path / LOG).rename(keep_log_in / self.path.name)
        for entry in self.path.iterdir() if self.path.exists() else ():
            if entry.name in (_LAUNCH, STATUS):
                continue
            if entry.is_dir() and not entry.is_symlink():
                tree.remove(entry)
            else:
                entry.unlink()

    def remove(self) -> None:
        """Removes the directory and all in it; one that is gone already is fine."""
        tree.remove(self.path)


def parse_name(name: str) -> WorkloadKey | None:
    """The workload whose directory has this name; None for any other name."""
    match = _NAME.fullmatch(name)
    return WorkloadKey(match["session"], int(match["generation"])) if match else None


def write_atomic(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Writes a file so that a crash leaves either the old or the new content."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()
