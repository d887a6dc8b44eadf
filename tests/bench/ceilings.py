"""The least that could answer a call: a bare grpc.aio echo, a bare Starlette. Each a program: `… grpc|http PORT`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.conftest import end_process
from tests.ports import free_port

ECHO = "/ceiling.Echo/Echo"
BODY = b'{"name": "sessions/s-0000000000000000", "state": "SESSION_STATE_RUNNING"}'


async def serve_grpc(port: int) -> None:
    async def echo(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return request

    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler("ceiling.Echo", {"Echo": grpc.unary_unary_rpc_method_handler(echo)})
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def serve_http(port: int) -> None:
    async def answer(request: Request) -> Response:
        return Response(BODY, media_type="application/json")

    app = Starlette(routes=[Route("/v1/sessions/{session}", answer)])
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False)


@asynccontextmanager
async def running(kind: str) -> AsyncIterator[int]:
    """The port of one of them, in a process of its own."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.ceilings", kind, str(port)])
    try:
        await asyncio.to_thread(_until_listening, port)
        yield port
    finally:
        end_process(process)


def _until_listening(port: int) -> None:
    transport = httpx.HTTPTransport(retries=10)
    with httpx.Client(transport=transport) as client:
        try:
            client.get(f"http://127.0.0.1:{port}/")
        except httpx.RemoteProtocolError:
            return  # it listens, and speaks gRPC


if __name__ == "__main__":
    kind, port = sys.argv[1], int(sys.argv[2])
    if kind == "grpc":
        asyncio.run(serve_grpc(port))
    else:
        serve_http(port)
