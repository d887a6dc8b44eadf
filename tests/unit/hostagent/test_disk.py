"""What a session's files are counted as."""

from __future__ import annotations

import os
from pathlib import Path

from hostagent.disk import taken_bytes

MIB = 1 << 20


def test_what_a_game_writes_counts_once_and_nothing_else_does(tmp_path: Path) -> None:
    session, outside = tmp_path / "game.1", tmp_path / "outside"
    for folder in (session / "home" / "deep", session / "volumes" / "world", session / "log", outside):
        folder.mkdir(parents=True)
    before = taken_bytes(session)
    for path in ("home/deep/one", "volumes/world/two", "log/spool"):
        (session / path).write_bytes(os.urandom(MIB))
    (outside / "foreign").write_bytes(os.urandom(MIB))
    os.link(session / "home" / "deep" / "one", session / "home" / "again")
    (session / "home" / "link").symlink_to(outside)
    (session / "home" / "file").symlink_to(outside / "foreign")
    with (session / "home" / "sparse").open("wb") as sparse:
        sparse.truncate(64 * MIB)
    assert 2 * MIB <= taken_bytes(session) - before < 2 * MIB + MIB // 4


def test_a_session_that_is_gone_takes_nothing(tmp_path: Path) -> None:
    assert taken_bytes(tmp_path / "gone") == 0
