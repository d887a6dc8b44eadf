"""The console over the API: what the host says, who may ask, and what an action types."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from quarterdeck.v1 import agent_pb2, console_pb2, console_pb2_grpc, games_pb2, sessions_pb2

from tests.component.api.agents import Agent, linked
from tests.component.api.plane import WITHIN_S, Caller, Plane, create_session, make_game, make_host
from tests.component.api.refusals import refusal_of

Code = grpc.StatusCode
SECRET = "correct horse battery"


def consoles(caller: Caller) -> Any:
    return console_pb2_grpc.ConsoleServiceStub(caller.channel)


def output(*lines: tuple[int, str]) -> console_pb2.ConsoleOutput:
    return console_pb2.ConsoleOutput(lines=[console_pb2.ConsoleLine(sequence=n, text=t) for n, t in lines])


async def answer_input(agent: Agent, sequence: int) -> agent_pb2.ChannelOpen:
    known = len(agent.opened)
    await agent.until(lambda: len(agent.opened) > known)
    opened = agent.opened[-1]
    taken = agent_pb2.ConsoleTaken(sequence=sequence)
    await agent.send(signal=agent_pb2.ChannelSignal(channel_id=opened.channel_id, console_taken=taken))
    return opened


async def configured(operator: Caller) -> None:
    """A deployment with a secret, a file and an action."""
    deployment = games_pb2.Deployment(
        command=["/usr/games/arena"],
        picture=games_pb2.PICTURE_FRAMES,
        parameters=[
            games_pb2.Parameter(parameter_name="password", type=games_pb2.PARAMETER_TYPE_SECRET),
            games_pb2.Parameter(parameter_name="slots", type=games_pb2.PARAMETER_TYPE_INTEGER, default_value="8"),
        ],
        volumes=[games_pb2.Volume(volume_name="config", path="data")],
        files=[games_pb2.ConfigFile(volume="config", path="server.json", format=games_pb2.FILE_FORMAT_JSON)],
        actions=[games_pb2.Action(action_name="announce", lines=["say {{text}} ({{slots}} slots)"])],
    )
    deployment.actions[0].parameters.add(parameter_name="text", type=games_pb2.PARAMETER_TYPE_STRING)
    deployment.files[0].content.update({"slots": "{{slots}}", "password": "{{password}}"})
    await operator.games.CreateDeployment(games_pb2.CreateDeploymentRequest(parent="games/demo", deployment=deployment))


async def test_output_comes_numbered_and_ends_with_the_game(api: Plane, operator: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    await make_game(operator)
    async with linked(api, key) as agent:
        session = await create_session(operator)
        call = consoles(operator).StreamConsole(
            console_pb2.StreamConsoleRequest(session=session.name, after_sequence=4)
        )
        await agent.until(lambda: bool(agent.opened))
        opened = agent.opened[-1]
        assert opened.console.after_sequence == 4
        printed = output((5, "hello"), (6, "world"))
        await agent.send(signal=agent_pb2.ChannelSignal(channel_id=opened.channel_id, console_output=printed))
        async with asyncio.timeout(WITHIN_S):
            assert await call.read() == printed
        await operator.sessions.StopSession(sessions_pb2.StopSessionRequest(name=session.name))
        close = agent_pb2.ChannelSignal(channel_id=opened.channel_id)
        close.signal.close.reason = "the session's wrapper ended the channel"
        await agent.send(signal=close)
        async with asyncio.timeout(WITHIN_S):
            assert await call.read() is grpc.aio.EOF
            assert await call.code() is Code.OK


async def test_lines_and_actions_reach_the_host_and_secrets_stay(api: Plane, operator: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    await make_game(operator)
    await configured(operator)
    async with linked(api, key) as agent:
        session = await operator.sessions.CreateSession(
            sessions_pb2.CreateSessionRequest(game="games/demo", parameters={"password": SECRET})
        )
        answering = asyncio.create_task(answer_input(agent, 7))
        answer = await consoles(operator).SendConsoleInput(
            console_pb2.SendConsoleInputRequest(session=session.name, lines=["list"])
        )
        assert answer.sequence == 7
        assert list((await answering).console.lines) == ["list"]

        answering = asyncio.create_task(answer_input(agent, 9))
        request = console_pb2.ExecuteActionRequest(session=session.name, action="announce")
        request.parameters["text"] = "hi"
        assert (await consoles(operator).ExecuteAction(request)).sequence == 9
        assert list((await answering).console.lines) == ["say hi (8 slots)"]

        # The host alone gets the secret.
        await agent.until(lambda: bool(agent.plans and agent.plans[-1].sessions))
        digest = agent.plans[-1].sessions[0].spec_digest
        specs = await agent.stub.FetchSpecs(agent_pb2.FetchSpecsRequest(digests=[digest]))
        assert SECRET.encode() in specs.specs[digest]
        shown = await operator.sessions.GetSessionConfiguration(
            sessions_pb2.GetSessionConfigurationRequest(name=session.name)
        )
        assert '"password": "********"' in shown.files[0].text
        assert shown.parameters["slots"] == "8"
        name = "games/demo/deployments/2"
        deployment = await operator.games.GetDeployment(games_pb2.GetDeploymentRequest(name=name))
        preview = await operator.games.PreviewDeployment(
            games_pb2.PreviewDeploymentRequest(name=name, parameters={"password": SECRET, "slots": "3"})
        )
        assert '"slots": 3' in preview.files[0].text
        for message in (shown, deployment, preview, session):
            assert SECRET not in str(message)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [({}, "PARAMETER_MISSING"), ({"password": "x", "slots": "many"}, "PARAMETER_INVALID"),
     ({"password": "x", "nope": "1"}, "PARAMETER_UNKNOWN")],
)  # fmt: skip
async def test_a_session_whose_parameters_do_not_fit_is_not_created(
    api: Plane, operator: Caller, parameters: dict[str, str], reason: str
) -> None:
    await make_game(operator)
    await configured(operator)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await operator.sessions.CreateSession(
            sessions_pb2.CreateSessionRequest(game="games/demo", parameters=parameters)
        )
    assert (refused.value.code(), refusal_of(refused.value).reason) == (Code.INVALID_ARGUMENT, reason)


async def test_players_have_no_console(api: Plane, operator: Caller, player: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    await make_game(operator)
    async with linked(api, key):
        session = await create_session(operator)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await consoles(player).SendConsoleInput(
                console_pb2.SendConsoleInputRequest(session=session.name, lines=["op me"])
            )
        assert refused.value.code() is Code.PERMISSION_DENIED
