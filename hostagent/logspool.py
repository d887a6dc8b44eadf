"""One session's spool as the agent reads it: what is not acknowledged yet, and what may go because it is.

The wrapper writes numbered segments and drops the oldest when it must; the agent keeps its cursor beside them, and
removes what is behind it. Either may die at any moment.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hostagent import tree
from hostagent.sessiondir import write_atomic

ACKED = "acked"


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
        segments = self._segments()
        if self._next is None or self._next[0] not in segments:
            return sum(self._size(name) for name in segments)
        name, offset = self._next
        later = (self._size(other) for other in segments if other > name)
        return max(0, self._size(name) - offset) + sum(later)

    def read(self, max_bytes: int) -> Batch | None:
        """The oldest records behind the cursor, as many as fit, at least one; None: there are none. What a wrapper
        that died left half-written is no record, and what has no number is passed over. Raises OSError.
        """
        segments = self._segments()
        name, offset = self._next if self._next is not None and self._next[0] in segments else ("", 0)
        records: list[bytes] = []
        size = last = 0
        end = name, offset
        for segment in segments:
            if segment < name:
                continue
            start = offset if segment == name else 0
            with (self.path / segment).open("rb") as file:
                file.seek(start)
                for record in file:
                    if not record.endswith(b"\n"):
                        break
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
        for segment in self._segments():
            if self._next is not None and segment < self._next[0]:
                (self.path / segment).unlink(missing_ok=True)
        # Afterwards: on a full disk, that has made the room. What the note would have spared is sent again, to no harm.
        write_atomic(self.path / ACKED, b"%d\n" % self.cursor)

    def remove(self) -> None:
        tree.remove(self.path)

    def _segments(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self.path) if name.isdigit())
        except FileNotFoundError:
            return []

    def _size(self, segment: str) -> int:
        return _size_of(self.path / segment)

    def _stored_cursor(self) -> int:
        try:
            return _number((self.path / ACKED).read_bytes().strip())
        except FileNotFoundError:
            return 0


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
        return path.stat().st_size
    except FileNotFoundError:
        return 0
