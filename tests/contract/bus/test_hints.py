"""Hints: at once within a program, by the broker to the others, never twice, never an obstacle."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from controlplane.adapters.bus.hints import QUEUE_LENGTH
from controlplane.adapters.bus.jetstream import JetStreamBus
from controlplane.domain import subjects
from tests.ports import free_port

PATIENCE_S = 30


async def collected(feed, last: bytes) -> list[bytes]:
    """Everything up to `last`."""
    payloads: list[bytes] = []
    async with asyncio.timeout(PATIENCE_S):
        while not payloads or payloads[-1] != last:
            payloads.append((await anext(feed))[1])
    return payloads


async def test_a_hint_reaches_the_others_and_the_own_program_once(house):
    bus, other = await house.bus(), await house.bus()
    async with bus.subscribe(subjects.PLANS) as own, other.subscribe(subjects.hint_plan("vm-1")) as far:
        assert await bus.hint(subjects.hint_plan("vm-1"), b"a")
        assert await bus.hint(subjects.hint_plan("vm-2"), b"elsewhere")
        assert await bus.hint(subjects.hint_plan("vm-1"), b"b")
        assert await collected(far, b"b") == [b"a", b"b"]
        # An echo by the broker would have come before this one, which travels the same way.
        assert await other.hint(subjects.hint_plan("vm-1"), b"end")
        assert await collected(own, b"end") == [b"a", b"elsewhere", b"b", b"end"]


async def test_the_own_program_has_it_before_the_call_returns(house):
    bus = await house.bus()
    async with bus.subscribe(subjects.OUTBOX) as feed:
        await bus.hint(subjects.OUTBOX, b"now")
        reading = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0)
        assert reading.done()
        assert await reading == (subjects.OUTBOX, b"now")


async def test_a_queue_group_shares(house):
    bus, *others = [await house.bus() for _ in range(3)]
    async with AsyncExitStack() as stack:
        feeds = [await stack.enter_async_context(other.subscribe(subjects.BEATS, queue="beats")) for other in others]
        everything = await stack.enter_async_context(others[0].subscribe(subjects.BEATS))
        sent = [f"{n}".encode() for n in range(40)]
        for payload in sent:
            await bus.hint(subjects.BEATS, payload)
        assert await collected(everything, sent[-1]) == sent
        shared: asyncio.Queue[bytes] = asyncio.Queue()

        async def pass_on(feed) -> None:
            async for _, payload in feed:
                shared.put_nowait(payload)

        readers = [asyncio.create_task(pass_on(feed)) for feed in feeds]
        async with asyncio.timeout(PATIENCE_S):
            shares = [await shared.get() for _ in sent]
        assert sorted(shares, key=int) == sent
        for reader in readers:
            reader.cancel()


async def test_a_subscription_stands_at_the_broker_when_it_is_made(own_nats_server):
    asked = bytearray()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection("127.0.0.1", own_nats_server.port)

        async def answering() -> None:
            while chunk := await answers.read(65536):
                writer.write(chunk)

        answering_task = asyncio.create_task(answering())
        while chunk := await reader.read(65536):
            asked.extend(chunk)
            questions.write(chunk)
        questions.close()
        await answering_task
        writer.close()

    port = free_port()
    async with await asyncio.start_server(relay, "127.0.0.1", port), JetStreamBus([f"nats://127.0.0.1:{port}"]) as bus:
        await bus.wait_connected(PATIENCE_S)
        async with bus.subscribe(subjects.BEATS):
            assert asked.rindex(b"PING") > asked.index(b"SUB " + subjects.BEATS.encode())


async def test_hints_work_within_a_program_while_the_broker_is_away(house):
    bus, other = await house.bus(), await house.bus()
    async with bus.subscribe(subjects.OUTBOX) as own, other.subscribe(subjects.OUTBOX) as far:
        await house.kill()
        assert not await bus.hint(subjects.OUTBOX, b"alone")
        async with bus.subscribe(subjects.SLOTS) as late:
            assert not await bus.hint(subjects.SLOTS, b"late")
            assert await collected(late, b"late") == [b"late"]
            await house.restart()
            assert await bus.hint(subjects.OUTBOX, b"together")
            assert await collected(own, b"together") == [b"alone", b"together"]
            assert await collected(far, b"together") == [b"together"]
            await other.hint(subjects.SLOTS, b"from afar")
            assert await collected(late, b"from afar") == [b"from afar"]


async def test_a_slow_reader_loses_the_oldest(house):
    bus = await house.bus()
    async with bus.subscribe(subjects.OUTBOX) as feed:
        for number in range(QUEUE_LENGTH + 10):
            await bus.hint(subjects.OUTBOX, f"{number}".encode())
        assert await anext(feed) == (subjects.OUTBOX, b"10")


async def test_who_has_left_hears_nothing_and_a_new_reader_nothing_old(house):
    bus, other = await house.bus(), await house.bus()
    async with bus.subscribe(subjects.OUTBOX) as feed:
        pass
    async with bus.subscribe(subjects.SLOTS) as marker:
        await other.hint(subjects.OUTBOX, b"old")
        await other.hint(subjects.SLOTS, b"passed")
        await collected(marker, b"passed")
    async with bus.subscribe(subjects.OUTBOX) as fresh:
        await other.hint(subjects.OUTBOX, b"new")
        assert await collected(fresh, b"new") == [b"new"]
    reading = asyncio.ensure_future(anext(feed))
    await asyncio.sleep(0)
    assert not reading.done()
    reading.cancel()
