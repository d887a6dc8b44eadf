"""Every committed event is in the stream exactly once, whatever dies on the way."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from contextlib import asynccontextmanager

import nats
import pytest

from controlplane.adapters.bus import codec
from controlplane.adapters.bus.jetstream import JetStreamBus
from controlplane.adapters.bus.streams import EVENTS
from controlplane.domain import subjects
from controlplane.domain.errors import Unavailable
from controlplane.domain.events import EventDraft
from controlplane.processor.relay import Relay
from tests.component.processor.conftest import commit

PATIENCE_S = 60


@asynccontextmanager
async def running(*relays: Relay):
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def stream(server) -> list[int]:
    """The numbers of the events in the stream, in its order, read by another client."""
    client = await nats.connect(server.url)
    try:
        js = client.jetstream()
        total = (await js.stream_info(EVENTS)).state.messages
        subscription = await js.pull_subscribe("quarterdeck.event.>", stream=EVENTS)
        numbers: list[int] = []
        while len(numbers) < total:
            batch = await subscription.fetch(min(500, total - len(numbers)), timeout=5)
            numbers += [codec.decode_event(message.data).draft.subject_version for message in batch]
        return numbers
    finally:
        await client.close()


async def settled(server, total: int) -> list[int]:
    """The stream once it has `total` events."""
    async with asyncio.timeout(PATIENCE_S):
        while len(numbers := await stream(server)) < total:
            await asyncio.sleep(0.1)
    return numbers


async def waiting(store) -> int:
    """How many events no relay has marked, whoever leases them."""
    async with store.tx() as tx:
        return len(await tx.outbox.claim(100_000, 0))


async def test_a_thousand_in_are_a_thousand_in_the_stream(store, bus, metrics, own_nats_server):
    await commit(store, 0, 1000)
    async with running(Relay(store, bus, metrics)):
        numbers = await settled(own_nats_server, 1000)
    assert sorted(numbers) == list(range(1000))
    assert await waiting(store) == 0


async def test_a_committed_event_wakes_the_relay(store, bus, metrics):
    token = await bus.resume_token()
    async with running(Relay(store, bus, metrics)):
        for number in range(5):
            await commit(store, number, number + 1)
            await bus.hint(subjects.OUTBOX)
            async with asyncio.timeout(PATIENCE_S):
                event, token = await anext(bus.events("default", token))
            assert event.draft.subject_version == number


async def test_two_relays_at_once_double_nothing(store, bus, metrics, own_nats_server):
    async with JetStreamBus([own_nats_server.url]) as other:
        await other.wait_connected(20)
        relays = [Relay(store, a_bus, metrics, batch=32) for a_bus in (bus, other)]
        async with running(*relays):
            await commit(store, 0, 1000)
            numbers = await settled(own_nats_server, 1000)
    assert sorted(numbers) == list(range(1000))


class Died(Exception):
    pass


class DiesAfterPublishing:
    """A bus that has published, and whose program ends before it can say so."""

    def __init__(self, bus) -> None:
        self._bus = bus

    def __getattr__(self, name: str):
        return getattr(self._bus, name)

    async def publish_event(self, event) -> None:
        await self._bus.publish_event(event)
        raise Died


async def test_events_published_but_not_marked_are_not_doubled(store, bus, metrics, own_nats_server):
    await commit(store, 0, 100)
    with pytest.raises(Died):
        await Relay(store, DiesAfterPublishing(bus), metrics, lease_s=0.2).pass_on()
    assert sorted(await stream(own_nats_server)) == list(range(100))
    async with running(Relay(store, bus, metrics)):
        await commit(store, 100, 150)
        async with asyncio.timeout(PATIENCE_S):
            while await waiting(store):
                await asyncio.sleep(0.05)
    assert sorted(await stream(own_nats_server)) == list(range(150))


async def test_a_relay_that_is_killed_again_and_again_loses_and_doubles_nothing(
    store, store_url, bus, metrics, own_nats_server, spawn
):
    argv = [sys.executable, "-m", "tests.component.processor.relay_process", store_url, own_nats_server.url, "0.5"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    await commit(store, 0, 200)
    done, luck = 0, random.Random(4)
    for round_ in range(1, 3):
        process = spawn(argv, env=environment)
        await commit(store, round_ * 200, (round_ + 1) * 200)
        # It is killed while it is at it: after some, before all.
        async with asyncio.timeout(PATIENCE_S):
            while len(await stream(own_nats_server)) <= done + luck.randrange(1, 100):
                assert process.poll() is None
                await asyncio.sleep(0.01)
        process.kill()
        process.wait()
        done = len(await stream(own_nats_server))
    async with running(Relay(store, bus, metrics)):
        numbers = await settled(own_nats_server, 600)
        async with asyncio.timeout(PATIENCE_S):
            while await waiting(store):
                await asyncio.sleep(0.05)
    assert sorted(numbers) == list(range(600))


async def test_while_the_broker_is_away_nothing_is_taken_and_afterwards_all_is_told(
    store, bus, metrics, own_nats_server
):
    relay = Relay(store, bus, metrics)
    async with running(relay):
        await commit(store, 0, 100)
        await settled(own_nats_server, 100)
        await asyncio.to_thread(own_nats_server.kill)
        while bus.connected:
            await asyncio.sleep(0.01)
        await commit(store, 100, 400)
        assert await relay.pass_on() == 0
        assert await waiting(store) == 300
        await asyncio.to_thread(own_nats_server.start)
        numbers = await settled(own_nats_server, 400)
    assert sorted(numbers) == list(range(400))


async def test_a_broker_killed_while_it_is_told_loses_and_doubles_nothing(store, bus, metrics, own_nats_server):
    await commit(store, 0, 1000)
    async with running(Relay(store, bus, metrics, batch=100)):
        for enough in (50, 400, 800):
            async with asyncio.timeout(PATIENCE_S):
                while len(await stream(own_nats_server)) < enough:
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(own_nats_server.kill)
            await asyncio.to_thread(own_nats_server.start)
            await bus.wait_connected(20)
        numbers = await settled(own_nats_server, 1000)
    assert sorted(numbers) == list(range(1000))


async def test_an_event_that_no_bus_can_take_is_buried_and_the_others_go_on(store, bus, metrics, own_nats_server):
    async with store.tx() as tx:
        await tx.outbox.append([EventDraft("not an event type", "default", "sessions/s-1", 1)])
    await commit(store, 0, 10)
    assert await Relay(store, bus, metrics).pass_on() == 11
    assert sorted(await stream(own_nats_server)) == list(range(10))
    assert await waiting(store) == 0
    assert metrics.registry.get_sample_value("quarterdeck_dead_letters_total", {"consumer": "relay"}) == 1


async def test_a_relay_that_is_stopped_marks_what_it_has_published(store, bus, metrics, own_nats_server):
    begun, release = asyncio.Event(), asyncio.Event()

    class Slow(DiesAfterPublishing):
        async def publish_event(self, event) -> None:
            begun.set()
            await release.wait()
            await self._bus.publish_event(event)

    await commit(store, 0, 10)
    task = asyncio.create_task(Relay(store, Slow(bus), metrics).run())
    await asyncio.wait_for(begun.wait(), PATIENCE_S)
    task.cancel()
    await asyncio.sleep(0)
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, PATIENCE_S)
    assert await waiting(store) == 0
    assert sorted(await stream(own_nats_server)) == list(range(10))


async def test_a_bus_that_refuses_is_tried_again_within_the_lease(store, bus, metrics, own_nats_server):
    class Shaky(DiesAfterPublishing):
        refusals = 7

        async def publish_event(self, event) -> None:
            if self.refusals:
                self.refusals -= 1
                raise Unavailable("BUS_AWAY", "not now")
            await self._bus.publish_event(event)

    await commit(store, 0, 10)
    assert await Relay(store, Shaky(bus), metrics).pass_on() == 10
    assert sorted(await stream(own_nats_server)) == list(range(10))
    assert await waiting(store) == 0
    assert metrics.registry.get_sample_value("quarterdeck_relay_failures_total") == 7
