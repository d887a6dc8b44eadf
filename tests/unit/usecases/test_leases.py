"""A worker holds its VM for as long as it works, however short the lease; and works for as long as it holds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.store import open_store
from controlplane.adapters.store.schema import migrate
from controlplane.domain.attempt import Offer
from controlplane.domain.errors import Unavailable
from controlplane.domain.instance import Instance, Invitation
from controlplane.interfaces import Store, Tx
from controlplane.usecases import provisioning
from controlplane.usecases.world import World
from tests.unit.usecases.rig import Fake, Fate, Rig

LEASE_S = 3.0


@dataclass
class Slow(Fake):
    """Takes an order, and its time."""

    def __post_init__(self) -> None:
        self.ordered, self.answer, self.cut_off = asyncio.Event(), asyncio.Event(), False

    async def create(self, offer: Offer, tag: str, invitation: Invitation) -> Instance:
        self.ordered.set()
        try:
            await self.answer.wait()
        except asyncio.CancelledError:
            self.cut_off = True
            raise
        return await super().create(offer, tag, invitation)


@dataclass(frozen=True)
class Watched:
    """A store that tells each transaction, and is away when it is told to be."""

    store: Store
    committed: asyncio.Semaphore
    away: asyncio.Event

    @asynccontextmanager
    async def tx(self) -> AsyncIterator[Tx]:
        if self.away.is_set():
            raise Unavailable("DATABASE_AWAY", "not now")
        async with self.store.tx() as tx:
            yield tx
        self.committed.release()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


@dataclass(frozen=True)
class Shop:
    world: World
    provider: Slow
    store: Watched


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    url = f"sqlite:///{tmp_path / 'house.db'}"
    await asyncio.to_thread(migrate, url)
    rig, provider = Rig(), Slow(Fate(), lambda: datetime.now(UTC))
    rig.world = replace(
        rig.world,
        store=Watched(open_store(url), asyncio.Semaphore(0), asyncio.Event()),
        providers={"fake": provider},
        policy=replace(rig.world.policy, renting=replace(rig.world.policy.renting, lease_s=LEASE_S)),
    )
    await rig.rent()
    yield Shop(rig.world, provider, rig.world.store)  # type: ignore[arg-type]
    await rig.world.store.close()


async def test_a_call_that_outlasts_the_lease_keeps_its_vm_all_the_time(shop: Shop) -> None:
    working = asyncio.create_task(provisioning.advance(shop.world))
    await shop.provider.ordered.wait()
    began_at = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() < began_at + 1.5 * LEASE_S:
        await shop.store.committed.acquire()
        assert await provisioning.advance(shop.world) == 0, "another may not begin with it"
    shop.provider.answer.set()
    assert await working == 1
    async with shop.store.reading() as tx:
        row = await tx.provisionings.get("v")
    assert row is not None
    assert (row.instance_id, shop.provider.made) == ("i-1", 1)


async def test_work_whose_lease_cannot_be_renewed_is_cut_off(shop: Shop) -> None:
    working = asyncio.create_task(provisioning.advance(shop.world))
    await shop.provider.ordered.wait()
    shop.store.away.set()
    with pytest.raises(Unavailable):
        await working
    assert (shop.provider.cut_off, shop.provider.made) == (True, 0)
