"""Logs of sessions: lines, the chunks that they are stored in, and what is looked for in them.

A chunk is gzip of records, one line of text each: sequence, milliseconds since 1970, stream and text with tabs
between. Sequences count the lines of one generation; those that are missing were lost on the host.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.pattern import checked_pattern

UNPACKED_MAX_BYTES = 1 << 20
MAX_BUCKETS = 500
DEFAULT_BUCKETS = 60
# What a line may be off: clocks of hosts are theirs, but no year is 40000.
LAST_MS = 4_102_444_800_000
_GZIP = 31


class LogStream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"
    WRAPPER = "wrapper"


@dataclass(frozen=True)
class LogLine:
    """`at` is by the host's clock."""

    sequence: int
    at: datetime
    stream: LogStream
    text: str


@dataclass(frozen=True)
class LogHead:
    """One generation's log: all lines up to `to_sequence` are stored, `lines` of them, or lost. Its host wrote it."""

    session_id: str
    generation: int
    project_id: str
    host_id: str
    to_sequence: int = 0
    lines: int = 0
    bytes: int = 0
    complete: bool = False
    stored_at: datetime | None = None
    version: int = 0

    @property
    def dropped(self) -> int:
        return self.to_sequence - self.lines

    def closed(self, now: datetime) -> LogHead:
        """Nothing is to come any more."""
        return replace(self, complete=True, stored_at=now, version=self.version + 1)


def complete(generation: int, heads: Sequence[LogHead]) -> bool:
    """Whether all that will ever be stored of this generation is."""
    return any(head.complete for head in heads if head.generation == generation)


@dataclass(frozen=True)
class LogChunk:
    """An object with lines, and what must be known without reading it."""

    session_id: str
    generation: int
    from_sequence: int
    to_sequence: int
    project_id: str
    from_at: datetime
    to_at: datetime
    stdout_lines: int
    stderr_lines: int
    wrapper_lines: int
    bytes: int
    object_key: str
    stored_at: datetime
    expires_at: datetime

    @property
    def counts(self) -> dict[LogStream, int]:
        return {
            LogStream.STDOUT: self.stdout_lines,
            LogStream.STDERR: self.stderr_lines,
            LogStream.WRAPPER: self.wrapper_lines,
        }


def unpacked(records: bytes) -> tuple[LogLine, ...]:
    """The lines of a chunk. Raises InvalidRequest for anything that is none."""
    unzip = zlib.decompressobj(_GZIP)
    try:
        raw = unzip.decompress(records, UNPACKED_MAX_BYTES)
        if not unzip.eof or unzip.unused_data:
            raise _malformed("is cut off, or larger than 1 MiB unpacked")
        lines = tuple(_line(record) for record in raw.decode().split("\n")[:-1])
    except (zlib.error, ValueError) as error:
        raise _malformed(str(error)) from error
    if not lines or not raw.endswith(b"\n"):
        raise _malformed("holds no whole line")
    if any(later.sequence <= earlier.sequence for earlier, later in pairwise(lines)):
        raise _malformed("is out of order")
    return lines


def packed(lines: Sequence[LogLine]) -> bytes:
    records = "".join(f"{line.sequence}\t{_ms(line.at)}\t{line.stream}\t{line.text}\n" for line in lines)
    return gzip.compress(records.encode(), 6, mtime=0)


def appended(
    head: LogHead, lines: Sequence[LogLine], complete: bool, now: datetime, keep: timedelta, object_key: str, size: int
) -> tuple[LogHead, LogChunk]:
    """The head with these lines, all new to it, and their chunk of `size` bytes."""
    counts = Counter(line.stream for line in lines)
    chunk = LogChunk(
        session_id=head.session_id,
        generation=head.generation,
        from_sequence=lines[0].sequence,
        to_sequence=lines[-1].sequence,
        project_id=head.project_id,
        from_at=min(line.at for line in lines),
        to_at=max(line.at for line in lines),
        stdout_lines=counts[LogStream.STDOUT],
        stderr_lines=counts[LogStream.STDERR],
        wrapper_lines=counts[LogStream.WRAPPER],
        bytes=size,
        object_key=object_key,
        stored_at=now,
        expires_at=now + keep,
    )
    return replace(
        head,
        to_sequence=chunk.to_sequence,
        lines=head.lines + len(lines),
        bytes=head.bytes + size,
        complete=complete,
        stored_at=now,
        version=head.version + 1,
    ), chunk


@dataclass(frozen=True)
class LogFilter:
    """What is looked for; unset means all. `since` counts in, `until` does not."""

    since: datetime | None = None
    until: datetime | None = None
    contains: str = ""
    pattern: str = ""
    streams: frozenset[LogStream] = frozenset()

    def matcher(self) -> Callable[[LogLine], bool]:
        """Takes time in proportion to the text, whatever the pattern. Raises InvalidRequest for one that is none."""
        found = checked_pattern(self.pattern, "pattern").search if self.pattern else None

        def matches(line: LogLine) -> bool:
            return (
                (self.since is None or line.at >= self.since)
                and (self.until is None or line.at < self.until)
                and (not self.streams or line.stream in self.streams)
                and self.contains in line.text
                and (found is None or found(line.text) is not None)
            )

        return matches


@dataclass(frozen=True)
class Buckets:
    """Spans of time from `since` on, each `span` long; the last may reach beyond `until`."""

    since: datetime
    until: datetime
    span: timedelta

    @classmethod
    def of(cls, since: datetime, until: datetime, span_s: float | None) -> Buckets:
        """Raises InvalidRequest for no time at all, or too many buckets."""
        length_s = (until - since).total_seconds()
        if length_s <= 0:
            raise InvalidRequest("TIMES_REVERSED", "end_time must be after start_time", field="end_time")
        span = timedelta(seconds=span_s if span_s is not None else max(1.0, -(-length_s // DEFAULT_BUCKETS)))
        buckets = cls(since, until, span)
        if buckets.count > MAX_BUCKETS:
            raise InvalidRequest(
                "BUCKETS_TOO_MANY", f"that is {buckets.count} buckets of at most {MAX_BUCKETS}: take longer ones",
                field="bucket",
            )  # fmt: skip
        return buckets

    @property
    def count(self) -> int:
        return -((self.since - self.until) // self.span)

    def index(self, at: datetime) -> int | None:
        """Which one it falls in; None: none."""
        return (at - self.since) // self.span if self.since <= at < self.until else None

    def whole(self, chunk: LogChunk) -> int | None:
        """The bucket in which all lines of a chunk fall, if they do in one."""
        first, last = self.index(chunk.from_at), self.index(chunk.to_at)
        return first if first == last else None


def _line(record: str) -> LogLine:
    """Raises ValueError."""
    sequence, ms, stream, text = record.split("\t", 3)
    if not (sequence.isdecimal() and ms.isdecimal() and 0 < int(sequence) < 1 << 62 and int(ms) < LAST_MS):
        raise ValueError("holds a record without its numbers")
    return LogLine(int(sequence), datetime.fromtimestamp(int(ms) / 1000, UTC), LogStream(stream), text)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _malformed(why: str) -> InvalidRequest:
    return InvalidRequest("LOG_MALFORMED", f"records: {why}", field="records")
