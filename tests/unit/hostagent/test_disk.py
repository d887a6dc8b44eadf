"""What a session's files are counted as."""

from __future__ import annotations

import os
from pathlib import Path

from hostagent.disk import Gauge, Taken, taken
from tests.trees import grow

MIB = 1 << 20


def test_what_a_game_writes_counts_once_and_nothing_else_does(tmp_path: Path) -> None:
    session, outside = tmp_path / "game.1", tmp_path / "outside"
    for folder in (session / "home" / "deep", session / "volumes" / "world", session / "log", outside):
        folder.mkdir(parents=True)
    before = taken(session).disk_bytes
    for path in ("home/deep/one", "volumes/world/two", "log/spool", "beside"):
        (session / path).write_bytes(os.urandom(MIB))
    (outside / "foreign").write_bytes(os.urandom(MIB))
    os.link(session / "home" / "deep" / "one", session / "home" / "again")
    (session / "home" / "link").symlink_to(outside)
    (session / "home" / "file").symlink_to(outside / "foreign")
    with (session / "home" / "sparse").open("wb") as sparse:
        sparse.truncate(64 * MIB)
    assert 4 * MIB <= taken(session).disk_bytes - before < 4 * MIB + MIB // 4


def test_what_a_game_moves_out_of_its_home_counts_on(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "world").write_bytes(os.urandom(MIB))
    (tmp_path / "home").rename(tmp_path / "other")
    (tmp_path / "home").mkdir()
    assert taken(tmp_path).disk_bytes >= MIB


def test_a_session_that_is_gone_takes_nothing(tmp_path: Path) -> None:
    assert taken(tmp_path / "gone") == Taken()


def test_a_gauge_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    for number in range(50):
        (tmp_path / "home" / f"{number}").write_bytes(b"x" * 4096)
    gauge, told = Gauge(tmp_path, 0), [Taken()]
    while told[-1] == Taken():
        told.append(gauge.go_on(slice_s=0.0))
    assert len(told) > 50
    assert told[-1] == taken(tmp_path)


def test_a_gauge_tells_at_once_what_is_beyond_the_bound(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    for number in range(50):
        (tmp_path / "home" / f"{number}").write_bytes(os.urandom(MIB))
    assert 2 * MIB < Gauge(tmp_path, 2 * MIB).go_on().disk_bytes < 5 * MIB


def test_only_a_session_with_a_bound_is_measured_often(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    bounded, free = Gauge(tmp_path, 64 * MIB), Gauge(tmp_path, 0)
    before = bounded.go_on().disk_bytes, free.go_on().disk_bytes
    (tmp_path / "home" / "world").write_bytes(os.urandom(MIB))
    assert bounded.go_on().disk_bytes >= before[0] + MIB
    assert free.go_on().disk_bytes == before[1]


def test_a_tree_of_any_depth_is_measured(deep_folder: Path) -> None:
    grow(deep_folder / "home", 1200)
    found = taken(deep_folder)
    assert found.unmeasured == ""
    assert found.disk_bytes >= 2400 * 512


def test_what_cannot_be_measured_is_told_when_it_lasts(tmp_path: Path) -> None:
    moving, aside = tmp_path / "home" / "one" / "moving", tmp_path / "aside"
    moving.mkdir(parents=True)
    (moving / "file").touch()
    gauge, told = Gauge(tmp_path, 64 * MIB), []
    for _ in range(3):
        assert gauge.go_on(slice_s=0.0).unmeasured == ""  # it stands in there now
        moving.rename(aside)
        told.append(gauge.go_on().unmeasured)
        aside.rename(moving)
    assert told == ["", "", "moving: moved while it was looked into"]
    assert gauge.go_on().unmeasured == ""
