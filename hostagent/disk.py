"""What a session's files take of the disk.

Measured, not bounded by the kernel: quotas of a file system need rights over all of it, and a mount option that few
hosts have.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_BLOCK_BYTES = 512
# What the game may write below the session's directory.
_PLACES = ("home", "volumes")


def taken_bytes(session_dir: Path) -> int:
    """Of home and volumes, holes not counted, a file of several names once; what goes meanwhile, or may not be looked
    at, counts nothing."""
    total, linked = 0, set[tuple[int, int]]()
    for found in (found for place in _PLACES for found in _all_in(session_dir / place)):
        if found.st_nlink > 1 and stat.S_ISREG(found.st_mode):
            if (found.st_dev, found.st_ino) in linked:
                continue
            linked.add((found.st_dev, found.st_ino))
        total += found.st_blocks * _BLOCK_BYTES
    return total


def _all_in(top: Path) -> Iterator[os.stat_result]:
    with suppress(OSError):  # there is no such place
        for _, _, files, folder in os.fwalk(top):
            for name in (".", *files):
                with suppress(OSError):
                    yield os.stat(name, dir_fd=folder, follow_symlinks=False)
