"""The agents' stream over real mTLS: who may have it, what goes down it, and when it ends."""

from __future__ import annotations

import asyncio
import datetime
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from quarterdeck.v1 import agent_pb2, agent_pb2_grpc, hosts_pb2, sessions_pb2, wrapper_pb2

from controlplane.adapters.bus.memory import MemoryBroker
from controlplane.adapters.ca import FileCertificateAuthority
from controlplane.domain.host import HostState
from controlplane.usecases import hosts
from tests.component.api.agents import Agent, linked, running_status
from tests.component.api.keys import Key
from tests.component.api.plane import OPERATOR, WITHIN_S, Caller, Plane, create_session, make_game, make_host
from tests.component.api.refusals import refused

Code = grpc.StatusCode


async def session_on(caller: Caller) -> sessions_pb2.Session:
    await make_game(caller)
    return await create_session(caller)


async def host_state(api: Plane, host_id: str) -> HostState:
    return (await hosts.get_host(api.world, OPERATOR, host_id))[0].state


async def test_hello_makes_the_machine_ready_and_a_plan_follows(api: Plane, operator: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key) as agent:
        await agent.until(lambda: bool(agent.plans))
        assert list(agent.plans[0].sessions) == []
        host = await operator.hosts.GetHost(hosts_pb2.GetHostRequest(name="hosts/vm-1"))
        assert host.state == hosts_pb2.HOST_STATE_ONLINE
        assert host.inventory.encoders[0].encoder_name == "libx264"
        assert host.api_replica.startswith("r-")
        session = await session_on(operator)
        assert session.vm == "vms/vm-1"
        await agent.until(lambda: bool(agent.plans[-1].sessions))
        planned = agent.plans[-1].sessions[0]
        assert (f"sessions/{planned.session_id}", planned.want) == (session.name, agent_pb2.PlannedSession.WANT_RUN)


async def test_a_report_makes_the_session_playable_and_is_acknowledged_when_committed(
    api: Plane, operator: Caller
) -> None:
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key) as agent:
        session = await session_on(operator)
        await agent.until(lambda: bool(agent.plans and agent.plans[-1].sessions))
        sequence = await agent.report(running_status(agent.plans[-1].sessions[0]))
        await agent.until(lambda: bool(agent.acks))
        assert (agent.acks[-1].epoch, agent.acks[-1].sequence) == (agent.epoch, sequence)
        now = await operator.sessions.GetSession(sessions_pb2.GetSessionRequest(name=session.name))
        assert now.state == sessions_pb2.SESSION_STATE_RUNNING
        assert now.stages.HasField("first_frame_time")


async def test_reports_and_heartbeats_pass_without_a_broker(api: Plane, operator: Caller, broker: MemoryBroker) -> None:
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key) as agent:
        session = await session_on(operator)
        await agent.until(lambda: bool(agent.plans and agent.plans[-1].sessions))
        await broker.kill()
        sequence = await agent.report(running_status(agent.plans[-1].sessions[0]))
        await agent.until(lambda: bool(agent.acks) and agent.acks[-1].sequence == sequence)
        now = await operator.sessions.GetSession(sessions_pb2.GetSessionRequest(name=session.name))
        assert now.state == sessions_pb2.SESSION_STATE_RUNNING
        before = (await hosts.get_host(api.world, OPERATOR, "vm-1"))[0].last_heartbeat_at
        await agent.send(heartbeat=agent_pb2.Heartbeat())
        async with asyncio.timeout(WITHIN_S):
            while (await hosts.get_host(api.world, OPERATOR, "vm-1"))[0].last_heartbeat_at == before:
                await asyncio.sleep(0.1)


async def test_the_last_accepted_report_is_acknowledged_again_on_the_next_link(api: Plane, operator: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key) as agent:
        sequence = await agent.report()
        await agent.until(lambda: bool(agent.acks))
        epoch = agent.epoch
    async with linked(api, key) as agent:
        assert agent.epoch == epoch
        await agent.until(lambda: bool(agent.acks))
        assert agent.acks[0].sequence == sequence


async def test_a_new_start_gets_the_next_epoch_and_the_old_one_is_fenced(api: Plane, operator: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key, "start-0001") as agent:
        first = agent.epoch
    async with linked(api, key, "start-0002") as agent:
        assert agent.epoch == first + 1
        await agent.report(epoch=first)
        assert (await agent.ended())[0] is Code.FAILED_PRECONDITION


async def test_the_newest_link_of_a_host_wins(api: Plane, operator: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key) as older, linked(api, key) as newer:
        code, why = await older.ended()
        assert code is Code.ABORTED, why
        sequence = await newer.report()
        await newer.until(lambda: bool(newer.acks))
        assert newer.acks[-1].sequence == sequence


async def test_specs_are_given_by_digest_and_only_to_their_host(api: Plane, operator: Caller) -> None:
    key, other = await make_host(api, operator, "vm-1"), await make_host(api, operator, "vm-2")
    async with linked(api, key) as agent:
        await session_on(operator)
        await agent.until(lambda: bool(agent.plans and agent.plans[-1].sessions))
        planned = agent.plans[-1].sessions[0]
        request = agent_pb2.FetchSpecsRequest(digests=[planned.spec_digest, "0" * 64])
        specs = (await agent.stub.FetchSpecs(request)).specs
        assert list(specs) == [planned.spec_digest]
        spec = wrapper_pb2.SessionSpec.FromString(specs[planned.spec_digest])
        assert (spec.session_id, spec.generation) == (planned.session_id, planned.generation)
        assert spec.video.height == 720
        assert [port.port_name for port in spec.ports] == ["media"]
        digest = hashes.Hash(hashes.SHA256())
        digest.update(specs[planned.spec_digest])
        assert digest.finalize().hex() == planned.spec_digest
        async with api.link(other) as channel:
            foreign = await agent_pb2_grpc.AgentLinkServiceStub(channel).FetchSpecs(request)
            assert dict(foreign.specs) == {}


async def test_the_certificate_decides_which_host_it_is(api: Plane, operator: Caller) -> None:
    key, other = await make_host(api, operator, "vm-1"), await make_host(api, operator, "vm-2")
    async with linked(api, key) as agent:
        await session_on(operator)
        await agent.until(lambda: bool(agent.plans and agent.plans[-1].sessions))
        planned = agent.plans[-1].sessions[0]
        async with linked(api, other) as stranger:
            await stranger.report(running_status(planned))
            await stranger.until(lambda: bool(stranger.acks))
        now = await operator.sessions.GetSession(sessions_pb2.GetSessionRequest(name=f"sessions/{planned.session_id}"))
        assert now.state == sessions_pb2.SESSION_STATE_STARTING


async def test_a_revoked_host_is_cut_off_and_stays_out_until_it_enrols_again(api: Plane, operator: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key) as agent:
        await operator.hosts.RevokeHost(hosts_pb2.RevokeHostRequest(name="hosts/vm-1"))
        async with asyncio.timeout(5):  # what the product promises
            assert (await agent.call.code()) is Code.PERMISSION_DENIED
    async with api.link(key) as channel:
        stub = agent_pb2_grpc.AgentLinkServiceStub(channel)
        for call in (
            stub.FetchSpecs(agent_pb2.FetchSpecsRequest()),
            stub.RenewCertificate(agent_pb2.RenewCertificateRequest(certificate_request=key.request())),
        ):
            refusal = await refused(call)
            assert (refusal.code, refusal.reason) == (Code.PERMISSION_DENIED, "HOST_REVOKED")
        again = Agent(channel, "start-0001")
        assert (await refused(again.hello())).code is Code.PERMISSION_DENIED
    fresh = await make_host(api, operator, "vm-1")
    async with linked(api, fresh) as agent:
        await agent.until(lambda: bool(agent.plans))


async def test_a_certificate_is_renewed_for_the_same_host(api: Plane, operator: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    fresh = Key.new()
    async with api.link(key) as channel:
        answer = await agent_pb2_grpc.AgentLinkServiceStub(channel).RenewCertificate(
            agent_pb2.RenewCertificateRequest(certificate_request=fresh.request())
        )
    async with linked(api, replace(fresh, certificate=answer.certificate)) as agent:
        await agent.until(lambda: bool(agent.plans))


async def test_goodbye_takes_the_host_offline_at_once(api: Plane, operator: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key) as agent:
        await agent.send(goodbye=agent_pb2.Goodbye(reason="maintenance"))
        assert (await agent.ended())[0] is Code.OK
        assert await host_state(api, "vm-1") is HostState.OFFLINE


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (agent_pb2.AgentMessage(heartbeat=agent_pb2.Heartbeat()), Code.INVALID_ARGUMENT),
        (agent_pb2.AgentMessage(hello=agent_pb2.Hello(start_id="short")), Code.INVALID_ARGUMENT),
        (agent_pb2.AgentMessage(), Code.INVALID_ARGUMENT),
    ],
    ids=["no hello", "hello with a bad field", "nothing"],
)
async def test_a_link_starts_with_a_good_hello(
    api: Plane, operator: Caller, message: agent_pb2.AgentMessage, code: grpc.StatusCode
) -> None:
    key = await make_host(api, operator, "vm-1")
    async with api.link(key) as channel:
        call = agent_pb2_grpc.AgentLinkServiceStub(channel).Link(iter([message]))
        refusal = await refused(anext(aiter(call)))
        assert refusal.code is code
    assert await host_state(api, "vm-1") is HostState.OFFLINE


async def test_a_report_that_makes_no_sense_is_refused_by_name(api: Plane, operator: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key) as agent:
        await agent.report(wrapper_pb2.WorkloadStatus(session_id="s-1", generation=1, state=42))
        code, why = await agent.ended()
        assert code is Code.INVALID_ARGUMENT, why


async def test_no_certificate_no_link(api: Plane) -> None:
    async with api.link(None) as channel:
        call = agent_pb2_grpc.AgentLinkServiceStub(channel).FetchSpecs(agent_pb2.FetchSpecsRequest(), timeout=WITHIN_S)
        assert (await refused(call)).code is Code.UNAVAILABLE


def self_made(key: Key, host_id: str, signer: Key | None = None, **change: object) -> Key:
    """A certificate that our CA has not made, or (with `signer`) of whatever shape."""
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Quarterdeck CA")])
    uri = x509.UniformResourceIdentifier(str(change.get("uri", f"spiffe://quarterdeck/host/{host_id}")))
    eku = ExtendedKeyUsageOID.SERVER_AUTH if change.get("server") else ExtendedKeyUsageOID.CLIENT_AUTH
    ends = now - datetime.timedelta(hours=1) if change.get("expired") else now + datetime.timedelta(hours=1)
    starts = now + datetime.timedelta(minutes=30) if change.get("early") else now - datetime.timedelta(hours=2)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name if signer is None else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host_id)]))
        .issuer_name(name)
        .public_key(key.private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([eku]), critical=False)
        .sign((signer or key).private, hashes.SHA256())
    )
    return replace(key, certificate=certificate.public_bytes(serialization.Encoding.PEM).decode())


def ca_key(directory: Path) -> Key:
    private = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return Key(private)


async def fetch(api: Plane, key: Key) -> None:
    async with api.link(key) as channel:
        await agent_pb2_grpc.AgentLinkServiceStub(channel).FetchSpecs(agent_pb2.FetchSpecsRequest(), timeout=WITHIN_S)


async def test_only_certificates_of_our_own_ca_open_the_link(api: Plane, operator: Caller, tmp_path: Path) -> None:
    await make_host(api, operator, "vm-1")
    other_ca = FileCertificateAuthority(tmp_path / "other", 3600)
    foreign = Key.new()
    pem, _, _ = other_ca.issue_host_certificate("vm-1", foreign.request())
    ours = ca_key(tmp_path / "ca")
    strangers = {
        "another CA": replace(foreign, certificate=pem),
        "self-signed": self_made(Key.new(), "vm-1"),
        "expired": self_made(Key.new(), "vm-1", ours, expired=True),
        "not yet valid": self_made(Key.new(), "vm-1", ours, early=True),
        "for servers": self_made(Key.new(), "vm-1", ours, server=True),
    }
    for what, key in strangers.items():
        refusal = await refused(fetch(api, key))
        assert refusal.code is Code.UNAVAILABLE, f"{what}: {refusal}"
    await fetch(api, self_made(Key.new(), "vm-1", ours))  # the same shape is fine when nothing is wrong with it


@pytest.mark.parametrize(
    "uri",
    ["spiffe://elsewhere/host/vm-1", "spiffe://quarterdeck/host/../vm-1", "https://quarterdeck/host/vm-1"],
)
async def test_a_good_certificate_that_names_no_host_is_refused(
    api: Plane, operator: Caller, tmp_path: Path, uri: str
) -> None:
    await make_host(api, operator, "vm-1")
    key = self_made(Key.new(), "vm-1", ca_key(tmp_path / "ca"), uri=uri)
    refusal = await refused(fetch(api, key))
    assert (refusal.code, refusal.reason) == (Code.UNAUTHENTICATED, "CERTIFICATE_NAMES_NO_HOST")


async def test_a_stopping_server_sends_agents_elsewhere(api: Plane, operator: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    async with linked(api, key) as agent:
        await api.server.stop(10)
        assert (await agent.ended())[0] is Code.UNAVAILABLE
