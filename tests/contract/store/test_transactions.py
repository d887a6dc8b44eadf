"""What a transaction promises: all or nothing, one moment, no look at what is not committed, no slot given twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controlplane.adapters.store import open_store
from controlplane.domain.errors import Exhausted, NotFound
from controlplane.interfaces import Store
from tests.contract.store.rows import NOW, a_draft, a_lease, a_session, a_vm, at, furnish, next_of


async def test_an_exception_takes_everything_back(store: Store) -> None:
    await furnish(store)

    async def fail() -> None:
        async with store.tx() as tx:
            await tx.vms.save(next_of(await tx.vms.lock("vm-1"), reason_detail="changed"))
            await tx.vms.add(a_vm("vm-2"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with store.reading() as tx:
        assert await tx.vms.get("vm-1") == a_vm()
        assert await tx.vms.get("vm-2") is None


async def test_leaving_early_commits(store: Store) -> None:
    async def leave() -> str:
        async with store.tx() as tx:
            await tx.vms.add(a_vm())
            return "early"

    assert await leave() == "early"
    async with store.reading() as tx:
        assert await tx.vms.get("vm-1") == a_vm()


async def test_cancelling_takes_everything_back_and_frees_the_store(store: Store) -> None:
    await furnish(store)
    written = asyncio.Event()

    async def wait_for_ever() -> None:
        async with store.tx() as tx:
            await tx.vms.save(next_of(await tx.vms.lock("vm-1"), reason_detail="changed"))
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait_for_ever())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with store.tx() as tx:
        assert await tx.vms.lock("vm-1") == a_vm()


async def test_cancelling_at_any_await_leaves_the_store_whole(store: Store) -> None:
    await furnish(store)

    async def write(number: int) -> None:
        async with store.tx() as tx:
            vm = await tx.vms.lock("vm-1")
            assert vm is not None
            await tx.vms.save(next_of(vm, plan_version=vm.plan_version + 1))
            await tx.outbox.append([a_draft(number)])

    for hops in range(40):
        task = asyncio.create_task(write(hops))
        for _ in range(hops):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await write(99)
    async with store.tx() as tx:
        vm = await tx.vms.get("vm-1")
        events = await tx.outbox.claim(100, 30)
    assert vm is not None
    # Each change has its event, and each event its change (I4).
    assert len(events) == vm.plan_version - 5 == vm.version - 1 >= 1


async def test_a_reader_sees_the_last_commit_and_waits_for_nobody(store: Store) -> None:
    await furnish(store)
    async with store.tx() as writing:
        await writing.vms.save(next_of(await writing.vms.lock("vm-1"), reason_detail="not yet"))
        async with store.reading() as tx:
            assert await tx.vms.get("vm-1") == a_vm()
    async with store.reading() as tx:
        assert await tx.vms.get("vm-1") == next_of(a_vm(), reason_detail="not yet")


async def test_a_reader_keeps_its_view_and_holds_nobody_up(store: Store) -> None:
    await furnish(store)
    async with store.reading() as tx:
        assert await tx.vms.get("vm-1") == a_vm()
        async with store.tx() as writing:
            await writing.vms.save(next_of(await writing.vms.lock("vm-1")))
        assert await tx.vms.get("vm-1") == a_vm()


async def test_a_reading_transaction_refuses_to_write(store: Store) -> None:
    async with store.reading() as tx:
        with pytest.raises(RuntimeError, match="reading"):
            await tx.vms.add(a_vm())
        with pytest.raises(RuntimeError, match="reading"):
            await tx.outbox.claim(1, 1)


async def test_now_is_one_utc_moment(store: Store) -> None:
    before = datetime.now(UTC)
    async with store.tx() as tx:
        first = await tx.now()
        await tx.vms.add(a_vm())
        assert await tx.now() == first
    async with store.reading() as tx:
        assert await tx.now() > first
    assert first.utcoffset() == timedelta(0)
    assert before - timedelta(seconds=1) < first < datetime.now(UTC) + timedelta(seconds=1)


async def test_now_is_the_given_clock(store_url: str) -> None:
    moments = iter([at(1), at(2)])
    store = open_store(store_url, clock=lambda: next(moments))
    async with store.tx() as tx:
        assert await tx.now() == at(1)
        assert await tx.now() == at(1)
    async with store.reading() as tx:
        assert await tx.now() == at(2)
    await store.close()


async def test_fifty_at_once_take_exactly_what_there_is(store: Store) -> None:
    capacity = 20
    await furnish(store, a_vm(capacity_units=capacity, version=0, plan_version=0))

    async def take(number: int) -> bool:
        try:
            async with store.tx() as tx:
                now = await tx.now()
                vm = await tx.vms.lock("vm-1")
                assert vm is not None
                taken, events = vm.take(1, now)
                await tx.sessions.add(a_session(f"s-{number}", vm_id="vm-1", units=1))
                await tx.ports.lease(a_lease(28000 + number, f"s-{number}"), now)
                await tx.vms.save(taken)
                await tx.outbox.append([*events, a_draft(number)])
        except Exhausted:
            return False
        return True

    assert sum(await asyncio.gather(*(take(number) for number in range(50)))) == capacity
    async with store.reading() as tx:
        vm = await tx.vms.get("vm-1")
        assert vm is not None
        assert (vm.used_units, vm.active_sessions, vm.plan_version, vm.version) == (capacity,) * 4
        assert len(await tx.ports.taken("vm-1", "udp", NOW)) == capacity
        assert len(await tx.queue.after(None, 100)) == capacity


async def test_ports_may_be_leased_before_their_session_is_added(store: Store) -> None:
    await furnish(store)
    async with store.tx() as tx:
        await tx.ports.lease(a_lease(), NOW)
        await tx.sessions.add(a_session())

    async def lease_for_nobody() -> None:
        async with store.tx() as tx:
            await tx.ports.lease(a_lease(28001, "s-9"), NOW)

    with pytest.raises(NotFound):
        await lease_for_nobody()
    async with store.tx() as tx:
        assert await tx.ports.of_session("s-1") == [a_lease()]
        assert await tx.ports.of_session("s-9") == []
        assert await tx.vms.lock("vm-1") == replace(a_vm())
