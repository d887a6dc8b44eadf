"""A role's process: how many files it may open, and a small HTTP listener: /healthz, /readyz, /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

OPEN_FILES = 65536
# Part of the outside world → "" when it answers, otherwise why not.
Checks = Callable[[], Awaitable[Mapping[str, str]]]


def create_app(outside: Checks, registry: CollectorRegistry) -> Starlette:
    """/healthz: the loop turns. /readyz: 503 naming what does not answer. No secrets, no names of resources."""

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        checks = await outside()
        ready = not any(checks.values())
        return JSONResponse(
            {"status": "ok" if ready else "unready", "checks": {name: why or "ok" for name, why in checks.items()}},
            status_code=200 if ready else 503,
        )

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])


class _Server(uvicorn.Server):
    """Leaves the process's signals alone: who runs the loop decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def listening(outside: Checks, registry: CollectorRegistry, host: str, port: int) -> AsyncIterator[int]:
    """Serves meanwhile and yields the port, which the system chooses where `port` is 0. Raises OSError if taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        config = uvicorn.Config(
            create_app(outside, registry), lifespan="off", log_config=None, access_log=False, server_header=False
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="monitoring")
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            await asyncio.gather(serving, return_exceptions=True)


def raise_open_files() -> None:
    """Each page that is open holds descriptors: the usual 1024 are few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
