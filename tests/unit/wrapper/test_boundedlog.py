"""The log that never grows past its bound, and never holds up its game."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from wrapper.boundedlog import BoundedLog


def test_the_older_half_goes_when_it_is_full(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "game.log", max_bytes=10)
    for word in (b"one-", b"two-", b"three-", b"four"):
        log.write(word)
    assert (tmp_path / "game.log.1").read_bytes() == b"one-two-"
    assert (tmp_path / "game.log").read_bytes() == b"three-four"
    log.close()


def test_what_a_full_disk_refuses_is_lost_and_counted_and_writing_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = BoundedLog(tmp_path / "game.log", max_bytes=10)
    log.write(b"before ")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        log.write(b"lost")
        disk.setattr(os, "open", full)
        log.write(b"lost too")
    log.write(b"after")
    log.close()
    assert log.lost_bytes == len(b"lost") + len(b"lost too")
    assert (tmp_path / "game.log").read_bytes() == b"after"


def test_another_refusal_is_no_full_disk(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "game.log")
    log.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        log.write(b"x")
