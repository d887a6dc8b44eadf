"""Placement and weights: pure, deterministic, and never above capacity (I1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain import placement
from controlplane.domain.errors import Exhausted
from controlplane.domain.game import Picture
from controlplane.domain.host import Encoder, Gpu, Host, HostState, Inventory
from controlplane.domain.placement import Candidate, Held, Need, assign_many, next_gpu, rank
from controlplane.domain.template import UNITS_PER_SEAT, Preset, weight
from controlplane.domain.vm import Vm, VmState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ABLE = Inventory(encoders=(Encoder("libx264", 2),), has_display_server=True)


def preset(sessions_per_vm: int = 0, min_vram_gb: int = 0) -> Preset:
    return Preset("p", "P", 1280, 720, 30, 4000, 1500, 8000, "p4", sessions_per_vm, min_vram_gb)


def candidate(name: str = "a", state: VmState = VmState.READY, used: int = 0, capacity: int = 48, **host) -> Candidate:
    vm = Vm(name, "p", "static", "eu", "t", state, capacity, NOW, NOW, used_units=used, active_sessions=used > 0)
    return Candidate(vm, Host(name, "p", **({"state": HostState.ONLINE, "inventory": ABLE} | host)))


def need(picture: Picture = Picture.FRAMES, region: str = "eu", sessions_per_vm: int = 0, vram: int = 0) -> Need:
    return Need("p", preset(sessions_per_vm, vram), picture, (region,))


def test_the_fullest_machine_that_fits_comes_first_and_ties_go_by_id():
    fleet = [candidate("c"), candidate("b", VmState.IN_USE, 24), candidate("a"), candidate("d", VmState.IN_USE, 40)]
    choices, passed = rank(need(), fleet)
    assert [choice.vm_id for choice in choices] == ["b", "a", "c"]
    assert [(p.vm_id, p.why) for p in passed] == [("d", "has 8 of 12 units free")]


@pytest.mark.parametrize(
    ("given_need", "given_candidate", "why"),
    [
        (need(), candidate(state=VmState.DRAINING), "is DRAINING"),
        (need(region="us"), candidate(), "is in region eu"),
        (replace(need(), regions=()), candidate(), "is in region eu"),
        (need(), candidate(state=VmState.READY, inventory=Inventory()), "no encoder worked on its host"),
        (need(Picture.X11), candidate(inventory=Inventory(encoders=(Encoder("x", 1),))), "no X display server"),
        (need(vram=8), candidate(), "none of its graphics cards has 8 GB"),
        (replace(need(), contained=True), candidate(), "its host runs no containers"),
        (need(), candidate(revoked_at=NOW), "revoked"),
    ],
)
def test_who_is_passed_over_and_why(given_need, given_candidate, why):
    choices, passed = rank(given_need, [given_candidate])
    assert choices == ()
    assert why in passed[0].why


@pytest.mark.parametrize("state", [HostState.OFFLINE, HostState.STALE, HostState.LOST])
def test_only_hosts_that_are_online_get_sessions(state):
    assert rank(need(), [candidate(state=VmState.READY)])[0]
    choices, passed = rank(need(), [Candidate(candidate().vm, Host("a", "p", state, inventory=ABLE))])
    assert (choices, passed[0].why) == ((), f"its host is {state}")


@given(seats=st.integers(1, 8), n=st.integers(1, 16))
def test_a_preset_that_allows_n_sessions_lets_n_fit(seats, n):
    capacity = seats * UNITS_PER_SEAT
    assert capacity // weight(preset(n), capacity) >= min(n, capacity)
    assert weight(preset(1), capacity) == capacity


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=60))
def test_no_sequence_of_takes_and_returns_exceeds_the_capacity(steps):
    vm, held = candidate().vm, []
    for units, give_back in steps:
        if give_back and held:
            vm, _ = vm.give_back(held.pop(), NOW)
        else:
            try:
                vm, _ = vm.take(units, NOW)
                held.append(units)
            except Exhausted:
                assert units > vm.free_units
        assert vm.used_units == sum(held) <= vm.capacity_units
        assert vm.active_sessions == len(held)
        assert vm.state is (VmState.IN_USE if held else VmState.READY)


@given(
    fleet=st.lists(st.tuples(st.sampled_from(["eu", "us", "ap"]), st.integers(1, 4)), min_size=1, max_size=6),
    asked=st.lists(
        st.tuples(st.integers(0, 8), st.lists(st.sampled_from(["eu", "us", "ap"]), min_size=1, unique=True)),
        max_size=25,
    ),
)
def test_mixed_presets_over_regions_keep_every_capacity_and_every_order(fleet, asked):
    """I1 in weights, and no session in a region while one before it in its order had room."""
    vms = {
        f"vm-{number}": replace(candidate(f"vm-{number}", capacity=seats * UNITS_PER_SEAT).vm, region_id=region)
        for number, (region, seats) in enumerate(fleet)
    }
    candidates = [Candidate(vm, candidate(vm.id).host) for vm in vms.values()]
    needs = [Need("p", preset(sessions), Picture.FRAMES, tuple(regions)) for sessions, regions in asked]
    choices, _ = assign_many(needs, candidates)
    used = dict.fromkeys(vms, 0)
    for one, choice in zip(needs, choices, strict=True):
        free = {vm.id: vm.capacity_units - used[vm.id] for vm in vms.values()}
        room = {vm.region_id for vm in vms.values() if weight(one.preset, vm.capacity_units) <= free[vm.id]}
        best = next((region for region in one.regions if region in room), None)
        assert (vms[choice.vm_id].region_id if choice else None) == best
        if choice:
            used[choice.vm_id] += choice.units
            assert used[choice.vm_id] <= vms[choice.vm_id].capacity_units


NEEDS = st.sampled_from([need(), need(Picture.X11), need(sessions_per_vm=1), need(sessions_per_vm=8), need(vram=1)])


@given(
    fleet=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 12)), max_size=6),
    needs=st.lists(NEEDS, max_size=40),
)
def test_many_at_once_go_where_they_would_go_one_by_one_and_never_above_capacity(fleet, needs):
    candidates = {}
    for number, (seats, used) in enumerate(fleet):
        name = f"v{number}"
        candidates[name] = candidate(name, VmState.IN_USE if used else VmState.READY, used, seats * UNITS_PER_SEAT)
    choices, unmet = assign_many(needs, candidates.values())
    for asked, choice in zip(needs, choices, strict=True):
        best = rank(asked, candidates.values())[0]
        assert choice == (best[0] if best else None)
        if choice is None:
            assert asked in unmet
            continue
        vm, _ = candidates[choice.vm_id].vm.take(choice.units, NOW)
        candidates[choice.vm_id] = Candidate(vm, candidates[choice.vm_id].host)
    assert all(c.vm.used_units <= c.vm.capacity_units for c in candidates.values())
    assert unmet == {asked: rank(asked, candidates.values())[1] for asked in unmet}


def test_a_machine_is_looked_at_once_for_each_kind_of_need_however_many_take_turns(monkeypatch):
    looked, obstacle = 0, placement._obstacle

    def counted(*asked):
        nonlocal looked
        looked += 1
        return obstacle(*asked)

    monkeypatch.setattr(placement, "_obstacle", counted)
    kinds, fleet = [replace(need(), game_id=name) for name in "abc"], [candidate(f"v{n:02d}") for n in range(10)]
    choices, unmet = assign_many(kinds * 20, fleet)
    assert sum(choice is not None for choice in choices) == 40
    assert looked == len(fleet) * (len(kinds) + len(unmet))


GIVEN_AWAY = Inventory(encoders=ABLE.encoders, ephemeral_ports=((27000, 40000),))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (
            {"held": {("tcp", 25565): Held("is held by sessions/s-9")}},
            "tcp port 25565 is held by sessions/s-9",
        ),
        ({"held": {("tcp", 25565): Held("is reserved for the bar", "bar")}}, "is reserved for the bar"),
        ({"held": {("tcp", 25565): Held("is reserved for us", "arena")}}, ""),
        ({"held": {("udp", 25565): Held("is held by sessions/s-9")}}, ""),
        ({"portless": True}, "no free port in 28000-28999"),
        (
            {"host": Host("a", "p", HostState.ONLINE, inventory=GIVEN_AWAY)},
            "ip_local_reserved_ports=28000-28999",
        ),
    ],
)
def test_a_port_that_is_not_to_be_had_is_told(fields, why: str) -> None:
    wanted = replace(need(), ports=True, fixed=(("tcp", 25565),), game_id="arena")
    choices, passed = rank(wanted, [replace(candidate(), **fields)])
    assert bool(choices) is not bool(why)
    assert why in "".join(entry.why for entry in passed)


def test_cards_are_asked_of_hosts_that_grant_them_and_shared_evenly() -> None:
    wanted = replace(need(), contained=True, graphics=("nvidia", "render"))
    bare = Inventory(encoders=ABLE.encoders, runtimes=("docker",))
    assert "grants no nvidia card" in rank(wanted, [candidate(inventory=bare)])[1][0].why
    carded = replace(bare, runtimes=("docker", "nvidia", "render"))
    assert "grants no nvidia card" in rank(wanted, [candidate(inventory=carded)])[1][0].why
    cards = (Gpu(0, "L4", 24), Gpu(1, "L4", 24))
    assert rank(wanted, [candidate(inventory=replace(carded, gpus=cards))])[0]
    assert [next_gpu(cards, held, preset()) for held in ([], [0], [0, 1, None], [1, 1, 0, None])] == [0, 1, 0, 0]
    assert next_gpu((), [], preset()) is None


def test_one_card_must_have_the_memory_and_that_one_is_taken() -> None:
    small, large = Gpu(0, "small", 4 * 10**9), Gpu(1, "large", 8 * 10**9)
    two_small = replace(ABLE, gpus=(small, replace(small, index=1)))
    choices, passed = rank(need(vram=8), [candidate(inventory=two_small)])
    assert not choices
    assert "none of its graphics cards has 8 GB" in passed[0].why
    assert rank(need(vram=8), [candidate(inventory=replace(ABLE, gpus=(small, large)))])[0]
    assert next_gpu((small, large), [1, 1], preset(min_vram_gb=8)) == 1
    assert next_gpu((small,), [], preset(min_vram_gb=8)) is None
