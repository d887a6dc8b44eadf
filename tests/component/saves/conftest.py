"""A whole house and a game that counts its starts in a file that it wants kept."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from quarterdeck.v1 import (
    games_pb2,
    games_pb2_grpc,
    saves_pb2,
    saves_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
)

from tests.house import House

# Counts its starts in world/starts; each line that it is told goes to world/said. Says what it does.
COUNTING = """
import pathlib, sys
world = pathlib.Path("world"); world.mkdir(exist_ok=True)
starts = world / "starts"
count = int(starts.read_text()) + 1 if starts.exists() else 1
starts.write_text(str(count))
(world / "deep").mkdir(exist_ok=True)
(world / "deep" / "link").unlink(missing_ok=True)
(world / "deep" / "link").symlink_to("/etc/passwd")
print(f"start {count}", flush=True)
for line in sys.stdin:
    with (world / "said").open("a") as said:
        said.write(line)
    print("heard " + line, end="", flush=True)
"""
WITHIN_S = 120.0


class Player:
    """The operator, with blocking stubs."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.channel = grpc.insecure_channel(f"127.0.0.1:{house.grpc_port}")
        token = (house.data_dir / "operator.token").read_text().strip()
        self._metadata = (("authorization", f"Bearer {token}"),)
        self.games = games_pb2_grpc.GameServiceStub(self.channel)
        self.sessions = sessions_pb2_grpc.SessionServiceStub(self.channel)
        self.saves = saves_pb2_grpc.SaveServiceStub(self.channel)

    def call(self, method: Any, request: Any, timeout_s: float = WITHIN_S) -> Any:
        """Again while nobody answers: the control plane may just have been killed."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return method(request, metadata=self._metadata, timeout=timeout_s, wait_for_ready=True)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > deadline:
                    raise

    def add_game(self, game_id: str = "counter", program: str = COUNTING, **saves: Any) -> None:
        game = games_pb2.Game(display_name=game_id)
        self.call(self.games.CreateGame, games_pb2.CreateGameRequest(game_id=game_id, game=game))
        deployment = games_pb2.Deployment(
            command=[sys.executable, "-c", program],
            picture=games_pb2.PICTURE_NONE,
            readiness=games_pb2.Readiness(log_pattern="^start ", timeout=Duration(seconds=60)),
            volumes=[games_pb2.Volume(volume_name="world", path="world")],
            saves=games_pb2.SaveSpec(volumes=["world"], **saves),
        )
        request = games_pb2.CreateDeploymentRequest(parent=f"games/{game_id}", deployment=deployment)
        self.call(self.games.CreateDeployment, request)

    def play(self, save_id: str = "mine", game_id: str = "counter", **fields: Any) -> sessions_pb2.Session:
        """A session that is playable, or over."""
        request = sessions_pb2.CreateSessionRequest(
            game=f"games/{game_id}", save_id=save_id, wait_until_playable=True, **fields
        )
        return self.call(self.sessions.CreateSession, request)

    def stop(self, session: sessions_pb2.Session) -> sessions_pb2.Session:
        return self.call(self.sessions.StopSession, sessions_pb2.StopSessionRequest(name=session.name, wait=True))

    def say(self, session: sessions_pb2.Session, line: str) -> None:
        ran = self._house.run("sessions", "send", session.name, line)
        assert ran.returncode == 0, ran.stderr

    def save(self, save_id: str = "mine") -> saves_pb2.Save:
        return self.call(self.saves.GetSave, saves_pb2.GetSaveRequest(name=f"saves/{save_id}"))

    def versions(self, save_id: str = "mine") -> list[saves_pb2.SaveVersion]:
        """Newest first."""
        request = saves_pb2.ListSaveVersionsRequest(parent=f"saves/{save_id}")
        return list(self.call(self.saves.ListSaveVersions, request).versions)

    def until_free(self, save_id: str = "mine") -> saves_pb2.Save:
        """The save, once nobody writes it."""
        until(lambda: not self.save(save_id).session, lambda: f"{self.save(save_id)}\n{self._house.logs()}")
        return self.save(save_id)

    def close(self) -> None:
        self.channel.close()


def until(condition: Callable[[], object], why: Callable[[], object] = lambda: "", within_s: float = WITHIN_S) -> None:
    """For what only another process shows."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as started:
        yield started


@pytest.fixture
def player(house: House) -> Iterator[Player]:
    player = Player(house)
    yield player
    player.close()


def session_dir(house: House, session: sessions_pb2.Session) -> Path:
    return house.data_dir / "agent" / "sessions" / f"{session.name.removeprefix('sessions/')}.1"


def kept_dir(house: House) -> Path:
    """Where the agent keeps what is not stored yet."""
    return house.data_dir / "agent" / "unstored"


def schedules_fall_due(house: House) -> None:
    """At the next look at them, once."""
    with closing(sqlite3.connect(house.data_dir / "quarterdeck.db", timeout=WITHIN_S)) as database, database:
        database.execute("UPDATE backup_schedules SET next_at = created_at")


def objects(house: House) -> list[Path]:
    """The archives of saves in the house's object store."""
    return [path for path in (house.data_dir / "objects" / "saves").rglob("*") if path.is_file()]
