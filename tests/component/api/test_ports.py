"""PortService over gRPC: who holds which port, reservations, and every refusal by name."""

from __future__ import annotations

import asyncio

from grpc import StatusCode as Code
from quarterdeck.v1 import games_pb2, hosts_pb2, ports_pb2, vms_pb2

from tests.component.api.agents import exited_status, linked, running_status
from tests.component.api.plane import WITHIN_S, Caller, Plane, create_session, make_game, make_host
from tests.component.api.refusals import refused


async def listed(caller: Caller, page_size: int = 0) -> list[ports_pb2.Port]:
    found: list[ports_pb2.Port] = []
    token = ""
    while True:
        request = ports_pb2.ListPortsRequest(parent="vms/vm-a", page_size=page_size, page_token=token)
        answer = await caller.ports.ListPorts(request)
        found += answer.ports
        if not (token := answer.next_page_token):
            return found


def wanted(**fields) -> ports_pb2.AllocatePortRequest:
    values = {"parent": "vms/vm-a", "protocol": "tcp", "host_port": 25565, "purpose": "the arena's own server"}
    return ports_pb2.AllocatePortRequest(**(values | fields))


async def make_vm(operator: Caller) -> None:
    span = hosts_pb2.PortRange(first=28000, last=28003)
    await operator.vms.CreateVm(vms_pb2.CreateVmRequest(vm_id="vm-a", region="local", port_range=span))


async def test_a_port_is_reserved_listed_and_given_back(operator: Caller) -> None:
    await make_vm(operator)
    made = await operator.ports.AllocatePort(wanted(client_token="t-1"))
    assert (made.name, made.state) == ("vms/vm-a/ports/tcp-25565", ports_pb2.PORT_STATE_RESERVED)
    assert await operator.ports.AllocatePort(wanted(client_token="t-1")) == made
    assert await listed(operator) == [made]
    any_of_range = await operator.ports.AllocatePort(wanted(protocol="udp", host_port=0, client_token="t-2"))
    assert 28000 <= any_of_range.host_port <= 28003
    assert await operator.ports.AllocatePort(wanted(protocol="udp", host_port=0, client_token="t-2")) == any_of_range
    assert [port.protocol for port in await listed(operator, page_size=1)] == ["tcp", "udp"]
    await operator.ports.ReleasePort(ports_pb2.ReleasePortRequest(name=made.name))
    assert await listed(operator) == [any_of_range]
    again = await refused(operator.ports.ReleasePort(ports_pb2.ReleasePortRequest(name=made.name)))
    assert (again.code, again.reason) == (Code.NOT_FOUND, "PORT_NOT_FOUND")


async def test_what_is_refused_says_why(operator: Caller, player: Caller) -> None:
    await make_vm(operator)
    await operator.ports.AllocatePort(wanted(client_token="t-1"))
    for request, code, reason in (
        (wanted(), Code.ABORTED, "PORT_TAKEN"),
        (wanted(purpose="another", client_token="t-1"), Code.ALREADY_EXISTS, "CLIENT_TOKEN_MISMATCH"),
        (wanted(host_port=443), Code.INVALID_ARGUMENT, "PORT_PRIVILEGED"),
        (wanted(game="games/nothing", host_port=9000), Code.NOT_FOUND, "GAME_NOT_FOUND"),
        (wanted(parent="vms/nobody"), Code.NOT_FOUND, "VM_NOT_FOUND"),
        (wanted(purpose=""), Code.INVALID_ARGUMENT, "FIELDS_INVALID"),
        (wanted(protocol="icmp"), Code.INVALID_ARGUMENT, "FIELDS_INVALID"),
    ):
        refusal = await refused(operator.ports.AllocatePort(request))
        assert refusal.code is code, refusal
        assert refusal.reason == reason or code is Code.INVALID_ARGUMENT, refusal
    assert (await refused(player.ports.AllocatePort(wanted()))).code is Code.PERMISSION_DENIED
    assert (await refused(player.ports.ListPorts(ports_pb2.ListPortsRequest(parent="vms/vm-a")))).code is (
        Code.PERMISSION_DENIED
    )


async def test_a_range_that_is_used_up_says_so(operator: Caller) -> None:
    await make_vm(operator)
    for _ in range(4):
        await operator.ports.AllocatePort(wanted(host_port=0))
    refusal = await refused(operator.ports.AllocatePort(wanted(host_port=0)))
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "NO_PORT")


async def test_one_of_many_gets_a_port(operator: Caller) -> None:
    await make_vm(operator)
    calls = [operator.ports.AllocatePort(wanted(client_token=f"t-{number}")) for number in range(8)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, ports_pb2.Port) for answer in answers) == 1


async def test_a_range_below_the_unprivileged_ports_is_refused(operator: Caller) -> None:
    span = hosts_pb2.PortRange(first=80, last=90)
    request = vms_pb2.CreateVmRequest(vm_id="vm-a", region="local", port_range=span)
    refusal = await refused(operator.vms.CreateVm(request))
    assert (refusal.reason, refusal.fields) == ("PORT_RANGE_INVALID", ("port_range",))


async def test_a_sessions_ports_are_listed_and_are_its_own(api: Plane, operator: Caller) -> None:
    await make_game(operator)
    key = await make_host(api, operator, "vm-a")
    async with linked(api, key) as agent:
        session = await create_session(operator)
        (held,) = await listed(operator)
        assert (held.state, held.session, held.port_name) == (ports_pb2.PORT_STATE_HELD, session.name, "media")
        refusal = await refused(operator.ports.ReleasePort(ports_pb2.ReleasePortRequest(name=held.name)))
        assert (refusal.code, refusal.reason) == (Code.FAILED_PRECONDITION, "PORT_OF_SESSION")
        await agent.until(lambda: bool(agent.plans and agent.plans[-1].sessions))
        (planned,) = agent.plans[-1].sessions
        await agent.report(running_status(planned))
        await agent.report(exited_status(planned))

        async def rests() -> bool:
            (port,) = await listed(operator)
            return port.state == ports_pb2.PORT_STATE_RESTING and port.HasField("free_time")

        async with asyncio.timeout(WITHIN_S):
            while not await rests():
                await asyncio.sleep(0.01)


async def test_a_deployment_asks_for_a_port_and_comes_back_with_it(operator: Caller) -> None:
    await make_game(operator)
    deployment = games_pb2.Deployment(
        command=["x"],
        picture=games_pb2.PICTURE_FRAMES,
        ports=[games_pb2.PortSpec(port_name="game", protocol="udp", host_port=2302)],
    )
    made = await operator.games.CreateDeployment(
        games_pb2.CreateDeploymentRequest(parent="games/demo", deployment=deployment)
    )
    assert made.ports == deployment.ports
    deployment.ports[0].host_port = 80
    refusal = await refused(
        operator.games.CreateDeployment(games_pb2.CreateDeploymentRequest(parent="games/demo", deployment=deployment))
    )
    assert (refusal.reason, refusal.fields) == ("PORT_PRIVILEGED", ("deployment.ports[0]",))
