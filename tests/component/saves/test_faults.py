"""A save under faults: processes killed, a dead or full object store, a full disk, damaged objects."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from quarterdeck.v1 import sessions_pb2

from tests.component.saves.conftest import COUNTING, Player, kept_dir, objects, session_dir, until
from tests.house import House
from tests.s3 import BUCKET, CREDENTIALS, S3Server, s3_server

pytestmark = pytest.mark.timeout(300)
RUNNING, CRASHED = sessions_pb2.SESSION_STATE_RUNNING, sessions_pb2.SESSION_STATE_CRASHED
# A world that takes more than one request to store, and does not shrink.
SIZE = 16 << 20
FILLING = COUNTING.replace(
    "print(f", f'(world / "map").write_bytes(__import__("random").Random(count).randbytes({SIZE}))\nprint(f', 1
)


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path) as server:
        yield server


@pytest.fixture
def far_house(tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """Its objects lie in an S3 that can be stopped."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with House(tmp_path, objects_url=f"s3://{BUCKET}/house", objects_endpoint=s3.endpoint) as started:
        yield started


@pytest.fixture
def far_player(far_house: House) -> Iterator[Player]:
    player = Player(far_house)
    yield player
    player.close()


def world(house: House, session: sessions_pb2.Session) -> Path:
    return session_dir(house, session) / "home" / "world"


def frozen(server: S3Server) -> psutil.Process:
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    process.suspend()
    return process


def uploading(house: House) -> bool:
    """The agent has set the files aside."""
    return kept_dir(house).is_dir() and any(not p.name.startswith(".") for p in kept_dir(house).iterdir())


def test_a_dead_object_store_loses_nothing_and_everybody_is_told(
    far_house: House, far_player: Player, s3: S3Server
) -> None:
    far_player.add_game()
    first = far_player.play()
    s3.kill()
    ended = far_player.stop(first)
    assert ended.state == sessions_pb2.SESSION_STATE_STOPPED
    until(
        lambda: "OBJECT_STORE_AWAY" in far_player.save().detail or "cannot be used" in far_player.save().detail,
        lambda: f"{far_player.save()}{far_house.logs()}",
        120,
    )
    with pytest.raises(grpc.RpcError) as refused:
        far_player.play()
    assert "has not stored saves/mine yet" in refused.value.details()
    os.kill(far_house.pid("agent"), signal.SIGKILL)
    s3.start()
    far_player.until_free()
    second = far_player.play()
    assert (world(far_house, second) / "starts").read_text() == "2"


@pytest.mark.parametrize("part", ["agent", "all"])
def test_killed_while_it_is_stored_a_save_is_whole_or_is_not(
    far_house: House, far_player: Player, s3: S3Server, part: str
) -> None:
    far_player.add_game(program=FILLING)
    first = far_player.play()
    freeze = frozen(s3)
    far_player.stop(first)
    until(lambda: uploading(far_house), far_house.logs)
    os.kill(far_house.pid(part), signal.SIGKILL)
    freeze.resume()
    assert far_player.until_free().current_version == "saves/mine/versions/1"
    (version,) = far_player.versions()
    assert version.content_bytes == SIZE + 1
    second = far_player.play()
    assert (world(far_house, second) / "starts").read_text() == "2"
    assert (world(far_house, second) / "map").read_bytes() == random.Random(2).randbytes(SIZE)


@pytest.mark.parametrize("part", ["agent", "all"])
def test_killed_while_it_is_restored_the_game_still_begins_with_all_of_it(
    far_house: House, far_player: Player, s3: S3Server, part: str
) -> None:
    far_player.add_game(program=FILLING)
    far_player.stop(far_player.play())
    far_player.until_free()
    freeze = frozen(s3)
    request = sessions_pb2.CreateSessionRequest(game="games/counter", save_id="mine")
    second = far_player.call(far_player.sessions.CreateSession, request)
    until(lambda: session_dir(far_house, second).is_dir(), far_house.logs)
    os.kill(far_house.pid(part), signal.SIGKILL)
    assert not world(far_house, second).exists()
    freeze.resume()
    get = sessions_pb2.GetSessionRequest(name=second.name)
    until(lambda: far_player.call(far_player.sessions.GetSession, get).state == RUNNING, far_house.logs, 120)
    assert (world(far_house, second) / "starts").read_text() == "2"


def test_a_wrapper_that_is_killed_leaves_what_its_game_has_written(house: House, player: Player) -> None:
    player.add_game()
    first = player.play()
    os.kill(house.pid("wrapper"), signal.SIGKILL)
    get = sessions_pb2.GetSessionRequest(name=first.name)
    until(lambda: player.call(player.sessions.GetSession, get).state == CRASHED, house.logs)
    assert player.until_free().current_version == "saves/mine/versions/1"
    second = player.play()
    assert (world(house, second) / "starts").read_text() == "2"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\0\0"), "saves/mine/versions/2 is damaged"),
        (lambda path: path.unlink(), "saves/mine could not be restored: NOT_FOUND"),
    ],
    ids=["damaged", "missing"],
)
def test_an_object_that_is_not_what_was_stored_starts_no_game(house: House, player: Player, damage, told: str) -> None:
    player.add_game()
    before: list[Path] = []
    for _ in range(2):
        before = objects(house)
        player.stop(player.play())
        player.until_free()
    (newest,) = set(objects(house)) - set(before)
    damage(newest)
    failed = player.play()
    assert (failed.state, failed.reason) == (CRASHED, sessions_pb2.SESSION_REASON_SAVE_NOT_RESTORED)
    assert told in failed.reason_detail
    assert player.until_free().current_version == "saves/mine/versions/2"
    assert house.run("saves", "restore", "mine", "1").returncode == 0
    back = player.play()
    assert (world(house, back) / "starts").read_text() == "2"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """48 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "none", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(path: Path) -> None:
    """Until there is no room for another byte."""
    with pytest.raises(OSError, match="No space left"):
        path.write_bytes(b"x" * (64 << 20))


def move_agent(house: House, to: Path) -> None:
    """The agent of a house that does not run lies there from now on."""
    shutil.move(house.data_dir / "agent", to / "agent")
    (house.data_dir / "agent").symlink_to(to / "agent")


def test_a_disk_that_a_game_has_filled_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    house = House(tmp_path / "house")
    (small_disk / "agent").mkdir(mode=0o700)
    house.data_dir.mkdir(mode=0o700, parents=True)
    (house.data_dir / "agent").symlink_to(small_disk / "agent")
    with house:
        player = Player(house)
        player.add_game()
        first = player.play()
        (world(house, first) / "said").write_text("the last words")
        fill(small_disk / "filler")
        player.stop(first)
        assert player.until_free().current_version == "saves/mine/versions/1"
        (small_disk / "filler").unlink()
        second = player.play()
        assert (world(house, second) / "said").read_text() == "the last words"
        player.close()


def test_no_room_for_a_save_starts_no_game_and_says_so(tmp_path: Path, small_disk: Path) -> None:
    with House(tmp_path / "house") as house:
        player = Player(house)
        player.add_game(program=FILLING)
        player.stop(player.play())
        player.until_free()
        house.stop()
        move_agent(house, small_disk)
        (small_disk / "filler").write_bytes(b"x" * (20 << 20))
        house.start()
        failed = player.play()
        assert failed.reason == sessions_pb2.SESSION_REASON_SAVE_NOT_RESTORED
        assert "No space left on device" in failed.reason_detail
        (small_disk / "filler").unlink()
        player.until_free()
        again = player.play()
        assert (world(house, again) / "starts").read_text() == "2"
        player.close()


def test_a_full_object_store_is_waited_for(tmp_path: Path, small_disk: Path) -> None:
    with House(tmp_path / "house", objects_url=(small_disk / "objects").as_uri()) as house:
        player = Player(house)
        player.add_game(program=FILLING)
        (small_disk / "filler").write_bytes(b"x" * (40 << 20))
        player.stop(player.play())
        until(lambda: "is full" in player.save().detail, lambda: f"{player.save()}{house.logs()}")
        (small_disk / "filler").unlink()
        assert player.until_free().current_version == "saves/mine/versions/1"
        player.close()
