"""The gRPC listeners and those who come without a call: a connection that says nothing does not stay."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from quarterdeck.v1 import sessions_pb2

from controlplane.adapters.bus.memory import MemoryBroker, MemoryBus
from controlplane.adapters.store import open_store
from controlplane.api.server import ENROLMENT_BOUNDS
from tests.component.api.plane import FAST, Plane, calling, create_session, make_game, plane
from tests.component.api.refusals import refused
from tests.component.api.test_signalling import Browser, token_for

WITHIN_S = 60.0


async def test_a_connection_that_says_nothing_does_not_stay(api: Plane) -> None:
    ports = (api.ports.api, api.ports.enrolment, api.ports.link)
    silent = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for port in ports))
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*(ended(reader) for reader, _ in silent))
    for _, writer in silent:
        writer.close()


async def test_enrolment_takes_few_connections_at_once(api: Plane) -> None:
    guests = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", api.ports.enrolment) for _ in range(300)))
    shown_out = {asyncio.ensure_future(ended(reader)) for reader, _ in guests}
    async with asyncio.timeout(WITHIN_S):
        while len([one for one in shown_out if one.done()]) < 300 - ENROLMENT_BOUNDS.connections:
            await asyncio.wait({one for one in shown_out if not one.done()}, return_when=asyncio.FIRST_COMPLETED)
    still = [one for one in shown_out if not one.done()]
    for one in still:
        one.cancel()
    for _, writer in guests:
        writer.close()
    assert still


async def test_streams_that_ask_nobody_who_he_is_are_few_and_take_no_place_of_others(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    options = replace(FAST, limits=replace(FAST.limits, strangers_streams=2))
    async with MemoryBus(broker) as bus, plane(open_store("memory://"), bus, tmp_path / "ca", options) as running:
        async with running.channel() as channel:
            health = health_pb2_grpc.HealthStub(channel)
            watching = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
            for one in watching:
                assert (await one.read()).status == health_pb2.HealthCheckResponse.SERVING
            refusal = await refused(health.Watch(health_pb2.HealthCheckRequest()).read())
            assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (await health.Check(health_pb2.HealthCheckRequest())).status == (
                health_pb2.HealthCheckResponse.SERVING
            )
        async with calling(running, running.operator) as operator:
            await make_game(operator)
            created = await create_session(operator)
            watched = operator.sessions.WatchSession(sessions_pb2.WatchSessionRequest(name=created.name))
            assert (await watched.read()).name == created.name


async def test_signalling_takes_a_place_of_those_who_have_a_token_when_its_token_has_come(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    options = replace(FAST, limits=replace(FAST.limits, arriving_streams=1, open_streams=1))
    async with (
        MemoryBus(broker) as bus,
        plane(open_store("memory://"), bus, tmp_path / "ca", options) as running,
        calling(running, running.operator) as operator,
    ):
        await make_game(operator)
        created = await create_session(operator)
        token = await token_for(operator, created)
        silent = Browser(operator)
        assert (await Browser(operator).end()).reason == "TOO_MANY_REQUESTS"
        watched = operator.sessions.WatchSession(sessions_pb2.WatchSessionRequest(name=created.name))
        assert (await watched.read()).name == created.name
        await silent.enter(token)
        assert (await silent.end()).reason == "TOO_MANY_REQUESTS"
        another = Browser(operator)
        await another.enter(token)
        assert (await another.end()).reason == "STREAM_TOKEN_SPENT"


async def ended(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionResetError):
        while await reader.read(1024):
            pass
