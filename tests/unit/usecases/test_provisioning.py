"""The workers of provisioning against a provider that loses replies and lists late, dying at every single await.

Real use cases on the store in memory, a virtual clock, and agents that really enrol and say hello (I10, I16).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from controlplane.domain.attempt import Offer
from controlplane.domain.errors import QuarterdeckError, Unauthenticated, Unavailable, WrongState
from controlplane.domain.host import Inventory
from controlplane.domain.instance import Instance, InstanceState, Invitation, Listing
from controlplane.domain.provisioning import Phase
from controlplane.domain.vm import VmState
from controlplane.interfaces import Page
from controlplane.usecases import hosts, provisioning, vm_states, vms
from tests.unit.usecases.rig import LAG_S, OPERATOR, START, Authority, Fake, Rig

LOSSES = [[], ["done"], ["not_done"], ["refused"], ["not_done", "refused", "done"]]


async def life(rig: Rig) -> None:
    """Rented, ready, terminated, whatever happens on the way."""
    await rig.rent()
    await rig.until(VmState.READY, Phase.HELD)
    assert len(rig.provider.machines) == 1
    at, rig.fate.at = rig.fate.at, 0
    await vms.terminate_vm(rig.world, OPERATOR, "v", "", force=False)
    rig.fate.at = at
    await rig.until(VmState.TERMINATED, Phase.RELEASED)
    assert rig.provider.machines == {}, "left behind"
    assert rig.provider.made == 1, "bought more than was needed"


@pytest.mark.parametrize("lost", LOSSES, ids="-".join)
async def test_dying_at_any_await_the_vm_gets_its_machine_once_and_gives_it_back(lost: list[str]) -> None:
    whole = Rig(lost=lost)
    await life(whole)
    assert whole.fate.awaits > 30
    for number in range(1, whole.fate.awaits + 1):
        rig = Rig(number, lost)
        await life(rig)
        assert rig.fate.awaits >= number, "this run never died"


@pytest.mark.parametrize("lost", LOSSES, ids="-".join)
@pytest.mark.parametrize("seconds", [0, 1, 3, 9, 27, 60])
async def test_terminated_at_any_moment_nothing_is_left_behind(lost: list[str], seconds: int) -> None:
    for crash_at in range(1, 60, 7):
        rig = Rig(crash_at, lost)
        await rig.rent()
        while (rig.now - START).total_seconds() < seconds:
            await rig.agents()
            await rig.tick()
        at, rig.fate.at = rig.fate.at, 0
        await vms.terminate_vm(rig.world, OPERATOR, "v", "", force=False)
        rig.fate.at = at
        await rig.until(VmState.TERMINATED, Phase.RELEASED)
        assert rig.provider.machines == {}


async def test_a_machine_whose_agent_never_comes_is_given_back_and_the_error_is_on_record() -> None:
    rig = Rig()
    rig.provider.silent = True
    await rig.rent()
    vm = await rig.until(VmState.ERROR, Phase.RELEASED, ticks=2000)
    assert vm.reason_detail == "BOOT_TIMEOUT: its agent never came"
    assert (rig.provider.machines, rig.provider.made) == ({}, 3)
    history = await vm_states.list_transitions(rig.world, OPERATOR, "v", Page())
    assert [entry.state for entry in history].count("ERROR") == 3
    vm = await vms.terminate_vm(rig.world, OPERATOR, "v", "", force=False)
    assert vm.state is VmState.TERMINATED


async def test_a_refused_offer_is_followed_by_another_and_the_waiting_is_told() -> None:
    rig = Rig(lost=["refused"])
    await rig.rent()
    await rig.tick()
    vm, row = await rig.vm()
    assert (vm.state, vm.reason_detail) == (VmState.ERROR, "SOLD_OUT: none left")
    assert row.next_attempt_at is not None
    assert (row.attempt, row.refused) == (2, frozenset({"fake/local/a"}))
    await rig.until(VmState.READY, Phase.HELD)
    assert (await rig.vm())[1].offer == Offer("fake", "local", "b", "local", 100)


async def test_a_machine_of_an_earlier_order_that_comes_late_joins_in_the_place_of_no_other() -> None:
    tokens: list[str] = []

    class Noting(Fake):
        async def create(self, offer: Offer, tag: str, invitation: Invitation) -> Instance:
            tokens.append(invitation.join_token)
            return await super().create(offer, tag, invitation)

    rig = Rig()
    rig.provider = Noting(rig.fate, lambda: rig.now, ["not_done"])
    rig.world = replace(rig.world, providers={"fake": rig.provider})
    await rig.rent()
    while len(tokens) < 2:
        await rig.tick()
    with pytest.raises(Unauthenticated):
        await hosts.enrol(rig.world, tokens[0], b"")
    await rig.until(VmState.READY, Phase.HELD)


async def test_a_machine_of_an_earlier_order_that_the_next_one_brings_is_replaced_before_its_boot_is_over() -> None:
    class Late(Fake):
        orders = 0

        async def create(self, offer: Offer, tag: str, invitation: Invitation) -> Instance:
            self.orders += 1
            known = [machine for machine in self.machines.values() if machine.tag == tag]
            return known[0] if known else await super().create(offer, tag, invitation)

        async def list_owned(self, prefix: str) -> Listing:
            return await super().list_owned(prefix) if self.orders > 1 else Listing(True, ())

    rig = Rig()
    rig.provider = late = Late(rig.fate, lambda: rig.now, ["done"])
    rig.world = replace(rig.world, providers={"fake": late})
    await rig.rent()
    while late.orders < 2:
        await rig.tick()
    await rig.until(VmState.READY, Phase.HELD)
    assert [entry.failure and entry.failure.code for entry in await rig.attempts()] == [
        "NO_REPLY",
        "EARLIER_ORDER",
        None,
    ]
    assert (set(late.machines), late.orders) == ({"i-2"}, 3)


async def test_of_two_machines_with_its_tag_a_row_takes_the_one_whose_agent_can_join() -> None:
    rig = Rig(lost=["not_done"])
    await rig.rent()
    await rig.tick()
    _, row = await rig.vm()
    for machine_id, age_s in (("a", 40), ("b", 60)):
        made = Instance(machine_id, row.tag, "local", InstanceState.RUNNING, rig.now - timedelta(seconds=age_s))
        rig.provider.machines[machine_id] = made
    rig.now += timedelta(seconds=30)
    await provisioning.advance(rig.world)
    assert (await rig.vm())[1].instance_id == "a"


async def test_a_vm_is_stopped_kept_and_started_again() -> None:
    rig = Rig()
    await rig.rent()
    await rig.until(VmState.READY, Phase.HELD)
    await vm_states.stop_vm(rig.world, OPERATOR, "v", "")
    with pytest.raises(WrongState, match="switched off"):
        await vm_states.start_vm(rig.world, OPERATOR, "v", "")
    await rig.until(VmState.STOPPED, Phase.PARKED)
    assert len(rig.provider.machines) == 1
    await vm_states.start_vm(rig.world, OPERATOR, "v", "")
    await rig.tick()
    await hosts.hello(rig.world, "v", "again", Inventory(2), ["192.0.2.1"], "r", "l2")
    await rig.until(VmState.READY, Phase.HELD)


async def test_ready_is_refused_without_a_healthy_agent_and_repairs_an_error_with_one() -> None:
    rig = Rig()
    await rig.rent()
    with pytest.raises(WrongState, match="not enrolled"):
        await vm_states.mark_vm_ready(rig.world, OPERATOR, "v", "")
    await rig.until(VmState.READY, Phase.HELD)
    failed = await vm_states.fail_vm(rig.world, OPERATOR, "v", "", reason="fan is loud")
    assert (failed.state, failed.reason_detail) == (VmState.ERROR, "fan is loud")
    await vm_states.fail_vm(rig.world, OPERATOR, "v", "", reason="fan is silent")
    repeated = await vm_states.fail_vm(rig.world, OPERATOR, "v", "", reason="fan is silent")
    assert (repeated.reason_detail, repeated.version) == ("fan is silent", failed.version + 1)
    assert (await rig.vm())[0] == repeated
    assert (await vm_states.mark_vm_ready(rig.world, OPERATOR, "v", "")).state is VmState.READY


@pytest.mark.parametrize("phase", [Phase.BOUGHT, Phase.BOOTING])
async def test_an_error_right_after_the_agent_has_come_does_not_give_its_machine_back(phase: Phase) -> None:
    rig = Rig()
    await rig.rent()
    rig.provider.silent = phase is Phase.BOOTING
    await rig.until(VmState.BOOTING if rig.provider.silent else VmState.READY, phase)
    rig.provider.silent = False
    await rig.agents()
    vm, row = await rig.vm()
    assert (vm.state, row.phase) == (VmState.READY, phase)  # its worker has not looked since
    await vm_states.fail_vm(rig.world, OPERATOR, "v", "", reason="fan is loud")
    for _ in range(100):
        await rig.tick()
    vm, row = await rig.vm()
    assert (vm.state, row.phase, len(rig.provider.machines)) == (VmState.ERROR, Phase.HELD, 1)
    assert (await vm_states.mark_vm_ready(rig.world, OPERATOR, "v", "")).state is VmState.READY


async def test_a_client_token_of_another_vm_and_a_vm_that_is_over_are_told_as_such() -> None:
    rig = Rig()
    first = await vms.create_vm(rig.world, OPERATOR, vms.VmRequest("", "local", client_token="once"), "")
    again = await vms.create_vm(rig.world, OPERATOR, vms.VmRequest("", "local", client_token="once"), "")
    assert again == first
    with pytest.raises(QuarterdeckError) as refused:
        await vms.create_vm(rig.world, OPERATOR, vms.VmRequest("", "us-east-1", client_token="once"), "")
    assert (refused.value.reason, refused.value.field) == ("CLIENT_TOKEN_MISMATCH", "client_token")
    await vms.terminate_vm(rig.world, OPERATOR, first.id, "", force=False)
    with pytest.raises(WrongState, match="is terminated"):
        await vm_states.mark_vm_ready(rig.world, OPERATOR, first.id, "")


async def test_an_unknown_provider_is_refused() -> None:
    rig = Rig()
    with pytest.raises(QuarterdeckError, match="no provider 'moon'"):
        await vms.create_vm(rig.world, OPERATOR, vms.VmRequest("v", "local", provider="moon"), "")


def stray(rig: Rig, number: int, tag: str = "") -> Instance:
    tag = tag or f"qd-{Authority.ca_sha256[:12]}-stray{number}"
    machine = Instance(f"x-{number}", tag, "local", InstanceState.RUNNING, rig.now - timedelta(seconds=LAG_S))
    rig.provider.machines[machine.id] = machine
    return machine


async def sweep(rig: Rig, after_s: float = 60) -> set[str]:
    rig.now += timedelta(seconds=after_s)
    return {instance.id for instance in await rig.sweeper.sweep()}


async def test_the_sweeper_reaps_what_nobody_wants_within_five_minutes_and_nothing_else() -> None:
    rig = Rig()
    await rig.rent()
    await rig.until(VmState.READY, Phase.HELD)
    strays = {stray(rig, number).id for number in range(7)}
    foreign = stray(rig, 99, "somebody-elses")
    assert await sweep(rig) == set(), "it has only just seen them"
    first = await sweep(rig)
    assert len(first) == 5, "not more than five in a round of nine"
    assert first | await sweep(rig) == strays
    assert await sweep(rig) == set()
    assert set(rig.provider.machines) == {"i-1", foreign.id}


async def test_the_sweeper_believes_no_partial_listing() -> None:
    rig = Rig()
    stray(rig, 1)
    await sweep(rig)
    rig.provider.complete = False
    assert await sweep(rig) == set()
    rig.provider.complete = True
    assert await sweep(rig) == {"x-1"}


async def test_a_provider_that_answers_nonsense_keeps_the_sweeper_from_no_other() -> None:
    class Broken(Fake):
        async def list_owned(self, prefix: str) -> Listing:
            raise ValueError("no listing that anybody could read")

    rig = Rig()
    stray(rig, 1)
    broken = Broken(rig.fate, lambda: rig.now, name="broken")
    rig.sweeper.world = replace(rig.world, providers={"broken": broken, **rig.world.providers})
    for _ in range(2):
        with pytest.raises(ExceptionGroup):
            await sweep(rig)
    assert rig.provider.machines == {}


async def test_a_provider_that_is_away_is_told_as_such_and_not_as_a_fault() -> None:
    class Away(Fake):
        async def list_owned(self, prefix: str) -> Listing:
            raise ConnectionError

    rig = Rig()
    stray(rig, 1)
    away = Away(rig.fate, lambda: rig.now, name="away")
    rig.sweeper.world = replace(rig.world, providers={"away": away, **rig.world.providers})
    for _ in range(2):
        with pytest.raises(Unavailable, match="'away'"):
            await sweep(rig)
    assert rig.provider.machines == {}


async def test_each_machine_that_is_reaped_or_does_not_go_is_told_by_its_name_each_time() -> None:
    class Keeping(Fake):
        async def destroy(self, instance_id: str) -> None:
            raise ConnectionError("not allowed to delete")

    rig = Rig()
    keeping = Keeping(rig.fate, lambda: rig.now, name="keeping")
    rig.sweeper.world = replace(rig.world, providers={"keeping": keeping, **rig.world.providers})
    gone = stray(rig, 1)
    keeping.machines["kept"] = replace(gone, id="kept")
    await sweep(rig)
    with capture_logs() as told:
        for _ in range(2):
            with pytest.raises(Unavailable, match="not allowed to delete"):
                await sweep(rig)
    lines = [(line["event"], line["instance"], line.get("why", "")) for line in told]
    kept = ("machine.unreaped", "kept", "not allowed to delete")
    assert sorted(lines) == [("machine.reaped", gone.id, ""), kept, kept]


async def test_a_provider_that_hangs_keeps_the_sweeper_from_no_other() -> None:
    asked = asyncio.Event()

    class Hanging(Fake):
        async def list_owned(self, prefix: str) -> Listing:
            await asked.wait()
            return Listing(True, ())

    class Asked(Fake):
        async def list_owned(self, prefix: str) -> Listing:
            asked.set()
            return Listing(True, ())

    rig = Rig()
    providers = {kind.__name__: kind(rig.fate, lambda: rig.now, name=kind.__name__) for kind in (Hanging, Asked)}
    rig.sweeper.world = replace(rig.world, providers=providers)
    async with asyncio.timeout(10):
        assert await rig.sweeper.sweep() == ()


async def test_the_sweeper_reaps_a_second_machine_of_a_tag_that_has_one() -> None:
    rig = Rig()
    await rig.rent()
    await rig.until(VmState.READY, Phase.HELD)
    double = stray(rig, 1, next(iter(rig.provider.machines.values())).tag)
    await sweep(rig)
    assert await sweep(rig) == {double.id}


async def test_the_sweeper_reaps_a_machine_whose_provider_calls_it_by_its_tag() -> None:
    rig = Rig()
    named = stray(rig, 1)
    rig.provider.machines = {named.tag: replace(named, id=named.tag)}
    await sweep(rig)
    assert await sweep(rig) == {named.tag}
