"""Files in directories that a game may have had its hands in: no link is followed, nothing but a plain file is opened.

A game in a container has the rights of its wrapper, and reaches through /proc whatever its wrapper sees; the agent has
the rights of its host.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Not to wait for a writer, should it be a fifo.
_PLAIN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Whatever it is, only to be asked about and to be reached by.
UNOPENED = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def open_plain(name: str | Path, folder: int | None = None) -> int:
    """A descriptor to read a regular file by. Raises OSError, also for whatever else has that name."""
    descriptor = os.open(name, _PLAIN, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a plain file", str(name))
    return descriptor


def write_atomic(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Writes a file so that a crash leaves either the old or the new content. Raises OSError."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        write_at(folder, path.name, content, mode)
    finally:
        os.close(folder)


def write_at(folder: int, name: str, content: bytes, mode: int = 0o600) -> None:
    """As write_atomic, in an open directory. Raises OSError."""
    scratch = f".{name}.{os.getpid()}"
    with suppress(FileNotFoundError):  # of an earlier try, or somebody's trap
        os.unlink(scratch, dir_fd=folder)
    descriptor = os.open(scratch, _FRESH, mode, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)
