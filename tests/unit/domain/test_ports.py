"""Which ports a session gets, and which deployments no host could ever give theirs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.container import Container
from controlplane.domain.errors import InvalidRequest
from controlplane.domain.game import Deployment, Picture, PortSpec, Readiness, checked
from controlplane.domain.portrange import any_outside, covering, free_port
from controlplane.domain.ports import Berth, Lack, leases_for
from controlplane.domain.session import PortLease, Session, SessionState
from controlplane.domain.vm import Vm, VmState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SESSION = Session("s-1", "p", "arena", 1, "preset", SessionState.PENDING, NOW, NOW)
VM = Vm("vm-1", "p", "static", "local", "local", VmState.READY, 12, NOW, NOW, media_ports=(100, 102))
RESERVED = PortLease("vm-1", "tcp", 25565, purpose="the arena", game_id="arena")


@given(st.frozensets(st.integers(100, 120)), st.integers(100, 120))
def test_a_free_port_is_free_and_none_means_none(taken, start):
    port = free_port(taken, 100, 120, start)
    free = set(range(100, 121)) - taken
    assert (port in free) if free else port is None


def test_the_search_walks_round_so_that_a_port_just_freed_is_used_last():
    assert free_port(frozenset(), 100, 102, 101) == 101
    assert free_port(frozenset({101, 102}), 100, 102, 101) == 100


@given(
    st.lists(st.tuples(st.integers(90, 130), st.integers(90, 130)).map(sorted).map(tuple), max_size=4),
    st.integers(100, 110),
)
def test_a_port_that_is_kept_back_is_never_given(kept, start) -> None:
    port = free_port(frozenset(), 100, 110, start, kept)
    assert (port is not None) == any_outside((100, 110), kept)
    assert port is None or covering(port, kept) is None


def berth(*leases: PortLease, taken: frozenset[int] = frozenset(), kept=()) -> Berth:
    known = {(lease.protocol, lease.host_port): lease for lease in leases}
    held = {"tcp": taken | {lease.host_port for lease in leases if lease.protocol == "tcp"}}
    return Berth(VM, kept, held, known)


def test_fixed_and_dynamic_ports_are_leased_together() -> None:
    wanted = (PortSpec("game", "tcp", 25565, 25565), PortSpec("query", "tcp"), PortSpec("voice", "udp"))
    leases = leases_for(SESSION, wanted, berth(), NOW)
    assert not isinstance(leases, Lack)
    assert [(lease.port_name, lease.protocol, lease.host_port) for lease in leases] == [
        ("game", "tcp", 25565),
        ("query", "tcp", 100),
        ("voice", "udp", 100),
    ]
    assert {lease.session_id for lease in leases} == {"s-1"}


def test_a_fixed_port_of_the_range_is_not_given_to_a_dynamic_one() -> None:
    leases = leases_for(SESSION, (PortSpec("any", "tcp"), PortSpec("this", "tcp", 0, 100)), berth(), NOW)
    assert not isinstance(leases, Lack)
    assert {lease.port_name: lease.host_port for lease in leases} == {"any": 101, "this": 100}


@pytest.mark.parametrize(
    ("lease", "gets_it"),
    [
        (RESERVED, True),
        (replace(RESERVED, session_id="s-0", free_at=NOW - timedelta(seconds=1)), True),
        (replace(RESERVED, session_id="s-0", free_at=NOW + timedelta(seconds=1)), False),
        (replace(RESERVED, session_id="s-0"), False),
        (replace(RESERVED, game_id="another"), False),
        (replace(RESERVED, game_id=""), False),
        (replace(RESERVED, purpose="", game_id="", session_id="s-0"), False),
    ],
    ids=["reserved for it", "used before", "resting", "in use", "for another game", "for no game", "another session's"],
)
def test_who_gets_a_fixed_port_that_somebody_has(lease: PortLease, gets_it: bool) -> None:
    got = leases_for(SESSION, (PortSpec("game", "tcp", 0, 25565),), berth(lease), NOW)
    if gets_it:
        assert got == (replace(lease, session_id="s-1", port_name="game", free_at=None),)
    else:
        assert got == Lack("tcp", 25565)


def test_what_is_missing_is_named() -> None:
    full = berth(taken=frozenset({100, 101, 102}))
    assert leases_for(SESSION, (PortSpec("a", "tcp"),), full, NOW) == Lack("tcp")
    away = berth(kept=((20000, 30000),))
    assert leases_for(SESSION, (PortSpec("a", "udp", 0, 25565),), away, NOW) == Lack("udp", 25565)


SERVER = Deployment(
    "arena", "p", 0, ("arena",), Picture.NONE, NOW, readiness=Readiness(stays_up_s=1), container=Container("arena:1")
)


@pytest.mark.parametrize(
    ("ports", "reason"),
    [
        ((PortSpec("a", "tcp"), PortSpec("a", "udp")), "PORT_NAME_TAKEN"),
        ((PortSpec("media", "udp"),), "PORT_NAME_TAKEN"),
        ((PortSpec("a", "tcp", 80), PortSpec("b", "tcp", 80)), "PORT_TWICE"),
        ((PortSpec("a", "tcp", 80, 8080), PortSpec("b", "tcp", 81, 8080)), "PORT_TWICE"),
        ((PortSpec("a", "tcp", 80, 80),), "PORT_PRIVILEGED"),
    ],
)
def test_ports_that_cannot_be_are_refused(ports: tuple[PortSpec, ...], reason: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked(replace(SERVER, ports=ports))
    assert refused.value.reason == reason
    assert refused.value.field.startswith("deployment.ports[")


def test_a_number_may_be_tcp_and_udp_and_a_container_may_listen_on_any() -> None:
    ports = (PortSpec("a", "tcp", 80, 8080), PortSpec("b", "udp", 80, 8080), PortSpec("c", "tcp"), PortSpec("d", "tcp"))
    assert checked(replace(SERVER, ports=ports)).ports == ports


@pytest.mark.parametrize(("game_port", "host_port", "fits"), [(0, 0, True), (9000, 9000, True), (9000, 0, False)])
def test_a_program_of_the_host_listens_on_the_port_it_leased(game_port: int, host_port: int, fits: bool) -> None:
    plain = replace(SERVER, container=None, ports=(PortSpec("a", "tcp", game_port, host_port),))
    if fits:
        assert checked(plain) == plain
    else:
        with pytest.raises(InvalidRequest, match="host_port 9000"):
            checked(plain)
