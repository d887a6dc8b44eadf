"""Machines as an agent and its wrappers would leave them: what really runs there, whatever the control plane thinks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controlplane.domain.host import Encoder, Inventory
from controlplane.domain.reconcile import Report, Workload, WorkloadState
from controlplane.domain.session import SessionReason
from controlplane.usecases import hosts
from controlplane.usecases.hosts import HostPlan
from controlplane.usecases.world import World

Key = tuple[str, int]


@dataclass
class Game:
    """One that runs. `lease_s` None: it plays on through any outage."""

    started_at: datetime
    lease_s: float | None
    ports: frozenset[tuple[str, int]]


@dataclass
class Machine:
    """`reports` were said and may arrive late, twice, in any order or never; `linked`: its agent is heard of."""

    world: World
    vm_id: str
    seats: int
    linked: bool = False
    starts: int = 0
    epoch: int = 0
    sequence: int = 0
    accepted: tuple[int, int] = (0, 0)
    plan_version: int = 0
    renewed_at: datetime | None = None
    runs: dict[Key, Game] = field(default_factory=dict)
    over: dict[Key, Workload] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)

    async def link(self, *, restarted: bool) -> None:
        """The agent connects; one that was started anew has adopted the games that still run."""
        if restarted or not self.starts:
            self.starts, self.sequence = self.starts + 1, 0
        inventory = Inventory(8, encoders=(Encoder("libx264", self.seats),), runtimes=("process",))
        start_id = f"{self.vm_id}-{self.starts}"
        host = await hosts.hello(self.world, self.vm_id, start_id, inventory, ["192.0.2.1"], "r", "l")
        self.epoch, self.linked = host.epoch, True

    async def follow(self, now: datetime) -> HostPlan:
        """Fetches the plan and makes it so."""
        plan = await hosts.plan_of(self.world, self.vm_id)
        self.plan_version, self.renewed_at = plan.version, now
        wanted = {(entry.session.id, entry.session.generation): entry for entry in plan.entries}
        for key in [key for key in self.runs if key not in wanted or not wanted[key].want_run]:
            reason = wanted[key].session.reason if key in wanted else SessionReason.STOP_REQUESTED
            self.end(key, reason)
        for key, entry in wanted.items():
            if not entry.want_run and key not in self.over:
                self.over[key] = Workload(*key, WorkloadState.EXITED, entry.session.reason)
            elif key not in self.runs and key not in self.over:
                held = frozenset((lease.protocol, lease.host_port) for lease in entry.ports)
                self.runs[key] = Game(now, entry.lease_s, held)
        self.over = {key: workload for key, workload in self.over.items() if key in wanted}
        return plan

    def end(self, key: Key, reason: SessionReason) -> None:
        del self.runs[key]
        self.over[key] = Workload(*key, WorkloadState.EXITED, reason)

    def say(self) -> Report:
        """What is seen now, as the next report."""
        self.sequence += 1
        seen = [Workload(*key, WorkloadState.RUNNING, first_frame_after_s=0.2, age_s=1.0) for key in self.runs]
        report = Report(self.epoch, self.sequence, self.plan_version, (*seen, *self.over.values()))
        self.reports.append(report)
        return report

    def age(self, now: datetime) -> None:
        """Wrappers whose lease has lapsed stop their games, control plane or not."""
        if self.linked or self.renewed_at is None:
            self.renewed_at = now
        for key in self._lapsed(now, self.renewed_at):
            self.end(key, SessionReason.LEASE_EXPIRED)

    def _lapsed(self, now: datetime, renewed_at: datetime) -> Iterator[Key]:
        for key, game in list(self.runs.items()):
            if game.lease_s is not None and now - renewed_at >= timedelta(seconds=game.lease_s):
                yield key
