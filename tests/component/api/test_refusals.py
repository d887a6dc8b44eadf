"""Bad input and bad credentials: a clear error that names the field or the reason, and nothing changes."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from quarterdeck.v1 import (
    accounts_pb2,
    agent_pb2,
    agent_pb2_grpc,
    games_pb2,
    hosts_pb2,
    sessions_pb2,
    streaming_pb2,
    vms_pb2,
)

from controlplane.usecases import accounts
from tests.component.api.keys import Key
from tests.component.api.plane import OPERATOR, WITHIN_S, Caller, Plane, calling, create_session, enrol, make_game
from tests.component.api.refusals import refused

Code = grpc.StatusCode


async def test_every_broken_rule_of_the_proto_is_named(operator: Caller) -> None:
    deployment = games_pb2.Deployment(
        command=["x" * 5000], picture=99, ports=[games_pb2.PortSpec(port_name="a", protocol="udp", game_port=-1)]
    )
    refusal = await refused(
        operator.games.CreateDeployment(games_pb2.CreateDeploymentRequest(parent="games/demo", deployment=deployment))
    )
    assert refusal.code is Code.INVALID_ARGUMENT
    assert refusal.reason == "INVALID_FIELDS"
    assert refusal.domain == "quarterdeck"
    assert refusal.fields == ("deployment.command[0]", "deployment.picture", "deployment.ports[0].game_port")


async def test_an_unknown_state_to_list_by_is_named(player: Caller) -> None:
    refusal = await refused(player.sessions.ListSessions(sessions_pb2.ListSessionsRequest(states=[1, 77])))
    assert (refusal.code, refusal.fields) == (Code.INVALID_ARGUMENT, ("states[1]",))


async def test_a_negative_duration_is_named(player: Caller) -> None:
    request = sessions_pb2.CreateSessionRequest(game="games/demo", queue_timeout=Duration(seconds=-5))
    refusal = await refused(player.sessions.CreateSession(request))
    assert (refusal.code, refusal.fields) == (Code.INVALID_ARGUMENT, ("queue_timeout",))


async def test_ten_megabytes_are_refused_and_one_more_call_is_served(api: Plane, player: Caller) -> None:
    request = sessions_pb2.CreateSessionRequest(game="games/demo", client_token="x" * 10_000_000)
    refusal = await refused(player.sessions.CreateSession(request))
    assert refusal.code is Code.RESOURCE_EXHAUSTED
    assert "larger than max" in refusal.message
    assert not (await player.sessions.ListSessions(sessions_pb2.ListSessionsRequest())).sessions


async def test_a_page_token_of_another_list_is_named(operator: Caller) -> None:
    for game_id in ("a", "b", "c"):
        await make_game(operator, game_id)
    first = await operator.games.ListGames(games_pb2.ListGamesRequest(page_size=2))
    assert first.next_page_token
    second = await operator.games.ListGames(games_pb2.ListGamesRequest(page_size=2, page_token=first.next_page_token))
    assert [game.name for game in (*first.games, *second.games)] == ["games/c", "games/b", "games/a"]
    assert not second.next_page_token
    for token in (first.next_page_token, "nonsense", "%%%"):
        refusal = await refused(operator.vms.ListVms(vms_pb2.ListVmsRequest(page_token=token)))
        assert (refusal.code, refusal.fields) == (Code.INVALID_ARGUMENT, ("page_token",))


async def test_a_request_id_comes_back(player: Caller) -> None:
    call = player.sessions.GetSession(
        sessions_pb2.GetSessionRequest(name="sessions/none"), metadata=(("x-request-id", "mine-1"),)
    )
    refusal = await refused(call)
    assert refusal.request_id == "mine-1"
    assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "SESSION_NOT_FOUND")
    bad = player.sessions.GetSession(
        sessions_pb2.GetSessionRequest(name="sessions/none"), metadata=(("x-request-id", "not an id {}"),)
    )
    assert (await refused(bad)).request_id not in ("", "not an id {}")


@pytest.mark.parametrize("token", ["", "unknown"])
async def test_a_stranger_is_refused(api: Plane, token: str) -> None:
    async with calling(api, token) as stranger:
        refusal = await refused(stranger.sessions.ListSessions(sessions_pb2.ListSessionsRequest()))
    assert refusal.code is Code.UNAUTHENTICATED
    assert refusal.reason == ("TOKEN_INVALID" if token else "TOKEN_MISSING")


async def test_a_player_may_not_steer_the_fleet(player: Caller) -> None:
    for call in (
        player.vms.ListVms(vms_pb2.ListVmsRequest()),
        player.hosts.ListHosts(hosts_pb2.ListHostsRequest()),
        player.accounts.CreateToken(accounts_pb2.CreateTokenRequest(subject="me", role=accounts_pb2.ROLE_OPERATOR)),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (Code.PERMISSION_DENIED, "ROLE_NOT_ALLOWED")


async def test_a_sign_in_code_works_once(api: Plane, operator: Caller) -> None:
    code = (await operator.accounts.CreateSignInCode(accounts_pb2.CreateSignInCodeRequest())).code
    async with calling(api, "") as browser:
        signed_in = await browser.accounts.SignIn(accounts_pb2.SignInRequest(code=code))
        again = await refused(browser.accounts.SignIn(accounts_pb2.SignInRequest(code=code)))
    assert signed_in.account.role == accounts_pb2.ROLE_OPERATOR
    assert (again.code, again.reason) == (Code.UNAUTHENTICATED, "SIGN_IN_CODE_INVALID")


async def test_signing_out_ends_the_token_at_once(api: Plane) -> None:
    token, _ = await accounts.create_token(api.world, OPERATOR, "guest", OPERATOR.role, None, "")
    async with calling(api, token) as guest:
        await guest.accounts.GetAccount(accounts_pb2.GetAccountRequest())
        await guest.accounts.SignOut(accounts_pb2.SignOutRequest())
        refusal = await refused(guest.accounts.GetAccount(accounts_pb2.GetAccountRequest()))
    assert refusal.code is Code.UNAUTHENTICATED


async def test_an_expired_token_is_refused(api: Plane) -> None:
    token, _ = await accounts.create_token(api.world, OPERATOR, "guest", OPERATOR.role, 0.0, "")
    async with calling(api, token) as guest:
        refusal = await refused(guest.accounts.GetAccount(accounts_pb2.GetAccountRequest()))
    assert (refusal.code, refusal.reason) == (Code.UNAUTHENTICATED, "TOKEN_INVALID")


async def test_a_token_revoked_elsewhere_ends_open_streams(api: Plane, player: Caller, operator: Caller) -> None:
    await make_game(operator)
    session = await create_session(player)
    token, _ = await accounts.create_token(api.world, OPERATOR, "guest", OPERATOR.role, None, "")
    who = await accounts.authenticate(api.world, token)
    async with calling(api, token) as guest:
        call = guest.sessions.WatchSession(sessions_pb2.WatchSessionRequest(name=session.name))
        watched = aiter(call)
        assert (await anext(watched)).name == session.name
        await accounts.sign_out(api.world, who)
        async with asyncio.timeout(WITHIN_S):
            refusal = await refused(anext(watched))
    assert (refusal.code, refusal.reason) == (Code.UNAUTHENTICATED, "TOKEN_INVALID")


async def test_another_projects_session_is_not_there(api: Plane, player: Caller, operator: Caller) -> None:
    await make_game(operator)
    session = await create_session(player)
    stranger = type(OPERATOR)("elsewhere", "stranger", OPERATOR.role)
    async with api.world.store.tx() as tx:
        await tx.credentials.put_project("elsewhere")
    token, _ = await accounts.create_token(api.world, stranger, "stranger", OPERATOR.role, None, "")
    async with calling(api, token) as foreign:
        for call in (
            foreign.sessions.GetSession(sessions_pb2.GetSessionRequest(name=session.name)),
            foreign.sessions.StopSession(sessions_pb2.StopSessionRequest(name=session.name)),
            foreign.streaming.CreateStreamToken(streaming_pb2.CreateStreamTokenRequest(session=session.name)),
        ):
            refusal = await refused(call)
            assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "SESSION_NOT_FOUND")
    still = await player.sessions.GetSession(sessions_pb2.GetSessionRequest(name=session.name))
    assert still.state == session.state


async def test_a_client_token_with_other_parameters_is_refused(player: Caller, operator: Caller) -> None:
    await make_game(operator)
    first = await create_session(player, client_token="t1")
    again = await create_session(player, client_token="t1")
    assert first.name == again.name
    request = sessions_pb2.CreateSessionRequest(game="games/demo", client_token="t1", region="local")
    refusal = await refused(player.sessions.CreateSession(request))
    assert (refusal.code, refusal.reason) == (Code.ALREADY_EXISTS, "CLIENT_TOKEN_MISMATCH")
    assert refusal.fields == ("client_token",)


async def test_no_room_and_no_wish_to_wait(player: Caller, operator: Caller) -> None:
    await make_game(operator)
    request = sessions_pb2.CreateSessionRequest(game="games/demo", queue_timeout=Duration())
    refusal = await refused(player.sessions.CreateSession(request))
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "NO_CAPACITY")


async def test_a_join_token_works_once(api: Plane, operator: Caller) -> None:
    await operator.vms.CreateVm(vms_pb2.CreateVmRequest(vm_id="vm-1", region="local"))
    joined = await operator.vms.CreateJoinToken(vms_pb2.CreateJoinTokenRequest(name="vms/vm-1"))
    assert joined.enrolment_target == f"127.0.0.1:{api.ports.enrolment}"
    assert joined.ca_sha256 == api.authority.ca_sha256
    key = await enrol(api, joined.token)
    assert "BEGIN CERTIFICATE" in key.certificate
    refusal = await refused(enrol(api, joined.token))
    assert (refusal.code, refusal.reason) == (Code.UNAUTHENTICATED, "JOIN_TOKEN_INVALID")


async def test_nonsense_instead_of_a_certificate_request_leaves_the_join_token_unused(
    api: Plane, operator: Caller
) -> None:
    await operator.vms.CreateVm(vms_pb2.CreateVmRequest(vm_id="vm-1", region="local"))
    joined = await operator.vms.CreateJoinToken(vms_pb2.CreateJoinTokenRequest(name="vms/vm-1"))
    async with api.enrolment() as channel:
        stub = agent_pb2_grpc.EnrolmentServiceStub(channel)
        request = agent_pb2.EnrolRequest(join_token=joined.token, certificate_request=b"nonsense")
        refusal = await refused(stub.Enrol(request, timeout=WITHIN_S))
    assert (refusal.code, refusal.fields) == (Code.INVALID_ARGUMENT, ("certificate_request",))
    assert (await enrol(api, joined.token)).certificate


async def test_the_enrolment_listener_speaks_tls_only(api: Plane) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{api.ports.enrolment}") as channel:
        stub = agent_pb2_grpc.EnrolmentServiceStub(channel)
        request = agent_pb2.EnrolRequest(join_token="x", certificate_request=Key.new().request())
        assert (await refused(stub.Enrol(request, timeout=WITHIN_S))).code is Code.UNAVAILABLE


async def test_a_bug_of_ours_gives_an_id_and_no_detail(
    api: Plane, player: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("controlplane.usecases.sessions.get_session", broken)
    refusal = await refused(player.sessions.GetSession(sessions_pb2.GetSessionRequest(name="sessions/x")))
    assert (refusal.code, refusal.reason) == (Code.INTERNAL, "INTERNAL")
    assert refusal.metadata["error_id"] in refusal.message
    assert "hunter2" not in refusal.message


async def test_the_callers_deadline_is_kept(player: Caller, operator: Caller) -> None:
    await make_game(operator)
    request = sessions_pb2.CreateSessionRequest(game="games/demo", wait_until_playable=True)
    refusal = await refused(player.sessions.CreateSession(request, timeout=2))
    assert refusal.code is Code.DEADLINE_EXCEEDED
    listed = await player.sessions.ListSessions(sessions_pb2.ListSessionsRequest())
    assert len(listed.sessions) == 1
