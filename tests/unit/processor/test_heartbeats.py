"""Batches are coalesced, filtered, and never written late."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from controlplane.adapters.bus.memory import MemoryBus
from controlplane.domain import subjects
from controlplane.domain.errors import Unavailable
from controlplane.processor import heartbeats
from controlplane.processor.metrics import Metrics

PATIENCE_S = 20


class Database:
    """Stands where `hosts.beat` writes; can be slow, can be away."""

    def __init__(self) -> None:
        self.written: list[list[str]] = []
        self.away = False
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()

    async def beat(self, world: Any, host_ids: list[str]) -> None:
        self.asked.set()
        await self.open.wait()
        if self.away:
            raise Unavailable("DATABASE_AWAY", "later")
        self.written.append(list(host_ids))


class Overheard(MemoryBus):
    """Says when somebody listens: hints are not kept for those who come later."""

    def __init__(self) -> None:
        super().__init__()
        self.listened = asyncio.Event()

    @asynccontextmanager
    async def subscribe(self, subject: str, *, queue: str = ""):
        async with super().subscribe(subject, queue=queue) as feed:
            self.listened.set()
            yield feed


@asynccontextmanager
async def feeding(monkeypatch):
    database = Database()
    monkeypatch.setattr(heartbeats.hosts, "beat", database.beat)
    async with Overheard() as bus:
        world: Any = type("World", (), {"bus": bus})()
        metrics = Metrics(CollectorRegistry())
        beats = heartbeats.Heartbeats(world, metrics)
        task = asyncio.create_task(beats.run())
        await asyncio.wait_for(bus.listened.wait(), PATIENCE_S)
        yield bus, database, metrics.registry, beats
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


async def test_what_arrives_while_one_batch_is_written_is_written_together(monkeypatch):
    async with feeding(monkeypatch) as (bus, database, registry, beats):
        database.open.clear()
        await bus.hint(subjects.BEATS, b"vm-1")
        await asyncio.wait_for(database.asked.wait(), PATIENCE_S)
        for batch in (b"", b"vm-3\nvm-2", b"vm-2\nvm-1"):
            await bus.hint(subjects.BEATS, batch)
        await until(lambda: len(beats._heard) == 3)
        database.open.set()
        await until(lambda: len(database.written) == 2)
        assert database.written == [["vm-1"], ["vm-1", "vm-2", "vm-3"]]
        assert registry.get_sample_value("quarterdeck_heartbeats_total") == 4


async def test_what_is_no_host_id_is_left_out(monkeypatch):
    async with feeding(monkeypatch) as (bus, database, *_):
        await bus.hint(subjects.BEATS, b"vm-1\n../etc\nvm 2\n\xff\xfe\n" + b"x" * 129)
        await until(lambda: database.written)
        assert database.written == [["vm-1"]]


async def test_an_empty_batch_is_written(monkeypatch):
    async with feeding(monkeypatch) as (bus, database, *_):
        await bus.hint(subjects.BEATS, b"")
        await until(lambda: database.written)
        assert database.written == [[]]


async def test_many_hosts_are_written_in_chunks(monkeypatch):
    async with feeding(monkeypatch) as (bus, database, *_):
        await bus.hint(subjects.BEATS, "\n".join(f"vm-{n}" for n in range(2500)).encode())
        await until(lambda: len(database.written) == 3)
        assert [len(chunk) for chunk in database.written] == [1000, 1000, 500]
        assert sorted(host for chunk in database.written for host in chunk) == sorted(f"vm-{n}" for n in range(2500))


async def test_a_batch_that_could_not_be_written_is_dropped_not_written_late(monkeypatch):
    async with feeding(monkeypatch) as (bus, database, registry, _):
        database.away = True
        await bus.hint(subjects.BEATS, b"vm-1")
        await until(lambda: registry.get_sample_value("quarterdeck_heartbeats_dropped_total") == 1)
        database.away = False
        await bus.hint(subjects.BEATS, b"vm-2")
        await until(lambda: database.written)
        assert database.written == [["vm-2"]]
