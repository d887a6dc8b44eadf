"""The spool: bounded whatever is written, whole records only, honest about what the disk refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.small_disk import small_disk
from tests.spooled import records
from wrapper.console import Console
from wrapper.output import Output
from wrapper.spool import Line, Spool, Stream


def lines(first: int, last: int, text: str = "x" * 50) -> list[Line]:
    return [Line(n, text, Stream.STDOUT, 1000 + n) for n in range(first, last + 1)]


def test_the_oldest_segments_go(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "log", max_bytes=10_000, segment_bytes=1000)
    for first in range(1, 1000, 5):
        spool.write(lines(first, first + 4))
        assert sum(path.stat().st_size for path in (tmp_path / "log").iterdir()) <= 10_000
    kept = [sequence for sequence, _, _ in records(tmp_path)]
    assert kept == list(range(kept[0], 1001))
    assert kept[0] > 800
    spool.close()


def test_what_the_agent_has_removed_makes_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "log", max_bytes=4000, segment_bytes=1000)
    for first in range(1, 100, 5):
        spool.write(lines(first, first + 4))
        for path in sorted((tmp_path / "log").iterdir())[:-1]:
            path.unlink()
    assert records(tmp_path)[-1][0] == 100
    spool.close()


def test_a_full_disk_costs_lines_and_never_half_of_one(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        spool = Spool(disk / "log")
        console = Console()
        output = Output(console, spool, lambda _: None)
        for number in range(100):
            output.take(Stream.STDOUT, b"y" * 5000 + b" %d\n" % number)
        assert any("log lines are lost: No space left on device" in line.text for line in console.batch(100).lines) or (
            console.sequence == 101
        )
        before = records(disk)
        assert [sequence for sequence, _, _ in before] == list(range(1, len(before) + 1))
        assert 0 < len(before) < 20
        next((disk / "log").iterdir()).unlink()
        spool.close()
        output.take(Stream.STDOUT, b"again\n")
        after = records(disk)
        assert [text for _, _, text in after] == [
            "again",
            f"{101 - len(before)} log lines were lost: No space left on device",
        ]
        assert [sequence for sequence, _, _ in after] == [102, 103]
        spool.close()


@pytest.mark.parametrize("cut", [1, 3, 1000])
def test_streams_are_cut_apart_and_the_last_words_count(tmp_path: Path, cut: int) -> None:
    spool = Spool(tmp_path / "log")
    seen: list[str] = []
    output = Output(Console(), spool, seen.append)
    said = {Stream.STDOUT: b"one\r\ntwo\nthree", Stream.STDERR: "grüße\n\n".encode()}
    for stream, text in said.items():
        for start in range(0, len(text), cut):
            output.take(stream, text[start : start + cut])
        output.take(stream, b"")
    output.note("over")
    assert [(stream, text) for _, stream, text in records(tmp_path)] == [
        ("stdout", "one"),
        ("stdout", "two"),
        ("stdout", "three"),
        ("stderr", "grüße"),
        ("stderr", ""),
        ("wrapper", "over"),
    ]
    assert seen == ["one", "two", "three", "grüße", ""]
    spool.close()
