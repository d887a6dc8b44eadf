"""One session's spool as the agent reads it: what is not acknowledged yet, and what may go because it is.

The wrapper writes numbered segments and drops the oldest when it must; the agent keeps its cursor beside them, and
removes what is behind it. Either may die at any moment, and a game may have put there whatever it likes.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from hostagent import tree
from hostagent.files import FOLDER, open_plain, write_at

ACKED = "acked"
# Far more than a wrapper makes (wrapper/spool.py): what has more is none of its work.
_ENTRIES_MAX = 1000
_SEGMENT_MAX_BYTES = 4 << 20


@dataclass(frozen=True)
class Batch:
    """Whole records, `last` the sequence of the newest. `end` is where the next batch starts."""

    records: bytes
    last: int
    end: tuple[str, int]


class Spool:
    """`path` may change: the spool of a session that is gone moves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cursor = self._stored_cursor()
        # (segment, offset) of the first record behind the cursor; None: to be looked for.
        self._next: tuple[str, int] | None = None

    def pending_bytes(self) -> int:
        """How much there is behind the cursor; at most too much."""
        try:
            with self._opened() as folder:
                sizes = _segments(folder)
        except OSError:
            return 0  # nothing that could be sent
        if self._next is None or self._next[0] not in sizes:
            return sum(sizes.values())
        name, offset = self._next
        later = (size for other, size in sizes.items() if other > name)
        return max(0, sizes[name] - offset) + sum(later)

    def read(self, max_bytes: int) -> Batch | None:
        """The oldest records behind the cursor, as many as fit, at least one; None: there are none. What a wrapper
        that died left half-written is no record, and what has no number is passed over. Raises OSError.
        """
        with self._opened() as folder:
            return self._read(folder, max_bytes)

    def _read(self, folder: int, max_bytes: int) -> Batch | None:
        segments = _segments(folder)
        name, offset = self._next if self._next is not None and self._next[0] in segments else ("", 0)
        records: list[bytes] = []
        size = last = 0
        end = name, offset
        for segment in segments:
            if segment < name:
                continue
            start = offset if segment == name else 0
            for record in _records(segment, folder, start):
                sequence = _number(record.partition(b"\t")[0])
                if sequence > self.cursor:
                    if records and size + len(record) > max_bytes:
                        return Batch(b"".join(records), last, end)
                    records.append(record)
                    size += len(record)
                    last = sequence
                start += len(record)
                end = segment, start
        if records:
            return Batch(b"".join(records), last, end)
        if end[0]:
            self._next = end
        return None

    def acknowledge(self, sequence: int, batch: Batch) -> None:
        """All up to `sequence` is safe elsewhere: it is noted, and goes from here. Raises OSError."""
        self.cursor = max(self.cursor, sequence)
        self._next = batch.end if self.cursor >= batch.last else None
        with self._opened() as folder:
            for segment in _segments(folder):
                if self._next is not None and segment < self._next[0]:
                    os.unlink(segment, dir_fd=folder)
            # Afterwards: on a full disk, that has made the room. What the note would have spared is sent again, to no
            # harm.
            write_at(folder, ACKED, b"%d\n" % self.cursor)

    def remove(self) -> None:
        tree.remove(self.path)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        folder = os.open(self.path, FOLDER)
        try:
            yield folder
        finally:
            os.close(folder)

    def _stored_cursor(self) -> int:
        """0 where nothing can be read: what is sent again is stored once."""
        try:
            with self._opened() as folder, os.fdopen(open_plain(ACKED, folder), "rb") as file:
                return _number(file.read(32).strip())
        except OSError:
            return 0


def _segments(folder: int) -> dict[str, int]:
    """Their sizes, in order; of what goes meanwhile, nothing."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in islice(entries, _ENTRIES_MAX + 1)]
    found: dict[str, int] = {}
    for name in sorted(names) if len(names) <= _ENTRIES_MAX else ():
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if name.isdigit() and stat.S_ISREG(status.st_mode) and status.st_size <= _SEGMENT_MAX_BYTES:
            found[name] = status.st_size
    return found


def _records(segment: str, folder: int, start: int) -> Iterator[bytes]:
    """Whole ones, of as much as a wrapper may have written: the file may have grown since its size was looked at."""
    with os.fdopen(open_plain(segment, folder), "rb") as file:
        file.seek(start)
        for record in io.BytesIO(file.read(_SEGMENT_MAX_BYTES)):
            if not record.endswith(b"\n"):
                return
            yield record


def _number(text: bytes) -> int:
    """0 for what is none: a disk that failed, or a game that found the file, may have put anything there."""
    return int(text) if text.isdigit() and len(text) < 20 else 0


def size_and_age(path: Path) -> tuple[int, float]:
    """Bytes below the directory, and when it last changed; of what goes meanwhile, nothing."""
    try:
        changed = path.stat().st_mtime
        return sum(_size_of(entry) for entry in path.iterdir()), changed
    except FileNotFoundError:
        return 0, 0.0


def _size_of(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
