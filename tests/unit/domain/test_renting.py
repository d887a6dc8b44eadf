"""What is rented and given back by itself: within limit and budget always, settled at rest, and zero at last."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.domain.attempt import Failure, Offer
from controlplane.domain.game import Picture
from controlplane.domain.host import Encoder, Host, HostState, Inventory
from controlplane.domain.placement import Candidate, Need, rank
from controlplane.domain.pool import Budget, Decision, Market, Model, Pool, Rented
from controlplane.domain.provisioning import Phase, Provisioning
from controlplane.domain.renting import decide
from controlplane.domain.retry import FailureKind, Remedy
from controlplane.domain.template import Preset, Template
from controlplane.domain.vm import PLACEABLE, Vm, VmState

START = datetime(2026, 1, 1, tzinfo=UTC)
IDLE_S = 100.0
PRESET = Preset("p", "P", 1280, 720, 30, 4000, 1500, 8000, "ultrafast")
HUNGRY = replace(PRESET, id="h", min_vram_gb=8)
SMALL, BIG = Template("small", "S", 4, 16, 8, 2, "L4"), Template("big", "B", 8, 32, 24, 4, "L4")
SOLD_OUT = Failure(FailureKind.PROVISIONING, "SOLD_OUT", "none left", Remedy.RETRY)
PLAIN = Inventory(encoders=(Encoder("x264", 2),), has_display_server=True, runtimes=("process",))


def offer(template: str = "small", region: str = "near", price: int = 100, currency: str = "USD") -> Offer:
    return Offer("fake", region, f"m-{template}", template, price, currency)


def need(*regions: str, preset: Preset = PRESET, contained: bool = False) -> Need:
    return Need("default", preset, Picture.FRAMES, regions or ("near",), True, contained)


def market(*offers: Offer, **fields: object) -> Market:
    values: dict[str, object] = {
        "offers": offers,
        "templates": (SMALL, BIG),
        "most": {"near": 2, "far": 2},
        "budgets": {"default": Budget("default", 1000)},
        "known": {},
        "idle_after_s": IDLE_S,
    }
    return Market(**{**values, **fields})  # type: ignore[arg-type]


def machine(vm_id: str, price: Offer, state: VmState = VmState.READY, **fields: object) -> Rented:
    template = {"small": SMALL, "big": BIG}[price.template_id]
    row_fields = {name: fields.pop(name) for name in ("failure", "phase", "mandate") if name in fields}
    vm = Vm(vm_id, "default", "fake", price.region_id, price.template_id, state, template.capacity_units, START, START)
    row = Provisioning(
        vm_id, "default", "fake", f"t-{vm_id}", Phase.HELD, (price.region_id,), price.template_id, START, offer=price
    )
    host = Host(vm_id, "default", HostState.ONLINE, inventory=PLAIN) if state in PLACEABLE else None
    row = replace(row, **{"mandate": price, **row_fields})  # type: ignore[arg-type]
    return Rented(replace(vm, **fields), row, host)  # type: ignore[arg-type]


def decided(needs: list[Need], rented: list[Rented], shop: Market, *pools: Pool, after_s: float = 0.0) -> Decision:
    standing = [Candidate(one.vm, one.host) for one in rented if one.usable and one.host]
    return decide(needs, standing, rented, pools, shop, START + timedelta(seconds=after_s))


def codes(decision: Decision) -> list[list[tuple[str, str]]]:
    return [[(entry.region_id, entry.code) for entry in told or ()] for told in decision.told]


def test_the_cheapest_fitting_machine_is_rented_once_for_as_many_as_it_carries():
    shop = market(offer("big", price=150), offer("small", price=200), offer("small", "far", 10))
    decision = decided([need() for _ in range(5)], [], shop)
    assert [rent.offer.key for rent in decision.rents] == ["fake/near/m-big", "fake/near/m-big"]
    assert codes(decision) == [[("near", "RENTING")]] * 5


def test_who_would_rather_be_elsewhere_goes_there_and_its_seat_is_for_the_next():
    shop = market(offer(), offer(region="far"), most={"near": 1, "far": 2})
    decision = decided([need("near"), need("far", "near"), need("far"), need("far")], [], shop)
    assert [rent.offer.region_id for rent in decision.rents] == ["near", "far", "far"]
    assert codes(decision) == [[("near", "RENTING")], *[[("far", "RENTING")]] * 3]


def test_what_is_under_way_is_room_to_come_and_nothing_is_rented_twice():
    coming = machine("vm-1", offer(), VmState.BOOTING, phase=Phase.BOOTING)
    decision = decided([need(), need()], [coming], market(offer()))
    assert decision.rents == ()
    assert codes(decision) == [[("near", "RENTING")]] * 2
    assert len(decided([need()] * 3, [coming], market(offer())).rents) == 1


def test_a_region_at_its_limit_is_passed_over_for_the_next_and_says_so():
    full = [machine(f"vm-{n}", offer(), VmState.IN_USE, used_units=24, active_sessions=2) for n in range(2)]
    decision = decided([need("near", "far")], full, market(offer(), offer(region="far")))
    assert [rent.offer.region_id for rent in decision.rents] == ["far"]
    assert codes(decision) == [[("near", "REGION_LIMIT"), ("far", "RENTING")]]


def test_nothing_is_rented_beyond_the_budget_but_what_is_free():
    shop = market(offer(price=600), offer(region="far", price=0))
    spent = [machine("vm-1", offer(price=500), VmState.IN_USE, used_units=24, active_sessions=2)]
    decision = decided([need()], spent, shop)
    assert decision.rents == ()
    (told,) = decision.told
    assert told is not None
    assert [entry.told for entry in told] == [
        "regions/near the cheapest machine is 0.0006 USD an hour; 0.0005 of 0.001 USD an hour are spent"
    ]
    assert [rent.offer.region_id for rent in decided([need("near", "far")], spent, shop).rents] == ["far"]
    euros = market(offer(price=1, currency="EUR"))
    assert codes(decided([need()], [], euros)) == [[("near", "BUDGET_SPENT")]]


def test_what_failed_lately_is_given_up_and_the_next_region_tried():
    failed = machine("vm-1", offer(), VmState.PROVISIONING, phase=Phase.WANTED, failure=SOLD_OUT)
    shop = market(offer(), offer(region="far"))
    decision = decided([need("near", "far")], [failed], shop)
    assert [(ending.vm_id, ending.why) for ending in decision.endings] == [
        ("vm-1", "renting failed: SOLD_OUT: none left")
    ]
    assert codes(decision) == [[("near", "RENTING_FAILS"), ("far", "RENTING")]]
    gone = machine("vm-1", offer(), VmState.TERMINATED, phase=Phase.RELEASED, failure=SOLD_OUT)
    again = decided([need("near", "far")], [gone], shop)
    assert (again.endings, codes(again)) == ((), codes(decision))
    assert codes(decided([need("near")], [], shop)) == [[("near", "RENTING")]]


def test_a_failure_while_a_machine_was_given_back_is_none_of_renting():
    away = Failure(FailureKind.PROVIDER_API, "DESTROY_FAILED", "no answer", Remedy.RETRY)
    gone = machine("vm-1", offer(), VmState.TERMINATED, phase=Phase.RELEASED, failure=away)
    gone = replace(gone, host=Host("vm-1", "default", HostState.OFFLINE, epoch=1))
    assert codes(decided([need()], [gone], market(offer()))) == [[("near", "RENTING")]]


def test_a_call_that_failed_about_a_machine_that_is_there_gives_up_nothing():
    away = Failure(FailureKind.PROVIDER_API, "PROVIDER_AWAY", "no answer", Remedy.RETRY)
    lost = machine("vm-1", offer(), VmState.PROVISIONING, phase=Phase.BUYING, failure=away)
    assert [ending.vm_id for ending in decided([], [lost], market(offer())).endings] == ["vm-1"]
    there = replace(lost, row=replace(lost.row, phase=Phase.BOUGHT, instance_id="i-1"))
    decision = decided([need()], [there], market(offer()))
    assert (decision.rents, decision.endings, codes(decision)) == ((), (), [[("near", "RENTING")]])


def test_where_machines_may_not_be_rented_nothing_is_said():
    assert decided([need("elsewhere")], [], market(offer(region="elsewhere"))).told == (None,)


def test_one_who_may_go_nowhere_is_told_nothing_takes_no_seat_and_keeps_nobody_else_from_renting():
    nowhere, coming = replace(need(), regions=()), machine("vm-1", offer(), VmState.BOOTING, phase=Phase.BOOTING)
    assert decided([nowhere], [], market(offer())) == Decision(told=(None,))
    decision = decided([nowhere, need(), nowhere, need(), need()], [coming], market(offer()))
    assert codes(decision) == [[], [("near", "RENTING")], [], *[[("near", "RENTING")]] * 2]
    assert len(decision.rents) == 1


def test_a_kind_of_machine_that_is_known_not_to_do_is_not_rented_again():
    known = {("fake", "small"): Model(PLAIN, (28000, 28999))}
    shop = market(offer(), known=known)
    assert codes(decided([need(preset=HUNGRY)], [], shop)) == [[("near", "NO_OFFER")]]
    assert codes(decided([need(contained=True)], [], shop)) == [[("near", "NO_OFFER")]]
    assert codes(decided([need(preset=HUNGRY)], [], market(offer()))) == [[("near", "RENTING")]]


def test_what_would_be_refused_for_the_ports_of_the_last_of_its_kind_is_not_rented():
    given_away = replace(PLAIN, ephemeral_ports=((32768, 60999),))
    shop = market(offer(), known={("fake", "small"): Model(given_away, (40000, 40999))})
    decision = decided([need()], [], shop)
    assert (decision.rents, codes(decision)) == ((), [[("near", "NO_OFFER")]])
    (told,) = decision.told
    assert told is not None
    assert told[0].why.startswith("the last machine of this kind would not do: its kernel gives ports 40000-40999 to ")
    assert "sysctl net.ipv4.ip_local_reserved_ports=40000-40999" in told[0].why

    coming = machine("vm-1", offer(), VmState.PROVISIONING, phase=Phase.BUYING)
    assert codes(decided([need()], [coming], shop)) == [[("near", "NO_OFFER")]]
    there = replace(coming, row=replace(coming.row, instance_id="i-1"))  # its provider has said which ports it has
    assert codes(decided([need()], [there], shop)) == [[("near", "RENTING")]]
    portless = replace(need(), ports=False)
    assert codes(decided([portless], [], shop)) == [[("near", "RENTING")]]


def test_a_machine_of_an_operator_that_broke_down_long_ago_keeps_nobody_from_renting():
    down = Failure(FailureKind.BOOT, "MACHINE_DOWN", "its provider says that it is FAILED", Remedy.GIVE_UP)
    broken = machine("vm-1", offer(), VmState.ERROR, failure=down, mandate=None)
    assert codes(decided([need()], [broken], market(offer()), after_s=9)) == [[("near", "RENTING_FAILS")]]
    assert codes(decided([need()], [broken], market(offer()), after_s=10)) == [[("near", "RENTING")]]


def a_pool(**fields: object) -> Pool:
    values: dict[str, object] = {"min_free_slots": 2, "max_vms": 3, "idle_after_s": IDLE_S}
    return Pool("pool", "default", "fake", "near", "small", START, **{**values, **fields})  # type: ignore[arg-type]


def test_a_pool_keeps_its_minimum_and_gives_back_only_what_leaves_the_buffer():
    shop = market(offer(), most={"near": 9})
    assert len(decided([], [], shop, a_pool(min_free_slots=3)).rents) == 2
    idle = [machine(f"vm-{n}", offer()) for n in range(3)]
    assert len(decided([], idle, shop, a_pool(buffer_slots=2), after_s=IDLE_S).endings) == 1
    assert decided([], idle, shop, a_pool(buffer_slots=3), after_s=IDLE_S).endings == ()
    assert decided([], idle, shop, a_pool(), after_s=IDLE_S - 1).endings == ()


def test_a_pool_that_is_kept_from_growing_says_why():
    pool = a_pool()
    assert decided([], [], market(most={}), pool).blocked["pool"].startswith("REGION_LIMIT: 0 of 0")
    assert decided([], [], market(offer(price=2000)), pool).blocked["pool"].startswith("BUDGET_SPENT: ")
    assert decided([], [], market(), pool).blocked["pool"].startswith("NO_OFFER: ")
    assert decided([], [], market(offer()), pool).blocked == {"pool": ""}


def test_the_successor_of_a_pools_last_machine_stays_while_the_old_one_drains():
    old = machine("vm-1", offer(), VmState.DRAINING, used_units=12, active_sessions=1, terminate_requested_at=START)
    pool = a_pool(min_free_slots=1, max_vms=1)
    assert decided([], [old, machine("vm-2", offer())], market(offer()), pool, after_s=IDLE_S * 9).endings == ()
    more = [old, machine("vm-2", offer()), machine("vm-3", offer())]
    assert len(decided([], more, market(offer()), pool, after_s=IDLE_S * 9).endings) == 1


def test_a_pool_scales_to_zero_when_nobody_plays_and_comes_back_with_the_next():
    shop, pool = market(offer(), most={"near": 9}), a_pool(scale_to_zero=True)
    assert decided([], [], shop, pool).rents == ()
    idle = [machine(f"vm-{n}", offer()) for n in range(2)]
    assert len(decided([], idle, shop, pool, after_s=IDLE_S).endings) == 2
    assert decided([], idle, shop, pool, after_s=IDLE_S - 1).endings == ()
    assert len(decided([need()], [], shop, pool).rents) == 2


def test_demand_takes_no_more_of_a_pools_machines_than_it_may_have():
    full = [machine("vm-1", offer(), VmState.IN_USE, used_units=24, active_sessions=2)]
    decision = decided([need()], full, market(offer()), a_pool(min_free_slots=0, max_vms=1))
    assert codes(decision) == [[("near", "POOL_FULL")]]


def test_a_machine_whose_agent_is_gone_is_no_free_slot_and_goes():
    lost = machine("vm-1", offer())
    lost = replace(lost, host=Host("vm-1", "default", HostState.LOST))
    decision = decided([], [lost], market(offer()), a_pool(max_vms=3), after_s=IDLE_S)
    assert ([ending.vm_id for ending in decision.endings], len(decision.rents)) == (["vm-1"], 1)


@pytest.mark.parametrize("spared", [{"mandate": None}, {"active_sessions": 1}, {"state": VmState.STOPPED}])
def test_what_an_operator_rented_and_what_is_played_on_stays(spared):
    state = spared.pop("state", VmState.READY)
    assert decided([], [machine("vm-1", offer(), state, **spared)], market(), after_s=IDLE_S * 9).endings == ()


def test_a_machine_that_an_operator_drained_goes_when_it_has_been_empty():
    drained = machine("vm-1", offer(), VmState.DRAINING)
    assert decided([], [drained], market(), a_pool(), after_s=IDLE_S - 1).endings == ()
    assert [ending.vm_id for ending in decided([], [drained], market(), a_pool(), after_s=IDLE_S).endings] == ["vm-1"]
    busy = machine("vm-1", offer(), VmState.DRAINING, used_units=12, active_sessions=1)
    going = machine("vm-2", offer(), VmState.DRAINING, terminate_requested_at=START)
    assert decided([], [busy, going], market(), after_s=IDLE_S * 9).endings == ()


@dataclass
class Fleet:
    """A provider and its machines: on their way for two steps, gone when they are ended; sessions are placed."""

    shop: Market
    pools: list[Pool]
    machines: list[Rented] = field(default_factory=list)
    waiting: list[Need] = field(default_factory=list)
    made: int = 0
    now_s: float = 0.0

    def step(self, seconds: float) -> Decision:
        self.now_s += seconds
        self.machines = [self._grown(one) for one in self.machines]
        self.waiting = [each for each in self.waiting if not self._placed(each)]
        decision = decided(self.waiting, self.machines, self.shop, *self.pools, after_s=self.now_s)
        for ending in decision.endings:
            one = next(one for one in self.machines if one.vm.id == ending.vm_id)
            assert one.vm.active_sessions == 0  # I14
            self.machines.remove(one)
        for rent in decision.rents:
            self.made += 1
            new = machine(f"vm-{self.made:03d}", rent.offer, VmState.PROVISIONING, phase=Phase.BUYING)
            self.machines.append(self._touched(new))
        self.check()
        return decision

    def check(self) -> None:
        in_region = Counter(one.vm.region_id for one in self.machines)
        assert all(count <= self.shop.most[region] for region, count in in_region.items())
        paid = sum(one.price.price_micro_per_hour for one in self.machines if one.price)
        assert paid <= self.shop.budgets["default"].micro_per_hour
        for pool in self.pools:
            assert sum(one.kind == pool.kind for one in self.machines) <= pool.max_vms
        assert all(one.vm.used_units <= one.vm.capacity_units for one in self.machines)

    def leave(self) -> None:
        """The first session that plays ends."""
        for index, one in enumerate(self.machines):
            if one.vm.active_sessions:
                vm, _ = one.vm.give_back(12, self._now)
                self.machines[index] = replace(one, vm=vm)
                return

    def _placed(self, wish: Need) -> bool:
        hosts = [Candidate(one.vm, one.host) for one in self.machines if one.usable and one.host]
        choices, _ = rank(wish, hosts)
        for index, one in enumerate(self.machines):
            if choices and one.vm.id == choices[0].vm_id:
                vm, _ = one.vm.take(choices[0].units, self._now)
                self.machines[index] = replace(one, vm=vm)
                return True
        return False

    def _grown(self, one: Rented) -> Rented:
        grown = {VmState.PROVISIONING: VmState.BOOTING, VmState.BOOTING: VmState.READY}.get(one.vm.state)
        if grown is None:
            return one
        assert one.price is not None
        return self._touched(machine(one.vm.id, one.price, grown))

    def _touched(self, one: Rented) -> Rented:
        return replace(one, vm=replace(one.vm, updated_at=self._now, version=one.vm.version + 1))

    @property
    def _now(self) -> datetime:
        return START + timedelta(seconds=self.now_s)


regions = st.sampled_from([("near",), ("far",), ("near", "far"), ("far", "near")])
acts = st.lists(st.one_of(regions, st.just("leave"), st.just("wait")), max_size=30)
shops = st.builds(
    lambda prices, most, budget: market(
        *(offer(t, r, price) for (t, r), price in prices.items()),
        most=most,
        budgets={"default": Budget("default", budget)},
    ),
    prices=st.fixed_dictionaries(
        {("small", "near"): st.integers(0, 400)},
        optional={kind: st.integers(0, 400) for kind in (("big", "near"), ("small", "far"), ("big", "far"))},
    ),
    most=st.fixed_dictionaries({"near": st.integers(1, 4), "far": st.integers(1, 4)}),
    budget=st.integers(0, 1000),
)
wanted_pools = st.builds(
    a_pool,
    min_free_slots=st.integers(0, 5),
    buffer_slots=st.integers(0, 3),
    max_vms=st.integers(1, 4),
    idle_after_s=st.sampled_from([IDLE_S / 2, IDLE_S, IDLE_S * 2]),
    scale_to_zero=st.booleans(),
)


none_or_one = st.one_of(st.just([]), st.tuples(wanted_pools).map(list))


@settings(max_examples=200, deadline=None)
@given(shop=shops, pools=none_or_one, wishes=st.lists(regions, max_size=12))
def test_the_same_demand_seen_again_rents_nothing_more(shop, pools, wishes):
    fleet = Fleet(shop, pools, waiting=[need(*wish) for wish in wishes])
    fleet.step(0)
    if pools:  # who waits may prefer a machine that the pool has just ordered: it makes up for that once
        again = fleet.step(0).rents
        offers = [(rent.offer.provider, rent.offer.region_id, rent.offer.template_id) for rent in again]
        assert all(offer == pools[0].kind[1:] for offer in offers)
    for seconds in (0, 1, 1):  # another replica, and the rounds while the machines are on their way
        assert fleet.step(seconds).rents == ()


@settings(max_examples=200, deadline=None)
@given(
    shop=shops,
    pools=none_or_one,
    history=acts,
    pause_s=st.sampled_from([1.0, 60.0]),
)
def test_whatever_happens_limits_hold_and_when_nothing_happens_it_settles(shop, pools, history, pause_s):
    fleet = Fleet(shop, pools)
    for act in history:
        if act == "leave":
            fleet.leave()
        elif act != "wait":
            fleet.waiting.append(need(*act))
        fleet.step(pause_s)

    for _ in range(12):  # demand stays as it is: what idles goes, what is lacking comes, and then nothing does
        fleet.step(IDLE_S)
    settled = [fleet.step(IDLE_S) for _ in range(4)]
    assert [(one.rents, one.endings) for one in settled] == [((), ())] * 4
    for pool in pools:
        mine = [one for one in fleet.machines if one.kind == pool.kind]
        free = sum(one.vm.free_units // 12 for one in mine)
        blocked = settled[-1].blocked[pool.id]
        assert free >= pool.min_free_slots or blocked or pool.scale_to_zero

    fleet.waiting.clear()
    fleet.pools = [replace(pool, scale_to_zero=True) for pool in pools]
    while any(one.vm.active_sessions for one in fleet.machines):
        fleet.leave()
    for _ in range(12):
        fleet.step(IDLE_S)
    assert fleet.machines == []
