"""A leased port that another program of the host holds: the session starts again on others, as its next generation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.domain.reconcile import Report, Workload, WorkloadState
from controlplane.domain.session import SessionReason, SessionState
from controlplane.interfaces import Store
from controlplane.usecases import creation, hosts, sessions
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.sessions import SessionView
from controlplane.usecases.world import Policy, World
from tests.component.processor.worlds import world_on
from tests.contract.store.rows import a_host, a_vm, furnish

OPERATOR = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)


@pytest.fixture
async def world(store: Store, tmp_path: Path) -> World:
    return world_on(store, tmp_path, policy=Policy(port_attempts=3))


@pytest.fixture
async def started(world: World) -> SessionView:
    """A session that its host is told to start: udp for its media and a query port, tcp for its control port."""
    await furnish(world.store, a_vm(terminate_requested_at=None))
    async with world.store.tx() as tx:
        await tx.hosts.add(a_host(epoch=1, report_sequence=0))
    return await creation.create_session(world, OPERATOR, SessionRequest("orbit"), "r-1")


class Agent:
    """Reports of a host, in order."""

    def __init__(self, world: World, host_id: str = "vm-1") -> None:
        self.world = world
        self.host_id = host_id
        self.sequence = 0

    async def reports(self, view: SessionView, reason: SessionReason, generation: int) -> SessionView:
        self.sequence += 1
        plan = await hosts.plan_of(self.world, self.host_id)
        said = Workload(view.session.id, generation, WorkloadState.EXITED, reason, "udp port 28005 is taken by x")
        assert await hosts.accept_report(self.world, self.host_id, Report(1, self.sequence, plan.version, (said,)))
        return await sessions.get_session(self.world, OPERATOR, view.session.id)


@pytest.fixture
def agent(world: World) -> Agent:
    return Agent(world)


def numbers(view: SessionView) -> set[tuple[str, int]]:
    return {(lease.protocol, lease.host_port) for lease in view.ports}


async def test_the_next_generation_starts_on_ports_never_tried(
    world: World, started: SessionView, agent: Agent
) -> None:
    planned_before = await hosts.plan_of(world, "vm-1")

    again = await agent.reports(started, SessionReason.PORT_TAKEN, 1)

    assert (again.session.state, again.session.generation) == (SessionState.STARTING, 2)
    assert again.session.reason is SessionReason.NONE
    assert len(again.ports) == len(started.ports) == 3
    assert numbers(again).isdisjoint(numbers(started))
    plan = await hosts.plan_of(world, "vm-1")
    assert plan.version > planned_before.version
    (entry,) = plan.entries
    assert (entry.want_run, entry.session.generation) == (True, 2)
    assert {(lease.protocol, lease.host_port) for lease in entry.ports} == numbers(again)
    assert (plan.vm.active_sessions, plan.vm.used_units) == (1, again.session.units)
    async with world.store.reading() as tx:
        for protocol in ("udp", "tcp"):
            taken = await tx.ports.taken("vm-1", protocol, await tx.now())
            assert taken == {port for p, port in numbers(started) | numbers(again) if p == protocol}


async def test_the_same_report_again_changes_nothing(world: World, started: SessionView, agent: Agent) -> None:
    again = await agent.reports(started, SessionReason.PORT_TAKEN, 1)
    assert (await agent.reports(started, SessionReason.PORT_TAKEN, 1)).session == again.session


async def test_trying_has_an_end_with_a_reason_and_gives_everything_back(
    world: World, started: SessionView, agent: Agent
) -> None:
    for generation in (1, 2):
        await agent.reports(started, SessionReason.PORT_TAKEN, generation)
    ended = await agent.reports(started, SessionReason.PORT_TAKEN, 3)
    assert (ended.session.state, ended.session.reason) == (SessionState.CRASHED, SessionReason.PORT_TAKEN)
    assert ended.session.reason_detail == "udp port 28005 is taken by x"
    assert ended.ports == ()
    plan = await hosts.plan_of(world, "vm-1")
    assert (plan.entries, plan.vm.active_sessions, plan.vm.used_units) == ((), 0, 0)


async def test_a_vm_without_another_port_ends_the_session_at_once(
    world: World, started: SessionView, agent: Agent
) -> None:
    async with world.store.tx() as tx:
        vm = await tx.vms.lock("vm-1")
        assert vm is not None
        first = min(port for _, port in numbers(started))
        await tx.vms.save(replace(vm, media_ports=(first, first + 2), version=vm.version + 1))
    ended = await agent.reports(started, SessionReason.PORT_TAKEN, 1)
    assert (ended.session.state, ended.session.reason) == (SessionState.CRASHED, SessionReason.PORT_TAKEN)


async def test_one_that_is_to_stop_is_not_started_again(world: World, started: SessionView, agent: Agent) -> None:
    await sessions.stop_session(world, OPERATOR, started.session.id, "r-2")
    ended = await agent.reports(started, SessionReason.PORT_TAKEN, 1)
    assert (ended.session.state, ended.session.generation) == (SessionState.STOPPED, 1)
    assert ended.session.reason is SessionReason.STOP_REQUESTED
