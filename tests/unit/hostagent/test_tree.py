"""Trees of every shape are walked and removed, with few descriptors."""

from __future__ import annotations

import os
import resource
import tempfile
from pathlib import Path

import pytest

from hostagent import tree
from hostagent.disk import taken
from hostagent.plan import WorkloadKey
from hostagent.sessiondir import SessionDir
from tests.nobody import NOBODY, as_nobody
from tests.trees import grow

DEEP = 1200
MIB = 1 << 20


@pytest.fixture
def deep(deep_folder: Path) -> Path:
    grow(deep_folder / "top", DEEP)
    return deep_folder / "top"


def test_a_tree_as_deep_as_no_path_and_no_descriptors_reach_is_walked_from_below(deep: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = max(map(int, os.listdir("/proc/self/fd"))) + 6
    resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))
    try:
        found = [(found.name, found.is_directory) for found in tree.walk(deep)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(found) == 2 * (DEEP + 1)
    assert found[-1] == ("top", True)
    assert [name for name, is_directory in found[: DEEP + 1] if is_directory] == []


def test_a_session_of_a_deep_tree_is_stripped_and_removed(deep_folder: Path) -> None:
    directory = SessionDir.of(deep_folder, WorkloadKey("game", 1))
    directory.create()
    grow(directory.path / "home", DEEP)
    directory.strip()
    assert os.listdir(directory.path) == []
    grow(directory.path / "home", DEEP)
    directory.remove()
    directory.remove()
    assert os.listdir(deep_folder) == []


def test_a_wide_tree_goes_and_what_its_links_name_stays(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    top = tmp_path / "top"
    for number in range(3000):
        (top / f"{number}").mkdir(parents=True)
        (top / f"{number}.file").touch()
    (top / "7" / "out").symlink_to(outside)
    tree.remove(top)
    assert sorted(os.listdir(tmp_path)) == ["outside"]
    assert os.listdir(outside) == ["kept"]


def test_what_is_moved_elsewhere_is_told_and_nothing_outside_is_found(tmp_path: Path) -> None:
    (tmp_path / "top" / "one" / "two").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "top" / "one" / "two" / "file").touch()
    walk = tree.walk(tmp_path / "top")
    assert next(walk).name == "file"
    (tmp_path / "top" / "one" / "two").rename(tmp_path / "elsewhere" / "two")
    with pytest.raises(OSError, match="moved while it was looked into"):
        next(walk)


def test_what_its_owner_has_shut_is_opened() -> None:
    with tempfile.TemporaryDirectory() as place:
        if os.geteuid() == 0:
            os.chown(place, NOBODY, NOBODY)
        as_nobody(lambda: _shut_and_open(Path(place) / "game.1"))


def _shut_and_open(session: Path) -> None:
    for mode in (0o000, 0o300, 0o400, 0o500):
        (session / "home" / "shut").mkdir(parents=True, exist_ok=True)
        (session / "home" / "shut" / "file").write_bytes(os.urandom(MIB))
        (session / "home" / "shut").chmod(mode)
        (session / "home").chmod(mode)
        found = taken(session)
        assert (found.disk_bytes // MIB, found.unmeasured) == (1, ""), oct(mode)
        tree.remove(session / "home")
        assert os.listdir(session) == [], oct(mode)
