"""Which browser pages may call: the gateway's own origin, those allowed by configuration, loopback in development.

A page elsewhere must not act through a visitor's browser, whether by his cookie or by his place in the network.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from google.rpc import code_pb2
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from controlplane.gateway.errors import StatusError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """allowed: exact origins such as "https://play.example.org". loopback: also pages of this machine, on any port."""

    allowed: frozenset[str] = frozenset()
    loopback: bool = False

    def admits(self, origin: str, scheme: str, host: str) -> bool:
        """origin: the header's value. scheme and host: the request's own (http or https, and the Host header)."""
        return origin.lower() == f"{scheme}://{host}".lower() or self.names(origin)

    def names(self, origin: str) -> bool:
        """Whether the configuration allows it, wherever the gateway itself is."""
        return origin in self.allowed or (self.loopback and is_loopback_origin(origin))


def is_loopback_origin(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
        name = parts.hostname or ""
        parts.port  # noqa: B018 - raises where the port is no number
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return False
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def http_scheme(scope: Scope) -> str:
    scheme: str = scope["scheme"]
    return {"ws": "http", "wss": "https"}.get(scheme, scheme)


class OriginMiddleware:
    """Refuses what changes something when it comes from a page of another origin.

    A request without Origin and Sec-Fetch-Site is no browser's and passes.
    """

    def __init__(self, app: ASGIApp, policy: OriginPolicy) -> None:
        self.app = app
        self.policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS:
            try:
                self._check(scope)
            except StatusError as error:
                await error.response()(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is None and site in (None, "same-origin"):
            return
        if origin is not None and self.policy.admits(origin, http_scheme(scope), headers.get("host", "")):
            return
        raise StatusError(
            code_pb2.PERMISSION_DENIED,
            "a page of another origin may not do this: the Origin is not an allowed one",
            reason="FOREIGN_ORIGIN",
        )


class CrossOriginMiddleware(CORSMiddleware):
    """Lets pages of the named origins read answers, with a token of their own: no cookie travels along."""

    def __init__(self, app: ASGIApp, policy: OriginPolicy) -> None:
        super().__init__(
            app,
            allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=("authorization", "content-type", "x-request-id", "grpc-timeout", "last-event-id"),
            expose_headers=("x-request-id", "retry-after"),
        )
        self.policy = policy

    def is_allowed_origin(self, origin: str) -> bool:
        return self.policy.names(origin)
