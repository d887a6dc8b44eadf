"""An allocation that its host, though it is there, never begins with is freed; preparing is beginning."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.domain.reconcile import Report, Workload, WorkloadState
from controlplane.domain.session import Session, SessionReason, SessionState
from controlplane.interfaces import Store
from controlplane.usecases import creation, hosts, queue, sessions, watch
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.world import World
from tests.component.processor.worlds import world_on
from tests.contract.store.rows import Clock, a_host, a_session, a_vm, furnish

OPERATOR = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)


@pytest.fixture
async def world(clocked_store: Store, tmp_path: Path) -> World:
    await furnish(clocked_store, a_vm(terminate_requested_at=None))
    async with clocked_store.tx() as tx:
        await tx.hosts.add(a_host(epoch=1, report_sequence=0))
    return world_on(clocked_store, tmp_path)


async def asked(world: World) -> Session:
    return (await creation.create_session(world, OPERATOR, SessionRequest("orbit"), "r")).session


async def seen(world: World, session: Session) -> Session:
    return (await sessions.get_session(world, OPERATOR, session.id)).session


async def pass_by(world: World, clock: Clock, seconds: int) -> None:
    """A second at a time, and the host beats in each."""
    for _ in range(seconds):
        clock.now += timedelta(seconds=1)
        await hosts.beat(world, ["vm-1"])


async def test_its_slot_and_ports_are_free_again_and_the_reason_is_told(world: World, clock: Clock) -> None:
    await pass_by(world, clock, 1)
    session = await asked(world)
    await pass_by(world, clock, 119)
    assert await watch.expire_untaken(world) == 0
    await pass_by(world, clock, 1)
    assert [await watch.expire_untaken(world) for _ in range(2)] == [1, 0]

    ended = await seen(world, session)
    assert (ended.state, ended.reason) == (SessionState.CRASHED, SessionReason.NEVER_STARTED)
    assert ended.reason_detail == "vms/vm-1 did not begin with it within 120 s"
    async with world.store.reading() as tx:
        vm = await tx.vms.get("vm-1")
        leases = await tx.ports.of_session(session.id)
    assert vm is not None
    assert (vm.used_units, vm.active_sessions) == (0, 0)
    assert leases
    assert all(lease.free_at is not None for lease in leases)
    assert (await hosts.plan_of(world, "vm-1")).entries == ()


async def test_a_host_that_prepares_has_begun(world: World, clock: Clock) -> None:
    await pass_by(world, clock, 1)
    session = await asked(world)
    pulling = Workload(session.id, 1, WorkloadState.STARTING, age_s=2.0)
    await hosts.accept_report(world, "vm-1", Report(1, 1, 0, (pulling,)))
    await pass_by(world, clock, 300)
    assert await watch.expire_untaken(world) == 0
    assert (await seen(world, session)).state is SessionState.STARTING


async def test_nothing_is_held_against_a_host_while_we_do_not_hear_hosts(world: World, clock: Clock) -> None:
    await pass_by(world, clock, 1)
    session = await asked(world)
    clock.now += timedelta(seconds=500)
    assert await watch.expire_untaken(world) == 0
    await pass_by(world, clock, 236)  # the grace, and then the deadline
    assert await watch.expire_untaken(world) == 0
    await pass_by(world, clock, 2)
    assert await watch.expire_untaken(world) == 1
    assert (await seen(world, session)).reason is SessionReason.NEVER_STARTED


async def test_who_waits_behind_many_patient_ones_is_rejected_in_time(world: World, clock: Clock) -> None:
    born, patient = clock.now, clock.now + timedelta(hours=1)
    line = [a_session(f"s-{n:03d}", created_at=born, queue_deadline_at=patient) for n in range(queue.BATCH)]
    last = a_session("s-last", created_at=born + timedelta(seconds=1), queue_deadline_at=born + timedelta(seconds=30))
    async with world.store.tx() as tx:
        await tx.batch.add_sessions([*line, last])
    clock.now += timedelta(seconds=30)
    assert [await queue.expire_queue(world) for _ in range(2)] == [1, 0]
    assert (await seen(world, last)).reason is SessionReason.QUEUE_DEADLINE
