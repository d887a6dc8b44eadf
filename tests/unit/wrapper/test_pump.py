"""A game that floods its log leaves the wrapper's loop to others as well."""

from __future__ import annotations

import asyncio

from wrapper.supervisor import pump


async def test_who_needs_the_loop_gets_it_between_two_pieces() -> None:
    pipe = asyncio.StreamReader(limit=1 << 20)
    pipe.feed_data(b"flood\n" * 200_000)
    pipe.feed_eof()
    order: list[str] = []

    async def command() -> None:
        for _ in range(10):  # as many turns as a call takes
            await asyncio.sleep(0)
        order.append("command")

    typing = asyncio.create_task(command())
    await pump(pipe, lambda piece: order.append("end") if not piece else None)
    await typing
    assert order == ["command", "end"]
