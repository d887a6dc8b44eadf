"""What runs workloads on a host: one interface, an adapter for each way of running.

The interface knows nothing of the wrapper's protocol: a polite stop is asked over the wrapper's socket, a runtime only
prepares, starts, finds, waits and kills.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hostagent.procfs import ProcessId


class StartFailed(Exception):
    """The runtime could not prepare or start the workload; the message says why."""


@dataclass(frozen=True)
class Order:
    """What to run: the wrapper of one session directory. `image` is for runtimes that pull one."""

    session_dir: Path
    image: str = ""


@dataclass(frozen=True)
class Instance:
    """A running workload: `process` leads it. `session_dir` is its label, the same across restarts of the agent."""

    session_dir: Path
    process: ProcessId


class Runtime(Protocol):
    """Runs the workloads of one agent, told apart from everything else on the machine by their session directories."""

    name: str

    async def prepare(self, order: Order) -> None:
        """Fetches what the start needs (an image). Raises StartFailed."""

    async def start(self, order: Order) -> Instance:
        """Starts the wrapper as a process tree that outlives the agent. Raises StartFailed."""

    async def find(self) -> Sequence[Instance]:
        """The live workloads under this agent's data directory, whoever started them: an earlier agent, too."""

    async def wait(self, instance: Instance) -> int | None:
        """Returns when the leading process is gone: its exit code, or None where it cannot be known any more."""

    async def kill(self, session_dir: Path, leader: ProcessId | None) -> int:
        """Kills every process of the workload, firmly; returns how many there were, once none is left."""

    async def close(self) -> None:
        """Lets go of the runtime's own resources; workloads go on."""
