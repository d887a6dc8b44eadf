"""Sessions: one play session each, from the queue to its reason for ending."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from controlplane.domain.choice import Choice
from controlplane.domain.copying import copied
from controlplane.domain.events import EventDraft, Value
from controlplane.domain.machine import Machine
from controlplane.domain.placement import PassedOver
from controlplane.domain.usage import Usage


class SessionState(StrEnum):
    PENDING = "PENDING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    COMPLETED = "COMPLETED"
    CRASHED = "CRASHED"
    LOST = "LOST"
    REJECTED = "REJECTED"


class SessionTrigger(StrEnum):
    ALLOCATED = "allocated"
    PLAYABLE = "playable"
    STOP = "stop"
    CANCEL = "cancel"
    STOPPED = "stopped"
    EXITED_CLEANLY = "exited_cleanly"
    CRASHED = "crashed"
    HOST_GONE = "host_gone"
    REPLACED = "replaced"
    DEADLINE = "deadline"


class SessionReason(StrEnum):
    NONE = ""
    STOP_REQUESTED = "STOP_REQUESTED"
    CANCELLED = "CANCELLED"
    GAME_EXITED = "GAME_EXITED"
    GAME_CRASHED = "GAME_CRASHED"
    START_FAILED = "START_FAILED"
    IDLE = "IDLE"
    DISCONNECTED = "DISCONNECTED"
    MAX_DURATION = "MAX_DURATION"
    HOST_LOST = "HOST_LOST"
    WRAPPER_LOST = "WRAPPER_LOST"
    QUEUE_DEADLINE = "QUEUE_DEADLINE"
    LEASE_EXPIRED = "LEASE_EXPIRED"
    VM_TERMINATED = "VM_TERMINATED"
    PORT_TAKEN = "PORT_TAKEN"
    NEVER_STARTED = "NEVER_STARTED"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    IMAGE_NOT_FOUND = "IMAGE_NOT_FOUND"
    IMAGE_DENIED = "IMAGE_DENIED"
    REGISTRY_UNREACHABLE = "REGISTRY_UNREACHABLE"
    IMAGE_CORRUPT = "IMAGE_CORRUPT"
    SAVE_NOT_RESTORED = "SAVE_NOT_RESTORED"
    DISK_LIMIT = "DISK_LIMIT"


S, T = SessionState, SessionTrigger

SESSION_MACHINE: Machine[SessionState, SessionTrigger] = Machine(
    name="session",
    initial=frozenset({S.PENDING}),
    final=frozenset({S.STOPPED, S.COMPLETED, S.CRASHED, S.LOST, S.REJECTED}),
    table={
        (S.PENDING, T.ALLOCATED): S.STARTING,
        (S.PENDING, T.CANCEL): S.STOPPED,
        (S.PENDING, T.STOP): S.STOPPED,
        (S.PENDING, T.DEADLINE): S.REJECTED,
        (S.STARTING, T.PLAYABLE): S.RUNNING,
        (S.STARTING, T.STOP): S.STOPPING,
        (S.STARTING, T.CANCEL): S.STOPPING,
        (S.STARTING, T.STOPPED): S.STOPPED,
        (S.STARTING, T.EXITED_CLEANLY): S.COMPLETED,
        (S.STARTING, T.CRASHED): S.CRASHED,
        (S.STARTING, T.REPLACED): S.STARTING,
        (S.STARTING, T.HOST_GONE): S.LOST,
        (S.RUNNING, T.STOP): S.STOPPING,
        (S.RUNNING, T.STOPPED): S.STOPPED,
        (S.RUNNING, T.EXITED_CLEANLY): S.COMPLETED,
        (S.RUNNING, T.CRASHED): S.CRASHED,
        (S.RUNNING, T.REPLACED): S.STARTING,
        (S.RUNNING, T.HOST_GONE): S.LOST,
        (S.STOPPING, T.STOPPED): S.STOPPED,
        (S.STOPPING, T.EXITED_CLEANLY): S.STOPPED,
        (S.STOPPING, T.CRASHED): S.STOPPED,
        (S.STOPPING, T.HOST_GONE): S.LOST,
    },
)

FINISHED = SESSION_MACHINE.final
ON_HOST = frozenset({S.STARTING, S.RUNNING, S.STOPPING})
REPLACEABLE = frozenset(state for state in S if SESSION_MACHINE.allows(state, T.REPLACED))


@dataclass(frozen=True)
class Limits:
    """Seconds after which a session ends by itself; 0 means never. The wrapper enforces them through any outage."""

    idle_timeout_s: float = 900.0
    disconnect_timeout_s: float = 120.0
    max_duration_s: float = 14400.0


@dataclass(frozen=True)
class Stages:
    """When each stage was reached, by the control plane's clock. Stages are timestamps, not states. `taken_up_at` is
    when its host began with it: until then, an allocation may be of nothing."""

    allocated_at: datetime | None = None
    taken_up_at: datetime | None = None
    image_ready_at: datetime | None = None
    game_started_at: datetime | None = None
    first_frame_at: datetime | None = None


@dataclass(frozen=True)
class Video:
    """The preset's figures, frozen into the session when it is created: a preset may change, a running session not."""

    width: int
    height: int
    fps: int
    bitrate_kbps: int
    min_bitrate_kbps: int
    max_bitrate_kbps: int
    encoder_preset: str


@dataclass(frozen=True)
class Session:
    """`(id, generation)` is bound to one host for ever (I2). `units` is its weight on the VM that it is bound to.
    `unreachable_at` is a condition: its host is stale or lost, the game may well be playing. `passed_over` says why it
    is not elsewhere; `queue_timeout_s` is how long its caller wished to wait; None: as the house thinks right, so that
    the deadline may move. `lease_s` above 0: it may be re-placed, once the lease of its lost host has lapsed (I2)."""

    id: str
    project_id: str
    game_id: str
    deployment_number: int
    preset_id: str
    state: SessionState
    created_at: datetime
    updated_at: datetime
    region_id: str = ""
    vm_id: str = ""
    units: int = 0
    generation: int = 1
    reason: SessionReason = SessionReason.NONE
    reason_detail: str = ""
    exit_code: int | None = None
    unreachable_at: datetime | None = None
    stages: Stages = field(default_factory=Stages)
    limits: Limits = field(default_factory=Limits)
    lost_after_s: float = 900.0
    queue_timeout_s: float | None = None
    queue_deadline_at: datetime | None = None
    ended_at: datetime | None = None
    streamed: bool = True
    video: Video | None = None
    connected_players: int = 0
    last_activity_at: datetime | None = None
    usage: Usage | None = None
    progress: str = ""
    gpu_index: int | None = None
    client_token: str = ""
    request_sha256: str = ""
    created_by: str = ""
    coordinates: tuple[float, float] | None = None
    territory: str = ""
    passed_over: tuple[PassedOver, ...] = ()
    lease_s: float = 0.0
    save_id: str = ""
    version: int = 0
    choice: Choice = field(default_factory=Choice, repr=False)

    @property
    def name(self) -> str:
        return f"sessions/{self.id}"

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    def on(
        self,
        trigger: SessionTrigger,
        now: datetime,
        reason: SessionReason = SessionReason.NONE,
        detail: str = "",
        exit_code: int | None = None,
        **changes: Any,
    ) -> tuple[Session, tuple[EventDraft, ...]]:
        """The session after `trigger`, with these `changes` of other fields, and what to tell. Raises WrongState.

        A reason given with the stop request survives the exit that it causes."""
        state = SESSION_MACHINE.next(self.state, trigger)
        finished = state in FINISHED
        keep = self.state is S.STOPPING and self.reason is not SessionReason.NONE
        session = copied(
            self,
            **changes,
            state=state,
            updated_at=now,
            version=self.version + 1,
            reason=self.reason if keep else reason,
            reason_detail=self.reason_detail if keep and not detail else detail,
            exit_code=exit_code if exit_code is not None else self.exit_code,
            ended_at=now if finished else None,
            unreachable_at=None if finished else self.unreachable_at,
            connected_players=0 if finished else self.connected_players,
        )
        if state == self.state:
            return session, ()
        return session, (session.event(str(state).lower(), previous=str(self.state), **self._times(state, now)),)

    def _times(self, state: SessionState, now: datetime) -> Mapping[str, Value]:
        """What a change tells of time, in seconds: how long it waited in the queue; how long after the wish for this
        session each stage was reached, once it is playable. A later generation began otherwise and tells nothing."""
        if self.generation > 1:
            return {}
        if self.state is S.PENDING:
            return {"waited_s": _seconds(self.created_at, now)}
        if state is not S.RUNNING:
            return {}
        stages = self.stages
        reached = {
            "allocated_s": stages.allocated_at,
            "image_ready_s": stages.image_ready_at,
            "game_started_s": stages.game_started_at,
            "first_frame_s": stages.first_frame_at,
            "playable_s": now,
        }
        return {name: _seconds(self.created_at, at) for name, at in reached.items() if at is not None}

    def overdue(self, now: datetime) -> bool:
        """It waits, and has for as long as it may."""
        until = self.queue_deadline_at
        return self.state is SessionState.PENDING and until is not None and until <= now

    def patient(self, wait_s: float) -> Session:
        """With a deadline that a machine which is on its way for it can meet: `wait_s` after its creation; unless that
        is no later, or its caller has said how long to wait."""
        until = self.created_at + timedelta(seconds=wait_s)
        if self.queue_timeout_s is not None or self.queue_deadline_at is None or until <= self.queue_deadline_at:
            return self
        return replace(self, queue_deadline_at=until)

    def replaced(self, now: datetime, detail: str) -> tuple[Session, tuple[EventDraft, ...]]:
        """The next generation of this session, which starts afresh because of `detail`. Raises WrongState."""
        session, _ = self.on(SessionTrigger.REPLACED, now, detail=detail)
        session = replace(session, generation=self.generation + 1, stages=Stages(allocated_at=now), connected_players=0)
        return session, (session.event("replaced", previous=str(self.state), detail=detail),)

    def event(self, word: str, **data: Value) -> EventDraft:
        """A fact about this session as it is now."""
        facts: Mapping[str, Value] = {
            "state": str(self.state),
            "vm": f"vms/{self.vm_id}" if self.vm_id else "",
            "game": f"games/{self.game_id}",
            "generation": self.generation,
            "reason": str(self.reason),
            **data,
        }
        return EventDraft(f"quarterdeck.session.{word}", self.project_id, self.name, self.version, facts)


def _seconds(since: datetime, until: datetime) -> float:
    return max(0.0, round((until - since).total_seconds(), 3))


@dataclass(frozen=True)
class PortLease:
    """A host port: one live lease per (VM, protocol, port) (I3). A session's allocation holds it; after the confirmed
    exit it rests until `free_at`. With a `purpose` it is reserved by an operator, too, until that is given up: for
    programs of the host, or for sessions of `game_id`; `project_id` and `client_token` are of that reservation."""

    vm_id: str
    protocol: str
    host_port: int
    session_id: str = ""
    port_name: str = ""
    game_port: int = 0
    free_at: datetime | None = None
    purpose: str = ""
    game_id: str = ""
    project_id: str = ""
    client_token: str = ""
    reserved_at: datetime | None = None

    @property
    def name(self) -> str:
        return f"vms/{self.vm_id}/ports/{self.protocol}-{self.host_port}"
