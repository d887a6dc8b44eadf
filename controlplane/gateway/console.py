"""A game's console in the browser: one WebSocket bridged to ConsoleService, output down, lines up.

The first message says which session and after which sequence; a client that lost its connection says its last one.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
from google.protobuf import json_format
from quarterdeck.v1 import console_pb2
from quarterdeck.v1.console_pb2_grpc import ConsoleServiceStub
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from controlplane.gateway.call import metadata_of
from controlplane.gateway.decode import decode, load_json
from controlplane.gateway.door import Anteroom
from controlplane.gateway.errors import StatusError
from controlplane.gateway.origins import OriginPolicy
from controlplane.gateway.signalling import (
    GRPC_BASE,
    HANDSHAKE_TIMEOUT_S,
    NORMAL,
    POLICY,
    Closing,
    admitted,
    receive,
)

PATH = "/v1/console"
CALL_TIMEOUT_S = 30.0


def console_route(channel: grpc.aio.Channel, origins: OriginPolicy, anteroom: Anteroom | None = None) -> WebSocketRoute:
    """WebSocket /v1/console. First {"session": "sessions/…", "afterSequence": "0"}; then {"lines": ["…"]} types lines,
    and ConsoleOutput comes as JSON; {"refused": google.rpc.Status} is the answer to bad ones. Closes as /v1/signalling
    does; 1000 when the game is over."""
    stub = ConsoleServiceStub(channel)
    anteroom = anteroom or Anteroom()

    async def endpoint(websocket: WebSocket) -> None:
        async with admitted(websocket, origins, anteroom) as entry:
            if entry is None:
                return
            opening = await _opening(websocket)
            entry.known()
            await _bridge(websocket, stub, opening, metadata_of(websocket.headers, entry.request_id))

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
        text = await receive(websocket)
        try:
            decode(request, load_json(text.encode()))
            request.session = session
            await stub.SendConsoleInput(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise Closing(GRPC_BASE + error.code().value[0], error.details() or "") from None
            await _refuse(websocket, StatusError.of_rpc(error).of_request(request.DESCRIPTOR))
        except StatusError as error:
            await _refuse(websocket, error)


async def _refuse(websocket: WebSocket, refusal: StatusError) -> None:
    """A bad line is told, and whoever typed it goes on reading and typing."""
    await websocket.send_text(json.dumps({"refused": refusal.body()}, separators=(",", ":")))


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
