"""The gateway as a Starlette application, to be served alone or with routes and middleware of one's own around it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus

from google.rpc import code_pb2
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from controlplane.gateway.call import ClientGone, Limits, Transcoder
from controlplane.gateway.errors import StatusError
from controlplane.gateway.hosts import HostMiddleware, Names
from controlplane.gateway.metrics import CLIENT_LEFT, Metrics, MetricsMiddleware
from controlplane.gateway.openapi import OpenApiPage
from controlplane.gateway.origins import CrossOriginMiddleware, OriginMiddleware, OriginPolicy
from controlplane.gateway.target import Target

_CODES = {400: code_pb2.INVALID_ARGUMENT, 404: code_pb2.NOT_FOUND, 405: code_pb2.UNIMPLEMENTED}


def create_app(
    target: Target,
    *,
    limits: Limits | None = None,
    origins: OriginPolicy | None = None,
    hosts: Names | None = None,
    routes: Sequence[BaseRoute] = (),
    middleware: Sequence[Middleware] = (),
    title: str = "gRPC gateway",
    registry: CollectorRegistry | None = None,
) -> Starlette:
    """Serves target over REST. routes go before the gateway's own paths, middleware runs inside of the metrics. hosts
    are the names beside this machine's that it may be called by; None: by any.

    The application follows the target while its lifespan lasts; the channel stays the caller's to close.
    app.state.transcoder.close_streams() ends open streams, for a graceful stop.
    """
    policy = origins or OriginPolicy()
    transcoder = Transcoder(target, limits or Limits())
    metrics = Metrics(registry)

    async def ready(_: Request) -> Response:
        await target.check()
        return JSONResponse({"status": "ready"})

    app = Starlette(
        routes=[
            *routes,
            Route("/healthz", _alive),
            Route("/readyz", ready),
            Route("/metrics", metrics.page),
            Route("/openapi.json", OpenApiPage(target, title).page),
        ],
        middleware=[
            Middleware(MetricsMiddleware, metrics=metrics),
            *([] if hosts is None else [Middleware(HostMiddleware, names=hosts)]),
            Middleware(CrossOriginMiddleware, policy=policy),
            *middleware,
            Middleware(OriginMiddleware, policy=policy),
        ],
        exception_handlers={
            HTTPException: _http_error,
            StatusError: _status_error,
            ClientGone: _client_left,
            Exception: _unexpected,
        },
        lifespan=lambda _: _following(target),
    )

    async def everything_else(scope: Scope, receive: Receive, send: Send) -> None:
        await (transcoder if scope["type"] == "http" else app.router.not_found)(scope, receive, send)

    app.router.default = everything_else
    app.router.redirect_slashes = False
    app.state.transcoder = transcoder
    return app


@contextlib.asynccontextmanager
async def _following(target: Target) -> AsyncIterator[None]:
    following = asyncio.create_task(target.follow(), name="gateway-follow-target")
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def _alive(_: Request) -> Response:
    return JSONResponse({"status": "alive"})


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, code_pb2.UNKNOWN)
    reason = HTTPStatus(error.status_code).name
    return StatusError(
        code, error.detail, reason=reason, http_status=error.status_code, headers=error.headers
    ).response()


async def _status_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, StatusError)
    return error.response()


async def _client_left(_: Request, __: Exception) -> Response:
    return Response(status_code=CLIENT_LEFT)


async def _unexpected(_: Request, error: Exception) -> Response:
    # Starlette logs the traceback through the server; the caller learns nothing of the inside.
    return StatusError(code_pb2.INTERNAL, "internal error of the gateway", reason="INTERNAL").response()
