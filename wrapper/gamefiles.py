"""Writes a session's configuration files below the game's home or a volume of its container, and never outside of it.

Each step of a path is opened from the directory before it, without following links: what a game, a save or a volume
has put there cannot lead elsewhere (as openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS would have it).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from wrapper.directory import HOME, VOLUMES

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FileRefusedError(Exception):
    """A file cannot be written where it should be; the text says which, and why."""


def placed(files: Mapping[str, bytes], volumes: Mapping[str, str], session_dir: Path) -> dict[Path, dict[str, bytes]]:
    """The files by the directory below which they are written, each with its path from there: home, or for an absolute
    path that of the container's volume in which it lies; `volumes` are their paths by name.

    Raises FileRefusedError for a path in none of them.
    """
    found: dict[Path, dict[str, bytes]] = {}
    for path, content in files.items():
        place, rest = session_dir / HOME, path
        if path.startswith("/"):
            inside = [(name, base) for name, base in volumes.items() if path.startswith(f"{base}/")]
            if not inside:
                raise FileRefusedError(f"{path!r} lies in no volume of the container")
            name, base = inside[0]
            place, rest = session_dir / VOLUMES / name, path.removeprefix(f"{base}/")
        found.setdefault(place, {})[rest] = content
    return found


def write_files(home: Path, files: Mapping[str, bytes]) -> None:
    """Writes each file whole, by its path below `home`, which is there; directories in it are made as needed.

    Raises FileRefusedError.
    """
    for path, content in sorted(files.items()):
        parts = path.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise FileRefusedError(f"{path!r} does not stay below its directory")
        try:
            _write(home, parts, content)
        except OSError as error:
            raise FileRefusedError(f"cannot write {path!r}: {error.strerror}") from error


def _write(home: Path, parts: list[str], content: bytes) -> None:
    with ExitStack() as opened:
        directory = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, directory)
        for part in parts[:-1]:
            with suppress(FileExistsError):  # whatever is there is opened as a directory, or refused
                os.mkdir(part, 0o700, dir_fd=directory)
            directory = os.open(part, _DIRECTORY, dir_fd=directory)
            opened.callback(os.close, directory)
        _replace(directory, parts[-1], content)


def _replace(directory: int, name: str, content: bytes) -> None:
    fresh = f".{name[:200]}.quarterdeck"
    with suppress(FileNotFoundError):  # unless an earlier try has left it behind
        os.unlink(fresh, dir_fd=directory)
    descriptor = os.open(fresh, _FRESH, 0o600, dir_fd=directory)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    # A link of that name is replaced, not followed.
    os.rename(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)
