"""A queue that has no machine to wait for rents one, pools keep slots free, and what nobody needs goes again.

On every store, with agents that enrol and say hello; only the provider is a double.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controlplane.adapters.bus.memory import MemoryBroker, MemoryBus
from controlplane.adapters.ca import FileCertificateAuthority
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.objects import open_objects
from controlplane.adapters.store import open_store
from controlplane.adapters.stream_tokens import JwtStreamTokens
from controlplane.domain.attempt import Attempt, Failure, Offer
from controlplane.domain.errors import AlreadyExists, InvalidRequest, NotFound
from controlplane.domain.host import Encoder, Gpu, Inventory
from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.domain.instance import Instance, InstanceState, Invitation, Listing, ProviderRefused
from controlplane.domain.pool import Budget, Pool
from controlplane.domain.provisioning import Patience
from controlplane.domain.region import Law
from controlplane.domain.retry import FailureKind, Remedy
from controlplane.domain.session import SessionReason, SessionState, SessionTrigger
from controlplane.domain.vm import Vm, VmState
from controlplane.interfaces import Page
from controlplane.usecases import (
    capacity,
    creation,
    hosts,
    pools,
    provisioning,
    queue,
    renting,
    sessions,
    vm_states,
    vms,
)
from controlplane.usecases.allocation import settle
from controlplane.usecases.creation import SessionRequest
from controlplane.usecases.sessions import SessionView
from controlplane.usecases.world import Policy, Renting, World
from hostagent.identity import certificate_request, new_key
from tests.contract.store.conftest import (  # noqa: F401 - fixtures
    memory_store_url,
    migrated_postgres,
    migrated_sqlite,
    postgres_store_url,
    sqlite_store_url,
)
from tests.contract.store.rows import a_deployment, a_game

OPERATOR = Principal(DEFAULT_PROJECT, "operator", Role.OPERATOR)
PLAYER = Principal(DEFAULT_PROJECT, "player", Role.PLAYER)
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
        authority = FileCertificateAuthority(folder / "ca", 3600)
        self.world, self.other = (
            World(
                store=self.store,
                bus=MemoryBus(MemoryBroker()),
                ids=RandomIds(),
                authority=authority,
                stream_tokens=JwtStreamTokens(b"k" * 32),
                objects=open_objects("memory://"),
                policy=policy,
                providers={"cloud": self.cloud},
            )
            for _ in range(2)
        )

    async def furnish(self, budget: int = 5_000_000, **most: int) -> None:
        async with self.store.tx() as tx:
            await tx.catalogue.add_game(a_game(law=Law()))
            await tx.catalogue.add_deployment(a_deployment(ports=(), replaceable=False))
            await tx.renting.put_budget(Budget(DEFAULT_PROJECT, budget))

        for name, count in most.items():
            await self.limit(name.replace("_", "-"), count)

    async def limit(self, region_id: str, count: int) -> None:
        async with self.store.tx() as tx:
            region = await tx.shapes.region(region_id)
            assert region is not None
            await tx.shapes.put(replace(region, max_rented_vms=count))

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
        await asyncio.gather(renting.tend(self.world), renting.tend(self.other))
        for _ in range(4):
            await provisioning.advance(self.world)
        for instance_id in self.cloud.machines:
            token = self.cloud.tokens.pop(instance_id, "")
            if token:
                enrolled = await hosts.enrol(self.world, token, certificate_request(new_key()))
                await hosts.hello(self.world, enrolled.host_id, instance_id, self.inventory, ["192.0.2.1"], "r", "l")
        await queue.place_queue(self.world)
        self.now += timedelta(seconds=seconds)

    async def vms(self, *states: VmState) -> Sequence[Vm]:
        return await vms.list_vms(self.world, OPERATOR, states, Page())

    async def end(self, view: SessionView) -> None:
        async with self.store.tx() as tx:
            session = await tx.sessions.get(view.session.id)
            assert session is not None
            ended, events = session.on(SessionTrigger.EXITED_CLEANLY, self.now, SessionReason.GAME_EXITED)
            await settle(tx, ended, events, self.now, self.world.policy)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(request.getfixturevalue(f"{request.param}_store_url"), tmp_path)
    yield rig
    await rig.store.close()


def told(view: SessionView) -> dict[str, str]:
    return {entry.region_id: entry.code or entry.why for entry in view.session.passed_over if not entry.vm_id}


async def test_demand_rents_one_machine_whoever_decides_and_it_goes_when_it_has_been_empty(rig: Rig) -> None:
    await rig.furnish(eu_west_1=3)
    first, second = await rig.ask(), await rig.ask()
    assert first.session.state is second.session.state is SessionState.PENDING
    await asyncio.gather(renting.tend(rig.world), renting.tend(rig.other))
    waiting = await rig.see(first)
    assert told(waiting)["eu-west-1"] == "RENTING"
    assert waiting.session.reason_detail.startswith("waits for a slot: regions/eu-west-1 a machine is being rented")

    await rig.round()
    seen = [(await rig.see(view)).session for view in (first, second)]
    assert [session.state for session in seen] == [SessionState.STARTING] * 2
    assert (rig.cloud.made, seen[0].vm_id) == (1, seen[1].vm_id)
    assert told(await rig.see(first)) == {}

    for view in (first, second):
        await rig.end(view)
    await rig.round(99)
    assert [vm.state for vm in await rig.vms()] == [VmState.READY]
    for _ in range(3):
        await rig.round()
    assert (rig.cloud.machines, rig.cloud.made) == ({}, 1)
    (vm,) = await rig.vms()
    assert (vm.state, vm.reason_detail) == (VmState.TERMINATED, "empty for 101 s")


async def test_a_full_a_forbidden_and_a_failing_region_are_passed_over_and_the_answer_says_why(rig: Rig) -> None:
    await rig.furnish(eu_west_1=1, eu_central_1=1, us_east_1=1, us_west_2=1)
    rig.cloud.prices |= {("us-east-1", "L4-90"): 400_000, ("us-west-2", "L4-90"): 400_000}
    rig.cloud.sold_out = {"us-east-1"}
    async with rig.store.tx() as tx:
        frankfurt = await tx.shapes.region("eu-central-1")
        assert frankfurt is not None
        await tx.shapes.put(replace(frankfurt, law=Law(deny=frozenset({"FR"}))))
    for _ in range(2):
        await rig.ask()
    await rig.round()
    view = await rig.ask(territory="FR")
    for _ in range(4):
        await rig.round()

    placed = await rig.see(view)
    assert (placed.session.state, placed.session.region_id) == (SessionState.STARTING, "us-west-2")
    assert told(placed) == {
        "eu-west-1": "REGION_LIMIT",
        "eu-central-1": "may not serve players from FR",
        "us-east-1": "RENTING_FAILS",
    }
    assert "renting failed lately: SOLD_OUT: none left" in placed.session.reason_detail
    assert {machine.region_id for machine in rig.cloud.machines.values()} == {"eu-west-1", "us-west-2"}
    gone = [vm for vm in await rig.vms() if vm.region_id == "us-east-1"]
    assert [vm.state for vm in gone] == [VmState.TERMINATED]


async def test_who_has_a_machine_on_its_way_waits_for_it_unless_its_caller_has_said_how_long(rig: Rig) -> None:
    await rig.furnish(eu_west_1=1)
    born = rig.now
    default, exact = await rig.ask(wait_s=None), await rig.ask(wait_s=30)
    elsewhere = await rig.ask("ap-northeast-1", wait_s=None)
    await renting.tend(rig.world)
    seen = [(await rig.see(view)).session for view in (default, exact, elsewhere)]
    assert [told(await rig.see(view)).get("eu-west-1") for view in (default, exact)] == ["RENTING"] * 2
    waits = [(session.queue_deadline_at or born) - session.created_at for session in seen]
    assert [wait.total_seconds() for wait in waits] == [900, 30, 30]
    rig.now = born + timedelta(seconds=31)
    assert await queue.expire_queue(rig.world) == 2
    await renting.tend(rig.world)
    await rig.round()
    assert (await rig.see(default)).session.state is SessionState.STARTING
    assert rig.cloud.made == 1


async def test_a_session_for_which_nothing_can_be_rented_is_rejected_as_soon_as_any_other(rig: Rig) -> None:
    await rig.furnish(budget=0, eu_west_1=1)
    view = await rig.ask(wait_s=None)
    await renting.tend(rig.world)
    session = (await rig.see(view)).session
    assert told(await rig.see(view))["eu-west-1"] == "BUDGET_SPENT"
    assert session.queue_deadline_at == session.created_at + timedelta(seconds=30)


async def test_what_is_sold_out_is_tried_again_after_longer_and_longer_pauses_and_all_are_told_when(rig: Rig) -> None:
    await rig.furnish(eu_west_1=1)
    rig.cloud.sold_out = {"eu-west-1"}
    view = await rig.ask()
    for tries in range(1, 10):
        await rig.round(0)
        await rig.round(0)
        again_at = (await rig.attempts())[0].next_attempt_at
        assert again_at is not None
        full_s = min(300, 5 * 2 ** (tries - 1))
        assert full_s / 2 <= (again_at - rig.now).total_seconds() <= full_s
        when = f"attempt {tries + 1} not before {again_at:%Y-%m-%d %H:%M:%S} UTC"
        why = f"renting failed lately: SOLD_OUT: none left; {when}"
        waiting = await rig.see(view)
        assert told(waiting)["eu-west-1"] == "RENTING_FAILS"
        assert why in waiting.session.reason_detail
        (room,) = await capacity.capacities(rig.world, OPERATOR, "eu-west-1")
        assert room.blocked == f"RENTING_FAILS: {why}"
        rig.now = again_at - timedelta(milliseconds=1)
        await rig.round(0.001)
        assert [vm.state for vm in await rig.vms()] == [VmState.TERMINATED] * tries

    rig.cloud.sold_out = set()
    for _ in range(2):
        await rig.round()
    assert ((await rig.see(view)).session.state, rig.cloud.made) == (SessionState.STARTING, 1)
    rig.cloud.sold_out = {"eu-west-1"}
    await rig.limit("eu-west-1", 2)
    views = [await rig.ask() for _ in range(2)]
    for _ in range(2):
        await rig.round(0)
    told_last = (await rig.see(views[-1])).session.reason_detail
    assert "attempt 2 not before" in told_last, "one that came makes up for all"


async def test_a_kind_of_machine_that_turns_out_not_to_do_is_not_rented_again(rig: Rig) -> None:
    await rig.furnish(eu_west_1=3)
    rig.inventory = replace(ABLE, runtimes=("process",))  # and the game comes as an image
    view = await rig.ask()
    for _ in range(3):
        await rig.round(60)
    assert (rig.cloud.made, rig.cloud.machines) == (1, {})
    seen = await rig.see(view)
    assert (seen.session.state, told(seen)["eu-west-1"]) == (SessionState.PENDING, "NO_OFFER")


async def test_what_was_refused_for_its_hosts_ports_is_not_rented_up_to_the_limit(rig: Rig) -> None:
    await rig.furnish(eu_west_1=3)
    rig.inventory, rig.cloud.ports = replace(ABLE, ephemeral_ports=((32768, 60999),)), (40000, 40999)
    view = await rig.ask()
    for _ in range(3):
        await rig.round(60)
    assert (rig.cloud.made, rig.cloud.machines) == (1, {})
    seen = await rig.see(view)
    assert (seen.session.state, told(seen)["eu-west-1"]) == (SessionState.PENDING, "NO_OFFER")
    assert "sysctl net.ipv4.ip_local_reserved_ports=40000-40999" in seen.session.reason_detail
    rig.cloud.ports = (28000, 28999)  # mended; and whoever has looked once, by hand, is believed
    await vms.create_vm(rig.world, OPERATOR, vms.VmRequest("v", "eu-west-1", "L4-90", provider="cloud"), "")
    for _ in range(2):
        await rig.round()
    assert (await rig.see(view)).session.vm_id == "v"


async def test_the_budget_holds_and_says_so_until_an_operator_raises_it(rig: Rig) -> None:
    await rig.furnish(budget=700_000, eu_west_1=5)
    views = [await rig.ask() for _ in range(3)]
    for _ in range(3):
        await rig.round()
    last = await rig.see(views[-1])
    assert (last.session.state, told(last)["eu-west-1"]) == (SessionState.PENDING, "BUDGET_SPENT")
    assert "the cheapest machine is 0.50 USD an hour; 0.50 of 0.70 USD an hour are spent" in last.session.reason_detail
    (room,) = await capacity.capacities(rig.world, OPERATOR, "eu-west-1")
    assert (room.rented, room.max_rented, room.blocked.partition(":")[0]) == (1, 5, "BUDGET_SPENT")
    budget = await pools.get_budget(rig.world, OPERATOR)
    assert (budget.spent_micro_per_hour, budget.rented_vms) == (500_000, 1)
    await pools.update_budget(rig.world, OPERATOR, lambda b: replace(b, micro_per_hour=1_000_000), "r")
    await rig.round()
    assert (await rig.see(views[-1])).session.state is SessionState.STARTING


async def test_a_price_that_rose_meanwhile_is_not_paid(rig: Rig) -> None:
    await rig.furnish(budget=500_000, eu_west_1=5)
    view = await rig.ask()
    await renting.tend(rig.world)
    rig.cloud.prices["eu-west-1", "L4-90"] = 900_000
    await rig.round()
    assert (rig.cloud.made, (await rig.see(view)).session.state) == (0, SessionState.PENDING)


async def test_a_pool_keeps_slots_free_says_what_keeps_it_and_goes_when_it_is_deleted(rig: Rig) -> None:
    await rig.furnish(eu_west_1=2)
    wanted = Pool("warm", "", "cloud", "eu-west-1", "L4-90", START, min_free_slots=3, max_vms=4, idle_after_s=50)
    made = await pools.create_pool(rig.world, OPERATOR, wanted, "r")
    assert (await pools.create_pool(rig.world, OPERATOR, wanted, "r")).pool == made.pool
    for other in (replace(wanted, max_vms=9), replace(wanted, id="other")):
        with pytest.raises(AlreadyExists):
            await pools.create_pool(rig.world, OPERATOR, other, "r")
    with pytest.raises(InvalidRequest, match="no template 'X'"):
        await pools.create_pool(rig.world, OPERATOR, replace(wanted, id="x", template_id="X"), "r")
    for _ in range(2):
        await rig.round()
    view = await pools.get_pool(rig.world, OPERATOR, "warm")
    assert (view.available, view.free_slots, view.pool.blocked) == (2, 4, "")

    session = await rig.ask()
    assert session.session.state is SessionState.STARTING
    await rig.ask()
    await rig.round()
    view = await pools.get_pool(rig.world, OPERATOR, "warm")
    assert (view.free_slots, view.pool.blocked) == (2, "REGION_LIMIT: 2 of 2 machines are rented here")
    await pools.update_pool(rig.world, OPERATOR, "warm", lambda pool: replace(pool, min_free_slots=1), "r")
    await rig.round(60)
    await rig.round()
    view = await pools.get_pool(rig.world, OPERATOR, "warm")
    assert (view.available, view.free_slots, view.pool.blocked) == (2, 2, "")

    await pools.delete_pool(rig.world, OPERATOR, "warm", "r")
    with pytest.raises(NotFound):
        await pools.get_pool(rig.world, OPERATOR, "warm")
    await rig.round(100)
    for _ in range(2):
        await rig.round()
    assert len(rig.cloud.machines) == 1
    assert (await rig.see(session)).session.state is SessionState.STARTING


async def test_a_session_that_comes_as_its_machine_goes_is_never_ended(rig: Rig) -> None:
    await rig.furnish(eu_west_1=1)
    first = await rig.ask()
    for _ in range(2):
        await rig.round()
    await rig.end(first)
    rig.now += timedelta(seconds=200)
    decision, view = await asyncio.gather(renting.tend(rig.world), rig.ask())
    (vm,) = await rig.vms()
    seen = (await rig.see(view)).session
    if seen.state is SessionState.STARTING:
        assert (vm.state, vm.terminate_requested_at) == (VmState.IN_USE, None)
    else:
        assert (seen.state, vm.state) == (SessionState.PENDING, VmState.DRAINING)
        assert [ending.vm_id for ending in decision.endings] == [vm.id]
