"""A registry that says nothing: a session that waits for it can be stopped, and its agent can leave."""

from __future__ import annotations

import asyncio
import signal

from quarterdeck.v1 import sessions_pb2, wrapper_pb2

from tests.component.hostagent.conftest import Agents, exit_code
from tests.component.hostagent.fakeplane import FakePlane, run_line, stop_line
from tests.fake_engine import fake_engine


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_a_session_that_waits_for_a_silent_registry_can_be_stopped_and_its_agent_can_leave(
    plane: FakePlane, agents: Agents
) -> None:
    def pulls(session_id: str) -> bool:
        status = plane.reported(session_id)
        return status is not None and status.reason_detail.startswith("pulling")

    async with fake_engine(agents.root / "docker.sock") as engine:
        engine.on("GET /info", {"ServerVersion": "0", "LiveRestoreEnabled": True})
        engine.on("GET /containers/json", [])
        engine.on("GET /images/.*", {"message": "No such image"}, 404)
        engine.on("POST /images/create", silence)
        digests = {name: plane.add_spec(name) for name in ("game-1", "game-2")}
        plane.plan(*(run_line(name, digest) for name, digest in digests.items()))
        options = ("--runtime", "docker", "--docker-socket", engine.socket, "--wrapper-image", "quiet.example/wrapper")
        agent = agents.start(*options)
        await plane.until(lambda: all(map(pulls, digests)))
        plane.plan(stop_line("game-1", digests["game-1"]), run_line("game-2", digests["game-2"]))
        await plane.until(lambda: plane.is_in("game-1", wrapper_pb2.WORKLOAD_STATE_EXITED))
        assert plane.reported("game-1").reason == sessions_pb2.SESSION_REASON_STOP_REQUESTED
        agent.send_signal(signal.SIGTERM)
        assert await exit_code(agent) == 0
