"""The session's console: its newest lines, numbered, for any number of readers; and lines for the game's input.

Bounded whatever the game prints: old lines go, and readers are told how many they have missed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from wrapper.spool import Line, Stream

MAX_LINES = 2000
MAX_CHARACTERS = 1 << 20
BATCH_CHARACTERS = 16 << 10
BATCH_LINES = 200
# Ten batches a second for each reader: what a person can follow, and a link can carry.
PAUSE_S = 0.1
STILL_HERE_S = 60.0


@dataclass(frozen=True)
class Batch:
    """`missed` lines before the first of these are gone."""

    lines: tuple[Line, ...]
    missed: int = 0


class Console:
    """One game's output. `line` takes it, `follow` gives it."""

    def __init__(self, max_lines: int = MAX_LINES, max_characters: int = MAX_CHARACTERS) -> None:
        self._lines: deque[Line] = deque()
        self._max_lines = max_lines
        self._max_characters = max_characters
        self._characters = 0
        self._more = asyncio.Event()
        self.sequence = 0
        self._over = False

    def line(self, text: str, stream: Stream = Stream.STDOUT, at_ms: int = 0) -> Line:
        """Numbers and keeps it."""
        self.sequence += 1
        line = Line(self.sequence, text, stream, at_ms)
        self._lines.append(line)
        self._characters += len(text)
        while len(self._lines) > self._max_lines or self._characters > self._max_characters:
            self._characters -= len(self._lines.popleft().text)
        self._wake()
        return line

    def close(self) -> None:
        """The game is over: readers end when they have read what is kept."""
        self._over = True
        self._wake()

    def batch(self, after_sequence: int) -> Batch:
        """The oldest kept lines after that one, as many as one message carries."""
        first = self._lines[0].sequence if self._lines else self.sequence + 1
        start = max(after_sequence + 1, first)
        found: list[Line] = []
        characters = 0
        for index in range(start - first, len(self._lines)):
            line = self._lines[index]
            characters += len(line.text)
            if found and (characters > BATCH_CHARACTERS or len(found) >= BATCH_LINES):
                break
            found.append(line)
        return Batch(tuple(found), start - after_sequence - 1)

    async def follow(self, after_sequence: int) -> AsyncIterator[Batch]:
        """What is kept after that line, then what comes; an empty batch now and then says that all is well.

        A sequence that was never given, because it is another game's, starts from what is kept."""
        seen = after_sequence if 0 <= after_sequence <= self.sequence else 0
        while True:
            more = self._more
            batch = self.batch(seen)
            if batch.lines:
                seen = batch.lines[-1].sequence
                yield batch
                await asyncio.sleep(PAUSE_S)
                continue
            if self._over:
                return
            try:
                async with asyncio.timeout(STILL_HERE_S):
                    await more.wait()
            except TimeoutError:
                yield Batch(())

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()


def input_bytes(lines: Sequence[str]) -> bytes:
    """What is written to the game. Raises ValueError for a line that is more than one."""
    if any(not line.isprintable() for line in lines):
        raise ValueError("a line of input is one line of printable characters")
    return "".join(f"{line}\n" for line in lines).encode()
