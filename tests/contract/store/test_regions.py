"""Capacity by region, what moved lately, the tide that is told once, and shapes that are edited and deleted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.domain.errors import WrongState
from controlplane.domain.host import HostState
from controlplane.domain.region import Law
from controlplane.domain.session import SessionReason, SessionState
from controlplane.domain.vm import VmState
from controlplane.interfaces import Flow, RegionFigure, Store
from tests.contract.store.rows import NOW, a_host, a_session, a_vm, at, furnish


async def test_vms_are_counted_by_region_state_and_reach(store: Store) -> None:
    ready = {"capacity_units": 24, "region_id": "eu-west-1"}
    await furnish(
        store,
        a_vm("vm-a", used_units=13, state=VmState.IN_USE, active_sessions=1, **ready),
        a_vm("vm-b", used_units=13, state=VmState.IN_USE, active_sessions=2, **ready),
        a_vm("vm-c", state=VmState.IN_USE, **ready),
        a_vm("vm-d", state=VmState.PROVISIONING),
        a_vm("vm-e", state=VmState.TERMINATED),
    )
    async with store.tx() as tx:
        await tx.hosts.add(a_host("vm-a"))
        await tx.hosts.add(a_host("vm-b"))
        await tx.hosts.add(a_host("vm-c", state=HostState.STALE))
    async with store.reading() as tx:
        assert list(await tx.figures.regions("default")) == [
            RegionFigure("eu-west-1", VmState.IN_USE, False, 1, 0, 24, 0, 2),
            # Eleven units are left on each: together they would make a seat, apart they make none.
            RegionFigure("eu-west-1", VmState.IN_USE, True, 2, 3, 48, 26, 0),
            RegionFigure("local", VmState.PROVISIONING, False, 1, 0, 24, 0, 2),
        ]
        assert list(await tx.figures.regions("other")) == []


async def test_the_flow_counts_what_was_released_since_and_what_waits(store: Store) -> None:
    await furnish(store)
    ended = {"state": SessionState.STOPPED, "reason": SessionReason.IDLE, "vm_id": "vm-1"}
    async with store.tx() as tx:
        await tx.sessions.add(a_session("s-1", **ended, ended_at=at(0)))
        await tx.sessions.add(a_session("s-2", **ended, ended_at=at(5)))
        await tx.sessions.add(a_session("s-old", **ended, ended_at=at(-1)))
        await tx.sessions.add(a_session("s-unplaced", state=SessionState.REJECTED, ended_at=at(5)))
        await tx.sessions.add(a_session("s-3", region_id=""))
        await tx.sessions.add(a_session("s-4", region_id=""))
    async with store.reading() as tx:
        assert list(await tx.figures.flow("default", NOW)) == [Flow("", 0, 2), Flow("local", 2, 0)]
        assert list(await tx.figures.flow("other", NOW)) == []


async def test_a_turn_of_the_tide_is_new_exactly_once(store: Store) -> None:
    async def turn(low: bool) -> int:
        async with store.tx() as tx:
            return await tx.figures.turn("default", "local", low)

    assert [await turn(low) for low in (False, True, True, False, False, True)] == [0, 1, 0, 2, 0, 3]
    async with store.reading() as tx:
        assert await tx.figures.low() == {("default", "local")}
    await turn(False)
    async with store.reading() as tx:
        assert await tx.figures.low() == frozenset()


async def test_regions_keep_their_chain_law_and_mark(store: Store) -> None:
    async with store.tx() as tx:
        region = await tx.shapes.region("eu-west-1")
        assert region is not None
        assert region.chain == ("eu-central-1", "us-east-1", "us-west-2")
        law = Law(frozenset({"IE", "GB"}), frozenset({"RU"}))
        changed = replace(region, chain=("us-east-1",), law=law, low_water_seats=3, max_rented_vms=4)
        await tx.shapes.save(changed)
        assert await tx.shapes.region("eu-west-1") == changed
        preset = await tx.shapes.preset("default-high")
        assert preset is not None
        own = replace(preset, id="orbit-high", project_id="default", game_id="orbit")
        await tx.shapes.add(own)
        assert await tx.shapes.preset("orbit-high") == own
        await tx.shapes.delete(own)
        assert await tx.shapes.preset("orbit-high") is None


async def test_a_shape_that_is_referred_to_cannot_be_deleted(store: Store) -> None:
    await furnish(store, a_vm(state=VmState.TERMINATED))
    async with store.tx() as tx:  # that something is over changes nothing
        await tx.sessions.add(a_session(state=SessionState.STOPPED, reason=SessionReason.IDLE, ended_at=NOW))
    for kind, shape_id, why in (
        ("template", "local", "a VM is or was of it"),
        ("region", "local", "a VM is or was in it"),
        ("preset", "software-720p30", "a session has it or had it, and what is over is kept with it. Edit it"),
    ):
        async with store.reading() as tx:
            shape = await getattr(tx.shapes, kind)(shape_id)
        with pytest.raises(WrongState) as refusal:
            async with store.tx() as tx:
                await tx.shapes.delete(shape)
        assert refusal.value.reason == "SHAPE_IN_USE"
        assert why in refusal.value.message
        async with store.reading() as tx:
            assert await getattr(tx.shapes, kind)(shape_id) == shape
