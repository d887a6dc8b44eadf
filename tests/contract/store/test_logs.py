"""Rows of logs on every store, and the use cases over them: appended once, read in order, forgotten in time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controlplane.adapters.bus.memory import MemoryBroker, MemoryBus
from controlplane.adapters.ids import RandomIds
from controlplane.adapters.objects import open_objects
from controlplane.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from controlplane.domain.identity import Principal, Role
from controlplane.domain.logs import Buckets, LogFilter, LogHead, LogLine, LogStream, appended, packed
from controlplane.domain.session import SessionState
from controlplane.interfaces import LogRange, Store
from controlplane.usecases import archives, logs
from controlplane.usecases.world import Policy, World
from tests.contract.store.rows import Clock, a_deployment, a_game, a_host, a_session, a_vm

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
OPERATOR = Principal("default", "operator", Role.OPERATOR)
KEEP = timedelta(days=1)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
async def world(clocked_store: Store):
    store, objects = clocked_store, open_objects("memory:///")
    world = World(
        store,
        MemoryBus(MemoryBroker()),
        RandomIds(),
        None,
        None,
        objects,
        Policy(log_retention_s=86400),  # type: ignore[arg-type]
    )
    async with store.tx() as tx:
        await tx.catalogue.add_game(a_game(log_retention_s=0.0))
        await tx.catalogue.add_deployment(a_deployment())
        for vm_id in ("vm-1", "vm-2"):
            await tx.vms.add(a_vm(vm_id, terminate_requested_at=None))
            await tx.hosts.add(a_host(vm_id))
        await tx.sessions.add(a_session("s-1", vm_id="vm-1", generation=1, state=SessionState.RUNNING, ended_at=None))
    yield world
    await objects.close()


def some(first: int, last: int, **fields) -> list[LogLine]:
    return [
        replace(LogLine(n, NOON + timedelta(seconds=n), LogStream.STDOUT, f"line {n}"), **fields)
        for n in range(first, last + 1)
    ]


async def append(world: World, first: int, last: int, host_id: str = "vm-1", complete: bool = False) -> int:
    return await logs.append(world, host_id, "s-1", 1, packed(some(first, last)), complete)


async def sequences(world: World, wanted: LogFilter | None = None, **options) -> list[int]:
    found = await logs.search(world, OPERATOR, "s-1", wanted or LogFilter(), None, 10_000, **options)
    return [line.sequence for _, line in found.lines]


async def test_of_two_who_append_the_same_one_succeeds(world):
    head, chunk = appended(LogHead("s-1", 1, "default", "vm-1"), some(1, 3), False, NOON, KEEP, "logs/a", 9)
    async with world.store.tx() as tx:
        await tx.logs.put(head, chunk)
    for late in (head, replace(head, version=3)):
        with pytest.raises(Conflict):
            async with world.store.tx() as tx:
                await tx.logs.put(late, replace(chunk, object_key="logs/b"))
    async with world.store.reading() as tx:
        assert await tx.logs.heads("s-1") == [head]
        assert await tx.logs.chunks("s-1", LogRange(), 10) == [chunk]
        assert await tx.logs.heads("s-2") == []


async def test_chunks_come_in_order_from_either_end_within_times(world):
    for first in (1, 11, 21):
        await append(world, first, first + 9)

    async def found(**wanted) -> list[int]:
        async with world.store.reading() as tx:
            return [chunk.from_sequence for chunk in await tx.logs.chunks("s-1", LogRange(**wanted), 10)]

    assert await found() == [1, 11, 21]
    assert await found(backwards=True) == [21, 11, 1]
    assert await found(after=(1, 9)) == [1, 11, 21]
    assert await found(after=(1, 10)) == [11, 21]
    assert await found(after=(1, 11), backwards=True) == [1]
    assert await found(after=(1, 12), backwards=True) == [11, 1]
    assert await found(after=(0, 99)) == [1, 11, 21]
    assert await found(since=NOON + timedelta(seconds=20), until=NOON + timedelta(seconds=21)) == [11]


async def test_lines_sent_again_or_both_ways_are_stored_once(world):
    assert await append(world, 1, 10) == 10
    assert await append(world, 1, 10) == 10
    assert await append(world, 5, 15) == 15
    both = await asyncio.gather(*(append(world, 16, last) for last in (20, 25, 30, 20)))
    assert max(both) == 30
    assert await append(world, 16, 30, complete=True) == 30
    assert await sequences(world) == list(range(1, 31))
    async with world.store.reading() as tx:
        (head,) = await tx.logs.heads("s-1")
        named = {chunk.object_key for chunk in await tx.logs.chunks("s-1", LogRange(), 100)}
    assert (head.lines, head.dropped, head.complete) == (30, 0, True)
    assert set(await world.objects.list("logs")) == named


async def test_only_the_host_of_the_generation_may_append(world):
    with pytest.raises(Forbidden):
        await append(world, 1, 2, "vm-2")
    with pytest.raises(Forbidden):
        await append(world, 1, 2, "vm-9")
    with pytest.raises(NotFound):
        await logs.append(world, "vm-1", "s-9", 1, packed(some(1, 1)), False)
    with pytest.raises(Forbidden):
        await logs.append(world, "vm-1", "s-1", 2, packed(some(1, 1)), False)
    with pytest.raises(InvalidRequest):
        await logs.append(world, "vm-1", "s-1", 1, b"rubbish", False)
    await append(world, 1, 2)
    async with world.store.tx() as tx:  # re-placed: the old host may still bring what it has
        session = await tx.sessions.get("s-1")
        moved = replace(session, generation=2, vm_id="vm-2", version=session.version + 1)
        await tx.sessions.save(moved)
    assert await append(world, 3, 4) == 4
    assert await logs.append(world, "vm-2", "s-1", 2, packed(some(1, 2)), False) == 2
    with pytest.raises(Forbidden):
        await logs.append(world, "vm-1", "s-1", 2, packed(some(3, 3)), False)
    found = await logs.search(world, OPERATOR, "s-1", LogFilter(), None, 100)
    assert [(generation, line.sequence) for generation, line in found.lines] == [
        (1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2),
    ]  # fmt: skip


async def test_a_search_goes_on_where_it_stopped_also_when_nothing_was_found(world, monkeypatch):
    monkeypatch.setattr(logs, "PAGE_CHUNKS", 2)
    for first in range(1, 50, 10):
        await append(world, first, first + 9)
    for newest_first in (False, True):
        for wanted, expected in ((LogFilter(), list(range(1, 51))), (LogFilter(contains="line 41"), [41])):
            found, position, pages = [], None, 0
            while True:
                page = await logs.search(world, OPERATOR, "s-1", wanted, position, 7, newest_first=newest_first)
                found += [line.sequence for _, line in page.lines]
                pages += 1
                if page.next is None:
                    break
                position = page.next
            assert found == (expected[::-1] if newest_first else expected)
            assert pages > 2


async def test_what_others_own_is_not_there(world):
    await append(world, 1, 2)
    stranger = Principal("elsewhere", "other", Role.OPERATOR)
    with pytest.raises(NotFound):
        await logs.search(world, stranger, "s-1", LogFilter(), None, 10)
    with pytest.raises(Forbidden):
        await logs.search(world, Principal("default", "p", Role.PLAYER), "s-1", LogFilter(), None, 10)


async def test_a_histogram_counts_every_line_once(world):
    await append(world, 1, 25)
    await append(world, 26, 60)
    for span_s in (1, 7, 1000):
        buckets = Buckets.of(NOON, NOON + timedelta(seconds=50), span_s)
        counted = await logs.histogram(world, OPERATOR, "s-1", buckets)
        assert sum(counts[LogStream.STDOUT] for counts in counted) == 49
    buckets = Buckets.of(NOON, NOON + timedelta(seconds=50), 10)
    counted = await logs.histogram(world, OPERATOR, "s-1", buckets)
    assert [counts[LogStream.STDOUT] for counts in counted] == [9, 10, 10, 10, 10]


async def test_chunks_expire_with_their_objects_and_heads_after_them(world, clock):
    await append(world, 1, 10)
    clock.now += KEEP / 2
    await append(world, 11, 20)
    assert await logs.expire(world) == 0
    clock.now += KEEP / 2
    assert await logs.expire(world) == 1
    assert await sequences(world) == list(range(11, 21))
    assert len(await world.objects.list("logs")) == 1
    # Of one who died between object and row.
    await world.objects.put("logs/default/s-1/1/left.gz", logs._once(b"x"))
    await finish(world, clock.now)
    clock.now += KEEP + timedelta(seconds=1)
    assert await logs.expire(world) == 1
    assert await archives.collect_garbage(world) == 1
    assert await sequences(world) == []
    assert await world.objects.list("logs") == []
    async with world.store.reading() as tx:
        assert await tx.logs.heads("s-1") == []


async def finish(world: World, at: datetime) -> None:
    async with world.store.tx() as tx:
        session = await tx.sessions.get("s-1")
        ended = replace(session, state=SessionState.STOPPED, ended_at=at, version=session.version + 1)
        await tx.sessions.save(ended)


@pytest.mark.parametrize("amid", ["list", "put"], ids=["appended amid the forgetting", "forgotten amid the appending"])
async def test_lines_that_come_in_the_moment_in_which_a_log_is_forgotten_are_kept(world, clock, monkeypatch, amid):
    """An agent that was away for as long as lines are kept brings the last of them while the rest goes."""
    await append(world, 1, 10)
    await finish(world, clock.now)
    clock.now += KEEP + timedelta(seconds=1)
    await logs.expire(world)
    await append(world, 11, 20)
    async with world.store.tx() as tx:
        await tx.logs.remove(await tx.logs.chunks("s-1", LogRange(), 10))
    clock.now += KEEP + timedelta(seconds=1)
    bucket, plain = type(world.objects), getattr(type(world.objects), amid)

    async def forget() -> None:
        await logs.expire(world)
        await archives.collect_garbage(world)

    async def first(self, *arguments):
        monkeypatch.setattr(bucket, amid, plain)
        if amid == "put":
            size = await plain(self, *arguments)
            await forget()
            return size
        assert await append(world, 21, 30) == 30
        return await plain(self, *arguments)

    monkeypatch.setattr(bucket, amid, first)
    await (forget() if amid == "list" else append(world, 21, 30))
    assert await sequences(world) == list(range(21, 31))


async def test_of_a_session_that_says_too_much_the_oldest_lines_go(world):
    for first in range(1, 100, 10):
        await append(world, first, first + 9)
    async with world.store.reading() as tx:
        sizes = [chunk.bytes for chunk in await tx.logs.chunks("s-1", LogRange(), 100)]
    small = replace(world, policy=replace(world.policy, log_session_bytes=7 * sizes[-1] // 2))
    await append(small, 101, 110)
    assert await logs.expire(small) == 8
    assert await sequences(world) == list(range(81, 111))


async def test_a_game_may_keep_its_logs_for_its_own_time(world, clock):
    async with world.store.tx() as tx:
        game = await tx.catalogue.game("default", a_game().id)
        await tx.catalogue.save_game(replace(game, log_retention_s=60.0))
    await append(world, 1, 10)
    clock.now += timedelta(seconds=61)
    assert await logs.expire(world) == 1


async def test_a_reader_who_meets_retention_finds_no_lines_and_no_error(world):
    await append(world, 1, 10)
    await world.objects.delete(await world.objects.list("logs"))
    assert await sequences(world) == []
