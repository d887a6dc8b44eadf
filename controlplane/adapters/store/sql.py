"""The store on SQL: PostgreSQL, where many processes share it, or SQLite, where one process owns the file.

SQLite has one writer, whose turn one waits for, and short BEGIN IMMEDIATE transactions; readers have connections of
their own and see the last commit. Both acknowledge a commit only when it is on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from controlplane.adapters.store.backups import SqlBackups, SqlSchedules
from controlplane.adapters.store.batch import SqlBatch
from controlplane.adapters.store.capacity import SqlPools, SqlRenting, SqlReplacements
from controlplane.adapters.store.catalogue import SqlCatalogue
from controlplane.adapters.store.connection import TxConnection
from controlplane.adapters.store.credentials import SqlCredentials
from controlplane.adapters.store.dead_letters import SqlDeadLetters
from controlplane.adapters.store.feed import SqlFeed
from controlplane.adapters.store.figures import SqlFigures
from controlplane.adapters.store.hosts import SqlHosts
from controlplane.adapters.store.lanes import Connections, Lanes, Pool, PoolSize
from controlplane.adapters.store.logs import SqlLogs
from controlplane.adapters.store.metrics import Metrics
from controlplane.adapters.store.outbox import SqlOutbox
from controlplane.adapters.store.ports import SqlPorts
from controlplane.adapters.store.provisionings import SqlAttempts, SqlProvisionings, SqlTransitions
from controlplane.adapters.store.queue import SqlQueue
from controlplane.adapters.store.refusals import refusing
from controlplane.adapters.store.saves import SqlGarbage, SqlSaves, SqlSaveVersions
from controlplane.adapters.store.sessions import SqlSessions
from controlplane.adapters.store.shapes import SqlShapes
from controlplane.adapters.store.tokens import SqlTokens
from controlplane.adapters.store.vms import SqlVms
from controlplane.interfaces import Tx

Clock = Callable[[], datetime]

BUSY_TIMEOUT_MS = 5000
SQLITE_READERS = 4
POSTGRES_OPTIONS = {
    "timezone": "UTC",
    "statement_timeout": "10s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
}
# How many rows an INSERT … ON CONFLICT has added is how it tells whether it was the first.
COUNTED = {"preserve_rowcount": True}
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    f"busy_timeout={BUSY_TIMEOUT_MS}",
    "temp_store=MEMORY",
)


class SqlTx:
    def __init__(self, connection: TxConnection) -> None:
        self.now = connection.now
        self.vms = SqlVms(connection)
        self.transitions = SqlTransitions(connection)
        self.provisionings = SqlProvisionings(connection)
        self.attempts = SqlAttempts(connection)
        self.pools = SqlPools(connection)
        self.replacements = SqlReplacements(connection)
        self.renting = SqlRenting(connection)
        self.hosts = SqlHosts(connection)
        self.sessions = SqlSessions(connection)
        self.ports = SqlPorts(connection)
        self.batch = SqlBatch(connection)
        self.queue = SqlQueue(connection)
        self.catalogue = SqlCatalogue(connection)
        self.shapes = SqlShapes(connection)
        self.tokens = SqlTokens(connection)
        self.credentials = SqlCredentials(connection)
        self.feed = SqlFeed(connection)
        self.outbox = SqlOutbox(connection)
        self.dead_letters = SqlDeadLetters(connection)
        self.figures = SqlFigures(connection)
        self.saves = SqlSaves(connection)
        self.save_versions = SqlSaveVersions(connection)
        self.backups = SqlBackups(connection)
        self.schedules = SqlSchedules(connection)
        self.garbage = SqlGarbage(connection)
        self.logs = SqlLogs(connection)


class SqlStore:
    def __init__(
        self, writer: Connections, reader: Connections, clock: Clock | None, metrics: Metrics, *, on_postgres: bool
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._metrics = metrics
        self._on_postgres = on_postgres

    def tx(self) -> AbstractAsyncContextManager[Tx]:
        return self._transaction(self._writer, writable=True)

    def reading(self) -> AbstractAsyncContextManager[Tx]:
        return self._transaction(self._reader, writable=False)

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()

    @asynccontextmanager
    async def _transaction(self, connections: Connections, *, writable: bool) -> AsyncIterator[Tx]:
        with refusing(), self._metrics.waiting():
            opened = await connections.open()
        try:
            tx = SqlTx(TxConnection(opened, self._clock, on_postgres=self._on_postgres, writable=writable))
            yield tx
            if not writable:
                return
            await tx.outbox.seal()
            try:
                with refusing():
                    await opened.commit()
            except BaseException:
                # A commit that failed may have left its transaction open: that connection is never used again.
                await asyncio.shield(opened.drop())
                raise
        finally:
            # Rolls back what is not committed; goes on if the task is cancelled, so that no connection leaks.
            await asyncio.shield(opened.close())


def postgres_store(url: sa.URL, clock: Clock | None, size: PoolSize, metrics: Metrics) -> SqlStore:
    options = " ".join(f"-c {name}={value}" for name, value in POSTGRES_OPTIONS.items())
    engine = create_async_engine(
        url,
        connect_args={"options": options, "connect_timeout": 5},
        pool_size=size.kept,
        max_overflow=size.most - size.kept,
        pool_timeout=size.wait_s,
        pool_pre_ping=True,
        execution_options=COUNTED,
        json_deserializer=orjson.loads,
    )
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return SqlStore(Pool(engine), Pool(reader), clock, metrics, on_postgres=True)


def sqlite_store(url: sa.URL, clock: Clock | None, metrics: Metrics) -> SqlStore:
    writer = Lanes(_sqlite_engine(url, begin="BEGIN IMMEDIATE"), 1)
    reader = Lanes(_sqlite_engine(url, begin="BEGIN", pragmas=("query_only=ON",)), SQLITE_READERS)
    return SqlStore(writer, reader, clock, metrics, on_postgres=False)


def _sqlite_engine(url: sa.URL, *, begin: str, pragmas: tuple[str, ...] = ()) -> sa.Engine:
    # Each lane keeps the one connection that it asks for.
    engine = sa.create_engine(url, poolclass=sa.NullPool, execution_options=COUNTED, json_deserializer=orjson.loads)

    # sqlite3 would begin transactions by itself, and late: it is told not to, and SQLAlchemy's event says BEGIN.
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (*PRAGMAS, *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    sa.event.listen(engine, "connect", connected)
    sa.event.listen(engine, "begin", begun)
    return engine
