"""What is counted over all projects: events that wait, and the fleet by region and state."""

from __future__ import annotations

from controlplane.domain.events import EventDraft
from controlplane.domain.vm import VmState
from controlplane.interfaces import Backlog, Store, VmFigure
from tests.contract.store.rows import a_vm


async def test_an_empty_house_counts_nothing(store: Store) -> None:
    async with store.reading() as tx:
        assert await tx.figures.backlog() == Backlog(0, None)
        assert await tx.figures.fleet() == []


async def test_events_wait_until_they_are_published_leased_or_not(store: Store) -> None:
    draft = EventDraft("quarterdeck.vm.ready", "default", "vms/vm-1", 1)
    async with store.tx() as tx:
        first_at = await tx.now()
        await tx.outbox.append([draft, draft])
    async with store.tx() as tx:
        await tx.outbox.append([draft])
        leased = await tx.outbox.claim(2, 60)
    async with store.reading() as tx:
        assert await tx.figures.backlog() == Backlog(3, first_at)
    async with store.tx() as tx:
        await tx.outbox.published([event.id for event in leased])
    async with store.reading() as tx:
        backlog = await tx.figures.backlog()
    assert backlog.events == 1
    assert backlog.oldest_at is not None
    assert backlog.oldest_at >= first_at


async def test_the_fleet_is_counted_by_region_and_state(store: Store) -> None:
    async with store.tx() as tx:
        await tx.vms.add(a_vm("vm-1", used_units=12, state=VmState.IN_USE))
        await tx.vms.add(a_vm("vm-2", used_units=3, state=VmState.IN_USE))
        await tx.vms.add(a_vm("vm-3", state=VmState.READY))
        await tx.vms.add(a_vm("vm-4", state=VmState.TERMINATED))
    async with store.reading() as tx:
        assert await tx.figures.fleet() == [
            VmFigure("local", VmState.IN_USE, vms=2, capacity_units=48, used_units=15),
            VmFigure("local", VmState.READY, vms=1, capacity_units=24, used_units=0),
        ]
