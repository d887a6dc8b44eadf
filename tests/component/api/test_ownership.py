"""Players see, stop and stream their own sessions and play with their own saves; operators see the whole project's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from quarterdeck.v1 import events_pb2, games_pb2, saves_pb2, saves_pb2_grpc, sessions_pb2, streaming_pb2

from controlplane.domain.identity import Role
from controlplane.usecases import accounts
from tests.component.api.agents import linked
from tests.component.api.plane import OPERATOR, Caller, Plane, calling, create_session, make_game, make_host
from tests.component.api.refusals import refused

Code = grpc.StatusCode


@pytest.fixture
async def other(api: Plane) -> AsyncIterator[Caller]:
    """Another player of the same project."""
    token, _ = await accounts.create_token(api.world, OPERATOR, "other", Role.PLAYER, None, "")
    async with calling(api, token) as caller:
        yield caller


async def listed(caller: Caller) -> set[str]:
    return {one.name for one in (await caller.sessions.ListSessions(sessions_pb2.ListSessionsRequest())).sessions}


async def test_a_player_sees_stops_and_streams_only_his_own_sessions(
    api: Plane, operator: Caller, player: Caller, other: Caller
) -> None:
    await make_game(operator)
    mine, theirs = await create_session(player), await create_session(other)
    assert await listed(player) == {mine.name}
    assert await listed(other) == {theirs.name}
    assert await listed(operator) == {mine.name, theirs.name}
    for call in (
        player.sessions.GetSession(sessions_pb2.GetSessionRequest(name=theirs.name)),
        player.sessions.StopSession(sessions_pb2.StopSessionRequest(name=theirs.name)),
        player.streaming.CreateStreamToken(
            streaming_pb2.CreateStreamTokenRequest(session=theirs.name, role=streaming_pb2.STREAM_ROLE_VIEWER)
        ),
        anext(aiter(player.sessions.WatchSession(sessions_pb2.WatchSessionRequest(name=theirs.name)))),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "SESSION_NOT_FOUND")
    stopped = await operator.sessions.StopSession(sessions_pb2.StopSessionRequest(name=theirs.name))
    assert stopped.name == theirs.name
    own = await player.streaming.CreateStreamToken(
        streaming_pb2.CreateStreamTokenRequest(session=mine.name, role=streaming_pb2.STREAM_ROLE_VIEWER)
    )
    assert own.token  # to be given to a friend who may look on


async def test_a_player_is_told_what_happened_to_his_own_sessions_and_an_operator_all_of_it(
    operator: Caller, player: Caller, other: Caller
) -> None:
    await make_game(operator)
    mine, theirs = await create_session(player), await create_session(other)

    async def told(caller: Caller, **wish: Any) -> list[str]:
        found: list[str] = []
        request = events_pb2.ListEventsRequest(page_size=1, types=["quarterdeck.session"], **wish)
        while True:
            answer = await caller.events.ListEvents(request)
            found += [event.subject for event in answer.events]
            request.page_token = answer.next_page_token
            if not request.page_token:
                return found

    assert await told(player) == [mine.name]
    assert await told(player, subjects=[theirs.name]) == []
    assert await told(operator) == [theirs.name, mine.name]
    assert await told(operator, oldest_first=True) == [mine.name, theirs.name]
    assert await told(operator, subjects=[mine.name, "vms"]) == [mine.name]
    first = await operator.events.ListEvents(events_pb2.ListEventsRequest(page_size=1))
    turned = events_pb2.ListEventsRequest(page_token=first.next_page_token, oldest_first=True)
    refusal = await refused(operator.events.ListEvents(turned))
    assert (refusal.code, refusal.fields) == (Code.INVALID_ARGUMENT, ("page_token",))


async def test_a_client_token_is_its_player_s_own_whoever_else_has_used_it(
    operator: Caller, player: Caller, other: Caller
) -> None:
    await make_game(operator)
    request = sessions_pb2.CreateSessionRequest(game="games/demo", client_token="same")
    made = await asyncio.gather(*(one.sessions.CreateSession(request) for one in (player, other, player, other)))
    mine, theirs = made[0].name, made[1].name
    assert [one.name for one in made] == [mine, theirs, mine, theirs]
    assert mine != theirs
    assert (await listed(player), await listed(other)) == ({mine}, {theirs})
    for caller, name in ((player, mine), (other, theirs)):
        assert (await caller.sessions.CreateSession(request)).name == name
        another = sessions_pb2.CreateSessionRequest(game="games/demo", client_token="same", region="local")
        refusal = await refused(caller.sessions.CreateSession(another))
        assert (refusal.code, refusal.reason) == (Code.ALREADY_EXISTS, "CLIENT_TOKEN_MISMATCH")
        assert name in refusal.message


async def test_a_save_is_the_players_who_made_it(api: Plane, operator: Caller, player: Caller, other: Caller) -> None:
    await operator.games.CreateGame(
        games_pb2.CreateGameRequest(game_id="island", game=games_pb2.Game(display_name="Island"))
    )
    deployment = games_pb2.Deployment(command=["island"], picture=games_pb2.PICTURE_FRAMES)
    deployment.volumes.add(volume_name="world", path="world")
    deployment.saves.volumes.append("world")
    await operator.games.CreateDeployment(
        games_pb2.CreateDeploymentRequest(parent="games/island", deployment=deployment)
    )
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key):
        await create_session(player, "island", save_id="alices")
        await create_session(operator, "island", save_id="shared")
        request = sessions_pb2.CreateSessionRequest(game="games/island", save_id="alices")
        refusal = await refused(other.sessions.CreateSession(request))
        assert (refusal.code, refusal.reason, refusal.fields) == (
            Code.PERMISSION_DENIED, "SAVE_NOT_YOURS", ("save_id",)
        )  # fmt: skip
    seen = {}
    for caller in (player, other, operator):
        stub = saves_pb2_grpc.SaveServiceStub(caller.channel)
        seen[caller] = {save.name for save in (await stub.ListSaves(saves_pb2.ListSavesRequest())).saves}
        if caller is other:
            refusal = await refused(stub.GetSave(saves_pb2.GetSaveRequest(name="saves/alices")))
            assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "SAVE_NOT_FOUND")
    assert seen[player] == seen[operator] == {"saves/alices", "saves/shared"}
    assert seen[other] == {"saves/shared"}
