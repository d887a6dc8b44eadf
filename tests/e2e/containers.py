"""A whole house whose games run in containers of a real Docker Engine, each on a bridge network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration
from quarterdeck.v1 import games_pb2, games_pb2_grpc, sessions_pb2, sessions_pb2_grpc

from controlplane.adapters.store.audit import violations
from tests.contract.store.rows import synchronous
from tests.docker_engine import Engine
from tests.house import House

PATIENCE_S = 90.0
ROLE, ROOT, SESSION_DIR = "quarterdeck.role", "quarterdeck.sessions-root", "quarterdeck.session-dir"
OPEN = ("PENDING", "STARTING", "RUNNING", "STOPPING")


class ContainerHouse:
    """`quarterdeck up` beside an engine; games are made and sessions asked for as any client does it."""

    def __init__(self, directory: Path, engine: Engine, wrapper_image: str, **settings: str) -> None:
        chosen = {"agent_docker_socket": engine.socket, "agent_wrapper_image": wrapper_image, "agent_runtime": "docker"}
        self.engine = engine
        self.house = House(directory, **(chosen | settings))
        self.database = settings.get("database_url", f"sqlite:///{self.house.data_dir / 'quarterdeck.db'}")
        self.sessions_root = self.house.data_dir / "agent" / "sessions"

    def start(self) -> None:
        self.house.start()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{self.house.grpc_port}")
        token = (self.house.data_dir / "operator.token").read_text().strip()
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._games = games_pb2_grpc.GameServiceStub(self._channel)
        self._sessions = sessions_pb2_grpc.SessionServiceStub(self._channel)

    def stop(self) -> int:
        self._channel.close()
        return self.house.stop()

    def _call(self, method: Any, request: Any, timeout_s: float = PATIENCE_S) -> Any:
        return method(request, metadata=self._metadata, timeout=timeout_s, wait_for_ready=True)

    def add_game(self, game_id: str, image: str, command: Sequence[str] = (), **choices: Any) -> None:
        """A game out of `image`; `choices` are fields of its deployment, volumes by name and path, and when
        the image is pulled."""
        game = games_pb2.Game(display_name=game_id.capitalize())
        self._call(self._games.CreateGame, games_pb2.CreateGameRequest(game_id=game_id, game=game))
        pull = choices.pop("pull", games_pb2.PULL_POLICY_NEVER)
        container = games_pb2.Container(image=image, pull=pull)
        for name, path in choices.pop("volumes", {}).items():
            container.volumes.add(volume_name=name, path=path)
        deployment = games_pb2.Deployment(command=command, container=container, **choices)
        request = games_pb2.CreateDeploymentRequest(parent=f"games/{game_id}", deployment=deployment)
        self._call(self._games.CreateDeployment, request)

    def add_server(self, game_id: str, image: str, script: str, grace_s: float = 3.0, **choices: Any) -> None:
        """A game without a picture that a shell makes up; it is ready when it says so, and has one TCP port."""
        readiness = games_pb2.Readiness(log_pattern="ready", timeout=Duration(seconds=60))
        grace = Duration(seconds=int(grace_s), nanos=int(grace_s % 1 * 1e9))
        port = games_pb2.PortSpec(port_name="game", protocol="tcp")
        given = {"picture": games_pb2.PICTURE_NONE, "readiness": readiness, "stop_grace": grace, "ports": [port]}
        self.add_game(game_id, image, ("sh", "-c", script), **(given | choices))

    def ask(self, game_id: str, wait: bool = False, save_id: str = "") -> sessions_pb2.Session:
        wish = sessions_pb2.CreateSessionRequest(game=f"games/{game_id}", wait_until_playable=wait, save_id=save_id)
        return self._call(self._sessions.CreateSession, wish)

    def get(self, name: str) -> sessions_pb2.Session:
        return self._call(self._sessions.GetSession, sessions_pb2.GetSessionRequest(name=name))

    def stop_session(self, name: str) -> None:
        self._call(self._sessions.StopSession, sessions_pb2.StopSessionRequest(name=name))

    def state(self, name: str) -> str:
        return state_word(self.get(name))

    def until(self, name: str, *states: str) -> sessions_pb2.Session:
        """The session once it is in one of these; an end that comes before fails at once."""
        deadline = time.monotonic() + PATIENCE_S
        while (session := self.get(name)) and (word := state_word(session)) not in states:
            assert word in OPEN, f"{session}\n{self.logs()}"
            assert time.monotonic() < deadline, f"{session}\n{self.logs()}"
            time.sleep(0.05)
        return session

    def containers(self, session: str = "") -> list[dict[str, Any]]:
        """Of this house or of one session, in whatever generation, running or not."""
        rows = self.engine.client.containers(all=True, filters={"label": [f"{ROOT}={self.sessions_root}"]})
        own = f"{self.sessions_root / session.partition('/')[2]}." if session else ""
        return [row for row in rows if row["Labels"][SESSION_DIR].startswith(own)]

    def container(self, session: str, role: str) -> dict[str, Any]:
        (row,) = [row for row in self.containers(session) if row["Labels"][ROLE] == role]
        return self.engine.client.inspect_container(row["Id"])

    def networks(self) -> list[str]:
        return [row["Name"] for row in self.engine.client.networks(filters={"label": [f"{ROOT}={self.sessions_root}"]})]

    def rows(self, statement: str) -> list[Any]:
        with synchronous(self.database).connect() as connection:
            return list(connection.execute(sa.text(statement)))

    def left(self) -> dict[str, Any]:
        """What still is of sessions that are over: nothing, when all is well."""
        volumes = self.engine.client.volumes()["Volumes"] or []
        found = {
            "containers": [(row["Names"], row["State"]) for row in self.containers()],
            "volumes": [volume["Name"] for volume in volumes],
            "directories": [path.name for path in self.sessions_root.iterdir()],
            "ports": self.rows("SELECT session_id, host_port FROM port_leases WHERE free_at IS NULL"),
            "units": self.rows("SELECT id FROM vms WHERE used_units <> 0 OR active_sessions <> 0"),
        }
        return {what: those for what, those in found.items() if those}

    def until_nothing_is_left(self) -> None:
        eventually(lambda: not self.left(), lambda: f"left: {self.left()}\n{self.logs()}")
        assert violations(self.database) == []

    def logs(self) -> str:
        told = [self.house.logs()]
        told += [f"--- {log}\n{log.read_text(errors='replace')[-3000:]}" for log in self.sessions_root.glob("*/*.log")]
        return "\n".join(told)


def state_word(session: sessions_pb2.Session) -> str:
    return sessions_pb2.SessionState.Name(session.state).removeprefix("SESSION_STATE_")


def reason_word(session: sessions_pb2.Session) -> str:
    return sessions_pb2.SessionReason.Name(session.reason).removeprefix("SESSION_REASON_")


def eventually(
    condition: Callable[[], object],
    told: Callable[[], str] = lambda: "",
    within_s: float = PATIENCE_S,
    every_s: float = 0.05,
) -> None:
    """For what only the engine and the machine show, which call nobody back."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(every_s)


async def off(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Off the loop that serves the browser."""
    return await asyncio.to_thread(call, *arguments, **named)
