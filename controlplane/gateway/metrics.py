"""Requests counted and timed by route template, so that no path or name of a resource becomes a label."""

from __future__ import annotations

import time

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ROUTE_KEY = "quarterdeck.route"
CLIENT_LEFT = 499
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """One registry per application, so that several can live in one process; it may hold others' figures too."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        labels = ("route", "method", "status")
        self.requests = Counter("quarterdeck_gateway_requests", "Requests answered.", labels, registry=self.registry)
        self.duration = Histogram(
            "quarterdeck_gateway_request_duration_seconds",
            "From the request's head to the end of the answer.",
            labels,
            registry=self.registry,
        )

    async def page(self, request: Request) -> Response:
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


class MetricsMiddleware:
    """Whoever answers may put the route's template into scope[ROUTE_KEY]; a Starlette route is found by itself."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = CLIENT_LEFT

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except BaseException:
            status = 500
            raise
        finally:
            route = scope.get(ROUTE_KEY) or getattr(scope.get("route"), "path", "") or "unmatched"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            labels = (route, method, str(status))
            self.metrics.requests.labels(*labels).inc()
            self.metrics.duration.labels(*labels).observe(time.perf_counter() - started)
