"""The gateway's door: how many connections come in, in all and of one peer, and how long each may say nothing.

Every descriptor that a stranger holds is one that a player lacks, so whoever neither asks nor takes is shown out. HTTP
and WebSocket pass the same door, before anything of theirs is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, cast

import orjson
import structlog
import uvicorn
from google.rpc import code_pb2
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from controlplane.gateway.crowd import Silent, neighbourhood
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


@dataclass(frozen=True)
class _Idle:
    """Between two requests, or before the first: where half a head has come, too."""

    cycle: object


@dataclass
class _Guest:
    """`since` is when it last got on; `mark` is how far it was then."""

    peer: str
    protocol: asyncio.Protocol
    since: float
    mark: object


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
        # Those that ask nothing: they make room for who comes.
        self._silent: Silent[asyncio.Transport] = Silent()
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
        now, (mark, _) = asyncio.get_running_loop().time(), self._standing(transport, protocol)
        if transport in self._guests:
            self.asked(transport)
            self._guests[transport] = _Guest(self._guests[transport].peer, protocol, now, mark)
            return True
        peer = neighbourhood(str((transport.get_extra_info("peername") or ("",))[0]))
        if not self._make_room(peer):
            self._refused += 1
            if not self._full:
                self._full = True
                _log.warning("gateway.full", connections=len(self._guests), of_this_peer=self._peers[peer])
            return False
        self._guests[transport] = _Guest(peer, protocol, now, mark)
        self._peers[peer] += 1
        self._silent.add(peer, transport)
        return True

    def asked(self, transport: asyncio.Transport) -> None:
        """It has sent the head of a request, and is not silent any more."""
        guest = self._guests.get(transport)
        if guest is not None:
            self._silent.discard(guest.peer, transport)

    def _make_room(self, peer: str) -> bool:
        """Whether there is room for one more of this peer. For it is shown out, if need be, who has been silent for
        longest: of this peer where it has its share, else of the one that has most."""
        if self._peers[peer] >= self._most_each:
            longest = self._silent.longest(peer)
        elif len(self._guests) >= self._most:
            longest = self._silent.longest(self._silent.most())
        else:
            return True
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
                elif isinstance(mark, _Idle):
                    self._silent.add(guest.peer, transport)
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
            return _Idle(cycle), self._terms.head_s
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


class Crowded(Exception):
    """Who waited for longest to say who he is made room for another."""


class Anteroom:
    """WebSockets that have not yet said who they are: few, since each is held for strangers, and a quarter of the
    places is one address's share."""

    def __init__(self, places: int = 256) -> None:
        self._places = places
        self._each = max(1, places // 4)
        self._waiting: Silent[asyncio.Timeout] = Silent()

    @contextlib.asynccontextmanager
    async def place(self, address: str) -> AsyncIterator[Callable[[], None]]:
        """Yields what gives the place back. Raises Crowded where another gets it before that."""
        peer, limit = neighbourhood(address), asyncio.timeout(None)
        self._make_room(peer)

        def known() -> None:
            self._waiting.discard(peer, limit)
            limit.reschedule(None)

        try:
            async with limit:
                self._waiting.add(peer, limit)
                try:
                    yield known
                finally:
                    self._waiting.discard(peer, limit)
        except TimeoutError:
            if limit.expired():
                raise Crowded from None
            raise

    def _make_room(self, peer: str) -> None:
        if self._waiting.of(peer) < self._each:
            if self._waiting.total < self._places:
                return
            peer = self._waiting.most()
        longest = self._waiting.longest(peer)
        if longest is not None:
            self._waiting.discard(peer, longest)
            longest.reschedule(asyncio.get_running_loop().time())
