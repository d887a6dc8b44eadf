"""The session's one leased UDP port, shared by all its browsers.

aioice binds a new port for every connection; here each connection gets legs on sockets that stay. Connectivity checks
find their connection by the user name fragment, everything else by the remote address that passed a check.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import secrets
import struct
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import ifaddr
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import Connection, StunProtocol

Address = tuple[str, int]

_MAGIC_COOKIE = 0x2112A442
_BINDING_REQUEST = 0x0001
_BINDING_SUCCESS = 0x0101
_BINDING_ERROR = 0x0111
_USERNAME = 0x0006
_ADDRESSES_MAX = 16
# Addresses of one connection: a few paths of one browser, and room for it to move.
_ROUTES_MAX = 16
_SOCKET_BUFFER_BYTES = 1 << 20


class PortError(Exception):
    """The media port cannot be used; the text says why."""


class PortTakenError(PortError):
    """Another program holds it: another port may do."""


def interface_addresses() -> list[str]:
    """IP addresses of this machine that another one may reach: no loopback, no link-local IPv6."""
    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            address = ipaddress.ip_address(text)
            if not (address.is_loopback or address.is_link_local or address.is_unspecified):
                found.append(text)
    return found


def stun_type(data: bytes) -> int | None:
    """The STUN message type of a datagram, or None when it is no STUN (RFC 8489, RFC 7983)."""
    if len(data) < 20 or data[0] > 3:
        return None
    kind, length, cookie = struct.unpack_from("!HHI", data)
    return kind if cookie == _MAGIC_COOKIE and length + 20 == len(data) else None


def local_fragment(request: bytes) -> str | None:
    """The receiver's user name fragment in a binding request: what stands before the colon (RFC 8445, 7.2.2)."""
    at = 20
    while at + 4 <= len(request):
        kind, length = struct.unpack_from("!HH", request, at)
        if kind == _USERNAME:
            return request[at + 4 : at + 4 + length].partition(b":")[0].decode("ascii", "replace")
        at += 4 + (length + 3) // 4 * 4
    return None


class _Leg(asyncio.DatagramTransport):
    """What one connection's protocol takes for its own socket."""

    def __init__(self, socket: _Socket, fragment: str, protocol: StunProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.routes: OrderedDict[Address, None] = OrderedDict()
        self._socket = socket
        self._fragment = fragment
        self._closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self._socket.address, self._socket.port) if name == "sockname" else default

    def sendto(self, data: bytes | bytearray | memoryview, addr: Any = None) -> None:
        if self._closed:
            return
        # Our own success response says that the other end knows the password: from now on that address is its.
        if data[0] == 1 and stun_type(bytes(data)) == _BINDING_SUCCESS:
            self._socket.route(addr, self)
        self._socket.sendto(data, addr)

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._socket.drop(self._fragment, self)
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


class _Socket(asyncio.DatagramProtocol):
    """One bound address; gives each datagram to the leg it is for, or drops it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._legs: dict[str, _Leg] = {}
        self._routes: dict[Address, _Leg] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        remote: Address = (addr[0], addr[1])
        kind = stun_type(data)
        if kind is None:
            leg = self._routes.get(remote)
        elif kind == _BINDING_REQUEST:
            leg = self._legs.get(local_fragment(data) or "")
        elif kind in (_BINDING_SUCCESS, _BINDING_ERROR):
            transaction = data[8:20]
            leg = next((leg for leg in self._legs.values() if transaction in leg.protocol.transactions), None)
        else:
            leg = None
        if leg is not None:
            leg.protocol.datagram_received(data, remote)

    def add(self, fragment: str, protocol: StunProtocol) -> _Leg:
        leg = _Leg(self, fragment, protocol)
        self._legs[fragment] = leg
        return leg

    def route(self, remote: Address, leg: _Leg) -> None:
        former = self._routes.get(remote)
        if former is leg:
            return
        if former is not None:
            former.routes.pop(remote, None)
        if len(leg.routes) >= _ROUTES_MAX:
            oldest, _ = leg.routes.popitem(last=False)
            del self._routes[oldest]
        self._routes[remote] = leg
        leg.routes[remote] = None

    def drop(self, fragment: str, leg: _Leg) -> None:
        self._legs.pop(fragment, None)
        for remote in leg.routes:
            self._routes.pop(remote, None)
        leg.routes.clear()

    def sendto(self, data: bytes | bytearray | memoryview, addr: Address) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, addr)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class MediaPort:
    """Sockets on every usable address of this machine, at one port, offered under one outside port."""

    def __init__(self, sockets: Sequence[_Socket], outside_port: int, advertised: Sequence[str]) -> None:
        self._sockets = sockets
        self.port = sockets[0].port
        self._outside_port = outside_port or self.port
        local = {socket.address for socket in sockets}
        self._advertised = [address for address in dict.fromkeys(advertised) if address not in local]

    @classmethod
    async def open(
        cls,
        port: int,
        outside_port: int,
        advertised: Sequence[str],
        loopback: bool,
        addresses: Callable[[], list[str]] = interface_addresses,
    ) -> MediaPort:
        """Binds `port` (0: any) on this machine's addresses, and on 127.0.0.1 with `loopback`.

        Raises PortTakenError when the port is taken on any of them, PortError when there is no address at all.
        """
        wanted = list(dict.fromkeys([*(["127.0.0.1"] if loopback else []), *addresses()]))[:_ADDRESSES_MAX]
        loop = asyncio.get_running_loop()
        sockets: list[_Socket] = []
        refusals: list[str] = []
        for address in wanted:
            try:
                transport, protocol = await loop.create_datagram_endpoint(
                    partial(_Socket, address), local_addr=(address, port)
                )
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    # Half a port is no port: somebody else would get what is meant for us.
                    for bound in sockets:
                        bound.close()
                    raise PortTakenError(f"media port {port} is taken on {address}") from error
                refusals.append(f"{address}: {error.strerror or error}")
                continue
            _widen(transport)
            sockets.append(protocol)
            port = protocol.port
        if not sockets:
            raise PortError(f"cannot bind media port {port}: {'; '.join(refusals) or 'this machine has no address'}")
        return cls(sockets, outside_port, advertised)

    def attach(self, connection: Connection) -> None:
        """Makes an aioice connection gather its candidates here. Before its parameters are read."""

        async def gather(component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:
            return self._candidates(connection, component)

        inside: Any = connection
        # Found by this name among all others on the port, so it must be unguessable and unique.
        inside._local_username = secrets.token_hex(8)
        inside.get_component_candidates = gather

    def close(self) -> None:
        for socket in self._sockets:
            socket.close()

    def _candidates(self, connection: Connection, component: int) -> list[Candidate]:
        candidates: list[Candidate] = []
        for rank, socket in enumerate(self._sockets):
            protocol = StunProtocol(connection)
            protocol.connection_made(socket.add(connection.local_username, protocol))
            protocol.local_candidate = _host(component, socket.address, self._outside_port, rank)
            connection._protocols.append(protocol)
            candidates.append(protocol.local_candidate)
        first = len(candidates)
        candidates += [
            _host(component, address, self._outside_port, first + rank) for rank, address in enumerate(self._advertised)
        ]
        return candidates


def _host(component: int, address: str, port: int, rank: int) -> Candidate:
    return Candidate(
        foundation=candidate_foundation("host", "udp", address),
        component=component,
        transport="udp",
        priority=candidate_priority(component, "host", 65535 - rank),
        host=address,
        port=port,
        type="host",
    )


def _widen(transport: asyncio.DatagramTransport) -> None:
    """Room for a keyframe's burst: the kernel's default drops it."""
    import socket as sockets

    raw = transport.get_extra_info("socket")
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, _SOCKET_BUFFER_BYTES)
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
