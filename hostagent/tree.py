"""Walks and removes what a game may have written, however deep or wide, with three descriptors at most.

Nothing is followed out of it, no path is ever longer than one name, and a directory that its owner has shut is opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hostagent.files import FOLDER, UNOPENED

# Gone, or no directory any more.
_NO_DIRECTORY = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
LOOK = os.R_OK | os.X_OK
CHANGE = LOOK | os.W_OK


class Found(NamedTuple):
    """`name` in the open directory `folder`. `shut`: why a directory could not be looked into."""

    folder: int
    name: str
    is_directory: bool = False
    shut: OSError | None = None


class _Level(NamedTuple):
    folder: tuple[int, int]
    entered: str
    below: list[str]


def walk(top: Path, rights: int = LOOK) -> Iterator[Found]:
    """Everything below `top`, and `top` itself, each directory after all that is in it. What goes meanwhile is left
    out. Raises OSError when the directory that is looked into has been moved elsewhere."""
    try:
        folder = os.open(top.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    levels: list[_Level] = []
    below = [top.name]
    try:
        while below or levels:
            if not below:
                level = levels.pop()
                folder = _instead(folder, os.open("..", FOLDER, dir_fd=folder))
                if _identity(folder) != level.folder:
                    raise OSError(errno.ESTALE, "moved while it was looked into", level.entered)
                below = level.below
                yield Found(folder, level.entered, is_directory=True)
                continue
            name = below.pop()
            try:
                inner = opened(name, folder, rights)
            except OSError as error:
                if error.errno not in _NO_DIRECTORY:
                    yield Found(folder, name, is_directory=True, shut=error)
                continue
            levels.append(_Level(_identity(folder), name, below))
            folder, below = _instead(folder, inner), []
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.name)
                    else:
                        yield Found(folder, entry.name)
    finally:
        os.close(folder)


def remove(top: Path) -> None:
    """Removes a directory and all in it; one that is not there is fine. Raises OSError."""
    for found in walk(top, CHANGE):
        if found.shut is not None:
            raise found.shut
        if found.is_directory:
            os.rmdir(found.name, dir_fd=found.folder)
        else:
            os.unlink(found.name, dir_fd=found.folder)


def opened(name: str, folder: int, rights: int = LOOK, flags: int = FOLDER) -> int:
    """Of what lies in `folder`, a directory unless the flags say otherwise. Gives the owner his rights back where they
    are missing and that is us. Raises OSError."""
    if not os.access(name, rights, dir_fd=folder, effective_ids=True, follow_symlinks=False):
        unopened = os.open(name, UNOPENED | flags & os.O_DIRECTORY, dir_fd=folder)
        try:
            with suppress(PermissionError):
                os.chmod(f"/proc/self/fd/{unopened}", stat.S_IMODE(os.fstat(unopened).st_mode) | rights << 6)
        finally:
            os.close(unopened)
    return os.open(name, flags, dir_fd=folder)


def _instead(folder: int, other: int) -> int:
    os.close(folder)
    return other


def _identity(folder: int) -> tuple[int, int]:
    found = os.fstat(folder)
    return found.st_dev, found.st_ino
