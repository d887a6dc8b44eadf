"""The library server of the test protos: a real grpc.aio server with reflection and health."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tests.protos.compiled import LIBRARY, pool


def message(name: str) -> Any:
    return GetMessageClass(pool().FindMessageTypeByName(f"gatewaytest.v1.{name}"))


class Library:
    """Answers with what it was asked, and remembers which calls were cancelled."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.go_on = asyncio.Event()

    async def GetBook(self, request, context):
        self.requests.append(request)
        return message("Book")(name=request.name, title="full" if request.full else "brief", pages=2**53 + 1)

    async def CreateBook(self, request, context):
        self.requests.append(request)
        request.book.name = f"{request.parent}/books/{request.book_id}"
        return request.book

    async def UpdateBook(self, request, context):
        self.requests.append(request)
        return request.book

    async def DeleteBook(self, request, context):
        self.requests.append(request)
        return GetMessageClass(pool().FindMessageTypeByName("google.protobuf.Empty"))()

    async def Echo(self, request, context):
        self.requests.append(request)
        return request

    Search = ArchiveShelf = GetFile = Echo

    async def Download(self, request, context):
        body = GetMessageClass(pool().FindMessageTypeByName("google.api.HttpBody"))
        return body(content_type="text/x-path", data=request.path.encode())

    async def Upload(self, request, context):
        return message("File")(
            path=request.path, size=len(request.content.data), content_type=request.content.content_type
        )

    async def Ticks(self, request, context):
        try:
            if request.late:
                await self.go_on.wait()
            for number in range(1, request.count + 1):
                yield message("Tick")(number=number)
            if request.hold:
                self.entered.set()
                await self.go_on.wait()
            if request.fail:
                await context.abort(grpc.StatusCode.DATA_LOSS, "the clock broke")
        except (asyncio.CancelledError, GeneratorExit):  # the latter where it was about to send
            self.cancelled.set()
            raise

    async def Hang(self, request, context):
        self.entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def Fail(self, request, context):
        status = status_pb2.Status(code=request.code, message="as asked")
        if request.foreign_detail:
            status.details.append(any_pb2.Any(type_url="type.googleapis.com/nobody.Knows", value=b"\x08\x01"))
        else:
            status.details.add().Pack(error_details_pb2.ErrorInfo(reason="ASKED", domain="library"))
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(1500)
            status.details.add().Pack(retry)
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        code = next(c for c in grpc.StatusCode if c.value[0] == request.code)
        await context.abort(code, "as asked")

    async def Seen(self, request, context):
        left = context.time_remaining()
        seen = {k: v for k, v in context.invocation_metadata() if isinstance(v, str)}
        return message("SeenResponse")(metadata=seen, time_left=left or 0.0)

    async def Chat(self, requests, context):
        async for request in requests:
            yield request

    async def Unbound(self, request, context):
        return request


def handlers(servicer: object, service: str) -> grpc.GenericRpcHandler:
    methods = {}
    for method in pool().FindServiceByName(service).methods:
        kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        methods[method.name] = getattr(grpc, f"{kind}_rpc_method_handler")(
            getattr(servicer, method.name),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=lambda answer: answer.SerializeToString(),
        )
    return grpc.method_handlers_generic_handler(service, methods)


@contextlib.asynccontextmanager
async def running(servicer: Library, port: int = 0, *, with_health: bool = True) -> AsyncIterator[int]:
    """Yields the port."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((handlers(servicer, LIBRARY),))
    if with_health:
        checks = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        await checks.set("", health_pb2.HealthCheckResponse.SERVING)
        servicer.health = checks  # type: ignore[attr-defined]
    reflection.enable_server_reflection([LIBRARY, reflection.SERVICE_NAME], server, pool=pool())
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
