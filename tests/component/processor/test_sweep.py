"""The sweep on real machines and real databases: strays end, what others own stays, what is gone is told (I10, I11)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from controlplane.adapters.clouds.local import LocalProvider, Terms
from controlplane.domain import rental
from controlplane.domain.attempt import Failure
from controlplane.domain.errors import Unavailable
from controlplane.domain.host import HostState
from controlplane.domain.instance import Instance, Invitation, Listing, ProviderRefused
from controlplane.domain.provisioning import Phase
from controlplane.domain.retry import FailureKind, Remedy
from controlplane.domain.vm import VmState
from controlplane.interfaces import Page, Store
from controlplane.usecases.sweep import Sweeper
from controlplane.usecases.world import World
from controlplane.values import port_range
from tests.component.processor.worlds import world_on
from tests.contract.clouds.test_local import ENVIRONMENT, agents, marked
from tests.contract.store.rows import a_host, a_vm
from tests.contract.store.test_provisionings import a_provisioning
from tests.ports import free_port, free_ports


class Rounds:
    """A sweeper whose rounds are a minute apart."""

    def __init__(self, world: World) -> None:
        self._at_s = 0.0
        self._sweeper = Sweeper(world, lambda: self._at_s)

    async def sweep(self) -> set[str]:
        self._at_s += 60
        return {instance.tag for instance in await self._sweeper.sweep()}


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(tmp_path / "machines", ENVIRONMENT, Terms(8, ports=port_range(free_ports(100))))
    yield provider
    for instance in (await provider.list_owned("")).instances:
        await provider.destroy(instance.id)


@pytest.fixture
def world(store: Store, provider: LocalProvider, tmp_path: Path) -> World:
    return world_on(store, tmp_path, providers={"local": provider})


async def machine(world: World, tag: str) -> Instance:
    """Its agent finds nobody to enrol with, and goes on trying."""
    provider = world.providers["local"]
    invitation = Invitation("v", f"127.0.0.1:{free_port()}", "ab" * 32, "a-join-token")
    (offer,) = await provider.offers(["local"], "local")
    return await provider.create(offer, tag, invitation)


async def held(world: World, vm_id: str) -> Instance:
    """A VM with a machine of its own, whose host was not heard for long."""
    tag = rental.tag_of(world.authority.ca_sha256, vm_id)
    bought = await machine(world, tag)
    async with world.store.tx() as tx:
        await tx.vms.add(a_vm(vm_id, provider="local", terminate_requested_at=None))
        await tx.hosts.add(a_host(vm_id, state=HostState.LOST, last_heartbeat_at=None))
        await tx.provisionings.add(a_provisioning(vm_id, tag=tag, phase=Phase.HELD, instance_id=bought.id))
    return bought


async def test_strays_end_and_nothing_else_does(world: World, tmp_path: Path) -> None:
    wanted, foreign = await held(world, "vm-1"), await machine(world, "qd-another-house")
    stray = await machine(world, rental.tag_of(world.authority.ca_sha256, "nobody"))
    rounds = Rounds(world)
    assert [await rounds.sweep() for _ in range(3)] == [set(), {stray.tag}, set()]
    left = {instance.tag for instance in (await world.providers["local"].list_owned("")).instances}
    assert left == {wanted.tag, foreign.tag}
    assert len(agents(tmp_path / "machines")) == 2


async def test_a_stray_that_does_not_go_and_a_provider_that_refuses_keep_no_other(
    world: World, provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strays = [await machine(world, rental.tag_of(world.authority.ca_sha256, f"nobody-{n}")) for n in range(2)]
    stubborn, _ = sorted(strays, key=lambda instance: instance.id)
    refusal = ProviderRefused(Failure(FailureKind.PROVIDER_API, "FORBIDDEN", "not now", Remedy.RETRY))
    whole = provider.destroy

    async def destroy(instance_id: str) -> None:
        if instance_id == stubborn.id:
            raise refusal
        await whole(instance_id)

    class Refusing(LocalProvider):
        name = "refusing"

        async def list_owned(self, prefix: str) -> Listing:
            raise refusal

    closed = Refusing(tmp_path / "none", ENVIRONMENT, Terms(0))
    rounds = Rounds(replace(world, providers={"refusing": closed, "local": provider}))
    with monkeypatch.context() as patched:
        patched.setattr(provider, "destroy", destroy)
        for _ in range(2):
            with pytest.raises(Unavailable) as failed:
                await rounds.sweep()
    assert failed.value.__cause__ is refusal
    assert [i.id for i in (await provider.list_owned("")).instances] == [stubborn.id]


async def test_a_machine_that_is_gone_is_told(world: World, tmp_path: Path) -> None:
    bought, kept = await held(world, "vm-1"), await held(world, "vm-2")
    folder = tmp_path / "machines" / bought.tag
    dead = marked(folder)
    for process in dead:
        process.kill()
    await asyncio.to_thread(psutil.wait_procs, dead, 20)
    shutil.rmtree(folder)
    rounds = Rounds(world)
    for _ in range(2):
        assert await rounds.sweep() == set()
    async with world.store.reading() as tx:
        vms = {vm.id: vm for vm in await tx.vms.list("default", [], Page())}
        rows = await tx.provisionings.of_vms(["vm-1", "vm-2"])
        (told,) = [change for change in await tx.transitions.of_vm("vm-1", Page()) if change.state == "ERROR"]
    assert (vms["vm-1"].state, rows["vm-1"].phase) == (VmState.ERROR, Phase.RELEASED)
    assert told.detail == "MACHINE_GONE: its provider has the machine no more"
    assert (vms["vm-2"].state, rows["vm-2"].phase) == (VmState.READY, Phase.HELD)
    assert [i.id for i in (await world.providers["local"].find(kept.tag)).instances] == [kept.id]


async def test_a_partial_listing_proves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stray = await machine(world, rental.tag_of(world.authority.ca_sha256, "nobody"))
    provider, rounds = world.providers["local"], Rounds(world)
    whole = provider.list_owned

    async def partial(prefix: str) -> object:
        return replace(await whole(prefix), complete=False)

    with monkeypatch.context() as patched:
        patched.setattr(provider, "list_owned", partial)
        assert [await rounds.sweep() for _ in range(4)] == [set()] * 4
    assert [await rounds.sweep() for _ in range(2)] == [set(), {stray.tag}]
