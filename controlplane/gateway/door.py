"""The gateway's door: how many connections come in, in all and of one peer, and how long each may say nothing.

Every descriptor that a stranger holds is one that a player lacks, so whoever neither asks nor takes is shown out. HTTP
and WebSocket pass the same door, before anything of theirs is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, cast

import orjson
import structlog
import uvicorn
from google.rpc import code_pb2
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from controlplane.gateway.errors import StatusError

_log = structlog.get_logger()

MOST = 16384


@dataclass(frozen=True)
class Terms:
    """connections: at once, 0: 16384, but never more than half of the descriptors that this process may open.
    per_peer: of one address, as a proxy is; 0: a quarter of those. head_s: from the connection or the last answer to
    the whole head of a request. body_s: from there to its whole body. stalled_s: how long a client may take nothing of
    what waits for it."""

    connections: int = 0
    per_peer: int = 0
    head_s: float = 10.0
    body_s: float = 60.0
    stalled_s: float = 60.0
    look_s: float = 1.0


@dataclass
class _Guest:
    """`since` is when it last got on; `mark` is how far it was then."""

    peer: str
    protocol: asyncio.Protocol
    since: float
    mark: object = None


def most_of(asked: int, open_files: int) -> int:
    """How many connections may be open: as many as are asked for, but no more than half of the descriptors that this
    process may have. The others are for its database, its bus and its gRPC."""
    half = MOST if open_files == resource.RLIM_INFINITY else max(1, open_files // 2)
    return min(asked or MOST, half)


class Door:
    """The connections of one listener."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._most = most_of(terms.connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._most_each = terms.per_peer or max(1, self._most // 4)
        self._guests: dict[asyncio.Transport, _Guest] = {}
        self._peers: Counter[str] = Counter()
        # Of each peer those that have not asked anything yet, longest first: they make room for who comes.
        self._strangers: dict[str, dict[asyncio.Transport, None]] = {}
        self._refused = 0
        self._full = False

    def http(self, config: uvicorn.Config, server_state: Any, app_state: dict[str, Any], **rest: Any) -> H11Protocol:
        return _Http(self, config, server_state, app_state, **rest)

    def websocket(
        self, config: uvicorn.Config, server_state: Any, app_state: dict[str, Any], **rest: Any
    ) -> WebSocketsSansIOProtocol:
        return _WebSocket(self, config, server_state, app_state, **rest)

    def enter(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> bool:
        """Whether it may come in; one that was in goes on with another protocol."""
        now = asyncio.get_running_loop().time()
        if transport in self._guests:
            self.asked(transport)
            self._guests[transport] = _Guest(self._guests[transport].peer, protocol, now)
            return True
        peer = str((transport.get_extra_info("peername") or ("",))[0])
        if (len(self._guests) >= self._most or self._peers[peer] >= self._most_each) and not self._make_room(peer):
            self._refused += 1
            if not self._full:
                self._full = True
                _log.warning("gateway.full", connections=len(self._guests), of_this_peer=self._peers[peer])
            return False
        self._guests[transport] = _Guest(peer, protocol, now)
        self._peers[peer] += 1
        self._strangers.setdefault(peer, {})[transport] = None
        return True

    def asked(self, transport: asyncio.Transport) -> None:
        """It has sent the head of a request, and is no stranger any more."""
        guest = self._guests.get(transport)
        if guest is not None and transport in (strangers := self._strangers.get(guest.peer, {})):
            del strangers[transport]
            if not strangers:
                del self._strangers[guest.peer]

    def _make_room(self, peer: str) -> bool:
        """Shows out the one of this peer that has said nothing for longest, if there is any."""
        longest = next(iter(self._strangers.get(peer, ())), None)
        if longest is None:
            return False
        self.leave(longest)
        longest.abort()
        return True

    def leave(self, transport: asyncio.Transport) -> None:
        self.asked(transport)
        guest = self._guests.pop(transport, None)
        if guest is not None:
            self._peers[guest.peer] -= 1
            if not self._peers[guest.peer]:
                del self._peers[guest.peer]

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch(), name="gateway-door")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._terms.look_s)
            now = asyncio.get_running_loop().time()
            for transport, guest in list(self._guests.items()):
                mark, patience_s = self._standing(transport, guest.protocol)
                if mark != guest.mark:
                    guest.mark, guest.since = mark, now
                elif patience_s is not None and now - guest.since > patience_s:
                    transport.abort()
            if self._full and not self._refused:
                self._full = False
                _log.info("gateway.room", connections=len(self._guests))
            self._refused = 0

    def _standing(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> tuple[object, float | None]:
        """How far a connection is, and how long it may stay there; None: as long as it likes."""
        unsent = transport.get_write_buffer_size()
        if unsent:
            return ("unsent", unsent), self._terms.stalled_s
        if isinstance(protocol, WebSocketsSansIOProtocol):
            return "websocket", None if protocol.handshake_complete else self._terms.head_s
        cycle = cast(H11Protocol, protocol).cycle
        if cycle is None or cycle.response_complete:
            return ("head", cycle), self._terms.head_s
        return ("request", cycle, cycle.more_body), self._terms.body_s if cycle.more_body else None


class _Http(H11Protocol):
    def __init__(self, door: Door, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._door = door
        self._outside = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._door.enter(transport, self):
            self._outside = True
            transport.write(_REFUSAL)
            transport.close()

    def data_received(self, data: bytes) -> None:
        if not self._outside:
            super().data_received(data)
            if self.cycle is not None:
                self._door.asked(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.leave(self.transport)
        super().connection_lost(exc)


class _WebSocket(WebSocketsSansIOProtocol):
    def __init__(self, door: Door, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._door.enter(self.transport, self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.leave(self.transport)
        super().connection_lost(exc)


def _refusal() -> bytes:
    told = StatusError(
        code_pb2.UNAVAILABLE, "too many connections; close some, or try again", reason="TOO_MANY_CONNECTIONS"
    )
    body = orjson.dumps(told.body())
    return (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
        b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    ) + body


_REFUSAL = _refusal()


class Anteroom:
    """WebSockets that have not yet said who they are: few, since each is held for strangers. One address gets but a
    quarter of the places."""

    def __init__(self, places: int = 256) -> None:
        self._places = places
        self._each = max(1, places // 4)
        self._waiting: Counter[str] = Counter()

    @contextlib.contextmanager
    def place(self, peer: str) -> Iterator[None]:
        """Raises StatusError where there is none."""
        if self._waiting.total() >= self._places or self._waiting[peer] >= self._each:
            raise StatusError(
                code_pb2.UNAVAILABLE,
                "too many connections wait to say who they are; try again",
                reason="TOO_MANY_CONNECTIONS",
                headers={"retry-after": "1"},
            )
        self._waiting[peer] += 1
        try:
            yield
        finally:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer]
