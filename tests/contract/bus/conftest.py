"""What the suite asks of a bus under test: programs that connect, and what befalls a broker."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Protocol

import nats
import pytest

from controlplane.adapters.bus.jetstream import JetStreamBus
from controlplane.adapters.bus.memory import MemoryBroker, MemoryBus
from controlplane.adapters.bus.redelivery import Backoff
from controlplane.adapters.bus.streams import EVENTS

QUICK = Backoff(first_s=0.02, longest_s=0.1)


class House(Protocol):
    """One broker and the programs at it."""

    async def bus(self, **options: Any) -> Any: ...
    async def kill(self) -> None: ...
    async def restart(self) -> None: ...
    async def wipe(self) -> None:
        """The broker comes back with nothing."""

    async def forget(self, before_sequence: int) -> None:
        """Retention takes the oldest events."""


class MemoryHouse:
    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._broker = MemoryBroker()

    async def bus(self, **options: Any) -> MemoryBus:
        return await self._stack.enter_async_context(MemoryBus(self._broker, backoff=QUICK, **options))

    async def kill(self) -> None:
        await self._broker.kill()

    async def restart(self) -> None:
        await self._broker.restart()

    async def wipe(self) -> None:
        await self._broker.kill()
        self._broker.wipe()
        await self._broker.restart()

    async def forget(self, before_sequence: int) -> None:
        self._broker.forget_events(before_sequence)


class NatsHouse:
    def __init__(self, stack: AsyncExitStack, server: Any) -> None:
        self._stack = stack
        self._server = server
        self._buses: list[JetStreamBus] = []

    async def bus(self, **options: Any) -> JetStreamBus:
        bus = await self._stack.enter_async_context(JetStreamBus([self._server.url], backoff=QUICK, **options))
        self._buses.append(bus)
        await bus.wait_connected(20)
        return bus

    async def kill(self) -> None:
        await asyncio.to_thread(self._server.kill)
        for bus in self._buses:
            while bus.connected:
                await asyncio.sleep(0.005)

    async def restart(self) -> None:
        await asyncio.to_thread(self._server.start)
        for bus in self._buses:
            await bus.wait_connected(20)

    async def wipe(self) -> None:
        await self.kill()
        shutil.rmtree(self._server.directory / "store")
        await self.restart()

    async def forget(self, before_sequence: int) -> None:
        client = await nats.connect(self._server.url)
        await client.jetstream().purge_stream(EVENTS, seq=before_sequence)
        await client.close()


@pytest.fixture(params=["memory", "jetstream"])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield MemoryHouse(stack)
        else:
            yield NatsHouse(stack, request.getfixturevalue("own_nats_server"))
