"""Sessions whose deployment asks for one port of the host: who gets it, who waits and why, and whose it stays."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.domain.errors import Conflict, Exhausted, WrongState
from controlplane.domain.game import PortSpec
from controlplane.domain.session import SessionReason, SessionState
from controlplane.interfaces import Page, Store
from controlplane.usecases import assignment, creation, games, ports, queue, sessions
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.ports import PortRequest
from controlplane.usecases.sessions import SessionView
from controlplane.usecases.world import World
from tests.component.processor.test_other_ports import OPERATOR, Agent, world_on
from tests.contract.store.rows import a_deployment, a_game, a_host, a_vm, furnish

GAME = PortSpec("game", "tcp", 80, 25565)
HERE = PortRequest("vm-1", "tcp", "the orbit", 25565, "orbit")


@pytest.fixture
async def world(store: Store, tmp_path: Path) -> World:
    return world_on(store, tmp_path)


@pytest.fixture(autouse=True)
async def fleet(store: Store) -> None:
    """Two VMs; games "orbit" and "moon" ask for the same port."""
    await furnish(store, *(a_vm(vm_id, terminate_requested_at=None) for vm_id in ("vm-1", "vm-2")))
    async with store.tx() as tx:
        await tx.catalogue.add_game(a_game("moon"))
        for game_id in ("orbit", "moon"):
            await tx.catalogue.add_deployment(a_deployment(game_id, ports=(GAME, PortSpec("any", "tcp"))))
        for vm_id in ("vm-1", "vm-2"):
            await tx.hosts.add(a_host(vm_id, epoch=1, report_sequence=0))


async def start(world: World, game_id: str = "orbit", wait_s: float = 0) -> SessionView:
    return await creation.create_session(world, OPERATOR, SessionRequest(game_id, queue_timeout_s=wait_s), "r")


def number(view: SessionView) -> dict[str, int]:
    return {lease.port_name: lease.host_port for lease in view.ports}


async def test_each_vm_gives_it_once_and_then_says_who_has_it(world: World) -> None:
    first, second = await start(world), await start(world, "moon")
    assert number(first)["game"] == number(second)["game"] == 25565
    assert {first.session.vm_id, second.session.vm_id} == {"vm-1", "vm-2"}
    with pytest.raises(Exhausted) as refused:
        await start(world)
    for held in (first, second):
        told = f"vms/{held.session.vm_id} its tcp port 25565 is held by sessions/{held.session.id}"
        assert told in refused.value.message
    waiting = await start(world, wait_s=60)
    assert waiting.session.state is SessionState.PENDING
    assert "25565 is held by" in waiting.session.reason_detail


async def test_two_of_one_batch_do_not_both_get_it(world: World) -> None:
    found = await asyncio.gather(*(start(world, wait_s=60) for _ in range(4)))
    bound = [view.session.vm_id for view in found if view.session.vm_id]
    assert sorted(bound) == ["vm-1", "vm-2"]


async def test_who_waits_for_it_gets_it_after_its_rest(world: World) -> None:
    first, second, waiting = await start(world), await start(world), await start(world, wait_s=600)
    await Agent(world).reports(first, SessionReason.GAME_EXITED, 1)
    assert await queue.place_queue(world) == 0
    with pytest.raises(Exhausted, match=f"rests until .* UTC after sessions/{first.session.id}"):
        await start(world, "moon")
    without_rest = replace(world, policy=replace(world.policy, port_quarantine_s=0.0))
    await Agent(without_rest, "vm-2").reports(second, SessionReason.GAME_EXITED, 1)
    assert await queue.place_queue(world) == 1
    placed = await sessions.get_session(world, OPERATOR, waiting.session.id)
    assert (placed.session.vm_id, number(placed)["game"]) == ("vm-2", 25565)


async def test_a_reserved_port_is_for_its_game_alone(world: World) -> None:
    for vm_id in ("vm-1", "vm-2"):
        await ports.allocate_port(world, OPERATOR, replace(HERE, vm_id=vm_id), "r")
    with pytest.raises(Exhausted, match="reserved for the orbit"):
        await start(world, "moon")
    mine = await start(world)
    assert number(mine)["game"] == 25565
    with pytest.raises(Conflict, match="held by"):
        await ports.allocate_port(world, OPERATOR, replace(HERE, vm_id=mine.session.vm_id), "r")


async def test_a_reservation_outlives_its_sessions_and_may_end_before_them(
    world: World,
) -> None:
    await ports.allocate_port(world, OPERATOR, HERE, "r")
    view = await start(world)
    assert view.session.vm_id == "vm-1"
    await Agent(world).reports(view, SessionReason.GAME_EXITED, 1)
    (kept,) = [lease for lease in (await ports.list_ports(world, OPERATOR, "vm-1", Page()))[0] if lease.purpose]
    assert (kept.session_id, kept.purpose) == (view.session.id, "the orbit")
    await ports.release_port(world, OPERATOR, "vm-1", "tcp", 25565, "r")
    with pytest.raises(WrongState):
        await ports.release_port(world, OPERATOR, "vm-1", "tcp", 25565, "r")


async def test_a_fixed_port_that_a_stranger_holds_ends_the_session_with_its_name(
    world: World,
) -> None:
    view = await start(world)
    ended = await Agent(world).reports(view, SessionReason.PORT_TAKEN, 1)
    assert (ended.session.state, ended.session.reason) == (SessionState.CRASHED, SessionReason.PORT_TAKEN)
    assert "is taken by x" in ended.session.reason_detail


async def test_a_vm_of_the_operators_choice_says_why_it_cannot(world: World) -> None:
    await ports.allocate_port(world, OPERATOR, replace(HERE, purpose="a tape robot", game_id=""), "r")
    await ports.allocate_port(world, OPERATOR, replace(HERE, vm_id="vm-2", game_id="moon"), "r")
    waiting = await start(world, wait_s=60)
    with pytest.raises(WrongState, match="tcp port 25565 is reserved for a tape robot"):
        await assignment.assign_session(world, OPERATOR, waiting.session.id, "vm-1", "r")


async def test_ports_that_the_kernel_gives_away_are_not_leased(world: World, store: Store) -> None:
    async with store.tx() as tx:
        for vm_id, given_away in (("vm-1", ((28000, 28009),)), ("vm-2", ((25000, 26000),))):
            host = await tx.hosts.lock(vm_id)
            assert host is not None
            told = replace(host.inventory, ephemeral_ports=given_away)
            await tx.hosts.save(replace(host, inventory=told, version=host.version + 1))
    view = await start(world)
    assert (view.session.vm_id, number(view)["any"], number(view)["media"]) == ("vm-1", 28010, 28010)
    with pytest.raises(Exhausted, match="ip_local_reserved_ports=25565"):
        await start(world)


async def test_a_deployment_whose_port_no_machine_may_give_is_refused(world: World) -> None:
    again = replace(a_deployment("moon", ports=(GAME,)), command=("another",))
    await ports.allocate_port(world, OPERATOR, HERE, "r")
    await start(world, "moon")  # on vm-2: what a session holds comes free again
    assert (await games.create_deployment(world, OPERATOR, again, "r")).number == 2
    (held,) = [
        lease for lease in (await ports.list_ports(world, OPERATOR, "vm-2", Page()))[0] if lease.host_port == 25565
    ]
    assert held.session_id
    async with world.store.tx() as tx:
        host = await tx.hosts.lock("vm-2")
        assert host is not None
        told = replace(host.inventory, ephemeral_ports=((25000, 26000),))
        await tx.hosts.save(replace(host, inventory=told, version=host.version + 1))
    third = replace(again, command=("a third",))
    with pytest.raises(WrongState) as refused:
        await games.create_deployment(world, OPERATOR, third, "r")
    assert "vms/vm-1: its tcp port 25565 is reserved for the orbit" in refused.value.message
    assert "vms/vm-2: its kernel gives ports 25565" in refused.value.message
    elsewhere = replace(third, ports=(PortSpec("game", "tcp", 80, 27000),))
    assert (await games.create_deployment(world, OPERATOR, elsewhere, "r")).number == 3
