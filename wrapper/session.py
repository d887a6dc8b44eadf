"""The life of one session as this machine sees it: a table of states, its stages, and the limits that end it. Pure.

Times are seconds on one steady clock of this machine, handed in by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from wrapper.exits import ending
from wrapper.spec import Limits


class State(Enum):
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"


class Trigger(Enum):
    PLAYABLE = "playable"
    STOP = "stop"
    END = "end"


class Reason(Enum):
    """Why a session ended, in the words of SessionReason."""

    STOP_REQUESTED = "stop_requested"
    CANCELLED = "cancelled"
    GAME_EXITED = "game_exited"
    GAME_CRASHED = "game_crashed"
    START_FAILED = "start_failed"
    IDLE = "idle"
    DISCONNECTED = "disconnected"
    MAX_DURATION = "max_duration"
    HOST_LOST = "host_lost"
    WRAPPER_LOST = "wrapper_lost"
    QUEUE_DEADLINE = "queue_deadline"
    LEASE_EXPIRED = "lease_expired"
    VM_TERMINATED = "vm_terminated"
    PORT_TAKEN = "port_taken"
    SAVE_NOT_RESTORED = "save_not_restored"
    DISK_LIMIT = "disk_limit"


TABLE: dict[tuple[State, Trigger], State] = {
    (State.STARTING, Trigger.PLAYABLE): State.RUNNING,
    (State.STARTING, Trigger.STOP): State.STOPPING,
    (State.STARTING, Trigger.END): State.EXITED,
    (State.RUNNING, Trigger.PLAYABLE): State.RUNNING,
    (State.RUNNING, Trigger.STOP): State.STOPPING,
    (State.RUNNING, Trigger.END): State.EXITED,
    (State.STOPPING, Trigger.PLAYABLE): State.STOPPING,
    (State.STOPPING, Trigger.STOP): State.STOPPING,
    (State.STOPPING, Trigger.END): State.EXITED,
    (State.EXITED, Trigger.PLAYABLE): State.EXITED,
    (State.EXITED, Trigger.STOP): State.EXITED,
    (State.EXITED, Trigger.END): State.EXITED,
}


@dataclass(frozen=True)
class Session:
    """What is known; stages are seconds since the wrapper's process started."""

    state: State = State.STARTING
    reason: Reason | None = None
    detail: str = ""
    exit_code: int | None = None
    game_started_s: float | None = None
    playable_s: float | None = None
    ended_s: float | None = None

    def game_started(self, age_s: float) -> Session:
        return self if self.game_started_s is not None else replace(self, game_started_s=age_s)

    def playable(self, age_s: float) -> Session:
        """The first frame is encoded, or the readiness check has passed."""
        state = TABLE[self.state, Trigger.PLAYABLE]
        first = state is State.RUNNING and self.playable_s is None
        return replace(self, state=state, playable_s=age_s if first else self.playable_s)

    def stop(self, reason: Reason, detail: str = "") -> Session:
        """The game is asked to stop; the first reason stays."""
        state = TABLE[self.state, Trigger.STOP]
        if self.reason is not None or state is self.state:
            return replace(self, state=state)
        return replace(self, state=state, reason=reason, detail=detail)

    def cut_short(self, detail: str) -> Session:
        """The game is killed because it did not stop; the detail of why it was to stop comes first."""
        return replace(self, detail=f"{self.detail} {detail}".strip())

    def ended(self, age_s: float, exit_code: int | None, failure: str = "") -> Session:
        """The game is over, or never was: `failure` says why it could not start or be told from a crash."""
        if self.state is State.EXITED:
            return self
        state = TABLE[self.state, Trigger.END]
        reason, detail = self.reason, self.detail
        if reason is None:
            reason, detail = _why(self, exit_code, failure)
        return replace(self, state=state, reason=reason, detail=detail, exit_code=exit_code, ended_s=age_s)


def _why(session: Session, exit_code: int | None, failure: str) -> tuple[Reason, str]:
    if exit_code == 0:
        return Reason.GAME_EXITED, ""
    if exit_code is not None:
        return Reason.GAME_CRASHED, f"The game {ending(exit_code)}."
    if session.game_started_s is None:
        return Reason.START_FAILED, failure
    return Reason.GAME_CRASHED, failure


@dataclass(frozen=True)
class Activity:
    """When things happened, on one steady clock; None: not yet, or does not apply."""

    playable_at_s: float | None = None
    last_activity_at_s: float | None = None
    # Since when nobody is connected; None while somebody is.
    deserted_since_s: float | None = None
    lease_until_s: float | None = None


def overdue(limits: Limits, activity: Activity, now_s: float) -> Reason | None:
    """The limit that has passed, if any. A lease counts from the start, all else from the first frame."""
    if activity.lease_until_s is not None and now_s >= activity.lease_until_s:
        return Reason.LEASE_EXPIRED
    since = activity.playable_at_s
    if since is None:
        return None
    if limits.max_duration_s is not None and now_s - since >= limits.max_duration_s:
        return Reason.MAX_DURATION
    deserted = activity.deserted_since_s
    if limits.disconnect_s is not None and deserted is not None and now_s - max(since, deserted) >= limits.disconnect_s:
        return Reason.DISCONNECTED
    if limits.idle_s is not None and now_s - max(since, activity.last_activity_at_s or since) >= limits.idle_s:
        return Reason.IDLE
    return None
