"""AccountService: sign-in codes, tokens and the caller's own identity, translated."""

from __future__ import annotations

from typing import Any

from quarterdeck.v1 import accounts_pb2 as pb
from quarterdeck.v1 import accounts_pb2_grpc as rpc

from controlplane.api import identity
from controlplane.api.mapping.accounts import account_message, role_of
from controlplane.api.mapping.values import seconds, timestamp
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
        await accounts.sign_out(self._world, who)
        self._bearers.forget(who.token_id)
        return pb.SignOutResponse()

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Any) -> pb.Token:
        token, ends_at = await accounts.create_token(
            self._world,
            identity.principal(),
            request.subject,
            role_of(request),
            seconds(request, "ttl"),
            identity.request_id(),
            request.client_token,
        )
        return pb.Token(token=token, expire_time=timestamp(ends_at))
