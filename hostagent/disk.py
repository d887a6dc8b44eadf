"""What a session's files take of the disk.

Measured, not bounded by the kernel: quotas of a file system need rights over all of it, and a mount option that few
hosts have. A measurement may be interrupted, so that a game of millions of files delays no other's.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hostagent import tree

_BLOCK_BYTES = 512
# A session without a bound is measured for the figure only.
_RARELY_S = 60.0
_SLICE_S = 1.0
# Once a directory may be on the move, or just being shut; not again and again.
_FAILURES = 3


@dataclass(frozen=True)
class Taken:
    """Of the whole directory: a game may write, and move what it wrote, all over it. `unmeasured`: why that may not be
    all."""

    disk_bytes: int = 0
    unmeasured: str = ""


def taken(session_dir: Path) -> Taken:
    """Holes not counted, a file of several names once, a name as one block at least; what goes meanwhile
    counts nothing."""
    found = Taken()
    for found in _counting(session_dir):  # noqa: B007 - the last is wanted
        pass
    return found


class Gauge:
    """Measures one session again and again, each time a little further."""

    def __init__(self, session_dir: Path, limit_bytes: int) -> None:
        """`limit_bytes` 0: no bound."""
        self.session_dir = session_dir
        self._limit_bytes = limit_bytes
        self._counting: Iterator[Taken] | None = None
        self._next_at = 0.0
        self._failures = 0
        self._so_far = Taken()
        self._taken = Taken()

    def go_on(self, slice_s: float = _SLICE_S) -> Taken:
        """The newest whole measurement, or as much as is already beyond the bound. `unmeasured` only if that lasts."""
        now = time.monotonic()
        if self._counting is None:
            if now < self._next_at:
                return self._taken
            self._counting = _counting(self.session_dir)
        for so_far in self._counting:
            self._so_far = so_far
            if 0 < self._limit_bytes < so_far.disk_bytes:
                break
            if time.monotonic() >= now + slice_s:
                return self._taken
        found, self._counting = self._so_far, None
        self._next_at = 0.0 if self._limit_bytes else time.monotonic() + _RARELY_S
        self._failures = self._failures + 1 if found.unmeasured else 0
        lasting = found.unmeasured if self._failures >= _FAILURES else ""
        self._taken = Taken(found.disk_bytes, lasting)
        return self._taken


def _counting(session_dir: Path) -> Iterator[Taken]:
    """What has been counted so far; the last is the whole."""
    total, unmeasured, linked = 0, "", set[tuple[int, int]]()
    try:
        for entry in tree.walk(session_dir):
            if entry.shut is not None:
                unmeasured = f"{entry.name}: {entry.shut.strerror}"
            try:
                found = os.stat(entry.name, dir_fd=entry.folder, follow_symlinks=False)
            except FileNotFoundError:
                continue
            again = (found.st_dev, found.st_ino) in linked
            if found.st_nlink > 1 and stat.S_ISREG(found.st_mode):
                linked.add((found.st_dev, found.st_ino))
            # A name takes room too; or a bound would not bound how many there are to be counted.
            total += _BLOCK_BYTES * (1 if again else max(1, found.st_blocks))
            yield Taken(total, unmeasured)
    except OSError as error:
        unmeasured = f"{error.filename or session_dir.name}: {error.strerror}"
    yield Taken(total, unmeasured)
