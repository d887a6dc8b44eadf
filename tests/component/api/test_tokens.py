"""A token ends when it should: what is made with it ends no later, and is revoked with it; who lost one revokes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from quarterdeck.v1 import accounts_pb2

from controlplane.domain.errors import Exhausted, Unauthenticated, WrongState
from controlplane.domain.identity import DEFAULT_PROJECT, Principal, Role
from controlplane.usecases import accounts
from tests.component.api.plane import OPERATOR, Caller, Plane, calling
from tests.component.api.refusals import refused

Code = grpc.StatusCode
ACCOUNT = accounts_pb2.GetAccountRequest()


async def made(caller: Caller, subject: str, role: int, ttl_s: int | None = None) -> accounts_pb2.Token:
    ttl = None if ttl_s is None else Duration(seconds=ttl_s)
    request = accounts_pb2.CreateTokenRequest(subject=subject, role=role, ttl=ttl)  # type: ignore[arg-type]
    token: accounts_pb2.Token = await caller.accounts.CreateToken(request)
    return token


async def signed_in(caller: Caller) -> accounts_pb2.SignInResponse:
    code = (await caller.accounts.CreateSignInCode(accounts_pb2.CreateSignInCodeRequest())).code
    answer: accounts_pb2.SignInResponse = await caller.accounts.SignIn(accounts_pb2.SignInRequest(code=code))
    return answer


async def listed(caller: Caller, subject: str = "") -> list[accounts_pb2.Token]:
    answer = await caller.accounts.ListTokens(accounts_pb2.ListTokensRequest(subject=subject))
    return list(answer.tokens)


async def test_no_token_outlives_the_one_it_was_made_with(api: Plane, operator: Caller) -> None:
    short = await made(operator, "guest", accounts_pb2.ROLE_OPERATOR, 60)
    async with calling(api, short.token) as guest:
        browser = await signed_in(guest)
        other = await made(guest, "other", accounts_pb2.ROLE_OPERATOR, 86400)
        async with calling(api, browser.token) as again:
            third = await signed_in(again)
    for later in (browser.expire_time, other.expire_time, third.expire_time):
        assert later.ToDatetime() == short.expire_time.ToDatetime()


async def test_revoking_a_token_revokes_what_was_made_with_it(api: Plane, operator: Caller) -> None:
    lost = await made(operator, "guest", accounts_pb2.ROLE_OPERATOR)
    async with calling(api, lost.token) as guest:
        code = (await guest.accounts.CreateSignInCode(accounts_pb2.CreateSignInCodeRequest())).code
        child = await signed_in(guest)
        async with calling(api, child.token) as browser:
            grandchild = await made(browser, "friend", accounts_pb2.ROLE_PLAYER)
        mine = {one.subject: one for one in await listed(operator)}
        assert mine["friend"].made_with.startswith("tokens/")
        assert not mine["friend"].token
        answer = await operator.accounts.RevokeToken(accounts_pb2.RevokeTokenRequest(name=lost.name))
        assert answer.revoked_count == 5  # the token, both codes, and the two made from the used one
        assert (await refused(guest.accounts.SignIn(accounts_pb2.SignInRequest(code=code)))).code is (
            Code.UNAUTHENTICATED
        )
    for secret in (lost.token, child.token, grandchild.token):
        async with calling(api, secret) as over:
            assert (await refused(over.accounts.GetAccount(ACCOUNT))).reason == "TOKEN_INVALID"
    again = await operator.accounts.RevokeToken(accounts_pb2.RevokeTokenRequest(name=lost.name))
    assert again.revoked_count == 0
    assert {one.subject for one in await listed(operator)} == {"operator", "player"}


async def test_nothing_is_made_with_a_token_that_is_only_remembered(api: Plane, operator: Caller) -> None:
    lost = await made(operator, "guest", accounts_pb2.ROLE_OPERATOR)
    async with calling(api, lost.token) as guest:
        who = replace(OPERATOR, subject="guest", token_id=lost.name.removeprefix("tokens/"))
        await accounts.revoke_token(api.world, OPERATOR, who.token_id, "")  # as another replica does it
        refusal = await refused(guest.accounts.CreateSignInCode(accounts_pb2.CreateSignInCodeRequest()))
        assert refusal.code is Code.UNAUTHENTICATED


async def test_a_player_sees_and_revokes_only_his_own(api: Plane, operator: Caller, player: Caller) -> None:
    phone = await signed_in(player)
    assert {one.subject for one in await listed(player)} == {"player"}
    assert (await refused(player.accounts.ListTokens(accounts_pb2.ListTokensRequest(subject="operator")))).code is (
        Code.PERMISSION_DENIED
    )
    theirs = (await listed(operator, "operator"))[0]
    refusal = await refused(player.accounts.RevokeToken(accounts_pb2.RevokeTokenRequest(name=theirs.name)))
    assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "TOKEN_NOT_FOUND")
    newest = (await listed(player))[0]
    await player.accounts.RevokeToken(accounts_pb2.RevokeTokenRequest(name=newest.name))
    async with calling(api, phone.token) as lost:
        assert (await refused(lost.accounts.GetAccount(ACCOUNT))).code is Code.UNAUTHENTICATED


async def test_another_projects_tokens_are_nobodys_business(api: Plane, operator: Caller) -> None:
    async with api.world.store.tx() as tx:
        await tx.credentials.put_project("elsewhere")
    _, theirs = await accounts.create_token(
        api.world, Principal("elsewhere", "boss", Role.OPERATOR), "boss", Role.OPERATOR, None, ""
    )
    assert theirs.name not in {one.name for one in await listed(operator)}
    refusal = await refused(operator.accounts.RevokeToken(accounts_pb2.RevokeTokenRequest(name=theirs.name)))
    assert refusal.code is Code.NOT_FOUND


async def test_sign_in_codes_of_one_subject_have_a_bound(api: Plane, player: Caller) -> None:
    for _ in range(api.world.policy.sign_in_codes_each):
        await player.accounts.CreateSignInCode(accounts_pb2.CreateSignInCodeRequest())
    refusal = await refused(player.accounts.CreateSignInCode(accounts_pb2.CreateSignInCodeRequest()))
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_CREDENTIALS")


async def test_a_player_of_an_operators_name_takes_none_of_the_operators_codes(api: Plane, operator: Caller) -> None:
    namesake = await made(operator, "operator", accounts_pb2.ROLE_PLAYER)
    async with calling(api, namesake.token) as player:
        for _ in range(api.world.policy.sign_in_codes_each):
            await player.accounts.CreateSignInCode(accounts_pb2.CreateSignInCodeRequest())
    assert (await signed_in(operator)).account.role == accounts_pb2.ROLE_OPERATOR


async def test_a_house_that_starts_again_and_again_always_has_a_link(api: Plane) -> None:
    world = replace(api.world, policy=replace(api.world.policy, sign_in_codes_each=3))
    who = await accounts.ensure_operator(world.store, world.ids, "first-" + "t" * 40)
    codes = [(await accounts.create_sign_in_code(world, who, displacing=True))[0] for _ in range(4)]
    with pytest.raises(Unauthenticated):
        await accounts.sign_in(world, codes[0])
    for code in codes[1:]:
        assert (await accounts.sign_in(world, code))[2].subject == who.subject


async def test_the_link_of_a_house_ends_with_its_operators_token(api: Plane) -> None:
    world = api.world
    who = await accounts.ensure_operator(world.store, world.ids, "first-" + "t" * 40)
    code, _ = await accounts.create_sign_in_code(world, who, displacing=True)
    used, _ = await accounts.create_sign_in_code(world, who, displacing=True)
    token, _, _ = await accounts.sign_in(world, used)
    await accounts.sign_out(world, await accounts.authenticate(world, "first-" + "t" * 40))
    with pytest.raises(Unauthenticated):
        await accounts.sign_in(world, code)
    with pytest.raises(Unauthenticated):
        await accounts.authenticate(world, token)


async def test_a_token_that_is_over_does_not_come_back_when_it_is_forgotten(api: Plane, operator: Caller) -> None:
    request = accounts_pb2.CreateTokenRequest(
        subject="friend", role=accounts_pb2.ROLE_PLAYER, ttl=Duration(seconds=60), client_token="once"
    )
    first = await operator.accounts.CreateToken(request)
    assert await operator.accounts.CreateToken(request) == first
    await operator.accounts.RevokeToken(accounts_pb2.RevokeTokenRequest(name=first.name))
    assert (await refused(operator.accounts.CreateToken(request))).reason == "CLIENT_TOKEN_SPENT"
    async with api.world.store.tx() as tx:
        await tx.outbox.prune(await tx.now() + timedelta(seconds=61))
        assert await tx.credentials.lock(first.name.removeprefix("tokens/")) is None
    assert (await refused(operator.accounts.CreateToken(request))).reason == "CLIENT_TOKEN_SPENT"


async def test_tokens_of_one_subject_have_a_bound(api: Plane) -> None:
    world = replace(api.world, policy=replace(api.world.policy, tokens_each=3))
    for _ in range(3):
        await accounts.create_token(world, OPERATOR, "many", Role.PLAYER, None, "")
    with pytest.raises(Exhausted):
        await accounts.create_token(world, OPERATOR, "many", Role.PLAYER, None, "")


async def test_a_revoked_operators_token_does_not_come_back_with_a_restart(api: Plane, operator: Caller) -> None:
    secret = "first-" + "t" * 40
    who = await accounts.ensure_operator(api.world.store, api.world.ids, secret)
    assert (who.project_id, who.role) == (DEFAULT_PROJECT, Role.OPERATOR)
    first = await accounts.authenticate(api.world, secret)
    await operator.accounts.RevokeToken(accounts_pb2.RevokeTokenRequest(name=f"tokens/{first.token_id}"))
    with pytest.raises(WrongState, match="delete the file"):
        await accounts.ensure_operator(api.world.store, api.world.ids, secret)
