"""A house that rents: a provider whose machines run at once, agents that enrol and say hello, two processors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from controlplane.adapters.store import open_store
from controlplane.domain.attempt import Attempt, Failure, Offer
from controlplane.domain.host import Encoder, Gpu, HostState, Inventory
from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.domain.instance import Instance, InstanceState, Invitation, Listing, ProviderRefused
from controlplane.domain.pool import Budget
from controlplane.domain.provisioning import Patience
from controlplane.domain.region import Law
from controlplane.domain.retry import FailureKind, Remedy
from controlplane.domain.session import SessionReason, SessionTrigger
from controlplane.domain.vm import Vm, VmState
from controlplane.interfaces import Page
from controlplane.usecases import creation, hosts, provisioning, renting, replacement, sessions, vm_states, vms, watch
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.sessions import SessionView
from controlplane.usecases.settling import settle
from controlplane.usecases.world import Policy, Renting
from hostagent.identity import certificate_request, new_key
from tests.component.processor.worlds import world_on
from tests.contract.store.rows import a_deployment, a_game, next_of

OPERATOR = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)
PLAYER = Principal(DEFAULT_PROJECT, "player", Role.PLAYER)
# Both processors take the duty for their own: as one does that goes on while its lease has lapsed.
HOLDER = "both"
START = datetime(2026, 1, 1, tzinfo=UTC)
SOLD_OUT = Failure(FailureKind.PROVISIONING, "SOLD_OUT", "none left", Remedy.RETRY)
ABLE = Inventory(
    gpus=(Gpu(0, "NVIDIA L4", 12 * 10**9),),
    encoders=(Encoder("x264", 4),),
    has_display_server=True,
    runtimes=("docker", "process", "nvidia", "render"),
)


@dataclass
class Cloud:
    """A provider whose machines run at once. `sold_out`: regions that refuse; `prices` by (region, template)."""

    prices: dict[tuple[str, str], int]
    sold_out: set[str] = field(default_factory=set)
    machines: dict[str, Instance] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    made: int = 0
    ports: tuple[int, int] | None = None
    name: str = "cloud"

    async def offers(self, region_ids: Sequence[str], template_id: str) -> Sequence[Offer]:
        await asyncio.sleep(0)
        here = [(region, price) for (region, template), price in self.prices.items() if template == template_id]
        return [Offer("cloud", region, "m", template_id, price) for region, price in here if region in region_ids]

    async def create(self, offer: Offer, tag: str, invitation: Invitation) -> Instance:
        await asyncio.sleep(0)
        if offer.region_id in self.sold_out:
            raise ProviderRefused(SOLD_OUT)
        self.made += 1
        running = InstanceState.RUNNING
        machine = Instance(f"i-{self.made}", tag, offer.region_id, running, START, "192.0.2.1", self.ports)
        self.machines[machine.id], self.tokens[machine.id] = machine, invitation.join_token
        return machine

    async def find(self, tag: str) -> Listing:
        return await self.list_owned(tag)

    async def list_owned(self, prefix: str) -> Listing:
        return Listing(True, tuple(one for one in self.machines.values() if one.tag.startswith(prefix)))

    async def destroy(self, instance_id: str) -> None:
        self.machines.pop(instance_id, None)

    async def start(self, instance_id: str) -> None:
        raise AssertionError

    async def stop(self, instance_id: str) -> None:
        raise AssertionError


class Rig:
    """One house with two processors, on one store and a clock of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.now, self.inventory = START, ABLE
        self.cloud = Cloud({("eu-west-1", "L4-90"): 500_000, ("eu-central-1", "L4-90"): 600_000})
        self.store = open_store(url, clock=lambda: self.now)
        policy = Policy(renting=Renting("127.0.0.1:1", Patience(poll_s=1, listing_lag_s=5), idle_after_s=100))
        self.world, self.other = (
            world_on(self.store, folder, policy=policy, providers={"cloud": self.cloud}) for _ in range(2)
        )

    async def furnish(self, budget: int = 5_000_000, *, replaceable: bool = False, **most: int) -> None:
        async with self.store.tx() as tx:
            await tx.catalogue.add_game(a_game(law=Law()))
            await tx.catalogue.add_deployment(a_deployment(ports=(), replaceable=replaceable))
            await tx.renting.put_budget(Budget(DEFAULT_PROJECT, budget))
        for name, count in most.items():
            await self.limit(name.replace("_", "-"), count)

    async def limit(self, region_id: str, count: int) -> None:
        async with self.store.tx() as tx:
            region = await tx.shapes.region(region_id)
            assert region is not None
            await tx.shapes.save(replace(region, max_rented_vms=count))

    async def attempts(self) -> Sequence[Attempt]:
        """Of the newest VM."""
        newest = max(await self.vms(), key=lambda vm: vm.created_at)
        return await vm_states.list_attempts(self.world, OPERATOR, newest.id, Page())

    async def ask(self, region_id: str = "eu-west-1", wait_s: float | None = 9000, **wish: object) -> SessionView:
        self.now += timedelta(milliseconds=1)
        request = SessionRequest("orbit", region_id=region_id, queue_timeout_s=wait_s, **wish)  # type: ignore[arg-type]
        return await creation.create_session(self.world, PLAYER, request, "r")

    async def see(self, view: SessionView) -> SessionView:
        return await sessions.get_session(self.world, PLAYER, view.session.id)

    async def round(self, seconds: float = 2.0) -> None:
        """Both processors decide at once; machines are bought, agents come, the queue is served."""
        await asyncio.gather(renting.tend(self.world, HOLDER), renting.tend(self.other, HOLDER))
        for _ in range(4):
            await provisioning.advance(self.world)
        for instance_id in self.cloud.machines:
            token = self.cloud.tokens.pop(instance_id, "")
            if token:
                enrolled = await hosts.enrol(self.world, token, certificate_request(new_key()))
                await hosts.hello(self.world, enrolled.host_id, instance_id, self.inventory, ["192.0.2.1"], "r", "l")
        await replacement.place_all(self.world)
        self.now += timedelta(seconds=seconds)

    async def vms(self, *states: VmState) -> Sequence[Vm]:
        return await vms.list_vms(self.world, OPERATOR, states, Page())

    async def lose(self, vm_id: str, state: HostState = HostState.LOST) -> None:
        """Its host, which is heard of no more."""
        async with self.store.tx() as tx:
            await tx.hosts.save(next_of(await tx.hosts.lock(vm_id), state=state))
            await watch.mark_reachability(tx, vm_id, self.now, reachable=False)

    async def end(self, view: SessionView) -> None:
        async with self.store.tx() as tx:
            session = await tx.sessions.get(view.session.id)
            assert session is not None
            ended, events = session.on(SessionTrigger.EXITED_CLEANLY, self.now, SessionReason.GAME_EXITED)
            await settle(tx, ended, events, self.now, self.world.policy)
