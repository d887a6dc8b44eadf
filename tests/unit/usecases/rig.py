"""A provider that loses replies and lists late, a store and a process that die at any await, and a virtual clock.

Agents really enrol and say hello.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from controlplane.adapters.bus.memory import MemoryBus
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.store.memory import MemoryStore
from controlplane.domain.attempt import Attempt, Failure, Offer
from controlplane.domain.errors import Unauthenticated
from controlplane.domain.host import HostState, Inventory
from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.domain.instance import Instance, InstanceState, Invitation, Listing, ProviderRefused
from controlplane.domain.provisioning import Patience, Phase, Provisioning
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

UNKNOWN_MACHINE = Failure(FailureKind.PROVISIONING, "NO_SUCH_MACHINE", "never heard of it", Remedy.GIVE_UP)


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
    """`lost` says what happens to the first orders: "done" and "not_done" lose the reply, "refused" says no. With
    `stubborn` it answers thus whoever wants a machine stopped or started."""

    fate: Fate
    clock: Any
    lost: list[str] = field(default_factory=list)
    machines: dict[str, Instance] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    made: int = 0
    complete: bool = True
    silent: bool = False
    stubborn: Exception | None = None
    switched: int = 0
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
        await self._switch(instance_id, InstanceState.RUNNING)

    async def stop(self, instance_id: str) -> None:
        await self._switch(instance_id, InstanceState.STOPPED)

    async def _switch(self, instance_id: str, state: InstanceState) -> None:
        self.fate.point()
        self.switched += 1
        if self.stubborn is not None:
            raise self.stubborn
        if instance_id not in self.machines:
            raise ProviderRefused(UNKNOWN_MACHINE)
        self.machines[instance_id] = replace(self.machines[instance_id], state=state)
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
        tags = [machine.tag for machine in self.provider.machines.values()]
        assert len(tags) == len(set(tags)), "rented twice"

    async def agents(self) -> None:
        """What a machine does by itself once it runs."""
        joining = [] if self.provider.silent else [i for i in self.provider.machines if i in self.provider.tokens]
        for instance_id in joining:
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

    async def attempts(self) -> list[Attempt]:
        """Oldest first."""
        return list(await vm_states.list_attempts(self.world, OPERATOR, "v", Page()))[::-1]

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


async def held() -> Rig:
    """A VM that was rented, and is ready."""
    rig = Rig()
    await rig.rent()
    await rig.until(VmState.READY, Phase.HELD)
    return rig


async def away(rig: Rig) -> None:
    """Its agent is not heard any more."""
    async with rig.world.store.tx() as tx:
        host = await tx.hosts.lock("v")
        assert host is not None
        await tx.hosts.save(replace(host, state=HostState.LOST, version=host.version + 1))


async def swept(rig: Rig, rounds: int) -> None:
    for _ in range(rounds):
        rig.now += timedelta(seconds=60)
        await rig.sweeper.sweep()
