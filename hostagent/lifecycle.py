"""The life of a workload on this host, as one table: what the agent may observe after what.

A trigger that the table does not list in a state changes nothing: reports of a wrapper may come late or twice.
"""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """Where a workload stands. PREPARING: its spec is on its way, nothing has been started."""

    PREPARING = "preparing"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"


class Trigger(Enum):
    """What moves a workload on."""

    LAUNCHED = "launched"
    PLAYABLE = "playable"
    STOP_BEGAN = "stop_began"
    ENDED = "ended"


TRANSITIONS: dict[tuple[Phase, Trigger], Phase] = {
    (Phase.PREPARING, Trigger.LAUNCHED): Phase.STARTING,
    (Phase.PREPARING, Trigger.ENDED): Phase.EXITED,
    (Phase.STARTING, Trigger.PLAYABLE): Phase.RUNNING,
    (Phase.STARTING, Trigger.STOP_BEGAN): Phase.STOPPING,
    (Phase.STARTING, Trigger.ENDED): Phase.EXITED,
    (Phase.RUNNING, Trigger.STOP_BEGAN): Phase.STOPPING,
    (Phase.RUNNING, Trigger.ENDED): Phase.EXITED,
    (Phase.STOPPING, Trigger.ENDED): Phase.EXITED,
}


def after(phase: Phase, trigger: Trigger) -> Phase:
    """The phase after `trigger`; the same phase where the table has no entry."""
    return TRANSITIONS.get((phase, trigger), phase)
