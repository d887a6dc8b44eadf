"""The chain's spans, where OpenTelemetry's own interceptor breaks: a stream is one span, and so is a handler that
writes to its context; what is logged meanwhile names the trace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import structlog
from quarterdeck.v1 import events_pb2

from controlplane.api.interceptors import Chain, Limits
from controlplane.domain.errors import NotFound
from controlplane.tracing import OtlpSpans
from tests.component.api.plane import WITHIN_S
from tests.component.api.test_slow_readers import SERVICE, WATCH, Bearers, served
from tests.component.test_tracing import CALLER, TRACEPARENT, Collector, collector

__all__ = ["collector"]


async def generates(request: Any, context: Any) -> AsyncIterator[events_pb2.Event]:
    yield events_pb2.Event(event_id=structlog.contextvars.get_contextvars()["trace_id"])


async def writes(request: Any, context: Any) -> None:
    await context.write(events_pb2.Event(event_id=structlog.contextvars.get_contextvars()["trace_id"]))


async def refuses(request: Any, context: Any) -> AsyncIterator[events_pb2.Event]:
    yield events_pb2.Event(event_id=structlog.contextvars.get_contextvars()["trace_id"])
    raise NotFound("GONE", "it is gone")


async def breaks(request: Any, context: Any) -> AsyncIterator[events_pb2.Event]:
    yield events_pb2.Event(event_id=structlog.contextvars.get_contextvars()["trace_id"])
    raise ValueError("a fault of ours")


@pytest.mark.parametrize(
    ("handler", "code", "failed"),
    [(generates, "OK", False), (writes, "OK", False), (refuses, "NOT_FOUND", False), (breaks, "INTERNAL", True)],
)
async def test_a_stream_is_one_span_of_its_callers_trace(
    collector: Collector, handler: Any, code: str, failed: bool
) -> None:
    spans = OtlpSpans(f"http://127.0.0.1:{collector.port}", "api", "a")
    chain = Chain(Bearers(), Limits(), asyncio.Event(), spans=spans)  # type: ignore[arg-type]
    async with (
        asyncio.timeout(WITHIN_S),
        served(chain, handler) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        watch = channel.unary_stream(
            f"/{SERVICE}/{WATCH}", events_pb2.WatchEventsRequest.SerializeToString, events_pb2.Event.FromString
        )
        call = watch(events_pb2.WatchEventsRequest(), metadata=(("traceparent", TRACEPARENT),))
        assert (await call.read()).event_id == CALLER
        assert (await call.code()).name == code
    await spans.close()
    span = collector.until(f"{SERVICE}/{WATCH}", CALLER)
    assert (span.service, span.parent) == ("quarterdeck-api", TRACEPARENT.split("-")[2])
    assert (span.facts["rpc.response.status_code"], span.failed) == (code, failed)
