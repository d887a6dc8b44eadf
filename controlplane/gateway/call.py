"""One HTTP request carried to gRPC and back: unary as JSON, server streams as NDJSON or server-sent events.

Plain ASGI, so that the body's size is checked before it is read, each message goes out when it comes, and the RPC is
cancelled as soon as the client is gone.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
import orjson
import structlog
from google.protobuf.message import Message
from google.rpc import code_pb2
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import Message as Event
from starlette.types import Receive, Scope, Send

from controlplane.gateway import transcode
from controlplane.gateway.bindings import Binding
from controlplane.gateway.decode import invalid, pool_of
from controlplane.gateway.errors import StatusError
from controlplane.gateway.http_rule import Found, NotAllowed
from controlplane.gateway.metrics import ROUTE_KEY
from controlplane.gateway.origins import http_scheme
from controlplane.gateway.target import Target
from controlplane.interfaces.spans import GOOD_TRACEPARENT, TRACEPARENT

_log = structlog.get_logger()

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9.:_\[\]-]{1,255}", re.ASCII)
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])", re.ASCII)
_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}

SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
# By this name a streaming method's request and its messages say where the stream goes on.
RESUME_FIELD = "resume_token"


@dataclass(frozen=True, slots=True)
class Limits:
    """body_bytes: largest request body. unary_timeout_s: where the client sends no Grpc-Timeout, longer than
    the API's own limit, which says more; streams have none.
    head_start_s: how long an answer waits for a stream's first message, so that an early error keeps its status.
    keepalive_s: how often an idle event stream says that it lives. write_s: how long a client may take nothing."""

    body_bytes: int = 4 * 1024 * 1024
    unary_timeout_s: float = 310.0
    head_start_s: float = 0.3
    keepalive_s: float = 15.0
    write_s: float = 30.0


class ClientGone(Exception):
    """The HTTP client left before its answer was complete, or takes nothing of it."""


def request_id_of(headers: Headers) -> str:
    """The caller's own where it is fit to be logged, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex


def metadata_of(headers: Headers, request_id: str) -> tuple[tuple[str, str], ...]:
    """What of a request's head travels on as gRPC metadata. Raises StatusError where it cannot."""
    metadata = [("x-request-id", request_id)]
    authorization = headers.get("authorization")
    if authorization is not None:
        if not (authorization.isascii() and authorization.isprintable()):
            raise StatusError.of_field("Authorization", "not printable ASCII")
        metadata.append(("authorization", authorization))
    traceparent = headers.get(TRACEPARENT, "")
    if GOOD_TRACEPARENT.fullmatch(traceparent):
        metadata.append((TRACEPARENT, traceparent))
    return tuple(metadata)


def origin_of(scope: Scope, headers: Headers) -> tuple[tuple[str, str], ...]:
    """Where the client found this gateway, so that an answer can name a WebSocket's whole URL."""
    host = headers.get("host", "")
    return (("x-gateway-origin", f"{http_scheme(scope)}://{host}"),) if _HOST.fullmatch(host) else ()


def timeout_of(headers: Headers, default_s: float | None) -> float | None:
    """Grpc-Timeout in the form of gRPC over HTTP/2: up to 8 digits and a unit of H, M, S, m, u, n."""
    given = headers.get("grpc-timeout")
    if given is None:
        return default_s
    parts = _TIMEOUT.fullmatch(given)
    if not parts:
        raise StatusError.of_field("Grpc-Timeout", "expected up to 8 digits and one of H, M, S, m, u, n, such as 5S")
    return int(parts[1]) * _UNIT_S[parts[2]]


async def read_body(headers: Headers, receive: Receive, limit_bytes: int) -> bytes:
    """Raises StatusError (413) at the first sign of too much, without reading on; ClientGone."""
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    chunks: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = event.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        chunks.append(chunk)
        if not event.get("more_body", False):
            return b"".join(chunks)


def _too_large(limit_bytes: int) -> StatusError:
    return StatusError(
        code_pb2.RESOURCE_EXHAUSTED,
        f"the body is larger than the limit of {limit_bytes} bytes",
        reason="BODY_TOO_LARGE",
        http_status=413,
    )


async def unless_client_leaves(receive: Receive, work: Coroutine[Any, Any, Any]) -> Any:
    """Runs work to its end, or cancels it and raises ClientGone. The request's body must have been read."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


class Transcoder:
    """The ASGI application that answers whatever the target's bindings know."""

    def __init__(self, target: Target, limits: Limits) -> None:
        self.target = target
        self.limits = limits
        self._closing = asyncio.Event()

    def close_streams(self) -> None:
        """Ends every open stream with UNAVAILABLE, so that a graceful stop does not wait for them."""
        self._closing.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        request_id = request_id_of(headers)

        async def sending(event: Event) -> None:
            if event["type"] == "http.response.start":
                MutableHeaders(scope=event)["x-request-id"] = request_id
            await send(event)

        try:
            await self._answer(scope, headers, request_id, receive, sending)
        except ClientGone:
            _log.debug("gateway.client_left", route=scope.get(ROUTE_KEY, ""), request_id=request_id)
        except StatusError as error:
            pool = self.target.routes.catalogue.pool if self.target.routes else None
            await error.response(pool)(scope, receive, sending)

    async def _answer(self, scope: Scope, headers: Headers, request_id: str, receive: Receive, send: Send) -> None:
        found = self._find(scope)
        binding = found.target
        scope[ROUTE_KEY] = binding.template.source
        metadata = (*metadata_of(headers, request_id), *origin_of(scope, headers))
        timeout_s = timeout_of(headers, None if binding.rpc.streams else self.limits.unary_timeout_s)
        body = await read_body(headers, receive, self.limits.body_bytes)
        request = transcode.to_message(
            binding, found.variables, scope["query_string"], body, headers.get("content-type", "")
        )
        if binding.rpc.streams:
            events = _wants_events(headers.get("accept", ""))
            if events:
                _take_up(request, headers.get("last-event-id", ""))
            stream = _Stream(binding, events, self.limits, self._closing, send)
            call = self._stream_call(binding, request, metadata, timeout_s)
            last = await unless_client_leaves(receive, stream.run(call))
            await stream.finish(last)
        else:
            answer = await unless_client_leaves(receive, self._unary(binding, request, metadata, timeout_s))
            await _unary_response(binding, answer)(scope, receive, send)

    def _find(self, scope: Scope) -> Found[Binding]:
        table = self.target.known().table
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        method: str = scope["method"]
        try:
            found = table.find(method, path)
            if method == "HEAD" and isinstance(found, NotAllowed):
                as_get = table.find("GET", path)
                if isinstance(as_get, Found) and not as_get.target.rpc.streams:  # a stream has no head to tell of
                    return as_get
        except UnicodeDecodeError:
            raise invalid("the path is not percent-encoded UTF-8", "INVALID_PATH") from None
        if found is None:
            raise StatusError(code_pb2.NOT_FOUND, "no method is bound to this path", reason="NOT_FOUND")
        if isinstance(found, NotAllowed):
            allow = ", ".join(found.methods)
            raise StatusError(
                code_pb2.UNIMPLEMENTED,
                f"{method if method.isalpha() else 'this method'} is not allowed here; allowed: {allow}",
                reason="METHOD_NOT_ALLOWED",
                http_status=405,
                headers={"allow": allow},
            )
        return found

    async def _unary(
        self, binding: Binding, request: Message, metadata: tuple[tuple[str, str], ...], timeout_s: float | None
    ) -> Message:
        rpc = binding.rpc
        method = self.target.channel.unary_unary(
            rpc.path, request_serializer=rpc.serialize, response_deserializer=rpc.parse
        )
        try:
            answer: Message = await method(request, metadata=metadata, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise StatusError.of_rpc(error).of_request(rpc.input.DESCRIPTOR) from None
        return answer

    def _stream_call(
        self, binding: Binding, request: Message, metadata: tuple[tuple[str, str], ...], timeout_s: float | None
    ) -> Any:
        rpc = binding.rpc
        method = self.target.channel.unary_stream(
            rpc.path, request_serializer=rpc.serialize, response_deserializer=rpc.parse
        )
        return method(request, metadata=metadata, timeout=timeout_s)


def _unary_response(binding: Binding, answer: Message) -> Response:
    if binding.raw_response:
        content, content_type = transcode.to_raw(binding, answer)
        return Response(content, headers={"content-type": content_type, "x-content-type-options": "nosniff"})
    return Response(transcode.to_json(binding, answer), media_type="application/json")


def _wants_events(accept: str) -> bool:
    return any(part.partition(";")[0].strip().lower() == SSE for part in accept.split(","))


def _take_up(request: Message, last_event_id: str) -> None:
    """An EventSource comes back to the URL that it began with: the header is newer than what stands there."""
    known = request.DESCRIPTOR.fields_by_name.get(RESUME_FIELD)
    if last_event_id and known is not None:
        setattr(request, RESUME_FIELD, last_event_id)


def _event_id(message: Message) -> bytes:
    known = message.DESCRIPTOR.fields_by_name.get(RESUME_FIELD)
    token = getattr(message, RESUME_FIELD) if known is not None else ""
    return f"id: {token}\n".encode() if token.isprintable() and token else b""


class _Stream:
    """Writes one server stream. An error after the first message ends it as a last line, or as event `error`."""

    def __init__(self, binding: Binding, events: bool, limits: Limits, closing: asyncio.Event, send: Send) -> None:
        self.binding = binding
        self.events = events
        self.limits = limits
        self.closing = closing
        self.send = send
        self.started = False

    async def run(self, call: Any) -> bytes:
        """Sends every message and returns what is to be sent last. Raises StatusError if nothing was sent yet."""
        closed: asyncio.Future[Any] = asyncio.ensure_future(self.closing.wait())
        reading: asyncio.Future[Any] = asyncio.ensure_future(call.read())
        try:
            while (message := await self._next(reading, closed)) is not grpc.aio.EOF:
                reading = asyncio.ensure_future(call.read())
                await self._write(transcode.to_json(self.binding, message), message)
            return b"event: end\ndata: {}\n\n" if self.events else b""
        except grpc.aio.AioRpcError as error:
            return self._failed(StatusError.of_rpc(error).of_request(self.binding.rpc.input.DESCRIPTOR))
        except StatusError as error:
            return self._failed(error)
        finally:
            call.cancel()
            closed.cancel()
            reading.cancel()
            await asyncio.gather(closed, reading, return_exceptions=True)

    async def _next(self, reading: asyncio.Future[Any], closed: asyncio.Future[Any]) -> Any:
        """The next message, or EOF; meanwhile starts the answer and keeps an idle one alive."""
        while True:
            wait_s = self.limits.keepalive_s if self.started else self.limits.head_start_s
            await asyncio.wait({reading, closed}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                return reading.result()
            if closed.done():
                raise StatusError(code_pb2.UNAVAILABLE, "the gateway is shutting down", reason="SHUTTING_DOWN")
            if self.events:
                await self._send(b":\n\n")
            elif not self.started:
                await self._send(b"")

    async def _write(self, line: bytes, message: Message) -> None:
        await self._send(_event_id(message) + b"data: " + line + b"\n\n" if self.events else line + b"\n")

    def _failed(self, error: StatusError) -> bytes:
        if not self.started:
            raise error
        body = orjson.dumps(error.body(pool_of(self.binding.rpc.output())))
        return b"event: error\ndata: " + body + b"\n\n" if self.events else b'{"error":' + body + b"}\n"

    async def finish(self, last: bytes) -> None:
        await self._send(last, more=False)

    async def _send(self, chunk: bytes, *, more: bool = True) -> None:
        """Raises ClientGone for a client that takes nothing: the chunk was not sent, the connection is closed."""
        try:
            async with asyncio.timeout(self.limits.write_s):
                await self._send_now(chunk, more)
        except TimeoutError:
            raise ClientGone from None

    async def _send_now(self, chunk: bytes, more: bool) -> None:
        if not self.started:
            self.started = True
            head = [
                (b"content-type", (SSE if self.events else NDJSON).encode()),
                (b"cache-control", b"no-cache, no-transform"),
                (b"x-accel-buffering", b"no"),
            ]
            await self.send({"type": "http.response.start", "status": 200, "headers": head})
        await self.send({"type": "http.response.body", "body": chunk, "more_body": more})
