"""What runs workloads on a host: one interface, an adapter for each way of running.

The interface knows nothing of the wrapper's protocol: a polite stop is asked over the wrapper's socket, a runtime only
prepares, starts, finds, waits and kills.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from hostagent.procfs import ProcessId


class StartFailed(Exception):
    """The runtime could not prepare or start the workload; the message says why."""


def ending(exit_code: int | None) -> str:
    """How a program ended, where that is known, behind a verb: " with exit code 3", " by SIGKILL"."""
    if exit_code is None:
        return ""
    if exit_code >= 0:
        return f" with exit code {exit_code}"
    return " by " + next((one.name for one in signal.Signals if one == -exit_code), f"signal {-exit_code}")


class Pull(Enum):
    """When an image is fetched from its registry."""

    IF_NOT_PRESENT = "if_not_present"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True)
class Resources:
    """Upper bounds of a game; 0: the host's own default."""

    memory_bytes: int = 0
    cpu_millis: int = 0
    pids: int = 0


@dataclass(frozen=True)
class Volume:
    """A directory of the session that the game may write, at `path` in its container."""

    volume_name: str
    path: str


@dataclass(frozen=True)
class Published:
    """A leased port of the host that leads to port `inside` of the session."""

    protocol: str
    host_port: int
    inside: int


@dataclass(frozen=True)
class Order:
    """What to run: the wrapper of one session directory. With an `image`, the game runs beside it, out of that image;
    the fields after it are about that game only, `ports` and `resources` about any session in a container."""

    session_dir: Path
    image: str = ""
    pull: Pull = Pull.IF_NOT_PRESENT
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()
    writable_root: bool = False
    # What all that it writes may take, which is in `session_dir` then; 0: no bound.
    disk_bytes: int = 0
    # "UID" or "UID:GID"; empty: what the image says, unless that is root.
    user: str = ""
    ports: tuple[Published, ...] = ()
    resources: Resources = Resources()
    # The NVIDIA card of the host that the session may use, by its number; None: none.
    gpu_index: int | None = None
    # Whether the game draws with the host's cards.
    render: bool = False


@dataclass(frozen=True)
class Usage:
    """What a workload has used: processor time since its start, memory now (without what the kernel would give back at
    once) and at most, processes now, how many of them were killed for want of memory; and, measured apart, disk,
    with the reason why that could not be measured, if it could not."""

    cpu_s: float = 0.0
    memory_bytes: int = 0
    memory_peak_bytes: int = 0
    processes: int = 0
    oom_kills: int = 0
    disk_bytes: int = 0
    disk_unmeasured: str = ""


@dataclass(frozen=True)
class Instance:
    """A running workload: `process` leads it. `session_dir` is its label, the same across restarts of the agent.
    `certain`: the runtime itself keeps that label, so that no other process can be meant."""

    session_dir: Path
    process: ProcessId
    certain: bool = False


def _quietly(_: str) -> None:
    return


class Runtime(Protocol):
    """Runs the workloads of one agent, told apart from everything else on the machine by their session directories."""

    # As inventories name them.
    names: tuple[str, ...]

    async def prepare(self, order: Order, tell: Callable[[str], None] = _quietly) -> None:
        """Fetches what the start needs (an image); `tell` hears how far it is. Raises StartFailed."""

    async def start(self, order: Order) -> Instance:
        """Starts the wrapper as a process tree that outlives the agent. Raises StartFailed, OSError; what was begun
        by then is to be killed."""

    async def find(self) -> Sequence[Instance]:
        """The live workloads under this agent's data directory, whoever started them: an earlier agent, too."""

    async def wait(self, instance: Instance) -> int | None:
        """Returns when the leading process is gone: its exit code, or None where it cannot be known any more."""

    async def kill(self, session_dir: Path, leader: ProcessId | None) -> int:
        """Kills every process of the workload, firmly; returns how many there were, once none is left. Raises
        OSError, mostly TimeoutError, when that cannot be done now; it can be repeated."""

    async def usage(self, session_dirs: Sequence[Path]) -> Mapping[Path, Usage]:
        """What these workloads use now; those about which nothing can be told are left out."""

    async def out_of_memory(self, session_dir: Path) -> bool:
        """Whether a workload that has just ended was killed for want of memory; ask before `kill`."""

    async def close(self) -> None:
        """Lets go of the runtime's own resources; workloads go on."""
