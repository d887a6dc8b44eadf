"""Ranges of port numbers: which of them a host may lease, and which one next."""

from __future__ import annotations

from collections.abc import Sequence

# Inclusive at both ends.
PortRange = tuple[int, int]

# Below it a port belongs to the system: to listen there takes a right of its own (ip_unprivileged_port_start).
FIRST_UNPRIVILEGED = 1024


def covering(port: int, ranges: Sequence[PortRange]) -> PortRange | None:
    """The range that holds the port."""
    return next((span for span in ranges if span[0] <= port <= span[1]), None)


def any_outside(span: PortRange, ranges: Sequence[PortRange]) -> bool:
    """Whether `span` has a port that none of `ranges` holds."""
    port, last = span
    for first, end in sorted(ranges):
        if first > port:
            break
        port = max(port, end + 1)
    return port <= last


def free_port(taken: frozenset[int], first: int, last: int, start: int, kept: Sequence[PortRange] = ()) -> int | None:
    """The first port of [first, last] neither in `taken` nor in a range of `kept`, searching from `start` and around,
    so that a port just freed is the last to be used again. None when there is none."""
    span = last - first + 1
    for offset in range(span):
        port = first + (start - first + offset) % span
        if port not in taken and covering(port, kept) is None:
            return port
    return None
