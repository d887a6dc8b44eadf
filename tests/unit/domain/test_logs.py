"""Chunks of logs: what goes in comes out, what is none is refused, counting is exact."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.errors import InvalidRequest
from controlplane.domain.logs import (
    UNPACKED_MAX_BYTES,
    Buckets,
    LogFilter,
    LogHead,
    LogLine,
    LogStream,
    appended,
    packed,
    unpacked,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def line(sequence: int, text: str = "", stream: LogStream = LogStream.STDOUT, seconds: float = 0.0) -> LogLine:
    return LogLine(sequence, at(seconds), stream, text)


texts = st.text(st.characters(exclude_characters="\n", exclude_categories=("Cs",)), max_size=50)
drawn = st.builds(
    LogLine,
    sequence=st.integers(1, 2**60),
    at=st.integers(0, 10**12).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC)),
    stream=st.sampled_from(LogStream),
    text=texts,
)


@given(st.lists(drawn, min_size=1, max_size=20, unique_by=lambda line: line.sequence))
def test_what_is_packed_is_unpacked(lines: list[LogLine]) -> None:
    ordered = tuple(sorted(lines, key=lambda line: line.sequence))
    assert unpacked(packed(ordered)) == ordered


@pytest.mark.parametrize(
    "records",
    [
        b"",
        b"no gzip",
        gzip.compress(b""),
        gzip.compress(b"1\t2\tstdout\tcut off"),
        gzip.compress(b"1\t2\tstdout\n"),
        gzip.compress(b"one\t2\tstdout\tx\n"),
        gzip.compress(b"1\t2\tstdin\tx\n"),
        gzip.compress(b"0\t2\tstdout\tx\n"),
        gzip.compress(b"1\t99999999999999999\tstdout\tx\n"),
        gzip.compress(b"2\t2\tstdout\tx\n1\t2\tstdout\tx\n"),
        gzip.compress(b"1\t2\tstdout\tx\n1\t2\tstdout\tx\n"),
        gzip.compress(b"1\t2\tstdout\t\xff\n"),
        gzip.compress(b"1\t2\tstdout\tx\n")[:-4],
        gzip.compress(b"1\t2\tstdout\tx\n") + b"more",
        gzip.compress(b"1\t2\tstdout\t" + b"x" * UNPACKED_MAX_BYTES + b"\n"),
    ],
    ids=lambda records: f"{len(records)} bytes",  # gzip keeps the time: two processes would name them otherwise
)
def test_what_is_no_chunk_is_refused(records: bytes) -> None:
    with pytest.raises(InvalidRequest):
        unpacked(records)


def test_a_head_counts_what_is_stored_and_what_is_lost() -> None:
    head = LogHead("s-1", 1, "default", "vm-1")
    keep = timedelta(days=14)
    head, chunk = appended(head, [line(3, seconds=2), line(4, seconds=1)], False, NOON, keep, "logs/a", 40)
    assert (head.to_sequence, head.lines, head.dropped, head.version) == (4, 2, 2, 1)
    assert (chunk.from_sequence, chunk.from_at, chunk.to_at, chunk.expires_at) == (3, at(1), at(2), NOON + keep)
    head, _ = appended(head, [line(7, stream=LogStream.WRAPPER)], True, NOON, keep, "logs/b", 20)
    assert (head.dropped, head.bytes, head.complete, head.version) == (4, 60, True, 2)


def test_a_filter_takes_what_fulfils_all_of_it() -> None:
    lines = [line(n, f"line {n}", LogStream.STDERR if n % 2 else LogStream.STDOUT, n) for n in range(1, 30)]

    def found(**wanted) -> list[int]:
        matches = LogFilter(**wanted).matcher()
        return [line.sequence for line in lines if matches(line)]

    assert found(since=at(3), until=at(5)) == [3, 4]
    assert found(contains="line 2", streams=frozenset({LogStream.STDERR})) == [21, 23, 25, 27, 29]
    assert found(pattern="^line [0-9]$", since=at(8)) == [8, 9]
    assert len(found()) == 29
    with pytest.raises(InvalidRequest, match="pattern"):
        found(pattern="(")


def test_a_pattern_made_to_take_for_ever_does_not() -> None:
    matches = LogFilter(pattern="(a+)+$").matcher()
    assert not matches(line(1, "a" * 8000 + "b"))


@given(st.integers(1, 10_000), st.none() | st.integers(1, 3600), st.lists(st.integers(-100, 11_000), max_size=20))
def test_every_moment_within_falls_in_exactly_one_bucket(length: int, span: int | None, moments: list[int]) -> None:
    try:
        buckets = Buckets.of(NOON, at(length), span)
    except InvalidRequest:
        assert span is not None
        assert length / span > 499
        return
    assert 1 <= buckets.count <= 500
    assert buckets.since + (buckets.count - 1) * buckets.span < buckets.until
    assert buckets.since + buckets.count * buckets.span >= buckets.until
    for seconds in moments:
        index = buckets.index(at(seconds))
        assert (index is not None) == (0 <= seconds < length)
        if index is not None:
            assert 0 <= index < buckets.count
            start = buckets.since + index * buckets.span
            assert start <= at(seconds) < start + buckets.span


def test_no_time_at_all_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        Buckets.of(NOON, NOON, None)
