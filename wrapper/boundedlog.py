"""A log file that never grows past a bound: one rotation, the older half goes."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

DEFAULT_MAX_BYTES = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)


class BoundedLog:
    """Appends to `path`; when it is full it becomes `path` + ".1", whose former content is lost.

    What the disk refuses is lost too, and counted in `lost_bytes`: a game must not wait for its log.
    """

    def __init__(self, path: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        """Raises OSError."""
        self._path = path
        self._max_bytes = max_bytes
        self.lost_bytes = 0
        self._descriptor = self._opened()
        self._size = os.fstat(self._descriptor).st_size

    def write(self, data: bytes) -> None:
        data = data[-self._max_bytes :]
        written = 0
        try:
            if self._size + len(data) > self._max_bytes:
                self._rotate()
            written = os.write(self._descriptor, data)
        except OSError as error:
            if error.errno not in _FULL:
                raise
        self._size += written
        self.lost_bytes += len(data) - written

    def close(self) -> None:
        os.close(self._descriptor)

    def _rotate(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # a full disk let the old file go, and no new one come
            self._path.replace(self._path.with_name(self._path.name + ".1"))
        fresh = self._opened()
        os.close(self._descriptor)
        self._descriptor, self._size = fresh, 0

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
