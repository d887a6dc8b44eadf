"""The session's directory: what the wrapper leaves there for an agent that comes, or comes back, later."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from pathlib import Path

SPEC = "spec.binpb"
STATUS = "status.binpb"
SOCKET = "wrapper.sock"
PID = "wrapper.pid"
LAUNCH = "launch.json"
"""The agent's record of the start, with the id of a process once it stands."""
WRAPPER_LOG = "wrapper.log"
LOG = "log"
HOME = "home"
"""The game's working directory and home."""
STAGE = "stage"
"""Where wrapper and game meet when the game has a container of its own."""
VOLUMES = "volumes"
"""What such a container sees as its volumes, by their names."""


_LAUNCH_WITHIN_S = 60.0
_LAUNCH_ROUND_S = 0.002


class DirectoryError(Exception):
    """The directory is not one in which a wrapper can start; the text says why."""


def boot_time_s() -> float:
    """Seconds on a clock that also counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def process_start_ticks(pid: int) -> int:
    """Field 22 of /proc/PID/stat: clock ticks after boot; with the pid it names a process for ever."""
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])


def own_start_s() -> float:
    """When this process was started, on the clock of boot_time_s()."""
    return process_start_ticks(os.getpid()) / os.sysconf("SC_CLK_TCK")


class SessionDirectory:
    """Opened once by the one wrapper that owns it."""

    def __init__(self, path: Path) -> None:
        """Raises DirectoryError when it is missing, in use, or has been used."""
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._pid_file = os.open(path / PID, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DirectoryError(f"cannot open {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DirectoryError(f"another wrapper runs in {path}") from error
        if (path / STATUS).exists():
            raise DirectoryError(f"{path} has been used: a session starts once")
        (path / SOCKET).unlink(missing_ok=True)
        (path / HOME).mkdir(mode=0o700, exist_ok=True)
        os.ftruncate(self._pid_file, 0)
        os.pwrite(self._pid_file, f"{os.getpid()} {process_start_ticks(os.getpid())}\n".encode(), 0)

    async def launched(self, within_s: float = _LAUNCH_WITHIN_S) -> None:
        """Returns once the agent has this start on record. Before that it may undo it, and start another wrapper.

        Raises DirectoryError when that does not happen in time: whoever started this has gone, or forgotten it.
        """
        until_s = boot_time_s() + within_s
        while not self._on_record():
            if boot_time_s() >= until_s:
                raise DirectoryError(f"nobody has recorded this start within {within_s:g} s")
            await asyncio.sleep(_LAUNCH_ROUND_S)

    def _on_record(self) -> bool:
        try:
            return bool(json.loads((self.path / LAUNCH).read_bytes())["pid"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False

    @property
    def socket_target(self) -> str:
        """The gRPC address of wrapper.sock; through the open directory, since such a path may not exceed 107 bytes."""
        return f"unix:/proc/self/fd/{self._descriptor}/{SOCKET}"

    def read_spec(self) -> bytes:
        """Raises DirectoryError when there is none."""
        try:
            return (self.path / SPEC).read_bytes()
        except OSError as error:
            raise DirectoryError(f"cannot read {SPEC}: {error.strerror}") from error

    def write_status(self, serialized: bytes) -> None:
        """Replaces the status whole, and durably: it may be all that is left to tell how the session ended."""
        fresh = self.path / f"{STATUS}.new"
        with fresh.open("wb") as file:
            file.write(serialized)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path / STATUS)
        os.fsync(self._descriptor)
