"""A spec is the same bytes on every replica, and its digest proves it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from quarterdeck.v1 import agent_pb2, sessions_pb2, wrapper_pb2

from controlplane.api.specs import IceServer, Network, ice_server_messages, plan_message, specs_by_digest
from controlplane.domain.game import Deployment, Picture, PortSpec
from controlplane.domain.session import PortLease, Session, SessionReason, SessionState, Video
from controlplane.domain.vm import Vm, VmState
from controlplane.usecases.hosts import HostPlan, PlanEntry

AT = datetime(2026, 1, 1, tzinfo=UTC)
NETWORK = Network(ice_servers=(IceServer(("stun:stun.example:3478",)),), loopback_candidate=True)


def entry(environment: dict[str, str], ports: tuple[PortLease, ...]) -> PlanEntry:
    deployment = Deployment(
        "demo", "p", 3, ("game", "--fast"), Picture.FRAMES, AT, environment, (PortSpec("query", "tcp", 27015),)
    )
    session = Session(
        "s-1", "p", "demo", 3, "preset", SessionState.STARTING, AT, AT, vm_id="vm-1", generation=2,
        video=Video(1280, 720, 30, 4000, 1500, 8000, "ultrafast"),
    )  # fmt: skip
    return PlanEntry(session, deployment, ports, want_run=True)


LEASES = (
    PortLease("vm-1", "udp", 28000, "s-1", "media", 0),
    PortLease("vm-1", "tcp", 28001, "s-1", "query", 27015),
)


def plan(*entries: PlanEntry, address: str = "203.0.113.7") -> HostPlan:
    vm = Vm("vm-1", "p", "static", "local", "local", VmState.IN_USE, 24, AT, AT, advertised_address=address)
    return HostPlan(5, vm, entries)


def test_order_of_rows_and_environment_does_not_matter() -> None:
    one = plan(entry({"A": "1", "B": "2"}, LEASES))
    other = plan(entry({"B": "2", "A": "1"}, LEASES[::-1]))
    assert plan_message(one, NETWORK) == plan_message(other, NETWORK)
    assert specs_by_digest(one, NETWORK) == specs_by_digest(other, NETWORK)


def test_a_digest_is_that_of_the_bytes_and_every_planned_spec_is_there() -> None:
    whole = plan(entry({}, LEASES), replace(entry({"A": "1"}, ()), want_run=False))
    specs = specs_by_digest(whole, NETWORK)
    assert [line.spec_digest for line in plan_message(whole, NETWORK).sessions] == list(specs)
    for digest, spec in specs.items():
        assert hashlib.sha256(spec).hexdigest() == digest


def test_a_spec_says_all_that_a_wrapper_needs() -> None:
    [spec] = [
        wrapper_pb2.SessionSpec.FromString(s)
        for s in specs_by_digest(plan(entry({"A": "1"}, LEASES)), NETWORK).values()
    ]
    assert (spec.session_id, spec.generation, spec.project) == ("s-1", 2, "p")
    assert list(spec.deployment.command) == ["game", "--fast"]
    assert spec.deployment.environment == {"A": "1"}
    assert (spec.video.width, spec.video.height, spec.video.fps) == (1280, 720, 30)
    assert [(p.port_name, p.host_port, p.game_port) for p in spec.ports] == [
        ("media", 28000, 0),
        ("query", 28001, 27015),
    ]
    assert spec.limits.idle_timeout.seconds == 900
    assert spec.loopback_candidate
    assert list(spec.advertised_addresses) == ["203.0.113.7"]
    assert list(spec.ice_servers[0].urls) == ["stun:stun.example:3478"]
    assert not spec.HasField("lease")


@pytest.mark.parametrize("address", ["", "play.example.org"])
def test_only_addresses_are_offered_to_browsers(address: str) -> None:
    [spec] = specs_by_digest(plan(entry({}, ()), address=address), NETWORK).values()
    assert list(wrapper_pb2.SessionSpec.FromString(spec).advertised_addresses) == []


def test_a_line_to_stop_says_why() -> None:
    stopping = entry({}, LEASES)
    session = replace(stopping.session, state=SessionState.STOPPING, reason=SessionReason.STOP_REQUESTED)
    [line] = plan_message(plan(replace(stopping, session=session, want_run=False)), NETWORK).sessions
    assert line.want == agent_pb2.PlannedSession.WANT_STOP
    assert line.reason == sessions_pb2.SESSION_REASON_STOP_REQUESTED


def test_a_deployment_kept_before_there_were_parameters_is_given_as_it_is_written() -> None:
    """A plan that raised would cut off the whole host."""
    [spec] = specs_by_digest(plan(entry({"FORMAT": "{{ .Name }} {{port}}"}, LEASES)), NETWORK).values()
    message = wrapper_pb2.SessionSpec.FromString(spec)
    assert message.deployment.environment["FORMAT"] == "{{ .Name }} {{port}}"
    assert list(message.deployment.command) == ["game", "--fast"]


def test_only_a_relay_is_told_the_credentials():
    network = Network.by(["stun:s.example:3478", "turn:t.example:3478"], ("user", "secret"), loopback_candidate=True)
    stun, turn = ice_server_messages(network)
    assert (list(stun.urls), stun.username, stun.credential) == (["stun:s.example:3478"], "", "")
    assert (list(turn.urls), turn.username, turn.credential) == (["turn:t.example:3478"], "user", "secret")
