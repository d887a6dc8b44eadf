"""Signalling: a browser finds its session's host through whichever replica holds the host's stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from quarterdeck.v1 import agent_pb2, sessions_pb2, streaming_pb2

from controlplane.adapters.bus.jetstream import JetStreamBus
from controlplane.adapters.bus.memory import MemoryBroker, MemoryBus
from controlplane.adapters.store import open_store
from controlplane.adapters.store.schema import migrate
from controlplane.interfaces import Bus, Store
from tests.component.api.agents import Agent, exited_status, linked
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
    processing,
)
from tests.component.api.refusals import refusal_of, refused
from tests.conftest import NatsServer

Code = grpc.StatusCode


def offer(sdp: str = "v=0 offer") -> streaming_pb2.Signal:
    return streaming_pb2.Signal(description=streaming_pb2.SessionDescription(type="offer", sdp=sdp))


def candidate(text: str) -> streaming_pb2.Signal:
    return streaming_pb2.Signal(candidate=streaming_pb2.IceCandidate(candidate=text))


class Browser:
    """One signalling call."""

    def __init__(self, caller: Caller) -> None:
        self.call: Any = caller.streaming.Signal()

    async def enter(self, token: str) -> None:
        await self.call.write(streaming_pb2.SignalRequest(stream_token=token))

    async def say(self, signal: streaming_pb2.Signal) -> None:
        await self.call.write(streaming_pb2.SignalRequest(signal=signal))

    async def hear(self) -> streaming_pb2.Signal:
        async with asyncio.timeout(WITHIN_S):
            answer = await self.call.read()
        assert answer is not grpc.aio.EOF, f"{await self.call.code()}: {await self.call.details()}"
        signal: streaming_pb2.Signal = answer.signal
        return signal

    async def told_to_come_again(self) -> bool:
        """Whichever end notices first that the host's stream has moved: the replica that held it closes the channel,
        the one that the browser is connected to refuses to go on."""
        try:
            return "connect again" in (await self.hear()).close.reason
        except grpc.aio.AioRpcError as error:
            return refusal_of(error).reason == "HOST_UNREACHABLE"

    async def end(self) -> Any:
        """How the call ends, once nothing more is said."""

        async def read() -> None:
            async with asyncio.timeout(WITHIN_S):
                while await self.call.read() is not grpc.aio.EOF:
                    pass
            code = await self.call.code()
            if code is not Code.OK:
                raise AssertionError(f"ended with {code} and no error")

        return await refused(read())


async def token_for(caller: Caller, session: sessions_pb2.Session, role: int = 0) -> str:
    request = streaming_pb2.CreateStreamTokenRequest(session=session.name, role=role)  # type: ignore[arg-type]
    made = await caller.streaming.CreateStreamToken(request)
    assert made.signalling_path == "/v1/signalling"
    token: str = made.token
    return token


async def converse(browser: Browser, token: str, agent: Agent) -> None:
    """Both sides say something and hear it."""
    await browser.enter(token)
    await agent.until(lambda: bool(agent.opened))
    opened = agent.opened[-1]
    await agent.send(signal=agent_pb2.ChannelSignal(channel_id=opened.channel_id, signal=offer()))
    assert (await browser.hear()).description.sdp == "v=0 offer"
    for text in ("a", "b", "c"):
        await browser.say(candidate(text))
    await agent.until(lambda: len(agent.signals) >= 3)
    assert [signal.signal.candidate.candidate for signal in agent.signals] == ["a", "b", "c"]
    assert {signal.channel_id for signal in agent.signals} == {opened.channel_id}


@pytest.fixture
async def session(api: Plane, operator: Caller, player: Caller) -> AsyncIterator[tuple[sessions_pb2.Session, Agent]]:
    key = await make_host(api, operator, "vm-1")
    await make_game(operator)
    async with linked(api, key) as agent:
        yield await create_session(player), agent


async def test_a_channel_carries_both_ways_and_closes(
    player: Caller, session: tuple[sessions_pb2.Session, Agent]
) -> None:
    created, agent = session
    browser = Browser(player)
    await converse(browser, await token_for(player, created), agent)
    opened = agent.opened[-1]
    assert (f"sessions/{opened.session_id}", opened.role) == (created.name, streaming_pb2.STREAM_ROLE_PLAYER)
    await browser.call.done_writing()
    await agent.until(lambda: len(agent.signals) >= 4)
    assert agent.signals[-1].signal.HasField("close")
    assert await browser.call.code() is Code.OK


async def test_the_wrappers_close_reaches_the_browser(
    player: Caller, session: tuple[sessions_pb2.Session, Agent]
) -> None:
    created, agent = session
    browser = Browser(player)
    await converse(browser, await token_for(player, created, streaming_pb2.STREAM_ROLE_VIEWER), agent)
    opened = agent.opened[-1]
    assert opened.role == streaming_pb2.STREAM_ROLE_VIEWER
    bye = streaming_pb2.Signal(close=streaming_pb2.SignalClose(reason="the game has ended"))
    await agent.send(signal=agent_pb2.ChannelSignal(channel_id=opened.channel_id, signal=bye))
    assert (await browser.hear()).close.reason == "the game has ended"
    assert await browser.call.code() is Code.OK


async def test_a_stream_token_works_once(player: Caller, session: tuple[sessions_pb2.Session, Agent]) -> None:
    created, agent = session
    token = await token_for(player, created)
    first = Browser(player)
    await first.enter(token)
    await agent.until(lambda: len(agent.opened) == 1)
    second = Browser(player)
    await second.enter(token)
    refusal = await second.end()
    assert (refusal.code, refusal.reason) == (Code.UNAUTHENTICATED, "STREAM_TOKEN_SPENT")
    assert len(agent.opened) == 1


@pytest.mark.parametrize("token", ["nonsense", ""])
async def test_a_made_up_stream_token_is_refused(player: Caller, token: str) -> None:
    browser = Browser(player)
    await browser.enter(token)
    refusal = await browser.end()
    assert (refusal.code, refusal.reason) == (Code.UNAUTHENTICATED, "STREAM_TOKEN_INVALID")


async def test_an_expired_stream_token_is_refused(
    api: Plane, player: Caller, session: tuple[sessions_pb2.Session, Agent]
) -> None:
    created, _ = session
    async with api.world.store.reading() as tx:
        now = await tx.now()
    token = api.world.stream_tokens.sign(created.name.removeprefix("sessions/"), "PLAYER", now, "t-1")
    browser = Browser(player)
    await browser.enter(token)
    refusal = await browser.end()
    assert (refusal.code, refusal.reason) == (Code.UNAUTHENTICATED, "STREAM_TOKEN_EXPIRED")


async def test_a_channel_begins_with_a_token(player: Caller) -> None:
    browser = Browser(player)
    await browser.say(offer())
    refusal = await browser.end()
    assert (refusal.code, refusal.fields) == (Code.INVALID_ARGUMENT, ("stream_token",))


async def test_an_oversized_description_is_named(player: Caller, session: tuple[sessions_pb2.Session, Agent]) -> None:
    created, agent = session
    browser = Browser(player)
    await converse(browser, await token_for(player, created), agent)
    await browser.say(offer("x" * 70_000))
    refusal = await browser.end()
    assert (refusal.code, refusal.fields) == (Code.INVALID_ARGUMENT, ("signal.description.sdp",))


async def test_a_host_without_a_link_is_unreachable(
    player: Caller, session: tuple[sessions_pb2.Session, Agent]
) -> None:
    created, agent = session
    token = await token_for(player, created)
    await agent.send(goodbye=agent_pb2.Goodbye(reason="away"))
    await agent.ended()
    browser = Browser(player)
    await browser.enter(token)
    refusal = await browser.end()
    assert (refusal.code, refusal.reason) == (Code.UNAVAILABLE, "HOST_UNREACHABLE")
    assert refusal.retry_s == 1.0


@pytest.mark.parametrize("options", [replace(FAST, channels=replace(FAST.channels, answer_within_s=1.0))])
async def test_a_wrapper_that_says_nothing_is_unreachable(
    player: Caller, session: tuple[sessions_pb2.Session, Agent]
) -> None:
    created, agent = session
    browser = Browser(player)
    await browser.enter(await token_for(player, created))
    await agent.until(lambda: bool(agent.opened))
    refusal = await browser.end()
    assert (refusal.code, refusal.reason) == (Code.UNAVAILABLE, "HOST_UNREACHABLE")
    await agent.until(lambda: bool(agent.signals))
    assert agent.signals[-1].signal.HasField("close")


async def test_the_links_end_closes_its_channels(player: Caller, session: tuple[sessions_pb2.Session, Agent]) -> None:
    created, agent = session
    browser = Browser(player)
    await converse(browser, await token_for(player, created), agent)
    await agent.close()
    assert "connect again" in (await browser.hear()).close.reason


async def test_no_host_answers_for_another(
    api: Plane, operator: Caller, player: Caller, session: tuple[sessions_pb2.Session, Agent]
) -> None:
    created, agent = session
    other = await make_host(api, operator, "vm-2")
    browser = Browser(player)
    await browser.enter(await token_for(player, created))
    await agent.until(lambda: bool(agent.opened))
    channel_id = agent.opened[-1].channel_id
    async with linked(api, other) as intruder:
        await intruder.send(signal=agent_pb2.ChannelSignal(channel_id=channel_id, signal=offer("forged")))
        await intruder.report()
        await intruder.until(lambda: bool(intruder.acks))  # so the forged signal has been read before
        await agent.send(signal=agent_pb2.ChannelSignal(channel_id=channel_id, signal=offer("true")))
        assert (await browser.hear()).description.sdp == "true"


async def test_a_session_takes_only_so_many_channels(
    player: Caller, session: tuple[sessions_pb2.Session, Agent]
) -> None:
    created, agent = session
    browsers = []
    for count in range(1, 9):
        browsers.append(Browser(player))
        await browsers[-1].enter(await token_for(player, created))
        await agent.until(lambda count=count: len(agent.opened) == count)  # type: ignore[misc]
    one_more = Browser(player)
    await one_more.enter(await token_for(player, created))
    refusal = await one_more.end()
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_CHANNELS")


async def test_a_finished_session_ends_its_channel(player: Caller, session: tuple[sessions_pb2.Session, Agent]) -> None:
    created, agent = session
    browser = Browser(player)
    await converse(browser, await token_for(player, created), agent)
    await player.sessions.StopSession(sessions_pb2.StopSessionRequest(name=created.name))
    await agent.until(lambda: agent.plans[-1].sessions[0].want == agent_pb2.PlannedSession.WANT_STOP)
    await agent.report(exited_status(agent.plans[-1].sessions[0]))
    refusal = await browser.end()
    assert (refusal.code, refusal.reason) == (Code.FAILED_PRECONDITION, "SESSION_FINISHED")


@asynccontextmanager
async def two_replicas(store: Store, buses: tuple[Bus, Bus], directory: Path) -> AsyncIterator[tuple[Plane, Plane]]:
    async with (
        plane(store, buses[0], directory, replace(FAST, replica_id="one")) as one,
        plane(store, buses[1], directory, replace(FAST, replica_id="two")) as two,
        processing(one.world),
    ):
        yield one, two


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def replicas(
    request: pytest.FixtureRequest, tmp_path: Path, broker: MemoryBroker
) -> AsyncIterator[tuple[Plane, Plane]]:
    """Two API replicas on one database: in memory, and on SQLite and PostgreSQL with a real NATS."""
    if request.param == "memory":
        async with (
            MemoryBus(broker) as first,
            MemoryBus(broker) as second,
            two_replicas(open_store("memory://"), (first, second), tmp_path / "ca") as both,
        ):
            yield both
        return
    nats: NatsServer = request.getfixturevalue("own_nats_server")
    url: str = request.getfixturevalue(f"{request.param}_url")
    await asyncio.to_thread(migrate, url)
    store = open_store(url)
    try:
        async with JetStreamBus([nats.url]) as first, JetStreamBus([nats.url]) as second:
            await first.wait_connected(WITHIN_S)
            await second.wait_connected(WITHIN_S)
            async with two_replicas(store, (first, second), tmp_path / "ca") as both:
                yield both
    finally:
        await store.close()


async def test_signalling_finds_its_way_through_the_other_replica(replicas: tuple[Plane, Plane]) -> None:
    one, two = replicas
    async with calling(one, one.operator) as operator, calling(two, two.player) as player:
        key = await make_host(one, operator, "vm-1")
        await make_game(operator)
        async with linked(one, key) as agent:
            created = await create_session(player)
            assert created.vm == "vms/vm-1"
            await agent.until(lambda: bool(agent.plans and agent.plans[-1].sessions))
            browser = Browser(player)
            await converse(browser, await token_for(player, created), agent)
            opened = agent.opened[-1]
            bye = streaming_pb2.Signal(close=streaming_pb2.SignalClose(reason="over"))
            await agent.send(signal=agent_pb2.ChannelSignal(channel_id=opened.channel_id, signal=bye))
            assert (await browser.hear()).close.reason == "over"


async def test_a_link_that_moves_to_another_replica_ends_the_old_one_and_its_channels(
    replicas: tuple[Plane, Plane],
) -> None:
    one, two = replicas
    async with calling(one, one.operator) as operator, calling(one, one.player) as player:
        key = await make_host(one, operator, "vm-1")
        await make_game(operator)
        async with linked(one, key) as agent:
            created = await create_session(player)
            browser = Browser(player)
            await converse(browser, await token_for(player, created), agent)
            async with linked(two, key) as moved:
                assert moved.epoch == agent.epoch
                assert (await agent.ended())[0] is Code.ABORTED
                assert await browser.told_to_come_again()
                again = Browser(player)
                await converse(again, await token_for(player, created), moved)


async def test_a_replica_that_dies_hands_its_hosts_to_the_other(replicas: tuple[Plane, Plane]) -> None:
    one, two = replicas
    async with calling(two, two.operator) as operator, calling(two, two.player) as player:
        key = await make_host(two, operator, "vm-1")
        await make_game(operator)
        async with linked(one, key) as agent:
            created = await create_session(player)
            browser = Browser(player)
            await converse(browser, await token_for(player, created), agent)
            await one.server.stop(0)
            assert (await agent.ended())[0] is Code.UNAVAILABLE
            async with linked(two, key) as moved:
                assert moved.epoch == agent.epoch
                again = Browser(player)
                await converse(again, await token_for(player, created), moved)
