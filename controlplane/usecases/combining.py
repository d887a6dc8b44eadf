"""Combines concurrent requests: whoever arrives while a batch is being worked on goes with the next one.

Who is here alone waits for nobody. Where many are, a batch waits a moment for those who were just answered: most come
again, and would be a batch of their own. What grows with the load is the batch, not the number of transactions.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, TypeVar

from controlplane.domain.errors import Exhausted, Unavailable

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Work = Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]]

MAX_BATCH = 64
MAX_WAITING = 2048
# A request that has reached the process joins within a few turns of its loop.
TURNS = 6
# A caller that has its answer asks again within so long, or not at once; a batch takes several times as long.
MOMENT_S = 0.005


@dataclass(eq=False)
class _Member:
    item: Any
    work: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
    answer: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Combiner:
    """One queue, one batch at a time. All who join it bring the same work, which answers each item in its place."""

    def __init__(self, max_batch: int = MAX_BATCH, max_waiting: int = MAX_WAITING, moment_s: float = MOMENT_S) -> None:
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._moment_s = moment_s
        self._waiting: deque[_Member] = deque()
        self._running: asyncio.Task[None] | None = None
        # How many were here when the last batch ended: its own, and those who came meanwhile.
        self._expected = 1
        self._all_here = asyncio.Event()

    async def join(self, item: Item, work: Work[Item, Answer]) -> Answer:
        """The item's answer, or its error raised. Who is cancelled before the batch begins is left out of it; one that
        has begun is finished. Raises Exhausted when too many wait (I18)."""
        if len(self._waiting) >= self._max_waiting:
            raise Exhausted("TOO_MANY_REQUESTS", "too many requests wait to be placed; try again", retry_after_s="1")
        member = _Member(item, work)
        self._waiting.append(member)
        if len(self._waiting) >= self._expected:
            self._all_here.set()
        if self._running is None:
            # Nobody's context: the batch outlives the request that happened to begin it.
            self._running = asyncio.create_task(self._run(), context=Context())
        answer: Answer = await member.answer
        return answer

    async def _gather(self) -> None:
        """Returns when all who are expected are here or the moment is over, and then so many turns of the loop in a row
        have brought nobody; or when the batch is full."""
        if len(self._waiting) < self._expected:
            self._all_here.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._moment_s):
                    await self._all_here.wait()
        idle = 0
        while idle < TURNS and len(self._waiting) < self._max_batch:
            before = len(self._waiting)
            await asyncio.sleep(0)
            idle = idle + 1 if len(self._waiting) == before else 0

    async def _run(self) -> None:
        members: list[_Member] = []
        try:
            while self._waiting:
                await self._gather()
                members = [self._waiting.popleft() for _ in range(min(self._max_batch, len(self._waiting)))]
                await _answer([member for member in members if not member.answer.done()])
                self._expected = min(len(members) + len(self._waiting), self._max_batch)
        finally:
            self._running = None
            for member in members:
                member.answer.cancel()  # only when this task is cancelled is anyone still without an answer


async def _answer(members: Sequence[_Member]) -> None:
    if not members:
        return
    try:
        answers = await members[0].work([member.item for member in members])
    except Exception as error:  # noqa: BLE001 - raised again by everyone who joined
        if len(members) == 1 or isinstance(error, Unavailable):
            answers = [error] * len(members)
        else:  # one member's fault must not be its neighbours'
            for member in members:
                await _answer([member])
            return
    for member, answer in zip(members, answers, strict=True):
        if member.answer.done():
            continue
        if isinstance(answer, Exception):
            member.answer.set_exception(answer)
        else:
            member.answer.set_result(answer)
