"""The session's log on disk, until the agent has handed it on: numbered lines in segment files, bounded.

A record is one line of text: sequence, milliseconds since 1970, stream and the line itself, with tabs between. The
oldest segment goes when the bound is met; the numbers show how much is gone. The agent removes what it has handed on.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MAX_BYTES = 16 << 20
SEGMENT_BYTES = 1 << 20
_DIGITS = 20


class Stream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"
    # The wrapper's own notes.
    WRAPPER = "wrapper"


@dataclass(frozen=True)
class Line:
    """`sequence` counts the lines of this session's log, from 1; `at_ms` is by this machine's clock."""

    sequence: int
    text: str
    stream: Stream = Stream.STDOUT
    at_ms: int = 0


class Spool:
    """Written by one wrapper. Segments are named after their first line's sequence."""

    def __init__(self, directory: Path, max_bytes: int = MAX_BYTES, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Raises OSError when the directory cannot be made."""
        directory.mkdir(mode=0o700, exist_ok=True)
        self._directory = directory
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._descriptor = -1
        self._size = 0

    def write(self, lines: Sequence[Line]) -> None:
        """Keeps all of these lines or, when the disk refuses, none. Raises OSError then."""
        data = "".join(f"{line.sequence}\t{line.at_ms}\t{line.stream}\t{line.text}\n" for line in lines).encode()
        if self._descriptor < 0 or self._size + len(data) > self._segment_bytes:
            self._next_segment(lines[0].sequence)
        try:
            written = os.write(self._descriptor, data)
            if written < len(data):
                os.write(self._descriptor, data[written:])  # tells why
        except OSError:
            # Half a record would run into the next one.
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _next_segment(self, first: int) -> None:
        self.close()
        segments = sorted(path for path in self._directory.iterdir() if path.name.isdigit())
        sizes = [path.stat().st_size for path in segments]
        while segments and sum(sizes) > self._max_bytes - self._segment_bytes:
            segments.pop(0).unlink(missing_ok=True)
            sizes.pop(0)
        path = self._directory / f"{first:0{_DIGITS}d}"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size
