"""Durable messages: at least once, in any weather, and never one that stops the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from controlplane.domain import subjects
from controlplane.domain.errors import InvalidRequest, Unavailable
from controlplane.interfaces import Delivery

DURABLE, PATTERN = "reports", subjects.REPORTS
PATIENCE_S = 30


class Worker:
    """Handles what it is given; `faults` says how often a payload is to fail, and how."""

    def __init__(self, faults: dict[bytes, list[Exception]] | None = None) -> None:
        self.handled: Counter[bytes] = Counter()
        self.tries: list[tuple[bytes, int]] = []
        self.buried: list[tuple[bytes, int, Exception]] = []
        self.faults = faults or {}
        self._news = asyncio.Event()

    async def handle(self, delivery: Delivery) -> None:
        self.tries.append((delivery.payload, delivery.attempt))
        if faults := self.faults.get(delivery.payload):
            raise faults.pop(0)
        self.handled[delivery.payload] += 1
        self._news.set()

    async def bury(self, delivery: Delivery, error: Exception) -> None:
        self.buried.append((delivery.payload, delivery.attempt, error))
        self._news.set()

    async def until(self, *payloads: bytes) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not all(self.handled[p] or any(p == b for b, _, _ in self.buried) for p in payloads):
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def consuming(bus, worker: Worker, durable: str = DURABLE):
    task = asyncio.create_task(bus.consume(durable, PATTERN, worker.handle, worker.bury))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_is_published_is_handled_with_its_subject_and_id(house):
    bus = await house.bus()
    seen: asyncio.Queue[Delivery] = asyncio.Queue()
    await bus.publish(subjects.report("vm-1"), b"hello", "id-1")
    worker = Worker()
    task = asyncio.create_task(bus.consume(DURABLE, PATTERN, seen.put, worker.bury))
    delivery = await asyncio.wait_for(seen.get(), PATIENCE_S)
    task.cancel()
    assert replace(delivery, waited_s=0.0) == Delivery("id-1", subjects.report("vm-1"), b"hello", 1)


async def test_the_same_id_twice_is_one_message(house):
    bus, other = await house.bus(), await house.bus()
    for program in (bus, other, bus):
        await program.publish(subjects.report("vm-1"), b"once", "same")
    await bus.publish(subjects.report("vm-1"), b"last", "other")
    worker = Worker()
    async with consuming(bus, worker):
        await worker.until(b"once", b"last")
    assert worker.handled == {b"once": 1, b"last": 1}


async def test_work_waits_for_its_consumer_and_goes_to_one_of_them(house):
    bus, other = await house.bus(), await house.bus()
    payloads = [f"{n}".encode() for n in range(50)]
    for payload in payloads:
        await bus.publish(subjects.report("vm-1"), payload, payload.decode())
    first, second = Worker(), Worker()
    async with consuming(bus, first), consuming(other, second):
        async with asyncio.timeout(PATIENCE_S):
            while len(first.handled + second.handled) < 50:
                await asyncio.sleep(0.01)
    assert first.handled + second.handled == Counter(payloads)


async def test_a_failed_try_is_made_again_with_its_number(house):
    bus = await house.bus()
    worker = Worker({b"shy": [RuntimeError("no"), Unavailable("DATABASE_AWAY", "away")]})
    async with consuming(bus, worker):
        await bus.publish(subjects.report("vm-1"), b"shy", "1")
        await worker.until(b"shy")
    assert worker.tries == [(b"shy", 1), (b"shy", 2), (b"shy", 3)]
    assert worker.buried == []


async def test_after_five_failed_tries_it_is_buried_with_the_last_error(house):
    bus = await house.bus()
    worker = Worker({b"bad": [RuntimeError(f"no {n}") for n in range(1, 10)]})
    async with consuming(bus, worker):
        await bus.publish(subjects.report("vm-1"), b"bad", "1")
        await worker.until(b"bad")
        await bus.publish(subjects.report("vm-1"), b"good", "2")
        await worker.until(b"good")
    assert [attempt for payload, attempt in worker.tries if payload == b"bad"] == [1, 2, 3, 4, 5]
    assert [(payload, attempt, str(error)) for payload, attempt, error in worker.buried] == [(b"bad", 5, "no 5")]


async def test_an_error_that_cannot_pass_is_buried_at_once(house):
    bus = await house.bus()
    worker = Worker({b"bad": [InvalidRequest("REPORT_UNREADABLE", "no")]})
    async with consuming(bus, worker):
        await bus.publish(subjects.report("vm-1"), b"bad", "1")
        await worker.until(b"bad")
    assert worker.tries == [(b"bad", 1)]
    assert [attempt for _, attempt, _ in worker.buried] == [1]


async def test_a_dead_letter_that_cannot_be_written_keeps_its_message(house):
    bus = await house.bus()
    worker = Worker({b"bad": [InvalidRequest("REPORT_UNREADABLE", "no")] * 3})
    graves: list[Exception] = [Unavailable("DATABASE_AWAY", "away")]

    async def bury(delivery: Delivery, error: Exception) -> None:
        if graves:
            raise graves.pop()
        await worker.bury(delivery, error)

    task = asyncio.create_task(bus.consume(DURABLE, PATTERN, worker.handle, bury))
    await bus.publish(subjects.report("vm-1"), b"bad", "1")
    await worker.until(b"bad")
    task.cancel()
    assert [attempt for _, attempt, _ in worker.buried] == [2]


async def test_poison_does_not_hold_up_the_others(house):
    bus = await house.bus()
    poison = [f"poison {n}".encode() for n in range(20)]
    good = [f"good {n}".encode() for n in range(100)]
    worker = Worker({payload: [RuntimeError("poison")] * 99 for payload in poison})
    for payload in (*poison, *good):
        await bus.publish(subjects.report("vm-1"), payload, payload.decode())
    async with consuming(bus, worker):
        await worker.until(*good, *poison)
    assert all(worker.handled[payload] == 1 for payload in good)
    assert sorted(payload for payload, _, _ in worker.buried) == sorted(poison)


async def test_a_handler_that_hangs_does_not_hold_up_the_others(house):
    bus = await house.bus()
    release, worker = asyncio.Event(), Worker()

    async def handle(delivery: Delivery) -> None:
        if delivery.payload == b"slow":
            await release.wait()
        await worker.handle(delivery)

    task = asyncio.create_task(bus.consume(DURABLE, PATTERN, handle, worker.bury))
    await bus.publish(subjects.report("vm-1"), b"slow", "1")
    await bus.publish(subjects.report("vm-2"), b"quick", "2")
    await worker.until(b"quick")
    assert not worker.handled[b"slow"]
    release.set()
    await worker.until(b"slow")
    task.cancel()


async def test_a_consumer_that_is_stopped_finishes_what_it_has_begun(house):
    bus = await house.bus()
    begun, release, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        begun.set()
        await release.wait()
        finished.set()

    task = asyncio.create_task(bus.consume(DURABLE, PATTERN, handle, Worker().bury))
    await bus.publish(subjects.report("vm-1"), b"last", "1")
    await asyncio.wait_for(begun.wait(), PATIENCE_S)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, PATIENCE_S)
    assert finished.is_set()

    worker = Worker()
    async with consuming(bus, worker):
        await bus.publish(subjects.report("vm-1"), b"next", "2")
        await worker.until(b"next")
    assert worker.handled == {b"next": 1}


async def test_without_a_broker_publishing_is_refused_and_consumers_wait(house):
    bus = await house.bus()
    worker = Worker()
    async with consuming(bus, worker):
        await bus.publish(subjects.report("vm-1"), b"before", "1")
        await worker.until(b"before")
        await house.kill()
        assert not bus.connected
        with pytest.raises(Unavailable):
            await bus.publish(subjects.report("vm-1"), b"lost", "2")
        await house.restart()
        assert bus.connected
        await bus.publish(subjects.report("vm-1"), b"after", "3")
        await worker.until(b"after")
    # At least once: the acknowledgement of the first may have died with the broker.
    assert set(worker.handled) == {b"before", b"after"}


async def test_what_was_stored_outlives_a_killed_broker(house):
    bus = await house.bus()
    await bus.publish(subjects.report("vm-1"), b"kept", "1")
    await house.kill()
    await house.restart()
    await bus.publish(subjects.report("vm-1"), b"kept", "1")
    await bus.publish(subjects.report("vm-1"), b"last", "2")
    worker = Worker()
    async with consuming(bus, worker):
        await worker.until(b"kept", b"last")
    assert worker.handled == {b"kept": 1, b"last": 1}


async def test_a_broker_that_lost_everything_serves_on(house):
    bus = await house.bus()
    worker = Worker()
    async with consuming(bus, worker):
        await bus.publish(subjects.report("vm-1"), b"before", "1")
        await worker.until(b"before")
        await house.wipe()
        await bus.publish(subjects.report("vm-1"), b"after", "2")
        await worker.until(b"after")
    assert worker.handled == {b"before": 1, b"after": 1}


@pytest.mark.parametrize("subject", ["quarterdeck.hint.outbox", "elsewhere", "quarterdeck.link.vm-1"])
async def test_only_events_and_work_are_durable(house, subject):
    bus = await house.bus()
    with pytest.raises(InvalidRequest):
        await bus.publish(subject, b"", "1")
