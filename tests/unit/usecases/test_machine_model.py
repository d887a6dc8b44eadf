"""A rented VM's whole life under any order of verbs, crashes, lost replies, vanished machines and strays: the tables
are kept (I6), nothing is rented twice or left behind (I10), the sweep is careful (I11), no promise is lost (I16)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controlplane.domain import rental
from controlplane.domain.attempt import Attempt, Failure, Outcome
from controlplane.domain.errors import Forbidden, WrongState
from controlplane.domain.host import HostState, Inventory
from controlplane.domain.instance import Instance, InstanceState, ProviderRefused
from controlplane.domain.provisioning import Phase
from controlplane.domain.retry import FailureKind, Remedy
from controlplane.domain.vm import VM_MACHINE, VmState, VmTrigger
from controlplane.interfaces import Page
from controlplane.usecases import hosts, vm_states, vms
from tests.unit.usecases.hurry import HurryingLoop
from tests.unit.usecases.rig import OPERATOR, Authority, Rig

OURS = rental.tag_prefix(Authority.ca_sha256)
NOT_NOW = ProviderRefused(Failure(FailureKind.PROVIDER_API, "NOT_NOW", "maintenance", Remedy.RETRY))
EVERYTHING = Page(10_000)
SWITCHES = (vm_states.stop_vm, vm_states.start_vm, vm_states.mark_vm_ready)
OTHERS = (
    vms.drain_vm,
    vms.undrain_vm,
    partial(vm_states.fail_vm, reason="smoke"),
    partial(vms.terminate_vm, force=False),
)


class ARentedVm(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=HurryingLoop)
        self.rig = Rig()
        self.strays = 0
        self.closed: dict[int, Attempt] = {}
        self.absorbed = False

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    @initialize(ready=st.booleans())
    def rent(self, ready: bool) -> None:
        self.do(self.rig.rent())
        if ready:
            self.do(self.rig.until(VmState.READY, Phase.HELD))

    def ours(self) -> list[Instance]:
        tag = rental.tag_of(Authority.ca_sha256, "v")
        return [machine for machine in self.rig.provider.machines.values() if machine.tag == tag]

    @rule(ticks=st.integers(1, 12), number=st.integers(0, 9))
    def work(self, ticks: int, number: int) -> None:
        for _ in range(ticks):
            self.do(self.rig.agents())
            self.agents_are_back(number)
            self.do(self.rig.tick())

    @rule(awaits=st.integers(1, 25))
    def work_and_die(self, awaits: int) -> None:
        fate = self.rig.fate
        fate.at = fate.awaits + awaits
        self.do(self.rig.tick())
        fate.at = 0

    @rule(lost=st.sampled_from(["done", "not_done", "refused"]))
    def lose_the_next_order(self, lost: str) -> None:
        self.rig.provider.lost.append(lost)

    @rule(silent=st.booleans(), complete=st.booleans(), stubborn=st.sampled_from([None, NOT_NOW, TimeoutError()]))
    def provider_changes(self, silent: bool, complete: bool, stubborn: Exception | None) -> None:
        provider = self.rig.provider
        provider.silent, provider.complete, provider.stubborn = silent, complete, stubborn

    def agents_are_back(self, number: int) -> None:
        """What an enrolled agent does on a machine that was started again."""
        for machine in self.ours():
            if machine.state is InstanceState.RUNNING and not self.rig.provider.silent:
                self.verb(hosts.hello(self.rig.world, "v", f"{machine.id}-{number}", Inventory(2), [], "r", "l"))

    def verb(self, asked: Coroutine[Any, Any, Any]) -> None:
        """An operator's wish or an agent's word, which may come at the wrong time."""
        with suppress(WrongState, Forbidden):
            self.do(asked)

    @rule(verb=st.sampled_from([*SWITCHES, *SWITCHES, *OTHERS]))
    def operator_asks(self, verb: Any) -> None:
        self.verb(verb(self.rig.world, OPERATOR, "v", ""))

    @rule()
    def machine_vanishes(self) -> None:
        for machine in self.ours():
            del self.rig.provider.machines[machine.id]
        self.do(self._unheard())

    @rule(state=st.sampled_from([InstanceState.FAILED, InstanceState.STOPPED]))
    def machine_breaks_down(self, state: InstanceState) -> None:
        for machine in self.ours():
            self.rig.provider.machines[machine.id] = replace(machine, state=state)
        self.do(self._unheard())

    async def _unheard(self) -> None:
        async with self.rig.world.store.tx() as tx:
            host = await tx.hosts.lock("v")
            if host is not None:
                await tx.hosts.save(replace(host, state=HostState.LOST, version=host.version + 1))

    @precondition(lambda self: self.strays < 40)
    @rule(count=st.integers(1, 8), mine=st.booleans())
    def strays_appear(self, count: int, mine: bool) -> None:
        for _ in range(count):
            self.strays += 1
            tag = f"{OURS if mine else 'qd-another-'}stray{self.strays}"
            self.rig.provider.machines[tag] = Instance(tag, tag, "local", InstanceState.RUNNING, self.rig.now)

    @rule(seconds=st.sampled_from([1, 29, 60, 600]))
    def sweep(self, seconds: int) -> None:
        rig = self.rig
        rig.now += timedelta(seconds=seconds)
        before = dict(rig.provider.machines)
        reaped = self.do(rig.sweeper.sweep())
        assert before.keys() - rig.provider.machines.keys() == {instance.id for instance in reaped}
        assert len(reaped) <= max(5, len(before) // 10)
        assert not reaped or rig.provider.complete
        assert all(instance.tag.startswith(OURS) for instance in reaped)
        _, row = self.do(rig.vm())
        assert row.phase is Phase.RELEASED or not row.instance_id or row.instance_id not in {i.id for i in reaped}

    @invariant()
    def it_is_rented_once(self) -> None:
        assert len(self.ours()) <= 1

    @invariant()
    def history_follows_the_table_and_the_end_absorbs(self) -> None:
        if not self.do(self._exists()):
            return
        changes = self.do(vm_states.list_transitions(self.rig.world, OPERATOR, "v", EVERYTHING))[::-1]
        assert (changes[0].previous, changes[0].state) == ("", "PROVISIONING")
        for earlier, later in pairwise(changes):
            assert later.previous == earlier.state
            assert VM_MACHINE.table[VmState(later.previous), VmTrigger(later.trigger)] == later.state
        vm, row = self.do(self.rig.vm())
        assert changes[-1].state == vm.state
        assert not self.absorbed or vm.state is VmState.TERMINATED
        self.absorbed = vm.state is VmState.TERMINATED
        assert not self.absorbed or (row.phase is Phase.RELEASED and not self.ours()), "left behind"

    @invariant()
    def attempts_are_in_order_and_what_has_ended_stays(self) -> None:
        if not self.do(self._exists()):
            return
        attempts = self.do(vm_states.list_attempts(self.rig.world, OPERATOR, "v", EVERYTHING))[::-1]
        assert [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1))
        assert all(attempt.outcome is not Outcome.OPEN for attempt in attempts[:-1])
        for attempt in attempts:
            assert self.closed.get(attempt.number, attempt) == attempt
            assert (attempt.failure is not None) == (attempt.outcome is Outcome.FAILED)
            assert (attempt.ended_at is None) == (attempt.outcome is Outcome.OPEN)
            if attempt.outcome is not Outcome.OPEN:
                self.closed[attempt.number] = attempt
        for earlier, later in pairwise(attempts):
            assert earlier.ended_at is not None
            assert earlier.ended_at <= later.started_at

    async def _exists(self) -> bool:
        async with self.rig.world.store.reading() as tx:
            return await tx.vms.get("v") is not None

    def teardown(self) -> None:
        try:
            if self.do(self._exists()):
                self.do(self._ends())
        finally:
            self.runner.close()

    async def _ends(self) -> None:
        rig = self.rig
        rig.provider.complete, rig.provider.stubborn, rig.fate.at = True, None, 0
        foreign = {machine.id for machine in rig.provider.machines.values() if not machine.tag.startswith(OURS)}
        await vms.terminate_vm(rig.world, OPERATOR, "v", "", force=False)
        await rig.until(VmState.TERMINATED, Phase.RELEASED)
        for _ in range(1 + 1 + 40 // 5):  # known, old enough, and then five a round
            rig.now += timedelta(seconds=60)
            await rig.sweeper.sweep()
        assert set(rig.provider.machines) == foreign


TestARentedVm = ARentedVm.TestCase
TestARentedVm.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
