"""A program starts before its broker does, and outlives what brokers do."""

from __future__ import annotations

import asyncio

import pytest

from controlplane.adapters.bus.jetstream import JetStreamBus
from controlplane.domain import subjects
from controlplane.domain.errors import Unavailable
from tests.conftest import nats_binary


async def test_a_program_that_starts_first_finds_its_broker(own_nats_server):
    own_nats_server.kill()
    async with JetStreamBus([own_nats_server.url]) as bus, bus.subscribe(subjects.OUTBOX) as feed:
        assert not bus.connected
        assert not await bus.hint(subjects.OUTBOX, b"local")
        assert (await anext(feed))[1] == b"local"
        with pytest.raises(Unavailable):
            await bus.publish(subjects.report("vm-1"), b"", "1")
        with pytest.raises(Unavailable):
            await bus.wait_connected(0.1)
        await asyncio.to_thread(own_nats_server.start)
        await bus.wait_connected(20)
        await bus.publish(subjects.report("vm-1"), b"", "1")
        assert bus.connected


async def test_a_broker_without_jetstream_is_no_broker(own_nats_server, spawn):
    own_nats_server.kill()
    spawn([nats_binary(), "-a", "127.0.0.1", "-p", str(own_nats_server.port)])
    async with JetStreamBus([own_nats_server.url]) as bus:
        with pytest.raises(Unavailable):
            await bus.wait_connected(1)
        assert not bus.connected
        with pytest.raises(Unavailable):
            await bus.publish(subjects.report("vm-1"), b"", "1")


async def test_a_broker_that_hangs_is_away_until_it_answers_again(own_nats_server):
    async with JetStreamBus([own_nats_server.url], patience_s=1) as bus, bus.subscribe(subjects.OUTBOX) as feed:
        await bus.wait_connected(20)
        own_nats_server.freeze()
        try:
            with pytest.raises(Unavailable):
                await bus.publish(subjects.report("vm-1"), b"unsure", "1")
            async with asyncio.timeout(30):
                while bus.connected:
                    await asyncio.sleep(0.05)
            assert not await bus.hint(subjects.OUTBOX, b"local")
            assert (await anext(feed))[1] == b"local"
        finally:
            own_nats_server.thaw()
        await bus.wait_connected(30)
        await bus.publish(subjects.report("vm-1"), b"unsure", "1")
