"""A processor's renting in a process of its own, which stops for ever at the first step that it has not been told of.

argv: database URL, folder of keys, folder of machines, enrolment target, known steps (comma-separated). It says each
new step on standard output, and waits to be killed there.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from controlplane.adapters.bus.memory import MemoryBus
from controlplane.adapters.ca import FileCertificateAuthority
from controlplane.adapters.clouds.local import LocalProvider
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.store import open_store
from controlplane.adapters.stream_tokens import JwtStreamTokens
from controlplane.domain.provisioning import Patience
from controlplane.settings import foreign_environment
from controlplane.usecases import provisioning
from controlplane.usecases.world import Policy, Renting, World

PAUSE_S = 0.2


class Gate:
    def __init__(self, known: set[str]) -> None:
        self.known = known
        self.last = "start"

    async def step(self, name: str) -> None:
        self.last = name
        if name not in self.known:
            print(name, flush=True)
            await asyncio.Event().wait()


class GatedProvider:
    """Every call is a step before it, and one after."""

    def __init__(self, provider: LocalProvider, gate: Gate) -> None:
        self.name = provider.name
        self._provider, self._gate = provider, gate

    def __getattr__(self, call: str) -> Any:
        async def gated(*arguments: Any) -> Any:
            await self._gate.step(f"before {call}")
            answer = await getattr(self._provider, call)(*arguments)
            await self._gate.step(f"after {call}")
            return answer

        return gated


class GatedStore:
    """Every commit that follows a call is a step before it, and one after."""

    def __init__(self, store: Any, gate: Gate) -> None:
        self._store, self._gate = store, gate
        self.reading = store.reading

    @asynccontextmanager
    async def tx(self) -> AsyncIterator[Any]:
        said = self._gate.last
        async with self._store.tx() as tx:
            yield tx
            if said.startswith("after"):
                await self._gate.step(f"committing {said}")
        if said.startswith("after"):
            await self._gate.step(f"committed {said}")


async def main() -> None:
    database, keys, machines, target, known = sys.argv[1:6]
    gate = Gate(set(known.split(",")))
    provider = GatedProvider(LocalProvider(Path(machines), foreign_environment()), gate)
    patience = Patience(poll_s=0.5, agent_poll_s=0.5, listing_lag_s=1.0)
    world = World(
        store=GatedStore(open_store(database), gate),  # type: ignore[arg-type]
        bus=MemoryBus(),
        ids=RandomIds(),
        authority=FileCertificateAuthority(Path(keys), 3600),
        stream_tokens=JwtStreamTokens(b"k" * 32),
        policy=Policy(renting=Renting(target, patience, lease_s=1.0)),
        providers={"local": provider},  # type: ignore[dict-item]
    )
    while True:
        await provisioning.advance(world)
        await asyncio.sleep(PAUSE_S)


if __name__ == "__main__":
    asyncio.run(main())
