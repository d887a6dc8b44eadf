"""The one chain that every RPC of every listener passes: request id, errors, admission, access, validation, deadline.

Handlers behind it are coroutines (unary) or async generators (streams); they raise domain errors and know no status.
A stream whose reader takes nothing is cut off with TOO_SLOW (I18).
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import grpc
import protovalidate
import structlog
from google.protobuf.message import Message
from google.rpc import status_pb2

from controlplane.api import identity, status
from controlplane.api.access import ACCESS, Access
from controlplane.api.admission import Admission, Patience
from controlplane.api.metrics import Metrics
from controlplane.domain.errors import Exhausted, Forbidden, QuarterdeckError, Unavailable
from controlplane.interfaces.spans import GOOD_TRACEPARENT, TRACEPARENT, Facts, NoSpans, Spans

log = structlog.get_logger(__name__)

REQUEST_ID = "x-request-id"
STATUS_DETAILS = "grpc-status-details-bin"
GOOD_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
CODES = {code.value[0]: code for code in grpc.StatusCode}
TOO_SLOW = "TOO_SLOW"
HEALTH = "/grpc.health.v1.Health/"
UNBOUNDED = (f"{HEALTH}Check", f"{HEALTH}List")
# Streams that ask nobody who he is and last as long as he likes: they take no place of those who have a token.
OPEN_TO_ALL = (f"{HEALTH}Watch", "/grpc.reflection.")
# Its token comes when it is open: until then it takes no such place either.
ARRIVING = "/quarterdeck.v1.StreamingService/Signal"
# What an answer takes to its caller.
PARTING_S = 0.5

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Metadata: TypeAlias = "tuple[tuple[str, str | bytes], ...]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@dataclass(frozen=True)
class Limits:
    """Of one listener. `recheck_s` and the bearers' cache together bound how long a revoked caller keeps a stream;
    `write_s` is how long one message of a stream may wait for its reader; `waiting` calls may wait for what they have
    begun, and take no place of the others; `…_each` is what one caller gets; `arriving_streams` may be open whose token
    has not come."""

    unary_in_flight: int = 512
    waiting: int = 512
    waiting_each: int = 128
    open_streams: int = 4096
    open_streams_each: int = 1024
    strangers_streams: int = 256
    arriving_streams: int = 1024
    unary_s: float = 300.0
    recheck_s: float = 2.5
    token_cache_s: float = 2.5
    write_s: float = 30.0


@dataclass
class Outcome:
    """Of one RPC, for the figures. An RPC that ends in no other way was left by its caller."""

    code: str = grpc.StatusCode.CANCELLED.name
    reason: str = ""


class Chain:
    """`stopping` ends open streams and calls that wait with UNAVAILABLE, so that a graceful stop waits for neither."""

    def __init__(
        self,
        bearers: identity.Bearers,
        limits: Limits,
        stopping: asyncio.Event,
        metrics: Metrics | None = None,
        spans: Spans | None = None,
    ) -> None:
        self._bearers = bearers
        self._limits = limits
        self._stopping = stopping
        self._metrics = metrics or Metrics()
        self._spans = spans or NoSpans()
        self._requests = Admission(limits.unary_in_flight, "requests")
        self._waiting = Admission(limits.waiting, "calls that wait", limits.waiting_each)
        self._streams = Admission(limits.open_streams, "streams", limits.open_streams_each)
        self._strangers = Admission(limits.strangers_streams, "streams without a token")
        self._arriving = Admission(limits.arriving_streams, "streams whose token has not come")

    def wrap(self, method: str, handler: Handler) -> Handler:
        """A handler that passes the chain before this one."""
        if handler.response_streaming:
            wrap = grpc.stream_stream_rpc_method_handler
            inner = handler.stream_stream
            if not handler.request_streaming:
                wrap = grpc.unary_stream_rpc_method_handler
                inner = handler.unary_stream
            behavior: Any = self._streaming(method, inner, handler.request_streaming)
        elif handler.request_streaming:
            raise TypeError(f"{method}: client streams with one reply are not served")
        else:
            wrap = grpc.unary_unary_rpc_method_handler
            behavior = self._unary(method, handler.unary_unary)
        return wrap(behavior, handler.request_deserializer, handler.response_serializer)

    def _unary(self, method: str, inner: Any) -> Any:
        async def call(request: Message, context: Context) -> Message:
            async with self._edge(method, context, self._requests, self._unary_told(method)) as outcome:
                validate(request)
                limit_s = self._limit_s(context)
                try:
                    async with asyncio.timeout(limit_s) as limit:
                        try:
                            answer: Message = await inner(request, context)
                        except asyncio.CancelledError:
                            # A stopping server cancels calls too: nobody has left.
                            if not limit.expired() and not self._stopping.is_set():
                                await identity.forsaken()
                            raise
                        return answer
                except TimeoutError:
                    if not limit.expired():
                        raise
                    outcome.code = grpc.StatusCode.DEADLINE_EXCEEDED.name
                    await abort(context, status.deadline(limit_s, identity.parting()))
            raise AssertionError("abort raises")

        return call

    def _limit_s(self, context: Context) -> float:
        """Ours, or a little less than the caller's: what is told after that reaches nobody."""
        left_s: float | None = context.time_remaining()
        return (
            self._limits.unary_s if left_s is None else min(self._limits.unary_s, left_s - min(PARTING_S, left_s / 4))
        )

    def _streaming(self, method: str, inner: Any, many_requests: bool) -> Any:
        # No generator itself: the library would wait for the reader outside of it, where a cut can tell nobody why.
        async def call(requests: Any, context: Context) -> None:
            async with self._edge(method, context, self._streams_of(method), self._stream_told(method)):
                if many_requests:
                    requests = validated(requests)
                else:
                    validate(requests)
                async with self._guarded(method, context):
                    messages = inner(requests, context)
                    if not hasattr(messages, "__aiter__"):  # the health servicer writes to the context itself
                        await messages
                        return
                    async with aclosing(messages):
                        opened = False
                        async for message in messages:
                            if not opened:
                                await opening(context)
                                opened = True
                            await self._hand_over(context, message)

        return call

    def _streams_of(self, method: str) -> Admission:
        if method.startswith(OPEN_TO_ALL):
            return self._strangers
        return self._arriving if method == ARRIVING else self._streams

    @contextmanager
    def _unary_told(self, method: str) -> Iterator[Outcome]:
        started, outcome = time.perf_counter(), Outcome()
        try:
            yield outcome
        finally:
            self._metrics.request(method[1:], outcome.code).observe(time.perf_counter() - started)

    @contextmanager
    def _stream_told(self, method: str) -> Iterator[Outcome]:
        outcome, open_now = Outcome(), self._metrics.streams.labels(method[1:])
        open_now.inc()
        try:
            yield outcome
        finally:
            open_now.dec()
            self._metrics.ended.labels(method[1:], outcome.code).inc()
            if outcome.reason == TOO_SLOW:
                self._metrics.too_slow.labels(method[1:]).inc()

    async def _hand_over(self, context: Context, message: Message) -> None:
        """Raises Exhausted (TOO_SLOW). The message is on its way even then, before the status."""
        try:
            async with asyncio.timeout(self._limits.write_s) as limit, unless_caller_leaves():
                await context.write(message)
        except TimeoutError:
            if not limit.expired():
                raise
            told = f"this stream's reader took nothing for {self._limits.write_s:g} s; connect again"
            raise Exhausted(TOO_SLOW, told, retry_after_s="1") from None

    @asynccontextmanager
    async def _edge(
        self, method: str, context: Context, admission: Admission, told: AbstractContextManager[Outcome]
    ) -> AsyncIterator[Outcome]:
        """Everything around a handler: bounds, names, admits and turns what it raises into a status."""
        metadata = tuple(context.invocation_metadata() or ())
        given = next((value for key, value in metadata if key == REQUEST_ID), "")
        request_id = given if isinstance(given, str) and GOOD_REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        structlog.contextvars.bind_contextvars(request_id=request_id, method=method)
        context.set_trailing_metadata(((REQUEST_ID, request_id),))
        refused: status_pb2.Status | None = None
        with told as outcome, self._span(method, metadata, request_id, outcome), ExitStack() as places:
            try:
                place = places.enter_context(ExitStack())
                if method not in UNBOUNDED:
                    place.enter_context(admission.place())
                caller = await self._caller(method, context, request_id)
                if caller.name:
                    place.enter_context(admission.share(caller.name))
                patience = Patience(caller.name, self._waiting, place, places, lambda: self._guarded(method, context))

                def arrived() -> None:
                    place.close()
                    place.enter_context(self._streams.place())

                identity.enter(replace(caller, patience=patience, arrived=arrived))
                yield outcome
                outcome.code = grpc.StatusCode.OK.name
            except grpc.aio.AbortError:
                raise
            except QuarterdeckError as error:
                refused = status.status_of(error, identity.parting())
                outcome.reason = error.reason
            except Exception:
                error_id = secrets.token_hex(6)
                log.exception("rpc.broke", error_id=error_id)
                refused = status.internal(error_id)
            if refused is not None:
                outcome.code = CODES[refused.code].name
        # Only now: a reader that takes nothing does not take its status either, and must not keep a place for it.
        if refused is not None:
            await abort(context, refused, request_id)

    @contextmanager
    def _span(self, method: str, metadata: Metadata, request_id: str, outcome: Outcome) -> Iterator[None]:
        if method.startswith(HEALTH):
            yield
            return
        given = next((value for key, value in metadata if key == TRACEPARENT), "")
        parent = given if isinstance(given, str) and GOOD_TRACEPARENT.fullmatch(given) else ""

        def ended() -> Facts:
            return {"rpc.response.status_code": outcome.code, "quarterdeck.request_id": request_id}

        with self._spans.served(method[1:], parent, ended) as traceparent:
            if traceparent:
                structlog.contextvars.bind_contextvars(trace_id=traceparent.split("-")[1])
            yield

    async def _caller(self, method: str, context: Context, request_id: str) -> identity.Caller:
        """Raises Unauthenticated or Forbidden."""
        access = ACCESS.get(method, Access())
        if access.public:
            return identity.Caller(request_id)
        if access.host:
            return identity.Caller(request_id, host_id=identity.host_of(context.auth_context()))
        who = await self._bearers.principal(tuple(context.invocation_metadata() or ()))
        if who.role not in access.roles:
            allowed = ", ".join(sorted(access.roles)) or "nobody"
            raise Forbidden("ROLE_NOT_ALLOWED", f"a {who.role} may not do this; allowed: {allowed}", role=who.role)
        structlog.contextvars.bind_contextvars(subject=who.subject, project=who.project_id)
        return identity.Caller(request_id, principal=who)

    @asynccontextmanager
    async def _guarded(self, method: str, context: Context) -> AsyncIterator[None]:
        """Cuts off what lasts when its caller may no longer have it, or when the server stops (I21).

        The cut is a cancellation of the RPC's own task with a reason kept aside, as asyncio.timeout does it, so that
        messages that pass cost nothing extra."""
        stream = asyncio.current_task()
        assert stream is not None
        verdict: list[QuarterdeckError] = []

        async def watch() -> None:
            try:
                await self._until_cut(method, context)
            except QuarterdeckError as error:
                verdict.append(error)
                stream.cancel()

        watcher = asyncio.create_task(watch())
        try:
            yield
        except asyncio.CancelledError:
            if verdict and stream.uncancel() == 0:
                raise verdict[0] from None
            raise
        finally:
            watcher.cancel()

    async def _until_cut(self, method: str, context: Context) -> None:
        """Raises why the stream must end; never returns."""
        by_token = bool(ACCESS.get(method, Access()).roles)
        while True:
            try:
                async with asyncio.timeout(self._limits.recheck_s if by_token else None):
                    await self._stopping.wait()
                raise Unavailable("SERVER_STOPPING", "this server is shutting down; connect again")
            except TimeoutError:
                try:
                    await self._caller(method, context, "")
                except Unavailable:
                    # The database is away: nobody can have been revoked there meanwhile, and watching harms nobody.
                    log.warning("stream.recheck_postponed")


class Guarded:
    """A server as servicers are registered at it: whatever they serve passes the chain. Handlers are wrapped once; an
    interceptor of the library's would be asked at each call, in tasks of its own."""

    def __init__(self, server: grpc.aio.Server, chain: Chain) -> None:
        self._server = server
        self._chain = chain
        # The full names of what is served, in the order in which it came.
        self.services: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._server.add_generic_rpc_handlers([_Wrapped(handler, self._chain) for handler in handlers])

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """The same handlers once more, for servers of threads: here they only tell the service's name."""
        self.services.append(service)


class _Wrapped(grpc.GenericRpcHandler):
    def __init__(self, inner: grpc.GenericRpcHandler, chain: Chain) -> None:
        self._inner = inner
        self._chain = chain
        self._known: dict[str, Handler] = {}

    def service(self, details: grpc.HandlerCallDetails) -> Handler | None:
        method = details.method
        if method not in self._known:
            handler = self._inner.service(details)
            if handler is None:
                return None
            self._known[method] = self._chain.wrap(method, handler)
        return self._known[method]


def validate(message: Message) -> None:
    """Raises InvalidFields, naming every field that breaks a rule of the proto."""
    found = protovalidate.collect_violations(message)
    if found:
        raise status.violations_of(found)


async def validated(requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
    async for request in requests:
        validate(request)
        yield request


@asynccontextmanager
async def unless_caller_leaves() -> AsyncIterator[None]:
    """What the library raises where a caller leaves while something is sent to him is the end of the RPC, no fault."""
    try:
        yield
    except grpc.aio.InternalError:
        raise asyncio.CancelledError from None


async def opening(context: Context) -> None:
    """Sends what comes before the first message, to the end. Were it cut, the library would not know that it is sent,
    send it again with the status, and be refused: the client would never learn of its end."""
    sending = asyncio.ensure_future(context.send_initial_metadata(()))
    try:
        async with unless_caller_leaves():
            await asyncio.shield(sending)
    finally:
        await asyncio.wait({sending})


async def abort(context: Context, told: status_pb2.Status, request_id: str = "") -> None:
    """Ends the RPC with the status and its details. Raises grpc.aio.AbortError."""
    request_id = request_id or identity.request_id()
    trailing = ((REQUEST_ID, request_id), (STATUS_DETAILS, told.SerializeToString()))
    async with unless_caller_leaves():
        await context.abort(CODES[told.code], told.message, trailing)
