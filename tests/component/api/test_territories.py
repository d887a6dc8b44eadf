"""Where a player is, told by the seeds' calls as by the house's: the law of a region asks for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from click.testing import Result
from google.protobuf.duration_pb2 import Duration
from quarterdeck.compat.v1 import orchestrator_pb2, orchestrator_pb2_grpc, sessions_pb2_grpc
from quarterdeck.compat.v1 import sessions_pb2 as compat_pb2
from quarterdeck.v1 import placement_pb2, sessions_pb2
from typer.testing import CliRunner

from controlplane.commands import sessions as command_line
from controlplane.domain import subjects
from controlplane.domain.region import Law
from controlplane.usecases import sessions, shapes
from tests.component.api.plane import OPERATOR, Caller, Plane, make_game
from tests.component.api.refusals import refused
from tests.component.api.test_waiting import all_sessions

BERLIN = placement_pb2.Coordinates(latitude_degrees=52.52, longitude_degrees=13.41)
UNKNOWN = "serves only players whose territory is known: name it"


@pytest.fixture(autouse=True)
async def lawful(api: Plane, operator: Caller) -> None:
    """Region `local` serves Germany alone."""
    await make_game(operator)
    await shapes.update(
        api.world,
        OPERATOR,
        shapes.find_region,
        "regions/local",
        lambda region: replace(region, law=Law(allow=frozenset({"DE"}))),
        "",
    )


async def test_a_player_from_nowhere_is_told_to_name_the_territory(player: Caller) -> None:
    request = sessions_pb2.CreateSessionRequest(game="games/demo", region="local", queue_timeout=Duration())
    refusal = await refused(player.sessions.CreateSession(request))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "NO_CAPACITY")
    assert UNKNOWN in refusal.message


@pytest.mark.parametrize(("territory", "law"), [("", UNKNOWN), ("US", "may not serve players from US"), ("DE", "")])
async def test_the_seeds_call_for_a_vm_names_the_territory(api: Plane, territory: str, law: str) -> None:
    request = orchestrator_pb2.FindVmRequest(region="local", territory=territory, coordinates=BERLIN)
    async with api.channel(api.operator) as channel:
        found = await orchestrator_pb2_grpc.OrchestratorServiceStub(channel).FindVm(request)
    (told,) = [entry.reason for entry in found.passed_over if entry.region == "local"]
    assert told == (law or "has no VM")


async def test_the_seeds_call_for_a_session_says_where_the_player_is(api: Plane) -> None:
    request = compat_pb2.StartSessionRequest(game_id="demo", territory="DE", coordinates=BERLIN, client_token="t")
    async with api.channel(api.player) as channel, api.world.wakes(subjects.OUTBOX) as commits:
        starting = asyncio.ensure_future(sessions_pb2_grpc.SessionFlowServiceStub(channel).StartSession(request))
        await anext(commits)
        async with api.world.store.reading() as tx:
            session = await tx.sessions.by_client_token(OPERATOR.project_id, "t")
        assert session is not None
        await sessions.stop_session(api.world, OPERATOR, session.id, "")
        with pytest.raises(grpc.aio.AioRpcError):
            await starting
    assert (session.territory, session.coordinates) == ("DE", (52.52, 13.41))


async def test_the_command_line_tells_both(api: Plane, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(api.player)
    where = ["--target", f"127.0.0.1:{api.ports.api}", "--token-file", str(tmp_path / "token")]

    def create(near: str) -> Result:
        words = ["create", "demo", "--territory", "DE", "--near", near, "--queue-timeout", "60", "--output", "json"]
        return CliRunner().invoke(command_line.app, [*words, *where])

    wrong = await asyncio.to_thread(create, "Berlin")
    assert (wrong.exit_code, "no LAT,LON" in wrong.output) == (2, True), wrong.output
    made = await asyncio.to_thread(create, "52.52,13.41")
    assert made.exit_code == 0, made.output
    (session,) = await all_sessions(api)
    assert (session.territory, session.coordinates) == ("DE", (52.52, 13.41))
