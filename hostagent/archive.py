"""What a session keeps, as one gzipped tar of its volumes: packed without following links, unpacked beside its place.

Only regular files and directories go in, and only they come out: no link, device or path can lead anywhere else. The
same files make the same bytes, so that what has not changed is known by its hash.
"""

from __future__ import annotations

import errno
import gzip
import os
import stat
import tarfile
import time
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from hostagent import tree

# Not to wait for a writer, should it be a fifo.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# Gone, or something else by now, a link, a socket or a device that nobody drives.
_NO_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV})
_MAX_DEPTH = 48
_MAX_ENTRIES = 200_000
_BLOCK_BYTES = 1 << 18
# Games write much and often: what the fastest level leaves is worth less than the processor's time.
_LEVEL = 1
# The kernel marks changes by a clock that moves on at least a hundred times a second.
_TICK_NS = 20_000_000


class ArchiveRefused(Exception):
    """It cannot be packed or unpacked; the text says why."""


class FilesChanging(ArchiveRefused):
    """The files were written while they were read: what was read is no state that ever was."""


@dataclass(frozen=True)
class Contents:
    """Of all regular files together. `left_out`: links and special files."""

    files: int = 0
    size_bytes: int = 0
    left_out: int = 0


# By volume: where it lies below a directory that is the agent's own.
Places = Mapping[str, PurePosixPath]


def pack(base: Path, places: Places, out: BinaryIO, max_bytes: int, *, live: bool = False) -> Contents:
    """Writes the archive; volumes that do not exist are empty. `live`: somebody may be writing to them.

    Raises ArchiveRefused, FilesChanging, OSError."""
    if live:
        time.sleep(2 * _TICK_NS / 1e9)  # what a game has written before it let us read is no longer suspect then
    settled_ns = time.time_ns() - _TICK_NS
    with (
        gzip.GzipFile(filename="", fileobj=out, mode="wb", compresslevel=_LEVEL, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        packing = _Packing(tar, max_bytes)
        packing.all(base, places)
    again = _Packing(None, max_bytes)
    again.all(base, places)
    # Of two changes within a tick of the kernel's clock the second cannot be told: what has just changed is suspect.
    if again.seen != packing.seen or (live and any(at_ns > settled_ns for _, at_ns in again.seen.values())):
        raise FilesChanging("the files changed while they were read")
    return packing.contents


class _Packing:
    """One walk; without a tar it only looks."""

    def __init__(self, tar: tarfile.TarFile | None, max_bytes: int) -> None:
        self._tar = tar
        self._max_bytes = max_bytes
        self._entries = 0
        self.contents = Contents()
        # Path in the archive: size, time of change in nanoseconds.
        self.seen: dict[str, tuple[int, int]] = {}

    def all(self, base: Path, places: Places) -> None:
        for name, place in sorted(places.items()):
            try:
                with _directory(base, place, tree.LOOK) as directory:
                    self._add(name, os.fstat(directory), None)
                    self._walk(name, directory, 1)
            except _Nowhere:
                continue

    def _walk(self, path: str, directory: int, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise ArchiveRefused(f"directories are nested deeper than {_MAX_DEPTH}")
        for name in sorted(os.listdir(directory)):
            below = f"{path}/{name}"
            with _opened(name, directory) as descriptor:
                found = os.fstat(descriptor) if descriptor is not None else None
                if found is None or not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
                    self.contents = _plus(self.contents, left_out=1)
                elif stat.S_ISDIR(found.st_mode):
                    self._add(below, found, None)
                    self._walk(below, cast(int, descriptor), depth + 1)
                else:
                    self._add(below, found, descriptor)

    def _add(self, path: str, found: os.stat_result, file: int | None) -> None:
        self._entries += 1
        if self._entries > _MAX_ENTRIES:
            raise ArchiveRefused(f"there are more than {_MAX_ENTRIES} files")
        info = tarfile.TarInfo(path)
        info.mode, info.mtime = found.st_mode & 0o777, int(found.st_mtime)
        if file is None:
            info.type = tarfile.DIRTYPE
        else:
            info.size = found.st_size
            self.contents = _plus(self.contents, files=1, size_bytes=found.st_size)
            if self.contents.size_bytes > self._max_bytes:
                raise ArchiveRefused(f"the files are larger than {self._max_bytes} bytes together")
            self.seen[path] = (found.st_size, found.st_ctime_ns)
        if self._tar is not None:
            self._write(self._tar, info, file)

    def _write(self, tar: tarfile.TarFile, info: tarfile.TarInfo, file: int | None) -> None:
        if file is None:
            return tar.addfile(info)
        with os.fdopen(os.dup(file), "rb") as content:
            try:
                tar.addfile(info, content)
            except OSError as error:
                if error.errno is not None:
                    raise
                raise FilesChanging(f"{info.name} became shorter while it was read") from error


@contextmanager
def _opened(name: str, directory: int) -> Iterator[int | None]:
    """None for what is no file or directory, and for what has just gone. Raises OSError for what cannot be read, or may
    not be: an operator may still mend that."""
    try:
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            descriptor = tree.opened(name, directory)
        elif stat.S_ISREG(mode):
            descriptor = tree.opened(name, directory, os.R_OK, _FILE)
        else:
            yield None
            return
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _plus(contents: Contents, files: int = 0, size_bytes: int = 0, left_out: int = 0) -> Contents:
    return Contents(contents.files + files, contents.size_bytes + size_bytes, contents.left_out + left_out)


def unpack(stream: BinaryIO, staging: Path, volumes: Collection[str], max_bytes: int) -> None:
    """Unpacks into `staging`, which must be new, and reads the stream to its end.

    Raises ArchiveRefused for whatever `pack` would not have written, OSError when it cannot be written."""
    staging.mkdir(mode=0o700)
    unpacking = _Unpacking(staging, frozenset(volumes), max_bytes)
    try:
        with gzip.GzipFile(fileobj=stream, mode="rb") as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
            for member in tar:
                unpacking.take(tar, member)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ArchiveRefused(f"the archive is damaged: {error}") from error
    unpacking.finish()
    while stream.read(_BLOCK_BYTES):
        continue


class _Unpacking:
    def __init__(self, staging: Path, volumes: frozenset[str], max_bytes: int) -> None:
        self._staging = staging
        self._volumes = volumes
        self._left = max_bytes
        self._entries = 0
        # Directories get their own mode and time when everything in them is there.
        self._directories: list[tuple[Path, tarfile.TarInfo]] = []

    def take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self._entries += 1
        parts = PurePosixPath(member.name).parts
        named = member.name and "\0" not in member.name and not set(parts) & {"/", "..", "."}
        if not named or parts[0] not in self._volumes or len(parts) > _MAX_DEPTH + 1:
            raise ArchiveRefused(f"the archive has a path that may not be in it: {member.name[:100]!r}")
        if self._entries > _MAX_ENTRIES:
            raise ArchiveRefused(f"the archive has more than {_MAX_ENTRIES} files")
        target = self._staging.joinpath(*parts)
        try:
            if member.isdir():
                target.mkdir(mode=0o700)
                self._directories.append((target, member))
            elif member.isreg():
                self._file(tar, member, target)
            else:
                raise ArchiveRefused(f"the archive has something that is no file in it: {member.name[:100]!r}")
        except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
            raise ArchiveRefused(f"the archive has a path out of order: {member.name[:100]!r}") from error

    def _file(self, tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
        self._left -= member.size
        content = tar.extractfile(member)
        if self._left < 0 or content is None:
            raise ArchiveRefused("the archive has more in it than was announced")
        with target.open("xb") as file:
            while block := content.read(_BLOCK_BYTES):
                file.write(block)
            if file.tell() != member.size:
                raise ArchiveRefused("the archive is damaged: it ends within a file")
            os.fchmod(file.fileno(), member.mode & 0o777 | 0o600)
        os.utime(target, (member.mtime, member.mtime))

    def finish(self) -> None:
        for target, member in reversed(self._directories):
            target.chmod(member.mode & 0o777 | 0o700)
            os.utime(target, (member.mtime, member.mtime))


def put_in_place(staging: Path, base: Path, places: Places) -> None:
    """Moves each volume that was unpacked to its place, each in one step; nothing may be there yet. Raises OSError."""
    for name, place in sorted(places.items()):
        if (staging / name).is_dir():
            with _directory(base, place.parent, make=True) as parent:
                os.rename(staging / name, place.name, dst_dir_fd=parent)
    staging.rmdir()


def set_aside(base: Path, places: Places, target: Path) -> None:
    """Moves each volume that is there from its place into `target`; done again it goes on. Raises OSError."""
    for name, place in sorted(places.items()):
        try:
            # Also its own rights: to be moved elsewhere is a change of it.
            with _directory(base, place), _directory(base, place.parent) as parent:
                os.rename(place.name, target / name, src_dir_fd=parent)
        except _Nowhere:
            continue


class _Nowhere(Exception):
    """There is no such directory, or the way there leads over a link."""


@contextmanager
def _directory(base: Path, place: PurePosixPath, rights: int = tree.CHANGE, make: bool = False) -> Iterator[int]:
    """Opened step by step: whatever a game has put there leads nowhere else, and what it has shut is opened. Raises
    _Nowhere, unless it may `make` it."""
    with ExitStack() as opened:
        directory = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, directory)
        for part in place.parts:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=directory)
            try:
                directory = tree.opened(part, directory, rights)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise _Nowhere(part) from error
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                raise _Nowhere(part) from error
            opened.callback(os.close, directory)
        yield directory
