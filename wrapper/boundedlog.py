"""A log file that never grows past a bound: one rotation, the older half goes."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT_MAX_BYTES = 1 << 20


class BoundedLog:
    """Appends to `path`; when it is full it becomes `path` + ".1", whose former content is lost."""

    def __init__(self, path: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._open()

    def write(self, data: bytes) -> None:
        """Raises OSError when the disk refuses."""
        data = data[-self._max_bytes :]
        if self._size + len(data) > self._max_bytes:
            os.close(self._descriptor)
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._open()
        # A short write loses the rest of a line on a full disk; the game must not wait for it.
        self._size += os.write(self._descriptor, data)

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size
