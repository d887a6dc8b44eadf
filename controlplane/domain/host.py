"""Hosts: the agent's presence on a VM, derived from its last heartbeat and fenced by its epoch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from controlplane.domain.events import EventDraft, Value
from controlplane.domain.machine import Machine
from controlplane.domain.portrange import PortRange
from controlplane.domain.usage import Usage


class HostState(StrEnum):
    OFFLINE = "OFFLINE"
    ONLINE = "ONLINE"
    STALE = "STALE"
    LOST = "LOST"


class HostTrigger(StrEnum):
    HEARD = "heard"
    SILENT = "silent"
    LOST = "lost"
    DEPARTED = "departed"


H, T = HostState, HostTrigger

HOST_MACHINE: Machine[HostState, HostTrigger] = Machine(
    name="host",
    initial=frozenset({H.OFFLINE}),
    final=frozenset(),
    table={
        (H.OFFLINE, T.HEARD): H.ONLINE,
        (H.ONLINE, T.HEARD): H.ONLINE,
        (H.STALE, T.HEARD): H.ONLINE,
        (H.LOST, T.HEARD): H.ONLINE,
        (H.ONLINE, T.SILENT): H.STALE,
        (H.STALE, T.LOST): H.LOST,
        (H.ONLINE, T.DEPARTED): H.OFFLINE,
        (H.STALE, T.DEPARTED): H.OFFLINE,
    },
)

GONE = frozenset({H.LOST, H.OFFLINE})


@dataclass(frozen=True)
class Gpu:
    index: int
    model: str
    memory_bytes: int
    driver_version: str = ""


@dataclass(frozen=True)
class Encoder:
    """One that really encoded a frame on the host; `slots` sessions may use it at once."""

    name: str
    slots: int


@dataclass(frozen=True)
class Inventory:
    """`ephemeral_ports` are those that the kernel gives to outgoing connections: none of them is leased."""

    cpu_count: int = 0
    memory_bytes: int = 0
    disk_free_bytes: int = 0
    gpus: tuple[Gpu, ...] = ()
    encoders: tuple[Encoder, ...] = ()
    runtimes: tuple[str, ...] = ()
    has_display_server: bool = False
    agent_version: str = ""
    operating_system: str = ""
    ephemeral_ports: tuple[PortRange, ...] = ()


@dataclass(frozen=True)
class Host:
    """`epoch` is issued by the control plane when an agent start says hello; reports carry (epoch, sequence) and an
    older pair is refused (I7, I8). `link_token` and `link_replica` say which replica holds the stream: newer wins."""

    id: str
    project_id: str
    state: HostState
    epoch: int = 0
    start_id: str = ""
    report_sequence: int = 0
    observed_plan_version: int = 0
    last_heartbeat_at: datetime | None = None
    state_since: datetime | None = None
    link_replica: str = ""
    link_token: str = ""
    certificate_serial: str = ""
    certificate_expires_at: datetime | None = None
    revoked_at: datetime | None = None
    inventory: Inventory = field(default_factory=Inventory)
    addresses: tuple[str, ...] = ()
    workloads: int = 0
    usage: Usage | None = None
    version: int = 0

    @property
    def name(self) -> str:
        return f"hosts/{self.id}"

    def on(self, trigger: HostTrigger, now: datetime) -> tuple[Host, tuple[EventDraft, ...]]:
        """The host after `trigger`, and what to tell. Raises WrongState."""
        state = HOST_MACHINE.next(self.state, trigger)
        if state == self.state:
            return replace(self, version=self.version + 1), ()
        host = replace(self, state=state, state_since=now, version=self.version + 1)
        data: dict[str, Value] = {"state": str(state), "previous": str(self.state), "epoch": self.epoch}
        return host, (EventDraft(f"quarterdeck.host.{state.lower()}", self.project_id, self.name, host.version, data),)


@dataclass(frozen=True)
class LinkState:
    """What the replica that holds a host's stream must know of it: what to tell it, or why to end it."""

    epoch: int
    report_sequence: int
    link_token: str
    revoked: bool
    plan_version: int
