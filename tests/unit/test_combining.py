"""Combined requests: nobody waits for long for a batch to fill, and nobody pays for a neighbour."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from controlplane.domain.errors import Exhausted, NotFound, Unavailable
from controlplane.usecases.combining import Combiner


class Work:
    """Doubles numbers in batches that go on when `gate` opens; 13 breaks its batch, 404 is refused alone."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.began = asyncio.Event()

    async def __call__(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(numbers))
        self.began.set()
        await self.gate.wait()
        if 13 in numbers:
            raise RuntimeError("13")
        if 503 in numbers:
            raise Unavailable("AWAY", "away")
        return [NotFound("NO", "no") if number == 404 else number * 2 for number in numbers]


async def test_who_comes_while_a_batch_runs_goes_with_the_next() -> None:
    work, combiner = Work(), Combiner(max_batch=3)
    first = asyncio.create_task(combiner.join(1, work))
    await work.began.wait()
    others = [asyncio.create_task(combiner.join(number, work)) for number in range(2, 7)]
    await asyncio.sleep(0)
    work.gate.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8, 10, 12]
    assert work.batches == [[1], [2, 3, 4], [5, 6]]


async def test_who_is_on_the_way_goes_along_and_a_full_batch_waits_for_nobody() -> None:
    work, combiner = Work(), Combiner(max_batch=3)
    work.gate.set()

    async def come(number: int, turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await combiner.join(number, work)

    assert await asyncio.gather(*(come(number, 3 * number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert work.batches == [[0, 1, 2], [3, 4]]


async def test_a_batch_waits_for_those_who_were_just_answered() -> None:
    work, combiner = Work(), Combiner(moment_s=3600)
    first = asyncio.create_task(combiner.join(1, work))
    await work.began.wait()
    others = [asyncio.create_task(combiner.join(number, work)) for number in (2, 3)]
    await asyncio.sleep(0)
    work.gate.set()
    assert await first == 2
    assert await combiner.join(4, work) == 8
    assert await asyncio.gather(*others) == [4, 6]
    assert work.batches == [[1], [2, 3, 4]]


async def test_who_does_not_come_again_is_not_waited_for_long() -> None:
    work, combiner = Work(), Combiner(moment_s=0.001)
    work.gate.set()
    assert await asyncio.gather(*(combiner.join(number, work) for number in (1, 2))) == [2, 4]
    assert await combiner.join(3, work) == 6
    assert work.batches == [[1, 2], [3]]


async def test_who_is_here_alone_waits_for_nobody() -> None:
    work, combiner = Work(), Combiner(moment_s=3600)
    work.gate.set()
    assert [await combiner.join(number, work) for number in (1, 2, 3)] == [2, 4, 6]
    assert work.batches == [[1], [2], [3]]


async def test_a_refused_or_broken_member_leaves_its_neighbours_alone() -> None:
    work, combiner = Work(), Combiner()
    work.gate.set()
    answers = await asyncio.gather(*(combiner.join(n, work) for n in (1, 404, 13, 4)), return_exceptions=True)
    assert [answers[0], answers[3]] == [2, 8]
    assert isinstance(answers[1], NotFound)
    assert isinstance(answers[2], RuntimeError)


async def test_what_is_away_is_not_asked_again_for_each() -> None:
    work, combiner = Work(), Combiner()
    work.gate.set()
    answers = await asyncio.gather(*(combiner.join(n, work) for n in (1, 503)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
    assert len(work.batches) == 1


async def test_too_many_waiting_are_told_when_to_come_again() -> None:
    work, combiner = Work(), Combiner(max_batch=1, max_waiting=2)
    first = asyncio.create_task(combiner.join(1, work))
    await work.began.wait()
    waiting = [asyncio.create_task(combiner.join(number, work)) for number in (2, 3)]
    await asyncio.sleep(0)
    with pytest.raises(Exhausted) as refusal:
        await combiner.join(4, work)
    assert refusal.value.details["retry_after_s"]
    work.gate.set()
    assert await asyncio.gather(first, *waiting) == [2, 4, 6]


async def test_who_leaves_before_its_batch_is_left_out_and_who_leaves_later_stops_nobody() -> None:
    work, combiner = Work(), Combiner()
    first = asyncio.create_task(combiner.join(1, work))
    await work.began.wait()
    gone, stays = (asyncio.create_task(combiner.join(number, work)) for number in (2, 3))
    await asyncio.sleep(0)
    gone.cancel()
    first.cancel()
    work.gate.set()
    assert await stays == 6
    assert work.batches == [[1], [3]]
