"""Session directories: names that cannot escape, files that cannot lie, and the ledger of what has ended."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.ledger import Ledger
from hostagent.plan import WorkloadKey
from hostagent.procfs import ProcessId
from hostagent.sessiondir import InvalidSessionId, SessionDir, launch_now, parse_name

KEY = WorkloadKey("game-1", 2)


@pytest.fixture
def directory(tmp_path: Path) -> SessionDir:
    directory = SessionDir.of(tmp_path, KEY)
    directory.create()
    return directory


@pytest.mark.parametrize("session_id", ["", "..", "a/b", "../a", "-a", "A", "a\n", "a.1", "ä", "a" * 64, "a\0"])
def test_an_id_that_is_no_plain_name_is_refused(tmp_path: Path, session_id: str) -> None:
    with pytest.raises(InvalidSessionId):
        SessionDir.of(tmp_path, WorkloadKey(session_id, 1))


def test_a_negative_generation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSessionId):
        SessionDir.of(tmp_path, WorkloadKey("game", -1))


@given(st.text(max_size=80))
def test_whatever_the_name_the_directory_lies_directly_under_the_root(name: str) -> None:
    try:
        directory = SessionDir.of(Path("/root-of-sessions"), WorkloadKey(name, 1))
    except InvalidSessionId:
        return
    assert os.path.dirname(os.path.normpath(directory.path)) == "/root-of-sessions"
    assert parse_name(directory.path.name) == directory.key


def test_a_scan_sees_session_directories_and_nothing_else(tmp_path: Path, directory: SessionDir) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "a.b").mkdir()
    (tmp_path / "file.1").write_text("")
    (tmp_path / "link.1").symlink_to(directory.path)
    assert list(SessionDir.scan(tmp_path)) == [directory]
    assert list(SessionDir.scan(tmp_path / "none")) == []


def test_links_pipes_and_directories_are_not_read_as_files(directory: SessionDir) -> None:
    (directory.path / "status.binpb").symlink_to("/etc/hostname")
    os.mkfifo(directory.path / "spec.binpb")
    (directory.path / "wrapper.output").mkdir()
    assert directory.read("status.binpb") is None
    assert directory.read("spec.binpb") is None
    assert directory.read("wrapper.output") is None


def test_a_launch_survives_in_its_record_and_its_age_counts_from_boot(directory: SessionDir) -> None:
    assert directory.launch() is None
    launch = launch_now().of(ProcessId(42, 4711))
    directory.record_launch(launch)
    assert directory.launch() == launch
    earlier = replace(launch, boot_s=launch.boot_s - 100, wall_s=0)
    assert 100 <= earlier.age_s() < 200
    assert replace(launch, boot_id="another boot", wall_s=time.time() + 50).age_s() == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff"])
def test_a_broken_launch_record_still_says_that_it_was_started(directory: SessionDir, content: bytes) -> None:
    directory.write("launch.json", content)
    launch = directory.launch()
    assert launch is not None
    assert launch.process is None


def test_the_wrappers_own_record(directory: SessionDir) -> None:
    assert directory.wrapper_process() is None
    directory.write("wrapper.pid", b"42 4711\n")
    assert directory.wrapper_process() == ProcessId(42, 4711)
    for forged in (b"42", b"9" * 5000 + b" 1", b"42 " + b"9" * 19, b"42 4711 1"):
        directory.write("wrapper.pid", forged)
        assert directory.wrapper_process() is None


def test_the_ledger_remembers_the_newest_ended_generation(tmp_path: Path) -> None:
    path = tmp_path / "ended"
    ledger = Ledger(path)
    for generation in (2, 3, 1):
        ledger.add(WorkloadKey("game", generation))
    with path.open("a") as file:
        file.write("other.1\nhalf-a-li")
    reloaded = Ledger(path)
    assert reloaded.newest == {"game": 3, "other": 1}
    reloaded.add(WorkloadKey("next", 1))
    assert Ledger(path).newest == {"game": 3, "other": 1, "next": 1}


def test_a_file_is_written_in_its_place_whatever_links_a_game_has_laid(tmp_path: Path) -> None:
    directory = SessionDir.of(tmp_path, WorkloadKey("game", 1))
    directory.create()
    for name in ("status.binpb", f".status.binpb.{os.getpid()}"):
        (directory.path / name).symlink_to(tmp_path / f"host-{name}")
    directory.write("status.binpb", b"told")
    assert (directory.path / "status.binpb").read_bytes() == b"told"
    assert not (directory.path / "status.binpb").is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == ["game.1"]


@pytest.mark.parametrize(
    "forged",
    [
        '{"boot_id": "b", "boot_s": "x", "wall_s": 1}',
        '{"boot_id": "b", "boot_s": NaN, "wall_s": 1}',
        '{"boot_id": "b", "boot_s": -1e308, "wall_s": 1}',
        '{"boot_id": 1, "boot_s": 1, "wall_s": 1}',
        '{"boot_id": "b", "boot_s": 1, "wall_s": 1, "pid": true}',
        '{"boot_id": "b", "boot_s": 1, "wall_s": 1, "pid": 1' + "0" * 30 + "}",
        "[" * 100_000,
    ],
)
def test_a_launch_record_that_no_agent_wrote_is_a_start_long_ago(tmp_path: Path, forged: str) -> None:
    directory = SessionDir.of(tmp_path, WorkloadKey("game", 1))
    directory.create()
    (directory.path / "launch.json").write_text(forged)
    launch = directory.launch()
    assert launch is not None
    assert (launch.process, launch.unfinished, launch.this_boot) == (None, False, False)
    assert launch.age_s() < 60


def test_a_log_that_is_a_link_goes_nowhere(tmp_path: Path) -> None:
    directory = SessionDir.of(tmp_path / "sessions", WorkloadKey("game", 1))
    directory.path.mkdir(parents=True)
    (tmp_path / "host").mkdir()
    (directory.path / "log").symlink_to(tmp_path / "host")
    directory.strip(tmp_path / "logs")
    assert not (directory.path / "log").is_symlink()
    assert not (tmp_path / "logs").exists()
    assert (tmp_path / "host").is_dir()
