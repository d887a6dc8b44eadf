"""A lost host's session starts afresh elsewhere, if its game allows, and never before its lease has lapsed (I2)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controlplane.domain.game import Volume
from controlplane.domain.host import HostState
from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.domain.region import Law
from controlplane.domain.save import SaveSpec
from controlplane.domain.session import Session, SessionState
from controlplane.interfaces import Store
from controlplane.usecases import creation, hosts, replacement, sessions, watch
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.world import World
from tests.component.processor.worlds import world_on
from tests.contract.store.rows import Clock, a_deployment, a_game, a_host, a_vm, next_of

OPERATOR = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)


@pytest.fixture
async def world(clocked_store: Store, tmp_path: Path) -> World:
    async with clocked_store.tx() as tx:
        await tx.catalogue.add_game(a_game())
        await tx.vms.add(a_vm("vm-1", terminate_requested_at=None))
        await tx.hosts.add(a_host("vm-1"))
    return world_on(clocked_store, tmp_path)


async def played_on_a_lost_host(world: World, *, replaceable: bool) -> Session:
    """A session of vm-1, whose host is LOST and was last heard of now."""
    async with world.store.tx() as tx:
        await tx.catalogue.add_deployment(a_deployment(replaceable=replaceable))
    view = await creation.create_session(world, OPERATOR, SessionRequest("orbit"), "r-1")
    assert view.session.vm_id == "vm-1"
    await lose(world)
    return view.session


async def lose(world: World) -> None:
    async with world.store.tx() as tx:
        host = await tx.hosts.lock("vm-1")
        await tx.hosts.save(next_of(host, state=HostState.LOST))
        await watch.mark_reachability(tx, "vm-1", await tx.now(), reachable=False)


async def listened(world: World, clock: Clock, seconds: int) -> None:
    """So long, to hosts that say nothing."""
    until = clock.now + timedelta(seconds=seconds)
    while clock.now < until:
        clock.now = min(until, clock.now + timedelta(seconds=world.policy.silence.feed_lag_s))
        await hosts.beat(world, [])


async def another_machine(world: World) -> None:
    """Of two seats."""
    async with world.store.tx() as tx:
        await tx.vms.add(a_vm("vm-2", terminate_requested_at=None))
        await tx.hosts.add(a_host("vm-2"))


async def seen(world: World, session: Session) -> Session:
    return (await sessions.get_session(world, OPERATOR, session.id)).session


async def test_what_the_lost_host_had_not_stored_is_told_to_be_given_up(world: World, clock: Clock) -> None:
    async with world.store.tx() as tx:
        await tx.catalogue.add_deployment(
            a_deployment(replaceable=True, volumes=(Volume("world", "w"),), saves=SaveSpec(("world",)))
        )
    view = await creation.create_session(world, OPERATOR, SessionRequest("orbit", save_id="mine"), "r-1")
    await lose(world)
    await another_machine(world)
    clock.now += timedelta(seconds=view.session.lease_s + world.policy.silence.lost_after_s)
    assert await replacement.replace_lost(world) == 1
    async with world.store.tx() as tx:
        save = await tx.saves.get(DEFAULT_PROJECT, "mine")
        (told,) = [e for e in await tx.outbox.claim(100, 60) if e.draft.type == "quarterdeck.save.given_up"]
    assert save is not None
    assert save.session_id == view.session.id
    assert save.detail == (
        f"{view.session.name} left vms/vm-1 and begins again with nothing, as there is no version yet: "
        "later files are given up"
    )
    facts = {"session": view.session.name, "generation": 1, "vm": "vms/vm-1", "game": "games/orbit", "current": 0}
    assert (told.draft.subject, told.draft.data) == ("saves/mine", facts)


async def test_it_waits_for_the_lease_and_then_starts_elsewhere_as_its_next_generation(
    world: World, clock: Clock
) -> None:
    session = await played_on_a_lost_host(world, replaceable=True)
    (entry,) = (await hosts.plan_of(world, "vm-1")).entries
    assert entry.lease_s == 600.0
    await another_machine(world)
    clock.now += timedelta(seconds=659)
    assert await replacement.replace_lost(world) == 0
    clock.now += timedelta(seconds=1)
    assert await replacement.replace_lost(world) == 1

    again = await seen(world, session)
    assert (again.state, again.generation, again.vm_id) == (SessionState.STARTING, 2, "vm-2")
    assert again.unreachable_at is None
    assert (await hosts.plan_of(world, "vm-1")).entries == ()
    (entry,) = (await hosts.plan_of(world, "vm-2")).entries
    assert (entry.session.generation, entry.want_run, len(entry.ports)) == (2, True, 3)
    async with world.store.reading() as tx:
        left, taken = await tx.vms.get("vm-1"), await tx.vms.get("vm-2")
    assert left is not None
    assert taken is not None
    assert (left.used_units, left.active_sessions, taken.used_units) == (0, 0, again.units)
    assert await replacement.replace_lost(world) == 0


async def test_a_session_that_told_no_territory_keeps_its_region_though_that_has_a_law_by_now(
    world: World, clock: Clock
) -> None:
    session = await played_on_a_lost_host(world, replaceable=True)
    await another_machine(world)
    async with world.store.tx() as tx:
        region = await tx.shapes.region(session.region_id)
        assert region is not None
        await tx.shapes.save(replace(region, law=Law(allow=frozenset({"DE"}))))
    clock.now += timedelta(seconds=660)
    assert await replacement.replace_lost(world) == 1
    assert (await seen(world, session)).vm_id == "vm-2"


async def test_without_room_it_stays_and_nothing_is_given_back(world: World, clock: Clock) -> None:
    session = await played_on_a_lost_host(world, replaceable=True)
    before = await seen(world, session)
    clock.now += timedelta(seconds=700)
    assert await replacement.replace_lost(world) == 0
    assert await seen(world, session) == before
    async with world.store.reading() as tx:
        vm = await tx.vms.get("vm-1")
        assert vm is not None
        assert vm.active_sessions == 1
        assert len(await tx.ports.of_session(session.id)) == 3


async def test_who_lost_his_host_goes_before_those_who_wait_and_locks_nothing_without_room(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await played_on_a_lost_host(world, replaceable=True)
    async with world.store.tx() as tx:
        vm = await tx.vms.lock("vm-1")
        host = await tx.hosts.lock("vm-1")
        await tx.vms.save(next_of(vm, capacity_units=36))
        await tx.hosts.save(next_of(host, state=HostState.ONLINE))
    second = (await creation.create_session(world, OPERATOR, SessionRequest("orbit"), "r-2")).session
    await lose(world)
    clock.now += timedelta(seconds=659)
    waiting = await creation.create_session(world, OPERATOR, SessionRequest("orbit", queue_timeout_s=900), "r-3")
    clock.now += timedelta(seconds=1)

    looked, place_many = 0, replacement.place_many

    async def counted(*asked: Any, **how: Any) -> Any:
        nonlocal looked
        looked += 1
        return await place_many(*asked, **how)

    monkeypatch.setattr(replacement, "place_many", counted)
    assert await replacement.replace_lost(world) == 0
    assert looked == 0, "each hint of a free slot would lock their host, their VM and them in vain"
    await another_machine(world)
    await replacement.place_all(world)
    states = [(await seen(world, session)).generation for session in (first, second)]
    assert states == [2, 2]
    assert (await seen(world, waiting.session)).state is SessionState.PENDING


async def test_a_game_that_must_not_is_never_re_placed(world: World, clock: Clock) -> None:
    await hosts.beat(world, [])
    session = await played_on_a_lost_host(world, replaceable=False)
    await another_machine(world)
    await listened(world, clock, 899)
    assert await replacement.replace_lost(world) == 0
    assert (await seen(world, session)).vm_id == "vm-1"
    assert await watch.expire_unreachable(world) == 0
    await listened(world, clock, 1)
    assert await watch.expire_unreachable(world) == 1
    assert (await seen(world, session)).state is SessionState.LOST


@pytest.mark.parametrize("back", [True, False])
async def test_after_a_pause_of_ours_a_lost_host_has_time_to_come_back(world: World, clock: Clock, back: bool) -> None:
    await hosts.beat(world, [])
    session = await played_on_a_lost_host(world, replaceable=False)
    await listened(world, clock, 30)
    clock.now += timedelta(hours=1)
    assert await watch.expire_unreachable(world) == 0
    await listened(world, clock, 100)
    assert await watch.expire_unreachable(world) == 0
    if back:
        await hosts.beat(world, ["vm-1"])
    await listened(world, clock, 100)
    assert await watch.expire_unreachable(world) == int(not back)
    assert (await seen(world, session)).state is (session.state if back else SessionState.LOST)
