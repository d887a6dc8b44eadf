"""A migrated store on each database, a bus of one's own, and rows to fill them with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from controlplane.adapters.bus.jetstream import JetStreamBus
from controlplane.adapters.store import open_store
from controlplane.domain.events import EventDraft
from controlplane.interfaces import Store
from controlplane.processor.metrics import Metrics
from tests.component.processor.renting_rig import Rig
from tests.contract.store.conftest import (  # noqa: F401 - fixtures
    clock,
    clocked_store,
    memory_store_url,
    migrated_postgres,
    migrated_sqlite,
    postgres_store_url,
    sqlite_store_url,
)


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of a store with the newest schema."""
    url: str = request.getfixturevalue(f"{request.param}_store_url")
    return url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    store = open_store(store_url)
    yield store
    await store.close()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(request.getfixturevalue(f"{request.param}_store_url"), tmp_path)
    yield rig
    await rig.store.close()


@pytest.fixture
async def bus(own_nats_server) -> AsyncIterator[JetStreamBus]:
    async with JetStreamBus([own_nats_server.url]) as bus:
        await bus.wait_connected(20)
        yield bus


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def draft(number: int) -> EventDraft:
    return EventDraft("quarterdeck.session.running", "default", f"sessions/s-{number}", number, {"number": number})


async def commit(store: Store, first: int, last: int, *, each: int = 50) -> None:
    """Events `first` to `last` - 1 into the outbox, in transactions of `each`."""
    for start in range(first, last, each):
        async with store.tx() as tx:
            await tx.outbox.append([draft(number) for number in range(start, min(last, start + each))])
