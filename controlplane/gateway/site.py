"""Quarterdeck's own gateway: the generic one, with the web pages, sign-in by cookie and signalling around it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import grpc
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.gateway.app import create_app
from controlplane.gateway.call import Limits
from controlplane.gateway.console import console_route
from controlplane.gateway.door import Anteroom
from controlplane.gateway.downloads import downloads_route
from controlplane.gateway.hosts import Names
from controlplane.gateway.metrics import ROUTE_KEY
from controlplane.gateway.origins import OriginPolicy
from controlplane.gateway.signalling import signalling_route
from controlplane.gateway.signin import CookieMiddleware, signin_routes
from controlplane.gateway.target import Target

WEB = Path(__file__).resolve().parent.parent / "web"

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def create_site(
    channel: grpc.aio.Channel,
    *,
    web: Path = WEB,
    origins: OriginPolicy | None = None,
    hosts: Names | None = None,
    limits: Limits | None = None,
    routes: Sequence[BaseRoute] = (),
    registry: CollectorRegistry | None = None,
) -> Starlette:
    """The application that `quarterdeck up` serves. channel leads to the control plane's API and stays the caller's.

    registry: figures of other parts of the process, served on /metrics beside the gateway's own."""
    policy, anteroom = origins or OriginPolicy(), Anteroom()
    return create_app(
        Target(channel),
        limits=limits,
        origins=policy,
        hosts=hosts,
        routes=[
            signalling_route(channel, policy, anteroom),
            console_route(channel, policy, anteroom),
            downloads_route(channel),
            *signin_routes(channel),
            *routes,
            WebFiles(web),
        ],
        middleware=[Middleware(SecurityHeaders), Middleware(CookieMiddleware, origins=policy)],
        title="Quarterdeck",
        registry=registry,
    )


class SecurityHeaders:
    """Adds SECURITY_HEADERS to every answer; what says nothing of caching is not to be stored."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self.app(scope, receive, sending if scope["type"] == "http" else send)


class WebFiles(BaseRoute):
    """GET of a file that exists under folder, `/` being index.html. Anything else is left to the next route."""

    def __init__(self, folder: Path) -> None:
        self.files = _Revalidated(directory=folder, check_dir=False)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            return Match.NONE, {}
        path = scope["path"][1:] or "index.html"
        if "\0" in path or any(part.startswith(".") or not part for part in path.split("/")):
            return Match.NONE, {}
        try:
            full_path, found = self.files.lookup_path(path)
        except (OSError, ValueError):  # a name that no file system takes
            return Match.NONE, {}
        if found is None or not stat.S_ISREG(found.st_mode):
            return Match.NONE, {}
        return Match.FULL, {"quarterdeck.file": (full_path, found), ROUTE_KEY: "web"}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        full_path, found = scope["quarterdeck.file"]
        await self.files.file_response(full_path, found, scope)(scope, receive, send)


class _Revalidated(StaticFiles):
    """Files that a browser keeps and asks about each time, so that a new version is seen at once."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["cache-control"] = "no-cache"
        return response
