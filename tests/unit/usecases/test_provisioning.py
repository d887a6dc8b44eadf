"""The workers of provisioning against a provider that loses replies and lists late, dying at every single await.

Real use cases on the store in memory, a virtual clock, and agents that really enrol and say hello (I10, I16).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.adapters.bus.memory import MemoryBus
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.store.memory import MemoryStore
from controlplane.domain.errors import QuarterdeckError, Unauthenticated, WrongState
from controlplane.domain.host import Inventory
from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.domain.instance import Instance, InstanceState, Invitation, Listing, ProviderRefused
from controlplane.domain.provisioning import Failure, Offer, Patience, Phase, Provisioning
from controlplane.domain.retry import DEFAULT_SCHEDULES, FailureKind, Remedy
from controlplane.domain.vm import Vm, VmState
from controlplane.interfaces import Page
from controlplane.usecases import hosts, provisioning, vm_states, vms
from controlplane.usecases.sweep import Sweeper
from controlplane.usecases.world import Policy, Renting, World

OPERATOR = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)
START = datetime(2026, 1, 1, tzinfo=UTC)
LAG_S = 20.0
SOLD_OUT = Failure(FailureKind.PROVISIONING, "SOLD_OUT", "none left", Remedy.ANOTHER_OFFER)


class Crash(BaseException):
    """The process is gone."""


@dataclass
class Fate:
    """Dies at the await number `at`, and stays dead until it is started anew."""

    at: int = 0
    awaits: int = 0
    dead: bool = False

    def point(self) -> None:
        self.awaits += 1
        self.dead = self.dead or self.awaits == self.at
        if self.dead:
            raise Crash


class MortalStore(MemoryStore):
    """Dies before, within and after transactions."""

    def __init__(self, clock: Any, fate: Fate) -> None:
        super().__init__(clock)
        self.fate = fate

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[Any]:
        self.fate.point()
        async with super()._write() as tx:
            yield tx
            self.fate.point()
        self.fate.point()


@dataclass
class Fake:
    """`lost` says what happens to the first orders: "done" and "not_done" lose the reply, "refused" says no."""

    fate: Fate
    clock: Any
    lost: list[str] = field(default_factory=list)
    machines: dict[str, Instance] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    made: int = 0
    complete: bool = True
    silent: bool = False
    name: str = "fake"

    async def offers(self, region_ids: Sequence[str], template_id: str) -> Sequence[Offer]:
        self.fate.point()
        return [Offer("fake", region, kind, template_id, 100) for region in region_ids for kind in ("a", "b")]

    async def create(self, offer: Offer, tag: str, invitation: Invitation) -> Instance:
        self.fate.point()
        outcome = self.lost.pop(0) if self.lost else "ok"
        if outcome == "refused":
            raise ProviderRefused(SOLD_OUT)
        if outcome == "not_done":
            raise TimeoutError
        self.made += 1
        assert tag not in {machine.tag for machine in self.machines.values()}, "rented twice"
        machine = Instance(f"i-{self.made}", tag, offer.region_id, InstanceState.RUNNING, self.clock(), "192.0.2.1")
        self.machines[machine.id], self.tokens[machine.id] = machine, invitation.join_token
        if outcome == "done":
            raise TimeoutError
        self.fate.point()
        return machine

    async def find(self, tag: str) -> Listing:
        return await self.list_owned(tag)

    async def list_owned(self, prefix: str) -> Listing:
        self.fate.point()
        shown = self.clock() - timedelta(seconds=LAG_S)
        found = [m for m in self.machines.values() if m.tag.startswith(prefix) and m.created_at <= shown]
        return Listing(self.complete, tuple(found))

    async def destroy(self, instance_id: str) -> None:
        self.fate.point()
        self.machines.pop(instance_id, None)
        self.fate.point()

    async def start(self, instance_id: str) -> None:
        self.fate.point()

    async def stop(self, instance_id: str) -> None:
        self.fate.point()


class Authority:
    ca_pem = "pem"
    ca_sha256 = "ab" * 32

    def issue_host_certificate(self, host_id: str, request: bytes) -> tuple[str, str, datetime]:
        return "certificate", "00", START + timedelta(days=1)


class Rig:
    def __init__(self, crash_at: int = 0, lost: Sequence[str] = ()) -> None:
        self.now, self.ticks = START, 0
        self.fate = Fate(crash_at)
        self.provider = Fake(self.fate, lambda: self.now, list(lost))
        steady = {kind: replace(schedule, jitter=0) for kind, schedule in DEFAULT_SCHEDULES.items()}
        patience = Patience(poll_s=5, listing_lag_s=30, boot_s=120, running_s=120, schedules=steady)
        self.world = World(
            store=MortalStore(lambda: self.now, self.fate),
            bus=MemoryBus(),
            ids=RandomIds(),
            authority=Authority(),
            stream_tokens=None,  # type: ignore[arg-type]
            objects=None,  # type: ignore[arg-type]
            policy=Policy(renting=Renting("127.0.0.1:1", patience)),
            providers={"fake": self.provider},
        )
        self.sweeper = Sweeper(self.world, lambda: (self.now - START).total_seconds())

    async def outlived(self, work: Any) -> None:
        """One process does the work, or dies of it; then all its leases lapse, and it is started anew."""
        try:
            await work
        except Crash:
            assert self.fate.dead
        if self.fate.dead:
            self.fate.dead = False
            self.now += timedelta(seconds=self.world.policy.renting.lease_s)
            self.sweeper = Sweeper(self.world, self.sweeper.clock_s)

    async def tick(self) -> None:
        await self.outlived(provisioning.advance(self.world))
        self.ticks += 1
        if self.ticks % 8 == 0:
            await self.outlived(self.sweeper.sweep())
        self.now += timedelta(seconds=2)
        assert len(self.provider.machines) <= 1, "rented twice"

    async def agents(self) -> None:
        """What a machine does by itself once it runs."""
        for instance_id in [] if self.provider.silent else list(self.provider.machines):
            at, self.fate.at = self.fate.at, 0
            try:
                enrolled = await hosts.enrol(self.world, self.provider.tokens[instance_id], b"")
                await hosts.hello(self.world, enrolled.host_id, instance_id, Inventory(2), ["192.0.2.1"], "r", "l")
            except Unauthenticated:
                pass  # it is in already
            finally:
                self.fate.at = at if self.fate.awaits < at else 0

    async def vm(self) -> tuple[Vm, Provisioning]:
        async with self.world.store.reading() as tx:
            vm, row = await tx.vms.get("v"), await tx.provisionings.get("v")
        assert vm is not None
        assert row is not None
        return vm, row

    async def until(self, state: VmState, phase: Phase, *, ticks: int = 400) -> Vm:
        for _ in range(ticks):
            vm, row = await self.vm()
            if (vm.state, row.phase) == (state, phase):
                return vm
            await self.agents()
            await self.tick()
        raise AssertionError(f"never {state} and {phase}: {await self.vm()}")

    async def rent(self) -> None:
        at, self.fate.at = self.fate.at, 0
        await vms.create_vm(self.world, OPERATOR, vms.VmRequest("v", "local", provider="fake"), "")
        self.fate.at, self.fate.awaits = at, 0


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
    assert (await vm_states.mark_vm_ready(rig.world, OPERATOR, "v", "")).state is VmState.READY


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


async def test_the_sweeper_reaps_a_second_machine_of_a_tag_that_has_one() -> None:
    rig = Rig()
    await rig.rent()
    await rig.until(VmState.READY, Phase.HELD)
    double = stray(rig, 1, next(iter(rig.provider.machines.values())).tag)
    await sweep(rig)
    assert await sweep(rig) == {double.id}
