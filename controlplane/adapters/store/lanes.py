"""Connections as a transaction has them, alike for both databases: PostgreSQL's from a pool, SQLite's in lanes.

A lane is one synchronous connection with a thread of its own. A statement with the fetching of its rows is one visit to
that thread, where an asynchronous driver makes one for each call of the synchronous one beneath it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")
Take = Callable[[sa.Result[Any]], T]


class Opened(Protocol):
    """One connection, whose transaction begins with its first statement."""

    async def run(self, statement: sa.Executable, values: Any, take: Take[T]) -> T:
        """What `take` makes of the result; it must read all that it wants of it."""
        ...

    async def commit(self) -> None: ...

    async def drop(self) -> None:
        """Never uses it again."""
        ...

    async def close(self) -> None:
        """Rolls back what is not committed, and gives the connection back."""
        ...


class Connections(Protocol):
    async def open(self) -> Opened: ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class PoolSize:
    """How many connections a process opens to PostgreSQL: `most` at once, `kept` of them when there is nothing to do.
    Who gets none within `wait_s` is refused."""

    most: int = 16
    kept: int = 8
    wait_s: float = 10.0


class Pool:
    """Of an asynchronous engine. Raises sqlalchemy's TimeoutError when all are in use for too long."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def open(self) -> Opened:
        return _Pooled(await self._engine.connect())

    async def close(self) -> None:
        await self._engine.dispose()


class _Pooled:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.commit = connection.commit
        self.drop = connection.invalidate
        self.close = connection.close

    async def run(self, statement: sa.Executable, values: Any, take: Take[T]) -> T:
        return take(await self._connection.execute(statement, values))


class Lanes:
    """So many of them; who wants one waits for its turn."""

    def __init__(self, engine: sa.Engine, count: int) -> None:
        self._all = [_Lane(engine, self._back) for _ in range(count)]
        self._free: asyncio.LifoQueue[_Lane] = asyncio.LifoQueue()
        for lane in self._all:
            self._free.put_nowait(lane)

    async def open(self) -> Opened:
        return await self._free.get()

    async def close(self) -> None:
        for lane in self._all:
            await lane.end()

    def _back(self, lane: _Lane) -> None:
        self._free.put_nowait(lane)


class _Lane:
    """What it was given is done in that order, also when who asked has gone. Opens its connection when first used."""

    def __init__(self, engine: sa.Engine, back: Callable[[_Lane], None]) -> None:
        self._engine = engine
        self._back = back
        self._thread = ThreadPoolExecutor(1, "sqlite")
        self._connection: sa.Connection | None = None

    async def run(self, statement: sa.Executable, values: Any, take: Take[T]) -> T:
        return await self._visit(lambda connection: take(connection.execute(statement, values)))

    async def commit(self) -> None:
        await self._visit(sa.Connection.commit)

    async def drop(self) -> None:
        await self._do(self._forget)

    async def close(self) -> None:
        try:
            await self._do(self._roll_back)
        finally:
            self._back(self)

    async def end(self) -> None:
        await self._do(self._forget)
        self._thread.shutdown()

    async def _visit(self, work: Callable[[sa.Connection], T]) -> T:
        return await self._do(lambda: work(self._connected()))

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _connected(self) -> sa.Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _roll_back(self) -> None:
        if self._connection is not None and self._connection.in_transaction():
            self._connection.rollback()

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
        self._connection = None
