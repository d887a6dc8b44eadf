"""A queue that has no machine to wait for rents one, pools keep slots free, and what nobody needs goes again.

On every store, with agents that enrol and say hello; only the provider is a double.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from controlplane.domain.attempt import Offer
from controlplane.domain.errors import AlreadyExists, InvalidRequest, NotFound
from controlplane.domain.host import HostState
from controlplane.domain.pool import Decision, Pool
from controlplane.domain.region import Law
from controlplane.domain.session import SessionState
from controlplane.domain.vm import VmState
from controlplane.processor.jobs import jobs
from controlplane.processor.standing import StandingPage
from controlplane.usecases import capacity, pools, queue, renting, vms
from controlplane.usecases.allocation import Ask
from controlplane.usecases.offers import OfferBook
from controlplane.usecases.sessions import SessionView
from tests.component.processor.renting_rig import ABLE, HOLDER, OPERATOR, START, Cloud, Rig
from tests.contract.store.rows import next_of


def told(view: SessionView) -> dict[str, str]:
    return {entry.region_id: entry.code or entry.why for entry in view.session.passed_over if not entry.vm_id}


async def test_demand_rents_one_machine_whoever_decides_and_it_goes_when_it_has_been_empty(rig: Rig) -> None:
    await rig.furnish(eu_west_1=3)
    first, second = await rig.ask(), await rig.ask()
    assert first.session.state is second.session.state is SessionState.PENDING
    await asyncio.gather(renting.tend(rig.world, HOLDER), renting.tend(rig.other, HOLDER))
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


async def test_nothing_is_rented_for_one_who_is_placed_while_the_turn_is_waited_for(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.furnish(eu_west_1=3)
    first, *_ = [await rig.ask() for _ in range(2)]
    await rig.round()
    third, _ = await rig.ask(), await rig.ask("us-west-2")
    async with rig.store.reading() as tx:
        before = await queue.asks_of(tx, [third.session])
    await rig.end(first)
    assert await queue.place_queue(rig.world) == 1
    assert (await rig.see(third)).session.state is SessionState.STARTING

    async def read_before(*_: object) -> Sequence[Ask]:
        return before

    monkeypatch.setattr(renting, "asks_of", read_before)
    assert (await renting.tend(rig.world, HOLDER)).rents == ()


async def test_one_replica_decides_and_another_takes_over_when_it_has_gone(rig: Rig) -> None:
    await rig.furnish(eu_west_1=3)
    assert await renting.tend(rig.world, "idle") == Decision()
    await rig.ask()
    assert len((await renting.tend(rig.world, "first")).rents) == 1
    until = rig.now + timedelta(seconds=renting.TENDING_LEASE_S)
    for _ in range(2):
        await rig.ask()
    assert await renting.tend(rig.other, "second") == Decision()
    rig.now = until + timedelta(milliseconds=1)
    assert len((await renting.tend(rig.other, "second")).rents) == 1


async def test_a_full_a_forbidden_and_a_failing_region_are_passed_over_and_the_answer_says_why(rig: Rig) -> None:
    await rig.furnish(eu_west_1=1, eu_central_1=1, us_east_1=1, us_west_2=1)
    rig.cloud.prices |= {("us-east-1", "L4-90"): 400_000, ("us-west-2", "L4-90"): 400_000}
    rig.cloud.sold_out = {"us-east-1"}
    async with rig.store.tx() as tx:
        frankfurt = await tx.shapes.region("eu-central-1")
        assert frankfurt is not None
        await tx.shapes.save(replace(frankfurt, law=Law(deny=frozenset({"FR"}))))
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
    await renting.tend(rig.world, HOLDER)
    seen = [(await rig.see(view)).session for view in (default, exact, elsewhere)]
    assert [told(await rig.see(view)).get("eu-west-1") for view in (default, exact)] == ["RENTING"] * 2
    waits = [(session.queue_deadline_at or born) - session.created_at for session in seen]
    assert [wait.total_seconds() for wait in waits] == [900, 30, 30]
    rig.now = born + timedelta(seconds=31)
    assert await queue.expire_queue(rig.world) == 2
    await renting.tend(rig.world, HOLDER)
    await rig.round()
    assert (await rig.see(default)).session.state is SessionState.STARTING
    assert rig.cloud.made == 1


async def test_who_waits_beside_a_session_that_somebody_holds_is_told_all_the_same(
    postgres_store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renting, "BATCH", 2)
    rig = Rig(postgres_store_url, tmp_path)
    await rig.furnish(eu_west_1=3)
    views = [await rig.ask(wait_s=None) for _ in range(5)]
    async with rig.store.tx() as tx:
        held = await tx.sessions.get(views[1].session.id)
        await tx.sessions.save(next_of(held, reason_detail="is being placed"))
        await renting.tend(rig.world, HOLDER)
    seen = [await rig.see(view) for view in views]
    assert [told(view).get("eu-west-1") for view in seen] == ["RENTING", None, *["RENTING"] * 3]
    waits = [(one.session.queue_deadline_at or rig.now) - one.session.created_at for one in seen]
    assert [wait.total_seconds() for wait in waits] == [900, 30, 900, 900, 900]
    await renting.tend(rig.world, HOLDER)
    assert told(await rig.see(views[1]))["eu-west-1"] == "RENTING"
    await rig.store.close()


async def test_a_machine_comes_for_who_lost_his_while_his_lease_runs_out(rig: Rig) -> None:
    await rig.furnish(replaceable=True, eu_west_1=2)
    view = await rig.ask()
    for _ in range(2):
        await rig.round()
    lost = (await rig.see(view)).session
    await rig.lose(lost.vm_id)
    since = rig.now
    await rig.round(58)
    await rig.round(2)
    assert rig.cloud.made == 1, "its host may come back"
    for _ in range(2):
        await rig.round()
    assert rig.cloud.made == 2
    assert (await rig.see(view)).session.vm_id == lost.vm_id, "whoever plays there may still do so"
    rig.now = since + timedelta(seconds=660)
    await rig.round()
    again = (await rig.see(view)).session
    assert (again.state, again.generation, again.vm_id == lost.vm_id) == (SessionState.STARTING, 2, False)
    assert rig.cloud.made == 2


async def test_a_host_that_took_its_leave_is_waited_for_until_its_sessions_soon_go_elsewhere(rig: Rig) -> None:
    await rig.furnish(replaceable=True, eu_west_1=2)
    view = await rig.ask()
    for _ in range(2):
        await rig.round()
    since, vm_id = rig.now, (await rig.see(view)).session.vm_id
    await rig.lose(vm_id, HostState.OFFLINE)
    for seconds in (61, 479):
        rig.now = since + timedelta(seconds=seconds)
        await rig.round()
    assert rig.cloud.made == 1, "its agent is being exchanged"
    for seconds in (480, 482, 660):
        rig.now = since + timedelta(seconds=seconds)
        await rig.round()
    again = (await rig.see(view)).session
    assert (again.generation, again.vm_id == vm_id, rig.cloud.made) == (2, False, 2)


async def test_a_session_for_which_nothing_can_be_rented_is_rejected_as_soon_as_any_other(rig: Rig) -> None:
    await rig.furnish(budget=0, eu_west_1=1)
    view = await rig.ask(wait_s=None)
    await renting.tend(rig.world, HOLDER)
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
    await renting.tend(rig.world, HOLDER)
    rig.cloud.prices["eu-west-1", "L4-90"] = 900_000
    await rig.round()
    assert (rig.cloud.made, (await rig.see(view)).session.state) == (0, SessionState.PENDING)


async def test_a_provider_that_answers_nonsense_keeps_no_other_from_being_rented_from(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd(Cloud):
        async def offers(self, region_ids: Sequence[str], template_id: str) -> Sequence[Offer]:
            raise KeyError("price")

    await rig.furnish(eu_west_1=1)
    await rig.ask()
    world = replace(rig.world, providers={"odd": Odd({}), **rig.world.providers}, offers=OfferBook())
    (job,) = [job for job in jobs(world, StandingPage(world, CollectorRegistry())) if job.name == "renting"]
    with capture_logs() as logs, pytest.raises(ExceptionGroup) as group:
        await job.run()
    assert [type(error) for error in group.value.exceptions] == [KeyError]
    assert [line["event"] for line in logs] == ["machine.wanted"]
    assert [vm.provider for vm in await rig.vms()] == ["cloud"]


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
    decision, view = await asyncio.gather(renting.tend(rig.world, HOLDER), rig.ask())
    (vm,) = await rig.vms()
    seen = (await rig.see(view)).session
    if seen.state is SessionState.STARTING:
        assert (vm.state, vm.terminate_requested_at) == (VmState.IN_USE, None)
    else:
        assert (seen.state, vm.state) == (SessionState.PENDING, VmState.DRAINING)
        assert [ending.vm_id for ending in decision.endings] == [vm.id]
