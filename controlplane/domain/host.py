"""Hosts: the agent's presence on a VM, derived from its last heartbeat and fenced by its epoch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
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


@dataclass(frozen=True)
class Silence:
    """The limits on a host's silence, in seconds, and the restart grace."""

    stale_after_s: float = 10.0
    lost_after_s: float = 60.0
    restart_grace_s: float = 120.0
    feed_lag_s: float = 3.0
    brake_hosts: int = 10
    brake_fraction: float = 0.5
    brake_window_s: float = 60.0


@dataclass(frozen=True)
class Feed:
    """How the heartbeats as a whole arrive: when the last batch was written, and when a gap last ended.

    A gap (nobody wrote a batch for `feed_lag_s`) is ours, not the hosts': no host becomes stale during one, nor within
    the grace after it. That covers a restart of the control plane and a lagging feed with one rule."""

    last_batch_at: datetime | None = None
    gap_ended_at: datetime | None = None


def feed_after_batch(feed: Feed, now: datetime, limits: Silence) -> Feed:
    """The feed after a batch written at `now`. The very first batch ends no gap."""
    lag = timedelta(seconds=limits.feed_lag_s)
    gap = feed.last_batch_at is not None and now - feed.last_batch_at > lag
    return Feed(last_batch_at=now, gap_ended_at=now if gap else feed.gap_ended_at)


def listening(feed: Feed, now: datetime, limits: Silence) -> bool:
    """Whether we hear what hosts say, and have for long enough to hold a silence against them."""
    if feed.last_batch_at is None or now - feed.last_batch_at > timedelta(seconds=limits.feed_lag_s):
        return False
    return feed.gap_ended_at is None or now - feed.gap_ended_at >= timedelta(seconds=limits.restart_grace_s)


def judge(hosts: tuple[Host, ...], feed: Feed, now: datetime, limits: Silence) -> tuple[tuple[Host, HostTrigger], ...]:
    """Which hosts became stale or lost by `now` (the database's clock). Pure; changes nothing.

    Within the grace after a gap nobody is judged. From `brake_hosts` hosts up, if `brake_fraction` of them went stale
    within `brake_window_s`, nobody is declared lost: the fault is ours (I17)."""
    if not listening(feed, now, limits):
        return ()
    verdicts: list[tuple[Host, HostTrigger]] = []
    silent_since = now - timedelta(seconds=limits.stale_after_s)
    lost_since = now - timedelta(seconds=limits.lost_after_s)
    live = [host for host in hosts if host.state in (HostState.ONLINE, HostState.STALE)]
    newly_silent = [h for h in live if h.state == HostState.ONLINE and _heard_before(h, silent_since)]
    window = now - timedelta(seconds=limits.brake_window_s)
    stale_lately = len(newly_silent) + sum(
        1 for h in live if h.state == HostState.STALE and h.state_since is not None and h.state_since > window
    )
    braked = len(live) >= limits.brake_hosts and stale_lately >= limits.brake_fraction * len(live)
    verdicts.extend((host, HostTrigger.SILENT) for host in newly_silent)
    if not braked:
        verdicts.extend(
            (h, HostTrigger.LOST) for h in live if h.state == HostState.STALE and _heard_before(h, lost_since)
        )
    return tuple(verdicts)


def _heard_before(host: Host, moment: datetime) -> bool:
    return host.last_heartbeat_at is not None and host.last_heartbeat_at < moment
