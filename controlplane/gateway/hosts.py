"""By which names the gateway may be called. A page elsewhere can make its own name lead here (DNS rebinding), and is of
this origin for the browser then: what asks nobody who he is would be open to it. Addresses are no names, and good."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from google.rpc import code_pb2
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from controlplane.gateway.errors import StatusError

HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,255})(:[0-9]{1,5})?", re.ASCII)
LOCAL = "localhost"
POLICY_VIOLATION = 1008
Names = frozenset[str]


def names_of(hosts: Iterable[str], origins: Iterable[str]) -> Names:
    """Of configuration: names, with a port or without, and those of whole origins."""
    named = [name_of(host) for host in hosts] + [urlsplit(origin).hostname or "" for origin in origins]
    return frozenset(named) - {""}


def name_of(host: str) -> str:
    """Of a Host header, without its port; "" for what cannot be one."""
    found = HOST.fullmatch(host)
    return found["name"].strip("[]").rstrip(".").lower() if found else ""


def admits(names: Names, host: str) -> bool:
    name = name_of(host)
    if name in names or name == LOCAL or name.endswith(f".{LOCAL}"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class HostMiddleware:
    """Refuses requests for another name than `names`, those of this machine, and addresses."""

    def __init__(self, app: ASGIApp, names: Names) -> None:
        self.app = app
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = Headers(scope=scope).get("host", "") if scope["type"] in ("http", "websocket") else LOCAL
        if admits(self.names, host):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            refusal = StatusError(
                code_pb2.PERMISSION_DENIED,
                f"this gateway does not answer to the name '{name_of(host)}': call it by one of its own, or add "
                "that to QUARTERDECK_ALLOWED_HOSTS",
                reason="HOST_NOT_ALLOWED",
                http_status=421,
            )
            await refusal.response()(scope, receive, send)
