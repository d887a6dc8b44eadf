"""Signing in for browsers: a cookie that no script can read carries the token, and becomes Authorization here.

A request that rests on the cookie and changes something must say that it comes from this origin's own page.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from http.cookies import CookieError, SimpleCookie

import grpc
from google.protobuf import json_format
from google.rpc import code_pb2
from quarterdeck.v1 import accounts_pb2
from quarterdeck.v1.accounts_pb2_grpc import AccountServiceStub
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from controlplane.gateway.call import metadata_of, read_body, request_id_of
from controlplane.gateway.decode import decode, load_json
from controlplane.gateway.errors import StatusError
from controlplane.gateway.origins import SAFE_METHODS, OriginPolicy, http_scheme

COOKIE = "quarterdeck_token"
MAX_BODY_BYTES = 4096
CALL_TIMEOUT_S = 10.0
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,4096}", re.ASCII)


def token_of(headers: Headers) -> str | None:
    """The cookie's token, where no Authorization header speaks for the request."""
    if "authorization" in headers or "cookie" not in headers:
        return None
    try:
        morsel = SimpleCookie("; ".join(headers.getlist("cookie"))).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel is not None and _TOKEN.fullmatch(morsel.value) else None


class CookieMiddleware:
    """Turns the cookie into `Authorization: Bearer`, for requests of this origin's own pages only."""

    def __init__(self, app: ASGIApp, origins: OriginPolicy) -> None:
        self.app = app
        self.origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            token = token_of(headers)
            if token is not None and self._vouched(scope, headers):
                scope["headers"] = [*scope["headers"], (b"authorization", f"Bearer {token}".encode())]
            elif token is not None and scope["type"] == "http":
                refusal = StatusError(
                    code_pb2.PERMISSION_DENIED,
                    "a request that rests on the cookie needs an Origin, or Sec-Fetch-Site: same-origin",
                    reason="FOREIGN_ORIGIN",
                )
                await refusal.response()(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _vouched(self, scope: Scope, headers: Headers) -> bool:
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
            return True
        origin = headers.get("origin")
        if origin is not None:
            return self.origins.admits(origin, http_scheme(scope), headers.get("host", ""))
        return headers.get("sec-fetch-site") == "same-origin"


def signin_routes(channel: grpc.aio.Channel) -> list[Route]:
    """POST /signin {"code": …} sets the cookie and answers {account, expireTime}; POST /signout revokes and clears."""
    accounts = AccountServiceStub(channel)

    async def sign_in(request: Request) -> Response:
        asked = accounts_pb2.SignInRequest()
        decode(asked, load_json(await read_body(request.headers, request.receive, MAX_BODY_BYTES)))
        metadata = (("x-request-id", request_id_of(request.headers)),)  # an old cookie must not get in the way
        try:
            answer = await accounts.SignIn(asked, metadata=metadata, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise StatusError.of_rpc(error) from None
        shown = json_format.MessageToDict(answer, always_print_fields_with_no_presence=True)
        del shown["token"]  # only the cookie holds it
        response = JSONResponse(shown)
        _set_cookie(response, request, answer.token, answer.expire_time.ToDatetime(UTC))
        return response

    async def sign_out(request: Request) -> Response:
        metadata = metadata_of(request.headers, request_id_of(request.headers))
        try:
            await accounts.SignOut(accounts_pb2.SignOutRequest(), metadata=metadata, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED:  # then there is nothing left to revoke
                raise StatusError.of_rpc(error) from None
        response = JSONResponse({})
        _set_cookie(response, request, "", datetime.fromtimestamp(0, UTC))
        return response

    return [Route("/signin", sign_in, methods=["POST"]), Route("/signout", sign_out, methods=["POST"])]


def _set_cookie(response: Response, request: Request, token: str, expires: datetime) -> None:
    response.set_cookie(
        COOKIE,
        token,
        expires=expires,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
