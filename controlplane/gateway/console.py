"""A game's console in the browser: one WebSocket bridged to ConsoleService, output down, lines up.

The first message says which session and after which sequence; a client that lost its connection says its last one.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import structlog
from google.protobuf import json_format
from google.rpc import code_pb2
from quarterdeck.v1 import console_pb2
from quarterdeck.v1.console_pb2_grpc import ConsoleServiceStub
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from controlplane.gateway.call import metadata_of, request_id_of
from controlplane.gateway.decode import decode, load_json
from controlplane.gateway.errors import StatusError
from controlplane.gateway.origins import OriginPolicy, http_scheme
from controlplane.gateway.signalling import (
    GRPC_BASE,
    HANDSHAKE_TIMEOUT_S,
    INVALID,
    NORMAL,
    POLICY,
    Closing,
    receive,
    say,
)

_log = structlog.get_logger()

PATH = "/v1/console"
CALL_TIMEOUT_S = 30.0


def console_route(channel: grpc.aio.Channel, origins: OriginPolicy) -> WebSocketRoute:
    """WebSocket /v1/console. First {"session": "sessions/…", "afterSequence": "0"}; then {"lines": ["…"]} types lines,
    and ConsoleOutput comes as JSON. Closes as /v1/signalling does; 1000 when the game is over."""
    stub = ConsoleServiceStub(channel)

    async def endpoint(websocket: WebSocket) -> None:
        origin, host = websocket.headers.get("origin"), websocket.headers.get("host", "")
        if origin is not None and not origins.admits(origin, http_scheme(websocket.scope), host):
            refusal = StatusError(
                code_pb2.PERMISSION_DENIED, "a page of this origin may not open a console", reason="FOREIGN_ORIGIN"
            )
            await websocket.send_denial_response(refusal.response())
            return
        request_id = request_id_of(websocket.headers)
        await websocket.accept(headers=[(b"x-request-id", request_id.encode())])
        try:
            opening = await _opening(websocket)
            await _bridge(websocket, stub, opening, metadata_of(websocket.headers, request_id))
        except WebSocketDisconnect:
            _log.debug("console.browser_left", request_id=request_id)
        except Closing as closing:
            await say(websocket, closing)
        except StatusError as error:
            await say(websocket, Closing(INVALID, str(error)))

    return WebSocketRoute(PATH, endpoint)


async def _opening(websocket: WebSocket) -> console_pb2.StreamConsoleRequest:
    opening = console_pb2.StreamConsoleRequest()
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            decode(opening, load_json((await receive(websocket)).encode()))
    except TimeoutError:
        raise Closing(POLICY, f"no session within {HANDSHAKE_TIMEOUT_S:g} s") from None
    return opening


async def _bridge(
    websocket: WebSocket,
    stub: Any,
    opening: console_pb2.StreamConsoleRequest,
    metadata: tuple[tuple[str, str], ...],
) -> None:
    up = asyncio.create_task(_typed(websocket, stub, opening.session, metadata))
    down = asyncio.create_task(_printed(websocket, stub.StreamConsole(opening, metadata=metadata)))
    try:
        done, _ = await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # each ends only by raising
    finally:
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _typed(websocket: WebSocket, stub: Any, session: str, metadata: tuple[tuple[str, str], ...]) -> None:
    while True:
        request = console_pb2.SendConsoleInputRequest()
        decode(request, load_json((await receive(websocket)).encode()))
        request.session = session
        try:
            await stub.SendConsoleInput(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise Closing(GRPC_BASE + error.code().value[0], error.details() or "") from None


async def _printed(websocket: WebSocket, call: Any) -> None:
    try:
        async for output in call:
            shown = json_format.MessageToDict(output, always_print_fields_with_no_presence=True)
            await websocket.send_text(json.dumps(shown, separators=(",", ":")))
    except grpc.aio.AioRpcError as error:
        raise Closing(GRPC_BASE + error.code().value[0], error.details() or "") from None
    finally:
        call.cancel()
    raise Closing(NORMAL, "the game is over")
