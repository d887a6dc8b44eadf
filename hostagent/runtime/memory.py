"""A runtime without processes, for tests of what stands on the interface. It keeps the suite of the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from hostagent.procfs import ProcessId
from hostagent.runtime import Instance, Order, StartFailed, Usage


@dataclass
class MemoryMachine:
    """The machine that several runtimes share, as agents with different data directories share a real one."""

    running: dict[Path, Instance] = field(default_factory=dict)
    ended: dict[ProcessId, asyncio.Future[int]] = field(default_factory=dict)
    pids: count[int] = field(default_factory=lambda: count(1000))

    def end(self, session_dir: Path, exit_code: int) -> None:
        """Ends a workload as if by itself."""
        self.ended[self.running.pop(session_dir).process].set_result(exit_code)


@dataclass
class MemoryRuntime:
    """Workloads as entries of a MemoryMachine, under `root`."""

    root: Path
    machine: MemoryMachine
    names: tuple[str, ...] = ("memory",)
    starts: list[Path] = field(default_factory=list)
    _mine: set[ProcessId] = field(default_factory=set)

    async def prepare(self, order: Order, tell: Callable[[str], None] = lambda _: None) -> None:
        """See Runtime.prepare."""
        if order.image:
            raise StartFailed("this runtime has no images")

    async def start(self, order: Order) -> Instance:
        """See Runtime.start."""
        if not order.session_dir.is_dir():
            raise StartFailed(f"no such directory: {order.session_dir}")
        pid = next(self.machine.pids)
        instance = Instance(order.session_dir, ProcessId(pid, pid))
        self.machine.running[order.session_dir] = instance
        self.machine.ended[instance.process] = asyncio.get_running_loop().create_future()
        self._mine.add(instance.process)
        self.starts.append(order.session_dir)
        return instance

    async def find(self) -> Sequence[Instance]:
        """See Runtime.find."""
        return [instance for path, instance in self.machine.running.items() if path.parent == self.root]

    async def wait(self, instance: Instance) -> int | None:
        """See Runtime.wait."""
        exit_code = await asyncio.shield(self.machine.ended[instance.process])
        return exit_code if instance.process in self._mine else None

    async def kill(self, session_dir: Path, leader: ProcessId | None) -> int:
        """See Runtime.kill."""
        if session_dir not in self.machine.running:
            return 0
        self.machine.end(session_dir, -9)
        return 1

    async def usage(self, session_dirs: Sequence[Path]) -> Mapping[Path, Usage]:
        """See Runtime.usage."""
        return {path: Usage(processes=1) for path in session_dirs if path in self.machine.running}

    async def out_of_memory(self, session_dir: Path) -> bool:
        """See Runtime.out_of_memory."""
        return False

    async def close(self) -> None:
        """See Runtime.close."""
        self._mine.clear()
