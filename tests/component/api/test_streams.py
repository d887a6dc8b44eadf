"""What callers watch, what every gRPC tool expects, and how much the API takes at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from quarterdeck.v1 import accounts_pb2, agent_pb2, events_pb2, sessions_pb2, sessions_pb2_grpc, streaming_pb2

from controlplane.adapters.bus.memory import MemoryBroker, MemoryBus
from controlplane.adapters.store import open_store
from controlplane.api.interceptors import Limits
from controlplane.domain.errors import Unavailable
from controlplane.domain.events import Event, EventDraft
from controlplane.domain.identity import Principal
from controlplane.usecases import accounts
from controlplane.usecases.world import World
from tests.component.api.agents import exited_status, linked, running_status
from tests.component.api.plane import (
    FAST,
    WITHIN_S,
    Caller,
    Plane,
    calling,
    create_session,
    make_game,
    make_host,
    plane,
)
from tests.component.api.refusals import refused
from tests.protos.services import CALLERS

Code = grpc.StatusCode
State = sessions_pb2.SessionState
WANT_STOP = agent_pb2.PlannedSession.WANT_STOP


async def test_a_watched_session_is_told_from_start_to_end(api: Plane, player: Caller, operator: Caller) -> None:
    await make_game(operator)
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key) as agent:
        created = await create_session(player)
        states: list[Any] = []
        async with asyncio.timeout(WITHIN_S):
            async for session in player.sessions.WatchSession(sessions_pb2.WatchSessionRequest(name=created.name)):
                states.append(session.state)
                await agent.until(lambda: bool(agent.plans and agent.plans[-1].sessions))
                if session.state == State.SESSION_STATE_STARTING:
                    await agent.report(running_status(agent.plans[-1].sessions[0]))
                elif session.state == State.SESSION_STATE_RUNNING and len(states) < 3:
                    await player.sessions.StopSession(sessions_pb2.StopSessionRequest(name=created.name))
                elif session.state == State.SESSION_STATE_STOPPING:
                    await agent.until(lambda: agent.plans[-1].sessions[0].want == WANT_STOP)
                    await agent.report(exited_status(agent.plans[-1].sessions[0]))
    assert list(dict.fromkeys(states)) == [
        State.SESSION_STATE_STARTING,
        State.SESSION_STATE_RUNNING,
        State.SESSION_STATE_STOPPING,
        State.SESSION_STATE_STOPPED,
    ]
    assert session.reason == sessions_pb2.SESSION_REASON_STOP_REQUESTED
    assert session.HasField("end_time")
    assert session.HasField("running_duration")


async def test_create_can_wait_until_it_is_playable(api: Plane, player: Caller, operator: Caller) -> None:
    await make_game(operator)
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key) as agent:
        creating = asyncio.create_task(create_session(player, wait_until_playable=True))
        await agent.until(lambda: bool(agent.plans and agent.plans[-1].sessions))
        assert not creating.done()
        await agent.report(running_status(agent.plans[-1].sessions[0]))
        session = await creating
    assert session.state == State.SESSION_STATE_RUNNING
    assert session.stages.HasField("first_frame_time")


async def test_events_are_told_by_type_and_taken_up_again(api: Plane, operator: Caller) -> None:
    async with api.world.store.reading() as tx:
        now = await tx.now()

    def event(number: int, word: str) -> Event:
        draft = EventDraft(f"quarterdeck.{word}", "default", "sessions/s-1", number, {"state": "RUNNING", "n": number})
        return Event(f"e-{number}", now, draft)

    await api.world.bus.publish_event(event(1, "session.running"))
    start = await api.world.bus.resume_token()
    for number, word in ((2, "vm.ready"), (3, "session.stopped"), (4, "session.lost")):
        await api.world.bus.publish_event(event(number, word))
    request = events_pb2.WatchEventsRequest(types=["quarterdeck.session"], resume_token=start)
    async with asyncio.timeout(WITHIN_S):
        watched = aiter(operator.events.WatchEvents(request))
        first = await anext(watched)
        assert (first.event_id, first.type, first.subject) == ("e-3", "quarterdeck.session.stopped", "sessions/s-1")
        assert first.data["n"] == 3
        later = events_pb2.WatchEventsRequest(types=["quarterdeck.session"], resume_token=first.resume_token)
        assert (await anext(aiter(operator.events.WatchEvents(later)))).event_id == "e-4"


async def test_a_resume_token_that_is_none_is_refused(operator: Caller) -> None:
    call = operator.events.WatchEvents(events_pb2.WatchEventsRequest(resume_token="nonsense"))
    refusal = await refused(anext(aiter(call)))
    assert refusal.code in (Code.INVALID_ARGUMENT, Code.NOT_FOUND)
    assert refusal.reason


@pytest.mark.parametrize("service", ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"])
async def test_reflection_describes_the_api_without_a_token(api: Plane, service: str) -> None:
    async with api.channel() as channel:
        call = channel.stream_stream(
            f"/{service}/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        asked = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="quarterdeck.v1.SessionService"),
        ]
        answers = [answer async for answer in call(iter(asked))]
    listed = {entry.name for entry in answers[0].list_services_response.service}
    assert {name for name in listed if name.startswith("quarterdeck.")} == CALLERS
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(each)
        for each in answers[1].file_descriptor_response.file_descriptor_proto
    ]
    assert "quarterdeck/v1/sessions.proto" in {file.name for file in files}


async def test_health_is_told_without_a_token_and_ends_with_the_server(api: Plane) -> None:
    async with api.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", *CALLERS):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        watched = aiter(stub.Watch(health_pb2.HealthCheckRequest()))
        assert (await anext(watched)).status == health_pb2.HealthCheckResponse.SERVING
        stopping = asyncio.create_task(api.server.stop(1.0))
        async with asyncio.timeout(WITHIN_S):
            assert (await anext(watched)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await stopping


async def test_agents_services_are_not_on_the_api_port(player: Caller) -> None:
    call = player.channel.unary_unary(
        "/quarterdeck.v1.AgentLinkService/FetchSpecs",
        agent_pb2.FetchSpecsRequest.SerializeToString,
        agent_pb2.FetchSpecsResponse.FromString,
    )
    assert (await refused(call(agent_pb2.FetchSpecsRequest()))).code is Code.UNIMPLEMENTED


@asynccontextmanager
async def narrow(directory: Path, broker: MemoryBroker, limits: Limits) -> AsyncIterator[Plane]:
    async with (
        MemoryBus(broker) as bus,
        plane(open_store("memory://"), bus, directory / "ca", replace(FAST, limits=limits)) as running,
    ):
        yield running


async def test_more_requests_than_we_take_are_told_when_to_come_again(
    tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer, authenticate = asyncio.Semaphore(0), asyncio.Event(), accounts.authenticate

    async def slow(world: World, token: str) -> Principal:
        asked.release()
        await answer.wait()
        return await authenticate(world, token)

    get = accounts_pb2.GetAccountRequest()
    async with (
        narrow(tmp_path, broker, Limits(unary_in_flight=2)) as running,
        calling(running, running.operator) as caller,
        calling(running, running.player) as other,
    ):
        monkeypatch.setattr(accounts, "authenticate", slow)
        held = [asyncio.ensure_future(each.accounts.GetAccount(get)) for each in (caller, other)]
        for _ in held:
            await asked.acquire()
        refusal = await refused(caller.accounts.GetAccount(get))
        assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS")
        assert refusal.retry_s == 1.0
        async with running.channel() as channel:
            health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert health.status == health_pb2.HealthCheckResponse.SERVING
        answer.set()
        await asyncio.gather(*held)
        await caller.accounts.GetAccount(get)  # what is over makes room again


async def test_a_caller_has_a_share_of_the_streams_whatever_connections_they_come_by(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    limits = Limits(open_streams=4, open_streams_each=2)
    async with (
        narrow(tmp_path, broker, limits) as running,
        calling(running, running.operator) as operator,
        calling(running, running.player) as player,
        running.channel() as gateway,  # carries streams of both
    ):
        await make_game(operator)
        watch = sessions_pb2.WatchSessionRequest(name=(await create_session(player)).name)
        carried = sessions_pb2_grpc.SessionServiceStub(gateway).WatchSession

        def own() -> Any:
            return aiter(player.sessions.WatchSession(watch))

        def through_gateway(token: str) -> Any:
            return aiter(carried(watch, metadata=(("authorization", f"Bearer {token}"),)))

        held = [own(), through_gateway(running.player)]
        for stream in held:
            await anext(stream)
        for more in (own(), through_gateway(running.player)):
            refusal = await refused(anext(more))
            assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS")
            assert "you have 2 streams at once" in refusal.message
            assert refusal.retry_s == 1.0
        others = through_gateway(running.operator)
        await anext(others)
        await player.accounts.GetAccount(accounts_pb2.GetAccountRequest())
        # What is over makes room again.
        await operator.sessions.StopSession(sessions_pb2.StopSessionRequest(name=watch.name))
        async with asyncio.timeout(WITHIN_S):
            for stream in (*held, others):
                assert [session.state async for session in stream][-1] == State.SESSION_STATE_STOPPED
        assert await anext(own())


async def test_an_open_stream_survives_a_database_that_is_away(
    api: Plane, player: Caller, operator: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_game(operator)
    created = await create_session(player)
    watched = aiter(player.sessions.WatchSession(sessions_pb2.WatchSessionRequest(name=created.name)))
    await anext(watched)
    asked = asyncio.Event()

    async def away(*_: object) -> None:
        asked.set()
        raise Unavailable("DATABASE_AWAY", "the database is away")

    with monkeypatch.context() as patched:
        patched.setattr("controlplane.usecases.accounts.authenticate", away)
        async with asyncio.timeout(WITHIN_S):
            await asked.wait()
    await operator.sessions.StopSession(sessions_pb2.StopSessionRequest(name=created.name))
    async with asyncio.timeout(WITHIN_S):
        assert (await anext(watched)).state == State.SESSION_STATE_STOPPED


async def test_a_port_that_is_taken_is_an_error(api: Plane, tmp_path: Path, broker: MemoryBroker) -> None:
    with pytest.raises(OSError, match="cannot listen on"):
        async with (
            MemoryBus(broker) as bus,
            plane(open_store("memory://"), bus, tmp_path / "ca", replace(FAST, port=api.ports.api)),
        ):
            pass


async def test_a_stopping_server_ends_watchers_and_channels(api: Plane, player: Caller, operator: Caller) -> None:
    await make_game(operator)
    created = await create_session(player)
    watched = aiter(player.sessions.WatchSession(sessions_pb2.WatchSessionRequest(name=created.name)))
    await anext(watched)
    signalling = player.streaming.Signal()
    await signalling.write(streaming_pb2.SignalRequest(stream_token="waits"))
    async with asyncio.timeout(WITHIN_S):
        await api.server.stop(5.0)
        refusal = await refused(anext(watched))
    assert (refusal.code, refusal.reason) == (Code.UNAVAILABLE, "SERVER_STOPPING")
