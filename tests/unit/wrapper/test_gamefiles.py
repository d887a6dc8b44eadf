"""Files are written below the game's home, whatever lies in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from wrapper.gamefiles import FileRefusedError, placed, write_files


def test_files_and_their_directories_are_made(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/b/c.ini": b"[x]\n", "d.txt": b"d"})
    assert (tmp_path / "a/b/c.ini").read_bytes() == b"[x]\n"
    assert (tmp_path / "d.txt").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "d.txt"]


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", "a//b", ".", "a/"])
def test_paths_that_leave_are_refused(tmp_path: Path, path: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with pytest.raises(FileRefusedError):
        write_files(home, {path: b"x"})
    assert list(tmp_path.iterdir()) == [home]


def test_no_link_is_followed(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir()
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    (home / "link").symlink_to(outside)
    (home / "file").symlink_to(outside / "kept")
    with pytest.raises(FileRefusedError):
        write_files(home, {"link/x": b"x"})
    write_files(home, {"file": b"mine"})
    assert (outside / "kept").read_bytes() == b"kept"
    assert not (home / "file").is_symlink()
    assert [path.name for path in outside.iterdir()] == ["kept"]


def test_files_go_home_or_into_the_volume_they_lie_in(tmp_path: Path) -> None:
    files = {"a/b": b"1", "/data/conf/x": b"2", "/saves/y": b"3"}
    assert placed(files, {"data": "/data", "saves": "/saves"}, tmp_path) == {
        tmp_path / "home": {"a/b": b"1"},
        tmp_path / "volumes/data": {"conf/x": b"2"},
        tmp_path / "volumes/saves": {"y": b"3"},
    }


@pytest.mark.parametrize("path", ["/etc/passwd", "/database/x", "/"])
def test_an_absolute_path_in_no_volume_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(FileRefusedError):
        placed({path: b"x"}, {"data": "/data"}, tmp_path)
