"""The browser's signalling channel: one WebSocket bridged to one StreamingService.Signal call.

The stream token is the first message, so that it is in no URL and no log. Media never passes here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf import json_format
from google.rpc import code_pb2
from quarterdeck.v1 import streaming_pb2
from quarterdeck.v1.streaming_pb2_grpc import StreamingServiceStub
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from controlplane.gateway.call import metadata_of, request_id_of
from controlplane.gateway.decode import decode, load_json
from controlplane.gateway.door import Anteroom, Crowded
from controlplane.gateway.errors import StatusError
from controlplane.gateway.origins import OriginPolicy, http_scheme

_log = structlog.get_logger()

PATH = "/v1/signalling"
HANDSHAKE_TIMEOUT_S = 10.0
MAX_MESSAGE_BYTES = 128 * 1024
MAX_TOKEN_BYTES = 4096

# RFC 6455 section 7.4.1, and its private range for what gRPC said: 4000 + google.rpc.Code.
NORMAL, UNSUPPORTED, INVALID, POLICY, TOO_BIG = 1000, 1003, 1007, 1008, 1009
GRPC_BASE = 4000
_MAX_REASON_BYTES = 123


class Closing(Exception):
    """How a WebSocket is closed, and why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def signalling_route(
    channel: grpc.aio.Channel,
    origins: OriginPolicy,
    anteroom: Anteroom | None = None,
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
) -> WebSocketRoute:
    """WebSocket /v1/signalling. First {"streamToken": TOKEN}, then quarterdeck.v1.Signal as JSON both ways.

    Closes with 1000 when the call ends well, 4000 + google.rpc.Code and the status message when it fails, and
    1003, 1007, 1008 or 1009 when the browser breaks the rules. A page of a foreign origin gets 403; who is silent for
    longest in a full anteroom is closed with UNAVAILABLE.
    """
    signalling = _Signalling(channel, origins, anteroom or Anteroom(), handshake_timeout_s)

    async def endpoint(websocket: WebSocket) -> None:
        await signalling.serve(websocket)

    return WebSocketRoute(PATH, endpoint)


@dataclass(frozen=True)
class Entry:
    """A WebSocket that was accepted; `known` is to be called when it has said who it is."""

    request_id: str
    known: Callable[[], None]


@contextlib.asynccontextmanager
async def admitted(websocket: WebSocket, origins: OriginPolicy, anteroom: Anteroom) -> AsyncIterator[Entry | None]:
    """Accepts it and, at the end, closes it with what was raised; None where it was refused: a page of a foreign
    origin."""
    origin = websocket.headers.get("origin")  # a browser always sends it; other clients carry no cookie to abuse
    host = websocket.headers.get("host", "")
    if origin is not None and not origins.admits(origin, http_scheme(websocket.scope), host):
        refusal = StatusError(
            code_pb2.PERMISSION_DENIED, "a page of this origin may not open this", reason="FOREIGN_ORIGIN"
        )
        await websocket.send_denial_response(refusal.response())
        yield None
        return
    request_id = request_id_of(websocket.headers)
    try:
        async with anteroom.place(websocket.client.host if websocket.client else "") as known:
            await websocket.accept(headers=[(b"x-request-id", request_id.encode())])
            yield Entry(request_id, known)
    except WebSocketDisconnect:
        _log.debug("websocket.browser_left", request_id=request_id, path=websocket.url.path)
    except Closing as closing:
        await say(websocket, closing)
    except Crowded:
        told = "too many connections wait to say who they are; try again"
        await say(websocket, Closing(GRPC_BASE + code_pb2.UNAVAILABLE, told))
    except StatusError as error:
        await say(websocket, Closing(INVALID, str(error)))


class _Signalling:
    def __init__(
        self, channel: grpc.aio.Channel, origins: OriginPolicy, anteroom: Anteroom, handshake_timeout_s: float
    ) -> None:
        self.stub = StreamingServiceStub(channel)
        self.origins = origins
        self.anteroom = anteroom
        self.handshake_timeout_s = handshake_timeout_s

    async def serve(self, websocket: WebSocket) -> None:
        async with admitted(websocket, self.origins, self.anteroom) as entry:
            if entry is None:
                return
            token = await self._handshake(websocket)
            entry.known()
            await self._bridge(websocket, token, metadata_of(websocket.headers, entry.request_id))

    async def _handshake(self, websocket: WebSocket) -> str:
        try:
            async with asyncio.timeout(self.handshake_timeout_s):
                first = load_json((await receive(websocket)).encode())
        except TimeoutError:
            raise Closing(POLICY, f"no stream token within {self.handshake_timeout_s:g} s") from None
        token = first.get("streamToken") if isinstance(first, dict) and len(first) == 1 else None
        if not isinstance(token, str) or not 0 < len(token) <= MAX_TOKEN_BYTES:
            raise Closing(POLICY, 'the first message must be {"streamToken": "…"}')
        return token

    async def _bridge(self, websocket: WebSocket, token: str, metadata: tuple[tuple[str, str], ...]) -> None:
        call: Any = self.stub.Signal(metadata=metadata)
        up = asyncio.create_task(_from_browser(websocket, call, token))
        down = asyncio.create_task(_to_browser(websocket, call))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            if not down.done() and not call.done():
                up.result()  # raises: it only ends by the browser's leaving or by a broken rule
            await down
        finally:
            call.cancel()
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)


async def receive(websocket: WebSocket) -> str:
    """The next text message. Raises Closing for what is none, WebSocketDisconnect."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", NORMAL))
    text: str | None = message.get("text")
    if text is None:
        raise Closing(UNSUPPORTED, "messages are text")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_MESSAGE_BYTES:
        raise Closing(TOO_BIG, f"messages are at most {MAX_MESSAGE_BYTES} bytes")
    return text


async def _from_browser(websocket: WebSocket, call: Any, token: str) -> None:
    try:
        await call.write(streaming_pb2.SignalRequest(stream_token=token))
        while True:
            text = await receive(websocket)
            signal = streaming_pb2.Signal()
            decode(signal, load_json(text.encode()))
            await call.write(streaming_pb2.SignalRequest(signal=signal))
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await call.code()  # the call has ended meanwhile; how it ended is told by whoever reads from it


async def _to_browser(websocket: WebSocket, call: Any) -> None:
    try:
        while (answer := await call.read()) is not grpc.aio.EOF:
            signal = json_format.MessageToDict(answer.signal, always_print_fields_with_no_presence=True)
            await websocket.send_text(json.dumps(signal, separators=(",", ":")))
    except grpc.aio.AioRpcError as error:
        raise Closing(GRPC_BASE + error.code().value[0], error.details() or "") from None
    raise Closing(NORMAL, "the session's signalling has ended")


async def say(websocket: WebSocket, closing: Closing) -> None:
    """Closes the WebSocket, with as much of the reason as fits."""
    reason = closing.reason.encode("utf-8", "replace")[:_MAX_REASON_BYTES].decode("utf-8", "ignore")
    try:
        await websocket.close(closing.code, reason)
    except (WebSocketDisconnect, RuntimeError) as error:  # the browser was faster
        _log.debug("signalling.already_closed", reason=str(error))
