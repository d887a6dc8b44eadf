"""Runs a gateway application on uvicorn inside the event loop that the gRPC channel lives in."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import structlog
import uvicorn
from starlette.applications import Starlette

from controlplane.gateway.door import Door, Terms

_log = structlog.get_logger()

MAX_WEBSOCKET_BYTES = 128 * 1024
STOP_GRACE_S = 5


class _Server(uvicorn.Server):
    """Says when it listens, and leaves the process's signals alone: who runs the loop decides when it ends."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A TCP listener. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the protocol is named; left on, each answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


@contextlib.asynccontextmanager
async def listening(app: Starlette, host: str, http_port: int, terms: Terms | None = None) -> AsyncIterator[int]:
    """Serves app and yields the port, which the system chooses where http_port is 0. Raises OSError if it is taken.

    On leaving, open streams are told so and other requests have STOP_GRACE_S seconds to end.
    """
    listener = listen(host, http_port)
    door = Door(terms or Terms())
    config = uvicorn.Config(
        app,
        lifespan="on",
        # It calls what it is given, class or not.
        http=door.http,  # type: ignore[arg-type]
        ws=door.websocket,  # type: ignore[arg-type]
        ws_max_size=MAX_WEBSOCKET_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=STOP_GRACE_S,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]), name="gateway-http")
    listens = asyncio.create_task(server.listens.wait())
    try:
        await asyncio.wait({running, listens}, return_when=asyncio.FIRST_COMPLETED)
        if not server.started:
            raise RuntimeError("the HTTP server ended while it started")
        async with door.watched():
            yield listener.getsockname()[1]
    finally:
        listens.cancel()
        app.state.transcoder.close_streams()
        server.should_exit = True
        await asyncio.gather(running, return_exceptions=True)
        listener.close()
