"""A migrated store of one's own, and a world on it whose bus nobody reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controlplane.adapters.bus.memory import MemoryBroker, MemoryBus
from controlplane.adapters.ca import FileCertificateAuthority
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.objects import open_objects
from controlplane.adapters.store import open_store
from controlplane.adapters.stream_tokens import JwtStreamTokens
from controlplane.interfaces import Store
from controlplane.usecases.world import Policy, World
from tests.contract.store.conftest import (  # noqa: F401 - fixtures
    migrated_postgres,
    migrated_sqlite,
    postgres_store_url,
    sqlite_store_url,
)


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    store = open_store(request.getfixturevalue(f"{request.param}_store_url"))
    yield store
    await store.close()


@pytest.fixture
async def world(store: Store, tmp_path: Path) -> World:
    authority = FileCertificateAuthority(tmp_path / "ca", 3600)
    tokens = JwtStreamTokens(b"k" * 32)
    bus, objects = MemoryBus(MemoryBroker()), open_objects("memory:///")
    return World(store, bus, RandomIds(), authority, tokens, objects, Policy(vanish_after_s=0.0))
