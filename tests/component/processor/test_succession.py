"""VMs are replaced one after another: successors are ready first, no session is ended, limits hold, failures stop."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.errors import AlreadyExists, NotFound, Unavailable, WrongState
from controlplane.domain.pool import Pool
from controlplane.domain.session import SessionState
from controlplane.domain.succession import Replacement, ReplacementState
from controlplane.domain.vm import PLACEABLE, VmState
from controlplane.interfaces import Page, Tx
from controlplane.usecases import pools, succession, vms
from controlplane.usecases.vms import VmRequest
from controlplane.usecases.world import World
from tests.component.processor.renting_rig import OPERATOR, START, Rig

S = ReplacementState
WARM = Pool("warm", "", "cloud", "eu-west-1", "L4-90", START, min_free_slots=3, max_vms=9, idle_after_s=10_000)


async def advance(rig: Rig, rounds: int = 1) -> None:
    """Both processors take the same steps at once."""
    for _ in range(rounds):
        await asyncio.gather(succession.advance(rig.world), succession.advance(rig.other))
        await rig.round()


async def rows(rig: Rig) -> Sequence[Replacement]:
    return sorted(await succession.list_replacements(rig.world, OPERATOR, Page()), key=lambda row: row.id)


async def states(rig: Rig) -> list[ReplacementState]:
    return [row.state for row in await rows(rig)]


async def warmed(rig: Rig, most: int) -> list[str]:
    """A pool of two machines."""
    await rig.furnish(eu_west_1=most)
    await pools.create_pool(rig.world, OPERATOR, WARM, "r")
    for _ in range(2):
        await rig.round()
    return sorted(vm.id for vm in await rig.vms(*PLACEABLE))


async def test_a_series_that_the_last_release_began_is_not_begun_again(rig: Rig) -> None:
    """It named a series by the client token, and kept nothing else of that."""
    old = await warmed(rig, most=3)
    series = "r-" + hashlib.sha256(f"{OPERATOR.project_id}/once".encode()).hexdigest()[:20]
    begun = Replacement(f"{series}-000", OPERATOR.project_id, series, "pools/warm", old[0], S.DONE, START, START)
    async with rig.store.tx() as tx:
        await tx.replacements.add(begun)
    with pytest.raises(AlreadyExists):
        await succession.replace_vms(rig.world, OPERATOR, "templates/L4-90", "once", "r")
    for _ in range(2):
        assert await succession.replace_vms(rig.world, OPERATOR, "pools/warm", "once", "r") == [begun]
    assert await rows(rig) == [begun]


async def test_a_pool_is_replaced_one_by_one_and_the_session_plays_on(rig: Rig) -> None:
    old = await warmed(rig, most=3)
    session = await rig.ask()
    assert session.session.vm_id in old
    queued = await succession.replace_vms(rig.world, OPERATOR, "pools/warm", "once", "r")
    assert [row.vm_id for row in queued] == old
    assert await succession.replace_vms(rig.world, OPERATOR, "pools/warm", "once", "r") == queued
    assert await succession.replace_vms(rig.world, OPERATOR, "templates/L4-90", "", "r") == []
    with pytest.raises(AlreadyExists):
        await succession.replace_vms(rig.world, OPERATOR, f"vms/{old[0]}", "once", "r")

    ended = False
    for _ in range(30):
        await advance(rig)
        now = await rows(rig)
        assert sum(row.state in (S.RENTING, S.DRAINING) for row in now) <= 1
        for row in now:  # nobody is drained before the successor takes sessions
            if row.state is S.DRAINING:
                async with rig.store.reading() as tx:
                    successor = await tx.vms.get(row.successor_id)
                assert successor is not None
                assert successor.state in PLACEABLE
        waits_for_it = [row for row in now if (row.state, row.vm_id) == (S.DRAINING, session.session.vm_id)]
        if waits_for_it and not ended:
            assert (await rig.see(session)).session.state is SessionState.STARTING
            await rig.end(session)
            ended = True
        if all(row.finished for row in now):
            break
    assert await states(rig) == [S.DONE, S.DONE]
    assert ended
    new = {vm.id for vm in await rig.vms(*PLACEABLE)}
    assert new == {row.successor_id for row in await rows(rig)}
    gone = [vm for vm in await rig.vms() if vm.id in old]
    assert [vm.state for vm in gone] == [VmState.TERMINATED] * 2
    assert len(rig.cloud.machines) == 2


async def test_the_limit_of_the_region_holds_and_says_so(rig: Rig) -> None:
    await warmed(rig, most=2)
    await succession.replace_vms(rig.world, OPERATOR, "pools/warm", "", "r")
    await advance(rig, 2)
    first, _ = await rows(rig)
    assert (first.state, first.detail) == (S.QUEUED, "REGION_LIMIT: 2 of 2 machines are rented here")
    async with rig.store.tx() as tx:
        region = await tx.shapes.region("eu-west-1")
        assert region is not None
        await tx.shapes.save(replace(region, max_rented_vms=3))
    await advance(rig, 12)
    assert await states(rig) == [S.DONE, S.DONE]


async def test_a_successor_that_fails_ends_the_series_and_the_old_ones_stay(rig: Rig) -> None:
    old = await warmed(rig, most=3)
    await succession.replace_vms(rig.world, OPERATOR, "templates/L4-90", "", "r")
    rig.cloud.sold_out = {"eu-west-1"}
    await advance(rig, 4)
    failed, rest = await rows(rig)
    assert (failed.state, rest.state) == (S.FAILED, S.CANCELLED)
    assert "SOLD_OUT: none left" in failed.detail
    assert rest.detail == f"vms/{failed.vm_id} could not be replaced"
    assert sorted(vm.id for vm in await rig.vms(*PLACEABLE)) == old


async def test_an_operators_own_machine_is_replaced_beyond_the_limits_and_an_owned_one_is_refused(rig: Rig) -> None:
    await rig.furnish(budget=0)
    wish = VmRequest("mine", "eu-west-1", "L4-90", provider="cloud")
    await vms.create_vm(rig.world, OPERATOR, wish, "r")
    await vms.create_vm(rig.world, OPERATOR, VmRequest("owned", "eu-west-1", "L4-90"), "r")
    with pytest.raises(WrongState, match="PROVISIONING"):
        await succession.replace_vms(rig.world, OPERATOR, "vms/mine", "", "r")
    await rig.round()
    for scope, error in (("vms/owned", WrongState), ("vms/none", NotFound), ("pools/none", NotFound)):
        with pytest.raises(error):
            await succession.replace_vms(rig.world, OPERATOR, scope, "", "r")
    await succession.replace_vms(rig.world, OPERATOR, "vms/mine", "", "r")
    await advance(rig, 6)
    (row,) = await rows(rig)
    assert row.state is S.DONE
    assert [(vm.id, vm.state) for vm in await rig.vms(*PLACEABLE)] == [(row.successor_id, VmState.READY)]
    rig.now += timedelta(days=1)
    await rig.round()
    assert [vm.id for vm in await rig.vms(*PLACEABLE)] == [row.successor_id]  # still an operator's


async def test_what_has_not_begun_is_called_off_and_what_is_put_into_service_again_stays(rig: Rig) -> None:
    await warmed(rig, most=3)
    session = await rig.ask()
    await succession.replace_vms(rig.world, OPERATOR, "pools/warm", "", "r")
    while (await states(rig))[0] is not S.DRAINING:
        await advance(rig)
    first, second = await rows(rig)
    assert (first.vm_id, second.state) == (session.session.vm_id, S.QUEUED)
    called_off = await succession.cancel_series(rig.world, OPERATOR, second.id, "r")
    assert [row.state for row in called_off] == [S.DRAINING, S.CANCELLED]
    await vms.undrain_vm(rig.world, OPERATOR, first.vm_id, "r")
    await advance(rig)
    again, _ = await rows(rig)
    assert (again.state, again.detail) == (S.CANCELLED, f"vms/{first.vm_id} was put into service again")
    assert (await rig.see(session)).session.state is SessionState.STARTING
    with pytest.raises(NotFound):
        await succession.cancel_series(rig.world, OPERATOR, "none", "r")


async def test_a_step_that_breaks_stops_no_other_series(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = await warmed(rig, most=4)
    for vm_id in (first, second):
        await succession.replace_vms(rig.world, OPERATOR, f"vms/{vm_id}", "", "r")
    broken = (await rows(rig))[0].vm_id
    begin = succession._begin

    async def breaks(tx: Tx, world: World, row: Replacement, *rest: Any) -> Replacement:
        if row.vm_id == broken:
            raise ValueError("nobody had thought of it")
        return await begin(tx, world, row, *rest)

    monkeypatch.setattr(succession, "_begin", breaks)
    with pytest.raises(ExceptionGroup):
        await succession.advance(rig.world)
    assert await states(rig) == [S.QUEUED, S.RENTING]


async def test_a_step_that_breaks_is_told_though_the_database_goes_away_after_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for vm_id in await warmed(rig, most=4):
        await succession.replace_vms(rig.world, OPERATOR, f"vms/{vm_id}", "", "r")
    faults: list[Exception] = [ValueError("nobody had thought of it"), Unavailable("AWAY", "not now")]

    async def breaks(*_: Any) -> Replacement:
        raise faults.pop(0)

    monkeypatch.setattr(succession, "_begin", breaks)
    with pytest.raises(ExceptionGroup) as group:
        await succession.advance(rig.world)
    assert [type(error) for error in group.value.exceptions] == [ValueError, Unavailable]
