"""One replica in memory, and callers with the tokens of both roles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from controlplane.adapters.bus.memory import MemoryBroker, MemoryBus
from controlplane.adapters.store import open_store
from controlplane.api.server import Options
from tests.component.api.plane import FAST, Caller, Plane, calling, plane, processing


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def options() -> Options:
    return FAST


@pytest.fixture
async def api(tmp_path: Path, broker: MemoryBroker, options: Options) -> AsyncIterator[Plane]:
    """One replica with a processor beside it, all in memory."""
    async with AsyncExitStack() as stack:
        store = open_store("memory://")
        bus = await stack.enter_async_context(MemoryBus(broker))
        running = await stack.enter_async_context(plane(store, bus, tmp_path / "ca", options))
        await stack.enter_async_context(processing(running.world))
        yield running


@pytest.fixture
async def operator(api: Plane) -> AsyncIterator[Caller]:
    async with calling(api, api.operator) as caller:
        yield caller


@pytest.fixture
async def player(api: Plane) -> AsyncIterator[Caller]:
    async with calling(api, api.player) as caller:
        yield caller
