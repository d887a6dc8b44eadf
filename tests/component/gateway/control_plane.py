"""A small stand-in for the control plane's API: accounts that know one code and one token, signalling that echoes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
from google.protobuf import timestamp_pb2
from grpc_reflection.v1alpha import reflection
from quarterdeck.v1 import accounts_pb2, accounts_pb2_grpc, streaming_pb2, streaming_pb2_grpc

CODE, TOKEN, STREAM_TOKEN = "one-time", "t.secret-1", "stream-secret"
ACCOUNT = accounts_pb2.Account(project="p", subject="s", role=accounts_pb2.ROLE_OPERATOR, release="1.2.3")


class Accounts(accounts_pb2_grpc.AccountServiceServicer):
    def __init__(self) -> None:
        self.signed_out = False

    async def SignIn(self, request, context):
        if request.code != CODE:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the code is unknown, used or expired")
        return accounts_pb2.SignInResponse(
            token=TOKEN,
            expire_time=timestamp_pb2.Timestamp(seconds=4_102_444_800),
            account=ACCOUNT,
        )

    async def GetAccount(self, request, context):
        await self._check(context)
        return ACCOUNT

    async def CreateSignInCode(self, request, context):
        await self._check(context)
        return accounts_pb2.SignInCode(code="another")

    async def SignOut(self, request, context):
        await self._check(context)
        self.signed_out = True
        return accounts_pb2.SignOutResponse()

    async def CreateToken(self, request, context):
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not here")

    async def _check(self, context) -> None:
        if dict(context.invocation_metadata()).get("authorization") != f"Bearer {TOKEN}" or self.signed_out:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid token")


class Streaming(streaming_pb2_grpc.StreamingServiceServicer):
    """Offers first; sends candidates back; ends at a close, in the way that the close's reason asks for."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    async def CreateStreamToken(self, request, context):
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")

    async def Signal(self, requests, context):
        first = await anext(aiter(requests))
        if first.stream_token != STREAM_TOKEN:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the stream token is used up " + "ü" * 100)
        offer = streaming_pb2.SessionDescription(type="offer", sdp="v=0")
        yield streaming_pb2.SignalResponse(signal=streaming_pb2.Signal(description=offer))
        async for request in requests:
            if request.signal.WhichOneof("kind") == "close":
                if request.signal.close.reason == "fail":
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the wrapper is gone")
                return
            yield streaming_pb2.SignalResponse(signal=request.signal)
        self.cancelled.set()  # to a bidirectional handler of grpc.aio, a cancelled call is the end of its requests


@contextlib.asynccontextmanager
async def control_plane(accounts: Accounts, streaming: Streaming) -> AsyncIterator[int]:
    """Yields the gRPC port."""
    server = grpc.aio.server()
    accounts_pb2_grpc.add_AccountServiceServicer_to_server(accounts, server)
    streaming_pb2_grpc.add_StreamingServiceServicer_to_server(streaming, server)
    names = ["quarterdeck.v1.AccountService", "quarterdeck.v1.StreamingService"]
    reflection.enable_server_reflection(names, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
