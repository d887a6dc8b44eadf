"""VMs that are to be terminated: what still becomes of them, and what is told meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from controlplane.api.mapping.compat import vm_dto
from controlplane.domain.errors import WrongState
from controlplane.domain.provisioning import Phase
from controlplane.domain.region import Law
from controlplane.domain.session import SessionState
from controlplane.domain.template import Preset
from controlplane.domain.vm import VmState
from controlplane.interfaces import Page
from controlplane.usecases import hosts, vm_states, vms, watch
from tests.contract.store.rows import a_deployment, a_game, a_session, a_vm
from tests.unit.usecases.rig import OPERATOR, Rig, away, held, swept


async def playing(rig: Rig) -> None:
    async with rig.world.store.tx() as tx:
        vm = await tx.vms.lock("v")
        assert vm is not None
        await tx.vms.save(vm.take(12, rig.now)[0])
        await tx.catalogue.add_game(a_game(law=Law()))
        await tx.catalogue.add_deployment(a_deployment())
        await tx.shapes.add(Preset("seat", "Seat", 640, 360, 30, 900, 500, 1500, "p3"))
        row = a_session(vm_id="v", deployment_number=1, preset_id="seat", units=12, save_id="", lost_after_s=300)
        alone = {"state": SessionState.RUNNING, "ended_at": None, "unreachable_at": rig.now, "lease_s": 0.0}
        await tx.sessions.add(replace(row, **alone))


@pytest.mark.parametrize("force_first", [True, False])
async def test_a_vm_that_is_to_end_with_its_last_session_ends_though_its_machine_is_gone(force_first: bool) -> None:
    rig = await held()
    await playing(rig)
    rig.provider.machines.clear()
    await away(rig)
    if force_first:
        await vms.terminate_vm(rig.world, OPERATOR, "v", "", force=True)
    await swept(rig, 2)
    assert (await rig.vm())[1].phase is Phase.RELEASED
    if not force_first:
        await vms.terminate_vm(rig.world, OPERATOR, "v", "", force=True)
    assert (await rig.vm())[0].state is not VmState.TERMINATED, "a session is bound to it yet"
    for _ in range(100):  # others are heard all the time: only then does silence count
        rig.now += timedelta(seconds=3)
        await hosts.beat(rig.world, [])
    assert await watch.expire_unreachable(rig.world) == 1
    vm, _ = await rig.vm()
    assert (vm.state, vm.active_sessions) == (VmState.TERMINATED, 0)


async def test_nothing_is_put_into_service_that_is_being_terminated() -> None:
    rig = await held()
    await vm_states.fail_vm(rig.world, OPERATOR, "v", "", reason="smoke")
    await vms.terminate_vm(rig.world, OPERATOR, "v", "", force=False)
    with pytest.raises(WrongState, match="is being terminated"):
        await vm_states.mark_vm_ready(rig.world, OPERATOR, "v", "")
    await rig.until(VmState.TERMINATED, Phase.RELEASED)


async def test_a_stopped_vm_is_not_started_while_it_is_being_terminated() -> None:
    rig = await held()
    await vm_states.stop_vm(rig.world, OPERATOR, "v", "")
    await rig.until(VmState.STOPPED, Phase.PARKED)
    await vms.terminate_vm(rig.world, OPERATOR, "v", "", force=False)
    with pytest.raises(WrongState, match="is being terminated"):
        await vm_states.start_vm(rig.world, OPERATOR, "v", "")


async def test_an_error_stays_told_while_its_vm_is_being_terminated() -> None:
    rig = await held()
    await vm_states.fail_vm(rig.world, OPERATOR, "v", "", reason="GPU_FAILURE: fell off the bus")
    vm = await vms.terminate_vm(rig.world, OPERATOR, "v", "", force=False, reason="worn out")
    told = vm_dto(vm)
    assert (told.error_code, told.error_message) == ("GPU_FAILURE", "fell off the bus; to be terminated: worn out")
    await vms.terminate_vm(rig.world, OPERATOR, "v", "", force=False, reason="broken")
    for reason in ("worn out", ""):
        vm = await vms.terminate_vm(rig.world, OPERATOR, "v", "", force=False, reason=reason)
        assert vm.reason_detail == "GPU_FAILURE: fell off the bus; to be terminated: worn out"
    await rig.until(VmState.TERMINATED, Phase.RELEASED)
    (last, *_) = await vm_states.list_transitions(rig.world, OPERATOR, "v", Page())
    assert (last.state, last.detail) == ("TERMINATED", "GPU_FAILURE: fell off the bus; to be terminated: worn out")


def test_an_error_of_a_code_alone_is_taken_apart_too() -> None:
    vm = a_vm(state=VmState.ERROR, reason_detail="GPU_FAILURE; to be terminated: worn out")
    assert (vm_dto(vm).error_code, vm_dto(vm).error_message) == ("GPU_FAILURE", "to be terminated: worn out")
