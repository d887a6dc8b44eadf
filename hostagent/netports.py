"""Leased host ports: is a port really free on this machine, and if not, who holds it.

The control plane's leases are the truth among its own sessions; other programs of the machine know nothing of them.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import psutil

from hostagent.runtime import StartFailed

_KERNEL = Path("/proc/sys/net/ipv4")
_TOLD_MAX = 64


class Protocol(Enum):
    """Of a port."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True)
class HostPort:
    """A port that a session has leased; `port_name` is what the deployment calls it."""

    protocol: Protocol
    number: int
    port_name: str = ""

    def __str__(self) -> str:
        return f"{self.protocol.value} port {self.number}" + (f" ({self.port_name})" if self.port_name else "")


class PortTaken(StartFailed):
    """Another program holds a leased port; the message names the port and who holds it."""


def check(ports: Iterable[HostPort]) -> None:
    """Binds every port for a moment, on all addresses. Raises PortTaken for the first that is taken, StartFailed
    for one that cannot be bound for another reason."""
    for port in ports:
        if not 1 <= port.number <= 65535:
            raise StartFailed(f"{port} is not a port number")
        try:
            _bind(port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(f"{port} is taken by {holder(port)}") from error
            raise StartFailed(f"{port} cannot be bound: {error.strerror}") from error


def holder(port: HostPort) -> str:
    """Who holds the port, as far as this user may see: program name and pid."""
    listening = psutil.CONN_LISTEN if port.protocol is Protocol.TCP else psutil.CONN_NONE
    for connection in psutil.net_connections(port.protocol.value):
        if connection.status == listening and connection.laddr and connection.laddr.port == port.number:
            if connection.pid is None:
                break
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                break
    return "another program"


def ephemeral_ranges() -> list[tuple[int, int]]:
    """The ports that the kernel gives to outgoing connections, without those that it was told to keep back (ip(7):
    ip_local_port_range, ip_local_reserved_ports). Empty where it does not say."""
    try:
        low, high = (int(word) for word in (_KERNEL / "ip_local_port_range").read_text(encoding="ascii").split())
        reserved = (_KERNEL / "ip_local_reserved_ports").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return []
    kept = sorted(_spans(reserved))
    ranges, first = [], low
    for begin, end in kept:
        if begin > first:
            ranges.append((first, min(begin - 1, high)))
        first = max(first, end + 1)
        if first > high:
            break
    if first <= high:
        ranges.append((first, high))
    # What is kept back in more pieces than can be told counts as given away.
    return ranges if len(ranges) <= _TOLD_MAX else [(low, high)]


def _spans(text: str) -> list[tuple[int, int]]:
    words = [word.partition("-") for word in text.split(",") if word]
    return [(int(first), int(last or first)) for first, _, last in words]


def _bind(port: HostPort) -> None:
    kind = socket.SOCK_STREAM if port.protocol is Protocol.TCP else socket.SOCK_DGRAM
    try:
        probe = socket.socket(socket.AF_INET6, kind)
    except OSError:
        probe, address = socket.socket(socket.AF_INET, kind), "0.0.0.0"  # noqa: S104 - a probe; nothing ever listens
    else:
        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        address = "::"
    with probe:
        if port.protocol is Protocol.TCP:
            # As servers do: connections of the last session in TIME_WAIT are no conflict.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port.number))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL or address != "::":
                raise
            _bind_v4(kind, port)


def _bind_v4(kind: socket.SocketKind, port: HostPort) -> None:
    # A kernel with IPv6 compiled in but disabled has the family and no address of it.
    with socket.socket(socket.AF_INET, kind) as probe:
        if port.protocol is Protocol.TCP:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("0.0.0.0", port.number))  # noqa: S104 - a probe; nothing ever listens
