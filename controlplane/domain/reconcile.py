"""From what an agent reports to what becomes of its sessions. Pure: the use case loads, calls and saves.

A report is whole and carries (epoch, sequence): accepted iff newer than the last, so that any shuffle or duplication
of a report log ends in the in-order state (I7).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from controlplane.domain.events import EventDraft
from controlplane.domain.host import Host, HostState
from controlplane.domain.session import (
    FINISHED,
    SESSION_MACHINE,
    Session,
    SessionReason,
    SessionState,
    SessionTrigger,
    Stages,
)
from controlplane.domain.usage import Usage


class WorkloadState(StrEnum):
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    EXITED = "EXITED"


@dataclass(frozen=True)
class Workload:
    """What an agent saw of one session; the `*_after_s` and `age_s` count from the workload's start on its host."""

    session_id: str
    generation: int
    state: WorkloadState
    reason: SessionReason = SessionReason.NONE
    reason_detail: str = ""
    exit_code: int | None = None
    image_ready_after_s: float | None = None
    game_started_after_s: float | None = None
    first_frame_after_s: float | None = None
    last_activity_after_s: float | None = None
    usage: Usage | None = None
    age_s: float = 0.0
    players: int = 0


@dataclass(frozen=True)
class UnstoredSave:
    """What a session that has ended left on its host, and why it is not stored yet; "" while it is on its way."""

    session_id: str
    generation: int
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """`unstored_more`: the host has more of them than it tells."""

    epoch: int
    sequence: int
    observed_plan_version: int
    workloads: tuple[Workload, ...]
    unstored: tuple[UnstoredSave, ...] = ()
    unstored_more: bool = False


ACTIVITY_STRIDE_S = 30.0
USAGE_STRIDE_S = 30.0


def newer(epoch: int, sequence: int, last_epoch: int, last_sequence: int) -> bool:
    return (epoch, sequence) > (last_epoch, last_sequence)


TRIGGER_OF_EXIT = {
    SessionReason.GAME_EXITED: SessionTrigger.EXITED_CLEANLY,
    SessionReason.STOP_REQUESTED: SessionTrigger.STOPPED,
    SessionReason.CANCELLED: SessionTrigger.STOPPED,
    SessionReason.IDLE: SessionTrigger.STOPPED,
    SessionReason.DISCONNECTED: SessionTrigger.STOPPED,
    SessionReason.MAX_DURATION: SessionTrigger.STOPPED,
    SessionReason.DISK_LIMIT: SessionTrigger.STOPPED,
    SessionReason.VM_TERMINATED: SessionTrigger.STOPPED,
}


def observe(session: Session, workload: Workload, now: datetime) -> tuple[Session, tuple[EventDraft, ...]]:
    """The session after one observation of it. An observation of another generation, or of a finished session, changes
    nothing. A session that was LOST stays lost: its returning host is told to stop it by its plan."""
    if workload.generation != session.generation or session.state in FINISHED or session.state is SessionState.PENDING:
        return session, ()
    seen = replace(
        session,
        stages=_stages(session.stages, workload, now),
        connected_players=workload.players,
        last_activity_at=_last_activity(session, workload, now),
        usage=_usage(session, workload, now),
        progress=_progress(workload),
    )
    if workload.state is WorkloadState.EXITED:
        trigger = TRIGGER_OF_EXIT.get(workload.reason, SessionTrigger.CRASHED)
        reason = workload.reason or SessionReason.GAME_CRASHED
        return seen.on(trigger, now, reason, workload.reason_detail, workload.exit_code)
    events: tuple[EventDraft, ...] = ()
    if session.unreachable_at is not None:
        seen = replace(seen, unreachable_at=None, updated_at=now, version=seen.version + 1)
        events = (seen.event("reachable"),)
    playable = workload.state is WorkloadState.RUNNING and SESSION_MACHINE.allows(seen.state, SessionTrigger.PLAYABLE)
    if playable:
        seen, more = seen.on(SessionTrigger.PLAYABLE, now)
        return seen, (*events, *more)
    if seen != session and seen.version == session.version:
        seen = replace(seen, updated_at=now, version=session.version + 1)
    return seen, events


def wants_other_ports(session: Session, workload: Workload) -> bool:
    """It could not start because another program of its host holds a port that it leased."""
    taken = workload.state is WorkloadState.EXITED and workload.reason is SessionReason.PORT_TAKEN
    return taken and workload.generation == session.generation and session.state is SessionState.STARTING


def vanished(session: Session, now: datetime) -> tuple[Session, tuple[EventDraft, ...]]:
    """A session that its host was told to run and no longer knows at all."""
    return session.on(
        SessionTrigger.CRASHED, now, SessionReason.WRAPPER_LOST, "its host no longer knows of it"
    )  # fmt: skip


def untaken(session: Session, host: Host, now: datetime, deadline_s: float) -> bool:
    """Whether its host, which is there, has let the deadline pass without a word of it. One that prepares (an image may
    take its time) has given one. A host that is away has limits of its own."""
    since = session.stages.allocated_at
    if session.state is not SessionState.STARTING or since is None or session.stages != Stages(allocated_at=since):
        return False
    there = session.unreachable_at is None and host.state is HostState.ONLINE
    return there and now - since >= timedelta(seconds=deadline_s)


def never_started(session: Session, now: datetime, deadline_s: float) -> tuple[Session, tuple[EventDraft, ...]]:
    """A session whose allocation nobody has claimed: its slot goes back."""
    detail = f"vms/{session.vm_id} did not begin with it within {deadline_s:g} s"
    return session.on(SessionTrigger.CRASHED, now, SessionReason.NEVER_STARTED, detail)


def _usage(session: Session, workload: Workload, now: datetime) -> Usage | None:
    """Moves in strides, too; the end of a session tells all that it used."""
    told_at = session.usage.told_at if session.usage is not None else None
    ended = workload.state is WorkloadState.EXITED
    if workload.usage is None or (told_at and not ended and now - told_at < timedelta(seconds=USAGE_STRIDE_S)):
        return session.usage
    return replace(workload.usage, told_at=now)


def _progress(workload: Workload) -> str:
    """Of a start that the wrapper has not taken over yet, in words."""
    waits = workload.state is WorkloadState.STARTING and workload.image_ready_after_s is None
    return workload.reason_detail if waits else ""


def _last_activity(session: Session, workload: Workload, now: datetime) -> datetime | None:
    """Moves in strides, so that a player's every key is not a write; the end of a session tells it exactly."""
    known, moment = session.last_activity_at, _moment(workload, workload.last_activity_after_s, now)
    if known is None or moment is None:
        return moment or known
    stride_s = 0.0 if workload.state is WorkloadState.EXITED else ACTIVITY_STRIDE_S
    return moment if (moment - known).total_seconds() > stride_s else known


def _moment(workload: Workload, after_s: float | None, now: datetime) -> datetime | None:
    """The host's clock is never read: moments are reckoned back from now by ages that the host measured (I15)."""
    return None if after_s is None else now - timedelta(seconds=max(0.0, workload.age_s - after_s))


def _stages(stages: Stages, workload: Workload, now: datetime) -> Stages:
    def at(known: datetime | None, after_s: float | None) -> datetime | None:
        moment = _moment(workload, after_s, now)
        if known is not None or moment is None:
            return known
        return max(moment, stages.allocated_at) if stages.allocated_at else moment

    return replace(
        stages,
        taken_up_at=at(stages.taken_up_at, 0.0),
        image_ready_at=at(stages.image_ready_at, workload.image_ready_after_s),
        game_started_at=at(stages.game_started_at, workload.game_started_after_s),
        first_frame_at=at(stages.first_frame_at, workload.first_frame_after_s),
    )


def plan_entry(session: Session) -> bool | None:
    """What the plan of its host wants of a session: True run, False stop, None: not listed."""
    if session.state in (SessionState.STARTING, SessionState.RUNNING):
        return True
    return False if session.state is SessionState.STOPPING else None
