"""Programs of the host as processes, images as containers: for a machine that offers both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hostagent.procfs import ProcessId
from hostagent.runtime import Instance, Order, Runtime, Usage


class BothRuntimes:
    """Each order goes to the one runtime that it needs; all else goes to both."""

    def __init__(self, processes: Runtime, containers: Runtime) -> None:
        self._processes = processes
        self._containers = containers
        self.names = (*processes.names, *containers.names)

    def _for(self, order: Order) -> Runtime:
        return self._containers if order.image else self._processes

    async def prepare(self, order: Order, tell: Callable[[str], None] = lambda _: None) -> None:
        """See Runtime.prepare."""
        await self._for(order).prepare(order, tell)

    async def start(self, order: Order) -> Instance:
        """See Runtime.start."""
        return await self._for(order).start(order)

    async def find(self) -> Sequence[Instance]:
        """See Runtime.find. What runs in containers shows among the processes, too, and is no workload of its own."""
        contained = await self._containers.find()
        directories = {instance.session_dir for instance in contained}
        plain = [one for one in await self._processes.find() if one.session_dir not in directories]
        return [*plain, *contained]

    async def wait(self, instance: Instance) -> int | None:
        """See Runtime.wait."""
        return await (self._containers if instance.certain else self._processes).wait(instance)

    async def kill(self, session_dir: Path, leader: ProcessId | None) -> int:
        """See Runtime.kill: a session directory does not say how it was started."""
        return await self._containers.kill(session_dir, leader) + await self._processes.kill(session_dir, leader)

    async def usage(self, session_dirs: Sequence[Path]) -> Mapping[Path, Usage]:
        """See Runtime.usage: what Docker counts is whole, what else runs is looked for among the processes."""
        contained = await self._containers.usage(session_dirs)
        plain = [path for path in session_dirs if path not in contained]
        return {**(await self._processes.usage(plain) if plain else {}), **contained}

    async def out_of_memory(self, session_dir: Path) -> bool:
        """See Runtime.out_of_memory."""
        return await self._containers.out_of_memory(session_dir)

    async def close(self) -> None:
        """See Runtime.close."""
        await asyncio.gather(self._processes.close(), self._containers.close())
