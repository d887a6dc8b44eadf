"""Operators' verbs over the wire: machines, hosts and the catalogue come back as they were asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from quarterdeck.v1 import accounts_pb2, games_pb2, hosts_pb2, sessions_pb2, vms_pb2

from controlplane import __version__
from tests.component.api.agents import linked
from tests.component.api.plane import Caller, Plane, calling, create_session, make_game, make_host
from tests.component.api.refusals import refused

Code = grpc.StatusCode


async def test_a_machine_is_drained_undrained_and_terminated(api: Plane, operator: Caller) -> None:
    key = await make_host(api, operator, "vm-1")
    await make_game(operator)
    async with linked(api, key):
        session = await create_session(operator)
        busy = await operator.vms.GetVm(vms_pb2.GetVmRequest(name="vms/vm-1"))
        assert (busy.state, busy.active_sessions, busy.host) == (vms_pb2.VM_STATE_IN_USE, 1, "hosts/vm-1")
        assert 0 < busy.used_units <= busy.capacity_units == 48
        refusal = await refused(operator.vms.TerminateVm(vms_pb2.TerminateVmRequest(name="vms/vm-1")))
        assert (refusal.code, refusal.reason, refusal.fields) == (Code.FAILED_PRECONDITION, "VM_BUSY", ("force",))
        drained = await operator.vms.DrainVm(vms_pb2.DrainVmRequest(name="vms/vm-1"))
        assert drained.state == vms_pb2.VM_STATE_DRAINING
        request = sessions_pb2.CreateSessionRequest(game="games/demo", queue_timeout=Duration())
        refusal = await refused(operator.sessions.CreateSession(request))
        assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "NO_CAPACITY")
        back = await operator.vms.UndrainVm(vms_pb2.UndrainVmRequest(name="vms/vm-1"))
        assert back.state == vms_pb2.VM_STATE_IN_USE
        goes = vms_pb2.TerminateVmRequest(name="vms/vm-1", force=True, reason="its lease ends")
        ending = await operator.vms.TerminateVm(goes)
        assert (ending.state, ending.reason_detail) == (vms_pb2.VM_STATE_DRAINING, "its lease ends")
        stopped = await operator.sessions.GetSession(sessions_pb2.GetSessionRequest(name=session.name))
        assert stopped.state == sessions_pb2.SESSION_STATE_STOPPING
        assert stopped.reason == sessions_pb2.SESSION_REASON_VM_TERMINATED


async def test_machines_and_hosts_are_listed_page_by_page(api: Plane, operator: Caller) -> None:
    for vm_id in ("vm-a", "vm-b", "vm-c"):
        await make_host(api, operator, vm_id)
    await operator.vms.CreateVm(vms_pb2.CreateVmRequest(vm_id="vm-d", region="local"))
    new = await operator.vms.ListVms(vms_pb2.ListVmsRequest(states=[vms_pb2.VM_STATE_PROVISIONING]))
    assert [vm.name for vm in new.vms] == ["vms/vm-d"]
    assert not new.vms[0].host
    vms: list[str] = []
    hosts: list[str] = []
    token = ""
    while True:
        page = await operator.vms.ListVms(vms_pb2.ListVmsRequest(page_size=3, page_token=token))
        vms += [vm.name for vm in page.vms]
        if not (token := page.next_page_token):
            break
    while True:
        listed = await operator.hosts.ListHosts(hosts_pb2.ListHostsRequest(page_size=2, page_token=token))
        hosts += [host.name for host in listed.hosts]
        if not (token := listed.next_page_token):
            break
    assert vms == ["vms/vm-d", "vms/vm-c", "vms/vm-b", "vms/vm-a"]
    assert hosts == ["hosts/vm-a", "hosts/vm-b", "hosts/vm-c"]


async def test_a_deployment_comes_back_as_it_went(operator: Caller, player: Caller) -> None:
    await operator.games.CreateGame(
        games_pb2.CreateGameRequest(game_id="server", game=games_pb2.Game(display_name="A server", summary="Plain"))
    )
    wanted = games_pb2.Deployment(
        command=["server", "--port", "27015"],
        environment={"MODE": "fast"},
        picture=games_pb2.PICTURE_NONE,
        ports=[games_pb2.PortSpec(port_name="query", protocol="tcp", game_port=27015)],
        readiness=games_pb2.Readiness(tcp_port="query", timeout=Duration(seconds=30)),
        stop_grace=Duration(seconds=5),
        container=games_pb2.Container(
            image="server:2",
            pull=games_pb2.PULL_POLICY_NEVER,
            memory_bytes=1 << 33,
            cpu_millis=1500,
            pids=64,
            volumes=[games_pb2.ContainerVolume(volume_name="maps", path="/srv/maps")],
            writable_root=True,
            run_as_user="1000:1000",
        ),
    )
    request = games_pb2.CreateDeploymentRequest(parent="games/server", deployment=wanted)
    made = await operator.games.CreateDeployment(request)
    assert made.name == "games/server/deployments/1"
    got = await operator.games.GetDeployment(games_pb2.GetDeploymentRequest(name=made.name))
    assert got == made
    for field in ("command", "environment", "picture", "ports", "readiness", "stop_grace", "container"):
        assert getattr(got, field) == getattr(wanted, field), field
    game = await player.games.GetGame(games_pb2.GetGameRequest(name="games/server"))
    assert (game.current_deployment, game.summary) == (made.name, "Plain")
    refusal = await refused(player.games.GetDeployment(games_pb2.GetDeploymentRequest(name=made.name)))
    assert refusal.code is Code.PERMISSION_DENIED


async def test_a_deployment_whose_parts_disagree_is_refused_by_field(operator: Caller) -> None:
    await make_game(operator)
    deployment = games_pb2.Deployment(
        command=["x"],
        picture=games_pb2.PICTURE_NONE,
        readiness=games_pb2.Readiness(tcp_port="nowhere"),
    )
    request = games_pb2.CreateDeploymentRequest(parent="games/demo", deployment=deployment)
    refusal = await refused(operator.games.CreateDeployment(request))
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "READINESS_PORT_UNKNOWN")
    assert refusal.fields == ("deployment.readiness.tcp_port",)
    deployment.readiness.stays_up.FromSeconds(1)
    deployment.silent = True
    request = games_pb2.CreateDeploymentRequest(parent="games/demo", deployment=deployment)
    refusal = await refused(operator.games.CreateDeployment(request))
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "SILENT_ALREADY")
    assert refusal.fields == ("deployment.silent",)
    deployment.picture = games_pb2.PICTURE_FRAMES
    made = await operator.games.CreateDeployment(
        games_pb2.CreateDeploymentRequest(parent="games/demo", deployment=deployment)
    )
    assert made.silent


async def test_a_token_that_is_asked_for_again_is_the_same_one_and_no_other(api: Plane, operator: Caller) -> None:
    def ask(caller: Caller, **other: Any) -> Awaitable[accounts_pb2.Token]:
        wish = {"subject": "friend", "role": accounts_pb2.ROLE_PLAYER, "client_token": "once", **other}
        made: Awaitable[accounts_pb2.Token] = caller.accounts.CreateToken(accounts_pb2.CreateTokenRequest(**wish))
        return made

    made, again, *raced = await asyncio.gather(*(ask(operator) for _ in range(6)))
    assert [one for one in (again, *raced) if one != made] == []
    assert (await ask(operator, client_token="twice")).token != made.token
    assert len({(await ask(operator, client_token="")).token for _ in range(2)}) == 2
    for other in ({"subject": "foe"}, {"role": accounts_pb2.ROLE_OPERATOR}, {"ttl": Duration(seconds=60)}):
        refusal = await refused(ask(operator, **other))
        assert (refusal.code, refusal.reason) == (Code.ALREADY_EXISTS, "CLIENT_TOKEN_MISMATCH")
    second = await ask(operator, subject="second", role=accounts_pb2.ROLE_OPERATOR, client_token="")
    async with calling(api, second.token) as colleague:
        assert (await ask(colleague)).token != made.token, "what it is called is each caller's own business"
    async with calling(api, made.token) as friend:
        await friend.accounts.SignOut(accounts_pb2.SignOutRequest())
    refusal = await refused(ask(operator))
    assert (refusal.code, refusal.reason) == (Code.ALREADY_EXISTS, "CLIENT_TOKEN_SPENT")
    async with api.world.store.tx() as tx:
        trail = await tx.outbox.trail("default", 0, 1000)
    created = [record.entry for record in trail if record.entry.action == "CreateToken"]
    assert [entry.resource for entry in created if entry.subject == "operator"].count("friend") == 4, "once for each"
    assert made.token not in repr(trail)


async def test_a_token_for_a_player_is_one_of_a_player(api: Plane, operator: Caller) -> None:
    made = await operator.accounts.CreateToken(
        accounts_pb2.CreateTokenRequest(subject="friend", role=accounts_pb2.ROLE_PLAYER, ttl=Duration(seconds=60))
    )
    async with calling(api, made.token) as friend:
        account = await friend.accounts.GetAccount(accounts_pb2.GetAccountRequest())
        assert (account.subject, account.role, account.project) == ("friend", accounts_pb2.ROLE_PLAYER, "default")
        assert account.release == __version__
        assert (await refused(friend.vms.ListVms(vms_pb2.ListVmsRequest()))).code is Code.PERMISSION_DENIED
