"""The plan diff: what to do so that this host runs what the control plane wants, and nothing else of ours.

Pure: (plan, observed workloads, now) in, actions out. A session's generation is started at most once on a host,
for ever; an older generation never runs beside a newer one (reliability I2, I8, I9).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from hostagent.lifecycle import Phase


@dataclass(frozen=True, order=True)
class WorkloadKey:
    """One generation of a session: what is started at most once on a host."""

    session_id: str
    generation: int

    def __str__(self) -> str:
        return f"{self.session_id}.{self.generation}"


class Want(Enum):
    """What the plan asks for."""

    RUN = "run"
    STOP = "stop"


@dataclass(frozen=True)
class Planned:
    """One line of a plan. `reason` is the number of a SessionReason: why it is to stop; `backup_id` names a backup that
    is to be made of it."""

    key: WorkloadKey
    digest: str
    want: Want
    reason: int = 0
    backup_id: str = ""


@dataclass(frozen=True)
class Plan:
    """The desired state of this host, whole."""

    version: int
    sessions: tuple[Planned, ...]


class StopCause(Enum):
    """Why a diff asks for a stop."""

    PLANNED = "planned"
    UNLISTED = "unlisted"
    SUPERSEDED = "superseded"
    # It ended on this host before, and was forgotten.
    SPENT = "spent"


@dataclass(frozen=True)
class Start:
    """Start the workload; there is no trace of it on this host yet."""

    key: WorkloadKey
    digest: str


@dataclass(frozen=True)
class Stop:
    """Stop the workload; one that was never started is recorded as EXITED at once, and so never starts."""

    key: WorkloadKey
    cause: StopCause
    reason: int = 0


@dataclass(frozen=True)
class Forget:
    """Remove every trace of an exited workload that the plan has dropped."""

    key: WorkloadKey


@dataclass(frozen=True)
class Keep:
    """Leave the workload as it is."""

    key: WorkloadKey


Action = Start | Stop | Forget | Keep


@dataclass(frozen=True)
class Decision:
    """Actions of one diff; `unlisted_since` goes into the next; `wake_at` is when a grace ends (monotonic seconds)."""

    actions: tuple[Action, ...]
    unlisted_since: Mapping[WorkloadKey, float]
    wake_at: float | None


def accept(current: Plan | None, incoming: Plan) -> Plan:
    """The newer of the two within one link; the same version changes nothing."""
    return incoming if current is None or incoming.version > current.version else current


def decide(
    plan: Plan | None,
    observed: Mapping[WorkloadKey, Phase],
    unlisted_since: Mapping[WorkloadKey, float],
    spent: Mapping[str, int],
    now: float,
    orphan_grace_s: float,
) -> Decision:
    """What to do about `observed`, given the plan of the present link (None: not received yet, so nothing is touched).

    `now` and `unlisted_since` are monotonic seconds of this host; `spent` is the newest generation of each session that
    ended here and was forgotten.
    """
    if plan is None:
        return Decision(tuple(Keep(key) for key in sorted(observed)), {}, None)
    listed = {planned.key: planned for planned in plan.sessions}
    newest = _newest_generations(listed)
    actions: list[Action] = []
    unlisted: dict[WorkloadKey, float] = {}
    for key in sorted(observed):
        if key in listed:
            actions.append(_for_listed(listed[key], observed[key], newest))
        elif observed[key] is Phase.EXITED:
            actions.append(Forget(key))
        else:
            unlisted[key] = unlisted_since.get(key, now)
            actions.append(_for_unlisted(key, observed[key], newest, now - unlisted[key] >= orphan_grace_s))
    actions += _new_ones(listed, observed, newest, spent)
    graces = (since + orphan_grace_s for since in unlisted.values())
    return Decision(tuple(actions), unlisted, min((end for end in graces if end > now), default=None))


def _newest_generations(keys: Iterable[WorkloadKey]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for key in keys:
        newest[key.session_id] = max(key.generation, newest.get(key.session_id, key.generation))
    return newest


def _for_listed(planned: Planned, phase: Phase, newest: Mapping[str, int]) -> Action:
    if phase in (Phase.STOPPING, Phase.EXITED):
        return Keep(planned.key)
    if planned.want is Want.STOP:
        return Stop(planned.key, StopCause.PLANNED, planned.reason)
    if planned.key.generation < newest[planned.key.session_id]:
        return Stop(planned.key, StopCause.SUPERSEDED)
    return Keep(planned.key)


def _for_unlisted(key: WorkloadKey, phase: Phase, newest: Mapping[str, int], grace_over: bool) -> Action:
    if phase is Phase.STOPPING:
        return Keep(key)
    if newest.get(key.session_id, key.generation) > key.generation:
        return Stop(key, StopCause.SUPERSEDED)
    return Stop(key, StopCause.UNLISTED) if grace_over else Keep(key)


def _new_ones(
    listed: Mapping[WorkloadKey, Planned],
    observed: Mapping[WorkloadKey, Phase],
    newest: Mapping[str, int],
    spent: Mapping[str, int],
) -> list[Action]:
    seen = _newest_generations(observed)
    alive = {key.session_id for key, phase in observed.items() if phase is not Phase.EXITED}
    actions: list[Action] = []
    for key in sorted(listed):
        planned = listed[key]
        if key in observed:
            continue
        if planned.want is Want.STOP:
            actions.append(Stop(key, StopCause.PLANNED, planned.reason))
        elif key.generation <= spent.get(key.session_id, -1):
            actions.append(Stop(key, StopCause.SPENT))
        elif (
            key.generation == newest[key.session_id]
            and key.generation > seen.get(key.session_id, key.generation - 1)
            and key.session_id not in alive
        ):
            actions.append(Start(key, planned.digest))
    return actions
