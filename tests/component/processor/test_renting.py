"""A processor killed at every step of renting and of giving back, with real agents that really enrol (I10, I16)."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from dataclasses import replace
from pathlib import Path

from controlplane.adapters.bus.memory import MemoryBus
from controlplane.adapters.clouds.local import LocalProvider
from controlplane.adapters.store import open_store
from controlplane.domain.provisioning import Phase
from controlplane.domain.vm import Vm, VmState
from controlplane.settings import foreign_environment
from controlplane.usecases import vms
from controlplane.usecases.world import World
from tests.component.api.plane import OPERATOR, plane
from tests.contract.clouds.test_local import agents

PROGRAM = Path(__file__).with_name("renting_process.py")
ROOT = Path(__file__).parents[3]
WITHIN_S = 240.0


class Doomed:
    """Keeps a processor running that is killed with SIGKILL at each step when it first comes there."""

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments
        self.killed_at: list[str] = []

    async def run(self) -> None:
        while True:
            argv = (str(PROGRAM), *self.arguments, ",".join(self.killed_at))
            process = await asyncio.create_subprocess_exec(sys.executable, *argv, stdout=PIPE, cwd=ROOT)
            assert process.stdout is not None
            try:
                step = (await process.stdout.readline()).decode().strip()
                assert step, "it ended by itself"
                self.killed_at.append(step)
            finally:
                process.kill()
                await process.wait()


async def until(world: World, state: VmState, phase: Phase, doomed: asyncio.Task[None]) -> Vm:
    while True:
        if doomed.done():
            doomed.result()
        async with world.store.reading() as tx:
            vm, row = await tx.vms.get("rented"), await tx.provisionings.get("rented")
        assert vm is not None
        assert row is not None
        if (vm.state, row.phase) == (state, phase):
            return vm
        await asyncio.sleep(0.1)  # what changes the row is another process


async def test_killed_at_every_step_the_vm_is_ready_once_and_then_gone(postgres_store_url: str, tmp_path: Path) -> None:
    store, machines = open_store(postgres_store_url), tmp_path / "machines"
    local = LocalProvider(machines, foreign_environment())
    async with plane(store, MemoryBus(), tmp_path / "keys") as running, asyncio.timeout(WITHIN_S):
        world = replace(running.world, providers={"local": local})
        target = f"127.0.0.1:{running.ports.enrolment}"
        processor = Doomed(postgres_store_url, str(tmp_path / "keys"), str(machines), target)
        keeping = asyncio.create_task(processor.run())
        try:
            await vms.create_vm(world, OPERATOR, vms.VmRequest("rented", "local", provider="local"), "")
            await until(world, VmState.READY, Phase.HELD, keeping)
            assert len(agents(machines)) == 1, "rented twice"
            await vms.terminate_vm(world, OPERATOR, "rented", "", force=False)
            await until(world, VmState.TERMINATED, Phase.RELEASED, keeping)
            assert agents(machines) == [], "left behind"
            assert [path.name for path in machines.iterdir()] == ["lock"]
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            for instance in (await local.list_owned("")).instances:
                await local.destroy(instance.id)
    await store.close()
    calls = ("offers", "create", "find", "destroy")
    assert set(processor.killed_at) >= {f"{when} {call}" for call in calls for when in ("before", "after")}
    assert len(processor.killed_at) == len(set(processor.killed_at)) >= 12
