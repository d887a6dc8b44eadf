"""Host ports: which ones a session gets of a VM, and what stands in the way of a fixed one.

A lease of a session is dynamic (any port of the VM's range) or fixed (the port its deployment asks for). An operator's
reservation keeps a port for a purpose; sessions of the reservation's game take it over, and it outlives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from controlplane.domain.game import PortSpec
from controlplane.domain.placement import Held, PortKey
from controlplane.domain.portrange import PortRange, covering, free_port
from controlplane.domain.session import PortLease, Session
from controlplane.domain.vm import Vm


@dataclass(frozen=True)
class Lack:
    """What a VM has not got: this port, or with number 0 any more of its range."""

    protocol: str
    number: int = 0


@dataclass(frozen=True)
class Berth:
    """What is known of a locked VM's ports. `kept` are those its kernel gives away; `leases` are of fixed ports."""

    vm: Vm
    kept: Sequence[PortRange]
    taken: Mapping[str, frozenset[int]]
    leases: Mapping[PortKey, PortLease]


def in_use(lease: PortLease, now: datetime) -> bool:
    """A session holds it, or may still hold it."""
    return bool(lease.session_id) and (lease.free_at is None or lease.free_at > now)


def held(lease: PortLease, now: datetime) -> Held | None:
    """Why the port is not to be had, or None."""
    if in_use(lease, now):
        if lease.free_at is None:
            return Held(f"is held by sessions/{lease.session_id}")
        return Held(f"rests until {lease.free_at:%H:%M:%S} UTC after sessions/{lease.session_id}")
    return Held(f"is reserved for {lease.purpose}", lease.game_id) if lease.purpose else None


def leases_for(
    session: Session, wanted: Sequence[PortSpec], berth: Berth, now: datetime
) -> tuple[PortLease, ...] | Lack:
    """A lease for each wanted port, fixed ones first, or the first that cannot be had."""
    vm, taken = berth.vm, dict(berth.taken)
    first, last = vm.media_ports
    leases: list[PortLease] = []
    for port in sorted(wanted, key=lambda port: (not port.host_port, port.protocol)):
        mine = taken.get(port.protocol, frozenset())
        reservation: PortLease | None = None
        if port.host_port:
            number: int | None = port.host_port
            reservation = _reservation(session, berth.leases.get((port.protocol, port.host_port)), now)
            if (port.host_port in mine and reservation is None) or covering(port.host_port, berth.kept):
                return Lack(port.protocol, port.host_port)
        else:
            # Starting where the plan's version points walks round the range: a port just freed is used last.
            number = free_port(mine, first, last, first + vm.plan_version % (last - first + 1), berth.kept)
        if number is None:
            return Lack(port.protocol)
        taken[port.protocol] = mine | {number}
        lease = reservation or PortLease(vm.id, port.protocol, number)
        leases.append(
            replace(lease, session_id=session.id, port_name=port.name, game_port=port.game_port, free_at=None)
        )
    return tuple(sorted(leases, key=lambda lease: (lease.port_name, lease.protocol, lease.host_port)))


def _reservation(session: Session, lease: PortLease | None, now: datetime) -> PortLease | None:
    """The reservation that this session may take over."""
    if lease is None or not lease.purpose or lease.game_id != session.game_id or in_use(lease, now):
        return None
    return lease
