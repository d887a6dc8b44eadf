"""What goes wrong with a machine that was ours already, and the history of everything that was tried."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from controlplane.domain.attempt import Failure, Offer, Outcome, Purpose
from controlplane.domain.errors import Conflict, WrongState
from controlplane.domain.host import Inventory
from controlplane.domain.instance import InstanceState, ProviderRefused
from controlplane.domain.provisioning import Phase
from controlplane.domain.rental import without_offer
from controlplane.domain.retry import FailureKind, Remedy
from controlplane.domain.vm import VmState
from controlplane.interfaces import Tx
from controlplane.usecases import hosts, vm_states, vms
from controlplane.usecases.provisioning import Worker
from tests.unit.usecases.rig import OPERATOR, START, Rig, away, held, swept

NO = ProviderRefused(Failure(FailureKind.PROVIDER_API, "NOT_NOW", "maintenance", Remedy.RETRY))
NEVER = ProviderRefused(Failure(FailureKind.PROVIDER_API, "FORBIDDEN", "this key may not", Remedy.GIVE_UP))


async def test_every_attempt_is_on_record_with_its_offer_its_failure_and_the_time_of_the_next() -> None:
    rig = Rig(lost=["refused", "not_done", "done"])
    await rig.rent()
    await rig.until(VmState.READY, Phase.HELD)
    first, second, third = await rig.attempts()
    assert [entry.number for entry in (first, second, third)] == [1, 2, 3]
    assert [entry.purpose for entry in (first, second, third)] == [Purpose.RENT] * 3
    assert [entry.outcome for entry in (first, second, third)] == [Outcome.FAILED, Outcome.FAILED, Outcome.SUCCEEDED]
    assert first.failure is not None
    assert (first.failure.kind, first.failure.remedy) == (FailureKind.PROVISIONING, Remedy.ANOTHER_OFFER)
    assert (first.failure.code, first.failure.message) == ("SOLD_OUT", "none left")
    assert second.failure is not None
    assert (second.failure.kind, second.failure.code) == (FailureKind.NETWORK, "NO_REPLY")
    assert (third.failure, third.next_attempt_at, third.instance_id) == (None, None, "i-1")
    assert [entry.offer.machine_type for entry in (first, second, third) if entry.offer] == ["a", "b", "b"]
    assert third.offer is not None
    assert (third.offer.provider, third.offer.region_id, third.offer.price_micro_per_hour) == ("fake", "local", 100)
    for earlier, later in ((first, second), (second, third)):
        assert earlier.ended_at is not None
        assert earlier.next_attempt_at is not None
        assert earlier.started_at <= earlier.ended_at < earlier.next_attempt_at <= later.started_at
    assert third.ended_at is not None


async def test_an_attempt_that_is_under_way_is_on_record_and_one_that_is_called_off_too() -> None:
    rig = Rig()
    rig.provider.silent = True
    await rig.rent()
    await rig.tick()
    (entry,) = await rig.attempts()
    assert (entry.outcome, entry.started_at, entry.ended_at) == (Outcome.OPEN, START, None)
    await vms.terminate_vm(rig.world, OPERATOR, "v", "", force=False)
    await rig.until(VmState.TERMINATED, Phase.RELEASED)
    (entry,) = await rig.attempts()
    assert (entry.outcome, entry.failure) == (Outcome.CALLED_OFF, None)


async def test_a_vm_that_waits_in_error_tells_the_newest_failure_and_keeps_what_an_operator_said() -> None:
    rig = Rig(lost=["refused", "refused"])
    await rig.rent()
    reasons = set()
    for _ in range(40):
        await rig.tick()
        reasons.add((await rig.vm())[0].reason_detail)
    assert reasons >= {
        "SOLD_OUT: none left",
        "NO_OFFER: all that is offered was refused: it is tried again from the first",
    }
    await rig.until(VmState.READY, Phase.HELD)
    rig.provider.silent = True
    await vm_states.fail_vm(rig.world, OPERATOR, "v", "", reason="smoke")
    await rig.tick()
    assert (await rig.vm())[0].reason_detail == "smoke"


async def test_the_last_attempt_has_no_next_one() -> None:
    rig = Rig()
    rig.provider.silent = True
    await rig.rent()
    await rig.until(VmState.ERROR, Phase.RELEASED, ticks=2000)
    entries = await rig.attempts()
    assert [entry.failure.code for entry in entries if entry.failure] == ["BOOT_TIMEOUT"] * 3
    assert [entry.next_attempt_at is None for entry in entries] == [False, False, True]


@pytest.mark.parametrize(
    ("answer", "calls"), [(NO, 6), (TimeoutError(), 8), (NEVER, 1)], ids=["refused", "unanswered", "forbidden"]
)
async def test_a_machine_that_will_not_stop_is_in_error_after_as_many_attempts_as_its_policy_allows(
    answer: Exception, calls: int
) -> None:
    rig = await held()
    rig.now += timedelta(days=30)
    rig.provider.stubborn = answer
    await vm_states.stop_vm(rig.world, OPERATOR, "v", "")
    if calls > 1:
        await rig.tick()
        vm, row = await rig.vm()
        assert (vm.state, row.phase) == (VmState.STOPPED, Phase.PARKING)
        assert row.failure is not None
        assert row.next_attempt_at is not None
    vm = await rig.until(VmState.ERROR, Phase.HELD, ticks=2000)
    stops = (await rig.attempts())[1:]
    assert len(stops) == rig.provider.switched == calls
    assert {(entry.purpose, entry.outcome) for entry in stops} == {(Purpose.STOP, Outcome.FAILED)}
    assert stops[-1].failure is not None
    assert vm.reason_detail.startswith(stops[-1].failure.code)
    assert [entry.next_attempt_at is None for entry in stops] == [False] * (calls - 1) + [True]
    assert len(rig.provider.machines) == 1, "it is kept, for somebody to look at"
    ready = await vm_states.mark_vm_ready(rig.world, OPERATOR, "v", "")
    assert (ready.state, (await rig.vm())[1].failure) == (VmState.READY, None)


async def test_a_machine_that_will_not_start_is_in_error_and_may_be_started_again() -> None:
    rig = await held()
    await vm_states.stop_vm(rig.world, OPERATOR, "v", "")
    await rig.until(VmState.STOPPED, Phase.PARKED)
    rig.now += timedelta(days=30)
    rig.provider.stubborn = NO
    await vm_states.start_vm(rig.world, OPERATOR, "v", "")
    vm = await rig.until(VmState.ERROR, Phase.PARKED, ticks=2000)
    assert vm.reason_detail == "NOT_NOW: maintenance"
    rig.provider.stubborn = None
    assert (await vm_states.start_vm(rig.world, OPERATOR, "v", "")).state is VmState.BOOTING
    await rig.tick()
    await hosts.hello(rig.world, "v", "again", Inventory(2), ["192.0.2.1"], "r", "l2")
    await rig.until(VmState.READY, Phase.HELD)
    assert [(entry.purpose, entry.outcome) for entry in await rig.attempts()] == [
        (Purpose.RENT, Outcome.SUCCEEDED),
        (Purpose.STOP, Outcome.SUCCEEDED),
        *[(Purpose.START, Outcome.FAILED)] * 6,
        (Purpose.START, Outcome.SUCCEEDED),
    ]


@pytest.mark.parametrize("parked", [False, True], ids=["held", "kept"])
async def test_a_machine_that_is_gone_takes_its_vm_to_error(parked: bool) -> None:
    rig = await held()
    if parked:
        await vm_states.stop_vm(rig.world, OPERATOR, "v", "")
        await rig.until(VmState.STOPPED, Phase.PARKED)
    rig.provider.machines.clear()
    await away(rig)
    await swept(rig, 1)
    assert (await rig.vm())[0].state is (VmState.STOPPED if parked else VmState.READY), "once may be a mistake"
    await swept(rig, 1)
    vm, row = await rig.vm()
    assert (vm.state, row.phase) == (VmState.ERROR, Phase.RELEASED)
    assert vm.reason_detail == "MACHINE_GONE: its provider has the machine no more"
    with pytest.raises(WrongState):
        await vm_states.mark_vm_ready(rig.world, OPERATOR, "v", "")
    ended = await vms.terminate_vm(rig.world, OPERATOR, "v", "", force=False)
    assert ended.state is VmState.TERMINATED
    assert rig.provider.made == 1, "nobody has asked for another"


@pytest.mark.parametrize("state", [InstanceState.FAILED, InstanceState.STOPPED])
async def test_a_machine_that_its_provider_has_switched_off_takes_its_vm_to_error_and_is_kept(
    state: InstanceState,
) -> None:
    rig = await held()
    ((machine_id, machine),) = rig.provider.machines.items()
    rig.provider.machines[machine_id] = replace(machine, state=state)
    await swept(rig, 3)
    assert (await rig.vm())[0].state is VmState.READY, "its agent speaks"
    await away(rig)
    await swept(rig, 3)
    vm, row = await rig.vm()
    assert (vm.state, row.phase) == (VmState.ERROR, Phase.HELD)
    assert vm.reason_detail == f"MACHINE_DOWN: its provider says that it is {state}"
    rig.provider.machines[machine_id] = machine
    await hosts.hello(rig.world, "v", "again", Inventory(2), ["192.0.2.1"], "r", "l2")
    assert (await vm_states.mark_vm_ready(rig.world, OPERATOR, "v", "")).state is VmState.READY
    await swept(rig, 3)
    assert (await rig.vm())[0].state is VmState.READY


async def test_a_machine_whose_agent_speaks_is_not_gone_whatever_a_listing_says() -> None:
    rig = await held()
    hidden = dict(rig.provider.machines)
    rig.provider.machines.clear()
    await swept(rig, 4)
    assert (await rig.vm())[0].state is VmState.READY
    rig.provider.machines.update(hidden)
    await away(rig)
    await swept(rig, 4)
    assert (await rig.vm())[0].state is VmState.READY


async def test_no_partial_listing_says_that_a_machine_is_gone() -> None:
    rig = await held()
    rig.provider.machines.clear()
    rig.provider.complete = False
    await away(rig)
    await swept(rig, 5)
    assert (await rig.vm())[0].state is VmState.READY


async def booting() -> Rig:
    """Its machine runs, and its agent has not come yet."""
    rig = Rig()
    rig.provider.silent = True
    await rig.rent()
    await rig.until(VmState.BOOTING, Phase.BOOTING)
    return rig


async def test_a_machine_that_vanishes_while_it_boots_is_replaced_long_before_its_agent_is_given_up() -> None:
    rig = await booting()
    vanished_at = rig.now
    rig.provider.machines.clear()
    await rig.until(VmState.ERROR, Phase.WANTED)
    assert (rig.now - vanished_at).total_seconds() < 20 < rig.world.policy.renting.patience.boot_s
    vm, row = await rig.vm()
    assert vm.reason_detail == "INSTANCE_GONE: the machine is gone before its agent came"
    assert row.next_attempt_at is not None
    rig.provider.silent = False
    await rig.until(VmState.READY, Phase.HELD)
    assert (len(rig.provider.machines), rig.provider.made) == (1, 2)
    assert [entry.failure.code for entry in await rig.attempts() if entry.failure] == ["INSTANCE_GONE"]


async def test_a_machine_that_breaks_while_it_boots_is_given_back_and_replaced_at_once() -> None:
    rig = await booting()
    ((machine_id, machine),) = rig.provider.machines.items()
    rig.provider.machines[machine_id] = replace(machine, state=InstanceState.FAILED)
    broken_at = rig.now
    await rig.until(VmState.ERROR, Phase.WANTED)
    assert (rig.now - broken_at).total_seconds() < 10
    rig.provider.silent = False
    await rig.until(VmState.READY, Phase.HELD)
    assert (set(rig.provider.machines), rig.provider.made) == ({"i-2"}, 2)


async def test_one_missed_poll_now_and_then_gives_no_booting_machine_up() -> None:
    rig = await booting()
    for _ in range(4):  # never twice in a row, and long past the lag
        machines = dict(rig.provider.machines)
        rig.provider.machines.clear()
        while (await rig.vm())[1].absences == 0:
            await rig.tick()
        rig.provider.machines.update(machines)
        while (await rig.vm())[1].absences > 0:
            await rig.tick()
    assert ((await rig.vm())[1].phase, rig.provider.made) == (Phase.BOOTING, 1)
    rig.provider.complete, rig.provider.silent = False, False
    machines = dict(rig.provider.machines)
    rig.provider.machines.clear()
    for _ in range(20):
        await rig.tick()
    assert (await rig.vm())[1].phase is Phase.BOOTING, "no partial listing says that it is gone"
    rig.provider.machines.update(machines)
    await rig.until(VmState.READY, Phase.HELD)


async def test_a_listing_that_is_behind_gives_no_machine_away_whose_agent_has_joined() -> None:
    rig = Rig(lost=["done"])
    await rig.rent()
    await rig.tick()
    await rig.agents()
    machines = dict(rig.provider.machines)
    rig.provider.machines.clear()
    for _ in range(60):
        await rig.tick()
    vm, row = await rig.vm()
    assert (vm.state, row.phase, rig.provider.made) == (VmState.READY, Phase.BUYING, 1)
    rig.provider.machines.update(machines)
    await rig.until(VmState.READY, Phase.HELD)


async def test_failing_a_stopping_vm_keeps_its_machine() -> None:
    rig = await held()
    await vm_states.stop_vm(rig.world, OPERATOR, "v", "")
    await vm_states.fail_vm(rig.world, OPERATOR, "v", "", reason="smoke")
    await rig.until(VmState.ERROR, Phase.PARKED)
    assert len(rig.provider.machines) == 1


async def test_a_vm_put_into_service_again_while_its_end_begins_keeps_its_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = await held()
    store, again = rig.world.store, False
    whole = store.tx
    await vms.terminate_vm(rig.world, OPERATOR, "v", "", force=False)
    async with whole() as tx:
        (row,) = await tx.provisionings.claim(1, 60, "lease")

    @asynccontextmanager
    async def late() -> AsyncIterator[Tx]:
        nonlocal again
        if not again:
            again = True
            await vms.undrain_vm(rig.world, OPERATOR, "v", "")
        async with whole() as tx:
            yield tx

    monkeypatch.setattr(store, "tx", late)
    with pytest.raises(Conflict):
        await Worker(rig.world, row, "lease").step()
    vm, row = await rig.vm()
    assert (again, vm.state, row.phase) == (True, VmState.READY, Phase.HELD)


async def test_who_finds_no_offer_says_what_there_is_none_of() -> None:
    rig = Rig()
    await rig.rent()
    _, row = await rig.vm()
    offers = [Offer("fake", "local", "a", "local", 100)]
    assert without_offer([], row) == "'fake' has no machine for template 'local' in local"
    assert "was refused" in without_offer(offers, replace(row, refused=frozenset({offers[0].key})))
    assert "at the price" in without_offer(offers, replace(row, mandate=replace(offers[0], price_micro_per_hour=99)))
