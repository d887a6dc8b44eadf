"""A log file that never grows past a bound: one rotation, the older half goes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

DEFAULT_MAX_BYTES = 1 << 20


class BoundedLog:
    """Appends to `path`; when it is full it becomes `path` + ".1", whose former content is lost."""

    def __init__(self, path: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self.lost_bytes = 0
        self._open()

    def write(self, data: bytes) -> None:
        """What the disk refuses is lost, and counted in `lost_bytes`: nobody may wait or fail for a log."""
        data = data[-self._max_bytes :]
        written = 0
        try:
            if self._size + len(data) > self._max_bytes:
                os.close(self._descriptor)
                self._path.replace(self._path.with_name(self._path.name + ".1"))
                self._open()
            written = os.write(self._descriptor, data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
        self._size += written
        self.lost_bytes += len(data) - written

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size
