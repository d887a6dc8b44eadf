"""A watcher that does not read holds nothing for ever: its stream is cut, and its place is free again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from quarterdeck.v1 import events_pb2

from controlplane.api.interceptors import Chain, Limits
from controlplane.domain.errors import Unauthenticated
from controlplane.domain.identity import Principal, Role
from tests.component.api.plane import WITHIN_S

WATCH = "WatchEvents"
SERVICE = "quarterdeck.v1.EventService"


class Bearers:
    """Knows everybody until told otherwise."""

    def __init__(self) -> None:
        self.revoked = False

    async def principal(self, _: Any) -> Principal:
        if self.revoked:
            raise Unauthenticated("TOKEN_INVALID", "revoked")
        return Principal("p", "watcher", Role.OPERATOR)

    def forget(self, _: str) -> None:
        """Nothing is remembered."""


@pytest.mark.parametrize("why", ["revoked", "stopping"])
async def test_a_stream_that_nobody_reads_is_cut(why: str) -> None:
    bearers, stopping, closed = Bearers(), asyncio.Event(), asyncio.Event()
    chain = Chain(bearers, Limits(open_streams=1, recheck_s=0.1), stopping)  # type: ignore[arg-type]

    async def flood(request: Any, context: Any) -> AsyncIterator[events_pb2.Event]:
        try:
            while True:
                yield events_pb2.Event(event_id="x" * 1_000_000)
        finally:
            closed.set()

    handler = grpc.unary_stream_rpc_method_handler(
        flood, events_pb2.WatchEventsRequest.FromString, events_pb2.Event.SerializeToString
    )
    server = grpc.aio.server(interceptors=[chain])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {WATCH: handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        watch = channel.unary_stream(
            f"/{SERVICE}/{WATCH}", events_pb2.WatchEventsRequest.SerializeToString, events_pb2.Event.FromString
        )
        call = watch(events_pb2.WatchEventsRequest())
        await call.read()
        if why == "revoked":
            bearers.revoked = True
        else:
            stopping.set()
        async with asyncio.timeout(WITHIN_S):
            await closed.wait()
        bearers.revoked = False
        if why == "revoked":  # its place is free again
            again = watch(events_pb2.WatchEventsRequest())
            assert (await again.read()).event_id
            again.cancel()
        call.cancel()
    async with asyncio.timeout(WITHIN_S):
        await server.stop(0)
