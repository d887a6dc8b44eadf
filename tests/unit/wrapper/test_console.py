"""The console's ring: bounded, numbered, resumable, honest about what is gone."""

from __future__ import annotations

import asyncio

import pytest

from wrapper.console import BATCH_LINES, Console, input_bytes


def printed(console: Console, count: int) -> None:
    for number in range(1, count + 1):
        console.line(f"line {number}")


def test_old_lines_go_and_are_counted_as_missed() -> None:
    console = Console(max_lines=3)
    printed(console, 10)
    batch = console.batch(2)
    assert [line.sequence for line in batch.lines] == [8, 9, 10]
    assert batch.missed == 5
    assert console.batch(10).lines == ()


def test_long_lines_are_bounded_by_characters() -> None:
    console = Console(max_characters=100)
    for _ in range(10):
        console.line("x" * 40)
    assert [line.sequence for line in console.batch(0).lines] == [9, 10]


def test_a_batch_is_bounded() -> None:
    console = Console()
    printed(console, BATCH_LINES + 50)
    first = console.batch(0)
    assert len(first.lines) == BATCH_LINES
    assert len(console.batch(first.lines[-1].sequence).lines) == 50


async def test_followers_get_what_comes_and_end_with_the_game() -> None:
    console = Console()
    printed(console, 1)
    seen: list[int] = []

    async def follow() -> None:
        async for batch in console.follow(0):
            seen.extend(line.sequence for line in batch.lines)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(follow())
        await asyncio.sleep(0)
        console.line("two")
        console.close()
    assert seen == [1, 2]


async def test_a_sequence_of_another_game_starts_from_what_is_kept() -> None:
    console = Console()
    printed(console, 2)
    console.close()
    assert [line.sequence async for batch in console.follow(500) for line in batch.lines] == [1, 2]


@pytest.mark.parametrize("line", ["two\nlines", "\x1b[2J", "nul\0"])
def test_input_is_one_printable_line_each(line: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        input_bytes([line])
    assert input_bytes(["a", "b"]) == b"a\nb\n"
