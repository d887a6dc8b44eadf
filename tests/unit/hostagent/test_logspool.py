"""The agent's side of a spool: in order, no line twice, nothing removed that is not acknowledged."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostagent import logspool
from hostagent.logspool import ACKED, Spool


def write(directory: Path, first: int, last: int, *, segment: int | None = None, tail: bytes = b"") -> None:
    directory.mkdir(exist_ok=True)
    with (directory / f"{segment or first:020d}").open("ab") as file:
        file.writelines(b"%d\t5\tstdout\tline\n" % n for n in range(first, last + 1))
        file.write(tail)


def sequences(records: bytes) -> list[int]:
    return [int(record.split(b"\t")[0]) for record in records.splitlines()]


def test_records_are_read_behind_the_cursor_and_go_when_acknowledged(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, 1, 5)
    write(log, 6, 9)
    spool = Spool(log)
    batch = spool.read(1000)
    assert batch is not None
    assert (sequences(batch.records), batch.last) == (list(range(1, 10)), 9)
    spool.acknowledge(9, batch)
    assert sorted(path.name for path in log.iterdir()) == [f"{6:020d}", ACKED]
    assert (spool.read(1000), spool.pending_bytes()) == (None, 0)
    write(log, 10, 10, segment=6)
    again = spool.read(1000)
    assert again is not None
    assert sequences(again.records) == [10]


def test_another_agent_goes_on_from_the_cursor(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, 1, 9)
    spool = Spool(log)
    batch = spool.read(40)
    assert batch is not None
    assert sequences(batch.records) == [1, 2]
    spool.acknowledge(2, batch)
    later = Spool(log).read(1000)
    assert later is not None
    assert sequences(later.records) == list(range(3, 10))


def test_more_may_be_acknowledged_than_was_read(tmp_path: Path) -> None:
    """An earlier agent's chunk was stored, its acknowledgement lost."""
    log = tmp_path / "log"
    write(log, 1, 9)
    spool = Spool(log)
    batch = spool.read(40)
    assert batch is not None
    spool.acknowledge(5, batch)
    rest = spool.read(1000)
    assert rest is not None
    assert sequences(rest.records) == [6, 7, 8, 9]


def test_half_a_record_waits_for_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, 1, 2, tail=b"3\t5\tstd")
    spool = Spool(log)
    batch = spool.read(1000)
    assert batch is not None
    assert batch.last == 2
    spool.acknowledge(2, batch)
    assert spool.read(1000) is None
    with (log / f"{1:020d}").open("ab") as file:
        file.write(b"out\twhole\n")
    whole = spool.read(1000)
    assert whole is not None
    assert whole.records == b"3\t5\tstdout\twhole\n"


def test_what_the_wrapper_dropped_is_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, 1, 9)
    spool = Spool(log)
    batch = spool.read(40)
    assert batch is not None
    spool.acknowledge(2, batch)
    (log / f"{1:020d}").unlink()
    write(log, 20, 22)
    rest = spool.read(1000)
    assert rest is not None
    assert sequences(rest.records) == [20, 21, 22]


def test_what_was_read_before_is_not_read_again_for_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, 1, 9)
    first = Spool(log)
    batch = first.read(1000)
    assert batch is not None
    first.acknowledge(9, batch)
    again = Spool(log)
    assert again.pending_bytes() > 0
    assert again.read(1000) is None
    assert again.pending_bytes() == 0


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(10, 300), st.sampled_from(["ack", "lose", "restart"])), min_size=1, max_size=40),
)
def test_every_record_arrives_in_order_whatever_happens(tmp_path_factory, written, read) -> None:
    log = tmp_path_factory.mktemp("spool") / "log"
    last, segment = 0, 1
    for count, fresh in written:
        segment = last + 1 if fresh else segment
        write(log, last + 1, last + count, segment=segment)
        last += count
    spool = Spool(log)
    stored: list[int] = []
    for size, fate in [*read, *[(10**6, "ack")]]:
        batch = spool.read(size)
        if batch is None:
            continue
        stored += [n for n in sequences(batch.records) if n > (stored[-1] if stored else 0)]
        if fate == "ack":
            spool.acknowledge(stored[-1], batch)
        elif fate == "restart":
            spool = Spool(log)
    assert stored == list(range(1, last + 1))


def test_what_has_no_number_holds_back_nothing_that_has_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, 1, 2, tail=b"not a record\n" + b"9" * 5000 + b"\tx\n\0\0\n")
    write(log, 3, 4)
    (log / ACKED).write_bytes(b"\xff\n")
    batch = Spool(log).read(1000)
    assert batch is not None
    assert sequences(batch.records) == [1, 2, 3, 4]


def test_nothing_that_a_game_has_laid_is_followed_read_or_waited_for(tmp_path: Path) -> None:
    log, host = tmp_path / "log", tmp_path / "host"
    write(host, 1, 3)
    write(log, 1, 3)
    (log / f"{5:020d}").symlink_to(host / f"{1:020d}")
    os.mkfifo(log / f"{6:020d}")
    os.mkfifo(log / ACKED)
    with (log / f"{7:020d}").open("wb") as huge:
        huge.truncate(1 << 40)
    spool = Spool(log)
    batch = spool.read(1000)
    assert batch is not None
    assert sequences(batch.records) == [1, 2, 3]
    assert spool.pending_bytes() < 1000
    spool.acknowledge(3, batch)
    assert (log / ACKED).read_bytes() == b"3\n"
    assert sorted(path.name for path in host.iterdir()) == [f"{1:020d}"]


def test_a_log_that_is_a_link_is_not_looked_into(tmp_path: Path) -> None:
    write(tmp_path / "host", 1, 3)
    (tmp_path / "log").symlink_to(tmp_path / "host")
    spool = Spool(tmp_path / "log")
    assert spool.pending_bytes() == 0
    with pytest.raises(OSError, match="Not a directory"):
        spool.read(1000)


def test_a_directory_of_more_names_than_any_wrapper_makes_is_none_of_its_spools(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    for number in range(1, 1003):
        (log / f"{number:020d}").touch()
    write(log, 1, 3)
    assert Spool(log).read(1000) is None


def test_a_segment_that_grows_once_its_size_was_looked_at_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    write(log, 1, 3)
    look = logspool._segments

    def raced(folder: int) -> dict[str, int]:
        found = look(folder)
        with (log / f"{1:020d}").open("r+b") as segment:
            segment.truncate(64 << 20)
            segment.seek(0, os.SEEK_END)
            segment.write(b"\n")
        return found

    monkeypatch.setattr(logspool, "_segments", raced)
    tracemalloc.start()
    try:
        batch = Spool(log).read(1000)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    assert batch is not None
    assert sequences(batch.records) == [1, 2, 3]
