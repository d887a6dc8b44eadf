"""AccountService: sign-in codes, tokens and the caller's own identity, translated."""

from __future__ import annotations

from typing import Any

from quarterdeck.v1 import accounts_pb2 as pb
from quarterdeck.v1 import accounts_pb2_grpc as rpc

from controlplane.api import identity, pages
from controlplane.api.mapping.accounts import account_message, role_of, token_message
from controlplane.api.mapping.values import last_part, seconds, timestamp
from controlplane.usecases import accounts
from controlplane.usecases.world import World


class AccountServicer(rpc.AccountServiceServicer):
    def __init__(self, world: World, bearers: identity.Bearers) -> None:
        self._world = world
        self._bearers = bearers

    async def SignIn(self, request: pb.SignInRequest, context: Any) -> pb.SignInResponse:
        token, ends_at, who = await accounts.sign_in(self._world, request.code)
        return pb.SignInResponse(token=token, expire_time=timestamp(ends_at), account=account_message(who))

    async def CreateSignInCode(self, request: pb.CreateSignInCodeRequest, context: Any) -> pb.SignInCode:
        code, ends_at = await accounts.create_sign_in_code(self._world, identity.principal())
        return pb.SignInCode(code=code, expire_time=timestamp(ends_at))

    async def GetAccount(self, request: pb.GetAccountRequest, context: Any) -> pb.Account:
        return account_message(identity.principal())

    async def SignOut(self, request: pb.SignOutRequest, context: Any) -> pb.SignOutResponse:
        who = identity.principal()
        self._bearers.forget(await accounts.sign_out(self._world, who))
        return pb.SignOutResponse()

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Any) -> pb.Token:
        token, made = await accounts.create_token(
            self._world,
            identity.principal(),
            request.subject,
            role_of(request),
            seconds(request, "ttl"),
            identity.request_id(),
            request.client_token,
        )
        return token_message(made, token)

    async def ListTokens(self, request: pb.ListTokensRequest, context: Any) -> pb.ListTokensResponse:
        who = identity.principal()
        query = ("tokens", who.project_id, request.subject)
        page = pages.page_of(request.page_size, request.page_token, *query)
        found = await accounts.list_tokens(self._world, who, request.subject, page)
        kept, token = pages.split(page, found, lambda one: (one.created_at, one.id), *query)
        return pb.ListTokensResponse(tokens=map(token_message, kept), next_page_token=token)

    async def RevokeToken(self, request: pb.RevokeTokenRequest, context: Any) -> pb.RevokeTokenResponse:
        token_id, request_id = last_part(request.name), identity.request_id()
        _, revoked = await accounts.revoke_token(self._world, identity.principal(), token_id, request_id)
        self._bearers.forget(revoked)
        return pb.RevokeTokenResponse(revoked_count=len(revoked))
