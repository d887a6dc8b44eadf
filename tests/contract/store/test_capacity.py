"""Pools, budgets and the rented fleet: whole, guarded by version, and the same on every store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from controlplane.adapters.store import open_store
from controlplane.adapters.store.capacity import FLEET
from controlplane.domain.attempt import Failure, Offer
from controlplane.domain.errors import AlreadyExists, Conflict, NotFound, WrongState
from controlplane.domain.host import Inventory
from controlplane.domain.pool import Budget, Model, Pool
from controlplane.domain.provisioning import Phase
from controlplane.domain.retry import FailureKind, Remedy
from controlplane.domain.succession import Replacement, ReplacementState, ReplacementTrigger
from controlplane.domain.vm import VmState
from controlplane.interfaces import Page, Store
from tests.contract.store.rows import NOW, PROJECT, a_host, a_vm, at, next_of, synchronous
from tests.contract.store.test_provisionings import a_provisioning

FAILED = Failure(FailureKind.PROVISIONING, "SOLD_OUT", "none left", Remedy.RETRY)


def a_pool(pool_id: str = "warm", **fields: Any) -> Pool:
    values: dict[str, Any] = {
        "id": pool_id,
        "project_id": PROJECT,
        "provider": "local",
        "region_id": "local",
        "template_id": "local",
        "created_at": NOW,
        "min_free_slots": 2,
        "buffer_slots": 3,
        "max_vms": 5,
        "idle_after_s": 12.5,
        "scale_to_zero": True,
        "blocked": "REGION_LIMIT: grüße",
    }
    return Pool(**{**values, **fields})


async def test_every_field_of_a_pool_comes_back(store: Store) -> None:
    other = a_pool("cool", template_id="L4-90", scale_to_zero=False, blocked="")
    async with store.tx() as tx:
        await tx.credentials.put_project("p2")
        for pool in (a_pool(), other, a_pool("theirs", project_id="p2")):
            await tx.pools.add(pool)
    async with store.reading() as tx:
        assert await tx.pools.get("warm") == a_pool()
        assert await tx.pools.all(PROJECT) == [other, a_pool()]
        assert [pool.id for pool in await tx.pools.all()] == ["cool", "theirs", "warm"]
        assert await tx.pools.get("none") is None
    changed = next_of(a_pool(), max_vms=9, blocked="")
    async with store.tx() as tx:
        await tx.pools.get("warm")
        await tx.pools.save(changed)
        await tx.pools.delete("cool")
    async with store.reading() as tx:
        assert await tx.pools.all(PROJECT) == [changed]


async def test_one_pool_for_each_kind_of_machine_and_only_of_what_there_is(store: Store) -> None:
    async with store.tx() as tx:
        await tx.pools.add(a_pool())
    for twin in (a_pool(), a_pool("twin")):
        with pytest.raises(AlreadyExists):
            async with store.tx() as tx:
                await tx.pools.add(twin)
    for lost in (a_pool("x", region_id="moon"), a_pool("x", template_id="X"), a_pool("x", project_id="nobody")):
        with pytest.raises(NotFound):
            async with store.tx() as tx:
                await tx.pools.add(lost)
    with pytest.raises(Conflict):
        async with store.tx() as tx:
            await tx.pools.add(a_pool("x", region_id="eu-west-1", max_vms=0))
    async with store.tx() as tx:
        region = await tx.shapes.region("local")
        assert region is not None
        with pytest.raises(WrongState):
            await tx.shapes.delete(region)


async def test_of_two_who_change_a_pool_one_wins(store: Store) -> None:
    async with store.tx() as tx:
        await tx.pools.add(a_pool())
        await tx.pools.save(next_of(a_pool()))
    async with store.tx() as tx:
        pool = await tx.pools.get("warm")
        assert pool is not None
        with pytest.raises(Conflict):
            await tx.pools.save(replace(pool, version=pool.version))


async def test_budgets_are_written_over(store: Store) -> None:
    for micro in (5, 7):
        async with store.tx() as tx:
            await tx.renting.put_budget(Budget(PROJECT, micro, "EUR"))
    async with store.reading() as tx:
        assert await tx.renting.budgets() == {PROJECT: Budget(PROJECT, 7, "EUR")}
    for wrong, error in ((Budget("nobody", 1), NotFound), (Budget(PROJECT, -1), Conflict)):
        with pytest.raises(error):
            async with store.tx() as tx:
                await tx.renting.put_budget(wrong)


async def test_the_fleet_is_what_is_held_and_what_failed_lately(store: Store) -> None:
    mandate = Offer("local", "local", "small", "local", 2**40, "EUR")
    rows = {
        "held": a_provisioning("held", phase=Phase.HELD, mandate=mandate),
        "lately": a_provisioning("lately", phase=Phase.RELEASED, failure=FAILED),
        "long-ago": a_provisioning("long-ago", phase=Phase.RELEASED, failure=FAILED),
        "not-ended": a_provisioning("not-ended", phase=Phase.RELEASED, failure=FAILED),
        "returned": a_provisioning("returned", phase=Phase.RELEASED),
    }
    async with store.tx() as tx:
        await tx.vms.add(a_vm("owned"))
        for vm_id, row in rows.items():
            seen = at(-600) if vm_id in ("long-ago", "not-ended") else at(0)
            state = VmState.TERMINATED if vm_id == "long-ago" else VmState.ERROR
            await tx.vms.add(a_vm(vm_id, provider="local", updated_at=seen, state=state))
            await tx.provisionings.add(row)
        await tx.hosts.add(a_host("held"))
    async with store.reading() as tx:
        fleet = {one.vm.id: one for one in await tx.renting.fleet(at(-60))}
    assert list(fleet) == ["held", "lately", "not-ended"]
    assert (fleet["held"].row, fleet["held"].host) == (rows["held"], a_host("held"))
    assert (fleet["lately"].row, fleet["lately"].host) == (rows["lately"], None)


async def test_what_was_given_back_long_ago_is_not_read_to_know_the_fleet(postgres_store_url: str) -> None:
    store = open_store(postgres_store_url)
    async with store.tx() as tx:
        await tx.vms.add(a_vm("gone", provider="local", state=VmState.TERMINATED))
        await tx.provisionings.add(a_provisioning("gone", phase=Phase.RELEASED, failure=FAILED))
    await store.close()
    with synchronous(postgres_store_url).begin() as connection:
        for table, column in (("vms", "advertised_address"), ("provisionings", "tag")):
            connection.execute(
                sa.text(
                    f"INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object("
                    f"'id', 'gone-' || n, '{column}', 'tag-' || n))).* FROM {table} t, generate_series(1, 20000) n"
                )
            )
        for table in ("vms", "provisionings"):
            connection.execute(sa.text(f"ANALYZE {table}"))
        asked = FLEET.params(failed_since=at(600)).compile(connection, compile_kwargs={"literal_binds": True})
        plan = connection.execute(sa.text(f"EXPLAIN {asked}")).scalars().all()
    assert not [line for line in plan if "Seq Scan on vms" in line or "Seq Scan on provisionings" in line], plan


async def test_what_the_newest_machine_of_a_kind_had_is_known_when_it_is_gone(store: Store) -> None:
    async with store.tx() as tx:
        for number, vm_id in enumerate(("old", "new", "never-joined", "ancient")):
            born = at(-9000) if vm_id == "ancient" else at(number)
            template, ports = "L4-90" if vm_id == "ancient" else "local", (40000 + number, 41000 + number)
            await tx.vms.add(a_vm(vm_id, provider="local", created_at=born, template_id=template, media_ports=ports))
            await tx.provisionings.add(a_provisioning(vm_id, phase=Phase.RELEASED))
            epoch = 0 if vm_id == "never-joined" else 1
            await tx.hosts.add(a_host(vm_id, epoch=epoch, inventory=Inventory(cpu_count=number)))
    async with store.reading() as tx:
        known = Model(Inventory(cpu_count=1), (40001, 41001))
        assert await tx.renting.models(at(-60)) == {("local", "local"): known}


async def test_who_decides_waits_for_those_who_decide(store: Store) -> None:
    count = 0

    async def decide() -> None:
        nonlocal count
        async with store.tx() as tx:
            await tx.renting.take_turn()
            seen = len(await tx.pools.all())
            await asyncio.sleep(0)  # others come as far as they can
            await tx.pools.add(a_pool(f"p-{seen}", template_id=["local", "L4-90", "A10"][seen]))
            count += 1

    await asyncio.gather(*(decide() for _ in range(3)))
    async with store.reading() as tx:
        assert [pool.id for pool in await tx.pools.all()] == ["p-0", "p-1", "p-2"]
    assert count == 3


async def test_replacements_come_back_in_order_and_are_guarded(store: Store) -> None:
    def row(number: int, **fields: Any) -> Replacement:
        values: dict[str, Any] = {
            "id": f"r-1-{number:03d}",
            "project_id": PROJECT,
            "series_id": "r-1",
            "scope": "pools/warm",
            "vm_id": "vm-1",
            "state": ReplacementState.QUEUED,
            "created_at": at(number),
            "updated_at": at(9),
            "successor_id": "vm-2" if number == 1 else "",
            "detail": "grüße",
        }
        return Replacement(**{**values, **fields})

    done = row(2, state=ReplacementState.DONE)
    other = row(3, series_id="r-2")
    async with store.tx() as tx:
        for vm_id in ("vm-1", "vm-2"):
            await tx.vms.add(a_vm(vm_id))
        for each in (done, row(1), other):
            await tx.replacements.add(each)
    async with store.reading() as tx:
        assert await tx.replacements.get("r-1-001") == row(1)
        assert await tx.replacements.get("none") is None
        assert await tx.replacements.of_series("r-1") == [row(1), done]
        assert await tx.replacements.unfinished() == [row(1), other]
        assert await tx.replacements.list(PROJECT, Page(size=2)) == [other, done]
        assert await tx.replacements.list(PROJECT, Page(after=(at(2), done.id))) == [row(1)]
    renting = row(1).on(ReplacementTrigger.RENT, at(10))
    async with store.tx() as tx:
        await tx.replacements.get("r-1-001")
        await tx.replacements.save(renting)
    async with store.tx() as tx:
        assert await tx.replacements.get("r-1-001") == renting
        with pytest.raises(Conflict):
            await tx.replacements.save(renting)
    with pytest.raises(NotFound):
        async with store.tx() as tx:
            await tx.replacements.add(row(7, vm_id="none"))
