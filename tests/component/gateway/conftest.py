from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from controlplane.gateway.app import create_app
from controlplane.gateway.call import Limits
from controlplane.gateway.serve import listening
from controlplane.gateway.target import Target, open_channel
from tests.component.gateway.library import Library, running

LIMITS = Limits(keepalive_s=0.2, head_start_s=0.2)


@dataclass
class Gateway:
    library: Library
    target: Target
    client: httpx.AsyncClient
    port: int


async def until_ready(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(30):
        while not await _ready(client):
            await asyncio.sleep(0.02)


async def _ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except (httpx.ConnectError, httpx.TimeoutException):  # a program that still starts
        return False


@contextlib.asynccontextmanager
async def gateway_of(grpc_port: int, library: Library, limits: Limits = LIMITS) -> AsyncIterator[Gateway]:
    async with open_channel(f"127.0.0.1:{grpc_port}") as channel:
        target = Target(channel)
        async with (
            listening(create_app(target, limits=limits), "127.0.0.1", 0) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
        ):
            yield Gateway(library, target, client, port)


@contextlib.asynccontextmanager
async def library_gateway() -> AsyncIterator[Gateway]:
    library = Library()
    async with running(library) as grpc_port, gateway_of(grpc_port, library) as made:
        await until_ready(made.client)
        yield made


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with library_gateway() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_gateway() -> AsyncIterator[Gateway]:
    """For modules whose tests leave nothing behind; they run in the module's loop."""
    async with library_gateway() as made:
        yield made
