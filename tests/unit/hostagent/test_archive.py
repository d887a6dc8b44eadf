"""Packing and unpacking of volumes: the same files the same bytes, nothing through a link, nothing that leads out."""

from __future__ import annotations

import errno
import gzip
import io
import os
import socket
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

import pytest

from hostagent import archive
from hostagent.archive import ArchiveRefused, FilesChanging
from tests.nobody import NOBODY, as_nobody

PLACES = {"conf": PurePosixPath("home/etc/conf"), "world": PurePosixPath("home/world")}
LARGE = 1 << 30


@pytest.fixture
def session(tmp_path: Path) -> Path:
    world = tmp_path / "session" / "home" / "world"
    (world / "deep" / "er").mkdir(parents=True)
    (world / "level.dat").write_bytes(os.urandom(300_000))
    (world / "deep" / "er" / "ünïcode with space").write_text("x")
    (world / "empty").mkdir()
    (world / "run").write_text("#!")
    (world / "run").chmod(0o755)
    return tmp_path / "session"


def packed(base: Path, max_bytes: int = LARGE) -> tuple[bytes, archive.Contents]:
    out = io.BytesIO()
    contents = archive.pack(base, PLACES, out, max_bytes)
    return out.getvalue(), contents


def unpacked(content: bytes, to: Path, max_bytes: int = LARGE) -> Path:
    to.mkdir()
    archive.unpack(io.BytesIO(content), to / "staging", PLACES, max_bytes)
    archive.put_in_place(to / "staging", to, PLACES)
    return to


def a_tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue())


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_what_was_packed_comes_out_the_same(session: Path, tmp_path: Path) -> None:
    content, contents = packed(session)
    assert (contents.files, contents.left_out) == (3, 0)
    assert contents.size_bytes == 300_003
    home = unpacked(content, tmp_path / "next") / "home"
    world = home / "world"
    assert (world / "level.dat").read_bytes() == (session / "home/world/level.dat").read_bytes()
    assert (world / "deep/er/ünïcode with space").read_text() == "x"
    assert (world / "empty").is_dir()
    assert (world / "run").stat().st_mode & 0o777 == 0o755
    assert not (home / "etc").exists()  # a volume that never came to be
    assert not (tmp_path / "next" / "staging").exists()


def test_the_same_files_make_the_same_bytes_also_after_a_restore(session: Path, tmp_path: Path) -> None:
    first, _ = packed(session)
    assert packed(unpacked(first, tmp_path / "next"))[0] == first
    (tmp_path / "next/home/world/run").write_text("##")
    assert packed(tmp_path / "next")[0] != first


def test_links_and_special_files_are_left_out_and_not_followed(session: Path, tmp_path: Path) -> None:
    plain, _ = packed(session)
    world = session / "home" / "world"
    (tmp_path / "secret").write_text("secret")
    at = world.stat().st_mtime_ns
    (world / "link").symlink_to(tmp_path / "secret")
    (world / "up").symlink_to("..")
    os.mkfifo(world / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(world / "socket"))
    os.utime(world, ns=(at, at))
    content, contents = packed(session)
    assert contents.left_out == 4
    assert content == plain


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_a_file_that_cannot_be_read_is_not_left_out(
    session: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = os.open

    def refusing(path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "level.dat":
            raise OSError(number, os.strerror(number), path)
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(OSError, match=r"level\.dat"):
        packed(session)


@pytest.mark.parametrize("depth", [0, 1])
def test_a_volume_that_a_game_has_made_a_link_leads_nowhere(session: Path, tmp_path: Path, depth: int) -> None:
    outside = tmp_path / "outside" / "world"
    outside.mkdir(parents=True)
    (outside / "theirs").write_text("theirs")
    moved = session / "home" if depth else session / "home" / "world"
    moved.rename(tmp_path / "moved")
    moved.symlink_to(outside.parent if depth else outside)
    _, contents = packed(session)
    assert contents.files == 0
    aside = tmp_path / "aside"
    aside.mkdir()
    archive.set_aside(session, PLACES, aside)
    assert (outside / "theirs").exists()
    assert list(aside.iterdir()) == []


def test_what_a_game_has_shut_is_opened_by_an_agent_that_is_not_root() -> None:
    with tempfile.TemporaryDirectory() as place:
        if os.geteuid() == 0:
            os.chown(place, NOBODY, NOBODY)
        as_nobody(lambda: _shut_and_kept(Path(place)))


def _shut_and_kept(session: Path) -> None:
    inner = session / "home" / "world" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").write_text("kept")
    for shut, mode in ((inner / "file", 0o000), (inner, 0o400), (inner.parent, 0o500), (session / "home", 0o000)):
        shut.chmod(mode)
    assert packed(session)[1] == archive.Contents(files=1, size_bytes=4)
    for shut, mode in ((inner.parent, 0o500), (session / "home", 0o000)):
        shut.chmod(mode)
    aside = session / "aside"
    aside.mkdir()
    archive.set_aside(session, PLACES, aside)
    assert (aside / "world" / "inner" / "file").read_text() == "kept"


def test_setting_aside_goes_on_where_it_was(session: Path, tmp_path: Path) -> None:
    (session / "home/etc/conf").mkdir(parents=True)
    aside = tmp_path / "aside"
    aside.mkdir()
    (session / "home/world").rename(aside / "world")
    archive.set_aside(session, PLACES, aside)
    archive.set_aside(session, PLACES, aside)
    assert sorted(path.name for path in aside.iterdir()) == ["conf", "world"]
    assert (aside / "world" / "level.dat").exists()


def test_bounds_on_packing(session: Path) -> None:
    with pytest.raises(ArchiveRefused, match="larger than 1000"):
        packed(session, 1000)
    deepest = session / "home" / "world"
    for _ in range(60):
        deepest = deepest / "d"
        deepest.mkdir()
    with pytest.raises(ArchiveRefused, match="nested deeper"):
        packed(session)


def test_files_that_change_while_they_are_read_are_no_state(session: Path) -> None:
    class Meddling(io.BytesIO):
        def write(self, data) -> int:
            (session / "home/world/level.dat").write_bytes(os.urandom(300_001))
            return super().write(data)

    with pytest.raises(FilesChanging):
        archive.pack(session, PLACES, Meddling(), LARGE)


def test_a_change_that_leaves_size_and_tick_alike_is_seen_while_a_game_runs(session: Path) -> None:
    level = session / "home/world/level.dat"

    class Meddling(io.BytesIO):
        def write(self, data) -> int:
            level.write_bytes(os.urandom(300_000))
            return super().write(data)

    with pytest.raises(FilesChanging):
        archive.pack(session, PLACES, Meddling(), LARGE, live=True)
    assert archive.pack(session, PLACES, io.BytesIO(), LARGE, live=True).files == 3


def test_a_file_that_becomes_shorter_while_it_is_read_is_no_state(session: Path) -> None:
    level = session / "home/world/level.dat"
    level.write_bytes(os.urandom(8 << 20))

    class Meddling(io.BytesIO):
        def write(self, data) -> int:
            if self.tell() > 1 << 20:
                level.write_bytes(b"")
            return super().write(data)

    with pytest.raises(FilesChanging, match="shorter"):
        archive.pack(session, PLACES, Meddling(), LARGE)


@pytest.mark.parametrize(
    "content",
    [
        a_tar((member("world/../../etc/passwd"), b"x")),
        a_tar((member("/etc/passwd"), b"x")),
        a_tar((member("elsewhere/file"), b"x")),
        a_tar((member("world", tarfile.DIRTYPE), b""), (member("world/l", tarfile.SYMTYPE, "/etc"), b"")),
        a_tar((member("world", tarfile.DIRTYPE), b""), (member("world/l", tarfile.LNKTYPE, "/etc/passwd"), b"")),
        a_tar((member("world", tarfile.DIRTYPE), b""), (member("world/null", tarfile.CHRTYPE), b"")),
        a_tar((member("world", tarfile.DIRTYPE), b""), (member("world/a"), b"x"), (member("world/a"), b"y")),
        a_tar((member("world", tarfile.DIRTYPE), b""), (member("world/a"), b"x"), (member("world/a/b"), b"y")),
        a_tar((member("world/no/parent"), b"x")),
        a_tar((member("world", tarfile.DIRTYPE), b""), (member("world/large"), b"x" * 5000)),
        a_tar((member("world", tarfile.DIRTYPE), b""))[:-15],
        gzip.compress(b"no tar at all" * 100),
        b"no gzip at all",
        b"",
    ],
)
def test_what_packing_would_not_have_written_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ArchiveRefused):
        archive.unpack(io.BytesIO(content), tmp_path / "staging", PLACES, 4000)
    assert not (tmp_path / "etc").exists()
