"""Who is silent, by address, so that of a flood those make room who have said nothing for longest."""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable
from typing import Generic, TypeVar

Guest = TypeVar("Guest", bound=Hashable)


def neighbourhood(address: str) -> str:
    """What counts as one address: of IPv6 the /64, since whoever has one address there has them all."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), 64), strict=False))


class Silent(Generic[Guest]):
    """Each step costs the same however many there are: a flood must not cost more the larger it is."""

    def __init__(self) -> None:
        self.total = 0
        # Of each peer its guests, longest first, and the peers by how many they have.
        self._guests: dict[str, dict[Guest, None]] = {}
        self._by_size: dict[int, dict[str, None]] = {}
        self._largest = 0

    def add(self, peer: str, guest: Guest) -> None:
        guests = self._guests.setdefault(peer, {})
        if guest not in guests:
            guests[guest] = None
            self.total += 1
            self._resize(peer, len(guests) - 1, len(guests))

    def discard(self, peer: str, guest: Guest) -> None:
        guests = self._guests.get(peer, {})
        if guest in guests:
            del guests[guest]
            self.total -= 1
            self._resize(peer, len(guests) + 1, len(guests))
            if not guests:
                del self._guests[peer]

    def of(self, peer: str) -> int:
        return len(self._guests.get(peer, ()))

    def longest(self, peer: str) -> Guest | None:
        return next(iter(self._guests.get(peer, ())), None)

    def most(self) -> str:
        """The peer that has most of them, of several whoever has had so many for longest; "" where nobody is silent."""
        return next(iter(self._by_size.get(self._largest, ())), "")

    def _resize(self, peer: str, before: int, after: int) -> None:
        if before:
            del self._by_size[before][peer]
            if not self._by_size[before]:
                del self._by_size[before]
        if after:
            self._by_size.setdefault(after, {})[peer] = None
        # One step at a time: where the largest shrank alone, it is now what it has become.
        if after > self._largest or self._largest not in self._by_size:
            self._largest = after
