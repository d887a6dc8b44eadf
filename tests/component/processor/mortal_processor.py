"""`quarterdeck processor` in the environment's settings, killed with SIGKILL at every await of renting, once at each.

argv: a folder and the lease in seconds. In the folder are the steps at which it has `died`, the provider's `purchases`,
and the `fault` of its orders, if any. This process stays: it forks one processor after the other, so that each begins
with everything imported. It ends when one of them ends otherwise than by its own hand.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from prometheus_client import CollectorRegistry

import controlplane.adapters.bus.jetstream
import controlplane.processor.service
from controlplane import bootstrap
from controlplane.adapters.clouds import agent_process, local
from controlplane.interfaces.spans import Spans
from controlplane.settings import Settings, load
from controlplane.usecases import provisioning, sweep
from controlplane.usecases.world import World
from tests.encoders import NO_ENCODERS

RENTING = frozenset(str(module.__file__) for module in (provisioning, sweep))
# Who was killed left no call under way.
CALL_S = 5.0
IMPORTED = (controlplane.adapters.bus.jetstream, controlplane.processor.service)


@dataclass(frozen=True)
class Fate:
    """A step is named by the lines of the use case that lead there; only those of renting are steps."""

    died_at: Path

    def step(self, name: str) -> None:
        frame, lines = sys._getframe(1), list[str]()
        while frame is not None:
            if frame.f_code.co_filename in RENTING:
                lines.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
            frame = frame.f_back  # type: ignore[assignment]
        step = " < ".join([name, *lines])
        if lines and step not in self.died_at.read_text().splitlines():
            with self.died_at.open("a") as died:
                died.write(f"{step}\n")
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class MortalStore:
    """A transaction is a step before it, one before its commit and one after."""

    store: Any
    fate: Fate

    def tx(self) -> AbstractAsyncContextManager[Any]:
        return self._stepping(self.store.tx)

    def reading(self) -> AbstractAsyncContextManager[Any]:
        return self._stepping(self.store.reading)

    async def close(self) -> None:
        await self.store.close()

    @asynccontextmanager
    async def _stepping(self, begin: Callable[[], AbstractAsyncContextManager[Any]]) -> AsyncIterator[Any]:
        self.fate.step(f"before {begin.__name__}")
        async with begin() as tx:
            yield tx
            self.fate.step(f"within {begin.__name__}")
        self.fate.step(f"after {begin.__name__}")


@dataclass(frozen=True)
class MortalProvider:
    """Every call is a step before it and one after."""

    provider: Any
    fate: Fate

    def __getattr__(self, call: str) -> Any:
        known = getattr(self.provider, call)
        if not callable(known):
            return known

        async def stepping(*arguments: Any) -> Any:
            self.fate.step(f"before {call}")
            answer = await known(*arguments)
            self.fate.step(f"after {call}")
            return answer

        return stepping


def prepare(fate: Fate, folder: Path, lease_s: float) -> None:
    """Makes every world of this process mortal, and the provider keep a book and fail as it is told."""
    make_world, make_machine, spawn = bootstrap._world, local.LocalProvider._make, agent_process.spawn

    async def mortal_world(
        stack: AsyncExitStack, settings: Settings, registry: CollectorRegistry, spans: Spans
    ) -> World:
        world = await make_world(stack, settings, registry, spans)
        renting = world.policy.renting
        patience = replace(renting.patience, call_timeout_s=CALL_S)
        return replace(
            world,
            store=MortalStore(world.store, fate),
            policy=replace(world.policy, renting=replace(renting, lease_s=lease_s, patience=patience)),
            providers={name: MortalProvider(provider, fate) for name, provider in world.providers.items()},
        )

    def entered(self: local.LocalProvider, machine: local.Machine, join_token: str) -> None:
        make_machine(self, machine, join_token)
        with (folder / "purchases").open("a") as book:
            book.write(f"{machine.tag} {machine.id}\n")
        fate.step("machine made")

    def spawned(arguments: Sequence[str], environment: Mapping[str, str], machine: Path) -> agent_process.ProcessId:
        process = spawn((*arguments, "--probe-command", shlex.join(NO_ENCODERS)), environment, machine)
        fate.step("agent started")
        return process

    def thrown(self: local.LocalProvider) -> local.Fault | None:
        told = (folder / "fault").read_text()
        return local.Fault(told) if told else None

    bootstrap._world = mortal_world
    local.LocalProvider._thrown = thrown  # type: ignore[method-assign]
    local.LocalProvider._make = entered  # type: ignore[method-assign]
    agent_process.spawn = spawned


def keep_alive(settings: Settings) -> NoReturn:
    while True:
        child = os.fork()
        if child == 0:
            os._exit(bootstrap.run("processor", settings))
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(f"a processor ended by itself: {status}")


if __name__ == "__main__":
    folder, lease_s = Path(sys.argv[1]), float(sys.argv[2])
    prepare(Fate(folder / "died"), folder, lease_s)
    keep_alive(load())
