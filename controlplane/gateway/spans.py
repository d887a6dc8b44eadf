"""Each request is a span; its traceparent travels on to the gRPC server in the caller's place."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.gateway.metrics import ROUTE_KEY
from controlplane.interfaces.spans import TRACEPARENT, Facts, Spans

UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})


class SpansMiddleware:
    """Outermost, so that what others refuse is seen too."""

    def __init__(self, app: ASGIApp, spans: Spans) -> None:
        self.app = app
        self.spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in UNTRACED:
            await self.app(scope, receive, send)
            return
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        def ended() -> Facts:
            route = scope.get(ROUTE_KEY) or getattr(scope.get("route"), "path", "") or "unmatched"
            return {"http.route": route} | ({"http.response.status_code": status} if status else {})

        headers = MutableHeaders(scope=scope)
        method = scope.get("method", "WEBSOCKET")
        with self.spans.served(method, headers.get(TRACEPARENT, ""), ended) as traceparent:
            headers[TRACEPARENT] = traceparent
            await self.app(scope, receive, noting)
