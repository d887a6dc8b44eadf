"""Ports for tests: no two tests get the same, whichever worker they run in."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Iterator

# Below what the kernel gives to outgoing connections, and beside what the product takes by itself (20,000 and above).
_ALL = range(10_000, 20_000)


def _share() -> range:
    """Of this worker, among those of pytest-xdist."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    size = len(_ALL) // count
    begin = worker % count * size  # who takes the place of one that crashed has a number beyond the count
    return _ALL[begin : begin + size]


def _endless(ports: range) -> Iterator[int]:
    # Another run of the tests on this machine begins elsewhere.
    yield from ports[random.randrange(len(ports)) :]
    while True:
        yield from ports


_next = _endless(_share())


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody listens on, and that no other test of this run was given lately."""
    for port in (next(_next) for _ in range(1000)):
        if _is_free(port, kind):
            return port
    raise RuntimeError("no free port among a thousand tried")


def free_ports(count: int) -> str:
    """So many ports in a row, as settings take them: first-last."""
    first = last = free_port()
    while last - first + 1 < count:
        port = free_port()
        first, last = (first, port) if port == last + 1 else (port, port)
    return f"{first}-{last}"


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
        probe.bind(("", port))
        return True
    return False
