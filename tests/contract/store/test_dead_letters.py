"""Dead letters on every store."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controlplane.interfaces import Page, Store
from tests.contract.store.rows import Clock


@pytest.fixture
def store(clocked_store: Store) -> Store:
    return clocked_store


async def bury(store: Store, clock: Clock, *ids: str, consumer: str = "reports") -> None:
    for number in ids:
        clock.now += timedelta(seconds=1)
        async with store.tx() as tx:
            await tx.outbox.bury(consumer, number, b"\x00\xff", f"why {number}", f"work.{number}")


async def keys(store: Store, consumer: str = "", **page) -> list[str]:
    async with store.reading() as tx:
        return [letter.key for letter in await tx.dead_letters.list(consumer, Page(**page))]


async def test_they_are_listed_newest_first_page_by_page(store, clock):
    await bury(store, clock, "a", "b", "c")
    await bury(store, clock, "d", consumer="external")
    assert await keys(store) == ["external.d", "reports.c", "reports.b", "reports.a"]
    assert await keys(store, "reports", size=2) == ["reports.c", "reports.b"]
    async with store.reading() as tx:
        last = await tx.dead_letters.get("reports.b")
        assert await tx.dead_letters.get("reports.d") is None
        assert await tx.dead_letters.get("reports") is None
    assert last is not None
    assert (last.payload, last.error, last.subject, last.replay_at) == (b"\x00\xff", "why b", "work.b", None)
    assert await keys(store, "reports", after=(last.at, last.key)) == ["reports.a"]


async def test_only_those_that_were_asked_for_are_claimed_and_by_one_at_a_time(store, clock):
    await bury(store, clock, "a", "b", "c")
    async with store.tx() as tx:
        assert await tx.dead_letters.ask_replay("reports.a")
        assert await tx.dead_letters.ask_replay("reports.c")
        assert not await tx.dead_letters.ask_replay("reports.z")
    async with store.tx() as tx:
        assert {letter.key for letter in await tx.dead_letters.claim(10, 60)} == {"reports.a", "reports.c"}
    async with store.tx() as tx:
        assert not await tx.dead_letters.claim(10, 60)
    clock.now += timedelta(seconds=61)
    async with store.tx() as tx:
        assert len(await tx.dead_letters.claim(1, 60)) == 1


async def test_buried_again_it_has_the_last_error_and_waits_to_be_asked_for(store, clock):
    await bury(store, clock, "a")
    async with store.tx() as tx:
        await tx.dead_letters.ask_replay("reports.a")
        await tx.dead_letters.claim(1, 60)
        await tx.outbox.bury("reports", "a", b"", "still no", "work.a")
    clock.now += timedelta(seconds=61)
    async with store.tx() as tx:
        assert not await tx.dead_letters.claim(1, 60)
        letter = await tx.dead_letters.get("reports.a")
        assert letter is not None
        assert (letter.error, letter.replay_at) == ("still no", None)
        assert await tx.dead_letters.remove("reports.a")
        assert not await tx.dead_letters.remove("reports.a")
    assert await keys(store) == []
