"""A real processor killed with SIGKILL at every await of renting a machine and of giving it back (I10, I16)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain, repeat
from pathlib import Path

import pytest

from controlplane.adapters.bus.jetstream import JetStreamBus
from controlplane.adapters.clouds.local import LocalProvider
from controlplane.adapters.store import open_store
from controlplane.adapters.store.audit import violations
from controlplane.domain import rental
from controlplane.domain.attempt import Attempt
from controlplane.domain.provisioning import Phase, Provisioning
from controlplane.domain.vm import Vm, VmState
from controlplane.interfaces import Page
from controlplane.settings import child_environment, foreign_environment
from controlplane.usecases import vm_states, vms
from controlplane.usecases.world import World
from tests.component.api.plane import OPERATOR, plane
from tests.conftest import NatsServer
from tests.contract.clouds.test_local import agents, marked
from tests.ports import free_port, free_ports

ROOT = Path(__file__).parents[3]
# What a processor that died has begun is anybody's after this long.
LEASE_S = 0.3
POLL_S, PATIENCE_S = 0.1, 420.0

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Rented:
    """A control plane, its machines, and a processor that dies again and again. `log` has all it said."""

    world: World
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def machines(self) -> Path:
        return self.directory / "local-vms"

    @property
    def steps(self) -> list[str]:
        return (self.directory / "died").read_text().splitlines()

    def purchases(self, vm_id: str) -> list[str]:
        """The machines that the provider has sold for this VM, by its own book."""
        book = [line.split() for line in (self.directory / "purchases").read_text().splitlines()]
        return [machine for tag, machine in book if tag == rental.tag_of(self.world.authority.ca_sha256, vm_id)]

    def orders_go(self, fault: str) -> None:
        (self.directory / "fault").write_text(fault)

    async def attempts(self, vm_id: str) -> Sequence[Attempt]:
        return (await vm_states.list_attempts(self.world, OPERATOR, vm_id, Page()))[::-1]

    async def rent(self, vm_id: str) -> None:
        await vms.create_vm(self.world, OPERATOR, vms.VmRequest(vm_id, "local", provider="local"), "")

    async def terminate(self, vm_id: str) -> None:
        await vms.terminate_vm(self.world, OPERATOR, vm_id, "", force=False)

    async def look(self, vm_id: str) -> tuple[Vm, Provisioning]:
        async with self.world.store.reading() as tx:
            vm, row = await tx.vms.get(vm_id), await tx.provisionings.get(vm_id)
        assert vm is not None
        assert row is not None
        return vm, row

    async def until(self, vm_id: str, done: Callable[[Vm, Provisioning], bool]) -> None:
        """Polls, since the one who would tell is killed all the time."""
        for _ in range(int(PATIENCE_S / POLL_S)):
            vm, row = await self.look(vm_id)
            if done(vm, row):
                return
            assert self.process.poll() is None, self.said
            await asyncio.sleep(POLL_S)
        raise AssertionError(f"still {vm} and {row}: {self.steps[-1]}\n{self.said}")

    @property
    def said(self) -> str:
        return (self.directory / "log").read_text()[-5000:]


@contextmanager
def dying(directory: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    for name in ("died", "purchases", "fault"):
        (directory / name).touch()
    arguments = (str(directory), str(LEASE_S))
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.component.processor.mortal_processor", *arguments],
            env=child_environment(**settings) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"},
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@asynccontextmanager
async def doomed(store_url: str, nats: NatsServer, directory: Path) -> AsyncIterator[Rented]:
    store = open_store(store_url)
    keys = directory / "keys"
    async with JetStreamBus([nats.url]) as bus, plane(store, bus, keys) as running:
        ports = running.ports
        settings = {
            "data_dir": str(directory),
            "database_url": store_url.replace("postgresql://", "postgresql+psycopg://"),
            "nats_url": nats.url,
            "ca_dir": str(keys),
            "http_port": str(free_port()),
            "grpc_port": str(ports.api),
            "link_port": str(ports.link),
            "enrolment_port": str(ports.enrolment),
            "local_vm_ports": free_ports(100),
            "provider_poll_s": "0.3",
            "provider_listing_lag_s": "0.5",
            "vm_boot_timeout_s": "120",
            "retry_boot": "attempts=20,first_delay_s=0.1",
        }
        with dying(directory, **settings) as process:
            local = LocalProvider(directory / "local-vms", foreign_environment())
            try:
                yield Rented(replace(running.world, providers={"local": local}), directory, process)
            finally:
                end(process)
                for instance in (await local.list_owned("")).instances:
                    await local.destroy(instance.id)
    await store.close()


def sites(steps: list[str]) -> set[str]:
    """What was under way, without the lines that led there."""
    return {step.partition(" < ")[0] for step in steps}


def at(state: VmState, phase: Phase) -> Callable[[Vm, Provisioning], bool]:
    return lambda vm, row: (vm.state, row.phase) == (state, phase)


READY, GONE = at(VmState.READY, Phase.HELD), at(VmState.TERMINATED, Phase.RELEASED)


async def ready_and_stopped_and_started(rented: Rented, vm_id: str) -> None:
    await rented.until(vm_id, READY)
    assert len(agents(rented.machines)) == 1, "rented twice"
    await vm_states.stop_vm(rented.world, OPERATOR, vm_id, "")
    await rented.until(vm_id, at(VmState.STOPPED, Phase.PARKED))
    assert marked(rented.machines) == []
    await vm_states.start_vm(rented.world, OPERATOR, vm_id, "")
    await rented.until(vm_id, READY)


async def broken_at_first(rented: Rented, vm_id: str) -> None:
    await rented.until(vm_id, lambda vm, row: row.attempt > 1 and row.phase is Phase.WANTED)
    rented.orders_go("")
    await rented.until(vm_id, READY)


async def bought(rented: Rented, vm_id: str) -> None:
    await rented.until(vm_id, lambda vm, row: row.instance_id != "")


async def test_killed_at_every_await_a_vm_gets_its_machine_once_and_gives_it_back(
    postgres_store_url: str, own_nats_server: NatsServer, tmp_path: Path
) -> None:
    """The first VM is stopped and started too, the second one's machine comes up broken. An order is answered only once
    in a life: others, terminated as soon as they have a machine, die where those could not, until one lives without a
    death."""
    lives = chain([("", ready_and_stopped_and_started), ("broken", broken_at_first)], repeat(("", bought), 40))
    async with doomed(postgres_store_url, own_nats_server, tmp_path) as rented:
        for number, (fault, live) in enumerate(lives):
            deaths, vm_id = len(rented.steps), f"vm-{number}"
            rented.orders_go(fault)
            await rented.rent(vm_id)
            await live(rented, vm_id)
            await rented.terminate(vm_id)
            await rented.until(vm_id, GONE)
            assert marked(rented.machines) == [], "left behind"
            assert [path.name for path in rented.machines.iterdir()] == ["lock"]
            used = [entry.instance_id for entry in await rented.attempts(vm_id) if entry.instance_id]
            assert rented.purchases(vm_id) == list(dict.fromkeys(used)), "not every purchase is on record, once"
            assert len(rented.purchases(vm_id)) == 1 or fault, "rented twice"
            if len(rented.steps) == deaths:
                break
        steps = rented.steps
        assert violations(postgres_store_url) == []
    calls = ("offers", "create", "find", "destroy", "stop", "start", "tx")
    expected = {f"{when} {call}" for call in calls for when in ("before", "after")}
    assert sites(steps) >= {*expected, "within tx", "machine made", "agent started"}
    assert len(steps) == len(set(steps)) == deaths, "a life without a death ends it"
