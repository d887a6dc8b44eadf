"""The store in memory: the same behaviour as on SQL, without a database, for tests of use cases and simulation.

One writing transaction at a time; reading ones see the state as it was committed when they began.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

from controlplane.adapters.store.memory.backups import MemoryBackups, MemorySchedules
from controlplane.adapters.store.memory.batch import MemoryBatch, MemoryQueue
from controlplane.adapters.store.memory.capacity import MemoryPools, MemoryRenting, MemoryReplacements
from controlplane.adapters.store.memory.dead_letters import MemoryDeadLetters
from controlplane.adapters.store.memory.figures import MemoryFigures
from controlplane.adapters.store.memory.fleet import MemoryHosts, MemorySessions, MemoryVms
from controlplane.adapters.store.memory.logs import MemoryLogs
from controlplane.adapters.store.memory.news import MemoryOutbox
from controlplane.adapters.store.memory.ports import MemoryPorts
from controlplane.adapters.store.memory.provisionings import MemoryAttempts, MemoryProvisionings, MemoryTransitions
from controlplane.adapters.store.memory.saves import MemoryGarbage, MemorySaves, MemorySaveVersions
from controlplane.adapters.store.memory.scope import MemoryCatalogue, MemoryCredentials, MemoryFeed, MemoryShapes
from controlplane.adapters.store.memory.tables import Table, TxTables, first_tables
from controlplane.adapters.store.memory.tokens import MemoryTokens
from controlplane.interfaces import Tx


class MemoryTx:
    def __init__(self, tables: TxTables) -> None:
        self.now = tables.now
        self.vms = MemoryVms(tables)
        self.transitions = MemoryTransitions(tables)
        self.provisionings = MemoryProvisionings(tables)
        self.attempts = MemoryAttempts(tables)
        self.pools = MemoryPools(tables)
        self.replacements = MemoryReplacements(tables)
        self.renting = MemoryRenting(tables)
        self.hosts = MemoryHosts(tables)
        self.sessions = MemorySessions(tables)
        self.ports = MemoryPorts(tables)
        self.batch = MemoryBatch(tables)
        self.queue = MemoryQueue(tables)
        self.catalogue = MemoryCatalogue(tables)
        self.shapes = MemoryShapes(tables)
        self.tokens = MemoryTokens(tables)
        self.credentials = MemoryCredentials(tables)
        self.feed = MemoryFeed(tables)
        self.outbox = MemoryOutbox(tables)
        self.dead_letters = MemoryDeadLetters(tables)
        self.figures = MemoryFigures(tables)
        self.saves = MemorySaves(tables)
        self.save_versions = MemorySaveVersions(tables)
        self.backups = MemoryBackups(tables)
        self.schedules = MemorySchedules(tables)
        self.garbage = MemoryGarbage(tables)
        self.logs = MemoryLogs(tables)


class MemoryStore:
    def __init__(self, clock: Callable[[], datetime] | None = None) -> None:
        self._committed: Mapping[str, Table] = first_tables()
        self._clock = clock
        self._writing = asyncio.Lock()

    def tx(self) -> AbstractAsyncContextManager[Tx]:
        return self._write()

    def reading(self) -> AbstractAsyncContextManager[Tx]:
        return self._read()

    async def close(self) -> None:
        """Nothing is open."""

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[Tx]:
        async with self._writing:
            tables = TxTables(self._committed, self._clock, writable=True)
            yield MemoryTx(tables)
            self._committed = {**self._committed, **tables.ready_to_commit()}

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[Tx]:
        yield MemoryTx(TxTables(self._committed, self._clock, writable=False))
