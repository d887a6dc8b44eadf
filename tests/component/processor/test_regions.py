"""A session lands in the right next region when one is full, forbidden or failing, and the answer says why."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.adapters.store.batch import SqlBatch
from controlplane.api.mapping.compat import find_vm_response, metrics, started_session, vm_capacity
from controlplane.domain.errors import Exhausted, WrongState
from controlplane.domain.host import HostState
from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.domain.placement import PassedOver
from controlplane.domain.region import Law
from controlplane.domain.session import SessionState
from controlplane.domain.vm import Vm, VmState
from controlplane.interfaces import Store
from controlplane.usecases import assignment, availability, capacity, creation, queue, sessions
from controlplane.usecases.assignment import VmWish
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.sessions import SessionView
from controlplane.usecases.world import World
from tests.component.processor.worlds import world_on
from tests.contract.store.rows import PROJECT, a_deployment, a_game, a_host, a_session, a_vm, at

OPERATOR = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)
BERLIN = (52.52, 13.40)


@pytest.fixture
async def world(store: Store, tmp_path: Path) -> World:
    async with store.tx() as tx:
        await tx.catalogue.add_game(a_game(law=Law()))
        await tx.catalogue.add_deployment(a_deployment(ports=(), replaceable=False))
    return world_on(store, tmp_path)


async def machines(world: World, project_id: str = PROJECT, **regions: str) -> None:
    """One VM of two seats with its host in each region: `eu_west_1="READY"`, or "LAST" (one seat free), "FULL",
    "STALE", or a VM's state."""
    for name, kind in regions.items():
        region_id = name.replace("_", "-")
        states = {"LAST": VmState.IN_USE, "FULL": VmState.IN_USE, "STALE": VmState.READY}
        vm = a_vm(
            f"vm-{region_id}",
            project_id=project_id,
            region_id=region_id,
            state=states.get(kind) or VmState(kind),
            used_units={"LAST": 12, "FULL": 24}.get(kind, 0),
            terminate_requested_at=None,
        )
        async with world.store.tx() as tx:
            await tx.vms.add(vm)
            host_state = HostState.STALE if kind == "STALE" else HostState.ONLINE
            await tx.hosts.add(a_host(vm.id, project_id=project_id, state=host_state, last_heartbeat_at=None))


async def asked(world: World, **wish: object) -> SessionView:
    return await creation.create_session(world, OPERATOR, SessionRequest("orbit", **wish), "r-1")  # type: ignore[arg-type]


def name_of(entry: PassedOver) -> str:
    return f"vms/{entry.vm_id}" if entry.vm_id else f"regions/{entry.region_id}"


def told(view: SessionView) -> dict[str, str]:
    return {name_of(entry): entry.why for entry in view.session.passed_over}


async def test_a_full_a_forbidden_and_a_failing_region_are_passed_over_in_order(world: World) -> None:
    await machines(world, eu_west_1="FULL", eu_central_1="READY", us_east_1="STALE", us_west_2="READY")
    async with world.store.tx() as tx:
        frankfurt = await tx.shapes.region("eu-central-1")
        assert frankfurt is not None
        await tx.shapes.save(replace(frankfurt, law=Law(deny=frozenset({"FR"}))))

    view = await asked(world, region_id="eu-west-1", territory="FR")

    assert (view.session.state, view.session.region_id) == (SessionState.STARTING, "us-west-2")
    assert told(view) == {
        "regions/eu-central-1": "may not serve players from FR",
        "regions/eu-west-1": "is full: no free seat on 1 VMs",
        "vms/vm-us-east-1": "its host is STALE",
    }
    assert view.session.reason_detail.startswith("placed in us-west-2: ")
    again = await sessions.get_session(world, OPERATOR, view.session.id)
    assert told(again) == told(view)
    vm = await availability.vm_room(world, OPERATOR, view.session.vm_id)
    assert {entry.reason for entry in started_session(view.session, vm[0], None).passed_over} == {*told(view).values()}


async def test_who_takes_the_last_seat_is_not_told_that_there_was_none(world: World) -> None:
    await machines(world, eu_west_1="FULL", eu_central_1="LAST")
    view = await asked(world, region_id="eu-west-1")
    assert (view.session.region_id, told(view)) == (
        "eu-central-1",
        {"regions/eu-west-1": "is full: no free seat on 1 VMs"},
    )


async def test_the_law_of_the_game_keeps_it_out_of_a_territory(world: World) -> None:
    await machines(world, eu_west_1="READY", us_east_1="READY")
    async with world.store.tx() as tx:
        await tx.catalogue.save_game(a_game(law=Law(allow=frozenset({"US"})), current_deployment=1))
    view = await asked(world, region_id="eu-west-1")
    assert view.session.region_id == "us-east-1"
    assert told(view)["regions/eu-west-1"] == "the game may not run in IE"


async def test_with_coordinates_the_nearest_region_that_has_room_is_taken(world: World) -> None:
    await machines(world, us_east_1="READY", eu_central_1="READY", ap_northeast_1="READY")
    near = await asked(world, coordinates=BERLIN)
    assert (near.session.region_id, told(near)) == ("eu-central-1", {})
    await asked(world, coordinates=BERLIN)
    further = await asked(world, coordinates=BERLIN)
    assert further.session.region_id == "us-east-1"
    assert told(further) == {
        "regions/eu-central-1": "is full: no free seat on 1 VMs",
        "regions/eu-west-1": "has no VM",
    }


async def test_without_room_anywhere_it_waits_and_says_why_and_a_freed_slot_is_taken(world: World) -> None:
    await machines(world, eu_west_1="FULL", eu_central_1="PROVISIONING", ap_northeast_1="READY")
    view = await asked(world, region_id="eu-west-1", queue_timeout_s=60)
    assert (view.session.state, view.queue_position, view.queue_estimate_s) == (SessionState.PENDING, 1, None)
    assert told(view)["regions/eu-central-1"] == "has no VM that takes sessions: 1 PROVISIONING"
    assert told(view)["regions/ap-northeast-1"] == "is not in the fallback chain of eu-west-1"
    await machines(world, us_west_2="READY")
    assert await queue.place_queue(world) == 1
    assert (await sessions.get_session(world, OPERATOR, view.session.id)).session.region_id == "us-west-2"


async def test_those_who_go_anywhere_wait_in_every_region_and_nobody_is_hidden_by_a_crowd(world: World) -> None:
    refused = PassedOver("", "no more may be rented", "eu-west-1", code="REGION_LIMIT")
    async with world.store.tx() as tx:
        crowd = [a_session(f"s-{n:03d}", region_id="", created_at=at(n)) for n in range(120)]
        last = a_session("s-last", region_id="eu-west-1", created_at=at(200), passed_over=(refused,))
        await tx.batch.add_sessions([*crowd, last])
    rooms = {room.region_id: room for room in await capacity.capacities(world, OPERATOR)}
    assert [(room.waiting, room.waiting_anywhere) for room in map(rooms.get, ("eu-west-1", "us-east-1")) if room] == [
        (121, 120),
        (120, 120),
    ]
    assert (rooms["eu-west-1"].blocked, rooms["us-east-1"].blocked) == ("REGION_LIMIT: no more may be rented", "")


async def test_find_reserves_nothing_and_names_what_a_session_then_gets(world: World) -> None:
    await machines(world, eu_west_1="FULL", eu_central_1="READY")
    found = await assignment.find_vm(world, OPERATOR, VmWish("orbit", region_id="eu-west-1"))
    assert found.vm is not None
    assert (found.vm.id, found.units, found.vm.used_units) == ("vm-eu-central-1", 12, 0)
    assert [(name_of(entry), entry.why) for entry in found.passed_over] == [
        ("regions/eu-west-1", "is full: no free seat on 1 VMs")
    ]
    assert (await asked(world, region_id="eu-west-1")).session.vm_id == found.vm.id


async def test_find_names_what_it_looked_for_what_to_make_and_no_slot_that_somebody_waits_for(world: World) -> None:
    wish = VmWish("orbit", "default-high", "eu-west-1")
    nothing = find_vm_response(await assignment.find_vm(world, OPERATOR, wish))
    assert (nothing.found, nothing.preset, nothing.template_id) == (False, "default-high", "RTX-4060")
    waiting = await asked(world, region_id="eu-west-1", preset_id="default-high")
    await machines(world, eu_west_1="READY")
    behind = find_vm_response(await assignment.find_vm(world, OPERATOR, wish))
    assert (behind.found, [entry.reason for entry in behind.passed_over]) == (False, ["others wait for the same"])
    await sessions.stop_session(world, OPERATOR, waiting.session.id, "r")
    found = find_vm_response(await assignment.find_vm(world, OPERATOR, wish))
    assert (found.vm.vm_id, found.preset, found.template_id) == ("vm-eu-west-1", "default-high", "")


async def test_find_names_no_vm_that_the_games_session_would_be_refused_on(world: World) -> None:
    await machines(world, eu_west_1="READY")
    async with world.store.tx() as tx:
        host = await tx.hosts.lock("vm-eu-west-1")
        assert host is not None
        bare = replace(host.inventory, runtimes=("process",))
        await tx.hosts.save(replace(host, inventory=bare, version=host.version + 1))
    assert (await assignment.find_vm(world, OPERATOR, VmWish())).vm is not None

    found = await assignment.find_vm(world, OPERATOR, VmWish("orbit"))

    assert found.vm is None
    with pytest.raises(Exhausted) as refusal:
        await asked(world, queue_timeout_s=0)
    assert [entry.why for entry in found.passed_over if entry.vm_id] == ["its host runs no containers"]
    assert "its host runs no containers" in str(refusal.value)


async def test_find_looks_behind_many_vms_that_have_too_little_left(world: World) -> None:
    async with world.store.tx() as tx:
        for number in range(60):
            vm = a_vm(f"vm-{number:02d}", region_id="eu-west-1", used_units=20, terminate_requested_at=None)
            await tx.vms.add(vm)
            await tx.hosts.add(a_host(vm.id, last_heartbeat_at=None))
    await machines(world, eu_west_1="READY")
    found = await assignment.find_vm(world, OPERATOR, VmWish("orbit", region_id="eu-west-1"))
    assert found.vm is not None
    assert (await asked(world, region_id="eu-west-1")).session.vm_id == found.vm.id


async def test_a_waiting_session_is_assigned_to_one_vm_and_released_from_it(world: World) -> None:
    await machines(world, eu_west_1="FULL")
    view = await asked(world, region_id="eu-west-1", queue_timeout_s=60)
    await machines(world, ap_northeast_1="READY")
    with pytest.raises(Exhausted):
        await assignment.assign_session(world, OPERATOR, view.session.id, "vm-eu-west-1", "r")

    bound = await assignment.assign_session(world, OPERATOR, view.session.id, "vm-ap-northeast-1", "r")

    assert (bound.session.state, bound.session.vm_id) == (SessionState.STARTING, "vm-ap-northeast-1")
    again = await assignment.assign_session(world, OPERATOR, view.session.id, "vm-ap-northeast-1", "r")
    assert again.session == bound.session
    with pytest.raises(WrongState):
        await assignment.release_session(world, OPERATOR, "vm-eu-west-1", view.session.id, "r")
    released = await assignment.release_session(world, OPERATOR, "vm-ap-northeast-1", view.session.id, "r")
    assert released.session.state is SessionState.STOPPING
    with pytest.raises(WrongState):
        await assignment.assign_session(world, OPERATOR, view.session.id, "vm-eu-west-1", "r2")


async def test_low_capacity_is_told_by_default_where_machines_are_in_service_and_nowhere_else(world: World) -> None:
    async with world.store.reading() as tx:
        assert {region.low_water_seats for region in await tx.shapes.regions()} == {1}
    assert await capacity.watch_tides(world) == 0, "there is nothing to run low"
    await machines(world, eu_west_1="READY", us_east_1="BOOTING", us_west_2="ERROR")
    assert await capacity.watch_tides(world) == 0
    views = [await asked(world, region_id="eu-west-1") for _ in range(2)]
    assert [view.session.vm_id for view in views] == ["vm-eu-west-1"] * 2
    assert [await capacity.watch_tides(world) for _ in range(2)] == [1, 0]
    async with world.store.tx() as tx:
        told = [event for event in await tx.outbox.claim(100, 1.0) if "region" in event.draft.type]
    assert [(e.draft.type, e.draft.subject, e.draft.data["free_seats"]) for e in told] == [
        ("quarterdeck.region.low_capacity", "regions/eu-west-1", 0)
    ]


async def test_where_no_tide_turns_nothing_is_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await machines(world, eu_west_1="READY", us_east_1="FULL")
    assert [await capacity.watch_tides(world) for _ in range(2)] == [1, 0]
    monkeypatch.setattr(type(world.store), "tx", None)
    assert await capacity.watch_tides(world) == 0


async def test_what_is_away_counts_nowhere_as_capacity(world: World) -> None:
    await machines(world, eu_west_1="READY", us_east_1="STALE")
    rooms = await capacity.capacities(world, OPERATOR)
    told = metrics(await availability.vm_figures(world, OPERATOR), rooms)
    assert (told.total_vms, told.total_capacity, told.available_capacity) == (2, 2, sum(r.free_slots for r in rooms))
    taking = [vm_capacity(*await availability.vm_room(world, OPERATOR, vm)) for vm in ("vm-eu-west-1", "vm-us-east-1")]
    assert [one.accepts_sessions for one in taking] == [True, False]


async def test_vms_that_are_away_hide_none_that_is_free(world: World) -> None:
    async with world.store.tx() as tx:
        for number in range(120):
            vm = a_vm(f"vm-{number:03d}", region_id="eu-west-1", used_units=13, terminate_requested_at=None)
            await tx.vms.add(vm)
            await tx.hosts.add(a_host(vm.id, last_heartbeat_at=None))
    await machines(world, eu_west_1="READY")
    assert [vm.id for vm in await availability.available_vms(world, OPERATOR, "eu-west-1")] == ["vm-eu-west-1"]


async def test_low_capacity_is_told_to_every_project_of_its_own_machines(world: World) -> None:
    async with world.store.tx() as tx:
        await tx.credentials.put_project("other")
    await machines(world, "other", eu_west_1="FULL")
    assert [await capacity.watch_tides(world) for _ in range(2)] == [1, 0]
    async with world.store.tx() as tx:
        told = [event.draft for event in await tx.outbox.claim(100, 1.0) if "region" in event.draft.type]
    assert [(draft.project_id, draft.subject, draft.data["free_seats"]) for draft in told] == [
        ("other", "regions/eu-west-1", 0)
    ]


async def test_low_capacity_is_told_once_and_again_only_after_it_had_risen(world: World) -> None:
    async with world.store.tx() as tx:
        dublin = await tx.shapes.region("eu-west-1")
        assert dublin is not None
        await tx.shapes.save(replace(dublin, low_water_seats=2))
    await machines(world, eu_west_1="READY")
    assert await capacity.watch_tides(world) == 0
    view = await asked(world, region_id="eu-west-1")
    assert [await capacity.watch_tides(world) for _ in range(2)] == [1, 0]
    await assignment.release_session(world, OPERATOR, "vm-eu-west-1", view.session.id, "r")
    room = {one.region_id: one for one in await capacity.capacities(world, OPERATOR)}["eu-west-1"]
    assert (room.available, room.free_slots, room.active_sessions, room.expected_wait_s) == (1, 1, 1, 0.0)
    async with world.store.tx() as tx:
        told = [event for event in await tx.outbox.claim(100, 1.0) if "region" in event.draft.type]
    assert [(e.draft.type, e.draft.subject, e.draft.data["free_seats"]) for e in told] == [
        ("quarterdeck.region.low_capacity", "regions/eu-west-1", 1)
    ]


async def test_who_waits_gets_a_vm_that_somebody_else_holds_at_this_moment(
    world: World, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else those who create sessions, one batch after another, would always be first."""
    await machines(world, eu_west_1="FULL")
    view = await asked(world, region_id="eu-west-1", queue_timeout_s=60)
    await machines(world, us_east_1="READY")
    waits, lock_vms = asyncio.Event(), SqlBatch.lock_vms

    async def told(batch: SqlBatch, vm_ids: Sequence[str], *, wait: bool) -> Sequence[Vm]:
        if wait:
            waits.set()
        return await lock_vms(batch, vm_ids, wait=wait)

    monkeypatch.setattr(SqlBatch, "lock_vms", told)
    async with world.store.tx() as tx:
        await tx.vms.lock("vm-us-east-1")
        placing, waiting = asyncio.ensure_future(queue.place_queue(world)), asyncio.ensure_future(waits.wait())
        if store_url.startswith("postgres"):  # SQLite has one writer at a time
            await asyncio.wait([placing, waiting], return_when=asyncio.FIRST_COMPLETED)
    assert await placing == 1
    waiting.cancel()
    assert (await sessions.get_session(world, OPERATOR, view.session.id)).session.vm_id == "vm-us-east-1"
