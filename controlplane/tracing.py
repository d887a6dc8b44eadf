"""Traces by OpenTelemetry, sent by OTLP/gRPC; loaded only where a collector is named, so that nobody else waits for it.

One trace leads from the gateway's request over the API's call to its transactions, which are the use cases: each is one
script of one transaction. OTEL_… variables, such as OTEL_TRACES_SAMPLER, are the SDK's own and hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager

from controlplane.domain.errors import Unavailable
from controlplane.interfaces import Store, Tx
from controlplane.interfaces.spans import GOOD_TRACEPARENT, TRACEPARENT, Facts, NoSpans, Spans

SEND_S = 3  # a collector that is away delays the end of a role by this, and nothing else
FAULTS = frozenset({"INTERNAL", "UNAVAILABLE", "UNKNOWN", "DATA_LOSS"})
STATUS, CODE = "http.response.status_code", "rpc.response.status_code"


class OtlpSpans:
    """The Spans of the interfaces. `endpoint` is http://HOST:PORT of a collector, or https:// with its certificate
    known to the system. What a collector does not take is dropped, never waited for. Raises Unavailable where the
    libraries are not installed."""

    def __init__(self, endpoint: str, role: str, replica: str) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            told = f"QUARTERDECK_OTLP_ENDPOINT needs OpenTelemetry ({error}): install quarterdeck[tracing]"
            raise Unavailable("TRACING_NOT_INSTALLED", told) from error
        about = {"service.name": f"quarterdeck-{role}", "service.instance.id": replica}
        self._provider = TracerProvider(resource=Resource.create(about))
        exporter = OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"), timeout=SEND_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("quarterdeck")
        self._trace, self._propagator = trace, TraceContextTextMapPropagator()

    @contextmanager
    def served(self, name: str, traceparent: str, ended: Callable[[], Facts]) -> Iterator[str]:
        parent = {TRACEPARENT: traceparent} if GOOD_TRACEPARENT.fullmatch(traceparent) else {}
        context = self._propagator.extract(parent)
        with self._tracer.start_as_current_span(name, context, kind=self._trace.SpanKind.SERVER) as span:
            own: dict[str, str] = {}
            self._propagator.inject(own)
            try:
                yield own.get(TRACEPARENT, "")
            finally:
                facts = ended()
                span.set_attributes(dict(facts))
                if facts.get(CODE) in FAULTS or int(facts.get(STATUS, 0)) >= 500:
                    span.set_status(self._trace.StatusCode.ERROR)

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        if not self._trace.get_current_span().get_span_context().is_valid:  # a job of our own, at work by the clock
            yield
            return
        with self._tracer.start_as_current_span(name):
            yield

    async def close(self) -> None:
        """Sends what is left; gives up after a few seconds."""
        await asyncio.to_thread(self._provider.shutdown)


def opened(stack: AsyncExitStack, endpoint: str, role: str, replica: str) -> Spans:
    """Keeps traces until the stack closes, or none where no endpoint is named. Raises Unavailable."""
    if not endpoint:
        return NoSpans()
    spans = OtlpSpans(endpoint, role, replica)
    stack.push_async_callback(spans.close)
    return spans


def traced(store: Store, spans: Spans) -> Store:
    return store if isinstance(spans, NoSpans) else TracedStore(store, spans)


class TracedStore:
    """A Store whose transactions are parts of the calls that they serve."""

    def __init__(self, store: Store, spans: Spans) -> None:
        self._store, self._spans = store, spans

    def tx(self) -> AbstractAsyncContextManager[Tx]:
        return self._traced("transaction", self._store.tx())

    def reading(self) -> AbstractAsyncContextManager[Tx]:
        return self._traced("reading", self._store.reading())

    async def close(self) -> None:
        await self._store.close()

    @asynccontextmanager
    async def _traced(self, name: str, opening: AbstractAsyncContextManager[Tx]) -> AsyncIterator[Tx]:
        with self._spans.within(name):
            async with opening as tx:
                yield tx
