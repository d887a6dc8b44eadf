"""A worker holds its VM for as long as it works, however short the lease; and works for as long as it holds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
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
from controlplane.domain.provisioning import Phase
from controlplane.interfaces import Store, Tx
from controlplane.usecases import provisioning, vms
from controlplane.usecases.world import World
from tests.unit.usecases.rig import OPERATOR, Fake, Fate, Rig

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
    """A store that tells each transaction, and each that it refuses: it is away when it is told to be."""

    store: Store
    committed: asyncio.Semaphore
    away: asyncio.Event
    refused: asyncio.Semaphore

    @asynccontextmanager
    async def tx(self) -> AsyncIterator[Tx]:
        if self.away.is_set():
            self.refused.release()
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
        store=Watched(open_store(url), asyncio.Semaphore(0), asyncio.Event(), asyncio.Semaphore(0)),
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


async def test_an_order_that_takes_its_time_holds_up_no_other_row(shop: Shop) -> None:
    working = asyncio.create_task(provisioning.advance(shop.world))
    await shop.provider.ordered.wait()
    shop.provider.ordered.clear()
    await vms.create_vm(shop.world, OPERATOR, vms.VmRequest("w", "local", provider="fake"), "")
    await shop.provider.ordered.wait()
    assert not working.done(), "the first order has its answer"
    shop.provider.answer.set()
    assert await working == 2
    assert shop.provider.made == 2


async def test_a_provider_that_hangs_holds_up_no_other(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning, "AT_ONCE", 2)
    quick = Fake(Fate(), lambda: datetime.now(UTC), name="quick")
    world = replace(shop.world, providers={**shop.world.providers, "quick": quick})
    for number in range(3):
        await vms.create_vm(world, OPERATOR, vms.VmRequest(f"v{number}", "local", provider="fake"), "")
    await vms.create_vm(world, OPERATOR, vms.VmRequest("q", "local", provider="quick"), "")
    working = asyncio.create_task(provisioning.advance(world))
    try:
        async with asyncio.timeout(10):
            while not quick.made:
                await shop.store.committed.acquire()
        assert (shop.provider.made, working.done()) == (0, False)
    finally:
        shop.provider.answer.set()
        assert await working == 5
    assert shop.provider.made == 4


async def test_a_claim_that_fails_cuts_off_no_call_that_runs(shop: Shop) -> None:
    working = asyncio.create_task(provisioning.advance(shop.world))
    await shop.provider.ordered.wait()
    shop.store.away.set()
    await shop.store.refused.acquire()
    shop.store.away.clear()
    shop.provider.answer.set()
    assert await working == 1
    assert (shop.provider.cut_off, shop.provider.made) == (False, 1)


async def test_a_claim_that_fails_is_told_where_nothing_runs(shop: Shop) -> None:
    shop.store.away.set()
    with pytest.raises(Unavailable):
        await provisioning.advance(shop.world)


async def test_a_step_that_breaks_is_put_off_and_told_and_stops_nothing_else(shop: Shop) -> None:
    class Broken(Fake):
        async def offers(self, region_ids: Sequence[str], template_id: str) -> Sequence[Offer]:
            raise ValueError("of an answer that nobody had thought of")

    broken = Broken(Fate(), lambda: datetime.now(UTC), name="broken")
    world = replace(shop.world, providers={**shop.world.providers, "broken": broken})
    shop.provider.answer.set()
    for number in range(3):
        await vms.create_vm(world, OPERATOR, vms.VmRequest(f"b{number}", "local", provider="broken"), "")
    with pytest.raises(ExceptionGroup) as group:
        await provisioning.advance(world)
    assert [type(error) for error in group.value.exceptions] == [ValueError] * 3
    assert shop.provider.made == 1, "the rows of the other provider go on"
    async with shop.store.reading() as tx:
        row, now = await tx.provisionings.get("b0"), await tx.now()
    assert row is not None
    assert row.failure is not None
    assert (row.failure.code, "nobody had thought" in row.failure.message) == ("UNFORESEEN", False)
    assert row.next_attempt_at is not None
    assert row.next_attempt_at > now
    assert await provisioning.advance(world) == 0, "they rest, and are nobody's any more"


async def test_a_step_that_breaks_is_told_beside_a_part_that_is_away(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(worker: provisioning.Worker) -> None:
        raise Unavailable("AWAY", "not now") if worker.row.id == "v" else ValueError("nobody had thought of it")

    monkeypatch.setattr(provisioning.Worker, "step", breaks)
    await vms.create_vm(shop.world, OPERATOR, vms.VmRequest("w", "local", provider="fake"), "")
    with pytest.raises(ExceptionGroup) as group:
        await provisioning.advance(shop.world)
    assert {type(error) for error in group.value.exceptions} == {Unavailable, ValueError}


async def test_a_step_that_breaks_is_told_though_its_row_cannot_be_put_off(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(worker: provisioning.Worker) -> None:
        async with worker.world.store.tx() as tx:  # somebody takes its lease away
            await tx.provisionings.lease(worker.token, 0)
        raise ValueError("nobody had thought of it")

    monkeypatch.setattr(provisioning.Worker, "step", breaks)
    with pytest.raises(ExceptionGroup) as group:
        await provisioning.advance(shop.world)
    assert ValueError in {type(error) for error in group.value.exceptions}


async def test_a_machine_of_a_provider_that_is_not_set_up_here_says_so(shop: Shop) -> None:
    shop.provider.answer.set()
    await provisioning.advance(shop.world)
    async with shop.store.tx() as tx:
        row = await tx.provisionings.get("v")
        assert row is not None
        await tx.provisionings.save(replace(row, phase=Phase.PARKING, next_attempt_at=None, version=row.version + 1))
    assert await provisioning.advance(replace(shop.world, providers={})) == 1
    async with shop.store.reading() as tx:
        row = await tx.provisionings.get("v")
    assert row is not None
    assert row.failure is not None
    assert "'fake' is not set up here" in row.failure.message
