"""Saves and scheduled backups of a game in its own image: a whole house, its agent on a real Docker Engine."""

from __future__ import annotations

import io
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from quarterdeck.v1 import games_pb2, sessions_pb2

from tests.component.saves.conftest import Player, schedules_fall_due, until
from tests.docker_engine import Engine
from tests.house import House

# Counts its starts in its volume, and repeats there what it is told.
SERVER = (
    "n=$(cat /data/starts 2>/dev/null || echo 0); n=$((n+1)); echo $n >/data/starts; echo start $n;"
    'while read -r line; do echo "$line" >>/data/said; echo "heard $line"; done'
)


@pytest.fixture
def house(tmp_path: Path, docker_engine: Engine, wrapper_image: str) -> Iterator[House]:
    options = {
        "agent_runtime": "docker",
        "agent_docker_socket": docker_engine.socket,
        "agent_wrapper_image": wrapper_image,
    }
    with House(tmp_path, **options) as started:
        yield started
        # Its sessions end with it, and their containers.
        for session in started.json("sessions", "list", "--state", "RUNNING")["sessions"]:
            started.run("sessions", "stop", session["name"], "--wait")


@pytest.fixture
def player(house: House, box_image: str) -> Iterator[Player]:
    player = Player(house)
    game = games_pb2.Game(display_name="Island")
    player.call(player.games.CreateGame, games_pb2.CreateGameRequest(game_id="island", game=game))
    deployment = games_pb2.Deployment(
        command=["sh", "-c", SERVER],
        picture=games_pb2.PICTURE_NONE,
        container=games_pb2.Container(
            image=box_image,
            pull=games_pb2.PULL_POLICY_NEVER,
            volumes=[games_pb2.ContainerVolume(volume_name="data", path="/data")],
        ),
        readiness=games_pb2.Readiness(log_pattern="^start ", timeout=Duration(seconds=120)),
        saves=games_pb2.SaveSpec(
            volumes=["data"],
            before_lines=["save-off"],
            settled_text="heard save-off",
            settled_within=Duration(seconds=60),
            after_lines=["save-on"],
        ),
    )
    request = games_pb2.CreateDeploymentRequest(parent="games/island", deployment=deployment)
    player.call(player.games.CreateDeployment, request)
    yield player
    player.close()


def starts(house: House, session: sessions_pb2.Session) -> str:
    directory = house.data_dir / "agent" / "sessions" / f"{session.name.removeprefix('sessions/')}.1"
    return (directory / "volumes" / "data" / "starts").read_text()


def test_a_container_plays_on_where_the_last_one_ended_and_is_backed_up_in_time(house: House, player: Player) -> None:
    first = player.play("mine", "island", queue_timeout=Duration(seconds=120))
    assert first.state == sessions_pb2.SESSION_STATE_RUNNING, first
    made = house.json("backups", "schedule", "island", "0 0 1 1 *", "--keep-count", "1")
    schedules_fall_due(house)

    def backups() -> list[dict]:
        return house.json("backups", "list")["backups"]

    until(lambda: any(b["state"] == "BACKUP_STATE_COMPLETED" for b in backups()), house.logs)
    assert house.run("backups", "unschedule", made["name"]).returncode == 0
    backup = next(b for b in backups() if b["state"] == "BACKUP_STATE_COMPLETED")
    url = house.json("backups", "download", backup["name"])["url"]
    with urllib.request.urlopen(url) as answer, tarfile.open(fileobj=io.BytesIO(answer.read())) as tar:
        said = tar.extractfile("data/said")
        assert said is not None
        assert said.read().splitlines()[-1] == b"save-off"
    player.stop(first)
    assert player.until_free().current_version == "saves/mine/versions/1"

    second = player.play("mine", "island")
    assert starts(house, second) == "2\n"
    player.stop(second)
    assert player.until_free().current_version == "saves/mine/versions/2"
    house.json("backups", "restore", backup["name"], "--save", "copy")
    copy = player.play("copy", "island")
    assert starts(house, copy) == "2\n"
