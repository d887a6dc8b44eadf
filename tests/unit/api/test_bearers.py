"""Bearer tokens: however many calls bring one, it is looked up once, and no caller's leaving is another's loss."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from controlplane.adapters.bus.memory import MemoryBus
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.store.memory import MemoryStore
from controlplane.api.identity import Bearers
from controlplane.domain.errors import Unauthenticated
from controlplane.usecases import accounts
from controlplane.usecases.world import World

TOKEN = "operator-" + "t" * 40
METADATA = (("authorization", f"Bearer {TOKEN}"),)


class CountedStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def reading(self) -> AbstractAsyncContextManager[Any]:
        self.asked += 1
        return super().reading()


@pytest.fixture
async def store() -> CountedStore:
    return CountedStore()


@pytest.fixture
async def bearers(store: CountedStore) -> Bearers:
    world = World(store, MemoryBus(), RandomIds(), None, None, None)  # type: ignore[arg-type]
    await accounts.ensure_operator(world.store, world.ids, TOKEN)
    return Bearers(world, ttl_s=60)


async def test_many_calls_at_once_ask_once(bearers: Bearers, store: CountedStore) -> None:
    who = await asyncio.gather(*(bearers.principal(METADATA) for _ in range(20)))
    assert {principal.subject for principal in who} == {"operator"}
    assert store.asked == 1
    await bearers.principal(METADATA)
    assert store.asked == 1


async def test_who_leaves_takes_the_answer_from_nobody(bearers: Bearers, store: CountedStore) -> None:
    first, second = (asyncio.create_task(bearers.principal(METADATA)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).subject == "operator"
    assert store.asked == 1


async def test_a_refusal_is_told_to_all_and_not_remembered(bearers: Bearers, store: CountedStore) -> None:
    unknown = (("authorization", "Bearer unknown"),)
    for asked in (1, 2):
        answers = await asyncio.gather(*(bearers.principal(unknown) for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unauthenticated] * 3
        assert store.asked == asked
